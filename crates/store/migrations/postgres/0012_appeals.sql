-- One record of every limit, refusal and removal with its statement of reasons; what was decided before is in it.
ALTER TABLE decisions RENAME TO decisions_before;
DROP INDEX decisions_subject;

CREATE TABLE decisions (
    id UUID PRIMARY KEY,
    subject UUID NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('item', 'capability', 'service', 'identity')),
    -- Nothing if it is about the whole account.
    service TEXT,
    effect TEXT NOT NULL CHECK (effect IN ('refuse', 'withhold', 'remove', 'restrict', 'suspend', 'restore')),
    item_kind TEXT NOT NULL,
    item UUID,
    ground TEXT NOT NULL CHECK (length(ground) > 0),
    rule TEXT NOT NULL CHECK (length(rule) > 0),
    -- Empty in decisions that were taken before rules had versions.
    rule_version TEXT NOT NULL,
    facts TEXT NOT NULL,
    unlawful BIGINT NOT NULL,
    automated_detection BIGINT NOT NULL,
    automated_decision BIGINT NOT NULL,
    author UUID,
    second UUID,
    strikes BIGINT NOT NULL,
    decided_at BIGINT NOT NULL,
    ends_at BIGINT,
    permanent BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('proposed', 'standing', 'paused', 'lifted', 'overturned')),
    lifted_at BIGINT,
    -- When its subject saw it in the app, and when a letter told them.
    seen_at BIGINT,
    told_at BIGINT,
    CHECK ((permanent = 1) = (ends_at IS NULL)),
    CHECK ((automated_decision = 1) = (author IS NULL)),
    CHECK (service IS NOT NULL OR scope = 'identity'),
    CHECK (scope <> 'identity' OR state = 'proposed' OR rule_version = '' OR (second IS NOT NULL AND author IS NOT NULL AND second <> author)),
    CHECK ((lifted_at IS NOT NULL) = (state IN ('paused', 'lifted', 'overturned')))
);
CREATE INDEX decisions_subject ON decisions (subject, decided_at);
CREATE INDEX decisions_item ON decisions (item, item_kind);
CREATE INDEX decisions_time ON decisions (decided_at);
CREATE INDEX decisions_untold ON decisions (decided_at) WHERE told_at IS NULL AND state <> 'proposed';
CREATE INDEX decisions_unseen ON decisions (subject) WHERE seen_at IS NULL AND state <> 'proposed';
CREATE INDEX decisions_proposed ON decisions (decided_at) WHERE state = 'proposed';

-- Which act it was, the record of what was done to others says: a line of the same moment by the same person.
INSERT INTO decisions (id, subject, scope, service, effect, item_kind, item, ground, rule, rule_version, facts, unlawful,
    automated_detection, automated_decision, author, second, strikes, decided_at, ends_at, permanent, state, lifted_at, seen_at, told_at)
SELECT d.id, d.subject, d.scope, d.service,
    CASE WHEN d.scope = 'item' THEN 'withhold' ELSE COALESCE((SELECT MIN(CASE a.action WHEN 'membership.restrict' THEN 'restrict'
        WHEN 'membership.restore' THEN 'restore' ELSE 'suspend' END) FROM audit a WHERE a.at = d.decided_at AND a.actor = d.author
        AND a.action IN ('membership.restrict', 'membership.suspend', 'membership.restore')), 'suspend') END,
    CASE WHEN d.scope = 'identity' THEN 'account' ELSE 'membership' END, NULL, d.ground, d.ground, '', '', 0, 0, 0, d.author, NULL, 0,
    d.decided_at, d.ends_at, d.permanent,
    CASE WHEN EXISTS (SELECT 1 FROM memberships m WHERE m.identity = d.subject AND m.service = d.service
        AND (m.state IN ('restricted', 'suspended') OR m.standing IS NOT NULL)) THEN 'standing' ELSE 'lifted' END,
    CASE WHEN EXISTS (SELECT 1 FROM memberships m WHERE m.identity = d.subject AND m.service = d.service
        AND (m.state IN ('restricted', 'suspended') OR m.standing IS NOT NULL)) THEN NULL ELSE d.decided_at END,
    d.decided_at, d.decided_at
FROM decisions_before d;

INSERT INTO decisions (id, subject, scope, service, effect, item_kind, item, ground, rule, rule_version, facts, unlawful,
    automated_detection, automated_decision, author, second, strikes, decided_at, ends_at, permanent, state, lifted_at, seen_at, told_at)
SELECT p.id, p.author, 'item', 'social', 'withhold', 'post', p.post, p.ground, p.ground, '', p.rule, 0, 0,
    CASE WHEN p.decided_by IS NULL THEN 1 ELSE 0 END, p.decided_by, NULL, 0, p.decided_at, NULL, 1,
    CASE WHEN p.lifted_at IS NULL THEN 'standing' ELSE 'lifted' END, p.lifted_at, p.decided_at, p.decided_at
