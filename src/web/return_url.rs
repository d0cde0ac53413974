//! A page of an app that this site is a sign-in for: on another host, to which a visitor may be sent back.
//!
//! `https` (`http` on one's own machine, where this site is at `http`, too) and a host that `RETURN_HOSTS` names, in the
//! one spelling that no reader can take for another: no user name, no backslash, no dot at the end, no character that is
//! mapped to another one. The scheme and the host are looked at in the text, before a parser makes an address of whatever it
//! is given, and after it.
//!
//! No form of ours leads there: its answer would be a redirect to another host, which our own `form-action 'self'` forbids.
//! So the way leads over [`PAGE`], which looks at the address once more.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::config::Config;
use crate::web::urlencoded;

/// Longer ones are dropped, and so are paths: they would not fit the cookie they wait in.
pub const LONGEST: usize = 512;

/// The page over which the way leads, the last of ours.
pub const PAGE: &str = "/auth/return";

/// In that page's query, where its visitor was signed in already and did nothing on the way.
const AT_ONCE: &str = "&at-once=yes";

/// A page for somebody who was sent here and goes straight on, as who goes in circles does: on the way to an app that is
/// counted.
pub fn at_once(page: &str) -> String {
    match ReturnUrl::led_to_by(page) {
        Some(_) => format!("{page}{AT_ONCE}"),
        None => page.to_owned(),
    }
}

/// Whether this is the query of such a visitor.
pub fn is_at_once(query: &str) -> bool {
    query.ends_with(AT_ONCE)
}

/// What has a meaning in a query, or none in any address. The rest stays as it is, so that the query is hardly longer.
const IN_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>');

/// An address on a host that `RETURN_HOSTS` names, normalised: visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnUrl(Url);

impl ReturnUrl {
    /// The address that `raw` is, or `None` where it is anything else or visitors may not be sent there.
    pub fn parse(raw: &str, config: &Config) -> Option<Self> {
        let (scheme, rest) = raw.split_once("://")?;
        let is_plain = raw.len() <= LONGEST
            && raw
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if !is_plain || !may_be_used(scheme, config) {
            return None;
        }
        let url = Url::parse(raw).ok()?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let says_what_it_is =
            authority.eq_ignore_ascii_case(url.authority()) && !authority.contains('@');
        let is_meant = says_what_it_is
            && config.gateway.return_hosts.name(&url)
            && percent_decode_str(url.path()).all(|byte| !byte.is_ascii_control());
        (is_meant && url.as_str().len() <= LONGEST).then_some(Self(url))
    }

    /// The page of ours over which the way there leads.
    pub fn page(&self) -> String {
        let to = utf8_percent_encode(self.as_str(), IN_QUERY);
        format!("{PAGE}?to={to}")
    }

    /// What a path of ours leads to, if it is that page; whoever wrote it.
    pub fn led_to_by(path: &str) -> Option<String> {
        let rest = path.strip_prefix(PAGE)?;
        let query = match rest.chars().next() {
            Some('?') => &rest[1..],
            Some('#') | None => "",
            Some(_) => return None,
        };
        let pairs = urlencoded::pairs(query.as_bytes()).unwrap_or_default();
        Some(pairs.get("to").cloned().unwrap_or_default())
    }

    /// The app to which a page leads that is on the way there, by its host; for a page that visitors may be sent to.
    pub fn app_behind(page: &str) -> Option<String> {
        let url = Url::parse(&Self::led_to_by(page)?).ok()?;
        Some(url.authority().to_owned())
    }

    /// What a browser is told.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host, and its port where that does not go without saying.
    pub fn host(&self) -> &str {
        self.0.authority()
    }
}

