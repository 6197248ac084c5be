"""What a reaction costs workers and PostgreSQL when little is going on."""
