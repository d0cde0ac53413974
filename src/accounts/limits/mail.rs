//! Mail that is asked for: whom it counts against, and the gap between two mails to one address.

use diesel::prelude::*;

use super::{Limit, TooMany, Verdict, count, give_back};
use crate::accounts::email_address::EmailAddress;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::schema::limits;

/// What mail is asked for: each kind has a budget of its own at an address, and all share that of the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailKind {
    /// To sign in, to register, to confirm: one kind, or the budgets would tell whether an address is known.
    SignIn,
    /// To set a password.
    ResetPassword,
    /// To change an account's address to this one.
    ChangeEmail,
}

/// Who asks. Each has a gap and a budget of its own, so that a stranger's asking shuts nobody out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Anybody who types the address.
    Anyone,
    /// A browser that its account knows.
    KnownBrowser,
    /// Anybody, while the mail before is used up: somebody reads the mailbox, and uses what is sent.
    AfterUse,
}

impl MailKind {
    /// Who is counted when mail is asked for.
    pub fn addressee(self, email: &EmailAddress, asker: Asker) -> Addressee {
        let kind = match self {
            Self::SignIn => "sign_in",
            Self::ResetPassword => "reset_password",
            Self::ChangeEmail => "change_email",
        };
        let who = match asker {
            Asker::Anyone => "anyone",
            Asker::KnownBrowser => "known",
            Asker::AfterUse => "after_use",
        };
        Addressee {
            address: format!("{kind} {who} {email}"),
            mailbox: format!("{who} {}", email.mailbox()),
        }
    }
}

/// Whom mail would go to, as it is counted.
pub struct Addressee {
    address: String,
    mailbox: String,
}

impl Addressee {
    /// What to count against when a mail is to be sent.
    pub fn budget(&self) -> Vec<(Limit, &str)> {
        vec![
            (Limit::MailPerAddress, &self.address),
            (Limit::MailPerAddressDaily, &self.address),
            (Limit::MailPerMailbox, &self.mailbox),
            (Limit::MailPerMailboxDaily, &self.mailbox),
        ]
    }
}

/// The gap between two mails, as somebody meets it who asks for one.
pub enum Gap {
    /// It is over. Another one begins now, and ends at this moment.
    Over { again_at: Timestamp },
    /// A mail went out a moment ago.
    Lasts(Recent),
}

/// The mail that went out a moment ago.
pub struct Recent {
    /// Whom it answered: the id that [`begin_gap`] was given then.
    pub answered: Option<String>,
    /// When the next one may be asked for.
    pub again: TooMany,
}

/// What is counted first when mail is asked for: whoever asks again within the gap counts no further. Of the mail
/// that would go out now, it is kept whom it answers.
pub fn begin_gap(tx: &mut Tx, config: &Config, to: &Addressee, answers: &str) -> Result<Gap> {
    let gap = limits::table.find((Limit::MailGap.name(), &to.address));
    match count(tx, config, Limit::MailGap, &to.address)? {
        Verdict::Allowed { again_at } => {
            diesel::update(gap)
                .set(limits::about.eq(answers))
                .execute(tx.conn)?;
            Ok(Gap::Over { again_at })
        }
        Verdict::Refused(again) => {
            let answered = gap
                .select(limits::about)
                .first::<Option<String>>(tx.conn)
                .optional()?;
            Ok(Gap::Lasts(Recent {
                answered: answered.flatten(),
                again,
            }))
        }
    }
}

/// No mail goes out after all, so the gap that began for it is over.
pub fn give_gap_back(tx: &mut Tx, to: &Addressee) -> Result<()> {
    give_back(tx, Limit::MailGap, &to.address)
}

/// When the gap ends, while it lasts.
pub fn end_of_gap(tx: &mut Tx, config: &Config, to: &Addressee) -> Result<Option<Timestamp>> {
    let Some(rate) = Limit::MailGap.rate(config) else {
        return Ok(None);
    };
    Ok(limits::table
        .find((Limit::MailGap.name(), &to.address))
        .filter(limits::count.ge(i64::from(rate.count)))
        .filter(limits::ends_at.gt(tx.now))
        .select(limits::ends_at)
        .first(tx.conn)
        .optional()?)
}
