//! The owner sets another password: every other session ends, and so does every link.
//!
//! Choosing the same password again is harmless.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::links;
use crate::accounts::passwords::PasswordHash;
use crate::accounts::sessions;
use crate::accounts::users::{self, Owner};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;

/// Sets the password, and leaves no session but the one of this id.
pub fn change(
    tx: &mut Tx,
    app: &App,
    owner: &Owner,
    hash: &PasswordHash,
    kept_session: &str,
    client: &Client,
) -> Result<()> {
    let user = owner.user();
    users::set_password(tx, owner, hash)?;
    sessions::end_others(tx, user, kept_session)?;
    links::end_all(tx, user)?;
    events::note(tx, &user.id, Event::PasswordChanged, client)?;
    app.outbox
        .tell(tx, &user.email, Notice::PasswordChanged, client)
}
