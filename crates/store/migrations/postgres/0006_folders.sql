-- The order that a person keeps among their clips: favourites, folders of their own, and a trash that keeps for a while.

-- `name_key` is the name in small letters: nobody has two folders that differ by that alone.
CREATE TABLE folders (
    id UUID PRIMARY KEY,
    identity UUID NOT NULL REFERENCES identities (id),
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (identity, name_key)
);

ALTER TABLE generations ADD COLUMN favourite BIGINT NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN folder UUID REFERENCES folders (id);
ALTER TABLE generations ADD COLUMN trashed_at BIGINT;
CREATE INDEX generations_folder ON generations (folder, created_at, id) WHERE folder IS NOT NULL;
CREATE INDEX generations_favourite ON generations (identity, created_at, id) WHERE favourite = 1;
CREATE INDEX generations_in_trash ON generations (identity, trashed_at, id) WHERE trashed_at IS NOT NULL;
CREATE INDEX generations_trashed ON generations (trashed_at) WHERE trashed_at IS NOT NULL;
