//! The operator lets an address in that sign-up would not admit, and may take that back. No account's activity could have
//! it, for there is none yet: the log does.

use crate::accounts::admission::{self, Admission};
use crate::accounts::email_address::EmailAddress;
use crate::accounts::links::{self, Purpose, Wanted};
use crate::accounts::users;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::letters;

/// How the one who is invited hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// By mail.
    ByMail,
    /// By the operator, who is given the link.
    ByOperator,
}

/// What became of an invitation.
pub enum Invited {
    /// The mail waits to be sent.
    Mailed,
    /// This is the path of the link, to be handed on.
    Link(String),
    /// It has an account already; nothing was done.
    HasAccount,
    /// It was another account's until lately, and is kept while that may still take the change back; nothing was
    /// done.
    Kept,
}

/// Invites the address, with a link to begin with.
pub fn invite(tx: &mut Tx, app: &App, email: &EmailAddress, told: Told) -> Result<Invited> {
    users::hold_address(tx, email.as_str())?;
    match admission::beside_others(tx, None, email.as_str())? {
        Admission::Taken => return Ok(Invited::HasAccount),
        Admission::Kept => return Ok(Invited::Kept),
        Admission::Admitted | Admission::Closed => {}
    }
    admission::invite(tx, email)?;
    let address = email.masked();
    tx.after_commit(move || tracing::info!(address, event = "invited", "invited"));
    let wanted = Wanted {
        purpose: Purpose::ConfirmEmail,
        email: email.as_str(),
        user: None,
        link_request_id: None,
        session_id: None,
    };
    let issued = links::issue(tx, &app.config, &app.keys, &wanted)?;
    if told == Told::ByOperator {
        return Ok(Invited::Link(issued.path()));
    }
    let letter = letters::invitation(&app.config, email.as_str(), &issued, tx.now)?;
    app.outbox.post(tx, &letter)?;
    Ok(Invited::Mailed)
}

/// Takes the invitation back, and ends its link; false if there was none.
pub fn withdraw(tx: &mut Tx, email: &EmailAddress) -> Result<bool> {
    let was_invited = admission::withdraw_invitation(tx, email)?;
    if was_invited {
        links::end(tx, email.as_str(), &[Purpose::ConfirmEmail])?;
        let address = email.masked();
        tx.after_commit(move || {
            tracing::info!(address, event = "invitation_withdrawn", "withdrawn");
        });
    }
    Ok(was_invited)
}
