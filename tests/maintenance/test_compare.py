"""The comparison of Redis with database + pending: each difference gets its kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reactions.maintenance.compare import Kind, Tiering, compare_cache, compare_ledger
from reactions.postgres.stored import Stored
from reactions.redis.replies import Snapshot
