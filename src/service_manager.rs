//! What systemd is told: that we serve, that we end, and, as long as it is so, that we work.
//!
//! The last is for what no error tells: a program that hangs. So it is said only while everything goes round without
//! which nobody is served: the runtime of each web worker, that of the program itself, and SQLite's one writer. Where
//! nothing is said for long enough (`WatchdogSec=`), systemd kills the process and starts another.
//!
//! What a restart would not mend keeps nobody from saying it: a PostgreSQL that is away or hangs, another process that
//! holds the lock of an SQLite file (the writer refuses whoever waits, every five seconds, and so it answers), a mail
//! server, a full disk.
//!
//! It is told in the words of sd_notify(3), a line in a datagram. Without a service manager nothing is told.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::config::ServiceManager;
use crate::db::Db;

/// How often a worker shows that it goes round.
const BEAT: Duration = Duration::from_secs(1);

/// Whoever wants to hear of us, if anybody does.
pub struct Notifier(Option<Listening>);

struct Listening {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// For the service manager that started us.
    pub fn of(manager: Option<ServiceManager>) -> Self {
        Self(manager.and_then(|manager| match Listening::of(&manager) {
            Ok(listening) => Some(listening),
            Err(error) => {
                deaf(&error);
                None
            }
        }))
    }

    /// It listens and can serve.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// It lets nobody in any more, and finishes what is under way.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Says that all of it works, twice as often as is asked for, for as long as that is so. Ends at once where nobody
    /// asked.
    pub async fn watch(self: Arc<Self>, db: Db, workers: Pulses) {
        let Some(every) = self.0.as_ref().and_then(|listening| listening.watchdog) else {
            return;
        };
        let mut ticks = interval(every / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match hangs(&db, &workers, every / 3).await {
                None => self.say("WATCHDOG=1"),
                Some(what) => tracing::error!(
                    what,
                    event = "hangs",
                    "the service manager is not told that all works"
                ),
            }
        }
    }

    fn say(&self, words: &str) {
        if let Some(listening) = &self.0
            && let Err(error) = listening.hear(words)
        {
            deaf(&error);
        }
    }
}

fn deaf(error: &io::Error) {
    tracing::warn!(%error, event = "service_manager_deaf", "the service manager cannot be told how it goes");
}

impl Listening {
    fn of(manager: &ServiceManager) -> io::Result<Self> {
        let address = match manager.socket.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&manager.socket)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that reads nothing must not stop us.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            address,
            watchdog: manager.watchdog,
        })
    }

    fn hear(&self, words: &str) -> io::Result<()> {
        self.socket.send_to_addr(words.as_bytes(), &self.address)?;
        Ok(())
    }
}

/// What does not go round, if anything does not within this time.
async fn hangs(db: &Db, workers: &Pulses, within: Duration) -> Option<&'static str> {
    if !workers.all_beat_within(within.max(2 * BEAT)) {
        return Some("a web worker");
    }
    match timeout(within, db.writer_answers()).await {
        Ok(()) => None,
        Err(_) => Some("the database's writer"),
    }
}

/// The web workers, each with the moment at which it last went round.
#[derive(Clone, Default)]
pub struct Pulses(Arc<Mutex<Vec<Weak<Pulse>>>>);

struct Pulse(Mutex<Instant>);

impl Pulses {
    /// Called in a worker, on whose runtime it beats from now on until that ends.
    pub fn beat_here(&self) {
        let pulse = Arc::new(Pulse(Mutex::new(Instant::now())));
        self.all().push(Arc::downgrade(&pulse));
        tokio::spawn(async move {
            loop {
                sleep(BEAT).await;
                pulse.beat();
            }
        });
    }

    fn all_beat_within(&self, long: Duration) -> bool {
        let mut all = self.all();
        // A worker that panicked was replaced.
        all.retain(|pulse| pulse.strong_count() > 0);
        let mut beats = all.iter().filter_map(Weak::upgrade);
        beats.all(|pulse| pulse.elapsed() <= long)
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Pulse>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_worker_that_hangs_shows_and_one_that_ended_does_not() {
        let pulses = Pulses::default();
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
        };
        let (one, other) = (runtime(), runtime());
        for worker in [&one, &other] {
            worker.block_on(async { pulses.beat_here() });
        }
        assert!(pulses.all_beat_within(BEAT));
        one.block_on(async { sleep(BEAT * 3 / 2).await });
        let short = BEAT * 6 / 5;
        assert!(!pulses.all_beat_within(short), "the other did not go round");
        drop(other);
        assert!(pulses.all_beat_within(short));
        thread::sleep(short);
        assert!(!pulses.all_beat_within(short));
    }
}
