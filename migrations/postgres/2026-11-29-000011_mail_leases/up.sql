-- Only additions, with defaults: the release before this one goes on working while nodes are replaced.

-- Drawn by whoever has the mail just now; whoever finds another here, or none, has it no longer.
ALTER TABLE outbox ADD COLUMN claim TEXT;
