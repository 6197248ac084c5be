"""Tables and statements of the contenders that write SQL themselves.

They are leaner than ours: no versions, no partitions, and one index beside the key, for the list of
reactors. A function makes one reaction in one round trip and one transaction. A prepared statement
calls it, so the session caches its plans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import psycopg2

from benchmarks.compare.contenders.summaries import CountsOf, Summaries
from benchmarks.support.arena import Arena
from reactions.core.model import Summary
from reactions.core.settings import Settings

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS contender;
CREATE TABLE IF NOT EXISTS contender.reactions (
    post_id bigint, user_id bigint, reaction smallint NOT NULL,
    reacted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (post_id, user_id)
);
CREATE INDEX IF NOT EXISTS newest ON contender.reactions (post_id, reacted_at DESC);
-- Room for heap-only updates of the one column that changes.
CREATE TABLE IF NOT EXISTS contender.counts (
    post_id bigint, reaction smallint, count bigint NOT NULL, PRIMARY KEY (post_id, reaction)
) WITH (fillfactor = 50);

-- Writes the row alone; returns the previous reaction, 0 for none.
CREATE OR REPLACE FUNCTION contender.put(post bigint, who bigint, code smallint)
RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE old smallint;
BEGIN
    IF code = 0 THEN
        DELETE FROM contender.reactions WHERE post_id = post AND user_id = who
        RETURNING reaction INTO old;
        RETURN coalesce(old, 0);
    END IF;
    INSERT INTO contender.reactions (post_id, user_id, reaction) VALUES (post, who, code)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN RETURN 0; END IF;
    SELECT reaction INTO old FROM contender.reactions
    WHERE post_id = post AND user_id = who FOR UPDATE;
    IF old <> code THEN
        UPDATE contender.reactions SET reaction = code, reacted_at = now()
        WHERE post_id = post AND user_id = who;
    END IF;
    RETURN coalesce(old, 0);
END $$;

-- The counters come last, so that their locks are short, and in one order, against deadlocks.
CREATE OR REPLACE FUNCTION contender.react(post bigint, who bigint, code smallint)
RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE old smallint := contender.put(post, who, code);
BEGIN
    IF old = code THEN RETURN old; END IF;
    IF old = 0 THEN -- by far the most frequent case: it needs no sort
        UPDATE contender.counts SET count = count + 1 WHERE post_id = post AND reaction = code;
        IF FOUND THEN RETURN old; END IF;
    END IF;
    INSERT INTO contender.counts (post_id, reaction, count)
    SELECT post, t, s FROM (VALUES (old, -1), (code, 1)) AS v (t, s) WHERE t > 0 ORDER BY t
    ON CONFLICT (post_id, reaction) DO UPDATE SET count = counts.count + excluded.count;
    RETURN old;
END $$;
"""

_PREPARE = """
PREPARE react (bigint, bigint, smallint) AS SELECT contender.react($1, $2, $3);
PREPARE put (bigint, bigint, smallint) AS SELECT contender.put($1, $2, $3);
PREPARE feed (bigint, bigint[]) AS
    SELECT post_id, reaction, count FROM contender.counts WHERE post_id = ANY ($2)
    UNION ALL
    SELECT post_id, reaction, -1 FROM contender.reactions
    WHERE user_id = $1 AND post_id = ANY ($2);
PREPARE counts (bigint[]) AS
    SELECT post_id, reaction, count FROM contender.counts WHERE post_id = ANY ($1);
PREPARE own (bigint, bigint) AS
    SELECT reaction FROM contender.reactions WHERE user_id = $1 AND post_id = $2;
"""


def prepare(arena: Arena) -> None:
    """Create the tables, if they are missing."""
    arena.execute(SCHEMA)


class Session:
    """One connection with prepared statements; each statement is a transaction of its own."""

    def __init__(self, settings: Settings) -> None:
        url = settings.database_url.get_secret_value().replace("+psycopg2", "", 1)
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self._cursor = self._connection.cursor()
        self._cursor.execute(_PREPARE)
        self._summaries = Summaries(settings)

    @property
    def pid(self) -> int:
        """The process id of the server process behind this connection."""
        return int(self._connection.info.backend_pid)

    def react(self, user: int, post: int, code: int) -> int:
        return self._call("EXECUTE react (%s, %s, %s)", (post, user, code))

    def put(self, user: int, post: int, code: int) -> int:
        return self._call("EXECUTE put (%s, %s, %s)", (post, user, code))

    def feed(self, user: int, posts: Sequence[int]) -> list[Summary]:
        """The same values as ``Reactions.summaries``; user 0 is nobody."""
        return self._summaries.make(*self.read(user, posts))

    def read(self, user: int, posts: Sequence[int]) -> tuple[CountsOf, dict[int, str]]:
        """Counts and own reaction of each post, by one prepared query in one round trip."""
        counts, own = self._summaries.blank(posts), dict[int, str]()
        names = self._summaries.names
        # The server reads a text of numbers faster than an ARRAY[...] of expressions.
        wanted = f"{{{','.join(map(str, posts))}}}"
        if user:
            self._cursor.execute("EXECUTE feed (%s, %s)", (user, wanted))
        else:
            self._cursor.execute("EXECUTE counts (%s)", (wanted,))
        for post, code, count in self._cursor.fetchall():
            if count < 0:
                own[post] = names[code]
            else:
                counts[post][names[code]] = count
        return counts, own

    def reaction_of(self, user: int, post: int) -> str | None:
        """The name of the type of a user's reaction on a post."""
        self._cursor.execute("EXECUTE own (%s, %s)", (user, post))
        found = self._cursor.fetchone()
        return self._summaries.names[found[0]] if found else None

    def execute(self, sql: str, parameters: tuple[Any, ...]) -> None:
        self._cursor.execute(sql, parameters)

    def close(self) -> None:
        self._connection.close()

    def _call(self, sql: str, parameters: tuple[int, int, int]) -> int:
        self._cursor.execute(sql, parameters)
        return int(self._cursor.fetchone()[0])


def tally(arena: Arena) -> tuple[Counter[int], Counter[int]]:
    """Type code -> number of reactions: in the rows, and in the counts."""
    rows = arena.execute("SELECT reaction, count(*) FROM contender.reactions GROUP BY 1")
    counts = arena.execute("SELECT reaction, sum(count)::bigint FROM contender.counts GROUP BY 1")
    return _counter(rows), _counter(counts)


def _counter(found: Sequence[Any]) -> Counter[int]:
    return Counter({int(code): int(number) for code, number in found if number})
