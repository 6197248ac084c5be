"""Makes the engines of SQLAlchemy, for every process and command alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, create_engine

from reactions.core.urls import DATABASE_DRIVER
from reactions.postgres.limits import enforce


def make_engine(
    parameters: Mapping[str, str],
    name: str,
    wait_s: float,
    limits: Mapping[str, str],
    **pool: Any,  # noqa: ANN401 - arguments of create_engine
) -> Engine:
    """Make an engine; it connects when it is first used.

    Args:
        parameters: those of libpq in database_url. They come before the following two.
        name: the name of the connections in ``pg_stat_activity``.
        wait_s: seconds to wait for each host when connecting.
        limits: what PostgreSQL applies to each transaction: the time limits, and search_path.
    """
    engine = create_engine(
        DATABASE_DRIVER,
        hide_parameters=True,
        connect_args={
            # libpq accepts only whole seconds.
            "connect_timeout": max(1, math.ceil(wait_s)),
            "fallback_application_name": name,
            **parameters,
        },
        **pool,
    )
    enforce(engine, limits)
    return engine
