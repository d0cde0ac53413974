//! Somebody typed an address: what happens, in one transaction.
//!
//! Whatever is known of the address, the visitor sees the same and the same is counted. A member gets what
//! was asked for: a link that signs in, or one that sets a password. A stranger who wants to come in gets a
//! link that confirms the address, if sign-up admits it. An address that was an account's until lately, and
//! whose owner may still take the change back, is mailed that link again. A member whose account is locked gets a letter
//! that says so, without a link. Otherwise nobody is mailed, but a row is written all the same, so that codes, tries and
//! expiry answer alike.
//!
//! Whoever asks again within the gap is sent nothing, for a message that works went out a moment ago; unless it works
//! no more. What they are told depends on one thing only: whether that message answered them or somebody else, for its
//! code belongs to whoever it answered.

use crate::accounts::admission::{self, Admission};
use crate::accounts::client::Client;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Asked, Asker, MailKind, Recent, Verdict};
use crate::accounts::links::{self, Issued, Purpose, Undo, Wanted};
use crate::accounts::users::{self, Held, KnownAccount, User};
use crate::actions::Counted;
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;

/// Who asks for what, and for which address.
pub struct LinkRequest {
    /// Names this request in the browser's cookie and in the link's row.
    pub id: String,
    pub kind: LinkKind,
    pub email: EmailAddress,
    pub client: Client,
    pub asked_by: AskedBy,
}

/// What a request for mail comes from.
pub enum AskedBy {
    Browser {
        /// The accounts that know it: they have a budget of their own.
        known: Vec<KnownAccount>,
        /// The ids of the requests that it made before.
        earlier: Vec<String>,
    },
    /// It shows nothing of what it knows.
    Program,
}

impl AskedBy {
    fn is_known_to(&self, user: &User) -> bool {
        matches!(self, Self::Browser { known, .. } if user.knows(known))
    }

    fn made(&self, link_request_id: &str) -> bool {
        matches!(self, Self::Browser { earlier, .. } if earlier.iter().any(|id| id == link_request_id))
    }
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

    /// What the links are for that may come of it.
    fn purposes(self) -> &'static [Purpose] {
        match self {
            Self::ResetPassword => &[Purpose::ResetPassword],
            Self::SignIn => &[Purpose::SignIn, Purpose::ConfirmEmail],
        }
    }
}

/// What became of it; the same for every address. Asking again makes sense from the moment it says.
#[derive(Debug)]
pub enum Outcome {
    /// Look in the inbox.
    Sent { again_at: Timestamp },
    /// A mail went out a moment ago, in answer to this earlier request of the same browser: no error, and its code is
    /// the one to take, unless it was tried too often.
    SentBefore {
        again_at: Timestamp,
        link_request_id: String,
        takes_code: bool,
    },
    /// A mail went out a moment ago, in answer to somebody else: no error, and its code is to be typed there.
    SentElsewhere { again_at: Timestamp },
}

/// Counts the request, decides what the address is to be mailed, and posts it.
pub fn request(tx: &mut Tx, app: &App, request: &LinkRequest) -> Result<Counted<Outcome>> {
    let behind = Behind::hold(tx, &request.email)?;
    let asker = behind.recognises(request);
    let addressee = request.kind.counted_as().addressee(&request.email, asker);
    let network = &request.client.network;
    match limits::count_request(tx, &app.config, network, &addressee, &request.id)? {
        Asked::Granted { again_at } => {
            answer(tx, app, request, &behind, Some(&request.id))?;
            Ok(Ok(Outcome::Sent { again_at }))
        }
        Asked::WithinGap(recent) => within_gap(tx, app, request, &behind, recent).map(Ok),
        Asked::Refused(too_many) => Ok(Err(too_many)),
    }
}

