//! Reauthenticate: the password or a passkey, before what is sensitive.
//!
//! Whoever comes to the gate without having entered the password lately is sent here and, with the right
//! one (or a passkey, which [`passkeys`](super::passkeys) takes), back to where they were: under a new session token, and for the window only. Wrong ones are counted
//! before they are compared, against a budget that all sessions of the account share and that nobody from
//! outside can use up. An account without a password is offered its passkey, if it has one, and the mail that sets a password.

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::accounts::passkeys;
use crate::accounts::passwords::Priority;
use crate::accounts::users;
use crate::actions::reauthenticate::{self, Attempt, Outcome};
use crate::flows::Answer;
use crate::humanize;
use crate::web::field_error::FieldError;
use crate::web::form::Form;
use crate::web::next::Next;
use crate::web::page::{Frame, page, page_with, see_other};
use crate::web::password_entry;
use crate::web::rejection::Rejection;
use crate::web::return_url::ReturnUrl;
use crate::web::visitor::SignedIn;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/reauthenticate").get(show).post(enter));
}

/// An app may want a passkey and no password.
async fn show(signed_in: SignedIn) -> Answer {
    let visitor = &signed_in.visitor;
    let query = visitor.query()?;
    let shown = EnterPage::of(&signed_in, visitor.next_in_query()?).await?;
    match query.get("with").is_some_and(|with| with == "passkey") {
        true => Ok(page(&PasskeyPage::of(shown))?),
        false => Ok(page(&shown)?),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EnterForm {
    password: Zeroizing<String>,
    next: String,
}

async fn enter(signed_in: SignedIn, Form(form): Form<EnterForm>) -> Answer {
    let next = signed_in.visitor.next(&form.next);
    if form.password.is_empty() {
        return again(&signed_in, next, FieldError::NoPassword).await;
    }
    let SignedIn { visitor, session } = &signed_in;
    let to_next = || next.clone().unwrap_or_else(|| Next::DEFAULT.to_owned());
    let Some(token) = visitor.token_hash() else {
        return Err(Rejection::SignInFirst { next: to_next() });
    };
    let attempt = Attempt {
        user_id: session.user_id.clone(),
        token,
        client: visitor.client(),
    };
    let entered = password_entry::enter(
        &visitor.app,
        Priority::Trusted(&session.email),
        attempt,
        &form.password,
        reauthenticate::count,
        reauthenticate::conclude,
    );
    match entered.await? {
        Some(Outcome::Open(token)) => {
            visitor.hand_over(&token, session)?;
            Ok(see_other(&to_next()).finish())
        }
        Some(Outcome::Ended) => Err(Rejection::SignInFirst { next: to_next() }),
        Some(Outcome::Wrong) | None => again(&signed_in, next, FieldError::WrongPassword).await,
    }
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
    has_passkey: bool,
    window: String,
    /// The app on whose way this lies, by its host.
    app: Option<String>,
    next: Option<String>,
    error: Option<FieldError>,
}

impl EnterPage {
    async fn of(signed_in: &SignedIn, next: Option<String>) -> Result<Self, Rejection> {
        let SignedIn { visitor, session } = signed_in;
        let user_id = session.user_id.clone();
        let looked = visitor.app.read(move |tx| {
            let has_passkey = passkeys::count(tx, &user_id)? > 0;
            Ok((users::find(tx, &user_id)?, has_passkey))
        });
        let (user, has_passkey) = looked.await?;
        let frame = visitor.frame();
        Ok(Self {
            has_passkey: has_passkey && frame.passkeys,
            frame,
            email: session.shown_email(),
            has_password: user.is_some_and(|user| user.has_password()),
            window: humanize::lasting(visitor.app.config.sessions.reauthentication_window),
            app: next.as_deref().and_then(ReturnUrl::app_behind),
            next,
            error: None,
        })
    }
}

#[derive(Template)]
#[template(path = "reauthenticate_by_passkey.html")]
struct PasskeyPage {
    frame: Frame,
    has_passkey: bool,
    app: Option<String>,
    next: Option<String>,
}

impl PasskeyPage {
    fn of(page: EnterPage) -> Self {
        Self {
            frame: page.frame,
            has_passkey: page.has_passkey,
            app: page.app,
            next: page.next,
        }
    }
}
