//! The gate before what is sensitive.
//!
//! A session that came from a link, however fresh, may look. To change what counts, its visitor enters the
//! password: in this very session, and no longer ago than the window, which use does not stretch. Whoever
//! comes to the gate too late is sent to enter it and then back to the form, with what was typed in it
//! (never a password) kept in a sealed cookie; nothing is done until the form is sent once more.
//!
//! Where the session is bound to its device, the device is to have proven within the last minute that it is there,
//! besides: a browser that can is sent to do so and comes back by itself, with its form.
//!
//! A handler asks for [`Reauthenticated`] to show such a page, and for [`Sensitive`] to take its form. Either
//! only decides what the visitor sees. What may be done is decided again in the transaction that does it:
//! [`Reauthenticated::act`] looks the session up there and hands over the [`Owner`], which nothing
//! outside `accounts/` can make, and without which what is sensitive does not compile:
//!
//! ```no_run
//! use doorpost::accounts::passwords::PasswordHash;
//! use doorpost::accounts::users;
//! use doorpost::flows::Answer;
//! use doorpost::web::step_up::Reauthenticated;
//!
//! async fn set(gate: Reauthenticated, hash: PasswordHash) -> Answer {
//!     gate.act(move |tx, _, owner| users::set_password(tx, owner, &hash)).await?;
//!     gate.visitor.done("Your password is changed.", "/account")
//! }
//! ```
//!
//! ```compile_fail
//! use doorpost::accounts::users;
//! use doorpost::flows::Answer;
//! use doorpost::web::page::see_other;
//! use doorpost::web::visitor::SignedIn;
//!
//! async fn forget(signed_in: SignedIn) -> Answer {
//!     let (app, session) = (signed_in.visitor.app, signed_in.session);
//!     app.transaction(move |tx| users::remove_password(tx, &session)).await?;
//!     Ok(see_other("/").finish())
//! }
//! ```
//!
//! Whoever reads the mailbox can have the password set, so what would shut the owner out for good wants more after a reset
//! by mail: a passkey, if the account has one, or time ([`Settled`]). That is asked of [`Reauthenticated::act_settled`]:
//!
//! ```no_run
//! use doorpost::accounts::users;
//! use doorpost::flows::Answer;
//! use doorpost::web::step_up::{BehindGate, Sensitive};
//!
//! async fn delete<T: BehindGate>(Sensitive { gate, form }: Sensitive<T>) -> Answer {
//!     gate.act_settled(&form, |tx, _, owner| users::delete(tx, owner)).await?;
//!     gate.visitor.done("Your account is deleted.", "/")
//! }
//! ```
//!
//! and a handler that forgets it does not compile, either:
//!
//! ```compile_fail
//! use doorpost::accounts::users;
//! use doorpost::flows::Answer;
//! use doorpost::web::step_up::{BehindGate, Sensitive};
//!
//! async fn delete<T: BehindGate>(Sensitive { gate, .. }: Sensitive<T>) -> Answer {
//!     gate.act(|tx, _, owner| users::delete(tx, owner)).await?;
//!     gate.visitor.done("Your account is deleted.", "/")
//! }
//! ```

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use actix_web::cookie::Cookie;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use crate::accounts::device_keys;
use crate::accounts::passkeys::{self, MayAdd};
use crate::accounts::sessions::{self, HeldSession, Session};
use crate::accounts::users::{Owner, Settled};
use crate::actions::reauthenticate;
use crate::app::App;
use crate::clock::{Timestamp, millis};
use crate::db::Tx;
use crate::error::Result;
use crate::random::TokenHash;
use crate::web::bound_session::{self, DeviceProof};
use crate::web::form::Form;
use crate::web::rejection::Rejection;
use crate::web::sealed_cookies::Interrupted;
use crate::web::visitor::{SignedIn, Visitor, way_back};

/// Somebody is signed in and has entered the password lately enough.
pub struct Reauthenticated {
    pub visitor: Visitor,
    pub session: Session,
    passed: Passed,
}

impl FromRequest for Reauthenticated {
    type Error = Rejection;
    type Future = Looked<Self>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        look(req, payload, async |signed_in| {
            let passed = pass_to_page(&signed_in).await?;
            Ok(Self::of(signed_in, passed))
        })
    }
}

/// A form behind the gate. It knows its page, to which an interrupted visitor comes back.
pub trait BehindGate: DeserializeOwned + 'static {
    /// The page that holds the form.
    const PAGE: &'static str;

    /// The same of a form whose page is of one thing among many: it is known by the request that sent it.
    fn page(_: &HttpRequest) -> String {
        Self::PAGE.to_owned()
    }

    /// What was typed and is worth keeping, by the name of its field; never a password.
    fn typed(&self) -> BTreeMap<String, String>;
}

/// A form that somebody sent who has entered the password lately enough.
pub struct Sensitive<T> {
    pub gate: Reauthenticated,
    pub form: T,
}

