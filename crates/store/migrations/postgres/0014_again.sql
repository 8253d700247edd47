-- By what a clip is known again in which someone appears: the ids that it had and every hash of its file. It outlives the clip, so that no
-- archive brings back what its person withdrew or deleted; it names nobody.
CREATE TABLE likeness_traces (
    generation UUID NOT NULL,
    likeness UUID NOT NULL,
    consent UUID NOT NULL,
    made_at BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    -- When someone who appears in it deleted it.
    removed_at BIGINT,
    PRIMARY KEY (generation, likeness, sha256)
);
CREATE INDEX likeness_traces_sha256 ON likeness_traces (sha256);
-- A post that was erased has no hash.
INSERT INTO likeness_traces (generation, likeness, consent, made_at, sha256, removed_at)
SELECT o.generation, o.likeness, o.consent, o.made_at, COALESCE(
    (SELECT NULLIF(g.video_etag, '') FROM generations g WHERE g.id = o.generation),
    (SELECT MIN(p.video_sha256) FROM posts p WHERE p.video = o.generation AND p.video_sha256 <> ''), ''),
    (SELECT MIN(u.removed_at) FROM likeness_uses u WHERE u.generation = o.generation)
FROM likeness_outputs o;

-- The suit that keeps an item off after a counter-notice: court, number and day, sealed.
ALTER TABLE takedowns ADD COLUMN suit BYTEA;
ALTER TABLE takedowns ADD COLUMN suit_at BIGINT;

-- What moderators keep back: only whoever wrote it sees it.
ALTER TABLE comments ADD COLUMN withheld_at BIGINT;
ALTER TABLE messages ADD COLUMN withheld_at BIGINT;

-- What a profile said before it was withheld; it comes back with an appeal that is right.
CREATE TABLE withheld_profiles (
    identity UUID PRIMARY KEY REFERENCES profiles (identity),
    display_name TEXT NOT NULL,
    bio TEXT NOT NULL,
    avatar_key TEXT,
    -- The name that stands in its place.
    placeholder TEXT NOT NULL,
    withheld_at BIGINT NOT NULL
);

-- A character's handle is told apart from what looks like it. What was named before this has none.
ALTER TABLE characters ADD COLUMN skeleton TEXT;
CREATE INDEX characters_skeleton ON characters (skeleton) WHERE skeleton IS NOT NULL;

-- What holders of rights ask to have entered; who writes, and what, is sealed.
CREATE TABLE rights_requests (
    id UUID PRIMARY KEY,
    -- The hash of the secret of its page.
    link BYTEA NOT NULL UNIQUE,
    -- A keyed hash of the address, by which requests of one hand are counted.
    asker BYTEA NOT NULL,
    details BYTEA NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'entered', 'refused')),
    received_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by UUID,
    entry UUID REFERENCES rights_entries (id),
    answer TEXT NOT NULL DEFAULT ''
);
CREATE INDEX rights_requests_open ON rights_requests (received_at) WHERE state = 'open';
CREATE INDEX rights_requests_asker ON rights_requests (asker, received_at);
