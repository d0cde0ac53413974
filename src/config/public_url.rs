//! The address of the site: its origin, and what follows from it.

use std::fmt;
use std::net::IpAddr;

use url::Url;

use super::mistake::{Mistake, Parsed};

const ORIGIN_ALONE: &str = "scheme, host and port alone, such as https://accounts.example.org";

/// Scheme, host and port of the site: the only source of links in mail and of the cookie's `Secure`.
/// Never http, unless the host can only be this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// Takes an origin, with or without a `/` at its end.
    pub fn parse(text: &str) -> Parsed<Self> {
        let no_origin = || Mistake::new("is not the URL of a site", ORIGIN_ALONE);
        let (scheme, authority) = text.split_once("://").ok_or_else(no_origin)?;
        if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return Err(no_origin());
        }
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        // Looked for in the text: a URL parser is too kind and would make an origin of almost anything.
        if authority.contains('@') {
            return Err(Mistake::new("has a user name in it", ORIGIN_ALONE));
        }
        if authority.contains(['/', '\\', '?', '#']) {
            return Err(Mistake::new(
                "has more than scheme, host and port",
                ORIGIN_ALONE,
            ));
        }
        if authority.contains(|c: char| c == '%' || c.is_whitespace() || c.is_control()) {
            return Err(no_origin());
        }
        let url = Url::parse(&format!("{scheme}://{authority}")).map_err(|_| no_origin())?;
        let public_url = Self(url);
        if public_url.host().ends_with('.') || !is_a_name(&public_url.0) {
            return Err(no_origin());
        }
        if !public_url.is_https() && !public_url.is_loopback() {
            // The cookie and every link would cross the network for all to read.
            return Err(Mistake::new(
                "is http, and its host is not this machine",
                "it with https://, and put a server that speaks TLS in front",
            ));
        }
        Ok(public_url)
    }

    /// The origin as browsers send it: lower case, no default port, no `/` at the end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Whether visitors come by TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether the host can only be this machine: development, or a test.
    pub fn is_loopback(&self) -> bool {
        is_this_machine(self.host())
    }

    /// The host, as A-labels or as an IP address (version 6 in brackets), without the port.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Whether the host is a name, and not an IP address: what browsers ask of a site with passkeys.
    pub fn has_a_name(&self) -> bool {
        self.0.domain().is_some()
    }

    /// The absolute URL of `path`, which begins with one `/`.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.as_str())
    }
}

/// What a URL takes for a host, and no name server does: a wildcard above all.
fn is_a_name(url: &Url) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    url.domain().is_none_or(|domain| domain.bytes().all(fits))
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicUrl({})", self.as_str())
    }
}

/// Whether `host`, in lower case, can only be this machine. The names are those that RFC 6761, 6.3 reserves.
pub(super) fn is_this_machine(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_write_it() {
        for (text, origin, host, loopback) in [
            (
                "https://example.org",
                "https://example.org",
                "example.org",
                false,
            ),
            (
                "https://example.org/",
                "https://example.org",
                "example.org",
                false,
            ),
            (
                "HTTPS://Example.ORG:443",
                "https://example.org",
                "example.org",
                false,
            ),
            (
                "https://example.org:8443",
                "https://example.org:8443",
                "example.org",
                false,
            ),
            (
                "https://bücher.example",
                "https://xn--bcher-kva.example",
                "xn--bcher-kva.example",
                false,
            ),
            ("https://192.0.2.1", "https://192.0.2.1", "192.0.2.1", false),
            (
                "https://localhost.example.org",
                "https://localhost.example.org",
                "localhost.example.org",
                false,
            ),
            (
                "http://localhost:8080",
                "http://localhost:8080",
                "localhost",
                true,
            ),
            ("http://localhost:80", "http://localhost", "localhost", true),
            ("http://LOCALHOST", "http://localhost", "localhost", true),
            (
                "http://app.localhost:8080",
                "http://app.localhost:8080",
                "app.localhost",
                true,
            ),
            ("http://127.0.0.1", "http://127.0.0.1", "127.0.0.1", true),
            (
                "http://127.9.9.9:1",
                "http://127.9.9.9:1",
                "127.9.9.9",
                true,
            ),
            ("http://[::1]:8080", "http://[::1]:8080", "[::1]", true),
            ("https://localhost", "https://localhost", "localhost", true),
        ] {
            let url = PublicUrl::parse(text).expect(text);
            assert_eq!(url.as_str(), origin);
            assert_eq!(url.host(), host);
            assert_eq!(url.is_loopback(), loopback, "{text}");
            assert_eq!(
                url.has_a_name(),
                host.contains(char::is_alphabetic),
                "{text}"
            );
            assert_eq!(url.is_https(), origin.starts_with("https"));
            assert_eq!(url.link("/sign-in?a=b"), format!("{origin}/sign-in?a=b"));
        }
    }

    #[test]
    fn anything_more_or_less_is_refused() {
        for text in [
            "",
            "example.org",
            "https:example.org",
            "https:/example.org",
            "https://",
            "https:///",
            "https:///example.org",
            "://example.org",
            "ftp://example.org",
            "javascript://example.org",
            "https://example.org//",
            "https://example.org/app",
            "https://example.org/.",
            "https://example.org?",
            "https://example.org?a=b",
            "https://example.org#",
            "https://example.org/#a",
            "https://user@example.org",
            "https://user:secret@example.org",
            "https://@example.org",
            "https://example.org\\",
            "https://exam\tple.org",
            " https://example.org",
            "https://example.org ",
            "https://exam%70le.org",
            "https://example.org.",
            "https://*.example.org",
            "https://exam,ple.org",
            "https://example.org:65536",
            "https://example.org:port",
            "https://[::1",
            "http://example.org",
            "http://192.0.2.1",
            "http://0.0.0.0:8080",
            "http://localhost.example.org",
            "http://notlocalhost",
            "http://[::2]",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(PublicUrl::parse(text).is_err(), "{text:?}");
        }
    }
}
