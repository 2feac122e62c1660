-- What the sink asks of Postgres. {fields} are the canonical fields of a lead (schemas/lead.avsc, from company on);
-- {incoming_fields} the same, of the table incoming. {replay_fields}: those of schemas/replays.py.

-- name: make_incoming
-- Leads that stand already, on their way in; once a connection, emptied at each commit.
CREATE TEMP TABLE incoming (LIKE leads, closed_at timestamptz) ON COMMIT DELETE ROWS;

-- name: make_incoming_dead_letters
-- Dead letters on their way in; once a connection, emptied at each commit.
CREATE TEMP TABLE incoming_dead_letters ON COMMIT DELETE ROWS AS
SELECT dead_letter_id, source, load_id, load_seq, row_number, line_number, bucket, object_key, object_version, stage,
    reasons, reason_code, message, raw_topic, raw_partition, raw_offset, mapping_version, replay_id, key, value,
    failed_at
FROM dead_letters
WITH NO DATA;

-- name: begin_offsets
-- Make rows for partitions that were never read before: topics $1, partitions $2.
INSERT INTO sink_offsets (topic, partition, next_offset)
SELECT topic, partition, 0
FROM unnest($1::text[], $2::integer[]) AS wanted (topic, partition)
ORDER BY topic, partition
ON CONFLICT DO NOTHING;

-- name: lock_offsets
-- Where the partitions (topics $1, partitions $2) stand. Waits for a writer that is committing; nobody else can move
-- them until this transaction ends. In one order, so that two writers cannot wait for each other.
SELECT offsets.topic, offsets.partition, offsets.next_offset
FROM sink_offsets AS offsets
JOIN unnest($1::text[], $2::integer[]) AS wanted (topic, partition)
    ON (offsets.topic, offsets.partition) = (wanted.topic, wanted.partition)
ORDER BY offsets.topic, offsets.partition
FOR UPDATE OF offsets;

-- name: end_paused_writers
-- End the sessions of sinks that have offsets locked and for the length of lock_timeout have been within a statement
-- whose client says nothing: a process that was paused there, or a connection whose other end is gone. What they come
-- back with is refused. A writer whose statement is at work waits for no client, and goes on.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity AS session
WHERE datname = current_database()
    AND usename = current_user
    AND application_name = current_setting('application_name')
    AND state = 'active'
    AND wait_event = 'ClientRead'
    AND state_change < now() - current_setting('lock_timeout')::interval
    AND EXISTS (
        SELECT FROM pg_locks
        WHERE pg_locks.pid = session.pid AND relation = 'sink_offsets'::regclass AND mode = 'RowShareLock' AND granted
    );

-- name: advance_offsets
-- Move partitions (topics $1, partitions $2) from the expected offsets $3 to $4; who expects wrongly moves nothing.
UPDATE sink_offsets
SET next_offset = moves.next_offset
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
    AS moves (topic, partition, expected, next_offset)
WHERE (sink_offsets.topic, sink_offsets.partition) = (moves.topic, moves.partition)
    AND sink_offsets.next_offset = moves.expected;

-- name: load_summary
-- How many loads there are by source and status; how many of them are unsettled (under way; or held, broken or, within
-- the last week, failed, and no newer file of the source is done), when the oldest of those began (seconds since 1970),
-- and the held deletes. Files that no source claims are 'unknown': whoever drops files has named their folders.
SELECT source, status, count(*) AS loads,
    count(*) FILTER (WHERE unsettled) AS unsettled,
    extract(epoch FROM min(started_at) FILTER (WHERE unsettled))::double precision AS oldest,
    sum(deletes_held)::bigint AS deletes_held
FROM (
    SELECT CASE mapping_version WHEN '' THEN 'unknown' ELSE source END AS source, status, started_at, deletes_held,
        status IN ('splitting', 'processing')
        OR (status IN ('held', 'broken') OR status = 'failed' AND started_at > now() - interval '7 days')
        AND load_seq > coalesce(max(load_seq) FILTER (WHERE status = 'done') OVER (PARTITION BY source), -1)
        AS unsettled
    FROM loads
) AS judged
GROUP BY source, status;

-- name: wait_for_disk
-- The commit of this transaction is answered when it is on the disk, and all before it.
SET LOCAL synchronous_commit = on;

-- name: flush
-- Something to commit.
SELECT pg_logical_emit_message(true, 'leadstream', '');

-- name: standing_leads
-- What the leads $1 said last. Nobody else writes them: their partition's offset is locked.
SELECT lead_key, load_seq, row_number FROM leads WHERE lead_key = ANY ($1::text[]);

