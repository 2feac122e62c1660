-- Replays and retries.

CREATE TABLE replays (
    replay_id text PRIMARY KEY,
    kind text NOT NULL,
    source text NOT NULL,
    scope text NOT NULL,
    status text NOT NULL DEFAULT 'running',
    mapping_version text NOT NULL,
    partitions integer NOT NULL,
    ended_partitions integer[] NOT NULL,
    rows bigint NOT NULL,
    inserted bigint NOT NULL,
    updated bigint NOT NULL,
    unchanged bigint NOT NULL,
    stale bigint NOT NULL,
    duplicates bigint NOT NULL,
    dead_letters bigint NOT NULL,
    failed_again bigint NOT NULL,
    fixed bigint NOT NULL,
    overtaken bigint NOT NULL,
    sent bigint NOT NULL,
    applied bigint NOT NULL DEFAULT 0,
    cancelled boolean NOT NULL,
    reason text NOT NULL,
    started_at timestamptz NOT NULL,
    mapped_at timestamptz,
    finished_at timestamptz
);
COMMENT ON TABLE replays IS 'Every replay and retry: rows that were mapped once more, and what that changed.';
COMMENT ON COLUMN replays.replay_id IS 'Its id; change records carry it.';
COMMENT ON COLUMN replays.kind IS 'replay, or retry: of dead letters.';
COMMENT ON COLUMN replays.source IS 'The vendor''s feed.';
COMMENT ON COLUMN replays.scope IS 'Which rows were asked for.';
COMMENT ON COLUMN replays.status IS 'running, done, cancelled, or broken: its sums do not come out.';
COMMENT ON COLUMN replays.mapping_version IS 'Hash of what the mapping meant.';
COMMENT ON COLUMN replays.partitions IS 'Partitions of the raw topic, each mapped by itself.';
COMMENT ON COLUMN replays.ended_partitions IS 'Those that are done.';
COMMENT ON COLUMN replays.rows IS 'Rows looked at.';
COMMENT ON COLUMN replays.inserted IS 'Leads that were not there, or were deleted.';
COMMENT ON COLUMN replays.updated IS 'Leads that say something else now.';
COMMENT ON COLUMN replays.unchanged IS 'Rows that say what is already known.';
COMMENT ON COLUMN replays.stale IS 'Rows that a newer row or a newer complete file has overtaken.';
COMMENT ON COLUMN replays.duplicates IS 'Of the rows, those whose key stood in the file before.';
COMMENT ON COLUMN replays.dead_letters IS 'Rows that fail now and did not before.';
COMMENT ON COLUMN replays.failed_again IS 'Rows that are dead letters still.';
COMMENT ON COLUMN replays.fixed IS 'Rows that were dead letters and pass now.';
COMMENT ON COLUMN replays.overtaken IS 'Dead letters that were settled because a newer row has spoken.';
COMMENT ON COLUMN replays.sent IS 'Change records sent to leads.canonical, tombstones not counted.';
COMMENT ON COLUMN replays.applied IS 'Of these, those in lead_history.';
COMMENT ON COLUMN replays.cancelled IS 'Whether it was stopped before its end.';
COMMENT ON COLUMN replays.reason IS 'Why it was stopped, or how its sums differ.';
COMMENT ON COLUMN replays.started_at IS 'When the processors took it up.';
COMMENT ON COLUMN replays.mapped_at IS 'When the last row was mapped.';
COMMENT ON COLUMN replays.finished_at IS 'When everything stood in these tables.';

ALTER TABLE lead_history ADD COLUMN replay_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN lead_history.replay_id IS 'The replay or retry that made this version; empty: the load itself.';

ALTER TABLE dead_letters
    ADD COLUMN replay_id text NOT NULL DEFAULT '',
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN last_attempt_at timestamptz;
COMMENT ON COLUMN dead_letters.replay_id IS 'The replay in which it failed first; empty: the load itself.';
COMMENT ON COLUMN dead_letters.attempts IS 'How often a replay or retry has mapped the row again.';
COMMENT ON COLUMN dead_letters.last_attempt_at IS 'When the last one did.';
