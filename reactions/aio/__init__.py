"""The asynchronous client: ``reactions.Reactions``, awaited. It needs the extra ``aio``."""

try:
    import greenlet as _  # noqa: F401
except ImportError as error:
    raise ImportError("reactions.aio needs greenlet: pip install 'reactions[aio]'") from error

from reactions.aio.client import Reactions

__all__ = ["Reactions"]
