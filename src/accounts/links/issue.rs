//! New links: a token and a code that only the letter knows, and a row with what recognises them.

use std::time::Duration;

use diesel::prelude::*;

use super::{CODE_TRIES, Link, Purpose, Undo, end};
use crate::accounts::users::{Held, User};
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::{Tx, on_either, prepared};
use crate::error::Result;
use crate::keys::{KeyPurpose, Keys};
use crate::metrics;
use crate::random::{Code, Token};
use crate::schema::links;

/// What goes into a letter, and nowhere else.
pub struct Issued {
    pub token: Token,
    /// For the browser that asked; a link nobody asked for in a browser has none.
    pub code: Option<Code>,
    pub purpose: Purpose,
    pub lifetime: Duration,
}

impl Issued {
    /// The path of the link, with its token.
    pub fn path(&self) -> String {
        format!("{}?token={}", self.purpose.route(), self.token.reveal())
    }
}

/// A link to be made.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub purpose: Purpose,
    /// Where its letter goes.
    pub email: &'a str,
    /// The account it is for, if there is one: when that is deleted, so is the link.
    pub user: Option<&'a Held<User>>,
    /// The request that it answers, if somebody made one.
    pub link_request_id: Option<&'a str>,
    /// The session that asked, where only somebody signed in may.
    pub session_id: Option<&'a str>,
}

/// Makes a link for this address and ends its older ones, if it takes their place; those that change an address
/// are ended by account ([`end_of`](super::end_of)).
///
/// It can be used from now on, and at the latest twice its lifetime from now: the lifetime proper
/// begins when the letter is handed over ([`handed_over`]), for mail may have to wait.
pub fn issue(tx: &mut Tx, config: &Config, keys: &Keys, wanted: &Wanted<'_>) -> Result<Issued> {
    if wanted.purpose.is_replaced() {
        end(tx, wanted.email, &[wanted.purpose])?;
    }
    let purpose = wanted.purpose;
    tx.after_commit(move || {
        metrics::links(purpose.name(), "issued").inc();
    });
    insert(tx, config, keys, wanted, Life::of(tx.now, purpose, config))
}

/// Writes the row of a link that nobody is mailed, and ends no other link. What it hands back is for a letter that
/// does not leave, either.
pub fn decoy(tx: &mut Tx, config: &Config, keys: &Keys, wanted: &Wanted<'_>) -> Result<Issued> {
    insert(
        tx,
        config,
        keys,
        wanted,
        Life::of(tx.now, wanted.purpose, config),
    )
}

/// From when to when a link can be used, and what its letter says of it.
struct Life {
    asked_at: Timestamp,
    expires_at: Timestamp,
    said: Duration,
}

impl Life {
    fn of(now: Timestamp, purpose: Purpose, config: &Config) -> Self {
        let lifetime = purpose.lifetime(config);
        Self {
            asked_at: now,
            expires_at: now + 2 * millis(lifetime),
            said: lifetime,
        }
    }
}

fn insert(
    tx: &mut Tx,
    config: &Config,
    keys: &Keys,
    wanted: &Wanted<'_>,
    life: Life,
) -> Result<Issued> {
    let has_code = wanted.purpose.has_code() && wanted.link_request_id.is_some();
    let issued = Issued {
        token: Token::draw(),
        code: has_code.then(Code::draw),
        purpose: wanted.purpose,
        lifetime: life.said,
    };
    let code_mac = wanted
        .link_request_id
        .zip(issued.code.as_ref())
        .map(|(ask, code)| keys.authenticate(KeyPurpose::Code, &[ask.as_bytes(), code.as_bytes()]));
    let token_hash = issued.token.hash();
    let row = (
        links::token_hash.eq(token_hash.as_bytes()),
        links::purpose.eq(wanted.purpose.name()),
        links::email.eq(wanted.email),
        links::user_id.eq(wanted.user.map(|user| user.id.as_str())),
        links::link_request_id.eq(wanted.link_request_id),
        links::session_id.eq(wanted.session_id),
        links::code_mac.eq(code_mac),
        links::code_tries.eq(0),
        links::wrong_addresses.eq(0),
        links::asked_at.eq(life.asked_at),
        links::expires_at.eq(life.expires_at),
        links::keep_until.eq(tx.now + millis(wanted.purpose.kept(config))),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(links::table)
        .values(row)
        .execute(conn))?;
    Ok(issued)
}

/// The same undo link once more, with a token of its own: it is as old as the first one, and expires with it.
pub fn issue_undo_again(
    tx: &mut Tx,
    config: &Config,
    keys: &Keys,
    email: &str,
    user: &Held<User>,
    undo: &Undo,
) -> Result<Issued> {
    let wanted = Wanted {
        purpose: Purpose::UndoChangeEmail,
        email,
        user: Some(user),
        link_request_id: None,
        session_id: None,
    };
    let rest = Duration::from_millis((undo.expires_at - tx.now).unsigned_abs());
    let life = Life {
        asked_at: undo.asked_at,
        expires_at: undo.expires_at,
        said: rest.min(wanted.purpose.lifetime(config)),
    };
    insert(tx, config, keys, &wanted, life)
}

/// Answers a request once more: `answer` makes the link, or the decoy, and is told whether a code of it could be
/// typed yet. Tries at the code count on, and the row is forgotten no later than it would have been, so that nobody
/// who types codes there finds out that anything happened.
pub fn answer_once_more(
    tx: &mut Tx,
    link_request_id: &str,
    answer: impl FnOnce(&mut Tx, bool) -> Result<()>,
) -> Result<()> {
    let before = diesel::update(links::table.filter(links::link_request_id.eq(link_request_id)))
        .set(links::link_request_id.eq(None::<String>))
        .returning((links::code_tries, links::keep_until))
        .get_result::<(i32, Timestamp)>(tx.conn)
        .optional()?;
    let Some((code_tries, keep_until)) = before else {
        return answer(tx, true);
    };
    answer(tx, code_tries < CODE_TRIES)?;
    diesel::update(links::table.filter(links::link_request_id.eq(link_request_id)))
        .set((
            links::code_tries.eq(code_tries),
            links::keep_until.eq(keep_until),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// The letters went out: the lifetime (in milliseconds) begins, never beyond what [`issue`] allowed.
pub fn handed_over(tx: &mut Tx, token_hashes: &[&[u8]], lifetime: Timestamp) -> Result<()> {
    let end = tx.now + lifetime;
    let begun = links::table
        .filter(links::token_hash.eq_any(token_hashes))
        .filter(links::expires_at.gt(end));
    on_either!(tx.conn, |conn| {
        prepared(diesel::update(begun).set(links::expires_at.eq(end))).execute(conn)
    })?;
    Ok(())
}

/// Whether a letter with this link is still worth sending.
pub fn is_live(tx: &mut Tx, token_hash: &[u8]) -> Result<bool> {
    let link = on_either!(tx.conn, |conn| links::table
        .find(token_hash)
        .select(Link::as_select())
        .first(conn)
        .optional())?;
    Ok(link.is_some_and(|link| link.is_live(tx.now)))
}
