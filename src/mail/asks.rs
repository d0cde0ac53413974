//! Somebody typed an address: what happens, in one transaction.
//!
//! Whatever is known of the address, the visitor sees the same and the same is counted. A member gets what
//! was asked for: a link that signs in, or one that sets a password. A stranger who wants to come in gets a
//! link that confirms the address, if sign-up admits it. An address that was an account's until lately, and
//! whose owner may still take the change back, is mailed that link again. Otherwise nobody is mailed, but a
//! row is written all the same, so that codes, tries and expiry answer alike.

use crate::accounts::client::Client;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Limit, MailKind, Network, Verdict};
use crate::accounts::links::{self, Purpose, Undo, Wanted};
use crate::accounts::users::{self, KnownAccount, User};
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::outbox::Outbox;

/// Who asks for what, for which address, and where they stand.
pub struct Ask {
    /// Names this ask in the browser's cookie and in the link's row.
    pub id: String,
    pub wish: Wish,
    pub email: EmailAddress,
    pub network: Network,
    pub client: Client,
    /// The accounts that know this browser: they have a budget of their own.
    pub known: Vec<KnownAccount>,
}

/// What somebody asks for who is not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To come in: register, sign in, or confirm once more.
    ComeIn,
    /// To set a password.
    ResetPassword,
}

impl Wish {
    fn kind(self) -> MailKind {
        match self {
            Self::ComeIn => MailKind::SignIn,
            Self::ResetPassword => MailKind::ResetPassword,
        }
    }
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
    let subject = ask.wish.kind().subject(&ask.email, known_browser);
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
    answer(tx, outbox, ask, user.as_ref())?;
    Ok(Answer::Sent { again_at })
}

/// Mails the address what is its own, if anything is.
fn answer(tx: &mut Tx, outbox: &Outbox, ask: &Ask, user: Option<&User>) -> Result<()> {
    let purpose = match (ask.wish, user) {
        (Wish::ResetPassword, _) => Purpose::ResetPassword,
        (Wish::ComeIn, Some(_)) => Purpose::SignIn,
        (Wish::ComeIn, None) => Purpose::ConfirmEmail,
    };
    if let Some(user) = user {
        events::note(tx, &user.id, Event::LinkAsked(purpose), &ask.client)?;
        return mail_link(tx, outbox, ask, purpose, Some(&user.id));
    }
    if let Some(undo) = links::oldest_undo(tx, ask.email.as_str())? {
        mail_undo(tx, outbox, ask, &undo)?;
    } else if ask.wish == Wish::ComeIn
        && users::may_sign_up(tx, &outbox.config.accounts.sign_up, &ask.email)?
    {
        return mail_link(tx, outbox, ask, purpose, None);
    }
    let decoy = wanted(ask, purpose, None);
    links::decoy(tx, &outbox.config, &outbox.keys, &decoy)
}

fn mail_link(
    tx: &mut Tx,
    outbox: &Outbox,
    ask: &Ask,
    purpose: Purpose,
    user_id: Option<&str>,
) -> Result<()> {
    let wanted = wanted(ask, purpose, user_id);
    outbox.send_link(tx, &wanted, Some(&ask.client.browser))
}

fn wanted<'a>(ask: &'a Ask, purpose: Purpose, user_id: Option<&'a str>) -> Wanted<'a> {
    Wanted {
        purpose,
        email: ask.email.as_str(),
        user_id,
        ask_id: Some(&ask.id),
        session_id: None,
    }
}

fn mail_undo(tx: &mut Tx, outbox: &Outbox, ask: &Ask, undo: &Undo) -> Result<()> {
    let issued = links::issue_undo_again(tx, &outbox.config, &outbox.keys, &ask.email, undo)?;
    // Who asks now is not who changed it.
    outbox.post_link(tx, ask.email.as_str(), &issued, None)
}
