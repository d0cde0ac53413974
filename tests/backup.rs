//! A backup that is made while everybody writes is whole and of one moment; what is restored from it does not bring to
//! life what was used, ended or sent since; and nothing is replaced that somebody uses, or by what is no backup.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use doorpost::accounts::email_address::EmailAddress;
use doorpost::actions::invite::{Told, invite};
use reqwest::StatusCode;
use tempfile::TempDir;

use crate::program::{ANY_PORT, Doorpost, dressed, empty_folder, run};
use crate::support::{Answer, Database, House, ScriptedServer, Store, eventually, postgres};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[expect(clippy::disallowed_methods, reason = "a test looks into the file")]
fn open(file: &Path) -> SqliteConnection {
    SqliteConnection::establish(file.to_str().unwrap()).unwrap()
}

fn count(file: &Path, query: &str) -> i64 {
    diesel::sql_query(query)
        .get_result::<Count>(&mut open(file))
        .unwrap()
        .n
}

#[track_caller]
fn told(ended: &Output) -> String {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    String::from_utf8(ended.stdout.clone()).unwrap()
}

#[track_caller]
fn is_refused(ended: &Output, why: &str) {
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(said.contains(why), "{said}");
}

/// Each invitation is a row, a link and a letter, in one transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_made_while_everybody_writes_is_of_one_moment() {
    let mut house = House::with(Database::Sqlite, &[("SIGN_UP", "invited")]).await;
    house.stop_worker();
    let (folder, over) = (empty_folder(), Arc::new(AtomicBool::new(false)));
    let written = Arc::new(AtomicUsize::new(0));
    let mut writers = Vec::new();
    for writer in 0..16 {
        let (app, over, written) = (house.app.clone(), over.clone(), written.clone());
        writers.push(tokio::spawn(async move {
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let address =
                    EmailAddress::parse(&format!("{writer}.{number}@example.org")).unwrap();
                let inviting = app.clone();
                let invited =
                    app.transaction(move |tx| invite(tx, &inviting, &address, Told::ByMail));
                invited.await.unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let variables = [
        ("DATABASE_URL", house.database_url()),
        ("SECRET_KEY", house.secret_key()),
    ];
    let (mut sizes, mut meanwhile_all) = (Vec::new(), 0);
    for number in 0..5 {
        eventually("some to be written", async || {
            written.load(Ordering::Relaxed) > 200 * (number + 1)
        })
        .await;
        let name = format!("{number}.db");
        let (at, arguments) = (
            folder.path().to_owned(),
            ["backup".to_owned(), name.clone()],
        );
        let owned = variables.map(|(name, value)| (name, value.to_owned()));
        let before = written.load(Ordering::Relaxed);
        let made = tokio::task::spawn_blocking(move || {
            let variables: Vec<(&str, &str)> = owned
                .iter()
                .map(|(name, value)| (*name, &**value))
                .collect();
            run(&at, &arguments.each_ref().map(String::as_str), &variables)
        });
        let said = told(&made.await.unwrap());
        assert!(said.starts_with(&format!("{name}: ")), "{said}");
        let meanwhile = written.load(Ordering::Relaxed) - before;
        meanwhile_all += meanwhile;
        sizes.push((name, before));
    }
    assert!(meanwhile_all > 0, "nobody waited for it");
    over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    for (name, at_least) in sizes {
        let file = folder.path().join(name);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            count(
                &file,
                "SELECT integrity_check = 'ok' AS n FROM pragma_integrity_check"
            ),
            1
        );
        let invited = count(&file, "SELECT count(*) AS n FROM invitations");
        assert!(
            invited >= i64::try_from(at_least).unwrap(),
            "what was answered before is in it"
        );
        let whole = "SELECT count(*) AS n FROM invitations JOIN links USING (email) JOIN outbox USING (email)";
        assert_eq!(count(&file, whole), invited);
        for table in ["links", "outbox"] {
            assert_eq!(
                count(&file, &format!("SELECT count(*) AS n FROM {table}")),
                invited,
                "{table}"
            );
        }
    }
    assert_eq!(
        crate::program::everything_in(folder.path()).len(),
        5,
        "and nothing else is left"
    );
}

/// A Doorpost with a mail server, in a folder of its own.
struct Site {
    folder: TempDir,
    server: ScriptedServer,
    store: Store,
}

impl Site {
    async fn new(db: Database) -> Self {
        let (folder, store) = (empty_folder(), Store::make(db).await);
        Self {
            folder,
            server: ScriptedServer::start(),
            store,
        }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("BIND_ADDRESS", ANY_PORT.1.to_owned()),
            ("DATABASE_URL", self.store.url.clone()),
            ("SECRET_KEY", self.store.secret_key.clone()),
            ("SMTP_URL", self.server.url()),
            ("LIMIT_MAIL_GAP", "off".to_owned()),
        ]
    }

    fn serving(&self) -> Doorpost {
        let variables = self.variables();
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        Doorpost::serving(self.folder.path(), &variables)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let variables = self.variables();
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        run(self.folder.path(), arguments, &variables)
    }

    fn database(&self) -> PathBuf {
        PathBuf::from(self.store.url.strip_prefix("sqlite:").unwrap())
    }

    /// The state of the newest letter of this kind.
    fn state_of(&self, letter: &str) -> String {
        let listed = self.run(&["mail", "list", "--json"]);
        let mails: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        let newest = mails
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["letter"] == letter);
        newest.map_or_else(String::new, |it| it["state"].as_str().unwrap().to_owned())
    }

    async fn member(&self, doorpost: &Doorpost, address: &str) -> crate::support::Visitor {
        let member = doorpost.visitor();
        member.ask("/register", address).await.sees_inbox_page();
        let link = self.server.letter_for(address).await.mail().link;
        member.confirm(&path_of(&link)).await;
        member
    }
}