-- name: history_ends
-- The last offset of partitions $1 that has a version, where there is one.
SELECT partition, last_offset
FROM unnest($1::integer[]) AS wanted (partition)
CROSS JOIN LATERAL (
    SELECT max(canonical_offset) AS last_offset FROM lead_history WHERE canonical_partition = wanted.partition
) AS ends
WHERE last_offset IS NOT NULL;

-- name: close_versions
-- The versions that stand end when the next ones of their leads begin. Before these are written. Each is looked up by
-- its lead, and for itself: the server, which does not know that it is one a lead, would rather read the whole table.
UPDATE lead_history
SET valid_to = greatest(lead_history.valid_from, closing.closed_at)
FROM (
    SELECT standing.canonical_partition, standing.canonical_offset, incoming.closed_at
    FROM incoming
    CROSS JOIN LATERAL (
        SELECT canonical_partition, canonical_offset
        FROM lead_history
        WHERE lead_key = incoming.lead_key AND valid_to IS NULL
        LIMIT 1
    ) AS standing
    WHERE incoming.closed_at IS NOT NULL
) AS closing
WHERE (lead_history.canonical_partition, lead_history.canonical_offset)
    = (closing.canonical_partition, closing.canonical_offset);

-- name: change_leads
-- What incoming leads say now. A delete leaves the row, with deleted_at.
UPDATE leads
SET (
    source, load_id, load_seq, row_number, line_number, bucket, object_key, object_version, mapping_version,
    raw_schema_id, raw_partition, raw_offset, content_hash, updated_at, deleted_at, {fields}
) = ROW (
    incoming.source, incoming.load_id, incoming.load_seq, incoming.row_number, incoming.line_number, incoming.bucket,
    incoming.object_key, incoming.object_version, incoming.mapping_version, incoming.raw_schema_id,
    incoming.raw_partition, incoming.raw_offset, incoming.content_hash, incoming.updated_at, incoming.deleted_at,
    {incoming_fields}
)
FROM incoming
WHERE leads.lead_key = incoming.lead_key
    AND (leads.load_seq, leads.row_number) <= (incoming.load_seq, incoming.row_number);

-- name: erase_leads
-- The leads $1 are forgotten.
DELETE FROM leads WHERE lead_key = ANY ($1::text[]);

-- name: erase_history
-- So are all versions of the leads $1.
DELETE FROM lead_history WHERE lead_key = ANY ($1::text[]);

-- name: erase_refused
-- And what of the leads $1 (keys in UTF-8) this database would not take.
UPDATE dead_letters
SET key = NULL, value = NULL, status = 'resolved', status_why = 'forgotten'
WHERE stage = 'WRITE' AND key = ANY ($1::bytea[]);

-- name: write_dead_letters
-- Incoming dead letters. Gives those of each load that are new here: rows (not those about a whole file), and
-- change records that this database would not take.
WITH written AS (
    INSERT INTO dead_letters (
        dead_letter_id, source, load_id, load_seq, row_number, line_number, bucket, object_key, object_version, stage,
        reasons, reason_code, message, raw_topic, raw_partition, raw_offset, mapping_version, replay_id, key, value,
        failed_at
    )
    SELECT * FROM incoming_dead_letters
    ON CONFLICT (dead_letter_id) DO NOTHING
    RETURNING coalesce(nullif(replay_id, ''), load_id) AS counted_for, stage, row_number
)
SELECT counted_for,
    count(*) FILTER (WHERE stage IS DISTINCT FROM 'WRITE' AND row_number > 0) AS dead_letters,
    count(*) FILTER (WHERE stage = 'WRITE') AS write_failures
FROM written
WHERE counted_for IS NOT NULL
GROUP BY counted_for;

-- name: settle_letters
-- What replays and retries made of dead letters ($1, a JSON array, one entry a letter).
UPDATE dead_letters AS letters
SET attempts = letters.attempts + told.attempts,
    last_attempt_at = told.at,
    stage = coalesce(told.stage, letters.stage),
    reasons = coalesce(told.reasons, letters.reasons),
    reason_code = coalesce(told.reason_code, letters.reason_code),
    message = coalesce(told.message, letters.message),
    mapping_version = coalesce(told.mapping_version, letters.mapping_version),
    status = CASE WHEN told.status_why IS NULL THEN letters.status ELSE 'resolved' END,
    status_why = coalesce(told.status_why, letters.status_why),
    key = CASE WHEN told.erased THEN NULL ELSE letters.key END,
    value = CASE WHEN told.erased THEN NULL ELSE letters.value END
FROM jsonb_to_recordset($1::jsonb) AS told (
    dead_letter_id text, attempts integer, at timestamptz, stage text, reasons jsonb, reason_code text, message text,
    mapping_version text, status_why text, erased boolean
)
WHERE letters.dead_letter_id = told.dead_letter_id;

