//! Delete the account, behind the gate and with its address typed once more.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;

use crate::accounts::email_address::{EmailAddress, NotAnAddress};
use crate::actions::delete_account;
use crate::flows::Answer;
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
    let typed = EmailAddress::parse(&form.email);
    let error = match typed {
        Err(why @ NotAnAddress::Invisible(_)) => FieldError::Address(why),
        _ => FieldError::AnotherAddress,
    };
    let client = gate.visitor.client();
    let deleted = gate.act_settled(&form, move |tx, app, owner| {
        // Compared with the address that the account has now, in this transaction.
        let is_its_own = typed.is_ok_and(|typed| typed.as_str() == owner.user().email);
        if is_its_own {
            delete_account::delete(tx, app, owner, &client)?;
        }
        Ok(is_its_own)
    });
    if deleted.await? {
        return gate.visitor.leave("Your account is deleted.");
    }
    let again = DeletePage::of(&gate, form.email, Some(error));
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
            own_email: gate.session.shown_email(),
            email,
            error,
        }
    }
}
