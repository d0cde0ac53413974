//! Somebody typed an address: what happens, in one transaction.
//!
//! Whatever is known of the address, the visitor sees the same and the same is counted. A member gets what
//! was asked for: a link that signs in, or one that sets a password. A stranger who wants to come in gets a
//! link that confirms the address, if sign-up admits it. An address that was an account's until lately, and
//! whose owner may still take the change back, is mailed that link again. Otherwise nobody is mailed, but a
//! row is written all the same, so that codes, tries and expiry answer alike.

use crate::accounts::admission::{self, Admission};
use crate::accounts::client::Client;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, MailKind, Verdict};
use crate::accounts::links::{self, Issued, Purpose, Undo, Wanted};
use crate::accounts::users::{self, Held, KnownAccount, User};
use crate::actions::Counted;
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;

/// Who asks for what, and for which address.
pub struct LinkRequest {
    /// Names this request in the browser's cookie and in the link's row.
    pub id: String,
    pub kind: LinkKind,
    pub email: EmailAddress,
    pub client: Client,
    /// The accounts that know this browser: they have a budget of their own.
    pub known: Vec<KnownAccount>,
}

/// What somebody asks for who is not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// To come in: register, sign in, or confirm once more.
    SignIn,
    /// To set a password.
    ResetPassword,
}

impl LinkKind {
    fn counted_as(self) -> MailKind {
        match self {
            Self::SignIn => MailKind::SignIn,
            Self::ResetPassword => MailKind::ResetPassword,
        }
    }

    fn purpose(self, is_member: bool) -> Purpose {
        match (self, is_member) {
            (Self::ResetPassword, _) => Purpose::ResetPassword,
            (Self::SignIn, true) => Purpose::SignIn,
            (Self::SignIn, false) => Purpose::ConfirmEmail,
        }
    }
}

/// What became of it; the same for every address.
#[derive(Debug)]
pub enum Outcome {
    /// Look in the inbox; asking again makes sense from this moment.
    Sent { again_at: Timestamp },
    /// A mail went out a moment ago: no error, and no second mail.
    SentAlready { again_at: Timestamp },
}

/// Counts the request, decides what the address is to be mailed, and posts it.
pub fn request(tx: &mut Tx, app: &App, request: &LinkRequest) -> Result<Counted<Outcome>> {
    let behind = Behind::hold(tx, &request.email)?;
    let networks = request.client.network.asking_for_mail();
    if let Verdict::Refused(too_many) = limits::count_all(tx, &app.config, &networks)? {
        return Ok(Err(too_many));
    }
    let known_browser = behind
        .user
        .as_ref()
        .is_some_and(|user| user.knows(&request.known));
    let kind = request.kind.counted_as();
    let addressee = kind.addressee(&request.email, known_browser);
    let (gap, subject) = addressee.gap();
    let again_at = match limits::count(tx, &app.config, gap, subject)? {
        Verdict::Allowed { again_at } => again_at,
        Verdict::Refused(too_soon) => {
            let again_at = too_soon.until;
            return Ok(Ok(Outcome::SentAlready { again_at }));
        }
    };
    if let Verdict::Refused(too_many) = limits::count_all(tx, &app.config, &addressee.budget())? {
        limits::give_back(tx, gap, subject)?;
        return Ok(Err(too_many));
    }
    answer(tx, app, request, &behind)?;
    Ok(Ok(Outcome::Sent { again_at }))
}

/// Who is behind an address.
struct Behind {
    /// Whose address it is.
    user: Option<Held<User>>,
    /// Whose it was until lately, and who may still take the change back.
    keeper: Option<(Held<User>, Undo)>,
}

impl Behind {
    /// Accounts are held before anything else is written: one order of locks. For every address the same is asked.
    fn hold(tx: &mut Tx, email: &EmailAddress) -> Result<Self> {
        let user = users::hold_by_email(tx, email.as_str())?;
        let undo = links::oldest_undo(tx, email.as_str())?;
        let keeper = match undo.filter(|_| user.is_none()) {
            Some(undo) => users::hold(tx, &undo.user_id)?.zip(Some(undo)),
            None => None,
        };
        Ok(Self { user, keeper })
    }
}

/// Mails the address what is its own, if anything is. Whichever it is, a link's row is written, an event and a letter:
/// while one of the tables cannot be written, nobody learns from it who has an account.
fn answer(tx: &mut Tx, app: &App, request: &LinkRequest, behind: &Behind) -> Result<()> {
    let email = request.email.as_str();
    let wanted = Wanted {
        purpose: request.kind.purpose(behind.user.is_some()),
        email,
        user: behind.user.as_ref(),
        link_request_id: Some(&request.id),
        session_id: None,
    };
    let member = behind.user.as_ref().map(|user| user.id.as_str());
    let event = Event::LinkAsked(wanted.purpose);
    events::note_of_stranger(tx, member, event, &request.client)?;
    if member.is_some() {
        return mail_link(tx, app, &wanted, Some(&request.client));
    }
    if let Some((user, undo)) = &behind.keeper {
        let issued = links::issue_undo_again(tx, &app.config, &app.keys, email, user, undo)?;
        // The letter is about the browser that changed the address, and this one only asks for a link: it is not
        // named.
        post(tx, app, email, &issued, None)?;
        links::decoy(tx, &app.config, &app.keys, &wanted)?;
        return Ok(());
    }
    if request.kind == LinkKind::SignIn
        && admission::decide(tx, &app.config.accounts.sign_up, None, email)? == Admission::Admitted
    {
        return mail_link(tx, app, &wanted, Some(&request.client));
    }
    mail_nobody(tx, app, &wanted, &request.client)
}

/// Does what [`mail_link`] does, but for the letter, and for the older links, which live on.
pub(super) fn mail_nobody(
    tx: &mut Tx,
    app: &App,
    wanted: &Wanted<'_>,
    client: &Client,
) -> Result<()> {
    let issued = links::decoy(tx, &app.config, &app.keys, wanted)?;
    let browser = client.kind();
    app.outbox.decoy(tx, |outbox, tx| {
        outbox.post_link(tx, wanted.email, &issued, Some(&browser))
    })
}

/// Issues a link and posts its letter, with the browser that asked for it, if one did.
pub(super) fn mail_link(
    tx: &mut Tx,
    app: &App,
    wanted: &Wanted<'_>,
    client: Option<&Client>,
) -> Result<()> {
    let issued = links::issue(tx, &app.config, &app.keys, wanted)?;
    post(tx, app, wanted.email, &issued, client)
}

fn post(tx: &mut Tx, app: &App, to: &str, issued: &Issued, client: Option<&Client>) -> Result<()> {
    let browser = client.map(Client::kind);
    app.outbox.post_link(tx, to, issued, browser.as_deref())
}
