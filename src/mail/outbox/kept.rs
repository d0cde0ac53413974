//! What the outbox holds, for those who look after it: the operator, the owner of an account, and the inbox
//! of development. Only the last is shown their content, for it may hold a live link.

use std::time::Duration;

use diesel::dsl::{count_star, min, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::{LEASE, Mail, state};
use crate::clock::{Timestamp, millis};
use crate::db::{Tx, delete_unlocked};
use crate::error::Result;
use crate::mail::letters::Priority;
use crate::schema::{links, outbox};

/// A mail as the operator is shown it.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct KeptMail {
    pub id: String,
    pub letter: String,
    pub email: String,
    pub state: String,
    pub queued_at: Timestamp,
    pub useful_until: Timestamp,
    /// Nobody touches it before this: the next try, or the end of a worker's lease.
    pub due_at: Option<Timestamp>,
    pub tries: i32,
    /// The id of the key that its content was sealed by.
    pub sealed_by: Option<String>,
    pub settled_at: Option<Timestamp>,
    /// Why it waits, was refused or dropped, came back or is late.
    pub reason: Option<String>,
}

/// The newest mail, all of it or that of one state.
pub fn list(tx: &mut Tx, state: Option<&str>, at_most: i64) -> Result<Vec<KeptMail>> {
    let mut mails = outbox::table
        .select(KeptMail::as_select())
        .order((outbox::queued_at.desc(), outbox::id))
        .limit(at_most)
        .into_boxed();
    if let Some(state) = state {
        mails = mails.filter(outbox::state.eq(state.to_owned()));
    }
    Ok(mails.load(tx.conn)?)
}

/// How much mail there is of each state that there is any of.
pub fn counts(tx: &mut Tx) -> Result<Vec<(String, i64)>> {
    Ok(outbox::table
        .group_by(outbox::state)
        .select((outbox::state, count_star()))
        .order(outbox::state)
        .load(tx.conn)?)
}

/// How the outbox stands, for whoever watches it.
#[derive(Clone, Debug)]
pub struct Standing {
    waiting: i64,
    /// What did not leave, or came back, by its state.
    failed: Vec<(String, i64)>,
    /// When the oldest was posted that still waits, announcements aside.
    pub oldest_waiting_since: Option<Timestamp>,
}

impl Standing {
    /// How much mail there is of this state, which is not that of what left: that grows with what the site is used, and
    /// nobody counts it again and again.
    pub fn of_state(&self, state: &str) -> i64 {
        if state == state::QUEUED {
            return self.waiting;
        }
        let found = self.failed.iter().find(|(is, _)| is == state);
        found.map_or(0, |(_, count)| *count)
    }
}

/// Looks how it stands.
pub fn standing(tx: &mut Tx) -> Result<Standing> {
    let waiting = outbox::table.filter(outbox::due_at.is_not_null());
    // In the words of its index, which holds nothing else.
    let failed = outbox::table.filter(sql::<Bool>("state NOT IN ('queued', 'sent')"));
    let oldest_waiting_since = outbox::table
        .filter(outbox::due_at.is_not_null())
        .filter(outbox::priority.lt(Priority::Bulk as i32))
        .select(min(outbox::queued_at))
        .first(tx.conn)?;
    Ok(Standing {
        waiting: waiting.count().get_result(tx.conn)?,
        failed: failed
            .group_by(outbox::state)
            .select((outbox::state, count_star()))
            .load(tx.conn)?,
        oldest_waiting_since,
    })
}

/// One mail.
pub fn find(tx: &mut Tx, id: &str) -> Result<Option<KeptMail>> {
    Ok(outbox::table
        .find(id)
        .select(KeptMail::as_select())
        .first(tx.conn)
        .optional()?)
}

/// What became of the wish to try a mail now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// A running worker takes it up at once.
    Now,
    /// A worker has it just now, or will within the minute.
    Soon,
    /// It was sent, or came to be of no use: there is nothing to try.
    Over,
    /// It was refused, and its content with the link in it was erased then.
    Erased,
    /// There is no such mail.
    Unknown,
}

/// Tries a mail now that waits for its time, or once more that was refused. Written first and looked at
/// afterwards: a mail that a worker claims meanwhile is under its lease, and to move it would send it twice.
pub fn retry(tx: &mut Tx, id: &str) -> Result<Retried> {
    // What falls due so soon may be under a lease already.
    let waits = outbox::state
        .eq(state::QUEUED)
        .nullable()
        .and(outbox::due_at.gt(tx.now + millis(LEASE)));
    let was_refused = outbox::state
        .eq(state::REFUSED)
        .and(outbox::body.is_not_null())
        .and(outbox::useful_until.gt(tx.now));
    let moved = diesel::update(outbox::table.find(id))
        .filter(waits.or(was_refused.nullable()))
        .set((
            outbox::state.eq(state::QUEUED),
            outbox::due_at.eq(tx.now),
            outbox::tries.eq(0),
            outbox::settled_at.eq(None::<Timestamp>),
        ))
        .execute(tx.conn)?;
    match moved {
        0 => why_not_now(tx, id),
        _ => Ok(Retried::Now),
    }
}

