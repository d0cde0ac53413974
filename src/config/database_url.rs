//! Where the data is.

use std::fmt;
use std::path::PathBuf;

use super::reader::{Mistake, Parsed};

const EITHER: &str =
    "sqlite:PATH, such as sqlite:data/doorpost.db, or postgres://USER:PASSWORD@HOST/DATABASE";

/// One of the two databases. `Debug` shows nothing of a server's URL, which may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file, seen from the working directory.
    Sqlite(PathBuf),
    /// A server, by the whole URL.
    Postgres(String),
}

impl DatabaseUrl {
    /// Takes `sqlite:PATH` or `postgres://…`.
    pub fn parse(text: &str) -> Parsed<Self> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return sqlite(path);
        }
        if !text.starts_with("postgres://") {
            return Err(Mistake::new("names neither of the two databases", EITHER));
        }
        match text.parse::<tokio_postgres::Config>() {
            Ok(config) if !config.get_hosts().is_empty() => Ok(Self::Postgres(text.to_owned())),
            _ => Err(Mistake::new("is not a URL of a PostgreSQL server", EITHER)),
        }
    }

    /// Whether the data is on a server, which may be away.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Postgres(_))
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
            "postgresql://localhost/doorpost",
            "mysql://localhost/doorpost",
            "host=localhost dbname=doorpost",
        ] {
            assert!(DatabaseUrl::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let url = DatabaseUrl::parse("postgres://user:hunter2@host/db").expect("a URL");
        assert_eq!(format!("{url:?}"), "Postgres(…)");
    }
}
