-- The record of what was done to others is chained: `hash` is SHA-256 over the hash before and the line's own fields. The head holds the
-- newest hash, the hash of the last line that was pruned (`anchor`), and the last line that was there before lines were chained.
ALTER TABLE audit ADD COLUMN hash BLOB;
CREATE INDEX audit_subject ON audit (subject, id);
CREATE INDEX audit_actor ON audit (actor, id) WHERE actor IS NOT NULL;
CREATE INDEX audit_unchained ON audit (id) WHERE hash IS NULL;

CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    hash BLOB NOT NULL,
    anchor BLOB NOT NULL,
    pruned INTEGER NOT NULL,
    pruned_until INTEGER NOT NULL,
    unchained_until INTEGER NOT NULL
) STRICT;
INSERT INTO audit_head (one, hash, anchor, pruned, pruned_until, unchained_until)
    SELECT 1, zeroblob(32), zeroblob(32), 0, 0, COALESCE(MAX(id), 0) FROM audit;

-- A line gets its hash once; nothing else of it changes.
CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
WHEN OLD.hash IS NOT NULL OR NEW.hash IS NULL OR NEW.id <> OLD.id OR NEW.at <> OLD.at OR NEW.actor IS NOT OLD.actor
    OR NEW.action <> OLD.action OR NEW.subject <> OLD.subject OR NEW.detail <> OLD.detail
BEGIN
    SELECT RAISE(ABORT, 'lines of the audit log are never changed');
END;

-- Lines go only when the head says that they were pruned.
CREATE TRIGGER audit_never_shrinks BEFORE DELETE ON audit
WHEN OLD.id > COALESCE((SELECT pruned_until FROM audit_head WHERE one = 1), 0)
BEGIN
    SELECT RAISE(ABORT, 'lines of the audit log are never taken out');
END;

-- Keys: from which part of the internet one was used last, and how near its end was when its owner was warned last, in days.
ALTER TABLE api_keys ADD COLUMN last_used_from TEXT;
ALTER TABLE api_keys ADD COLUMN expiry_warned INTEGER;
CREATE INDEX api_keys_expiry ON api_keys (expires_at) WHERE expires_at IS NOT NULL;

-- The weekly letter about keys: when it was looked at last, and whether someone wants none.
CREATE TABLE key_letters (
    identity BLOB PRIMARY KEY REFERENCES identities (id),
    looked_at INTEGER NOT NULL,
    off INTEGER NOT NULL DEFAULT 0
) STRICT;
