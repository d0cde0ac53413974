//! What Doorpost costs the machine it runs on: processor time of the server process, as the kernel counts it.
//!
//! * a signed-in page, as a multiple of what a plain-text actix route costs in the same run;
//! * a link that is asked for and its mail delivered;
//! * a sign-in with the password, as a multiple of one bare hash of the same cost in fresh memory;
//! * a program's call with an access token, as a multiple of a signed-in page; and a refresh;
//! * letters over one connection and over connections of ten, against bare round trips on loopback: time that
//!   passes, not work.
//!
//! `cargo bench --bench cost`, or with `-- page`, `-- ask`, `-- password`, `-- token` or `-- send` one of them. The server is the
//! real program in a process of its own, on SQLite with 10,000 accounts; the load comes from this process
//! over 32 kept connections on loopback. Ratios hold from machine to machine; microseconds do not.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod program;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use doorpost::clock::Clock;
use doorpost::config::SmtpUrl;
use doorpost::mail::smtp::{Envelope, Smtp};
use socket2::SockRef;

use program::{Connection, House, Server, between, cpu, free_port, get, post, post_json, wait_for};

const CONNECTIONS: usize = 32;
const ACCOUNTS: usize = 10_000;
const PAGES: usize = 60_000;
const ASKS: usize = 5_000;
const SIGN_INS: usize = 100;
/// Fewer than one account may do in an hour.
const REFRESHES: usize = 900;
const LETTERS: usize = 5_000;
const BARE_HASHES: usize = 50;
const ROUNDS: usize = 5;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wants =
        |word: &str| !words.iter().any(|w| !w.starts_with('-')) || words.contains(&word.into());
    if words.iter().any(|word| word == "--floor") {
        return serve_plain_text();
    }
    if wants("page") {
        signed_in_page();
    }
    if wants("ask") {
        asking_for_a_link();
    }
    if wants("password") {
        signing_in_with_the_password();
    }
    if wants("token") {
        calling_with_a_token();
    }
    if wants("send") {
        sending_letters();
    }
}

/// The floor and the page in turn, so that a machine that drifts drifts for both.
fn signed_in_page() {
    let house = House::open(&[]);
    fill(&house);
    let cookies: Vec<String> = (0..CONNECTIONS).map(|n| house.sign_in(n)).collect();
    let floor_port = free_port();
    let this_program = std::env::current_exe().unwrap();
    let floor = Server::start(
        Command::new(this_program)
            .arg("--floor")
            .env("FLOOR_PORT", floor_port.to_string()),
        floor_port,
    );
    let plain = vec![get("/", ""); CONNECTIONS];
    let pages: Vec<String> = cookies
        .iter()
        .map(|cookie| get("/members", cookie))
        .collect();
    // Once unmeasured: caches, connections, statements.
    load(floor_port, &plain, PAGES / 4);
    load(house.port, &pages, PAGES / 4);
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let floor = floor.cpu_of(|| load(floor_port, &plain, PAGES)) / PAGES as f64;
        let page = house.server.cpu_of(|| load(house.port, &pages, PAGES)) / PAGES as f64;
        println!(
            "signed-in page {page:.1} µs, plain text {floor:.1} µs, ratio {:.2}",
            page / floor
        );
        ratios.push(page / floor);
    }
    ratios.sort_by(f64::total_cmp);
    println!("signed-in page: median ratio {:.2}", ratios[ROUNDS / 2]);
}

fn asking_for_a_link() {
    let sink = Sink::open();
    let smtp = format!("smtp://127.0.0.1:{}", sink.port);
    let house = House::open(&[("SMTP_URL", &smtp)]);
    fill(&house);
    let ask = |n: usize| {
        post(
            "/sign-in",
            &format!("email=reader{}%40example.org", n % ACCOUNTS),
        )
    };
    let mut costs = Vec::new();
    for round in 0..ROUNDS {
        let asks: Vec<String> = (0..ASKS).map(|n| ask(round * ASKS + n)).collect();
        let before = sink.taken();
        let spent = house.server.cpu_of(|| {
            load(house.port, &asks, ASKS);
            sink.wait_for(before + ASKS);
        });
        println!(
            "asking for a link, mail delivered: {:.0} µs",
            spent / ASKS as f64
        );
        costs.push(spent / ASKS as f64);
    }
    costs.sort_by(f64::total_cmp);
    println!("asking for a link: median {:.0} µs", costs[ROUNDS / 2]);
}

