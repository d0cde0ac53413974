//! Whether the time an answer takes tells who has an account (ENU-02).
//!
//! Each route is asked for addresses that have an account and for ones that nobody has, in an order that is
//! drawn, over one kept connection. From the times comes the AUC: how often a known address took longer than an
//! unknown one, of all pairs of the two; 0.5 is what tossing a coin would give. A route tells nothing if that is
//! between 0.45 and 0.55, or if the medians are less than a millisecond apart. If one does tell, this ends with 1.
//!
//! `cargo bench --bench enumeration`, or with `-- sqlite` or `-- postgres` one of the databases. PostgreSQL is
//! a throw-away cluster that `DOORPOST_TEST_POSTGRES` names, as for the tests. The machine has to be quiet.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod program;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use program::{Connection, House, post, post_json, postgres};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// Of each kind, on each route.
const PAIRS: usize = 500;

/// First, unmeasured: caches, statements, the addresses' own rows.
const WARM: usize = 60;

/// Accounts of each kind; as many addresses are nobody's.
const ADDRESSES: usize = 50;

const TELLS_NOTHING: std::ops::RangeInclusive<f64> = 0.45..=0.55;
const TOO_LITTLE_TO_SEE: f64 = 1_000.0;

/// The limits are out of the way, lest an answer be a refusal.
const UNLIMITED: [(&str, &str); 3] = [
    ("LIMIT_PASSWORD_PER_ACCOUNT", "off"),
    ("LIMIT_PASSWORD_PER_NETWORK", "off"),
    ("LIMIT_TOKEN_PER_NETWORK", "off"),
];

/// What an account is like, which must not be seen: how its addresses begin.
const STATES: [(&str, &str); 3] = [
    ("owner", "with a password"),
    ("reader", "without a password"),
    ("early", "with a password hashed at another cost"),
];

/// What is asked of an address.
type Route = (&'static str, fn(&str) -> String);

const ROUTES: [Route; 6] = [
    ("POST /sign-in", |address| form("/sign-in", address, "")),
    ("POST /register", |address| form("/register", address, "")),
    ("POST /forgot-password", |address| {
        form("/forgot-password", address, "")
    }),
    ("POST /sign-in/password", |address| {
        form(
            "/sign-in/password",
            address,
            "&password=a+horse+that+eats+grass",
        )
    }),
    ("POST /api/v1/sign-in-codes", |address| {
        post_json(
            "/api/v1/sign-in-codes",
            &format!(r#"{{"email":"{address}"}}"#),
        )
    }),
    ("POST /api/v1/tokens", |address| {
        let grant = r#""grant_type":"password","password":"a horse that eats grass""#;
        post_json(
            "/api/v1/tokens",
            &format!(r#"{{{grant},"email":"{address}"}}"#),
        )
    }),
];

fn form(path: &str, address: &str, more: &str) -> String {
    post(
        path,
        &format!("email={}{more}", address.replace('@', "%40")),
    )
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let named = ["sqlite", "postgres"].map(|name| words.iter().any(|word| word == name));
    let [sqlite, postgres] = match named {
        [false, false] => [true, true],
        named => named,
    };
    let mut tells = 0;
    if sqlite {
        tells += measure("SQLite", "sqlite:data/doorpost.db");
    }
    if postgres {
        let cluster = postgres::cluster();
        let cluster =
            cluster.expect("DOORPOST_TEST_POSTGRES names a throw-away PostgreSQL cluster");
        tells += measure(
            "PostgreSQL",
            &postgres::fresh_database(&cluster, "enumeration"),
        );
    }
    match tells {
        0 => ExitCode::SUCCESS,
        _ => {
            println!("{tells} of the routes tell who has an account");
            ExitCode::FAILURE
        }
    }
}

/// How many routes tell something, of all states.
fn measure(name: &str, database: &str) -> usize {
    let house = prepared(database);
    let mut browser = Connection::open(house.port);
    let mut draw = StdRng::seed_from_u64(7);
    let mut tells = 0;
    for (route, ask) in ROUTES {
        for (state, what) in STATES {
            let times = times(&mut browser, &mut draw, ask, state);
            tells += usize::from(says(&format!("{name}: {route}, {what}"), times));
        }
    }
    tells
}

/// Accounts of every kind.
fn prepared(database: &str) -> House {
    let cheap = [("DATABASE_URL", database), ("ARGON2_PASSES", "1")];
    let mut house = House::open(&[&UNLIMITED[..], &cheap].concat());
    let password = "&password=a+horse+that+eats+staples";
    for number in 0..ADDRESSES {
        house.register(&address("early", number), password);
    }
    house.restart(&[&UNLIMITED[..], &cheap[..1]].concat());
    for number in 0..ADDRESSES {
        house.register(&address("owner", number), password);
        house.register(&address("reader", number), "");
    }
    house
}

fn address(kind: &str, number: usize) -> String {
    format!("{kind}{}@example.org", number % ADDRESSES)
}

/// How long the answers took for known and for unknown addresses, in microseconds.
fn times(
    browser: &mut Connection,
    draw: &mut StdRng,
    ask: fn(&str) -> String,
    state: &str,
) -> [Vec<f64>; 2] {
    let mut turns: Vec<(usize, usize)> = (0..WARM + PAIRS)
        .flat_map(|number| [(0, number), (1, number)])
        .collect();
    // Within the warm-up and after it: what follows a known address is as often the one as the other.
    let (warm, measured) = turns.split_at_mut(2 * WARM);
    warm.shuffle(draw);
    measured.shuffle(draw);
    let mut times = [Vec::new(), Vec::new()];
    for (turn, (who, number)) in turns.into_iter().enumerate() {
        let kind = [state, "nobody"][who];
        let request = ask(&address(kind, number));
        let began = Instant::now();
        let answer = browser.send(&request);
        let took = began.elapsed();
        let was_refused = answer.starts_with("HTTP/1.1 5") || answer.starts_with("HTTP/1.1 429");
        assert!(!was_refused, "{answer}");
        if turn >= 2 * WARM {
            times[who].push(micros(took));
        }
    }
    times
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Prints it; whether the times tell anything.
fn says(what: &str, [mut known, mut unknown]: [Vec<f64>; 2]) -> bool {
    let auc = auc(&known, &unknown);
    let (known, unknown) = (median(&mut known), median(&mut unknown));
    let apart = (known - unknown).abs();
    let tells = !TELLS_NOTHING.contains(&auc) && apart >= TOO_LITTLE_TO_SEE;
    let verdict = if tells { "TELLS" } else { "ok" };
    println!(
        "{verdict:<6} {what}: AUC {auc:.3}, medians {known:.0} µs known, {unknown:.0} µs unknown"
    );
    tells
}

/// How often one of the first takes longer than one of the second, ties counted half.
fn auc(known: &[f64], unknown: &[f64]) -> f64 {
    let mut longer = 0.0;
    for one in known {
        for other in unknown {
            longer += match one.total_cmp(other) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    longer / (known.len() * unknown.len()) as f64
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
