//! What Doorpost costs the machine it runs on, beside a plain actix route and, if you like, beside another build of it.
//!
//! Processor time of the server process, as the kernel counts it, and on PostgreSQL that of the database in brackets.
//! The servers are real programs in processes of their own, as shipped, with 10,000 accounts; the load comes from this
//! process over 32 kept connections on loopback, and mail goes to a sink in it. Whatever is compared is measured in
//! turn, in the same minute, and what is printed are the medians of the rounds: ratios hold from machine to
//! machine, microseconds do not.
//!
//! `cargo bench --bench load -- --help` says how it is called.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

#[path = "../program/mod.rs"]
mod program;
mod site;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use clap::Parser;

use program::{
    CONNECTIONS, Connection, Server, THIS_BUILD, cookie_of, free_port, get, load, load_and,
    postgres, process,
};
use site::{Member, PASSWORD, Site, with_cookie};
use table::{Figure, Floor, Table};

const ACCOUNTS: usize = 10_000;

/// Of each kind, in each round.
const PAGES: usize = 40_000;
const REFRESHES: usize = CONNECTIONS * 40;
const ASKS: usize = 2_000;
const USES: usize = 1_000;
const SIGN_INS: usize = 60;
const BARE_HASHES: usize = 40;

/// Measures what Doorpost costs: this build, on SQLite and, if DOORPOST_TEST_POSTGRES names a throw-away cluster on
/// this machine, on PostgreSQL. Five rounds of two builds on both databases take about twelve minutes; no round is
/// begun after `--minutes`. The machine has to be quiet.
#[derive(Parser)]
struct Options {
    /// What to measure: all of it, unless named
    #[arg(value_parser = GROUPS.map(|(name, _)| name))]
    groups: Vec<String>,
    /// Another build's program, to be measured in turn with this one
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Begin no round after so long
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Where the figures go besides
    #[arg(long, default_value = "target/load.json")]
    json: PathBuf,
    /// Serve the plain route at this port
    #[arg(long, hide = true)]
    plain: Option<u16>,
    /// As cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured together, by the name it is asked for.
type Group = (&'static str, fn(&mut Site, &Plain) -> Vec<Figure>);

const GROUPS: [Group; 7] = [
    ("page", pages),
    ("gate", gate),
    ("refresh", refresh),
    ("ask", ask),
    ("use", use_links),
    ("password", sign_in_with_password),
    ("start", start),
];

fn main() {
    let options = Options::parse();
    if let Some(port) = options.plain {
        return serve_plain_text(port);
    }
    let end = Instant::now() + Duration::from_secs(60 * options.minutes);
    let mut table = Table::default();
    measure(&mut table, "SQLite", None, &options, end);
    if let Some(cluster) = postgres::cluster() {
        measure(&mut table, "PostgreSQL", Some(&cluster), &options, end);
    }
    table.print();
    table.write(&options.json);
}

/// All groups in rounds, and in each of them one build after the other.
fn measure(
    table: &mut Table,
    database: &'static str,
    cluster: Option<&str>,
    options: &Options,
    end: Instant,
) {
    let plain = Plain::open();
    let this = Site::open(Path::new(THIS_BUILD), "this_build", cluster);
    let other = options.against.as_deref();
    let other = other.map(|program| Site::open(program, "other_build", cluster));
    let mut sites: Vec<Site> = std::iter::once(this).chain(other).collect();
    let is_wanted =
        |name: &str| options.groups.is_empty() || options.groups.iter().any(|group| group == name);
    for round in 1..=options.rounds {
        if Instant::now() > end {
            eprintln!("{database}: out of time before round {round}");
            return;
        }
        eprintln!("{database}: round {round} of {}", options.rounds);
        for (_, measure) in GROUPS.iter().filter(|(name, _)| is_wanted(name)) {
            for (build, site) in sites.iter_mut().enumerate() {
                for figure in measure(site, &plain) {
                    table.note(database, build, figure);
                }
            }
        }
    }
}

fn pages(site: &mut Site, plain: &Plain) -> Vec<Figure> {
    // An access token is good for a quarter of an hour.
    let mut program = Connection::open(site.house.port);
    site.members
        .iter()
        .for_each(|member| site.refresh(&mut program, member));
    let of_members = |request: fn(&Member) -> String| site.members.iter().map(request).collect();
    let session = |member: &Member| get("/members", &member.session);
    let token = |member: &Member| {
        let token = &member.tokens.lock().unwrap().access;
        format!(
            "GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
    };
    let pages: [(&str, Vec<String>); 3] = [
        ("the sign-in page", vec![get("/sign-in", "")]),
        ("a signed-in page", of_members(session)),
        ("a call of the API", of_members(token)),
    ];
    let measured = pages.into_iter().map(|(what, requests)| {
        let plain = plain.cost();
        load(site.house.port, PAGES / 10, &requests);
        let cost = site.cost(PAGES, || load(site.house.port, PAGES, &requests));
        Figure::cost(what, &cost, plain)
    });
    measured.collect()
}

/// Beside the page of the same sessions. A build without a gateway has no figure.
fn gate(site: &mut Site, plain: &Plain) -> Vec<Figure> {
    let ask = |member: &Member| {
        format!(
            "GET /auth/verify HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: localhost:9000\r\n\
             X-Forwarded-Uri: /wiki?page=1\r\nX-Forwarded-Method: GET\r\nCookie: {}\r\n\r\n",
            member.session
        )
    };
    let questions: Vec<String> = site.members.iter().map(ask).collect();
    let session = |member: &Member| get("/members", &member.session);
    let pages: Vec<String> = site.members.iter().map(session).collect();
    let first = Connection::open(site.house.port).send(&questions[0]);
    if first.starts_with("HTTP/1.1 404") {
        return Vec::new();
    }
    let plain = plain.cost();
    load(site.house.port, PAGES / 10, &questions);
    let question = site.cost(PAGES, || load(site.house.port, PAGES, &questions));
    let page = site.cost(PAGES, || load(site.house.port, PAGES, &pages));
    vec![
        Figure::cost("a proxy's question about a visitor", &question, plain),
        Figure::cost(
            "the same beside a signed-in page",
            &question,
            ("page", page.of_program),
        ),
    ]
}

/// Each member one after another, for each refresh brings the next one's token.
fn refresh(site: &mut Site, plain: &Plain) -> Vec<Figure> {
    let plain = plain.cost();
    let cost = site.cost(REFRESHES, || {
        thread::scope(|scope| {
            for member in &site.members {
                let site = &*site;
                scope.spawn(move || {
                    let mut program = Connection::open(site.house.port);
                    for _ in 0..REFRESHES / CONNECTIONS {
                        site.refresh(&mut program, member);
                    }
                });
            }
        });
    });
    vec![Figure::cost("a refresh", &cost, plain)]
}

fn ask(site: &mut Site, plain: &Plain) -> Vec<Figure> {
    let plain = plain.cost();
    let accounts = site.next_to_ask(ASKS);
    let cost = site.cost(ASKS, || site.mail_links(&accounts));
    vec![
        Figure::cost("asking for a link, until its mail is out", &cost, plain),
        Figure::of(
            "asks a second, until their mail is out",
            "/s",
            1e6 / cost.took,
        ),
    ]
}

/// The same accounts first in browsers that they do not know, and so with a notice, and then in those. Each round has
/// its own: nobody is told too often.
fn use_links(site: &mut Site, plain: &Plain) -> Vec<Figure> {
    let plain = plain.cost();
    let accounts = site.next_to_use(USES);
    let site = &*site;
    let use_all = |links: &[String], notices: usize| {
        let known = Mutex::new(vec![String::new(); USES]);
        let remember = |n: usize, answer: &str| {
            known.lock().unwrap()[n] = cookie_of(answer, "doorpost_known");
        };
        let cost = site.cost(USES, || {
            site.sink
                .take(notices, || load_and(site.house.port, USES, links, remember));
        });
        (cost, known.into_inner().unwrap())
    };
    site.mail_links(&accounts);
    let links: Vec<String> = accounts.clone().map(|n| site.link(n)).collect();
    let (unknown, known) = use_all(&links, USES);
    site.mail_links(&accounts);
    let links = accounts.zip(&known);
    let links = links.map(|(n, known)| with_cookie(&site.link(n), known));
    let links: Vec<String> = links.collect();
    let (known, _) = use_all(&links, 0);
    let what = [
        "using a link, with the notice of a new browser",
        "using a link in a browser that is known",
    ];
    let costs = what.into_iter().zip([unknown, known]);
    costs
        .map(|(what, cost)| Figure::cost(what, &cost, plain))
        .collect()
}

/// One after another in browsers that are known, and beside the hash alone.
fn sign_in_with_password(site: &mut Site, _: &Plain) -> Vec<Figure> {
    let requests: Vec<String> = site.members.iter().map(Member::signs_in).collect();
    let mut browser = Connection::open(site.house.port);
    let cost = site.cost(SIGN_INS, || {
        for request in requests.iter().cycle().take(SIGN_INS) {
            let answer = browser.send(request);
            assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
        }
    });
    vec![Figure::cost(
        "a sign-in with the password",
        &cost,
        bare_hash(),
    )]
}

/// With what it has in its database by now. What it holds before that is what the load has left it with.
fn start(site: &mut Site, _: &Plain) -> Vec<Figure> {
    let loaded = process::resident(site.house.server.process());
    site.restart();
    let started = site.house.server.started_in.as_secs_f64() * 1e3;
    thread::sleep(Duration::from_secs(1));
    let idle = process::resident(site.house.server.process());
    vec![
        Figure::of("from its start until it answers", "ms", started),
        Figure::of("memory before the first request", "MiB", idle),
        Figure::of("memory after the load", "MiB", loaded),
    ]
}

/// What everything is measured against: actix-web and a line of text, in a process of its own.
struct Plain {
    server: Server,
    port: u16,
}

impl Plain {
    fn open() -> Self {
        let port = free_port();
        let mut this_program = Command::new(std::env::current_exe().unwrap());
        let server = Server::start(this_program.args(["--plain", &port.to_string()]), port);
        Self { server, port }
    }

    fn cost(&self) -> Floor {
        let get = get("/", "");
        let spent = self.server.cpu_of(|| load(self.port, PAGES, &[get]));
        ("plain", spent / PAGES as f64)
    }
}

fn serve_plain_text(port: u16) {
    actix_web::rt::System::new().block_on(async move {
        let app = || {
            actix_web::App::new().route("/", actix_web::web::get().to(|| async { "Hello, world" }))
        };
        let server = actix_web::HttpServer::new(app).workers(2);
        let server = server.bind(("127.0.0.1", port)).unwrap();
        server.run().await.unwrap();
    });
}

/// What one Argon2id hash of the default cost takes in memory that is kept, as the hashing slots keep theirs.
fn bare_hash() -> Floor {
    let params = Params::new(19_456, 2, 1, Some(32)).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut memory = vec![Block::new(); 19_456];
    let mut output = [0; 32];
    let mut hash = || {
        argon2
            .hash_password_into_with_memory(
                PASSWORD.as_bytes(),
                b"sixteen of salt!",
                &mut output,
                &mut memory,
            )
            .unwrap();
    };
    hash();
    let before = process::cpu(std::process::id());
    (0..BARE_HASHES).for_each(|_| hash());
    let spent = process::cpu(std::process::id()) - before;
    ("bare hash", spent / BARE_HASHES as f64)
}
