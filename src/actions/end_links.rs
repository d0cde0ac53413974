//! Every live link of the account ends, stored and signed.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::links;
use crate::accounts::sessions::HeldSession;
use crate::db::Tx;
use crate::error::Result;

/// Ends them all, except those that take a change of address back.
pub fn end_all(tx: &mut Tx, by: &HeldSession, client: &Client) -> Result<()> {
    links::end_all(tx, &by.user)?;
    events::note(tx, &by.user.id, Event::LinksEnded, client)
}
