//! Where to go afterwards: a page of this site, or of an app that it is a sign-in for.
//!
//! A `next` comes from the address bar, a form or a cookie, so anybody may have written it. It is parsed
//! once, here, as a browser would parse it, and kept in the form that goes into `Location`. What could be
//! read as another host by any reader (a browser, an old browser, a proxy that decodes) is dropped, and
//! the visitor lands on the account page: a wrong `next` is never an error. It only ever leads to a GET.
//!
//! A page of an app is on another host, one that `RETURN_HOSTS` names ([`ReturnUrl`]). The way there leads over a page of
//! ours, so that whatever holds a `next` holds a path.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Position, Url};

use crate::config::Config;
use crate::web::return_url::{LONGEST, ReturnUrl};

/// Any origin serves to see whether a path leaves it; this one can belong to nobody (RFC 6761).
const SOME_ORIGIN: &str = "https://doorpost.invalid";

/// A path on this site with its query and fragment, normalised: visible ASCII, one `/` at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next(String);

impl Next {
    /// Where a visitor goes who was on the way to nowhere in particular.
    pub const DEFAULT: &'static str = "/account";

    /// The path that `raw` names on this site, or that leads to the page which it names on one of the hosts that visitors may
    /// be sent back to; `None` where it names anything else.
    pub fn parse(raw: &str, config: &Config) -> Option<Self> {
        if let Some(url) = ReturnUrl::parse(raw, config) {
            return Some(Self(url.page()));
        }
        // In a path of ours it is longer than by itself, and may be written by hand, to a host that nobody named.
        if let Some(elsewhere) = ReturnUrl::led_to_by(raw) {
            return Some(Self(ReturnUrl::parse(&elsewhere, config)?.page()));
        }
        let next = Self::here(raw)?;
        // Only now, for the parser has resolved its dots.
        ReturnUrl::led_to_by(next.as_str())
            .is_none()
            .then_some(next)
    }

    /// The path that `raw` names on this site, or `None` where it names anything else.
    pub fn here(raw: &str) -> Option<Self> {
        if !is_harmless(raw) {
            return None;
        }
        let here = Url::parse(SOME_ORIGIN).ok()?;
        let there = here.join(raw).ok()?;
        let stays = there.origin() == here.origin()
            && there.username().is_empty()
            && there.password().is_none();
        let path = &there[Position::BeforePath..];
        // Once more, for the parser has resolved dots and encoded characters: `/..//e.test` is `//e.test` now.
        (stays && is_harmless(path)).then(|| Self(path.to_owned()))
    }

    /// What goes into `Location`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same as others name it: a page of an app by its own address.
    pub fn named(&self) -> String {
        ReturnUrl::led_to_by(&self.0).unwrap_or_else(|| self.0.clone())
    }
}

/// This page, with the one that comes after it in its query.
pub fn before(page: &str, next: &str) -> String {
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let joint = if page.contains('?') { '&' } else { '?' };
    format!("{page}{joint}next={next}")
}

/// The rules for the text alone, before a parser gets to interpret it.
fn is_harmless(text: &str) -> bool {
    text.len() <= LONGEST
        && text.starts_with('/')
        // Browsers read `\` as `/`, and drop tabs and line ends before they look.
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && decodes_to_printable_text(text)
        && has_plain_slashes(text)
}

/// Percent signs that say something, and never a control character: a reader that decodes once more must
/// not find a line end.
fn decodes_to_printable_text(text: &str) -> bool {
    let escapes_are_whole = text
        .split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    escapes_are_whole
        && percent_decode_str(text)
            .decode_utf8()
            .is_ok_and(|decoded| !decoded.chars().any(char::is_control))
}

/// In the path no empty segment, and no encoded slash, backslash or percent sign: however often somebody
/// decodes it, it never begins with `//`. In the query and the fragment they are harmless.
fn has_plain_slashes(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or(text);
    let path = path.to_ascii_lowercase();
    !["//", "%2f", "%5c", "%25"]
        .iter()
        .any(|trick| path.contains(trick))
}

/// To the account page.
impl Default for Next {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A site that nobody may be sent away from.
    fn alone() -> Config {
        Config::from_environment(std::iter::empty::<(&str, &str)>()).expect("a configuration")
    }

    fn parsed(raw: &str) -> Option<String> {
        Next::parse(raw, &alone()).map(|next| next.to_string())
    }

    #[test]
    fn pages_of_this_site_are_kept() {
        for (raw, normal) in [
            ("/", "/"),
            ("/account", "/account"),
            ("/account/sessions", "/account/sessions"),
            ("/account?tab=2&x=a%20b", "/account?tab=2&x=a%20b"),
            ("/account#devices", "/account#devices"),
            ("/a/../account", "/account"),
            ("/a/%2e%2e/account", "/account"),
            ("/./account", "/account"),
            ("/../account", "/account"),
            ("/.e.test", "/.e.test"),
            ("/@e.test", "/@e.test"),
            ("/own.test@e.test", "/own.test@e.test"),
            ("/e.test:80", "/e.test:80"),
            ("/javascript:alert(1)", "/javascript:alert(1)"),
            ("/stra%C3%9Fe", "/stra%C3%9Fe"),
            ("/account?a=<b>\"c\"", "/account?a=%3Cb%3E%22c%22"),
            ("/account?next=//e.test", "/account?next=//e.test"),
            (
                "/sign-in?next=https://e.test/",
                "/sign-in?next=https://e.test/",
            ),
            ("/sign-in?next=%2F%2Fe.test", "/sign-in?next=%2F%2Fe.test"),
            (
                "/sign-in?next=%252F%252Fe.test",
                "/sign-in?next=%252F%252Fe.test",
            ),
            ("/account#//e.test", "/account#//e.test"),
            (Next::DEFAULT, "/account"),
        ] {
            assert_eq!(parsed(raw).as_deref(), Some(normal), "{raw:?}");
        }
        assert_eq!(Next::default().as_str(), Next::DEFAULT);
    }

