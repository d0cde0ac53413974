//! Who calls, by an access token; the guards that handlers ask for.
//!
//! [`Caller`] is somebody whose session lives at this moment: the token says which, and the table has the last
//! word. [`Owner`]s are made of callers who have entered the password within the
//! window, as the session and the token both have it; for everybody else there is a challenge that says what
//! is missing (RFC 9470).
//!
//! A browser sends a cookie along whichever site's page makes the request (CSRF). So, for what changes something, a
//! token in a cookie counts only if the request is from a page of ours.

use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use crate::accounts::access_tokens::{self, Claims, Refused};
use crate::accounts::client::Client;
use crate::accounts::sessions::{self, HeldSession, Session};
use crate::accounts::users::{Owner, Settled};
use crate::actions::reauthenticate;
use crate::api::error::ApiError;
use crate::api::origins;
use crate::app::App;
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::web::app_data::{act, app_of};
use crate::web::cookie_header::CookieHeader;
use crate::web::json::{Json, JsonOrForm};
use crate::web::rejection::Rejection;
use crate::web::visitor::note_seen;
use crate::web::{client, same_origin, sealed_cookies};

/// The end of the name of the cookie that holds an access token.
pub const ACCESS_COOKIE: &str = "_access";

/// A program whose session lives.
pub struct Caller {
    pub app: Data<App>,
    pub req: HttpRequest,
    pub session: Session,
    pub claims: Arc<Claims>,
    /// Its token is in a cookie, and so are those it is given.
    pub by_cookie: bool,
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        Box::pin(async move {
            let app = app_of(&req)?;
            let (token, by_cookie) = brought(&req, &app)?;
            let claims = claims_of(&app, &token).await?;
            let (config, named) = (app.config.clone(), claims.clone());
            let found = app.read(move |tx| session_of(tx, &config, &named));
            let session = found.await?.ok_or(ApiError::InvalidToken)?;
            note_seen(&app, &session, || {
                client::of_program(&req, &app.config, session.label.clone())
            });
            Ok(Self {
                app,
                req,
                session,
                claims,
                by_cookie,
            })
        })
    }
}

/// The token of a request: in its header or, where that is missing, in the cookie (true).
fn brought(req: &HttpRequest, app: &App) -> Result<(String, bool), ApiError> {
    let mut headers = req.headers().get_all(AUTHORIZATION);
    if let Some(header) = headers.next() {
        let alone = headers.next().is_none();
        let token = header.to_str().ok().and_then(bearer);
        let token = token.filter(|_| alone).ok_or(ApiError::InvalidToken)?;
        return Ok((token, false));
    }
    let name = sealed_cookies::name(&app.config, ACCESS_COOKIE);
    let cookies = CookieHeader::sift(req.headers());
    let token = cookies.get(&name).ok_or(ApiError::NoToken)?;
    if req.method() != Method::GET && !same_origin::is_ours(req) {
        return Err(Rejection::CrossOrigin.into());
    }
    Ok((token.to_owned(), true))
}

fn bearer(header: &str) -> Option<String> {
    let (scheme, token) = header.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("Bearer");
    is_bearer.then(|| token.trim().to_owned())
}

/// What a living token says.
pub async fn claims_of(app: &App, token: &str) -> Result<Arc<Claims>, ApiError> {
    let (issuer, now) = (app.config.server.public_url.as_str(), app.clock.now());
    let ring = app.signing_keys.ring(&app.db, now).await?;
    let read = match app.access_tokens.read(&ring, issuer, now, token) {
        // Another node may have made that key a moment ago.
        Err(Refused::UnknownKey) => {
            let ring = app.signing_keys.read_again(&app.db).await?;
            app.access_tokens.read(&ring, issuer, now, token)
        }
        read => read,
    };
    read.map_err(|_| ApiError::InvalidToken)
}

fn session_of(tx: &mut Tx, config: &Config, claims: &Claims) -> Result<Option<Session>> {
    let found = sessions::find_of_program(tx, config, &claims.sid)?;
    Ok(found.filter(|session| claims.are_of(session)))
}

fn hold_session_of(tx: &mut Tx, config: &Config, claims: &Claims) -> Result<Option<HeldSession>> {
    let held = sessions::hold_of_program(tx, config, &claims.sub, &claims.sid)?;
    Ok(held.filter(|held| claims.are_of(&held.session)))
}

impl Caller {
    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    /// Who makes the request, for the account's owner to recognise.
    pub fn client(&self) -> Client {
        client::of_program(&self.req, &self.app.config, self.session.label.clone())
    }

