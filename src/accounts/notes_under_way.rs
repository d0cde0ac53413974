//! Sessions of which this node is just writing down that they are in use: of each once at a time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::accounts::sessions::Session;
use crate::clock::Timestamp;

/// Which, by their ids and when they were last seen until then.
#[derive(Clone, Default)]
pub struct NotesUnderWay(Arc<Mutex<HashSet<Note>>>);

type Note = (String, Timestamp);

/// One of them, for as long as this is kept.
pub struct NoteUnderWay {
    note: Note,
    all: NotesUnderWay,
}

impl NotesUnderWay {
    /// Begins one; nothing where one is under way for a session as it was found here.
    pub fn begin(&self, found: &Session) -> Option<NoteUnderWay> {
        let note = (found.id.clone(), found.last_seen_at);
        let is_first = self.notes().insert(note.clone());
        is_first.then(|| NoteUnderWay {
            note,
            all: self.clone(),
        })
    }

    /// No panic leaves it half written: what it holds is good.
    fn notes(&self) -> MutexGuard<'_, HashSet<Note>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NoteUnderWay {
    fn drop(&mut self) {
        self.all.notes().remove(&self.note);
    }
}
