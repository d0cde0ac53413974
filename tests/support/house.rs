//! A whole Doorpost on a free port: the real server, the real mail worker, a database of its own, and a
//! clock that stands until the test moves it.

use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use doorpost::app::App;
use doorpost::clock::{Clock, Timestamp};
use doorpost::config::Config;
use doorpost::mail::delivery::{self, Worker};
use doorpost::mail::{letters, outbox};
use doorpost::pages;
use doorpost::random::{self, Code};
use doorpost::server::Server;
use reqwest::StatusCode;
use tempfile::TempDir;

use super::{ScriptedServer, Visitor};

/// When every test begins: 22 November 2026, 00:00 UTC.
const BEGINNING: Timestamp = 1_795_305_600_000;

/// The password of everybody who has one.
pub const PASSWORD: &str = "a horse that eats staples";

/// Mail that is not there after this long does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// A running Doorpost.
pub struct House {
    pub app: App,
    pub clock: Clock,
    pub url: String,
    server: ServerHandle,
    worker: Option<Worker>,
    store: Store,
}

/// Where the data is, until the last house on it is gone.
#[derive(Clone)]
pub struct Store {
    pub url: String,
    pub secret_key: String,
    kept: std::sync::Arc<Kept>,
}

enum Kept {
    Folder(#[expect(dead_code, reason = "kept for its drop")] TempDir),
    PostgresDatabase(String),
    /// Somebody else looks after it.
    Elsewhere,
}

impl House {
    /// With everything as it is by default, and limits on the network out of the way of tests that are
    /// not about them.
    pub async fn new(db: Database) -> Self {
        Self::with(db, &[]).await
    }

    /// With these variables set.
    pub async fn with(db: Database, variables: &[(&str, &str)]) -> Self {
        let store = Store::make(db).await;
        Self::open(store, Clock::stopped_at(BEGINNING), variables)
    }

    /// On a database of the test's own.
    pub fn on(store: Store, variables: &[(&str, &str)]) -> Self {
        Self::open(store, Clock::stopped_at(BEGINNING), variables)
    }

    /// As it runs in earnest: behind TLS at [`House::PUBLIC`], with a mail server. Requests still go
    /// straight to its port, as from its proxy.
    pub async fn public(db: Database, server: &ScriptedServer, variables: &[(&str, &str)]) -> Self {
        let smtp = server.url();
        let mut settings = vec![
            ("PUBLIC_URL", Self::PUBLIC),
            ("SMTP_URL", smtp.as_str()),
            ("MAIL_FROM", "Doorpost <doorpost@example.test>"),
        ];
        settings.retain(|(name, _)| !variables.iter().any(|(chosen, _)| chosen == name));
        settings.extend(variables);
        Self::with(db, &settings).await
    }

    /// Where the public sees a house that runs in earnest.
    pub const PUBLIC: &str = "https://sign.example.test";

    /// Another node on the same database, with the same key, clock and settings.
    pub fn second_node(&self, variables: &[(&str, &str)]) -> Self {
        Self::open(self.store.clone(), self.clock.clone(), variables)
    }

    fn open(store: Store, clock: Clock, variables: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let mut settings = vec![
            ("DATABASE_URL", store.url.as_str()),
            ("SECRET_KEY", store.secret_key.as_str()),
            ("PUBLIC_URL", url.as_str()),
            ("TRUSTED_PROXIES", "127.0.0.1"),
            ("LIMIT_MAIL_PER_NETWORK", "off"),
        ];
        if !variables.iter().any(|(name, _)| *name == "PUBLIC_URL") {
            // On this machine passwords may be cheap, and a test has better things to do.
            settings.extend([("ARGON2_MEMORY_KIB", "64"), ("ARGON2_PASSES", "1")]);
        }
        settings.retain(|(name, _)| !variables.iter().any(|(chosen, _)| chosen == name));
        settings.extend(variables);
        let config = Config::from_environment(settings).unwrap();
        let app = App::new(config, clock.clone()).unwrap();
        app.db.migrate().unwrap();
        let worker = delivery::start(app.clone()).unwrap();
        let server = serve(app.clone(), listener);
        Self {
            app,
            clock,
            url,
            server,
            worker: Some(worker),
            store,
        }
    }

