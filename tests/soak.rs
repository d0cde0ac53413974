//! Endurance: the same day again and again costs the same. What the process holds, memory and descriptors, does
//! not grow with what was done; what the tables hold does not grow once as much is forgotten as is written.
//!
//! A short form runs with every test. A long one, which tells of each tenth of its time, is
//!
//! ```text
//! SOAK_SECONDS=3600 tests/run soak
//! ```

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::house_rules;
use crate::program::{ANY_PORT, Doorpost};
use crate::purge::purge_all;
use crate::support::{Database, House, PASSWORD, Store, at_once};

/// How many visit at once, each with an address of their own.
const CROWD: usize = 8;

/// What the process may come to hold in the second half beside what it held in the first: the cache of one
/// connection to SQLite, and pieces that allocators keep.
const GROWTH: u64 = 48 * 1024 * 1024;

/// Connections that may be kept, or come in.
const SPARE: usize = 4 * CROWD;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The life of an account, with all that somebody may come by for. How long the slowest answer took.
async fn live(doorpost: &Doorpost, address: &str) -> Duration {
    let mut slowest = Duration::ZERO;
    let visitor = doorpost.visitor();
    visitor.ask("/register", address).await.sees_inbox_page();
    let mail = doorpost.mail_to(address).await;
    let fields = [("token", mail.token()), ("password", PASSWORD)];
    let begun = visitor.post("/confirm-email", &fields).await;
    begun.goes_on_to("/account");
    visitor.post("/sign-out", &[]).await.goes_on_to("/");
    for (path, status) in [
        ("/sign-in", StatusCode::OK),
        ("/nothing", StatusCode::NOT_FOUND),
        ("/sign-in/link?token=junk", StatusCode::GONE),
        ("/account", StatusCode::SEE_OTHER),
    ] {
        let began = Instant::now();
        assert_eq!(visitor.get(path).await.status, status, "{path}");
        slowest = slowest.max(began.elapsed());
    }
    visitor.enter(address, "not it").await.says_mistake("");
    visitor
        .enter(address, PASSWORD)
        .await
        .goes_on_to("/account");
    for path in ["/account", "/account/sessions", "/account/activity"] {
        let began = Instant::now();
        assert_eq!(visitor.get(path).await.status, StatusCode::OK, "{path}");
        slowest = slowest.max(began.elapsed());
    }
    let gone = visitor.post("/account/delete", &[("email", address)]).await;
    gone.goes_on_to("/");
    slowest
}

/// What the process held after a round, and how long the slowest answer of it took.
struct Sample {
    memory: u64,
    files: usize,
    slowest: Duration,
}

/// Everything that would stop a crowd from one network.
const UNLIMITED: [(&str, &str); 5] = [
    ("LIMIT_MAIL_PER_NETWORK", "off"),
    ("LIMIT_PASSWORD_PER_NETWORK", "off"),
    ("LIMIT_TOKEN_PER_NETWORK", "off"),
    ("ARGON2_MEMORY_KIB", "64"),
    ("ARGON2_PASSES", "1"),
];

on_both! {
    /// FLT-12
    async fn what_the_process_holds_does_not_grow_with_what_was_done(db: Database) {
        let (store, folder) = (Store::make(db).await, tempfile::tempdir().unwrap());
        let own = [
            ANY_PORT,
            ("DATABASE_URL", store.url.as_str()),
            ("SECRET_KEY", store.secret_key.as_str()),
        ];
        let variables = [&own[..], &UNLIMITED].concat();
        let doorpost = Arc::new(Doorpost::serving(folder.path(), &variables));
        let (began, length) = (Instant::now(), length());
        let mut samples = Vec::new();
        while began.elapsed() < length || samples.len() < 10 {
            let round = samples.len();
            let lives = (0..CROWD).map(|one| {
                let doorpost = Arc::clone(&doorpost);
                async move { live(&doorpost, &format!("guest-{round}-{one}@example.org")).await }
            });
            let slowest = at_once(lives).await.into_iter().max().unwrap();
            let (memory, files) = (doorpost.memory(), doorpost.open_files().len());
            samples.push(Sample { memory, files, slowest });
        }
        tell(db, &samples, length);
        let (first, second) = samples.split_at(samples.len() / 2);
        let most = |half: &[Sample]| half.iter().map(|one| one.memory).max().unwrap();
        let (before, after) = (most(first), most(second));
        assert!(after < before + GROWTH, "it held {before} bytes at most, and then {after}");
        let most = |half: &[Sample]| half.iter().map(|one| one.files).max().unwrap();
        let (before, after) = (most(first), most(second));
        assert!(after <= before + SPARE, "it had {before} open at most, and then {after}");
    }

    /// FLT-12: the same day for six weeks. What is kept longest, mail that was sent, is kept for less than three.
    async fn what_the_tables_hold_is_bounded(db: Database) {
        let house = House::with(db, &UNLIMITED).await;
        let mut rows = Vec::new();
        for day in 0..42 {
            one_day(&house, day).await;
            house.advance(DAY);
            purge_all(&house).await;
            let mut all = 0;
            for table in house_rules::tables() {
                all += house.count(format!("SELECT count(*) AS n FROM {table}")).await;
            }
            rows.push(all);
        }
        let (first, second) = rows.split_at(rows.len() / 2);
        assert!(first.iter().max() >= second.iter().max(), "row by day: {rows:?}");
        assert!(rows[0] > 0, "nothing was ever written");
    }
}

/// Somebody lives and leaves, somebody only asks, somebody guesses.
async fn one_day(house: &House, day: usize) {
    let [member, stranger] = ["member", "stranger"].map(|who| format!("{who}-{day}@example.org"));
    let owner = house.owner(&member).await;
    let visitor = house.visitor();
    visitor.ask("/register", &stranger).await.sees_inbox_page();
    visitor
        .ask("/forgot-password", &stranger)
        .await
        .sees_inbox_page();
    visitor.enter(&stranger, "not it").await.says_mistake("");
    visitor
        .get("/sign-in/link?token=junk")
        .await
        .says_the_link_is_gone();
    owner.reauthenticate().await;
    let gone = owner.post("/account/delete", &[("email", &member)]).await;
    gone.goes_on_to("/");
    house.all_mail_to(&stranger).await;
}

#[expect(clippy::disallowed_methods, reason = "whoever runs it says how long")]
fn length() -> Duration {
    let chosen = std::env::var("SOAK_SECONDS").ok();
    Duration::from_secs(chosen.map_or(8, |seconds| seconds.parse().unwrap()))
}

/// Past what the test runner holds back: a tenth of the time a line.
fn tell(db: Database, samples: &[Sample], length: Duration) {
    let mut out = std::io::stdout();
    for (tenth, part) in samples.chunks(samples.len().div_ceil(10)).enumerate() {
        let memory = part.iter().map(|one| one.memory).max().unwrap() / 1024 / 1024;
        let files = part.iter().map(|one| one.files).max().unwrap();
        let mut slowest: Vec<Duration> = part.iter().map(|one| one.slowest).collect();
        slowest.sort();
        let median = slowest[slowest.len() / 2];
        let at = length.as_secs() * tenth as u64 / 10;
        let rounds = part.len();
        let _ = writeln!(
            out,
            "soak on {db:?} after {at} s: {rounds} rounds, {memory} MiB, {files} files, slowest of a round {median:?}"
        );
    }
}
