//! The cookie by which a proxy in front of another app may ask who its visitor is: the only one that hosts beside ours get.
//!
//! With `COOKIE_DOMAIN`, every host below that domain is sent it, by each request. So it must be worth nothing at our own
//! pages: an app that logs its visitors' cookies, or is broken into, gives away at most who may pass to the other apps, and
//! nobody's account. It holds, sealed, the *hash* of the session's token, as the database does: enough to find the session
//! (and to find that it was ended), and nothing that the session's own cookie could be made of. That one stays where it is, at
//! our host alone and under `__Host-`, which no sibling can plant.
//!
//! A sibling can plant this one (cookie tossing): its visitor then passes to the apps as somebody else. All hosts below the
//! domain have to be the operator's; docs/gateway.md says so.
//!
//! Where a browser brings two that differ, neither counts, anywhere. It would be so for a month after another
//! `COOKIE_DOMAIN` was set, and its owner could not end it. So we do, as far as our host sees both: with the next one that it
//! gets, the others end.

use std::iter;

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, CookieBuilder, SameSite};
use actix_web::{HttpMessage, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::accounts::sessions::Session;
use crate::app::App;
use crate::error::{Error, Result};
use crate::keys::KeyPurpose;
use crate::random::TokenHash;
use crate::web::cookie_header::CookieHeader;

/// Its name. `__Host-` would forbid the domain; `__Secure-` is what is left.
pub const NAME: &str = "__Secure-doorpost";

/// Marks a request that brings two that differ: one has another domain, or is for one host alone.
pub struct Doubled;

/// Marks an answer that brings it, or takes it back; what ends others of its name stands before it.
struct Lines(Vec<Cookie<'static>>);

/// Has the answer to this request bring the cookie of a session whose token has this hash, if siblings are to get one.
pub fn hand_over(req: &HttpRequest, app: &App, session: &Session, token: &TokenHash) -> Result<()> {
    let sealed = app.keys.seal(KeyPurpose::GateCookie, token.as_bytes())?;
    let Some(mut cookie) = with_value(app, URL_SAFE_NO_PAD.encode(sealed)) else {
        return Ok(());
    };
    // On a shared computer it goes when the browser is closed.
    if !session.shared {
        let age = CookieAge::try_from(app.config.sessions.lifetime).map_err(Error::internal)?;
        cookie.set_max_age(age);
    }
    put(req, app, cookie);
    Ok(())
}

/// Has the answer to this request take it back.
pub fn take_back(req: &HttpRequest, app: &App) {
    if let Some(mut cookie) = with_value(app, String::new()) {
        cookie.make_removal();
        put(req, app, cookie);
    }
}

/// What the answer to this request does with it.
pub fn lines(req: &HttpRequest) -> Vec<Cookie<'static>> {
    match req.extensions_mut().remove() {
        Some(Lines(cookies)) => cookies,
        None => Vec::new(),
    }
}

fn put(req: &HttpRequest, app: &App, cookie: Cookie<'static>) {
    let is_doubled = req.extensions().contains::<Doubled>();
    let mut lines = match is_doubled {
        true => ends_of_others(app),
        false => Vec::new(),
    };
    lines.push(cookie);
    req.extensions_mut().insert(Lines(lines));
}

/// What ends each that our host can be sent and that is not of the domain of now: of this host alone, and of each domain that
/// it is in. Browsers pass over those that are nobody's (`org`).
fn ends_of_others(app: &App) -> Vec<Cookie<'static>> {
    let (site, of_now) = (
        &app.config.server.public_url,
        &app.config.gateway.cookie_domain,
    );
    let of_now = of_now.as_ref().map(|domain| domain.as_str());
    let domains = iter::successors(Some(site.host()), |&domain| Some(domain.split_once('.')?.1));
    let others = domains.filter(|domain| domain.contains('.') && Some(*domain) != of_now);
    let others = others.map(|domain| secure(String::new()).domain(domain.to_owned()));
    let all = iter::once(secure(String::new())).chain(others);
    all.map(|cookie| {
        let mut cookie = cookie.finish();
        cookie.make_removal();
        cookie
    })
    .collect()
}

/// The hash of the token of the session that it stands for, living or not.
pub fn read(brought: &CookieHeader<'_>, app: &App) -> Option<TokenHash> {
    app.config.gateway.cookie_domain.as_ref()?;
    let sealed = URL_SAFE_NO_PAD.decode(brought.get(NAME)?).ok()?;
    let hash = app.keys.open(KeyPurpose::GateCookie, &sealed)?;
    TokenHash::stored(&hash)
}

fn with_value(app: &App, value: String) -> Option<Cookie<'static>> {
    let domain = app.config.gateway.cookie_domain.as_ref()?;
    let cookie = secure(value).domain(domain.as_str().to_owned());
    Some(cookie.finish())
}

fn secure(value: String) -> CookieBuilder<'static> {
    Cookie::build(NAME, value)
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
}