/// The bare hash and the sign-in in turn. The sign-in looks up, counts, hashes, begins a session and mails a
/// notice; the hashing slots make up for all of it by keeping their memory.
fn signing_in_with_the_password() {
    let house = House::open(&[
        ("LIMIT_PASSWORD_PER_ACCOUNT", "off"),
        ("LIMIT_PASSWORD_PER_NETWORK", "off"),
    ]);
    fill(&house);
    house.register("member@example.org", "&password=a+horse+that+eats+staples");
    let fields = "email=member%40example.org&password=a+horse+that+eats+staples";
    let sign_in = post("/sign-in/password", fields);
    let mut browser = Connection::open(house.port);
    let mut sign_in_often = || {
        for _ in 0..SIGN_INS {
            let answer = browser.send(&sign_in);
            assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
        }
    };
    sign_in_often();
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let bare = bare_hash();
        let cost = house.server.cpu_of(&mut sign_in_often) / SIGN_INS as f64;
        println!(
            "sign-in with the password {cost:.0} µs, bare hash {bare:.0} µs, ratio {:.3}",
            cost / bare
        );
        ratios.push(cost / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "sign-in with the password: median ratio {:.3}",
        ratios[ROUNDS / 2]
    );
}

/// A signed-in page and a program's call in turn; then refreshes, one after another, for each brings the next
/// one's token.
fn calling_with_a_token() {
    let house = House::open(&[
        ("LIMIT_PASSWORD_PER_ACCOUNT", "off"),
        ("LIMIT_PASSWORD_PER_NETWORK", "off"),
    ]);
    fill(&house);
    let cookies: Vec<String> = (0..CONNECTIONS).map(|n| house.sign_in(n)).collect();
    house.register("owner@example.org", "&password=a+horse+that+eats+staples");
    let mut program = Connection::open(house.port);
    let password = r#"{"grant_type":"password","email":"owner@example.org","password":"a horse that eats staples"}"#;
    let calls: Vec<String> = (0..CONNECTIONS)
        .map(|_| {
            let tokens = program.send(&post_json("/api/v1/tokens", password));
            let token = between(&tokens, r#""access_token":""#, "\"");
            format!("GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
        })
        .collect();
    let pages: Vec<String> = cookies
        .iter()
        .map(|cookie| get("/members", cookie))
        .collect();
    load(house.port, &pages, PAGES / 4);
    load(house.port, &calls, PAGES / 4);
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let page = house.server.cpu_of(|| load(house.port, &pages, PAGES)) / PAGES as f64;
        let call = house.server.cpu_of(|| load(house.port, &calls, PAGES)) / PAGES as f64;
        println!(
            "call with a token {call:.1} µs, signed-in page {page:.1} µs, ratio {:.2}",
            call / page
        );
        ratios.push(call / page);
    }
    ratios.sort_by(f64::total_cmp);
    println!("call with a token: median ratio {:.2}", ratios[ROUNDS / 2]);

    let mut costs = Vec::new();
    for round in 0..ROUNDS {
        let owner = format!("owner{round}@example.org");
        house.register(&owner, "&password=a+horse+that+eats+staples");
        let password = password.replace("owner@example.org", &owner);
        let mut tokens = program.send(&post_json("/api/v1/tokens", &password));
        let spent = house.server.cpu_of(|| {
            for _ in 0..REFRESHES {
                let token = between(&tokens, r#""refresh_token":""#, "\"");
                let body = format!(r#"{{"grant_type":"refresh_token","refresh_token":"{token}"}}"#);
                tokens = program.send(&post_json("/api/v1/tokens", &body));
            }
        });
        println!("refresh: {:.0} µs", spent / REFRESHES as f64);
        costs.push(spent / REFRESHES as f64);
    }
    costs.sort_by(f64::total_cmp);
    println!("refresh: median {:.0} µs", costs[ROUNDS / 2]);
}

/// Letters one after another: over one connection, and as they leave in earnest, ten over each. A letter is four
/// commands, and so four round trips: a delay of 40 ms in any of them (Nagle's algorithm against delayed
/// acknowledgements) would show at once.
fn sending_letters() {
    for acknowledges in [Acknowledges::AsUsual, Acknowledges::Late] {
        for over in [Over::OneConnection, Over::ConnectionsOfTen] {
            let sink = Sink::that(acknowledges);
            let url = SmtpUrl::parse(&format!("smtp://127.0.0.1:{}", sink.port)).unwrap();
            let smtp = over.those_of(Smtp::new(&url, None, "localhost").unwrap());
            let mut rates: Vec<_> = (0..ROUNDS)
                .map(|_| {
                    let trips = round_trips(acknowledges, 4 * LETTERS);
                    let took = send(&smtp);
                    let rate = LETTERS as f64 / took.as_secs_f64();
                    println!(
                        "letters over {over:?}, acknowledged {acknowledges:?}: {rate:.0} a second, \
                         {:.2} times four bare round trips",
                        took.as_secs_f64() / trips.as_secs_f64()
                    );
                    rate
                })
                .collect();
            rates.sort_by(f64::total_cmp);
            println!(
                "letters over {over:?}, acknowledged {acknowledges:?}: median {:.0} a second",
                rates[ROUNDS / 2]
            );
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Over {
    OneConnection,
    ConnectionsOfTen,
}

impl Over {
    fn those_of(self, smtp: Smtp) -> Smtp {
        match self {
            Self::OneConnection => smtp.with_letters_per_connection(u32::MAX),
            Self::ConnectionsOfTen => smtp,
        }
    }
}

/// How long so many letters take.
fn send(smtp: &Smtp) -> Duration {
    let envelope = Envelope {
        from: "door@example.org",
        to: "ann@example.org",
        id: "a-letter",
    };
    let lines = "A line of a letter.\r\n".repeat(200);
    let letter = format!("Subject: Hello\r\n\r\n{lines}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut slot = smtp.slot(&Clock::System);
        let began = Instant::now();
        for _ in 0..LETTERS {
            slot.send(envelope, &letter).await.unwrap();
        }
        began.elapsed()
    })
}

/// How long so many lines take to another thread and back.
fn round_trips(acknowledges: Acknowledges, how_many: usize) -> Duration {
    let sink = Sink::that(acknowledges);
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", sink.port)).unwrap());
    stream.get_ref().set_nodelay(true).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let began = Instant::now();
    for _ in 0..how_many {
        stream.get_mut().write_all(b"NOOP\r\n").unwrap();
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    began.elapsed()
}

/// What one Argon2id hash of the default cost takes in fresh memory, in processor time of this process. An
/// allocator would hand out the memory of the last hash again, so none is given back before the end.
fn bare_hash() -> f64 {
    let params = argon2::Params::new(19_456, 2, 1, Some(32)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let (password, salt) = (b"a horse that eats staples", b"sixteen of salt!");
    let mut output = [0; 32];
    let mut used = Vec::new();
    let before = cpu(std::process::id());
    for _ in 0..BARE_HASHES {
        let mut memory = vec![argon2::Block::new(); 19_456];
        argon2
            .hash_password_into_with_memory(password, salt, &mut output, &mut memory)
            .unwrap();
        used.push(memory);
    }
    (cpu(std::process::id()) - before) / BARE_HASHES as f64
}

/// Sends so many requests over the kept connections, each taking the next of the list.
fn load(port: u16, requests: &[String], total: usize) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for first in 0..CONNECTIONS {
            let next = &next;
            scope.spawn(move || {
                let mut connection = Connection::open(port);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= total {
                        break;
                    }
                    let own = if requests.len() == CONNECTIONS {
                        first
                    } else {
                        n
                    };
                    let answer = connection.send(&requests[own % requests.len()]);
                    assert!(
                        answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 303"),
                        "{answer}"
                    );
                }
            });
        }
    });
}

/// 10,000 accounts, each with a session.
fn fill(house: &House) {
    use diesel::connection::SimpleConnection;
    use diesel::prelude::*;
    let database = house.folder.path().join("data/doorpost.db");
    let mut rows = format!("PRAGMA busy_timeout = 5000; BEGIN; {NUMBERS}");
    rows.push_str("; COMMIT");
    #[expect(clippy::disallowed_methods, reason = "fills the tables from outside")]
    let mut conn = SqliteConnection::establish(database.to_str().unwrap()).unwrap();
    conn.batch_execute(&rows).unwrap();
}

/// As many rows as there are accounts, made by SQLite itself.
const NUMBERS: &str = "\
    CREATE TEMP TABLE numbers AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) \
    SELECT i FROM n; \
    INSERT INTO users (id, email, created_at, known_since) SELECT 'id' || i, 'reader' || i || '@example.org', 0, 0 FROM numbers; \
    INSERT INTO sessions (token_hash, id, user_id, auth_method, shared, created_at, last_seen_at, ip, browser) \
        SELECT randomblob(32), 'session' || i, 'id' || i, 'email_link', 0, \
        unixepoch() * 1000, unixepoch() * 1000, '127.0.0.1', 'a browser' FROM numbers";

/// What everything is measured against: actix-web and a line of text.
fn serve_plain_text() {
    use actix_web::{App, HttpServer, web};
    #[expect(clippy::disallowed_methods, reason = "how the floor is told its port")]
    let port: u16 = std::env::var("FLOOR_PORT").unwrap().parse().unwrap();
    actix_web::rt::System::new().block_on(async move {
        let app = || App::new().route("/", web::get().to(|| async { "Hello, world" }));
        let server = HttpServer::new(app).workers(2);
        server
            .bind(("127.0.0.1", port))
            .unwrap()
            .run()
            .await
            .unwrap();
    });
}

/// A mail server that takes everything and keeps nothing.
struct Sink {
    port: u16,
    taken: Arc<AtomicUsize>,
}

/// How a mail server's kernel acknowledges what it gets: Linux soon learns that answers follow at once,
/// and would else wait up to 40 ms for one to ride on.
#[derive(Clone, Copy, Debug)]
enum Acknowledges {
    AsUsual,
    Late,
}

impl Sink {
    fn open() -> Self {
        Self::that(Acknowledges::AsUsual)
    }

    fn that(acknowledges: Acknowledges) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = taken.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let counted = counted.clone();
                thread::spawn(move || converse(stream.unwrap(), &counted, acknowledges));
            }
        });
        Self { port, taken }
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn wait_for(&self, count: usize) {
        wait_for(|| (self.taken() >= count).then_some(()));
    }
}

fn converse(mut stream: TcpStream, taken: &AtomicUsize, acknowledges: Acknowledges) {
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    stream.write_all(b"220 sink\r\n").unwrap();
    let mut in_mail = false;
    while let Some(Ok(line)) = lines.next() {
        if matches!(acknowledges, Acknowledges::Late) {
            SockRef::from(&stream).set_tcp_quickack(false).unwrap(); // forgotten by the kernel each time
        }
        let answer = match (in_mail, line.as_str()) {
            (true, ".") => {
                in_mail = false;
                taken.fetch_add(1, Ordering::Relaxed);
                "250 taken\r\n"
            }
            (true, _) => continue,
            (false, "DATA") => {
                in_mail = true;
                "354 go on\r\n"
            }
            (false, "QUIT") => return,
            (false, _) => "250 ok\r\n",
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
