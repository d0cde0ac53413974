//! A link by mail makes the first passkey, where it would set the first password.
//!
//! The account has neither ([`MayAdd::by_link`]): one that has is its owner's by that, and somebody who reads the mail
//! could else add a passkey of theirs, which would outlive the reset. Every session and every link of the account ends,
//! and the mailbox is told. It signs nobody in.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::links::{self, Consumed, Found};
use crate::accounts::passkeys::challenge::For;
use crate::accounts::passkeys::{self, MayAdd};
use crate::accounts::sessions;
use crate::actions::add_passkey::{self, Made, Offer, Outcome};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;

/// What an authenticator is to be asked for, while the link is live; nothing is used up. `Some(None)`: it would not be
/// the first one, or there is a password.
pub fn offer(tx: &mut Tx, app: &App, found: &Found, purpose: For) -> Result<Option<Option<Offer>>> {
    let Some(user) = found.user() else {
        return Ok(None);
    };
    match passkeys::has_nothing_to_enter(tx, user)? {
        true => add_passkey::offer(tx, app, user, purpose).map(Some),
        false => Ok(Some(None)),
    }
}

/// Makes it the account's. `None` when that has something to enter by now, is gone, or has left the address.
pub fn set(
    tx: &mut Tx,
    app: &App,
    proof: Consumed,
    made: &Made,
    client: &Client,
) -> Result<Option<()>> {
    let Some(may) = MayAdd::by_link(tx, proof)? else {
        return Ok(None);
    };
    let Outcome::Added = add_passkey::keep(tx, &may, made, client)? else {
        return Ok(None);
    };
    let user = may.user();
    sessions::end_all(tx, user)?;
    links::end_all(tx, user)?;
    events::note(tx, &user.id, Event::PasskeySet, client)?;
    app.outbox
        .tell(tx, &user.email, Notice::PasskeySet, client)?;
    Ok(Some(()))
}
