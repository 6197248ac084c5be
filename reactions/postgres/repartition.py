"""Changes the number of partitions of ``reactions`` while drains write.

It makes a second table, ``reactions_next``. From then on, a trigger repeats there what changes in
``reactions``. Meanwhile all rows are copied, in the order of the primary key, a page in each
transaction, and then the indexes are built. At the end the tables change their names.

Whoever changes rows of ``reactions`` holds the locks of their shards. A page takes the locks of its
shards too, so no row changes between its reading and its writing; and the end takes all of them.
What is done is in the tables, so a run that was killed is continued by the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from psycopg2.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.postgres.database import array, translated
from reactions.postgres.locks import LOCK, LOCK_CLASS
from reactions.postgres.migrate import open_connection
from reactions.postgres.partitions import check_partitions, index_of, is_broken, names_of

Done = TypeVar("Done")

PAGE_ROWS = 5_000
"""Rows of a page. Drains of its shards wait for it, about 0.1 s."""

TRIES = 100
"""How often a step that found its locks taken is tried again, after a pause of half a second."""

PAUSE_S = 0.5

BRIEFLY = text("SET LOCAL lock_timeout = '500ms'")
"""Below deadlock_timeout: an erasure that holds the table and waits for a shard goes first."""

# As the owner of `reactions`, whoever runs it. A page is complete when the trigger is in force.
MAKE = """
DO $make$
DECLARE
    home text := quote_ident(current_schema());
    owner text := (SELECT relowner::regrole::text FROM pg_class WHERE oid = 'reactions'::regclass);
    options text := coalesce((
        SELECT ' WITH (' || array_to_string(reloptions, ', ') || ')' FROM pg_class
        WHERE oid = (SELECT min(inhrelid) FROM pg_inherits WHERE inhparent = 'reactions'::regclass)
    ), '');
    changed text := (
        SELECT string_agg(format('%1$I = excluded.%1$I', attname), ', ') FROM pg_attribute
        WHERE attrelid = 'reactions'::regclass AND attnum > 0 AND NOT attisdropped
          AND attname NOT IN ('post_id', 'user_id')
    );
    given record;
BEGIN
    EXECUTE 'SET LOCAL ROLE ' || owner;
    CREATE TABLE reactions_copy (post_id bigint, user_id bigint, complete bool);
    INSERT INTO reactions_copy VALUES (0, 0, false);
    CREATE TABLE reactions_next (LIKE reactions INCLUDING ALL EXCLUDING INDEXES)
        PARTITION BY HASH (post_id);
    ALTER TABLE reactions_next
        ADD CONSTRAINT pk_reactions_next PRIMARY KEY (post_id, user_id);
    FOR part IN 0 .. {number} - 1 LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF reactions_next'
            ' FOR VALUES WITH (MODULUS {number}, REMAINDER %s)',
            'reactions_of{number}_' || CASE WHEN part < 10 THEN '0' ELSE '' END || part, part
        ) || options;
    END LOOP;
    FOR given IN
        SELECT privilege_type AS name, grantee, is_grantable FROM pg_class, aclexplode(relacl)
        WHERE oid = 'reactions'::regclass AND grantee <> relowner
    LOOP
        EXECUTE format(
            'GRANT %s ON reactions_next TO %s', given.name,
            CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE given.grantee::regrole::text END
        ) || CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END;
    END LOOP;
    EXECUTE format($f$
        CREATE FUNCTION repeat_reaction() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' THEN
                DELETE FROM %1$s.reactions_next
                WHERE post_id = OLD.post_id AND user_id = OLD.user_id;
            ELSE
                INSERT INTO %1$s.reactions_next VALUES (NEW.*)
                ON CONFLICT (post_id, user_id) DO UPDATE SET %2$s;
            END IF;
            RETURN NULL;
        END $$ $f$, home, changed);
    CREATE TRIGGER repeat_reaction AFTER INSERT OR UPDATE OR DELETE ON reactions
        FOR EACH ROW EXECUTE FUNCTION repeat_reaction();
END $make$
"""

POSITION = text("SELECT post_id, user_id, complete FROM reactions_copy FOR UPDATE")
ADVANCE = text("UPDATE reactions_copy SET post_id = :post, user_id = :user, complete = :complete")
BY_KEY = text(
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
)
PAGE = text(f"""
SELECT count(*), array_agg(DISTINCT CAST(mod(post_id, {SHARDS}) AS int)),
    (array_agg(post_id ORDER BY post_id DESC, user_id DESC))[1],
    (array_agg(user_id ORDER BY post_id DESC, user_id DESC))[1]
FROM (
    SELECT post_id, user_id FROM reactions WHERE (post_id, user_id) > (:post, :user)
    ORDER BY post_id, user_id LIMIT :limit
) AS page
""")  # noqa: S608 - a constant
# Rows of other shards in this range came after the trigger, which has written them.
COPY = text(f"""
INSERT INTO reactions_next
SELECT * FROM reactions
WHERE (post_id, user_id) > (:post, :user) AND (post_id, user_id) <= (:last_post, :last_user)
  AND mod(post_id, {SHARDS}) = ANY (CAST(:shards AS int[]))
