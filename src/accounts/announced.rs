//! Who was sent which announcement, so that nobody is sent one twice: not by a run that was killed and is begun
//! again, and not by two runs at the same time.
//!
//! An announcement is known by the digest of what it says. Its row is written in the transaction that posts the
//! letter, so that neither is there without the other; the key decides who was first.

use std::time::Duration;

use diesel::prelude::*;

use crate::accounts::batch::by_first;
use crate::clock::{Timestamp, millis};
use crate::db::{Tx, load_unlocked, on_either};
use crate::error::Result;
use crate::schema::announced;

/// For how long it is kept who was sent what: longer than anybody goes on with a run.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// For how long a subject is the same one again: less than a week, so that a weekly letter may be called the same.
pub const LATELY: Duration = Duration::from_secs(6 * 24 * 60 * 60);

/// What an announcement is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Of what it says.
    pub words: [u8; 32],
    /// Of its subject alone.
    pub subject: [u8; 32],
    /// Of its file, by which the release before this one knew it.
    pub file: [u8; 32],
}

/// Writes down that this reader is sent it now; false if they were before.
pub fn announce_to(tx: &mut Tx, announcement: &Digests, user_id: &str) -> Result<bool> {
    if was_sent(tx, announcement, user_id)? {
        return Ok(false);
    }
    let row = (
        announced::announcement.eq(announcement.words.as_slice()),
        announced::user_id.eq(user_id),
        announced::posted_at.eq(tx.now),
        announced::subject.eq(announcement.subject.as_slice()),
    );
    let written = on_either!(tx.conn, |conn| diesel::insert_into(announced::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(written > 0)
}

/// Whether this reader was sent it.
pub fn was_sent(tx: &mut Tx, announcement: &Digests, user_id: &str) -> Result<bool> {
    let by_either = [announcement.words, announcement.file].map(Vec::from);
    let sent = announced::table
        .filter(announced::announcement.eq_any(by_either))
        .filter(announced::user_id.eq(user_id))
        .select(announced::user_id)
        .first::<String>(tx.conn)
        .optional()?;
    Ok(sent.is_some())
}

/// Who of these readers was sent something else under the same subject lately.
pub fn sent_alike(
    tx: &mut Tx,
    announcement: &Digests,
    user_ids: Vec<String>,
) -> Result<Vec<String>> {
    Ok(announced::table
        .filter(announced::user_id.eq_any(user_ids))
        .filter(announced::subject.eq(announcement.subject.as_slice()))
        .filter(announced::announcement.ne(announcement.words.as_slice()))
        .filter(announced::posted_at.gt(tx.now - millis(LATELY)))
        .select(announced::user_id)
        .distinct()
        .load(tx.conn)?)
}

/// What a reader was sent.
#[derive(Queryable, Selectable)]
#[diesel(table_name = announced)]
pub struct Sent {
    pub announcement: Vec<u8>,
    pub posted_at: Timestamp,
}

/// What a reader was sent, as far as it is known, the newest first.
pub fn list(tx: &mut Tx, user_id: &str) -> Result<Vec<Sent>> {
    Ok(announced::table
        .filter(announced::user_id.eq(user_id))
        .order((announced::posted_at.desc(), announced::announcement))
        .select(Sent::as_select())
        .load(tx.conn)?)
}

/// Forgets a batch of what was sent long ago.
pub fn purge(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over: Vec<(Vec<u8>, String)> = load_unlocked!(
        tx.conn,
        over(tx.now)
            .order(announced::posted_at)
            .select((announced::announcement, announced::user_id))
            .limit(at_most)
    )?;
    let mut gone = 0;
    for (announcement, readers) in by_first(over) {
        let its_own = announced::table
            .filter(announced::announcement.eq(announcement))
            .filter(announced::user_id.eq_any(readers));
        gone += on_either!(tx.conn, |conn| diesel::delete(its_own).execute(conn))?;
    }
    Ok(gone)
}

/// How many were sent one so long ago.
pub fn count_over(tx: &mut Tx) -> Result<i64> {
    Ok(over(tx.now).count().get_result(tx.conn)?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn over(now: Timestamp) -> _ {
    let since: Timestamp = now - millis(KEPT);
    announced::table.filter(announced::posted_at.le(since))
}
