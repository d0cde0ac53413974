//! How a program gets tokens, keeps them fresh and gives them back.
//!
//! A password or a mailed code begins a session, as in a browser; a refresh token keeps one alive. What comes of
//! it is handed over as asked ([`delivery`]). A refresh token in a cookie counts only for requests from pages of ours.

use actix_web::HttpResponse;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::accounts::access_tokens::Signer;
use crate::accounts::client::{Client, Label};
use crate::accounts::email_address::EmailAddress;
use crate::accounts::passwords::Priority;
use crate::actions::end_sessions::{self, GivenBack};
use crate::actions::refresh::{self, Granted};
use crate::actions::sign_in::{self, CodeOutcome, Device, NewSession};
use crate::actions::sign_in_with_password::{self, Attempt};
use crate::api::Answer;
use crate::api::caller::{self, OAuthRequest};
use crate::api::delivery::{self, Delivery, Tokens};
use crate::api::error::ApiError;
use crate::api::oauth;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::random::{self, Code, Token};
use crate::web::app_data::act;
use crate::web::rejection::Rejection;
use crate::web::{client, password_entry, same_origin};

/// Where tokens are got (RFC 6749, 3.2).
pub const TOKENS: &str = "/api/v1/tokens";

/// And given back (RFC 7009).
pub const REVOKE: &str = "/api/v1/tokens/revoke";

pub fn configure(cfg: &mut ServiceConfig) {
    let grants = web::resource(TOKENS).wrap(from_fn(oauth::speak));
    let revocations = web::resource(REVOKE).wrap(from_fn(oauth::speak));
    cfg.service(grants.post(grant))
        .service(revocations.post(revoke));
}

/// One way to tokens, and how they are to be delivered.
#[derive(Deserialize, ToSchema)]
pub struct TokenRequest {
    /// `password` takes `email` and `password`; `email_code` takes `sign_in_id` and `code`; `refresh_token` takes
    /// `refresh_token`, unless the cookie holds it.
    #[schema(value_type = GrantType)]
    grant_type: Option<String>,
    /// Whose password it is; `username`, as OAuth's clients call it, is the same.
    #[schema(nullable = false)]
    #[serde(alias = "username")]
    email: Option<String>,
    /// As it was set, every character of it.
    #[schema(value_type = Option<String>, nullable = false)]
    password: Option<Zeroizing<String>>,
    /// As `/api/v1/sign-in-codes` answered it.
    #[schema(nullable = false)]
    sign_in_id: Option<String>,
    /// From the message: in any case, with its hyphen or without, with whatever pasting adds. What is not eight
    /// letters of a code is no try.
    #[schema(nullable = false)]
    code: Option<String>,
    /// The newest one, which was not used yet. Beside a password, any that the program was ever given for this
    /// account: it is not used up, and shows that no stranger tries, so that strangers' wrong passwords do not
    /// count for it.
    #[schema(value_type = Option<String>, nullable = false)]
    refresh_token: Option<Zeroizing<String>>,
    /// Beside a password or a code: what the session is called in the list of sessions, to tell it from others. At most
    /// 60 characters on one line.
    #[schema(nullable = false, max_length = 60, example = "Ada’s phone")]
    label: Option<String>,
    /// One of the further services that `API_AUDIENCES` names: the token is for that alone, and only to look.
    #[schema(nullable = false)]
    audience: Option<String>,
    /// `body`, which is the default; `cookie`, for pages of this site, and not with a form; or `header`.
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

/// Sign in, or refresh.
///
/// A password or a mailed code begins a session; a refresh token goes on with one and is used up. JSON, or a form as
/// OAuth's clients send it (RFC 6749).
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens", operation_id = "getTokens",
    request_body(content(
        (TokenRequest = "application/json"),
        (TokenRequest = "application/x-www-form-urlencoded"),
    )),
    responses(
        OAuthRequest<TokenRequest>,
        (status = 200, description = "Tokens, delivered as asked", body = Tokens),
        (status = 400, description = "Wrong, used, expired or ended; or a field is missing"),
        (status = 429, description = "Too many tries: wait for Retry-After"),
    )
)]
async fn grant(asked: OAuthRequest<TokenRequest>) -> Answer {
    let OAuthRequest { app, req, body, .. } = &asked;
    let wanted = body.delivery.as_deref().map(Delivery::parse).transpose()?;
    if wanted == Some(Delivery::Cookie) {
        may_set_cookies(&asked)?;
    }
    let mut how = wanted.unwrap_or(Delivery::Body);
    let client = client::of_program(req, &app.config, label(body)?);
    // Fetched before anything is used up: after the commit nothing is left that could fail.
    let signer = delivery::signer(app, audience(app, body)?).await?;
    let granted = match body.grant_type.as_deref() {
        Some("password") => by_password(&asked, client, signer).await?,
        Some("email_code") => by_code(app, body, client, signer).await?,
        Some("refresh_token") => {
            let brought = match &body.refresh_token {
                Some(token) => token.to_string(),
                None => {
                    how = wanted.unwrap_or(Delivery::Cookie);
                    in_cookie(&asked)?
                }
            };
            by_refresh_token(app, &brought, client, signer).await?
        }
        Some(_) => return Err(ApiError::UnsupportedGrantType),
        None => return Err(ApiError::InvalidRequest("grant_type is missing.")),
    };
    Ok(delivery::deliver(app, granted, how))
}

