//! Change the account's address, behind the gate.
//!
//! A link goes to the new address, and a notice to the old one; nothing changes before the link is used.
//! Whoever asks for an address that somebody has sees what others see: its owner is told, without a link.
//! When the change happens, every other session and every link ends, and the old mailbox gets a link that takes
//! it back: that restores the address, takes the password away (a thief may know it), ends everything and
//! mails a link to set a new one. Of several such links the oldest wins, and while one lives its address is
//! kept for its owner.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;

use crate::accounts::client::Client;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::links::{self, Consumed, PendingChange, Purpose, Wanted};
use crate::accounts::sessions;
use crate::accounts::users::{self, User};
use crate::db::Tx;
use crate::error::Result;
use crate::flows::Answer;
use crate::humanize;
use crate::mail::changes::{self, Asked, Asking};
use crate::mail::notices::Notice;
use crate::mail::outbox::Outbox;
use crate::random::{self, Token, TokenHash};
use crate::web::field_error::FieldError;
use crate::web::form::{Form, NoFields};
use crate::web::link_page::{self, LinkForm, LinkView, Looked, Submitted};
use crate::web::next::Next;
use crate::web::page::{Frame, confidential, page, page_with, see_other};
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
    let asking = Asking {
        new,
        session_id: gate.session.id.clone(),
        network: visitor.network(),
        client: visitor.client(),
        outbox: visitor.app.outbox.clone(),
    };
    match gate
        .act(move |tx, owner| changes::ask_to_change_email(tx, owner, &asking))
        .await?
    {
        Asked::Sent => {
            let mut back = see_other(ChangeForm::PAGE);
            if let Some(forgotten) = Interrupted::forget(&visitor.req, &visitor.app)? {
                back.cookie(forgotten);
            }
            Ok(back.finish())
        }
        Asked::TooSoon { until } => {
            let wait = u64::try_from(until - visitor.now()).unwrap_or(0);
            let wait = humanize::waiting(Duration::from_millis(wait));
            again(&gate, form.email, FieldError::TooSoon { wait }).await
        }
        Asked::TooMany { until } => Err(Rejection::too_many(until, visitor.now())),
    }
}

async fn again(gate: &Reauthenticated, email: String, error: FieldError) -> Answer {
    let again = ChangePage::of(gate, email, Some(error)).await?;
    Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &again)?)
}

async fn cancel(signed_in: SignedIn, _: Form<NoFields>) -> Answer {
    let visitor = &signed_in.visitor;
    let (config, client) = (visitor.app.config.clone(), visitor.client());
    let cancelled = signed_in.act(move |tx, session| {
        if links::pending_change(tx, &config, &session.user_id)?.is_some() {
            links::end_of(tx, &session.user_id, Purpose::ChangeEmail)?;
            events::note(tx, &session.user_id, Event::EmailChangeCancelled, &client)?;
        }
        Ok(())
    });
    cancelled.await?;
    Ok(see_other(Next::DEFAULT).finish())
}

async fn open_confirm(visitor: Visitor) -> Answer {
    match link_page::look(&visitor, Purpose::ChangeEmail).await? {
        Looked::InAddress(seen) => link_page::to_clean_page(&visitor, Purpose::ChangeEmail, &seen),
        Looked::OnPage(seen) => show_confirm(&visitor, StatusCode::OK, LinkView::of(&seen)),
        Looked::Answered(answer) => Ok(answer),
    }
}

async fn confirm(visitor: Visitor, Form(form): Form<LinkForm>) -> Answer {
    let changing = Changing::of(&visitor);
    let submitted = link_page::submit(&visitor, form, Purpose::ChangeEmail, move |tx, proof, _| {
        change(tx, proof, &changing)
    });
    match submitted.await? {
        Submitted::Done { effect, .. } => {
            if let (Some(token), Some(session)) = (effect.renewed_here, &visitor.session) {
                visitor.hand_over(&token, session.shared)?;
            }
            Ok(confidential(see_other(Next::DEFAULT).finish()))
        }
        Submitted::Again(view) => show_confirm(&visitor, StatusCode::UNPROCESSABLE_ENTITY, view),
        Submitted::Answered(answer) => Ok(answer),
    }
}

/// Whoever uses one of the two links, as far as the change cares.
struct Changing {
    outbox: Outbox,
    client: Client,
    /// The session of this browser: its id, and its token's hash.
    here: Option<(String, TokenHash)>,
}

impl Changing {
    fn of(visitor: &Visitor) -> Self {
        let here = visitor.session.as_ref().map(|session| session.id.clone());
        Self {
            outbox: visitor.app.outbox.clone(),
            client: visitor.client(),
            here: here.zip(visitor.token_hash()),
        }
    }
}

struct Changed {
    /// The new token of the session that asked, if that is this browser's.
    renewed_here: Option<Token>,
}

