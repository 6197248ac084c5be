"""The live page of the demo: a feed, and the engine room beside it. Only the demo serves it."""