fn why_not_now(tx: &mut Tx, id: &str) -> Result<Retried> {
    let known = outbox::table
        .find(id)
        .select((outbox::state, outbox::body.is_not_null()))
        .first::<(String, bool)>(tx.conn)
        .optional()?;
    Ok(match known {
        None => Retried::Unknown,
        Some((state, _)) if state == state::QUEUED => Retried::Soon,
        Some((state, false)) if state == state::REFUSED => Retried::Erased,
        Some(_) => Retried::Over,
    })
}

/// It was sent and came back, for this reason. False: it was not sent, or had come back before.
pub fn bounced(tx: &mut Tx, id: &str, reason: &str) -> Result<bool> {
    let bounced = diesel::update(outbox::table.find(id))
        .filter(outbox::state.eq(state::SENT))
        .set((
            outbox::state.eq(state::BOUNCED),
            outbox::settled_at.eq(tx.now),
            outbox::reason.eq(reason),
        ))
        .execute(tx.conn)?;
    Ok(bounced == 1)
}

/// It was sent and is not there yet, for this reason.
pub fn delayed(tx: &mut Tx, id: &str, reason: &str) -> Result<()> {
    diesel::update(outbox::table.find(id))
        .filter(outbox::state.eq(state::SENT))
        .set(outbox::reason.eq(reason))
        .execute(tx.conn)?;
    Ok(())
}

/// Gives up all mail that waits, for this reason.
pub fn drop_waiting(tx: &mut Tx, reason: &str) -> Result<usize> {
    Ok(
        diesel::update(outbox::table.filter(outbox::state.eq(state::QUEUED)))
            .set((
                outbox::state.eq(state::DROPPED),
                outbox::due_at.eq(None::<Timestamp>),
                outbox::claim.eq(None::<String>),
                outbox::settled_at.eq(tx.now),
                outbox::reason.eq(reason),
                outbox::body.eq(None::<Vec<u8>>),
                outbox::link_hash.eq(None::<Vec<u8>>),
            ))
            .execute(tx.conn)?,
    )
}

/// A mail as its owner is shown it.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct OwnMail {
    pub letter: String,
    pub state: String,
    pub queued_at: Timestamp,
    pub settled_at: Option<Timestamp>,
}

/// All mail to this address, the newest first.
pub fn of_address(tx: &mut Tx, email: &str) -> Result<Vec<OwnMail>> {
    Ok(outbox::table
        .filter(outbox::email.eq(email))
        .order(outbox::queued_at.desc())
        .select(OwnMail::as_select())
        .load(tx.conn)?)
}

/// Takes back all mail to this address, waiting or sent, and all whose link leads to this account: what is
/// deleted is not written to any more. One statement each, for PostgreSQL would read every row for an `OR` of the two.
/// What is about the account and goes elsewhere, or is posted just now, is forgotten by the worker.
pub fn forget_account(tx: &mut Tx, user_id: &str, email: &str) -> Result<()> {
    let its_links = links::table
        .filter(links::user_id.eq(user_id))
        .select(links::token_hash.nullable());
    diesel::delete(outbox::table.filter(outbox::email.eq(email))).execute(tx.conn)?;
    let with_its_links = outbox::table.filter(outbox::link_hash.eq_any(its_links));
    diesel::delete(with_its_links).execute(tx.conn)?;
    Ok(())
}

/// What `/dev/inbox` shows: mail that left, as far as its content is still there.
#[diesel::dsl::auto_type(no_type_alias)]
fn shown() -> _ {
    let left: &'static str = state::SENT;
    outbox::table
        .filter(outbox::state.eq(left))
        .filter(outbox::body.is_not_null())
}

/// The newest mail of the inbox.
pub fn inbox(tx: &mut Tx, at_most: i64) -> Result<Vec<Mail>> {
    Ok(shown()
        .order((outbox::queued_at.desc(), outbox::id))
        .select(Mail::as_select())
        .limit(at_most)
        .load(tx.conn)?)
}

/// One mail of the inbox.
pub fn inbox_mail(tx: &mut Tx, id: &str) -> Result<Option<Mail>> {
    Ok(shown()
        .filter(outbox::id.eq(id))
        .select(Mail::as_select())
        .first(tx.conn)
        .optional()?)
}

/// Forgets all mail of the inbox. What waits is not shown yet, and stays.
pub fn clear_inbox(tx: &mut Tx) -> Result<()> {
    diesel::delete(shown()).execute(tx.conn)?;
    Ok(())
}

/// How long what left, or was refused, stays on the list.
const KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Forgets a batch of mail that was settled long ago.
pub fn purge(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over = over(tx.now).order(outbox::settled_at).limit(at_most);
    delete_unlocked!(tx.conn, outbox::id as String, over)
}

/// How much was settled so long ago.
pub fn count_over(tx: &mut Tx) -> Result<i64> {
    Ok(over(tx.now).count().get_result(tx.conn)?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn over(now: Timestamp) -> _ {
    let since: Timestamp = now - millis(KEPT);
    outbox::table.filter(outbox::settled_at.le(since))
}
