//! Why a request got no further, and the page that says so.
//!
//! A handler returns a [`Rejection`]; it becomes an answer with a status and no body, and the middleware, which
//! knows what the visitor reads best, writes the page or the `application/problem+json` (RFC 9457) into it.
//! The page says what to do next and nothing of what went wrong inside.

use std::fmt;
use std::time::Duration;

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, LOCATION, REFRESH, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};

use crate::actions::TooMany;
use crate::error::Error;
use crate::web::next;
use crate::web::page::ShownHold;
use crate::web::urlencoded::Malformed;

/// Why a request goes no further.
#[derive(Debug)]
pub enum Rejection {
    /// Nobody is signed in here: first that, and then back to this path.
    SignInFirst { next: String },
    /// What is sensitive wants the password first: then back to this page, where what was typed is found
    /// again in this cookie.
    ReauthenticateFirst {
        next: String,
        typed: Option<Box<Cookie<'static>>>,
    },
    /// A click from another site's page, by a browser that proves its device first where a page of ours asks for it:
    /// this page loads itself again.
    LoadAgain,
    /// Once more to the same page, without this cookie: a browser that can proves its device on the way.
    ProveFirst {
        page: String,
        without: Box<Cookie<'static>>,
    },
    /// The browser could not prove its device just now, and says so.
    NotProvenNow,
    /// A reset by mail has it wait for a passkey: first to the page that says so, and from there back to this one, where
    /// what was typed is found again in this cookie.
    Held {
        next: String,
        typed: Option<Box<Cookie<'static>>>,
    },
    /// The form cannot be read.
    Unreadable,
    /// A POST that does not come from one of our pages.
    CrossOrigin,
    /// There is no such thing.
    NotFound,
    /// The form is too large.
    TooLarge,
    /// The form took too long to arrive.
    TooSlow,
    /// Not a form.
    WrongType,
    /// Too often; again after this long.
    TooMany { wait: Duration, limit: &'static str },
    /// As many passwords are being compared as may be at a time, and the queue for more is full.
    Busy,
    /// Something failed on our side.
    Trouble(Error),
}

/// Goes with an answer that says nothing of it: what failed on our side, in words for the log. The middleware writes
/// that line, for it knows the request.
pub struct Failure(pub String);

/// Likewise: which limit was met.
pub struct Limited(pub &'static str);

/// What a problem is sent as (RFC 9457).
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The type of a problem: what a program goes by, and the same for ever.
pub fn kind(name: &str) -> String {
    format!("urn:doorpost:problem:{name}")
}

/// By then the queue before the hashing slots has moved on.
const RETRY_BUSY: Duration = Duration::from_secs(1);

/// A browser that has not reached us tries again at once; one that has proven itself too often waits some minutes.
const RETRY_PROOF: Duration = Duration::from_secs(30);

/// What storage trouble asks a visitor to wait: it is mostly over by then.
const RETRY_TROUBLE: Duration = Duration::from_secs(2);

impl Rejection {
    /// How long to wait before trying again, where that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { wait, .. } => Some(*wait),
            Self::Busy => Some(RETRY_BUSY),
            Self::NotProvenNow => Some(RETRY_PROOF),
            Self::Trouble(Error::Unavailable(_)) => Some(RETRY_TROUBLE),
            _ => None,
        }
    }

    /// Leaves with the answer what the log is to say of it.
    pub fn leave_a_note(&self, answer: &mut HttpResponseBuilder) {
        match self {
            Self::Trouble(error) => {
                answer.extensions_mut().insert(Failure(error.to_string()));
            }
            Self::TooMany { limit, .. } => {
                answer.extensions_mut().insert(Limited(limit));
            }
            _ => {}
        }
    }
}

impl From<TooMany> for Rejection {
    fn from(TooMany { wait, limit, .. }: TooMany) -> Self {
        Self::TooMany { wait, limit }
    }
}

impl From<Malformed> for Rejection {
    fn from(Malformed: Malformed) -> Self {
        Self::Unreadable
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Trouble(error)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trouble(error) => error.fmt(f),
            other => write!(f, "{}", other.status_code()),
        }
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::SignInFirst { .. } | Self::ReauthenticateFirst { .. } | Self::Held { .. } => {
                StatusCode::SEE_OTHER
            }
            Self::LoadAgain => StatusCode::OK,
            Self::ProveFirst { .. } => StatusCode::TEMPORARY_REDIRECT,
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::CrossOrigin => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::NotProvenNow | Self::Trouble(Error::Unavailable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Trouble(Error::Misconfigured(_) | Error::Internal(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status_code());
        self.leave_a_note(&mut response);
        match self {
            Self::SignInFirst { next } => {
                response.insert_header((LOCATION, next::before("/sign-in", next)));
            }
            Self::ReauthenticateFirst { next, typed } | Self::Held { next, typed } => {
                let page = match self {
                    Self::Held { .. } => ShownHold::PAGE,
                    _ => "/reauthenticate",
                };
                response.insert_header((LOCATION, next::before(page, next)));
                if let Some(typed) = typed {
                    response.cookie((**typed).clone());
                }
            }
            Self::ProveFirst { page, without } => {
                response.insert_header((LOCATION, page.as_str()));
                response.cookie((**without).clone());
            }
            Self::LoadAgain => {
                response.insert_header((REFRESH, "0"));
                return response.content_type(ContentType::html()).body(LOAD_AGAIN);
            }
            _ => {}
        }
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_millis().div_ceil(1000);
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        response.finish()
    }
}

/// A page that nobody reads, unless a browser does not load it again by itself.
const LOAD_AGAIN: &str = concat!(
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>One moment</title>\n</head>\n",
    "<body>\n<p><a href=\"\">Go on</a></p>\n</body>\n</html>\n",
);
