//! The session cookie: sealed and set by actix-session, with the two things it does not do.
//!
//! It holds the session's token and nothing else; what the session may do is in the database. It is set
//! only when the token changes and at sign-out. A dead or unknown token is ignored and never cleared, lest
//! a second tab wipe the session that another has just begun.

use actix_session::config::{CookieContentSecurity, PersistentSession};
use actix_session::storage::CookieSessionStore;
use actix_session::{Session as Carried, SessionMiddleware};
use actix_web::body::MessageBody;
use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, CookieJar, Key, SameSite};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::COOKIE;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage};

use crate::app::App;
use crate::error::{Error as Trouble, Result};
use crate::random::Token;
use crate::web::cookie_header::CookieHeader;
use crate::web::{gate_cookie, sealed_cookies};

/// Where the token is, in what actix-session carries.
const TOKEN: &str = "token";

/// actix-session over this deployment's current key.
pub fn middleware(app: &App) -> SessionMiddleware<CookieSessionStore> {
    let lifetime = i64::try_from(app.config.sessions.lifetime.as_secs()).unwrap_or(i64::MAX / 2);
    SessionMiddleware::builder(CookieSessionStore::default(), app.keys.cookie_key().clone())
        .cookie_name(sealed_cookies::name(&app.config, ""))
        .cookie_content_security(CookieContentSecurity::Private)
        .cookie_same_site(SameSite::Lax)
        .cookie_secure(app.config.server.public_url.is_https())
        .cookie_http_only(true)
        .session_lifecycle(PersistentSession::default().session_ttl(CookieAge::seconds(lifetime)))
        .build()
}

/// The token this browser brings, whatever it is still good for.
pub fn token(carried: &Carried) -> Option<Token> {
    let text: String = carried.get(TOKEN).ok().flatten()?;
    Token::parse(&text)
}

/// Hands the browser the token of a session that has just begun.
pub fn hand_over(carried: &Carried, token: &Token) -> Result<()> {
    carried.renew();
    carried
        .insert(TOKEN, token.reveal())
        .map_err(Trouble::internal)
}

/// Takes the cookie back, at sign-out.
pub fn take_back(carried: &Carried) {
    carried.purge();
}

/// What actix-session does not do: a cookie that may have been planted is ignored, and one under an old key still
/// opens.
pub async fn mend(
    mut req: ServiceRequest,
    next: Next<impl MessageBody>,
) -> std::result::Result<ServiceResponse<impl MessageBody>, Error> {
    // In the header itself, before anything has read it: what actix-web once parsed, it keeps.
    let mut brought = CookieHeader::sift(req.headers());
    if let Some(app) = req.app_data::<Data<App>>() {
        reseal_under_current_key(app, &mut brought);
    }
    if brought.is_ambiguous(gate_cookie::NAME) {
        req.extensions_mut().insert(gate_cookie::Doubled);
    }
    if let Some(mended) = brought.mended() {
        req.headers_mut().insert(COOKIE, mended);
    }
    next.call(req).await
}

fn reseal_under_current_key(app: &App, brought: &mut CookieHeader<'_>) {
    let mut old_keys = app.keys.old_cookie_keys().peekable();
    if old_keys.peek().is_none() {
        return;
    }
    let name = sealed_cookies::name(&app.config, "");
    let Some(value) = brought.get(&name) else {
        return;
    };
    let Ok(cookie) = Cookie::parse_encoded(format!("{name}={value}")) else {
        return;
    };
    let Some(plain) = old_keys.find_map(|key| open(&cookie, key)) else {
        return;
    };
    let mut jar = CookieJar::new();
    jar.private_mut(app.keys.cookie_key()).add(plain);
    let resealed = jar.get(&name).map(|cookie| cookie.encoded().to_string());
    if let Some((_, value)) = resealed.as_deref().and_then(|pair| pair.split_once('=')) {
        brought.set(&name, value);
    }
}

fn open(cookie: &Cookie<'static>, key: &Key) -> Option<Cookie<'static>> {
    let mut jar = CookieJar::new();
    jar.add_original(cookie.clone());
    jar.private(key).get(cookie.name())
}
