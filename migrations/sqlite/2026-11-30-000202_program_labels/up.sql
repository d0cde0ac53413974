-- Only additions, with defaults: the release before this one goes on working while nodes are replaced.

-- What whoever signed a program in calls it, to tell it from others; '' if it has no name. Nothing of ours: shown to
-- the account's owner and written into no letter.
ALTER TABLE sessions ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN label TEXT NOT NULL DEFAULT '';
