//! Refresh tokens: what keeps a program's session alive, each good for one use.
//!
//! Whoever brings a token that was used already is a thief or was robbed by one, and nobody can tell which: the
//! session ends, and with it everything that came of its tokens (RFC 9700, 4.14.2).
//!
//! But for a few seconds: an answer is lost on its way to a phone, or two of its threads refresh at once, and
//! neither is a theft. Until what came of a token is used itself, it is told again to whoever brings that token; so
//! long it lies beside it, sealed. Of a thief and the robbed, whoever comes second, and later than that, still ends
//! the session.
//!
//! All tokens of a session begin alike. That half opens nothing, and outlives the session: by it an account knows a
//! program again that signs in anew, as it knows a browser by its cookie.

use std::time::Duration;

use diesel::prelude::*;

use crate::accounts::batch::rest;
use crate::accounts::sessions::{self, HeldSession, Session};
use crate::accounts::users::{Held, KnownAccount, User};
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::{Tx, delete_unlocked, load_unlocked, on_either, prepared};
use crate::error::{Error, Result};
use crate::keys::{KeyPurpose, Keys};
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

/// So long the answer to a use is told again.
const TOLD_AGAIN: Duration = Duration::from_secs(10);

/// Makes the first one of a session, or one that has nothing in common with those before.
pub fn issue(tx: &mut Tx, user: &Held<User>, session: &Session) -> Result<Token> {
    debug_assert_eq!(session.user_id, user.id);
    let token = begin_family(tx, session)?;
    insert(tx, session, &token)?;
    Ok(token)
}

/// Uses an unused one up, and makes the one that takes its place.
pub fn replace(tx: &mut Tx, keys: &Keys, held: &HeldSession, used: &Token) -> Result<Token> {
    let session = &held.session;
    let successor = match is_of_known_program(tx, session, used)? {
        true => used.draw_sibling(),
        false => begin_family(tx, session)?,
    };
    let sealed = keys.seal(KeyPurpose::RefreshSuccessor, successor.reveal().as_bytes())?;
    let hash = used.hash();
    let unused = refresh_tokens::table
        .find(hash.as_bytes())
        .filter(refresh_tokens::used_at.is_null());
    let use_up = prepared(diesel::update(unused).set((
        refresh_tokens::used_at.eq(tx.now),
        refresh_tokens::successor.eq(sealed),
    )));
    if on_either!(tx.conn, |conn| use_up.execute(conn))? == 0 {
        return Err(Error::internal(
            "a refresh token was used while its account was held",
        ));
    }
    insert(tx, session, &successor)?;
    Ok(successor)
}

fn insert(tx: &mut Tx, session: &Session, token: &Token) -> Result<()> {
    let hash = token.hash();
    let row = (
        refresh_tokens::token_hash.eq(hash.as_bytes()),
        refresh_tokens::session_id.eq(&session.id),
        refresh_tokens::issued_at.eq(tx.now),
        refresh_tokens::expires_at.eq(tx.now + millis(LIFETIME)),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(refresh_tokens::table)
        .values(row)
        .execute(conn))?;
    forget_used_but_newest(tx, &session.id)
}

fn forget_used_but_newest(tx: &mut Tx, session_id: &str) -> Result<()> {
    let surplus: Vec<Vec<u8>> = on_either!(tx.conn, |conn| refresh_tokens::table
        .filter(refresh_tokens::session_id.eq(session_id))
        .filter(refresh_tokens::used_at.is_not_null())
        .order((refresh_tokens::used_at.desc(), refresh_tokens::token_hash))
        .select(refresh_tokens::token_hash)
        .limit(SURPLUS)
        .offset(MOST_USED)
        .load(conn))?;
    // As a rule it is one.
    for hash in surplus {
        let forgotten = refresh_tokens::table.find(hash);
        on_either!(tx.conn, |conn| diesel::delete(forgotten).execute(conn))?;
    }
    Ok(())
}

/// What is forgotten in one go: a release before this one may have left many.
const SURPLUS: i64 = 500;

/// All tokens of a session are one family, by which its program is known. It is seen again.
fn is_of_known_program(tx: &mut Tx, session: &Session, token: &Token) -> Result<bool> {
    let family = token.family();
    let its_own = known_programs::table
        .find(family.as_bytes())
        .filter(known_programs::session_id.eq(&session.id));
    let seen = prepared(diesel::update(its_own).set(known_programs::since.eq(tx.now)));
    Ok(on_either!(tx.conn, |conn| seen.execute(conn))? > 0)
}

/// The account comes to know a program by the first token that it is given.
fn begin_family(tx: &mut Tx, session: &Session) -> Result<Token> {
    let first = Token::draw();
    let family = first.family();
    let row = (
        known_programs::family.eq(family.as_bytes()),
        known_programs::user_id.eq(&session.user_id),
        known_programs::session_id.eq(&session.id),
        known_programs::since.eq(tx.now),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(known_programs::table)
        .values(row)
        .execute(conn))?;
    forget_all_but_newest(tx, &session.user_id)?;
    Ok(first)
}