fn path_of(link: &str) -> String {
    let (_, path) = link.split_once("://").unwrap();
    path[path.find('/').unwrap()..].to_owned()
}

fn stop(mut doorpost: Doorpost) {
    doorpost.signal("TERM");
    assert_eq!(doorpost.ends(), Some(0));
}

/// What has happened when the backup is made, and what happens after it.
struct Past {
    session: crate::support::Visitor,
    ended: crate::support::Visitor,
    link: String,
}

on_both! {
    /// TOK-01, SES-01: what was used or ended after the backup does not come back with it.
    async fn what_was_used_ended_or_sent_since_does_not_come_back(db: Database) {
        let site = Site::new(db).await;
        let doorpost = site.serving();
        let ada = site.member(&doorpost, ADA).await;
        let elsewhere = ada.with_copied_jar();
        // A link is out, and a letter waits, for the mail server does not take it yet.
        let asked = doorpost.visitor();
        asked.ask("/sign-in", ADA).await.sees_inbox_page();
        let link = path_of(&site.server.letters_for(ADA, 2).await.pop().unwrap().mail().link);
        site.server.follow(|step| match step.verb {
            "RCPT" => Answer::Say("450 4.2.1 come back later"),
            _ => Answer::Agree,
        });
        doorpost.visitor().ask("/register", BOB).await.sees_inbox_page();
        eventually("it to wait", async || site.state_of("confirm_email") == "queued").await;
        back_up(&site).await;

        // The letter is sent, the link used, the session ended, and Carol comes.
        site.server.agree();
        let past = Past { session: ada, ended: elsewhere, link };
        asked.click(&past.link).await.goes_on_to("/account");
        past.session.post("/sign-out", &[("sure", "yes")]).await;
        assert_eq!(past.ended.signed_in_as().await, None);
        let waiting = site.run(&["mail", "list", "--state", "queued", "--json"]);
        let waiting: serde_json::Value = serde_json::from_slice(&waiting.stdout).unwrap();
        for mail in waiting.as_array().unwrap() {
            site.run(&["mail", "retry", mail["id"].as_str().unwrap()]);
        }
        site.server.letter_for(BOB).await;
        site.member(&doorpost, "carol@example.org").await;
        stop(doorpost);

        let said = restore(&site).await;
        assert!(said.contains("letters that waited and will not be sent "), "{said}");
        let taken = site.server.count_taken();
        let doorpost = site.serving();
        assert_eq!(past.ended.moved_to(&doorpost.url).signed_in_as().await, None, "the session");
        let clicked = asked.moved_to(&doorpost.url).click(&past.link).await;
        assert_eq!(clicked.status, StatusCode::GONE, "the link");
        let anew = doorpost.visitor();
        anew.ask("/sign-in", ADA).await.sees_inbox_page();
        site.server.takes(taken + 1).await;
        let letter = site.server.taken().remove(taken);
        anew.click(&path_of(&letter.mail().link)).await.goes_on_to("/account");
        assert_eq!(anew.signed_in_as().await.as_deref(), Some(ADA), "the account is there");
        assert_eq!(site.server.taken_for(BOB).len(), 1, "what was sent is not sent again");
        assert_eq!(site.state_of("confirm_email"), "dropped");
        stop(doorpost);
    }
}

