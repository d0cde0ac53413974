//! One action alone, whose database refuses it everything from some point on: as one does that goes away.
//!
//! Whoever is told "not done, try again" must have done nothing, and whoever is told "done" all of it: so nothing may
//! be left to be read or written once it is committed. A program that hears "try again" of a token that was used up
//! tries again, and is out.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::actions::{ACTIONS, Action, NOT_DONE};
use super::schedules::{Order, Pair};
use super::search::{Size, Tally};
use super::stage::{Point, Stage};
use super::verdict::{broken_promises, differs_from};

/// Tried every time: here something failed once after the commit.
const FOUND_ONCE: &str = "refresh a token";

/// So many are drawn beside it, where not all are tried.
const DRAWN: usize = 3;

/// Tries them.
pub async fn search(size: Size) -> Tally {
    let chosen = ACTIONS
        .iter()
        .filter(|action| action.name.contains(&size.only));
    let (mut actions, mut drawn): (Vec<&Action>, Vec<_>) =
        chosen.partition(|action| action.name == FOUND_ONCE);
    if size.pairs.is_some() {
        drawn.shuffle(&mut StdRng::seed_from_u64(size.seed));
        drawn.truncate(DRAWN);
    }
    actions.append(&mut drawn);
    let stage = Arc::new(Stage::open().await);
    let mut tally = Tally::of(actions.len());
    for action in actions {
        try_action(&stage, action, &mut tally).await;
        tally.count_pair();
    }
    tally
}

async fn try_action(stage: &Arc<Stage>, action: &'static Action, tally: &mut Tally) {
    // The second of the two never acts.
    let alone = Pair {
        first: action,
        second: action,
    };
    let whole = alone.play(stage, Order::OnlyFirst).await;
    let nothing = alone.play(stage, Order::Neither).await;
    for point in (1..=whole.steps).map(Point::Step) {
        let played = alone.play(stage, Order::FirstCutOff(point)).await;
        if !played.stopped {
            continue; // not on its way
        }
        tally.count_schedule();
        let at = format!("    \"{}\" cut off, {point}", action.name);
        for what in broken_promises(&alone, &played) {
            tally.note(what, at.clone());
        }
        let answer = &played.answers[0];
        let (order, expected) = match answer == NOT_DONE {
            true => (Order::Neither, &nothing),
            false => (Order::OnlyFirst, &whole),
        };
        if let Some(how) = differs_from(order, &played, expected) {
            let what = format!("\"{}\" was answered {answer}, and was not", action.name);
            tally.note(what, format!("{at}\n{how}"));
        }
    }
}
