//! What a start needs, and what `doorpost check` finds beforehand: files, the address, the database and its rights, the
//! key, the settings. Whatever would stop the start fails the check, in the same words; and the check changes nothing.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use doorpost::accounts::key_probe::{self, Proof};
use doorpost::config::SecretKey;
use doorpost::keys::Keys;
use reqwest::StatusCode;
use tempfile::TempDir;

use crate::program::{ANY_PORT, Doorpost, dressed, empty_folder, everything_in, run};
use crate::support::{Database, House, Store, postgres, secret_key};

const DOORPOST: &str = env!("CARGO_BIN_EXE_doorpost");

/// Not root, and owner of nothing.
const NOBODY: u32 = 65534;

type Variables<'a> = &'a [(&'a str, &'a str)];

/// The line of `doorpost check` on this part.
#[track_caller]
fn line_on(part: &str, ended: &Output) -> String {
    let said = String::from_utf8(ended.stdout.clone()).unwrap();
    let line = said.lines().find(|line| line.starts_with(part));
    line.unwrap_or_else(|| panic!("nothing on the {part}: {ended:?}"))
        .to_owned()
}

/// The check fails at this part, and a start ends, both in these words.
#[track_caller]
fn stops_the_start(folder: &Path, variables: Variables<'_>, part: &str, words: &str) {
    let before = everything_in(folder);
    let checked = run(folder, &["check"], variables);
    let line = line_on(part, &checked);
    assert_eq!(checked.status.code(), Some(1), "{line}");
    assert!(
        line.contains("FAILED") && line.contains(words),
        "{words}: {line}"
    );
    assert_eq!(everything_in(folder), before, "a check changes nothing");
    let mut doorpost = Doorpost::start(folder, variables);
    assert_eq!(doorpost.ends(), Some(1), "{}", doorpost.log());
    assert!(
        doorpost.log().contains(words),
        "{words}: {}",
        doorpost.log()
    );
}

// --- files ---

#[test]
fn a_place_where_no_file_can_be_made_is_found_and_named() {
    let folder = empty_folder();
    fs::write(folder.path().join("data"), "somebody's file").unwrap();
    let place = format!("{}/data: Not a directory", folder.path().display());
    stops_the_start(folder.path(), &[ANY_PORT], "database", &place);
    stops_the_start(folder.path(), &[ANY_PORT], "key", &place);

    let folder = empty_folder();
    let nowhere = ("DATABASE_URL", "sqlite:/proc/doorpost/doorpost.db");
    stops_the_start(
        folder.path(),
        &[ANY_PORT, nowhere],
        "database",
        "no file can be made in /proc: ",
    );
}

/// Somebody who is not root runs the program, as a service does.
struct Guest {
    folder: TempDir,
    program: TempDir,
}

impl Guest {
    fn new() -> Self {
        let (folder, program) = (empty_folder(), empty_folder());
        for open in [&folder, &program] {
            fs::set_permissions(open.path(), Permissions::from_mode(0o755)).unwrap();
        }
        // Where the tests were built, perhaps nobody else may look.
        fs::copy(DOORPOST, program.path().join("doorpost")).unwrap();
        Self { folder, program }
    }

    fn runs(&self, arguments: &[&str]) -> Output {
        let program = Command::new(self.program.path().join("doorpost"));
        let mut command = dressed(program, self.folder.path(), &[ANY_PORT]);
        if self.is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.args(arguments).output().unwrap()
    }

    fn is_root(&self) -> bool {
        fs::metadata(self.folder.path()).unwrap().uid() == 0
    }

    /// The start and the check fail in these words.
    #[track_caller]
    fn is_stopped(&self, part: &str, words: &str) {
        let checked = self.runs(&["check"]);
        let line = line_on(part, &checked);
        assert!(
            line.contains("FAILED") && line.contains(words),
            "{words}: {line}"
        );
        let started = self.runs(&[]);
        let log = String::from_utf8(started.stdout).unwrap();
        assert_eq!(started.status.code(), Some(1), "{log}");
        assert!(log.contains(words), "{words}: {log}");
        // Only root has files that are somebody else's.
        let whose = format!("it belongs to user 0, and this is user {NOBODY}");
        assert_eq!(self.is_root(), line.contains(&whose), "{line}");
    }

