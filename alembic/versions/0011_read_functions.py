"""two functions that read a user's reactions, so that their plans are made once for a connection

Planning a query over all partitions takes four times as long as running it. A function keeps its
plan, also behind PgBouncer, where a prepared statement may be lost.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NEWEST_OF_USER = """
CREATE FUNCTION newest_of_user(_user bigint, _limit int)
RETURNS TABLE (post_id bigint, reaction smallint)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT post_id, reaction FROM reactions
    WHERE user_id = _user AND reaction <> 0 ORDER BY version DESC LIMIT _limit;
END
$$
"""

# LATERAL with LIMIT keeps the planner on the primary key, partition by partition.
OWN_REACTIONS = """
CREATE FUNCTION own_reactions(_user bigint, _posts bigint[])
RETURNS TABLE (post_id bigint, reaction smallint)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT wanted.post_id, found.reaction
    FROM unnest(_posts) AS wanted (post_id) CROSS JOIN LATERAL (
        SELECT reaction FROM reactions AS r
        WHERE r.post_id = wanted.post_id AND r.user_id = _user LIMIT 1
    ) AS found;
END
$$
"""


def upgrade() -> None:
    op.execute(NEWEST_OF_USER)
    op.execute(OWN_REACTIONS)


def downgrade() -> None:
    op.execute("DROP FUNCTION newest_of_user")
    op.execute("DROP FUNCTION own_reactions")
