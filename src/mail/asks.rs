//! Somebody typed an address: what happens, in one transaction.
//!
//! Whatever is known of the address, the visitor sees the same and the same is counted. A member gets a
//! sign-in link. A stranger gets a link that confirms the address, if sign-up admits it; otherwise
//! nobody is mailed, but a row is written all the same, so that codes, tries and expiry answer alike.

use crate::accounts::email_address::EmailAddress;
use crate::accounts::limits::{self, Limit, Network, Verdict};
use crate::accounts::links::{self, Purpose};
use crate::accounts::users::{self, KnownAccount};
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::letters::{self, AskedFrom};
use crate::mail::outbox::Outbox;

/// Who asks, for which address, and where they stand.
pub struct Ask {
    /// Names this ask in the browser's cookie and in the link's row.
    pub id: String,
    pub email: EmailAddress,
    pub network: Network,
    /// Our own coarse words for the browser, for the letter.
    pub browser: String,
    /// The accounts that know this browser: they have a budget of their own.
    pub known: Vec<KnownAccount>,
}

/// What became of it; the same for every address.
#[derive(Debug)]
pub enum Answer {
    /// Look in the inbox; asking again makes sense from this moment.
    Sent { again_at: Timestamp },
    /// A mail went out a moment ago: no error, and no second mail.
    SentAlready { again_at: Timestamp },
    /// Too often: not before this moment.
    TooMany { until: Timestamp },
}

/// Counts the ask, decides what the address is to be mailed, and posts it.
pub fn ask(tx: &mut Tx, outbox: &Outbox, ask: &Ask) -> Result<Answer> {
    let config = &outbox.config;
    if let Verdict::Refused { until } =
        limits::count_all(tx, config, &ask.network.asking_for_mail())?
    {
        return Ok(Answer::TooMany { until });
    }
    let user = users::find_by_email(tx, &ask.email)?;
    let known_browser = user.as_ref().is_some_and(|user| user.knows(&ask.known));
    let subject = limits::mail_subject(&ask.email, known_browser);
    let again_at = match limits::count(tx, config, Limit::MailGap, &subject)? {
        Verdict::Allowed { again_at } => again_at,
        Verdict::Refused { until } => return Ok(Answer::SentAlready { again_at: until }),
    };
    let budget = [
        (Limit::MailPerAddress, subject.as_str()),
        (Limit::MailPerAddressDaily, subject.as_str()),
    ];
    if let Verdict::Refused { until } = limits::count_all(tx, config, &budget)? {
        limits::give_back(tx, Limit::MailGap, &subject)?;
        return Ok(Answer::TooMany { until });
    }
    let purpose = match user {
        Some(_) => Purpose::SignIn,
        None => Purpose::ConfirmEmail,
    };
    if user.is_some() || users::may_sign_up(tx, &config.sign_up, &ask.email)? {
        mail_link(tx, outbox, purpose, ask)?;
    } else {
        links::issue_decoy(tx, config, &outbox.keys, purpose, &ask.email, &ask.id)?;
    }
    Ok(Answer::Sent { again_at })
}

fn mail_link(tx: &mut Tx, outbox: &Outbox, purpose: Purpose, ask: &Ask) -> Result<()> {
    let issued = links::issue(
        tx,
        &outbox.config,
        &outbox.keys,
        purpose,
        &ask.email,
        Some(&ask.id),
    )?;
    let asked = AskedFrom {
        at: tx.now,
        browser: Some(&ask.browser),
    };
    let letter = letters::link(&outbox.config, &ask.email, &issued, &asked)?;
    outbox.post(tx, &letter)
}
