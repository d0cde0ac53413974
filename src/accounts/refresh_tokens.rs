//! Refresh tokens: what keeps a program's session alive, each good for one use.
//!
//! A use is one guarded `UPDATE` whose row count decides. Whoever brings a token that was used already, be it
//! in the same moment, is a thief or was robbed by one, and nobody can tell which: the session ends, and with
//! it everything that came of its tokens (RFC 9700, 4.14.2).
//!
//! All tokens of a session begin alike. That half opens nothing, and outlives the session: by it an account knows a
//! program again that signs in anew, as it knows a browser by its cookie.

use std::time::Duration;

use diesel::prelude::*;

use crate::accounts::sessions::{self, HeldSession, Session};
use crate::accounts::users::{Held, KnownAccount, User};
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::random::{Token, TokenHash};
use crate::schema::{known_programs, refresh_tokens, sessions as sessions_table};

/// How long one waits for its use. A session whose token was not used for so long has ended, too.
pub const LIFETIME: Duration = sessions::PROGRAM_IDLE;

/// So long a program is known by a token that it once had, as a browser is by its cookie.
const KNOWN: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// So many programs an account knows; the one that was longest away is forgotten.
const MOST_KNOWN: i64 = 100;

/// So many used ones a session keeps. Older ones are forgotten, lest a program that refreshes without end fills the
/// table, and are known as its own all the same: they begin as the others do.
const MOST_USED: i64 = 10;

/// Makes one for this session of this account, in place of the one before it, if there was one.
pub fn issue(
    tx: &mut Tx,
    user: &Held<User>,
    session: &Session,
    before: Option<&Token>,
) -> Result<Token> {
    debug_assert_eq!(session.user_id, user.id);
    let token = draw(tx, session, before)?;
    diesel::insert_into(refresh_tokens::table)
        .values((
            refresh_tokens::token_hash.eq(token.hash().as_bytes()),
            refresh_tokens::session_id.eq(&session.id),
            refresh_tokens::issued_at.eq(tx.now),
            refresh_tokens::expires_at.eq(tx.now + millis(LIFETIME)),
        ))
        .execute(tx.conn)?;
    forget_used_but_newest(tx, &session.id)?;
    Ok(token)
}

fn forget_used_but_newest(tx: &mut Tx, session_id: &str) -> Result<()> {
    let surplus: Vec<Vec<u8>> = refresh_tokens::table
        .filter(refresh_tokens::session_id.eq(session_id))
        .filter(refresh_tokens::used_at.is_not_null())
        .order((refresh_tokens::used_at.desc(), refresh_tokens::token_hash))
        .select(refresh_tokens::token_hash)
        .limit(SURPLUS)
        .offset(MOST_USED)
        .load(tx.conn)?;
    if !surplus.is_empty() {
        let surplus = refresh_tokens::table.filter(refresh_tokens::token_hash.eq_any(surplus));
        diesel::delete(surplus).execute(tx.conn)?;
    }
    Ok(())
}

/// What is forgotten in one go: a release before this one may have left many.
const SURPLUS: i64 = 500;

/// All tokens of a session are one family, by which its program is known.
fn draw(tx: &mut Tx, session: &Session, before: Option<&Token>) -> Result<Token> {
    if let Some(before) = before {
        let family = before.family();
        let its_own = known_programs::table
            .find(family.as_bytes())
            .filter(known_programs::session_id.eq(&session.id));
        let seen = diesel::update(its_own)
            .set(known_programs::since.eq(tx.now))
            .execute(tx.conn)?;
        if seen > 0 {
            return Ok(before.draw_sibling());
        }
    }
    let first = Token::draw();
    let family = first.family();
    diesel::insert_into(known_programs::table)
        .values((
            known_programs::family.eq(family.as_bytes()),
            known_programs::user_id.eq(&session.user_id),
            known_programs::session_id.eq(&session.id),
            known_programs::since.eq(tx.now),
        ))
        .execute(tx.conn)?;
    forget_all_but_newest(tx, &session.user_id)?;
    Ok(first)
}

fn forget_all_but_newest(tx: &mut Tx, user_id: &str) -> Result<()> {
    let surplus: Vec<Vec<u8>> = known_programs::table
        .filter(known_programs::user_id.eq(user_id))
        .order((known_programs::since.desc(), known_programs::family))
        .select(known_programs::family)
        .limit(MOST_KNOWN)
        .offset(MOST_KNOWN)
        .load(tx.conn)?;
    if !surplus.is_empty() {
        let surplus = known_programs::table.filter(known_programs::family.eq_any(surplus));
        diesel::delete(surplus).execute(tx.conn)?;
    }
    Ok(())
}

/// The account that knows whoever brings this token, living or not: a program that holds a session of it, or held
/// one.
pub fn known_by(tx: &mut Tx, token: &Token) -> Result<Option<KnownAccount>> {
    let family = token.family();
    let known: Option<(String, Timestamp)> = known_programs::table
        .find(family.as_bytes())
        .select((known_programs::user_id, known_programs::since))
        .first(tx.conn)
        .optional()?;
    Ok(known.map(|(user_id, since)| KnownAccount { user_id, since }))
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
pub fn consume(tx: &mut Tx, config: &Config, token: &Token) -> Result<Used> {
    let hash = token.hash();
    let Some(held) = hold_session(tx, config, &hash)? else {
        // One that was forgotten was used before.
        let of_family = hold_of_family(tx, config, token)?;
        return Ok(of_family.map_or(Used::Dead, Used::Again));
    };
    let unused = refresh_tokens::table
        .find(hash.as_bytes())
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

/// The rights of the session have changed: each token that it had so far counts as used.
pub fn spend_all(tx: &mut Tx, session: &HeldSession) -> Result<()> {
    let unused = refresh_tokens::table
        .filter(refresh_tokens::session_id.eq(&session.session.id))
        .filter(refresh_tokens::used_at.is_null());
    diesel::update(unused)
        .set(refresh_tokens::used_at.eq(tx.now))
        .execute(tx.conn)?;
    Ok(())
}

/// The living session that a token keeps alive, with its account held, while nobody has used it yet.
pub fn hold_unused(tx: &mut Tx, config: &Config, token: &Token) -> Result<Option<HeldSession>> {
    let held = hold_session(tx, config, &token.hash())?;
    let used_at: Option<Option<Timestamp>> = refresh_tokens::table
        .find(token.hash().as_bytes())
        .select(refresh_tokens::used_at)
        .first(tx.conn)
        .optional()?;
    Ok(held.filter(|_| used_at == Some(None)))
}

/// The living session whose tokens begin as this one does.
fn hold_of_family(tx: &mut Tx, config: &Config, token: &Token) -> Result<Option<HeldSession>> {
    let family = token.family();
    let named: Option<(String, String)> = known_programs::table
        .find(family.as_bytes())
        .select((known_programs::user_id, known_programs::session_id))
        .first(tx.conn)
        .optional()?;
    match named {
        Some((user_id, id)) => sessions::hold_of_program(tx, config, &user_id, &id),
        None => Ok(None),
    }
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
    let gone = diesel::delete(gone).execute(tx.conn)?;
    Ok(gone + purge_known(tx, at_most)?)
}

fn purge_known(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over: Vec<Vec<u8>> = known_programs::table
        .filter(known_programs::since.le(tx.now - millis(KNOWN)))
        .select(known_programs::family)
        .limit(at_most)
        .load(tx.conn)?;
    let gone = known_programs::table.filter(known_programs::family.eq_any(over));
    Ok(diesel::delete(gone).execute(tx.conn)?)
}
