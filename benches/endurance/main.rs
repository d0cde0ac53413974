//! Whether an hour leaves the program as it was: what it holds, what its database holds, and how long its visitors wait.
//!
//! First the crowd comes as fast as it is answered: that is what the program can do. Then it comes at a share
//! of that, for an hour, at moments that ask nobody ([`drive`]), while mail leaves, while what is over is deleted as fast
//! as something is written (it is made to come due: the database is that of a service that has been visited like
//! this for a year), and while the keys that sign access tokens are replaced. Once a minute everything is looked at
//! ([`watch`]), and at the end each quantity is told with its slope ([`trend`]).
//!
//! `cargo bench --bench endurance -- --help` says how it is called.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod crowd;
mod drive;
#[path = "../growth/fill.rs"]
mod fill;
#[path = "../program/mod.rs"]
mod program;
#[path = "../growth/rows.rs"]
mod rows;
#[path = "../growth/site.rs"]
mod site;
mod trend;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

use crowd::{Crowd, MIX, Visit};
use program::{THIS_BUILD, command, postgres};
use site::{Open, Site};
use trend::Trend;
use watch::{Reading, Waits, Watch};

/// Lives that are short enough for what was written within an hour to be deleted within it; hashes that cost nearly
/// nothing; and a proxy's word for who comes.
const VARIABLES: [(&str, &str); 6] = [
    ("SESSION_IDLE", "3m"),
    ("LINK_LIFETIME_SIGN_IN", "1m"),
    ("LINK_LIFETIME_CONFIRM_EMAIL", "1m"),
    ("ARGON2_MEMORY_KIB", "64"),
    ("ARGON2_PASSES", "1"),
    ("TRUSTED_PROXIES", "127.0.0.1/32"),
];

/// A new signing key is listed for twenty minutes before it signs.
const BETWEEN_KEYS: Duration = Duration::from_secs(21 * 60);

const A_MINUTE: Duration = Duration::from_secs(60);

/// Drives this build for an hour at a share of what it can do, and tells of each quantity whether it stays as it is.
/// PostgreSQL is the throw-away cluster that DOORPOST_TEST_POSTGRES names; both databases are measured side by side, with
/// a program for each. Ends with 1 if anything was answered as it should not be.
#[derive(Parser)]
struct Options {
    /// Which: both, unless named
    #[arg(value_enum)]
    databases: Vec<Database>,
    /// How long it is driven
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// What of that is not judged: caches fill, and the first rows are deleted
    #[arg(long, default_value_t = 600)]
    warm_up: u64,
    /// The share of what it can do
    #[arg(long, default_value_t = 0.7)]
    share: f64,
    /// For how long it is measured what it can do: as long as the purge comes by once
    #[arg(long, default_value_t = 60)]
    capacity_seconds: u64,
    #[arg(long, default_value_t = 100_000)]
    accounts: u64,
    /// A folder with a control group `sqlite` and a control group `postgres` in it, to hold each program and its
    /// database to what they have
    #[arg(long)]
    cgroups: Option<PathBuf>,
    /// Where the databases of SQLite are
    #[arg(long, default_value = "target/endurance")]
    folder: PathBuf,
    /// Where everything goes that was looked at
    #[arg(long, default_value = "target/endurance.json")]
    json: PathBuf,
    /// As cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    if options.databases.is_empty() {
        options.databases = vec![Database::Sqlite, Database::Postgres];
    }
    let sides: Vec<Side> = thread::scope(|scope| {
        let drive = |database: &Database| {
            let (options, database) = (&options, *database);
            scope.spawn(move || Side::driven(options, database))
        };
        let driven: Vec<_> = options.databases.iter().map(drive).collect();
        driven
            .into_iter()
            .map(|side| side.join().unwrap())
            .collect()
    });
    sides.iter().for_each(|side| side.tell(&options));
    let all: Vec<Value> = sides.iter().map(|side| side.json(&options)).collect();
    fs::write(&options.json, format!("{:#}\n", json!(all))).unwrap();
    ExitCode::from(u8::from(sides.iter().any(|side| side.failed > 0)))
}

/// What came of one database.
struct Side {
    database: Database,
    /// Visits in a second: what it can do, and what it was driven at.
    capacity: f64,
    rate: f64,
    /// By the second from the beginning.
    samples: Vec<(f64, Vec<Reading>)>,
    new_keys: usize,
    /// Of what is kept for longer than an hour, at first and at last.
    rows: [i64; 2],
    failed: usize,
}

