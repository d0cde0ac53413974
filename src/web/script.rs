//! What a script of our own pages asks for, and is answered: JSON, both ways.
//!
//! A form leads its visitor from page to page by redirects. A script stays where it is, and is told where to lead: so
//! what would be a redirect is a problem that names the page. All else is refused as a form would be; whoever sends
//! JSON reads JSON, so that the words come as `application/problem+json` ([`middleware`](super::middleware)).

use std::fmt;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::actions::TooMany;
use crate::error::Error;
use crate::web::field_error::FieldError;
use crate::web::json::Json;
use crate::web::page::ShownHold;
use crate::web::rejection::{self, Rejection};

/// What a script sends, and who it is sent by: as a handler for forms asks for it, refused in a script's way. The guard
/// comes first; whoever it does not let in is told nothing of what they sent.
pub struct Sent<G, T> {
    pub by: G,
    pub body: T,
}

impl<G, T> FromRequest for Sent<G, T>
where
    G: FromRequest<Error = Rejection>,
    G::Future: 'static,
    T: DeserializeOwned + 'static,
{
    type Error = ScriptError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ScriptError>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Json::<T>::from_request(req, payload);
        let by = G::from_request(req, payload);
        Box::pin(async move {
            let by = by.await?;
            let Json(body) = body.await?;
            Ok(Self { by, body })
        })
    }
}

/// What such a handler gives.
pub type Answer = Result<HttpResponse, ScriptError>;

/// It is done, and the script goes on to this page.
pub fn go_on_to(page: &str) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "next": page }))
}

/// Why a script gets no further.
#[derive(Debug)]
pub enum ScriptError {
    /// What it brought is not taken.
    Refused {
        name: &'static str,
        title: &'static str,
        detail: &'static str,
    },
    /// There is a mistake in what was typed.
    Mistake(FieldError),
    /// What stops a form, too.
    Rejected(Rejection),
}

impl ScriptError {
    /// Where the visitor has to go first.
    fn first(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Rejected(Rejection::SignInFirst { .. }) => Some(("sign_in_first", "/sign-in")),
            Self::Rejected(Rejection::ReauthenticateFirst { .. }) => {
                Some(("reauthenticate_first", "/reauthenticate"))
            }
            Self::Rejected(Rejection::Held { .. }) => Some(("held", ShownHold::PAGE)),
            _ => None,
        }
    }
}

impl From<Rejection> for ScriptError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<TooMany> for ScriptError {
    fn from(too_many: TooMany) -> Self {
        Self::Rejected(too_many.into())
    }
}

impl From<Error> for ScriptError {
    fn from(error: Error) -> Self {
        Self::Rejected(error.into())
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { name, .. } => f.write_str(name),
            Self::Mistake(_) => f.write_str("mistake"),
            Self::Rejected(rejection) => rejection.fmt(f),
        }
    }
}

impl ResponseError for ScriptError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Refused { .. } | Self::Mistake(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Rejected(Rejection::Held { .. }) => StatusCode::CONFLICT,
            Self::Rejected(_) if self.first().is_some() => StatusCode::UNAUTHORIZED,
            Self::Rejected(rejection) => rejection.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let problem = match (self, self.first()) {
            (Self::Rejected(rejection), None) => return rejection.error_response(),
            (Self::Rejected(_), Some((name, page))) => json!({
                "type": rejection::kind(name),
                "title": "Something else comes first",
                "status": status.as_u16(),
                "detail": "Go to this page first, and then come back.",
                "page": page,
            }),
            (Self::Mistake(mistake), _) => json!({
                "type": rejection::kind("mistake"),
                "title": "There is a problem",
                "status": status.as_u16(),
                "detail": mistake.to_string(),
            }),
            (
                Self::Refused {
                    name,
                    title,
                    detail,
                },
                _,
            ) => json!({
                "type": rejection::kind(name),
                "title": title,
                "status": status.as_u16(),
                "detail": detail,
            }),
        };
        HttpResponse::build(status)
            .content_type(rejection::CONTENT_TYPE)
            .body(problem.to_string())
    }
}
