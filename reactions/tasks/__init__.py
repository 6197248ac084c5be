"""Thin Celery shells over the work, one file a duty. ``celery -A reactions.tasks``."""

from reactions.tasks.app import app
from reactions.tasks.drain import drain
from reactions.tasks.erase import erase
from reactions.tasks.load import load
from reactions.tasks.sweep import sweep

__all__ = ["app", "drain", "erase", "load", "sweep"]
