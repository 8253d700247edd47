-- The service `likeness`: someone's face and voice, lent by consent. A likeness has an id of its own, which names nobody once its row is gone.

CREATE TABLE likeness_enrolments (
    id UUID PRIMARY KEY,
    identity UUID NOT NULL,
    likeness UUID NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('challenged', 'reviewing', 'approved', 'refused', 'lapsed', 'withdrawn')),
    handle TEXT NOT NULL,
    language TEXT NOT NULL,
    consent_version BIGINT NOT NULL,
    purposes TEXT NOT NULL,
    audience TEXT NOT NULL,
    kinds TEXT NOT NULL,
    written TEXT NOT NULL,
    consent_until BIGINT NOT NULL,
    words TEXT NOT NULL,
    turns TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    template_key TEXT,
    still_key TEXT,
    media_type TEXT,
    capture_sha256 BYTEA,
    captured_at BIGINT,
    seconds BIGINT,
    moved_percent BIGINT,
    level BIGINT,
    verifier TEXT,
    decided_at BIGINT,
    decided_by UUID,
    reviewed TEXT,
    ground TEXT,
    capture_deleted_at BIGINT
);
CREATE INDEX likeness_enrolments_identity ON likeness_enrolments (identity, id);
CREATE INDEX likeness_enrolments_queue ON likeness_enrolments (captured_at) WHERE state = 'reviewing';
CREATE INDEX likeness_enrolments_challenged ON likeness_enrolments (expires_at) WHERE state = 'challenged';
-- One at a time, and a recording counts once, whosever it is.
CREATE UNIQUE INDEX likeness_enrolments_open ON likeness_enrolments (identity) WHERE state IN ('challenged', 'reviewing');
CREATE UNIQUE INDEX likeness_enrolments_capture ON likeness_enrolments (capture_sha256) WHERE capture_sha256 IS NOT NULL;

-- The pieces of a capture, in the order in which they came.
CREATE TABLE likeness_chunks (
    enrolment UUID NOT NULL REFERENCES likeness_enrolments (id),
    number BIGINT NOT NULL,
    object_key TEXT NOT NULL,
    size BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    pairs BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    level BIGINT NOT NULL,
    PRIMARY KEY (enrolment, number)
);

-- The signed receipts of consents. They name the likeness alone; the statement says who.
CREATE TABLE likeness_consents (
    id UUID PRIMARY KEY,
    likeness UUID NOT NULL,
    version BIGINT NOT NULL,
    generate BIGINT NOT NULL,
    given_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    statement TEXT NOT NULL
);
CREATE INDEX likeness_consents_likeness ON likeness_consents (likeness, given_at);

CREATE TABLE likenesses (
    id UUID PRIMARY KEY,
    identity UUID NOT NULL UNIQUE,
    handle TEXT NOT NULL UNIQUE,
    skeleton TEXT NOT NULL UNIQUE,
    audience TEXT NOT NULL,
    purposes TEXT NOT NULL,
    kinds TEXT NOT NULL,
    written TEXT NOT NULL,
    consent UUID NOT NULL REFERENCES likeness_consents (id),
    template_key TEXT,
    still_key TEXT,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE likeness_grants (
    likeness UUID NOT NULL REFERENCES likenesses (id) ON DELETE CASCADE,
    grantee UUID NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (likeness, grantee)
);
CREATE INDEX likeness_grants_grantee ON likeness_grants (grantee);

CREATE TABLE likeness_blocks (
    likeness UUID NOT NULL REFERENCES likenesses (id) ON DELETE CASCADE,
    blocked UUID NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (likeness, blocked)
);
CREATE INDEX likeness_blocks_blocked ON likeness_blocks (blocked);

-- Which likenesses a clip contains, and by which consent. It outlives the likeness, so that what contained it stays hidden.
CREATE TABLE likeness_outputs (
    generation UUID NOT NULL,
    likeness UUID NOT NULL,
    consent UUID NOT NULL REFERENCES likeness_consents (id),
    made_at BIGINT NOT NULL,
    PRIMARY KEY (generation, likeness)
);
CREATE INDEX likeness_outputs_likeness ON likeness_outputs (likeness);
CREATE INDEX likeness_outputs_consent ON likeness_outputs (consent);

-- What its person sees: uses, and attempts that were refused.
CREATE TABLE likeness_uses (
    id UUID PRIMARY KEY,
    likeness UUID NOT NULL,
    maker UUID NOT NULL,
    generation UUID,
    prompt TEXT NOT NULL,
    refusal TEXT,
    rule TEXT,
    at BIGINT NOT NULL,
    removed_at BIGINT
);
CREATE INDEX likeness_uses_likeness ON likeness_uses (likeness, id);
CREATE INDEX likeness_uses_maker ON likeness_uses (maker);
CREATE INDEX likeness_uses_generation ON likeness_uses (generation) WHERE generation IS NOT NULL;

-- Characters are named and lent too.
ALTER TABLE characters ADD COLUMN handle TEXT;
ALTER TABLE characters ADD COLUMN audience TEXT NOT NULL DEFAULT 'only_me';
CREATE UNIQUE INDEX characters_handle ON characters (handle) WHERE handle IS NOT NULL;
