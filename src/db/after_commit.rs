//! What is done once a transaction is kept: lines in the log, and counts.
//!
//! Written inside the transaction, they would tell of what may still be undone, by an error further on, by a full
//! disk at the commit, or because its caller has gone.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What waits for a commit, in order.
#[derive(Default)]
pub(super) struct AfterCommit(Vec<Box<dyn FnOnce() + Send>>);

impl AfterCommit {
    pub fn add(&mut self, act: impl FnOnce() + Send + 'static) {
        self.0.push(Box::new(act));
    }

    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// How many wait: to go back to, if a savepoint is undone.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets those that came after so many.
    pub fn forget_all_but(&mut self, earlier: usize) {
        self.0.truncate(earlier);
    }

    /// The commit is done. A panic in one of them (a log that nobody reads any more) must not be why somebody hears
    /// that what was kept was not.
    pub fn run(self) {
        for act in self.0 {
            let _ = catch_unwind(AssertUnwindSafe(act));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_panic_in_one_of_them_keeps_back_no_other_and_nobodys_answer() {
        static IS_DONE: AtomicBool = AtomicBool::new(false);
        let mut waiting = AfterCommit::default();
        waiting.add(|| panic!("the log is gone"));
        waiting.add(|| IS_DONE.store(true, Ordering::Relaxed));
        waiting.run();
        assert!(IS_DONE.load(Ordering::Relaxed));
    }
}
