-- Masks that leave nothing through: what is no number in E.164 and no address was shown as it is, and so was the trade
-- name of a family home, which is its owner's. The rules are those of leadstream/masking.py.

CREATE OR REPLACE VIEW leads_masked AS
SELECT lead_key, source,
    CASE WHEN company IS NULL THEN NULL
        WHEN a_person.goes_by_it OR company = licensee_name OR position(lower(last_name) IN lower(company)) > 0 THEN '***'
        ELSE company END AS company,
    accepts_financial_aid, ages_served, min_age, max_age, capacity,
    CASE WHEN address1 IS NOT NULL THEN '***' END AS address1,
    CASE WHEN address2 IS NOT NULL THEN '***' END AS address2,
    city, state, zip, county,
    -- what stays tells a country and which of two numbers it is, not whose
    CASE WHEN phone ~ '^\+\d[^;]*\d{2}(;|$)'
        THEN regexp_replace(split_part(phone, ';', 1), '^(\+\d).*(\d{2})$', '\1*******\2')
        WHEN phone IS NOT NULL THEN '***' END AS phone,
    CASE WHEN phone2 ~ '^\+\d[^;]*\d{2}(;|$)'
        THEN regexp_replace(split_part(phone2, ';', 1), '^(\+\d).*(\d{2})$', '\1*******\2')
        WHEN phone2 IS NOT NULL THEN '***' END AS phone2,
    CASE WHEN email LIKE '%@%' THEN regexp_replace(email, '^.*@', '***@')
        WHEN email IS NOT NULL THEN '***' END AS email,
    website_address,
    CASE WHEN first_name IS NOT NULL THEN '***' END AS first_name,
    CASE WHEN last_name IS NOT NULL THEN '***' END AS last_name,
    title,
    CASE WHEN licensee_name IS NOT NULL THEN '***' END AS licensee_name,
    CASE WHEN operator IS NULL THEN NULL
        WHEN a_person.goes_by_it OR operator = licensee_name OR position(lower(last_name) IN lower(operator)) > 0 THEN '***'
        ELSE operator END AS operator,
    provider_id, facility_type, license_number, license_type, license_status, license_issued,
    license_renewed, certificate_expiration_date, curriculum_type, language, schedule,
    load_id, load_seq, row_number, line_number, bucket, object_key, object_version, mapping_version,
    first_seen_at, updated_at, deleted_at
FROM leads
CROSS JOIN LATERAL (SELECT coalesce(facility_type ILIKE '%home%', false) AS goes_by_it) AS a_person;
