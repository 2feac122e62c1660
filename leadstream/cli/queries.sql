-- What the command line asks of Postgres. Each query stands under its name.

-- name: newest_loads
-- The newest loads, of one source ($1) or of all (null); at most $2.
SELECT * FROM loads
WHERE $1::text IS NULL OR source = $1
ORDER BY started_at DESC NULLS LAST, load_seq DESC NULLS LAST
LIMIT $2;

-- name: load
-- The load whose id is $1, then those whose ids begin so, newest first; at most some.
SELECT * FROM loads
WHERE starts_with(load_id, $1)
ORDER BY load_id = $1 DESC, started_at DESC, load_id
LIMIT 4;

-- name: load_of_object
-- The newest load of the object at bucket $1, key $2.
SELECT * FROM loads
WHERE bucket = $1 AND object_key = $2
ORDER BY load_seq DESC NULLS LAST, started_at DESC NULLS LAST
LIMIT 1;

-- name: held_load
-- The newest load of source $1 that is held, unless a newer one of the source is done.
SELECT * FROM loads AS held
WHERE source = $1 AND status = 'held' AND NOT EXISTS (
    SELECT FROM loads AS newer
    WHERE newer.source = held.source AND newer.status = 'done' AND newer.load_seq > held.load_seq
)
ORDER BY load_seq DESC NULLS LAST
LIMIT 1;

-- name: dead_letter_reasons
-- Of loads $2 (of sources $1): how many dead letters have which first reason, and how many of them are open; most
-- frequent first.
SELECT load_id, stage, reason_code AS code, min(message) AS example, count(*) AS count,
    count(*) FILTER (WHERE status = 'open') AS open
FROM dead_letters
JOIN unnest($1::text[], $2::text[]) AS wanted (source, load_id) USING (source, load_id)
GROUP BY load_id, stage, reason_code
ORDER BY count(*) DESC, reason_code;

-- name: lead
-- One lead by its key ($1).
SELECT * FROM leads WHERE lead_key = $1;

-- name: lead_history
-- Every version of lead $1, oldest first.
SELECT * FROM lead_history WHERE lead_key = $1 ORDER BY valid_from, canonical_offset;

-- name: similar_leads
-- Keys that contain $1, those of source $2 first, for a hint.
SELECT lead_key FROM leads
WHERE position(lower($1) IN lower(lead_key)) > 0
ORDER BY source = $2 DESC, lead_key
LIMIT 3;

-- name: sample_leads
-- One live lead a source; where there are such, one whose company is no person's name.
SELECT DISTINCT ON (source) * FROM leads
WHERE deleted_at IS NULL
ORDER BY source, coalesce(company = licensee_name, false), row_number;

-- name: counts
-- Live and deleted leads, open dead letters.
SELECT
    (SELECT count(*) FROM leads WHERE deleted_at IS NULL) AS leads,
    (SELECT count(*) FROM leads WHERE deleted_at IS NOT NULL) AS deleted_leads,
    (SELECT count(*) FROM dead_letters WHERE status = 'open') AS open_dead_letters;

-- name: wanted_dead_letters
-- A condition that the queries below share: source $1, load $2, stage $3, code $4 of the first reason, failed at $5 or
-- later, status $6, one of the ids $7; null is no condition.
($1::text IS NULL OR letters.source = $1)
    AND ($2::text IS NULL OR letters.load_id = $2)
    AND ($3::text IS NULL OR letters.stage = $3)
    AND ($4::text IS NULL OR letters.reason_code = $4)
    AND ($5::timestamptz IS NULL OR letters.failed_at >= $5)
    AND ($6::text IS NULL OR letters.status = $6)
    AND ($7::text[] IS NULL OR letters.dead_letter_id = ANY ($7))

-- name: dead_letters
-- The newest of the wanted dead letters; at most $8.
SELECT dead_letter_id, source, load_id, object_key, row_number, line_number, stage, reason_code, message, reasons,
    status, status_why, failed_at, attempts, last_attempt_at
