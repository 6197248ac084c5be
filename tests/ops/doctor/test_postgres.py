"""``reactions.ops.doctor.postgres``: schema, reaction types, dead letters, late duties."""

from __future__ import annotations

from sqlalchemy import text

from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.ops.doctor import State
from reactions.ops.doctor.postgres import check_postgres
from reactions.postgres.duty_runs import DutyRuns
from reactions.postgres.repartition import Repartition
from tests.ops.doctor.examining import findings
from tests.support.databases import execute_admin
from tests.support.engine import Engine


def test_a_database_that_is_not_migrated(settings: Settings, postgres: Postgres) -> None:
    execute_admin(postgres.url, "CREATE DATABASE bare")
    try:
        bare = Settings(database_url=postgres.url.replace("/postgres?", "/bare?")).database_url
        found = findings(settings.model_copy(update={"database_url": bare}))
        assert found["migrations"].state is State.FAILURE
        assert found["migrations"].remedy == "run: reactions migrate"
        assert found["dead letters"].found.startswith("not known")
    finally:
        execute_admin(postgres.url, "DROP DATABASE bare WITH (FORCE)")


def test_limits_that_do_not_reach_postgresql(engine: Engine) -> None:
    ends = f"a statement ends after {round(engine.settings.database_timeout_s, 3):g} s"
    assert findings(engine.settings)["limits"].found == f"in force; {ends}"
    in_force = engine.database.limits["lock_timeout"]
    engine.database.limits = {**engine.database.limits, "lock_timeout": "17"}
    found = {f.check: f for f in check_postgres(engine.database, engine.settings)}["limits"]
    assert found.state is State.FAILURE
    assert f"lock_timeout is {in_force}, not 17" in found.found
    assert "pool_mode" in found.remedy


def test_reaction_types_that_the_database_does_not_know(settings: Settings) -> None:
    more = {**settings.reaction_types, "cool": 7}
    found = findings(settings.model_copy(update={"reaction_types": more}))["reaction types"]
    assert (found.state, found.remedy) == (State.FAILURE, "run: reactions migrate")
    other = {"like": 2, "love": 1}
    found = findings(settings.model_copy(update={"reaction_types": other}))["reaction types"]
    assert found.state is State.FAILURE
    assert "like=2, but code 2 is love" in found.found


def test_a_change_of_partitions_that_has_not_ended(engine: Engine) -> None:
    assert "partitions" not in findings(engine.settings)
    steps = Repartition(engine.settings).steps(2)
    next(steps)
    found = findings(engine.settings)["partitions"]
    assert found.found == "a change of their number, to 2, has not ended"
    assert found.remedy.startswith("run: reactions partitions 2, or reactions partitions 16 to")
    while next(steps).name != "swapped":
        pass
    found = findings(engine.settings)["partitions"]
    assert (found.state, found.remedy) == (State.WARNING, "run: reactions partitions 2")


def test_dead_letters(engine: Engine) -> None:
    engine.dead_letters.add("1042", "70", "2:8", "it was full")
    letters = findings(engine.settings)["dead letters"]
    assert letters.state is State.WARNING
    assert "reactions deadletters" in letters.remedy


def test_duties_that_ended_long_ago(engine: Engine) -> None:
    with DutyRuns(engine.database).run("sweep"):
        pass
    assert findings(engine.settings)["duties"].state is State.OK
    with engine.database.engine.begin() as connection:
        connection.execute(text("UPDATE duties SET succeeded_at = now() - interval '1 hour'"))
    assert "beat" in findings(engine.settings)["duties"].remedy


def test_a_schema_of_a_newer_version(engine: Engine) -> None:
    with engine.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9998'"))
    found = {f.check: f for f in check_postgres(engine.database, engine.settings)}["migrations"]
    assert found.state is State.WARNING
    assert "9998" in found.found
    with engine.database.engine.begin() as connection:
        connection.execute(text("COMMENT ON TABLE alembic_version IS 'oldest=9997'"))
    found = {f.check: f for f in check_postgres(engine.database, engine.settings)}["migrations"]
    assert found.state is State.FAILURE
    assert found.remedy.startswith("install the version")
