//! Where the data is.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};

use super::mail::certificates;
use super::mistake::{Mistake, Parsed};

const EITHER: &str = "sqlite:PATH, such as sqlite:data/doorpost.db, or postgres://USER:PASSWORD@HOST/DATABASE \
    (in the password, @ : / ? # % and space as %40 %3A %2F %3F %23 %25 %20)";

/// What libpq knows, and the driver does not.
const UNKNOWN_OPTIONS: [&str; 16] = [
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "service",
    "sslcert",
    "sslcertmode",
    "sslcrl",
    "sslkey",
    "sslpassword",
];

/// One of the two databases. `Debug` shows nothing of a server's URL, which may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file, seen from the working directory.
    Sqlite(PathBuf),
    /// A server, by the whole URL, which [`PostgresUrl`] reads.
    Postgres(String),
}

/// What the URL of a PostgreSQL server says, or of several that follow each other.
pub struct PostgresUrl {
    /// Each by itself, as the driver takes it, in the order of the URL.
    pub servers: Vec<tokio_postgres::Config>,
    /// Whether the order means nothing: any of them is as good as another.
    pub in_any_order: bool,
    /// Whether it says if TLS is to be spoken.
    pub names_tls: bool,
    /// The only certificates to trust, instead of the system's.
    pub root_certificates: Option<PathBuf>,
}

impl DatabaseUrl {
    /// Takes `sqlite:PATH`, `postgres://…` or `postgresql://…`.
    pub fn parse(text: &str) -> Parsed<Self> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return sqlite(path);
        }
        let url = PostgresUrl::parse(text)?;
        match url.servers.is_empty() {
            true => Err(Mistake::new("names no PostgreSQL server", EITHER)),
            false => Ok(Self::Postgres(text.to_owned())),
        }
    }

    /// Whether the data is on a server, which may be away.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl PostgresUrl {
    /// Reads the URL. What is wrong with it is not said in detail: where signs in a password were not written as they
    /// have to be, the wrong part may be a piece of the password.
    pub fn parse(text: &str) -> Parsed<Self> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or_else(|| Mistake::new("names neither of the two databases", EITHER))?;
        refuse_bare_signs(rest)?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let options = Options::parse(options)?;
        let mut common = driver(
            &without_hosts(place),
            &options.others_but(&["host", "hostaddr", "port"]),
        )?;
        // Whoever names an authority wants the server's certificate looked at.
        let by_authority = options.root_certificates.as_ref().map(|_| SslMode::Require);
        let mode = options.mode.or(by_authority);
        if let Some(mode) = mode {
            common.ssl_mode(mode);
        }
        let all = driver(place, &options.others)?;
        // Of several one takes writes and the others follow it, and a node needs the one.
        common.target_session_attrs(match (options.target, all.get_hosts()) {
            (Some(target), _) => target,
            (None, [_, _, ..]) => TargetSessionAttrs::ReadWrite,
            (None, _) => TargetSessionAttrs::Any,
        });
        Ok(Self {
            servers: one_by_one(&all, &common)?,
            in_any_order: all.get_load_balance_hosts() == LoadBalanceHosts::Random,
            names_tls: mode.is_some(),
            root_certificates: options.root_certificates,
        })
    }
}

