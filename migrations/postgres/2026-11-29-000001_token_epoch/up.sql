-- Raised by whatever changes the rights of a program's session: its access tokens of before count no more.
ALTER TABLE sessions ADD COLUMN
    token_epoch INTEGER NOT NULL DEFAULT 0;
