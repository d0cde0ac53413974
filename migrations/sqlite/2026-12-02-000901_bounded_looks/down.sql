DROP INDEX outbox_failed;
CREATE INDEX sessions_by_last_seen ON sessions (last_seen_at);
DROP INDEX sessions_by_rest;