FROM dead_letters AS letters
WHERE {wanted_dead_letters}
ORDER BY failed_at DESC, load_id, row_number
LIMIT $8;

-- name: dead_letter_groups
-- The wanted dead letters by source, stage, code and field of the first reason; most frequent first. Beside them, how
-- many of the kind, settled ones included, the source's newest load has (or load $2) and the load before that.
-- Loads that were stopped before any row was mapped say nothing of a trend.
WITH recent AS (
    SELECT source, load_id, age
    FROM (
        SELECT source, load_id, row_number() OVER (PARTITION BY source ORDER BY load_seq DESC, started_at DESC) AS age
        FROM loads
        WHERE status IN ('processing', 'done', 'broken')
            AND ($2::text IS NULL OR load_seq <= (SELECT load_seq FROM loads WHERE load_id = $2))
    ) AS aged
    WHERE age <= 2
), trends AS (
    SELECT letters.source, letters.stage, letters.reason_code, letters.reasons -> 0 ->> 'field' AS field,
        count(*) FILTER (WHERE age = 1) AS newest, count(*) FILTER (WHERE age = 2) AS before
    FROM dead_letters AS letters
    JOIN recent USING (source, load_id)
    GROUP BY 1, 2, 3, 4
), grouped AS (
    SELECT letters.source, letters.stage, letters.reason_code, letters.reasons -> 0 ->> 'field' AS field,
        count(*) AS count, min(failed_at) AS first_seen, max(failed_at) AS last_seen,
        (array_agg(dead_letter_id ORDER BY failed_at DESC))[1] AS example
    FROM dead_letters AS letters
    WHERE {wanted_dead_letters}
    GROUP BY 1, 2, 3, 4
)
SELECT grouped.*, newest.load_id AS load_id, before.load_id AS load_before,
    CASE WHEN newest.load_id IS NOT NULL THEN coalesce(trends.newest, 0) END AS in_load,
    CASE WHEN before.load_id IS NOT NULL THEN coalesce(trends.before, 0) END AS in_load_before
FROM grouped
LEFT JOIN recent AS newest ON newest.source = grouped.source AND newest.age = 1 AND grouped.stage <> 'FILE'
LEFT JOIN recent AS before ON before.source = grouped.source AND before.age = 2 AND grouped.stage <> 'FILE'
LEFT JOIN trends ON (trends.source, trends.stage, trends.reason_code) = (grouped.source, grouped.stage, grouped.reason_code)
    AND trends.field IS NOT DISTINCT FROM grouped.field
ORDER BY grouped.count DESC, grouped.source, grouped.stage, grouped.reason_code, grouped.field;

-- name: dead_letter_statuses
-- How many of the wanted dead letters have which status.
SELECT status, count(*) AS count FROM dead_letters AS letters WHERE {wanted_dead_letters} GROUP BY status;

-- name: dead_letter_places
-- Where the wanted dead letters stand, and the rows that they are about.
SELECT dead_letter_id, source, stage, status, raw_partition FROM dead_letters AS letters WHERE {wanted_dead_letters};

-- name: known_dead_letters
-- Which of the ids $1 there are.
SELECT dead_letter_id FROM dead_letters WHERE dead_letter_id = ANY ($1::text[]);

-- name: settle_dead_letters
-- The wanted dead letters get status $8, because of $9; those that have it already stay as they are.
WITH settled AS (
    UPDATE dead_letters AS letters
    SET status = $8, status_why = $9
    WHERE {wanted_dead_letters} AND letters.status <> $8
    RETURNING 1
)
SELECT count(*) AS count FROM settled;

-- name: dead_letter_schemas
-- The schema ids (4 bytes, big-endian) in the frames of those of the wanted dead letters that passed the producer;
-- that of the earliest first.
SELECT substring(value FROM 2 FOR 4) AS schema_id
FROM dead_letters AS letters
WHERE {wanted_dead_letters} AND stage IN ('DECODE', 'MAP', 'VALIDATE') AND substring(value FROM 1 FOR 1) = '\x00'
GROUP BY 1
ORDER BY min(failed_at), 1;