fn forget_all_but_newest(tx: &mut Tx, user_id: &str) -> Result<()> {
    let surplus: Vec<Vec<u8>> = on_either!(tx.conn, |conn| known_programs::table
        .filter(known_programs::user_id.eq(user_id))
        .order((known_programs::since.desc(), known_programs::family))
        .select(known_programs::family)
        .limit(MOST_KNOWN)
        .offset(MOST_KNOWN)
        .load(conn))?;
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

/// What a token that was brought to be used turned out to be. Its account is held: it is that until the
/// transaction ends, and of any number of callers at once each finds what the one before has left.
pub enum Brought {
    /// It was not used before, and keeps this session alive.
    Unused(HeldSession),
    /// It was used a moment ago, and what took its place was not.
    JustUsed(HeldSession, Token),
    /// It was used before.
    UsedBefore(HeldSession),
    /// It keeps no session alive.
    Dead,
}

/// Looks what is to become of a token.
pub fn bring(tx: &mut Tx, config: &Config, keys: &Keys, token: &Token) -> Result<Brought> {
    let hash = token.hash();
    let Some(held) = hold_session(tx, config, &hash)? else {
        // One that was forgotten was used before.
        let of_family = hold_of_family(tx, config, token)?;
        return Ok(of_family.map_or(Brought::Dead, Brought::UsedBefore));
    };
    // Read once the account is held: another use of it may have been under way.
    let row: Option<(Timestamp, Option<Timestamp>, Option<Vec<u8>>)> =
        on_either!(tx.conn, |conn| refresh_tokens::table
            .find(hash.as_bytes())
            .select((
                refresh_tokens::expires_at,
                refresh_tokens::used_at,
                refresh_tokens::successor,
            ))
            .first(conn)
            .optional())?;
    Ok(match row {
        Some((expires_at, None, _)) if expires_at <= tx.now => Brought::Dead,
        Some((_, None, _)) => Brought::Unused(held),
        Some((_, Some(used_at), Some(sealed))) if tx.now < used_at + millis(TOLD_AGAIN) => {
            match unused_successor(tx, keys, &held, &sealed)? {
                Some(successor) => Brought::JustUsed(held, successor),
                None => Brought::UsedBefore(held),
            }
        }
        Some(_) | None => Brought::UsedBefore(held),
    })
}

/// The token that took another's place in this session, while nobody has used it.
fn unused_successor(
    tx: &mut Tx,
    keys: &Keys,
    held: &HeldSession,
    sealed: &[u8],
) -> Result<Option<Token>> {
    let opened = keys.open(KeyPurpose::RefreshSuccessor, sealed);
    let text = opened.and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(successor) = text.as_deref().and_then(Token::parse) else {
        return Ok(None);
    };
    let unused: i64 = refresh_tokens::table
        .find(successor.hash().as_bytes())
        .filter(refresh_tokens::session_id.eq(&held.session.id))
        .filter(refresh_tokens::used_at.is_null())
        .count()
        .get_result(tx.conn)?;
    Ok((unused > 0).then_some(successor))
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
    let named: Option<(String, String)> = on_either!(tx.conn, |conn| refresh_tokens::table
        .find(token.as_bytes())
        .inner_join(sessions_table::table.on(sessions_table::id.eq(refresh_tokens::session_id)))
        .select((sessions_table::user_id, sessions_table::id))
        .first(conn)
        .optional())?;
    match named {
        Some((user_id, id)) => sessions::hold_of_program(tx, config, &user_id, &id),
        None => Ok(None),
    }
}

/// Forgets a batch of those that nobody may use any more.
pub fn purge(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over = over(tx.now)
        .order(refresh_tokens::expires_at)
        .limit(at_most);
    let gone = delete_unlocked!(tx.conn, refresh_tokens::token_hash as Vec<u8>, over)?;
    Ok(gone + purge_successors(tx, rest(at_most, gone))?)
}

/// How many nobody may use any more.
pub fn count_over(tx: &mut Tx) -> Result<i64> {
    Ok(over(tx.now).count().get_result(tx.conn)?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn over(now: Timestamp) -> _ {
    refresh_tokens::table.filter(refresh_tokens::expires_at.le(now))
}

/// What is not told again any more need not lie there, not even sealed.
fn purge_successors(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over: Vec<Vec<u8>> = load_unlocked!(
        tx.conn,
        refresh_tokens::table
            .filter(refresh_tokens::successor.is_not_null())
            .filter(refresh_tokens::used_at.le(tx.now - millis(TOLD_AGAIN)))
            .order(refresh_tokens::used_at)
            .select(refresh_tokens::token_hash)
            .limit(at_most)
    )?;
    let told = refresh_tokens::table.filter(refresh_tokens::token_hash.eq_any(over));
    let clear = diesel::update(told).set(refresh_tokens::successor.eq(None::<Vec<u8>>));
    Ok(on_either!(tx.conn, |conn| clear.execute(conn))?)
}

/// Forgets a batch of programs that were away so long that they are known no more.
pub fn purge_known(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over = forgotten(tx.now)
        .order(known_programs::since)
        .limit(at_most);
    delete_unlocked!(tx.conn, known_programs::family as Vec<u8>, over)
}

/// How many programs were away so long that they are known no more.
pub fn count_forgotten(tx: &mut Tx) -> Result<i64> {
    Ok(forgotten(tx.now).count().get_result(tx.conn)?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn forgotten(now: Timestamp) -> _ {
    let since: Timestamp = now - millis(KNOWN);
    known_programs::table.filter(known_programs::since.le(since))
}