/// A page of another site must not sign a visitor in to an account of its own, and none can send JSON unasked.
fn may_set_cookies<T>(asked: &OAuthRequest<T>) -> Result<(), ApiError> {
    if asked.is_form {
        return Err(ApiError::InvalidRequest(
            "Tokens in cookies are for JSON, and not for forms.",
        ));
    }
    match same_origin::is_anothers(&asked.req) {
        true => Err(Rejection::CrossOrigin.into()),
        false => Ok(()),
    }
}

/// The refresh token in the cookie, for whoever sent JSON without one.
fn in_cookie<T>(asked: &OAuthRequest<T>) -> Result<String, ApiError> {
    match asked.is_form {
        true => Err(ApiError::InvalidRequest("The token is missing.")),
        false => delivery::in_cookie(&asked.req, &asked.app),
    }
}

/// Another service that the token is to be for, if it is one that the operator named.
fn audience(app: &App, body: &TokenRequest) -> Result<Option<String>, ApiError> {
    let named = &app.config.api.audiences;
    match &body.audience {
        Some(audience) if !named.contains(audience) => Err(ApiError::InvalidTarget),
        audience => Ok(audience.clone()),
    }
}

fn label(body: &TokenRequest) -> Result<Label, ApiError> {
    let why = "label is one line of at most 60 characters, all of them visible.";
    let text = body.label.as_deref().unwrap_or_default();
    Label::parse(text).ok_or(ApiError::InvalidRequest(why))
}

fn grant_new(tx: &Tx, signer: &Signer, begun: Option<NewSession>) -> Result<Option<Granted>> {
    let begun = begun.and_then(|begun| Some((begun.session, begun.refresh_token?)));
    begun
        .map(|(session, refresh_token)| refresh::grant(tx, signer, &session, refresh_token))
        .transpose()
}

async fn by_password(
    asked: &OAuthRequest<TokenRequest>,
    client: Client,
    signer: Signer,
) -> Result<Granted, ApiError> {
    let OAuthRequest { app, body, .. } = asked;
    let (Some(email), Some(password)) = (&body.email, &body.password) else {
        return Err(ApiError::InvalidRequest("email or password is missing."));
    };
    let attempt = Attempt {
        email: EmailAddress::parse(email).map_err(|_| ApiError::InvalidGrant)?,
        device: Device::program(client),
        shown: shown(asked),
    };
    let entered = password_entry::enter(
        app,
        Priority::Anonymous,
        attempt,
        password,
        sign_in_with_password::count,
        move |tx, app, attempt, tried, verified| {
            let begun = sign_in_with_password::conclude(tx, app, attempt, tried, verified)?;
            grant_new(tx, &signer, begun)
        },
    );
    entered.await?.flatten().ok_or(ApiError::InvalidGrant)
}

