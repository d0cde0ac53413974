//! The program, its database, and the browsers of those who visit it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use tempfile::TempDir;

pub const ADA: &str = "ada@example.org";
pub const BEN: &str = "ben@example.org";
const PASSWORD: &str = "a horse that eats staples";

/// What does not happen within this long does not happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells each story on both databases.
macro_rules! on_both {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            use crate::support::{Database, Program};

            #[tokio::test]
            async fn on_sqlite() {
                super::$story(Program::start(Database::Sqlite)).await;
            }

            #[tokio::test]
            async fn on_postgresql() {
                let empty = Database::empty_postgres(stringify!($story)).await;
                super::$story(Program::start(empty)).await;
            }
        }
    )+};
}

/// Where a program keeps its data.
pub enum Database {
    /// In a file beside it.
    Sqlite,
    /// On the PostgreSQL that `tests/run` started, at this URL; it goes with that.
    Postgres(String),
}

impl Database {
    pub async fn empty_postgres(story: &str) -> Self {
        let mut name = format!("own_app_{}_{story}", std::process::id());
        name.truncate(63);
        let mut url: url::Url = cluster().parse().unwrap();
        let cluster = connect(url.as_str()).await;
        for statement in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
            let statement = format!("{statement} {name}");
            cluster.batch_execute(&statement).await.unwrap();
        }
        url.set_path(&name);
        Self::Postgres(url.into())
    }
}

#[expect(clippy::disallowed_methods, reason = "what tests/run started")]
fn cluster() -> String {
    std::env::var("DOORPOST_TEST_POSTGRES")
        .expect("DOORPOST_TEST_POSTGRES names a PostgreSQL cluster; tests/run starts one")
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("the PostgreSQL cluster answers");
    tokio::spawn(connection);
    client
}

/// The running program, in a folder of its own. It is killed at the latest when the test ends.
pub struct Program {
    folder: TempDir,
    database: Database,
    child: Child,
    url: String,
    log: Arc<Mutex<String>>,
}

impl Program {
    pub fn start(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command(&folder, &database)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let url = loop {
            let said = log.lock().unwrap().clone();
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {said}"));
            let line = line.unwrap();
            *log.lock().unwrap() += &format!("{line}\n");
            if let Some((_, rest)) = line.split_once("listening=") {
                let address = rest.split_whitespace().next().unwrap();
                break format!("http://{address}");
            }
        };
        let heard = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *heard.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self {
            folder,
            database,
            child,
            url,
            log,
        }
    }

