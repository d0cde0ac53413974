//! How the mail worker is doing. The worker says it; `/readyz` and the operator ask. It stands apart from the
//! worker, for the [`App`](crate::app::App) holds it, and the worker is handed the [`App`](crate::app::App).

use std::sync::Mutex;
use std::time::Instant;

use crate::mail::circuit_breaker::CircuitBreaker;
use crate::mail::outbox::LEASE;

/// How the worker is doing, for `/readyz` and the operator.
#[derive(Default)]
pub struct Health {
    /// When a slot last went round; a clock on the wall that is set meanwhile says nothing of that.
    beat: Mutex<Option<Instant>>,
    /// What this node knows of its way to the mail server.
    pub breaker: CircuitBreaker,
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

    /// What keeps mail from leaving, if anything does.
    pub fn trouble(&self) -> Option<String> {
        self.breaker.trouble()
    }
}
