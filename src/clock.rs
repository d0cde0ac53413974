//! The only place that asks for the time.
//!
//! Everything else is handed it: a transaction has one moment (`Tx::now`), a request asks once. So a test
//! stops the clock and moves it by hand, and no two parts of the program disagree about what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch: what the tables hold and what is compared.
pub type Timestamp = i64;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The operating system's wall clock.
    System,
    /// A clock that stands until somebody moves it.
    Stopped(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `now`.
    pub fn stopped_at(now: Timestamp) -> Self {
        Self::Stopped(Arc::new(AtomicI64::new(now)))
    }

    /// The present moment. A system clock set before 1970 reads as 1970: every lifetime has then
    /// long passed or not begun, and nothing is revived.
    #[expect(clippy::disallowed_methods, reason = "the one asker of the time")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, millis),
            Self::Stopped(at) => at.load(Ordering::SeqCst),
        }
    }

    /// Moves a stopped clock forward; the system's clock is nobody's to move.
    pub fn advance(&self, by: Duration) {
        if let Self::Stopped(at) = self {
            at.fetch_add(millis(by), Ordering::SeqCst);
        }
    }
}

/// A duration in the unit of [`Timestamp`]; one that is too long for it becomes the longest there is.
pub fn millis(duration: Duration) -> Timestamp {
    Timestamp::try_from(duration.as_millis()).unwrap_or(Timestamp::MAX / 4)
}
