//! Pass the gate: whether the visitor of another app may go on to it, and as whom.
//!
//! Asked by a proxy for each request, so it reads and writes nothing. A session that came from a link passes as what it is: it
//! never counts as more than that, whatever it passes to.

use std::time::Duration;

use crate::accounts::sessions::{self, Session};
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::random::TokenHash;

/// What becomes of a visitor.
pub enum Verdict {
    /// They pass, in this session.
    Pass(Box<Session>),
    /// Nobody is signed in.
    SignIn,
    /// The password, or a passkey, is to be entered first; not longer ago than this counts.
    Reauthenticate { within: Duration },
}

/// The living session of this token.
pub fn find(tx: &mut Tx, config: &Config, token: &TokenHash) -> Result<Option<Session>> {
    sessions::find(tx, config, token)
}

/// Judges the visitor in whose browser this session lives.
pub fn judge(session: Option<Session>, within: Option<Duration>, now: Timestamp) -> Verdict {
    let Some(session) = session else {
        return Verdict::SignIn;
    };
    match within.filter(|within| !is_within(session.reauthenticated_at, *within, now)) {
        Some(within) => Verdict::Reauthenticate { within },
        None => Verdict::Pass(Box::new(session)),
    }
}

fn is_within(at: Option<Timestamp>, within: Duration, now: Timestamp) -> bool {
    at.is_some_and(|at| now < at + millis(within))
}
