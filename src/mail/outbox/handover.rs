//! Mail on its way from the transaction that posts it to a send slot of this node, past the table.
//!
//! Whoever posts a letter claims it for the worker of the same node and, once the transaction is kept, hands it over: it
//! need not be looked for, claimed, opened and read. In the table it is mail that a worker has claimed, and when the
//! node dies its lease ends, as it would for any other.
//!
//! It is a short cut, and no way around those who wait: while older mail of its priority lies in the table, so does what
//! is posted. So does what there is no room for here, and all mail while this node has no way to the server.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Claimed;
use crate::mail::letters::{Content, Priority};

/// So much of each priority, on its way or promised: what the slots send in a few seconds, for it is leased already, and
/// what memory there is for it.
const MOST: usize = 1024;

/// Mail that was handed over.
pub struct Fresh {
    pub claimed: Claimed,
    /// What it says, in place of what is sealed; `None` where the account that it is about must be looked for first.
    pub content: Option<Content>,
}

#[derive(Default)]
pub(super) struct Handover {
    lines: Mutex<Lines>,
    awaited: Notify,
    news: Notify,
}

#[derive(Default)]
struct Lines {
    /// Whether slots take mail from here.
    is_open: bool,
    awaited: Line,
    news: Line,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Fresh>,
    /// Places of transactions that are not kept yet.
    promised: usize,
    /// Whether older mail lies in the table, as far as anybody looked.
    is_behind: bool,
}

impl Lines {
    /// Announcements are too many: they always go by the table.
    fn of(&mut self, priority: Priority) -> Option<&mut Line> {
        match priority {
            Priority::Awaited => Some(&mut self.awaited),
            Priority::News => Some(&mut self.news),
            Priority::Bulk => None,
        }
    }
}

impl Handover {
    /// A place for mail that is being posted, if there is one.
    pub fn place(self: &Arc<Self>, priority: Priority) -> Option<Place> {
        let mut lines = self.lines();
        let is_open = lines.is_open;
        let line = lines.of(priority).filter(|_| is_open)?;
        line.is_behind |= line.waiting.len() + line.promised >= MOST;
        if line.is_behind {
            return None;
        }
        line.promised += 1;
        Some(Place {
            handover: Arc::clone(self),
            priority,
        })
    }

    /// Slots take mail from here, from now on. What lies in the table goes first.
    pub fn open(&self) {
        let mut lines = self.lines();
        if !lines.is_open {
            lines.is_open = true;
            lines.awaited.is_behind = true;
            lines.news.is_behind = true;
        }
    }

    /// No slot takes mail from here for now; what waited, to be given back.
    pub fn close(&self) -> Vec<Claimed> {
        let mut lines = self.lines();
        lines.is_open = false;
        let awaited = std::mem::take(&mut lines.awaited.waiting);
        let news = std::mem::take(&mut lines.news.waiting);
        awaited
            .into_iter()
            .chain(news)
            .map(|fresh| fresh.claimed)
            .collect()
    }

    /// Whether a transaction that was promised a place has not ended yet.
    pub fn is_promised(&self) -> bool {
        let lines = self.lines();
        lines.awaited.promised + lines.news.promised > 0
    }

    /// The next mail of this priority or a higher one.
    pub fn take(&self, lowest: Priority) -> Option<Fresh> {
        let mut lines = self.lines();
        match lines.awaited.waiting.pop_front() {
            None if lowest >= Priority::News => lines.news.waiting.pop_front(),
            taken => taken,
        }
    }

    /// Whether mail of this priority or a higher one lies in the table, as far as anybody looked.
    pub fn is_behind(&self, lowest: Priority) -> bool {
        let lines = self.lines();
        lines.awaited.is_behind || lowest >= Priority::News && lines.news.is_behind
    }

    /// A slot looked into the table for mail of this priority and above, and claimed this much of that one.
    pub fn looked(&self, lowest: Priority, found: Option<(Priority, bool)>) {
        let mut lines = self.lines();
        for priority in [Priority::Awaited, Priority::News] {
            let is_behind = match found {
                Some((of, is_more)) if of == priority => is_more,
                Some((of, _)) if of < priority => continue,
                _ => false,
            };
            if let Some(line) = lines.of(priority).filter(|_| priority <= lowest) {
                line.is_behind = is_behind;
            }
        }
    }

    /// Waits for mail of this priority or a higher one.
    pub async fn wait(&self, lowest: Priority) {
        tokio::select! {
            () = self.awaited.notified() => {}
            () = self.news.notified(), if lowest >= Priority::News => {}
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place for one mail. Whoever drops it, because the transaction was undone, has handed nothing over.
pub(super) struct Place {
    handover: Arc<Handover>,
    priority: Priority,
}

impl Place {
    /// The transaction is kept.
    pub fn fill(self, mail: Fresh) {
        if let Some(line) = self.handover.lines().of(self.priority) {
            line.waiting.push_back(mail);
        }
        match self.priority {
            Priority::Awaited => self.handover.awaited.notify_one(),
            Priority::News | Priority::Bulk => self.handover.news.notify_one(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(line) = self.handover.lines().of(self.priority) {
            line.promised -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_found_no_room_is_known_to_lie_in_the_table_until_somebody_looked() {
        let handover = Arc::new(Handover::default());
        handover.open();
        assert!(
            handover.is_behind(Priority::Awaited),
            "nobody has looked yet"
        );
        handover.looked(Priority::Bulk, None);
        let room: Vec<Place> = std::iter::from_fn(|| handover.place(Priority::News)).collect();
        assert_eq!(room.len(), MOST);
        assert!(handover.is_behind(Priority::News));
        assert!(
            !handover.is_behind(Priority::Awaited),
            "a slot for what is awaited has nothing to look for"
        );
        drop(room);
        assert!(handover.place(Priority::News).is_none(), "it goes first");
        handover.looked(Priority::News, Some((Priority::News, true)));
        assert!(handover.is_behind(Priority::Bulk), "there is more of it");
        handover.looked(Priority::News, None);
        assert!(!handover.is_behind(Priority::Bulk));
    }
}
