//! A mail server reports what became of a letter that it took: it came back, or is late.
//!
//! Once for each letter, however often it is reported. A report may be days on its way: what it says of an account
//! whose owner has used a later letter, or who came by the address later, is over. The operator sees it on the list of mail, with the mail server's
//! words; the owner of the account in its activity and on the account page, with the code alone. What it means for
//! further mail is told by [`mail_bounces`]. Whoever asks for a link sees nothing of it, and gets the link.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::mail_bounces::{self, Returned};
use crate::accounts::users;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::bounce_report::{Fate, Report, Says};
use crate::mail::outbox::{kept, state};

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The letter is marked as one that came back.
    Bounced,
    /// It is on its way, and is marked as late.
    Delayed,
    /// It came back before.
    Known,
    /// The letter has just left, and whoever sent it has not written that down yet: to be reported again in a while.
    TooEarly,
    /// There is no such letter, or it was never sent.
    Unknown,
}

/// Writes down what is reported of this letter.
pub fn note_bounce(tx: &mut Tx, id: &str, report: &Report) -> Result<Outcome> {
    let Some(mail) = kept::find(tx, id)? else {
        return Ok(Outcome::Unknown);
    };
    match (&*mail.state, report.fate) {
        (state::QUEUED, _) => return Ok(Outcome::TooEarly),
        (state::BOUNCED, _) => return Ok(Outcome::Known),
        (state::SENT, Fate::Failed) => {}
        (state::SENT, Fate::Delayed) => {
            kept::delayed(tx, id, &report.reason)?;
            return Ok(Outcome::Delayed);
        }
        _ => return Ok(Outcome::Unknown),
    }
    let account = users::hold_by_email(tx, &mail.email)?;
    if !kept::bounced(tx, id, &report.reason)? {
        return Ok(Outcome::Known);
    }
    if let Some(user) = &account
        && !events::read_mail_since(tx, &user.id, mail.queued_at)?
    {
        events::note(tx, &user.id, Event::MailBounced, &Client::mail_server())?;
        let says = report.says_of(&mail.email);
        if says != Says::Nothing {
            let returned = Returned {
                posted_at: mail.queued_at,
                no_mailbox: says == Says::NoMailbox,
                status: &report
                    .status
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
            };
            mail_bounces::note(tx, user, &returned)?;
        }
    }
    Ok(Outcome::Bounced)
}
