//! What runs out or is held by somebody else: the write lock of a database, its connections, its disk, the descriptors
//! of the process; and what else befalls a server. Whoever asks meanwhile waits a little and is then told to try again, in our words; what was
//! answered as done is there, what was refused is not; and all of it passes by itself.
//!
//! `ENDED_SESSIONS_USES` says how many links are used while the server ends every session with us again and again: 60
//! unless it is set, 2000 for a test of endurance.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use doorpost::db::{Connection, Db};
use doorpost::error::Error;
use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::program::{ANY_PORT, Doorpost};
use crate::support::cluster::{Cluster, Disk};
use crate::support::{
    Database, House, Mail, Page, Store, Visitor, at_once, eventually, hold_the_write_lock, wire,
};

const ADA: &str = "ada@example.org";

/// How long SQLite waits for the lock (5 s), and a caller for PostgreSQL (2 s), and some more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);

/// How many connections to PostgreSQL a node has.
const CONNECTIONS: usize = 8;

/// Somebody new asks at once from each of these numbers; what they were answered, and after how long.
async fn asks(house: &House, numbers: std::ops::Range<usize>) -> Vec<(usize, Page, Duration)> {
    let asks = numbers.map(|number| {
        let visitor = house.visitor();
        async move {
            let began = Instant::now();
            let page = visitor.ask("/register", &address(number)).await;
            (number, page, began.elapsed())
        }
    });
    at_once(asks).await
}

fn address(number: usize) -> String {
    format!("visitor-{number}@example.org")
}

/// In our words, in time, and without a word of what it was.
#[track_caller]
fn is_told_to_try_again(page: &Page, waited: Duration) {
    assert_eq!(
        page.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        page.body
    );
    assert_eq!(page.header("retry-after"), Some("2"));
    let shown = page.body.to_lowercase();
    for inside in ["locked", "sqlite", "postgres", "database", "timeout"] {
        assert!(!shown.contains(inside), "{inside}: {shown}");
    }
    assert!(waited < PATIENCE, "after {waited:?}");
}

/// Done is done, and refused is not done: promises 22 and 26.
async fn what_was_answered_holds(house: &House, answers: &[(usize, Page, Duration)]) {
    for (number, page, waited) in answers {
        let address = address(*number);
        let links = format!("SELECT count(*) AS n FROM links WHERE email = '{address}'");
        let counted = format!("SELECT count(*) AS n FROM limits WHERE subject LIKE '%{address}%'");
        let written = (house.count(links).await, house.count(counted).await > 0);
        if page.status == StatusCode::SEE_OTHER {
            assert_eq!(written, (1, true), "{address} was answered");
        } else {
            is_told_to_try_again(page, *waited);
            assert_eq!(written, (0, false), "{address} was refused");
        }
    }
}

fn statuses(answers: &[(usize, Page, Duration)]) -> Vec<StatusCode> {
    answers.iter().map(|(_, page, _)| page.status).collect()
}

/// FLT-03
#[tokio::test]
async fn whoever_meets_a_held_sqlite_waits_for_it_or_is_told_to_try_again() {
    let house = House::new(Database::Sqlite).await;
    let ada = house.member(ADA).await;

    // Held for 3 s: shorter than anybody's patience.
    let holder = hold_the_write_lock(house.database_file());
    let held = Instant::now();
    let let_go = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(holder);
    });
    let answers = asks(&house, 0..20).await;
    let_go.await.unwrap();
    assert!(held.elapsed() > Duration::from_secs(3), "nobody waited");
    assert_eq!(statuses(&answers), [StatusCode::SEE_OTHER; 20]);
    what_was_answered_holds(&house, &answers).await;

    // Held for longer than that, through two rounds of visitors. Whoever only looks is not held up.
    let holder = hold_the_write_lock(house.database_file());
    for round in 1..3 {
        let (answers, shown) = tokio::join!(asks(&house, round * 20..round * 20 + 20), async {
            (ada.signed_in_as().await, Instant::now())
        });
        assert_eq!(shown.0.as_deref(), Some(ADA));
        assert_eq!(statuses(&answers), [StatusCode::SERVICE_UNAVAILABLE; 20]);
        what_was_answered_holds(&house, &answers).await;
    }
    drop(holder);
    let answers = asks(&house, 60..80).await;
    assert_eq!(statuses(&answers), [StatusCode::SEE_OTHER; 20]);
    what_was_answered_holds(&house, &answers).await;
}

