-- Only additions: the release before this one goes on working while nodes are replaced.

-- Accounts whose mail came back: a row for each, of the address that it has. A sign-in by a later letter proves the
-- mailbox; a month after the last report the row goes by itself.
CREATE TABLE mail_bounces (
    user_id         TEXT    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    email           TEXT    NOT NULL,
    reported_at     BIGINT  NOT NULL,
    -- When the letter that came back last was posted.
    posted_at       BIGINT  NOT NULL,
    -- On how many days something came back.
    days            INTEGER NOT NULL,
    -- Whether it was once because there is no such mailbox.
    no_mailbox      BOOLEAN NOT NULL,
    -- The code that was reported last, as in 5.1.1; '' if there was none.
    status          TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX mail_bounces_by_age ON mail_bounces (reported_at);