impl<T: BehindGate> FromRequest for Sensitive<T> {
    type Error = Rejection;
    type Future = Looked<Self>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let form = Form::<T>::from_request(req, payload);
        let page = T::page(req);
        look(req, payload, async move |signed_in| {
            let Form(form) = form.await?;
            let passed = pass(&signed_in, page, form.typed()).await?;
            let gate = Reauthenticated::of(signed_in, passed);
            Ok(Self { gate, form })
        })
    }
}

/// What a look at a request comes to.
type Looked<T> = Pin<Box<dyn Future<Output = Result<T, Rejection>>>>;

/// Looks at whoever asks for a page, once it is known who is signed in.
fn look<T: 'static>(
    req: &HttpRequest,
    payload: &mut Payload,
    at: impl AsyncFnOnce(SignedIn) -> Result<T, Rejection> + 'static,
) -> Looked<T> {
    let signed_in = SignedIn::from_request(req, payload);
    Box::pin(async move { at(signed_in.await?).await })
}

/// Somebody has passed: what finds their session again, in the transaction that does what they ask for.
#[derive(Clone)]
struct Passed {
    user_id: String,
    token: TokenHash,
    /// If the gate was passed, and the session is bound to its device.
    device_proven_until: Option<Timestamp>,
}

impl Passed {
    fn of(SignedIn { visitor, session }: &SignedIn) -> Option<Self> {
        Some(Self {
            user_id: session.user_id.clone(),
            token: visitor.token_hash()?,
            device_proven_until: None,
        })
    }

    /// The session and its account, which is held from here on; nothing, if it was ended a moment ago.
    fn hold(&self, tx: &mut Tx, app: &App) -> Result<Option<HeldSession>> {
        sessions::hold(tx, &app.config, &self.user_id, &self.token)
    }
}

/// Lets somebody pass who has entered the password lately enough; whoever has not is sent to do so, and then to this page.
async fn pass(
    signed_in: &SignedIn,
    next: String,
    typed: BTreeMap<String, String>,
) -> Result<Passed, Rejection> {
    let SignedIn { visitor, session } = signed_in;
    let is_open = session.is_reauthenticated(visitor.now(), &visitor.app.config);
    if let Some(passed) = Passed::of(signed_in).filter(|_| is_open) {
        return Ok(Passed {
            device_proven_until: prove_device(visitor, session).await?,
            ..passed
        });
    }
    note_refusal(visitor, session).await?;
    let typed = keep(visitor, session, &next, typed)?;
    Err(Rejection::ReauthenticateFirst { next, typed })
}

/// The same for whoever asks for a page, on which nothing is typed yet.
async fn pass_to_page(signed_in: &SignedIn) -> Result<Passed, Rejection> {
    let page = way_back(&signed_in.visitor.req);
    pass(signed_in, page, BTreeMap::new()).await
}

/// The cookie with what was typed, if anything was.
fn keep(
    visitor: &Visitor,
    session: &Session,
    page: &str,
    typed: BTreeMap<String, String>,
) -> Result<Option<Box<Cookie<'static>>>> {
    let typed = match typed.is_empty() {
        true => None,
        false => Interrupted::keep(&visitor.app, session, page, typed)?,
    };
    Ok(typed.map(Box::new))
}

/// For what is sensitive a bound session's device is to have been there this lately.
const LATELY: Duration = Duration::from_secs(60);

/// What follows a look at the gate may take so much longer: a password waits for its turn to be hashed.
const AFTER_LOOK: Duration = Duration::from_secs(60);

/// Until when the device of a bound session counts as proven; where it was not lately, its browser is sent to prove it
/// now. A browser does that six times in nine minutes and then not at all, which would leave its visitor with nothing:
/// so we ask for the half of that, and take an older proof once it is used up.
async fn prove_device(
    visitor: &Visitor,
    session: &Session,
) -> Result<Option<Timestamp>, Rejection> {
    let DeviceProof::Given { at } = visitor.device_proof else {
        return Ok(None);
    };
    if visitor.now() < at + millis(LATELY) {
        return Ok(Some(at + millis(LATELY + AFTER_LOOK)));
    }
    let (now, id) = (visitor.now(), session.id.clone());
    let key = visitor
        .app
        .read(move |tx| device_keys::find(tx, &id))
        .await?;
    if key.is_some_and(|key| key.can_be_asked(now)) {
        let prove_first = bound_session::send_again(&visitor.req, &visitor.app);
        return Err(prove_first.unwrap_or(Rejection::NotProvenNow));
    }
    Ok(device_keys::good_for(&visitor.app.config).map(|long| at + millis(long)))
}

/// For whoever has passed, and may not any more when it comes to it.
fn back_to_gate(visitor: &Visitor) -> Rejection {
    Rejection::ReauthenticateFirst {
        next: way_back(&visitor.req),
        typed: None,
    }
}