/// FLT-03
#[tokio::test]
async fn whoever_finds_every_connection_to_postgresql_taken_is_told_to_try_again() {
    let house = House::new(Database::Postgres).await;
    let ada = house.member(ADA).await;

    let sleepers = Sleepers::default();
    let away = (0..CONNECTIONS).map(|_| sleepers.sleep(house.app.db.clone()));
    let away: Vec<_> = away.map(tokio::spawn).collect();
    eventually("every connection sleeps", async || {
        sleepers.asleep.load(Ordering::SeqCst) == CONNECTIONS
    })
    .await;
    let refused = asks(&house, 0..20).await;
    assert_eq!(statuses(&refused), [StatusCode::SERVICE_UNAVAILABLE; 20]);
    for one in away {
        assert!(one.await.unwrap().is_err(), "it has no more patience");
    }
    eventually("all are awake", async || {
        sleepers.asleep.load(Ordering::SeqCst) == 0
    })
    .await;
    what_was_answered_holds(&house, &refused).await;
    let answers = asks(&house, 20..40).await;
    assert_eq!(statuses(&answers), [StatusCode::SEE_OTHER; 20]);
    what_was_answered_holds(&house, &answers).await;
    assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
}

/// Those who keep a connection for 9 s.
#[derive(Clone, Default)]
struct Sleepers {
    asleep: Arc<AtomicUsize>,
}

impl Sleepers {
    /// In sleeps that are each too short for the database to end. Whoever waits for it has given up long before.
    fn sleep(&self, db: Db) -> impl Future<Output = Result<(), Error>> + 'static {
        let asleep = Arc::clone(&self.asleep);
        async move {
            db.read(move |tx| {
                asleep.fetch_add(1, Ordering::SeqCst);
                for _ in 0..6 {
                    let sleep = diesel::sql_query("SELECT pg_sleep(1.5)::text");
                    match tx.conn {
                        Connection::Postgres(conn) => sleep.execute(conn)?,
                        Connection::Sqlite(conn) => sleep.execute(conn)?,
                    };
                }
                asleep.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
            .await
        }
    }
}

/// What is true of the sessions that the house has with its server.
const OURS: &str = "application_name = 'doorpost' AND backend_type = 'client backend'";

#[tokio::test]
async fn whatever_befalls_a_postgresql_nobody_is_told_anything_but_done_or_to_try_again() {
    let server = Cluster::start(&["max_connections=20"]);
    let mut house = House::on(Store::at(&server.url("postgres")), &[]);
    let ada = house.member(ADA).await;
    house.hold_mail(); // Nobody but visitors has something to write.
    it_is_told_to_take_no_writes(&server, &house, 0).await;
    its_sessions_are_ended_and_its_statements_cancelled(&server, &house, 100).await;
    others_have_all_its_connections(&server, &house, 200).await;
    no_standby_confirms_what_it_commits(&server, &house, 300).await;
    assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
}

/// By its operator, or by a guard that sees its disk fill up; without hanging up on anybody.
async fn it_is_told_to_take_no_writes(server: &Cluster, house: &House, from: usize) {
    server.set("default_transaction_read_only", "on").await;
    tokio::time::sleep(HEEDED_AFTER).await;
    let answers = asks(house, from..from + 20).await;
    assert_eq!(statuses(&answers), [StatusCode::SERVICE_UNAVAILABLE; 20]);
    what_was_answered_holds(house, &answers).await;
    server.set("default_transaction_read_only", "off").await;
    is_served_again(house, from + 50).await;
}

/// Amid their work, which waits for a table that somebody holds.
async fn its_sessions_are_ended_and_its_statements_cancelled(
    server: &Cluster,
    house: &House,
    from: usize,
) {
    let root = server.root().await;
    for (number, end) in ["pg_terminate_backend", "pg_cancel_backend"]
        .into_iter()
        .enumerate()
    {
        let from = from + 20 * number;
        root.batch_execute("BEGIN; LOCK TABLE links IN SHARE MODE")
            .await
            .unwrap();
        let all_wait = async {
            waits_for_so_many(server, CONNECTIONS, "wait_event_type = 'Lock'").await;
            let ended = format!("SELECT {end}(pid) FROM pg_stat_activity WHERE {OURS}");
            root.batch_execute(&ended).await.unwrap();
            root.batch_execute("ROLLBACK").await.unwrap();
        };
        let (answers, ()) = tokio::join!(asks(house, from..from + 20), all_wait);
        let refused = answers
            .iter()
            .filter(|(_, page, _)| page.status == StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            refused.count() >= CONNECTIONS,
            "{end}: {:?}",
            statuses(&answers)
        );
        what_was_answered_holds(house, &answers).await;
    }
    is_served_again(house, from + 50).await;
}

async fn others_have_all_its_connections(server: &Cluster, house: &House, from: usize) {
    let root = server.root().await;
    let end_ours = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}");
    root.batch_execute(&end_ours).await.unwrap();
    let mut others = Vec::new();
    let has_room =
        async || tokio_postgres::connect(&server.url("postgres"), tokio_postgres::NoTls).await;
    while let Ok((other, link)) = has_room().await {
        tokio::spawn(link);
        others.push(other);
    }
    let answers = asks(house, from..from + 20).await;
    assert_eq!(statuses(&answers), [StatusCode::SERVICE_UNAVAILABLE; 20]);
    drop(others);
    is_served_again(house, from + 50).await;
    what_was_answered_holds(house, &answers).await;
}

