-- What members keep here. It goes with the account.
CREATE TABLE notes (
    id      TEXT   NOT NULL PRIMARY KEY,
    user_id TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kept_at BIGINT NOT NULL,
    text    TEXT   NOT NULL
);
CREATE INDEX notes_by_user ON notes (user_id, kept_at);
