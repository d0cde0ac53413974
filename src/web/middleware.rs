//! Around every request: an id, the security headers, a page for every error, one line in the log.
//!
//! The log shows the route's pattern and never the path or the query, for both may hold a token.

use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ALLOW, Accept, CONTENT_TYPE, Header, HeaderMap, HeaderName, HeaderValue, Quality, RETRY_AFTER,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage, HttpRequest};
use askama::Template;

use crate::app::{self, App};
use crate::humanize;
use crate::metrics;
use crate::random;
use crate::web::marks::{AskedByHead, DoneIsShown, RequestId};
use crate::web::page::{Frame, shown_elsewhere};
use crate::web::rejection::{Failure, Limited};
use crate::web::sealed_cookies::Done;
use crate::web::{
    bound_session, forwarded_for, headers, json, rejection, return_url, set_cookie, unread_body,
};

/// Attends to one request from its head to its log line.
pub async fn attend(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let request_id = random::id();
    req.extensions_mut().insert(RequestId(request_id.clone()));
    let method = req.method().clone();
    // Whatever the answer is: a link's page, or an error in its place.
    let has_token = req.query_string().contains("token=");
    let body = unread_body::hold(&mut req);
    if method == Method::HEAD {
        req.head_mut().method = Method::GET;
        req.extensions_mut().insert(AskedByHead);
    }
    let mut res = next.call(req).await?.map_into_boxed_body();
    tell_what_went_wrong(&res, &request_id);
    if res.status() == StatusCode::METHOD_NOT_ALLOWED {
        allow_head_too(res.headers_mut());
    }
    if is_error_without_words(&res) {
        res = explain(res, &request_id);
    }
    if has_token {
        headers::tell_nobody(res.headers_mut());
    }
    forget_what_was_shown(&mut res);
    if let Some(app) = res.request().app_data::<Data<App>>().cloned() {
        let req = res.request().clone();
        set_cookie::finish(&req, res.headers_mut(), &app);
        bound_session::finish(&req, res.headers_mut());
        headers::complete(res.headers_mut(), &app.config, is_shown_elsewhere(&req));
    }
    if let Ok(id) = HeaderValue::try_from(&request_id) {
        res.headers_mut()
            .insert(HeaderName::from_static("x-request-id"), id);
    }
    let route = res.request().match_pattern();
    let route = route.unwrap_or_else(|| "none".to_owned());
    let (status, took) = (res.status().as_u16(), started.elapsed());
    tracing::info!(
        request_id,
        %method,
        route,
        status,
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        ip = turned_away(&res),
        event = "request",
        "request"
    );
    metrics::request(route, method.as_str(), status, took);
    Ok(unread_body::until_answered(res, body))
}

/// In the log alone: the answer says nothing of it.
fn tell_what_went_wrong(res: &ServiceResponse<BoxBody>, request_id: &str) {
    let notes = res.response().extensions();
    if let Some(Failure(error)) = notes.get::<Failure>() {
        tracing::error!(
            request_id,
            %error,
            event = "request_failed",
            "a request failed"
        );
    }
    if res.status() == StatusCode::TOO_MANY_REQUESTS {
        tracing::info!(
            request_id,
            limit = notes.get::<Limited>().map(|Limited(limit)| *limit),
            ip = turned_away(res),
            event = "limited",
            "somebody does something too often"
        );
    }
}

/// What was done is said on one page.
fn forget_what_was_shown(res: &mut ServiceResponse<BoxBody>) {
    let shown = res.request().extensions().contains::<DoneIsShown>();
    let app = res.request().app_data::<Data<App>>().filter(|_| shown);
    let Some(Ok(cookie)) = app.map(|app| Done::forget(app)) else {
        return;
    };
    if let Err(error) = res.response_mut().add_cookie(&cookie) {
        tracing::warn!(%error, event = "sentence_repeated", "a sentence is said twice");
    }
}

