//! The owner deletes the account, and with it what hangs on it and what was mailed to it.
//!
//! One letter says that it is done, and leaves no trace either. What was counted against a limit stays until its
//! window has passed, a day at the most: else deleting would be a way around the limits.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::links;
use crate::accounts::users::{self, Owner};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::mail::outbox;

/// Deletes the account.
pub fn delete(tx: &mut Tx, app: &App, owner: &Owner, client: &Client) -> Result<()> {
    let user = owner.user();
    events::note(tx, &user.id, Event::Deleted, client)?;
    outbox::kept::forget_account(tx, &user.id, &user.email)?;
    links::forget_account(tx, user)?;
    users::delete(tx, owner)?;
    app.outbox
        .tell(tx, &user.email, Notice::AccountDeleted, client)
}