impl Site {
    /// Signs in with a link, in this browser.
    async fn signs_in(&self, browser: &crate::support::Visitor) {
        let links = || {
            let taken = self
                .server
                .taken_for(ADA)
                .into_iter()
                .map(|letter| letter.mail());
            taken
                .filter(|mail| !mail.is_news() && mail.route() == "/sign-in/link")
                .collect::<Vec<_>>()
        };
        let before = links().len();
        browser.ask("/sign-in", ADA).await.sees_inbox_page();
        eventually("a link", async || links().len() > before).await;
        browser
            .click(links().pop().unwrap().path())
            .await
            .goes_on_to("/account");
    }
}

on_both! {
    /// TOK-01: however often one backup is restored, what was mailed in between knows nobody afterwards.
    async fn a_link_in_ordinary_mail_from_between_two_restores_signs_nobody_in(db: Database) {
        let site = Site::new(db).await;
        let doorpost = site.serving();
        site.member(&doorpost, ADA).await;
        back_up(&site).await;
        stop(doorpost);

        restore(&site).await;
        let doorpost = site.serving();
        let browser = doorpost.visitor();
        site.signs_in(&browser).await;
        let news = || {
            let taken = site.server.taken_for(ADA).into_iter().map(|letter| letter.mail());
            taken.filter(|mail| mail.link.contains("login_token=")).collect::<Vec<_>>()
        };
        eventually("a notice", async || !news().is_empty()).await;
        let notice = news().pop().unwrap();
        browser.post("/sign-out", &[("sure", "yes")]).await;
        browser.click(notice.path()).await.goes_on_to("/account/sessions");
        assert_eq!(browser.signed_in_as().await.as_deref(), Some(ADA), "it lives");
        stop(doorpost);

        restore(&site).await;
        let doorpost = site.serving();
        let browser = browser.moved_to(&doorpost.url);
        assert_eq!(browser.signed_in_as().await, None, "the session");
        site.signs_in(&browser).await;
        browser.post("/sign-out", &[("sure", "yes")]).await;
        browser.click(notice.path()).await;
        assert_eq!(browser.signed_in_as().await, None, "the link");
        stop(doorpost);
    }
}

/// As docs/operate.md says.
async fn back_up(site: &Site) {
    if site.store.url.starts_with("sqlite:") {
        told(&site.run(&["backup", "backup"]));
        return;
    }
    is_refused(
        &site.run(&["backup", "backup"]),
        "pg_dump --format=custom --file=FILE",
    );
    by_its_own_tool(
        site,
        "pg_dump",
        &["--format=custom", "--file=backup", &site.store.url],
    );
}

async fn restore(site: &Site) -> String {
    if site.store.url.starts_with("sqlite:") {
        return told(&site.run(&["restore", "backup"]));
    }
    is_refused(&site.run(&["restore", "backup"]), "pg_restore --clean");
    let target = format!("--dbname={}", site.store.url);
    let arguments = [
        "--clean",
        "--if-exists",
        "--no-owner",
        "--single-transaction",
        &target,
        "backup",
    ];
    by_its_own_tool(site, "pg_restore", &arguments);
    told(&site.run(&["restore", "--loaded"]))
}

fn by_its_own_tool(site: &Site, tool: &str, arguments: &[&str]) {
    let ended = dressed(Command::new(tool), site.folder.path(), &[])
        .args(arguments)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
}

