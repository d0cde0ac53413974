//! Pauses between tries, that grow and are spread: what failed together does not come back together.

use std::time::Duration;

use crate::random;

/// Pauses that grow from a second to half a minute.
#[derive(Default)]
pub struct Backoff(u32);

impl Backoff {
    /// The next one, longer than the one before.
    pub fn longer(&mut self) -> Duration {
        let pause = Duration::from_secs(1 << self.0).min(Duration::from_secs(30));
        self.0 = (self.0 + 1).min(5);
        jittered(pause)
    }
}

/// Between half and all of it.
pub fn jittered(pause: Duration) -> Duration {
    let [draw] = random::bytes::<1>();
    pause.mul_f64(0.5 + f64::from(draw) / 512.0)
}
