//! Pass the gate: whether the visitor of another app may go on to it, and as whom.
//!
//! Asked by a proxy for each request, so that it goes by the session alone, and writes nothing. What an app asks for stands in the
//! rules of the operator ([`GateRules`]) and in the question itself; of two demands the stricter one counts. A session that came from a link
//! passes as what it is, and never counts as more than that.

use std::time::Duration;

use crate::accounts::sessions::Session;
use crate::clock::{Timestamp, millis};
use crate::config::{Asked, Demands, GateRules, Strength};

/// What becomes of a visitor.
pub enum Verdict {
    /// They pass, and are who has this session; nobody, where the page is open and the rest of the app is not to them.
    Pass(Option<Box<Session>>),
    /// Nobody is signed in.
    SignIn,
    /// A password or a passkey is to be entered first.
    Reauthenticate(Missing),
    /// Not they, who are signed in; or nobody at all.
    Forbidden(Option<Box<Session>>),
}

/// What is to be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// A passkey, and no password.
    pub passkey: bool,
    /// How long that counts; `None` as long as the session.
    pub within: Option<Duration>,
}

/// What a visitor wants.
pub struct Wanted<'r> {
    /// The host of the app, and the path on it; `None` where nobody says so.
    pub page: Option<(&'r str, &'r str)>,
    /// How recent a password entry the question itself demands.
    pub within: Option<Duration>,
}

/// Judges the visitor in whose browser this session lives. Without rules, whoever is signed in may pass everywhere.
pub fn judge(
    rules: Option<&GateRules>,
    wanted: &Wanted,
    session: Option<Session>,
    now: Timestamp,
) -> Verdict {
    let session = session.map(Box::new);
    let Some(rules) = rules else {
        return pass_or(None, wanted.within, session, now);
    };
    // In doubt nobody: a host that is not named may be one that was forgotten.
    let named = wanted
        .page
        .and_then(|(host, path)| Some((rules.of(host)?, path)));
    let Some((host, path)) = named else {
        return Verdict::Forbidden(None);
    };
    let Asked { is_open, demands } = host.asks(path);
    match pass_or(Some(&demands), wanted.within, session, now) {
        Verdict::Pass(session) => Verdict::Pass(session),
        // To an app nobody is named who may not see the rest of it.
        _ if is_open && wanted.within.is_none() => Verdict::Pass(None),
        refused => refused,
    }
}

fn pass_or(
    demands: Option<&Demands>,
    within: Option<Duration>,
    session: Option<Box<Session>>,
    now: Timestamp,
) -> Verdict {
    let Some(session) = session else {
        return Verdict::SignIn;
    };
    // Whoever may not pass at all is asked for no password.
    if demands.is_some_and(|demands| !demands.admit(&session.email)) {
        return Verdict::Forbidden(Some(session));
    }
    match missing(demands, within, &session, now) {
        Some(missing) => Verdict::Reauthenticate(missing),
        None => Verdict::Pass(Some(session)),
    }
}

fn missing(
    demands: Option<&Demands>,
    within: Option<Duration>,
    session: &Session,
    now: Timestamp,
) -> Option<Missing> {
    let strength = demands.map_or(Strength::Link, Demands::strength);
    let by_rules = demands.and_then(Demands::reauthenticated);
    let within = [within, by_rules].into_iter().flatten().min();
    let entered_at = match strength {
        Strength::Passkey => session.passkey_used_at(),
        Strength::Link if within.is_none() => return None,
        Strength::Link | Strength::Password => session.reauthenticated_at,
    };
    let counts = |at: Timestamp| within.is_none_or(|within| now < at + millis(within));
    match entered_at.is_some_and(counts) {
        true => None,
        false => Some(Missing {
            passkey: strength == Strength::Passkey,
            within,
        }),
    }
}