/// The standby is away. The server waits for it, and whoever ends the wait, be it a time limit, makes it answer as if
/// the standby had come.
async fn no_standby_confirms_what_it_commits(server: &Cluster, house: &House, from: usize) {
    let root = server.root().await;
    server.set("synchronous_standby_names", "'nobody'").await;
    let end_the_wait = async {
        waits_for_so_many(server, 1, "wait_event = 'SyncRep'").await;
        let ended = format!("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {OURS}");
        root.batch_execute(&ended).await.unwrap();
    };
    let (answers, ()) = tokio::join!(asks(house, from..from + 1), end_the_wait);
    let (_, page, waited) = &answers[0];
    is_told_to_try_again(page, *waited);
    assert!(*waited < Duration::from_secs(1), "nobody ended the wait");
    for (_, page, waited) in asks(house, from + 1..from + 3).await {
        is_told_to_try_again(&page, waited);
    }
    server.set("synchronous_standby_names", "''").await;
    is_served_again(house, from + 50).await;
}

/// How long a node may take to notice that nothing is to be written any more.
const HEEDED_AFTER: Duration = Duration::from_millis(1100);

async fn waits_for_so_many(server: &Cluster, so_many: usize, condition: &str) {
    let root = server.root().await;
    let waiting = format!("SELECT count(*) FROM pg_stat_activity WHERE {OURS} AND {condition}");
    eventually(condition, async || {
        let waiting: i64 = root.query_one(&waiting, &[]).await.unwrap().get(0);
        waiting >= so_many as i64
    })
    .await;
}

