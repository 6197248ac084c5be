"""A function that records a batch of reactions, so that its plan is made once for a connection.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The first statement locks the shards, so that no other batch changes their rows before the commit.
# In a volatile function each statement sees what was committed before it began. Every part of the
# second statement therefore sees the same rows; it moves the rows and the counts together. It
# counts tombstones (type 0) like any other type, so the counts also tell how many users ever
# reacted. The first key of the locks is LOCK_CLASS of reactions/postgres/locks.py.
RECORD = """
CREATE FUNCTION record_reactions(
    _shards int[], _posts bigint[], _users bigint[], _codes smallint[], _versions bigint[],
    _touched bigint[], _every bigint
) RETURNS TABLE (post_id bigint, reaction smallint, count bigint)
LANGUAGE plpgsql
-- Planning for all partitions takes longer than a small batch. Every scan goes by a key, whatever
-- the values, so one plan serves all batches.
SET plan_cache_mode = force_generic_plan
SET random_page_cost = 1.1
SET max_parallel_workers_per_gather = 0
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(24236, shard) FROM unnest(_shards) AS shard;
    RETURN QUERY
    WITH deleted AS MATERIALIZED (
        SELECT post_id FROM deleted_posts WHERE post_id = ANY (_touched)
    ), forgotten AS MATERIALIZED (
        SELECT user_id, before FROM forgotten_users WHERE user_id = ANY (_users)
    ), incoming AS (
        SELECT * FROM unnest(
            _posts, _users,
            _codes, _versions
        ) AS t (post_id, user_id, reaction, version)
        WHERE NOT EXISTS (SELECT FROM deleted WHERE deleted.post_id = t.post_id)
          AND NOT EXISTS (
            SELECT FROM forgotten WHERE forgotten.user_id = t.user_id AND t.version <= before
          )
    ), before AS (
        SELECT post_id, user_id, old.reaction, old.version > incoming.version AS newer
        FROM incoming CROSS JOIN LATERAL (
            -- LIMIT keeps the planner from a hash join, which would read every partition.
            SELECT reaction, version FROM reactions AS r
            WHERE r.post_id = incoming.post_id AND r.user_id = incoming.user_id LIMIT 1
        ) AS old
    ), written AS (
        INSERT INTO reactions AS r (post_id, user_id, reaction, version)
        SELECT post_id, user_id, reaction, version FROM incoming
        ON CONFLICT (post_id, user_id)
        DO UPDATE SET reaction = excluded.reaction, version = excluded.version
        WHERE r.version < excluded.version
        RETURNING r.post_id, r.user_id, r.reaction
    ), steps AS MATERIALIZED (
        SELECT post_id, user_id, reaction, 1 AS step FROM written
        UNION ALL
        SELECT post_id, user_id, before.reaction, -1
        FROM before JOIN written USING (post_id, user_id)
    ), moved AS (
        SELECT post_id, reaction, sum(step) AS step FROM steps
        GROUP BY post_id, reaction HAVING sum(step) <> 0
    ), audited AS (
        -- An audit under way keeps its tally of the rows it has passed; see row_counts.py.
        INSERT INTO audits AS a (post_id, reaction, position, rows)
        SELECT post_id, s.reaction, under.position, sum(step)
        FROM steps AS s JOIN (
            SELECT DISTINCT post_id, position FROM audits
            WHERE post_id = ANY (_touched)
        ) AS under USING (post_id)
        WHERE s.user_id <= under.position
        GROUP BY post_id, s.reaction, under.position
        ON CONFLICT (post_id, reaction) DO UPDATE SET rows = a.rows + excluded.rows
    ), noted AS (
        -- `touched` moves at most once in TOUCHED_EVERY_US, so most batches write nothing here.
        INSERT INTO posts AS p (post_id, touched)
        SELECT i.post_id, max(i.version) FROM incoming AS i
        WHERE NOT EXISTS (
            SELECT FROM posts WHERE posts.post_id = i.post_id AND posts.touched > i.version - _every
        )
        GROUP BY i.post_id ORDER BY i.post_id
        ON CONFLICT (post_id) DO UPDATE SET touched = excluded.touched
        WHERE p.touched < excluded.touched
    ), counted AS (
        INSERT INTO reaction_counts AS c (post_id, reaction, count)
        SELECT post_id, reaction, step FROM moved ORDER BY post_id, reaction
        ON CONFLICT (post_id, reaction) DO UPDATE SET count = c.count + excluded.count
        RETURNING c.post_id, c.reaction, c.count
    )
    SELECT post_id, reaction, count FROM counted
    UNION ALL
    SELECT post_id, reaction, count FROM reaction_counts AS c
    WHERE post_id = ANY (_touched)
      AND NOT EXISTS (
        SELECT FROM counted WHERE counted.post_id = c.post_id AND counted.reaction = c.reaction
      )
    UNION ALL
    SELECT 0, 0::smallint, count(*) FROM written
    UNION ALL
    SELECT post_id, (-1)::smallint, 0 FROM deleted
    UNION ALL
    SELECT DISTINCT post_id, (-2)::smallint, 0 FROM before WHERE newer;
END
$$
"""


def upgrade() -> None:
    op.execute(RECORD)


def downgrade() -> None:
    op.execute("DROP FUNCTION record_reactions")
