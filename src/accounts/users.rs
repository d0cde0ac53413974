//! People whose address was proven, and those who were invited.
//!
//! A row in `users` exists only once somebody used a link that was mailed to its address: nothing that
//! is prepared on an address before its owner proves it can survive the proof, for there is nothing to
//! prepare it on.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::accounts::email_address::EmailAddress;
use crate::accounts::links::{Consumed, Purpose};
use crate::clock::Timestamp;
use crate::config::SignUp;
use crate::db::{Tx, on_either};
use crate::error::Result;
use crate::random;
use crate::schema::{invitations, users};

/// An account.
#[derive(Clone, Debug, Queryable, Selectable)]
pub struct User {
    pub id: String,
    pub email: String,
    /// Browsers that came to know the account before this moment are strangers again.
    pub known_since: Timestamp,
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
}

/// The account of this address, if it has one.
pub fn find_by_email(tx: &mut Tx, email: &EmailAddress) -> Result<Option<User>> {
    find_stored(tx, email.as_str())
}

/// The account that a used link leads to: made now if the link proves a new address. A sign-in link makes
/// none, so one whose account is gone leads nowhere and does not bring it back.
///
/// Taking the [`Consumed`] link is the point: without a proven address there is no account to be had.
pub fn led_to_by(tx: &mut Tx, proof: &Consumed) -> Result<Option<User>> {
    if proof.purpose() == Purpose::ConfirmEmail {
        make(tx, proof.email())?;
    }
    find_stored(tx, proof.email())
}

/// Two links for one address may be used at once: one makes the account, both find it.
fn make(tx: &mut Tx, email: &str) -> Result<()> {
    let id = random::id();
    let row = (
        users::id.eq(&id),
        users::email.eq(email),
        users::created_at.eq(tx.now),
        users::known_since.eq(tx.now),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(users::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(())
}

fn find_stored(tx: &mut Tx, email: &str) -> Result<Option<User>> {
    Ok(on_either!(tx.conn, |conn| users::table
        .filter(users::email.eq(email))
        .select(User::as_select())
        .first(conn)
        .optional())?)
}

/// Whether this address may have an account here: by the house's rule, or by invitation.
pub fn may_sign_up(tx: &mut Tx, sign_up: &SignUp, email: &EmailAddress) -> Result<bool> {
    Ok(sign_up.admits(email.domain()) || is_invited(tx, email)?)
}

fn is_invited(tx: &mut Tx, email: &EmailAddress) -> Result<bool> {
    let invited = invitations::table
        .find(email.as_str())
        .select(invitations::email)
        .first::<String>(tx.conn)
        .optional()?;
    Ok(invited.is_some())
}

/// Lets this address in, whatever the house's rule, until it is withdrawn. Once more is no mistake.
pub fn invite(tx: &mut Tx, email: &EmailAddress) -> Result<()> {
    let row = (
        invitations::email.eq(email.as_str()),
        invitations::invited_at.eq(tx.now),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(invitations::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(())
}

/// Takes an invitation back; false if there was none. An account made through it stays.
pub fn withdraw_invitation(tx: &mut Tx, email: &EmailAddress) -> Result<bool> {
    let gone = diesel::delete(invitations::table.find(email.as_str())).execute(tx.conn)?;
    Ok(gone > 0)
}
