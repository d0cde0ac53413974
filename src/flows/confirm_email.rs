//! Confirm an email address: from here on the account exists.
//!
//! The link goes to a stranger's address. Whoever uses it has read that mailbox, so the account is theirs,
//! and nothing anybody typed before is on it. Looking at the page confirms nothing; its button does. A
//! password may be chosen there, and need not be.

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::events::{self, Event};
use crate::accounts::links::{Consumed, Purpose};
use crate::accounts::passwords::PasswordHash;
use crate::accounts::sessions::AuthMethod;
use crate::accounts::users;
use crate::db::Tx;
use crate::error::Result;
use crate::flows::Answer;
use crate::mail::asks::Wish;
use crate::web::ask_form::{self, AskForm, AskView};
use crate::web::entrance::{self, Arrival, Entered};
use crate::web::form::Form;
use crate::web::link_page::{self, Checked, LinkForm, LinkView, Looked, Submitted};
use crate::web::new_password;
use crate::web::page::{Frame, confidential, page_with};
use crate::web::visitor::Visitor;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/confirm-email/send").post(send_again))
        .service(
            web::resource(Purpose::ConfirmEmail.route())
                .get(open)
                .post(confirm),
        );
}

async fn send_again(visitor: Visitor, Form(form): Form<AskForm>) -> Answer {
    let route = "/confirm-email/send";
    ask_form::submit(&visitor, form, route, Wish::ComeIn, |frame, form| {
        AskAgainPage { frame, form }
    })
    .await
}

async fn open(visitor: Visitor) -> Answer {
    match link_page::look(&visitor, Purpose::ConfirmEmail).await? {
        Looked::InAddress(seen) => link_page::to_clean_page(&visitor, Purpose::ConfirmEmail, &seen),
        Looked::OnPage(seen) => show(&visitor, StatusCode::OK, LinkView::of(&seen)),
        Looked::Answered(answer) => Ok(answer),
    }
}

async fn confirm(visitor: Visitor, Form(mut form): Form<LinkForm>) -> Answer {
    let chosen = std::mem::take(&mut form.password);
    let ready = match link_page::check(&visitor, form, Purpose::ConfirmEmail).await? {
        Checked::Ready(ready) => ready,
        Checked::Again(view) => return show(&visitor, StatusCode::UNPROCESSABLE_ENTITY, view),
        Checked::Answered(answer) => return Ok(answer),
    };
    let hash = match new_password::hash_optional(&visitor.app, &chosen, ready.address()).await? {
        Ok(hash) => hash,
        Err(refused) => {
            let again = ready.again(refused);
            return show(&visitor, StatusCode::UNPROCESSABLE_ENTITY, again);
        }
    };
    let arrival = Arrival::of(&visitor);
    let finished = link_page::finish(&visitor, ready, move |tx, proof, asked| {
        let shared = asked.is_some_and(|ask| ask.shared);
        begin(tx, proof, &arrival, shared, hash.as_ref())
    });
    match finished.await? {
        Submitted::Done { effect, asked } => {
            let next = link_page::next_of(asked.as_ref());
            entrance::welcome(&visitor, &effect, &next).map(confidential)
        }
        Submitted::Again(view) => show(&visitor, StatusCode::UNPROCESSABLE_ENTITY, view),
        Submitted::Answered(answer) => Ok(answer),
    }
}

/// The account begins, with a password if one was chosen. Only the link that makes the account brings its
/// password: one that was beaten to it finds an account whose password is not its to set.
fn begin(
    tx: &mut Tx,
    proof: &Consumed,
    arrival: &Arrival,
    shared: bool,
    hash: Option<&PasswordHash>,
) -> Result<Option<Entered>> {
    let entered = entrance::enter(tx, proof, AuthMethod::EmailLink, arrival, shared)?;
    let owner = entered
        .as_ref()
        .and_then(|entered| entered.new_owner.as_ref());
    if let (Some(owner), Some(hash)) = (owner, hash) {
        users::set_password(tx, owner, hash)?;
        events::note(tx, &owner.user().id, Event::PasswordSet, &arrival.client)?;
    }
    Ok(entered)
}

fn show(visitor: &Visitor, status: StatusCode, link: LinkView) -> Answer {
    let frame = visitor.frame();
    Ok(confidential(page_with(status, &LinkPage { frame, link })?))
}

#[derive(Template)]
#[template(path = "confirm_email/link.html")]
struct LinkPage {
    frame: Frame,
    link: LinkView,
}

/// The form to register again, with its mistake: it asks for the same mail.
#[derive(Template)]
#[template(path = "register/ask.html")]
struct AskAgainPage {
    frame: Frame,
    form: AskView,
}
