//! Other hosts to which visitors may be sent back.

use url::Url;

use super::reader::{Mistake, Parsed, comma_list};
use super::sign_up::DomainPattern;
use crate::domain_name::DomainName;

const FORM: &str =
    "hosts between commas, such as wiki.example.org,*.apps.example.org,files.example.org:8443";

/// The hosts that `RETURN_HOSTS` names; none, unless it is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReturnHosts(Vec<ReturnHost>);

/// A host, or all of them below a name, and the port: of a URL that has none, that of its scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReturnHost {
    host: DomainPattern,
    port: Option<u16>,
}

impl ReturnHosts {
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        comma_list(text, ReturnHost::parse).map(Self)
    }

    /// Whether a visitor may be sent to this URL's host and port. Its scheme is judged elsewhere.
    pub fn name(&self, url: &Url) -> bool {
        let Some(host) = url.domain() else {
            return false;
        };
        let mut hosts = self.0.iter();
        hosts.any(|named| named.port == url.port() && named.host.matches(host))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ReturnHost {
    fn parse(text: &str) -> Parsed<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port_number(port)?)),
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
}

/// 443 goes without saying.
fn port_number(text: &str) -> Parsed<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let port = text.parse().ok().filter(|_| is_plain);
    let port = port.ok_or_else(no_host)?;
    match port {
        443 => Err(Mistake::new(
            "names port 443, which goes without saying",
            FORM,
        )),
        port => Ok(port),
    }
}

fn no_host() -> Mistake {
    Mistake::new("is not a list of hosts", FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(hosts: &str, url: &str) -> bool {
        let hosts = ReturnHosts::parse(hosts).expect(hosts);
        hosts.name(&Url::parse(url).expect(url))
    }

    #[test]
    fn a_host_is_named_with_its_port() {
        let hosts = "Wiki.example.org, *.apps.example.org,files.example.org:8443,localhost:9000,BÜCHER.example";
        for url in [
            "https://wiki.example.org/a?b#c",
            "https://WIKI.example.org:443",
            "https://a.apps.example.org",
            "https://a.b.apps.example.org",
            "https://files.example.org:8443/",
            "http://localhost:9000/",
            "https://xn--bcher-kva.example/",
        ] {
            assert!(names(hosts, url), "{url}");
        }
        for url in [
            "https://example.org",
            "https://wiki.example.org:8443",
            "https://wiki.example.org.",
            "https://a.wiki.example.org",
            "https://apps.example.org",
            "https://notapps.example.org",
            "https://wiki.example.org.e.test",
            "https://files.example.org",
            "http://localhost/",
            "https://192.0.2.1",
            "https://[2001:db8::1]",
        ] {
            assert!(!names(hosts, url), "{url}");
        }
        assert!(!names("", "https://wiki.example.org"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "https://wiki.example.org",
            "wiki.example.org/",
            "wiki.example.org.",
            "wiki.example.org,",
            "wiki.example.org wiki.example.net",
            "ada@example.org",
            "*",
            "*.",
            "*.org",
            "wiki.*.org",
            "*wiki.example.org",
            "192.0.2.1",
            "[2001:db8::1]",
            "wiki.example.org:",
            "wiki.example.org:443",
            "wiki.example.org:0",
            "wiki.example.org:08443",
            "wiki.example.org:+1",
            "wiki.example.org:65536",
            "wiki.example.org:*",
        ] {
            assert!(ReturnHosts::parse(text).is_err(), "{text:?}");
        }
    }
}
