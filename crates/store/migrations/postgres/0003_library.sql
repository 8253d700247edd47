-- What a person made, over all of their projects.

CREATE INDEX generations_library ON generations (identity, created_at, id);
