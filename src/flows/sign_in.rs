//! Sign in: by the link in a mail, or by the code beside it.
//!
//! The page that asks is the same for everybody, and so is the page that waits. In the browser that asked, a
//! click on the link signs in by itself, as the callback of an OAuth provider does; anywhere else the link
//! leads to a page that wants to know where it was sent. The code is taken only in the browser that asked,
//! only for its newest request, and only five times.

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;

use crate::accounts::links::Purpose;
use crate::accounts::sessions::{AuthMethod, Session};
use crate::actions::follow_link::{self, Followed, Outcome};
use crate::actions::request_link::LinkKind;
use crate::actions::sign_in::{self, CodeOutcome};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::flows::Answer;
use crate::invisible;
use crate::random::Code;
use crate::web::field_error::FieldError;
use crate::web::form::Form;
use crate::web::link_page::{self, LinkForm, LinkView, Looked, Seen, Submitted};
use crate::web::link_request_form::{self, LinkRequestForm, LinkRequestView};
use crate::web::page::{Frame, confidential, page, page_with, see_other};
use crate::web::pasted_link;
use crate::web::return_url::{self, ReturnUrl};
use crate::web::sealed_cookies::{CodeTaken, PendingRequest};
use crate::web::visitor::Visitor;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/sign-in").get(show).post(ask))
        .service(web::resource("/sign-in/sent").get(wait))
        .service(web::resource("/sign-in/code").post(enter_code))
        .service(
            web::resource(Purpose::SignIn.route())
                .get(open_link)
                .post(use_link),
        );
}

/// An app may not know yet that its visitor is signed in here: then there is nothing to ask.
async fn show(visitor: Visitor) -> Answer {
    if let (Some(_), Some(next)) = (&visitor.session, visitor.next_in_query()?)
        && ReturnUrl::led_to_by(&next).is_some()
    {
        return Ok(see_other(&return_url::at_once(&next)).finish());
    }
    let form = LinkRequestView::for_reader(&visitor).await?;
    let frame = visitor.frame();
    Ok(page(&AskPage { frame, form })?)
}

async fn ask(visitor: Visitor, Form(form): Form<LinkRequestForm>) -> Answer {
    link_request_form::submit(
        &visitor,
        form,
        "/sign-in",
        LinkKind::SignIn,
        |frame, form| AskPage { frame, form },
    )
    .await
}

/// The page that waits for the visitor's inbox. Once this browser is signed in it moves on by itself; for
/// a visitor who is not, it reads nothing but the cookie.
async fn wait(visitor: Visitor) -> Answer {
    let asked = visitor.pending_requests();
    let newest = asked.newest();
    if let Some(pending) = newest.filter(|pending| signed_in_since(&visitor, pending).is_some()) {
        return Ok(see_other(&link_page::next_of(Some(pending))).finish());
    }
    let query = visitor.query()?;
    let holds_still = query.contains_key("still");
    let sent = SentPage {
        holds_still,
        ..SentPage::of(&visitor, newest)
    };
    Ok(page(&sent)?)
}

/// The session of this browser, if it began after this request was made.
fn signed_in_since<'a>(visitor: &'a Visitor, pending: &PendingRequest) -> Option<&'a Session> {
    let session = visitor.session.as_ref();
    session.filter(|session| session.created_at >= pending.at)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CodeForm {
    code: String,
}

/// Only what can be a code is a try. A link that was pasted in its place is followed, as by a click.
///
/// A code is taken once, and sent twice now and then: by a second click, or by Back and Enter. Whoever it has signed in
/// goes on, as after the second click on a link.
async fn enter_code(visitor: Visitor, Form(form): Form<CodeForm>) -> Answer {
    if let Some(page) = pasted_link::page_of(&form.code, &visitor.app.config.server.public_url) {
        return Ok(confidential(see_other(page.as_str()).finish()));
    }
    let asked = visitor.pending_requests();
    let newest = asked.newest();
    let is_in = |pending: &&PendingRequest| {
        signed_in_since(&visitor, pending).is_some_and(|session| session.email == pending.email)
    };
    let code = Code::parse(&form.code);
    if let Some(pending) = newest.filter(is_in).filter(|_| code.is_some()) {
        return Ok(see_other(&link_page::next_of(Some(pending))).finish());
    }
    let Some(pending) = asked.newest_with_code().cloned() else {
        return sent_again(SentPage {
            code_was_refused: true,
            ..SentPage::of(&visitor, newest)
        });
    };
    if invisible::trimmed(form.code.trim()).is_empty() {
        return error_in_code(&visitor, &pending, form.code, FieldError::NoCode);
    }
    let Some(code) = code else {
        return error_in_code(&visitor, &pending, form.code, FieldError::NotACode);
    };
    let (link_request_id, device) = (pending.id.clone(), visitor.device(pending.shared));
    let tried =
        visitor.act(move |tx, app| sign_in::by_code(tx, app, &link_request_id, &code, &device));
    match tried.await?? {
        CodeOutcome::In(begun) => visitor.welcome(&begun, &link_page::next_of(Some(&pending))),
        CodeOutcome::Wrong => error_in_code(&visitor, &pending, form.code, FieldError::WrongCode),
        CodeOutcome::Used => no_code_any_more(&visitor, pending, true),
        CodeOutcome::Ended => no_code_any_more(&visitor, pending, false),
    }
}

