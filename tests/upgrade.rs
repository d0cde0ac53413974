//! A newer program on an older database: from every released schema it migrates, killed in the middle of it or
//! not, and what was there still is. What lived lives, what was used stays used, what waited leaves. And while
//! both programs run, what the older one writes is as good to the newer one.
//!
//! What an older program left behind is recorded here as it left it: a session's cookie, a letter under seal, a
//! password's hash. The schemas are `migrations/`, up to each step.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use diesel::{connection::SimpleConnection, sql_query};
use doorpost::clock::{Clock, Timestamp};
use doorpost::random::Token;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::program::{ANY_PORT, Doorpost, dressed, run};
use crate::support::{Database, PASSWORD, ScriptedServer, Store, eventually};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";

/// Who guessed until the limit stopped them.
const STRANGERS: &str = "203.0.113.9";

/// The key that all of this was sealed under.
const SECRET_KEY: &str =
    "+T22gIT9wQzYUBE6lIECTydVLxdUYvSQhlXJPnAtt8cKecUNmcbpMebo3deu5eISiBcSM2x8E2E30J5Ml7Gt5Q==";

/// Ada's session, as her browser has it and as the table does.
const COOKIE: &str = "RYatDu7q1RwSDoKfxcEWwdfm%2FFAUARCoCW90ACG2eBmlXxwp0pzWmiB8euaQrOMuSCnKh7O4fnB2x3%2FZ33WqPpoZ6wNM0Xpp++Je+pg9UzAm3yo44sZG";
const SESSION: &str = "db975b8e44a84872c05e907bd0a7bde9b4e2f6931f4dd3502f43d976a26de5b2";
const ADAS_ID: &str = "ekGR5t7yx2Rk31N0W_H95w";

/// [`PASSWORD`], hashed.
pub const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$6DA7Rz3Vg3cnxjv9eiUxlA$9u4o+0tkpH0gYAHk/DNkt1gC9oPKzN1RyVXECDQu8tY";

/// A letter to Ada that waits, and the hash of the link in it.
const LETTER: &[u8] = include_bytes!("upgrade/letter.sealed");
const WAITING_LINK: &str = "6a234e56846a0dcc0a86ca18fc2b99f486dd7310dc7a2949b05744f68a453bb7";

/// The release with passwords, and the one with programs.
const PASSWORDS: usize = 2;
const PROGRAMS: usize = 5;

/// One migration.
struct Step {
    name: String,
    sql: String,
}

impl Step {
    /// As the table of migrations has it: the digits that its folder's name begins with.
    fn version(&self) -> String {
        let (date, _) = self.name.split_once('_').unwrap();
        date.replace('-', "")
    }

    /// The first table of an earlier release that it touches.
    fn touches(&self) -> Option<&str> {
        let (_, rest) = self.sql.split_once("ALTER TABLE ")?;
        rest.split_whitespace().next()
    }

    /// Its statements, without what is said about them.
    fn statements(&self) -> Vec<String> {
        let code = self.sql.lines().map(|line| match line.split_once("--") {
            Some((code, _)) => code,
            None => line,
        });
        let code: String = code.flat_map(|line| [line, " "]).collect();
        let statements = code.split(';').map(|statement| {
            let words: Vec<&str> = statement.split_whitespace().collect();
            words.join(" ")
        });
        statements
            .filter(|statement| !statement.is_empty())
            .collect()
    }
}

