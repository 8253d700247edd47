-- Times are microseconds since 1970, ids are UUIDv7, flags are 0 or 1. Words of states are those of `platform`.

CREATE TABLE identities (
    id UUID PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    email_confirmed_at BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE credentials (
    identity UUID NOT NULL REFERENCES identities (id),
    kind TEXT NOT NULL,
    secret TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (identity, kind)
);

CREATE TABLE sessions (
    hash BYTEA PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    identity UUID NOT NULL REFERENCES identities (id),
    label TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_identity ON sessions (identity);

-- Recovery codes, the set-up link, confirmations by mail: each works once.
CREATE TABLE one_time_tokens (
    hash BYTEA PRIMARY KEY,
    kind TEXT NOT NULL,
    identity UUID REFERENCES identities (id),
    subject TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT
);
CREATE INDEX one_time_tokens_identity ON one_time_tokens (identity, kind);

CREATE TABLE tiers (
    name TEXT PRIMARY KEY,
    requests_per_minute BIGINT NOT NULL,
    concurrent_jobs BIGINT NOT NULL,
    seconds_per_day BIGINT,
    longest_seconds BIGINT NOT NULL,
    most_at_once BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    weight BIGINT NOT NULL,
    metered BIGINT NOT NULL
);

CREATE TABLE memberships (
    identity UUID NOT NULL REFERENCES identities (id),
    service TEXT NOT NULL,
    state TEXT NOT NULL,
    role TEXT NOT NULL,
    strikes BIGINT NOT NULL DEFAULT 0,
    tier TEXT REFERENCES tiers (name),
    joined_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (identity, service)
);

CREATE TABLE decisions (
    id UUID PRIMARY KEY,
    subject UUID NOT NULL,
    service TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('item', 'capability', 'service', 'identity')),
    ground TEXT NOT NULL CHECK (length(ground) > 0),
    author UUID NOT NULL,
    decided_at BIGINT NOT NULL,
    ends_at BIGINT,
    permanent BIGINT NOT NULL,
    CHECK ((permanent = 1) = (ends_at IS NULL))
);
CREATE INDEX decisions_subject ON decisions (subject, service);

CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    actor UUID,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);

CREATE TABLE invites (
    hash BYTEA PRIMARY KEY,
    note TEXT NOT NULL,
    tier TEXT NOT NULL REFERENCES tiers (name),
    uses_allowed BIGINT NOT NULL,
    uses BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    CHECK (uses <= uses_allowed)
);

CREATE TABLE projects (
    id UUID PRIMARY KEY,
    owner UUID NOT NULL REFERENCES identities (id),
    name TEXT NOT NULL,
    tier TEXT NOT NULL REFERENCES tiers (name),
    created_at BIGINT NOT NULL,
    archived_at BIGINT,
    balance BIGINT NOT NULL DEFAULT 0,
    held BIGINT NOT NULL DEFAULT 0,
    virtual_time BIGINT NOT NULL DEFAULT 0,
    rate_full_at BIGINT NOT NULL DEFAULT 0,
    CHECK (held >= 0)
);
CREATE INDEX projects_owner ON projects (owner);

