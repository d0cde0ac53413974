//! Who may pass where: the rules of `GATE_FILE`, for each host of an app.
//!
//! A host that is not named lets nobody pass, so that a new app is closed until somebody has thought about it. A host may
//! ask for some people, for a password or a passkey, and that it was entered a short while ago; for some of its paths it
//! may ask for more, never for less; and some may be open to everybody. What is asked of a request is decided from its path
//! alone, and a path that could be read in two ways gets the strictest answer (`paths`).
//!
//! ```toml
//! [[host]]
//! name = "wiki.example.org"            # or "*.example.org", all below it; with a port if it is not 443
//! allow = ["ada@example.org", "example.com", "*.example.net"]   # left out: whoever is signed in
//! strength = "password"                # or "passkey"; left out, "link": any session
//! reauthenticated = "10m"              # a password or passkey entered at most so long ago
//! open = ["/health", "/assets/*"]      # without signing in
//! jwt = true                           # the app gets a token, too
//!
//! [[host.path]]
//! at = "/admin/*"                      # /admin and all below it
//! strength = "passkey"
//! ```
//!
//! The file is read here and nowhere else. A mistake in it is named with its line, and nothing that stands in it is ever
//! repeated: a path that is mixed up may lead to a file of secrets.

mod paths;
mod written;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::DomainPattern;
use super::host_pattern::{HostPattern, port_number};
use super::mistake::{Mistake, Parsed};
use super::reader::bytes_in;
pub use paths::PathPattern;
use paths::PlainPath;

/// A file of rules, and what stood in it when it was read.
#[derive(Clone, Debug)]
pub struct GateFile {
    path: PathBuf,
    /// The rules.
    pub rules: Arc<GateRules>,
}

/// All of the rules. A host that they do not name lets nobody pass.
#[derive(Clone, PartialEq, Eq)]
pub struct GateRules {
    /// Whatever names a host most closely comes first.
    hosts: Vec<HostRules>,
}

/// What one host asks for, or each of those below a name.
#[derive(Clone, PartialEq, Eq)]
pub struct HostRules {
    /// Which.
    pub name: HostPattern,
    /// Whether the app is to be told by a token, too.
    pub jwt: bool,
    demand: Demand,
    open: Vec<PathPattern>,
    paths: Vec<(PathPattern, Demand)>,
}

/// What whoever wants to pass has to show.
#[derive(Clone, PartialEq, Eq)]
pub struct Demand {
    /// To be one of these; whoever is signed in may pass where there is no such list.
    pub allow: Option<Vec<Allowed>>,
    /// To have signed in like this, or better.
    pub strength: Strength,
    /// And at most so long ago, by a password or a passkey.
    pub reauthenticated: Option<Duration>,
}

/// An account that may pass, by its address.
#[derive(Clone, PartialEq, Eq)]
pub enum Allowed {
    /// This address, in canonical form.
    Address(String),
    /// Every address of these domains.
    Domain(DomainPattern),
}

/// How well a session is known, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// However it began.
    Link,
    /// A password or a passkey was entered in it.
    Password,
    /// A passkey was used in it.
    Passkey,
}

/// What is asked of a request.
pub struct Asked<'r> {
    /// Whether it may pass, whoever sent it.
    pub is_open: bool,
    /// What whoever sent it has to show: to pass or, where it is open, to pass by name.
    pub demands: Demands<'r>,
}

/// One demand or more. All of them count.
pub struct Demands<'r>(Vec<&'r Demand>);

impl GateFile {
    pub(super) fn parse(path: &str) -> Parsed<Self> {
        let path = PathBuf::from(path);
        let rules = Arc::new(rules_in(&path)?);
        Ok(Self { path, rules })
    }

    /// What stands in it by now.
    pub fn read_again(&self) -> Result<GateRules, Mistake> {
        rules_in(&self.path)
    }
}

