//! Mail that a worker has claimed, and what becomes of it.
//!
//! A claim is a lease: it moves `due_at` into the future, and leaves a value in the row that was drawn for it. Every
//! later statement names both, and one that does not find them moves nothing. For a node that is paused (by its
//! operator, its machine, its disk) does not know it: it wakes after its lease has ended, with mail in its hands that
//! another node has taken up since, and whatever it said of that mail would have it sent once more, or not at all.

use std::time::Duration;

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::result::Error as DieselError;

use super::{Mail, state};
use crate::clock::{Timestamp, millis};
use crate::db::{Connection, Tx, on_either};
use crate::error::Result;
use crate::mail::letters::Priority;
use crate::random;
use crate::schema::outbox;

/// How long a worker may keep a mail it claimed: longer than one send can last, shorter than the minute
/// within which another node must take up a dead one's mail.
pub const LEASE: Duration = Duration::from_secs(50);

/// A mail, under the lease of whoever claimed it.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub mail: Mail,
    lease: Lease,
}

/// What a claim left in the row. The drawn value alone would do, but for the release before this one, which claims
/// without: it leaves ours in the row, and moves only the end.
#[derive(Clone, Debug)]
struct Lease {
    claim: String,
    ends_at: Timestamp,
}

/// Takes mail that is due, the highest priority and then the oldest first, and leases it to the caller: mail of
/// one priority, and of none below `lowest`. One statement a mail: its text is the same every time, so that the
/// database has it prepared.
pub fn claim(tx: &mut Tx, at_most: i64, lowest: Priority) -> Result<Vec<Claimed>> {
    for priority in [Priority::Awaited, Priority::News, Priority::Bulk] {
        if priority <= lowest {
            let due = due(tx, at_most, priority)?;
            if !due.is_empty() {
                return lease(tx, due);
            }
        }
    }
    Ok(Vec::new())
}

/// On PostgreSQL rows that another node is just claiming are passed over; on SQLite there is one writer.
fn due(tx: &mut Tx, at_most: i64, priority: Priority) -> Result<Vec<String>> {
    let due = outbox::table
        .filter(outbox::priority.eq(priority as i32))
        .filter(outbox::due_at.le(tx.now))
        .order(outbox::due_at)
        .select(outbox::id)
        .limit(at_most);
    Ok(match tx.conn {
        Connection::Postgres(conn) => due.for_update().skip_locked().load(conn)?,
        Connection::Sqlite(conn) => due.load(conn)?,
    })
}

