//! The owner deletes the account, or the operator does, and with it what hangs on it and what was mailed to it.
//!
//! One letter says that it is done, and leaves no trace either. What was counted against a limit stays until its
//! window has passed, a day at the most: else deleting would be a way around the limits.

use crate::accounts::client::{Actor, Client};
use crate::accounts::events::{self, Event};
use crate::accounts::links;
use crate::accounts::users::{self, Named, Operator, Owner, Settled};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::mail::outbox;

/// Deletes the account.
pub fn delete(tx: &mut Tx, app: &App, owner: &Settled<'_, Owner>, client: &Client) -> Result<()> {
    forget(tx, app, owner, client.into(), Notice::AccountDeleted)
}

/// Deletes the account that is named so, in place of its owner; the address that it had, if there was one.
pub fn by_operator(
    tx: &mut Tx,
    app: &App,
    operator: Operator,
    who: &Named,
) -> Result<Option<String>> {
    let Some(user) = users::hold_named(tx, who)? else {
        return Ok(None);
    };
    let owner = operator.in_place_of_owner(user);
    let (settled, notice) = (operator.settles(&owner), Notice::AccountDeletedByOperator);
    forget(tx, app, &settled, Actor::Operator, notice)?;
    Ok(Some(owner.user().email.clone()))
}

fn forget(
    tx: &mut Tx,
    app: &App,
    owner: &Settled<'_, Owner>,
    by: Actor<'_>,
    notice: Notice,
) -> Result<()> {
    let user = owner.user();
    events::note(tx, &user.id, Event::Deleted, by)?;
    outbox::kept::forget_account(tx, &user.id, &user.email)?;
    links::forget_account(tx, user)?;
    users::delete(tx, owner)?;
    app.outbox.tell(tx, &user.email, notice, by)
}
