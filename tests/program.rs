//! The program itself: started in an empty folder, told what to do by its environment and its command
//! line, stopped by signals. What its log says, what it leaves on disk, and with what code it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use doorpost::mail::letters::Content;
use reqwest::StatusCode;
use tempfile::TempDir;

use crate::support::{Answer, Database, Mail, ScriptedServer, Store, Visitor, secret_key};

pub const DOORPOST: &str = env!("CARGO_BIN_EXE_doorpost");

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";

/// Any free port; the log says which.
pub const ANY_PORT: (&str, &str) = ("BIND_ADDRESS", "127.0.0.1:0");

/// A mail server that is away: what is posted waits.
const NO_MAIL_SERVER: (&str, &str) = ("SMTP_URL", "smtp://127.0.0.1:1");

/// What does not happen within this long does not happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mail that a killed node had just claimed is taken up within a minute.
const LEASED: Duration = Duration::from_secs(75);

#[tokio::test]
async fn with_nothing_configured_it_serves_and_says_where() {
    let folder = empty_folder();
    let doorpost = Doorpost::serving(folder.path(), &[ANY_PORT]);
    doorpost.says("Doorpost is at http://localhost:8080 ");
    doorpost.says("its mail is at http://localhost:8080/dev/inbox ");

    let modes: Vec<(String, u32)> = everything_in(folder.path());
    let mode_of = |name: &str| {
        modes
            .iter()
            .find(|(is, _)| is == name)
            .map(|(_, mode)| *mode)
    };
    assert_eq!(mode_of("data"), Some(0o700), "{modes:?}");
    assert_eq!(mode_of("data/secret_key"), Some(0o600), "{modes:?}");
    assert_eq!(mode_of("data/doorpost.db"), Some(0o600), "{modes:?}");
    for (name, mode) in modes.iter().filter(|(name, _)| name != "data") {
        assert!(
            name.starts_with("data/") && mode & 0o077 == 0,
            "{name} has mode {mode:o}"
        );
    }

    let ada = doorpost.visitor();
    ada.ask("/register", ADA).await.sees_inbox_page();
    let mail = doorpost.mail_to(ADA).await;
    assert!(
        mail.link
            .starts_with("http://localhost:8080/confirm-email?token="),
        "{}",
        mail.link
    );
    ada.confirm(mail.path()).await;
    assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));

    // Promise 21, and rule 4 of the house: patterns, never paths or queries.
    let log = doorpost.log();
    assert!(log.contains("route=\"/confirm-email\""), "{log}");
    for secret in [mail.token(), mail.code.as_deref().unwrap(), ADA, "?token"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}

