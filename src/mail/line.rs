//! The line to the mail server: open, or shut until somebody knocks and is let in.
//!
//! While the server cannot be reached, or will not have us (its log-in, our sender), every mail would fare
//! the same. So nobody takes mail out of the outbox then, and one slot alone knocks, at growing intervals:
//! a server that comes back is not stormed, and an account whose password is wrong is not locked by us.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::mail::smtp::LONGEST_SEND;
use crate::random;

/// What this node knows of its way to the mail server.
#[derive(Default)]
pub struct Line(Mutex<State>);

#[derive(Default)]
struct State {
    /// When somebody may knock next; `None` while the line is open.
    knock_at: Option<Instant>,
    pauses: Pauses,
    trouble: Option<String>,
}

impl Line {
    /// Whether mail may be taken out of the outbox.
    pub fn is_open(&self) -> bool {
        self.state().knock_at.is_none()
    }

    /// Whether the caller is to knock now. Whoever is told so and never returns is replaced in time.
    pub fn may_knock(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let is_time = state.knock_at.is_some_and(|at| at <= now);
        if is_time {
            state.knock_at = Some(now + LONGEST_SEND);
        }
        is_time
    }

    /// A send found no way. What others say who were under way at the same time changes nothing.
    pub fn shut(&self, why: &str) {
        let mut state = self.state();
        if state.knock_at.is_none() {
            state.wait(why);
        }
    }

    /// A knock was in vain.
    pub fn stay_shut(&self, why: &str) {
        self.state().wait(why);
    }

    /// A knock was answered. The pauses go on growing until a letter was carried: a server may open its
    /// door to all and take mail from none.
    pub fn open(&self) {
        let mut state = self.state();
        state.knock_at = None;
        state.be_well();
    }

    /// The server took a letter, or judged it: it has us.
    pub fn carried(&self) {
        let mut state = self.state();
        state.knock_at = None;
        state.pauses = Pauses::default();
        state.be_well();
    }

    /// Trouble that shuts nobody else out, for the operator to see.
    pub fn note(&self, what: &str) {
        self.state().tell(what);
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
        self.tell(why);
        self.knock_at = Some(Instant::now() + self.pauses.longer());
    }

    /// Once in the log, however often it is met.
    fn tell(&mut self, what: &str) {
        if self.trouble.as_deref() != Some(what) {
            tracing::error!(what, "mail has to wait");
            self.trouble = Some(what.to_owned());
        }
    }

    fn be_well(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("the mail server has us again");
        }
    }
}

/// Pauses that grow from a second to half a minute.
#[derive(Default)]
pub struct Pauses(u32);

impl Pauses {
    /// The next one, longer than the one before.
    pub fn longer(&mut self) -> Duration {
        let pause = Duration::from_secs(1 << self.0).min(Duration::from_secs(30));
        self.0 = (self.0 + 1).min(5);
        jittered(pause)
    }
}

/// Between half and all of it, so that what failed together does not come back together.
pub fn jittered(pause: Duration) -> Duration {
    let [draw] = random::bytes::<1>();
    pause.mul_f64(0.5 + f64::from(draw) / 512.0)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_slot_knocks_at_a_time_and_ever_more_seldom() {
        let line = Line::default();
        assert!(line.is_open() && !line.may_knock());
        line.shut("away");
        let mut waited = Vec::new();
        for _ in 0..8 {
            let began = Instant::now();
            while !line.may_knock() {
                advance(Duration::from_millis(100)).await;
            }
            assert!(!line.may_knock(), "one knocks");
            waited.push(began.elapsed());
            line.stay_shut("away");
        }
        assert!(waited[0] <= Duration::from_millis(1_100), "{waited:?}");
        assert!(
            waited[5..].iter().all(|wait| wait.as_secs() >= 15),
            "{waited:?}"
        );
        assert!(waited.iter().all(|wait| wait.as_secs() <= 30), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_knock_that_never_returns_is_replaced() {
        let line = Line::default();
        line.shut("away");
        advance(Duration::from_secs(1)).await;
        assert!(line.may_knock());
        advance(LONGEST_SEND).await;
        assert!(line.may_knock());
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_door_that_takes_no_letter_is_not_stormed() {
        let line = Line::default();
        for _ in 0..6 {
            line.shut("no sender suits");
            line.shut("said by another slot");
            assert_eq!(line.trouble().as_deref(), Some("no sender suits"));
            advance(Duration::from_secs(30)).await;
            assert!(line.may_knock());
            line.open();
            assert_eq!((line.is_open(), line.trouble()), (true, None));
        }
        line.shut("no sender suits");
        advance(Duration::from_secs(14)).await;
        assert!(!line.may_knock(), "the pauses have grown");
        line.open();
        line.carried();
        line.shut("away");
        advance(Duration::from_secs(1)).await;
        assert!(line.may_knock(), "a letter was carried: they begin anew");
    }
}
