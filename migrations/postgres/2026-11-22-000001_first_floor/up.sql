-- Times are milliseconds since the Unix epoch. Purposes and methods are text, so that a new one needs
-- no migration. Secrets are kept as hashes (tokens), under a key (codes) or sealed (mail bodies).

-- People whose address was proven.
CREATE TABLE users (
    id              TEXT   NOT NULL PRIMARY KEY,
    email           TEXT   NOT NULL UNIQUE,
    created_at      BIGINT NOT NULL,
    -- Browsers that came to know the account before this moment are strangers again.
    known_since     BIGINT NOT NULL
);

-- Addresses that may enter a house that is closed to others.
CREATE TABLE invitations (
    email           TEXT   NOT NULL PRIMARY KEY,
    invited_at      BIGINT NOT NULL
);

-- Links (and codes) that were asked for. A row that nobody was mailed looks like any other.
CREATE TABLE links (
    token_hash      BYTEA   NOT NULL PRIMARY KEY,
    purpose         TEXT   NOT NULL,
    email           TEXT   NOT NULL,
    user_id         TEXT   REFERENCES users (id) ON DELETE CASCADE,
    ask_id          TEXT   UNIQUE,
    code_mac        BYTEA,
    code_tries      INTEGER NOT NULL DEFAULT 0,
    wrong_addresses INTEGER NOT NULL DEFAULT 0,
    asked_at        BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    used_at         BIGINT,
    keep_until      BIGINT NOT NULL
);
CREATE INDEX links_by_email ON links (email, purpose);
CREATE INDEX links_by_user ON links (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX links_by_keep_until ON links (keep_until);

-- Who is signed in, and how that came about.
CREATE TABLE sessions (
    token_hash      BYTEA   NOT NULL PRIMARY KEY,
    id              TEXT   NOT NULL UNIQUE,
    user_id         TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    auth_method     TEXT   NOT NULL,
    shared          BOOLEAN NOT NULL,
    created_at      BIGINT NOT NULL,
    last_seen_at    BIGINT NOT NULL,
    ip              TEXT   NOT NULL,
    browser         TEXT   NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, created_at);
CREATE INDEX sessions_by_last_seen ON sessions (last_seen_at);
CREATE INDEX sessions_by_created ON sessions (created_at);

-- What counts against a limit: one window per name and subject.
CREATE TABLE limits (
    name            TEXT   NOT NULL,
    subject         TEXT   NOT NULL,
    count           BIGINT NOT NULL,
    ends_at         BIGINT NOT NULL,
    PRIMARY KEY (name, subject)
);
CREATE INDEX limits_by_ends_at ON limits (ends_at);

-- Mail that waits, and for a while mail that left.
CREATE TABLE outbox (
    id              TEXT   NOT NULL PRIMARY KEY,
    letter          TEXT   NOT NULL,
    email           TEXT   NOT NULL,
    state           TEXT   NOT NULL,
    body            BYTEA,
    link_hash       BYTEA,
    queued_at       BIGINT NOT NULL,
    useful_until    BIGINT NOT NULL,
    -- Nobody touches the row before this: the next try, or the end of a worker's lease. NULL once it is settled.
    due_at          BIGINT,
    tries           INTEGER NOT NULL,
    settled_at      BIGINT,
    reason          TEXT
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_settled ON outbox (settled_at) WHERE settled_at IS NOT NULL;
