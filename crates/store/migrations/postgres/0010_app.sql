-- Parts of clips, what people want to be told of, how often they may act, decisions about posts, and the slow ends of models and services.

-- Of a part that was cut out of another clip: between which moments, in milliseconds.
ALTER TABLE generations ADD COLUMN trim_start_ms BIGINT;
ALTER TABLE generations ADD COLUMN trim_end_ms BIGINT;

-- Where someone wants something else than everyone at the start.
CREATE TABLE notice_settings (
    identity UUID NOT NULL REFERENCES identities (id),
    topic TEXT NOT NULL,
    in_app BIGINT NOT NULL,
    by_mail BIGINT NOT NULL,
    PRIMARY KEY (identity, topic)
);

-- Until when someone has seen which of their clips are finished.
CREATE TABLE clips_seen (
    identity UUID PRIMARY KEY REFERENCES identities (id),
    until BIGINT NOT NULL
);

-- What ended before this was counted is no news.
INSERT INTO clips_seen (identity, until) SELECT identity, MAX(ended_at) FROM generations WHERE ended_at IS NOT NULL GROUP BY identity;
CREATE INDEX generations_ended ON generations (identity, ended_at) WHERE ended_at IS NOT NULL;

-- What the next letter to someone tells of.
CREATE TABLE notice_letters (
    identity UUID NOT NULL REFERENCES identities (id),
    topic TEXT NOT NULL,
    happened BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    PRIMARY KEY (identity, topic)
);
CREATE INDEX batch_items_generation ON batch_items (generation) WHERE generation IS NOT NULL;
CREATE INDEX notice_letters_due ON notice_letters (first_at);

-- What someone did in `social` in an hour, counted in hours from 1970.
CREATE TABLE act_counts (
    identity UUID NOT NULL,
    act TEXT NOT NULL,
    hour BIGINT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (identity, act, hour)
);
CREATE INDEX act_counts_hour ON act_counts (hour);

-- Why a post is withheld. It names the post and outlives it.
CREATE TABLE post_decisions (
    id UUID PRIMARY KEY,
    post UUID NOT NULL,
    author UUID NOT NULL,
    ground TEXT NOT NULL,
    rule TEXT NOT NULL,
    decided_by UUID,
    decided_at BIGINT NOT NULL,
    lifted_at BIGINT
);
CREATE INDEX post_decisions_post ON post_decisions (post, decided_at);

-- An end that is announced. One that is nearer than it may be waits for two people.
CREATE TABLE sunsets (
    id UUID PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('model', 'service')),
    name TEXT NOT NULL,
    successor TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    announced_at BIGINT,
    withdrawn_at BIGINT
);
CREATE UNIQUE INDEX sunsets_name ON sunsets (kind, name) WHERE withdrawn_at IS NULL;

CREATE TABLE sunset_confirmations (
    sunset UUID NOT NULL REFERENCES sunsets (id),
    identity UUID NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (sunset, identity)
);

-- Who was written to, and how many days before the end.
CREATE TABLE sunset_letters (
    sunset UUID NOT NULL REFERENCES sunsets (id),
    identity UUID NOT NULL,
    days BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (sunset, identity, days)
);

-- By what the schedule looks for what it keeps no longer.
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX notices_age ON notices (at);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (event_at) WHERE next_at IS NULL;