/// The port may be somebody else's on this machine; then it says so, and ends.
#[test]
fn with_no_variable_at_all_it_goes_for_port_8080_of_this_machine() {
    let folder = empty_folder();
    let mut doorpost = Doorpost::start(folder.path(), &[]);
    doorpost.says("127.0.0.1:8080");
    let log = doorpost.log();
    if !log.contains("listening=127.0.0.1:8080") {
        assert!(log.contains("Address already in use"), "{log}");
        assert_eq!(doorpost.ends(), Some(1));
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = empty_folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut doorpost = Doorpost::start(folder.path(), &[("BIND_ADDRESS", &address)]);
    assert_eq!(doorpost.ends(), Some(1));
    assert!(
        doorpost
            .log()
            .contains(&format!("{address}: Address already in use")),
        "{}",
        doorpost.log()
    );
}

#[test]
fn only_the_env_file_of_its_own_folder_is_read() {
    let parent = empty_folder();
    fs::write(parent.path().join(".env"), "LOG_FORMAT=xml\n").unwrap();
    let folder = parent.path().join("own");
    fs::create_dir(&folder).unwrap();
    drop(Doorpost::serving(&folder, &[ANY_PORT]));

    fs::write(
        folder.join(".env"),
        "BIND_ADDRESS=127.0.0.1:0\nLOG_FORMAT=json\n",
    )
    .unwrap();
    let by_file = Doorpost::start(&folder, &[]);
    by_file.says("\"listening\":\"127.0.0.1:");
    drop(by_file);
    let overruled = Doorpost::serving(&folder, &[("LOG_FORMAT", "text")]);
    assert!(
        !overruled.log().contains('{'),
        "the process's own environment comes first"
    );
    drop(overruled);

    fs::write(folder.join(".env"), "LOG_FORMAT=xml\n").unwrap();
    is_refused(&run(&folder, &[], &[]), "LOG_FORMAT", "in ./.env");
}

/// FLT-13, HOST-04
#[test]
fn a_configuration_that_is_unsafe_or_does_not_parse_never_starts() {
    let key = secret_key();
    let public = [
        ("PUBLIC_URL", "https://doorpost.test"),
        ("SECRET_KEY", key.as_str()),
        ("SMTP_URL", "smtps://user:hunter2@mail.doorpost.test"),
        ("MAIL_FROM", "doorpost@doorpost.test"),
    ];
    let short = &key[..44];
    /// What is set besides, whether the site is public, and the first variable that is wrong.
    type Case<'a> = (&'a [(&'a str, &'a str)], bool, &'a str);
    let cases: &[Case] = &[
        (
            &[("PUBLIC_URL", "http://doorpost.test")],
            true,
            "PUBLIC_URL",
        ),
        (
            &[("PUBLIC_URL", "http://doorpost.test")],
            false,
            "PUBLIC_URL",
        ),
        (
            &[("PUBLIC_URL", "https://doorpost.test/app")],
            true,
            "PUBLIC_URL",
        ),
        (
            &[("PUBLIC_URL", "https://doorpost.test/?a=b")],
            true,
            "PUBLIC_URL",
        ),
        (
            &[("PUBLIC_URL", "https://hunter2@doorpost.test")],
            true,
            "PUBLIC_URL",
        ),
        (
            &[("PUBLIC_URL", "https://*.doorpost.test")],
            true,
            "PUBLIC_URL",
        ),
        (&[("PUBLIC_URL", "doorpost.test")], true, "PUBLIC_URL"),
        (&[("BIND_ADDRESS", "0.0.0.0:8080")], false, "BIND_ADDRESS"),
        (&[("BIND_ADDRESS", "[::]:8080")], false, "BIND_ADDRESS"),
        (&[("BIND_ADDRESS", "here")], true, "BIND_ADDRESS"),
        (&[("TRUSTED_PROXIES", "*")], true, "TRUSTED_PROXIES"),
        (&[("TRUSTED_PROXIES", "0.0.0.0/0")], true, "TRUSTED_PROXIES"),
        (&[("TRUSTED_PROXIES", "::/0")], true, "TRUSTED_PROXIES"),
        (
            &[("DATABASE_URL", "mysql://u:hunter2@db/doorpost")],
            true,
            "DATABASE_URL",
        ),
        (
            &[("DATABASE_URL", "postgres://u:hunter2@db:port/doorpost")],
            true,
            "DATABASE_URL",
        ),
        (
            &[("DATABASE_URL_FILE", "/no/such/file")],
            true,
            "DATABASE_URL_FILE",
        ),
        (&[("SECRET_KEY", "")], true, "SECRET_KEY"),
        (&[("SECRET_KEY", short)], true, "SECRET_KEY"),
        (&[("SECRET_KEY", "changeme")], false, "SECRET_KEY"),
        (
            &[(
                "SECRET_KEY",
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
            )],
            true,
            "SECRET_KEY",
        ),
        (&[("SECRET_KEYS_OLD", short)], true, "SECRET_KEYS_OLD"),
        (&[("SMTP_URL", "")], true, "SMTP_URL"),
        (
            &[("SMTP_URL", "smtp://user:hunter2@mail.doorpost.test")],
            true,
            "SMTP_URL",
        ),
        (&[("SMTP_CA_FILE", "/no/such/file")], true, "SMTP_CA_FILE"),
        (&[("MAIL_FROM", "")], true, "MAIL_FROM"),
        (&[("SIGN_UP", "everybody")], false, "SIGN_UP"),
        (&[("SESSION_IDLE", "31d")], false, "SESSION_IDLE"),
        (
            &[("LINK_LIFETIME_SIGN_IN", "soon")],
            false,
            "LINK_LIFETIME_SIGN_IN",
        ),
        (&[("LIMIT_MAIL_GAP", "often")], false, "LIMIT_MAIL_GAP"),
        (&[("MAIL_QUEUE_MAX", "many")], false, "MAIL_QUEUE_MAX"),
        (&[("RUST_LOG", "doorpost=loud")], false, "RUST_LOG"),
        (&[("LOG_FORMAT", "xml")], false, "LOG_FORMAT"),
        // Names with one of our prefixes.
        (
            &[("LIMIT_MAIL_PER_ADRESS", "hunter2")],
            false,
            "LIMIT_MAIL_PER_ADRESS",
        ),
        (&[("SMTP_PASSWORD", "hunter2")], true, "SMTP_PASSWORD"),
        (&[("SESSION_TIMEOUT", "1h")], false, "SESSION_TIMEOUT"),
        (&[("ARGON2_COST", "1")], false, "ARGON2_COST"),
        (
            &[("LINK_LIFETIME_SIGNIN", "1h")],
            false,
            "LINK_LIFETIME_SIGNIN",
        ),
        // Of several, the first in the order of the table.
        (
            &[
                ("LOG_FORMAT", "xml"),
                ("SMTP_URL", "x"),
                ("PUBLIC_URL", "x"),
            ],
            true,
            "PUBLIC_URL",
        ),
        (
            &[
                ("LOG_FORMAT", "xml"),
                ("SMTP_URL", "x"),
                ("SECRET_KEY", "x"),
            ],
            true,
            "SECRET_KEY",
        ),
        (
            &[("LIMIT_X", "1"), ("LOG_FORMAT", "xml"), ("MAIL_FROM", "")],
            true,
            "MAIL_FROM",
        ),
        (
            &[("LIMIT_X", "1"), ("LOG_FORMAT", "xml")],
            true,
            "LOG_FORMAT",
        ),
    ];
    for (set, is_public, named) in cases {
        let folder = empty_folder();
        let mut variables: Vec<_> = if *is_public {
            public.to_vec()
        } else {
            Vec::new()
        };
        variables.retain(|(name, _)| set.iter().all(|(chosen, _)| chosen != name));
        variables.extend(*set);
        let what = format!("{set:?}");
        let began = Instant::now();
        let ended = run(folder.path(), &[], &variables);
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{what} took {:?}",
            began.elapsed()
        );
        is_refused(&ended, named, &what);
        let told = String::from_utf8_lossy(&ended.stderr);
        for secret in ["hunter2", key.as_str(), short] {
            assert!(!told.contains(secret), "{what} prints a secret: {told}");
        }
        assert!(
            everything_in(folder.path()).is_empty(),
            "{what} left something behind"
        );
    }
    // And with nothing wrong in it, it gets as far as serving.
    let folder = empty_folder();
    Doorpost::serving(folder.path(), &[&public[..], &[ANY_PORT]].concat());
}

