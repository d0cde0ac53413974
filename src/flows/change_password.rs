//! Change the password, behind the gate.
//!
//! Every other session ends, and so does every link; this session goes on under a new token. Choosing the
//! same password again is harmless.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::actions::change_password::{self, ThisSession};
use crate::flows::Answer;
use crate::web::field_error::FieldError;
use crate::web::new_password;
use crate::web::next::Next;
use crate::web::page::{Frame, page, page_with};
use crate::web::rejection::Rejection;
use crate::web::step_up::{BehindGate, Reauthenticated, Sensitive};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/password").get(show).post(change));
}

async fn show(gate: Reauthenticated) -> Answer {
    Ok(page(&ChangePage::of(&gate, None))?)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ChangeForm {
    password: Zeroizing<String>,
}

impl BehindGate for ChangeForm {
    const PAGE: &'static str = "/account/password";

    fn typed(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

async fn change(Sensitive { gate, form }: Sensitive<ChangeForm>) -> Answer {
    let visitor = &gate.visitor;
    let email = &gate.session.email;
    let password = match new_password::parse(&visitor.app, &form.password, email) {
        Ok(password) => password,
        Err(refused) => {
            let again = ChangePage::of(&gate, Some(FieldError::NewPassword(refused)));
            return Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &again)?);
        }
    };
    gate.act(change_password::count).await??;
    let hash = new_password::hash(&visitor.app, password, email).await?;
    let session = ThisSession {
        id: gate.session.id.clone(),
        token: gate.token().clone(),
    };
    let client = visitor.client();
    let renewed = gate
        .act(move |tx, app, owner| {
            change_password::in_browser(tx, app, owner, &hash, &session, &client)
        })
        .await?;
    let Some(token) = renewed else {
        let next = Next::DEFAULT.to_owned();
        return Err(Rejection::SignInFirst { next });
    };
    visitor.hand_over(&token, &gate.session)?;
    let changed = "Your password is changed. All other sessions are ended, and so are all links.";
    visitor.done(changed, Next::DEFAULT)
}

#[derive(Template)]
#[template(path = "account/password.html")]
struct ChangePage {
    frame: Frame,
    email: String,
    error: Option<FieldError>,
}

impl ChangePage {
    fn of(gate: &Reauthenticated, error: Option<FieldError>) -> Self {
        Self {
            frame: gate.visitor.frame(),
            email: gate.session.shown_email(),
            error,
        }
    }
}
