-- Times are microseconds since 1970, ids are UUIDv7 in 16 bytes, flags are 0 or 1. Words of states are those of `platform`.

CREATE TABLE identities (
    id BLOB PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    email_confirmed_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE credentials (
    identity BLOB NOT NULL REFERENCES identities (id),
    kind TEXT NOT NULL,
    secret TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (identity, kind)
) STRICT;

CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    identity BLOB NOT NULL REFERENCES identities (id),
    label TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_identity ON sessions (identity);

-- Recovery codes, the set-up link, confirmations by mail: each works once.
CREATE TABLE one_time_tokens (
    hash BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    identity BLOB REFERENCES identities (id),
    subject TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    used_at INTEGER
) STRICT;
CREATE INDEX one_time_tokens_identity ON one_time_tokens (identity, kind);

CREATE TABLE tiers (
    name TEXT PRIMARY KEY,
    requests_per_minute INTEGER NOT NULL,
    concurrent_jobs INTEGER NOT NULL,
    seconds_per_day INTEGER,
    longest_seconds INTEGER NOT NULL,
    most_at_once INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    metered INTEGER NOT NULL
) STRICT;

CREATE TABLE memberships (
    identity BLOB NOT NULL REFERENCES identities (id),
    service TEXT NOT NULL,
    state TEXT NOT NULL,
    role TEXT NOT NULL,
    strikes INTEGER NOT NULL DEFAULT 0,
    tier TEXT REFERENCES tiers (name),
    joined_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (identity, service)
) STRICT;

CREATE TABLE decisions (
    id BLOB PRIMARY KEY,
    subject BLOB NOT NULL,
    service TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('item', 'capability', 'service', 'identity')),
    ground TEXT NOT NULL CHECK (length(ground) > 0),
    author BLOB NOT NULL,
    decided_at INTEGER NOT NULL,
    ends_at INTEGER,
    permanent INTEGER NOT NULL,
    CHECK ((permanent = 1) = (ends_at IS NULL))
) STRICT;
CREATE INDEX decisions_subject ON decisions (subject, service);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor BLOB,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE TABLE invites (
    hash BLOB PRIMARY KEY,
    note TEXT NOT NULL,
    tier TEXT NOT NULL REFERENCES tiers (name),
    uses_allowed INTEGER NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    CHECK (uses <= uses_allowed)
) STRICT;

CREATE TABLE projects (
    id BLOB PRIMARY KEY,
    owner BLOB NOT NULL REFERENCES identities (id),
    name TEXT NOT NULL,
    tier TEXT NOT NULL REFERENCES tiers (name),
    created_at INTEGER NOT NULL,
    archived_at INTEGER,
    balance INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    virtual_time INTEGER NOT NULL DEFAULT 0,
    rate_full_at INTEGER NOT NULL DEFAULT 0,
    CHECK (held >= 0)
) STRICT;
CREATE INDEX projects_owner ON projects (owner);