#[test]
fn a_postgresql_that_is_away_at_the_start_is_said_and_ends_it() {
    let folder = empty_folder();
    let away = (
        "DATABASE_URL",
        "postgres://doorpost:hunter2@127.0.0.1:1/doorpost",
    );
    let variables = [ANY_PORT, away, ("DATABASE_WAIT", "1s")];
    let mut doorpost = Doorpost::start(folder.path(), &variables);
    let began = Instant::now();
    assert_eq!(doorpost.ends(), Some(1));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        began.elapsed()
    );
    let log = doorpost.log();
    assert!(
        log.contains("Doorpost cannot start") && log.contains("PostgreSQL"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

async fn two_that_start_at_once(db: Database) {
    for _ in 0..3 {
        let store = Store::make(db).await;
        let (one, two) = (empty_folder(), empty_folder());
        // On SQLite they share a folder, and the key that one of them makes there.
        let (second, variables) = match db {
            Database::Sqlite => (one.path(), vec![ANY_PORT]),
            Database::Postgres => (
                two.path(),
                vec![
                    ANY_PORT,
                    ("DATABASE_URL", store.url.as_str()),
                    ("SECRET_KEY", store.secret_key.as_str()),
                ],
            ),
        };
        let nodes = [
            Doorpost::start(one.path(), &variables),
            Doorpost::start(second, &variables),
        ];
        let [one, two] = nodes.map(Doorpost::when_up);
        for node in [&one, &two] {
            assert_eq!(
                node.visitor().get("/readyz").await.status,
                StatusCode::OK,
                "{}",
                node.log()
            );
        }
        let ada = one.visitor();
        ada.ask("/register", ADA).await.sees_inbox_page();
        ada.confirm(one.mail_to(ADA).await.path()).await;
        let elsewhere = ada.moved_to(&two.url);
        assert_eq!(
            elsewhere.signed_in_as().await.as_deref(),
            Some(ADA),
            "one key, one database"
        );
    }
}

#[tokio::test]
async fn two_nodes_that_start_at_once_on_a_fresh_sqlite_both_come_up() {
    two_that_start_at_once(Database::Sqlite).await;
}

#[tokio::test]
async fn two_nodes_that_start_at_once_on_a_fresh_postgresql_both_come_up() {
    two_that_start_at_once(Database::Postgres).await;
}

/// OBX-10
#[tokio::test]
async fn sigterm_finishes_the_request_under_way_and_loses_no_mail() {
    let folder = empty_folder();
    let mut doorpost = Doorpost::serving(folder.path(), &[ANY_PORT, NO_MAIL_SERVER]);
    let address = doorpost.url.strip_prefix("http://").unwrap().to_owned();
    let mut request = TcpStream::connect(&address).unwrap();
    request.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = "email=ada%40example.org";
    let head = format!(
        "POST /register HTTP/1.1\r\nhost: {address}\r\nsec-fetch-site: same-origin\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    request.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    request.read_exact(&mut go_on).unwrap();
    assert_eq!(
        &go_on, b"HTTP/1.1 100 Continue\r\n\r\n",
        "the request is under way"
    );

    doorpost.signal("TERM");
    eventually("nobody is let in any more", || {
        TcpStream::connect(&address).is_err()
    });
    // It takes its time: longer than the second after which a server looks whether it may end.
    thread::sleep(Duration::from_millis(1500));
    request.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    request.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    assert_eq!(doorpost.ends(), Some(0), "{}", doorpost.log());

    let doorpost = Doorpost::serving(folder.path(), &[ANY_PORT]);
    let mail = doorpost.mail_to(ADA).await;
    assert!(
        mail.link.contains("/confirm-email?token="),
        "what was acknowledged is mailed"
    );
}

/// Connections that rest look alive: which of them are is told once it is known.
#[tokio::test]
async fn a_mail_server_that_goes_down_is_told_in_one_line_that_is_true() {
    let (folder, server) = (empty_folder(), ScriptedServer::start());
    let smtp = server.url();
    let doorpost = Doorpost::serving(folder.path(), &[ANY_PORT, ("SMTP_URL", &smtp)]);
    ask_at_once(&doorpost, "before", 15).await;
    server.takes(15).await;
    server.go_away();
    ask_at_once(&doorpost, "ada", 1).await;
    doorpost.says("mail has to wait");
    server.come_back();
    server.takes(16).await;
    let told = complaints_about_mail(&doorpost.log());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("connecting: Connection refused"),
        "{told:?}"
    );
}

async fn ask_at_once(doorpost: &Doorpost, name: &str, how_many: usize) {
    let ask = async |n: usize| {
        let address = format!("{name}{n}@example.org");
        let visitor = doorpost.visitor();
        visitor.ask("/register", &address).await.sees_inbox_page();
    };
    futures_util::future::join_all((0..how_many).map(ask)).await;
}

fn complaints_about_mail(log: &str) -> Vec<String> {
    let complains = |line: &&str| {
        [" WARN ", " ERROR "]
            .iter()
            .any(|level| line.contains(level))
    };
    let about_mail = |line: &&str| line.contains("doorpost::mail");
    let lines = log.lines().filter(complains).filter(about_mail);
    lines.map(str::to_owned).collect()
}

/// OBX-10
#[tokio::test]
async fn sigterm_lets_a_slow_mail_server_finish_and_ctrl_c_does_not_wait() {
    let (folder, server) = (empty_folder(), ScriptedServer::start());
    let smtp = server.url();
    let variables = [ANY_PORT, ("SMTP_URL", &*smtp)];
    let chewing = || match server.handed().len() {
        0 => false,
        handed => handed > server.taken().len(),
    };
    server.follow(|step| match step.verb {
        "." => Answer::After(Duration::from_secs(8)),
        _ => Answer::Agree,
    });
    let mut doorpost = Doorpost::serving(folder.path(), &variables);
    doorpost
        .visitor()
        .ask("/register", ADA)
        .await
        .sees_inbox_page();
    eventually("the letter is under way", chewing);
    doorpost.signal("TERM");
    assert_eq!(doorpost.ends(), Some(0), "{}", doorpost.log());
    assert_eq!(server.taken_for(ADA).len(), 1, "{}", doorpost.log());

    let mut doorpost = Doorpost::serving(folder.path(), &variables);
    doorpost
        .visitor()
        .ask("/register", BOB)
        .await
        .sees_inbox_page();
    eventually("the letter is under way", chewing);
    assert_eq!(
        server.handed().len(),
        2,
        "the first was written down: it is not sent again"
    );
    let began = Instant::now();
    doorpost.signal("INT");
    assert_eq!(doorpost.ends(), Some(0), "{}", doorpost.log());
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

/// SES-14, FLT-06: whatever was acknowledged holds, and nothing that was over begins again.
async fn killed_and_started_again(db: Database) {
    let store = Store::make(db).await;
    let folder = empty_folder();
    let variables = match db {
        Database::Sqlite => vec![ANY_PORT],
        Database::Postgres => vec![ANY_PORT, ("DATABASE_URL", store.url.as_str())],
    };
    let limits = [
        ("LIMIT_MAIL_GAP", "off"),
        ("LIMIT_TOKEN_PER_NETWORK", "2/1h"),
    ];
    let variables = [variables, limits.to_vec()].concat();

    let doorpost = Doorpost::serving(folder.path(), &variables);
    let ada = doorpost.visitor();
    ada.ask("/register", ADA).await.sees_inbox_page();
    let used = doorpost.mail_to(ADA).await;
    ada.confirm(used.path()).await;
    let signed_out = doorpost.visitor();
    signed_out.ask("/register", BOB).await.sees_inbox_page();
    signed_out.confirm(doorpost.mail_to(BOB).await.path()).await;
    let ended = signed_out.with_copied_jar();
    signed_out.post("/sign-out", &[]).await;
    let halfway = doorpost.visitor();
    halfway.ask("/sign-in", BOB).await.sees_inbox_page();
    let link = doorpost.mail_with(BOB, "/sign-in/link").await;
    let by_code = doorpost.visitor();
    by_code
        .ask("/register", "code@example.org")
        .await
        .sees_inbox_page();
    let code = doorpost.mail_to("code@example.org").await.code.unwrap();
    for _ in 0..2 {
        ada.get("/sign-in/link?token=junk").await;
    }
    doorpost.killed();

    let doorpost = Doorpost::serving(folder.path(), &[&variables[..], &[NO_MAIL_SERVER]].concat());
    let at = |visitor: &Visitor| visitor.moved_to(&doorpost.url);
    assert_eq!(
        at(&ada).signed_in_as().await.as_deref(),
        Some(ADA),
        "a session lives on"
    );
    assert_eq!(
        at(&ended).signed_in_as().await,
        None,
        "one that was ended does not"
    );
    let limited = at(&ada).get("/sign-in/link?token=junk").await;
    assert_eq!(
        limited.status,
        StatusCode::TOO_MANY_REQUESTS,
        "a limit that was reached still is"
    );
    let again = at(&doorpost.visitor())
        .post("/confirm-email", &[("token", used.token()), ("email", ADA)])
        .await;
    assert_ne!(
        again.status,
        StatusCode::SEE_OTHER,
        "a used link stays used"
    );
    assert_eq!(
        at(&halfway).click(link.path()).await.location(),
        "/account",
        "a link, in the browser that asked"
    );
    let typed = at(&by_code).post("/sign-in/code", &[("code", &code)]).await;
    assert_eq!(typed.location(), "/account", "a code");
    let last = doorpost.visitor();
    last.ask("/register", "last@example.org")
        .await
        .sees_inbox_page();
    let late = last.with_copied_jar();
    // Its first try is over, so that this test need not wait for the lease of a dead node to end, unless
    // the kill meets the next try.
    doorpost.says("mail has to wait");
    doorpost.killed();

    let doorpost = Doorpost::serving(folder.path(), &variables);
    let late = late.moved_to(&doorpost.url);
    let mail = doorpost.mail_to("last@example.org").await;
    late.confirm(mail.path()).await;
    assert_eq!(
        late.signed_in_as().await.as_deref(),
        Some("last@example.org"),
        "the ask and its mail"
    );
}

#[tokio::test]
async fn kill_9_loses_nothing_on_sqlite() {
    killed_and_started_again(Database::Sqlite).await;
}

#[tokio::test]
async fn kill_9_loses_nothing_on_postgresql() {
    killed_and_started_again(Database::Postgres).await;
}

#[tokio::test]
async fn an_invitation_lets_in_one_who_may_not_sign_up_until_it_is_withdrawn() {
    let folder = empty_folder();
    let closed = [ANY_PORT, ("SIGN_UP", "invited"), ("LIMIT_MAIL_GAP", "off")];
    let invite = |more: &[&str]| {
        let arguments = [&["users", "invite"], more].concat();
        run(folder.path(), &arguments, &closed)
    };

    let mailed = invite(&[ADA]);
    is_told(
        &mailed,
        "ada@example.org is invited; the mail leaves with the next running Doorpost.",
    );
    let printed = invite(&[" BOB@Example.org\u{a0}\u{feff}", "--print"]);
    let link = told(&printed);
    assert!(
        link.starts_with("http://localhost:8080/confirm-email?token="),
        "{link}"
    );
    let token = link.split_once('=').unwrap().1;
    let withdrawn = told(&invite(&["carol@example.org", "--print"]));
    let would = invite(&["carol@example.org", "--withdraw", "--dry-run"]);
    is_told(
        &would,
        "Would take the invitation of carol@example.org back.",
    );
    is_told(
        &invite(&["carol@example.org", "--withdraw"]),
        "carol@example.org is not invited any more.",
    );
    is_told(
        &invite(&["carol@example.org", "--withdraw"]),
        "carol@example.org was not invited.",
    );
    let would = invite(&["carol@example.org", "--withdraw", "--dry-run"]);
    is_told(&would, "carol@example.org was not invited.");

    let doorpost = Doorpost::serving(folder.path(), &closed);
    let ada = doorpost.visitor();
    let mail = doorpost.mail_to(ADA).await;
    let done = ada
        .post("/confirm-email", &[("token", mail.token()), ("email", ADA)])
        .await;
    assert_eq!(done.location(), "/account", "by the mail");
    let bob = doorpost.visitor();
    let done = bob
        .post("/confirm-email", &[("token", token), ("email", BOB)])
        .await;
    assert_eq!(done.location(), "/account", "by the printed link");
    let token = withdrawn.split_once('=').unwrap().1;
    let carol = doorpost.visitor();
    let fields = [("token", token), ("email", "carol@example.org")];
    let refused = carol.post("/confirm-email", &fields).await;
    assert_eq!(
        refused.status,
        StatusCode::GONE,
        "not by one that was withdrawn"
    );

    // Beside a running server, too; and whoever has an account is not invited again.
    is_told(
        &invite(&["dora@example.org"]),
        "dora@example.org is invited; the mail leaves with the next running Doorpost.",
    );
    doorpost.mail_to("dora@example.org").await;
    is_told(
        &invite(&[ADA]),
        "ada@example.org has an account already; nothing was sent.",
    );
    let printed = invite(&[ADA, "--print"]);
    assert_eq!(printed.status.code(), Some(1), "there is no link to print");
    assert!(printed.stdout.is_empty(), "{printed:?}");
    for (address, is_mailed) in [("carol@example.org", false), ("dora@example.org", true)] {
        let visitor = doorpost.visitor();
        visitor.ask("/register", address).await.sees_inbox_page();
        let shown = doorpost.visitor().get("/sign-in/sent").await;
        assert!(!shown.body.contains(address));
        if is_mailed {
            doorpost
                .mail_with(address, "Confirm your email address")
                .await;
        }
    }
    assert!(
        !doorpost
            .visitor()
            .get("/dev/inbox")
            .await
            .body
            .contains("carol@example.org")
    );
}

#[test]
fn a_command_that_is_mistyped_is_explained_and_changes_nothing() {
    let folder = empty_folder();
    for (arguments, words) in [
        (&["users", "invite", "nobody"][..], "nobody"),
        (&["users", "invite", "a@b@example.org"], "a@b@example.org"),
        (&["users", "invite", ""], "<ADDRESS>"),
        (&["users", "invite"], "<ADDRESS>"),
        (
            &["users", "invite", ADA, "--print", "--withdraw"],
            "cannot be used with",
        ),
        (&["users", "invite", ADA, "--dry-run"], "--withdraw"),
        (&["keys", "rotate", "--dry-run"], "--now"),
        (&["users"], "Usage:"),
        (&["serve"], "unrecognized subcommand"),
        (&["--port", "80"], "unexpected argument"),
    ] {
        let ended = run(folder.path(), arguments, &[]);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
        assert!(ended.stdout.is_empty(), "{arguments:?}");
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(told.contains(words), "{arguments:?}: {told}");
        assert!(!told.contains("internal"), "{arguments:?}: {told}");
    }
    assert!(everything_in(folder.path()).is_empty());
}

#[test]
fn every_command_has_help_that_needs_no_configuration() {
    let folder = empty_folder();
    let broken = [("LOG_FORMAT", "xml")];
    for (arguments, words) in [
        (
            &["--help"][..],
            &["Without a command, Doorpost serves", "users"][..],
        ),
        (
            &["users", "--help"],
            &[
                "list",
                "show",
                "invite",
                "lock",
                "unlock",
                "end-hold",
                "end-sessions",
                "sign-in-link",
                "set-email",
                "delete",
                "Exit codes: 0 it is done; 1 it is not",
            ],
        ),
        (
            &["migrate", "--help"],
            &["--dry-run", "--json", "Exit codes"],
        ),
        (&["purge", "--help"], &["--dry-run", "--json", "Exit codes"]),
        (&["users", "delete", "--help"], &["--dry-run", "--yes"]),
        (
            &["users", "invite", "--help"],
            &["<ADDRESS>", "--print", "--withdraw"],
        ),
        (&["--version"], &["doorpost "]),
    ] {
        let ended = run(folder.path(), arguments, &broken);
        let told = told(&ended);
        for word in words {
            assert!(
                told.contains(word),
                "{arguments:?} does not speak of {word}: {told}"
            );
        }
    }
    assert!(everything_in(folder.path()).is_empty());
}

/// A running program. It is killed at the latest when the test ends.
pub struct Doorpost {
    child: Child,
    pub url: String,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Doorpost {
    /// Starts it in this folder with these variables, `PATH` aside, and no others.
    pub fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::spawned(command(folder, variables))
    }

    /// The same with less than usual of what the kernel gives: `-n 128`, in the words of `ulimit`.
    pub fn limited(limit: &str, folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut shell = dressed(Command::new("/bin/sh"), folder, variables);
        let script = format!("ulimit {limit} && exec \"$0\"");
        shell.args(["-c", &script, DOORPOST]);
        Self::spawned(shell)
    }

    /// Runs what this command starts as the program.
    pub fn spawned(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::default();
        let out = listen(child.stdout.take().unwrap(), &log);
        let err = listen(child.stderr.take().unwrap(), &log);
        Self {
            child,
            url: String::new(),
            log,
            readers: vec![out, err],
        }
    }

    /// Starts it and waits until it listens.
    pub fn serving(folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start(folder, variables).when_up()
    }

    /// Waits until it listens.
    pub fn when_up(mut self) -> Self {
        self.says("listening");
        let log = self.log();
        let (_, rest) = log.split_once("listening").unwrap();
        let rest = rest.trim_start_matches(['=', '"', ':']); // as text, or as JSON
        let (address, _) = rest.split_once([' ', '"', '\n']).unwrap();
        self.url = format!("http://{address}");
        self
    }

    /// Waits until its log has this line, or part of one.
    #[track_caller]
    pub fn says(&self, words: &str) {
        eventually(&format!("{words} is in the log: {}", self.log()), || {
            self.log().lines().any(|line| line.contains(words))
        });
    }

    /// All it has said so far, in whole lines.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn visitor(&self) -> Visitor {
        Visitor::new(&self.url)
    }

    /// The newest mail to this address in the development inbox; waits until there is one.
    pub async fn mail_to(&self, address: &str) -> Mail {
        self.mail_with(address, "").await
    }

    /// The newest that has these words in it.
    pub async fn mail_with(&self, address: &str, words: &str) -> Mail {
        let reader = self.visitor();
        let began = Instant::now();
        while began.elapsed() < LEASED {
            let inbox = reader.get("/dev/inbox").await;
            let to = format!("<span>{address}</span>");
            for entry in inbox.body.split("<li>").filter(|entry| entry.contains(&to)) {
                let id = entry.split('"').nth(1).unwrap();
                let page = reader.get(id).await;
                if page.body.contains(words) {
                    return mail_on(&page.body);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no mail to {address}: {}", self.log());
    }

    /// How much memory it holds, in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let (_, held) = status.split_once("VmRSS:").unwrap();
        let kib: u64 = held.split_whitespace().next().unwrap().parse().unwrap();
        kib * 1024
    }

    /// The files that it has open, and its sockets and pipes in the kernel's words for them.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        // Some are closed while we look.
        open.filter_map(|file| fs::read_link(file.unwrap().path()).ok())
            .collect()
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(sent.success(), "kill -s {name} {pid}");
    }

    /// As when the machine loses its power, as far as a process can.
    pub fn killed(mut self) {
        self.signal("KILL");
        assert_eq!(self.ends(), None, "no code, but a signal");
    }

    /// Waits until it has ended of itself, and gives its code.
    #[track_caller]
    pub fn ends(&mut self) -> Option<i32> {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it goes on: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status.code()
    }
}

impl Drop for Doorpost {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stream: impl Read + Send + 'static, log: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let mut log = log.lock().unwrap();
            log.push_str(&line.unwrap());
            log.push('\n');
        }
    })
}