-- name: count_applied
-- Add to what is counted of loads (and replays) $1: records $2, dead letters $3, write failures $4. Locks their rows, in one order,
-- so that of two sinks that finish a load together the second sees what the first wrote.
INSERT INTO load_applied (load_id, applied, dead_letters, write_failures)
SELECT load_id, applied, dead_letters, write_failures
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
    AS counted (load_id, applied, dead_letters, write_failures)
ORDER BY load_id
ON CONFLICT (load_id) DO UPDATE SET
    applied = load_applied.applied + excluded.applied,
    dead_letters = load_applied.dead_letters + excluded.dead_letters,
    write_failures = load_applied.write_failures + excluded.write_failures;

-- name: read_receipts
-- What is known of loads $1, to fold their next steps onto. After count_applied, which locks.
SELECT * FROM loads WHERE load_id = ANY ($1::text[]);

-- name: write_receipts
-- Receipts $1 (a JSON array), with the steps of this batch folded in.
INSERT INTO loads (
    load_id, source, bucket, object_key, object_version, load_seq, partitions, partitions_mapped,
    mapped_partitions, settled_partitions, halted_partitions, halted_reason, rows, inserted, updated, unchanged, stale,
    duplicates, deleted, deletes_held, dead_letters, sent, size_bytes, notes, raw_schema_id, mapping_version,
    started_at, split_at, mapped_at, receipt_status, receipt_reason
)
SELECT load_id, source, bucket, object_key, object_version, load_seq, partitions, partitions_mapped,
    mapped_partitions, settled_partitions, halted_partitions, halted_reason, rows, inserted, updated, unchanged, stale,
    duplicates, deleted, deletes_held, dead_letters, sent, size_bytes, notes, raw_schema_id, mapping_version,
    started_at, split_at, mapped_at, receipt_status, receipt_reason
FROM jsonb_populate_recordset(NULL::loads, $1::jsonb)
ORDER BY load_id
ON CONFLICT (load_id) DO UPDATE SET (
    source, bucket, object_key, object_version, load_seq, partitions, partitions_mapped, mapped_partitions,
    settled_partitions, halted_partitions, halted_reason, rows, inserted, updated, unchanged, stale, duplicates,
    deleted, deletes_held, dead_letters, sent, size_bytes, notes, raw_schema_id, mapping_version, started_at,
    split_at, mapped_at, receipt_status, receipt_reason
) = ROW (
    excluded.source, excluded.bucket, excluded.object_key, excluded.object_version, excluded.load_seq,
    excluded.partitions, excluded.partitions_mapped, excluded.mapped_partitions, excluded.settled_partitions,
    excluded.halted_partitions, excluded.halted_reason, excluded.rows, excluded.inserted, excluded.updated,
    excluded.unchanged, excluded.stale, excluded.duplicates, excluded.deleted,
    excluded.deletes_held, excluded.dead_letters, excluded.sent, excluded.size_bytes, excluded.notes,
    excluded.raw_schema_id, excluded.mapping_version, excluded.started_at, excluded.split_at, excluded.mapped_at,
    excluded.receipt_status, excluded.receipt_reason
);

-- name: settle_loads
-- What became of loads $1, from their receipts and from what is counted here. After count_applied, which locks.
-- The sums: every row of the file has one fate, and everything that was sent has arrived. Gives the loads whose status
-- is another one now, with their counts: for the log.
WITH summed AS (
    SELECT loads.load_id, counted.applied, counted.dead_letters AS dead_letters_applied, counted.write_failures,
        loads.inserted + loads.updated + loads.unchanged + loads.stale + loads.dead_letters AS accounted,
        counted.applied = loads.sent AND counted.dead_letters = loads.dead_letters AS arrived
    FROM loads
    JOIN load_applied AS counted USING (load_id)
    WHERE loads.load_id = ANY ($1::text[])
), judged AS (
    SELECT summed.*,
        loads.status AS old_status,
        CASE
            WHEN cardinality(halted_partitions) > 0 THEN 'held'
            WHEN receipt_status IN ('splitting', 'held', 'failed') THEN receipt_status
            WHEN receipt_status <> 'processed' THEN 'processing'
            WHEN rows <> accounted OR summed.write_failures > 0 THEN 'broken'
            WHEN arrived THEN 'done'
            ELSE 'processing'
        END AS new_status,
        CASE
            WHEN cardinality(halted_partitions) > 0 THEN halted_reason
            WHEN receipt_status <> 'processed' THEN receipt_reason
            WHEN rows <> accounted THEN format(
                'the file has %s rows, but %s inserted + %s updated + %s unchanged + %s stale + %s dead letters = %s '
                '(difference %s)', rows, inserted, updated, unchanged, stale, dead_letters, accounted, rows - accounted)
            WHEN summed.write_failures > 0 THEN format(
                'Postgres would not take %s of %s change records: see dead letters with stage WRITE',
                summed.write_failures, sent)
            WHEN summed.applied > sent OR summed.dead_letters_applied > dead_letters THEN format(
                'more arrived than the receipt says: %s of %s change records, %s of %s dead letters',
                summed.applied, sent, summed.dead_letters_applied, dead_letters)
            ELSE receipt_reason
        END AS new_reason
    FROM loads
    JOIN summed USING (load_id)
)
UPDATE loads
SET applied = judged.applied,
    dead_letters_applied = judged.dead_letters_applied,
    write_failures = judged.write_failures,
    status = judged.new_status,
    reason = judged.new_reason,
    finished_at = CASE
        WHEN judged.new_status NOT IN ('done', 'failed') THEN NULL
        WHEN loads.status = judged.new_status THEN coalesce(loads.finished_at, clock_timestamp())
        ELSE clock_timestamp()
    END
