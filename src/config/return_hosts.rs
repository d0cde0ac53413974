//! Other hosts to which visitors may be sent back.

use url::Url;

use super::host_pattern::HostPattern;
use super::mistake::{Mistake, Parsed};
use super::reader::comma_list;

const FORM: &str =
    "hosts between commas, such as wiki.example.org,*.apps.example.org,files.example.org:8443";

/// The hosts that `RETURN_HOSTS` names; none, unless it is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReturnHosts(Vec<HostPattern>);

impl ReturnHosts {
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        let host = |text: &str| {
            HostPattern::parse(text).map_err(|mistake| Mistake::new(mistake.wrong, FORM))
        };
        comma_list(text, host).map(Self)
    }

    /// Whether a visitor may be sent to this URL's host and port. Its scheme is judged elsewhere.
    pub fn name(&self, url: &Url) -> bool {
        let Some(host) = url.domain() else {
            return false;
        };
        self.0.iter().any(|named| named.matches(host, url.port()))
    }

    /// Whether it may be so for every host of this pattern.
    pub fn cover(&self, hosts: &HostPattern) -> bool {
        self.0.iter().any(|named| named.covers(hosts))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &HostPattern> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::host_pattern::NO_HOSTS;

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
        let others = ["wiki.example.org,", "wiki.example.org wiki.example.net"];
        for text in NO_HOSTS.iter().chain(&others) {
            assert!(ReturnHosts::parse(text).is_err(), "{text:?}");
        }
    }
}
