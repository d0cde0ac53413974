DROP TABLE events;
ALTER TABLE outbox DROP COLUMN leaves_no_trace;
ALTER TABLE links DROP COLUMN session_id;
ALTER TABLE sessions DROP COLUMN wants_new_token;
ALTER TABLE sessions DROP COLUMN password_entered_at;
ALTER TABLE users DROP COLUMN wrong_passwords;
ALTER TABLE users DROP COLUMN password_set_at;
ALTER TABLE users DROP COLUMN password_hash;
