//! Sign in: by a link, by a code, by the password, by a passkey, by a link in ordinary mail. Every session begins here.
//!
//! A session replaces the one its browser had, so that no right of that one carries over, and every link that
//! signs in to the account ends. A browser that the account does not know is told of in a notice.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Guesser, Limit};
use crate::accounts::links::{self, CodeTried, Consumed, Purpose};
use crate::accounts::refresh_tokens;
use crate::accounts::sessions::{self, AuthMethod, Holder, Session, Started};
use crate::accounts::signed_links::{self, SignedToken};
use crate::accounts::users::{self, Held, KnownAccount, Owner, ProvenAddress, User};
use crate::actions::{Counted, follow_link};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::random::{Code, Token, TokenHash};

/// What somebody is about to sign in on.
pub struct Device {
    pub client: Client,
    /// The accounts that know the browser.
    pub known: Vec<KnownAccount>,
    /// The session that the browser had.
    pub replaced: Option<TokenHash>,
    pub holder: Holder,
}

impl Device {
    /// A program brings nothing along: no session to replace, and no account knows it.
    pub fn program(client: Client) -> Self {
        Self {
            client,
            known: Vec::new(),
            replaced: None,
            holder: Holder::Program,
        }
    }

    /// The same on a shared computer, if it is one.
    pub fn shared_if(self, shared: bool) -> Self {
        match shared {
            true => Self {
                holder: Holder::SharedBrowser,
                ..self
            },
            false => self,
        }
    }
}

/// A session that has just begun, on its way to whoever signed in.
pub struct NewSession {
    pub session: Session,
    /// For the browser's cookie.
    pub token: Token,
    /// What keeps it alive, if a program holds it.
    pub refresh_token: Option<Token>,
    /// What the browser is known by from here on.
    pub known: KnownAccount,
    /// Whose account began with it.
    pub new_owner: Option<Owner>,
}

/// Signs in whoever used a link or a code, in the transaction that used it up. `None` when it leads to no
/// account.
pub fn by_proof(
    tx: &mut Tx,
    app: &App,
    proof: Consumed,
    method: AuthMethod,
    device: &Device,
) -> Result<Option<NewSession>> {
    let Some(address) = proof.address() else {
        return Ok(None);
    };
    if proof.user().is_none() && proof.purpose() == Purpose::ConfirmEmail {
        return register(tx, &proof, address, method, device).map(Some);
    }
    // A link that was sent to a former address of the account signs nobody in.
    let is_its_own = |user: &&Held<User>| user.email == address.as_str();
    let Some(user) = proof.user().filter(is_its_own) else {
        return Ok(None);
    };
    tell_of_new_browser(tx, app, user, device)?;
    begin(tx, user, method, device).map(Some)
}

/// The link proves a new address: the account begins.
fn register(
    tx: &mut Tx,
    proof: &Consumed,
    address: &ProvenAddress,
    method: AuthMethod,
    device: &Device,
) -> Result<NewSession> {
    let owner = users::make(tx, address)?;
    links::remember_user(tx, proof, owner.user())?;
    events::note(tx, &owner.user().id, Event::Registered, &device.client)?;
    let mut begun = begin(tx, owner.user(), method, device)?;
    begun.new_owner = Some(owner);
    Ok(begun)
}

/// What became of a code that was typed to come in.
pub enum CodeOutcome {
    In(Box<NewSession>),
    Wrong,
    /// It was right, and was used before.
    Used,
    /// No tries are left, or the request is gone: a new one must be made.
    Ended,
}

/// A right code signs in; any other counts against the network it came from.
pub fn by_code(
    tx: &mut Tx,
    app: &App,
    link_request_id: &str,
    code: &Code,
    device: &Device,
) -> Result<Counted<CodeOutcome>> {
    let outcome = match links::try_code(tx, &app.keys, link_request_id, code)? {
        CodeTried::Right(found) => {
            let begun = match follow_link::use_up(tx, app, *found, &device.client)? {
                Some(proof) => by_proof(tx, app, proof, AuthMethod::EmailCode, device)?,
                None => None,
            };
            let outcome = begun.map(|begun| CodeOutcome::In(Box::new(begun)));
            return Ok(Ok(outcome.unwrap_or(CodeOutcome::Ended)));
        }
        // Whoever knows it is not guessing.
        CodeTried::Used => return Ok(Ok(CodeOutcome::Used)),
        CodeTried::Wrong { ended: false } => CodeOutcome::Wrong,
        CodeTried::Wrong { ended: true } | CodeTried::Ended => CodeOutcome::Ended,
    };
    Ok(follow_link::count_guess(tx, app, &device.client)?.map(|()| outcome))
}

