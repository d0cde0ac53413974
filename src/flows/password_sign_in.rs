//! Sign in with the password.
//!
//! Whatever was wrong, the answer is the same ([`sign_in_with_password`]). The link by mail always works.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::accounts::email_address::EmailAddress;
use crate::accounts::passwords::Priority;
use crate::actions::sign_in_with_password::{self, Attempt};
use crate::clock::millis;
use crate::flows::Answer;
use crate::web::field_error::FieldError;
use crate::web::form::Form;
use crate::web::next::Next;
use crate::web::page::{Frame, page, page_with};
use crate::web::password_entry;
use crate::web::return_url::ReturnUrl;
use crate::web::visitor::Visitor;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/sign-in/password").get(show).post(sign_in));
}

/// A reset that was asked for longer ago no longer fills in the form.
const LATELY: Duration = Duration::from_secs(60 * 60);

/// Whoever has just set a password in this browser finds the address filled in, and goes on to where the
/// way led before.
async fn show(visitor: Visitor) -> Answer {
    let next = visitor.next_in_query()?;
    let asked = visitor.pending_requests();
    let lately = visitor.now() - millis(LATELY);
    let reset = asked
        .newest()
        .filter(|pending| pending.done && pending.at > lately);
    Ok(page(&SignInPage {
        frame: visitor.frame(),
        email: reset
            .map(|pending| pending.shown_email())
            .unwrap_or_default(),
        next: next.or_else(|| reset.and_then(|pending| pending.next.clone())),
        shared: reset.is_some_and(|pending| pending.shared),
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

async fn sign_in(visitor: Visitor, Form(form): Form<SignInForm>) -> Answer {
    let email = match EmailAddress::parse(&form.email) {
        Ok(email) => email,
        Err(why) => return again(&visitor, form, Some(FieldError::Address(why)), None),
    };
    if form.password.is_empty() {
        return again(&visitor, form, None, Some(FieldError::NoPassword));
    }
    let attempt = Attempt {
        email,
        device: visitor.device(form.shared == "yes"),
        shown: None,
    };
    let (count, conclude) = (
        sign_in_with_password::count,
        sign_in_with_password::conclude,
    );
    let priority = Priority::Anonymous;
    let entered = password_entry::enter(
        &visitor.app,
        priority,
        attempt,
        &form.password,
        count,
        conclude,
    );
    match entered.await?.flatten() {
        Some(begun) => {
            let next = visitor.next(&form.next);
            visitor.welcome(&begun, next.as_deref().unwrap_or(Next::DEFAULT))
        }
        None => again(
            &visitor,
            form,
            None,
            Some(FieldError::WrongAddressOrPassword),
        ),
    }
}

fn again(
    visitor: &Visitor,
    form: SignInForm,
    error: Option<FieldError>,
    password_error: Option<FieldError>,
) -> Answer {
    let again = SignInPage {
        frame: visitor.frame(),
        next: visitor.next(&form.next),
        shared: form.shared == "yes",
        email: form.email,
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
    error: Option<FieldError>,
    password_error: Option<FieldError>,
}

impl SignInPage {
    /// The app that this is on the way to, by its host.
    fn app(&self) -> Option<String> {
        ReturnUrl::app_behind(self.next.as_deref()?)
    }
}
