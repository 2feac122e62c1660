-- What each role may do with the tables and views. Run by every `leadstream migrate`, after the migrations: a role
-- that an administrator made later gets its rights then. A role that is not there is passed over.

DO $$
DECLARE
    everything text[] := ARRAY[
        'leads', 'lead_history', 'loads', 'load_applied', 'dead_letters', 'sink_offsets', 'exports', 'replays',
        'leadstream_migrations', 'lead_sources', 'leads_unique', 'leads_masked'];
    given record;
    relation text;
BEGIN
    FOR given IN
        SELECT rights.*
        FROM (
            VALUES
                -- The sink: writes what it reads from Kafka. Of a version it can only say when it ended; it deletes
                -- leads and their versions where a person is forgotten, and nothing else.
                ('leads_writer', 'SELECT, INSERT, UPDATE',
                    ARRAY['leads', 'loads', 'load_applied', 'dead_letters', 'sink_offsets', 'replays']),
                ('leads_writer', 'SELECT, INSERT, UPDATE (valid_to)', ARRAY['lead_history']),
                ('leads_writer', 'DELETE', ARRAY['leads', 'lead_history']),
                ('leads_writer', 'SELECT', ARRAY['leadstream_migrations']),
                -- Ordinary readers: no table with personal data.
                ('leads_reader', 'SELECT', ARRAY['leads_masked', 'lead_sources', 'loads']),
                -- Analysts with personal data.
                ('leads_analyst', 'SELECT', everything),
                -- Who works with the commands: settles dead letters, and has exports remembered.
                ('leads_operator', 'SELECT', everything),
                ('leads_operator', 'UPDATE (status, status_why)', ARRAY['dead_letters']),
                ('leads_operator', 'INSERT, UPDATE', ARRAY['exports'])
        ) AS rights (role, privileges, relations)
        JOIN pg_roles ON rolname = rights.role
    LOOP
        FOREACH relation IN ARRAY given.relations LOOP
            EXECUTE format('GRANT %s ON %I TO %I', given.privileges, relation, given.role);
        END LOOP;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'not every right was given: this user does not own the tables';
END
$$;

-- The owner: whoever is granted leads_owner can migrate, whoever did so before.
DO $$
DECLARE
    ours record;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'leads_owner') AND pg_has_role('leads_owner', 'MEMBER') THEN
        FOR ours IN
            SELECT relname, relkind
            FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relname IN (
                    'leads', 'lead_history', 'loads', 'load_applied', 'dead_letters', 'sink_offsets', 'exports',
                    'replays', 'leadstream_migrations', 'lead_sources', 'leads_unique', 'leads_masked')
                AND relowner <> 'leads_owner'::regrole
        LOOP
            EXECUTE format(
                'ALTER %s %I OWNER TO leads_owner', CASE ours.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END,
                ours.relname);
        END LOOP;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'the tables stay with their owner: this user may not give them away, or leads_owner may not CREATE in the schema';
END
$$;
