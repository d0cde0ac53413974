//! The owner gives a passkey another name.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::passkeys::{self, Name};
use crate::accounts::users::Owner;
use crate::db::Tx;
use crate::error::Result;

/// Renames the passkey of this id; false if the account has none of it.
pub fn rename(tx: &mut Tx, owner: &Owner, id: &str, name: &Name, client: &Client) -> Result<bool> {
    let user = owner.user();
    let renamed = passkeys::rename(tx, user, id, name)?;
    if renamed {
        events::note(tx, &user.id, Event::PasskeyRenamed, client)?;
    }
    Ok(renamed)
}
