//! A session that is bound to its device, as its requests show it: by a second cookie, which only a proof brings
//! ([`device_keys`](crate::accounts::device_keys)), and which is over after minutes.
//!
//! The session's cookie alone is worth nothing then. Nor does a request that comes with it alone end anything: it may be
//! a thief's. What such a request gets is a way to prove itself, and without that what a stranger gets:
//!
//! * A click on another site's page (webmail's) comes without the cookie from its owner, too: browsers ask for no proof
//!   then. It is answered by a page that loads itself again, which they do prove first.
//! * With a cookie that does not count (any more), a request is sent to where it went, without that cookie and with all
//!   that it brought: a browser that can proves itself on the way, and comes back with another. What comes back without
//!   any is not sent again, so that nobody goes in circles.
//! * A browser that says that it could not prove itself just now is asked to try again in a moment.
//!
//! An answer that begins a session, or changes its rights, and no other, invites the browser to bind it: whoever has
//! copied a cookie gets no such answer.

use std::future::{Ready, ready};

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::accounts::client::Client;
use crate::accounts::device_keys;
use crate::accounts::sessions::Session;
use crate::actions::bind_session::{self, Proven};
use crate::app::App;
use crate::clock::{Timestamp, millis};
use crate::error::{Error, Result};
use crate::keys::KeyPurpose;
use crate::web::app_data::app_of;
use crate::web::client;
use crate::web::next::Next;
use crate::web::rejection::Rejection;
use crate::web::same_origin;
use crate::web::sealed_cookies;

/// Where browsers send the key that a session is to be bound to.
pub const BIND: &str = "/session/bind";

/// Where they prove that they have it.
pub const PROVE: &str = "/session/prove";

/// What the cookie's line says besides its age, as the browser is told it, too.
pub const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

/// The end of the cookie's name.
const SUFFIX: &str = "_bound";

/// The browser's own word for why a request comes without the cookie.
const SKIPPED: [&str; 2] = ["secure-session-skipped", "sec-secure-session-skipped"];

/// What a browser sends by itself about a session that it has bound, or is to bind: two headers, each there once or not
/// at all, and no body.
pub struct SecureSession {
    pub app: Data<App>,
    /// From where.
    pub client: Client,
    /// The id that the session had when it was bound.
    pub id: Option<String>,
    /// What it has signed.
    pub proof: Option<String>,
}

impl FromRequest for SecureSession {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(app_of(req).and_then(|app| {
            Ok(Self {
                client: client::of(req, &app.config),
                app,
                id: only(req, "sec-secure-session-id")?,
                proof: only(req, "secure-session-response")?,
            })
        }))
    }
}

fn only(req: &HttpRequest, name: &str) -> Result<Option<String>, Rejection> {
    let mut values = req.headers().get_all(name);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value.to_owned())),
        _ => Err(Rejection::Unreadable),
    }
}

/// What the cookie says.
#[derive(Serialize, Deserialize)]
struct Shown {
    session_id: String,
    proven_at: Timestamp,
}

/// What a request shows of the device that its session is bound to.
pub enum DeviceProof {
    /// None is asked of this session, if there is one.
    NotAsked,
    /// The device was there at this moment, and that still counts.
    Given { at: Timestamp },
    /// None that counts.
    Missing,
}

/// The name of the cookie.
pub fn cookie_name(app: &App) -> String {
    sealed_cookies::name(&app.config, SUFFIX)
}

/// The cookie of a device that has proven just now that it is there.
pub fn cookie(app: &App, proven: &Proven) -> Result<Cookie<'static>> {
    let shown = Shown {
        session_id: proven.session_id.clone(),
        proven_at: proven.at,
    };
    let plain = serde_json::to_vec(&shown).map_err(Error::internal)?;
    let sealed = app.keys.seal(KeyPurpose::BoundCookie, &plain)?;
    let proof = app.config.sessions.proof.unwrap_or_default();
    let mut cookie = with_value(app, URL_SAFE_NO_PAD.encode(sealed));
    cookie.set_max_age(CookieAge::try_from(proof).map_err(Error::internal)?);
    Ok(cookie)
}

