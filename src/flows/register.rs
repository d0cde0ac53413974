//! Register: somebody types an address, and a link goes there.
//!
//! No account comes of it yet: that begins when the link proves the address (see
//! [`confirm_email`](super::confirm_email)). A member who registers is mailed a sign-in link, and sees what a
//! stranger sees.

use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::actions::request_link::LinkKind;
use crate::flows::Answer;
use crate::web::form::Form;
use crate::web::link_request_form::{self, LinkRequestForm, LinkRequestView};
use crate::web::page::{Frame, page};
use crate::web::visitor::Visitor;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/register").get(show).post(ask));
}

async fn show(visitor: Visitor) -> Answer {
    let form = LinkRequestView::empty(&visitor)?;
    let frame = visitor.frame();
    Ok(page(&AskPage { frame, form })?)
}

async fn ask(visitor: Visitor, Form(form): Form<LinkRequestForm>) -> Answer {
    link_request_form::submit(
        &visitor,
        form,
        "/register",
        LinkKind::SignIn,
        |frame, form| AskPage { frame, form },
    )
    .await
}

#[derive(Template)]
#[template(path = "register/ask.html")]
struct AskPage {
    frame: Frame,
    form: LinkRequestView,
}
