//! Change the account's address, behind the gate: the form, and the pages of the two links.
//!
//! What happens is in [`change_email`](crate::actions::change_email).

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;

use crate::accounts::email_address::EmailAddress;
use crate::accounts::links::Purpose;
use crate::actions::change_email::{self, ChangeRequest, Changed, Requested, UsedHere};
use crate::flows::Answer;
use crate::random;
use crate::web::field_error::FieldError;
use crate::web::form::{Form, NoFields};
use crate::web::link_page::{self, LinkForm, LinkView, Looked, Submitted};
use crate::web::next::Next;
use crate::web::page::{Frame, confidential, page, page_with};
use crate::web::pending_change::PendingChange;
use crate::web::rejection::Rejection;
use crate::web::sealed_cookies::{Interrupted, PendingRequest};
use crate::web::step_up::{BehindGate, Reauthenticated, Sensitive};
use crate::web::visitor::{SignedIn, Visitor};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/email").get(show).post(ask))
        .service(web::resource("/account/email/cancel").post(cancel))
        .service(
            web::resource(Purpose::ChangeEmail.route())
                .get(open_confirm)
                .post(confirm),
        )
        .service(
            web::resource(Purpose::UndoChangeEmail.route())
                .get(open_undo)
                .post(undo),
        );
}

async fn show(gate: Reauthenticated) -> Answer {
    let mut typed = gate.typed_before(ChangeForm::PAGE);
    let email = typed.remove("email").unwrap_or_default();
    Ok(page(&ChangePage::of(&gate, email, None).await?)?)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ChangeForm {
    email: String,
}

impl BehindGate for ChangeForm {
    const PAGE: &'static str = "/account/email";

    fn typed(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("email".to_owned(), self.email.clone())])
    }
}

async fn ask(Sensitive { gate, form }: Sensitive<ChangeForm>) -> Answer {
    let new = match EmailAddress::parse(&form.email) {
        Ok(new) if new.as_str() == gate.session.email => {
            return again(&gate, form.email, FieldError::SameAddress).await;
        }
        Ok(new) => new,
        Err(why) => return again(&gate, form.email, FieldError::Address(why)).await,
    };
    let visitor = &gate.visitor;
    visitor.app.outbox.check_room()?;
    let request = ChangeRequest {
        new,
        session_id: gate.session.id.clone(),
        client: visitor.client(),
    };
    let requested = gate.act_settled(&form, move |tx, app, owner| {
        change_email::request(tx, app, owner, &request)
    });
    match requested.await?? {
        Requested::Sent => {
            let asked = "The change of your address waits to be confirmed.";
            let forgotten = Interrupted::forget(&visitor.req, &visitor.app)?;
            visitor.done_with(asked, ChangeForm::PAGE, forgotten)
        }
        Requested::TooSoon(too_soon) => again(&gate, form.email, too_soon.into()).await,
    }
}

async fn again(gate: &Reauthenticated, email: String, error: FieldError) -> Answer {
    let again = ChangePage::of(gate, email, Some(error)).await?;
    Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &again)?)
}

async fn cancel(signed_in: SignedIn, _: Form<NoFields>) -> Answer {
    let client = signed_in.visitor.client();
    signed_in
        .act(move |tx, app, by| change_email::cancel(tx, app, by, &client))
        .await?;
    let cancelled = "The change of your address is called off.";
    signed_in.visitor.done(cancelled, Next::DEFAULT)
}

async fn open_confirm(visitor: Visitor) -> Answer {
    match link_page::look(&visitor, Purpose::ChangeEmail).await? {
        Looked::InAddress(seen) => link_page::to_clean_page(&visitor, Purpose::ChangeEmail, &seen),
        Looked::OnPage(seen) => show_confirm(&visitor, StatusCode::OK, LinkView::of(&seen)),
        Looked::Answered(answer) => Ok(answer),
    }
}

async fn confirm(visitor: Visitor, Form(form): Form<LinkForm>) -> Answer {
    let (purpose, here) = (Purpose::ChangeEmail, used_here(&visitor));
    let submitted = link_page::submit(&visitor, form, purpose, move |tx, app, proof, _| {
        change_email::confirm(tx, app, &proof, &here)
    });
    match submitted.await? {
        Submitted::Done { effect, .. } => confirmed(&visitor, effect),
        Submitted::Again(view) => show_confirm(&visitor, StatusCode::UNPROCESSABLE_ENTITY, view),
        Submitted::Answered(answer) => Ok(answer),
    }
}

