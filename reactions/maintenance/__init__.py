"""The work of Beat's duties and of the maintenance commands. It does not import Celery."""
