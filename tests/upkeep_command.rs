//! `doorpost keys generate`, `migrate`, `purge` and `check --json`: what an operator does now and then, and a program
//! for them.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use clap::Command;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use doorpost::clock::Clock;
use doorpost::config::SecretKey;
use doorpost::operator::command_line;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::program::{ANY_PORT, Doorpost, empty_folder, everything_in, run};
use crate::support::{Database, Store, postgres};

#[track_caller]
fn json_of(folder: &std::path::Path, arguments: &[&str], variables: &[(&str, &str)]) -> Value {
    let ended = run(folder, arguments, variables);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[test]
fn a_fresh_key_needs_no_settings_and_is_one() {
    let folder = empty_folder();
    let broken = [("LOG_FORMAT", "xml"), ("SECRET_KEY", "changeme")];
    let [first, second] = [(); 2].map(|()| run(folder.path(), &["keys", "generate"], &broken));
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert_ne!(first.stdout, second.stdout);
    let line = String::from_utf8(first.stdout).unwrap();
    let key = line.strip_prefix("SECRET_KEY=").unwrap().trim_end();
    assert!(SecretKey::parse(key).is_some(), "{line}");
    assert!(everything_in(folder.path()).is_empty());
    // As it stands there, it is taken.
    std::fs::write(folder.path().join(".env"), &line).unwrap();
    let check = json_of(folder.path(), &["check", "--json"], &[ANY_PORT]);
    let part = |name| {
        check
            .as_array()
            .unwrap()
            .iter()
            .find(|part| part["part"] == name)
    };
    assert_eq!(part("key").unwrap()["ok"], true, "{check}");
    assert_eq!(part("key").unwrap()["words"], "it is there", "{check}");
}

#[tokio::test]
async fn every_signing_key_is_forgotten_at_once_and_can_be_looked_at_before() {
    let folder = empty_folder();
    let doorpost = Doorpost::serving(folder.path(), &[ANY_PORT]);
    let rotate = |how: &[&str]| {
        let ended = run(folder.path(), &[&["keys", "rotate"], how].concat(), &[]);
        String::from_utf8(ended.stdout).unwrap()
    };
    let mut before = listed(&doorpost).await;
    let next = rotate(&[]);
    before.push(next.split_once(' ').unwrap().0.to_owned());
    assert_eq!(before.len(), 2, "the one that signs, and the next");

    let would = rotate(&["--now", "--dry-run"]);
    assert!(would.starts_with("Would forget these keys"), "{would}");
    assert!(before.iter().all(|key| would.contains(key)), "{would}");
    assert_eq!(would.lines().count(), 1 + before.len(), "{would}");
    let again = rotate(&["--now", "--dry-run"]);
    assert_eq!(again, would, "it was only looked at");

    let done = rotate(&["--now"]);
    assert!(!before.iter().any(|key| done.contains(key)), "{done}");
    let left = rotate(&["--now", "--dry-run"]);
    assert_eq!(left.lines().count(), 2, "{left}");
    let key = left.lines().last().unwrap();
    assert!(
        done.starts_with(&format!("{key} signs from now on")),
        "{done}"
    );
}

/// The ids of the keys that access tokens may be signed with, as any service sees them.
async fn listed(doorpost: &Doorpost) -> Vec<String> {
    let shown = doorpost.visitor().get("/.well-known/jwks.json").await;
    let list: Value = serde_json::from_str(&shown.body).unwrap();
    let keys = list["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_check_in_json_fails_as_one_in_words_does() {
    let folder = empty_folder();
    let away = [
        ANY_PORT,
        ("DATABASE_URL", "postgres://doorpost@127.0.0.1:1/doorpost"),
    ];
    let ended = run(folder.path(), &["check", "--json"], &away);
    assert_eq!(ended.status.code(), Some(1));
    let check: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let settings = folder.path().canonicalize().unwrap().join(".env");
    let words = format!("read; there is no {}", settings.display());
    assert_eq!(
        check[0],
        json!({"part": "configuration", "ok": true, "words": words})
    );
    assert_eq!(check[2]["part"], "database");
    assert_eq!(check[2]["ok"], false, "{check}");
}

on_both! {
    async fn what_is_pending_is_named_applied_once_and_then_nothing_is(db: Database) {
        let (store, folder) = (Store::make(db).await, empty_folder());
        let variables = [("DATABASE_URL", &*store.url), ("SECRET_KEY", &*store.secret_key)];
        let pending = json_of(folder.path(), &["migrate", "--dry-run", "--json"], &variables);
        let names = pending["migrations"].as_array().unwrap();
        assert_eq!(names[0], "2026-11-22-000001_first_floor");
        assert!(names.len() > 10, "{pending}");
        if db == Database::Sqlite {
            let path = store.url.strip_prefix("sqlite:").unwrap();
            assert!(!std::path::Path::new(path).exists(), "to ask makes no database");
        }
        let again = json_of(folder.path(), &["migrate", "--dry-run", "--json"], &variables);
        assert_eq!(pending, again, "nothing was applied");

        let applied = run(folder.path(), &["migrate"], &variables);
        assert_eq!(applied.status.code(), Some(0), "{applied:?}");
        let lines = String::from_utf8(applied.stdout).unwrap();
        let expected: String = names.iter().map(|name| format!("applied  {}\n", name.as_str().unwrap())).collect();
        assert_eq!(lines, expected);
        for arguments in [&["migrate"][..], &["migrate", "--dry-run"]] {
            let ended = run(folder.path(), arguments, &variables);
            assert_eq!(String::from_utf8(ended.stdout).unwrap(), "Nothing is pending.\n");
        }
        let nothing = json_of(folder.path(), &["migrate", "--json"], &variables);
        assert_eq!(nothing, json!({"dry_run": false, "migrations": []}));
        assert!(everything_in(folder.path()).is_empty(), "and no key is made for it");
    }
}

/// More of it than one batch takes, and of everything something that lives.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it plays another program")]
async fn all_that_is_over_is_counted_and_then_gone() {
    let folder = empty_folder();
    drop(Doorpost::serving(folder.path(), &[ANY_PORT]));
    let path = folder.path().join("data/doorpost.db");
    let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let now = Clock::System.now();
    conn.batch_execute("PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000")
        .unwrap();
    conn.batch_execute(&what_is_over(now)).unwrap();

    let counted = json_of(folder.path(), &["purge", "--dry-run", "--json"], &[]);
    let of = json!({
        "announcements": 1, "challenges": 1, "events": 1, "known_programs": 1, "limits": 1201, "links": 1, "mail": 1,
        "mail_bounces": 1, "refresh_tokens": 1, "sessions": 3, "signing_keys": 1,
    });
    assert_eq!(counted["of"], of);
    assert_eq!(counted["rows"], 1213);
    let again = run(folder.path(), &["purge", "--dry-run"], &[]);
    let lines = String::from_utf8(again.stdout).unwrap();
    assert!(lines.contains("limits          1,201\n"), "{lines}");
    assert!(
        lines.ends_with("1,213 rows are over.\n"),
        "nothing was gone: {lines}"
    );

    let purged = run(folder.path(), &["purge"], &[]);
    assert_eq!(purged.status.code(), Some(0), "{purged:?}");
    let said = String::from_utf8(purged.stdout).unwrap();
    assert_eq!(said, "1,213 rows that were over are gone.\n");
    let after = json_of(folder.path(), &["purge", "--dry-run", "--json"], &[]);
    assert_eq!(after["rows"], 0, "{after}");
    for (table, lives) in LIVES {
        let statement = format!("SELECT count(*) AS n FROM {table}");
        let count: Count = diesel::sql_query(statement).get_result(&mut conn).unwrap();
        assert_eq!(count.n, *lives, "{table}");
    }
    let nothing = json_of(folder.path(), &["purge", "--json"], &[]);
    assert_eq!(nothing["rows"], 0);
    assert_eq!(nothing["dry_run"], false);
}

/// Another node, or another operator, takes a batch just now: there is more behind it.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_takes_meanwhile_is_not_all_there_is() {
    let (folder, store) = (empty_folder(), Store::make(Database::Postgres).await);
    let variables = [
        ANY_PORT,
        ("DATABASE_URL", &*store.url),
        ("SECRET_KEY", &*store.secret_key),
    ];
    run(folder.path(), &["migrate"], &variables);
    let other = postgres(&store.url).await;
    other
        .batch_execute(
            "INSERT INTO limits (name, subject, count, ends_at)
                SELECT 'token_per_network', n::text, 1, 0 FROM generate_series(1, 700) n",
        )
        .await
        .unwrap();
    let purge = json_of(folder.path(), &["purge", "--dry-run", "--json"], &variables);
    assert_eq!(purge["rows"], 700);
    let takes = "BEGIN; DELETE FROM limits WHERE subject::int <= 500";
    other.batch_execute(takes).await.unwrap();
    let purged = thread::scope(|scope| {
        let purging = scope.spawn(|| run(folder.path(), &["purge"], &variables));
        tokio::task::block_in_place(|| {
            thread::sleep(Duration::from_secs(1));
            Handle::current()
                .block_on(other.batch_execute("COMMIT"))
                .unwrap();
        });
        purging.join().unwrap()
    });
    assert_eq!(purged.status.code(), Some(0), "{purged:?}");
    let after = json_of(folder.path(), &["purge", "--dry-run", "--json"], &variables);
    assert_eq!(after["rows"], 0, "{purged:?}");
}

/// Something in the database keeps a row that is over: a trigger of somebody's, a lock that nobody gives up.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it plays another program")]
async fn what_is_over_and_cannot_be_deleted_is_said_and_not_tried_for_ever() {
    let folder = empty_folder();
    drop(Doorpost::serving(folder.path(), &[ANY_PORT]));
    let path = folder.path().join("data/doorpost.db");
    let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    conn.batch_execute(
        "PRAGMA busy_timeout = 5000;
         INSERT INTO limits (name, subject, count, ends_at) VALUES ('token_per_network', 'kept', 1, 0), ('x', 'y', 1, 0);
         CREATE TRIGGER keeps BEFORE DELETE ON limits WHEN old.subject = 'kept' BEGIN SELECT RAISE(IGNORE); END",
    )
    .unwrap();
    let purged = run(folder.path(), &["purge"], &[]);
    assert_eq!(purged.status.code(), Some(1), "{purged:?}");
    let said = String::from_utf8(purged.stdout).unwrap();
    assert_eq!(said, "1 rows that were over are gone.\n");
    let complaint = String::from_utf8(purged.stderr).unwrap();
    let words = "1 rows are over and could not be deleted: ";
    assert!(complaint.contains(words), "{complaint}");
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

/// How many of each are not over.
const LIVES: &[(&str, i64)] = &[
    ("users", 1),
    ("links", 1),
    ("sessions", 1),
    ("limits", 1),
    ("events", 1),
    ("outbox", 1),
    ("announced", 0),
    ("mail_bounces", 0),
    ("known_programs", 0),
    ("answered_challenges", 1),
];

/// One account; of each table what is over, and what is not.
fn what_is_over(now: i64) -> String {
    let (long_ago, soon) = (now - 400 * 24 * 60 * 60 * 1000, now + 60 * 60 * 1000);
    let session = "INSERT INTO sessions (token_hash, id, user_id, auth_method, shared, created_at, last_seen_at, ip, browser,
        wants_new_token, for_program) VALUES";
    format!(
        "INSERT INTO users (id, email, created_at, known_since) VALUES ('u', 'ada@example.org', 0, 0);
         {session}
            (x'01', 's1', 'u', 'password', 0, {long_ago}, {now}, '', '', 0, 0),
            (x'02', 's2', 'u', 'password', 0, {now}, {long_ago}, '', '', 0, 0),
            (x'03', 's3', 'u', 'password', 0, {long_ago}, {long_ago}, '', '', 0, 1),
            (x'04', 's4', 'u', 'password', 0, {now}, {now}, '', '', 0, 0);
         INSERT INTO refresh_tokens (token_hash, session_id, issued_at, expires_at) VALUES (x'01', 's4', 0, {long_ago});
         INSERT INTO known_programs (family, user_id, session_id, since) VALUES (x'01', 'u', 's0', 0);
         INSERT INTO links (token_hash, purpose, email, code_tries, wrong_addresses, asked_at, expires_at, keep_until)
            VALUES (x'01', 'sign_in', 'ada@example.org', 0, 0, 0, 0, {long_ago}),
                   (x'02', 'sign_in', 'ada@example.org', 0, 0, 0, {soon}, {soon});
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1201)
            INSERT INTO limits (name, subject, count, ends_at) SELECT 'token_per_network', i, 1, {long_ago} FROM n;
         INSERT INTO limits (name, subject, count, ends_at) VALUES ('token_per_network', 'x', 1, {soon});
         INSERT INTO events (id, user_id, at, name, ip, browser, request_id)
            VALUES ('e1', 'u', {long_ago}, 'signed_in', '', '', ''), ('e2', 'u', {now}, 'signed_in', '', '', '');
         INSERT INTO announced (announcement, user_id, posted_at) VALUES (x'01', 'u', {long_ago});
         INSERT INTO mail_bounces (user_id, email, reported_at, posted_at, days, no_mailbox, status)
            VALUES ('u', 'ada@example.org', {long_ago}, {long_ago}, 1, 0, '');
         INSERT INTO answered_challenges (hash, ends_at) VALUES (x'01', {long_ago}), (x'02', {soon});
         INSERT INTO signing_keys (id, public, sealed, created_at, retired_at) VALUES ('k', x'', x'', 0, {long_ago});
         INSERT INTO outbox (id, letter, email, state, queued_at, useful_until, tries, settled_at)
            VALUES ('m1', 'sign_in', 'ada@example.org', 'sent', 0, 0, 1, {long_ago}),
                   ('m2', 'sign_in', 'ada@example.org', 'sent', 0, 0, 1, {now});"
    )
}

