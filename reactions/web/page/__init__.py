"""The live page of the demo: a feed, and the engine room beside it. For nothing but the demo."""
