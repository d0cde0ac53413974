//! A POST comes from one of our own pages, or it is refused.
//!
//! `Sec-Fetch-Site` is the browser's own word and no page can forge it, so it alone decides where it is
//! sent (whatever `Origin` says: pages that refer to nobody make it `null`). A browser too old for it is
//! judged by `Origin`. With neither there is nothing to go by, and no browser of this decade sends
//! neither. This covers signing in too: a stranger cannot sign a visitor into the stranger's account.
//!
//! One POST comes from no page at all: a mail provider's server ends announcements for its user (RFC 8058). It
//! says neither, and is let through on that one route, where the signed token alone counts and a session
//! nothing. A browser, sent there by another site, is refused as everywhere.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, ORIGIN};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpMessage, HttpRequest, ResponseError};

use crate::accounts::signed_links::UNSUBSCRIBE;
use crate::app::App;
use crate::web::middleware::RequestId;
use crate::web::rejection::Rejection;

/// Refuses, before any handler, whatever may change something and is not from our own origin.
pub async fn guard(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let post = (req.method() == Method::POST).then(|| req.request());
    if post.is_some_and(|post| !is_ours(post) && !is_one_click(post)) {
        let id = req.extensions().get::<RequestId>().cloned();
        let request_id = id.map(|RequestId(id)| id);
        tracing::warn!(request_id, "a POST from another origin was refused");
        // What takes a form is not there: a program that has mistyped an address need not be told of pages.
        let refusal = match req.path().starts_with("/api/") {
            true => Rejection::NotFound.error_response(),
            false => Rejection::CrossOrigin.error_response(),
        };
        return Ok(req.into_response(refusal).map_into_right_body());
    }
    Ok(next.call(req).await?.map_into_left_body())
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

/// The value of a header that was sent exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
