-- The end of a service, or of the account (`account`), that a person asked for. Until `erase_at` it can be taken back; then everything that
-- belongs to it goes, and the row with it. From `begun_at` on nothing comes back. `counted` is what there was then: class, how many, bytes; for the receipt.
CREATE TABLE closures (
    identity BLOB NOT NULL REFERENCES identities (id),
    service TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    erase_at INTEGER NOT NULL,
    begun_at INTEGER,
    counted TEXT,
    partial_at INTEGER,
    PRIMARY KEY (identity, service)
) STRICT;
CREATE INDEX closures_due ON closures (erase_at);
INSERT INTO closures (identity, service, asked_at, erase_at)
    SELECT identity, service, changed_at, changed_at + 2592000000000 FROM memberships WHERE state = 'closing';

-- The limit that stands behind an end, and comes back when the person does.
ALTER TABLE memberships ADD COLUMN standing TEXT;
UPDATE memberships SET standing = (SELECT CASE WHEN s.value LIKE 'suspended%' THEN 'suspended' ELSE 'restricted' END FROM settings s
    WHERE s.name = 'membership-before-close:user_' || lower(hex(memberships.identity)) || ':' || memberships.service
    AND (s.value LIKE 'suspended%' OR s.value LIKE 'restricted%'))
    WHERE state IN ('closing', 'closed');
UPDATE memberships SET limited_until = (SELECT CAST(substr(s.value, instr(s.value, ' ') + 1) AS INTEGER) FROM settings s
    WHERE s.name = 'membership-before-close:user_' || lower(hex(memberships.identity)) || ':' || memberships.service AND s.value LIKE '% %')
    WHERE state IN ('closing', 'closed') AND limited_until IS NULL;
DELETE FROM settings WHERE name LIKE 'membership-before-close:%';

-- Signed, so that whoever has one can prove it. `identity` names nobody any more once the account is gone.
CREATE TABLE receipts (
    id BLOB PRIMARY KEY,
    identity BLOB NOT NULL,
    service TEXT NOT NULL,
    complete INTEGER NOT NULL,
    written_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX receipts_identity ON receipts (identity, id);
CREATE INDEX receipts_age ON receipts (written_at);

-- Handles of people who left. `identity` may have theirs again as long as their account is there.
CREATE TABLE reserved_handles (
    skeleton TEXT PRIMARY KEY,
    identity BLOB,
    left_at INTEGER NOT NULL
) STRICT;
CREATE INDEX reserved_handles_age ON reserved_handles (left_at);

-- Limits of people whose account is gone, by a keyed hash of their address.
CREATE TABLE standing_limits (
    mail BLOB NOT NULL,
    service TEXT NOT NULL,
    state TEXT NOT NULL,
    ends_at INTEGER,
    left_at INTEGER NOT NULL,
    PRIMARY KEY (mail, service)
) STRICT;

-- Which erasure waits for these objects: an identity and a service.
ALTER TABLE object_deletions ADD COLUMN erasure TEXT;

-- An identity-wide limit, until a second person confirms it.
CREATE TABLE proposed_decisions (
    id BLOB PRIMARY KEY,
    subject BLOB NOT NULL,
    ground TEXT NOT NULL CHECK (length(ground) > 0),
    proposed_by BLOB NOT NULL,
    proposed_at INTEGER NOT NULL,
    ends_at INTEGER
) STRICT;
