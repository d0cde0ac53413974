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

use crate::web::form;
use crate::web::rejection::Rejection;

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

fn is_json(req: &HttpRequest) -> bool {
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
        #[serde(default)]
        a: String,
    }

    #[test]
    fn an_object_is_read_and_each_name_once() {
        let read = |text: &str| parse::<Body>(text.as_bytes()).map(|body| body.a).ok();
        assert_eq!(read(r#"{"a": "1", "b": [2]}"#).unwrap(), "1");
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
