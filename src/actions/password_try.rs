//! A password that somebody typed, between its two transactions.
//!
//! To compare one is slow, so it stands between a transaction that counts the try and one that concludes what came
//! of it. Counted first, so that many tries at once, on any number of nodes, are no more than the limit allows.

use crate::accounts::limits::{self, Limit, Verdict};
use crate::accounts::passwords::PasswordHash;
use crate::accounts::users::User;
use crate::actions::Counted;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;

/// A try that was counted and may be compared.
pub struct PasswordTry {
    /// The account whose password it may be.
    pub(super) user_id: Option<String>,
    /// What to compare it with.
    pub stored: Option<PasswordHash>,
    /// Against what it was counted.
    pub(super) subject: String,
    /// There is no other try in this window.
    pub(super) is_last: bool,
}

/// Counts a try against this subject's budget.
pub(super) fn count(
    tx: &mut Tx,
    app: &App,
    user: Option<&User>,
    subject: String,
) -> Result<Counted<PasswordTry>> {
    let verdict = limits::count(tx, &app.config, Limit::PasswordPerAccount, &subject)?;
    Ok(match verdict {
        Verdict::Refused(too_many) => Err(too_many),
        Verdict::Allowed { again_at } => Ok(PasswordTry {
            user_id: user.map(|user| user.id.clone()),
            stored: user.and_then(User::password_hash),
            subject,
            is_last: again_at > tx.now,
        }),
    })
}

impl PasswordTry {
    /// Whether this is still the account and the password that it was compared with.
    pub(super) fn is_about(&self, user: &User) -> bool {
        self.user_id.as_deref() == Some(&user.id) && self.stored == user.password_hash()
    }

    /// It was right: what was counted against the subject is given back.
    pub(super) fn forget(&self, tx: &mut Tx) -> Result<()> {
        limits::forget(tx, Limit::PasswordPerAccount, &self.subject)
    }
}
