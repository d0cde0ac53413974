-- Only additions: the release before this one goes on working while nodes are replaced.

-- Whether the secret key is the one of this database: one row, which every start opens and seals anew.
CREATE TABLE key_probe (
    id              INTEGER NOT NULL PRIMARY KEY,
    -- The id of the key that sealed it.
    sealed_by       TEXT    NOT NULL,
    sealed          BYTEA   NOT NULL,
    sealed_at       BIGINT  NOT NULL
);
