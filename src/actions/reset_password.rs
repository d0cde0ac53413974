//! A link by mail sets a new password, or the first one.
//!
//! From here on the new password counts. Every session and every link of the account ends, and the mailbox is told.
//! It signs nobody in, and on an account that has passkeys it is followed by a hold
//! ([`reset_hold`](crate::actions::reset_hold)). Links that take a change of address back survive, for they are how an owner gets an account
//! back whose mail somebody else reads.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::Guesser;
use crate::accounts::links::{self, Consumed};
use crate::accounts::passwords::PasswordHash;
use crate::accounts::sessions;
use crate::accounts::users;
use crate::actions::{password_try, reset_hold};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;

/// Sets the password; the address of the account. `None` when the account is gone, or has left that address.
pub fn reset(
    tx: &mut Tx,
    app: &App,
    proof: Consumed,
    hash: &PasswordHash,
    client: &Client,
) -> Result<Option<String>> {
    let Some(owner) = proof.into_owner() else {
        return Ok(None);
    };
    let user = owner.user();
    users::set_password(tx, &owner, hash)?;
    sessions::end_all(tx, user)?;
    links::end_all(tx, user)?;
    let mut guessers = Guesser::all_at_sign_in(&user.email);
    guessers.push(Guesser::at_gate(&user.id));
    password_try::forget(tx, &guessers)?;
    events::note(tx, &user.id, Event::PasswordSet, client)?;
    let notice = match reset_hold::begin(tx, app, &owner, client)? {
        Some(hold) => Notice::PasswordSetAndHeld { until: hold.until },
        None => Notice::PasswordSet,
    };
    app.outbox.tell(tx, &user.email, notice, client)?;
    Ok(Some(user.email.clone()))
}
