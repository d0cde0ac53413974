-- What a link to a note shows, and how often it did. It goes with the link, and with the note.
CREATE TABLE share_links (
    token_hash BLOB   NOT NULL PRIMARY KEY REFERENCES links (token_hash) ON DELETE CASCADE,
    id         TEXT   NOT NULL UNIQUE,
    note_id    TEXT   NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
    times      BIGINT NOT NULL,
    opened     BIGINT NOT NULL
);
CREATE INDEX share_links_by_note ON share_links (note_id);