/// Signs in whoever knew the password of this account.
pub(super) fn by_password(
    tx: &mut Tx,
    app: &App,
    user: &Held<User>,
    device: &Device,
) -> Result<NewSession> {
    tell_of_new_browser(tx, app, user, device)?;
    begin(tx, user, AuthMethod::Password, device)
}

/// Signs in whoever used a passkey of this account.
pub(super) fn by_passkey(
    tx: &mut Tx,
    app: &App,
    user: &Held<User>,
    device: &Device,
) -> Result<NewSession> {
    tell_of_new_browser(tx, app, user, device)?;
    begin(tx, user, AuthMethod::Passkey, device)
}

/// Whom a link in ordinary mail is for, as far as this browser goes.
pub enum Reader<T> {
    /// The account knows this browser, and takes such links from there.
    Known(T),
    /// It does not.
    Stranger,
    /// The link is expired, ended, tampered with, or never was ours.
    Nobody,
}

/// Looks who reads, without touching anything: most who come are strangers or come in vain.
pub fn look_at_notification(
    tx: &mut Tx,
    app: &App,
    token: &SignedToken,
    device: &Device,
) -> Result<Reader<()>> {
    let purpose = signed_links::Purpose::Notification;
    match app.signed_links.reader(tx, purpose, token)? {
        None => Ok(Reader::Nobody),
        Some(user) if takes_from(tx, &user, device)? => Ok(Reader::Known(())),
        Some(_) => Ok(Reader::Stranger),
    }
}

/// Signs in whoever followed a link in ordinary mail in a browser that the account knows. It proves less than
/// the other ways: no link ends, and no guess at the password is forgotten.
pub fn by_notification(
    tx: &mut Tx,
    app: &App,
    token: &SignedToken,
    device: &Device,
) -> Result<Reader<Box<Started>>> {
    let purpose = signed_links::Purpose::Notification;
    let Some(user) = app.signed_links.hold_reader(tx, purpose, token)? else {
        return Ok(Reader::Nobody);
    };
    if !takes_from(tx, &user, device)? {
        return Ok(Reader::Stranger);
    }
    let (method, client) = (AuthMethod::NotificationLink, &device.client);
    let replaced = device.replaced.as_ref();
    let started = sessions::start(tx, &user, method, Holder::Browser, client, replaced)?;
    events::note(tx, &user.id, Event::SignedIn(method), client)?;
    Ok(Reader::Known(Box::new(started)))
}

/// Whether the account takes links in ordinary mail from this browser.
fn takes_from(tx: &mut Tx, user: &User, device: &Device) -> Result<bool> {
    let network = &device.client.network;
    Ok(user.knows(&device.known)
        && (!user.usual_networks_only || events::comes_from(tx, &user.id, network)?))
}

/// Begins the session, and ends the links that it makes superfluous.
fn begin(
    tx: &mut Tx,
    user: &Held<User>,
    method: AuthMethod,
    device: &Device,
) -> Result<NewSession> {
    let superfluous = [Purpose::SignIn, Purpose::ConfirmEmail];
    links::end(tx, &user.email, &superfluous)?;
    // Whoever guessed from outside, the owner is here. At the gate it is the password alone that counts.
    let guessers = Guesser::all_at_sign_in(&user.email);
    limits::forget(tx, Limit::PasswordsInARow, &guessers)?;
    let (holder, client) = (device.holder, &device.client);
    let started = sessions::start(tx, user, method, holder, client, device.replaced.as_ref())?;
    let refresh_token = match holder {
        Holder::Program => Some(refresh_tokens::issue(tx, user, &started.session)?),
        Holder::Browser | Holder::SharedBrowser => None,
    };
    events::note(tx, &user.id, Event::SignedIn(method), client)?;
    Ok(NewSession {
        session: started.session,
        token: started.token,
        refresh_token,
        known: user.known_from(tx.now),
        new_owner: None,
    })
}

fn tell_of_new_browser(tx: &mut Tx, app: &App, user: &Held<User>, device: &Device) -> Result<()> {
    if user.knows(&device.known) {
        return Ok(());
    }
    app.outbox
        .tell(tx, &user.email, Notice::NewBrowser, &device.client)
}
