-- Roles of the database: who owns the schema, who writes, who reads. Safe to run again.
--
--   psql -v ON_ERROR_STOP=1 -d reactions -f deploy/roles.sql      as a superuser, once, then
--   psql -d reactions -c '\password reactions_writer'             and so for the others
--
-- The database is to hold nothing but reactions. What is in its schema `public` already becomes the
-- owner's, so this also brings an existing database under these roles. Let one role do all
-- migrations (REACTIONS_DATABASE_URL of `reactions migrate`): default privileges go by it.

BEGIN;

DO $$
DECLARE
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
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END $$;

-- The owner: the schema, its tables, and DDL.
ALTER SCHEMA public OWNER TO reactions_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO reactions_writer, reactions_reader;

DO $$
DECLARE
  found regclass;
BEGIN
  FOR found IN
    SELECT oid FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
      AND relowner <> 'reactions_owner'::regrole
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO reactions_owner', found);
  END LOOP;
END $$;

-- Tables that are here, and those that later migrations make.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, reactions_writer, reactions_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reactions_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reactions_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE reactions_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO reactions_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE reactions_owner IN SCHEMA public
  GRANT SELECT ON TABLES TO reactions_reader;

-- Not for workers: the version of the schema, and the meaning of a code. They may add a code, as a
-- worker does with the types that it is configured with.
DO $$
BEGIN
  IF to_regclass('public.alembic_version') IS NOT NULL THEN
    REVOKE INSERT, UPDATE, DELETE ON public.alembic_version FROM reactions_writer;
  END IF;
  IF to_regclass('public.reaction_types') IS NOT NULL THEN
    REVOKE UPDATE, DELETE ON public.reaction_types FROM reactions_writer;
  END IF;
END $$;

COMMIT;