/// The address changes. `None` when the account is gone, or somebody else has the address by now: then nothing
/// is changed.
fn change(tx: &mut Tx, proof: &Consumed, changing: &Changing) -> Result<Option<Changed>> {
    let Some((before, after)) = take_address(tx, proof)? else {
        return Ok(None);
    };
    let renewed_here = end_sessions_but_the_asking(tx, &after, proof, changing)?;
    mail_undo(tx, &before, changing)?;
    events::note(tx, &after.id, Event::EmailChanged, &changing.client)?;
    let news = Notice::EmailChanged;
    changing
        .outbox
        .tell(tx, &after.email, news, &changing.client)?;
    Ok(Some(Changed { renewed_here }))
}

/// Gives the account the address that the link proves, and ends all links of both; the account as it was and as
/// it is. `None` as in [`users::change_email`].
fn take_address(tx: &mut Tx, proof: &Consumed) -> Result<Option<(User, User)>> {
    let id = proof.user_id();
    let Some(before) = id.map(|id| users::find(tx, id)).transpose()?.flatten() else {
        return Ok(None);
    };
    let Some(after) = users::change_email(tx, proof)? else {
        return Ok(None);
    };
    links::end_all(tx, &before)?;
    links::end_all(tx, &after)?;
    Ok(Some((before, after)))
}

/// The session that asked goes on under a new token: at once if it is here, else when it is next seen.
fn end_sessions_but_the_asking(
    tx: &mut Tx,
    user: &User,
    proof: &Consumed,
    changing: &Changing,
) -> Result<Option<Token>> {
    let Some(asking) = proof.session_id() else {
        sessions::end_all(tx, user)?;
        return Ok(None);
    };
    sessions::end_others(tx, &user.id, asking)?;
    match &changing.here {
        Some((id, token)) if id == asking => sessions::renew(tx, token),
        _ => sessions::renew_when_seen(tx, asking).map(|()| None),
    }
}

fn mail_undo(tx: &mut Tx, before: &User, changing: &Changing) -> Result<()> {
    let wanted = Wanted {
        purpose: Purpose::UndoChangeEmail,
        email: &before.email,
        user_id: Some(&before.id),
        ask_id: None,
        session_id: None,
    };
    let browser = Some(&*changing.client.browser);
    changing.outbox.send_link(tx, &wanted, browser)
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
    let (changing, ask_id) = (Changing::of(&visitor), random::id());
    let asking = ask_id.clone();
    let purpose = Purpose::UndoChangeEmail;
    let submitted = link_page::submit(&visitor, form, purpose, move |tx, proof, _| {
        take_back(tx, proof, &changing, &asking)
    });
    match submitted.await? {
        Submitted::Done { effect, .. } => to_inbox(&visitor, ask_id, effect),
        Submitted::Again(view) => show_undo(&visitor, StatusCode::UNPROCESSABLE_ENTITY, view),
        Submitted::Answered(answer) => Ok(answer),
    }
}

/// The old address is back, and nothing that somebody may have prepared is left: no password, session or link.
fn take_back(
    tx: &mut Tx,
    proof: &Consumed,
    changing: &Changing,
    ask_id: &str,
) -> Result<Option<User>> {
    let Some((_, after)) = take_address(tx, proof)? else {
        return Ok(None);
    };
    users::remove_password(tx, proof)?;
    sessions::end_all(tx, &after)?;
    links::end_later_undos(tx, proof)?;
    events::note(tx, &after.id, Event::EmailChangeUndone, &changing.client)?;
    mail_reset(tx, &after, changing, ask_id)?;
    Ok(Some(after))
}

fn mail_reset(tx: &mut Tx, user: &User, changing: &Changing, ask_id: &str) -> Result<()> {
    let wanted = Wanted {
        purpose: Purpose::ResetPassword,
        email: &user.email,
        user_id: Some(&user.id),
        ask_id: Some(ask_id),
        session_id: None,
    };
    let browser = Some(&*changing.client.browser);
    changing.outbox.send_link(tx, &wanted, browser)
}

/// This browser is the one that asked for the mail which is on its way.
fn to_inbox(visitor: &Visitor, ask_id: String, user: User) -> Result<HttpResponse, Rejection> {
    let now = visitor.now();
    let ask = PendingRequest {
        id: ask_id,
        email: user.email,
        route: "/forgot-password".to_owned(),
        next: None,
        shared: false,
        at: now,
        again_at: now,
        done: false,
    };
    let cookie = visitor.pending_requests().with(ask, &visitor.app)?;
    let redirect = see_other("/sign-in/sent").cookie(cookie).finish();
    Ok(confidential(redirect))
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
        let (config, user_id) = (app.config.clone(), gate.session.user_id.clone());
        let pending = app.read(move |tx| links::pending_change(tx, &config, &user_id));
        Ok(Self {
            frame: gate.visitor.frame(),
            own_email: gate.session.email.clone(),
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
