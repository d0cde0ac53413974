//! One build on one database, with accounts in it.

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;

use crate::ACCOUNTS;
use crate::program::sink::Sink;
use crate::program::{
    CONNECTIONS, Connection, House, between, cookie_of, load, post, post_json, postgres,
};

/// Every member's.
pub const PASSWORD: &str = "a horse that eats staples";

/// One build on one database.
pub struct Site {
    pub house: House,
    pub sink: Sink,
    database: Option<postgres::Processes>,
    variables: Vec<(&'static str, String)>,
    pub members: Vec<Member>,
    /// The accounts whose turn it is next to ask for a link, and to use one.
    asking: usize,
    using: usize,
}

/// Somebody with a password, a browser that is signed in and known, and a program.
pub struct Member {
    email: String,
    pub session: String,
    known: String,
    pub tokens: Mutex<Tokens>,
}

pub struct Tokens {
    pub access: String,
    refresh: String,
}

/// What one operation costs, in microseconds.
pub struct Cost {
    pub of_program: f64,
    pub of_database: f64,
    pub took: f64,
}

impl Site {
    pub fn open(program: &Path, name: &str, cluster: Option<&str>) -> Self {
        let sink = Sink::open();
        let mut variables = vec![
            ("SMTP_URL", format!("smtp://127.0.0.1:{}", sink.port)),
            ("TRUSTED_PROXIES", "127.0.0.1".to_owned()),
            ("LIMIT_PASSWORD_PER_ACCOUNT", "off".to_owned()),
            ("LIMIT_PASSWORD_PER_NETWORK", "off".to_owned()),
            ("LIMIT_TOKEN_PER_NETWORK", "off".to_owned()),
        ];
        let database = cluster.map(|cluster| postgres::fresh_database(cluster, name));
        variables.extend(database.clone().map(|url| ("DATABASE_URL", url)));
        let mut site = Self {
            house: House::of(program, &borrowed(&variables)),
            sink,
            database: cluster.map(postgres::Processes::of),
            variables,
            members: Vec::new(),
            asking: ACCOUNTS / 2,
            using: 0,
        };
        match database {
            Some(url) => postgres::run(&url, &rows(NUMBERS_OF_POSTGRES)),
            None => site.fill_sqlite(),
        }
        site.members = (0..CONNECTIONS).map(|n| site.member(n)).collect();
        site.sink.settle();
        site
    }

    fn fill_sqlite(&self) {
        use diesel::connection::SimpleConnection;
        use diesel::prelude::*;
        let database = self.house.folder.path().join("data/doorpost.db");
        #[expect(clippy::disallowed_methods, reason = "fills the tables from outside")]
        let mut conn = SqliteConnection::establish(database.to_str().unwrap()).unwrap();
        let rows = rows(NUMBERS_OF_SQLITE);
        conn.batch_execute(&format!(
            "PRAGMA busy_timeout = 5000; BEGIN; {rows}; COMMIT"
        ))
        .unwrap();
    }

    /// Registers somebody, who then signs in with a program.
    fn member(&self, n: usize) -> Member {
        let email = format!("member{n}%40example.org");
        let mut browser = Connection::open(self.house.port);
        browser.send(&post("/register", &format!("email={email}")));
        let token = self.sink.token(&email.replace("%40", "@"));
        let password = PASSWORD.replace(' ', "+");
        let form = format!("token={token}&email={email}&password={password}");
        let welcome = browser.send(&post("/confirm-email", &form));
        let grant = json!({
            "grant_type": "password",
            "email": email.replace("%40", "@"),
            "password": PASSWORD,
        });
        let granted = browser.send(&post_json("/api/v1/tokens", &grant.to_string()));
        Member {
            email,
            session: cookie_of(&welcome, "doorpost"),
            known: cookie_of(&welcome, "doorpost_known"),
            tokens: Mutex::new(Tokens::of(&granted)),
        }
    }

