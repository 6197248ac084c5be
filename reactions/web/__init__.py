"""The web tier: a small HTTP service over the library. It needs the extra ``web``."""

from reactions.web.app import create_app

__all__ = ["create_app"]
