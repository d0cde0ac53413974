//! Which pairs are tried, where the first of them is stopped, and what was found.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::actions::ACTIONS;
use super::schedules::{Order, Pair, Played};
use super::stage::{Point, Stage};
use super::tell;
use super::verdict::{as_in_neither_order, broken_promises};

/// So many pairs are tried side by side, each on a database of its own.
const AT_ONCE: usize = 3;

/// A stage is used so often before it is built anew: tables that grow without end are no part of this.
const PAIRS_A_STAGE: usize = 20;

/// At so many points the first one is stopped, where not all are tried.
const POINTS: usize = 2;

/// A long search says how far it has come whenever so many pairs are done.
const PAIRS_A_LINE: usize = 50;

/// Where something was found once: these are tried every time, at all points.
const FOUND_ONCE: [[&str; 2]; 5] = [
    // Its session was not there yet for whoever ended all that are.
    ["sign in with the password", "reset the password"],
    // It had looked at the clock before the link was ended.
    ["type a code", "change the password"],
    // The browser had come to be known after the other one had looked at the clock.
    ["undo a change of address", "sign in with the password"],
    // Each held what the other one wanted.
    ["end one session", "delete the account"],
    // A letter was left over.
    ["ask for a sign-in link", "delete the account"],
];

/// How much is tried, and what is drawn.
pub struct Size {
    /// All, at all points, if no number is given.
    pub pairs: Option<usize>,
    /// What the line of a pair has in it.
    pub only: String,
    pub seed: u64,
}

impl Size {
    /// Two that come in, or ask, end no right: they are tried where all are.
    fn pairs(&self) -> Vec<Pair> {
        let with_all = |first| ACTIONS.iter().map(move |second| Pair { first, second });
        let mut pairs: Vec<Pair> = ACTIONS.iter().flat_map(with_all).collect();
        pairs.retain(|pair| pair.to_string().contains(&self.only));
        if let Some(number) = self.pairs {
            let found_once = |pair: &Pair| pair.is_one_of(&FOUND_ONCE);
            let (always, mut drawn): (Vec<_>, Vec<_>) = pairs.into_iter().partition(found_once);
            drawn.retain(|pair| pair.first.ends_a_right() || pair.second.ends_a_right());
            drawn.shuffle(&mut StdRng::seed_from_u64(self.seed));
            drawn.truncate(number);
            pairs = drawn.into_iter().chain(always).collect();
        }
        pairs
    }

    /// Where the first one of this pair is stopped, who makes so many steps.
    fn points(&self, pair: &Pair, steps: u32, number: usize) -> Vec<Point> {
        let mut points: Vec<Point> = (1..=steps).map(Point::Step).chain(Point::LOCKS).collect();
        if self.pairs.is_some() && !pair.is_one_of(&FOUND_ONCE) {
            points.shuffle(&mut StdRng::seed_from_u64(self.seed ^ number as u64));
            points.truncate(POINTS);
        }
        points
    }
}

/// What was tried, and what was found.
#[derive(Default)]
pub struct Tally {
    of: usize,
    pairs: usize,
    schedules: usize,
    /// By what is wrong: where.
    pub found: BTreeMap<String, String>,
}

impl Tally {
    /// Nothing is tried yet of so many.
    pub fn of(pairs: usize) -> Self {
        Self {
            of: pairs,
            ..Self::default()
        }
    }

    /// Something wrong, and where it was first seen.
    pub fn note(&mut self, what: String, at: String) {
        self.found.entry(what).or_insert(at);
    }

    /// One more schedule is played.
    pub fn count_schedule(&mut self) {
        self.schedules += 1;
    }

    /// One more pair is done. A long search says how far it has come.
    pub fn count_pair(&mut self) {
        self.pairs += 1;
        if self.pairs.is_multiple_of(PAIRS_A_LINE) && self.pairs < self.of {
            tell(&format!(
                "interleavings: {self}, {} found",
                self.found.len()
            ));
        }
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            of,
            pairs,
            schedules,
            ..
        } = self;
        write!(f, "{pairs} of {of} pairs, {schedules} schedules")
    }
}

/// Tries them.
pub async fn search(size: Size) -> Tally {
    let queue: Vec<(usize, Pair)> = size.pairs().into_iter().enumerate().collect();
    let tally = Mutex::new(Tally::of(queue.len()));
    let shared = Arc::new((size, Mutex::new(queue), tally));
    let worker = |_| {
        let shared = shared.clone();
        tokio::spawn(async move {
            let (size, queue, tally) = &*shared;
            try_all(size, queue, tally).await;
        })
    };
    for worker in (0..AT_ONCE).map(worker).collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    std::mem::take(&mut *shared.2.lock().unwrap())
}

async fn try_all(size: &Size, queue: &Mutex<Vec<(usize, Pair)>>, tally: &Mutex<Tally>) {
    loop {
        let stage = Arc::new(Stage::open().await);
        for _ in 0..PAIRS_A_STAGE {
            let next = queue.lock().unwrap().pop();
            let Some((number, pair)) = next else { return };
            try_pair(
                &stage,
                &pair,
                |steps| size.points(&pair, steps, number),
                tally,
            )
            .await;
        }
    }
}

async fn try_pair(
    stage: &Arc<Stage>,
    pair: &Pair,
    points: impl Fn(u32) -> Vec<Point>,
    tally: &Mutex<Tally>,
) {
    let note = |played: &Played, at: &str| {
        for what in broken_promises(pair, played) {
            tally.lock().unwrap().note(what, at.to_owned());
        }
    };
    let orders = [Order::FirstBeforeSecond, Order::SecondBeforeFirst];
    let one = pair.play(stage, orders[0]).await;
    let other = pair.play(stage, orders[1]).await;
    let expected = [(orders[0], &one), (orders[1], &other)];
    for (order, played) in expected {
        note(played, &format!("    {pair}, {order:?}"));
    }
    for point in points(one.steps) {
        let played = pair.play(stage, Order::FirstStopped(point)).await;
        if !played.stopped {
            continue; // not on its way
        }
        let at = format!("    {pair}, {point}");
        note(&played, &at);
        tally.lock().unwrap().count_schedule();
        if let Some(how) = as_in_neither_order(stage, pair, &played, expected).await {
            let what = format!("{pair}: as in neither order");
            tally.lock().unwrap().note(what, format!("{at}\n{how}"));
        }
    }
    tally.lock().unwrap().count_pair();
}