/// In lower case, as every browser writes it, and proxies do.
fn may_be_used(scheme: &str, config: &Config) -> bool {
    match scheme {
        "https" => true,
        "http" => !config.server.public_url.is_https(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::next::Next;
    use proptest::prelude::*;

    fn a_site() -> Config {
        Config::from_environment([
            ("PUBLIC_URL", "https://login.localhost"),
            (
                "RETURN_HOSTS",
                "app.example.org,*.apps.example.org,app.example.org:8443",
            ),
        ])
        .expect("a configuration")
    }

    fn parsed(raw: &str) -> Option<String> {
        let url = ReturnUrl::parse(raw, &a_site())?;
        Some(url.as_str().to_owned())
    }

    #[test]
    fn a_page_of_an_app_is_kept() {
        for (raw, normal) in [
            ("https://app.example.org", "https://app.example.org/"),
            ("https://APP.example.org/A", "https://app.example.org/A"),
            (
                "https://app.example.org:8443/",
                "https://app.example.org:8443/",
            ),
            (
                "https://a.b.apps.example.org/x",
                "https://a.b.apps.example.org/x",
            ),
            (
                "https://app.example.org?a=b&c=%26#d",
                "https://app.example.org/?a=b&c=%26#d",
            ),
            (
                "https://app.example.org/a//b/../c",
                "https://app.example.org/a//c",
            ),
            (
                "https://app.example.org/group%2Fproject",
                "https://app.example.org/group%2Fproject",
            ),
            (
                "https://app.example.org/?lines=a%0D%0Ab&latin=%E4&part=%",
                "https://app.example.org/?lines=a%0D%0Ab&latin=%E4&part=%",
            ),
            ("https://app.example.org/%E4", "https://app.example.org/%E4"),
            (
                "https://app.example.org/?u=https://e.test",
                "https://app.example.org/?u=https://e.test",
            ),
            (
                "https://app.example.org/<\"'>",
                "https://app.example.org/%3C%22'%3E",
            ),
        ] {
            assert_eq!(parsed(raw).as_deref(), Some(normal), "{raw}");
            let next = Next::parse(raw, &a_site()).expect(raw);
            assert_eq!(ReturnUrl::led_to_by(next.as_str()).as_deref(), Some(normal));
            assert_eq!(Next::parse(next.as_str(), &a_site()), Some(next));
        }
    }

    #[test]
    fn no_spelling_leads_to_another_host() {
        for raw in [
            "",
            "https://",
            "https:///app.example.org",
            "https:app.example.org",
            "https:/app.example.org",
            "https:\\\\app.example.org",
            "HTTPS://app.example.org",
            "http://app.example.org",
            "ftp://app.example.org",
            "javascript://app.example.org/%0aalert(1)",
            "//app.example.org",
            " https://app.example.org",
            "https://app.example.org ",
            "https://app.example.org\t/",
            "https://app.example.org\r\nSet-Cookie: a=b",
            "https://app.example.org/%0d%0aSet-Cookie:%20a=b",
            "https://app.example.org/%00",
            "https://app.example.org\\@e.test",
            "https://app.example.org@e.test",
            "https://app.example.org:8443@e.test/",
            "https://e.test@app.example.org",
            "https://@app.example.org",
            "https://:@app.example.org",
            "https://app.example.org.e.test",
            "https://e.test/app.example.org",
            "https://e.test#@app.example.org",
            "https://e.test?@app.example.org",
            "https://e.test\\app.example.org",
            "https://notapp.example.org",
            "https://apps.example.org",
            "https://example.org",
            "https://login.localhost",
            "https://app.example.org.",
            "https://app.example.org:",
            "https://app.example.org:443",
            "https://app.example.org:444",
            "https://app.example.org:08443",
            "https://app%2eexample.org",
            "https://app.exam%70le.org",
            "https://app.example.org%2f.e.test",
            "https://app.example.org%00.e.test",
            "https://app\u{3002}example.org",
            "https://\u{ff41}pp.example.org",
            "https://app.example.org\u{ff0f}e.test",
            "https://x.apps.example.org\u{2024}e.test",
            "https://xn--pp-ija.example.org",
            "https://[::1]",
            "https://0x7f.1",
            "view-source:https://app.example.org",
        ] {
            assert_eq!(parsed(raw), None, "{raw:?}");
            let led = Next::parse(raw, &a_site());
            assert_eq!(led, None, "{raw:?}");
            let by_hand = format!("{PAGE}?to={}", utf8_percent_encode(raw, IN_QUERY));
            assert_eq!(Next::parse(&by_hand, &a_site()), None, "{by_hand:?}");
        }
        for page in [
            "/auth/return",
            "/auth/return?",
            "/auth/return#to=https://app.example.org",
            "/auth/return?to=https://app.example.org&to=https://e.test",
            "/auth/../auth/return?to=https://e.test",
            "/auth/./return?to=https://e.test",
        ] {
            assert_eq!(Next::parse(page, &a_site()), None, "{page}");
        }
    }

    #[test]
    fn length_is_that_of_a_path() {
        let of_length =
            |length: usize| format!("https://app.example.org/{}", "a".repeat(length - 24));
        assert!(parsed(&of_length(512)).is_some());
        assert_eq!(parsed(&of_length(513)), None);
        // In a path of ours, where it is longer, it is the same address.
        let cyrillic = format!("https://app.example.org/{}", "%D0%96".repeat(81));
        let next = Next::parse(&cyrillic, &a_site()).expect("a page");
        assert!(next.as_str().len() > 512);
        assert_eq!(Next::parse(next.as_str(), &a_site()), Some(next));
        assert_eq!(
            parsed(&format!("https://app.example.org/{}", "\"".repeat(400))),
            None
        );
    }

    proptest! {
        #[test]
        fn a_browser_that_is_told_to_go_there_comes_to_a_host_that_is_named(
            raw in "https:[/\\\\]{1,3}(app|[.]|example|org|apps|@|:|8443|443|/|\\\\|e[.]test|%2e|#|[?]|\u{3002}){1,9}"
        ) {
            if let Some(url) = ReturnUrl::parse(&raw, &a_site()) {
                let there = Url::parse(&raw).expect("a URL");
                let host = there.host_str().unwrap_or_default();
                prop_assert!(host == "app.example.org" || host.ends_with(".apps.example.org"), "{}", host);
                prop_assert_eq!(there.as_str(), url.as_str());
                prop_assert!(there.username().is_empty());
            }
        }
    }
}
