-- Only additions, with defaults: the release before this one goes on working while nodes are replaced.

-- How often it happened: what is repeated is one row, and the row says when it was last.
ALTER TABLE events ADD COLUMN count BIGINT NOT NULL DEFAULT 1;
CREATE INDEX events_by_name ON events (user_id, name, at, id);
