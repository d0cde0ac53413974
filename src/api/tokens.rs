//! How a program gets tokens, keeps them fresh and gives them back.
//!
//! A password or a mailed code begins a session, as in a browser; a refresh token keeps one alive. What comes of
//! it is handed over as asked: in the body, in cookies that no script can read, or in headers. A refresh token
//! in a cookie counts only for requests from pages of ours.

use std::sync::Arc;

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{AUTHORIZATION, HeaderName};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::accounts::access_tokens::{self, Claims};
use crate::accounts::email_address::EmailAddress;
use crate::accounts::passwords::Priority;
use crate::accounts::refresh_tokens;
use crate::accounts::sessions::Session;
use crate::accounts::signing_keys::Ring;
use crate::actions::end_sessions::{self, GivenBack};
use crate::actions::refresh;
use crate::actions::sign_in::{self, CodeOutcome, Device, NewSession};
use crate::actions::sign_in_with_password::{self, Attempt};
use crate::api::Answer;
use crate::api::answers::CrossOrigin;
use crate::api::caller::{self, Open};
use crate::api::error::ApiError;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::random::{self, Code, Token};
use crate::web::cookie_header::CookieHeader;
use crate::web::rejection::Rejection;
use crate::web::visitor::act;
use crate::web::{client, password_entry, same_origin, sealed_cookies};

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
    // Fetched before anything is used up: after the commit nothing is left that could fail.
    let signer = Signer::of(&app).await?;
    let granted = match body.grant_type.as_deref() {
        Some("password") => by_password(&app, &req, &body, signer).await?,
        Some("email_code") => by_code(&app, &req, &body, signer).await?,
        Some("refresh_token") => {
            let brought = match &body.refresh_token {
                Some(token) => token.to_string(),
                None => {
                    delivery = wanted.unwrap_or(Delivery::Cookie);
                    in_cookie(&req, &app)?
                }
            };
            by_refresh_token(&app, &req, &brought, signer).await?
        }
        Some(_) => return Err(ApiError::UnsupportedGrantType),
        None => return Err(ApiError::InvalidRequest("grant_type is missing.")),
    };
    Ok(deliver(&app, granted, delivery))
}

/// Signs access tokens, with a key that is at hand.
struct Signer {
    ring: Arc<Ring>,
    issuer: String,
}

impl Signer {
    async fn of(app: &App) -> Result<Self> {
        let ring = app.signing_keys.ring_that_signs(&app.db, app.clock.now());
        Ok(Self {
            ring: ring.await?,
            issuer: app.config.server.public_url.as_str().to_owned(),
        })
    }

    /// What a program is given that goes on with this session, made in the transaction that grants it.
    fn grant(&self, tx: &Tx, session: &Session, refresh_token: Token) -> Result<Granted> {
        let claims = Claims::of(session, &self.issuer, tx.now);
        Ok(Granted {
            access_token: access_tokens::sign(&self.ring, &claims)?,
            refresh_token,
            scope: claims.scope,
        })
    }

    fn grant_new(&self, tx: &Tx, begun: Option<NewSession>) -> Result<Option<Granted>> {
        let begun = begun.and_then(|begun| Some((begun.session, begun.refresh_token?)));
        begun
            .map(|(session, refresh_token)| self.grant(tx, &session, refresh_token))
            .transpose()
    }
}

/// What a program may go on with.
struct Granted {
    access_token: String,
    refresh_token: Token,
    scope: String,
}

async fn by_password(
    app: &Data<App>,
    req: &HttpRequest,
    body: &TokenRequest,
    signer: Signer,
) -> Result<Granted, ApiError> {
    let (Some(email), Some(password)) = (&body.email, &body.password) else {
        return Err(ApiError::InvalidRequest("email or password is missing."));
    };
    let attempt = Attempt {
        email: EmailAddress::parse(email).map_err(|_| ApiError::InvalidGrant)?,
        device: Device::program(client::of(req, &app.config)),
    };
    let entered = password_entry::enter(
        app,
        Priority::Anonymous,
        attempt,
        password,
        sign_in_with_password::count,
        move |tx, app, attempt, tried, verified| {
            let begun = sign_in_with_password::conclude(tx, app, attempt, tried, verified)?;
            signer.grant_new(tx, begun)
        },
    );
    entered.await?.flatten().ok_or(ApiError::InvalidGrant)
}

async fn by_code(
    app: &Data<App>,
    req: &HttpRequest,
    body: &TokenRequest,
    signer: Signer,
) -> Result<Granted, ApiError> {
    let (Some(sign_in_id), Some(code)) = (body.sign_in_id.clone(), &body.code) else {
        return Err(ApiError::InvalidRequest("sign_in_id or code is missing."));
    };
    if !random::is_id(&sign_in_id) {
        return Err(ApiError::InvalidGrant);
    }
    let code = Code::parse(code);
    let device = Device::program(client::of(req, &app.config));
    let granted = act(app, move |tx, app| {
        let tried = sign_in::by_code(tx, app, &sign_in_id, code.as_ref(), &device)?;
        match tried {
            Ok(CodeOutcome::In(begun)) => signer.grant_new(tx, Some(*begun)).map(Ok),
            Ok(CodeOutcome::Wrong | CodeOutcome::Ended) => Ok(Ok(None)),
            Err(too_many) => Ok(Err(too_many)),
        }
    });
    granted.await??.ok_or(ApiError::InvalidGrant)
}

async fn by_refresh_token(
    app: &Data<App>,
    req: &HttpRequest,
    brought: &str,
    signer: Signer,
) -> Result<Granted, ApiError> {
    let (token, client) = (Token::parse(brought), client::of(req, &app.config));
    let granted = act(app, move |tx, app| {
        let refreshed = refresh::refresh(tx, app, token.as_ref(), &client)?;
        match refreshed {
            Ok(Some(on)) => signer
                .grant(tx, &on.session, on.refresh_token)
                .map(|on| Ok(Some(on))),
            Ok(None) => Ok(Ok(None)),
            Err(too_many) => Ok(Err(too_many)),
        }
    });
    granted.await??.ok_or(ApiError::InvalidGrant)
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

fn deliver(app: &App, granted: Granted, delivery: Delivery) -> HttpResponse {
    let access_token = granted.access_token;
    let refresh_token = granted.refresh_token.reveal();
    let mut answer = HttpResponse::Ok();
    let mut tokens = Tokens {
        access_token: None,
        token_type: "Bearer",
        expires_in: access_tokens::LIFETIME.as_secs(),
        refresh_token: None,
        scope: granted.scope,
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
    answer.json(tokens)
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
    let given_back = match (Token::parse(&brought), session_named) {
        (Some(token), _) => Some(GivenBack::RefreshToken(token.hash())),
        (None, Some(claims)) => Some(GivenBack::Session {
            user_id: claims.sub.clone(),
            id: claims.sid.clone(),
        }),
        (None, None) => None,
    };
    if let Some(given_back) = given_back {
        let client = client::of(&req, &app.config);
        act(&app, move |tx, app| {
            end_sessions::revoke(tx, app, &given_back, &client)
        })
        .await?;
    }
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
