"""Schemathesis tests the service against its own OpenAPI, with every check, on real stores.

The examples are the same in each run. ``/v1/stream`` does not end: ``test_stream.py`` tests it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from reactions.api.client import Reactions
from reactions.core.constants import MAX_ID
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
    "GET /v1/types",
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


def schemas(node: Any) -> Iterator[tuple[str, Any]]:
    """All schemas of properties and parameters, with their names."""
    if isinstance(node, dict):
        if "schema" in node and "name" in node:
            yield node["name"], node["schema"]
        for key, child in node.items():
            if isinstance(child, dict) and "properties" in node and key == "properties":
                yield from child.items()
            yield from schemas(child)
    elif isinstance(node, list):
        for child in node:
            yield from schemas(child)


def test_every_id_is_a_string_both_ways(described: Any) -> None:
    found = [one for name, one in schemas(described.raw_schema) if name.endswith("_id")]
    assert len(found) == 11  # 7 parameters, 4 properties
    for schema in found:
        schema = schema.get("items", schema)
        assert (schema["type"], schema["maxLength"]) == ("string", 19)
        for number in (1, 9, 10, 2**53 + 1, MAX_ID - 1, MAX_ID):
            assert re.search(schema["pattern"], str(number))
        for wrong in ("0", str(MAX_ID + 1), str(MAX_ID * 10), "07", "+7", "7.0", "", "7\n"):
            assert not re.search(schema["pattern"].replace("$", r"\Z"), wrong)


def test_the_names_of_operations_and_schemas_make_good_clients(described: Any) -> None:
    items = described.raw_schema["paths"].values()
    ids = [operation["operationId"] for item in items for operation in item.values()]
    assert len(set(ids)) == len(ids) == len(OPERATIONS) + 1
    assert {"react", "unreact", "listTypes", "getSummaries", "streamCounts"} <= set(ids)
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", one) for one in ids)
    names = described.raw_schema["components"]["schemas"]
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", name) for name in names)


def test_times_need_64_bits(described: Any) -> None:
    """A generated client may take an integer without a format for one of 32 bits."""
    found = [one for name, one in schemas(described.raw_schema) if name == "version"]
    assert len(found) == 2
    assert all("int64" in str(one) for one in found)


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
