-- Only additions: the release before this one goes on working while nodes are replaced.

-- What took the place of a used token, sealed, for the few seconds in which a program whose answer was lost may ask
-- for it again.
ALTER TABLE refresh_tokens ADD COLUMN successor BYTEA;
CREATE INDEX refresh_tokens_with_successor ON refresh_tokens (used_at) WHERE successor IS NOT NULL;
