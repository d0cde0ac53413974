//! The last steps of every way in: a session begins, the browser gets its cookie, and goes on.

use actix_web::HttpResponse;

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Network, Verdict};
use crate::accounts::links::{self, CodeTried, Consumed, Purpose};
use crate::accounts::owner::Owner;
use crate::accounts::refresh_tokens;
use crate::accounts::sessions::{self, AuthMethod, Holder};
use crate::accounts::users::{self, KnownAccount, User};
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::mail::outbox::Outbox;
use crate::random::{Code, Token, TokenHash};
use crate::web::page::see_other;
use crate::web::rejection::Rejection;
use crate::web::visitor::Visitor;

/// What a browser brings along when somebody is about to sign in there.
pub struct Arrival {
    pub client: Client,
    /// The accounts that know the browser.
    pub known: Vec<KnownAccount>,
    replaced: Option<TokenHash>,
    by_program: bool,
    outbox: Outbox,
}

/// A session that has just begun, on its way to the browser.
pub struct Entered {
    /// Whose account began with it.
    pub new_owner: Option<Owner>,
    pub session_id: String,
    /// What keeps it alive, if a program holds it.
    pub refresh_token: Option<Token>,
    token: Token,
    user_id: String,
    shared: bool,
}

impl Arrival {
    /// Taken from the request, before the transaction.
    pub fn of(visitor: &Visitor) -> Self {
        Self {
            client: visitor.client(),
            replaced: visitor.token_hash(),
            known: visitor.known().accounts().to_vec(),
            by_program: false,
            outbox: visitor.app.outbox.clone(),
        }
    }

    /// A program brings nothing along: no session to replace, and no account knows it.
    pub fn of_program(app: &App, client: Client) -> Self {
        Self {
            client,
            replaced: None,
            known: Vec::new(),
            by_program: true,
            outbox: app.outbox.clone(),
        }
    }

    fn holder(&self, shared: bool) -> Holder {
        match (self.by_program, shared) {
            (true, _) => Holder::Program,
            (false, true) => Holder::SharedBrowser,
            (false, false) => Holder::Browser,
        }
    }
}

/// Signs in whoever used a link or a code, in the transaction that used it up. `None` when it leads to no
/// account.
pub fn enter(
    tx: &mut Tx,
    proof: &Consumed,
    method: AuthMethod,
    arrival: &Arrival,
    shared: bool,
) -> Result<Option<Entered>> {
    let Some(led_to) = users::led_to_by(tx, proof)? else {
        return Ok(None);
    };
    links::remember_user(tx, proof, &led_to.user.id)?;
    if led_to.new_owner.is_some() {
        events::note(tx, &led_to.user.id, Event::Registered, &arrival.client)?;
    } else {
        tell_of_new_browser(tx, &led_to.user, arrival)?;
    }
    let mut entered = begin(tx, &led_to.user, method, arrival, shared)?;
    entered.new_owner = led_to.new_owner;
    Ok(Some(entered))
}

/// What became of a code that was typed to come in.
pub enum CodeOutcome {
    In(Box<Entered>),
    Wrong,
    /// No tries are left, or the ask is gone: a new one must be made.
    Ended,
    TooMany {
        until: Timestamp,
    },
}

/// A right code signs in; any other counts against the network it came from.
pub fn enter_by_code(
    tx: &mut Tx,
    app: &App,
    ask_id: &str,
    code: Option<&Code>,
    arrival: &Arrival,
    network: &Network,
    shared: bool,
) -> Result<CodeOutcome> {
    let outcome = match links::try_code(tx, &app.keys, ask_id, code)? {
        CodeTried::Right(proof) => {
            let method = AuthMethod::EmailCode;
            let entered = enter(tx, &proof, method, arrival, shared)?;
            return Ok(entered.map_or(CodeOutcome::Ended, |entered| {
                CodeOutcome::In(Box::new(entered))
            }));
        }
        CodeTried::Wrong { ended: false } => CodeOutcome::Wrong,
        CodeTried::Wrong { ended: true } | CodeTried::Ended => CodeOutcome::Ended,
    };
    Ok(
        match limits::count_all(tx, &app.config, &network.guessing())? {
            Verdict::Allowed { .. } => outcome,
            Verdict::Refused { until } => CodeOutcome::TooMany { until },
        },
    )
}

/// Signs in whoever knew the password of this account.
pub fn enter_by_password(
    tx: &mut Tx,
    user: &User,
    arrival: &Arrival,
    shared: bool,
) -> Result<Entered> {
    tell_of_new_browser(tx, user, arrival)?;
    begin(tx, user, AuthMethod::Password, arrival, shared)
}

/// Signs in whoever followed a link in ordinary mail in a browser that the account knows. It proves less than
/// the other ways: no link ends, and no guess at the password is forgotten.
pub fn enter_by_notification(tx: &mut Tx, reader: &User, arrival: &Arrival) -> Result<Token> {
    let (method, client) = (AuthMethod::NotificationLink, &arrival.client);
    let replaced = arrival.replaced.as_ref();
    let started = sessions::start(tx, &reader.id, method, Holder::Browser, client, replaced)?;
    events::note(tx, &reader.id, Event::SignedIn(method), client)?;
    Ok(started.token)
}

/// The session replaces the one this browser had, so that no right of that one carries over; every link that
/// signs in to the account ends.
fn begin(
    tx: &mut Tx,
    user: &User,
    method: AuthMethod,
    arrival: &Arrival,
    shared: bool,
) -> Result<Entered> {
    for purpose in [Purpose::SignIn, Purpose::ConfirmEmail] {
        links::end(tx, &user.email, purpose)?;
    }
    users::forget_wrong_passwords(tx, &user.id)?;
    let replaced = arrival.replaced.as_ref();
    let started = sessions::start(
        tx,
        &user.id,
        method,
        arrival.holder(shared),
        &arrival.client,
        replaced,
    )?;
    let refresh_token = match arrival.by_program {
        true => Some(refresh_tokens::issue(tx, &started.id)?),
        false => None,
    };
    events::note(tx, &user.id, Event::SignedIn(method), &arrival.client)?;
    Ok(Entered {
        new_owner: None,
        session_id: started.id,
        refresh_token,
        token: started.token,
        user_id: user.id.clone(),
        shared,
    })
}

fn tell_of_new_browser(tx: &mut Tx, user: &User, arrival: &Arrival) -> Result<()> {
    if user.knows(&arrival.known) {
        return Ok(());
    }
    let outbox = &arrival.outbox;
    outbox.tell(tx, &user.email, Notice::NewBrowser, &arrival.client)
}

/// Hands over the cookies and goes on to where the visitor wanted. A shared computer comes to know nobody.
pub fn welcome(
    visitor: &Visitor,
    entered: &Entered,
    next: &str,
) -> Result<HttpResponse, Rejection> {
    visitor.hand_over(&entered.token, entered.shared)?;
    let mut onward = see_other(next);
    if !entered.shared {
        let known = visitor
            .known()
            .with(&entered.user_id, visitor.now(), &visitor.app)?;
        onward.cookie(known);
    }
    Ok(onward.finish())
}
