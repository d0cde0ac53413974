DROP INDEX outbox_waiting;
CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
ALTER TABLE outbox DROP COLUMN urgency;
