-- Archives that people ask for, bring, and have sent somewhere. `services` are words with spaces between.

CREATE TABLE exports (
    id BLOB PRIMARY KEY,
    identity BLOB NOT NULL REFERENCES identities (id),
    services TEXT NOT NULL,
    since INTEGER,
    destination BLOB,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'reading', 'copying', 'sealing', 'ready', 'failed')),
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    size INTEGER,
    sha256 TEXT,
    error TEXT,
    asked_at INTEGER NOT NULL,
    ready_at INTEGER,
    expires_at INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    lease INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX exports_identity ON exports (identity, id);
CREATE INDEX exports_open ON exports (id) WHERE state NOT IN ('ready', 'failed');
CREATE INDEX exports_expiry ON exports (expires_at);

-- One file of an archive. Until it has a size, `object_key` is where it is to be copied from.
CREATE TABLE export_parts (
    export BLOB NOT NULL REFERENCES exports (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    object_key TEXT NOT NULL,
    items INTEGER,
    size INTEGER,
    crc32 INTEGER,
    sha256 TEXT,
    PRIMARY KEY (export, path)
) STRICT;

CREATE TABLE imports (
    id BLOB PRIMARY KEY,
    identity BLOB NOT NULL REFERENCES identities (id),
    filename TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK (state IN ('receiving', 'waiting', 'done', 'refused')),
    report TEXT,
    error TEXT,
    asked_at INTEGER NOT NULL,
    ended_at INTEGER,
    expires_at INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    lease INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX imports_identity ON imports (identity, id);
CREATE INDEX imports_open ON imports (id) WHERE state = 'waiting';
CREATE INDEX imports_expiry ON imports (expires_at);

-- The archive as it came, in pieces.
CREATE TABLE import_parts (
    import BLOB NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    object_key TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (import, number)
) STRICT;

-- Where a person's archives go by themselves. `secret` is sealed.
CREATE TABLE export_destinations (
    id BLOB PRIMARY KEY,
    identity BLOB NOT NULL REFERENCES identities (id),
    kind TEXT NOT NULL CHECK (kind IN ('folder', 's3', 'webdav')),
    place TEXT NOT NULL,
    secret BLOB,
    services TEXT NOT NULL,
    every_days INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    last_at INTEGER,
    error TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX export_destinations_identity ON export_destinations (identity, id);
CREATE INDEX export_destinations_next ON export_destinations (next_at);

-- Media that a destination has already.
CREATE TABLE export_destination_files (
    destination BLOB NOT NULL REFERENCES export_destinations (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    PRIMARY KEY (destination, path)
) STRICT;
