//! Two ways to send a crowd: as fast as it is answered, and at a rate that asks nobody.
//!
//! At a rate, visits begin at moments that are drawn (a Poisson process) before anything is sent, and a wait counts from
//! the moment at which the visit was to begin: a server that holds still for a second makes everybody wait who
//! was to come in it, and not one alone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::crowd::{Crowd, Visit, fifty};
use crate::program::CONNECTIONS;

/// So many may be under way at once; whoever comes then waits, and is counted from when they came.
const AT_ONCE: usize = 64;

/// Of a measurement of what the program can do, so much is to warm up.
const LEAD: Duration = Duration::from_secs(5);

/// Visits that are answered in a second while each connection sends the next as soon as the last is answered.
pub fn as_fast_as_it_goes(
    crowd: &Crowd,
    length: Duration,
    failed: &(impl Fn(String) + Sync),
) -> f64 {
    let (fifty, number, counted) = (fifty(), AtomicUsize::new(0), AtomicUsize::new(0));
    let from = Instant::now() + LEAD;
    let until = from + length;
    let visit = || {
        let mut connection = crowd.connection();
        while Instant::now() < until {
            let next = fifty[number.fetch_add(1, Ordering::Relaxed) % fifty.len()];
            if let Err(why) = crowd.make(next, &mut connection) {
                failed(why);
                connection = crowd.connection();
            }
            let now = Instant::now();
            counted.fetch_add(usize::from(now > from && now <= until), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(visit);
        }
    });
    counted.into_inner() as f64 / length.as_secs_f64()
}

/// Sends so many in a second, for so long; says of each how long it waited.
pub fn at_a_rate(
    crowd: &Crowd,
    rate: f64,
    length: Duration,
    waited: &(impl Fn(Visit, Duration) + Sync),
    failed: &(impl Fn(String) + Sync),
) {
    let timetable = Mutex::new(Timetable::begin(rate));
    let until = Instant::now() + length;
    let visit = || {
        let mut connection = crowd.connection();
        loop {
            let (due, visit) = timetable.lock().unwrap().next();
            if due > until {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if let Err(why) = crowd.make(visit, &mut connection) {
                failed(why);
                connection = crowd.connection();
            }
            waited(visit, due.elapsed());
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(visit);
        }
    });
}

/// Who is to come when.
struct Timetable {
    began: Instant,
    rate: f64,
    draw: StdRng,
    /// Seconds from the beginning.
    at: f64,
    fifty: Vec<Visit>,
    number: usize,
}

impl Timetable {
    fn begin(rate: f64) -> Self {
        Self {
            began: Instant::now(),
            rate,
            draw: StdRng::seed_from_u64(70),
            at: 0.0,
            fifty: fifty(),
            number: 0,
        }
    }

    fn next(&mut self) -> (Instant, Visit) {
        let drawn: f64 = self.draw.random();
        self.at -= (1.0 - drawn).ln() / self.rate;
        self.number += 1;
        let visit = self.fifty[self.number % self.fifty.len()];
        (self.began + Duration::from_secs_f64(self.at), visit)
    }
}
