//! The same operations in databases of different sizes, in turn: what they cost the program, and PostgreSQL.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;

use crate::program::{
    CONNECTIONS, Connection, between, cookie_of, get, load, load_and, post, post_json, postgres,
    process,
};
use crate::site::{Open, PASSWORD, Site};

/// In each round.
const VISITORS: usize = 1_000;
const PAGES: usize = 20_000;
const REFRESHES: usize = CONNECTIONS * 30;

/// What was done, and how much of each: microseconds of the program, of PostgreSQL, and from beginning to end.
type Costs = BTreeMap<(usize, &'static str), Vec<[f64; 3]>>;

/// Rounds in which each site has its turn.
pub fn measure(sites: &[Site], rounds: usize) {
    let mut costs = Costs::new();
    let mut starts: Vec<Vec<f64>> = vec![Vec::new(); sites.len()];
    for round in 0..rounds {
        for (number, site) in sites.iter().enumerate() {
            eprintln!("round {round}, {} accounts", site.accounts);
            let open = site.open();
            starts[number].push(open.server.started_in.as_secs_f64() * 1e3);
            let turn = Turn {
                site,
                open: &open,
                of_database: site.of_database(),
                round,
            };
            for (what, cost) in turn.everything() {
                costs.entry((number, what)).or_default().push(cost);
            }
        }
    }
    tell(sites, &costs, &starts);
}

struct Turn<'a> {
    site: &'a Site,
    open: &'a Open,
    of_database: Option<postgres::Processes>,
    round: usize,
}

impl Turn<'_> {
    fn everything(&self) -> Vec<(&'static str, [f64; 3])> {
        // Of a new browser nobody is told twice within the hour, in which this may run again.
        self.site.run("DELETE FROM limits WHERE name = 'news'");
        let accounts: Vec<u64> = (0..VISITORS).map(|n| self.somebody(n)).collect();
        let asks = accounts.iter().map(|n| post("/sign-in", &email(*n)));
        let asks: Vec<String> = asks.collect();
        let ask = self.cost(VISITORS, || {
            self.open
                .sink
                .take(VISITORS, || load(self.open.port, VISITORS, &asks));
        });
        let links = accounts.iter().map(|n| {
            let token = self.open.sink.token(&format!("reader{n}@example.org"));
            post("/sign-in/link", &format!("token={token}&{}", email(*n)))
        });
        let links: Vec<String> = links.collect();
        let cookies = Mutex::new(vec![String::new(); VISITORS]);
        let keep = |n: usize, answer: &str| {
            cookies.lock().unwrap()[n] = cookie_of(answer, "doorpost");
        };
        let used = self.cost(VISITORS, || {
            self.open.sink.take(VISITORS, || {
                load_and(self.open.port, VISITORS, &links, keep);
            });
        });
        let cookies = cookies.into_inner().unwrap();
        let pages: Vec<String> = cookies.iter().map(|it| get("/members", it)).collect();
        load(self.open.port, VISITORS, &pages);
        let page = self.cost(PAGES, || load(self.open.port, PAGES, &pages));
        vec![
            ("asking for a link, until its mail is out", ask),
            (
                "using a link, until the notice of a new browser is out",
                used,
            ),
            ("a signed-in page", page),
            ("a refresh", self.refresh()),
        ]
    }

    /// Programs of accounts that have a password, each one refresh after another.
    fn refresh(&self) -> [f64; 3] {
        let programs = (0..CONNECTIONS).map(|n| {
            let mut program = Connection::open(self.open.port);
            let grant = json!({
                "grant_type": "password",
                "email": format!("reader{}@example.org", self.somebody(n) / 10 * 10),
                "password": PASSWORD,
            });
            let granted = program.send(&post_json("/api/v1/tokens", &grant.to_string()));
            (program, refresh_token(&granted))
        });
        let programs: Vec<(Connection, String)> = programs.collect();
        self.open.sink.settle();
        self.cost(REFRESHES, || {
            std::thread::scope(|scope| {
                for (mut program, mut token) in programs {
                    scope.spawn(move || {
                        for _ in 0..REFRESHES / CONNECTIONS {
                            let grant =
                                json!({"grant_type": "refresh_token", "refresh_token": token});
                            let grant = post_json("/api/v1/tokens", &grant.to_string());
                            token = refresh_token(&program.send(&grant));
                        }
                    });
                }
            });
        })
    }

    /// One of all accounts, wherever, whose mail does not come back; another in each round.
    fn somebody(&self, n: usize) -> u64 {
        let nth = (self.round * VISITORS + n) as u64;
        nth * 7_919_777 % (self.site.accounts / 2) * 2 + 1
    }

    fn cost(&self, operations: usize, work: impl FnOnce()) -> [f64; 3] {
        let of_database = || {
            self.of_database
                .as_ref()
                .map_or(0.0, postgres::Processes::cpu)
        };
        let of_program = || process::cpu(self.open.server.process());
        let (began, before) = (Instant::now(), [of_program(), of_database()]);
        work();
        let took = began.elapsed().as_secs_f64() * 1e6;
        let after = [of_program(), of_database()];
        [after[0] - before[0], after[1] - before[1], took].map(|all| all / operations as f64)
    }
}

fn email(n: u64) -> String {
    format!("email=reader{n}%40example.org")
}

fn refresh_token(granted: &str) -> String {
    between(granted, r#""refresh_token":""#, "\"").to_owned()
}

fn tell(sites: &[Site], costs: &Costs, starts: &[Vec<f64>]) {
    println!(
        "| | accounts | program, µs | PostgreSQL, µs | both beside the fewest | from beginning to end, µs |"
    );
    println!("|---|---|---|---|---|---|");
    let mut whats: Vec<&str> = costs.keys().map(|(_, what)| *what).collect();
    whats.sort_unstable();
    whats.dedup();
    for what in whats {
        let mut fewest = None;
        for (number, site) in sites.iter().enumerate() {
            let rounds = &costs[&(number, what)];
            let [program, database, took] =
                [0, 1, 2].map(|part| median(rounds.iter().map(|round| round[part])));
            let both = program + database;
            let ratio = both / *fewest.get_or_insert(both);
            let accounts = site.accounts;
            println!(
                "| {what} | {accounts} | {program:.0} | {database:.0} | {ratio:.2} | {took:.0} |"
            );
        }
    }
    for (site, starts) in sites.iter().zip(starts) {
        let start = median(starts.iter().copied());
        println!(
            "| from its start until it answers | {} | {start:.0} ms | | | |",
            site.accounts
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
