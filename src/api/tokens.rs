//! How a program gets tokens, keeps them fresh and gives them back.
//!
//! A password or a mailed code begins a session, as in a browser; a refresh token keeps one alive. What comes of
//! it is handed over as asked: in the body, in cookies that no script can read, or in headers. A refresh token
//! in a cookie counts only for requests from pages of ours.

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{AUTHORIZATION, HeaderName};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::accounts::access_tokens::{self, Claims};
use crate::accounts::client::Client;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::Event;
use crate::accounts::limits::{self, Verdict};
use crate::accounts::refresh_tokens;
use crate::accounts::sessions::{self, Session};
use crate::api::Answer;
use crate::api::answers::CrossOrigin;
use crate::api::caller::{self, Open};
use crate::api::error::ApiError;
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::random::{self, Code, Token};
use crate::web::cookie_header::CookieHeader;
use crate::web::entrance::{self, Arrival, CodeOutcome, Entered};
use crate::web::password_try::{self, Attempt};
use crate::web::rejection::Rejection;
use crate::web::{client, same_origin, sealed_cookies};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/api/v1/tokens").post(grant))
        .service(web::resource("/api/v1/tokens/revoke").post(revoke));
}

/// The end of the name of the cookie that holds a refresh token.
const REFRESH_COOKIE: &str = "_refresh";

/// One way to tokens, and how they are to be delivered.
#[derive(Deserialize, ToSchema)]
pub struct TokenRequest {
    /// `password` takes `email` and `password`; `email_code` takes `sign_in_id` and `code`; `refresh_token` takes
    /// `refresh_token`, unless the cookie holds it.
    #[schema(value_type = GrantType)]
    grant_type: Option<String>,
    /// Whose password it is.
    #[schema(nullable = false)]
    email: Option<String>,
    /// As it was set, every character of it.
    #[schema(value_type = Option<String>, nullable = false, format = "password")]
    password: Option<Zeroizing<String>>,
    /// As `/api/v1/sign-in-codes` answered it.
    #[schema(nullable = false)]
    sign_in_id: Option<String>,
    /// From the message: in any case, with its hyphen or without.
    #[schema(nullable = false)]
    code: Option<String>,
    /// The newest one, which was not used yet.
    #[schema(value_type = Option<String>, nullable = false)]
    refresh_token: Option<Zeroizing<String>>,
    /// `body`, which is the default; `cookie`, for pages of this site; or `header`.
    #[schema(value_type = Option<Delivery>, nullable = false)]
    delivery: Option<String>,
}

/// The ways to tokens.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum GrantType {
    Password,
    EmailCode,
    RefreshToken,
}

/// Where the tokens are to be.
#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Delivery {
    /// In the body, which is the default.
    Body,
    /// In two cookies, for pages of ours.
    Cookie,
    /// In `Authorization` and `X-Refresh-Token`.
    Header,
}

impl Delivery {
    fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "body" => Ok(Self::Body),
            "cookie" => Ok(Self::Cookie),
            "header" => Ok(Self::Header),
            _ => Err(ApiError::InvalidRequest(
                "delivery is body, cookie or header.",
            )),
        }
    }
}

/// Tokens, or what goes with them where they are delivered elsewhere.
#[derive(Serialize, ToSchema)]
pub struct Tokens {
    /// A JWT (RFC 9068), for `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    access_token: Option<String>,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// How many seconds the access token is good for.
    expires_in: u64,
    /// Good for one use, for thirty days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refresh_token: Option<String>,
    #[schema(example = "account:read account:write")]
    scope: String,
}

/// Sign in, or refresh.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens", operation_id = "getTokens",
    request_body = TokenRequest,
    responses(
        Open<TokenRequest>,
        CrossOrigin,
        (status = 200, description = "Tokens, delivered as asked", body = Tokens),
        (status = 400, description = "Wrong, used, expired or ended; or a field is missing"),
        (status = 429, description = "Too many tries: wait for Retry-After"),
    )
)]
async fn grant(Open { app, req, body }: Open<TokenRequest>) -> Answer {
    let wanted = body.delivery.as_deref().map(Delivery::parse).transpose()?;
    // A page of another site must not sign a visitor in to an account of its own.
    if wanted == Some(Delivery::Cookie) && same_origin::is_anothers(&req) {
        return Err(Rejection::CrossOrigin.into());
    }
    let mut delivery = wanted.unwrap_or(Delivery::Body);
    let granted = match body.grant_type.as_deref() {
        Some("password") => by_password(&app, &req, &body).await?,
        Some("email_code") => by_code(&app, &req, &body).await?,
        Some("refresh_token") => {
            let brought = match &body.refresh_token {
                Some(token) => token.to_string(),
                None => {
                    delivery = wanted.unwrap_or(Delivery::Cookie);
                    in_cookie(&req, &app)?
                }
            };
            by_refresh_token(&app, &req, &brought).await?
        }
        Some(_) => return Err(ApiError::UnsupportedGrantType),
        None => return Err(ApiError::InvalidRequest("grant_type is missing.")),
    };
    deliver(&app, granted, delivery).await
}

