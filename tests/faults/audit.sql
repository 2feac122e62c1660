-- What a test database remembers of every write, in the order of the writes. Nothing is ever taken out of it, so it
-- shows what an upsert would hide.
CREATE TABLE fault_audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    table_name text NOT NULL,
    op text NOT NULL,
    key text,
    load_seq bigint,
    row_number bigint,
    place_partition integer,
    place_offset bigint
);

CREATE FUNCTION fault_audit_lead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fault_audit (table_name, op, key, load_seq, row_number)
    VALUES ('leads', TG_OP, coalesce(NEW.lead_key, OLD.lead_key), NEW.load_seq, NEW.row_number);
    RETURN NULL;
END $$;
CREATE TRIGGER fault_audit AFTER INSERT OR UPDATE OR DELETE ON leads
FOR EACH ROW EXECUTE FUNCTION fault_audit_lead();

CREATE FUNCTION fault_audit_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fault_audit (table_name, op, key, load_seq, row_number, place_partition, place_offset)
    VALUES ('lead_history', TG_OP, coalesce(NEW.lead_key, OLD.lead_key), NEW.load_seq, NEW.row_number,
        coalesce(NEW.canonical_partition, OLD.canonical_partition),
        coalesce(NEW.canonical_offset, OLD.canonical_offset));
    RETURN NULL;
END $$;
CREATE TRIGGER fault_audit AFTER INSERT OR UPDATE OR DELETE ON lead_history
FOR EACH ROW EXECUTE FUNCTION fault_audit_version();

CREATE FUNCTION fault_audit_letter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fault_audit (table_name, op, key, load_seq, row_number)
    VALUES ('dead_letters', TG_OP, coalesce(NEW.dead_letter_id, OLD.dead_letter_id), NEW.load_seq, NEW.row_number);
    RETURN NULL;
END $$;
CREATE TRIGGER fault_audit AFTER INSERT OR UPDATE OR DELETE ON dead_letters
FOR EACH ROW EXECUTE FUNCTION fault_audit_letter();
