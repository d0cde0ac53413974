//! How long each stage of a send may take, and who watches it.

use std::error::Error as StdError;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::stage::Stage;
use super::trouble::Trouble;

/// No send takes longer, whatever the server does. Under a lease that outlives it no other node takes a
/// mail up while this one may still hand it over.
pub const LONGEST_SEND: Duration = Duration::from_secs(40);

/// How long each stage may take.
#[derive(Clone, Copy)]
pub(super) struct Deadlines {
    pub(super) connect: Duration,
    pub(super) answer: Duration,
    pub(super) letter: Duration,
    pub(super) whole: Duration,
    pub(super) goodbye: Duration,
    pub(super) idle: Duration,
}

/// RFC 5321 (4.5.3.2) would wait minutes, for mail that is in no hurry; here a person waits for the link,
/// and a slot that hangs is missed by others. Relays that look up names or delay their greeting answer
/// within 10 s. What scans a letter before it answers gets the most time, for a letter given up after
/// its dot may arrive twice. Servers and firewalls drop idle connections after minutes, under stress
/// after 10 s, so that keeping one longer than 30 s buys little.
pub(super) const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(10),
    letter: Duration::from_secs(30),
    whole: LONGEST_SEND,
    goodbye: Duration::from_secs(1),
    idle: Duration::from_secs(30),
};

/// Told what was said at each stage that went well: for the operator's eyes, without secrets.
pub type Watch = dyn Fn(Stage, &str) + Send + Sync;

/// Watches nothing.
pub(super) fn nobody(_: Stage, _: &str) {}

/// The deadlines of one send (each stage has its own, and none outlives the whole), and who watches it.
#[derive(Clone, Copy)]
pub(super) struct Pace<'a> {
    pub(super) deadlines: Deadlines,
    pub(super) end: Instant,
    pub(super) watch: &'a Watch,
}

impl Pace<'_> {
    pub(super) fn tell(self, stage: Stage, what: &str) {
        (self.watch)(stage, what);
    }

    pub(super) async fn within<T, E: StdError + 'static>(
        self,
        stage: Stage,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Trouble> {
        let own = match stage {
            Stage::Connect => self.deadlines.connect,
            Stage::Letter => self.deadlines.letter,
            _ => self.deadlines.answer,
        };
        match timeout_at(self.end.min(Instant::now() + own), work).await {
            Ok(done) => done.map_err(|error| Trouble::new(stage, &error)),
            Err(_) => Err(Trouble::lost(stage, "no answer in time")),
        }
    }
}
