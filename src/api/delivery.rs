//! How tokens are handed over: in the body, in cookies that no script can read, or in headers.

use std::sync::Arc;

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{AUTHORIZATION, HeaderName};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::access_tokens::{self, Signer};
use crate::accounts::refresh_tokens;
use crate::actions::refresh::Granted;
use crate::api::caller;
use crate::api::error::ApiError;
use crate::app::App;
use crate::error::Result;
use crate::web::cookie_header::CookieHeader;
use crate::web::rejection::Rejection;
use crate::web::{same_origin, sealed_cookies};

/// The end of the name of the cookie that holds a refresh token.
const REFRESH_COOKIE: &str = "_refresh";

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
    /// As it is written.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
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

/// What signs tokens, fetched before anything is used up: after the commit nothing is left that could fail.
pub async fn signer(app: &App, audience: Option<String>) -> Result<Signer> {
    let ring = app.signing_keys.ring_that_signs(&app.db, app.clock.now());
    let issuer = app.config.server.public_url.as_str();
    Ok(Signer::new(Arc::clone(&ring.await?), issuer, audience))
}

/// Hands the tokens over.
pub fn deliver(app: &App, granted: Granted, delivery: Delivery) -> HttpResponse {
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

/// Takes both cookies back.
pub fn take_cookies_back(app: &App, answer: &mut HttpResponseBuilder) {
    for suffix in [caller::ACCESS_COOKIE, REFRESH_COOKIE] {
        let mut gone = cookie(app, suffix, "", 0);
        gone.make_removal();
        answer.cookie(gone);
    }
}

/// The refresh token that the browser keeps for pages of ours.
pub fn in_cookie(req: &HttpRequest, app: &App) -> Result<String, ApiError> {
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