#[tokio::test]
async fn a_restore_refuses_while_anybody_has_the_database_open_and_keeps_the_old_one() {
    let site = Site::new(Database::Sqlite).await;
    let doorpost = site.serving();
    site.member(&doorpost, ADA).await;
    told(&site.run(&["backup", "backup"]));
    site.member(&doorpost, BOB).await;
    is_refused(&site.run(&["restore", "backup"]), "is in use");
    assert_eq!(
        doorpost.visitor().get("/healthz").await.status,
        StatusCode::OK
    );
    stop(doorpost);

    // Somebody else, who knows of no lock but SQLite's.
    let mut other = open(&site.database());
    other.batch_execute("SELECT count(*) FROM users").unwrap();
    is_refused(&site.run(&["restore", "backup"]), "is in use");
    drop(other);

    let dry = told(&site.run(&["restore", "backup", "--dry-run"]));
    assert_eq!(
        dry,
        "backup is whole, and would be restored; accounts: 1.\n"
    );
    assert_eq!(
        count(&site.database(), "SELECT count(*) AS n FROM users"),
        2
    );
    let said = told(&site.run(&["restore", "backup"]));
    assert_eq!(
        count(&site.database(), "SELECT count(*) AS n FROM users"),
        1
    );
    let (_, aside) = said.split_once("The database of before is ").unwrap();
    let aside = PathBuf::from(aside.trim_end().trim_end_matches('.'));
    assert_eq!(
        count(&aside, "SELECT count(*) AS n FROM users"),
        2,
        "with all that was in its log"
    );
    for file in [&aside, &site.database()] {
        assert_eq!(
            fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let beside = crate::program::everything_in(site.database().parent().unwrap());
    assert!(
        beside.iter().all(|(name, _)| !name.contains(".part")),
        "{beside:?}"
    );
}

/// All there is has to end, and that takes as long as it takes: longer than a visitor's transaction may, where there is
/// much of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_ends_may_take_its_time() {
    let site = Site::new(Database::Postgres).await;
    let doorpost = site.serving();
    site.member(&doorpost, ADA).await;
    stop(doorpost);
    let slow = postgres(&site.store.url).await;
    let holds = "BEGIN; SELECT id FROM users FOR UPDATE";
    slow.batch_execute(holds).await.unwrap();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(4)).await;
        slow.batch_execute("COMMIT").await.unwrap();
    });
    let ended = tokio::task::block_in_place(|| site.run(&["restore", "--loaded"]));
    assert!(told(&ended).starts_with("Ended: sessions 1, "), "{ended:?}");
}

on_both! {
    async fn what_was_loaded_is_not_taken_over_while_a_doorpost_serves(db: Database) {
        let site = Site::new(db).await;
        let doorpost = site.serving();
        let ada = site.member(&doorpost, ADA).await;
        for arguments in [&["restore", "--loaded"][..], &["restore", "--loaded", "--dry-run"]] {
            is_refused(&site.run(arguments), "is in use");
        }
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "nothing has changed");
        stop(doorpost);
        let dry = told(&site.run(&["restore", "--loaded", "--dry-run"]));
        assert_eq!(dry, "Every session and every link would end; accounts: 1.\n");
        let said = told(&site.run(&["restore", "--loaded"]));
        assert!(said.starts_with("Ended: sessions 1, "), "{said}");
    }
}

/// As when a node's machine vanished, or its network: it is there for as long as its sessions are.
#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_that_are_in_the_way_of_a_restore_can_be_found_and_ended() {
    let site = Site::new(Database::Postgres).await;
    let doorpost = site.serving();
    site.member(&doorpost, ADA).await;
    doorpost.signal("STOP");
    let refused = tokio::task::block_in_place(|| site.run(&["restore", "--loaded"]));
    is_refused(&refused, "is in use");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operate.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, query) = page.split_once("    SELECT a.pid, ").unwrap();
    let (query, _) = query.split_once(';').unwrap();
    let other = postgres(&site.store.url).await;
    let query = format!("SELECT pg_terminate_backend(pid) FROM (SELECT a.pid, {query}) AS found");
    other.batch_execute(&query).await.unwrap();
    let ended = tokio::task::block_in_place(|| site.run(&["restore", "--loaded"]));
    assert!(told(&ended).starts_with("Ended: sessions 1, "), "{ended:?}");
    drop(doorpost);
}

