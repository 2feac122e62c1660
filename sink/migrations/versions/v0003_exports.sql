-- How far the exports have come. Not by time: a change may be written later than a younger one of another partition.

CREATE TABLE exports (
    name text,
    source text,
    next_offsets jsonb NOT NULL,
    exported_at timestamptz NOT NULL,
    rows bigint NOT NULL,
    PRIMARY KEY (name, source)
);
COMMENT ON TABLE exports IS 'The last export of each name and source: the next one with --since last goes on there.';
COMMENT ON COLUMN exports.name IS 'Where the file goes, without the time in its name.';
COMMENT ON COLUMN exports.source IS 'The source that was exported; empty: all.';
COMMENT ON COLUMN exports.next_offsets IS 'Partition of leads.canonical → offset of the first record that was not in it.';
COMMENT ON COLUMN exports.exported_at IS 'When it was made.';
COMMENT ON COLUMN exports.rows IS 'Rows of the file.';
