-- Parts of clips, what people want to be told of, how often they may act, decisions about posts, and the slow ends of models and services.

-- Of a part that was cut out of another clip: between which moments, in milliseconds.
ALTER TABLE generations ADD COLUMN trim_start_ms INTEGER;
ALTER TABLE generations ADD COLUMN trim_end_ms INTEGER;

-- Where someone wants something else than everyone at the start.
CREATE TABLE notice_settings (
    identity BLOB NOT NULL REFERENCES identities (id),
    topic TEXT NOT NULL,
    in_app INTEGER NOT NULL,
    by_mail INTEGER NOT NULL,
    PRIMARY KEY (identity, topic)
) STRICT;

-- Until when someone has seen which of their clips are finished.
CREATE TABLE clips_seen (
    identity BLOB PRIMARY KEY REFERENCES identities (id),
    until INTEGER NOT NULL
) STRICT;

-- What ended before this was counted is no news.
INSERT INTO clips_seen (identity, until) SELECT identity, MAX(ended_at) FROM generations WHERE ended_at IS NOT NULL GROUP BY identity;
CREATE INDEX generations_ended ON generations (identity, ended_at) WHERE ended_at IS NOT NULL;

-- What the next letter to someone tells of.
CREATE TABLE notice_letters (
    identity BLOB NOT NULL REFERENCES identities (id),
    topic TEXT NOT NULL,
    happened INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    PRIMARY KEY (identity, topic)
) STRICT;
CREATE INDEX batch_items_generation ON batch_items (generation) WHERE generation IS NOT NULL;
CREATE INDEX notice_letters_due ON notice_letters (first_at);

-- What someone did in `social` in an hour, counted in hours from 1970.
CREATE TABLE act_counts (
    identity BLOB NOT NULL,
    act TEXT NOT NULL,
    hour INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (identity, act, hour)
) STRICT;
CREATE INDEX act_counts_hour ON act_counts (hour);

-- Why a post is withheld. It names the post and outlives it.
CREATE TABLE post_decisions (
    id BLOB PRIMARY KEY,
    post BLOB NOT NULL,
    author BLOB NOT NULL,
    ground TEXT NOT NULL,
    rule TEXT NOT NULL,
    decided_by BLOB,
    decided_at INTEGER NOT NULL,
    lifted_at INTEGER
) STRICT;
CREATE INDEX post_decisions_post ON post_decisions (post, decided_at);

-- An end that is announced. One that is nearer than it may be waits for two people.
CREATE TABLE sunsets (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('model', 'service')),
    name TEXT NOT NULL,
    successor TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    announced_at INTEGER,
    withdrawn_at INTEGER
) STRICT;
CREATE UNIQUE INDEX sunsets_name ON sunsets (kind, name) WHERE withdrawn_at IS NULL;

CREATE TABLE sunset_confirmations (
    sunset BLOB NOT NULL REFERENCES sunsets (id),
    identity BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (sunset, identity)
) STRICT;

-- Who was written to, and how many days before the end.
CREATE TABLE sunset_letters (
    sunset BLOB NOT NULL REFERENCES sunsets (id),
    identity BLOB NOT NULL,
    days INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (sunset, identity, days)
) STRICT;

-- By what the schedule looks for what it keeps no longer.
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX notices_age ON notices (at);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (event_at) WHERE next_at IS NULL;