FROM post_decisions p;

INSERT INTO decisions (id, subject, scope, service, effect, item_kind, item, ground, rule, rule_version, facts, unlawful,
    automated_detection, automated_decision, author, second, strikes, decided_at, ends_at, permanent, state, lifted_at, seen_at, told_at)
SELECT p.id, p.subject, 'identity', NULL, 'suspend', 'account', NULL, p.ground, p.ground, '2026-11', '', 0, 0, 0, p.proposed_by, NULL, 0,
    p.proposed_at, p.ends_at, CASE WHEN p.ends_at IS NULL THEN 1 ELSE 0 END, 'proposed', NULL, NULL, NULL
FROM proposed_decisions p;

-- Which memberships a decision limited.
CREATE TABLE decision_memberships (
    decision UUID NOT NULL REFERENCES decisions (id) ON DELETE CASCADE,
    service TEXT NOT NULL,
    PRIMARY KEY (decision, service)
);
INSERT INTO decision_memberships (decision, service)
SELECT id, service FROM decisions WHERE effect IN ('restrict', 'suspend') AND service IS NOT NULL;

DROP TABLE decisions_before;
DROP TABLE post_decisions;
DROP TABLE proposed_decisions;

-- The words that a decision is about, for whoever reviews it. They go with the account.
CREATE TABLE decision_evidence (
    decision UUID PRIMARY KEY REFERENCES decisions (id) ON DELETE CASCADE,
    subject UUID NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX decision_evidence_subject ON decision_evidence (subject);

-- One for each decision.
CREATE TABLE appeals (
    id UUID PRIMARY KEY,
    decision UUID NOT NULL UNIQUE REFERENCES decisions (id) ON DELETE CASCADE,
    subject UUID NOT NULL,
    text TEXT NOT NULL CHECK (length(text) > 0),
    filed_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    -- When it was late, and everyone who administers was called.
    overdue_at BIGINT,
    reviewer UUID,
    outcome TEXT CHECK (outcome IN ('upheld', 'overturned')),
    answer TEXT NOT NULL,
    decided_at BIGINT,
    told_at BIGINT,
    CHECK ((outcome IS NULL) = (reviewer IS NULL)),
    CHECK ((outcome IS NULL) = (decided_at IS NULL))
);
CREATE INDEX appeals_subject ON appeals (subject);
CREATE INDEX appeals_open ON appeals (due_at) WHERE outcome IS NULL;
CREATE INDEX appeals_untold ON appeals (decided_at) WHERE outcome IS NOT NULL AND told_at IS NULL;

-- Notices from people without an account. Who wrote, and what, is sealed.
CREATE TABLE takedowns (
    id UUID PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('intimate', 'copyright')),
    -- The hash of the secret of its page.
    link BYTEA NOT NULL UNIQUE,
    -- A keyed hash of the address, by which notices of one hand are counted.
    notifier BYTEA NOT NULL,
    details BYTEA NOT NULL,
    post UUID NOT NULL,
    -- Whose post it is.
    subject UUID NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'acted', 'refused', 'countered', 'suit', 'restored')),
    received_at BIGINT NOT NULL,
    alarm_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    alarmed_at BIGINT,
    decided_at BIGINT,
    decided_by UUID,
    -- The counter-notice, sealed.
    counter BYTEA,
    countered_at BIGINT,
    restore_at BIGINT,
    ended_at BIGINT
);
CREATE INDEX takedowns_open ON takedowns (due_at) WHERE state = 'open';
CREATE INDEX takedowns_countered ON takedowns (restore_at) WHERE state = 'countered';
CREATE INDEX takedowns_notifier ON takedowns (notifier, received_at);
CREATE INDEX takedowns_post ON takedowns (post);
CREATE INDEX takedowns_subject ON takedowns (subject);

-- What a notice took off: its item, and for intimate images copies and what was made from it.
CREATE TABLE takedown_posts (
    takedown UUID NOT NULL REFERENCES takedowns (id) ON DELETE CASCADE,
    post UUID NOT NULL,
    decision UUID NOT NULL,
    PRIMARY KEY (takedown, post)
);
CREATE INDEX takedown_posts_decision ON takedown_posts (decision);

-- How the frames of what may not come back look: bits from which no picture can be made. They outlive the notice.
CREATE TABLE blocked_frames (
    takedown UUID NOT NULL,
    place BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    mirrored BYTEA NOT NULL,
    PRIMARY KEY (takedown, place)
);

-- How the frames of a post look, 32 bytes each.
ALTER TABLE posts ADD COLUMN frame_hashes BYTEA;
CREATE INDEX posts_unhashed ON posts (id) WHERE frame_hashes IS NULL AND video_key <> '';
