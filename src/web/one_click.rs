//! The one field that ends announcements with one click (RFC 8058), read as strictly as a form.
//!
//! A mail provider's server sends it as either kind of form, and sends the token in the query, as the header of
//! the letter has it. The button of our own page sends the same. Whoever sends anything else gets an error.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::web::form::{body_within, content_type, is_a_form};
use crate::web::rejection::Rejection;
use crate::web::urlencoded::pairs;

/// The field and its value.
const FIELD: (&str, &str) = ("List-Unsubscribe", "One-Click");

/// The field, the boundaries around it, and what a diligent sender says of it.
const MOST: usize = 2 * 1024;

/// A request that has it.
pub struct OneClick;

impl FromRequest for OneClick {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let kind = Kind::of(content_type(req));
        let body = body_within(req, payload, MOST);
        Box::pin(async move {
            let kind = kind.ok_or(Rejection::WrongType)?;
            let body = body.await?;
            match kind.value(&body)? == FIELD.1 {
                true => Ok(Self),
                false => Err(Rejection::Unreadable),
            }
        })
    }
}

/// How a form is written.
enum Kind {
    Urlencoded,
    Multipart { boundary: String },
}

impl Kind {
    fn of(content_type: &str) -> Option<Self> {
        if is_a_form(content_type) {
            return Some(Self::Urlencoded);
        }
        let (essence, parameters) = content_type.split_once(';')?;
        let mut parameters = parameters.split(';').filter_map(|it| it.split_once('='));
        let (_, boundary) =
            parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
        let boundary = boundary.trim();
        let boundary = boundary
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(boundary);
        let fits = essence.trim().eq_ignore_ascii_case("multipart/form-data")
            && (1..=70).contains(&boundary.len());
        fits.then(|| Self::Multipart {
            boundary: boundary.to_owned(),
        })
    }

    /// The value of the field, which must be there once.
    fn value(&self, body: &[u8]) -> Result<String, Rejection> {
        let found = match self {
            Self::Urlencoded => pairs(body)?.remove(FIELD.0),
            Self::Multipart { boundary } => {
                let body = std::str::from_utf8(body).map_err(|_| Rejection::Unreadable)?;
                only_part(body, boundary)
            }
        };
        found.ok_or(Rejection::Unreadable)
    }
}

/// What a body of one part (RFC 7578) says, if that part is the field.
fn only_part(body: &str, boundary: &str) -> Option<String> {
    let body = body.strip_prefix("--")?.strip_prefix(boundary)?;
    let (part, rest) = body.split_once(&format!("\r\n--{boundary}"))?;
    let (head, value) = part.strip_prefix("\r\n")?.split_once("\r\n\r\n")?;
    let is_the_end = matches!(rest, "--" | "--\r\n");
    let names_it = head.split("\r\n").any(|line| {
        let Some((name, disposition)) = line.split_once(':') else {
            return false;
        };
        let mut parts = disposition.split(';').map(str::trim);
        name.eq_ignore_ascii_case("content-disposition")
            && parts.next() == Some("form-data")
            && parts.next() == Some(&format!("name=\"{}\"", FIELD.0))
            && parts.next().is_none()
    });
    (is_the_end && names_it).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_read_from_either_kind_of_form() {
        let good = |content_type: &str, body: &str| {
            let kind = Kind::of(content_type).unwrap();
            kind.value(body.as_bytes()).unwrap()
        };
        let form = "application/x-www-form-urlencoded";
        assert_eq!(good(form, "List-Unsubscribe=One-Click"), FIELD.1);
        let part = "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n";
        for kind in [
            "multipart/form-data; boundary=b",
            "Multipart/Form-Data; charset=utf-8; Boundary=\"b\"",
        ] {
            assert_eq!(good(kind, part), FIELD.1, "{kind}");
        }
        let with_type = part.replace("\r\n\r\n", "\r\nContent-Type: text/plain\r\n\r\n");
        assert_eq!(good("multipart/form-data; boundary=b", &with_type), FIELD.1);
    }

    #[test]
    fn anything_else_is_not() {
        for kind in [
            "",
            "text/plain",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=b",
        ] {
            assert!(Kind::of(kind).is_none(), "{kind}");
        }
        let kind = Kind::of("multipart/form-data; boundary=b").unwrap();
        let part =
            "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n";
        for body in [
            "",
            "List-Unsubscribe=One-Click",
            part,
            &format!("{part}--c--"),
            &format!("{part}{part}--b--"),
            &format!("{part}--b--").replace("name=\"List-Unsubscribe\"", "name=\"other\""),
            &format!("{part}--b--").replace("\r\n", "\n"),
        ] {
            assert!(kind.value(body.as_bytes()).is_err(), "{body}");
        }
    }
}