/// A session that a program may go on with.
struct Granted {
    session: Session,
    refresh_token: Token,
}

async fn by_password(
    app: &App,
    req: &HttpRequest,
    body: &TokenRequest,
) -> Result<Granted, ApiError> {
    let (Some(email), Some(password)) = (&body.email, &body.password) else {
        return Err(ApiError::InvalidRequest("email or password is missing."));
    };
    let attempt = Attempt {
        email: EmailAddress::parse(email).map_err(|_| ApiError::InvalidGrant)?,
        network: client::of(req, &app.config).network,
        arrival: Arrival::of_program(app, client::of(req, &app.config)),
        shared: false,
    };
    let entered = password_try::sign_in(app, attempt, password).await?;
    granted(app, entered).await
}

async fn by_code(app: &App, req: &HttpRequest, body: &TokenRequest) -> Result<Granted, ApiError> {
    let (Some(sign_in_id), Some(code)) = (body.sign_in_id.clone(), &body.code) else {
        return Err(ApiError::InvalidRequest("sign_in_id or code is missing."));
    };
    if !random::is_id(&sign_in_id) {
        return Err(ApiError::InvalidGrant);
    }
    let (code, network) = (Code::parse(code), client::of(req, &app.config).network);
    let arrival = Arrival::of_program(app, client::of(req, &app.config));
    let entering = app.clone();
    let outcome = app.transaction(move |tx| {
        let code = code.as_ref();
        entrance::enter_by_code(tx, &entering, &sign_in_id, code, &arrival, &network, false)
    });
    match outcome.await? {
        CodeOutcome::In(entered) => granted(app, Some(*entered)).await,
        CodeOutcome::Wrong | CodeOutcome::Ended => Err(ApiError::InvalidGrant),
        CodeOutcome::TooMany { until } => Err(Rejection::too_many(until, app.clock.now()).into()),
    }
}

async fn granted(app: &App, entered: Option<Entered>) -> Result<Granted, ApiError> {
    let entered = entered.ok_or(ApiError::InvalidGrant)?;
    let config = app.config.clone();
    let found = app.read(move |tx| sessions::find_of_program(tx, &config, &entered.session_id));
    // It may have been ended this moment.
    let session = found.await?.ok_or(ApiError::InvalidGrant)?;
    let refresh_token = entered.refresh_token.ok_or(ApiError::InvalidGrant)?;
    Ok(Granted {
        session,
        refresh_token,
    })
}

enum Refreshed {
    Granted(Granted),
    Refused,
    TooMany { until: Timestamp },
}

async fn by_refresh_token(
    app: &App,
    req: &HttpRequest,
    brought: &str,
) -> Result<Granted, ApiError> {
    let token = Token::parse(brought);
    let refreshing = app.clone();
    let client = client::of(req, &app.config);
    let network = client::of(req, &app.config).network;
    let refreshed = app.transaction(move |tx| {
        if let Some(granted) = refresh(tx, &refreshing, token.as_ref(), &client)? {
            return Ok(Refreshed::Granted(granted));
        }
        let verdict = limits::count_all(tx, &refreshing.config, &network.guessing())?;
        Ok(match verdict {
            Verdict::Allowed { .. } => Refreshed::Refused,
            Verdict::Refused { until } => Refreshed::TooMany { until },
        })
    });
    match refreshed.await? {
        Refreshed::Granted(granted) => Ok(granted),
        Refreshed::Refused => Err(ApiError::InvalidGrant),
        Refreshed::TooMany { until } => Err(Rejection::too_many(until, app.clock.now()).into()),
    }
}

/// The session goes on with another token.
fn refresh(
    tx: &mut Tx,
    app: &App,
    token: Option<&Token>,
    client: &Client,
) -> Result<Option<Granted>> {
    let Some(token) = token else { return Ok(None) };
    let Some(session) = refresh_tokens::consume(tx, &app.config, &token.hash(), client)? else {
        return Ok(None);
    };
    sessions::touch(tx, &session.id, client)?;
    let refresh_token = refresh_tokens::issue(tx, &session.id)?;
    Ok(Some(Granted {
        session,
        refresh_token,
    }))
}

