//! What is known of links that were mailed: the change that is pending, the undo that keeps an address, and what the
//! account's owner may take away.

use diesel::prelude::*;

use super::{CODE_TRIES, Link, Purpose, WRONG_ADDRESSES, live_of};
use crate::accounts::users::User;
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::{Tx, on_either};
use crate::error::Result;
use crate::schema::links;

/// An undo link that still works.
pub struct Undo {
    pub user_id: String,
    pub(super) asked_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// The oldest undo link that still works for an account which had this address once. While there is one,
/// the address is kept for its owner.
pub fn oldest_undo(tx: &mut Tx, email: &str) -> Result<Option<Undo>> {
    let found = on_either!(tx.conn, |conn| links::table
        .filter(links::email.eq(email))
        .filter(links::purpose.eq(Purpose::UndoChangeEmail.name()))
        .filter(links::used_at.is_null())
        .filter(links::expires_at.gt(tx.now))
        .filter(links::wrong_addresses.lt(WRONG_ADDRESSES))
        .filter(links::user_id.is_not_null())
        .order(links::asked_at)
        .select((
            links::user_id.assume_not_null(),
            links::asked_at,
            links::expires_at,
        ))
        .first(conn)
        .optional())?;
    Ok(found.map(|(user_id, asked_at, expires_at)| Undo {
        user_id,
        asked_at,
        expires_at,
    }))
}

/// The address that an account is about to have: asked for, not confirmed yet, and not too late.
#[derive(Clone, Debug)]
pub struct PendingChange {
    pub email: String,
    pub asked_at: Timestamp,
}

/// The pending change of this account's address, if there is one. A change to an address that was taken,
/// whose link nobody was mailed, looks like any other for as long as any other.
pub fn pending_change(
    tx: &mut Tx,
    config: &Config,
    user_id: &str,
) -> Result<Option<PendingChange>> {
    let oldest = tx.now - millis(config.links.change_email);
    let found = live_of(user_id, Purpose::ChangeEmail, tx.now)
        .filter(links::asked_at.gt(oldest))
        .order(links::asked_at.desc())
        .select((links::email, links::asked_at))
        .first(tx.conn)
        .optional()?;
    Ok(found.map(|(email, asked_at)| PendingChange { email, asked_at }))
}

/// Whether the link that answered this request can still be used.
pub fn request_is_live(tx: &mut Tx, link_request_id: &str) -> Result<bool> {
    let link = links::table
        .filter(links::link_request_id.eq(link_request_id))
        .select(Link::as_select())
        .first(tx.conn)
        .optional()?;
    Ok(link.is_some_and(|link| link.is_live(tx.now)))
}

/// Whether a code may still be tried on this request, as far as the number of tries goes.
pub fn takes_code(tx: &mut Tx, link_request_id: &str) -> Result<bool> {
    let tries = links::table
        .filter(links::link_request_id.eq(link_request_id))
        .select(links::code_tries)
        .first::<i32>(tx.conn)
        .optional()?;
    Ok(tries.is_some_and(|tries| tries < CODE_TRIES))
}

/// Whether any link to this address can still be used that is for one of these purposes. One that nobody was mailed
/// looks like any other.
pub fn any_live(tx: &mut Tx, email: &str, purposes: &[Purpose]) -> Result<bool> {
    let names = purposes.iter().map(|purpose| purpose.name());
    let links: Vec<Link> = links::table
        .filter(links::email.eq(email))
        .filter(links::purpose.eq_any(names))
        .filter(links::used_at.is_null())
        .select(Link::as_select())
        .load(tx.conn)?;
    Ok(links.iter().any(|link| link.is_live(tx.now)))
}

/// Whether this account has ever used a link that changed its address to this one.
pub fn change_was_used(tx: &mut Tx, user: &User, email: &str) -> Result<bool> {
    let used = links::table
        .filter(links::user_id.eq(&user.id))
        .filter(links::purpose.eq(Purpose::ChangeEmail.name()))
        .filter(links::email.eq(email))
        .filter(links::used_at.is_not_null());
    let count: i64 = used.count().get_result(tx.conn)?;
    Ok(count > 0)
}

/// A link that can still be used.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = links)]
pub struct Live {
    pub token_hash: Vec<u8>,
    pub expires_at: Timestamp,
}

/// The links of an account that are for this and can still be used, the newest first.
pub fn live(tx: &mut Tx, user_id: &str, purpose: Purpose) -> Result<Vec<Live>> {
    Ok(live_of(user_id, purpose, tx.now)
        .order(links::asked_at.desc())
        .select(Live::as_select())
        .load(tx.conn)?)
}

/// A link as it is kept, without what would open anything.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = links)]
pub struct Kept {
    pub purpose: String,
    pub email: String,
    pub asked_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

/// All links of an account that are kept, the newest first. Not when they end: that would tell one that was
/// mailed from one that only looks like it.
pub fn kept_of(tx: &mut Tx, user: &User) -> Result<Vec<Kept>> {
    let sent_to_it = links::email.eq(&user.email).and(links::user_id.is_null());
    let of_account = links::user_id.eq(&user.id).or(sent_to_it.nullable());
    Ok(links::table
        .filter(of_account)
        .order(links::asked_at.desc())
        .select(Kept::as_select())
        .load(tx.conn)?)
}