pub fn command(folder: &Path, variables: &[(&str, &str)]) -> Command {
    dressed(Command::new(DOORPOST), folder, variables)
}

/// The same of any program.
pub fn dressed(mut command: Command, folder: &Path, variables: &[(&str, &str)]) -> Command {
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied());
    command
}

/// Runs a command to its end.
pub fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    run_reading(b"", folder, arguments, variables)
}

/// The same of one that reads this, as far as it wants to.
pub fn run_reading(
    input: &[u8],
    folder: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Output {
    let mut child = command(folder, variables)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut pipe, input) = (child.stdin.take().unwrap(), input.to_owned());
    thread::spawn(move || pipe.write_all(&input));
    let began = Instant::now();
    // What it says fits into the pipes.
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{arguments:?} goes on: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// Exit 2, and one line that names the variable and says what to write.
#[track_caller]
fn is_refused(ended: &Output, variable: &str, what: &str) {
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{what}: {told}");
    assert!(ended.stdout.is_empty(), "{what}");
    assert_eq!(told.lines().count(), 1, "{what}: {told}");
    assert!(
        told.starts_with(&format!("doorpost: {variable}: ")),
        "{what}: {told}"
    );
    assert!(told.contains("; write "), "{what}: {told}");
}

/// What a command that went well says on standard output.
#[track_caller]
fn told(ended: &Output) -> String {
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{complaints}");
    String::from_utf8_lossy(&ended.stdout).trim_end().to_owned()
}

#[track_caller]
fn is_told(ended: &Output, words: &str) {
    assert_eq!(told(ended), words);
}

/// The letter on a page of the development inbox.
fn mail_on(page: &str) -> Mail {
    let (_, rest) = page.split_once("<pre class=\"letter\">").unwrap();
    let (letter, _) = rest.split_once("</pre>").unwrap();
    let mut text = String::new();
    for (index, part) in letter.split('<').enumerate() {
        let shown = if index == 0 {
            part
        } else {
            part.split_once('>').unwrap().1
        };
        text.push_str(shown);
    }
    Mail::from(Content {
        subject: String::new(),
        text,
        html: String::new(),
        unsubscribe: None,
    })
}

pub fn empty_folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The files and folders in a folder, with their modes.
pub fn everything_in(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            found.push((name, mode));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it is not so that {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
