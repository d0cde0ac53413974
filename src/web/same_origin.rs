//! A POST comes from one of our own pages, or it is refused.
//!
//! `Sec-Fetch-Site` is the browser's own word and no page can forge it, so it alone decides where it is
//! sent (whatever `Origin` says: pages that refer to nobody make it `null`). A browser too old for it is
//! judged by `Origin`. One that sends neither shows that it loaded a page of ours: see [`form_token`]. This covers
//! signing in too: a stranger cannot sign a visitor into the stranger's account.
//!
//! One POST comes from no page at all: a mail provider's server ends announcements for its user (RFC 8058). It
//! says neither, and is let through on that one route, where the signed token alone counts and a session
//! nothing. A browser, sent there by another site, is refused as everywhere.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::ORIGIN;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, ResponseError};

use crate::accounts::signed_links::UNSUBSCRIBE;
use crate::app::App;
use crate::web::app_data::app_of;
use crate::web::form_token;
use crate::web::headers::only;
use crate::web::marks::request_id;
use crate::web::rejection::Rejection;

/// Refuses, before any handler, whatever may change something and is not from our own origin.
pub async fn guard(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    match admit(&mut req).await {
        Ok(()) => Ok(next.call(req).await?.map_into_left_body()),
        Err(refusal) => {
            let refusal = refuse(&req, &refusal);
            Ok(req.into_response(refusal).map_into_right_body())
        }
    }
}

async fn admit(req: &mut ServiceRequest) -> Result<(), Rejection> {
    let said = req.request();
    if req.method() != Method::POST || is_ours(said) || is_one_click(said) {
        return Ok(());
    }
    if says_whence(said) {
        return Err(Rejection::CrossOrigin);
    }
    let app = app_of(said)?;
    match form_token::is_brought(req, &app).await? {
        true => Ok(()),
        false => Err(Rejection::CrossOrigin),
    }
}

fn refuse(req: &ServiceRequest, refusal: &Rejection) -> HttpResponse {
    if matches!(refusal, Rejection::CrossOrigin) {
        tracing::warn!(
            request_id = request_id(req),
            event = "csrf_refused",
            "a POST from another origin was refused"
        );
        // What takes a form is not there: a program that has mistyped an address need not be told of pages.
        if req.path().starts_with("/api/") {
            return Rejection::NotFound.error_response();
        }
    }
    refusal.error_response()
}

/// Whether the browser says that one of our own pages sent this.
pub fn is_ours(req: &HttpRequest) -> bool {
    let Some(app) = req.app_data::<Data<App>>() else {
        return false;
    };
    let headers = req.headers();
    match (
        only(headers, "sec-fetch-site"),
        only(headers, ORIGIN.as_str()),
    ) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            !headers.contains_key("sec-fetch-site")
                && origin == app.config.server.public_url.as_str()
        }
        (None, None) => false,
    }
}

/// Whether no browser sent it, to where none is needed.
fn is_one_click(req: &HttpRequest) -> bool {
    req.path() == UNSUBSCRIBE && !says_whence(req)
}

/// Whether the browser says that another site sent this. A program says nothing.
pub fn is_anothers(req: &HttpRequest) -> bool {
    says_whence(req) && !is_ours(req)
}

fn says_whence(req: &HttpRequest) -> bool {
    let says = |name: &str| req.headers().contains_key(name);
    says("sec-fetch-site") || says(ORIGIN.as_str())
}
