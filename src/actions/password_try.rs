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
use crate::mail::notices::Notice;

/// A try that was counted and may be compared.
pub struct PasswordTry {
    /// The account whose password it may be.
    pub(super) user_id: Option<String>,
    /// What to compare it with.
    pub stored: Option<PasswordHash>,
    /// Against what it was counted.
    pub(super) subject: String,
    /// What its budget is left with.
    left: Left,
}

/// What a budget is left with, once this try was counted.
#[derive(Clone, Copy)]
enum Left {
    More,
    /// Nothing in this window.
    NothingForAWhile,
    /// Nothing for up to a day: too many in a row were wrong.
    NothingForADay,
}

/// Counts a try against this subject's budget: how often in a while, and how often in a row.
pub(super) fn count(
    tx: &mut Tx,
    app: &App,
    user: Option<&User>,
    subject: String,
) -> Result<Counted<PasswordTry>> {
    let in_a_row = limits::count(tx, &app.config, Limit::PasswordsInARow, &subject)?;
    let in_a_while = match in_a_row {
        Verdict::Allowed { .. } => {
            limits::count(tx, &app.config, Limit::PasswordPerAccount, &subject)?
        }
        Verdict::Refused(too_many) => return Ok(Err(too_many)),
    };
    let left = match (in_a_row, in_a_while) {
        (_, Verdict::Refused(too_many)) => {
            limits::give_back(tx, Limit::PasswordsInARow, &subject)?;
            return Ok(Err(too_many));
        }
        (Verdict::Allowed { again_at }, _) if again_at > tx.now => Left::NothingForADay,
        (_, Verdict::Allowed { again_at }) if again_at > tx.now => Left::NothingForAWhile,
        _ => Left::More,
    };
    Ok(Ok(PasswordTry {
        user_id: user.map(|user| user.id.clone()),
        stored: user.and_then(User::password_hash),
        subject,
        left,
    }))
}

impl PasswordTry {
    /// Whether this is still the account and the password that it was compared with.
    pub(super) fn is_about(&self, user: &User) -> bool {
        self.user_id.as_deref() == Some(&user.id) && self.stored == user.password_hash()
    }

    /// It was right: what was counted against the subject is given back.
    pub(super) fn forget(&self, tx: &mut Tx) -> Result<()> {
        forget(tx, std::slice::from_ref(&self.subject))
    }

    /// What the mailbox hears of it, if it was wrong.
    pub(super) fn notice(&self) -> Option<Notice> {
        match self.left {
            Left::More => None,
            Left::NothingForAWhile => Some(Notice::PasswordGuessed),
            Left::NothingForADay => Some(Notice::PasswordPaused),
        }
    }
}

/// Gives these all of their tries back.
pub(super) fn forget(tx: &mut Tx, subjects: &[String]) -> Result<()> {
    limits::forget(tx, Limit::PasswordsInARow, subjects)?;
    limits::forget(tx, Limit::PasswordPerAccount, subjects)
}
