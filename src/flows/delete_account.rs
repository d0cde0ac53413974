//! Delete the account, behind the gate and with its address typed once more.
//!
//! It goes with everything that hangs on it: sessions, links, activity, mail that left and mail still
//! queued. One letter says that it is done, and leaves no trace either. What was counted against a limit
//! stays until its window has passed, a day at the most: else deleting would be a way around the limits.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;

use crate::accounts::email_address::EmailAddress;
use crate::flows::Answer;
use crate::mail::changes;
use crate::web::field_error::FieldError;
use crate::web::page::{Frame, page, page_with};
use crate::web::step_up::{BehindGate, Reauthenticated, Sensitive};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/delete").get(show).post(delete));
}

async fn show(gate: Reauthenticated) -> Answer {
    let mut typed = gate.typed_before(DeleteForm::PAGE);
    let email = typed.remove("email").unwrap_or_default();
    Ok(page(&DeletePage::of(&gate, email, None))?)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeleteForm {
    email: String,
}

impl BehindGate for DeleteForm {
    const PAGE: &'static str = "/account/delete";

    fn typed(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("email".to_owned(), self.email.clone())])
    }
}

async fn delete(Sensitive { gate, form }: Sensitive<DeleteForm>) -> Answer {
    let typed = EmailAddress::parse(&form.email).ok();
    let (outbox, client) = (gate.visitor.app.outbox.clone(), gate.visitor.client());
    let deleted = gate.act(move |tx, owner| {
        // As the account's is at this moment.
        let is_its_own = typed.is_some_and(|typed| typed.as_str() == owner.user().email);
        if is_its_own {
            changes::delete_account(tx, &outbox, owner, &client)?;
        }
        Ok(is_its_own)
    });
    if deleted.await? {
        return gate.visitor.leave();
    }
    let again = DeletePage::of(&gate, form.email, Some(FieldError::AnotherAddress));
    Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &again)?)
}

#[derive(Template)]
#[template(path = "account/delete.html")]
struct DeletePage {
    frame: Frame,
    own_email: String,
    email: String,
    error: Option<FieldError>,
}

impl DeletePage {
    fn of(gate: &Reauthenticated, email: String, error: Option<FieldError>) -> Self {
        Self {
            frame: gate.visitor.frame(),
            own_email: gate.session.email.clone(),
            email,
            error,
        }
    }
}
