//! The ledger: a crowd signs in while the mail server is away for a while and the program is killed again
//! and again. Then every ask, every letter, every link and every session has to be accounted for.
//!
//! Promised: an ask that was answered has its letter, unless a newer ask took its place; a kill makes copies of
//! what was just being sent and of nothing else, and a copy is the same letter; a link lets in once; SIGTERM
//! loses nothing and repeats nothing; and the database is whole.
//!
//! Nothing is staged here. It is the program itself, on real time, killed at moments that are drawn. What a
//! killed node had claimed is taken up when its lease ends: so a run takes a minute longer than its kills.
//!
//! `LEDGER_SIGN_INS`, `LEDGER_OUTAGE` (in seconds) and `LEDGER_KILLS` say how large it is: 1000, 20 and 10
//! unless they are set, 10000, 60 and 20 for a test of endurance. `LEDGER_SEED` draws the kills of a run that
//! printed it once more.

mod account;
mod books;
mod crowd;
mod nodes;

use std::fmt::{self, Display};
use std::io::Write;
use std::time::{Duration, Instant};

use doorpost::clock::Clock;
use doorpost::random;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::spawn_blocking;

use crate::support::{Answer, Database, ScriptedServer, Store};
use account::{Account, Letters};
use books::Books;
use crowd::{Crowd, Errand};
use nodes::Nodes;

/// Letters that one node may be handing over at once: what a kill may cause copies of.
const SEND_SLOTS: usize = doorpost::mail::delivery::SLOTS;

/// The mail server goes away when the first visitors have come.
const OUTAGE_BEGINS: Duration = Duration::from_millis(200);

/// Once it is back, what waited is sent under kills that follow each other about so fast.
const BETWEEN_KILLS: Duration = Duration::from_millis(300);

/// What a mail server takes to write a letter to its disk; and one that is busy.
const USUAL_PACE: Duration = Duration::from_millis(20);
const SLOW_PACE: Duration = Duration::from_millis(200);

/// Whoever has waited for so long, when nothing is away any more, waits in vain: the leases of the dead are
/// over after 50 s.
const PATIENCE: Duration = Duration::from_secs(90);

on_both! {
    /// OBX-07, OBX-10, FLT-06
    async fn under_kills_and_without_a_mail_server_everything_is_accounted_for(db: Database) {
        let (size, began) = (Size::chosen(), Instant::now());
        let server = ScriptedServer::start();
        answer_letters_after(&server, USUAL_PACE);
        let store = Store::make(db).await;
        let books = Books::open(&store);
        let nodes = Nodes::start(db, &store, &server);
        let crowd = Crowd::gather(&nodes, &server);

        // Nodes are killed while the mail server is away, and while it is sent what waited.
        let (most, late) = size.errands();
        let mut visits = crowd.visits(most, size.kills_end());
        let kills = size.kills(nodes.list.len());
        let killed = spawn_blocking(move || nodes.killed_and_started_again(&kills));
        be_away(&server, size.outage).await;
        let nodes = killed.await.unwrap();

        // SIGTERM comes while the mail server is so slow that much is claimed and little sent.
        let calm_since = Clock::System.now();
        answer_letters_after(&server, SLOW_PACE);
        let mut late_visits = crowd.visits(late, Duration::ZERO);
        server.takes(server.count_taken() + SEND_SLOTS).await;
        let nodes = spawn_blocking(|| nodes.stopped()).await.unwrap();
        let claimed = books.claimed(calm_since).await;
        answer_letters_after(&server, USUAL_PACE);
        let nodes = spawn_blocking(|| nodes.started()).await.unwrap();

        let mut wrong = crowd.all_go_home(&mut visits).await;
        wrong.extend(crowd.all_go_home(&mut late_visits).await);
        wrong.extend(books.nothing_waits().await);
        drop(nodes);
        wrong.extend((claimed > 0).then(|| format!("{claimed} mails were not given back at SIGTERM")));
        let account = Account {
            records: crowd.records(),
            letters: Letters::sorted(server.taken()),
            tables: books.read().await,
            most_copies: size.kills * SEND_SLOTS,
            calm_since,
        };
        wrong.extend(account.mistakes());
        wrong.extend(books.damage(db).await);
        tell(&format!("ledger on {db:?}: {account}; {size}; {} s", began.elapsed().as_secs()));
        assert!(wrong.is_empty(), "it does not add up:\n{}", wrong.join("\n"));
    }
}

/// How much, how long, and what is drawn.
struct Size {
    sign_ins: usize,
    outage: Duration,
    kills: usize,
    seed: u64,
}

struct Kill {
    at: Duration,
    node: usize,
}

impl Size {
    fn chosen() -> Self {
        let number = |name, usual| chosen(name).map_or(usual, |text| text.parse().unwrap());
        Self {
            sign_ins: number("LEDGER_SIGN_INS", 1000) as usize,
            outage: Duration::from_secs(number("LEDGER_OUTAGE", 20)),
            kills: number("LEDGER_KILLS", 10) as usize,
            seed: number("LEDGER_SEED", u64::from_le_bytes(random::bytes())),
        }
    }

    /// Everybody signs in twice. A tenth of them come late; and there are some who only ask.
    fn errands(&self) -> (Vec<Errand>, Vec<Errand>) {
        let people = self.sign_ins / 2;
        let late = people / 10;
        let mut members = Vec::new();
        for number in late..people {
            members.push(Errand::SignIn);
            if number % 3 == 0 {
                members.push(Errand::AskAndForget);
            }
        }
        (members, vec![Errand::SignIn; late])
    }

    /// Half of them while the server is away, the others when it is back: then most is under way.
    fn kills(&self, nodes: usize) -> Vec<Kill> {
        let mut draw = StdRng::seed_from_u64(self.seed);
        let back = OUTAGE_BEGINS + self.outage;
        let mut kills: Vec<Kill> = (0..self.kills)
            .map(|number| {
                let when = match number % 2 {
                    0 => Duration::ZERO..back,
                    _ => back..self.kills_end(),
                };
                Kill {
                    at: draw.random_range(when),
                    node: draw.random_range(0..nodes),
                }
            })
            .collect();
        kills.sort_by_key(|kill| kill.at);
        kills
    }

    fn kills_end(&self) -> Duration {
        OUTAGE_BEGINS + self.outage + BETWEEN_KILLS * (self.kills / 2 + 1) as u32
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outage, kills, seed) = (self.outage.as_secs(), self.kills, self.seed);
        write!(f, "{outage} s away, {kills} kills (LEDGER_SEED={seed})")
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs it says how large")]
fn chosen(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn be_away(server: &ScriptedServer, outage: Duration) {
    tokio::time::sleep(OUTAGE_BEGINS).await;
    server.go_away();
    tokio::time::sleep(outage).await;
    server.come_back();
}

fn answer_letters_after(server: &ScriptedServer, pace: Duration) {
    server.follow(move |step| match step.verb {
        "." => Answer::After(pace),
        _ => Answer::Agree,
    });
}

/// Past what the test runner holds back: the figures of a run that went well are of interest, too.
fn tell(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}");
}
