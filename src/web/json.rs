//! Bodies of programs: JSON, read as strictly as a form ([`form`](super::form)).
//!
//! One content type, at most 16 KiB, and a deadline. A field given twice is refused, for two readers might
//! take different ones; fields nobody asked for are ignored. No page of another site can send one unasked:
//! its browser asks first.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::{DeserializeOwned, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::web::form;
use crate::web::rejection::Rejection;
use crate::web::urlencoded;

/// A body that could be read.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(req);
        let body = form::body(req, payload);
        Box::pin(async move {
            if !is_json {
                return Err(Rejection::WrongType);
            }
            parse(&body.await?).map(Json)
        })
    }
}

/// A body as JSON or as a form, as OAuth's clients send it (RFC 6749, 4; RFC 7009, 2.1). Both are read into the same
/// fields; one without a value is as one that is missing (RFC 6749, 3.2).
pub struct JsonOrForm<T> {
    pub body: T,
    /// Any page of any site can make a browser send a form, and need not ask first.
    pub is_form: bool,
}

impl<T: DeserializeOwned + 'static> FromRequest for JsonOrForm<T> {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (is_json, is_form) = (is_json(req), form::is_a_form(form::content_type(req)));
        let body = form::body(req, payload);
        Box::pin(async move {
            let body = match (is_json, is_form) {
                (true, _) => parse(&body.await?),
                (_, true) => parse_form(&body.await?),
                _ => Err(Rejection::WrongType),
            };
            body.map(|body| Self { body, is_form })
        })
    }
}

fn parse_form<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    let fields = urlencoded::pairs(body)?.into_iter();
    let fields = fields.filter(|(_, value)| !value.is_empty());
    let fields = fields.map(|(name, value)| (name, Value::String(value)));
    serde_json::from_value(Value::Object(fields.collect())).map_err(|_| Rejection::Unreadable)
}

/// Whether a body is said to be JSON.
pub(super) fn is_json(req: &HttpRequest) -> bool {
    form::is_type(form::content_type(req), "application/json")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    serde_json::from_slice::<EachNameOnce>(body).map_err(|_| Rejection::Unreadable)?;
    serde_json::from_slice(body).map_err(|_| Rejection::Unreadable)
}

/// An object in which no name comes twice.
struct EachNameOnce;

impl<'de> Deserialize<'de> for EachNameOnce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for EachNameOnce {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, IgnoredAny)) = object.next_entry::<String, IgnoredAny>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a name comes twice"));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default, alias = "other_a")]
        a: String,
        b: Option<String>,
    }

    #[test]
    fn a_form_is_read_into_the_same_fields() {
        let read = |text: &str| {
            let read = parse_form::<Body>(text.as_bytes());
            read.map(|body| (body.a, body.b)).ok()
        };
        let some = |a: &str, b: Option<&str>| Some((a.to_owned(), b.map(str::to_owned)));
        assert_eq!(read("a=1&b=x+y&c=3"), some("1", Some("x y")));
        assert_eq!(read("other_a=1&b="), some("1", None));
        assert_eq!(read(""), some("", None));
        for bad in ["a=1&a=1", "a=1&other_a=1", "a=%ff"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_object_is_read_and_each_name_once() {
        let read = |text: &str| parse::<Body>(text.as_bytes()).map(|body| body.a).ok();
        assert_eq!(read(r#"{"a": "1", "c": [2]}"#).unwrap(), "1");
        assert_eq!(read("{}").unwrap(), "");
        for bad in [
            r#"{"a": "1", "a": "1"}"#,
            r#"{"b": 1, "b": 1}"#,
            r#"{"a": 1}"#,
            r#"["1"]"#,
            r#"{"a": "1"} x"#,
            "",
            "null",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(parse::<Body>(b"{\"a\": \"\xff\"}").is_err());
    }
}
