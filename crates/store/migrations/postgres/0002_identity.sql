-- Letters on their way. Their text is sealed: it holds links that open accounts.
CREATE TABLE letters (
    id UUID PRIMARY KEY,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body BYTEA NOT NULL,
    written_at BIGINT NOT NULL,
    failed_attempts BIGINT NOT NULL DEFAULT 0,
    next_at BIGINT NOT NULL
);
CREATE INDEX letters_next ON letters (next_at, id);

-- The seed is sealed. `last_step` is the step of time whose code was used last: none works twice.
CREATE TABLE second_factors (
    identity UUID PRIMARY KEY REFERENCES identities (id),
    seed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    confirmed_at BIGINT,
    last_step BIGINT NOT NULL DEFAULT 0,
    failures BIGINT NOT NULL DEFAULT 0,
    failed_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE passkeys (
    id UUID PRIMARY KEY,
    identity UUID NOT NULL REFERENCES identities (id),
    credential_id BYTEA NOT NULL UNIQUE,
    name TEXT NOT NULL,
    transports BIGINT NOT NULL,
    static_state BYTEA NOT NULL,
    dynamic_state BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX passkeys_identity ON passkeys (identity, id);

CREATE INDEX one_time_tokens_expiry ON one_time_tokens (expires_at) WHERE expires_at IS NOT NULL;
