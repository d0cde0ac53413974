//! People whose address was proven.
//!
//! A row in `users` exists only once somebody used a link that was mailed to its address: nothing that
//! is prepared on an address before its owner proves it can survive the proof, for there is nothing to
//! prepare it on.
//!
//! Whatever changes an account takes it [`Held`]; what changes it for good takes the [`Owner`], or the
//! [`ProvenAddress`] that it is to have, and what would shut its owner out, the proof that no hold stands in the way
//! ([`Settled`]). The four files are parts of this one, apart only so that nothing else can make what they prove.

mod held;
mod operator;
mod owner;
mod reset_hold;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

pub use held::{Held, hold, hold_address, hold_by_email, hold_named};
pub use operator::Operator;
pub use owner::Owner;
pub use reset_hold::{ResetHold, Settled};

use crate::accounts::email_address::EmailAddress;
use crate::accounts::passwords::PasswordHash;
use crate::clock::Timestamp;
use crate::db::{Tx, on_either};
use crate::error::{Error, Result};
use crate::random;
use crate::schema::users;

/// An account.
#[derive(Clone, Queryable, Selectable)]
pub struct User {
    pub id: String,
    pub email: String,
    pub created_at: Timestamp,
    /// The account knows no browser from before this moment any more.
    pub known_since: Timestamp,
    pub password_set_at: Option<Timestamp>,
    /// Whether links in ordinary mail sign in to it.
    pub notification_links: bool,
    /// Whether they do so only from networks it comes from anyhow.
    pub usual_networks_only: bool,
    /// Whether it gets announcements.
    pub announcements: bool,
    /// Since when the operator has locked it, if it is locked.
    pub locked_at: Option<Timestamp>,
    /// When a mailed link last set its password while it had passkeys, if nobody has answered for that since.
    pub reset_hold_since: Option<Timestamp>,
    password_hash: Option<String>,
    /// Raised by whatever ends all of its links; another one altogether after a restore.
    pub(super) signed_links_epoch: i32,
}

/// An account that knows a browser: it signed in there, fully, at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAccount {
    pub user_id: String,
    pub since: Timestamp,
}

impl User {
    /// Whether a browser that brings these is one the account knows.
    pub fn knows(&self, brought: &[KnownAccount]) -> bool {
        brought
            .iter()
            .any(|known| known.user_id == self.id && known.since >= self.known_since)
    }

    /// What a browser is given from which the account has just been signed in to. Never dated before
    /// `known_since`, even if the clock was set back since.
    pub fn known_from(&self, now: Timestamp) -> KnownAccount {
        KnownAccount {
            user_id: self.id.clone(),
            since: now.max(self.known_since),
        }
    }

    /// Somebody, for a test that has no database.
    #[cfg(test)]
    pub(super) fn somebody() -> Self {
        Self {
            id: random::id(),
            email: "ada@example.org".into(),
            created_at: 0,
            known_since: 0,
            password_set_at: None,
            notification_links: true,
            usual_networks_only: false,
            announcements: true,
            locked_at: None,
            reset_hold_since: None,
            password_hash: None,
            signed_links_epoch: 0,
        }
    }

    /// Whether the operator has locked it: then nobody comes in, and no link of it is taken.
    pub fn is_locked(&self) -> bool {
        self.locked_at.is_some()
    }

    /// Whether it has a password, good or not.
    pub fn has_password(&self) -> bool {
        self.password_hash.is_some()
    }

    /// What its password is compared with.
    pub fn password_hash(&self) -> Option<PasswordHash> {
        self.password_hash.clone().map(PasswordHash::stored)
    }
}

/// The account with this id.
pub fn find(tx: &mut Tx, id: &str) -> Result<Option<User>> {
    Ok(on_either!(tx.conn, |conn| users::table
        .find(id)
        .select(User::as_select())
        .first(conn)
        .optional())?)
}

/// The account of this address, if it has one.
pub fn find_by_email(tx: &mut Tx, email: &EmailAddress) -> Result<Option<User>> {
    of_address(tx, email.as_str())
}

/// The same for an address that a table held.
pub fn of_address(tx: &mut Tx, email: &str) -> Result<Option<User>> {
    Ok(on_either!(tx.conn, |conn| users::table
        .filter(users::email.eq(email))
        .select(User::as_select())
        .first(conn)
        .optional())?)
}

/// An account as an operator names it: by its address or by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By the address that it has.
    Address(EmailAddress),
    /// By its id.
    Id(String),
}

