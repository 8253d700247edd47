-- The service `social`: its own tables. It knows people by their membership and videos by copies; nothing here refers to a table of
-- another service, so that ending one leaves the other as it was.

CREATE TABLE profiles (
    identity UUID PRIMARY KEY,
    handle TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    bio TEXT NOT NULL,
    avatar_key TEXT,
    closed BIGINT NOT NULL,
    personalised BIGINT NOT NULL DEFAULT 1,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Handles by what they look like. Those that were given up stay here and lead to their person.
CREATE TABLE handles (
    skeleton TEXT PRIMARY KEY,
    handle TEXT NOT NULL,
    identity UUID NOT NULL REFERENCES profiles (identity),
    taken_at BIGINT NOT NULL
);
CREATE INDEX handles_identity ON handles (identity);

-- `place` comes with publishing and orders all lists. `video` and `source_video` are copies of ids, for credit.
CREATE TABLE posts (
    id UUID PRIMARY KEY,
    place UUID UNIQUE,
    author UUID NOT NULL REFERENCES profiles (identity),
    state TEXT NOT NULL CHECK (state IN ('draft', 'published', 'withheld', 'deleted')),
    visibility TEXT NOT NULL CHECK (visibility IN ('only_me', 'link', 'followers', 'public')),
    link_token BYTEA NOT NULL UNIQUE,
    caption TEXT NOT NULL,
    prompt TEXT NOT NULL,
    prompt_visibility TEXT NOT NULL,
    remix BIGINT NOT NULL,
    download BIGINT NOT NULL,
    comments BIGINT NOT NULL,
    video UUID NOT NULL,
    model TEXT NOT NULL,
    width BIGINT NOT NULL,
    height BIGINT NOT NULL,
    seconds BIGINT NOT NULL,
    recipe TEXT NOT NULL,
    video_key TEXT NOT NULL,
    video_size BIGINT NOT NULL,
    video_sha256 TEXT NOT NULL,
    thumbnail_key TEXT,
    spritesheet_key TEXT,
    parent UUID REFERENCES posts (id),
    root UUID REFERENCES posts (id),
    depth BIGINT NOT NULL,
    like_count BIGINT NOT NULL DEFAULT 0,
    comment_count BIGINT NOT NULL DEFAULT 0,
    remix_count BIGINT NOT NULL DEFAULT 0,
    heat BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    edited_at BIGINT,
    published_at BIGINT,
    withheld_at BIGINT,
    deleted_at BIGINT,
    CHECK ((place IS NULL) = (published_at IS NULL)),
    CHECK ((parent IS NULL) = (root IS NULL))
);
CREATE INDEX posts_latest ON posts (place) WHERE state = 'published' AND visibility = 'public';
CREATE INDEX posts_heat ON posts (heat) WHERE state = 'published' AND visibility = 'public';
CREATE INDEX posts_author ON posts (author, place) WHERE state = 'published';
CREATE INDEX posts_unpublished ON posts (author, id) WHERE state <> 'published';
CREATE INDEX posts_video ON posts (video);
CREATE INDEX posts_parent ON posts (parent, place) WHERE parent IS NOT NULL;
CREATE INDEX posts_deleted ON posts (deleted_at) WHERE deleted_at IS NOT NULL;

-- Only of published posts.
CREATE TABLE post_tags (
    tag TEXT NOT NULL,
    place UUID NOT NULL,
    post UUID NOT NULL REFERENCES posts (id),
    PRIMARY KEY (tag, place)
);
CREATE INDEX post_tags_post ON post_tags (post);

-- Without `accepted_at`, the follow is asked for.
CREATE TABLE follows (
    follower UUID NOT NULL REFERENCES profiles (identity),
    followed UUID NOT NULL REFERENCES profiles (identity),
    asked_at BIGINT NOT NULL,
    accepted_at BIGINT,
    PRIMARY KEY (follower, followed),
    CHECK (follower <> followed)
);
CREATE INDEX follows_followed ON follows (followed, asked_at);

CREATE TABLE blocks (
    blocker UUID NOT NULL REFERENCES profiles (identity),
    blocked UUID NOT NULL REFERENCES profiles (identity),
    at BIGINT NOT NULL,
    PRIMARY KEY (blocker, blocked),
    CHECK (blocker <> blocked)
);
CREATE INDEX blocks_blocked ON blocks (blocked);

CREATE TABLE mutes (
    muter UUID NOT NULL REFERENCES profiles (identity),
    muted UUID NOT NULL REFERENCES profiles (identity),
    at BIGINT NOT NULL,
    PRIMARY KEY (muter, muted),
    CHECK (muter <> muted)
);
CREATE INDEX mutes_muted ON mutes (muted);

CREATE TABLE likes (
    post UUID NOT NULL REFERENCES posts (id),
    identity UUID NOT NULL REFERENCES profiles (identity),
    at BIGINT NOT NULL,
    PRIMARY KEY (post, identity)
);
CREATE INDEX likes_identity ON likes (identity, at);

-- `thread` is the comment that begins the thread, the comment itself if it does.
CREATE TABLE comments (
    id UUID PRIMARY KEY,
    post UUID NOT NULL REFERENCES posts (id),
    author UUID NOT NULL REFERENCES profiles (identity),
    parent UUID REFERENCES comments (id),
    thread UUID NOT NULL,
    text TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('shown', 'held', 'deleted')),
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX comments_post ON comments (post, id) WHERE parent IS NULL;
CREATE INDEX comments_thread ON comments (thread, id);
CREATE INDEX comments_author ON comments (author, id);

-- Words whose comments wait for the post's author.
CREATE TABLE hidden_words (
    identity UUID NOT NULL REFERENCES profiles (identity),
    words TEXT NOT NULL,
    PRIMARY KEY (identity, words)
);

-- By which words published posts are found, those of hidden prompts not among them.
CREATE TABLE post_words (
    word TEXT COLLATE "C" NOT NULL,
    place UUID NOT NULL,
    post UUID NOT NULL REFERENCES posts (id),
    PRIMARY KEY (word, place)
);
CREATE INDEX post_words_post ON post_words (post);

CREATE TABLE profile_words (
    word TEXT COLLATE "C" NOT NULL,
    identity UUID NOT NULL REFERENCES profiles (identity),
    PRIMARY KEY (word, identity)
);
CREATE INDEX profile_words_identity ON profile_words (identity);

CREATE TABLE feed_rules (
    identity UUID NOT NULL REFERENCES profiles (identity),
    position BIGINT NOT NULL,
    rule TEXT NOT NULL,
    PRIMARY KEY (identity, position)
);

-- What was reported stands here as it was then, because it may be changed or deleted meanwhile.
CREATE TABLE reports (
    id UUID PRIMARY KEY,
    reporter UUID NOT NULL REFERENCES profiles (identity),
    kind TEXT NOT NULL CHECK (kind IN ('post', 'profile', 'comment', 'message')),
    subject UUID NOT NULL,
    about UUID NOT NULL REFERENCES profiles (identity),
    reason TEXT NOT NULL,
    note TEXT NOT NULL,
    copy TEXT NOT NULL,
    reported_at BIGINT NOT NULL,
    closed_at BIGINT,
    decision UUID,
    UNIQUE (reporter, subject)
);
CREATE INDEX reports_open ON reports (id) WHERE closed_at IS NULL;
CREATE INDEX reports_about ON reports (about);

-- One of a kind about one thing, until it is read.
CREATE TABLE notices (
    id UUID PRIMARY KEY,
    identity UUID NOT NULL REFERENCES profiles (identity),
    kind TEXT NOT NULL,
    subject UUID NOT NULL,
    actor UUID NOT NULL REFERENCES profiles (identity),
    at BIGINT NOT NULL,
    read_at BIGINT
);
CREATE UNIQUE INDEX notices_group ON notices (identity, kind, subject) WHERE read_at IS NULL;
CREATE INDEX notices_page ON notices (identity, at, id);

CREATE TABLE notice_actors (
    notice UUID NOT NULL REFERENCES notices (id) ON DELETE CASCADE,
    actor UUID NOT NULL REFERENCES profiles (identity),
    at BIGINT NOT NULL,
    PRIMARY KEY (notice, actor)
);

-- Between two, the lesser id first. Until `accepted_at`, it is a request.
CREATE TABLE conversations (
    id UUID PRIMARY KEY,
    low UUID NOT NULL REFERENCES profiles (identity),
    high UUID NOT NULL REFERENCES profiles (identity),
    began_by UUID NOT NULL,
    began_at BIGINT NOT NULL,
    accepted_at BIGINT,
    declined_at BIGINT,
    last_at BIGINT NOT NULL,
    last_sender UUID,
    low_read_at BIGINT,
    high_read_at BIGINT,
    UNIQUE (low, high),
    CHECK (low < high)
);
CREATE INDEX conversations_low ON conversations (low, last_at, id);
CREATE INDEX conversations_high ON conversations (high, last_at, id);

CREATE TABLE messages (
    id UUID PRIMARY KEY,
    conversation UUID NOT NULL REFERENCES conversations (id),
    sender UUID NOT NULL REFERENCES profiles (identity),
    text TEXT NOT NULL,
    post UUID,
    sent_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX messages_page ON messages (conversation, id);
