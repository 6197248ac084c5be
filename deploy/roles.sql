-- The roles of the database: who owns the schema, who writes, who reads. Safe to run again.
--
--   psql -v ON_ERROR_STOP=1 -d reactions -f deploy/roles.sql      once, as a superuser
--   psql -d reactions -c '\password reactions_writer'             then this for each role
--
-- The database must hold nothing but reactions: the owner gets every table that is already in its
-- schema `public`. So the file also works on an existing database. Run all migrations as the owner
-- (REACTIONS_DATABASE_URL of `reactions migrate`), because the default privileges depend on that.

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

-- The owner has the schema and its tables, and may run DDL.
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

-- Rights on the present tables, and on those that later migrations create.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, reactions_writer, reactions_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reactions_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reactions_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE reactions_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO reactions_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE reactions_owner IN SCHEMA public
  GRANT SELECT ON TABLES TO reactions_reader;

-- Workers may not change the version of the schema or the meaning of a code. They may add a code,
-- because a worker registers the types of its configuration.
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
