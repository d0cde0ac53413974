//! The circuit breaker between this node and the mail server: closed while mail may leave, open while there is
//! no way.
//!
//! While the server cannot be reached, or will not have us (its log-in, our sender), every mail would fare
//! the same. So nobody takes mail out of the outbox then, and one slot alone probes, at growing intervals:
//! a server that comes back is not overrun, and an account whose password is wrong is not locked by us.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::mail::backoff::Backoff;
use crate::mail::smtp::LONGEST_SEND;

/// What this node knows of its way to the mail server.
#[derive(Default)]
pub struct CircuitBreaker(Mutex<State>);

#[derive(Default)]
struct State {
    /// When a slot may probe next; `None` while the breaker is closed.
    probe_at: Option<Instant>,
    backoff: Backoff,
    trouble: Option<String>,
    missed: Missed,
}

/// A connection that was not to be had while another slot had one. The server may allow no more; or it is away, and
/// the connections that rest only look alive. Which of the two it is shows by the next letter.
#[derive(Default)]
struct Missed {
    of_late: Option<String>,
    told: Option<String>,
}

impl CircuitBreaker {
    /// Whether mail may be taken out of the outbox.
    pub fn is_closed(&self) -> bool {
        self.state().probe_at.is_none()
    }

    /// Whether the caller is to probe now. Whoever is told so and never returns is replaced in time.
    pub fn may_probe(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let is_time = state.probe_at.is_some_and(|at| at <= now);
        if is_time {
            state.probe_at = Some(now + LONGEST_SEND);
        }
        is_time
    }

    /// A send found no way. What others say who were under way at the same time changes nothing.
    pub fn open(&self, why: &str) {
        let mut state = self.state();
        if state.probe_at.is_none() {
            state.wait(why);
        }
    }

    /// A probe failed.
    pub fn stay_open(&self, why: &str) {
        self.state().wait(why);
    }

    /// A probe was answered. The pauses go on growing until a letter was taken: a server may greet all and
    /// take mail from none.
    pub fn close(&self) {
        let mut state = self.state();
        state.probe_at = None;
        state.end_trouble();
    }

    /// The server took a letter, or judged it: it has us.
    pub fn succeed(&self) {
        let mut state = self.state();
        state.probe_at = None;
        state.backoff = Backoff::default();
        state.end_trouble();
        state.missed.tell();
    }

    /// A slot found no way, and another has a connection. Nothing is told yet: it would be a guess.
    pub fn miss(&self, what: &str) {
        self.state().missed.of_late = Some(what.to_owned());
    }

    /// What keeps mail from leaving, if anything does.
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// No panic leaves it half written: what it holds is good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self, why: &str) {
        self.missed = Missed::default();
        self.tell(why);
        self.probe_at = Some(Instant::now() + self.backoff.longer());
    }

    /// Once in the log, however often it is met.
    fn tell(&mut self, what: &str) {
        if self.trouble.as_deref() != Some(what) {
            tracing::error!(what, event = "breaker_open", "mail has to wait");
            self.trouble = Some(what.to_owned());
        }
    }

    fn end_trouble(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!(event = "breaker_closed", "the mail server has us again");
        }
    }
}

impl Missed {
    /// Mail leaves all the same: once in the log, however often it is met.
    fn tell(&mut self) {
        let Some(what) = self.of_late.take() else {
            return;
        };
        if self.told.as_ref() != Some(&what) {
            tracing::warn!(
                what,
                event = "relay_connections",
                "a connection fewer to the mail server, and mail leaves"
            );
            self.told = Some(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_slot_probes_at_a_time_and_ever_more_seldom() {
        let breaker = CircuitBreaker::default();
        assert!(breaker.is_closed() && !breaker.may_probe());
        breaker.open("away");
        let mut waited = Vec::new();
        for _ in 0..8 {
            let began = Instant::now();
            while !breaker.may_probe() {
                advance(Duration::from_millis(100)).await;
            }
            assert!(!breaker.may_probe(), "one probes");
            waited.push(began.elapsed());
            breaker.stay_open("away");
        }
        assert!(waited[0] <= Duration::from_millis(1_100), "{waited:?}");
        assert!(
            waited[5..].iter().all(|wait| wait.as_secs() >= 15),
            "{waited:?}"
        );
        assert!(waited.iter().all(|wait| wait.as_secs() <= 30), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_returns_is_replaced() {
        let breaker = CircuitBreaker::default();
        breaker.open("away");
        advance(Duration::from_secs(1)).await;
        assert!(breaker.may_probe());
        advance(LONGEST_SEND).await;
        assert!(breaker.may_probe());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_greets_us_and_takes_no_letter_is_not_overrun() {
        let breaker = CircuitBreaker::default();
        for _ in 0..6 {
            breaker.open("no sender suits");
            breaker.open("said by another slot");
            assert_eq!(breaker.trouble().as_deref(), Some("no sender suits"));
            advance(Duration::from_secs(30)).await;
            assert!(breaker.may_probe());
            breaker.close();
            assert_eq!((breaker.is_closed(), breaker.trouble()), (true, None));
        }
        breaker.open("no sender suits");
        advance(Duration::from_secs(14)).await;
        assert!(!breaker.may_probe(), "the pauses have grown");
        breaker.close();
        breaker.succeed();
        breaker.open("away");
        advance(Duration::from_secs(1)).await;
        assert!(breaker.may_probe(), "a letter was taken: they begin anew");
    }
}
