//! Forgotten password: a link by mail sets a new one, or the first.
//!
//! It ends every session and every link of the account, and tells the mailbox. It signs nobody in: whoever
//! reads the mail and nothing else gets no further than a session from a link gets, and the new password
//! has to be entered before anything. Links that take a change of address back survive, for they are how
//! an owner gets an account back whose mail somebody else reads.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::links::{self, Purpose};
use crate::accounts::passkeys;
use crate::actions::request_link::LinkKind;
use crate::actions::reset_password;
use crate::flows::Answer;
use crate::random::{self, Token};
use crate::web::form::Form;
use crate::web::link_page::{self, Checked, LinkForm, LinkView, Looked, Submitted};
use crate::web::link_request_form::{self, LinkRequestForm, LinkRequestView};
use crate::web::new_password;
use crate::web::page::{Frame, confidential, page, page_with};
use crate::web::rejection::Rejection;
use crate::web::sealed_cookies::PendingRequest;
use crate::web::visitor::Visitor;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/forgot-password").get(show_ask).post(ask))
        .service(
            web::resource(Purpose::ResetPassword.route())
                .get(open)
                .post(reset),
        );
}

const FORGOT: &str = "/forgot-password";

async fn show_ask(visitor: Visitor) -> Answer {
    let form = LinkRequestView::empty(&visitor)?;
    let frame = visitor.frame();
    Ok(page(&AskPage { frame, form })?)
}

async fn ask(visitor: Visitor, Form(form): Form<LinkRequestForm>) -> Answer {
    link_request_form::submit(
        &visitor,
        form,
        FORGOT,
        LinkKind::ResetPassword,
        |frame, form| AskPage { frame, form },
    )
    .await
}

async fn open(visitor: Visitor) -> Answer {
    match link_page::look(&visitor, Purpose::ResetPassword).await? {
        Looked::InAddress(seen) => {
            link_page::to_clean_page(&visitor, Purpose::ResetPassword, &seen)
        }
        Looked::OnPage(seen) => show(&visitor, StatusCode::OK, LinkView::of(&seen)).await,
        Looked::Answered(answer) => Ok(answer),
    }
}

async fn reset(visitor: Visitor, Form(mut form): Form<LinkForm>) -> Answer {
    let chosen = std::mem::take(&mut form.password);
    let ready = match link_page::check(&visitor, form, Purpose::ResetPassword).await? {
        Checked::Ready(ready) => ready,
        Checked::Again(view) => {
            return show(&visitor, StatusCode::UNPROCESSABLE_ENTITY, view).await;
        }
        Checked::Answered(answer) => return Ok(answer),
    };
    let hash = match new_password::parse_and_hash(&visitor.app, &chosen, ready.address()).await? {
        Ok(hash) => hash,
        Err(refused) => {
            let again = ready.again(refused);
            return show(&visitor, StatusCode::UNPROCESSABLE_ENTITY, again).await;
        }
    };
    let client = visitor.client();
    let finished = link_page::finish(&visitor, ready, move |tx, app, proof, _| {
        reset_password::reset(tx, app, proof, &hash, &client)
    });
    match finished.await? {
        Submitted::Done { effect, asked } => to_sign_in(&visitor, effect, asked),
        Submitted::Again(view) => show(&visitor, StatusCode::UNPROCESSABLE_ENTITY, view).await,
        Submitted::Answered(answer) => Ok(answer),
    }
}

/// To sign in with the new password, and from there to where the visitor was.
fn to_sign_in(
    visitor: &Visitor,
    email: String,
    asked: Option<PendingRequest>,
) -> Result<HttpResponse, Rejection> {
    let asked =
        asked.unwrap_or_else(|| PendingRequest::new(random::id(), email, FORGOT, visitor.now()));
    let done = visitor.pending_requests().with_done(asked, &visitor.app)?;
    let set = "Your password is set. Sign in with it.";
    let onward = visitor.done_with(set, "/sign-in/password", Some(done))?;
    Ok(confidential(onward))
}

async fn show(visitor: &Visitor, status: StatusCode, link: LinkView) -> Answer {
    let page = LinkPage {
        frame: visitor.frame(),
        offers_passkey: offers_passkey(visitor, &link).await?,
        link,
    };
    Ok(confidential(page_with(status, &page)?))
}

/// Whether the page offers to make a passkey in place of a first password ([`first_passkey`](super::first_passkey)). Who
/// has not named the address yet learns nothing of its account by that: there it is offered of every account.
async fn offers_passkey(visitor: &Visitor, link: &LinkView) -> Result<bool, Rejection> {
    if visitor.app.relying_party.is_none() || link.signed_in_as.is_some() {
        return Ok(false);
    }
    let Some(token) = Token::parse(&link.token).filter(|_| !link.ask_address) else {
        return Ok(link.ask_address);
    };
    let has_nothing =
        visitor.app.read(
            move |tx| match links::account_of(tx, &token, Purpose::ResetPassword)? {
                Some(user) => passkeys::has_nothing_to_enter(tx, &user),
                None => Ok(false),
            },
        );
    Ok(has_nothing.await?)
}

#[derive(Template)]
#[template(path = "reset_password/ask.html")]
struct AskPage {
    frame: Frame,
    form: LinkRequestView,
}

#[derive(Template)]
#[template(path = "reset_password/link.html")]
struct LinkPage {
    frame: Frame,
    link: LinkView,
    offers_passkey: bool,
}
