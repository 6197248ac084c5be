"""Schemathesis tests the service against its own OpenAPI, with every check, on real stores.

The examples are the same in each run. ``/v1/stream`` does not end: ``test_stream.py`` tests it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.web import create_app
from reactions.web.demo_auth import HEADER, chosen_user
from tests.support.databases import own_database
from tests.support.engine import DEAD_BROKER
from tests.support.profiles import examples
from tests.web.serving import running

pytestmark = pytest.mark.slow

CONFIG: dict[str, Any] = {
    # The schema of a cursor is any text, but the service accepts only its own cursors.
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "410"]}},
}


@pytest.fixture(scope="module")
def described(valkey: Valkey, postgres: Postgres) -> Iterator[Any]:
    """Read the schema from the running service."""
    with (
        own_database(postgres.url) as url,
        Reactions(
            Settings(
                redis_url=valkey.url,
                database_url=url,
                broker_url=DEAD_BROKER,
                web_writes_per_s=1e6,
            )
        ) as client,
        running(create_app(client, chosen_user)) as address,
    ):
        client.react_many([(user, post, "like") for user in (7, 8) for post in range(1, 20)])
        yield schemathesis.openapi.from_url(
            f"{address}/openapi.json", config=SchemathesisConfig.from_dict(CONFIG)
        )


@schemathesis.hook
def filter_query(_context: Any, query: dict[str, Any] | None) -> bool:
    """Leave out cursors: ``test_routes.py`` reads page after page."""
    return not query or "cursor" not in query


same_each_time = hypothesis_settings(
    max_examples=examples(30),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def operations(described: Any) -> dict[str, Any]:
    found = [result.ok() for result in described.get_all_operations()]
    return {f"{one.method.upper()} {one.path}": one for one in found}


OPERATIONS = (
    "PUT /v1/posts/{post_id}/reaction",
    "DELETE /v1/posts/{post_id}/reaction",
    "GET /v1/summaries",
    "GET /v1/posts/{post_id}/reactors",
    "GET /v1/posts/{post_id}/recent",
    "GET /v1/posts/{post_id}/uniques",
    "GET /v1/users/me/history",
    "GET /healthz",
    "GET /readyz",
)


def test_every_operation_is_tried(described: Any) -> None:
    assert operations(described).keys() == {*OPERATIONS, "GET /v1/stream"}


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_service_keeps_to_its_schema(described: Any, name: str, mode: GenerationMode) -> None:
    operation = operations(described)[name]
    if mode is GenerationMode.NEGATIVE and not takes_anything(operation):
        pytest.skip("the operation has no parameters")

    @same_each_time
    @given(operation.as_strategy(mode))
    def check(case: Any) -> None:
        case.call_and_validate(headers={HEADER: "7"})

    check()


def takes_anything(operation: Any) -> bool:
    return any((operation.path_parameters, operation.query, operation.body))
