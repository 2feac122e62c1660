-- Loads that are held in the middle because too many of their rows fail.

ALTER TABLE loads ADD COLUMN halted_partitions integer[] NOT NULL DEFAULT '{}';
ALTER TABLE loads ADD COLUMN halted_reason text NOT NULL DEFAULT '';
COMMENT ON COLUMN loads.halted_partitions IS 'Partitions that are not read on because too many rows fail; while there are any, the load is held.';
COMMENT ON COLUMN loads.halted_reason IS 'Why, and what to do; for people.';
