-- Roles for whoever works with these tables; what each may do stands in ../grants.sql. None can log in: grant one of
-- them to the user that does. They belong to the server, not to this database, so they may be there already; where
-- this user may not make roles, an administrator does, before or after (docs/security.md).
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['leads_owner', 'leads_writer', 'leads_reader', 'leads_analyst', 'leads_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the roles leads_* were not made: this user may not; see docs/security.md';
    WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database of the server is being migrated at this moment
END
$$;
