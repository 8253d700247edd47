-- The service `social`: its own tables. It knows people by their membership and videos by copies; nothing here refers to a table of
-- another service, so that ending one leaves the other as it was.

CREATE TABLE profiles (
    identity BLOB PRIMARY KEY,
    handle TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    bio TEXT NOT NULL,
    avatar_key TEXT,
    closed INTEGER NOT NULL,
    personalised INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- Handles by what they look like. Those that were given up stay here and lead to their person.
CREATE TABLE handles (
    skeleton TEXT PRIMARY KEY,
    handle TEXT NOT NULL,
    identity BLOB NOT NULL REFERENCES profiles (identity),
    taken_at INTEGER NOT NULL
) STRICT;
CREATE INDEX handles_identity ON handles (identity);

-- `place` comes with publishing and orders all lists. `video` and `source_video` are copies of ids, for credit.
CREATE TABLE posts (
    id BLOB PRIMARY KEY,
    place BLOB UNIQUE,
    author BLOB NOT NULL REFERENCES profiles (identity),
    state TEXT NOT NULL CHECK (state IN ('draft', 'published', 'withheld', 'deleted')),
    visibility TEXT NOT NULL CHECK (visibility IN ('only_me', 'link', 'followers', 'public')),
    link_token BLOB NOT NULL UNIQUE,
    caption TEXT NOT NULL,
    prompt TEXT NOT NULL,
    prompt_visibility TEXT NOT NULL,
    remix INTEGER NOT NULL,
    download INTEGER NOT NULL,
    comments INTEGER NOT NULL,
    video BLOB NOT NULL,
    model TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    recipe TEXT NOT NULL,
    video_key TEXT NOT NULL,
    video_size INTEGER NOT NULL,
    video_sha256 TEXT NOT NULL,
    thumbnail_key TEXT,
    spritesheet_key TEXT,
    parent BLOB REFERENCES posts (id),
    root BLOB REFERENCES posts (id),
    depth INTEGER NOT NULL,
    like_count INTEGER NOT NULL DEFAULT 0,
    comment_count INTEGER NOT NULL DEFAULT 0,
    remix_count INTEGER NOT NULL DEFAULT 0,
    heat INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    edited_at INTEGER,
    published_at INTEGER,
    withheld_at INTEGER,
    deleted_at INTEGER,
    CHECK ((place IS NULL) = (published_at IS NULL)),
    CHECK ((parent IS NULL) = (root IS NULL))
) STRICT;
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
    place BLOB NOT NULL,
    post BLOB NOT NULL REFERENCES posts (id),
    PRIMARY KEY (tag, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX post_tags_post ON post_tags (post);

-- Without `accepted_at`, the follow is asked for.
CREATE TABLE follows (
    follower BLOB NOT NULL REFERENCES profiles (identity),
    followed BLOB NOT NULL REFERENCES profiles (identity),
    asked_at INTEGER NOT NULL,
    accepted_at INTEGER,
    PRIMARY KEY (follower, followed),
    CHECK (follower <> followed)
) STRICT, WITHOUT ROWID;
CREATE INDEX follows_followed ON follows (followed, asked_at);

CREATE TABLE blocks (
    blocker BLOB NOT NULL REFERENCES profiles (identity),
    blocked BLOB NOT NULL REFERENCES profiles (identity),
    at INTEGER NOT NULL,
    PRIMARY KEY (blocker, blocked),
    CHECK (blocker <> blocked)
) STRICT, WITHOUT ROWID;
CREATE INDEX blocks_blocked ON blocks (blocked);

CREATE TABLE mutes (
    muter BLOB NOT NULL REFERENCES profiles (identity),
    muted BLOB NOT NULL REFERENCES profiles (identity),
    at INTEGER NOT NULL,
    PRIMARY KEY (muter, muted),
    CHECK (muter <> muted)
) STRICT, WITHOUT ROWID;
CREATE INDEX mutes_muted ON mutes (muted);

CREATE TABLE likes (
    post BLOB NOT NULL REFERENCES posts (id),
    identity BLOB NOT NULL REFERENCES profiles (identity),
    at INTEGER NOT NULL,
    PRIMARY KEY (post, identity)
) STRICT, WITHOUT ROWID;
CREATE INDEX likes_identity ON likes (identity, at);

-- `thread` is the comment that begins the thread, the comment itself if it does.
CREATE TABLE comments (
    id BLOB PRIMARY KEY,
    post BLOB NOT NULL REFERENCES posts (id),
    author BLOB NOT NULL REFERENCES profiles (identity),
    parent BLOB REFERENCES comments (id),
    thread BLOB NOT NULL,
    text TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('shown', 'held', 'deleted')),
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE INDEX comments_post ON comments (post, id) WHERE parent IS NULL;
CREATE INDEX comments_thread ON comments (thread, id);
CREATE INDEX comments_author ON comments (author, id);

-- Words whose comments wait for the post's author.
CREATE TABLE hidden_words (
    identity BLOB NOT NULL REFERENCES profiles (identity),
    words TEXT NOT NULL,
    PRIMARY KEY (identity, words)
) STRICT;

-- By which words published posts are found, those of hidden prompts not among them.
CREATE TABLE post_words (
    word TEXT NOT NULL,
    place BLOB NOT NULL,
    post BLOB NOT NULL REFERENCES posts (id),
    PRIMARY KEY (word, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX post_words_post ON post_words (post);

CREATE TABLE profile_words (
    word TEXT NOT NULL,
    identity BLOB NOT NULL REFERENCES profiles (identity),
    PRIMARY KEY (word, identity)
) STRICT, WITHOUT ROWID;
CREATE INDEX profile_words_identity ON profile_words (identity);

CREATE TABLE feed_rules (
    identity BLOB NOT NULL REFERENCES profiles (identity),
    position INTEGER NOT NULL,
    rule TEXT NOT NULL,
    PRIMARY KEY (identity, position)
) STRICT;

-- What was reported stands here as it was then, because it may be changed or deleted meanwhile.
CREATE TABLE reports (
    id BLOB PRIMARY KEY,
    reporter BLOB NOT NULL REFERENCES profiles (identity),
    kind TEXT NOT NULL CHECK (kind IN ('post', 'profile', 'comment', 'message')),
    subject BLOB NOT NULL,
    about BLOB NOT NULL REFERENCES profiles (identity),
    reason TEXT NOT NULL,
    note TEXT NOT NULL,
    copy TEXT NOT NULL,
    reported_at INTEGER NOT NULL,
    closed_at INTEGER,
    decision BLOB,
    UNIQUE (reporter, subject)
) STRICT;
CREATE INDEX reports_open ON reports (id) WHERE closed_at IS NULL;
CREATE INDEX reports_about ON reports (about);

-- One of a kind about one thing, until it is read.
CREATE TABLE notices (
    id BLOB PRIMARY KEY,
    identity BLOB NOT NULL REFERENCES profiles (identity),
    kind TEXT NOT NULL,
    subject BLOB NOT NULL,
    actor BLOB NOT NULL REFERENCES profiles (identity),
    at INTEGER NOT NULL,
    read_at INTEGER
) STRICT;
CREATE UNIQUE INDEX notices_group ON notices (identity, kind, subject) WHERE read_at IS NULL;
CREATE INDEX notices_page ON notices (identity, at, id);

CREATE TABLE notice_actors (
    notice BLOB NOT NULL REFERENCES notices (id) ON DELETE CASCADE,
    actor BLOB NOT NULL REFERENCES profiles (identity),
    at INTEGER NOT NULL,
    PRIMARY KEY (notice, actor)
) STRICT;

-- Between two, the lesser id first. Until `accepted_at`, it is a request.
CREATE TABLE conversations (
    id BLOB PRIMARY KEY,
    low BLOB NOT NULL REFERENCES profiles (identity),
    high BLOB NOT NULL REFERENCES profiles (identity),
    began_by BLOB NOT NULL,
    began_at INTEGER NOT NULL,
    accepted_at INTEGER,
    declined_at INTEGER,
    last_at INTEGER NOT NULL,
    last_sender BLOB,
    low_read_at INTEGER,
    high_read_at INTEGER,
    UNIQUE (low, high),
    CHECK (low < high)
) STRICT;
CREATE INDEX conversations_low ON conversations (low, last_at, id);
CREATE INDEX conversations_high ON conversations (high, last_at, id);

CREATE TABLE messages (
    id BLOB PRIMARY KEY,
    conversation BLOB NOT NULL REFERENCES conversations (id),
    sender BLOB NOT NULL REFERENCES profiles (identity),
    text TEXT NOT NULL,
    post BLOB,
    sent_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE INDEX messages_page ON messages (conversation, id);