async fn note_refusal(visitor: &Visitor, session: &Session) -> Result<(), Rejection> {
    let (user_id, client) = (session.user_id.clone(), visitor.client());
    visitor
        .act(move |tx, _| reauthenticate::note_required(tx, &user_id, &client))
        .await
}

impl Reauthenticated {
    fn of(SignedIn { visitor, session }: SignedIn, passed: Passed) -> Self {
        Self {
            visitor,
            session,
            passed,
        }
    }

    /// Does something sensitive in one transaction, which holds the account and looks once more whether it may: a
    /// session that was ended a moment ago permits nothing, and its visitor is sent back to the gate.
    pub async fn act<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx, &App, &Owner) -> Result<T> + Send + 'static,
    ) -> Result<T, Rejection> {
        let passed = self.passed.clone();
        let done = self.visitor.act(move |tx, app| {
            let (held, until) = (passed.hold(tx, app)?, passed.device_proven_until);
            let owner = held.and_then(|held| held.into_owner(tx.now, &app.config, until));
            owner.map(|owner| work(tx, app, &owner)).transpose()
        });
        done.await?.ok_or_else(|| back_to_gate(&self.visitor))
    }

    /// The same for what may be held after a reset by mail: whoever used no passkey since is sent to the page that says so,
    /// and finds what they typed when they come back.
    pub async fn act_settled<F: BehindGate, T: Send + 'static>(
        &self,
        form: &F,
        work: impl FnOnce(&mut Tx, &App, &Settled<'_, Owner>) -> Result<T> + Send + 'static,
    ) -> Result<T, Rejection> {
        let done = self.act(
            move |tx, app, owner| match owner.settled(tx.now, &app.config) {
                Ok(owner) => work(tx, app, &owner).map(Some),
                Err(_) => Ok(None),
            },
        );
        if let Some(done) = done.await? {
            return Ok(done);
        }
        let next = F::page(&self.visitor.req);
        let typed = keep(&self.visitor, &self.session, &next, form.typed())?;
        Err(Rejection::Held { next, typed })
    }

    /// The session's token, as its hash.
    pub fn token(&self) -> &TokenHash {
        &self.passed.token
    }

    /// What was typed on this page before its visitor was sent to enter the password.
    pub fn typed_before(&self, page: &str) -> BTreeMap<String, String> {
        Interrupted::of(
            &self.visitor.req,
            &self.visitor.app,
            &self.session.user_id,
            page,
        )
    }
}

/// Somebody may give the account a passkey in this session: its owner, behind the gate; or whoever has just confirmed
/// the address of an account that has nothing to enter there ([`MayAdd`]).
pub struct MayAddPasskey {
    pub visitor: Visitor,
    pub session: Session,
    passed: Passed,
}

impl FromRequest for MayAddPasskey {
    type Error = Rejection;
    type Future = Looked<Self>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        look(req, payload, async |signed_in| {
            let passed = match pass_without_gate(&signed_in).await? {
                Some(passed) => passed,
                None => pass_to_page(&signed_in).await?,
            };
            let SignedIn { visitor, session } = signed_in;
            Ok(Self {
                visitor,
                session,
                passed,
            })
        })
    }
}

/// Lets somebody pass whose account is so new that the gate has nothing to ask for.
async fn pass_without_gate(signed_in: &SignedIn) -> Result<Option<Passed>, Rejection> {
    let SignedIn { visitor, session } = signed_in;
    if !passkeys::is_new(session, visitor.now()) {
        return Ok(None);
    }
    let user_id = session.user_id.clone();
    let has_none = visitor
        .app
        .read(move |tx| Ok(passkeys::count(tx, &user_id)? == 0));
    match has_none.await? {
        true => Ok(Passed::of(signed_in)),
        false => Ok(None),
    }
}

impl MayAddPasskey {
    /// The page on which it is done.
    const PAGE: &str = "/account/passkeys";

    /// Gives the account a passkey in one transaction, which holds the account and looks once more whether it may; after
    /// a reset by mail it may have to wait.
    pub async fn act<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx, &App, &MayAdd) -> Result<T> + Send + 'static,
    ) -> Result<T, Rejection> {
        let passed = self.passed.clone();
        let done = self.visitor.act(move |tx, app| {
            let Some(held) = passed.hold(tx, app)? else {
                return Ok(None);
            };
            match MayAdd::in_session(tx, &app.config, held, passed.device_proven_until)? {
                Some(Ok(may)) => work(tx, app, &may).map(|done| Some(Ok(done))),
                Some(Err(hold)) => Ok(Some(Err(hold))),
                None => Ok(None),
            }
        });
        match done.await? {
            Some(Ok(done)) => Ok(done),
            Some(Err(_)) => Err(Rejection::Held {
                next: Self::PAGE.to_owned(),
                typed: None,
            }),
            None => Err(back_to_gate(&self.visitor)),
        }
    }
}
