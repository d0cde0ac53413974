//! Forms from browsers that do not say where a form comes from: lynx, w3m, Links, ELinks, NetSurf, Dillo.
//!
//! They send neither `Sec-Fetch-Site` nor `Origin`, and send every cookie along whoever made the form. So a page
//! that was asked for without `Sec-Fetch-Site` brings a random value in a cookie, and its MAC in a hidden field of
//! every form; a POST that says nothing of where it comes from is taken only with both. Another site can make the
//! browser send the cookie, but neither reads it nor the page, and so has no field to go with it. Nothing is stored.
//!
//! The MAC covers the session's token, once there is one. These browsers may take a cookie that a sibling host plants,
//! `__Host-` or not; with a field that was fetched for that cookie nothing can be done to somebody who is signed in.
//!
//! No template and no handler thinks of it. The field is written into the page when it is finished, and taken out of
//! what is sent before anybody reads it.

use actix_session::SessionExt;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::ready;
use futures_util::stream;

use crate::app::App;
use crate::keys::KeyPurpose;
use crate::random::Token;
use crate::web::rejection::Rejection;
use crate::web::{form, sealed_cookies, session_cookie};

/// The hidden field.
const FIELD: &str = "form_token";

/// The end of the cookie's name.
const COOKIE: &str = "_plain";

/// Puts the field into every form of a page that was asked for without `Sec-Fetch-Site`, and the cookie beside it.
pub async fn give(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let says_whence = req.headers().contains_key("sec-fetch-site");
    let res = next.call(req).await?.map_into_boxed_body();
    let app = res.request().app_data::<Data<App>>().cloned();
    let (false, true, Some(app)) = (says_whence, is_html(&res), app) else {
        return Ok(res);
    };
    let (req, res) = res.into_parts();
    let (res, body) = res.into_parts();
    let res = match body.try_into_bytes() {
        Ok(page) => with_field(&req, &app, res, &page),
        Err(body) => res.set_body(body),
    };
    Ok(ServiceResponse::new(req, res))
}

