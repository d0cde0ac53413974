//! Refresh tokens: what keeps a program's session alive, each good for one use.
//!
//! A use is one guarded `UPDATE` whose row count decides. Whoever brings a token that was used already, be it
//! in the same moment, is a thief or was robbed by one, and nobody can tell which: the session ends, and with
//! it everything that came of its tokens (RFC 9700, 4.14.2).

use std::time::Duration;

use diesel::prelude::*;

use crate::accounts::client::Client;
use crate::accounts::events::Event;
use crate::accounts::sessions::{self, Session};
use crate::clock::millis;
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::random::{Token, TokenHash};
use crate::schema::refresh_tokens;

/// How long one waits for its use. A session whose token was not used for so long is over, too.
pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Makes one for this session.
pub fn issue(tx: &mut Tx, session_id: &str) -> Result<Token> {
    let token = Token::draw();
    diesel::insert_into(refresh_tokens::table)
        .values((
            refresh_tokens::token_hash.eq(token.hash().as_bytes()),
            refresh_tokens::session_id.eq(session_id),
            refresh_tokens::issued_at.eq(tx.now),
            refresh_tokens::expires_at.eq(tx.now + millis(LIFETIME)),
        ))
        .execute(tx.conn)?;
    Ok(token)
}

/// Uses a token up; the session that it keeps alive, or `None` if it keeps none. Of any number of callers at
/// once one gets past here, and then the others end what it got.
pub fn consume(
    tx: &mut Tx,
    config: &Config,
    token: &TokenHash,
    client: &Client,
) -> Result<Option<Session>> {
    let Some(session_id) = session_of(tx, token)? else {
        return Ok(None);
    };
    // Whatever ends a session takes it first, and then its tokens.
    sessions::hold(tx, &session_id)?;
    let unused = refresh_tokens::table
        .find(token.as_bytes())
        .filter(refresh_tokens::used_at.is_null());
    let used = diesel::update(unused)
        .set(refresh_tokens::used_at.eq(tx.now))
        .returning(refresh_tokens::expires_at)
        .get_result::<i64>(tx.conn)
        .optional()?;
    match used {
        None => {
            sessions::end_of_program(tx, &session_id, Event::RefreshTokenReused, client)?;
            Ok(None)
        }
        Some(expires_at) if expires_at <= tx.now => Ok(None),
        Some(_) => sessions::find_of_program(tx, config, &session_id),
    }
}

/// The session that a token belongs to, used or not.
pub fn session_of(tx: &mut Tx, token: &TokenHash) -> Result<Option<String>> {
    Ok(refresh_tokens::table
        .find(token.as_bytes())
        .select(refresh_tokens::session_id)
        .first(tx.conn)
        .optional()?)
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
