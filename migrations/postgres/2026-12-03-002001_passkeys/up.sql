-- Only additions: the release before this one goes on working while nodes are replaced, and knows no passkeys.

-- The passkeys of accounts: key pairs that authenticators keep, of which we have the public half.
CREATE TABLE passkeys (
    -- As the pages name it. What the authenticator calls it is told to nobody but its own browser.
    id              TEXT    NOT NULL PRIMARY KEY,
    user_id         TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- What the authenticator calls it, 1023 bytes at the most. No two accounts have one of the same id.
    credential_id   BYTEA   NOT NULL,
    -- A COSE_Key (RFC 9052), as the authenticator wrote it.
    public_key      BYTEA   NOT NULL,
    -- What the authenticator counted to, when it was last used. It stays zero with those that do not count.
    sign_count      BIGINT  NOT NULL,
    -- Whether it may be copied to other devices of its owner: that never changes. And whether it was, when it was last used.
    backup_eligible BOOLEAN NOT NULL,
    backed_up       BOOLEAN NOT NULL,
    -- The kind of authenticator, 16 bytes, as it says itself: to show it by its name, and for nothing else.
    aaguid          BYTEA   NOT NULL,
    -- How a browser may reach the authenticator: words of the standard, with spaces between them.
    transports      TEXT    NOT NULL,
    -- What its owner calls it; empty until then.
    name            TEXT    NOT NULL,
    created_at      BIGINT  NOT NULL,
    -- NULL: never.
    last_used_at    BIGINT
);
CREATE UNIQUE INDEX passkeys_by_credential ON passkeys (credential_id);
CREATE INDEX passkeys_by_user ON passkeys (user_id);

-- Challenges that were answered rightly, hashed, until they would be over: none is good for a second answer. Those that
-- nobody answered stand nowhere.
CREATE TABLE answered_challenges (
    hash            BYTEA   NOT NULL PRIMARY KEY,
    ends_at         BIGINT  NOT NULL
);
CREATE INDEX answered_challenges_by_ends_at ON answered_challenges (ends_at);
