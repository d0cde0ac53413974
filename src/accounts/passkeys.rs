//! Passkeys: key pairs that authenticators keep, one for each account and authenticator, of which we have the public half.
//!
//! One is added by whoever [may](MayAdd), and taken away by the [`Owner`] alone, if no hold stands in their way
//! ([`Settled`]). Using one opens the account
//! ([`sign_in_with_passkey`](crate::actions::sign_in_with_passkey)) or the gate
//! ([`reauthenticate`](crate::actions::reauthenticate)). What authenticators make, [`webauthn`](crate::webauthn) reads
//! and verifies; what is here is what has to be remembered for that: the keys, how far each has counted, and which
//! [challenges](challenge) were answered.
//!
//! A copy of a key betrays itself where the authenticator counts: the original and the copy count each for itself, and
//! one of them falls behind. That one is refused. Passkeys that may be copied by their owner do not count.

pub mod challenge;
mod may_add;
mod name;

use std::time::Duration;

use diesel::prelude::*;
use sha2::{Digest, Sha256};

pub use may_add::{MayAdd, has_nothing_to_enter, is_new};
pub use name::{Name, NotAName};

use crate::accounts::authenticators;
use crate::accounts::client::Client;
use crate::accounts::users::{Held, Owner, Settled, User};
use crate::clock::{Timestamp, millis};
use crate::db::{Tx, on_either, prepared};
use crate::error::Result;
use crate::random;
use crate::schema::passkeys;
use crate::webauthn::{NewCredential, Used};

/// So many an account has at the most.
pub const MOST: i64 = 20;

/// A passkey that was added later than this before something happened to its account may be part of that: somebody who has
/// a session for a moment adds one, to come back by it. The mailbox is told of each.
const YOUNG: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// A passkey of an account.
#[derive(Clone, Debug, Queryable, Selectable)]
pub struct Passkey {
    pub id: String,
    pub user_id: String,
    /// As its authenticator calls it.
    pub credential_id: Vec<u8>,
    pub public_key: Vec<u8>,
    pub sign_count: i64,
    /// Whether its owner may copy it to other devices, and whether that was done.
    pub backup_eligible: bool,
    pub backed_up: bool,
    /// The kind of authenticator, as it says itself.
    pub aaguid: Vec<u8>,
    transports: String,
    /// What its owner calls it; until then, what keeps it or where it was made.
    pub name: String,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

impl Passkey {
    /// Whether it was young then, or not there yet.
    pub fn is_young(&self, at: Timestamp) -> bool {
        self.created_at > at - millis(YOUNG)
    }

    /// How a browser may reach its authenticator, in the words of the standard.
    pub fn transports(&self) -> impl Iterator<Item = &str> {
        self.transports.split_whitespace()
    }
}

/// What authenticators call an account. It is no id that anybody else sees, tells nothing of an address, and is the
/// same for all passkeys of the account: a second one on the same authenticator takes the place of the first.
pub fn user_handle(user_id: &str) -> [u8; 32] {
    Sha256::digest([b"doorpost user handle ", user_id.as_bytes()].concat()).into()
}

/// What became of a passkey that was to be added.
#[derive(Debug)]
pub enum Added {
    Done,
    /// The account has as many as it may have.
    TooMany,
    /// It was added before, to this account or another.
    Known,
}

/// Adds a passkey to the account, under a first name: that of what keeps it or, where it is not known, of the browser in
/// which it was made.
pub fn add(tx: &mut Tx, may: &MayAdd, made: &NewCredential, client: &Client) -> Result<Added> {
    let user = may.user();
    if count(tx, &user.id)? >= MOST {
        return Ok(Added::TooMany);
    }
    let name = authenticators::name_of(u128::from_be_bytes(made.aaguid));
    let row = (
        passkeys::id.eq(random::id()),
        passkeys::user_id.eq(&user.id),
        passkeys::credential_id.eq(&made.id),
        passkeys::public_key.eq(&made.public_key),
        passkeys::sign_count.eq(i64::from(made.sign_count)),
        passkeys::backup_eligible.eq(made.backup_eligible),
        passkeys::backed_up.eq(made.backed_up),
        passkeys::aaguid.eq(made.aaguid.to_vec()),
        passkeys::transports.eq(made.transports.join(" ")),
        passkeys::name.eq(name.map_or_else(|| client.kind(), str::to_owned)),
        passkeys::created_at.eq(tx.now),
    );
    let added = tx.attempt(|tx| {
        diesel::insert_into(passkeys::table)
            .values(row)
            .execute(tx.conn)
    })?;
    Ok(match added {
        Some(_) => Added::Done,
        None => Added::Known,
    })
}

/// How many an account has.
pub fn count(tx: &mut Tx, user_id: &str) -> Result<i64> {
    Ok(on_either!(tx.conn, |conn| passkeys::table
        .filter(passkeys::user_id.eq(user_id))
        .count()
        .get_result(conn))?)
}

/// The passkeys of an account, the oldest first.
pub fn list(tx: &mut Tx, user_id: &str) -> Result<Vec<Passkey>> {
    Ok(on_either!(tx.conn, |conn| passkeys::table
        .filter(passkeys::user_id.eq(user_id))
        .order((passkeys::created_at, passkeys::id))
        .select(Passkey::as_select())
        .load(conn))?)
}

/// The passkey that its authenticator calls so, whosever it is.
pub fn find_by_credential(tx: &mut Tx, credential_id: &[u8]) -> Result<Option<Passkey>> {
    Ok(on_either!(tx.conn, |conn| passkeys::table
        .filter(passkeys::credential_id.eq(credential_id))
        .select(Passkey::as_select())
        .first(conn)
        .optional())?)
}

/// The same of an account that is held.
pub fn find_of(tx: &mut Tx, user: &Held<User>, credential_id: &[u8]) -> Result<Option<Passkey>> {
    let found = find_by_credential(tx, credential_id)?;
    Ok(found.filter(|passkey| passkey.user_id == user.id))
}

/// Whether a passkey that was used has counted on, as far as its authenticator counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    WentOn,
    /// It has fallen behind: there are two of it.
    FellBehind,
}

