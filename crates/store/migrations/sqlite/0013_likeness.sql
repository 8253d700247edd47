-- The service `likeness`: someone's face and voice, lent by consent. A likeness has an id of its own, which names nobody once its row is gone.

CREATE TABLE likeness_enrolments (
    id BLOB PRIMARY KEY,
    identity BLOB NOT NULL,
    likeness BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('challenged', 'reviewing', 'approved', 'refused', 'lapsed', 'withdrawn')),
    handle TEXT NOT NULL,
    language TEXT NOT NULL,
    consent_version INTEGER NOT NULL,
    purposes TEXT NOT NULL,
    audience TEXT NOT NULL,
    kinds TEXT NOT NULL,
    written TEXT NOT NULL,
    consent_until INTEGER NOT NULL,
    words TEXT NOT NULL,
    turns TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    template_key TEXT,
    still_key TEXT,
    media_type TEXT,
    capture_sha256 BLOB,
    captured_at INTEGER,
    seconds INTEGER,
    moved_percent INTEGER,
    level INTEGER,
    verifier TEXT,
    decided_at INTEGER,
    decided_by BLOB,
    reviewed TEXT,
    ground TEXT,
    capture_deleted_at INTEGER
) STRICT;
CREATE INDEX likeness_enrolments_identity ON likeness_enrolments (identity, id);
CREATE INDEX likeness_enrolments_queue ON likeness_enrolments (captured_at) WHERE state = 'reviewing';
CREATE INDEX likeness_enrolments_challenged ON likeness_enrolments (expires_at) WHERE state = 'challenged';
-- One at a time, and a recording counts once, whosever it is.
CREATE UNIQUE INDEX likeness_enrolments_open ON likeness_enrolments (identity) WHERE state IN ('challenged', 'reviewing');
CREATE UNIQUE INDEX likeness_enrolments_capture ON likeness_enrolments (capture_sha256) WHERE capture_sha256 IS NOT NULL;

-- The pieces of a capture, in the order in which they came.
CREATE TABLE likeness_chunks (
    enrolment BLOB NOT NULL REFERENCES likeness_enrolments (id),
    number INTEGER NOT NULL,
    object_key TEXT NOT NULL,
    size INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    pairs INTEGER NOT NULL,
    moved INTEGER NOT NULL,
    level INTEGER NOT NULL,
    PRIMARY KEY (enrolment, number)
) STRICT;

-- The signed receipts of consents. They name the likeness alone; the statement says who.
CREATE TABLE likeness_consents (
    id BLOB PRIMARY KEY,
    likeness BLOB NOT NULL,
    version INTEGER NOT NULL,
    generate INTEGER NOT NULL,
    given_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    statement TEXT NOT NULL
) STRICT;
CREATE INDEX likeness_consents_likeness ON likeness_consents (likeness, given_at);

CREATE TABLE likenesses (
    id BLOB PRIMARY KEY,
    identity BLOB NOT NULL UNIQUE,
    handle TEXT NOT NULL UNIQUE,
    skeleton TEXT NOT NULL UNIQUE,
    audience TEXT NOT NULL,
    purposes TEXT NOT NULL,
    kinds TEXT NOT NULL,
    written TEXT NOT NULL,
    consent BLOB NOT NULL REFERENCES likeness_consents (id),
    template_key TEXT,
    still_key TEXT,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE likeness_grants (
    likeness BLOB NOT NULL REFERENCES likenesses (id) ON DELETE CASCADE,
    grantee BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (likeness, grantee)
) STRICT;
CREATE INDEX likeness_grants_grantee ON likeness_grants (grantee);

CREATE TABLE likeness_blocks (
    likeness BLOB NOT NULL REFERENCES likenesses (id) ON DELETE CASCADE,
    blocked BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (likeness, blocked)
) STRICT;
CREATE INDEX likeness_blocks_blocked ON likeness_blocks (blocked);

-- Which likenesses a clip contains, and by which consent. It outlives the likeness, so that what contained it stays hidden.
CREATE TABLE likeness_outputs (
    generation BLOB NOT NULL,
    likeness BLOB NOT NULL,
    consent BLOB NOT NULL REFERENCES likeness_consents (id),
    made_at INTEGER NOT NULL,
    PRIMARY KEY (generation, likeness)
) STRICT;
CREATE INDEX likeness_outputs_likeness ON likeness_outputs (likeness);
CREATE INDEX likeness_outputs_consent ON likeness_outputs (consent);

-- What its person sees: uses, and attempts that were refused.
CREATE TABLE likeness_uses (
    id BLOB PRIMARY KEY,
    likeness BLOB NOT NULL,
    maker BLOB NOT NULL,
    generation BLOB,
    prompt TEXT NOT NULL,
    refusal TEXT,
    rule TEXT,
    at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE INDEX likeness_uses_likeness ON likeness_uses (likeness, id);
CREATE INDEX likeness_uses_maker ON likeness_uses (maker);
CREATE INDEX likeness_uses_generation ON likeness_uses (generation) WHERE generation IS NOT NULL;

-- Characters are named and lent too.
ALTER TABLE characters ADD COLUMN handle TEXT;
ALTER TABLE characters ADD COLUMN audience TEXT NOT NULL DEFAULT 'only_me';
CREATE UNIQUE INDEX characters_handle ON characters (handle) WHERE handle IS NOT NULL;
