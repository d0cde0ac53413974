//! What is looked at once a minute.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::crowd::{MIX, Visit};
use crate::fill::now;
use crate::program::{postgres, process};
use crate::rows::Dialect;
use crate::site::{Open, Site};

/// How long visits and letters took since it was last asked, and what failed.
#[derive(Default)]
pub struct Waits {
    of_visits: Mutex<BTreeMap<Visit, Vec<f64>>>,
    of_letters: Mutex<Vec<f64>>,
    pub failed: AtomicUsize,
}

impl Waits {
    pub fn of_visit(&self, visit: Visit, took: Duration) {
        let mut waits = self.of_visits.lock().unwrap();
        waits.entry(visit).or_default().push(millis(took));
    }

    pub fn of_letter(&self, took: Duration) {
        self.of_letters.lock().unwrap().push(millis(took));
    }

    pub fn fail(&self, why: &str) {
        if self.failed.fetch_add(1, Ordering::Relaxed) < 20 {
            eprintln!("failed: {why}");
        }
    }
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// A quantity, its unit, and what it was.
pub type Reading = (String, &'static str, f64);

/// Who looks.
pub struct Watch<'a> {
    site: &'a Site,
    open: &'a Open,
    of_database: Option<postgres::Processes>,
    waits: &'a Waits,
    last: Instant,
    /// Microseconds of the program and of PostgreSQL until then.
    spent: [f64; 2],
}

impl<'a> Watch<'a> {
    pub fn begin(site: &'a Site, open: &'a Open, waits: &'a Waits) -> Self {
        let mut watch = Self {
            site,
            open,
            of_database: site.of_database(),
            waits,
            last: Instant::now(),
            spent: [0.0; 2],
        };
        watch.look(0);
        watch
    }

    /// All quantities, since it was last looked at them.
    pub fn look(&mut self, awaited: usize) -> Vec<Reading> {
        let mut readings = self.waits();
        readings.extend(self.processor());
        let process = self.open.server.process();
        let named = |what: &str, unit, is| (what.to_owned(), unit, is);
        let over = self.over();
        readings.extend([
            named("memory of the program", "MiB", process::resident(process)),
            named("descriptors", "", process::descriptors(process)),
            named("threads", "", process::threads(process)),
            named("database", "MiB", self.database()),
            named("its log", "MiB", self.log()),
            named("rows over and not yet deleted", "", over),
            named("letters on their way", "", awaited as f64),
            named(
                "failed so far",
                "",
                self.waits.failed.load(Ordering::Relaxed) as f64,
            ),
        ]);
        readings
    }

    fn waits(&self) -> Vec<Reading> {
        let mut of_visits = std::mem::take(&mut *self.waits.of_visits.lock().unwrap());
        let of_letters = std::mem::take(&mut *self.waits.of_letters.lock().unwrap());
        let all: usize = of_visits.values().map(Vec::len).sum();
        let mut readings = vec![("visits".to_owned(), "", all as f64)];
        let visits = MIX
            .into_iter()
            .filter_map(|(visit, _, name)| Some((name, of_visits.remove(&visit)?)));
        for (name, mut waits) in visits.chain([("until its mail is out", of_letters)]) {
            waits.sort_by(f64::total_cmp);
            for (what, share) in [("median", 0.5), ("99 of 100", 0.99)] {
                let at = (waits.len().saturating_sub(1) as f64 * share) as usize;
                let wait = waits.get(at).copied();
                readings.extend(wait.map(|wait| (format!("{name}, {what}"), "ms", wait)));
            }
        }
        readings
    }

    fn processor(&mut self) -> Vec<Reading> {
        let of_database = self.of_database.as_ref();
        let spent = [
            process::cpu(self.open.server.process()),
            of_database.map_or(0.0, postgres::Processes::cpu),
        ];
        let since = self.last.elapsed().as_secs_f64() * 1e6;
        let cores = [0, 1].map(|part| (spent[part] - self.spent[part]) / since);
        (self.last, self.spent) = (Instant::now(), spent);
        let named = ["cores of the program", "cores of PostgreSQL"];
        let readings = named.into_iter().zip(cores);
        readings
            .take(1 + usize::from(self.of_database.is_some()))
            .map(|(name, cores)| (name.to_owned(), "", cores))
            .collect()
    }

    fn database(&self) -> f64 {
        mebibytes(match self.site.dialect() {
            Dialect::Sqlite => length(&self.site.file()),
            Dialect::Postgres => self
                .site
                .number("SELECT pg_database_size(current_database())"),
        })
    }

    fn log(&self) -> f64 {
        mebibytes(match self.site.dialect() {
            Dialect::Sqlite => length(&self.site.file().with_extension("db-wal")),
            Dialect::Postgres => self
                .site
                .number("SELECT sum(size)::bigint FROM pg_ls_waldir()"),
        })
    }

    /// Those that have come to be over since the purge last came by: it does once a minute.
    fn over(&self) -> f64 {
        let (a_year, two_weeks) = (now() - 31_536_000_000, now() - 1_209_600_000);
        let query = format!(
            "SELECT (SELECT count(*) FROM events WHERE at <= {a_year}) + \
             (SELECT count(*) FROM outbox WHERE settled_at <= {two_weeks}) + \
             (SELECT count(*) FROM links WHERE keep_until <= {})",
            now()
        );
        self.site.number(&query) as f64
    }
}

fn length(file: &std::path::Path) -> i64 {
    fs::metadata(file).map_or(0, |file| file.len().cast_signed())
}

fn mebibytes(bytes: i64) -> f64 {
    bytes as f64 / 1_048_576.0
}
