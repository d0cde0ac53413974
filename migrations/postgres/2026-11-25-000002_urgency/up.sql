-- 0: somebody waits for it; 1: news. The release before this one posts without, and is served as well.
ALTER TABLE outbox ADD COLUMN urgency INTEGER NOT NULL DEFAULT 0;

-- What is most urgent is looked for first. It serves the release before this one, too.
DROP INDEX outbox_due;
CREATE INDEX outbox_waiting ON outbox (urgency, due_at) WHERE due_at IS NOT NULL;