/// And every option of it, on the same line.
#[test]
fn every_command_is_in_the_table_of_the_documentation() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operate.md"));
    let page = page.unwrap();
    let row_of = |name: &str| {
        let begins = [
            format!("| `doorpost {name}`"),
            format!("| `doorpost {name} "),
        ];
        let mut lines = page.lines();
        lines
            .find(|line| begins.iter().any(|begin| line.starts_with(begin)))
            .unwrap_or_else(|| panic!("docs/operate.md has no row for {name}"))
    };
    for (name, command) in commands() {
        let row = row_of(&name);
        let arguments = command.get_arguments();
        for option in arguments.filter_map(|argument| argument.get_long()) {
            assert!(
                row.contains(&format!("--{option}")),
                "{name} --{option}: {row}"
            );
        }
    }
}

/// Every command by its whole name.
pub fn commands() -> BTreeMap<String, Command> {
    let mut commands = BTreeMap::new();
    for group in command_line().get_subcommands() {
        let name = group.get_name();
        if !group.has_subcommands() {
            commands.insert(name.to_owned(), group.clone());
        }
        for command in group.get_subcommands() {
            commands.insert(format!("{name} {}", command.get_name()), command.clone());
        }
    }
    let count = commands.len();
    assert!(count >= 20, "only {count} commands were found");
    commands
}