impl Side {
    fn driven(options: &Options, database: Database) -> Self {
        let site = site(options, database);
        fill::fill(&site, &site::password_hash(64, 1));
        let open = site.open_with(&VARIABLES);
        if let Some(groups) = &options.cgroups {
            let name = format!("{database:?}").to_lowercase();
            hold(&groups.join(name), &site, &open);
        }
        let (crowd, mailbox) = Crowd::gather(open.port, &open.sink, options.accounts);
        let (waits, over) = (Waits::default(), AtomicBool::new(false));
        thread::scope(|scope| {
            let (crowd, waits, over) = (&crowd, &waits, &over);
            let _over = OnceDropped(over);
            scope.spawn(move || crowd.read_mail(&mailbox, over, |took| waits.of_letter(took)));
            Self::watched(options, database, &site, &open, crowd, waits)
        })
    }

    fn watched(
        options: &Options,
        database: Database,
        site: &Site,
        open: &Open,
        crowd: &Crowd,
        waits: &Waits,
    ) -> Self {
        let failed = |why: String| waits.fail(&format!("{database:?}: {why}"));
        crowd.begin().unwrap();
        let guess = drive::as_fast_as_it_goes(crowd, Duration::from_secs(10), &failed);
        comes_due(site, guess * options.share, 2 * options.capacity_seconds, 1);
        let length = Duration::from_secs(options.capacity_seconds);
        let capacity = drive::as_fast_as_it_goes(crowd, length, &failed);
        let rate = capacity * options.share;
        comes_due(site, rate, options.seconds, 2);
        eprintln!(
            "{database:?}: {capacity:.0} visits a second ({guess:.0} with nothing to be deleted), {} letters behind",
            crowd.awaited()
        );

        let rows = kept_for_long(site);
        let length = Duration::from_secs(options.seconds);
        let mut watch = Watch::begin(site, open, waits);
        let (mut samples, mut new_keys, began) = (Vec::new(), 0, Instant::now());
        thread::scope(|scope| {
            let note = |visit, took| waits.of_visit(visit, took);
            let driving =
                scope.spawn(move || drive::at_a_rate(crowd, rate, length, &note, &failed));
            while !driving.is_finished() {
                if began.elapsed() >= BETWEEN_KEYS * new_keys as u32 {
                    lists_another_key(site, open);
                    new_keys += 1;
                }
                let next = began + A_MINUTE * (samples.len() as u32 + 1);
                while Instant::now() < next && !driving.is_finished() {
                    thread::sleep(Duration::from_millis(100));
                }
                if Instant::now() >= next {
                    let readings = watch.look(crowd.awaited());
                    eprintln!(
                        "{database:?}, minute {}: {}",
                        samples.len() + 1,
                        in_short(&readings)
                    );
                    samples.push((began.elapsed().as_secs_f64(), readings));
                }
            }
        });
        Self {
            database,
            capacity,
            rate,
            samples,
            new_keys,
            rows: [rows, kept_for_long(site)],
            failed: waits.failed.load(Ordering::Relaxed),
        }
    }

    /// Each quantity with its slope, as far as it is judged.
    fn trends(&self, options: &Options) -> Vec<(&str, &str, Trend)> {
        let judged = |(at, _): &&(f64, _)| *at > options.warm_up as f64;
        let judged: Vec<_> = self.samples.iter().filter(judged).collect();
        let Some((_, first)) = judged.first() else {
            return Vec::new();
        };
        let trend = |name: &str| {
            let is = judged.iter().filter_map(|(at, readings)| {
                let (.., is) = readings.iter().find(|(its, ..)| its == name)?;
                Some((at / 3600.0, *is))
            });
            Trend::of(&is.collect::<Vec<_>>())
        };
        let quantities = first.iter();
        quantities
            .filter_map(|(name, unit, _)| Some((name.as_str(), *unit, trend(name)?)))
            .collect()
    }

