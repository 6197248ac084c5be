"""The figures of the engine room."""

from __future__ import annotations

from reactions.core.settings import Settings
from reactions.web.page.figures import Gauges


def test_figures_are_unknown_where_no_store_answers() -> None:
    nowhere = Settings(
        redis_url="redis://127.0.0.1:1/0", database_url="postgresql://127.0.0.1:1/none"
    )
    figures = Gauges(nowhere).read()
    assert set(figures.model_dump().values()) == {None}
