-- Only additions, with defaults: the release before this one goes on working while nodes are replaced, and holds nothing.

-- When a mailed link last set the password of an account that had passkeys: from then on, and for RESET_HOLD, what its
-- passkeys guard is held. NULL: that never happened, or somebody has answered for it since.
ALTER TABLE users ADD COLUMN reset_hold_since BIGINT;

-- When a passkey of the account was last used in this session, to come in or at the gate: nothing is held in it. NULL: none
-- was.
ALTER TABLE sessions ADD COLUMN passkey_used_at BIGINT;
