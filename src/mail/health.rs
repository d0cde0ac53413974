//! How the mail worker is doing. The worker says it; `/readyz` and the operator ask. It stands apart from the
//! worker, for the [`App`](crate::app::App) holds it, and the worker is handed the [`App`](crate::app::App).

use std::sync::Mutex;
use std::time::Instant;

use crate::mail::circuit_breaker::CircuitBreaker;
use crate::mail::outbox::LEASE;
use crate::mail::refusals::{LONGEST_PAUSE, Refusals};

/// How the worker is doing, for `/readyz` and the operator.
#[derive(Default)]
pub struct Health {
    /// When a slot last went round; a clock on the wall that is set meanwhile says nothing of that.
    beat: Mutex<Option<Instant>>,
    /// What key this node lacked for a mail, and when it last did.
    missing_key: Mutex<Option<(Instant, String)>>,
    /// What this node knows of its way to the mail server.
    pub breaker: CircuitBreaker,
    /// What the mail server refused of late.
    pub refusals: Refusals,
}

impl Health {
    /// Whether the worker went round within the last while.
    pub fn is_running(&self) -> bool {
        let beat = self.beat.lock().ok().and_then(|beat| *beat);
        beat.is_some_and(|beat| beat.elapsed() <= LEASE)
    }

    /// A slot went round just now.
    pub fn go_round(&self) {
        if let Ok(mut beat) = self.beat.lock() {
            *beat = Some(Instant::now());
        }
    }

    /// A mail was sealed by a key that this node does not have.
    pub fn note_missing_key(&self, what: &str) {
        if let Ok(mut missing) = self.missing_key.lock() {
            *missing = Some((Instant::now(), what.to_owned()));
        }
    }

    /// What key this node lacks for mail that waits, if it met such mail lately.
    pub fn missing_key(&self) -> Option<String> {
        let missing = self.missing_key.lock().ok()?.clone();
        let (met, what) = missing?;
        (met.elapsed() <= LONGEST_PAUSE).then_some(what)
    }

    /// What keeps mail from leaving, if anything does.
    pub fn trouble(&self) -> Option<String> {
        self.breaker.trouble().or_else(|| self.refusals.trouble())
    }
}
