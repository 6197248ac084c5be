"""What an application calls: the client, its write path and its read path."""
