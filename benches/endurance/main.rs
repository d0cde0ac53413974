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
mod report;
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

use crowd::{Crowd, Visit};
use program::{THIS_BUILD, command, postgres};
use report::{Report, Sample};
use site::{Open, Site};
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
    let reports: Vec<Report> = thread::scope(|scope| {
        let drive = |database: &Database| {
            let (options, database) = (&options, *database);
            scope.spawn(move || driven(options, database))
        };
        let driven: Vec<_> = options.databases.iter().map(drive).collect();
        driven
            .into_iter()
            .map(|side| side.join().unwrap())
            .collect()
    });
    reports.iter().for_each(Report::tell);
    let all: Vec<Value> = reports.iter().map(Report::json).collect();
    fs::write(&options.json, format!("{:#}\n", json!(all))).unwrap();
    ExitCode::from(u8::from(reports.iter().any(|report| report.failed > 0)))
}

/// Fills a database, and drives the program on it.
fn driven(options: &Options, database: Database) -> Report {
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
        let failed = |why: String| waits.fail(&format!("{database:?}: {why}"));
        crowd.begin().unwrap();
        let capacity = capacity(options, &site, crowd, &failed);
        eprintln!("{database:?}: {capacity:.0} visits a second");
        let rate = capacity * options.share;
        comes_due(&site, rate, options.seconds, 2);
        let rows = kept_for_long(&site);
        let (samples, new_keys) = watched(options, &site, &open, crowd, waits, rate);
        Report {
            database: format!("{database:?}"),
            capacity,
            rate,
            seconds: options.seconds,
            warm_up: options.warm_up,
            samples,
            new_keys,
            rows: [rows, kept_for_long(&site)],
            failed: waits.failed.load(Ordering::Relaxed),
        }
    })
}

/// Visits in a second that it can do, with as much to be deleted as they write.
fn capacity(
    options: &Options,
    site: &Site,
    crowd: &Crowd,
    failed: &(impl Fn(String) + Sync),
) -> f64 {
    let guess = drive::as_fast_as_it_goes(crowd, Duration::from_secs(10), failed);
    comes_due(site, guess * options.share, 2 * options.capacity_seconds, 1);
    let length = Duration::from_secs(options.capacity_seconds);
    drive::as_fast_as_it_goes(crowd, length, failed)
}

/// Drives it at this rate, and looks at everything once a minute. What there was to be seen at which second, and how
/// often the signing key was replaced.
fn watched(
    options: &Options,
    site: &Site,
    open: &Open,
    crowd: &Crowd,
    waits: &Waits,
    rate: f64,
) -> (Vec<Sample>, u32) {
    let length = Duration::from_secs(options.seconds);
    let mut watch = Watch::begin(site, open, waits);
    let (mut samples, mut new_keys, began) = (Vec::new(), 0, Instant::now());
    thread::scope(|scope| {
        let note = |visit, took| waits.of_visit(visit, took);
        let failed = |why: String| waits.fail(&why);
        let driving = scope.spawn(move || drive::at_a_rate(crowd, rate, length, &note, &failed));
        while !driving.is_finished() {
            if began.elapsed() >= BETWEEN_KEYS * new_keys {
                lists_another_key(site, open);
                new_keys += 1;
            }
            let next = A_MINUTE * (samples.len() as u32 + 1);
            if began.elapsed() < next || next >= length {
                thread::sleep(Duration::from_millis(100));
                continue;
            }
            let readings = watch.look(crowd.awaited());
            let (minute, short) = (samples.len() + 1, in_short(&readings));
            eprintln!("{:?}, minute {minute}: {short}", site.dialect());
            samples.push((began.elapsed().as_secs_f64(), readings));
        }
    });
    (samples, new_keys)
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