/// Where the account is signed in, its page shows the new address. Anywhere else the way leads to a page on which
/// nothing can be seen of it.
fn confirmed(visitor: &Visitor, changed: Changed) -> Answer {
    let session = visitor.session.as_ref();
    let here = session.filter(|session| session.user_id == changed.user_id);
    let sentence = match (session, here) {
        (_, Some(_)) if changed.renewed_here.is_some() => "Your email address is changed.",
        (Some(_), None) => "The email address of the other account is changed.",
        _ => "The email address is changed. Sign in with the new one.",
    };
    if let (Some(token), Some(session)) = (changed.renewed_here, here) {
        visitor.hand_over(&token, session)?;
    }
    visitor.done(sentence, Next::DEFAULT).map(confidential)
}

fn used_here(visitor: &Visitor) -> UsedHere {
    let here = visitor.session.as_ref().map(|session| session.id.clone());
    UsedHere {
        client: visitor.client(),
        session: here.zip(visitor.token_hash()),
    }
}

async fn open_undo(visitor: Visitor) -> Answer {
    let purpose = Purpose::UndoChangeEmail;
    match link_page::look(&visitor, purpose).await? {
        Looked::InAddress(seen) => link_page::to_clean_page(&visitor, purpose, &seen),
        Looked::OnPage(seen) => show_undo(&visitor, StatusCode::OK, LinkView::of(&seen)),
        Looked::Answered(answer) => Ok(answer),
    }
}

async fn undo(visitor: Visitor, Form(form): Form<LinkForm>) -> Answer {
    let (here, link_request_id) = (used_here(&visitor), random::id());
    let (purpose, answered) = (Purpose::UndoChangeEmail, link_request_id.clone());
    let submitted = link_page::submit(&visitor, form, purpose, move |tx, app, proof, _| {
        change_email::undo(tx, app, proof, &here, &answered)
    });
    match submitted.await? {
        Submitted::Done { effect, .. } => to_inbox(&visitor, link_request_id, effect),
        Submitted::Again(view) => show_undo(&visitor, StatusCode::UNPROCESSABLE_ENTITY, view),
        Submitted::Answered(answer) => Ok(answer),
    }
}

/// This browser is the one that asked for the mail which is on its way.
fn to_inbox(
    visitor: &Visitor,
    link_request_id: String,
    email: String,
) -> Result<HttpResponse, Rejection> {
    let (route, now) = ("/forgot-password", visitor.now());
    let request = PendingRequest::new(link_request_id, email, route, now);
    let cookie = visitor.pending_requests().with(request, &visitor.app)?;
    let back = "The old address is back, and everybody is signed out.";
    let onward = visitor.done_with(back, "/sign-in/sent", Some(cookie))?;
    Ok(confidential(onward))
}

fn show_confirm(visitor: &Visitor, status: StatusCode, link: LinkView) -> Answer {
    let frame = visitor.frame();
    Ok(confidential(page_with(
        status,
        &ConfirmPage { frame, link },
    )?))
}

fn show_undo(visitor: &Visitor, status: StatusCode, link: LinkView) -> Answer {
    let frame = visitor.frame();
    Ok(confidential(page_with(status, &UndoPage { frame, link })?))
}

#[derive(Template)]
#[template(path = "change_email/form.html")]
struct ChangePage {
    frame: Frame,
    own_email: String,
    pending: Option<PendingChange>,
    email: String,
    error: Option<FieldError>,
}

impl ChangePage {
    async fn of(
        gate: &Reauthenticated,
        email: String,
        error: Option<FieldError>,
    ) -> Result<Self, Rejection> {
        let app = &gate.visitor.app;
        let (at_hand, user_id) = (app.clone(), gate.session.user_id.clone());
        let pending = app.read(move |tx| PendingChange::find(tx, &at_hand, &user_id));
        Ok(Self {
            frame: gate.visitor.frame(),
            own_email: gate.session.shown_email(),
            pending: pending.await?,
            email,
            error,
        })
    }
}

#[derive(Template)]
#[template(path = "change_email/confirm.html")]
struct ConfirmPage {
    frame: Frame,
    link: LinkView,
}

#[derive(Template)]
#[template(path = "change_email/undo.html")]
struct UndoPage {
    frame: Frame,
    link: LinkView,
}
