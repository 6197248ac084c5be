"""What one feed costs: processor time of the client, of Redis and of PostgreSQL, and its time."""
