-- The tables of leadstream. Column comments of the canonical fields are those of schemas/lead.avsc.

CREATE TABLE leads (
    lead_key text PRIMARY KEY,
    source text NOT NULL,
    load_id text NOT NULL,
    load_seq bigint NOT NULL,
    row_number bigint NOT NULL,
    line_number bigint NOT NULL,
    bucket text NOT NULL,
    object_key text NOT NULL,
    object_version text NOT NULL,
    mapping_version text NOT NULL,
    raw_schema_id integer NOT NULL,
    raw_partition integer NOT NULL,
    raw_offset bigint NOT NULL,
    content_hash bytea NOT NULL,
    first_seen_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    company text,
    accepts_financial_aid boolean,
    ages_served text[] NOT NULL,
    min_age integer,
    max_age integer,
    capacity integer,
    address1 text,
    address2 text,
    city text,
    state text,
    zip text,
    county text,
    phone text,
    phone2 text,
    email text,
    website_address text,
    first_name text,
    last_name text,
    title text,
    licensee_name text,
    operator text,
    provider_id text,
    facility_type text,
    license_number text,
    license_type text,
    license_status text,
    license_issued date,
    license_renewed date,
    certificate_expiration_date date,
    curriculum_type text,
    language text,
    schedule text
);
COMMENT ON TABLE leads IS 'One row a lead, as the newest file said it; deleted leads stay, with deleted_at.';
COMMENT ON COLUMN leads.lead_key IS '<source>:<provider key>.';
COMMENT ON COLUMN leads.source IS 'The vendor''s feed.';
COMMENT ON COLUMN leads.load_id IS 'The load that said this last.';
COMMENT ON COLUMN leads.load_seq IS 'Age order of that load among its source''s files; never goes back.';
COMMENT ON COLUMN leads.row_number IS 'Row in the file, 1 is the first after the header; 0 when a delete was the last word.';
COMMENT ON COLUMN leads.line_number IS 'Line of the file where the row starts, 1 is the first; 0 when a delete was the last word.';
COMMENT ON COLUMN leads.bucket IS 'Bucket of the file.';
COMMENT ON COLUMN leads.object_key IS 'Key of the file in the bucket.';
COMMENT ON COLUMN leads.object_version IS 'Version id or ETag of the file.';
COMMENT ON COLUMN leads.mapping_version IS 'Hash of what the mapping meant.';
COMMENT ON COLUMN leads.raw_schema_id IS 'Registry id of the raw row''s schema; 0 when a delete was the last word.';
COMMENT ON COLUMN leads.raw_partition IS 'Partition of the raw topic.';
COMMENT ON COLUMN leads.raw_offset IS 'Offset of the raw row, or of the marker that deleted the lead.';
COMMENT ON COLUMN leads.content_hash IS 'Hash of the fields from company on, as the processors made it.';
COMMENT ON COLUMN leads.first_seen_at IS 'When the lead''s first change record was made.';
COMMENT ON COLUMN leads.updated_at IS 'When its last change record was made.';
COMMENT ON COLUMN leads.deleted_at IS 'When it was deleted (absent from a complete newer file); null: it lives.';
COMMENT ON COLUMN leads.company IS 'Name the provider trades under.';
COMMENT ON COLUMN leads.accepts_financial_aid IS 'Whether subsidies or other financial aid are accepted.';
COMMENT ON COLUMN leads.ages_served IS 'Age groups served, in the order infants, toddlers, preschool, school_age.';
COMMENT ON COLUMN leads.min_age IS 'Youngest age served, in months.';
COMMENT ON COLUMN leads.max_age IS 'Oldest age served, in months (inclusive).';
COMMENT ON COLUMN leads.capacity IS 'Number of children the licence allows.';
COMMENT ON COLUMN leads.address1 IS 'Street address.';
COMMENT ON COLUMN leads.address2 IS 'Suite, unit or building.';
COMMENT ON COLUMN leads.city IS 'City, in title case.';
COMMENT ON COLUMN leads.state IS 'Two-letter USPS state code.';
COMMENT ON COLUMN leads.zip IS 'ZIP or ZIP+4 as text, leading zeros kept.';
COMMENT ON COLUMN leads.county IS 'County, in title case.';
COMMENT ON COLUMN leads.phone IS 'Main phone number in E.164; an extension follows as ;ext= (RFC 3966).';
COMMENT ON COLUMN leads.phone2 IS 'Second phone number, as phone.';
COMMENT ON COLUMN leads.email IS 'E-mail address, in lower case.';
COMMENT ON COLUMN leads.website_address IS 'Web site, with its scheme.';
COMMENT ON COLUMN leads.first_name IS 'Given name of the contact.';
COMMENT ON COLUMN leads.last_name IS 'Family name of the contact.';
COMMENT ON COLUMN leads.title IS 'Role of the contact, e.g. Director.';
COMMENT ON COLUMN leads.licensee_name IS 'Person or company that holds the licence.';
COMMENT ON COLUMN leads.operator IS 'Company or agency that operates the facility.';
COMMENT ON COLUMN leads.provider_id IS 'The vendor''s own identifier of the provider.';
COMMENT ON COLUMN leads.facility_type IS 'Kind of facility, e.g. center or family home.';
COMMENT ON COLUMN leads.license_number IS 'Licence number, as text.';
COMMENT ON COLUMN leads.license_type IS 'Kind of licence.';
COMMENT ON COLUMN leads.license_status IS 'Status of the licence as the vendor gives it.';
COMMENT ON COLUMN leads.license_issued IS 'Day the licence was first issued.';
COMMENT ON COLUMN leads.license_renewed IS 'Day the licence was last renewed.';
COMMENT ON COLUMN leads.certificate_expiration_date IS 'Day the licence or certificate expires.';
COMMENT ON COLUMN leads.curriculum_type IS 'Curriculum, e.g. Montessori.';
COMMENT ON COLUMN leads.language IS 'Languages spoken.';
COMMENT ON COLUMN leads.schedule IS 'Opening hours by day, e.g. Mon-Fri 07:30-17:30; Sat-Sun closed.';

