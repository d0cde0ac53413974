//! Confirm an email address: from here on the account exists.
//!
//! The link goes to a stranger's address. Whoever uses it has read that mailbox, so the account is theirs,
//! and nothing anybody typed before is on it. Looking at the page confirms nothing; its button does.

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::links::Purpose;
use crate::accounts::sessions::AuthMethod;
use crate::flows::Answer;
use crate::web::ask_form::{self, AskForm, AskView};
use crate::web::entrance::{self, Arrival};
use crate::web::form::Form;
use crate::web::link_page::{self, LinkForm, LinkView, Looked, Submitted};
use crate::web::page::{Frame, confidential, page_with};
use crate::web::visit::Visit;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/confirm-email/send").post(send_again))
        .service(
            web::resource(Purpose::ConfirmEmail.route())
                .get(open)
                .post(confirm),
        );
}

async fn send_again(visit: Visit, Form(form): Form<AskForm>) -> Answer {
    ask_form::submit(&visit, form, "/confirm-email/send", |frame, form| {
        AskAgainPage { frame, form }
    })
    .await
}

async fn open(visit: Visit) -> Answer {
    match link_page::look(&visit, Purpose::ConfirmEmail).await? {
        Looked::InAddress(seen) => link_page::to_clean_page(&visit, Purpose::ConfirmEmail, &seen),
        Looked::OnPage(seen) => show(&visit, StatusCode::OK, LinkView::of(&seen)),
        Looked::Answered(answer) => Ok(answer),
    }
}

async fn confirm(visit: Visit, Form(form): Form<LinkForm>) -> Answer {
    let arrival = Arrival::of(&visit);
    let submitted = link_page::submit(
        &visit,
        form,
        Purpose::ConfirmEmail,
        move |tx, proof, asked| {
            let shared = asked.is_some_and(|ask| ask.shared);
            entrance::enter(tx, proof, AuthMethod::EmailLink, &arrival, shared)
        },
    );
    match submitted.await? {
        Submitted::Done { effect, next } => {
            entrance::welcome(&visit, &effect, &next).map(confidential)
        }
        Submitted::Again(view) => show(&visit, StatusCode::UNPROCESSABLE_ENTITY, view),
        Submitted::Answered(answer) => Ok(answer),
    }
}

fn show(visit: &Visit, status: StatusCode, link: LinkView) -> Answer {
    let frame = visit.frame();
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
