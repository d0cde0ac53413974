//! Refresh tokens: what keeps a program's session alive, each good for one use.
//!
//! A use is one guarded `UPDATE` whose row count decides. Whoever brings a token that was used already, be it
//! in the same moment, is a thief or was robbed by one, and nobody can tell which: the session ends, and with
//! it everything that came of its tokens (RFC 9700, 4.14.2).

use std::time::Duration;

use diesel::prelude::*;

use crate::accounts::sessions::{self, HeldSession, Session};
use crate::accounts::users::{Held, User};
use crate::clock::millis;
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::random::{Token, TokenHash};
use crate::schema::{refresh_tokens, sessions as sessions_table};

/// How long one waits for its use. A session whose token was not used for so long is over, too.
pub const LIFETIME: Duration = sessions::PROGRAM_IDLE;

/// Makes one for this session of this account.
pub fn issue(tx: &mut Tx, user: &Held<User>, session: &Session) -> Result<Token> {
    debug_assert_eq!(session.user_id, user.id);
    let token = Token::draw();
    diesel::insert_into(refresh_tokens::table)
        .values((
            refresh_tokens::token_hash.eq(token.hash().as_bytes()),
            refresh_tokens::session_id.eq(&session.id),
            refresh_tokens::issued_at.eq(tx.now),
            refresh_tokens::expires_at.eq(tx.now + millis(LIFETIME)),
        ))
        .execute(tx.conn)?;
    Ok(token)
}

/// What became of a token that was brought to be used.
pub enum Used {
    /// It was used up, and keeps this session alive.
    Fresh(HeldSession),
    /// It was used before.
    Again(HeldSession),
    /// It keeps no session alive.
    Dead,
}

/// Uses a token up. Of any number of callers at once one gets past here.
pub fn consume(tx: &mut Tx, config: &Config, token: &TokenHash) -> Result<Used> {
    let Some(held) = hold_session(tx, config, token)? else {
        return Ok(Used::Dead);
    };
    let unused = refresh_tokens::table
        .find(token.as_bytes())
        .filter(refresh_tokens::used_at.is_null());
    let used = diesel::update(unused)
        .set(refresh_tokens::used_at.eq(tx.now))
        .returning(refresh_tokens::expires_at)
        .get_result::<i64>(tx.conn)
        .optional()?;
    Ok(match used {
        None => Used::Again(held),
        Some(expires_at) if expires_at <= tx.now => Used::Dead,
        Some(_) => Used::Fresh(held),
    })
}

/// The rights of the session have changed: whoever holds a token of before holds one that was used.
pub fn spend_all(tx: &mut Tx, session: &HeldSession) -> Result<()> {
    let unused = refresh_tokens::table
        .filter(refresh_tokens::session_id.eq(&session.session.id))
        .filter(refresh_tokens::used_at.is_null());
    diesel::update(unused)
        .set(refresh_tokens::used_at.eq(tx.now))
        .execute(tx.conn)?;
    Ok(())
}

/// The living session that a token belongs to, used or not, with its account held.
pub fn hold_session(
    tx: &mut Tx,
    config: &Config,
    token: &TokenHash,
) -> Result<Option<HeldSession>> {
    let named: Option<(String, String)> = refresh_tokens::table
        .find(token.as_bytes())
        .inner_join(sessions_table::table.on(sessions_table::id.eq(refresh_tokens::session_id)))
        .select((sessions_table::user_id, sessions_table::id))
        .first(tx.conn)
        .optional()?;
    match named {
        Some((user_id, id)) => sessions::hold_of_program(tx, config, &user_id, &id),
        None => Ok(None),
    }
}

/// Forgets a batch of those that nobody may use any more.
pub fn purge(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over: Vec<Vec<u8>> = refresh_tokens::table
        .filter(refresh_tokens::expires_at.le(tx.now))
        .select(refresh_tokens::token_hash)
        .limit(at_most)
        .load(tx.conn)?;
    let gone = refresh_tokens::table.filter(refresh_tokens::token_hash.eq_any(over));
    Ok(diesel::delete(gone).execute(tx.conn)?)
}
