-- Only additions, with defaults: the release before this one goes on working while nodes are replaced.

-- Whether a program holds it: then it is kept alive by refresh tokens, and no cookie opens it.
ALTER TABLE sessions ADD COLUMN for_program BOOLEAN NOT NULL DEFAULT FALSE;

-- The tokens that keep such a session alive, each good for one use. They end with their session.
CREATE TABLE refresh_tokens (
    token_hash      BLOB   NOT NULL PRIMARY KEY,
    session_id      TEXT   NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    issued_at       BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    used_at         BIGINT
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_expires_at ON refresh_tokens (expires_at);

-- What access tokens are signed with. The id is the RFC 7638 thumbprint of the public half; the private half is sealed.
CREATE TABLE signing_keys (
    id              TEXT   NOT NULL PRIMARY KEY,
    public          BLOB   NOT NULL,
    sealed          BLOB   NOT NULL,
    created_at      BIGINT NOT NULL,
    -- NULL is the key that signs, and there is one at the most.
    retired_at      BIGINT
) WITHOUT ROWID;
CREATE UNIQUE INDEX signing_keys_one_signs ON signing_keys ((retired_at IS NULL)) WHERE retired_at IS NULL;
