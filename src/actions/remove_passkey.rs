//! The owner removes a passkey: nobody signs in with it from here on.
//!
//! Every other session ends, and so does every link, as with another password. Whoever removes a passkey has lost what
//! keeps it more often than not, and whoever found that is signed in there; by which passkey a session came in does not
//! matter for that. The mailbox is told.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::links;
use crate::accounts::passkeys;
use crate::accounts::sessions;
use crate::accounts::users::{Owner, Settled};
use crate::actions::change_password::ThisSession;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::random::Token;

/// What became of it.
pub enum Removed {
    /// It is gone. The session in which it was removed goes on under this token, if it has not ended.
    Gone(Option<Token>),
    /// The account has no passkey of this id.
    NoSuch,
}

/// Removes the passkey of this id.
pub fn remove(
    tx: &mut Tx,
    app: &App,
    owner: &Settled<'_, Owner>,
    id: &str,
    session: &ThisSession,
    client: &Client,
) -> Result<Removed> {
    let user = owner.user();
    if passkeys::remove(tx, owner, id)?.is_none() {
        return Ok(Removed::NoSuch);
    }
    sessions::end_others(tx, user, &session.id)?;
    links::end_all(tx, user)?;
    events::note(tx, &user.id, Event::PasskeyRemoved, client)?;
    app.outbox
        .tell(tx, &user.email, Notice::PasskeyRemoved, client)?;
    sessions::renew(tx, &session.token).map(Removed::Gone)
}
