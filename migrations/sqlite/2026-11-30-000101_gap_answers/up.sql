-- Only additions: the release before this one goes on working while nodes are replaced.

-- What the last event in a window was about: of the gap between two mails, whom the mail answered that went out.
ALTER TABLE limits ADD COLUMN about TEXT;
