ALTER TABLE sessions DROP COLUMN passkey_used_at;
ALTER TABLE users DROP COLUMN reset_hold_since;