impl Named {
    /// Reads what was typed; an address has an `@`, and an id has none.
    pub fn parse(typed: &str) -> Result<Self, String> {
        match random::is_id(typed) {
            true => Ok(Self::Id(typed.to_owned())),
            false => match EmailAddress::parse(typed) {
                Ok(address) => Ok(Self::Address(address)),
                Err(why) => Err(format!(
                    "neither the id of an account nor an address: {why}"
                )),
            },
        }
    }
}

/// The account that is named so.
pub fn find_named(tx: &mut Tx, named: &Named) -> Result<Option<User>> {
    match named {
        Named::Address(address) => find_by_email(tx, address),
        Named::Id(id) => find(tx, id),
    }
}

/// Which accounts an operator wants to see.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Whose address is like this, in which `*` stands for anything.
    pub pattern: Option<String>,
    /// Those that are locked, or those that are not.
    pub locked: Option<bool>,
}

/// The accounts that pass, by their addresses: those after this one, so many at the most. So a list of any length is
/// read page by page.
pub fn list(tx: &mut Tx, filter: &Filter, after: Option<&str>, at_most: i64) -> Result<Vec<User>> {
    let like = filter.pattern.as_deref().map(as_like);
    Ok(on_either!(tx.conn, |conn| {
        let mut found = users::table
            .select(User::as_select())
            .order(users::email)
            .limit(at_most)
            .into_boxed();
        if let Some(after) = after {
            found = found.filter(users::email.gt(after));
        }
        if let Some(like) = like {
            found = found.filter(users::email.like(like).escape('!'));
        }
        match filter.locked {
            Some(true) => found = found.filter(users::locked_at.is_not_null()),
            Some(false) => found = found.filter(users::locked_at.is_null()),
            None => {}
        }
        found.load(conn)
    })?)
}

/// In the words of SQL's `LIKE`, with `!` before what means something there. Addresses are kept in lower case.
fn as_like(pattern: &str) -> String {
    let mut like = String::new();
    for sign in pattern.to_lowercase().chars() {
        match sign {
            '*' => like.push('%'),
            '%' | '_' | '!' => like.extend(['!', sign]),
            other => like.push(other),
        }
    }
    like
}

/// How many accounts there are. To count many takes a while.
pub fn count(tx: &mut Tx) -> Result<i64> {
    Ok(users::table.count().get_result(tx.conn)?)
}

/// The ids of accounts in their order: those after this one, so many at the most.
pub fn ids(tx: &mut Tx, after: &str, at_most: i64) -> Result<Vec<String>> {
    Ok(users::table
        .filter(users::id.gt(after))
        .select(users::id)
        .order(users::id)
        .limit(at_most)
        .load(tx.conn)?)
}

/// An address that its owner has proven, by a link that was mailed there and used up in this transaction; or one that
/// the operator vouches for. Nothing else makes one: without it there is no account to be had, and no other address
/// for one.
#[derive(Debug)]
pub struct ProvenAddress(String);