/// A row that cannot be read is set aside: at the head of the queue it would hold up all that is behind it.
fn lease(tx: &mut Tx, due: Vec<String>) -> Result<Vec<Claimed>> {
    let lease = Lease {
        claim: random::id(),
        ends_at: tx.now + millis(LEASE),
    };
    let mut leased = Vec::new();
    for id in due {
        let claimed = on_either!(tx.conn, |conn| diesel::update(outbox::table.find(&id))
            .set((
                outbox::due_at.eq(lease.ends_at),
                outbox::claim.eq(&lease.claim)
            ))
            .returning(Mail::as_returning())
            .get_result(conn));
        match claimed {
            Ok(mail) => leased.push(Claimed {
                mail,
                lease: lease.clone(),
            }),
            Err(DieselError::DeserializationError(why)) => {
                let reason = Some("its row cannot be read");
                settle(tx, &id, &lease, state::REFUSED, reason, None)?;
                tx.after_commit(move || {
                    tracing::error!(mail = id, %why, event = "mail_damaged", "mail set aside");
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(leased)
}

/// The row, as long as this lease holds.
#[diesel::dsl::auto_type(no_type_alias)]
fn under<'a>(id: &'a str, lease: &'a Lease) -> _ {
    let claim: &'a str = &lease.claim;
    let ends_at: Timestamp = lease.ends_at;
    outbox::table
        .find(id)
        .filter(outbox::claim.eq(claim))
        .filter(outbox::due_at.eq(ends_at))
}

/// Whether the lease holds, and will for so long: looked at again just before a send.
pub fn holds(tx: &mut Tx, claimed: &Claimed, for_so_long: Duration) -> Result<bool> {
    let Claimed { mail, lease } = claimed;
    if tx.now + millis(for_so_long) > lease.ends_at {
        return Ok(false);
    }
    let held = diesel::select(exists(under(&mail.id, lease)));
    Ok(on_either!(tx.conn, |conn| held.get_result(conn))?)
}

/// It left: the content is erased, or the whole of it. False, as with all that follow: the lease was lost, and
/// nothing was written.
pub fn sent(tx: &mut Tx, claimed: &Claimed) -> Result<bool> {
    let Claimed { mail, lease } = claimed;
    if mail.leaves_no_trace {
        return forgotten(tx, claimed);
    }
    settle(tx, &mail.id, lease, state::SENT, None, None)
}

/// It will never be taken, for this reason: kept for the operator. News keep their content, so that they can
/// be tried again; a link does not outlive the refusal.
pub fn refused(tx: &mut Tx, claimed: &Claimed, reason: &str) -> Result<bool> {
    let Claimed { mail, lease } = claimed;
    let kept = mail.body.as_deref().filter(|_| mail.link_hash.is_none());
    settle(tx, &mail.id, lease, state::REFUSED, Some(reason), kept)
}

/// It is of no use any more: too late, or its link is dead.
pub fn dropped(tx: &mut Tx, claimed: &Claimed, reason: &str) -> Result<bool> {
    let Claimed { mail, lease } = claimed;
    settle(tx, &mail.id, lease, state::DROPPED, Some(reason), None)
}

/// Its account is gone: so is all of it.
pub fn forgotten(tx: &mut Tx, claimed: &Claimed) -> Result<bool> {
    let Claimed { mail, lease } = claimed;
    Ok(diesel::delete(under(&mail.id, lease)).execute(tx.conn)? == 1)
}

/// In development it is shown instead of sent: the content stays, to be read at `/dev/inbox`.
pub fn shown(tx: &mut Tx, claimed: &Claimed) -> Result<bool> {
    let Claimed { mail, lease } = claimed;
    let changed = diesel::update(under(&mail.id, lease))
        .set((
            outbox::state.eq(state::SENT),
            outbox::due_at.eq(None::<Timestamp>),
            outbox::claim.eq(None::<String>),
            outbox::settled_at.eq(tx.now),
        ))
        .execute(tx.conn)?;
    Ok(changed == 1)
}

fn settle(
    tx: &mut Tx,
    id: &str,
    lease: &Lease,
    state: &str,
    reason: Option<&str>,
    content: Option<&[u8]>,
) -> Result<bool> {
    let settled = (
        outbox::state.eq(state),
        outbox::due_at.eq(None::<Timestamp>),
        outbox::claim.eq(None::<String>),
        outbox::settled_at.eq(tx.now),
        outbox::reason.eq(reason),
        outbox::body.eq(content),
        outbox::link_hash.eq(None::<Vec<u8>>),
    );
    let changed = on_either!(tx.conn, |conn| diesel::update(under(id, lease))
        .set(settled)
        .execute(conn))?;
    Ok(changed == 1)
}

/// It did not leave now: again after a while.
pub fn later(tx: &mut Tx, claimed: &Claimed, after: Duration, reason: &str) -> Result<bool> {
    let Claimed { mail, lease } = claimed;
    let changed = diesel::update(under(&mail.id, lease))
        .set((
            outbox::due_at.eq(tx.now + millis(after)),
            outbox::claim.eq(None::<String>),
            outbox::tries.eq(mail.tries.saturating_add(1)),
            outbox::reason.eq(Some(reason)),
        ))
        .execute(tx.conn)?;
    Ok(changed == 1)
}

/// It was claimed and not tried: whoever looks next may have it.
pub fn give_back(tx: &mut Tx, claimed: &Claimed) -> Result<bool> {
    let Claimed { mail, lease } = claimed;
    let changed = diesel::update(under(&mail.id, lease))
        .set((outbox::due_at.eq(tx.now), outbox::claim.eq(None::<String>)))
        .execute(tx.conn)?;
    Ok(changed == 1)
}