/// By itself, and soon: whoever tries again now and then comes through.
async fn is_served_again(house: &House, from: usize) {
    let began = Instant::now();
    for number in from.. {
        let answers = asks(house, number..number + 1).await;
        what_was_answered_holds(house, &answers).await;
        if statuses(&answers) == [StatusCode::SEE_OTHER] {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "it does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// FLT-02: the rest of its rows never comes, and what they come by says so again and again, without end.
#[tokio::test]
async fn a_session_that_is_ended_amid_its_rows_is_given_up_at_once() {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        _ended: bool,
    }
    let house = House::new(Database::Postgres).await;
    let began = Instant::now();
    let asked = house.app.db.read(|tx| {
        let ended = diesel::sql_query(
            "SELECT CASE WHEN n = 5000 THEN pg_terminate_backend(pg_backend_pid()) ELSE FALSE END AS _ended \
             FROM generate_series(1, 10000) AS n",
        );
        let rows: Vec<Row> = match tx.conn {
            Connection::Postgres(conn) => ended.load(conn)?,
            Connection::Sqlite(conn) => ended.load(conn)?,
        };
        Ok(rows.len())
    });
    assert!(asked.await.is_err());
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    is_served_again(&house, 0).await;
}

/// So many ask, or press, at once.
const AT_ONCE: usize = 16;

/// How a link was used.
#[derive(PartialEq, Eq)]
enum Pressed {
    In,
    /// It is dead after a press that was to be tried again: that one was done after all, and its answer lost.
    Unseen,
}

/// FLT-02, promises 22 and 26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_used_once_however_often_the_sessions_it_is_used_in_are_ended() {
    let server = Cluster::start(&[]);
    let house = House::on(Store::at(&server.url("postgres")), &[]);
    let root = server.root().await;
    let uses = chosen_uses();
    let (began, refused) = (Instant::now(), AtomicUsize::new(0));
    let (mut ended, mut unseen) = (0, 0);
    for some in (0..uses).collect::<Vec<_>>().chunks(100) {
        let asks = some.iter().map(|number| {
            let house = &house;
            async move { (*number, house.asked("/register", &address(*number)).await) }
        });
        let links: Vec<(usize, (Visitor, Mail))> =
            stream::iter(asks).buffered(AT_ONCE).collect().await;
        root.batch_execute("DELETE FROM outbox").await.unwrap(); // a long inbox takes long to read

        let used = AtomicUsize::new(0);
        let presses = links
            .iter()
            .map(|(number, (visitor, mail))| press(visitor, *number, mail, &used, &refused));
        let (pressed, ended_meanwhile) = tokio::join!(
            stream::iter(presses)
                .buffer_unordered(AT_ONCE)
                .collect::<Vec<Pressed>>(),
            end_our_sessions(&server, some.len(), &used),
        );
        let of_these = pressed.iter().filter(|one| **one == Pressed::Unseen);
        unseen += of_these.count();
        ended += ended_meanwhile;
    }
    for (what, there) in [
        ("accounts", "FROM users"),
        ("sessions", "FROM sessions"),
        (
            "accounts with one session",
            "FROM (SELECT FROM sessions GROUP BY user_id HAVING count(*) = 1) AS one",
        ),
        ("used links", "FROM links WHERE used_at IS NOT NULL"),
        ("registrations", "FROM events WHERE name = 'registered'"),
    ] {
        let there = format!("SELECT count(*) {there}");
        let there: i64 = root.query_one(&there, &[]).await.unwrap().get(0);
        assert_eq!(there, uses as i64, "{what}");
    }
    let (refused, took) = (refused.into_inner(), began.elapsed().as_secs());
    // Past what the test runner holds back: the figures of a run that went well are of interest, too.
    let _ = writeln!(
        std::io::stdout(),
        "{uses} links used in {took} s, while {ended} sessions were ended: {refused} presses were to be tried again, \
         {unseen} of them had been done"
    );
    assert!(ended > 0 && refused > 0, "then nothing was at stake");
}

/// Until it is answered otherwise than "try again".
async fn press(
    visitor: &Visitor,
    number: usize,
    mail: &Mail,
    used: &AtomicUsize,
    refused: &AtomicUsize,
) -> Pressed {
    let mut was_refused = false;
    loop {
        let began = Instant::now();
        let page = visitor.use_link(mail, &address(number)).await;
        let pressed = match page.status {
            StatusCode::SEE_OTHER => Some(Pressed::In),
            StatusCode::GONE if was_refused => Some(Pressed::Unseen),
            _ => None,
        };
        if let Some(pressed) = pressed {
            used.fetch_add(1, Ordering::Relaxed);
            return pressed;
        }
        is_told_to_try_again(&page, began.elapsed());
        was_refused = true;
        refused.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All of them, whenever a few more links were used, amid the use of others; how many that were.
async fn end_our_sessions(server: &Cluster, uses: usize, used: &AtomicUsize) -> i64 {
    let root = server.root().await;
    let end = format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OURS}");
    let mut ended = 0;
    for few in (0..uses).step_by(4) {
        while used.load(Ordering::Relaxed) < few {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ended += root.query_one(&end, &[]).await.unwrap().get::<_, i64>(0);
    }
    ended
}

#[expect(clippy::disallowed_methods, reason = "whoever runs it says how many")]
fn chosen_uses() -> usize {
    let chosen = std::env::var("ENDED_SESSIONS_USES").ok();
    chosen.map_or(60, |uses| uses.parse().unwrap())
}

#[tokio::test]
async fn a_postgresql_whose_disk_is_full_does_nothing_by_half() {
    let server = Cluster::start_on_a_disk_of(64, &[]);
    let house = House::on(Store::at(&server.url("postgres")), &[]);
    the_disk_fills_up(&house, &server.disk()).await;
    assert!(server.log().contains("No space left on device"));
}

#[tokio::test]
async fn an_sqlite_whose_disk_is_full_does_nothing_by_half() {
    let disk = Disk::of(8);
    let file = disk.path().join("doorpost.db");
    let house = House::on(Store::at(&format!("sqlite:{}", file.display())), &[]);
    the_disk_fills_up(&house, disk.path()).await;
}

/// Whoever only looks is served meanwhile, and everybody once there is room.
async fn the_disk_fills_up(house: &House, disk: &Path) {
    let ada = house.member(ADA).await;
    let filled = fill(disk);
    let mut answers = Vec::new();
    for round in 0.. {
        assert!(round < 50, "there is room for everybody");
        answers.extend(asks(house, round * 20..round * 20 + 20).await);
        if statuses(&answers).contains(&StatusCode::SERVICE_UNAVAILABLE) {
            break;
        }
    }
    assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
    fs::remove_file(filled).unwrap();
    is_served_again(house, 5000).await;
    what_was_answered_holds(house, &answers).await;
}

/// With a file that takes all the room there is.
fn fill(disk: &Path) -> PathBuf {
    let file = disk.join("filler");
    let mut filler = File::create(&file).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    file
}

/// More than the program may have open, with all that it needs for itself.
const CALLERS: usize = 300;

on_both! {
    /// FLT-11
    async fn a_program_without_a_descriptor_left_lives_on_and_serves_when_there_are_some(db: Database) {
        let store = Store::make(db).await;
        let folder = tempfile::tempdir().unwrap();
        let variables = [
            ANY_PORT,
            ("DATABASE_URL", store.url.as_str()),
            ("SECRET_KEY", store.secret_key.as_str()),
            ("LIMIT_MAIL_GAP", "off"),
        ];
        let mut doorpost = Doorpost::limited("-n 128", folder.path(), &variables).when_up();
        let ada = doorpost.visitor();
        ada.ask("/register", ADA).await.sees_inbox_page();
        ada.confirm(doorpost.mail_to(ADA).await.path()).await;
        let at_rest = doorpost.open_files().len();

        // They were served once, so that nothing but the 60 s of a kept connection ends them.
        let mut callers = Vec::new();
        for _ in 0..CALLERS {
            callers.push(call_and_stay(&doorpost.url).await);
        }
        eventually("no descriptor is left", async || doorpost.open_files().len() >= 128).await;
        assert!(doorpost.lives(), "{}", doorpost.log());
        // What mail there is to send, and what there is to purge, fails or waits, and ends nothing.
        doorpost.says("Too many open files");
        drop(callers);

        eventually("it has let go of those who went", async || {
            doorpost.open_files().len() <= at_rest + 10
        })
        .await;
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        ada.ask("/sign-in", ADA).await.sees_inbox_page();
        doorpost.mail_with(ADA, "/sign-in/link").await;
        doorpost.signal("TERM");
        assert_eq!(doorpost.ends(), Some(0), "{}", doorpost.log());
    }
}

async fn call_and_stay(url: &str) -> TcpStream {
    let mut stream = wire::connect(url).await;
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    stream
}
