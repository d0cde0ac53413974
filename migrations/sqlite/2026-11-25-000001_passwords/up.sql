-- Only additions, with defaults: the release before this one goes on working while nodes are replaced.

-- A PHC string; NULL is no password.
ALTER TABLE users ADD COLUMN password_hash TEXT;
ALTER TABLE users ADD COLUMN password_set_at BIGINT;
-- Wrong ones since the owner was last known to be here.
ALTER TABLE users ADD COLUMN wrong_passwords INTEGER NOT NULL DEFAULT 0;

-- When the password was last entered in this session; NULL is never.
ALTER TABLE sessions ADD COLUMN password_entered_at BIGINT;
-- Its rights have changed elsewhere: it gets a new token when it is next seen.
ALTER TABLE sessions ADD COLUMN wants_new_token BOOLEAN NOT NULL DEFAULT FALSE;

-- The session that asked for a link which acts on the account.
ALTER TABLE links ADD COLUMN session_id TEXT;

-- A letter of which nothing stays once it left.
ALTER TABLE outbox ADD COLUMN leaves_no_trace BOOLEAN NOT NULL DEFAULT FALSE;

-- What happened to an account, for its owner and the operator to read.
CREATE TABLE events (
    id              TEXT   NOT NULL PRIMARY KEY,
    user_id         TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    at              BIGINT NOT NULL,
    name            TEXT   NOT NULL,
    -- How somebody signed in, which link was asked for: a word of ours that goes with the name.
    detail          TEXT,
    ip              TEXT   NOT NULL,
    browser         TEXT   NOT NULL,
    request_id      TEXT   NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_by_user ON events (user_id, at, id);
CREATE INDEX events_by_at ON events (at);
