-- The roles of the database: who owns the tables, who writes, who reads. Safe to run again.
--
--   psql -v ON_ERROR_STOP=1 -d shop -f deploy/roles.sql          once, as a superuser
--   psql -d shop -c '\password reactions_writer'                 then this for each role
--
-- Everything is in a schema of its own, REACTIONS_DATABASE_SCHEMA: give another name than the
-- default with `-v schema=likes`. What an application has in the same database stays as it is. In a
-- database without other tables, nobody but these roles may connect.
--
-- Run all migrations as the owner (REACTIONS_DATABASE_URL of `reactions migrate`), because the
-- default privileges depend on that. The owner also gets the tables of an installation from before
-- migration 0009, so that it can move them.

\if :{?schema}
\else
  \set schema reactions
\endif

BEGIN;

SELECT set_config('reactions.schema', :'schema', true) \g /dev/null

-- The owner has the schema, and may run DDL in it.
DO $$
DECLARE
  home text := current_setting('reactions.schema');
  role text;
BEGIN
  FOREACH role IN ARRAY ARRAY['reactions_owner', 'reactions_writer', 'reactions_reader'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I', role);
    END IF;
    EXECUTE format(
      'ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', role
    );
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
  END LOOP;
  EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', home);
  EXECUTE format('ALTER SCHEMA %I OWNER TO reactions_owner', home);
  EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', home);
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO reactions_writer, reactions_reader', home);
END $$;

-- The tables and the functions, also those of an older installation in `public`.
DO $$
DECLARE
  home regnamespace := current_setting('reactions.schema')::regnamespace;
  older boolean := EXISTS (
    SELECT FROM pg_class WHERE oid = to_regclass('public.reactions') AND relkind = 'p'
  ) AND to_regclass('public.reaction_counts') IS NOT NULL;
  names text[] := ARRAY[
    'alembic_version', 'audits', 'dead_letters', 'deleted_posts', 'duties', 'findings',
    'forgotten_users', 'marks', 'posts', 'reaction_counts', 'reaction_types', 'reactions',
    'redis_epochs', 'runs'
  ];
  found regclass;
  called regprocedure;
BEGIN
  FOR found IN
    SELECT oid FROM pg_class
    WHERE relkind IN ('r', 'p') AND relowner <> 'reactions_owner'::regrole AND (
      relnamespace = home OR older AND relnamespace = 'public'::regnamespace
      AND (relname = ANY (names) OR relname ~ '^reactions_[0-9]{2,3}$')
    )
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO reactions_owner', found);
  END LOOP;
  IF older THEN
    GRANT USAGE ON SCHEMA public TO reactions_owner;
  END IF;
  FOR called IN
    SELECT oid FROM pg_proc
    WHERE proname IN ('record_reactions', 'newest_of_user', 'own_reactions')
      AND proowner <> 'reactions_owner'::regrole
      AND (pronamespace = home OR older AND pronamespace = 'public'::regnamespace)
  LOOP
    EXECUTE format('ALTER FUNCTION %s OWNER TO reactions_owner', called);
  END LOOP;
  IF NOT EXISTS (
    SELECT FROM pg_class
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relowner <> 'reactions_owner'::regrole
      AND relnamespace::regnamespace::text !~ '^pg_|^information_schema$'
  ) THEN
    RAISE NOTICE 'no other tables are here: only these roles may use database %',
      current_database();
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
  END IF;
END $$;

-- Rights on the present tables, and on those that later migrations create.
DO $$
DECLARE
  home text := current_setting('reactions.schema');
BEGIN
  EXECUTE format(
    'REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC, reactions_writer, reactions_reader', home
  );
  EXECUTE format(
    'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO reactions_writer', home
  );
  EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO reactions_reader', home);
  EXECUTE format(
    'ALTER DEFAULT PRIVILEGES FOR ROLE reactions_owner IN SCHEMA %I'
    ' GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO reactions_writer', home
  );
  EXECUTE format(
    'ALTER DEFAULT PRIVILEGES FOR ROLE reactions_owner IN SCHEMA %I'
    ' GRANT SELECT ON TABLES TO reactions_reader', home
  );
  -- Workers may not change the version of the schema or the meaning of a code. They may add a
  -- code, because a worker registers the types of its configuration.
  IF to_regclass(format('%I.alembic_version', home)) IS NOT NULL THEN
    EXECUTE format(
      'REVOKE INSERT, UPDATE, DELETE ON %I.alembic_version FROM reactions_writer', home
    );
  END IF;
  IF to_regclass(format('%I.reaction_types', home)) IS NOT NULL THEN
    EXECUTE format('REVOKE UPDATE, DELETE ON %I.reaction_types FROM reactions_writer', home);
  END IF;
END $$;

COMMIT;