/// A start that comes in the middle of it waits, as it waits for a database that is away.
#[tokio::test(flavor = "multi_thread")]
async fn no_node_begins_to_serve_what_is_just_being_restored() {
    let site = Site::new(Database::Postgres).await;
    let restoring = postgres(&site.store.url).await;
    let alone = "SELECT pg_advisory_lock(7237125663510983541)";
    restoring.batch_execute(alone).await.unwrap();
    let variables = site.variables();
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let doorpost = Doorpost::start(site.folder.path(), &variables);
    doorpost.says("waiting for the database");
    assert!(
        doorpost.log().contains("just being restored"),
        "{}",
        doorpost.log()
    );
    drop(restoring);
    let doorpost = doorpost.when_up();
    assert_eq!(
        doorpost.visitor().get("/readyz").await.status,
        StatusCode::OK
    );
}

/// Two in one second, by a script: the database of before is not lost to the second.
#[tokio::test]
async fn no_restore_replaces_what_another_has_set_aside() {
    let site = Site::new(Database::Sqlite).await;
    let doorpost = site.serving();
    told(&site.run(&["backup", "backup"]));
    site.member(&doorpost, ADA).await;
    stop(doorpost);
    for _ in 0..8 {
        told(&site.run(&["restore", "backup"]));
    }
    let beside = crate::program::everything_in(site.database().parent().unwrap());
    let aside = beside
        .iter()
        .filter(|(name, _)| name.contains(".before-restore-"));
    assert_eq!(aside.count(), 8);
}

#[tokio::test]
async fn what_is_no_backup_of_ours_replaces_nothing() {
    let site = Site::new(Database::Sqlite).await;
    stop(site.serving());
    told(&site.run(&["backup", "backup"]));
    let at = |name: &str| site.folder.path().join(name);
    let whole = fs::read(at("backup")).unwrap();

    is_refused(
        &site.run(&["backup", "backup"]),
        "is there already; --yes replaces it",
    );
    told(&site.run(&["backup", "backup", "--yes"]));
    let database = site.database();
    for own in ["", "-wal", "-lock"] {
        let name = format!("{}{own}", database.display());
        is_refused(
            &site.run(&["backup", &name, "--yes"]),
            "is the database itself",
        );
    }
    std::os::unix::fs::symlink(&database, at("link")).unwrap();
    is_refused(
        &site.run(&["backup", "link", "--yes"]),
        "is the database itself",
    );
    is_refused(&site.run(&["backup", "nowhere/backup"]), "No such file");

    fs::write(
        at("text"),
        "a text that is no database, and is longer than a page has to be at the least",
    )
    .unwrap();
    fs::write(at("cut"), &whole[..whole.len() / 2]).unwrap();
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 4096].fill(0xa5);
    fs::write(at("torn"), &torn).unwrap();
    fs::write(at("empty"), "").unwrap();
    open(&at("others"))
        .batch_execute("CREATE TABLE users (id TEXT)")
        .unwrap();
    fs::write(at("newer"), &whole).unwrap();
    open(&at("newer"))
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000001')")
        .unwrap();
    fs::write(at("used"), &whole).unwrap();
    fs::write(at("used-wal"), "what was written last").unwrap();
    for (name, why) in [
        ("text", "file is not a database"),
        ("cut", "damaged"),
        ("torn", "damaged"),
        ("empty", "has no tables of Doorpost"),
        ("others", "has no tables of Doorpost"),
        ("newer", "was made by a newer Doorpost"),
        ("used", "is a database in use and no backup"),
        ("nowhere", "No such file"),
    ] {
        let before = fs::read(&database).unwrap();
        is_refused(&site.run(&["restore", name]), why);
        // But for its first page, which says how it keeps its log.
        let after = fs::read(&database).unwrap();
        assert!(after[100..] == before[100..], "{name}");
    }
    let beside = crate::program::everything_in(database.parent().unwrap());
    assert!(
        beside
            .iter()
            .all(|(name, _)| !name.contains(".part") && !name.contains("before-restore")),
        "{beside:?}"
    );
    assert_eq!(site.run(&["restore"]).status.code(), Some(2));

    // A damaged database is what backups are for; and a machine that has none yet.
    fs::write(&database, &torn).unwrap();
    told(&site.run(&["restore", "backup"]));
    stop(site.serving());
    fs::remove_dir_all(database.parent().unwrap()).unwrap();
    told(&site.run(&["restore", "backup"]));
    stop(site.serving());
}