    fn allow(&self, name: &str, mode: u32) {
        fs::set_permissions(self.folder.path().join(name), Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_folder_or_file_that_is_not_ours_is_found_and_named() {
    let guest = Guest::new();
    guest.allow("", 0o555);
    let here = format!(
        "no file can be made in {}: Permission denied",
        guest.folder.path().display()
    );
    guest.is_stopped("database", &here);
    guest.is_stopped("key", &here);

    guest.allow("", 0o755);
    fs::create_dir(guest.folder.path().join("data")).unwrap();
    guest.allow("data", 0o500);
    let data = format!("{}/data: Permission denied", guest.folder.path().display());
    guest.is_stopped("database", &data);

    // What root's first try has left behind.
    guest.allow("data", 0o777);
    drop(Doorpost::serving(guest.folder.path(), &[ANY_PORT]));
    guest.allow("data/secret_key", 0o000);
    guest.is_stopped("key", "the secret key data/secret_key: Permission denied");
    guest.allow("data/secret_key", 0o444);
    for file in fs::read_dir(guest.folder.path().join("data")).unwrap() {
        let file = file.unwrap().path();
        fs::set_permissions(file, Permissions::from_mode(0o444)).unwrap();
    }
    guest.is_stopped("database", "attempt to write a readonly database");
    guest.allow("", 0o755); // so that it can be cleared away
}

// --- whether it serves ---

/// What a container is asked: by its own program, for there is no other.
#[tokio::test]
async fn whether_it_serves_is_said_by_itself() {
    let store = Store::make(Database::Postgres).await;
    let folder = empty_folder();
    let variables = [
        ("DATABASE_URL", store.url.as_str()),
        ("SECRET_KEY", store.secret_key.as_str()),
    ];
    let mut doorpost = Doorpost::serving(folder.path(), &[&variables[..], &[ANY_PORT]].concat());
    let address = doorpost.url.strip_prefix("http://").unwrap().to_owned();
    let asked = || {
        run(
            folder.path(),
            &["health"],
            &[&variables[..], &[("BIND_ADDRESS", &address)]].concat(),
        )
    };
    let well = asked();
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    let said = String::from_utf8(well.stdout).unwrap();
    assert!(
        said.starts_with(r#"{"database":"ok""#) && said.ends_with("}\n"),
        "{said}"
    );

    let tables = postgres(&store.url).await;
    tables
        .batch_execute("DELETE FROM __diesel_schema_migrations")
        .await
        .unwrap();
    let unready = asked();
    assert_eq!(unready.status.code(), Some(1), "{unready:?}");
    let said = String::from_utf8(unready.stdout).unwrap();
    assert!(said.starts_with(r#"{"database":"away""#), "{said}");

    doorpost.signal("TERM");
    assert_eq!(doorpost.ends(), Some(0));
    let gone = asked();
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    let said = String::from_utf8(gone.stderr).unwrap();
    assert!(
        said.starts_with(&format!("doorpost: nothing answers at {address}: ")),
        "{said}"
    );
}

// --- the address ---

#[test]
fn an_address_that_is_taken_is_found_unless_a_doorpost_has_it() {
    let folder = empty_folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = format!("BIND_ADDRESS {address}: Address already in use");
    stops_the_start(
        folder.path(),
        &[("BIND_ADDRESS", &address)],
        "address",
        &words,
    );
    // An address of the documentation's, which no machine has.
    let elsewhere = [
        ("BIND_ADDRESS", "192.0.2.1:8080"),
        ("PUBLIC_URL", "https://sign.example.test"),
    ];
    let checked = run(
        folder.path(),
        &["check"],
        &[&elsewhere[..], &IN_EARNEST].concat(),
    );
    assert!(line_on("address", &checked).contains("FAILED  BIND_ADDRESS 192.0.2.1:8080: "));

    let folder = empty_folder();
    let doorpost = Doorpost::serving(folder.path(), &[ANY_PORT]);
    let address = doorpost.url.strip_prefix("http://").unwrap();
    let checked = run(folder.path(), &["check"], &[("BIND_ADDRESS", address)]);
    assert_eq!(
        line_on("address", &checked),
        format!("address        ok      a Doorpost listens at {address}")
    );
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

/// What a site on the Internet needs besides its address.
const IN_EARNEST: [(&str, &str); 3] = [
    (
        "SECRET_KEY",
        "+T22gIT9wQzYUBE6lIECTydVLxdUYvSQhlXJPnAtt8cKecUNmcbpMebo3deu5eISiBcSM2x8E2E30J5Ml7Gt5Q==",
    ),
    ("SMTP_URL", "smtp://127.0.0.1:1"),
    ("MAIL_FROM", "doorpost@example.test"),
];

// --- PostgreSQL's rights ---

async fn execute(url: &str, statements: &str) {
    postgres(url).await.batch_execute(statements).await.unwrap();
}

/// A role of a test's own, and the URL by which it comes to a database.
struct Role {
    name: String,
    admin: String,
    url: String,
}

impl Role {
    async fn at(store: &Store) -> Self {
        let (_, database) = store.url.rsplit_once('/').unwrap();
        let name = format!("role_of_{database}");
        execute(&store.url, &format!("CREATE ROLE {name} LOGIN")).await;
        let mut url = url::Url::parse(&store.url).unwrap();
        url.set_username(&name).unwrap();
        Self {
            name,
            admin: store.url.clone(),
            url: url.into(),
        }
    }

    async fn is_given(&self, statements: &str) {
        execute(&self.admin, &statements.replace("THE_ROLE", &self.name)).await;
    }

    /// Roles outlive databases.
    async fn ends(self) {
        let drop = format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name);
        execute(&self.admin, &drop).await;
    }
}

#[tokio::test]
async fn a_role_that_may_not_do_what_a_start_does_is_found_and_told_what_it_lacks() {
    let store = Store::make(Database::Postgres).await;
    let role = Role::at(&store).await;
    let folder = empty_folder();
    let key = ("SECRET_KEY", store.secret_key.as_str());
    let by_role = [ANY_PORT, key, ("DATABASE_URL", role.url.as_str())];
    let by_admin = [ANY_PORT, key, ("DATABASE_URL", store.url.as_str())];

    // Since PostgreSQL 15.
    role.is_given("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        .await;
    let lacks = format!(
        "the role {} may not make tables in the schema public",
        role.name
    );
    stops_the_start(folder.path(), &by_role, "database", &lacks);
    role.is_given("ALTER ROLE THE_ROLE SET search_path = nowhere")
        .await;
    let lacks = format!("the role {} has no schema to make tables in", role.name);
    stops_the_start(folder.path(), &by_role, "database", &lacks);
    role.is_given("ALTER ROLE THE_ROLE RESET search_path").await;

    drop(Doorpost::serving(folder.path(), &by_admin));
    role.is_given("GRANT SELECT ON ALL TABLES IN SCHEMA public TO THE_ROLE")
        .await;
    let lacks = "the database cannot be written to: permission denied for table key_probe";
    stops_the_start(folder.path(), &by_role, "database", lacks);
    role.is_given("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO THE_ROLE")
        .await;
    role.is_given("ALTER ROLE THE_ROLE SET default_transaction_read_only = on")
        .await;
    let lacks =
        "the database cannot be written to: cannot execute UPDATE in a read-only transaction";
    stops_the_start(folder.path(), &by_role, "database", lacks);

    // Once another role has made the tables, one that may only fill them is enough.
    role.is_given("ALTER ROLE THE_ROLE RESET default_transaction_read_only")
        .await;
    let checked = run(folder.path(), &["check"], &by_role);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let doorpost = Doorpost::serving(folder.path(), &by_role);
    doorpost
        .visitor()
        .ask("/register", "ada@example.org")
        .await
        .sees_inbox_page();
    doorpost.mail_to("ada@example.org").await;
    drop(doorpost);
    role.ends().await;
}

#[tokio::test]
async fn a_check_of_an_empty_postgresql_leaves_it_empty() {
    let store = Store::make(Database::Postgres).await;
    let folder = empty_folder();
    let variables = [ANY_PORT, ("DATABASE_URL", store.url.as_str())];
    let line = line_on("database", &run(folder.path(), &["check"], &variables));
    assert!(
        line.contains("ok      it answers, and can be written to; the next start applies "),
        "{line}"
    );
    let is_empty = "DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_tables WHERE schemaname = 'public') = 0; END $$";
    execute(&store.url, is_empty).await;
}

// --- the key ---

fn keys(current: &str, old: &[&str]) -> Keys {
    let key = |text: &str| SecretKey::parse(text).unwrap();
    let old: Vec<SecretKey> = old.iter().copied().map(key).collect();
    Keys::new(&key(current), &old).unwrap()
}

on_both! {
    /// Node by node, as docs/deploy.md has it; a node may start again amid it with the settings it had.
    async fn a_key_that_is_replaced_in_rounds_always_fits(db: Database) {
        let house = House::new(db).await;
        let (old, new, other) = (secret_key(), secret_key(), secret_key());
        let starts = async |current: &str, before: &[&str]| {
            let keys = keys(current, before);
            house.app.transaction(move |tx| key_probe::prove(tx, Some(&keys))).await.unwrap()
        };
        let misfit = |sealed_by: &str| Proof::Misfit { sealed_by: keys(sealed_by, &[]).id().to_owned() };
        let rounds: [(&str, &[&str]); 4] = [(&old, &[]), (&old, &[&new]), (&new, &[&old]), (&new, &[])];
        for round in rounds.windows(2) {
            let ((before, old_before), (now, old_now)) = (round[0], round[1]);
            for (current, old) in [(before, old_before), (before, old_before), (now, old_now), (before, old_before), (now, old_now), (now, old_now)] {
                assert_eq!(starts(current, old).await, Proof::Fits);
            }
        }
        assert_eq!(starts(&old, &[]).await, misfit(&new), "the settings of before, from a copy");
        assert_eq!(starts(&other, &[&old]).await, misfit(&new));
        assert_eq!(starts(&other, &[&old]).await, misfit(&new), "and it stays noticed");
        assert_eq!(starts(&new, &[]).await, Proof::Fits);
    }

    async fn a_key_that_is_not_the_databases_is_told_at_each_start_until_it_is_adopted(db: Database) {
        let store = Store::make(db).await;
        let folder = empty_folder();
        let (right, wrong) = (store.secret_key.clone(), secret_key());
        let with = |key: &str, old: &str| {
            let variables = [ANY_PORT, ("DATABASE_URL", &store.url), ("SECRET_KEY", key), ("SECRET_KEYS_OLD", old)];
            variables.map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        let complains = |key: &str, old: &str| {
            let settings = with(key, old);
            let variables = settings.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
            let checked = run(folder.path(), &["check"], &variables);
            let line = line_on("key", &checked);
            let log = Doorpost::serving(folder.path(), &variables).log();
            let told = |text: &str| text.contains("does not open what is in this database") && text.contains("look at SECRET_KEY ");
            assert_eq!(told(&line), told(&log), "{line}: {log}");
            assert_eq!(told(&line), checked.status.code() == Some(1), "{checked:?}");
            for secret in [&right, &wrong] {
                assert!(!log.contains(secret) && !line.contains(secret), "{log}");
            }
            told(&log)
        };
        assert!(!complains(&right, ""), "the first one is right");
        for _ in 0..2 {
            assert!(complains(&wrong, ""));
        }
        assert!(!complains(&right, ""), "the right one has lost nothing by it");
        assert!(!complains(&wrong, &right), "a new one that knows the old one");
        assert!(!complains(&wrong, ""));
        assert!(complains(&right, ""));
        let settings = with(&right, "");
        let variables = settings.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        let tried = || String::from_utf8(run(folder.path(), &["keys", "adopt", "--dry-run"], &variables).stdout).unwrap();
        let (this, other) = (keys(&right, &[]), keys(&wrong, &[]));
        let would = format!("Would take key {} for the key of this database, and give up key {}", this.id(), other.id());
        assert!(tried().starts_with(&would), "{}", tried());
        assert!(complains(&right, ""), "it was only tried");
        let adopted = run(folder.path(), &["keys", "adopt"], &variables);
        let said = format!("Key {} is the key of this database from now on.\n", keys(&right, &[]).id());
        assert_eq!(String::from_utf8(adopted.stdout).unwrap(), said);
        assert_eq!(tried(), format!("Key {} opens what is in this database.\n", this.id()));
        assert!(!complains(&right, ""));
    }
}

/// Started in another folder, it would make a key there.
#[test]
fn a_key_that_would_be_made_beside_a_database_that_has_one_is_told() {
    let (home, elsewhere) = (empty_folder(), empty_folder());
    drop(Doorpost::serving(home.path(), &[ANY_PORT]));
    let url = format!("sqlite:{}/data/doorpost.db", home.path().display());
    let variables = [ANY_PORT, ("DATABASE_URL", url.as_str())];
    let line = line_on("key", &run(elsewhere.path(), &["check"], &variables));
    assert!(
        line.contains("FAILED  a key made now does not open") && line.contains("kept in data/"),
        "{line}"
    );
    assert!(everything_in(elsewhere.path()).is_empty());
    let doorpost = Doorpost::serving(elsewhere.path(), &variables);
    doorpost.says("does not open what is in this database");
}

// --- a database that comes up late ---

#[tokio::test]
async fn a_postgresql_that_comes_up_late_is_waited_for() {
    let store = Store::make(Database::Postgres).await;
    let folder = empty_folder();
    let server = url::Url::parse(&store.url).unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut late = server.clone();
    late.set_port(Some(port)).unwrap();
    let doorpost = Doorpost::start(folder.path(), &[ANY_PORT, ("DATABASE_URL", late.as_str())]);
    doorpost.says("waiting for the database, for 30 s at the most");
    forward(port, format!("127.0.0.1:{}", server.port().unwrap()));
    let doorpost = doorpost.when_up();
    assert_eq!(
        doorpost.visitor().get("/readyz").await.status,
        StatusCode::OK,
        "{}",
        doorpost.log()
    );
    assert_eq!(
        doorpost.log().matches("waiting for the database").count(),
        1,
        "{}",
        doorpost.log()
    );
}

/// Whoever calls this port comes to that server.
fn forward(port: u16, server: String) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
}

#[tokio::test]
async fn what_no_waiting_mends_is_not_waited_for() {
    let store = Store::make(Database::Postgres).await;
    let folder = empty_folder();
    let mut no_such_role = url::Url::parse(&store.url).unwrap();
    no_such_role.set_username("nobody_of_that_name").unwrap();
    let mut no_such_database = no_such_role.clone();
    no_such_database.set_username("postgres").unwrap();
    no_such_database.set_path("no_such_database");
    let mut no_tls = url::Url::parse(&store.url).unwrap();
    no_tls.set_query(Some("sslmode=verify-full"));
    for (url, words) in [
        (no_such_role, "role \"nobody_of_that_name\" does not exist"),
        (
            no_such_database,
            "database \"no_such_database\" does not exist",
        ),
        (no_tls, "server does not support TLS"),
        (
            url::Url::parse(&a_server_that_refuses("28P01")).unwrap(),
            "not this one",
        ),
    ] {
        let began = Instant::now();
        stops_the_start(
            folder.path(),
            &[ANY_PORT, ("DATABASE_URL", url.as_str())],
            "database",
            words,
        );
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{words}: {:?}",
            began.elapsed()
        );
    }
}

/// A PostgreSQL that says nothing but this; its URL, with a password.
fn a_server_that_refuses(code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let fields = format!("SFATAL\0VFATAL\0C{code}\0Mnot this one\0\0");
            let length = u32::try_from(fields.len() + 4).unwrap();
            let mut client = client.unwrap();
            // It has to be heard out, or what is said gets lost.
            let _ = std::io::Read::read(&mut client, &mut [0; 1024]);
            let _ =
                client.write_all(&[b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat());
        }
    });
    format!("postgres://doorpost:hunter2@{address}/doorpost")
}

#[test]
fn a_server_that_starts_is_waited_for_and_not_for_ever() {
    let folder = empty_folder();
    let url = a_server_that_refuses("57P03");
    let variables = [
        ANY_PORT,
        ("DATABASE_URL", url.as_str()),
        ("DATABASE_WAIT", "1s"),
    ];
    let mut doorpost = Doorpost::start(folder.path(), &variables);
    assert_eq!(doorpost.ends(), Some(1));
    let log = doorpost.log();
    for words in [
        "waiting for the database, for 1 s at the most",
        "not this one",
        "Doorpost cannot start: waited 1 s",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(!log.contains("hunter2"), "{log}");
}

// --- the settings ---

#[test]
fn the_first_line_says_what_the_house_is() {
    let folder = empty_folder();
    let limit = ("LIMIT_MAIL_GAP", "off");
    let smtp = ("SMTP_URL", "smtp://user:hunter2@127.0.0.1:1");
    let log = Doorpost::serving(
        folder.path(),
        &[ANY_PORT, limit, smtp, ("SIGN_UP", "invited")],
    )
    .log();
    let first = log.lines().next().unwrap();
    for words in [
        "Doorpost starts version=\"",
        "sign_up=\"by invitation\"",
        "database=\"SQLite in data/doorpost.db\"",
        "relay=\"127.0.0.1:1 (plain text, on this machine)\"",
        "limits=\"on but for LIMIT_MAIL_GAP\"",
    ] {
        assert!(first.contains(words), "{words}: {log}");
    }
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn an_env_file_that_would_be_half_ignored_stops_the_start() {
    let folder = empty_folder();
    for (text, words) in [
        (
            "SIGN_UP=open\nSIGN_UP=invited\n",
            "doorpost: .env: line 2 sets SIGN_UP once more, after line 1; write it once",
        ),
        (
            "\nSIGNUP=invited\n",
            "doorpost: .env: line 2 sets SIGNUP, which is no variable of Doorpost; write SIGN_UP if",
        ),
        (
            "SMTP_URL=smtp://a:hun$ter2@127.0.0.1\n",
            "doorpost: .env: line 1, SMTP_URL, has a $ that would be replaced; write",
        ),
    ] {
        fs::write(folder.path().join(".env"), text).unwrap();
        for arguments in [&["check"][..], &[]] {
            let ended = run(folder.path(), arguments, &[]);
            assert_eq!(ended.status.code(), Some(2), "{ended:?}");
            let said = String::from_utf8(ended.stderr).unwrap();
            assert!(
                said.starts_with(words) && said.lines().count() == 1,
                "{said}"
            );
            assert!(!said.contains("$ter2"), "{said}");
        }
    }
}

/// Browsers know passkeys only where a site has a name.
#[test]
fn where_the_host_is_an_ip_address_it_is_said_that_there_are_no_passkeys() {
    let folder = empty_folder();
    let by_address = [ANY_PORT, ("PUBLIC_URL", "http://127.0.0.1:8080")];
    let checked = run(folder.path(), &["check"], &by_address);
    assert_eq!(
        line_on("passkeys", &checked),
        "passkeys       ok      there are none: the host of PUBLIC_URL is an IP address, and no name"
    );
    let doorpost = Doorpost::start(folder.path(), &by_address);
    doorpost.says("there are no passkeys: browsers know them only where");
}
