//! Reauthenticate: the password, before what is sensitive.
//!
//! Whoever comes to the gate without having entered the password lately is sent here and, with the right
//! one, back to where they were: under a new session token, and for the window only. Wrong ones are counted
//! before they are compared, against a budget that all sessions of the account share and that nobody from
//! outside can use up. An account without a password is offered the mail that sets one, and nothing else.

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Limit, Verdict};
use crate::accounts::passwords::{PasswordHash, Priority, Typed, Verified};
use crate::accounts::sessions;
use crate::accounts::users::{self, User};
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::flows::Answer;
use crate::humanize;
use crate::mail::notices::Notice;
use crate::random::{Token, TokenHash};
use crate::web::ask_form;
use crate::web::field_error::FieldError;
use crate::web::form::{self, Form};
use crate::web::next::Next;
use crate::web::page::{Frame, page, page_with, see_other};
use crate::web::rejection::Rejection;
use crate::web::visitor::{SignedIn, Visitor};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/reauthenticate").get(show).post(enter));
}

async fn show(signed_in: SignedIn) -> Answer {
    let query = form::pairs(signed_in.visitor.req.query_string().as_bytes())?;
    let next = query.get("next").and_then(|next| ask_form::path(next));
    let shown = EnterPage::of(&signed_in, next).await?;
    Ok(page(&shown)?)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EnterForm {
    password: Zeroizing<String>,
    next: String,
}

async fn enter(signed_in: SignedIn, Form(form): Form<EnterForm>) -> Answer {
    let next = ask_form::path(&form.next);
    if form.password.is_empty() {
        return again(&signed_in, next, FieldError::NoPassword).await;
    }
    let SignedIn { visitor, session } = &signed_in;
    let permit = visitor
        .app
        .passwords
        .acquire(Priority::Trusted)
        .ok_or(Rejection::Busy)?;
    let (app, user_id) = (visitor.app.clone(), session.user_id.clone());
    let counted = visitor.app.transaction(move |tx| count(tx, &app, &user_id));
    let (user, is_last) = match counted.await? {
        Counted::Compare { user, is_last } => (user, is_last),
        Counted::TooMany { until } => return Err(Rejection::too_many(until, visitor.now())),
        Counted::NothingToCompare => {
            return again(&signed_in, next, FieldError::WrongPassword).await;
        }
    };
    let verified = match Typed::new(&form.password) {
        Some(typed) => permit.verify(user.password_hash(), typed).await?,
        None => Verified::Wrong,
    };
    let Verified::Right { rehashed } = verified else {
        refuse(visitor, user, is_last).await?;
        return again(&signed_in, next, FieldError::WrongPassword).await;
    };
    let Some(token) = open(visitor, user, rehashed).await? else {
        return Err(Rejection::SignInFirst {
            next: next.unwrap_or_else(|| Next::DEFAULT.to_owned()),
        });
    };
    visitor.hand_over(&token, session.shared)?;
    Ok(see_other(next.as_deref().unwrap_or(Next::DEFAULT)).finish())
}

enum Counted {
    /// This try counts; `is_last` when there is no other in this window.
    Compare {
        user: User,
        is_last: bool,
    },
    TooMany {
        until: Timestamp,
    },
    NothingToCompare,
}

/// Counts a try before it is compared, so that many at once are no more than the limit allows.
fn count(tx: &mut Tx, app: &App, user_id: &str) -> Result<Counted> {
    let user = users::find(tx, user_id)?.filter(User::has_password);
    let Some(user) = user else {
        return Ok(Counted::NothingToCompare);
    };
    let subject = limits::gate_subject(user_id);
    let verdict = limits::count(tx, &app.config, Limit::PasswordPerAccount, &subject)?;
    Ok(match verdict {
        Verdict::Refused { until } => Counted::TooMany { until },
        Verdict::Allowed { again_at } => Counted::Compare {
            user,
            is_last: again_at > tx.now,
        },
    })
}

/// A wrong one: the trail has it, and with the last of a window the owner hears of it.
async fn refuse(visitor: &Visitor, user: User, is_last: bool) -> Result<(), Rejection> {
    let (outbox, client) = (visitor.app.outbox.clone(), visitor.client());
    let refused = visitor.app.transaction(move |tx| {
        events::note(tx, &user.id, Event::ReauthenticationRefused, &client)?;
        if is_last {
            outbox.tell(tx, &user.email, Notice::PasswordGuessed, &client)?;
        }
        Ok(())
    });
    Ok(refused.await?)
}

async fn open(
    visitor: &Visitor,
    user: User,
    rehashed: Option<PasswordHash>,
) -> Result<Option<Token>, Rejection> {
    let Some(token) = visitor.token_hash() else {
        return Ok(None);
    };
    let client = visitor.client();
    let opened = visitor
        .app
        .transaction(move |tx| let_through(tx, &token, &user, rehashed.as_ref(), &client));
    Ok(opened.await?)
}

/// The right one: from now on, and for the window, this session may do what is sensitive. `None` when it
/// ended while the password was being compared, or the password is another by now.
fn let_through(
    tx: &mut Tx,
    token: &TokenHash,
    user: &User,
    rehashed: Option<&PasswordHash>,
    client: &Client,
) -> Result<Option<Token>> {
    let now = users::find(tx, &user.id)?;
    if now.is_none_or(|now| now.password_hash() != user.password_hash()) {
        return Ok(None);
    }
    let Some(renewed) = sessions::enter_password(tx, token)? else {
        return Ok(None);
    };
    if let Some(rehashed) = rehashed {
        users::rehash_password(tx, user, rehashed)?;
    }
    limits::forget(
        tx,
        Limit::PasswordPerAccount,
        &limits::gate_subject(&user.id),
    )?;
    users::forget_wrong_passwords(tx, &user.id)?;
    events::note(tx, &user.id, Event::Reauthenticated, client)?;
    Ok(Some(renewed))
}

async fn again(signed_in: &SignedIn, next: Option<String>, error: FieldError) -> Answer {
    let shown = EnterPage {
        error: Some(error),
        ..EnterPage::of(signed_in, next).await?
    };
    Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &shown)?)
}

#[derive(Template)]
#[template(path = "reauthenticate.html")]
struct EnterPage {
    frame: Frame,
    email: String,
    has_password: bool,
    window: String,
    next: Option<String>,
    error: Option<FieldError>,
}

impl EnterPage {
    async fn of(signed_in: &SignedIn, next: Option<String>) -> Result<Self, Rejection> {
        let SignedIn { visitor, session } = signed_in;
        let user_id = session.user_id.clone();
        let user = visitor
            .app
            .read(move |tx| users::find(tx, &user_id))
            .await?;
        Ok(Self {
            frame: visitor.frame(),
            email: session.email.clone(),
            has_password: user.is_some_and(|user| user.has_password()),
            window: humanize::lasting(visitor.app.config.sessions.reauthentication_window),
            next,
            error: None,
        })
    }
}
