//! A database with so many accounts, and the program on it.

use std::fs;
use std::path::PathBuf;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::program::sink::Sink;
use crate::program::{Server, THIS_BUILD, free_port, postgres, serve};
use crate::rows::{Dialect, Living};

/// Of those who have one.
pub const PASSWORD: &str = "a horse that eats staples";

/// Where it is, whether or not it is there yet.
pub struct Site {
    pub folder: PathBuf,
    pub accounts: u64,
    pub kind: Kind,
}

/// Which database.
pub enum Kind {
    Sqlite,
    Postgres { cluster: String, name: String },
}

/// The program on it, and where its mail goes.
pub struct Open {
    pub server: Server,
    pub port: u16,
    pub sink: Sink,
}

impl Site {
    /// A database of PostgreSQL has this name.
    pub fn at(folder: PathBuf, cluster: Option<&str>, name: String, accounts: u64) -> Self {
        let kind = match cluster {
            None => Kind::Sqlite,
            Some(cluster) => Kind::Postgres {
                cluster: cluster.to_owned(),
                name,
            },
        };
        Self {
            folder,
            accounts,
            kind,
        }
    }

    pub fn dialect(&self) -> Dialect {
        match self.kind {
            Kind::Sqlite => Dialect::Sqlite,
            Kind::Postgres { .. } => Dialect::Postgres,
        }
    }

    pub fn living<'a>(&self, now: i64, password_hash: &'a str) -> Living<'a> {
        Living {
            dialect: self.dialect(),
            accounts: self.accounts,
            now,
            password_hash,
        }
    }

    /// Starts the program there.
    pub fn open(&self) -> Open {
        self.open_with(&[])
    }

    /// The same with these variables besides.
    pub fn open_with(&self, more: &[(&str, &str)]) -> Open {
        let (sink, port) = (Sink::open(), free_port());
        fs::create_dir_all(&self.folder).unwrap();
        let (smtp, url) = (format!("smtp://127.0.0.1:{}", sink.port), self.url());
        let mut variables = vec![
            ("SMTP_URL", smtp.as_str()),
            ("LIMIT_PASSWORD_PER_ACCOUNT", "off"),
            ("LIMIT_PASSWORD_PER_NETWORK", "off"),
            ("LIMIT_TOKEN_PER_NETWORK", "off"),
        ];
        variables.extend(url.as_deref().map(|url| ("DATABASE_URL", url)));
        variables.extend(more);
        Open {
            server: serve(THIS_BUILD.as_ref(), &self.folder, port, &variables),
            port,
            sink,
        }
    }

    /// `None`: the program's own file.
    pub fn url(&self) -> Option<String> {
        match &self.kind {
            Kind::Sqlite => None,
            Kind::Postgres { cluster, name } => Some(postgres::database(cluster, name)),
        }
    }

    /// The file, if it is one.
    pub fn file(&self) -> PathBuf {
        self.folder.join("data/doorpost.db")
    }

    pub fn run(&self, sql: &str) {
        match self.url() {
            Some(url) => postgres::run(&url, sql),
            None => self.sqlite().batch_execute(sql).unwrap(),
        }
    }

    /// The one number that a query finds.
    pub fn number(&self, sql: &str) -> i64 {
        match self.url() {
            Some(url) => postgres::number(&url, sql),
            None => {
                let query = format!("SELECT ({sql}) AS n");
                let found: Number = diesel::sql_query(query)
                    .get_result(&mut self.sqlite())
                    .unwrap();
                found.n
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "looks past the program")]
    pub fn sqlite(&self) -> SqliteConnection {
        let file = self.file();
        let mut conn = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
        conn.batch_execute("PRAGMA busy_timeout = 60000").unwrap();
        conn
    }

    /// Processor time of PostgreSQL so far, in microseconds.
    pub fn of_database(&self) -> Option<postgres::Processes> {
        match &self.kind {
            Kind::Sqlite => None,
            Kind::Postgres { cluster, .. } => Some(postgres::Processes::of(cluster)),
        }
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// What everybody who has a password has of it.
pub fn password_hash(memory_kib: u32, passes: u32) -> String {
    let params = Params::new(memory_kib, passes, 1, Some(32)).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let (salt, mut hash) = (b"sixteen of salt!", [0; 32]);
    let hashed = argon2.hash_password_into(PASSWORD.as_bytes(), salt, &mut hash);
    hashed.unwrap();
    let [salt, hash] = [salt.as_slice(), &hash].map(|part| STANDARD_NO_PAD.encode(part));
    format!("$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${hash}")
}
