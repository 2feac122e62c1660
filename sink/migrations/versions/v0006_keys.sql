-- Indexes: none that no query needs, since each is kept up with every row; and one that was missing.

-- A version's place on leads.canonical is its key; its number said nothing more.
ALTER TABLE lead_history DROP COLUMN history_id;
ALTER TABLE lead_history DROP CONSTRAINT lead_history_canonical_partition_canonical_offset_key;
ALTER TABLE lead_history ADD PRIMARY KEY (canonical_partition, canonical_offset);

-- A load's versions stand together, in the order in which they came: blocks are enough to find them.
DROP INDEX lead_history_load;
CREATE INDEX lead_history_load ON lead_history USING brin (load_id text_bloom_ops);

-- It changed with each update of a lead, which therefore had to go into every index.
DROP INDEX leads_load;

-- Each batch asks whether a newer file has settled deletes that are held.
CREATE INDEX loads_held_deletes ON loads (source) WHERE deletes_held > 0;
