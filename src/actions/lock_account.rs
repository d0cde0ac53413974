//! The operator locks an account: everything ends at once, on all nodes, and nobody comes in until it is unlocked.
//!
//! Whoever tries sees what a stranger sees: a wrong password, a dead link, a message on its way. That message says to
//! the mailbox, once a day, that the account is locked; nobody else is told. Links that take a change of address back
//! are not ended, for they are how an owner gets back what a thief has changed: they count again once the account is
//! unlocked, if their time is not over.

use crate::accounts::client::Actor;
use crate::accounts::events::{self, Event};
use crate::accounts::links;
use crate::accounts::sessions;
use crate::accounts::users::{self, Named, Operator};
use crate::db::Tx;
use crate::error::Result;

/// What became of it. Each has the address of the account.
pub enum Outcome {
    Done(String),
    /// It was as it was to be.
    WasSo(String),
    NoAccount,
}

/// Locks the account.
pub fn lock(tx: &mut Tx, _: Operator, who: &Named) -> Result<Outcome> {
    let Some(user) = users::hold_named(tx, who)? else {
        return Ok(Outcome::NoAccount);
    };
    if user.is_locked() {
        return Ok(Outcome::WasSo(user.email.clone()));
    }
    users::lock(tx, &user)?;
    sessions::end_all(tx, &user)?;
    links::end_all(tx, &user)?;
    events::note(tx, &user.id, Event::Locked, Actor::Operator)?;
    Ok(Outcome::Done(user.email.clone()))
}

/// Unlocks it. What the lock ended stays ended.
pub fn unlock(tx: &mut Tx, _: Operator, who: &Named) -> Result<Outcome> {
    let Some(user) = users::hold_named(tx, who)? else {
        return Ok(Outcome::NoAccount);
    };
    if !user.is_locked() {
        return Ok(Outcome::WasSo(user.email.clone()));
    }
    users::unlock(tx, &user)?;
    events::note(tx, &user.id, Event::Unlocked, Actor::Operator)?;
    Ok(Outcome::Done(user.email.clone()))
}
