"""The work of Beat's duties and of the maintenance commands. Knows nothing of Celery."""