/// The refresh token by which a program that signs in shows that it is no stranger.
fn shown(asked: &OAuthRequest<TokenRequest>) -> Option<Token> {
    match &asked.body.refresh_token {
        Some(token) => Token::parse(token),
        None => Token::parse(&in_cookie(asked).ok()?),
    }
}

async fn by_code(
    app: &Data<App>,
    body: &TokenRequest,
    client: Client,
    signer: Signer,
) -> Result<Granted, ApiError> {
    let (Some(sign_in_id), Some(code)) = (body.sign_in_id.clone(), &body.code) else {
        return Err(ApiError::InvalidRequest("sign_in_id or code is missing."));
    };
    if !random::is_id(&sign_in_id) {
        return Err(ApiError::InvalidGrant);
    }
    let code = Code::parse(code).ok_or(ApiError::NotACode)?;
    let device = Device::program(client);
    let granted = act(app, move |tx, app| {
        let tried = sign_in::by_code(tx, app, &sign_in_id, &code, &device)?;
        match tried {
            Ok(CodeOutcome::In(begun)) => grant_new(tx, &signer, Some(*begun)).map(Ok),
            Ok(CodeOutcome::Wrong | CodeOutcome::Used | CodeOutcome::Ended) => Ok(Ok(None)),
            Err(too_many) => Ok(Err(too_many)),
        }
    });
    granted.await??.ok_or(ApiError::InvalidGrant)
}

async fn by_refresh_token(
    app: &Data<App>,
    brought: &str,
    client: Client,
    signer: Signer,
) -> Result<Granted, ApiError> {
    let token = Token::parse(brought);
    let granted = act(app, move |tx, app| {
        refresh::refresh(tx, app, &signer, token.as_ref(), &client)
    });
    granted.await??.ok_or(ApiError::InvalidGrant)
}

/// A token to be given back.
#[derive(Deserialize, ToSchema)]
pub struct Revocation {
    /// A refresh or an access token; its session ends. Without it, that in the cookie.
    #[schema(value_type = Option<String>, nullable = false)]
    token: Option<Zeroizing<String>>,
}

/// Nothing, which clients may ignore (RFC 7009, 2.2); some read it all the same, and fail if it is no JSON.
#[derive(Serialize, ToSchema)]
pub struct Revoked {}

/// Give a token back: its session ends.
///
/// The answer is the same whatever the token was (RFC 7009). JSON, or a form as OAuth's clients send it.
#[utoipa::path(
    post, path = "/api/v1/tokens/revoke", tag = "tokens", operation_id = "revokeToken",
    request_body(content(
        (Revocation = "application/json"),
        (Revocation = "application/x-www-form-urlencoded"),
    )),
    responses(
        OAuthRequest<Revocation>,
        (status = 200, description = "It opens nothing any more, whatever it was", body = Revoked),
        (status = 400, description = "The body could not be read, or no token is there"),
    )
)]
async fn revoke(asked: OAuthRequest<Revocation>) -> Answer {
    let OAuthRequest { app, req, body, .. } = &asked;
    let in_body = body.token.as_deref();
    let brought = match in_body {
        Some(token) => token.clone(),
        None => in_cookie(&asked)?,
    };
    // An access token that is over cannot be told from junk, and does as little.
    let given_back = match Token::parse(&brought) {
        Some(token) => Some(GivenBack::RefreshToken(token.hash())),
        None => {
            let claims = caller::claims_of(app, &brought).await.ok();
            claims.map(GivenBack::AccessToken)
        }
    };
    if let Some(given_back) = given_back {
        let client = client::of_program(req, &app.config, Label::default());
        act(app, move |tx, app| {
            end_sessions::revoke(tx, app, &given_back, &client)
        })
        .await?;
    }
    let mut answer = HttpResponse::Ok();
    if in_body.is_none() {
        delivery::take_cookies_back(app, &mut answer);
    }
    Ok(answer.json(Revoked {}))
}