CREATE TABLE api_keys (
    id UUID PRIMARY KEY,
    project UUID NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    hash BYTEA NOT NULL,
    scopes TEXT NOT NULL,
    allowed_ips TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX api_keys_project ON api_keys (project, id);

CREATE TABLE files (
    id UUID PRIMARY KEY,
    project UUID NOT NULL REFERENCES projects (id),
    filename TEXT NOT NULL,
    purpose TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    object_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX files_project ON files (project, created_at, id);
CREATE INDEX files_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE characters (
    id UUID PRIMARY KEY,
    project UUID NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    object_key TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX characters_project ON characters (project, created_at, id);

CREATE TABLE generations (
    id UUID PRIMARY KEY,
    project UUID NOT NULL REFERENCES projects (id),
    identity UUID NOT NULL,
    kind TEXT NOT NULL,
    source_video UUID,
    source_file UUID,
    first_frame UUID,
    characters TEXT NOT NULL,
    depth BIGINT NOT NULL,
    prompt TEXT NOT NULL,
    negative_prompt TEXT NOT NULL,
    model_requested TEXT NOT NULL,
    model TEXT NOT NULL,
    width BIGINT NOT NULL,
    height BIGINT NOT NULL,
    seconds BIGINT NOT NULL,
    total_seconds BIGINT NOT NULL,
    seed BIGINT NOT NULL,
    num_inference_steps BIGINT,
    guidance_scale DOUBLE PRECISION,
    price BIGINT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    expires_at BIGINT,
    error_code TEXT,
    error_message TEXT,
    video_key TEXT,
    video_size BIGINT,
    video_etag TEXT,
    thumbnail_key TEXT,
    spritesheet_key TEXT,
    recipe TEXT
);
CREATE INDEX generations_page ON generations (project, created_at, id);
CREATE INDEX generations_expiry ON generations (expires_at) WHERE expires_at IS NOT NULL;

-- One row for each generation that has not ended. `attempt` is the fencing token: it grows with every claim.
CREATE TABLE jobs (
    id UUID PRIMARY KEY REFERENCES generations (id),
    project UUID NOT NULL,
    model TEXT NOT NULL,
    route TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'leased')),
    priority BIGINT NOT NULL,
    virtual_start BIGINT NOT NULL,
    run_at BIGINT NOT NULL,
    attempt BIGINT NOT NULL DEFAULT 0,
    failures BIGINT NOT NULL DEFAULT 0,
    worker TEXT,
    lease_until BIGINT,
    progress BIGINT NOT NULL DEFAULT 0,
    cancel_requested BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX jobs_next ON jobs (state, priority DESC, virtual_start, id);
CREATE INDEX jobs_project ON jobs (project);
CREATE INDEX jobs_lease ON jobs (lease_until) WHERE state = 'leased';

-- The queue's own virtual time, one row.
CREATE TABLE queue_clock (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    virtual_time BIGINT NOT NULL
);
INSERT INTO queue_clock (one, virtual_time) VALUES (1, 0);

-- A generation has one hold and then one charge or one release: the keys see to it.
CREATE TABLE ledger (
    id UUID PRIMARY KEY,
    project UUID NOT NULL REFERENCES projects (id),
    generation UUID,
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'hold', 'charge', 'release')),
    amount BIGINT NOT NULL,
    note TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX ledger_project ON ledger (project, at, id);
CREATE UNIQUE INDEX ledger_hold ON ledger (generation) WHERE kind = 'hold';
CREATE UNIQUE INDEX ledger_end ON ledger (generation) WHERE kind IN ('charge', 'release');

CREATE TABLE usage_days (
    project UUID NOT NULL REFERENCES projects (id),
    day BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    seconds BIGINT NOT NULL,
    charged BIGINT NOT NULL,
    PRIMARY KEY (project, day)
);

CREATE TABLE idempotency_keys (
    project UUID NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    generations TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project, name)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE batches (
    id UUID PRIMARY KEY,
    project UUID NOT NULL REFERENCES projects (id),
    identity UUID NOT NULL,
    input_file UUID NOT NULL,
    metadata TEXT NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    output_file UUID,
    error_file UUID,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    in_progress_at BIGINT,
    finalizing_at BIGINT,
    cancelling_at BIGINT,
    ended_at BIGINT
);
CREATE INDEX batches_page ON batches (project, created_at, id);
CREATE INDEX batches_open ON batches (created_at) WHERE ended_at IS NULL;

CREATE TABLE batch_items (
    batch UUID NOT NULL REFERENCES batches (id),
    line BIGINT NOT NULL,
    custom_id TEXT NOT NULL,
    body TEXT NOT NULL,
    generation UUID,
    error TEXT,
    PRIMARY KEY (batch, line)
);

CREATE TABLE webhook_endpoints (
    id UUID PRIMARY KEY,
    project UUID NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    event_types TEXT NOT NULL,
    secret BYTEA NOT NULL,
    old_secret BYTEA,
    old_secret_until BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX webhook_endpoints_project ON webhook_endpoints (project, created_at, id);

-- The outbox: written with what happened, emptied by whoever delivers.
CREATE TABLE webhook_deliveries (
    event UUID NOT NULL,
    endpoint UUID NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    event_type TEXT NOT NULL,
    body TEXT NOT NULL,
    event_at BIGINT NOT NULL,
    failed_attempts BIGINT NOT NULL DEFAULT 0,
    next_at BIGINT,
    delivered_at BIGINT,
    last_status BIGINT,
    PRIMARY KEY (event, endpoint)
);
CREATE INDEX webhook_deliveries_next ON webhook_deliveries (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint);

-- Objects that no row names any more, until they are gone.
CREATE TABLE object_deletions (
    prefix TEXT PRIMARY KEY,
    asked_at BIGINT NOT NULL
);

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
