//! What is wrong with what came of two actions at once.
//!
//! It must be what comes of doing the one after the other, in either order: both are played, too, and compared.
//! Whoever was told "not done, try again" must have done nothing. And whatever an action promises to have ended
//! when it says "done" opens nothing, not even for whoever was just coming in by it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::actions::{Action, DONE, NO, NOT_DONE};
use super::outcome::{NOTHING, STRANGER, THE_SAME};
use super::schedules::{Order, Pair, Played};
use super::stage::Stage;
use super::world::{
    EVERY_SESSION, FIRST_IS_KNOWN, KNOWN_BROWSER, OTHER, OWNER, PROGRAM, REFRESH_TOKEN,
    SECOND_IS_KNOWN,
};

/// What the first and what the second came by.
const GAINS: [[&str; 4]; 2] = [
    [
        "the first one's browser",
        "the first one's program",
        "the first one's refresh token",
        FIRST_IS_KNOWN,
    ],
    [
        "the second one's browser",
        "the second one's program",
        "the second one's refresh token",
        SECOND_IS_KNOWN,
    ],
];
const ARE_KNOWN: [&str; 2] = [FIRST_IS_KNOWN, SECOND_IS_KNOWN];

/// What is as in neither order, and as it should be.
const FINE: &[(&str, &str, &str)] = &[
    (
        "reauthenticate",
        "sign out",
        "the session that is signed out is the same under its new token",
    ),
    (
        "open the gate with a passkey",
        "sign out",
        "the session that is signed out is the same under its new token",
    ),
];

/// The promises that are broken, whatever came of the two orders.
pub fn broken_promises(pair: &Pair, played: &Played) -> BTreeSet<String> {
    let mut broken = BTreeSet::new();
    for (answer, action) in played.answers.iter().zip([pair.first, pair.second]) {
        if !["", DONE, NOT_DONE, NO].contains(&&**answer) {
            broken.insert(format!("\"{}\" was answered {answer}", action.name));
        }
    }
    if let Some(differs) = played
        .outcome
        .get(STRANGER)
        .filter(|seen| *seen != THE_SAME)
    {
        broken.insert(format!(
            "a stranger who asked sees that somebody has the address: {differs}"
        ));
    }
    if played.deadlocks > 0 {
        broken.insert(format!("a deadlock of {pair}"));
    }
    broken.extend(what_outlives(played, 0, pair.first, pair.second));
    broken.extend(what_outlives(played, 1, pair.second, pair.first));
    broken
}

/// What is open that this one, the first or the second, has ended.
fn what_outlives(played: &Played, side: usize, ender: &Action, other: &Action) -> Vec<String> {
    if played.answers[side] != DONE {
        return Vec::new();
    }
    let mut ended = ender.ends.to_vec();
    let is_session = [OWNER, OTHER, PROGRAM, REFRESH_TOKEN].contains(&other.shows);
    let ends_what_comes_of_it = is_session || ender.ends.contains(&EVERY_SESSION);
    if ends_what_comes_of_it && ender.ends.contains(&other.shows) {
        ended.extend(GAINS[1 - side]);
        ended.retain(|what| ender.ends.contains(&KNOWN_BROWSER) || !ARE_KNOWN.contains(what));
    }
    let seen = ended
        .into_iter()
        .filter_map(|what| Some((what, played.outcome.get(what)?)));
    let open = seen.filter(|(_, opens)| *opens != NOTHING);
    open.map(|(what, opens)| format!("\"{}\" was done, and {what} opens {opens}", ender.name))
        .collect()
}

/// How it differs from both orders, if it does.
pub async fn as_in_neither_order(
    stage: &Arc<Stage>,
    pair: &Pair,
    played: &Played,
    orders: [(Order, &Played); 2],
) -> Option<String> {
    if FINE.iter().any(|(one, other, _)| pair.is_of(one, other)) {
        return None;
    }
    let alone = match played.answers.each_ref().map(|answer| answer == NOT_DONE) {
        [false, false] => None,
        [false, true] => Some(Order::OnlyFirst),
        [true, false] => Some(Order::OnlySecond),
        [true, true] => Some(Order::Neither),
    };
    if let Some(order) = alone {
        return differs_from(order, played, &pair.play(stage, order).await);
    }
    let is_like =
        |order: &Played| played.answers == order.answers && played.outcome == order.outcome;
    if orders.iter().any(|(_, order)| is_like(order)) {
        return None;
    }
    Some(
        orders
            .map(|(order, expected)| told(order, played, expected))
            .join("\n"),
    )
}

/// How what was done differs from this, if it does. Cookies and tokens tell nothing of that: somebody was not there.
pub fn differs_from(order: Order, played: &Played, expected: &Played) -> Option<String> {
    let done = [
        "accounts",
        "sessions",
        "refresh tokens",
        "passkeys",
        "held",
        "mail",
    ];
    let mut done = done.into_iter();
    let is_like = done.all(|what| played.outcome.get(what) == expected.outcome.get(what));
    (!is_like).then(|| told(order, played, expected))
}

/// In what they differ.
fn told(order: Order, played: &Played, expected: &Played) -> String {
    let mut told = vec![format!("      {order:?}:")];
    if played.answers != expected.answers {
        let (answers, others) = (&played.answers, &expected.answers);
        told.push(format!("        answers: {answers:?}, not {others:?}"));
    }
    let names: BTreeSet<&String> = played
        .outcome
        .keys()
        .chain(expected.outcome.keys())
        .collect();
    for name in names {
        let [seen, other] =
            [played, expected].map(|it| it.outcome.get(name).map_or("", |what| what));
        if seen != other {
            told.push(format!("        {name}: {seen}, not {other}"));
        }
    }
    told.join("\n")
}
