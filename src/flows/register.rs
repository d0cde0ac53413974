//! Register: somebody types an address, and a link goes there.
//!
//! No account comes of it yet: that begins when the link proves the address (see
//! [`confirm_email`](super::confirm_email)). A member who registers is mailed a sign-in link, and sees what a
//! stranger sees.

use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::flows::Answer;
use crate::mail::asks::Wish;
use crate::web::ask_form::{self, AskForm, AskView};
use crate::web::form::Form;
use crate::web::page::{Frame, page};
use crate::web::visitor::Visitor;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/register").get(show).post(ask));
}

async fn show(visitor: Visitor) -> Answer {
    let form = AskView::empty(&visitor)?;
    let frame = visitor.frame();
    Ok(page(&AskPage { frame, form })?)
}

async fn ask(visitor: Visitor, Form(form): Form<AskForm>) -> Answer {
    ask_form::submit(&visitor, form, "/register", Wish::ComeIn, |frame, form| {
        AskPage { frame, form }
    })
    .await
}

#[derive(Template)]
#[template(path = "register/ask.html")]
struct AskPage {
    frame: Frame,
    form: AskView,
}
