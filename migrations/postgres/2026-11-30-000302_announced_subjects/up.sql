-- Only additions: the release before this one goes on working while nodes are replaced.

-- The digest of an announcement's subject: who was sent another text under the same one lately is not sent a second
-- without a question. NULL by the release before this one.
ALTER TABLE announced ADD COLUMN subject BYTEA;
