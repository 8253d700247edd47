-- Letters on their way. Their text is sealed: it holds links that open accounts.
CREATE TABLE letters (
    id BLOB PRIMARY KEY,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body BLOB NOT NULL,
    written_at INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL
) STRICT;
CREATE INDEX letters_next ON letters (next_at, id);

-- The seed is sealed. `last_step` is the step of time whose code was used last: none works twice.
CREATE TABLE second_factors (
    identity BLOB PRIMARY KEY REFERENCES identities (id),
    seed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    confirmed_at INTEGER,
    last_step INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    failed_at INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE passkeys (
    id BLOB PRIMARY KEY,
    identity BLOB NOT NULL REFERENCES identities (id),
    credential_id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    transports INTEGER NOT NULL,
    static_state BLOB NOT NULL,
    dynamic_state BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
CREATE INDEX passkeys_identity ON passkeys (identity, id);

CREATE INDEX one_time_tokens_expiry ON one_time_tokens (expires_at) WHERE expires_at IS NOT NULL;