/// What the driver makes of it. What is wrong with it is not said, for it may be a piece of a password.
fn driver(place: &str, options: &[Cow<'_, str>]) -> Parsed<tokio_postgres::Config> {
    format!("postgres://{place}?{}", options.join("&"))
        .parse()
        .map_err(|_| Mistake::new("is not the URL of a PostgreSQL server", EITHER))
}

/// Who logs in, and to which database.
fn without_hosts(place: &str) -> String {
    let (authority, database) = match place.find('/') {
        Some(slash) => place.split_at(slash),
        None => (place, ""),
    };
    match authority.split_once('@') {
        Some((user, _)) => format!("{user}@{database}"),
        None => database.to_owned(),
    }
}

/// The driver would give all of them one time together. So each is told apart, and takes from the others what they have
/// in common.
fn one_by_one(
    all: &tokio_postgres::Config,
    common: &tokio_postgres::Config,
) -> Parsed<Vec<tokio_postgres::Config>> {
    let (hosts, addresses, ports) = (all.get_hosts(), all.get_hostaddrs(), all.get_ports());
    let fits = |count: usize| count == hosts.len();
    if !(addresses.is_empty() || fits(addresses.len())) || !(ports.len() < 2 || fits(ports.len())) {
        let wrong = "names more or fewer ports or addresses than servers";
        return Err(Mistake::new(wrong, "one of each for every server"));
    }
    let servers = hosts.iter().enumerate().map(|(number, host)| {
        let mut server = common.clone();
        match host {
            Host::Tcp(name) => server.host(name),
            Host::Unix(folder) => server.host_path(folder),
        };
        if let Some(address) = addresses.get(number) {
            server.hostaddr(*address);
        }
        if let Some(port) = ports.get(number).or(ports.first()) {
            server.port(*port);
        }
        server
    });
    Ok(servers.collect())
}

/// In front of the `@` they would end the user name or the password, and what is left would be taken for a host.
fn refuse_bare_signs(rest: &str) -> Parsed<()> {
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let wrong = |wrong| Err(Mistake::new(wrong, EITHER));
    match rest.match_indices('@').collect::<Vec<_>>().as_slice() {
        [] => {}
        [(at, _)] if *at < authority => {}
        _ => {
            return wrong(
                "has a sign in its user name or password that means something else in a URL",
            );
        }
    }
    let mut codes = rest.split('%').skip(1);
    let is_code = |after: &str| {
        after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
    };
    if !codes.all(is_code) {
        return wrong("has a % that is not followed by two hexadecimal digits");
    }
    if rest.contains(char::is_whitespace) {
        return wrong("has a space in it");
    }
    Ok(())
}

/// What stands behind the `?`.
#[derive(Default)]
struct Options<'a> {
    mode: Option<SslMode>,
    root_certificates: Option<PathBuf>,
    target: Option<TargetSessionAttrs>,
    /// What the driver knows by itself.
    others: Vec<Cow<'a, str>>,
}

impl<'a> Options<'a> {
    fn parse(text: &'a str) -> Parsed<Self> {
        let mut options = Self::default();
        for option in text.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", mode)) => options.mode = Some(ssl_mode(mode)?),
                Some(("sslrootcert", file)) => options.root_certificates = root_certificates(file)?,
                Some(("target_session_attrs", which)) => options.target = Some(target(which)?),
                Some((name, _)) if UNKNOWN_OPTIONS.contains(&name) => {
                    let wrong = format!("has the option {name}, which is not known here");
                    return Err(Mistake::new(wrong, "the URL without it"));
                }
                // As libpq has it; the driver takes a list for a name.
                Some(("host", hosts)) => {
                    let each = hosts.split(',').map(|host| format!("host={host}").into());
                    options.others.extend(each);
                }
                _ => options.others.push(option.into()),
            }
        }
        Ok(options)
    }

    fn others_but(&self, names: &[&str]) -> Vec<Cow<'a, str>> {
        let is_other = |option: &&Cow<'a, str>| {
            let name = option.split_once('=').map_or(&***option, |(name, _)| name);
            !names.contains(&name)
        };
        self.others.iter().filter(is_other).cloned().collect()
    }
}

/// Which of several servers is meant. A node writes at every turn, so that one which does not take that serves nobody.
fn target(text: &str) -> Parsed<TargetSessionAttrs> {
    const WRITABLE: &str = "target_session_attrs=read-write, or the URL without it";
    match text {
        "any" => Ok(TargetSessionAttrs::Any),
        "read-write" | "primary" => Ok(TargetSessionAttrs::ReadWrite),
        "read-only" | "standby" | "prefer-standby" => Err(Mistake::new(
            "has a target_session_attrs that leads to a server which takes no writes",
            WRITABLE,
        )),
        _ => Err(Mistake::new(
            "has a target_session_attrs that is not known here",
            WRITABLE,
        )),
    }
}

/// As in libpq, but for this: a certificate is always looked at, `require` included, and always for its name.
fn ssl_mode(text: &str) -> Parsed<SslMode> {
    match text {
        "disable" => Ok(SslMode::Disable),
        "prefer" => Ok(SslMode::Prefer),
        "require" | "verify-full" => Ok(SslMode::Require),
        "verify-ca" => Err(Mistake::new(
            "has sslmode=verify-ca, which would take every server that the authority vouches for",
            "sslmode=verify-full",
        )),
        _ => Err(Mistake::new(
            "has an sslmode that is not known here",
            "sslmode=disable, prefer, require or verify-full",
        )),
    }
}