CREATE TABLE api_keys (
    id BLOB PRIMARY KEY,
    project BLOB NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    scopes TEXT NOT NULL,
    allowed_ips TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX api_keys_project ON api_keys (project, id);

CREATE TABLE files (
    id BLOB PRIMARY KEY,
    project BLOB NOT NULL REFERENCES projects (id),
    filename TEXT NOT NULL,
    purpose TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    object_key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE INDEX files_project ON files (project, created_at, id);
CREATE INDEX files_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE characters (
    id BLOB PRIMARY KEY,
    project BLOB NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    object_key TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX characters_project ON characters (project, created_at, id);

CREATE TABLE generations (
    id BLOB PRIMARY KEY,
    project BLOB NOT NULL REFERENCES projects (id),
    identity BLOB NOT NULL,
    kind TEXT NOT NULL,
    source_video BLOB,
    source_file BLOB,
    first_frame BLOB,
    characters TEXT NOT NULL,
    depth INTEGER NOT NULL,
    prompt TEXT NOT NULL,
    negative_prompt TEXT NOT NULL,
    model_requested TEXT NOT NULL,
    model TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    total_seconds INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    num_inference_steps INTEGER,
    guidance_scale REAL,
    price INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    expires_at INTEGER,
    error_code TEXT,
    error_message TEXT,
    video_key TEXT,
    video_size INTEGER,
    video_etag TEXT,
    thumbnail_key TEXT,
    spritesheet_key TEXT,
    recipe TEXT
) STRICT;
CREATE INDEX generations_page ON generations (project, created_at, id);
CREATE INDEX generations_expiry ON generations (expires_at) WHERE expires_at IS NOT NULL;

-- One row for each generation that has not ended. `attempt` is the fencing token: it grows with every claim.
CREATE TABLE jobs (
    id BLOB PRIMARY KEY REFERENCES generations (id),
    project BLOB NOT NULL,
    model TEXT NOT NULL,
    route TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'leased')),
    priority INTEGER NOT NULL,
    virtual_start INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    lease_until INTEGER,
    progress INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_next ON jobs (state, priority DESC, virtual_start, id);
CREATE INDEX jobs_project ON jobs (project);
CREATE INDEX jobs_lease ON jobs (lease_until) WHERE state = 'leased';

-- The queue's own virtual time, one row.
CREATE TABLE queue_clock (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    virtual_time INTEGER NOT NULL
) STRICT;
INSERT INTO queue_clock (one, virtual_time) VALUES (1, 0);

-- A generation has one hold and then one charge or one release: the keys see to it.
CREATE TABLE ledger (
    id BLOB PRIMARY KEY,
    project BLOB NOT NULL REFERENCES projects (id),
    generation BLOB,
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'hold', 'charge', 'release')),
    amount INTEGER NOT NULL,
    note TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX ledger_project ON ledger (project, at, id);
CREATE UNIQUE INDEX ledger_hold ON ledger (generation) WHERE kind = 'hold';
CREATE UNIQUE INDEX ledger_end ON ledger (generation) WHERE kind IN ('charge', 'release');

CREATE TABLE usage_days (
    project BLOB NOT NULL REFERENCES projects (id),
    day INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    PRIMARY KEY (project, day)
) STRICT;

CREATE TABLE idempotency_keys (
    project BLOB NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    generations TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT;
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE batches (
    id BLOB PRIMARY KEY,
    project BLOB NOT NULL REFERENCES projects (id),
    identity BLOB NOT NULL,
    input_file BLOB NOT NULL,
    metadata TEXT NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    output_file BLOB,
    error_file BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    in_progress_at INTEGER,
    finalizing_at INTEGER,
    cancelling_at INTEGER,
    ended_at INTEGER
) STRICT;
CREATE INDEX batches_page ON batches (project, created_at, id);
CREATE INDEX batches_open ON batches (created_at) WHERE ended_at IS NULL;

CREATE TABLE batch_items (
    batch BLOB NOT NULL REFERENCES batches (id),
    line INTEGER NOT NULL,
    custom_id TEXT NOT NULL,
    body TEXT NOT NULL,
    generation BLOB,
    error TEXT,
    PRIMARY KEY (batch, line)
) STRICT;

CREATE TABLE webhook_endpoints (
    id BLOB PRIMARY KEY,
    project BLOB NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    event_types TEXT NOT NULL,
    secret BLOB NOT NULL,
    old_secret BLOB,
    old_secret_until INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_endpoints_project ON webhook_endpoints (project, created_at, id);

-- The outbox: written with what happened, emptied by whoever delivers.
CREATE TABLE webhook_deliveries (
    event BLOB NOT NULL,
    endpoint BLOB NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    event_type TEXT NOT NULL,
    body TEXT NOT NULL,
    event_at INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER,
    delivered_at INTEGER,
    last_status INTEGER,
    PRIMARY KEY (event, endpoint)
) STRICT;
CREATE INDEX webhook_deliveries_next ON webhook_deliveries (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint);

-- Objects that no row names any more, until they are gone.
CREATE TABLE object_deletions (
    prefix TEXT PRIMARY KEY,
    asked_at INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
