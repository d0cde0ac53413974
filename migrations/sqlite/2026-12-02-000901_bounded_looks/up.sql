-- Only other indexes: the release before this one goes on working while nodes are replaced. Its purge reads all sessions
-- so long. On PostgreSQL somebody may have made them before, with CONCURRENTLY.

-- Browsers rest for a week and programs for a month: those that are over are found each among their own.
CREATE INDEX IF NOT EXISTS sessions_by_rest ON sessions (for_program, last_seen_at);
DROP INDEX IF EXISTS sessions_by_last_seen;

-- Letters that did not leave, or came back: few, however many left.
CREATE INDEX IF NOT EXISTS outbox_failed ON outbox (state) WHERE state NOT IN ('queued', 'sent');
