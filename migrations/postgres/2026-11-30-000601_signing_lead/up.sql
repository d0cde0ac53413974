-- Only additions, with defaults: the release before this one goes on working while nodes are replaced.

-- From when on a key signs: it is listed for a while before that, so that whoever verifies knows it by then.
-- Where the next one is listed, retired_at of the one before it is this very moment, and is yet to come.
ALTER TABLE signing_keys ADD COLUMN signs_from BIGINT NOT NULL DEFAULT 0;
