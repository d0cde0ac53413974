//! The change of address that is pending, as its owner is shown it.

use crate::accounts::email_address::{self, EmailAddress};
use crate::accounts::limits::{self, Asker, MailKind};
use crate::accounts::links;
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::humanize;

/// A pending change, in words.
pub struct PendingChange {
    pub email: String,
    again_at: Option<Timestamp>,
    now: Timestamp,
}

impl PendingChange {
    /// That of this account, if there is one.
    pub fn find(tx: &mut Tx, app: &App, user_id: &str) -> Result<Option<Self>> {
        let Some(pending) = links::pending_change(tx, &app.config, user_id)? else {
            return Ok(None);
        };
        let again_at = match EmailAddress::parse(&pending.email) {
            Ok(email) => {
                let to = MailKind::ChangeEmail.addressee(&email, Asker::Anyone);
                limits::end_of_gap(tx, &app.config, &to)?
            }
            Err(_) => None,
        };
        Ok(Some(Self {
            email: email_address::shown(&pending.email),
            again_at,
            now: tx.now,
        }))
    }

    /// How long it takes until asking again brings another message; `None` if it does so now.
    pub fn again_in(&self) -> Option<String> {
        Some(humanize::until(self.again_at?, self.now))
    }
}