    /// Does something in one transaction, which holds the account and looks once more whether the session lives.
    pub async fn act<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx, &App, &HeldSession) -> Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let claims = self.claims.clone();
        let done = act(&self.app, move |tx, app| {
            let held = hold_session_of(tx, &app.config, &claims)?;
            held.map(|held| work(tx, app, &held)).transpose()
        });
        done.await?.ok_or(ApiError::InvalidToken)
    }

    /// Does something sensitive in one transaction, which looks once more whether it may.
    pub async fn act_as_owner<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx, &App, &Owner) -> Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let claims = self.claims.clone();
        let done = act(&self.app, move |tx, app| {
            let held = hold_session_of(tx, &app.config, &claims)?;
            let owner = held.and_then(|held| held.into_owner(tx.now, &app.config, None));
            owner.map(|owner| work(tx, app, &owner)).transpose()
        });
        done.await?.ok_or_else(|| self.challenge())
    }

    /// The same for what may be held after a reset by mail. A program uses no passkey: it waits.
    pub async fn act_settled<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx, &App, &Settled<'_, Owner>) -> Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let done =
            self.act_as_owner(
                move |tx, app, owner| match owner.settled(tx.now, &app.config) {
                    Ok(owner) => work(tx, app, &owner).map(Ok),
                    Err(hold) => Ok(Err(ApiError::Held {
                        until: hold.until,
                        wait: hold.lasting(tx.now),
                    })),
                },
            );
        done.await?
    }

    /// Whether its token says of itself what the session says, too: the password was entered lately.
    fn is_stepped_up(&self) -> bool {
        let window = millis(self.app.config.sessions.reauthentication_window);
        let says_so = self.claims.allows(access_tokens::WRITE)
            && self.now() < self.claims.auth_time * 1000 + window;
        says_so
            && self
                .session
                .is_reauthenticated(self.now(), &self.app.config)
    }

    fn challenge(&self) -> ApiError {
        ApiError::StepUp {
            max_age: self.app.config.sessions.reauthentication_window,
        }
    }
}

/// A body that anybody may send.
pub struct Open<T> {
    pub app: Data<App>,
    pub req: HttpRequest,
    pub body: T,
}

impl<T: DeserializeOwned + 'static> FromRequest for Open<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (app, req) = (app_of(req), req.clone());
        let body = Json::<T>::from_request(&req, payload);
        Box::pin(async move {
            let Json(body) = body.await?;
            Ok(Self {
                app: app?,
                req,
                body,
            })
        })
    }
}

/// A body that anybody may send, as JSON or as a form: what OAuth's clients speak.
pub struct OAuthRequest<T> {
    pub app: Data<App>,
    pub req: HttpRequest,
    pub body: T,
    pub is_form: bool,
}

impl<T: DeserializeOwned + 'static> FromRequest for OAuthRequest<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (app, req) = (app_of(req), req.clone());
        let read = JsonOrForm::<T>::from_request(&req, payload);
        Box::pin(async move {
            let (app, JsonOrForm { body, is_form }) = (app?, read.await?);
            let is_named = origins::named(req.headers(), &app.config).is_some();
            // With a form the browser of whoever looks at another site's page could be made to try passwords.
            if is_form && same_origin::is_anothers(&req) && !is_named {
                return Err(Rejection::CrossOrigin.into());
            }
            Ok(Self {
                app,
                req,
                body,
                is_form,
            })
        })
    }
}

/// A body that somebody sent who has entered the password lately enough.
pub struct Sensitive<T> {
    pub caller: Caller,
    pub body: T,
}

impl<T: DeserializeOwned + 'static> FromRequest for Sensitive<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = SteppedUp::from_request(req, payload);
        let body = Json::<T>::from_request(req, payload);
        Box::pin(async move {
            let SteppedUp(caller) = caller.await?;
            let Json(body) = body.await?;
            Ok(Self { caller, body })
        })
    }
}

/// Somebody who has entered the password lately enough.
pub struct SteppedUp(pub Caller);

impl FromRequest for SteppedUp {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::from_request(req, payload);
        Box::pin(async move {
            let caller = caller.await?;
            if caller.is_stepped_up() {
                return Ok(Self(caller));
            }
            let (user_id, client) = (caller.session.user_id.clone(), caller.client());
            act(&caller.app, move |tx, _| {
                reauthenticate::note_required(tx, &user_id, &client)
            })
            .await?;
            Err(caller.challenge())
        })
    }
}
