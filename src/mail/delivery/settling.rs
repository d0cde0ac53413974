//! What became of mail is written down for all slots together that wait for it: by one transaction, which costs little
//! more than that of one. SQLite's writer keeps together whatever waits for it by itself, and there each slot writes alone:
//! to wait for the others besides would only be longer.
//!
//! A slot goes on when its own mail is written down and no sooner, so that a crash has at most one letter of each slot
//! leave twice.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use super::outcome::{Settled, settle_all};
use crate::app::App;
use crate::error::{Error, Result};

/// On a server: while one is on its way, the next can come together.
const AT_ONCE: usize = 2;

/// What waits to be written down.
pub(super) struct Settling {
    waiting: Mutex<Vec<Entry>>,
    turns: Semaphore,
}

struct Entry {
    settled: Settled,
    answer: oneshot::Sender<Result<bool>>,
}

impl Settling {
    /// For so many slots.
    pub(super) fn of(slots: usize, app: &App) -> Self {
        let turns = match app.config.database.url.is_server() {
            true => AT_ONCE,
            false => slots,
        };
        Self {
            waiting: Mutex::default(),
            turns: Semaphore::new(turns),
        }
    }

    /// Writes it down; false, if the lease was lost. Whoever has a turn writes for all who came meanwhile.
    pub(super) async fn write_down(
        &self,
        app: &App,
        settled: &Settled,
        is_shown: bool,
    ) -> Result<bool> {
        let (answer, written) = oneshot::channel();
        self.waiting().push(Entry {
            settled: Arc::clone(settled),
            answer,
        });
        let turn = self.turns.acquire().await;
        let together = std::mem::take(&mut *self.waiting());
        write_together(app, together, is_shown).await;
        drop(turn);
        written
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("whoever had the turn gave it up")))
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that cannot be written is no reason to keep the others waiting: then each is written alone.
async fn write_together(app: &App, entries: Vec<Entry>, is_shown: bool) {
    if entries.is_empty() {
        return;
    }
    let all: Vec<Settled> = entries.iter().map(|entry| entry.settled.clone()).collect();
    let written = app
        .transaction(move |tx| settle_all(tx, &all, is_shown))
        .await;
    match written {
        Ok(written) => {
            for (entry, is_written) in entries.into_iter().zip(written) {
                let _ = entry.answer.send(Ok(is_written));
            }
        }
        Err(Error::Unavailable(what)) => {
            for entry in entries {
                let _ = entry.answer.send(Err(Error::unavailable(&what)));
            }
        }
        Err(_) => {
            for Entry { settled, answer } in entries {
                let alone = app
                    .transaction(move |tx| settle_all(tx, &[settled], is_shown))
                    .await;
                let _ = answer.send(alone.map(|written| written == [true]));
            }
        }
    }
}
