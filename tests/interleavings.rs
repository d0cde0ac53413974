//! What two do at once to one account, and what many do one after the other: a machine that looks for what
//! nobody thought of.
//!
//! [`actions`] is the table of what can be done to an account. Any two of them overlap on PostgreSQL, on two
//! nodes, in [`schedules`] that are forced and not hoped for; [`verdict`] says whether what came of it is right. On
//! SQLite there is one writer, and nothing to overlap. Each action is done [`alone`], too, while the database goes away
//! at some point. [`sequences`] does anything in any order, on both databases, and compares what is seen with a
//! [`model`]; [`repeats`] does it over and over, and compares what is one too many with [`budgets`].
//!
//! `INTERLEAVINGS_PAIRS` says how many pairs are tried, each at two points of the first one's way: 15 unless it is
//! set, and those in which something was found once; `all` tries all at all points. `INTERLEAVINGS_ONLY` tries
//! those whose line, as a failure prints it, has this in it: with `all` it tries one pair through.
//! `INTERLEAVINGS_SEQUENCES` says how many sequences are played: 6 unless it is set, and as many of what is done over and
//! over. What is drawn is the same in every run, so that one that fails does so for what was changed; to look further,
//! set `INTERLEAVINGS_SEED` to another number.

mod actions;
mod alone;
mod always;
mod budgets;
mod model;
mod outcome;
pub mod program;
mod repeats;
mod schedules;
mod search;
mod sequences;
mod stage;
mod steps;
mod table;
mod verdict;
mod world;

use std::io::Write;
use std::time::Instant;

use crate::support::Database;
use search::{Size, Tally, search};

#[tokio::test(flavor = "multi_thread")]
async fn what_two_do_at_once_is_what_they_do_one_after_the_other() {
    let (began, size) = (Instant::now(), size());
    let tally = search(size).await;
    let figures = format!("interleavings: {tally}, {}", how(seed(), began));
    found_nothing(&figures, &tally);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_that_it_was_not_done_has_done_nothing() {
    let (began, size) = (Instant::now(), size());
    let tally = alone::search(size).await;
    let figures = format!("cut off: {tally}, {}", how(seed(), began));
    found_nothing(&figures, &tally);
}

on_both! {
    async fn whatever_happens_the_model_says_what_is_seen(db: Database) {
        let (began, seed, number) = (Instant::now(), seed(), sequences());
        let search = move || sequences::search(db, number, seed);
        let (came, wrong) = tokio::task::spawn_blocking(search).await.unwrap();
        let figures = format!("sequences on {db:?}: {number}, {came}, {}", how(seed, began));
        tell(&figures);
        assert!(wrong.is_none(), "{figures}\n{}", wrong.unwrap());
    }

    async fn however_often_it_is_done_the_budgets_say_what_is_one_too_many(db: Database) {
        let (began, seed, number) = (Instant::now(), seed(), sequences());
        let search = move || repeats::search(db, number, seed);
        let (tries, wrong) = tokio::task::spawn_blocking(search).await.unwrap();
        let figures = format!("repeats on {db:?}: {number}, {tries} tries, {}", how(seed, began));
        tell(&figures);
        assert!(wrong.is_none(), "{figures}\n{}", wrong.unwrap());
    }
}

fn found_nothing(figures: &str, tally: &Tally) {
    tell(figures);
    let found = tally.found.iter().map(|(what, at)| format!("{what}\n{at}"));
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "{figures}\n{}", found.join("\n"));
}

fn how(seed: u64, began: Instant) -> String {
    let took = began.elapsed().as_secs();
    format!("INTERLEAVINGS_SEED={seed}, {took} s")
}

fn size() -> Size {
    let pairs = chosen("INTERLEAVINGS_PAIRS").unwrap_or_else(|| "15".to_owned());
    Size {
        pairs: (pairs != "all").then(|| pairs.parse().unwrap()),
        only: chosen("INTERLEAVINGS_ONLY").unwrap_or_default(),
        seed: seed(),
    }
}

fn sequences() -> u32 {
    chosen("INTERLEAVINGS_SEQUENCES").map_or(6, |number| number.parse().unwrap())
}

fn seed() -> u64 {
    chosen("INTERLEAVINGS_SEED").map_or(1, |seed| seed.parse().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "whoever runs it says how much")]
fn chosen(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Past what the test runner holds back: the figures of a run that went well are of interest, too.
fn tell(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}");
}
