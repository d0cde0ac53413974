//! When the worker ends: it is told once, with the moment at which it has to be done.

use std::time::Instant;

use tokio::sync::watch;

/// Whether the worker is to stop, and by when.
#[derive(Clone)]
pub(super) struct Stopping(pub(super) watch::Receiver<Option<Instant>>);

impl Stopping {
    pub(super) fn is_told(&self) -> bool {
        self.0.borrow().is_some()
    }

    pub(super) async fn told(&mut self) -> Instant {
        match self.0.wait_for(Option::is_some).await {
            Ok(told) => told.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(), // Nobody is left who could tell.
        }
    }
}
