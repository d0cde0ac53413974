//! Forms, read strictly.
//!
//! One content type, at most 16 KiB, and every byte valid UTF-8: frameworks fold other bytes to U+FFFD
//! without a word, and two different inputs become one. A field given twice is refused, for two readers
//! might take different ones; fields nobody asked for are ignored. A `token` belongs in the body, so one
//! in the query of a POST is refused.

use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, MapDeserializer};
use tokio::time::timeout;

use crate::web::rejection::Rejection;
use crate::web::urlencoded::pairs;

/// What a form is sent as.
pub const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// The most a form may weigh, in bytes.
pub const MOST: usize = 16 * 1024;

/// A body that drips in takes no longer than this: whoever sends slowly on purpose holds little, and briefly.
const DEADLINE: Duration = Duration::from_secs(15);

/// A form that could be read. Its fields default to empty, so that a missing one is a mistake the page
/// can speak of.
pub struct Form<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Form<T> {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let checked = check_head(req);
        let body = body(req, payload);
        Box::pin(async move {
            checked?;
            parse(&body.await?).map(Form)
        })
    }
}

/// The body, if it is neither too large nor too slow, of a request whose address holds no token.
pub(super) fn body(
    req: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, Rejection>> + use<> {
    let checked = check_query(req);
    let body = body_within(req, payload, MOST);
    async move {
        checked?;
        body.await
    }
}

/// A body of so many bytes at the most, if it arrives in time.
pub(super) fn body_within(
    req: &HttpRequest,
    payload: &mut Payload,
    most: usize,
) -> impl Future<Output = Result<Bytes, Rejection>> + use<> {
    let is_too_large = declared_length(req) > most as u64;
    let body = web::Payload::from_request(req, payload);
    async move {
        if is_too_large {
            return Err(Rejection::TooLarge);
        }
        let body = body.await.map_err(|_| Rejection::Unreadable)?;
        timeout(DEADLINE, body.to_bytes_limited(most))
            .await
            .map_err(|_| Rejection::TooSlow)?
            .map_err(|_| Rejection::TooLarge)?
            .map_err(|_| Rejection::Unreadable)
    }
}

/// A form that is nothing but its button.
#[derive(Default, Deserialize)]
pub struct NoFields {}

fn check_head(req: &HttpRequest) -> Result<(), Rejection> {
    if !is_a_form(content_type(req)) {
        return Err(Rejection::WrongType);
    }
    Ok(())
}

fn check_query(req: &HttpRequest) -> Result<(), Rejection> {
    if pairs(req.query_string().as_bytes())?.contains_key("token") {
        return Err(Rejection::Unreadable);
    }
    Ok(())
}

/// What the body is said to be.
pub fn content_type(req: &HttpRequest) -> &str {
    let value = req.headers().get(CONTENT_TYPE);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Whether it is said to be a form.
pub fn is_a_form(content_type: &str) -> bool {
    is_type(content_type, MEDIA_TYPE)
}

/// Whether a `Content-Type` names this one, in UTF-8.
pub(super) fn is_type(content_type: &str, wanted: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case(wanted)
        && parts.all(|part| part.is_empty() || part.eq_ignore_ascii_case("charset=utf-8"))
}

fn declared_length(req: &HttpRequest) -> u64 {
    req.headers()
        .get(actix_web::http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    let fields = pairs(body)?;
    T::deserialize(MapDeserializer::<_, ValueError>::new(fields.into_iter()))
        .map_err(|_| Rejection::Unreadable)
}

/// Whether a box was ticked: as our pages send it, and as other programs are wont to.
pub fn is_ticked(value: &str) -> bool {
    ["yes", "on", "true", "1"].contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_content_type_is_a_form() {
        for good in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-URLencoded; charset=UTF-8",
        ] {
            assert!(is_a_form(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "multipart/form-data; boundary=x",
            "application/json",
            "application/x-www-form-urlencoded; charset=utf-16",
        ] {
            assert!(!is_a_form(bad), "{bad}");
        }
    }
}