/// The cookie that takes it back, if this browser has one.
pub fn take_back(req: &HttpRequest, app: &App) -> Option<Cookie<'static>> {
    req.cookie(&cookie_name(app))?;
    let mut cookie = with_value(app, String::new());
    cookie.make_removal();
    Some(cookie)
}

fn with_value(app: &App, value: String) -> Cookie<'static> {
    Cookie::build(cookie_name(app), value)
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .finish()
}

/// Looks at what a request shows of this session's device; nothing is read but a cookie.
pub fn look(req: &HttpRequest, app: &App, session: &Session) -> DeviceProof {
    let now = app.clock.now();
    let wanted = session.wants_device(now, &app.config);
    let Some(good_for) = device_keys::good_for(&app.config).filter(|_| wanted) else {
        return DeviceProof::NotAsked;
    };
    let counts =
        |shown: &Shown| shown.session_id == session.id && now < shown.proven_at + millis(good_for);
    match shown(req, app).filter(counts) {
        Some(shown) => DeviceProof::Given {
            at: shown.proven_at,
        },
        None => DeviceProof::Missing,
    }
}

fn shown(req: &HttpRequest, app: &App) -> Option<Shown> {
    let cookie = req.cookie(&cookie_name(app))?;
    let sealed = URL_SAFE_NO_PAD.decode(cookie.value()).ok()?;
    let plain = app.keys.open(KeyPurpose::BoundCookie, &sealed)?;
    serde_json::from_slice(&plain).ok()
}

/// A way for a request to prove itself, if there is one left.
pub fn another_way(req: &HttpRequest, app: &App, is_click: bool) -> Option<Rejection> {
    if req.method() == Method::GET && is_click && same_origin::is_anothers(req) {
        return Some(Rejection::LoadAgain);
    }
    send_again(req, app)
}

/// Sends a request to where it went, without its cookie, so that its browser proves itself on the way. One that has no
/// cookie has been there. A query that leads nowhere of ours (too long, say) is left out: no spelling gets around this.
pub fn send_again(req: &HttpRequest, app: &App) -> Option<Rejection> {
    let without = take_back(req, app)?;
    let target = req.uri().path_and_query().map(|target| target.as_str());
    let page = target
        .and_then(Next::here)
        .or_else(|| Next::here(req.path()));
    Some(match page {
        Some(page) => Rejection::ProveFirst {
            page: page.as_str().to_owned(),
            without: Box::new(without),
        },
        None => Rejection::Unreadable,
    })
}

/// Whether the browser says that it could not prove itself just now. Anybody can say so: it opens nothing.
pub fn says_not_now(req: &HttpRequest) -> bool {
    SKIPPED.iter().any(|name| req.headers().contains_key(*name))
}

/// Marks an answer that invites the browser to bind its session; and what it says.
struct Invitation(HeaderValue);

/// Has the answer to this request invite the browser to bind the session that begins with it, or whose rights it changes.
/// One that is bound stays so, and needs TLS.
pub fn invite(req: &HttpRequest, app: &App, session: &Session) -> Result<()> {
    let config = &app.config;
    let is_wanted = config.sessions.proof.is_some() && config.server.public_url.is_https();
    if !is_wanted || session.bound_at.is_some() {
        return Ok(());
    }
    let challenge = bind_session::offer(app, session, app.clock.now())?;
    let words = format!(r#"(ES256 RS256);path="{BIND}";challenge="{challenge}""#);
    let words = HeaderValue::try_from(words).map_err(Error::internal)?;
    req.extensions_mut().insert(Invitation(words));
    Ok(())
}

/// Puts the invitation on the answer to this request, if there is one.
pub fn finish(req: &HttpRequest, headers: &mut HeaderMap) {
    if let Some(Invitation(words)) = req.extensions_mut().remove::<Invitation>() {
        headers.insert(
            HeaderName::from_static("secure-session-registration"),
            words,
        );
    }
}