ORDER BY post_id, user_id
ON CONFLICT DO NOTHING
""")  # noqa: S608 - a constant
INDEXES = text("""
SELECT relname, pg_get_indexdef(indexrelid), quote_ident(nspname)
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE indrelid = 'reactions'::regclass AND NOT indisprimary ORDER BY relname
""")
ATTACHED = text("SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(:index))")
SWAP = """
DO $$
DECLARE name text;
BEGIN
    LOCK TABLE reactions, reactions_next IN ACCESS EXCLUSIVE MODE;
    DROP TRIGGER repeat_reaction ON reactions;
    DROP FUNCTION repeat_reaction;
    DROP TABLE reactions_copy;
    FOR name IN
        SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = 'reactions'::regclass
    LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I', name, name || '_old');
        EXECUTE format('ALTER INDEX %I RENAME TO %I', name || '_next', name);
    END LOOP;
    ALTER TABLE reactions RENAME TO reactions_old;
    ALTER TABLE reactions_next RENAME TO reactions;
END $$
"""
GIVE_UP = """
DO $$ BEGIN
    DROP TRIGGER repeat_reaction ON reactions;
    DROP FUNCTION repeat_reaction;
    DROP TABLE reactions_next, reactions_copy;
END $$
"""


class Step(NamedTuple):
    """One step that is done, and durable: its name, and how many rows it copied."""

    name: str
    rows: int = 0


class Numbers(NamedTuple):
    """How many partitions there are, and how many there will be, None if nothing changes."""

    present: int
    following: int | None


class Repartition:
    """Changes the number of partitions. Of two runs at the same time, one may fail; no more."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def numbers(self) -> Numbers:
        """Return the numbers of partitions."""
        with translated(), open_connection(self._settings) as connection:
            following = len(names_of(connection, "reactions_next")) or None
            return Numbers(len(names_of(connection)), following)

    def steps(self, number: int) -> Iterator[Step]:
        """Change the number, one step after the other; what an earlier run did is not done again.

        With the present number, a change that is under way is given up.

        Raises:
            InvalidArgument: the number is not 1 to 256.
            ReactionsUnavailable: the database cannot be reached, or others held the locks for too
                long. Run it again: it continues.
        """
        number = check_partitions(number)
        with translated(), open_connection(self._settings) as connection:
            yield from self._drop_old(connection)
            present, following = self.numbers()
            if following not in (None, number):
                yield self._run(connection, GIVE_UP, "given up")
                following = None
            if number == present:
                return
            if following is None:
                yield self._run(connection, MAKE.format(number=number), "prepared")
            yield from self._copy(connection)
            yield from self._index()
            yield self._run(connection, SWAP, "swapped", lock=True)
            yield from self._drop_old(connection)

    def _drop_old(self, connection: Connection) -> Iterator[Step]:
        if names_of(connection, "reactions_old"):
            connection.rollback()
            yield self._run(connection, "DROP TABLE reactions_old", "dropped")
        connection.rollback()

    def _run(
        self, connection: Connection, statement: str, name: str, *, lock: bool = False
    ) -> Step:
        def work() -> Step:
            connection.execute(BRIEFLY)
            if lock:
                shards = array(range(SHARDS))
                connection.execute(LOCK, {"class": LOCK_CLASS, "shards": shards})
            connection.execute(text(statement))
            return Step(name)

        return _patiently(connection, work)

    def _copy(self, connection: Connection) -> Iterator[Step]:
        while True:
            began = time.monotonic()
            step = _patiently(connection, lambda: _page(connection))
            if step is None:
                return
            yield step
            time.sleep(min(PAUSE_S, time.monotonic() - began))  # half of the time is others'

    def _index(self) -> Iterator[Step]:
        """Build the indexes on each new partition, then attach them. Nobody waits for it."""
        with open_connection(self._settings) as opened:
            connection = opened.execution_options(isolation_level="AUTOCOMMIT")
            for name, definition, home in connection.execute(INDEXES).all():
                how = definition.partition(" USING ")[2]
                _execute(
                    connection,
                    f"CREATE INDEX IF NOT EXISTS {name}_next ON ONLY reactions_next USING {how}",
                )
                for partition in names_of(connection, "reactions_next"):
                    index = index_of(name, partition)
                    if connection.scalar(ATTACHED, {"index": index}):
                        continue
                    if is_broken(connection, index):
                        _execute(connection, f"DROP INDEX CONCURRENTLY {home}.{index}")
                    _execute(
                        connection,
                        f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON {home}.{partition}"
                        f" USING {how}",
                    )
                    _execute(connection, f"ALTER INDEX {name}_next ATTACH PARTITION {index}")
                    yield Step("indexed")
            _execute(connection, "ANALYZE reactions_next")


def _page(connection: Connection) -> Step | None:
    """Copy the next rows; None when there are no more."""
    post, user, complete = connection.execute(POSITION).one()
    if complete:
        return None
    connection.execute(BY_KEY)
    after = {"post": post, "user": user}
    rows, shards, last_post, last_user = connection.execute(
        PAGE, {**after, "limit": PAGE_ROWS}
    ).one()
    if not rows:
        connection.execute(ADVANCE, {**after, "complete": True})
        return None
    locked = array(sorted(shards))
    connection.execute(LOCK, {"class": LOCK_CLASS, "shards": locked})
    last = {"last_post": last_post, "last_user": last_user}
    connection.execute(COPY, {**after, **last, "shards": locked})
    connection.execute(ADVANCE, {"post": last_post, "user": last_user, "complete": False})
    return Step("copied", rows)


def _execute(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))


def _patiently(connection: Connection, work: Callable[[], Done]) -> Done:
    """Run a step in a transaction, again if others hold the locks."""
    for left in reversed(range(TRIES)):
        try:
            with connection.begin():
                return work()
        except OperationalError as error:
            if not left or not isinstance(error.orig, LockNotAvailable | DeadlockDetected):
                raise
        time.sleep(PAUSE_S)
    raise AssertionError("unreachable")
