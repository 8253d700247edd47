-- The record of what was done to others is chained: `hash` is SHA-256 over the hash before and the line's own fields. The head holds the
-- newest hash, the hash of the last line that was pruned (`anchor`), and the last line that was there before lines were chained.
ALTER TABLE audit ADD COLUMN hash BYTEA;
CREATE INDEX audit_subject ON audit (subject, id);
CREATE INDEX audit_actor ON audit (actor, id) WHERE actor IS NOT NULL;
CREATE INDEX audit_unchained ON audit (id) WHERE hash IS NULL;

CREATE TABLE audit_head (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    hash BYTEA NOT NULL,
    anchor BYTEA NOT NULL,
    pruned BIGINT NOT NULL,
    pruned_until BIGINT NOT NULL,
    unchained_until BIGINT NOT NULL
);
INSERT INTO audit_head (one, hash, anchor, pruned, pruned_until, unchained_until)
    SELECT 1, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), 0, 0, COALESCE(MAX(id), 0) FROM audit;

-- A line gets its hash once; nothing else of it changes.
CREATE FUNCTION audit_never_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.hash IS NOT NULL OR NEW.hash IS NULL OR NEW.id <> OLD.id OR NEW.at <> OLD.at OR NEW.actor IS DISTINCT FROM OLD.actor
        OR NEW.action <> OLD.action OR NEW.subject <> OLD.subject OR NEW.detail <> OLD.detail THEN
        RAISE EXCEPTION 'lines of the audit log are never changed';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION audit_never_changes();

-- Lines go only when the head says that they were pruned.
CREATE FUNCTION audit_never_shrinks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'lines of the audit log are never taken out';
    END IF;
    IF OLD.id > COALESCE((SELECT pruned_until FROM audit_head WHERE one = 1), 0) THEN
        RAISE EXCEPTION 'lines of the audit log are never taken out';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER audit_never_shrinks BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_never_shrinks();
CREATE TRIGGER audit_never_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_never_shrinks();

-- Keys: from which part of the internet one was used last, and how near its end was when its owner was warned last, in days.
ALTER TABLE api_keys ADD COLUMN last_used_from TEXT;
ALTER TABLE api_keys ADD COLUMN expiry_warned BIGINT;
CREATE INDEX api_keys_expiry ON api_keys (expires_at) WHERE expires_at IS NOT NULL;

-- The weekly letter about keys: when it was looked at last, and whether someone wants none.
CREATE TABLE key_letters (
    identity UUID PRIMARY KEY REFERENCES identities (id),
    looked_at BIGINT NOT NULL,
    off BIGINT NOT NULL DEFAULT 0
);