-- name: dead_letter_contents
-- The wanted dead letters with their bytes, file by file, in the order of the rows.
SELECT dead_letter_id, object_key, row_number, line_number, stage, reasons, reason_code, message, value
FROM dead_letters AS letters
WHERE {wanted_dead_letters}
ORDER BY source, load_seq, load_id, row_number, dead_letter_id;

-- name: dead_letter
-- One dead letter by its id ($1), with its bytes.
SELECT * FROM dead_letters WHERE dead_letter_id = $1;

-- name: server_version
-- The server's version.
SHOW server_version;

-- name: schema_users
-- Of each source's raw schemas: how many loads had it, and the newest of them.
SELECT DISTINCT ON (source, raw_schema_id) source, raw_schema_id, load_id AS newest_load, object_key AS newest_file,
    count(*) OVER (PARTITION BY source, raw_schema_id) AS loads, load_seq
FROM loads
WHERE raw_schema_id > 0
ORDER BY source, raw_schema_id, load_seq DESC, started_at DESC;

-- name: loaded_sources
-- Every source that a load came of.
SELECT DISTINCT source FROM loads ORDER BY source;

-- name: last_export
-- How far the last export to $1 of source $2 ('': all) came; no row: there was none.
SELECT next_offsets, exported_at FROM exports WHERE name = $1 AND source = $2;

-- name: keep_export
-- Remember that an export to $1 of source $2 ('': all) has everything that this transaction sees. Locks the name.
INSERT INTO exports (name, source, next_offsets, exported_at, rows)
SELECT $1, $2, coalesce(jsonb_object_agg(partition::text, next_offset), '{}'), now(), 0
FROM sink_offsets
WHERE topic = $3
ON CONFLICT (name, source) DO UPDATE
SET (next_offsets, exported_at, rows) = ROW (excluded.next_offsets, excluded.exported_at, 0)
RETURNING exported_at;

-- name: count_export
-- The export to $1 of source $2 ('': all) has $3 rows.
UPDATE exports SET rows = $3 WHERE name = $1 AND source = $2;

-- name: offsets_at
-- Partition of topic $1 → offset of the first change that was made at $2 or later.
SELECT coalesce(jsonb_object_agg(partition::text, coalesce(first_offset, next_offset)), '{}') AS next_offsets
FROM sink_offsets
LEFT JOIN (
    SELECT canonical_partition AS partition, min(canonical_offset) AS first_offset
    FROM lead_history
    WHERE valid_from >= $2
    GROUP BY canonical_partition
) AS later USING (partition)
WHERE topic = $1;

-- name: export_leads
-- The live leads of source $1 ('': all).
SELECT * FROM leads WHERE deleted_at IS NULL AND ($1 = '' OR source = $1) ORDER BY lead_key;

-- name: export_changes
-- What became of the leads of source $1 ('': all) that changed at or after the offsets $2 (partition → offset), seen
-- from the leads as they were before: c is new, u is there still, d is gone. What came and went since is left out.
WITH touched AS (
    SELECT lead_key, min(canonical_offset) AS first_offset
    FROM lead_history
    WHERE canonical_offset >= coalesce(($2::jsonb ->> canonical_partition::text)::bigint, 0)
        AND ($1 = '' OR source = $1)
    GROUP BY lead_key
)
SELECT CASE WHEN leads.deleted_at IS NOT NULL THEN 'd' WHEN before.op IN ('c', 'u') THEN 'u' ELSE 'c' END AS op, leads.*
FROM touched
JOIN leads USING (lead_key)
LEFT JOIN LATERAL (
    SELECT op
    FROM lead_history
    WHERE lead_key = touched.lead_key AND canonical_offset < touched.first_offset
    ORDER BY canonical_offset DESC
    LIMIT 1
) AS before ON true
WHERE leads.deleted_at IS NULL OR before.op IN ('c', 'u')
ORDER BY leads.lead_key;