fn is_html(res: &ServiceResponse<BoxBody>) -> bool {
    let kind = res.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

fn with_field(req: &HttpRequest, app: &App, res: HttpResponse<()>, page: &Bytes) -> HttpResponse {
    let brought = brought(req, app);
    let secret = brought.clone().unwrap_or_else(Token::draw);
    let tag = app
        .keys
        .authenticate(KeyPurpose::FormToken, &parts(&secret, &session_of(req)));
    let tag = URL_SAFE_NO_PAD.encode(tag);
    let filled = std::str::from_utf8(page)
        .ok()
        .and_then(|page| fill(page, &tag));
    let Some(filled) = filled else {
        return res.set_body(BoxBody::new(page.clone()));
    };
    let mut res = res.set_body(BoxBody::new(filled));
    if brought.is_none() {
        // It can only fail on a name or value that no header may hold.
        let _ = res.add_cookie(&cookie(app, &secret));
    }
    res
}

/// The page with the field in each of its forms; nothing, if it has none.
fn fill(page: &str, tag: &str) -> Option<String> {
    let mut filled = String::with_capacity(page.len() + 512);
    let (mut rest, mut has_form) = (page, false);
    while let Some((before, from)) = split_at_form(rest) {
        let (form, after) = from.split_at(from.find('>')? + 1);
        filled += before;
        filled += form;
        if is_ours(form) {
            has_form = true;
            filled += &format!(r#"<input type="hidden" name="{FIELD}" value="{tag}">"#);
        }
        rest = after;
    }
    has_form.then(|| filled + rest)
}

/// Looked for by its first sign, which is many times faster than by all of its signs.
fn split_at_form(page: &str) -> Option<(&str, &str)> {
    page.match_indices('<')
        .map(|(at, _)| page.split_at(at))
        .find(|(_, from)| from.starts_with("<form"))
}

/// Whether it is sent to us, and by POST. (`form-action` in our policy says the same, to browsers that know it.)
fn is_ours(form: &str) -> bool {
    form.contains(r#" method="post""#)
        && form.contains(r#" action="/"#)
        && !form.contains(r#" action="//"#)
}

/// Whether a form brought what goes with this browser's cookie. The field is taken out: nobody else has to know it.
pub async fn is_brought(req: &mut ServiceRequest, app: &App) -> Result<bool, Rejection> {
    let Some(secret) = brought(req.request(), app) else {
        return Ok(false);
    };
    if !form::is_a_form(form::content_type(req.request())) {
        return Ok(false);
    }
    let mut payload = req.take_payload();
    let body = form::body(req.request(), &mut payload).await?;
    let (tag, rest) = take_out(&body);
    let rest = Box::pin(stream::once(ready(Ok(rest))));
    req.set_payload(Payload::Stream { payload: rest });
    let session = session_of(req.request());
    let parts = parts(&secret, &session);
    Ok(tag.is_some_and(|tag| app.keys.verify(KeyPurpose::FormToken, &parts, &tag)))
}

/// The field's value, if it is there once, and the form without it.
fn take_out(body: &[u8]) -> (Option<Vec<u8>>, Bytes) {
    let is_field = |pair: &&[u8]| {
        pair.strip_prefix(FIELD.as_bytes())
            .is_some_and(|rest| rest.starts_with(b"="))
    };
    let (fields, others): (Vec<&[u8]>, Vec<&[u8]>) =
        body.split(|byte| *byte == b'&').partition(is_field);
    let tag = match fields[..] {
        [field] => URL_SAFE_NO_PAD.decode(&field[FIELD.len() + 1..]).ok(),
        _ => None,
    };
    (tag, Bytes::from(others.join(&b'&')))
}

fn brought(req: &HttpRequest, app: &App) -> Option<Token> {
    let cookie = req.cookie(&sealed_cookies::name(&app.config, COOKIE))?;
    Token::parse(cookie.value())
}

/// The session's token: after the answer, if it was changed by it.
fn session_of(req: &HttpRequest) -> Option<Token> {
    session_cookie::token(&req.get_session())
}

fn parts<'a>(secret: &'a Token, session: &'a Option<Token>) -> [&'a [u8]; 2] {
    let session = session.as_ref().map_or("", Token::reveal);
    [secret.reveal().as_bytes(), session.as_bytes()]
}

/// It ends with the browser: a page that is loaded again brings another.
fn cookie(app: &App, secret: &Token) -> Cookie<'static> {
    let name = sealed_cookies::name(&app.config, COOKIE);
    Cookie::build(name, secret.reveal().to_owned())
        .path("/")
        .http_only(true)
        .secure(app.config.server.public_url.is_https())
        .same_site(SameSite::Lax)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_is_posted_to_us_gets_the_field_and_no_other() {
        let page = r#"<form class="a" method="post" action="/a"><form action="/b"><form method="post" action="//c">"#;
        let field = r#"<input type="hidden" name="form_token" value="T">"#;
        let filled = fill(page, "T").unwrap();
        assert_eq!(filled.matches(field).count(), 1);
        assert_eq!(filled.replace(field, ""), page);
        assert!(filled.contains(&format!(r#"action="/a">{field}<form"#)));
        for none in ["", "<p>form_token", r#"<form action="/b">"#, "<form"] {
            assert_eq!(fill(none, "T"), None, "{none}");
        }
    }

    #[test]
    fn the_field_is_taken_out_and_counts_only_once() {
        let taken = |body: &str| {
            let (tag, rest) = take_out(body.as_bytes());
            (tag, String::from_utf8(rest.to_vec()).unwrap())
        };
        let tag = Some(vec![0, 0, 0]);
        assert_eq!(taken("form_token=AAAA"), (tag.clone(), String::new()));
        assert_eq!(
            taken("a=1&form_token=AAAA&b=%26"),
            (tag, "a=1&b=%26".to_owned())
        );
        for bad in [
            "form_token=AAAA&a=1&form_token=AAAA",
            "form_token=A%41AA&a=1",
            "a=1",
        ] {
            assert_eq!(taken(bad), (None, "a=1".to_owned()), "{bad}");
        }
    }
}
