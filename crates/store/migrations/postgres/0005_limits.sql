-- When a restriction or suspension ends by itself; null if it does not.
ALTER TABLE memberships ADD COLUMN limited_until BIGINT;
CREATE INDEX memberships_limit ON memberships (limited_until) WHERE limited_until IS NOT NULL;
-- Pictures that are kept for a repeated request.
CREATE INDEX generations_pictures ON generations (created_at) WHERE kind = 'image';