fn rules_in(path: &Path) -> Parsed<GateRules> {
    // To read a pipe may never end, and it is read again.
    if std::fs::metadata(path).is_ok_and(|file| !file.is_file()) {
        return Err(Mistake::new(
            "names a file that is a folder, a pipe or a device",
            "the path of a file of rules",
        ));
    }
    let text = String::from_utf8(bytes_in(path)?).map_err(|_| {
        Mistake::new(
            "names a file that is not UTF-8",
            "the rules into that file as UTF-8",
        )
    })?;
    GateRules::parse(&text)
}

impl GateRules {
    /// The rules that a text in TOML gives.
    pub fn parse(text: &str) -> Parsed<Self> {
        let mut hosts = written::hosts(text)?;
        if hosts.is_empty() {
            let instead =
                "[[host]] and name = \"wiki.example.org\" into that file, or unset the variable";
            return Err(Mistake::new("names a file without a host", instead));
        }
        hosts.sort_by_key(|host| host.name.closeness());
        hosts.reverse();
        Ok(Self { hosts })
    }

    /// The rules of this host, in canonical form, with its port where that is not its scheme's own.
    pub fn of(&self, host: &str) -> Option<&HostRules> {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) => (name, Some(port_number(port)?)),
            None => (host, None),
        };
        self.hosts.iter().find(|host| host.name.matches(name, port))
    }

    /// The rules of each host, those that are named most closely first.
    pub fn hosts(&self) -> &[HostRules] {
        &self.hosts
    }
}

impl HostRules {
    /// What is asked of whoever wants this path, as the request has it, with its query or without.
    pub fn asks(&self, uri_path: &str) -> Asked<'_> {
        let path = PlainPath::of(uri_path);
        let more = self
            .paths
            .iter()
            .filter(|(at, _)| at.may_cover(path.as_ref()));
        let more: Vec<&Demand> = more.map(|(_, demand)| demand).collect();
        let is_open = |path| self.open.iter().any(|open| open.opens(path));
        Asked {
            is_open: more.is_empty() && path.as_ref().is_some_and(is_open),
            demands: Demands([vec![&self.demand], more].concat()),
        }
    }
}

impl Demands<'_> {
    /// Whether the account with this address, in canonical form, may pass.
    pub fn admit(&self, address: &str) -> bool {
        self.0.iter().all(|demand| demand.admits(address))
    }

    /// How well the session has to be known.
    pub fn strength(&self) -> Strength {
        let each = self.0.iter().map(|demand| demand.strength);
        each.max().unwrap_or(Strength::Passkey)
    }

    /// How long ago a password or passkey may have been entered.
    pub fn reauthenticated(&self) -> Option<Duration> {
        self.0
            .iter()
            .filter_map(|demand| demand.reauthenticated)
            .min()
    }
}

impl Demand {
    fn admits(&self, address: &str) -> bool {
        match &self.allow {
            None => true,
            Some(allowed) => allowed.iter().any(|allowed| allowed.is(address)),
        }
    }
}

impl Allowed {
    fn is(&self, address: &str) -> bool {
        match self {
            Self::Address(allowed) => allowed == address,
            Self::Domain(domains) => address
                .rsplit_once('@')
                .is_some_and(|(_, domain)| domains.matches(domain)),
        }
    }
}