/// Who was refused for what they do: the operator may want to know. No other line has an address.
fn turned_away(res: &ServiceResponse<BoxBody>) -> Option<String> {
    let refused = [StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
    let req = res.request();
    let app = req
        .app_data::<Data<App>>()
        .filter(|_| refused.contains(&res.status()))?;
    Some(forwarded_for::address(req, &app.config.proxies.trusted).to_string())
}

/// Whatever answers GET answers HEAD (RFC 9110 §9.1).
fn allow_head_too(headers: &mut HeaderMap) {
    let allowed = headers.get(ALLOW).and_then(|value| value.to_str().ok());
    let Some(allowed) = allowed.filter(|allowed| allowed.contains("GET")) else {
        return;
    };
    if let Ok(allowed) = HeaderValue::try_from(format!("{allowed}, HEAD")) {
        headers.insert(ALLOW, allowed);
    }
}

/// Programs get `application/problem+json`, whatever they say they like, and so does whoever sends JSON; elsewhere whoever likes HTML as much, or names neither, gets a page.
fn prefers_json(req: &HttpRequest) -> bool {
    if is_for_programs(req) || json::is_json(req) {
        return true;
    }
    let accept = Accept::parse(req).unwrap_or_else(|_| Accept(Vec::new()));
    let liking = |is_meant: fn(&str) -> bool| {
        let meant = accept
            .iter()
            .filter(|range| is_meant(range.item.essence_str()));
        meant
            .map(|range| range.quality)
            .max()
            .unwrap_or(Quality::ZERO)
    };
    let json = liking(|kind| kind.ends_with("/json") || kind.ends_with("+json"));
    let html = liking(|kind| kind == "text/html" || kind == "application/xhtml+xml");
    json > html
}

/// No person is shown what is asked for here.
fn is_for_programs(req: &HttpRequest) -> bool {
    ["/api/", "/.well-known/"]
        .iter()
        .any(|place| req.path().starts_with(place))
}

fn is_error_without_words(res: &ServiceResponse<BoxBody>) -> bool {
    let is_error = res.status().is_client_error() || res.status().is_server_error();
    is_error
        && matches!(
            res.response().body().size(),
            BodySize::None | BodySize::Sized(0)
        )
}

fn explain(res: ServiceResponse<BoxBody>, request_id: &str) -> ServiceResponse<BoxBody> {
    let status = res.status();
    let site_url = site_url_elsewhere(res.request());
    let (title, advice) = Advice {
        status: status.as_u16(),
        is_for_programs: is_for_programs(res.request()),
        is_before_an_app: !site_url.is_empty(),
    }
    .words();
    let wait = retry_after(&res);
    let (content_type, body) = if prefers_json(res.request()) {
        let words = serde_json::json!({
            "type": rejection::kind(&name_of(status)),
            "title": title,
            "status": status.as_u16(),
            "detail": advice,
            "request_id": request_id,
        });
        (rejection::CONTENT_TYPE, words.to_string())
    } else {
        let app = res.request().app_data::<Data<App>>();
        let page = ErrorPage {
            frame: Frame::of_nobody(app.map_or(app::NAME, |app| app.name), &site_url),
            status: status.as_u16(),
            title: &title,
            words: &advice,
            retry_after: wait,
            request_id,
        };
        let html = page.render().unwrap_or(title);
        ("text/html; charset=utf-8", html)
    };
    let mut res = res.map_body(|_, _| BoxBody::new(Bytes::from(body)));
    res.headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if !site_url.is_empty()
        && let Err(error) = shown_elsewhere(res.headers_mut(), &site_url)
    {
        tracing::warn!(%error, event = "page_without_style", "a page at an app's host has no style");
    }
    res
}

/// Where this site is, for an answer that a proxy shows at the host of another app; else empty. The way back is a page of ours.
fn site_url_elsewhere(req: &HttpRequest) -> String {
    let app = req.app_data::<Data<App>>();
    let app = app.filter(|_| is_shown_elsewhere(req));
    app.map_or_else(String::new, |app| {
        app.config.server.public_url.as_str().to_owned()
    })
}

fn is_shown_elsewhere(req: &HttpRequest) -> bool {
    req.path().starts_with("/auth/") && req.path() != return_url::PAGE
}

/// Its reason in one word: `not_found`.
fn name_of(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("error");
    reason.to_ascii_lowercase().replace([' ', '-'], "_")
}

fn retry_after(res: &ServiceResponse<BoxBody>) -> Option<String> {
    let seconds = res.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let wait = std::time::Duration::from_secs(seconds.parse().ok()?);
    Some(humanize::waiting(wait))
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    status: u16,
    title: &'a str,
    words: &'a str,
    retry_after: Option<String>,
    request_id: &'a str,
}

/// Title and words for an error: what happened, and what to do next. A page and a problem say the same.
#[derive(Template)]
#[template(path = "parts/errors.txt")]
struct Advice {
    status: u16,
    /// They are told of no pages.
    is_for_programs: bool,
    /// A proxy asks for what is another app's: they have sent no form to us.
    is_before_an_app: bool,
}

impl Advice {
    fn words(&self) -> (String, String) {
        let advice = self.to_string();
        let (title, words) = advice.split_once("\n\n").unwrap_or((&advice, ""));
        (title.to_owned(), words.trim_end().to_owned())
    }
}
