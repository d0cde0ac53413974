-- Only additions, with defaults: the release before this one goes on working while nodes are replaced.

-- The id of the key that sealed the body; NULL by the release before this one, which named none.
ALTER TABLE outbox ADD COLUMN sealed_by TEXT;
