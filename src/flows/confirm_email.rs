//! Confirm an email address: from here on the account exists.
//!
//! The link goes to a stranger's address. Whoever uses it has read that mailbox, so the account is theirs,
//! and nothing anybody typed before is on it. Looking at the page confirms nothing; its button does. A
//! password may be chosen there, and need not be.

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::links::Purpose;
use crate::actions::confirm_email;
use crate::actions::request_link::LinkKind;
use crate::flows::Answer;
use crate::web::form::Form;
use crate::web::link_page::{self, Checked, LinkForm, LinkView, Looked, Submitted};
use crate::web::link_request_form::{self, LinkRequestForm, LinkRequestView};
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

async fn send_again(visitor: Visitor, Form(form): Form<LinkRequestForm>) -> Answer {
    let route = "/confirm-email/send";
    link_request_form::submit(&visitor, form, route, LinkKind::SignIn, |frame, form| {
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
    let hash = match new_password::parse_and_hash_optional(&visitor.app, &chosen, ready.address())
        .await?
    {
        Ok(hash) => hash,
        Err(refused) => {
            let again = ready.again(refused);
            return show(&visitor, StatusCode::UNPROCESSABLE_ENTITY, again);
        }
    };
    let device = visitor.device(false);
    let finished = link_page::finish(&visitor, ready, move |tx, app, proof, asked| {
        let device = device.shared_if(asked.is_some_and(|pending| pending.shared));
        confirm_email::confirm(tx, app, proof, &device, hash.as_ref())
    });
    match finished.await? {
        Submitted::Done { effect, asked } => {
            let next = link_page::next_of(asked.as_ref());
            visitor.welcome(&effect, &next).map(confidential)
        }
        Submitted::Again(view) => show(&visitor, StatusCode::UNPROCESSABLE_ENTITY, view),
        Submitted::Answered(answer) => Ok(answer),
    }
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
    form: LinkRequestView,
}
