-- Only additions, with defaults: the release before this one goes on working while nodes are replaced, and heeds no lock.

-- Since when the operator has locked the account: nobody comes in, and no link of it is taken. NULL: it is not locked.
ALTER TABLE users ADD COLUMN locked_at BIGINT;
