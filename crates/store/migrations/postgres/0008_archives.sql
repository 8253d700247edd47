-- Archives that people ask for, bring, and have sent somewhere. `services` are words with spaces between.

CREATE TABLE exports (
    id UUID PRIMARY KEY,
    identity UUID NOT NULL REFERENCES identities (id),
    services TEXT NOT NULL,
    since BIGINT,
    destination UUID,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'reading', 'copying', 'sealing', 'ready', 'failed')),
    done BIGINT NOT NULL DEFAULT 0,
    total BIGINT NOT NULL DEFAULT 0,
    size BIGINT,
    sha256 TEXT,
    error TEXT,
    asked_at BIGINT NOT NULL,
    ready_at BIGINT,
    expires_at BIGINT NOT NULL,
    failures BIGINT NOT NULL DEFAULT 0,
    lease BIGINT NOT NULL DEFAULT 0,
    lease_until BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX exports_identity ON exports (identity, id);
CREATE INDEX exports_open ON exports (id) WHERE state NOT IN ('ready', 'failed');
CREATE INDEX exports_expiry ON exports (expires_at);

-- One file of an archive. Until it has a size, `object_key` is where it is to be copied from.
CREATE TABLE export_parts (
    export UUID NOT NULL REFERENCES exports (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    object_key TEXT NOT NULL,
    items BIGINT,
    size BIGINT,
    crc32 BIGINT,
    sha256 TEXT,
    PRIMARY KEY (export, path)
);

CREATE TABLE imports (
    id UUID PRIMARY KEY,
    identity UUID NOT NULL REFERENCES identities (id),
    filename TEXT NOT NULL,
    size BIGINT NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK (state IN ('receiving', 'waiting', 'done', 'refused')),
    report TEXT,
    error TEXT,
    asked_at BIGINT NOT NULL,
    ended_at BIGINT,
    expires_at BIGINT NOT NULL,
    failures BIGINT NOT NULL DEFAULT 0,
    lease BIGINT NOT NULL DEFAULT 0,
    lease_until BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX imports_identity ON imports (identity, id);
CREATE INDEX imports_open ON imports (id) WHERE state = 'waiting';
CREATE INDEX imports_expiry ON imports (expires_at);

-- The archive as it came, in pieces.
CREATE TABLE import_parts (
    import UUID NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    object_key TEXT NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (import, number)
);

-- Where a person's archives go by themselves. `secret` is sealed.
CREATE TABLE export_destinations (
    id UUID PRIMARY KEY,
    identity UUID NOT NULL REFERENCES identities (id),
    kind TEXT NOT NULL CHECK (kind IN ('folder', 's3', 'webdav')),
    place TEXT NOT NULL,
    secret BYTEA,
    services TEXT NOT NULL,
    every_days BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    last_at BIGINT,
    error TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX export_destinations_identity ON export_destinations (identity, id);
CREATE INDEX export_destinations_next ON export_destinations (next_at);

-- Media that a destination has already.
CREATE TABLE export_destination_files (
    destination UUID NOT NULL REFERENCES export_destinations (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    PRIMARY KEY (destination, path)
);
