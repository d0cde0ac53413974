//! Mail that is asked for: whom it counts against, and the gap between two mails to one address.

use diesel::prelude::*;

use super::{Counting, Limit, Network, TooMany, Verdict, count_all, give_back, too_many};
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
    let gap = (Limit::MailGap, to.address.as_str());
    let counting = Counting::of(tx, config, &[gap], Some(answers))?;
    match counting.first_full() {
        Some(_) => Ok(Gap::Lasts(recent(tx, to)?)),
        None => Ok(Gap::Over {
            again_at: counting.again_at(tx.now, |_| true),
        }),
    }
}

fn recent(tx: &mut Tx, to: &Addressee) -> Result<Recent> {
    let answered = limits::table
        .find((Limit::MailGap.name(), &to.address))
        .select(limits::about)
        .first::<Option<String>>(tx.conn)
        .optional()?;
    Ok(Recent {
        answered: answered.flatten(),
        again: too_many(tx, Limit::MailGap, &to.address)?,
    })
}

/// What became of a request for mail when it was counted.
pub enum Asked {
    /// Mail may go out; the gap that begins with it ends at this moment.
    Granted { again_at: Timestamp },
    /// A mail went out a moment ago: only the network is counted.
    WithinGap(Recent),
    /// Too many: of the network, and then nothing else is counted; or to the address, and then only the network is.
    Refused(TooMany),
}

/// Counts a request for mail against the network that it comes from and the gap of the address, by one statement; and
/// then, if mail would go out, against the budget of the address, by another. Whoever asks on and on within the gap keeps
/// its row locked no longer than for that.
pub fn count_request(
    tx: &mut Tx,
    config: &Config,
    from: &Network,
    to: &Addressee,
    answers: &str,
) -> Result<Asked> {
    let mut wanted = from.asking_for_mail();
    wanted.push((Limit::MailGap, &to.address));
    let counting = Counting::of(tx, config, &wanted, Some(answers))?;
    let is_gap = |limit: Limit| limit == Limit::MailGap;
    match counting.first_full() {
        Some(full) if is_gap(full.limit) => return Ok(Asked::WithinGap(recent(tx, to)?)),
        Some(full) => {
            counting.take_back(tx, |_| true)?;
            let too_many = too_many(tx, full.limit, full.subject)?;
            return Ok(Asked::Refused(too_many));
        }
        None => {}
    }
    if let Verdict::Refused(too_many) = count_all(tx, config, &to.budget())? {
        counting.take_back(tx, is_gap)?;
        return Ok(Asked::Refused(too_many));
    }
    let again_at = counting.again_at(tx.now, is_gap);
    Ok(Asked::Granted { again_at })
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