    #[test]
    fn everything_else_is_dropped() {
        for raw in [
            "",
            " ",
            "account",
            "./account",
            "../account",
            "?next=/account",
            "#account",
            // another host, in the ways browsers know
            "//e.test",
            "///e.test",
            "////e.test",
            "//own.evil",
            "//own.test",
            "//e.test/%2e%2e",
            "//own.test@e.test",
            "//e.test:443/account",
            "//%65.test",
            "//",
            "/\\e.test",
            "\\\\e.test",
            "\\/e.test",
            "\\e.test",
            "/\\/e.test",
            "//\\e.test",
            "/account\\..\\..\\e.test",
            "/?a=\\",
            "https://e.test",
            "https://e.test/account",
            "https:e.test",
            "https:/e.test",
            "https:///e.test",
            "https:\\\\e.test",
            "HTTPS://e.test",
            "http://own@e.test",
            "https://own.test",
            "https://own.test.e.test",
            "https://own.test@e.test",
            "http:account",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,hello",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://own.test/x",
            "mailto:a@e.test",
            "ftp://e.test",
            "ws://e.test",
            "about:blank",
            // white space and control characters, which browsers drop
            " //e.test",
            " /account",
            "/account ",
            "/ /e.test",
            "/\t/e.test",
            "/\n/e.test",
            "/\r/e.test",
            "\t//e.test",
            "\u{1}//e.test",
            "/account\r\nSet-Cookie: a=b",
            "/account\nLocation: //e.test",
            "/\0",
            "/\u{7f}",
            "/account?a=b c",
            "/%09/e.test",
            "/%0a/e.test",
            "/%0d%0aLocation:%20//e.test",
            "/account?a=%0d%0aSet-Cookie:a=b",
            "/account?a=%00",
            "/account#%0a",
            "/%7f",
            "/account?a=%C2%85",
            // slashes that somebody else may decode
            "/%2fe.test",
            "/%2Fe.test",
            "/%2f%2fe.test",
            "/%5ce.test",
            "/%5C%5ce.test",
            "/%252fe.test",
            "/%255ce.test",
            "/%25252fe.test",
            "/account/%2f%2fe.test",
            "/%2e%2e%2f%2fe.test",
            // dots that resolve to two slashes
            "/x/..//e.test",
            "/..//e.test",
            "/.//e.test",
            "/%2e//e.test",
            "/x/%2e%2e//e.test",
            "/x/.././/e.test",
            "/account//e.test",
            "/http://e.test",
            // characters that look or map like others
            "/\u{ff0f}e.test",
            "\u{ff0f}\u{ff0f}e.test",
            "\u{ff0f}e.test",
            "/\u{2215}e.test",
            "/\u{2044}e.test",
            "/\u{ff3c}e.test",
            "//e\u{3002}test",
            "/e\u{3002}test",
            "https://e\u{3002}test",
            "/\u{2028}/e.test",
            "/\u{a0}/e.test",
            "\u{feff}//e.test",
            "/stra\u{df}e",
            // percent signs that say nothing, bytes that are no text
            "/%",
            "/%2",
            "/%zz",
            "/account?a=100%",
            "/%u002fe.test",
            "/%ff",
            "/%c0%af/e.test",
            "/account?a=%ff",
        ] {
            assert_eq!(parsed(raw), None, "{raw:?}");
        }
    }

    #[test]
    fn length_is_that_of_the_cookie_it_waits_in() {
        let of_length = |length: usize| format!("/{}", "a".repeat(length - 1));
        assert!(parsed(&of_length(512)).is_some());
        assert_eq!(parsed(&of_length(513)), None);
        assert_eq!(parsed(&of_length(8192)), None);
        // Shorter than the limit as typed, longer once the quotes are encoded.
        assert_eq!(parsed(&format!("/?{}", "\"".repeat(400))), None);
    }

    /// A browser that is told to go there stays here.
    fn holds_what_it_promises(raw: &str) -> Result<(), TestCaseError> {
        let Some(next) = Next::here(raw) else {
            return Ok(());
        };
        for page in ["https://own.test/x", "http://localhost:8080/x/y?z"] {
            let page = Url::parse(page).expect("a URL");
            let there = page.join(next.as_str()).expect("a URL");
            prop_assert_eq!(there.origin(), page.origin());
            prop_assert_eq!(&there[Position::BeforePath..], next.as_str());
            let glued = format!("{}{next}", page.origin().ascii_serialization());
            prop_assert_eq!(Url::parse(&glued).expect("a URL"), there);
        }
        prop_assert!(next.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert!(next.as_str().len() <= LONGEST);
        prop_assert_eq!(Next::here(next.as_str()), Some(next));
        Ok(())
    }

    proptest! {
        #[test]
        fn any_text_stays_here(raw in any::<String>()) {
            holds_what_it_promises(&raw)?;
        }

        #[test]
        fn any_path_stays_here(raw in "/[!-~]{0,60}") {
            holds_what_it_promises(&raw)?;
        }

        #[test]
        fn anything_made_of_tricks_stays_here(
            raw in "/?(/|\\\\|\\.|%2[eEfF]|%5c|%25|@|:|\\?|#|\t|e\\.test|https|\u{ff0f}|\u{3002}|;|<|\"){0,12}"
        ) {
            holds_what_it_promises(&raw)?;
        }
    }
}
