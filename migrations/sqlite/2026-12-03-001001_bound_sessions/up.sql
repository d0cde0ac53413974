-- Only additions: the release before this one goes on working while nodes are replaced. It takes a bound session for any
-- other, and what hangs on one ends with it there, too.

-- When the session was bound to its device; NULL, if it is not. All that an ordinary request wants to know.
ALTER TABLE sessions ADD COLUMN bound_at BIGINT;

-- What it is bound to. Only a proof looks here, so that the look-up of a session grows by one number.
CREATE TABLE device_keys (
    session_id      TEXT   NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    -- The public half of its key pair, as a JWK (RFC 7517) of nothing but what makes the key.
    jwk             TEXT   NOT NULL,
    -- When the challenge was made whose proof counted last: none that is older counts any more.
    proven_at       BIGINT NOT NULL,
    -- How many proofs counted within nine minutes, and when the first of them did: a browser gives six, and then none.
    proofs          INTEGER NOT NULL,
    proofs_since    BIGINT NOT NULL,
    -- Where the last proof came from, which no copy of the cookie can change as it can where its session was last seen.
    ip              TEXT   NOT NULL
) WITHOUT ROWID;
