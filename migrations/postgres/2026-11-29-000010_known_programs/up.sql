-- Only additions: the release before this one goes on working while nodes are replaced.

-- What a program is known by that holds a session of an account, or held one: what all refresh tokens of the session
-- begin with, hashed. It outlives the session, so that a program whose session was ended is not taken for a stranger.
CREATE TABLE known_programs (
    family          BYTEA  NOT NULL PRIMARY KEY,
    user_id         TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id      TEXT   NOT NULL,
    -- When a token of it was last issued.
    since           BIGINT NOT NULL
);
CREATE INDEX known_programs_by_user ON known_programs (user_id, since);
CREATE INDEX known_programs_by_since ON known_programs (since);
