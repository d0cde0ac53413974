//! Where the data is.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::SslMode;

use super::mail::certificates;
use super::reader::{Mistake, Parsed};

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

/// What the URL of a PostgreSQL server says.
pub struct PostgresUrl {
    /// As the driver takes it.
    pub driver: tokio_postgres::Config,
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
        match url.driver.get_hosts().is_empty() {
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
        let mut driver: tokio_postgres::Config =
            format!("postgres://{place}?{}", options.others.join("&"))
                .parse()
                .map_err(|_| Mistake::new("is not the URL of a PostgreSQL server", EITHER))?;
        // Whoever names an authority wants the server's certificate looked at.
        let by_authority = options.root_certificates.as_ref().map(|_| SslMode::Require);
        let mode = options.mode.or(by_authority);
        if let Some(mode) = mode {
            driver.ssl_mode(mode);
        }
        Ok(Self {
            driver,
            names_tls: mode.is_some(),
            root_certificates: options.root_certificates,
        })
    }
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
    /// What the driver knows by itself.
    others: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(text: &'a str) -> Parsed<Self> {
        let mut options = Self::default();
        for option in text.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", mode)) => options.mode = Some(ssl_mode(mode)?),
                Some(("sslrootcert", file)) => options.root_certificates = root_certificates(file)?,
                Some((name, _)) if UNKNOWN_OPTIONS.contains(&name) => {
                    let wrong = format!("has the option {name}, which is not known here");
                    return Err(Mistake::new(wrong, "the URL without it"));
                }
                _ => options.others.push(option),
            }
        }
        Ok(options)
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
                url.driver.get_ssl_mode(),
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
    fn debug_shows_no_password() {
        let url = DatabaseUrl::parse("postgres://user:hunter2@host/db").expect("a URL");
        assert_eq!(format!("{url:?}"), "Postgres(…)");
    }
}