-- name: newest_replays
-- The newest replays, of one source ($1) or of all (null); at most $2.
SELECT * FROM replays
WHERE $1::text IS NULL OR source = $1
ORDER BY started_at DESC, replay_id
LIMIT $2;

-- name: replay
-- One replay by its id ($1).
SELECT * FROM replays WHERE replay_id = $1;

-- name: gone_loads
-- Loads of source $1 that began to be split at $2 or before, and can still matter to a replay: of load $3 (null: any),
-- from load_seq $4 on. With $5 (files are complete refreshes): the newest and what is newer, and older ones that a live
-- lead or an open dead letter stands by.
SELECT * FROM loads
WHERE source = $1 AND status = 'done' AND started_at <= $2
    AND ($3::text IS NULL OR load_id = $3) AND load_seq >= $4
    AND (NOT $5
        OR load_seq >= (SELECT max(load_seq) FROM loads WHERE source = $1 AND status = 'done')
        OR load_id IN (SELECT load_id FROM leads WHERE source = $1 AND deleted_at IS NULL)
        OR load_id IN (SELECT load_id FROM dead_letters WHERE source = $1 AND status = 'open'))
ORDER BY load_seq;

-- name: leads_to_forget
-- Leads with one of the keys $1, or with one of the phones $2 (E.164, without extension) or e-mails $3 in any of their
-- versions; how many versions there are, and the load_seq of the oldest.
WITH found AS (
    SELECT lead_key FROM leads
    WHERE lead_key = ANY ($1::text[]) OR split_part(phone, ';', 1) = ANY ($2::text[])
        OR split_part(phone2, ';', 1) = ANY ($2) OR email = ANY ($3::text[])
    UNION
    SELECT lead_key FROM lead_history
    WHERE lead_key = ANY ($1) OR split_part(phone, ';', 1) = ANY ($2)
        OR split_part(phone2, ';', 1) = ANY ($2) OR email = ANY ($3)
)
SELECT found.lead_key, split_part(found.lead_key, ':', 1) AS source, count(history.lead_key) AS versions,
    coalesce(min(history.load_seq), 0) AS first_load_seq
FROM found
LEFT JOIN lead_history AS history USING (lead_key)
GROUP BY found.lead_key
ORDER BY found.lead_key;

-- name: letters_to_forget
-- Dead letters about rows of the leads $1 (keys in UTF-8), or in whose bytes one of the patterns $2 stands. Those of the
-- sink go with their leads.
SELECT dead_letter_id, source
FROM dead_letters
WHERE value IS NOT NULL AND stage <> 'WRITE'
    AND (convert_to(source || ':', 'UTF8') || key = ANY ($1::bytea[]) OR encode(value, 'escape') ~* ANY ($2::text[]))
ORDER BY failed_at, dead_letter_id;

-- name: refused_to_forget
-- How many of the leads $1 (keys in UTF-8) this database would not take, with their content.
SELECT count(*) AS count FROM dead_letters WHERE stage = 'WRITE' AND value IS NOT NULL AND key = ANY ($1::bytea[]);

-- name: files_of_leads
-- The files of source $1 from load_seq $2 on: each may name the lead.
SELECT DISTINCT bucket, object_key AS key, object_version AS version
FROM loads
WHERE source = $1 AND load_seq >= $2
ORDER BY bucket, key, version;

-- name: exports_made
-- Exports that may have leads of the sources $1 in them.
SELECT name, source, exported_at FROM exports WHERE source = '' OR source = ANY ($1::text[]) ORDER BY exported_at;

-- name: written_offsets
-- How far the sinks have written the topics $1.
SELECT topic, partition, next_offset FROM sink_offsets WHERE topic = ANY ($1::text[]);
