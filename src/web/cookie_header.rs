//! The cookies a browser brings, sifted before anybody reads them.
//!
//! The parser of actix-web is more lenient than browsers are. It decodes `%2D` in a name and trims every space that
//! Unicode knows, so that `__Host%2Ddoorpost`, which a sibling host is free to set, would pass for the
//! `__Host-doorpost` that only we can set (cookie tossing). And a single byte that is not UTF-8, in a cookie
//! that is none of ours, makes it read nothing at all. So only plain names and values go on; and where
//! two cookies of one name differ, one of them may be planted, and neither does.

use std::borrow::Cow;

use actix_web::http::header::{COOKIE, HeaderMap, HeaderValue};

/// What goes on, as it was sent.
pub struct CookieHeader<'a> {
    cookies: Vec<Cookie<'a>>,
    /// What was sent is not what goes on.
    is_altered: bool,
}

/// A cookie, or one of several that had the same name.
struct Cookie<'a> {
    name: Cow<'a, str>,
    /// `None` where two of this name differ.
    value: Option<Cow<'a, str>>,
}

impl<'a> CookieHeader<'a> {
    /// Sifts what was brought.
    pub fn sift(headers: &'a HeaderMap) -> Self {
        let mut cookies = Vec::new();
        let mut is_altered = headers.get_all(COOKIE).count() > 1;
        let pairs = headers
            .get_all(COOKIE)
            .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
        for pair in pairs {
            match plain(pair) {
                Some((name, value)) => cookies.push(Cookie::new(name, value)),
                None => is_altered = true,
            }
        }
        let brought = cookies.len();
        // Sorted, and not searched one by one: a head has room for ten thousand.
        cookies.sort_by(|one, other| one.name.cmp(&other.name));
        cookies.dedup_by(|later, first| first.absorbs(later));
        is_altered |= cookies.len() < brought;
        Self {
            cookies,
            is_altered,
        }
    }

    /// The value of the one cookie of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let meant = self.cookies.iter().find(|cookie| cookie.name == name);
        meant?.value.as_deref()
    }

    /// Whether several of this name came that differ.
    pub fn is_ambiguous(&self, name: &str) -> bool {
        let mut cookies = self.cookies.iter();
        cookies.any(|cookie| cookie.name == name && cookie.value.is_none())
    }

    /// Puts another value in its place.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.cookies
            .push(Cookie::new(name.to_owned(), value.to_owned()));
    }

    /// Takes it out.
    pub fn remove(&mut self, name: &str) {
        self.is_altered = true;
        self.cookies.retain(|cookie| cookie.name != name);
    }

    /// What the cookies weigh whose names begin like this, in bytes, as they are sent.
    pub fn weight_of(&self, beginning: &str) -> usize {
        let meant = self.pairs().filter(|(name, _)| name.starts_with(beginning));
        meant
            .map(|(name, value)| name.len() + value.len() + "=; ".len())
            .sum()
    }

    /// These cookies and no others, for whoever reads them next; `None` if that is what was sent.
    pub fn mended(&self) -> Option<HeaderValue> {
        if !self.is_altered {
            return None;
        }
        let pairs: Vec<String> = self
            .pairs()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mended = HeaderValue::try_from(pairs.join("; "));
        Some(mended.unwrap_or(HeaderValue::from_static("")))
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cookies.iter().filter_map(Cookie::pair)
    }
}

/// What a browser brings besides the cookies whose names begin like these, byte for byte and in its order: for an app that
/// has cookies of its own, two of one name among them, and is to have none of ours. `None` if nothing is left.
pub fn without(headers: &HeaderMap, beginnings: &[&str]) -> Option<HeaderValue> {
    let pairs = headers
        .get_all(COOKIE)
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii);
    let is_ours = |pair: &[u8]| {
        let mut beginnings = beginnings.iter();
        beginnings.any(|beginning| pair.starts_with(beginning.as_bytes()))
    };
    let left: Vec<&[u8]> = pairs
        .filter(|pair| !pair.is_empty() && !is_ours(pair))
        .collect();
    match left.is_empty() {
        true => None,
        false => HeaderValue::from_bytes(&left.join(&b"; "[..])).ok(),
    }
}

impl<'a> Cookie<'a> {
    fn new(name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        Self {
            name: name.into(),
            value: Some(value.into()),
        }
    }

    fn pair(&self) -> Option<(&str, &str)> {
        Some((&self.name, self.value.as_deref()?))
    }

    /// Stands for the other, too, if that has the same name.
    fn absorbs(&mut self, other: &Self) -> bool {
        let has_its_name = self.name == other.name;
        if has_its_name && self.value != other.value {
            self.value = None;
        }
        has_its_name
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
        let left = match CookieHeader::sift(&headers).mended() {
            Some(mended) => mended,
            None => headers.get(COOKIE).unwrap().clone(),
        };
        left.to_str().unwrap().to_owned()
    }

    #[test]
    fn what_needs_no_sifting_stays_as_it_came() {
        let mended = |brought: &'static [u8]| {
            let mut headers = HeaderMap::new();
            headers.append(COOKIE, HeaderValue::from_bytes(brought).unwrap());
            CookieHeader::sift(&headers).mended()
        };
        assert_eq!(mended(b"a=1; b=x=y%20z"), None);
        for altered in [&b"a=1; a=1"[..], b"a=1; b=\xff", b"a=1; b%2D=2", b"a"] {
            assert!(mended(altered).is_some(), "{altered:?}");
        }
        assert_eq!(CookieHeader::sift(&HeaderMap::new()).mended(), None);
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