CREATE INDEX leads_source ON leads (source);
CREATE INDEX leads_load ON leads (load_id);
CREATE INDEX leads_phone ON leads (phone) WHERE deleted_at IS NULL;
CREATE INDEX leads_deleted ON leads (source, deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE lead_history (
    history_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lead_key text NOT NULL,
    op text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz,
    changed_fields text[] NOT NULL,
    source text NOT NULL,
    load_id text NOT NULL,
    load_seq bigint NOT NULL,
    row_number bigint NOT NULL,
    mapping_version text NOT NULL,
    canonical_partition integer NOT NULL,
    canonical_offset bigint NOT NULL,
    company text,
    accepts_financial_aid boolean,
    ages_served text[] NOT NULL,
    min_age integer,
    max_age integer,
    capacity integer,
    address1 text,
    address2 text,
    city text,
    state text,
    zip text,
    county text,
    phone text,
    phone2 text,
    email text,
    website_address text,
    first_name text,
    last_name text,
    title text,
    licensee_name text,
    operator text,
    provider_id text,
    facility_type text,
    license_number text,
    license_type text,
    license_status text,
    license_issued date,
    license_renewed date,
    certificate_expiration_date date,
    curriculum_type text,
    language text,
    schedule text,
    UNIQUE (canonical_partition, canonical_offset)
);
COMMENT ON TABLE lead_history IS 'Every change record of every lead: one version each.';
COMMENT ON COLUMN lead_history.history_id IS 'Number of the version.';
COMMENT ON COLUMN lead_history.lead_key IS 'The lead.';
COMMENT ON COLUMN lead_history.op IS 'c inserted, u updated, d deleted.';
COMMENT ON COLUMN lead_history.valid_from IS 'When the change record was made.';
COMMENT ON COLUMN lead_history.valid_to IS 'When the next version came; null: this one stands. Equal to valid_from: it was overtaken before it arrived.';
COMMENT ON COLUMN lead_history.changed_fields IS 'Fields that differ from the version before; empty on c and d.';
COMMENT ON COLUMN lead_history.source IS 'The vendor''s feed.';
COMMENT ON COLUMN lead_history.load_id IS 'The load that said this.';
COMMENT ON COLUMN lead_history.load_seq IS 'Age order of the load among its source''s files.';
COMMENT ON COLUMN lead_history.row_number IS 'Row in the file; 0 on a delete.';
COMMENT ON COLUMN lead_history.mapping_version IS 'Hash of what the mapping meant.';
COMMENT ON COLUMN lead_history.canonical_partition IS 'Partition of leads.canonical.';
COMMENT ON COLUMN lead_history.canonical_offset IS 'Offset in it; makes a version unique, so that reading the topic again adds nothing.';
COMMENT ON COLUMN lead_history.company IS 'Name the provider trades under.';
COMMENT ON COLUMN lead_history.accepts_financial_aid IS 'Whether subsidies or other financial aid are accepted.';
COMMENT ON COLUMN lead_history.ages_served IS 'Age groups served, in the order infants, toddlers, preschool, school_age.';
COMMENT ON COLUMN lead_history.min_age IS 'Youngest age served, in months.';
COMMENT ON COLUMN lead_history.max_age IS 'Oldest age served, in months (inclusive).';
COMMENT ON COLUMN lead_history.capacity IS 'Number of children the licence allows.';
COMMENT ON COLUMN lead_history.address1 IS 'Street address.';
COMMENT ON COLUMN lead_history.address2 IS 'Suite, unit or building.';
COMMENT ON COLUMN lead_history.city IS 'City, in title case.';
COMMENT ON COLUMN lead_history.state IS 'Two-letter USPS state code.';
COMMENT ON COLUMN lead_history.zip IS 'ZIP or ZIP+4 as text, leading zeros kept.';
COMMENT ON COLUMN lead_history.county IS 'County, in title case.';
COMMENT ON COLUMN lead_history.phone IS 'Main phone number in E.164; an extension follows as ;ext= (RFC 3966).';
COMMENT ON COLUMN lead_history.phone2 IS 'Second phone number, as phone.';
COMMENT ON COLUMN lead_history.email IS 'E-mail address, in lower case.';
COMMENT ON COLUMN lead_history.website_address IS 'Web site, with its scheme.';
COMMENT ON COLUMN lead_history.first_name IS 'Given name of the contact.';
COMMENT ON COLUMN lead_history.last_name IS 'Family name of the contact.';
COMMENT ON COLUMN lead_history.title IS 'Role of the contact, e.g. Director.';
COMMENT ON COLUMN lead_history.licensee_name IS 'Person or company that holds the licence.';
COMMENT ON COLUMN lead_history.operator IS 'Company or agency that operates the facility.';
COMMENT ON COLUMN lead_history.provider_id IS 'The vendor''s own identifier of the provider.';
COMMENT ON COLUMN lead_history.facility_type IS 'Kind of facility, e.g. center or family home.';
COMMENT ON COLUMN lead_history.license_number IS 'Licence number, as text.';
COMMENT ON COLUMN lead_history.license_type IS 'Kind of licence.';
COMMENT ON COLUMN lead_history.license_status IS 'Status of the licence as the vendor gives it.';
COMMENT ON COLUMN lead_history.license_issued IS 'Day the licence was first issued.';
COMMENT ON COLUMN lead_history.license_renewed IS 'Day the licence was last renewed.';
COMMENT ON COLUMN lead_history.certificate_expiration_date IS 'Day the licence or certificate expires.';
COMMENT ON COLUMN lead_history.curriculum_type IS 'Curriculum, e.g. Montessori.';
COMMENT ON COLUMN lead_history.language IS 'Languages spoken.';
COMMENT ON COLUMN lead_history.schedule IS 'Opening hours by day, e.g. Mon-Fri 07:30-17:30; Sat-Sun closed.';

CREATE INDEX lead_history_lead ON lead_history (lead_key, valid_from);
CREATE INDEX lead_history_load ON lead_history (load_id);

CREATE TABLE loads (
    load_id text PRIMARY KEY,
    source text NOT NULL,
    bucket text NOT NULL,
    object_key text NOT NULL,
    object_version text NOT NULL,
    load_seq bigint NOT NULL,
    status text NOT NULL DEFAULT 'processing' CHECK (status IN ('splitting', 'processing', 'done', 'held', 'failed', 'broken')),
    partitions integer NOT NULL,
    partitions_mapped integer NOT NULL,
    mapped_partitions integer[] NOT NULL,
    settled_partitions integer[] NOT NULL DEFAULT '{}',
    rows bigint NOT NULL,
    inserted bigint NOT NULL,
    updated bigint NOT NULL,
    unchanged bigint NOT NULL,
    stale bigint NOT NULL,
    duplicates bigint NOT NULL,
    deleted bigint NOT NULL,
    deletes_held bigint NOT NULL,
    dead_letters bigint NOT NULL,
    sent bigint NOT NULL,
    applied bigint NOT NULL DEFAULT 0,
    dead_letters_applied bigint NOT NULL DEFAULT 0,
    write_failures bigint NOT NULL DEFAULT 0,
    size_bytes bigint NOT NULL,
    reason text NOT NULL DEFAULT '',
    notes text[] NOT NULL,
    raw_schema_id integer NOT NULL,
    mapping_version text NOT NULL,
    started_at timestamptz NOT NULL,
    split_at timestamptz,
    mapped_at timestamptz,
    finished_at timestamptz,
    receipt_status text NOT NULL,
    receipt_reason text NOT NULL
);
COMMENT ON TABLE loads IS 'One row a load: its receipt, folded from its steps, and what of it is in this database.';
COMMENT ON COLUMN loads.load_id IS 'The load: one version of one file.';
COMMENT ON COLUMN loads.source IS 'The vendor''s feed.';
COMMENT ON COLUMN loads.bucket IS 'Bucket of the file.';
COMMENT ON COLUMN loads.object_key IS 'Key of the file.';
COMMENT ON COLUMN loads.object_version IS 'Version id or ETag of the file.';
COMMENT ON COLUMN loads.load_seq IS 'Age order of the load among its source''s files.';
COMMENT ON COLUMN loads.status IS 'done: every row is accounted for and is in this database; broken: the sum does not come out, see reason.';
COMMENT ON COLUMN loads.partitions IS 'How many partitions will report, 0 while splitting.';
COMMENT ON COLUMN loads.partitions_mapped IS 'How many have.';
COMMENT ON COLUMN loads.settled_partitions IS 'Those whose held deletes were approved or rejected.';
COMMENT ON COLUMN loads.mapped_partitions IS 'Which have; one that reports again changes nothing.';
COMMENT ON COLUMN loads.rows IS 'Rows in the file, damaged ones included.';
COMMENT ON COLUMN loads.inserted IS 'New leads.';
COMMENT ON COLUMN loads.updated IS 'Leads whose content changed.';
COMMENT ON COLUMN loads.unchanged IS 'Rows that said what was already known.';
COMMENT ON COLUMN loads.stale IS 'Rows overtaken by a newer file, or by a later row of the same file.';
COMMENT ON COLUMN loads.duplicates IS 'Of the rows, those whose key stood in the file before.';
COMMENT ON COLUMN loads.deleted IS 'Leads absent from the file, now deleted.';
COMMENT ON COLUMN loads.deletes_held IS 'Leads absent from the file whose deletion is held.';
COMMENT ON COLUMN loads.dead_letters IS 'Rows that went to the dead letters.';
COMMENT ON COLUMN loads.sent IS 'Change records sent to leads.canonical, tombstones not counted.';
COMMENT ON COLUMN loads.applied IS 'Of those, how many have arrived in lead_history.';
COMMENT ON COLUMN loads.dead_letters_applied IS 'Of the dead letters, how many have arrived in dead_letters.';
COMMENT ON COLUMN loads.write_failures IS 'Change records this database would not take; they are in dead_letters with stage WRITE.';
COMMENT ON COLUMN loads.size_bytes IS 'Size of the object.';
COMMENT ON COLUMN loads.reason IS 'Why held, failed or broken, or why deletes are held; for people.';
COMMENT ON COLUMN loads.notes IS 'Drift and other remarks.';
COMMENT ON COLUMN loads.raw_schema_id IS 'Registry id of the raw schema.';
COMMENT ON COLUMN loads.mapping_version IS 'Mapping that was used.';
COMMENT ON COLUMN loads.started_at IS 'When splitting began.';
COMMENT ON COLUMN loads.split_at IS 'When the producer was done.';
COMMENT ON COLUMN loads.mapped_at IS 'When the last partition was mapped.';
COMMENT ON COLUMN loads.finished_at IS 'When the load became done or failed.';
COMMENT ON COLUMN loads.receipt_status IS 'Status by the steps alone, from which status follows.';
COMMENT ON COLUMN loads.receipt_reason IS 'Reason by the steps alone.';

CREATE INDEX loads_source ON loads (source, load_seq DESC);

CREATE TABLE load_applied (
    load_id text PRIMARY KEY,
    applied bigint NOT NULL,
    dead_letters bigint NOT NULL,
    write_failures bigint NOT NULL
);
COMMENT ON TABLE load_applied IS 'What the sinks have written of each load; counted in the transaction that wrote it.';
COMMENT ON COLUMN load_applied.load_id IS 'The load; it may stand here before its first step arrives.';
COMMENT ON COLUMN load_applied.applied IS 'Change records of the load in lead_history.';
COMMENT ON COLUMN load_applied.dead_letters IS 'Rows of the load in dead_letters.';
COMMENT ON COLUMN load_applied.write_failures IS 'Change records of the load that this database would not take.';

CREATE TABLE dead_letters (
    dead_letter_id text PRIMARY KEY,
    source text,
    load_id text,
    load_seq bigint,
    row_number bigint,
    line_number bigint,
    bucket text,
    object_key text,
    object_version text,
    stage text,
    reasons jsonb,
    reason_code text,
    message text,
    raw_topic text,
    raw_partition integer,
    raw_offset bigint,
    mapping_version text,
    key bytea,
    value bytea,
    failed_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'resolved', 'ignored')),
    status_why text
);
COMMENT ON TABLE dead_letters IS 'Every row or file that could not pass a stage, with its bytes and the reason.';
COMMENT ON COLUMN dead_letters.dead_letter_id IS '<partition>-<offset> in leads.dlq; <topic>-<partition>-<offset> with stage WRITE.';
COMMENT ON COLUMN dead_letters.source IS 'The vendor''s feed.';
COMMENT ON COLUMN dead_letters.load_id IS 'The load.';
COMMENT ON COLUMN dead_letters.load_seq IS 'Age order of the load among its source''s files.';
COMMENT ON COLUMN dead_letters.row_number IS 'Row in the file; 0: the letter is about the whole file.';
COMMENT ON COLUMN dead_letters.line_number IS 'Line of the file where the row starts.';
COMMENT ON COLUMN dead_letters.bucket IS 'Bucket of the file.';
COMMENT ON COLUMN dead_letters.object_key IS 'Key of the file.';
COMMENT ON COLUMN dead_letters.object_version IS 'Version id or ETag of the file.';
COMMENT ON COLUMN dead_letters.stage IS 'Where it failed: FILE, SPLIT, DECODE, MAP, VALIDATE, or WRITE (this database).';
COMMENT ON COLUMN dead_letters.reasons IS 'Every reason: field, code and message of each.';
COMMENT ON COLUMN dead_letters.reason_code IS 'Code of the first reason.';
COMMENT ON COLUMN dead_letters.message IS 'All reasons in one line, without values.';
COMMENT ON COLUMN dead_letters.raw_topic IS 'Topic of the original message.';
COMMENT ON COLUMN dead_letters.raw_partition IS 'Partition of the original message.';
COMMENT ON COLUMN dead_letters.raw_offset IS 'Offset of the original message.';
COMMENT ON COLUMN dead_letters.mapping_version IS 'Mapping that was used.';
COMMENT ON COLUMN dead_letters.key IS 'Original key.';
COMMENT ON COLUMN dead_letters.value IS 'Original bytes.';
COMMENT ON COLUMN dead_letters.failed_at IS 'When it failed.';
COMMENT ON COLUMN dead_letters.status IS 'open until a replay or a person settles it.';
COMMENT ON COLUMN dead_letters.status_why IS 'Who or what settled it, and why.';

CREATE INDEX dead_letters_load ON dead_letters (source, load_id);
CREATE INDEX dead_letters_file ON dead_letters (load_id) WHERE stage = 'FILE';
CREATE INDEX dead_letters_open ON dead_letters (source, reason_code) WHERE status = 'open';

CREATE TABLE sink_offsets (
    topic text,
    partition integer,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE sink_offsets IS 'How far the sinks have read each partition; who finds another number than expected was fenced.';
COMMENT ON COLUMN sink_offsets.topic IS 'The topic.';
COMMENT ON COLUMN sink_offsets.partition IS 'The partition.';
COMMENT ON COLUMN sink_offsets.next_offset IS 'Offset of the next record to write; moves in the transaction that writes the records before it.';
