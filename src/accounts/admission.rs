//! Who may have which address: one decision, made anew in the transaction that gives it.
//!
//! An address is admitted if nobody else has it, if it is not kept for an owner who may still take a change back,
//! and if sign-up is open to it, by the operator's rule or by an invitation. What was decided when a link was
//! asked for counts for nothing once the link is used: an invitation may be withdrawn by then, sign-up be closed,
//! the address be somebody else's.

use diesel::prelude::*;

use crate::accounts::email_address::EmailAddress;
use crate::accounts::links;
use crate::accounts::users::{self, User};
use crate::config::SignUp;
use crate::db::{Tx, on_either};
use crate::error::Result;
use crate::schema::invitations;

/// Whether an address may be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    /// Another account has it.
    Taken,
    /// Another account had it lately, and its owner may still take the change back.
    Kept,
    /// Sign-up is closed to it.
    Closed,
}

/// Whether this account may have this address; without one, whether a new account may.
pub fn decide(
    tx: &mut Tx,
    sign_up: &SignUp,
    account: Option<&User>,
    email: &str,
) -> Result<Admission> {
    let beside_others = beside_others(tx, account, email)?;
    if beside_others == Admission::Admitted && !is_open(tx, sign_up, email)? {
        return Ok(Admission::Closed);
    }
    Ok(beside_others)
}

/// The same for an address that the account had before: sign-up was open to it once.
pub fn beside_others(tx: &mut Tx, account: Option<&User>, email: &str) -> Result<Admission> {
    let is_others = |id: &str| account.is_none_or(|account| account.id != id);
    let holder = users::of_address(tx, email)?;
    if holder.is_some_and(|holder| is_others(&holder.id)) {
        return Ok(Admission::Taken);
    }
    let keeper = links::oldest_undo(tx, email)?;
    Ok(match keeper {
        Some(undo) if is_others(&undo.user_id) => Admission::Kept,
        _ => Admission::Admitted,
    })
}

/// Whether this address may have an account here: by the operator's rule, or by invitation.
fn is_open(tx: &mut Tx, sign_up: &SignUp, email: &str) -> Result<bool> {
    let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
    Ok(sign_up.admits(domain) || is_invited(tx, email)?)
}

/// Whether it has an invitation, used or not.
pub fn is_invited(tx: &mut Tx, email: &str) -> Result<bool> {
    let invited = invitations::table
        .find(email)
        .select(invitations::email)
        .first::<String>(tx.conn)
        .optional()?;
    Ok(invited.is_some())
}

/// Lets this address in, whatever the operator's rule, until it is withdrawn. Once more is no mistake.
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
