//! Why a program got no further: `application/problem+json` (RFC 9457).
//!
//! The `type` is what a program goes by. It stays as it is; the words beside it may change. Where OAuth has a
//! word, it stands in `error` as well.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::TooMany;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::humanize::rfc3339;
use crate::web::field_error::FieldError;
use crate::web::rejection::{self, Rejection};

/// Why a program gets no further.
#[derive(Debug)]
pub enum ApiError {
    /// Something is missing in the body, or is none of the values it may have.
    InvalidRequest(&'static str),
    /// The password, code or refresh token opens nothing; nobody is told why.
    InvalidGrant,
    /// What came as a code cannot be one; it was not tried.
    NotACode,
    /// The service that the token is to be for is none that the operator named (RFC 8707).
    InvalidTarget,
    /// There is no such way to a token.
    UnsupportedGrantType,
    /// Neither GET nor whatever else was tried is what this is asked by.
    WrongMethod,
    /// No access token came along.
    NoToken,
    /// One came that opens nothing, or nothing any more.
    InvalidToken,
    /// What is sensitive wants the password, entered this lately.
    StepUp { max_age: Duration },
    /// It waits until then, because the password was set by mail.
    Held { until: Timestamp, wait: Duration },
    /// What was sent in this field is not taken.
    Unacceptable {
        field: &'static str,
        error: FieldError,
    },
    /// What stops browsers, too.
    Rejected(Rejection),
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<TooMany> for ApiError {
    fn from(too_many: TooMany) -> Self {
        Self::Rejected(too_many.into())
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Rejected(Rejection::Trouble(error))
    }
}

/// A problem, as programs read it.
#[derive(Serialize, ToSchema)]
pub struct Problem {
    /// What a program goes by: `urn:doorpost:problem:…`.
    #[serde(rename = "type")]
    #[schema(example = "urn:doorpost:problem:invalid_grant")]
    kind: String,
    /// The same in a few words.
    title: String,
    status: u16,
    /// What to do.
    detail: String,
    /// OAuth's word for it, if it has one: always, at OAuth's own endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<&'static str>,
    /// With it, the detail once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_description: Option<String>,
    /// The field of the body that is not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<&'static str>,
    /// So many seconds ago, at the most, the password has to have been entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_age: Option<u64>,
    /// Until then it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "date-time")]
    held_until: Option<String>,
}

impl ApiError {
    /// The end of its type, its title, and what to do.
    fn words(&self) -> (&'static str, &'static str, String) {
        let (name, title, detail) = match self {
            Self::InvalidRequest(why) => ("invalid_request", "The request is incomplete", *why),
            Self::InvalidGrant => (
                "invalid_grant",
                "This opens nothing",
                "It is wrong, used, expired or ended. Sign in again.",
            ),
            Self::NotACode => (
                "not_a_code",
                "This cannot be a code",
                "A code is 8 letters, none of them A, E, I, O, U or Y. This was not counted as a try.",
            ),
            Self::InvalidTarget => (
                "invalid_target",
                "No such audience",
                "audience is one of those that this site has been told of.",
            ),
            Self::UnsupportedGrantType => (
                "unsupported_grant_type",
                "No such way to a token",
                "grant_type is password, email_code or refresh_token.",
            ),
            Self::WrongMethod => ("method_not_allowed", "This is not asked so", "Send a POST."),
            Self::NoToken => (
                "no_token",
                "An access token is missing",
                "Send one as Authorization: Bearer.",
            ),
            Self::InvalidToken => (
                "invalid_token",
                "This access token opens nothing",
                "It has expired, or its session has ended. Refresh it, or sign in again.",
            ),
            Self::StepUp { .. } => (
                "insufficient_user_authentication",
                "The password is wanted first",
                "Get a token with grant_type password, and repeat this within max_age seconds.",
            ),
            Self::Held { .. } => (
                "held",
                "This waits for a while",
                "The password was set by mail. Wait until held_until; or the owner uses a passkey on the site, and says there that it was they.",
            ),
            Self::Unacceptable { field, error } => {
                return (unacceptable(field), "This is not taken", error.to_string());
            }
            Self::Rejected(rejection) => return rejected(rejection),
        };
        (name, title, detail.to_owned())
    }

    /// OAuth's word (RFC 6749, 4.1.2.1 and 5.2; RFC 6750, 3.1). Where it has none that fits, the nearest: a client
    /// that finds none at the token endpoint takes the answer for something else.
    fn error(&self) -> Option<&'static str> {
        match self {
            Self::InvalidRequest(_) | Self::NotACode | Self::WrongMethod => Some("invalid_request"),
            Self::InvalidGrant => Some("invalid_grant"),
            Self::InvalidTarget => Some("invalid_target"),
            Self::UnsupportedGrantType => Some("unsupported_grant_type"),
            Self::InvalidToken => Some("invalid_token"),
            Self::StepUp { .. } => Some("insufficient_user_authentication"),
            Self::NoToken | Self::Held { .. } | Self::Unacceptable { .. } => None,
            Self::Rejected(rejection) => error_of(rejection),
        }
    }

    /// What stands in `WWW-Authenticate` (RFC 6750, 3; RFC 9470, 3).
    fn challenge(&self) -> Option<String> {
        match self {
            Self::NoToken => Some("Bearer".to_owned()),
            Self::InvalidToken => Some(r#"Bearer error="invalid_token""#.to_owned()),
            Self::StepUp { max_age } => Some(format!(
                r#"Bearer error="insufficient_user_authentication", max_age="{}""#,
                max_age.as_secs()
            )),
            _ => None,
        }
    }

    fn max_age(&self) -> Option<u64> {
        match self {
            Self::StepUp { max_age } => Some(max_age.as_secs()),
            _ => None,
        }
    }

    fn held_until(&self) -> Option<String> {
        match self {
            Self::Held { until, .. } => Some(rfc3339(*until)),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Held { wait, .. } => Some(*wait),
            Self::Rejected(rejection) => rejection.retry_after(),
            _ => None,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Unacceptable { field, .. } => Some(field),
            Self::NotACode => Some("code"),
            _ => None,
        }
    }
}

fn error_of(rejection: &Rejection) -> Option<&'static str> {
    match rejection {
        Rejection::Unreadable | Rejection::TooLarge | Rejection::TooSlow | Rejection::WrongType => {
            Some("invalid_request")
        }
        Rejection::CrossOrigin => Some("access_denied"),
        Rejection::TooMany { .. }
        | Rejection::Busy
        | Rejection::NotProvenNow
        | Rejection::Trouble(Error::Unavailable(_)) => Some("temporarily_unavailable"),
        Rejection::Trouble(Error::Internal(_) | Error::Misconfigured(_)) => Some("server_error"),
        Rejection::NotFound
        | Rejection::LoadAgain
        | Rejection::ProveFirst { .. }
        | Rejection::SignInFirst { .. }
        | Rejection::ReauthenticateFirst { .. }
        | Rejection::Held { .. } => None,
    }
}

fn unacceptable(field: &str) -> &'static str {
    match field {
        "email" => "unacceptable_email",
        _ => "unacceptable_password",
    }
}

