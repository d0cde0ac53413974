//! The cookies a browser brings, sifted before anybody reads them.
//!
//! The parser of actix-web is more lenient than browsers are. It decodes `%2D` in a name and trims every space that
//! Unicode knows, so that `__Host%2Ddoorpost`, which a sibling host is free to set, would pass for the
//! `__Host-doorpost` that only we can set (cookie tossing). And a single byte that is not UTF-8, in a cookie
//! that is none of ours, makes it read nothing at all. So only plain names and values go on; and where
//! two cookies of one name differ, one of them may be planted, and neither does.

use std::collections::BTreeMap;

use actix_web::http::header::{COOKIE, HeaderMap, HeaderValue};

/// What goes on, by name, as it was sent.
pub struct CookieHeader(BTreeMap<String, Option<String>>);

impl CookieHeader {
    /// Sifts what was brought.
    pub fn sift(headers: &HeaderMap) -> Self {
        let mut cookies = BTreeMap::new();
        let pairs = headers
            .get_all(COOKIE)
            .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
        for (name, value) in pairs.filter_map(plain) {
            cookies
                .entry(name.to_owned())
                .and_modify(|other: &mut Option<String>| {
                    other.take_if(|other| other != value);
                })
                .or_insert_with(|| Some(value.to_owned()));
        }
        Self(cookies)
    }

    /// The value of the one cookie of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }

    /// Puts another value in its place.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), Some(value.to_owned()));
    }

    /// Takes it out.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// What the cookies weigh whose names begin like this, in bytes, as they are sent.
    pub fn weight_of(&self, beginning: &str) -> usize {
        let meant = self
            .0
            .iter()
            .filter(|(name, _)| name.starts_with(beginning));
        let pairs = meant.filter_map(|(name, value)| Some((name, value.as_deref()?)));
        pairs
            .map(|(name, value)| name.len() + value.len() + "=; ".len())
            .sum()
    }

    /// Leaves these cookies, and no others, for whoever reads them next.
    pub fn replace_in(self, headers: &mut HeaderMap) {
        headers.remove(COOKIE);
        let pairs: Vec<String> = self
            .0
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
            .collect();
        if pairs.is_empty() {
            return;
        }
        if let Ok(header) = HeaderValue::try_from(pairs.join("; ")) {
            headers.insert(COOKIE, header);
        }
    }
}

fn plain(pair: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = str::from_utf8(pair).ok()?.split_once('=')?;
    let (name, value) = (name.trim_matches(BLANK), value.trim_matches(BLANK));
    let fits = !name.is_empty()
        && name.bytes().all(is_plain_in_a_name)
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    fits.then_some((name, value))
}

/// The spaces of the header itself (RFC 6265, 5.2).
const BLANK: [char; 2] = [' ', '\t'];

/// A token (RFC 9110, 5.6.2) without the percent sign.
fn is_plain_in_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sifted(brought: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for header in brought {
            headers.append(COOKIE, HeaderValue::from_bytes(header).unwrap());
        }
        CookieHeader::sift(&headers).replace_in(&mut headers);
        let left: Vec<_> = headers.get_all(COOKIE).collect();
        assert!(left.len() <= 1);
        left.first()
            .map_or("", |header| header.to_str().unwrap())
            .to_owned()
    }

    #[test]
    fn only_what_is_plain_and_comes_once_goes_on() {
        let cases: [(&[&[u8]], &str); 11] = [
            (&[b"a=1; b=2"], "a=1; b=2"),
            (&[b"b=2", b"a=1"], "a=1; b=2"),
            (&[b"a=1;;  ;b=x=y%20z\t"], "a=1; b=x=y%20z"),
            (&[b"a=1; a=1", b"a=1"], "a=1"),
            (&[b"a=1; b=2; a=3; a=1"], "b=2"),
            (&[b"a=1", b"a=2"], ""),
            (&[b"junk; =1; a=1"], "a=1"),
            (&[b"__Host%2Da=1; __Host-b=2"], "__Host-b=2"),
            (
                &["\u{a0}__Host-a=1; \u{2000}__Host-b=2; c=3".as_bytes()],
                "c=3",
            ),
            (&[b"a=\xff; \xfe=1; b=2"], "b=2"),
            (&["a=ö; b=2".as_bytes()], "b=2"),
        ];
        for (brought, left) in cases {
            assert_eq!(sifted(brought), left, "{brought:?}");
        }
    }
}