fn root_certificates(text: &str) -> Parsed<Option<PathBuf>> {
    let path = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Mistake::new("has an sslrootcert that is not text", EITHER))?;
    match &*path {
        "system" => Ok(None),
        path => certificates(path).map(Some),
    }
}

fn sqlite(path: &str) -> Parsed<DatabaseUrl> {
    // `//data/x` would be a folder in the root, where others write three slashes and mean one.
    if path.starts_with("//") {
        return Err(Mistake::new(
            "has slashes after `sqlite:` that are not part of the path",
            EITHER,
        ));
    }
    // SQLite's own words: a database in memory, which each connection would have for itself, and a URI,
    // whose options could turn off what keeps data safe.
    if path.starts_with(":memory:") || path.starts_with("file:") {
        return Err(Mistake::new("does not name a file by its path", EITHER));
    }
    if path.is_empty() || path.ends_with('/') {
        return Err(Mistake::new("names no file", EITHER));
    }
    Ok(DatabaseUrl::Sqlite(PathBuf::from(path)))
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn a_path_or_a_server_is_taken() {
        for path in [
            "data/doorpost.db",
            "/var/lib/doorpost/doorpost.db",
            "x",
            "a b?c.db",
        ] {
            assert_eq!(
                DatabaseUrl::parse(&format!("sqlite:{path}")),
                Ok(DatabaseUrl::Sqlite(PathBuf::from(path)))
            );
        }
        for url in [
            "postgres://localhost/doorpost",
            "postgres://user:p%40ss@db.example.org:5433/doorpost?sslmode=require",
            "postgres://one:5432,two:5432/doorpost",
            "postgres:///doorpost?host=/run/postgresql",
            "postgresql://localhost/doorpost",
            "postgresql://user@one,two/doorpost?target_session_attrs=read-write&sslmode=verify-full",
            "postgres://host/doorpost?sslmode=verify-full&sslrootcert=system",
            "postgres://user:%40%3A%2F%3F%23%25%20@host/doorpost",
            "postgres://user:a:b!$*@host/doorpost",
        ] {
            assert_eq!(
                DatabaseUrl::parse(url),
                Ok(DatabaseUrl::Postgres(url.to_owned()))
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "data/doorpost.db",
            "sqlite:",
            "sqlite:data/",
            "sqlite://data/doorpost.db",
            "sqlite:///data/doorpost.db",
            "sqlite::memory:",
            "sqlite:file:data/doorpost.db?mode=ro",
            "SQLITE:x",
            "postgres:doorpost",
            "postgres://",
            "postgres://user@/doorpost",
            "postgres://host:port/doorpost",
            "postgres://host/doorpost?no_such_option=1",
            "postgresql:doorpost",
            "postgres://host/doorpost?sslmode=verify-ca",
            "postgres://host/doorpost?sslmode=allow",
            "postgres://host/doorpost?sslmode=",
            "postgres://host/doorpost?sslcert=x.pem",
            "postgres://host/doorpost?sslmode",
            "postgres://host/doorpost?sslrootcert=/no/such/file",
            "postgres://host/doorpost?sslrootcert=/dev/null",
            "postgres://host/doorpost?target_session_attrs=standby",
            "postgres://one,two/doorpost?target_session_attrs=read-only",
            "postgres://one,two/doorpost?target_session_attrs=writable",
            "postgres://one,two/doorpost?hostaddr=10.0.0.1",
            "postgres:///doorpost?host=one,two,three&port=5432,5433",
            "postgres://user:hunt@er2@host/doorpost",
            "postgres://user:hunt/er2@host/doorpost",
            "postgres://user:hunt?er2@host/doorpost",
            "postgres://user:hunt#er2@host/doorpost",
            "postgres://user:hunt%er2@host/doorpost",
            "postgres://user:hunter2%@host/doorpost",
            "postgres://user:hunt er2@host/doorpost",
            "postgres://host/doorpost?options=a@b",
            "mysql://localhost/doorpost",
            "host=localhost dbname=doorpost",
        ] {
            let refused = DatabaseUrl::parse(text).expect_err(text).to_string();
            for secret in ["hunt", "er2"] {
                assert!(!refused.contains(secret), "{text:?}: {refused}");
            }
            let has_a_bare_sign = text.contains("er2");
            assert_eq!(
                has_a_bare_sign,
                has_a_bare_sign && refused.contains("as %40 %3A"),
                "{text:?}: {refused}"
            );
        }
    }

    #[test]
    fn what_libpq_knows_of_tls_means_the_same() {
        let mode = |options: &str| {
            let url = PostgresUrl::parse(&format!("postgres://db.example.org/d{options}"))
                .expect(options);
            (
                url.servers[0].get_ssl_mode(),
                url.names_tls,
                url.root_certificates,
            )
        };
        let bundle = "/etc/ssl/certs/ca-certificates.crt";
        assert_eq!(mode(""), (SslMode::Prefer, false, None));
        assert_eq!(mode("?sslmode=disable"), (SslMode::Disable, true, None));
        assert_eq!(mode("?sslmode=require"), (SslMode::Require, true, None));
        assert_eq!(mode("?sslmode=verify-full"), (SslMode::Require, true, None));
        assert_eq!(
            mode(&format!("?sslrootcert={}", bundle.replace('/', "%2F"))),
            (SslMode::Require, true, Some(bundle.into()))
        );
        assert_eq!(
            mode(&format!(
                "?application_name=x&sslmode=verify-full&sslrootcert={bundle}&connect_timeout=3"
            )),
            (SslMode::Require, true, Some(bundle.into()))
        );
    }

    #[test]
    fn each_of_several_servers_is_told_apart() {
        let url = "postgres://user:a%2Fb@one,two:5433,[::1]:5434/doorpost?application_name=x&sslmode=require";
        let url = PostgresUrl::parse(url).expect("a URL");
        assert!(!url.in_any_order);
        let names = ["one", "two", "::1"].map(|name| Host::Tcp(name.to_owned()));
        assert_eq!(url.servers.len(), names.len());
        for (number, server) in url.servers.iter().enumerate() {
            assert_eq!(server.get_hosts(), [names[number].clone()]);
            assert_eq!(server.get_ports(), [5432 + number as u16]);
            assert_eq!(server.get_user(), Some("user"));
            assert_eq!(server.get_password(), Some(&b"a/b"[..]));
            assert_eq!(server.get_dbname(), Some("doorpost"));
            assert_eq!(server.get_application_name(), Some("x"));
            assert_eq!(server.get_ssl_mode(), SslMode::Require);
        }
        let by_options = "postgres://user@/d?host=/run/a,two&hostaddr=10.0.0.1,10.0.0.2&port=5440&load_balance_hosts=random";
        let by_options = PostgresUrl::parse(by_options).expect("a URL");
        assert!(by_options.in_any_order);
        let [one, two] = &by_options.servers[..] else {
            panic!("two servers are named")
        };
        assert_eq!(one.get_hosts(), [Host::Unix("/run/a".into())]);
        assert_eq!(two.get_hosts(), [Host::Tcp("two".to_owned())]);
        assert_eq!(two.get_hostaddrs(), [IpAddr::from([10, 0, 0, 2])]);
        assert_eq!([one, two].map(|server| server.get_ports()), [[5440]; 2]);
    }

    #[test]
    fn of_several_servers_the_one_that_takes_writes_is_meant_unless_it_is_said() {
        let target = |url: &str| {
            let url = PostgresUrl::parse(&format!("postgres://{url}")).expect(url);
            let targets = url.servers.iter().map(|it| it.get_target_session_attrs());
            let targets: Vec<_> = targets.collect();
            assert!(targets.iter().all(|target| *target == targets[0]));
            targets[0]
        };
        for one in ["one/d", "/d?host=/run/postgresql"] {
            assert_eq!(target(one), TargetSessionAttrs::Any, "{one}");
        }
        for several in [
            "one,two/d",
            "/d?host=one,two",
            "one,two/d?target_session_attrs=primary",
            "one/d?target_session_attrs=read-write",
        ] {
            assert_eq!(target(several), TargetSessionAttrs::ReadWrite, "{several}");
        }
        let said = "one,two/d?target_session_attrs=any";
        assert_eq!(target(said), TargetSessionAttrs::Any);
    }

    #[test]
    fn debug_shows_no_password() {
        let url = DatabaseUrl::parse("postgres://user:hunter2@host/db").expect("a URL");
        assert_eq!(format!("{url:?}"), "Postgres(…)");
    }
}
