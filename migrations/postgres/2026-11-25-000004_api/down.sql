DROP TABLE signing_keys;
DROP TABLE refresh_tokens;
DELETE FROM sessions WHERE for_program;
ALTER TABLE sessions DROP COLUMN for_program;
