//! Links in ordinary mail: a notice or an announcement brings its reader straight to the page.
//!
//! The link carries a signed token ([`signed_links`]). Whatever page it leads to, the token is taken off the
//! address first. Clicked in a browser that the account knows, it signs in, as far as looking goes: what is
//! sensitive still asks for the password. Anywhere else (a forwarded mail, a scanner, another device) nobody is
//! signed in: there is the page itself, and where it needs an account the form that signs in, with the address
//! filled in. A bad token is ignored; and where somebody is signed in, even a good one is only taken off the address.
//!
//! The account's owner says whether such links are taken at all, and whether from anywhere; and may end all
//! that are out.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next as Inside;
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, FromRequest, HttpRequest, ResponseError};
use serde::Deserialize;

use crate::accounts::sessions::Started;
use crate::accounts::signed_links::{self, SignedToken};
use crate::actions::sign_in::{self, Reader};
use crate::actions::{end_links, switch_mail};
use crate::flows::Answer;
use crate::web::form::{Form, NoFields, is_ticked};
use crate::web::next::Next;
use crate::web::page::{confidential, see_other};
use crate::web::rejection::Rejection;
use crate::web::sealed_cookies::LookedAt;
use crate::web::visitor::{SignedIn, Visitor};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/notification-links").post(switch))
        .service(web::resource("/account/announcements").post(switch_announcements))
        .service(web::resource("/account/links/end").post(end));
}

/// Stands before every page. A GET whose address holds a token goes on to the same address without it.
pub async fn follow(
    req: ServiceRequest,
    inside: Inside<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let Some(followed) = Followed::by(req.request()) else {
        return Ok(inside.call(req).await?.map_into_left_body());
    };
    let answer = go_on(req.request(), followed).await;
    let answer = answer.unwrap_or_else(|rejection| rejection.error_response());
    Ok(req
        .into_response(confidential(answer))
        .map_into_right_body())
}

/// What the address of a request says.
struct Followed {
    /// The address without the token.
    page: Next,
    /// `None` if what is there does not read like one of ours, or if there are two.
    token: Option<SignedToken>,
}

impl Followed {
    /// An address that could lead elsewhere without its token is nothing we ever wrote: it is left alone.
    fn by(req: &HttpRequest) -> Option<Self> {
        let query = req.query_string();
        if req.method() != Method::GET || !query.contains(signed_links::FIELD) {
            return None;
        }
        let ours = |pair: &&str| pair.split('=').next() == Some(signed_links::FIELD);
        let (tokens, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(ours);
        let token = match tokens.as_slice() {
            [] => return None,
            [one] => one
                .split_once('=')
                .and_then(|(_, text)| SignedToken::parse(text)),
            _ => None,
        };
        let page = match others.as_slice() {
            [] => req.path().to_owned(),
            others => format!("{}?{}", req.path(), others.join("&")),
        };
        Some(Self {
            page: Next::here(&page)?,
            token,
        })
    }
}

async fn go_on(req: &HttpRequest, followed: Followed) -> Answer {
    let visitor = Visitor::from_request(req, &mut Payload::None).await?;
    let mut onward = see_other(followed.page.as_str());
    let wanted = visitor.session.is_none() && visitor.is_click();
    let Some(token) = followed.token.filter(|_| wanted) else {
        return Ok(onward.finish());
    };
    match enter(&visitor, &token).await? {
        Reader::Known(begun) => visitor.hand_over(&begun.token, &begun.session)?,
        Reader::Stranger => {
            let looked_at = LookedAt::of(req, &visitor.app);
            onward.cookie(looked_at.with_notification(&visitor.app, &token)?);
        }
        Reader::Nobody => {}
    }
    Ok(onward.finish())
}

/// Most come in a browser that the account does not know, or with a token that is not good any more: for them one
/// read is enough, and nothing is written.
async fn enter(visitor: &Visitor, token: &SignedToken) -> Result<Reader<Box<Started>>, Rejection> {
    let (looked_at, looking) = (token.clone(), visitor.device(false));
    let app = visitor.app.clone();
    let reader = visitor
        .app
        .read(move |tx| sign_in::look_at_notification(tx, &app, &looked_at, &looking));
    match reader.await? {
        Reader::Known(()) => {
            let (token, device) = (token.clone(), visitor.device(false));
            visitor
                .act(move |tx, app| sign_in::by_notification(tx, app, &token, &device))
                .await
        }
        Reader::Stranger => Ok(Reader::Stranger),
        Reader::Nobody => Ok(Reader::Nobody),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SwitchForm {
    enabled: String,
    usual_networks_only: String,
}

async fn switch(signed_in: SignedIn, Form(form): Form<SwitchForm>) -> Answer {
    let (enabled, usual_only) = (
        is_ticked(&form.enabled),
        is_ticked(&form.usual_networks_only),
    );
    let client = signed_in.visitor.client();
    signed_in
        .act(move |tx, _, by| {
            switch_mail::switch_notification_links(tx, by, enabled, usual_only, &client)
        })
        .await?;
    let saved = match (enabled, usual_only) {
        (false, _) => "Saved: links in messages do not sign you in.",
        (true, false) => "Saved: links in messages sign you in.",
        (true, true) => {
            "Saved: links in messages sign you in from networks you have come from lately."
        }
    };
    signed_in.visitor.done(saved, Next::DEFAULT)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnnouncementsForm {
    enabled: String,
}

async fn switch_announcements(signed_in: SignedIn, Form(form): Form<AnnouncementsForm>) -> Answer {
    let (wanted, client) = (is_ticked(&form.enabled), signed_in.visitor.client());
    signed_in
        .act(move |tx, _, by| switch_mail::switch_announcements(tx, by, wanted, &client))
        .await?;
    let saved = match wanted {
        true => "Saved: you get announcements.",
        false => "Saved: you get no more announcements.",
    };
    signed_in.visitor.done(saved, Next::DEFAULT)
}

/// Ends every link that is out, stored and signed.
async fn end(signed_in: SignedIn, _: Form<NoFields>) -> Answer {
    let client = signed_in.visitor.client();
    signed_in
        .act(move |tx, _, by| end_links::end_all(tx, by, &client))
        .await?;
    let ended = "The links that were sent to you until now are ended.";
    signed_in.visitor.done(ended, Next::DEFAULT)
}