FROM judged
WHERE loads.load_id = judged.load_id
RETURNING loads.load_id, source, status, status <> old_status AS is_news, rows, inserted, updated, unchanged, stale,
    deleted, loads.dead_letters, reason;

-- name: supersede_held_deletes
-- Deletes that a load held are settled by a newer file that is done: each of their leads was in it, or was deleted or
-- held by it. For loads $1 and what is older or newer than they are. After settle_loads.
UPDATE loads AS older
SET deletes_held = 0, reason = concat_ws('; ', nullif(older.reason, ''), 'a newer file has settled the held deletes')
FROM loads AS newer
WHERE older.source = newer.source AND older.load_seq < newer.load_seq AND older.deletes_held > 0
    AND newer.status = 'done' AND (newer.load_id = ANY ($1::text[]) OR older.load_id = ANY ($1::text[]));

-- name: resolve_file_letters
-- A letter about a whole file is settled when one of loads $1 was split again and is done. After settle_loads.
UPDATE dead_letters
SET status = 'resolved', status_why = 'the file was split again and is done'
FROM loads
WHERE loads.load_id = ANY ($1::text[]) AND loads.status = 'done'
    AND dead_letters.load_id = loads.load_id AND dead_letters.stage = 'FILE' AND dead_letters.row_number = 0
    AND dead_letters.status = 'open';

-- name: read_replays
-- What is known of replays $1, to fold their next steps onto. After count_applied, which locks.
SELECT * FROM replays WHERE replay_id = ANY ($1::text[]);

-- name: write_replays
-- Receipts of replays $1 (a JSON array), with the steps of this batch folded in.
INSERT INTO replays ({replay_fields})
SELECT {replay_fields}
FROM jsonb_populate_recordset(NULL::replays, $1::jsonb)
ORDER BY replay_id
ON CONFLICT (replay_id) DO UPDATE SET ({replay_fields}) = ROW ({excluded_replay_fields});

-- name: settle_replays
-- What became of replays $1, as settle_loads does it for loads. After count_applied, which locks.
WITH summed AS (
    SELECT replays.replay_id, counted.applied, counted.write_failures,
        replays.inserted + replays.updated + replays.unchanged + replays.stale + replays.dead_letters
            + replays.failed_again AS accounted,
        cardinality(replays.ended_partitions) = replays.partitions AS ended,
        counted.applied = replays.sent AND counted.dead_letters = replays.dead_letters AS arrived
    FROM replays
    JOIN load_applied AS counted ON counted.load_id = replays.replay_id
    WHERE replays.replay_id = ANY ($1::text[])
), judged AS (
    SELECT summed.*,
        CASE
            WHEN NOT summed.ended THEN 'running'
            WHEN rows <> accounted OR summed.write_failures > 0 THEN 'broken'
            WHEN NOT arrived THEN 'running'
            WHEN cancelled THEN 'cancelled'
            ELSE 'done'
        END AS new_status,
        CASE
            WHEN NOT summed.ended THEN reason
            WHEN rows <> accounted THEN format(
                '%s rows were mapped again, but %s inserted + %s updated + %s unchanged + %s stale + %s newly failed + '
                '%s failed again = %s (difference %s)',
                rows, inserted, updated, unchanged, stale, dead_letters, failed_again, accounted, rows - accounted)
            WHEN summed.write_failures > 0 THEN format(
                'Postgres would not take %s of %s change records: see dead letters with stage WRITE',
                summed.write_failures, sent)
            ELSE reason
        END AS new_reason
    FROM replays
    JOIN summed USING (replay_id)
)
UPDATE replays
SET applied = judged.applied,
    status = judged.new_status,
    reason = judged.new_reason,
    finished_at = CASE WHEN judged.new_status IN ('done', 'cancelled') THEN clock_timestamp() END
FROM judged
WHERE replays.replay_id = judged.replay_id;
