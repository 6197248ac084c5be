"""The roles of ``deploy/roles.sql`` have exactly the rights that they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from reactions.api.client import Reactions
from reactions.cli.main import main
from reactions.core.constants import shard_of
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.drain.batch import DrainFailed
from reactions.postgres.database import Database
from reactions.postgres.migrate import at_head, migrate
from reactions.redis.keys import default_keys as keys
from tests.security import workload
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.guarded import PASSWORD, Roles, running_roles
from tests.support.reading import VIRAL

pytestmark = pytest.mark.slow

REFUSED = "permission denied|must be owner"

SettingsOf = Callable[[str], Settings]


@pytest.fixture(scope="module", params=[15, 18])
def roles(request: pytest.FixtureRequest) -> Iterator[Roles]:
    with running_roles(request.param) as running:
        migrate(Settings(database_url=running.url_of("owner")))
        running.apply()  # a second time, as docs/security.md says
        yield running


@pytest.fixture
def settings_of(roles: Roles, redis_url: str) -> SettingsOf:
    def settings(role: str) -> Settings:
        return Settings(
            redis_url=redis_url,
            database_url=roles.url_of(role),
            broker_url=DEAD_BROKER,
            viral_threshold=VIRAL,
            lease_s=1.0,
        )

    return settings


@pytest.fixture
def writer(roles: Roles, settings_of: SettingsOf) -> Iterator[Engine]:
    tables = "reactions, reaction_counts, posts, redis_epochs, deleted_posts, forgotten_users"
    roles.execute(f"TRUNCATE {tables}, dead_letters, duties, runs, audits, findings")
    engine = make_engine(settings_of("writer"))
    yield engine
    engine.close()


def execute(settings: Settings, statement: str) -> None:
    database = Database(settings)
    try:
        with database.transaction() as connection:
            connection.execute(text(statement))
    finally:
        database.close()


def test_each_role_does_its_work(writer: Engine, settings_of: SettingsOf) -> None:
    """The web tier uses the reader; workers and operators use the writer."""
    with Reactions(settings_of("reader")) as client:
        web = workload.Called(client)
        workload.write(web)
        writer.drain()
        for step in (workload.read, workload.change, workload.erase):
            step(web)
        workload.run_duties(writer)
        writer.dead_letters.add(str(workload.REGULAR), "70", "2:8", "it was full")
        workload.jump(writer.client, web)
        writer.drain()
        workload.operate(settings_of("writer"))
        workload.recover(writer)
        writer.client.flushall()  # so that every read queries PostgreSQL
        workload.read(web)
        assert web.all()
    assert writer.verify().holds


def test_the_reader_runs_commands_that_change_nothing(
    writer: Engine, settings_of: SettingsOf
) -> None:
    writer.reactions.react(1, workload.REGULAR, "like")
    writer.drain()
    env = settings_of("reader").environment()
    inspect = ("inspect", str(workload.REGULAR))
    others = (
        ("verify",),
        ("deadletters",),
        ("duties",),
        ("rising",),
        ("metrics", "--once"),
        ("clock",),
    )
    for command in (inspect, *others):
        result = CliRunner().invoke(main, command, env=env)
        assert result.exit_code == 0, (command, result.output)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("reader", "INSERT INTO reactions VALUES (1, 1, 1, 1)"),
        ("reader", "UPDATE reaction_counts SET count = 0"),
        ("reader", "DELETE FROM reactions"),
        ("reader", "SELECT * FROM reactions FOR UPDATE"),
        ("reader", "CREATE TABLE mine ()"),
        ("reader", "CREATE TEMP TABLE mine ()"),
        ("writer", "CREATE TABLE mine ()"),
        ("writer", "CREATE TEMP TABLE mine ()"),
        ("writer", "CREATE SCHEMA mine"),
        ("writer", "DROP TABLE reactions"),
        ("writer", "ALTER TABLE reactions ADD COLUMN mine int"),
        ("writer", "CREATE INDEX ON reactions (version)"),
        ("writer", "TRUNCATE reactions"),
        ("writer", "TRUNCATE reactions_00"),
        ("writer", "UPDATE alembic_version SET version_num = '0001'"),
        ("writer", "UPDATE reaction_types SET name = 'mine'"),
        ("writer", "DELETE FROM reaction_types"),
        ("writer", "CREATE ROLE mine"),
        ("owner", "CREATE ROLE mine"),
    ],
)
def test_a_role_may_not(settings_of: SettingsOf, role: str, statement: str) -> None:
    with pytest.raises(ReactionsUnavailable, match=REFUSED) as caught:
        execute(settings_of(role), statement)
    assert "deploy/roles.sql" in str(caught.value)


def test_the_rights_cover_tables_of_later_migrations(roles: Roles, settings_of: SettingsOf) -> None:
    execute(settings_of("owner"), "CREATE TABLE later (id bigint GENERATED ALWAYS AS IDENTITY)")
    try:
        execute(settings_of("writer"), "INSERT INTO later DEFAULT VALUES")
        execute(settings_of("reader"), "SELECT * FROM later")
        with pytest.raises(ReactionsUnavailable, match=REFUSED):
            execute(settings_of("reader"), "DELETE FROM later")
    finally:
        roles.execute("DROP TABLE later")


def test_an_existing_database_becomes_the_owners(roles: Roles, settings_of: SettingsOf) -> None:
    """A superuser has migrated it. Running the file once more changes nothing else."""
    roles.execute("ALTER TABLE posts OWNER TO postgres")
    roles.execute("GRANT ALL ON posts TO PUBLIC")
    before = roles.execute("SELECT relname, relacl FROM pg_class WHERE relname = 'runs'")
    roles.apply()
    owners = roles.execute(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'reactions'"
    )
    assert owners == [("reactions_owner",)]
    assert roles.execute("SELECT relname, relacl FROM pg_class WHERE relname = 'runs'") == before
    with pytest.raises(ReactionsUnavailable, match=REFUSED):
        execute(settings_of("reader"), "DELETE FROM posts")
    migrate(settings_of("owner"))
    assert at_head(settings_of("reader"))


def test_an_older_installation_moves_beside_an_application() -> None:
    """A superuser migrated it in `public`, where the application has tables of its own by now."""
    with running_roles(16) as roles:
        older = Settings(database_url=roles.admin, database_schema="public")
        migrate(older, "0008")
        roles.execute("INSERT INTO public.reactions VALUES (1, 7, 1, 1)")
        roles.execute("CREATE TABLE public.articles (id bigint)")
        roles.execute("GRANT SELECT ON public.articles TO PUBLIC")
        before = roles.execute("SELECT relowner, relacl FROM pg_class WHERE relname = 'articles'")
        roles.apply()
        migrate(Settings(database_url=roles.url_of("owner")))
        roles.apply()
        after = roles.execute("SELECT relowner, relacl FROM pg_class WHERE relname = 'articles'")
        assert after == before
        writer, reader = (
            Settings(database_url=roles.url_of(role)) for role in ("writer", "reader")
        )
        execute(writer, "INSERT INTO reactions VALUES (1, 8, 2, 1)")
        execute(reader, "SELECT * FROM reactions")
        with pytest.raises(ReactionsUnavailable, match=REFUSED):
            execute(reader, "DELETE FROM reactions")
        assert roles.execute("SELECT count(*) FROM reactions.reactions") == [(2,)]


@pytest.mark.parametrize("privilege", ["INSERT ON reactions", "SELECT ON reaction_types"])
def test_a_drain_that_may_not_write_loses_nothing(
    writer: Engine, roles: Roles, privilege: str
) -> None:
    """The changes stay pending, the error says why, and a later drain records them."""
    writer.reactions.react(1, workload.REGULAR, "like")
    roles.execute(f"REVOKE {privilege} FROM reactions_writer")
    try:
        with pytest.raises(DrainFailed, match=r"permission denied for table .*deploy/roles\.sql"):
            writer.persister.drain([shard_of(workload.REGULAR)])
        assert writer.outbox_state.pending() == 1
        assert roles.execute("SELECT count(*) FROM dead_letters") == [(0,)]
    finally:
        roles.execute(f"GRANT {privilege} TO reactions_writer")
    writer.client.delete(keys.outbox_lease(shard_of(workload.REGULAR)))
    writer.drain()
    assert writer.queries.reactions([workload.REGULAR]) == {workload.REGULAR: {1: 1}}
    assert writer.verify().holds


@pytest.mark.parametrize(
    ("role", "password", "says"),
    [
        ("writer", PASSWORD, "must be owner|permission denied"),
        ("owner", "wrong", "password authentication failed"),
    ],
)
def test_a_migration_without_rights_prints_one_line(
    roles: Roles, role: str, password: str, says: str
) -> None:
    url = roles.url_of(role, password)
    result = CliRunner().invoke(
        main, ["migrate", "--to", "0003"], env={"REACTIONS_DATABASE_URL": url}
    )
    assert result.exit_code == 2
    assert "PostgreSQL cannot serve" in result.stderr
    assert any(word in result.stderr for word in says.split("|"))