    /// Somebody with a browser of their own.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(&self.url)
    }

    /// Somebody who has an account and is signed in by link.
    pub async fn member(&self, address: &str) -> Visitor {
        let member = self.visitor();
        member.ask("/register", address).await.sees_inbox_page();
        let link = self.mail_to(address).await.link;
        member.confirm(&link).await;
        self.advance(Duration::from_secs(61)); // past the gap, so that the test can ask again
        member
    }

    /// Somebody who has an account with [`PASSWORD`], and is signed in by the link that confirmed it.
    pub async fn member_with_password(&self, address: &str) -> Visitor {
        let member = self.visitor();
        member.ask("/register", address).await.sees_inbox_page();
        let mail = self.mail_to(address).await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        let done = member.post("/confirm-email", &fields).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
        self.advance(Duration::from_secs(61)); // past the gap, so that the test can ask again
        member
    }

    /// The same, and the password was just entered: this session may do what is sensitive.
    pub async fn owner(&self, address: &str) -> Visitor {
        let owner = self.member_with_password(address).await;
        owner.reauthenticate().await;
        owner
    }

    /// Somebody with a new browser asks there for mail to this address; and the mail.
    pub async fn asked(&self, route: &str, address: &str) -> (Visitor, Mail) {
        let before = self.all_mail_to(address).await.len();
        let visitor = self.visitor();
        visitor.ask(route, address).await.sees_inbox_page();
        let mail = self.mails_to(address, before + 1).await.remove(0);
        (visitor, mail)
    }

    /// The key it was made with, for a restart under another one.
    pub fn secret_key(&self) -> &str {
        &self.store.secret_key
    }

    /// Where its data is, for whoever looks past it or stands in its way.
    pub fn database_url(&self) -> &str {
        &self.store.url
    }