/// A message went out a moment ago. When its link or code was used, or it works no more for another reason, another one
/// is needed and goes out at once, and whoever asks is answered as if it were not so: it would tell a stranger that
/// the address has an owner, and what that one has just done.
fn within_gap(
    tx: &mut Tx,
    app: &App,
    request: &LinkRequest,
    behind: &Behind,
    recent: Recent,
) -> Result<Outcome> {
    let own = recent.answered.filter(|id| request.asked_by.made(id));
    if is_spent(tx, request, behind, own.as_deref())? {
        let kind = request.kind.counted_as();
        let reader = kind.addressee(&request.email, Asker::AfterUse);
        if let Verdict::Allowed { .. } = limits::count_all(tx, &app.config, &reader.budget())? {
            answer_within_gap(tx, app, request, behind, own.as_deref())?;
        }
    }
    let again_at = recent.again.until;
    Ok(match own {
        Some(link_request_id) => Outcome::SentBefore {
            again_at,
            takes_code: links::takes_code(tx, &link_request_id)?,
            link_request_id,
        },
        None => Outcome::SentElsewhere { again_at },
    })
}

/// Whether no message that works is in the mailbox, or on its way there. To a browser that the account knows, one that
/// a stranger has asked for since is of no use: it ended the link and the code of its own.
fn is_spent(
    tx: &mut Tx,
    request: &LinkRequest,
    behind: &Behind,
    own: Option<&str>,
) -> Result<bool> {
    let is_live = match own {
        Some(id) if behind.recognises(request) == Asker::KnownBrowser => {
            links::request_is_live(tx, id)?
        }
        _ => links::any_live(tx, request.email.as_str(), request.kind.purposes())?,
    };
    Ok(!is_live)
}

/// The code of the new message is to be typed where that of the one before was. A browser that did not ask for that
/// one takes none; its reader opens the link.
fn answer_within_gap(
    tx: &mut Tx,
    app: &App,
    request: &LinkRequest,
    behind: &Behind,
    own: Option<&str>,
) -> Result<()> {
    match (own, &request.asked_by) {
        (Some(id), _) => links::answer_once_more(tx, id, |tx, takes_code| {
            answer(tx, app, request, behind, takes_code.then_some(id))
        }),
        (None, AskedBy::Program) => answer(tx, app, request, behind, Some(&request.id)),
        (None, AskedBy::Browser { .. }) => answer(tx, app, request, behind, None),
    }
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

    fn keeper_who_may_come_in(&self) -> Option<&(Held<User>, Undo)> {
        self.keeper.as_ref().filter(|(user, _)| !user.is_locked())
    }

    fn recognises(&self, request: &LinkRequest) -> Asker {
        let user = self.user.as_ref();
        match user.is_some_and(|user| request.asked_by.is_known_to(user)) {
            true => Asker::KnownBrowser,
            false => Asker::Anyone,
        }
    }
}

/// Mails the address what is its own, if anything is, in answer to this request. Whichever it is, a link's row is
/// written, an event and a letter: while one of the tables cannot be written, nobody learns from it who has an account.
fn answer(
    tx: &mut Tx,
    app: &App,
    request: &LinkRequest,
    behind: &Behind,
    link_request_id: Option<&str>,
) -> Result<()> {
    let email = request.email.as_str();
    let wanted = Wanted {
        purpose: request.kind.purpose(behind.user.is_some()),
        email,
        user: behind.user.as_ref(),
        link_request_id,
        session_id: None,
    };
    let member = behind.user.as_ref().map(|user| user.id.as_str());
    let event = Event::LinkAsked(wanted.purpose);
    events::note_of_stranger(tx, member, event, &request.client)?;
    if let Some(user) = &behind.user {
        return match user.is_locked() {
            true => tell_of_lock(tx, app, &wanted, &request.client),
            false => mail_link(tx, app, &wanted, Some(&request.client)),
        };
    }
    if let Some((user, undo)) = behind.keeper_who_may_come_in() {
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

/// Only the mailbox is told of a lock. Whoever asked types codes in vain, as where nobody was mailed.
fn tell_of_lock(tx: &mut Tx, app: &App, wanted: &Wanted<'_>, client: &Client) -> Result<()> {
    links::decoy(tx, &app.config, &app.keys, wanted)?;
    app.outbox
        .tell(tx, wanted.email, Notice::AccountLocked, client)
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