    /// What an operation costs, of so many.
    pub fn cost(&self, operations: usize, work: impl FnOnce()) -> Cost {
        let of_database = || self.database.as_ref().map_or(0.0, postgres::Processes::cpu);
        let (began, before) = (Instant::now(), of_database());
        let of_program = self.house.server.cpu_of(work);
        let operations = operations as f64;
        Cost {
            of_program: of_program / operations,
            of_database: (of_database() - before) / operations,
            took: began.elapsed().as_secs_f64() * 1e6 / operations,
        }
    }

    pub fn restart(&mut self) {
        self.house.restart(&borrowed(&self.variables));
    }

    pub fn next_to_ask(&mut self, how_many: usize) -> Range<usize> {
        self.asking += how_many;
        self.asking - how_many..self.asking
    }

    pub fn next_to_use(&mut self, how_many: usize) -> Range<usize> {
        self.using += how_many;
        self.using - how_many..self.using
    }

    /// Asks for a link for each of these accounts, and waits until all are mailed.
    pub fn mail_links(&self, accounts: &Range<usize>) {
        let ask = |n: usize| post("/sign-in", &format!("email={}", reader(n)));
        let asks: Vec<String> = accounts.clone().map(ask).collect();
        self.sink
            .take(asks.len(), || load(self.house.port, asks.len(), &asks));
    }

    /// What uses up the newest link of this account.
    pub fn link(&self, n: usize) -> String {
        let email = reader(n);
        let token = self.sink.token(&email.replace("%40", "@"));
        post("/sign-in/link", &format!("token={token}&email={email}"))
    }

    /// The member's program goes on with other tokens.
    pub fn refresh(&self, program: &mut Connection, member: &Member) {
        let mut tokens = member.tokens.lock().unwrap();
        let body = json!({"grant_type": "refresh_token", "refresh_token": tokens.refresh});
        let granted = program.send(&post_json("/api/v1/tokens", &body.to_string()));
        *tokens = Tokens::of(&granted);
    }
}

impl Member {
    pub fn signs_in(&self) -> String {
        let password = PASSWORD.replace(' ', "+");
        let form = format!("email={}&password={password}", self.email);
        with_cookie(&post("/sign-in/password", &form), &self.known)
    }
}

impl Tokens {
    fn of(granted: &str) -> Self {
        Self {
            access: between(granted, r#""access_token":""#, "\"").to_owned(),
            refresh: between(granted, r#""refresh_token":""#, "\"").to_owned(),
        }
    }
}

fn borrowed<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    let pairs = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    pairs.collect()
}

/// The address of one of the accounts that are there from the start, as a form sends it.
fn reader(n: usize) -> String {
    format!("reader{}%40example.org", n % ACCOUNTS)
}

pub fn with_cookie(request: &str, cookie: &str) -> String {
    request.replacen("\r\n", &format!("\r\nCookie: {cookie}\r\n"), 1)
}

/// A number for each account, what stands for its token's hash, and the present in seconds.
const NUMBERS_OF_SQLITE: &str = "WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < 9999) \
     SELECT i, randomblob(32) AS hash, unixepoch() AS now FROM numbers";
const NUMBERS_OF_POSTGRES: &str = "SELECT i, sha256(i::text::bytea) AS hash, extract(epoch FROM now())::bigint AS now \
     FROM generate_series(0, 9999) AS numbers(i)";

/// As many accounts as there are numbers, each with a session.
fn rows(numbers: &str) -> String {
    format!(
        "INSERT INTO users (id, email, created_at, known_since) \
         SELECT 'id' || i, 'reader' || i || '@example.org', 0, 0 FROM ({numbers}) AS numbers; \
         INSERT INTO sessions (token_hash, id, user_id, auth_method, shared, created_at, last_seen_at, ip, browser) \
         SELECT hash, 'session' || i, 'id' || i, 'email_link', false, now * 1000, now * 1000, '127.0.0.1', \
         'a browser' FROM ({numbers}) AS numbers"
    )
}