/// The refresh token that the browser keeps for pages of ours.
fn in_cookie(req: &HttpRequest, app: &App) -> Result<String, ApiError> {
    let name = sealed_cookies::name(&app.config, REFRESH_COOKIE);
    let cookies = CookieHeader::sift(req.headers());
    let token = cookies
        .get(&name)
        .ok_or(ApiError::InvalidRequest("The token is missing."))?;
    match same_origin::is_ours(req) {
        true => Ok(token.to_owned()),
        false => Err(Rejection::CrossOrigin.into()),
    }
}

async fn deliver(app: &App, granted: Granted, delivery: Delivery) -> Answer {
    let now = app.clock.now();
    let issuer = app.config.server.public_url.as_str();
    let claims = Claims::of(&granted.session, issuer, now);
    let ring = app.signing_keys.ring_that_signs(&app.db, now).await?;
    let access_token = access_tokens::sign(&ring, &claims)?;
    let refresh_token = granted.refresh_token.reveal();
    let mut answer = HttpResponse::Ok();
    let mut tokens = Tokens {
        access_token: None,
        token_type: "Bearer",
        expires_in: access_tokens::LIFETIME.as_secs(),
        refresh_token: None,
        scope: claims.scope,
    };
    match delivery {
        Delivery::Body => {
            tokens.access_token = Some(access_token);
            tokens.refresh_token = Some(refresh_token.to_owned());
        }
        Delivery::Cookie => {
            let (access, refresh) = (access_tokens::LIFETIME, refresh_tokens::LIFETIME);
            answer
                .cookie(cookie(
                    app,
                    caller::ACCESS_COOKIE,
                    &access_token,
                    access.as_secs(),
                ))
                .cookie(cookie(
                    app,
                    REFRESH_COOKIE,
                    refresh_token,
                    refresh.as_secs(),
                ));
        }
        Delivery::Header => {
            let other = HeaderName::from_static("x-refresh-token");
            answer
                .insert_header((AUTHORIZATION, format!("Bearer {access_token}")))
                .insert_header((other, refresh_token));
        }
    }
    Ok(answer.json(tokens))
}

fn cookie(app: &App, suffix: &str, value: &str, seconds: u64) -> Cookie<'static> {
    let name = sealed_cookies::name(&app.config, suffix);
    Cookie::build(name, value.to_owned())
        .path("/")
        .http_only(true)
        .secure(app.config.server.public_url.is_https())
        .same_site(SameSite::Strict)
        .max_age(CookieAge::seconds(seconds.cast_signed()))
        .finish()
}

/// A token to be given back.
#[derive(Deserialize, ToSchema)]
pub struct Revocation {
    /// A refresh or an access token; its session ends. Without it, that in the cookie.
    #[schema(value_type = Option<String>, nullable = false)]
    token: Option<Zeroizing<String>>,
}

/// Give a token back: its session ends.
#[utoipa::path(
    post, path = "/api/v1/tokens/revoke", tag = "tokens", operation_id = "revokeToken",
    request_body = Revocation,
    responses(
        Open<Revocation>,
        CrossOrigin,
        (status = 200, description = "It opens nothing any more, whatever it was"),
        (status = 400, description = "The body could not be read, or no token is there"),
    )
)]
async fn revoke(Open { app, req, body }: Open<Revocation>) -> Answer {
    let in_body = body.token.as_deref();
    let brought = match in_body {
        Some(token) => token.clone(),
        None => in_cookie(&req, &app)?,
    };
    // An access token that is over cannot be told from junk, and does as little.
    let session_named = match Token::parse(&brought) {
        Some(_) => None,
        None => caller::claims_of(&app, &brought).await.ok(),
    };
    let client = client::of(&req, &app.config);
    let revoked = app.transaction(move |tx| {
        let session_id = match Token::parse(&brought) {
            Some(token) => refresh_tokens::session_of(tx, &token.hash())?,
            None => session_named.map(|claims| claims.sid.clone()),
        };
        match session_id {
            Some(id) => sessions::end_of_program(tx, &id, Event::SignedOut, &client),
            None => Ok(()),
        }
    });
    revoked.await?;
    let mut answer = HttpResponse::Ok();
    if in_body.is_none() {
        for suffix in [caller::ACCESS_COOKIE, REFRESH_COOKIE] {
            let mut gone = cookie(&app, suffix, "", 0);
            gone.make_removal();
            answer.cookie(gone);
        }
    }
    Ok(answer.finish())
}