/// How many, and not who: the addresses of people belong in no log.
impl fmt::Debug for GateRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GateRules({} hosts)", self.hosts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        [[host]]
        name = "*.example.org"
        allow = ["example.org"]

        [[host]]
        name = "Wiki.example.org"
        allow = ["Ada@Example.org", "*.example.net", "B\u00fccher.example"]
        strength = "password"
        reauthenticated = "10m"
        open = ["/health", "/assets/*"]
        jwt = true

        [[host.path]]
        at = "/admin/*"
        allow = ["ada@example.org"]
        strength = "passkey"

        [[host.path]]
        at = "/assets/private/*"
        reauthenticated = "5m"

        [[host]]
        name = "*.apps.example.org"
        open = ["/*"]
        path = [{ at = "/a", strength = "password" }]

        [[host]]
        name = "wiki.example.org:8443"
    "#;

    fn rules() -> GateRules {
        GateRules::parse(RULES).expect("rules")
    }

    fn name_for(host: &str) -> Option<String> {
        rules().of(host).map(|host| host.name.to_string())
    }

    /// What is asked of this path: whom of these it lets pass, and the rest.
    fn asked(host: &HostRules, path: &str) -> Option<(Vec<&'static str>, Strength, Option<u64>)> {
        let Asked {
            is_open: false,
            demands,
        } = host.asks(path)
        else {
            return None;
        };
        let mut passing = vec!["ada@example.org", "a@b.example.net", "a@example.net"];
        passing.retain(|address| demands.admit(address));
        let seconds = demands.reauthenticated().map(|ago| ago.as_secs());
        Some((passing, demands.strength(), seconds))
    }

    #[test]
    fn a_host_has_the_rules_of_what_names_it_most_closely() {
        for (host, name) in [
            ("wiki.example.org", Some("wiki.example.org")),
            ("wiki.example.org:8443", Some("wiki.example.org:8443")),
            ("blog.example.org", Some("*.example.org")),
            ("a.blog.example.org", Some("*.example.org")),
            ("apps.example.org", Some("*.example.org")),
            ("a.apps.example.org", Some("*.apps.example.org")),
            ("example.org", None),
            ("wiki.example.org:8444", None),
            ("wiki.example.org:", None),
            ("wiki.example.org:x", None),
            ("wiki.example.org.", None),
            ("wiki.example.org.evil.test", None),
            ("", None),
        ] {
            assert_eq!(name_for(host).as_deref(), name, "{host}");
        }
    }

    #[test]
    fn a_path_asks_for_more_and_never_for_less() {
        let rules = rules();
        let wiki = rules.of("wiki.example.org").expect("the wiki");
        let ada_alone = vec!["ada@example.org"];
        let some = vec!["ada@example.org", "a@b.example.net"];
        assert!(wiki.jwt);
        assert_eq!(
            asked(wiki, "/"),
            Some((some.clone(), Strength::Password, Some(600)))
        );
        assert_eq!(asked(wiki, "/health?a=/../b"), None);
        assert_eq!(asked(wiki, "/assets/app.css"), None);
        assert_eq!(
            asked(wiki, "/assets/private/key"),
            Some((some, Strength::Password, Some(300)))
        );
        let admin = Some((ada_alone.clone(), Strength::Passkey, Some(600)));
        for path in ["/admin", "/admin/users?next=/health", "/ADMIN/"] {
            assert_eq!(asked(wiki, path), admin, "{path}");
        }
        let all = Some((ada_alone, Strength::Passkey, Some(300)));
        for path in [
            "/health/../admin",
            "//health",
            "/assets/..%2fadmin",
            "/assets/%",
            "",
        ] {
            assert_eq!(asked(wiki, path), all, "{path}");
        }
    }

    #[test]
    fn whom_a_rule_leaves_out_it_does_not_ask() {
        let rules = rules();
        let blog = rules.of("blog.example.org").expect("all below");
        assert!(!blog.jwt);
        assert_eq!(
            asked(blog, "/health"),
            Some((vec!["ada@example.org"], Strength::Link, None))
        );
        let other = rules.of("wiki.example.org:8443").expect("at another port");
        let (everybody, strength, reauthenticated) = asked(other, "/").expect("a demand");
        assert_eq!(
            (everybody.len(), strength, reauthenticated),
            (3, Strength::Link, None)
        );
        let app = rules.of("a.apps.example.org").expect("an app");
        assert_eq!(asked(app, "/b"), None);
        assert!(asked(app, "/a").is_some_and(|(.., strength, _)| strength == Strength::Password));
    }

    #[test]
    fn a_file_without_rules_is_a_mistake() {
        for text in ["", "\n# later\n", "host = []"] {
            assert!(GateRules::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn debug_shows_nobody() {
        assert_eq!(format!("{:?}", rules()), "GateRules(4 hosts)");
    }
}