/// Notes that a passkey of this account was used just now, unless its counter fell behind. Two at once wait for each
/// other, for the account is held: the second one is judged by what the first one counted to.
pub fn note_use(tx: &mut Tx, user: &Held<User>, passkey: &Passkey, used: Used) -> Result<Counter> {
    let counted = i64::from(used.sign_count);
    let counts = counted != 0 || passkey.sign_count != 0;
    if counts && counted <= passkey.sign_count {
        return Ok(Counter::FellBehind);
    }
    let its_own = passkeys::table
        .find(&passkey.id)
        .filter(passkeys::user_id.eq(&user.id));
    let used = prepared(diesel::update(its_own).set((
        passkeys::sign_count.eq(counted),
        passkeys::backed_up.eq(used.backed_up),
        passkeys::last_used_at.eq(tx.now),
    )));
    on_either!(tx.conn, |conn| used.execute(conn))?;
    Ok(Counter::WentOn)
}

/// Gives a passkey of this account another name; whether there is such a one.
pub fn rename(tx: &mut Tx, user: &Held<User>, id: &str, name: &Name) -> Result<bool> {
    if !random::is_id(id) {
        return Ok(false);
    }
    let its_own = passkeys::table
        .find(id)
        .filter(passkeys::user_id.eq(&user.id));
    let renamed = diesel::update(its_own).set(passkeys::name.eq(name.as_str()));
    Ok(renamed.execute(tx.conn)? > 0)
}

/// Takes a passkey away from the owner's account; the one that it was. From here on it opens nothing.
pub fn remove(tx: &mut Tx, owner: &Settled<'_, Owner>, id: &str) -> Result<Option<Passkey>> {
    if !random::is_id(id) {
        return Ok(None);
    }
    let its_own = passkeys::table
        .find(id)
        .filter(passkeys::user_id.eq(&owner.user().id));
    let removed = its_own
        .select(Passkey::as_select())
        .first(tx.conn)
        .optional()?;
    if removed.is_some() {
        diesel::delete(passkeys::table.find(id)).execute(tx.conn)?;
    }
    Ok(removed)
}

/// Takes away those that were young at this moment, or came later; how many there were. No hold stands in the way of it:
/// what is undone so may be what began the hold.
pub fn remove_young(tx: &mut Tx, owner: &Owner, at: Timestamp) -> Result<usize> {
    let young = passkeys::table
        .filter(passkeys::user_id.eq(&owner.user().id))
        .filter(passkeys::created_at.gt(at - millis(YOUNG)));
    Ok(on_either!(tx.conn, |conn| diesel::delete(young).execute(conn))?)
}

/// Takes all of them away; how many there were.
pub fn remove_all(tx: &mut Tx, owner: &Owner) -> Result<usize> {
    let all = passkeys::table.filter(passkeys::user_id.eq(&owner.user().id));
    Ok(on_either!(tx.conn, |conn| diesel::delete(all).execute(conn))?)
}