/// The page without its field, from here on: this browser keeps in mind that there is nothing to type.
fn no_code_any_more(visitor: &Visitor, pending: PendingRequest, was_used: bool) -> Answer {
    let pending = PendingRequest {
        code: CodeTaken::Nowhere,
        ..pending
    };
    let mut answer = sent_again(SentPage {
        code_was_used: was_used,
        ..SentPage::of(visitor, Some(&pending))
    })?;
    let cookie = visitor.pending_requests().with(pending, &visitor.app)?;
    answer.add_cookie(&cookie).map_err(Error::internal)?;
    Ok(answer)
}

fn error_in_code(
    visitor: &Visitor,
    pending: &PendingRequest,
    code: String,
    error: FieldError,
) -> Answer {
    sent_again(SentPage {
        code,
        code_error: Some(error),
        ..SentPage::of(visitor, Some(pending))
    })
}

fn sent_again(page: SentPage) -> Answer {
    Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &page)?)
}

async fn open_link(visitor: Visitor) -> Answer {
    match link_page::look(&visitor, Purpose::SignIn).await? {
        Looked::InAddress(seen) => match seen.asked.clone() {
            Some(pending) if seen.somebody_else.is_none() && visitor.is_click() => {
                click(&visitor, seen, &pending).await
            }
            _ => link_page::to_clean_page(&visitor, Purpose::SignIn, &seen),
        },
        Looked::OnPage(seen) => show_link(&visitor, StatusCode::OK, LinkView::of(&seen)),
        Looked::Answered(answer) => Ok(answer),
    }
}

/// A person clicked, in the browser that asked: nothing more is needed. Whoever loses the race against
/// another use of the link finds it gone.
async fn click(visitor: &Visitor, seen: Seen, pending: &PendingRequest) -> Answer {
    let device = visitor.device(pending.shared);
    let followed = Followed {
        token: seen.token,
        purpose: Purpose::SignIn,
        typed: None,
        client: visitor.client(),
    };
    let begun = visitor.act(move |tx, app| {
        follow_link::follow(tx, app, &followed, |tx, proof| {
            sign_in::by_proof(tx, app, proof, AuthMethod::EmailLink, &device)
        })
    });
    match begun.await?? {
        Outcome::Done(begun) => {
            let next = link_page::next_of(Some(pending));
            visitor.welcome(&begun, &next).map(confidential)
        }
        Outcome::WrongAddress | Outcome::Dead => {
            link_page::gone(visitor, Purpose::SignIn, Some(pending))
        }
    }
}

async fn use_link(visitor: Visitor, Form(form): Form<LinkForm>) -> Answer {
    let device = visitor.device(false);
    let submitted = link_page::submit(
        &visitor,
        form,
        Purpose::SignIn,
        move |tx, app, proof, asked| {
            let device = device.shared_if(asked.is_some_and(|pending| pending.shared));
            sign_in::by_proof(tx, app, proof, AuthMethod::EmailLink, &device)
        },
    );
    match submitted.await? {
        Submitted::Done { effect, asked } => {
            let next = link_page::next_of(asked.as_ref());
            visitor.welcome(&effect, &next).map(confidential)
        }
        Submitted::Again(view) => show_link(&visitor, StatusCode::UNPROCESSABLE_ENTITY, view),
        Submitted::Answered(answer) => Ok(answer),
    }
}

fn show_link(visitor: &Visitor, status: StatusCode, link: LinkView) -> Answer {
    let frame = visitor.frame();
    Ok(confidential(page_with(status, &LinkPage { frame, link })?))
}

#[derive(Template)]
#[template(path = "sign_in/ask.html")]
struct AskPage {
    frame: Frame,
    form: LinkRequestView,
}

#[derive(Template)]
#[template(path = "sign_in/sent.html")]
struct SentPage {
    frame: Frame,
    asked: Option<SentTo>,
    /// What was typed, when there is a mistake in it.
    code: String,
    code_error: Option<FieldError>,
    /// One was typed where none is taken.
    code_was_refused: bool,
    /// The right one was typed, and was used before.
    code_was_used: bool,
    /// Without JavaScript the page loads itself again; not while a code is being typed.
    holds_still: bool,
    dev_inbox: bool,
}

struct SentTo {
    email: String,
    route: String,
    has_code: bool,
    code: CodeTaken,
    next: Option<String>,
    shared: bool,
    again_in_seconds: u64,
}

impl SentPage {
    fn of(visitor: &Visitor, pending: Option<&PendingRequest>) -> Self {
        Self {
            frame: visitor.frame(),
            asked: pending.map(|pending| SentTo::of(pending, visitor.now())),
            code: String::new(),
            code_error: None,
            code_was_refused: false,
            code_was_used: false,
            holds_still: false,
            dev_inbox: visitor.app.config.has_dev_inbox(),
        }
    }
}

impl SentTo {
    fn is_elsewhere(&self) -> bool {
        self.code == CodeTaken::Elsewhere
    }

    fn takes_code(&self) -> bool {
        self.has_code && self.code == CodeTaken::Here
    }

    /// What the visitor may do there, if the address is the right one.
    fn may(&self) -> &'static str {
        match self.route.as_str() {
            "/sign-in" => "may sign in here",
            "/register" => "may register here",
            _ if self.has_code => "can be confirmed here",
            _ => "has an account here",
        }
    }

    fn of(pending: &PendingRequest, now: Timestamp) -> Self {
        let wait = u64::try_from(pending.again_at - now).unwrap_or(0);
        Self {
            email: pending.shown_email(),
            route: pending.route.clone(),
            has_code: pending.has_code(),
            code: pending.code,
            next: pending.next.clone(),
            shared: pending.shared,
            again_in_seconds: wait.div_ceil(1000),
        }
    }
}

#[derive(Template)]
#[template(path = "sign_in/link.html")]
struct LinkPage {
    frame: Frame,
    link: LinkView,
}
