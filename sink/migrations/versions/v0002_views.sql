-- The views of leadstream, and who may read them.

CREATE VIEW lead_sources AS
WITH counts AS (
    SELECT source,
        count(*) FILTER (WHERE deleted_at IS NULL) AS live_leads,
        count(*) FILTER (WHERE deleted_at IS NOT NULL) AS deleted_leads
    FROM leads
    GROUP BY source
), latest AS (
    SELECT DISTINCT ON (source) *
    FROM loads
    ORDER BY source, load_seq DESC, started_at DESC
)
SELECT source,
    coalesce(counts.live_leads, 0) AS live_leads,
    coalesce(counts.deleted_leads, 0) AS deleted_leads,
    latest.load_id AS last_load_id,
    latest.object_key AS last_file,
    latest.status AS last_status,
    latest.reason AS last_reason,
    latest.started_at AS last_started_at,
    latest.finished_at AS last_finished_at
FROM counts
FULL JOIN latest USING (source);
COMMENT ON VIEW lead_sources IS 'One row a source: how many leads it has, its newest file and what became of it.';

CREATE VIEW leads_unique AS
WITH live AS (
    SELECT leads.*,
        -- A lead without phone or address agrees with no other.
        CASE WHEN phone IS NULL OR address1 IS NULL THEN lead_key
        ELSE concat_ws('|',
            split_part(phone, ';', 1),
            lower(regexp_replace(btrim(address1), '\s+', ' ', 'g')),
            left(zip, 5))
        END AS match_key
    FROM leads
    WHERE deleted_at IS NULL
), agreeing AS (
    SELECT match_key,
        array_agg(DISTINCT source ORDER BY source) AS sources,
        array_agg(lead_key ORDER BY lead_key) AS lead_keys
    FROM live
    GROUP BY match_key
), newest AS (
    SELECT DISTINCT ON (match_key) *
    FROM live
    ORDER BY match_key, updated_at DESC, lead_key
)
SELECT agreeing.sources, agreeing.lead_keys, newest.*
FROM newest
JOIN agreeing USING (match_key);
COMMENT ON VIEW leads_unique IS
    'One row a provider across sources (same phone, street address and ZIP): the newest lead, and who agrees.';

CREATE VIEW leads_masked AS
SELECT lead_key, source, company, accepts_financial_aid, ages_served, min_age, max_age, capacity,
    CASE WHEN address1 IS NOT NULL THEN '***' END AS address1,
    CASE WHEN address2 IS NOT NULL THEN '***' END AS address2,
    city, state, zip, county,
    -- what stays tells a country and which of two numbers it is, not whose
    regexp_replace(phone, '^(\+\d).*(\d{2})(;.*)?$', '\1*******\2') AS phone,
    regexp_replace(phone2, '^(\+\d).*(\d{2})(;.*)?$', '\1*******\2') AS phone2,
    regexp_replace(email, '^.*@', '***@') AS email,
    website_address,
    CASE WHEN first_name IS NOT NULL THEN '***' END AS first_name,
    CASE WHEN last_name IS NOT NULL THEN '***' END AS last_name,
    title,
    CASE WHEN licensee_name IS NOT NULL THEN '***' END AS licensee_name,
    operator, provider_id, facility_type, license_number, license_type, license_status, license_issued,
    license_renewed, certificate_expiration_date, curriculum_type, language, schedule,
    load_id, load_seq, row_number, line_number, bucket, object_key, object_version, mapping_version,
    first_seen_at, updated_at, deleted_at
FROM leads;
COMMENT ON VIEW leads_masked IS 'leads for ordinary readers: phone, e-mail, names and street address are masked.';

-- Ordinary readers: GRANT leads_reader TO <user>. They see no table with personal data.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'leads_reader') THEN
        CREATE ROLE leads_reader NOLOGIN;
    END IF;
    GRANT SELECT ON leads_masked, lead_sources, loads TO leads_reader;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'role leads_reader was not made: this user may not; grant SELECT on leads_masked, lead_sources, loads';
END
$$;
