//! Sign in with the password.
//!
//! Whatever was wrong, the answer is the same, in its words and in what it costs: an address nobody has and an
//! account without a password are compared with nothing, for as long as it takes to compare. Every try is
//! counted before it is compared, against the account and the network, known or not; a browser that the
//! account knows has a budget of its own, so that a stranger's guessing shuts no owner out. The link by mail
//! always works.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Limit, Network, Verdict};
use crate::accounts::passwords::{Caller, PasswordHash, Typed, Verified};
use crate::accounts::users::{self, KnownAccount, User};
use crate::app::App;
use crate::clock::{Timestamp, millis};
use crate::db::Tx;
use crate::error::Result;
use crate::flows::Answer;
use crate::mail::notices::Notice;
use crate::web::ask_form;
use crate::web::entrance::{self, Arrival, Entered};
use crate::web::form::{self, Form};
use crate::web::mistake::Mistake;
use crate::web::next::Next;
use crate::web::page::{Frame, page, page_with};
use crate::web::problem::Stop;
use crate::web::visit::Visit;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/sign-in/password").get(show).post(sign_in));
}

/// A reset that was asked for longer ago leads nowhere any more.
const LATELY: Duration = Duration::from_secs(60 * 60);

/// Whoever has just set a password in this browser finds the address filled in, and goes on to where the
/// way led before.
async fn show(visit: Visit) -> Answer {
    let query = form::pairs(visit.req.query_string().as_bytes())?;
    let asked = visit.asked();
    let lately = visit.now() - millis(LATELY);
    let reset = asked.newest().filter(|ask| ask.done && ask.at > lately);
    let next = query.get("next").and_then(|next| ask_form::path(next));
    Ok(page(&SignInPage {
        frame: visit.frame(),
        email: reset.map(|ask| ask.email.clone()).unwrap_or_default(),
        next: next.or_else(|| reset.and_then(|ask| ask.next.clone())),
        shared: reset.is_some_and(|ask| ask.shared),
        password_is_set: reset.is_some(),
        error: None,
        password_error: None,
    })?)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SignInForm {
    email: String,
    password: Zeroizing<String>,
    next: String,
    /// "yes" on a shared computer.
    shared: String,
}

async fn sign_in(visit: Visit, Form(form): Form<SignInForm>) -> Answer {
    let email = match EmailAddress::parse(&form.email) {
        Ok(email) => email,
        Err(why) => return again(&visit, form, Some(Mistake::Address(why)), None),
    };
    if form.password.is_empty() {
        return again(&visit, form, None, Some(Mistake::NoPassword));
    }
    let passwords = &visit.app.passwords;
    let place = passwords.queue(Caller::Anonymous).ok_or(Stop::Busy)?;
    let attempt = Attempt::of(&visit, email);
    let (app, counting) = (visit.app.clone(), attempt.clone());
    let counted = visit.app.transaction(move |tx| count(tx, &app, &counting));
    let compare = match counted.await? {
        Counted::Compare(compare) => compare,
        Counted::TooMany { until } => return Err(Stop::too_many(until, visit.now())),
    };
    let stored = compare.user.as_ref().and_then(User::password_hash);
    let verified = match Typed::new(&form.password) {
        Some(typed) => place.verify(stored, typed).await?,
        None => Verified::Wrong,
    };
    let (app, arrival, shared) = (visit.app.clone(), Arrival::of(&visit), form.shared == "yes");
    let concluded = visit.app.transaction(move |tx| match verified {
        Verified::Right { rehashed } => let_in(
            tx,
            &app,
            &attempt,
            &compare,
            rehashed.as_ref(),
            &arrival,
            shared,
        ),
        Verified::Wrong => refuse(tx, &app, &compare, &arrival).map(|()| None),
    });
    match concluded.await? {
        Some(entered) => {
            let next = ask_form::path(&form.next);
            let next = next.as_deref().unwrap_or(Next::DEFAULT);
            entrance::welcome(&visit, &entered, next)
        }
        None => again(&visit, form, None, Some(Mistake::WrongAddressOrPassword)),
    }
}

/// Somebody tries to sign in to the account of this address.
#[derive(Clone)]
struct Attempt {
    email: EmailAddress,
    network: Network,
    known: Vec<KnownAccount>,
}

impl Attempt {
    fn of(visit: &Visit, email: EmailAddress) -> Self {
        Self {
            email,
            network: visit.network(),
            known: visit.known().accounts().to_vec(),
        }
    }
}

enum Counted {
    Compare(Compare),
    TooMany { until: Timestamp },
}

/// A try that was counted and may be compared.
struct Compare {
    user: Option<User>,
    /// Against what it was counted.
    subject: String,
    /// There is no other try in this window.
    is_last: bool,
}

/// Counts a try before it is compared, so that many at once, on any number of nodes, are no more than the
/// limits allow.
fn count(tx: &mut Tx, app: &App, attempt: &Attempt) -> Result<Counted> {
    let user = users::find_by_email(tx, &attempt.email)?;
    let is_known = user.as_ref().is_some_and(|user| user.knows(&attempt.known));
    let subject = limits::password_subject(attempt.email.as_str(), is_known);
    let network = match is_known {
        true => Vec::new(),
        false => attempt.network.trying_a_password(),
    };
    if let Verdict::Refused { until } = limits::count_all(tx, &app.config, &network)? {
        return Ok(Counted::TooMany { until });
    }
    let counted = limits::count(tx, &app.config, Limit::PasswordPerAccount, &subject)?;
    Ok(match counted {
        Verdict::Allowed { again_at } => Counted::Compare(Compare {
            user,
            subject,
            is_last: again_at > tx.now,
        }),
        Verdict::Refused { until } => {
            for (limit, subject) in network {
                limits::give_back(tx, limit, subject)?;
            }
            Counted::TooMany { until }
        }
    })
}

/// The right password. It opens nothing if it is another by now, or if so many wrong ones came before it that
/// it may have been guessed; that looks like any wrong one.
fn let_in(
    tx: &mut Tx,
    app: &App,
    attempt: &Attempt,
    compare: &Compare,
    rehashed: Option<&PasswordHash>,
    arrival: &Arrival,
    shared: bool,
) -> Result<Option<Entered>> {
    let now = users::find_by_email(tx, &attempt.email)?;
    let compared = compare.user.as_ref().and_then(User::password_hash);
    let is_still_right = |user: &User| user.password_hash() == compared;
    let Some(user) = now.filter(|user| is_still_right(user) && !user.has_been_guessed_at()) else {
        refuse(tx, app, compare, arrival)?;
        return Ok(None);
    };
    limits::forget(tx, Limit::PasswordPerAccount, &compare.subject)?;
    if let Some(rehashed) = rehashed {
        users::rehash_password(tx, &user, rehashed)?;
    }
    entrance::enter_by_password(tx, &user, arrival, shared).map(Some)
}

/// A wrong one. The owner finds it in the account's activity, and hears of the last one in a window. For an
/// address without an account as much is written, and nothing changed.
fn refuse(tx: &mut Tx, app: &App, compare: &Compare, arrival: &Arrival) -> Result<()> {
    let id = compare.user.as_ref().map(|user| user.id.as_str());
    let Some(user) = id.map(|id| users::find(tx, id)).transpose()?.flatten() else {
        return limits::feign(tx, Limit::PasswordPerAccount, &compare.subject);
    };
    users::count_wrong_password(tx, &user.id)?;
    events::note(tx, &user.id, Event::PasswordRefused, &arrival.at)?;
    if compare.is_last && user.has_password() {
        let news = Notice::PasswordGuessed;
        app.outbox.tell(tx, &user.email, news, &arrival.at)?;
    }
    Ok(())
}

fn again(
    visit: &Visit,
    form: SignInForm,
    error: Option<Mistake>,
    password_error: Option<Mistake>,
) -> Answer {
    let again = SignInPage {
        frame: visit.frame(),
        next: ask_form::path(&form.next),
        shared: form.shared == "yes",
        email: form.email,
        password_is_set: false,
        error,
        password_error,
    };
    Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &again)?)
}

#[derive(Template)]
#[template(path = "sign_in/password.html")]
struct SignInPage {
    frame: Frame,
    email: String,
    next: Option<String>,
    shared: bool,
    password_is_set: bool,
    error: Option<Mistake>,
    password_error: Option<Mistake>,
}