    fn tell(&self, options: &Options) {
        let (database, capacity, rate) = (self.database, self.capacity, self.rate);
        println!(
            "{database:?}: {capacity:.0} visits a second are what it can do; driven at {rate:.0} for {} s, of which {} \
             are not judged; {} new signing keys; {} visits failed; {} rows of events and mail at first, {} at last",
            options.seconds,
            options.warm_up,
            self.new_keys,
            self.failed,
            self.rows[0],
            self.rows[1]
        );
        println!("| | mean | last | an hour | |\n|---|---|---|---|---|");
        for (name, unit, trend) in self.trends(options) {
            let unit = if unit.is_empty() {
                String::new()
            } else {
                format!(", {unit}")
            };
            let Trend {
                mean,
                last,
                slope,
                give,
            } = trend;
            let verdict = trend.verdict();
            println!(
                "| {name}{unit} | {mean:.2} | {last:.2} | {slope:+.2} ± {give:.2} | {verdict} |"
            );
        }
        println!();
    }

    fn json(&self, options: &Options) -> Value {
        let trends = self.trends(options).into_iter().map(|(name, unit, trend)| {
            json!({
                "what": name, "unit": unit, "mean": trend.mean, "last": trend.last, "slope_in_an_hour": trend.slope,
                "half_of_its_95_percent_interval": trend.give, "verdict": trend.verdict(),
            })
        });
        let samples = self.samples.iter().map(|(at, readings)| {
            let readings = readings
                .iter()
                .map(|(name, _, is)| (name.clone(), json!(is)));
            json!({"second": at, "readings": Value::Object(readings.collect())})
        });
        let mix = MIX.map(|(_, of_fifty, name)| json!({"what": name, "of_fifty": of_fifty}));
        json!({
            "database": format!("{:?}", self.database), "mix": mix, "capacity": self.capacity, "rate": self.rate,
            "seconds": options.seconds, "warm_up": options.warm_up, "new_signing_keys": self.new_keys,
            "failed": self.failed, "rows_of_events_and_mail": self.rows, "trends": trends.collect::<Vec<_>>(), "samples": samples.collect::<Vec<_>>(),
        })
    }
}

/// It is over, even if by a panic.
struct OnceDropped<'a>(&'a AtomicBool);

impl Drop for OnceDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn site(options: &Options, database: Database) -> Site {
    let cluster = match database {
        Database::Sqlite => None,
        Database::Postgres => Some(postgres::cluster().expect("DOORPOST_TEST_POSTGRES")),
    };
    let folder = options.folder.join(format!("{database:?}"));
    let name = "endurance".to_owned();
    Site::at(folder, cluster.as_deref(), name, options.accounts)
}

/// From now on the program, and PostgreSQL if it serves it, have what this group has.
fn hold(group: &Path, site: &Site, open: &Open) {
    let of_database = site.of_database();
    let of_database = of_database.iter().flat_map(postgres::Processes::ids);
    for process in of_database.chain([open.server.process()]) {
        fs::write(group.join("cgroup.procs"), process.to_string()).unwrap();
    }
}

/// From now on as many rows come to be over in each second as visits at this rate write.
fn comes_due(site: &Site, rate: f64, seconds: u64, series: u64) {
    let of_all = |visits: &[Visit]| (crowd::share_of(visits) * rate * seconds as f64) as u64;
    let events = of_all(&[Visit::Ask, Visit::Use]);
    let letters = of_all(&[Visit::Ask, Visit::Register]);
    let living = site.living(fill::now(), "");
    for (_, filling) in living.coming_due([events, letters], seconds, series) {
        site.run(&filling);
    }
    site.run("ANALYZE");
}

/// Events and mail.
fn kept_for_long(site: &Site) -> i64 {
    site.number("SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM outbox)")
}

/// As an operator says it.
fn lists_another_key(site: &Site, open: &Open) {
    let url = site.url();
    let variables: Vec<_> = url
        .iter()
        .map(|url| ("DATABASE_URL", url.as_str()))
        .collect();
    let mut command = command(THIS_BUILD.as_ref(), &site.folder, open.port, &variables);
    let done = command.args(["keys", "rotate"]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// What shows whether it goes well.
fn in_short(readings: &[Reading]) -> String {
    let shown = [
        "visits",
        "a signed-in page, 99 of 100",
        "until its mail is out, 99 of 100",
        "memory of the program",
        "database",
        "failed so far",
    ];
    let of_these = readings
        .iter()
        .filter(|(name, ..)| shown.contains(&name.as_str()));
    let of_these = of_these.map(|(name, unit, is)| format!("{name} {is:.1} {unit}"));
    of_these.collect::<Vec<_>>().join("; ")
}
