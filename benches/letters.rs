//! How fast letters leave: over one connection and over connections of ten, against bare round trips on loopback. Time
//! that passes, not work.
//!
//! `cargo bench --bench letters`.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod program;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use doorpost::clock::Clock;
use doorpost::config::SmtpUrl;
use doorpost::mail::smtp::{Envelope, Smtp};

use program::sink::{Acknowledges, Sink};

const LETTERS: usize = 5_000;
const ROUNDS: usize = 5;

/// Letters one after another: over one connection, and as they leave in earnest, ten over each. A letter is four
/// commands, and so four round trips: a delay of 40 ms in any of them (Nagle's algorithm against delayed
/// acknowledgements) would show at once.
fn main() {
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