fn steps(db: Database) -> Vec<Step> {
    let folder = match db {
        Database::Sqlite => "migrations/sqlite",
        Database::Postgres => "migrations/postgres",
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let step = |folder: &PathBuf| Step {
        name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
        sql: fs::read_to_string(folder.join("up.sql")).unwrap(),
    };
    folders.iter().map(step).collect()
}

/// A database as an older release left it, and what somebody holds who was here then.
struct Released {
    db: Database,
    store: Store,
    /// How many steps it has taken.
    step: usize,
    used: Token,
    live: Token,
    refresh: Token,
}

impl Released {
    async fn at(db: Database, step: usize) -> Self {
        let mut store = Store::make(db).await;
        store.secret_key = SECRET_KEY.to_owned();
        let released = Self {
            db,
            store,
            step: 0,
            used: Token::draw(),
            live: Token::draw(),
            refresh: Token::draw(),
        };
        released.migrated_to(step).await
    }

    async fn migrated_to(self, step: usize) -> Self {
        let notes = "CREATE TABLE IF NOT EXISTS __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
                     run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";
        self.execute(notes).await;
        for taken in &steps(self.db)[self.step..step] {
            self.execute(&taken.sql).await;
            let version = taken.version();
            self.execute(&format!(
                "INSERT INTO __diesel_schema_migrations (version) VALUES ('{version}')"
            ))
            .await;
        }
        Self { step, ..self }
    }

    /// What the release of this step wrote: its own columns, and no others.
    async fn lived_in(&self, release: usize) {
        let now = Clock::System.now();
        self.execute(&self.people(now, release)).await;
        self.execute(&self.links_and_mail(now)).await;
        if release >= PROGRAMS {
            self.execute(&self.program(now)).await;
        }
    }

    fn people(&self, now: Timestamp, release: usize) -> String {
        let (of_password, password) = match release {
            PASSWORDS.. => (
                ", password_hash, password_set_at",
                format!(", '{HASH}', {now}"),
            ),
            _ => ("", String::new()),
        };
        let session = self.blob(SESSION);
        format!(
            "INSERT INTO users (id, email, created_at, known_since{of_password}) VALUES ('{ADAS_ID}', '{ADA}', {now}, {now}{password});
             INSERT INTO sessions (token_hash, id, user_id, auth_method, shared, created_at, last_seen_at, ip, browser)
                 VALUES ({session}, 'FNUHhIuP7gs1NRCwfH4pqQ', '{ADAS_ID}', 'email_link', FALSE, {now}, {now}, '127.0.0.1', 'Firefox');
             INSERT INTO invitations (email, invited_at) VALUES ('carol@example.org', {now});
             INSERT INTO limits (name, subject, count, ends_at) VALUES ('token_per_network', '{STRANGERS}', 1000, {now} + 3600000)"
        )
    }

    fn links_and_mail(&self, now: Timestamp) -> String {
        let hash = |token: &Token| self.blob(&hex(token.hash().as_bytes()));
        let (used, live, waiting) = (hash(&self.used), hash(&self.live), self.blob(WAITING_LINK));
        let letter = self.blob(&hex(LETTER));
        let times = format!("{now} - 5000, {now} + 600000");
        format!(
            "INSERT INTO links (token_hash, purpose, email, user_id, asked_at, expires_at, used_at, keep_until) VALUES
                 ({used}, 'confirm_email', '{ADA}', '{ADAS_ID}', {times}, {now} - 1000, {now} + 86400000),
                 ({live}, 'confirm_email', '{BOB}', NULL, {times}, NULL, {now} + 86400000),
                 ({waiting}, 'sign_in', '{ADA}', '{ADAS_ID}', {times}, NULL, {now} + 86400000);
             INSERT INTO outbox (id, letter, email, state, body, link_hash, queued_at, useful_until, due_at, tries)
                 VALUES ('SeKO5vqISuo02kqsgJ8bPw', 'sign_in', '{ADA}', 'queued', {letter}, {waiting}, {times}, {now} + 600000, 0)"
        )
    }

    fn program(&self, now: Timestamp) -> String {
        let refresh = self.blob(&hex(self.refresh.hash().as_bytes()));
        let session = self.blob(&"17".repeat(32));
        format!(
            "INSERT INTO sessions (token_hash, id, user_id, auth_method, shared, created_at, last_seen_at, ip, browser, for_program)
                 VALUES ({session}, 'UHJvZ3JhbSBvZiBBZGFzIQ', '{ADAS_ID}', 'password', FALSE, {now}, {now}, '127.0.0.1', 'a program', TRUE);
             INSERT INTO refresh_tokens (token_hash, session_id, issued_at, expires_at)
                 VALUES ({refresh}, 'UHJvZ3JhbSBvZiBBZGFzIQ', {now}, {now} + 86400000)"
        )
    }

    fn blob(&self, hex: &str) -> String {
        match self.db {
            Database::Sqlite => format!("X'{hex}'"),
            Database::Postgres => format!("'\\x{hex}'::bytea"),
        }
    }

    async fn execute(&self, statements: &str) {
        match self.db {
            Database::Sqlite => self.sqlite().batch_execute(statements).unwrap(),
            Database::Postgres => {
                let client = self.postgres().await;
                client.batch_execute(statements).await.unwrap();
            }
        }
    }

    /// How many steps the database says it has taken.
    async fn taken(&self) -> usize {
        const COUNT: &str = "SELECT count(*) AS n FROM __diesel_schema_migrations";
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let count = match self.db {
            Database::Sqlite => {
                let count: Count = sql_query(COUNT).get_result(&mut self.sqlite()).unwrap();
                count.n
            }
            Database::Postgres => {
                let row = self.postgres().await.query_one(COUNT, &[]).await;
                row.unwrap().get(0)
            }
        };
        count as usize
    }

    #[expect(clippy::disallowed_methods, reason = "it plays another program")]
    fn sqlite(&self) -> SqliteConnection {
        let path = self.store.url.strip_prefix("sqlite:").unwrap();
        let mut conn = SqliteConnection::establish(path).unwrap();
        conn.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
        conn
    }

    async fn postgres(&self) -> Client {
        let connected = tokio_postgres::connect(&self.store.url, NoTls);
        let (client, connection) = connected.await.unwrap();
        tokio::spawn(connection);
        client
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The program of today on such a database.
struct Today {
    server: ScriptedServer,
    smtp: String,
    folder: tempfile::TempDir,
    url: String,
}

impl Today {
    fn on(released: &Released) -> Self {
        let server = ScriptedServer::start();
        Self {
            smtp: server.url(),
            server,
            folder: tempfile::tempdir().unwrap(),
            url: released.store.url.clone(),
        }
    }

    fn variables(&self) -> [(&str, &str); 7] {
        [
            ANY_PORT,
            ("DATABASE_URL", &self.url),
            ("SECRET_KEY", SECRET_KEY),
            ("SMTP_URL", &self.smtp),
            ("TRUSTED_PROXIES", "127.0.0.1/32"),
            ("ARGON2_MEMORY_KIB", "64"),
            ("ARGON2_PASSES", "1"),
        ]
    }

    fn start(&self) -> Doorpost {
        Doorpost::start(self.folder.path(), &self.variables())
    }

    fn limited(&self, limit: &str) -> Doorpost {
        Doorpost::limited(limit, self.folder.path(), &self.variables())
    }

    /// What was there still is, to those who were there then.
    async fn keeps_what_was_there(&self, released: &Released, release: usize) {
        released
            .execute("UPDATE outbox SET due_at = queued_at WHERE state = 'queued'")
            .await;
        let doorpost = self.start().when_up();
        assert_eq!(released.taken().await, steps(released.db).len());
        let mail = self.server.letter_for(ADA).await.mail();
        let by_link = doorpost.visitor().use_link(&mail, ADA).await;
        by_link.goes_on_to("/account");
        let ada = doorpost.visitor();
        ada.set_cookie("doorpost", COOKIE);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        if release >= PASSWORDS {
            let by_password = doorpost.visitor().enter(ADA, PASSWORD).await;
            by_password.goes_on_to("/account");
        }

        let confirmed = async |token: &Token, address| {
            let fields = [("token", token.reveal()), ("email", address)];
            doorpost.visitor().post("/confirm-email", &fields).await
        };
        let used = confirmed(&released.used, ADA).await;
        used.says_the_link_is_gone();
        confirmed(&released.live, BOB).await.goes_on_to("/account");
        let used = confirmed(&released.live, BOB).await;
        used.says_the_link_is_gone();

        let guessing = doorpost.visitor().calling_from(STRANGERS);
        let guessed = guessing.get("/sign-in/link?token=junk").await;
        assert_eq!(guessed.status, StatusCode::TOO_MANY_REQUESTS);
        if release >= PROGRAMS {
            let refresh = released.refresh.reveal();
            let next = refreshed(&doorpost, refresh).await.expect("it is unused");
            assert!(refreshed(&doorpost, &next).await.is_some());
            assert_eq!(refreshed(&doorpost, refresh).await, None, "it is used");
        }
    }
}

/// The refresh token that takes this one's place, if one does.
async fn refreshed(doorpost: &Doorpost, token: &str) -> Option<String> {
    let grant = json!({"grant_type": "refresh_token", "refresh_token": token});
    let program = doorpost.visitor();
    let request = program
        .request(Method::POST, "/api/v1/tokens")
        .header("content-type", "application/json")
        .body(grant.to_string());
    let page = program.send(request).await;
    let tokens: Value = serde_json::from_str(&page.body).unwrap();
    tokens["refresh_token"].as_str().map(str::to_owned)
}

on_both! {
    /// FLT-10
    async fn whatever_the_release_what_was_there_still_is(db: Database) {
        for release in 1..=steps(db).len() {
            let released = Released::at(db, release).await;
            released.lived_in(release).await;
            let today = Today::on(&released);
            today.keeps_what_was_there(&released, release).await;
        }
    }

    /// FLT-16: while nodes are replaced, the older ones go on writing as they know how to.
    async fn what_an_older_program_writes_beside_a_newer_one_is_as_good(db: Database) {
        let newest = steps(db).len();
        for release in 1..newest {
            let released = Released::at(db, newest).await;
            released.lived_in(release).await;
            let today = Today::on(&released);
            today.keeps_what_was_there(&released, release).await;
        }
    }
}

on_both! {
    /// FLT-10: what a newer release has done to the tables is in nobody's way, unless it says that it is.
    async fn an_older_program_refuses_only_tables_that_are_marked_as_none_of_its(db: Database) {
        const REFUSED: &str = "the tables are those of a newer release, which this program cannot use \
                               (migration 20990101000002breaks): start the newer one";
        let released = Released::at(db, steps(db).len()).await;
        let note = async |version: &str| {
            let noted = format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{version}')");
            released.execute(&noted).await;
        };
        let today = Today::on(&released);
        for version in ["20990101000001", "own_20990101000001breaks"] {
            note(version).await;
        }
        let doorpost = today.start().when_up();
        assert_eq!(doorpost.visitor().get("/readyz").await.status, StatusCode::OK);

        note("20990101000002breaks").await;
        let beside = doorpost.visitor().get("/readyz").await;
        assert_eq!(beside.status, StatusCode::SERVICE_UNAVAILABLE, "one that runs already is told apart");
        let checked = run(today.folder.path(), &["check"], &today.variables());
        let said = String::from_utf8(checked.stdout).unwrap();
        assert!(said.contains(&format!("database       FAILED  {REFUSED}")), "{said}");
        let mut again = today.start();
        assert_eq!(again.ends(), Some(1), "{}", again.log());
        assert!(again.log().contains(REFUSED), "{}", again.log());
    }
}

/// FLT-10: whoever writes beyond the limit is killed, at that byte. So each run gets a page further than the one
/// before it, until one gets through.
#[tokio::test]
async fn killed_at_whatever_page_it_writes_a_migration_of_sqlite_is_done_or_not_done() {
    let newest = steps(Database::Sqlite).len();
    for release in 1..newest {
        let released = Released::at(Database::Sqlite, release).await;
        released.lived_in(release).await;
        let today = Today::on(&released);
        let mut kills = 0;
        for pages in FEWEST_PAGES.. {
            let mut doorpost = today.limited(&format!("-f {}", pages * BLOCKS_OF_A_PAGE));
            if comes_up(&mut doorpost) {
                break;
            }
            kills += 1;
            let taken = released.taken().await;
            assert!([release, newest].contains(&taken), "{taken} of {newest}");
        }
        assert!(kills > 0, "from {release} it was never killed");
        today.keeps_what_was_there(&released, release).await;
    }
}

/// What SQLite needs to begin with: with less it cannot make the index of its log.
const FEWEST_PAGES: usize = 8;

/// `ulimit` counts in blocks of 512 bytes.
const BLOCKS_OF_A_PAGE: usize = 8;

/// Whether it gets as far as serving; else it was killed.
fn comes_up(doorpost: &mut Doorpost) -> bool {
    loop {
        if doorpost.log().contains("listening") {
            return true;
        }
        if !doorpost.lives() {
            assert_eq!(
                doorpost.ends(),
                None,
                "no code, but a signal: {}",
                doorpost.log()
            );
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// FLT-10: somebody holds what the step needs, so that it is in the middle of it when it is killed.
#[tokio::test]
async fn killed_in_whatever_step_a_migration_of_postgresql_is_begun_anew() {
    for (release, step) in steps(Database::Postgres).iter().enumerate().skip(1) {
        let released = Released::at(Database::Postgres, release).await;
        released.lived_in(release).await;
        let today = Today::on(&released);
        let holder = released.postgres().await;
        let hold = match step.touches() {
            Some(table) => format!("BEGIN; LOCK TABLE {table} IN ACCESS SHARE MODE"),
            None => format!("BEGIN; SELECT pg_advisory_xact_lock({MIGRATING})"),
        };
        holder.batch_execute(&hold).await.unwrap();
        let doorpost = today.start();
        eventually(&format!("{} waits", step.name), async || {
            let waits = released.postgres().await.query_one(WAITS, &[]).await;
            waits.unwrap().get::<_, i64>(0) > 0
        })
        .await;
        doorpost.killed();
        assert_eq!(released.taken().await, release);
        drop(holder);
        today.keeps_what_was_there(&released, release).await;
    }
}

/// The lock under which one node migrates.
const MIGRATING: i64 = 7_237_125_663_510_983_540;

const WAITS: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// FLT-16: the program of the release before and this one on one database, while the nodes are replaced: whoever
/// visits meets now the one and now the other, and every step answers as it should.
///
/// ```text
/// ROLLING_OLD=/path/to/doorpost ROLLING_SECONDS=300 tests/run --ignored rolling
/// ```
#[tokio::test]
#[ignore = "ROLLING_OLD has to name the program of the release before"]
async fn rolling_old_and_new_serve_the_same_visitors() {
    let store = Store::make(Database::Postgres).await;
    let server = ScriptedServer::start();
    let smtp = server.url();
    let variables = [
        ANY_PORT,
        ("DATABASE_URL", store.url.as_str()),
        ("SECRET_KEY", store.secret_key.as_str()),
        ("SMTP_URL", smtp.as_str()),
        ("ARGON2_MEMORY_KIB", "64"),
        ("ARGON2_PASSES", "1"),
        ("LIMIT_MAIL_GAP", "off"),
        ("LIMIT_MAIL_PER_NETWORK", "off"),
        ("LIMIT_PASSWORD_PER_NETWORK", "off"),
    ];
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let program = Command::new(chosen("ROLLING_OLD").unwrap());
    let old = Doorpost::spawned(dressed(program, folders[0].path(), &variables)).when_up();
    let new = Doorpost::serving(folders[1].path(), &variables);
    let seconds = chosen("ROLLING_SECONDS").map_or(20, |seconds| seconds.parse().unwrap());
    let began = Instant::now();
    let mut visits = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        let nodes = match visits % 2 {
            0 => [&old, &new],
            _ => [&new, &old],
        };
        visit_both(nodes, &server, &format!("guest-{visits}@example.org")).await;
        visits += 1;
    }
    let trouble = |node: &Doorpost| node.log().contains("status=5");
    assert!(
        !trouble(&old) && !trouble(&new),
        "an answer was one of trouble"
    );
    println!("{visits} visits in {seconds} s");
}

/// Every step at the other node than the one before it.
async fn visit_both([here, there]: [&Doorpost; 2], server: &ScriptedServer, address: &str) {
    let guest = here.visitor().lenient();
    let elsewhere = guest.moved_to(&there.url);
    guest.ask("/register", address).await.sees_inbox_page();
    let mail = server.letter_for(address).await.mail();
    let fields = [("token", mail.token()), ("password", PASSWORD)];
    let begun = elsewhere.post("/confirm-email", &fields).await;
    begun.goes_on_to("/account");
    assert_eq!(guest.signed_in_as().await.as_deref(), Some(address));
    elsewhere.post("/sign-out", &[]).await.goes_on_to("/");
    assert_eq!(guest.signed_in_as().await, None);
    elsewhere.ask("/sign-in", address).await.sees_inbox_page();
    let letters = server.letters_for(address, 2).await;
    let mut mails = letters.iter().map(|letter| letter.mail());
    let mail = mails.rfind(|mail| !mail.is_news()).unwrap();
    guest.click(mail.path()).await.goes_on_to("/account");
    elsewhere
        .enter(address, PASSWORD)
        .await
        .goes_on_to("/account");
    let gone = guest.post("/account/delete", &[("email", address)]).await;
    gone.goes_on_to("/");
    assert_eq!(elsewhere.signed_in_as().await, None);
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs it names the other program"
)]
fn chosen(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// FLT-16: the release before goes on working on what the next one has migrated. So a migration only adds, and
/// what it adds to a table that is there already needs nothing of those who do not know it. One that does more says so in
/// its name, and the release before refuses to serve on what it leaves.
#[test]
fn a_migration_only_adds() {
    for db in [Database::Sqlite, Database::Postgres] {
        for step in steps(db)
            .iter()
            .skip(1)
            .filter(|step| !step.version().ends_with("breaks"))
        {
            let statements = step.statements();
            let made: Vec<&str> = statements
                .iter()
                .filter_map(|statement| statement.strip_prefix("CREATE TABLE "))
                .filter_map(|rest| rest.split(' ').next())
                .collect();
            for statement in &statements {
                assert!(only_adds(statement, &made), "{}: {statement}", step.name);
            }
        }
    }
}

fn only_adds(statement: &str, made: &[&str]) -> bool {
    let words: Vec<&str> = statement.split(' ').collect();
    match words[..] {
        ["CREATE", "TABLE" | "INDEX", ..] | ["DROP", "INDEX", ..] => true,
        ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] => made.contains(&table),
        ["ALTER", "TABLE", _, "ADD", "COLUMN", _, _, ref rest @ ..] => {
            let rest = rest.join(" ");
            let binds = ["UNIQUE", "CHECK", "PRIMARY"];
            (!rest.contains("NOT NULL") || rest.contains("DEFAULT"))
                && !binds.iter().any(|word| rest.contains(word))
        }
        _ => false,
    }
}

#[test]
fn what_takes_away_or_binds_is_seen() {
    for statement in [
        "DROP TABLE links",
        "ALTER TABLE links DROP COLUMN email",
        "ALTER TABLE links RENAME COLUMN email TO address",
        "ALTER TABLE links ADD COLUMN kind TEXT NOT NULL",
        "ALTER TABLE links ADD COLUMN kind TEXT UNIQUE",
        "ALTER TABLE links ALTER COLUMN email SET NOT NULL",
        "CREATE UNIQUE INDEX links_by_email ON links (email)",
        "UPDATE links SET email = lower(email)",
    ] {
        assert!(!only_adds(statement, &[]), "{statement}");
    }
}
