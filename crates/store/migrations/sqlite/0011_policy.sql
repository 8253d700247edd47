-- The registry of rights. An agent speaks for holders of rights; what they say counts once someone here has checked who they are.
CREATE TABLE rights_agents (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    contact TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    proof TEXT NOT NULL,
    verified_by BLOB,
    verified_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- What they allow or forbid. Names are lines of one text, uses words with spaces between them.
CREATE TABLE rights_entries (
    id BLOB PRIMARY KEY,
    agent BLOB NOT NULL REFERENCES rights_agents (id),
    kind TEXT NOT NULL CHECK (kind IN ('work', 'character', 'artist', 'name')),
    stance TEXT NOT NULL CHECK (stance IN ('opt_out', 'opt_in')),
    names TEXT NOT NULL,
    uses TEXT NOT NULL,
    holder TEXT NOT NULL,
    from_at INTEGER NOT NULL,
    until_at INTEGER,
    created_at INTEGER NOT NULL,
    withdrawn_at INTEGER
) STRICT;
CREATE INDEX rights_entries_standing ON rights_entries (from_at) WHERE withdrawn_at IS NULL;
CREATE INDEX rights_entries_agent ON rights_entries (agent);
