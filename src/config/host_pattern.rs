//! The hosts of an app, as a setting names them: one, or all below a name, with a port if it is not their scheme's own.

use std::fmt;

use super::mistake::{Mistake, Parsed};
use super::sign_up::DomainPattern;
use crate::domain_name::DomainName;

const FORM: &str = "a host, such as wiki.example.org, *.apps.example.org or files.example.org:8443";

/// A host, or all of them below a name, and the port: of a URL that has none, that of its scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    host: DomainPattern,
    port: Option<u16>,
}

impl HostPattern {
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port_of_its_own(port)?)),
            None => (text, None),
        };
        let host = match host.strip_prefix("*.") {
            // Everything below a single word would be half of the Internet, but for one's own machine.
            Some(parent) => DomainName::parse(parent)
                .filter(|name| name.is_full() || name.as_str() == "localhost")
                .map(DomainPattern::Below),
            None => DomainName::parse(host).map(DomainPattern::Exactly),
        };
        let host = host.ok_or_else(no_host)?;
        Ok(Self { host, port })
    }

    /// Whether it names this host, in canonical form, at this port; at none where it is the scheme's own.
    pub fn matches(&self, host: &str, port: Option<u16>) -> bool {
        self.port == port && self.host.matches(host)
    }

    /// Whether it names this host and no other, at whatever port.
    pub fn is(&self, host: &str) -> bool {
        matches!(&self.host, DomainPattern::Exactly(name) if name.as_str() == host)
    }

    /// Whether it names every host that the other one names.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.port == other.port
            && match (&self.host, &other.host) {
                (own, DomainPattern::Exactly(name)) => own.matches(name.as_str()),
                (DomainPattern::Exactly(_), DomainPattern::Below(_)) => false,
                (own, DomainPattern::Below(parent)) => {
                    self.host == other.host || own.matches(parent.as_str())
                }
            }
    }

    /// Whether all that it names is this domain or below it, at whatever port: where a cookie of that domain goes.
    pub fn is_within(&self, domain: &DomainName) -> bool {
        let (DomainPattern::Exactly(name) | DomainPattern::Below(name)) = &self.host;
        name == domain || DomainPattern::Below(domain.clone()).matches(name.as_str())
    }

    /// How closely it says which host it means, to be compared: one host more than all below a name, and the longer name
    /// more than the shorter.
    pub(super) fn closeness(&self) -> (bool, usize) {
        let (is_one, DomainPattern::Exactly(name) | DomainPattern::Below(name)) =
            (matches!(self.host, DomainPattern::Exactly(_)), &self.host);
        (is_one, name.as_str().len())
    }
}

/// A port in its one spelling.
pub(super) fn port_number(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

/// 443 goes without saying, and 80 on one's own machine.
fn port_of_its_own(text: &str) -> Parsed<u16> {
    match port_number(text).ok_or_else(no_host)? {
        80 | 443 => Err(Mistake::new(
            "names a port that goes without saying",
            "the host without it",
        )),
        port => Ok(port),
    }
}

fn no_host() -> Mistake {
    Mistake::new("is not a host", FORM)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            DomainPattern::Exactly(name) => write!(f, "{name}")?,
            DomainPattern::Below(parent) => write!(f, "*.{parent}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// What names no host, by itself or in a list.
#[cfg(test)]
pub(super) const NO_HOSTS: &[&str] = &[
    "https://wiki.example.org",
    "wiki.example.org/",
    "wiki.example.org.",
    "ada@example.org",
    "*",
    "*.",
    "*.org",
    "wiki.*.org",
    "*wiki.example.org",
    "192.0.2.1",
    "[2001:db8::1]",
    "wiki.example.org:",
    "wiki.example.org:80",
    "wiki.example.org:443",
    "wiki.example.org:0",
    "wiki.example.org:08443",
    "wiki.example.org:+1",
    "wiki.example.org:65536",
    "wiki.example.org:*",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_with_its_port() {
        for (pattern, host, port) in [
            ("Wiki.example.org", "wiki.example.org", None),
            ("*.apps.example.org", "a.b.apps.example.org", None),
            ("files.example.org:8443", "files.example.org", Some(8443)),
            ("*.localhost:9000", "wiki.localhost", Some(9000)),
            ("BÜCHER.example", "xn--bcher-kva.example", None),
        ] {
            let named = HostPattern::parse(pattern).expect(pattern);
            assert!(named.matches(host, port), "{pattern}");
            assert!(!named.matches(host, Some(1)), "{pattern}");
            assert!(!named.matches("example.org", port), "{pattern}");
            assert!(!named.matches(&format!("x{host}.test"), port), "{pattern}");
            assert_eq!(
                HostPattern::parse(&named.to_string()),
                Ok(named),
                "{pattern}"
            );
        }
    }

    #[test]
    fn one_may_cover_another() {
        let pattern = |text| HostPattern::parse(text).expect(text);
        for (wide, narrow) in [
            ("a.example.org", "a.example.org"),
            ("*.example.org", "a.example.org"),
            ("*.example.org", "*.example.org"),
            ("*.example.org", "*.a.example.org"),
            ("*.example.org:8443", "a.example.org:8443"),
        ] {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
            assert_eq!(
                pattern(narrow).covers(&pattern(wide)),
                wide == narrow,
                "{wide} {narrow}"
            );
        }
        for (one, other) in [
            ("*.example.org", "example.org"),
            ("*.example.org", "a.example.org:8443"),
            ("*.example.org", "*.notexample.org"),
            ("a.example.org", "b.example.org"),
        ] {
            assert!(!pattern(one).covers(&pattern(other)), "{one} {other}");
        }
    }

    #[test]
    fn a_cookie_of_a_domain_goes_to_it_and_all_below() {
        let domain = DomainName::parse("example.org").expect("a domain");
        for within in [
            "example.org",
            "a.example.org:8443",
            "*.example.org",
            "*.a.example.org",
        ] {
            let hosts = HostPattern::parse(within).expect(within);
            assert!(hosts.is_within(&domain), "{within}");
        }
        for without in ["org", "example.net", "notexample.org", "*.notexample.org"] {
            let hosts = HostPattern::parse(without).expect(without);
            assert!(!hosts.is_within(&domain), "{without}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in NO_HOSTS
            .iter()
            .chain(&["", "wiki.example.org,wiki.example.net"])
        {
            assert!(HostPattern::parse(text).is_err(), "{text:?}");
        }
    }
}
