"""every table in the schema REACTIONS_DATABASE_SCHEMA, beside those of an application

Moves no row: it changes catalogues only, in one short transaction. Stop web processes, workers and
beat of older versions before: they look for the tables in the old schema. react() works on.

A new installation has its tables in this schema from the beginning, and moves nothing. The way down
goes to the schema `public`, and refuses if that has a table of one of these names.

Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = (
    "alembic_version",
    "audits",
    "dead_letters",
    "deleted_posts",
    "duties",
    "findings",
    "forgotten_users",
    "posts",
    "reaction_counts",
    "reaction_types",
    "reactions",
    "redis_epochs",
    "runs",
)

RECORD = "record_reactions(int[], bigint[], bigint[], smallint[], bigint[], bigint[], bigint)"

# Migrations see the new schema first, and then the old one. Indexes, constraints and the sequences
# of identities follow their table.
MOVE = f"""
DO $$
DECLARE
    target text := {{target}};
    name text;
    found text;
BEGIN
    FOR name IN
        SELECT unnest(ARRAY[{", ".join(f"'{name}'" for name in TABLES)}])
        UNION ALL
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = to_regclass('reactions')
    LOOP
        SELECT nspname INTO found FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
        WHERE pg_class.oid = to_regclass(name);
        IF found <> target THEN
            IF to_regclass(quote_ident(target) || '.' || name) IS NOT NULL THEN
                RAISE EXCEPTION USING
                    MESSAGE = 'schema ' || target || ' has a table ' || name || ' already';
            END IF;
            EXECUTE 'ALTER TABLE ' || quote_ident(found) || '.' || name
                || ' SET SCHEMA ' || quote_ident(target);
        END IF;
    END LOOP;
    SELECT nspname INTO found FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace
    WHERE pg_proc.oid = to_regprocedure('{RECORD}');
    IF found <> target THEN
        EXECUTE 'ALTER FUNCTION ' || quote_ident(found) || '.{RECORD} SET SCHEMA '
            || quote_ident(target);
    END IF;
END $$
"""  # noqa: S608 - constants


def upgrade() -> None:
    op.execute(MOVE.format(target="current_schema()"))


def downgrade() -> None:
    op.execute(MOVE.format(target="'public'"))