    /// What it has said until now.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn has_applied(&self, migration: &str) {
        assert!(self.log().contains(migration), "{}", self.log());
    }

    /// What a command says that went well.
    pub fn told(&self, arguments: &[&str]) -> String {
        let ended = command(&self.folder, &self.database)
            .args(arguments)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    }

    /// Changes something in its database behind its back.
    pub async fn stirs(&self, statement: &str) {
        match &self.database {
            Database::Sqlite => self.sqlite().batch_execute(statement).unwrap(),
            Database::Postgres(url) => connect(url).await.batch_execute(statement).await.unwrap(),
        }
    }

    /// Counts something in its database.
    pub async fn has(&self, query: &str, count: i64) {
        let counted: i64 = match &self.database {
            Database::Sqlite => diesel::dsl::sql::<diesel::sql_types::BigInt>(query)
                .get_result(&mut self.sqlite())
                .unwrap(),
            Database::Postgres(url) => connect(url)
                .await
                .query_one(query, &[])
                .await
                .unwrap()
                .get(0),
        };
        assert_eq!(counted, count, "{query}");
    }

    /// Holds every account, so that whoever wants to write to one waits.
    pub async fn holds_accounts(&self) -> Held {
        match &self.database {
            Database::Sqlite => {
                let mut file = self.sqlite();
                file.batch_execute("BEGIN IMMEDIATE").unwrap();
                Held::Sqlite(file)
            }
            Database::Postgres(url) => {
                let client = connect(url).await;
                let hold = "BEGIN; SELECT id FROM users FOR UPDATE";
                client.batch_execute(hold).await.unwrap();
                Held::Postgres(client)
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "behind the program's back")]
    fn sqlite(&self) -> SqliteConnection {
        let path = self.folder.path().join("notes.db");
        let mut file = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        file.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON")
            .unwrap();
        file
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &TempDir, database: &Database) -> Command {
    let database_url = match database {
        Database::Sqlite => "sqlite:notes.db",
        Database::Postgres(url) => url,
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_own_app"));
    command
        .current_dir(folder.path())
        .env_clear()
        .env("BIND_ADDRESS", "127.0.0.1:0")
        .env("DATABASE_URL", database_url);
    command
}

/// Every account is held, until it lets go.
pub enum Held {
    Sqlite(SqliteConnection),
    Postgres(tokio_postgres::Client),
}

impl Held {
    /// Whether two are stopped by it. SQLite does not tell who waits, but lets nobody write meanwhile: so they have
    /// all the time that they need to come that far.
    pub async fn has_both_waiting(&self) {
        let Self::Postgres(client) = self else {
            return tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND datname = current_database()";
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let count: i64 = client.query_one(waiting, &[]).await.unwrap().get(0);
            if count == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("two do not wait");
    }

    pub async fn lets_go(self) {
        match self {
            Self::Sqlite(mut file) => file.batch_execute("ROLLBACK").unwrap(),
            Self::Postgres(client) => client.batch_execute("ROLLBACK").await.unwrap(),
        }
    }
}

/// A browser: a cookie jar, the headers that matter, and no following of redirects.
pub struct Browser {
    client: Client,
    url: String,
    jar: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(program: &Program) -> Self {
        Self {
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
            url: program.url.clone(),
            jar: BTreeMap::new(),
        }
    }

    pub async fn get(&mut self, path: &str) -> Page {
        let request = self.request(Method::GET, path);
        self.send(request).await
    }

    /// Clicks a link. It names the public URL, which is not where the test reaches the program.
    pub async fn click(&mut self, link: &str) -> Page {
        let (_, path) = link.split_once("localhost:8080").unwrap();
        let request = self
            .request(Method::GET, path)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        self.send(request).await
    }

    pub async fn post(&mut self, path: &str, fields: &str) -> Page {
        let request = self
            .form(path, fields)
            .header("sec-fetch-site", "same-origin");
        self.send(request).await
    }

    pub fn form(&self, path: &str, fields: &str) -> RequestBuilder {
        self.request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(fields.to_owned())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub async fn send(&mut self, request: RequestBuilder) -> Page {
        let cookies: Vec<String> = self
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let response = request
            .header(COOKIE, cookies.join("; "))
            .send()
            .await
            .unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.jar.remove(name);
            if !attributes.contains("Max-Age=0") {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = response.headers().get(LOCATION);
        Page {
            status: response.status(),
            location: location.map(|to| to.to_str().unwrap().to_owned()),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }

    /// Registers, and sets a password where the link confirms the address.
    pub async fn registers(&mut self, email: &str) {
        self.post("/register", &format!("email={email}"))
            .await
            .goes_on_to("/sign-in/sent");
        let link = self.newest_link("Confirm your email address", email).await;
        let mut page = self.click(&link).await;
        if let Some(on) = page.location.take() {
            page = self.get(&on).await;
        }
        let token = page.between("name=\"token\" value=\"", "\"");
        let fields = format!("token={token}&password={}", PASSWORD.replace(' ', "+"));
        self.post("/confirm-email", &fields)
            .await
            .goes_on_to("/account");
    }

    /// Passes the gate, on the way to this page.
    pub async fn enters_password(&mut self, next: &str) {
        let entered = format!("password={}&next={next}", PASSWORD.replace(' ', "+"));
        self.post("/reauthenticate", &entered)
            .await
            .goes_on_to(next);
    }

    /// Keeps a note; the path of its page.
    pub async fn keeps(&mut self, text: &str) -> String {
        self.post("/notes", &format!("text={}", text.replace(' ', "+")))
            .await
            .goes_on_to("/notes");
        let list = self.get("/notes").await;
        let (before, _) = list.body.split_once(&format!("\">{text}</a>")).unwrap();
        let (_, path) = before.rsplit_once("<a href=\"").unwrap();
        path.to_owned()
    }

    /// The link in the newest letter with this subject to this address, by the development inbox.
    pub async fn newest_link(&mut self, subject: &str, email: &str) -> String {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let inbox = self.get("/dev/inbox").await.body;
            let mut letters = inbox.split("<li><a href=\"").skip(1);
            let is_it = |letter: &&str| letter.contains(subject) && letter.contains(email);
            if let Some(letter) = letters.find(is_it) {
                let (page, _) = letter.split_once('"').unwrap();
                let letter = self.get(page).await.body;
                let (before, _) = letter.split_once("\">Open the link</a>").unwrap();
                let (_, link) = before.rsplit_once('"').unwrap();
                return link.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no letter {subject:?}");
    }
}

pub struct Page {
    pub status: StatusCode,
    pub location: Option<String>,
    pub headers: HeaderMap,
    pub body: String,
}

impl Page {
    #[track_caller]
    pub fn goes_on_to(&self, path: &str) {
        let status = (self.status, self.location.as_deref());
        assert_eq!(status, (StatusCode::SEE_OTHER, Some(path)), "{}", self.body);
    }

    /// In the site's frame, with no tag of it escaped.
    #[track_caller]
    pub fn is_a_page(&self, title: &str) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.is_in_the_frame(title);
    }

    #[track_caller]
    pub fn is_in_the_frame(&self, title: &str) {
        let title = format!("<title>{title} – Notebook</title>");
        for part in [
            title.as_str(),
            "alt=\"\">Notebook</a>",
            "    <h1>",
            "</html>",
        ] {
            self.says(part);
        }
    }

    #[track_caller]
    pub fn says(&self, words: &str) {
        assert!(self.body.contains(words), "no {words:?}: {}", self.body);
    }

    #[track_caller]
    pub fn does_not_say(&self, words: &str) {
        assert!(!self.body.contains(words), "{words:?}: {}", self.body);
    }

    /// What stands between these, the first time.
    #[track_caller]
    pub fn between(&self, before: &str, after: &str) -> &str {
        self.says(before);
        let (_, rest) = self.body.split_once(before).unwrap();
        rest.split_once(after).unwrap().0
    }
}