    /// The file that SQLite keeps it in.
    pub fn database_file(&self) -> &Path {
        Path::new(self.database_url().strip_prefix("sqlite:").unwrap())
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// News of the account that were sent to this address, once nothing waits any more; by the subject.
    pub async fn news_to(&self, address: &str) -> Vec<Mail> {
        let began = Instant::now();
        while self.waiting().await > 0 {
            assert!(began.elapsed() < PATIENCE, "mail still waits");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mails = self.everything_to(address).await;
        mails.into_iter().filter(Mail::is_news).collect()
    }

    /// The only mail to this address so far, or the newest of several; waits until there is one.
    pub async fn mail_to(&self, address: &str) -> Mail {
        self.mails_to(address, 1).await.remove(0)
    }

    /// The mail to this address, newest first; waits until there are at least so many.
    pub async fn mails_to(&self, address: &str, at_least: usize) -> Vec<Mail> {
        let began = Instant::now();
        loop {
            let mails = self.sent_to(address).await;
            if mails.len() >= at_least {
                return mails;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{address} has {} mails, not {at_least}",
                mails.len()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The mail that was sent to this address, newest first, once nothing waits any more.
    pub async fn all_mail_to(&self, address: &str) -> Vec<Mail> {
        let began = Instant::now();
        while self.waiting().await > 0 {
            assert!(began.elapsed() < PATIENCE, "mail still waits");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.sent_to(address).await
    }

    /// What somebody asked for; news of the account come by themselves.
    async fn sent_to(&self, address: &str) -> Vec<Mail> {
        let mails = self.everything_to(address).await;
        mails.into_iter().filter(|mail| !mail.is_news()).collect()
    }

    /// All mail that was sent to this address, newest first.
    pub async fn everything_to(&self, address: &str) -> Vec<Mail> {
        let app = self.app.clone();
        let address = address.to_owned();
        let read = self.app.read(move |tx| {
            let mails = outbox::kept::inbox(tx, 1000)?;
            Ok(mails
                .into_iter()
                .filter(|mail| mail.email == address)
                // What was sealed under a key that is gone cannot be read, here or anywhere.
                .filter_map(|mail| app.outbox.open(&mail).ok())
                .map(|body| Mail::from(body.content))
                .collect())
        });
        read.await.unwrap()
    }

    async fn waiting(&self) -> i64 {
        self.count("SELECT count(*) AS n FROM outbox WHERE state = 'queued'")
            .await
    }

    /// What a query that counts finds in the database: `SELECT count(*) AS n …`.
    pub async fn count(&self, query: impl Into<String>) -> i64 {
        use diesel::prelude::*;
        use diesel::sql_types::BigInt;
        use doorpost::db::Connection;

        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let query = query.into();
        let counted = self.app.read(move |tx| {
            let query = diesel::sql_query(query);
            let counted: Count = match tx.conn {
                Connection::Postgres(conn) => query.get_result(conn)?,
                Connection::Sqlite(conn) => query.get_result(conn)?,
            };
            Ok(counted.n)
        });
        counted.await.unwrap()
    }

    /// Waits until such a query counts something: what is written down beside an answer comes after it.
    pub async fn seen(&self, query: &'static str) {
        let began = Instant::now();
        while self.count(query).await == 0 {
            assert!(began.elapsed() < PATIENCE, "in vain: {query}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Does something to the database that no visitor can; the number of rows it changed.
    pub async fn execute(&self, statement: impl Into<String>) -> usize {
        use diesel::prelude::*;
        use doorpost::db::Connection;

        let statement = statement.into();
        let done = self.app.transaction(move |tx| {
            let statement = diesel::sql_query(statement);
            Ok(match tx.conn {
                Connection::Postgres(conn) => statement.execute(conn)?,
                Connection::Sqlite(conn) => statement.execute(conn)?,
            })
        });
        done.await.unwrap()
    }

    /// All that the database holds, as whoever steals it has it: the files, or every row as text.
    pub async fn dump(&self) -> Vec<u8> {
        match self.store.url.strip_prefix("sqlite:") {
            Some(path) => {
                let log = std::fs::read(format!("{path}-wal")).unwrap_or_default();
                [std::fs::read(path).unwrap(), log].concat()
            }
            None => dump_postgres(&self.store.url).await,
        }
    }

    /// Takes the PostgreSQL database away, or gives it back.
    pub async fn set_database_away(&self, away: bool) {
        self.store.set_away(away).await;
    }

    /// From here on no mail leaves, as while the mail server cannot be reached.
    pub fn hold_mail(&mut self) {
        if let Some(worker) = self.worker.take() {
            stop(worker);
        }
    }

    /// What waits leaves, and what comes after it.
    pub fn release_mail(&mut self) {
        self.worker = Some(delivery::start(self.app.clone()).unwrap());
    }

    /// Stops as a crash does not: the worker gives its mail back. The data stays for a house that is
    /// opened on it again.
    pub async fn restart(mut self, variables: &[(&str, &str)]) -> Self {
        self.close();
        Self::open(self.store.clone(), self.clock.clone(), variables)
    }

    /// Starts this node's mail worker again.
    pub fn start_worker(&mut self) {
        self.worker = Some(delivery::start(self.app.clone()).unwrap());
    }

    /// Stops this node's mail worker as the end of the program does.
    pub fn stop_worker(&mut self) {
        if let Some(worker) = self.worker.take() {
            stop(worker);
        }
    }

    fn close(&mut self) {
        // Not awaited: the future only reports the end of what is told to end here.
        drop(self.server.stop(false));
        self.stop_worker();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.close();
    }
}

/// As the end of the program does, which has less patience here.
fn stop(worker: Worker) {
    worker.tell_to_stop(Duration::from_secs(5));
    worker.join();
}

fn serve(app: App, listener: TcpListener) -> ServerHandle {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = Server::new().pages(pages::configure);
            let server = server.build(app, listener, 2).unwrap();
            tell.send(server.handle()).unwrap();
            server.await.unwrap();
        });
    });
    told.recv().unwrap()
}

/// One mail, as its reader has it.
#[derive(Clone, Debug)]
pub struct Mail {
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The one URL in the text; empty if it has none.
    pub link: String,
    /// The code, as shown.
    pub code: Option<String>,
}

impl Mail {
    /// Whether it tells an owner what happened, without having been asked for.
    pub fn is_news(&self) -> bool {
        self.link.is_empty() || self.link.contains("/account/sessions")
    }

    /// The link without its origin: for another node, or the one that came after a restart.
    pub fn path(&self) -> &str {
        let (_, path) = self.link.split_once("://").unwrap();
        &path[path.find('/').unwrap()..]
    }

    /// The token in the link.
    pub fn token(&self) -> &str {
        self.link.split_once("token=").unwrap().1
    }

    /// The path the link leads to, without its token.
    pub fn route(&self) -> &str {
        let (address, _) = self.link.split_once('?').unwrap();
        let path = address.match_indices('/').nth(2).unwrap().0;
        &address[path..]
    }

    /// The code, of a letter that has one.
    pub fn code(&self) -> &str {
        self.code.as_deref().expect("the letter has a code")
    }
}

impl From<letters::Content> for Mail {
    fn from(content: letters::Content) -> Self {
        let line = |fits: fn(&str) -> bool| content.text.lines().find(|line| fits(line));
        let is_code = |line: &str| line.len() == 9 && Code::parse(line).is_some();
        Self {
            link: line(|line| line.starts_with("http"))
                .unwrap_or_default()
                .to_owned(),
            code: line(is_code).map(str::to_owned),
            subject: content.subject,
            text: content.text,
            html: content.html,
        }
    }
}

/// A fresh value for `SECRET_KEY`.
pub fn secret_key() -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(random::bytes::<64>())
}

impl Store {
    /// One that is there already.
    pub fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            secret_key: secret_key(),
            kept: Kept::Elsewhere.into(),
        }
    }

    /// A fresh database, not yet migrated.
    pub async fn make(db: Database) -> Self {
        let (url, kept) = match db {
            Database::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("doorpost.db");
                (format!("sqlite:{}", path.display()), Kept::Folder(folder))
            }
            Database::Postgres => {
                let name = format!("house_{}", random_name());
                admin(&format!("CREATE DATABASE {name}")).await;
                let mut url = url::Url::parse(&cluster()).unwrap();
                url.set_path(&name);
                (url.into(), Kept::PostgresDatabase(name))
            }
        };
        Self {
            url,
            secret_key: secret_key(),
            kept: kept.into(),
        }
    }

    /// Takes the PostgreSQL database away, or gives it back.
    pub async fn set_away(&self, away: bool) {
        let Kept::PostgresDatabase(name) = &*self.kept else {
            panic!("SQLite is never away");
        };
        admin(&format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS {}",
            !away
        ))
        .await;
        admin(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Self::PostgresDatabase(name) = self {
            let drop = format!("DROP DATABASE {name} WITH (FORCE)");
            // A runtime of its own: the test's may be ending.
            let dropped = std::thread::spawn(move || {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                runtime.block_on(admin(&drop));
            });
            let _ = dropped.join();
        }
    }
}

fn random_name() -> String {
    random::bytes::<8>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The throw-away cluster that `tests/run` started.
#[expect(clippy::disallowed_methods, reason = "what tests/run started")]
pub fn cluster() -> String {
    std::env::var("DOORPOST_TEST_POSTGRES")
        .expect("DOORPOST_TEST_POSTGRES names a PostgreSQL cluster; tests/run starts one")
}

/// Somebody else at this database: who holds its locks, or looks past the program.
pub async fn postgres(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// How many wait for a lock in the database that this one looks at.
pub async fn waiting_for_locks(watcher: &tokio_postgres::Client) -> i64 {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database()";
    watcher.query_one(waiting, &[]).await.unwrap().get(0)
}

/// Every column of every table, one row a line.
async fn dump_postgres(url: &str) -> Vec<u8> {
    let client = postgres(url).await;
    let mut dump = String::new();
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    for table in client.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let rows = format!("SELECT t::text FROM {table} AS t");
        for row in client.query(&rows, &[]).await.unwrap() {
            dump += row.get(0);
            dump.push('\n');
        }
    }
    dump.into_bytes()
}

async fn admin(statement: &str) {
    let (client, connection) = tokio_postgres::connect(&cluster(), tokio_postgres::NoTls)
        .await
        .expect("the PostgreSQL cluster answers");
    let driven = tokio::spawn(connection);
    client.batch_execute(statement).await.unwrap();
    drop(client);
    let _ = driven.await;
}