impl ProvenAddress {
    pub(in crate::accounts) fn by_link(email: String) -> Self {
        Self(email)
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes the account of a proven address, and thereby its owner. The address is held, so that nobody else is
/// making one.
pub fn make(tx: &mut Tx, address: &ProvenAddress) -> Result<Owner> {
    let row = (
        users::id.eq(random::id()),
        users::email.eq(address.as_str()),
        users::created_at.eq(tx.now),
        users::known_since.eq(tx.now),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(users::table)
        .values(row)
        .execute(conn))?;
    let made = hold_by_email(tx, address.as_str())?;
    let made = made.ok_or_else(|| Error::internal("an account was made and is not there"))?;
    Ok(Owner::proven(made))
}

/// Gives the account this password, in place of any it had.
pub fn set_password(tx: &mut Tx, owner: &Owner, hash: &PasswordHash) -> Result<()> {
    diesel::update(users::table.find(&owner.user().id))
        .set((
            users::password_hash.eq(hash.as_str()),
            users::password_set_at.eq(tx.now),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Takes the password away.
pub fn remove_password(tx: &mut Tx, owner: &Owner) -> Result<()> {
    diesel::update(users::table.find(&owner.user().id))
        .set((
            users::password_hash.eq(None::<String>),
            users::password_set_at.eq(None::<Timestamp>),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// What the account's passkeys guard is held from now on, for as long as the setting says.
pub fn begin_reset_hold(tx: &mut Tx, owner: &Owner) -> Result<()> {
    set_reset_hold_since(tx, owner.user(), Some(tx.now))
}

/// Nothing is held any more, in any session.
pub fn end_reset_hold(tx: &mut Tx, owner: &Settled<'_, Owner>) -> Result<()> {
    set_reset_hold_since(tx, owner.user(), None)
}

fn set_reset_hold_since(tx: &mut Tx, user: &Held<User>, at: Option<Timestamp>) -> Result<()> {
    diesel::update(users::table.find(&user.id))
        .set(users::reset_hold_since.eq(at))
        .execute(tx.conn)?;
    Ok(())
}

/// The same password at the present cost.
pub fn rehash_password(tx: &mut Tx, user: &Held<User>, hash: &PasswordHash) -> Result<()> {
    diesel::update(users::table.find(&user.id))
        .set(users::password_hash.eq(hash.as_str()))
        .execute(tx.conn)?;
    Ok(())
}

/// Forgets every browser that the account knows, even one that it came to know in this same millisecond.
pub fn forget_browsers(tx: &mut Tx, user: &Held<User>) -> Result<()> {
    diesel::update(users::table.find(&user.id))
        .set(users::known_since.eq(tx.now.max(user.known_since) + 1))
        .execute(tx.conn)?;
    Ok(())
}

/// Forgets every browser that any account knows, and no link that was signed until now knows its reader any more: also
/// not by what is no longer in the database. To count up from what a backup has would lead to an epoch that the account
/// was in already, after the backup was made or restored before.
pub fn forget_everybodys_browsers(tx: &mut Tx) -> Result<()> {
    diesel::update(users::table)
        .set(users::signed_links_epoch.eq(random::number()))
        .execute(tx.conn)?;
    diesel::update(users::table.filter(users::known_since.le(tx.now)))
        .set(users::known_since.eq(tx.now + 1))
        .execute(tx.conn)?;
    Ok(())
}

/// No link that was signed for the account until now knows its reader any more.
pub fn end_signed_links(tx: &mut Tx, user: &Held<User>) -> Result<()> {
    diesel::update(users::table.find(&user.id))
        .set(users::signed_links_epoch.eq(users::signed_links_epoch + 1))
        .execute(tx.conn)?;
    Ok(())
}

/// Whether links in ordinary mail sign in, and from where. Those that were mailed before they are switched
/// off stay dead when they are switched on again.
pub fn switch_notification_links(
    tx: &mut Tx,
    user: &Held<User>,
    enabled: bool,
    usual_networks_only: bool,
) -> Result<()> {
    diesel::update(users::table.find(&user.id))
        .set((
            users::notification_links.eq(enabled),
            users::usual_networks_only.eq(usual_networks_only),
        ))
        .execute(tx.conn)?;
    match enabled {
        true => Ok(()),
        false => end_signed_links(tx, user),
    }
}

/// Whether the account gets announcements.
pub fn switch_announcements(tx: &mut Tx, user: &Held<User>, wanted: bool) -> Result<()> {
    diesel::update(users::table.find(&user.id))
        .set(users::announcements.eq(wanted))
        .execute(tx.conn)?;
    Ok(())
}

/// Locks the account: from here on nobody comes in. What is open is ended by whoever locks it.
pub fn lock(tx: &mut Tx, user: &Held<User>) -> Result<()> {
    set_locked_at(tx, user, Some(tx.now))
}

/// Unlocks it.
pub fn unlock(tx: &mut Tx, user: &Held<User>) -> Result<()> {
    set_locked_at(tx, user, None)
}

fn set_locked_at(tx: &mut Tx, user: &Held<User>, at: Option<Timestamp>) -> Result<()> {
    diesel::update(users::table.find(&user.id))
        .set(users::locked_at.eq(at))
        .execute(tx.conn)?;
    Ok(())
}

/// Gives the account the address that a used link proves; the account as it is then. `None`: somebody else has the
/// address, and nothing is changed.
pub fn change_email(
    tx: &mut Tx,
    user: &Settled<'_, Held<User>>,
    address: &ProvenAddress,
) -> Result<Option<Held<User>>> {
    let changed = tx.attempt(|tx| {
        diesel::update(users::table.find(&user.id))
            .set(users::email.eq(address.as_str()))
            .execute(tx.conn)
    })?;
    match changed {
        Some(_) => hold(tx, &user.id),
        None => Ok(None),
    }
}

/// Deletes the account, and with it its sessions, links and events.
pub fn delete(tx: &mut Tx, owner: &Settled<'_, Owner>) -> Result<()> {
    diesel::delete(users::table.find(&owner.user().id)).execute(tx.conn)?;
    Ok(())
}
