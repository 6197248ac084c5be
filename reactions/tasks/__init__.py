"""Thin Celery shells over the work, one file a duty. ``celery -A reactions.tasks``."""

from reactions.tasks.app import app
from reactions.tasks.audit import audit
from reactions.tasks.drain import drain
from reactions.tasks.erase import erase
from reactions.tasks.load import load
from reactions.tasks.reconcile import reconcile
from reactions.tasks.refresh import refresh
from reactions.tasks.sweep import sweep
from reactions.tasks.tidy import tidy
from reactions.tasks.virality import virality
from reactions.tasks.watch import watch

__all__ = [
    "app",
    "audit",
    "drain",
    "erase",
    "load",
    "reconcile",
    "refresh",
    "sweep",
    "tidy",
    "virality",
    "watch",
]