fn rejected(rejection: &Rejection) -> (&'static str, &'static str, String) {
    let (name, title, detail) = match rejection {
        Rejection::Unreadable => (
            "invalid_request",
            "The body could not be read",
            "It is a JSON object, or a form where one is taken, in which each name comes once, with the fields that are described.",
        ),
        Rejection::CrossOrigin => (
            "cross_origin",
            "This came from another site",
            "A token in a cookie counts only for requests from this site's own pages.",
        ),
        Rejection::NotFound => ("not_found", "There is no such thing", "Check its id."),
        Rejection::TooLarge => (
            "too_large",
            "That is too much at once",
            "Send at most 16 KiB.",
        ),
        Rejection::TooSlow => (
            "too_slow",
            "The body did not arrive in time",
            "Send it again.",
        ),
        Rejection::WrongType => (
            "unsupported_media_type",
            "This kind of content is not taken",
            "Send application/json; for tokens a form will do.",
        ),
        Rejection::TooMany { .. } => (
            "too_many_requests",
            "Too many tries",
            "Wait for as long as Retry-After says.",
        ),
        Rejection::Busy | Rejection::NotProvenNow | Rejection::Trouble(Error::Unavailable(_)) => (
            "unavailable",
            "Back in a moment",
            "It was not done, and it is safe to try again.",
        ),
        // The last three lead browsers elsewhere, and happen to none that calls this.
        Rejection::Trouble(Error::Misconfigured(_) | Error::Internal(_))
        | Rejection::LoadAgain
        | Rejection::ProveFirst { .. }
        | Rejection::SignInFirst { .. }
        | Rejection::ReauthenticateFirst { .. }
        | Rejection::Held { .. } => (
            "internal",
            "Something went wrong here",
            "The fault is ours, and it has been noted.",
        ),
    };
    (name, title, detail.to_owned())
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().0)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::InvalidRequest(_)
            | Self::InvalidGrant
            | Self::NotACode
            | Self::InvalidTarget
            | Self::UnsupportedGrantType => StatusCode::BAD_REQUEST,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoToken | Self::InvalidToken | Self::StepUp { .. } => StatusCode::UNAUTHORIZED,
            Self::Held { .. } => StatusCode::CONFLICT,
            Self::Unacceptable { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Rejected(rejection) => rejection.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let (name, title, detail) = self.words();
        let status = self.status_code();
        let mut response = HttpResponseBuilder::new(status);
        if let Self::Rejected(rejection) = self {
            rejection.leave_a_note(&mut response);
        }
        if let Some(challenge) = self.challenge() {
            response.insert_header((WWW_AUTHENTICATE, challenge));
        }
        if let Some(wait) = self.retry_after() {
            response.insert_header((RETRY_AFTER, wait.as_millis().div_ceil(1000).to_string()));
        }
        response.insert_header((CONTENT_TYPE, rejection::CONTENT_TYPE));
        let problem = Problem {
            kind: rejection::kind(name),
            title: title.to_owned(),
            status: status.as_u16(),
            error: self.error(),
            error_description: self.error().map(|_| detail.clone()),
            detail,
            field: self.field(),
            max_age: self.max_age(),
            held_until: self.held_until(),
        };
        response.body(serde_json::to_vec(&problem).unwrap_or_default())
    }
}
