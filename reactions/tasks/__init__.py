"""The Celery tasks, one file each. They only call the work. Run ``celery -A reactions.tasks``."""

from reactions.tasks.app import app
from reactions.tasks.audit import audit
from reactions.tasks.cleanup import cleanup
from reactions.tasks.drain import drain
from reactions.tasks.erase import erase
from reactions.tasks.load import load
from reactions.tasks.loss_detection import loss_detection
from reactions.tasks.reconcile import reconcile
from reactions.tasks.refresh import refresh
from reactions.tasks.sweep import sweep
from reactions.tasks.virality import virality

__all__ = [
    "app",
    "audit",
    "cleanup",
    "drain",
    "erase",
    "load",
    "loss_detection",
    "reconcile",
    "refresh",
    "sweep",
    "virality",
]
