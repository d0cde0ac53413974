//! How long visitors wait while very many rows that are over are deleted, and what the database comes to hold meanwhile.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fill::now;
use crate::program::{Connection, cookie_of, get, post};
use crate::rows::Dialect;
use crate::site::{Open, Site};

/// Visitors who come at once, and the pause that each makes after an answer.
const VISITORS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// With nothing to be deleted, to compare with.
const QUIET: Duration = Duration::from_secs(15);

/// Adds the rows, starts the program, which begins to delete them at once, and visits until they are gone.
pub fn watch(site: &Site, rows: u64) {
    for (_, filling) in site.living(now(), "").expired(rows) {
        site.run(&filling);
    }
    site.run("ANALYZE");
    let open = site.open();
    let began = Instant::now();
    let is_over = || over(site) == 0;
    let (busy, most) = visit(site, &open, is_over);
    let took = began.elapsed();
    let quiet_began = Instant::now();
    let (quiet, _) = visit(site, &open, || quiet_began.elapsed() > QUIET);
    println!(
        "{:?}, {} accounts: {rows} rows gone in {:.0} s; {most}",
        site.dialect(),
        site.accounts,
        took.as_secs_f64()
    );
    println!("| | requests | median, ms | p99 | slowest |");
    println!("|---|---|---|---|---|");
    for (when, waits) in [("meanwhile", busy), ("afterwards", quiet)] {
        for (what, waits) in ["a signed-in page", "asking for a link"].iter().zip(waits) {
            println!("| {what}, {when} | {} |", summary(waits));
        }
    }
    println!();
}

/// How many rows are left, or one for some, of a table that goes early and of the one that goes last.
fn over(site: &Site) -> i64 {
    let now = now();
    site.number(&format!(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM limits WHERE ends_at <= {now} - 1800000 LIMIT 1) AS l) + \
         (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE settled_at <= {now} - 1209600000 LIMIT 1) AS m)"
    ))
}

type Waits = Vec<f64>;

/// Visits until it is enough: how long pages took, and asking for a link; and the most that the database held beside its
/// tables.
fn visit(site: &Site, open: &Open, is_enough: impl Fn() -> bool) -> ([Waits; 2], String) {
    let (ends, waits) = (AtomicBool::new(false), Mutex::new([Vec::new(), Vec::new()]));
    let mut most = Most::default();
    thread::scope(|scope| {
        for number in 0..VISITORS {
            let (ends, waits) = (&ends, &waits);
            scope.spawn(move || visits(site, open, number, ends, waits));
        }
        while !is_enough() {
            most.look(site);
            thread::sleep(Duration::from_millis(250));
        }
        ends.store(true, Ordering::Relaxed);
    });
    (waits.into_inner().unwrap(), most.said(site))
}

fn visits(site: &Site, open: &Open, number: usize, ends: &AtomicBool, waits: &Mutex<[Waits; 2]>) {
    let mut browser = Connection::open(open.port);
    let mut reader = (number as u64) * 1_000 % site.accounts;
    let address = format!("reader{reader}@example.org");
    browser.send(&post("/sign-in", &email(reader)));
    let token = open.sink.token(&address);
    let link = post("/sign-in/link", &format!("token={token}&{}", email(reader)));
    let page = get("/members", &cookie_of(&browser.send(&link), "doorpost"));
    while !ends.load(Ordering::Relaxed) {
        for _ in 0..5 {
            let took = time(&mut browser, &page, "HTTP/1.1 200");
            waits.lock().unwrap()[0].push(took);
            thread::sleep(PAUSE);
        }
        reader = (reader + 7_919_777) % site.accounts;
        let took = time(
            &mut browser,
            &post("/sign-in", &email(reader)),
            "HTTP/1.1 303",
        );
        waits.lock().unwrap()[1].push(took);
        thread::sleep(PAUSE);
    }
}

fn email(reader: u64) -> String {
    format!("email=reader{reader}%40example.org")
}

/// In milliseconds.
fn time(browser: &mut Connection, request: &str, expected: &str) -> f64 {
    let began = Instant::now();
    let answer = browser.send(request);
    let took = began.elapsed().as_secs_f64() * 1e3;
    assert!(answer.starts_with(expected), "{answer}");
    took
}

/// What a database holds that is no use to anybody any more.
#[derive(Default)]
struct Most {
    found: i64,
}

impl Most {
    fn look(&mut self, site: &Site) {
        let found = match site.dialect() {
            Dialect::Sqlite => {
                let log = site.file().with_extension("db-wal");
                fs::metadata(log).map_or(0, |log| log.len().cast_signed())
            }
            Dialect::Postgres => {
                site.number("SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables")
            }
        };
        self.found = self.found.max(found);
    }

    fn said(&self, site: &Site) -> String {
        match site.dialect() {
            Dialect::Sqlite => format!("the log had {} MiB at the most", self.found >> 20),
            Dialect::Postgres => format!("{} rows were dead at once", self.found),
        }
    }
}

fn summary(mut waits: Waits) -> String {
    waits.sort_by(f64::total_cmp);
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    format!(
        "{} | {:.1} | {:.1} | {:.1}",
        waits.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    )
}
