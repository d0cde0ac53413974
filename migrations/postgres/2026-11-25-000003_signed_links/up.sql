-- Raised by whatever ends all links of an account: one that was signed before counts no more.
ALTER TABLE users ADD COLUMN signed_links_epoch INTEGER NOT NULL DEFAULT 0;
-- Whether links in ordinary mail sign in, and whether only from networks the account comes from.
ALTER TABLE users ADD COLUMN notification_links BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE users ADD COLUMN usual_networks_only BOOLEAN NOT NULL DEFAULT FALSE;
-- Whether it gets announcements.
ALTER TABLE users ADD COLUMN announcements BOOLEAN NOT NULL DEFAULT TRUE;

-- Who was sent which announcement, which is named by the digest of its words: nobody is sent one twice.
CREATE TABLE announced (
    announcement    BYTEA  NOT NULL,
    user_id         TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    posted_at       BIGINT NOT NULL,
    PRIMARY KEY (announcement, user_id)
);
CREATE INDEX announced_by_user ON announced (user_id);
CREATE INDEX announced_by_posted_at ON announced (posted_at);
