//! What runs out or is held by somebody else: the write lock of a database, its connections, the descriptors of
//! the process. Whoever asks meanwhile waits a little and is then told to try again, in our words; what was
//! answered as done is there, what was refused is not; and all of it passes by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use doorpost::db::{Connection, Db};
use doorpost::error::Error;
use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::program::{ANY_PORT, Doorpost};
use crate::support::{
    Database, House, Page, Store, at_once, eventually, hold_the_write_lock, wire,
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
