//! An address is confirmed: from here on the account exists.
//!
//! Whoever uses the link has read that mailbox, so the account is theirs, and nothing anybody typed before is on it.
//! Only the link that makes the account sets its password: where another link was faster, the account is there
//! already, and its password stays as it is.

use crate::accounts::events::{self, Event};
use crate::accounts::links::Consumed;
use crate::accounts::passwords::PasswordHash;
use crate::accounts::sessions::AuthMethod;
use crate::accounts::users;
use crate::actions::sign_in::{self, Device, NewSession};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;

/// Begins the account, with a password if one was chosen, and signs in to it.
pub fn confirm(
    tx: &mut Tx,
    app: &App,
    proof: Consumed,
    device: &Device,
    hash: Option<&PasswordHash>,
) -> Result<Option<NewSession>> {
    let begun = sign_in::by_proof(tx, app, proof, AuthMethod::EmailLink, device)?;
    let owner = begun.as_ref().and_then(|begun| begun.new_owner.as_ref());
    if let (Some(owner), Some(hash)) = (owner, hash) {
        users::set_password(tx, owner, hash)?;
        events::note(tx, &owner.user().id, Event::PasswordSet, &device.client)?;
    }
    Ok(begun)
}
