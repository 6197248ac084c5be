"""The client that an application calls, with its write path and its read path."""
