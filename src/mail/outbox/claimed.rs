//! Mail that a worker has claimed, and what becomes of it.
//!
//! A claim is a lease: it moves `due_at` into the future, and leaves a value in the row that was drawn for it. Every
//! later statement names both, and one that does not find them moves nothing. For a node that is paused (by its
//! operator, its machine, its disk) does not know it: it wakes after its lease has ended, with mail in its hands that
//! another node has taken up since, and whatever it said of that mail would have it sent once more, or not at all.

use std::time::Duration;

use diesel::alias;
use diesel::backend::Backend;
use diesel::connection::DefaultLoadingMode;
use diesel::dsl::{self, exists};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error as DieselError;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Text};

use super::{Mail, state};
use crate::clock::{Timestamp, millis};
use crate::db::{Connection, Tx, on_either, prepared};
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
pub(super) struct Lease {
    pub claim: String,
    pub ends_at: Timestamp,
}

impl Lease {
    /// One that begins at this moment.
    pub fn from(now: Timestamp) -> Self {
        Self {
            claim: random::id(),
            ends_at: now + millis(LEASE),
        }
    }
}

impl Claimed {
    /// A mail whose row says so.
    pub(super) fn under(lease: Lease, mail: Mail) -> Self {
        Self { mail, lease }
    }
}

/// Takes mail that is due, the highest priority and then the oldest first, and leases it to the caller: mail of
/// one priority, and of none below `lowest`.
pub fn claim(tx: &mut Tx, at_most: i64, lowest: Priority) -> Result<Vec<Claimed>> {
    let lease = Lease::from(tx.now);
    for priority in Priority::ALL {
        if priority <= lowest {
            let claimed = lease_due(tx, at_most, priority, &lease)?;
            if !claimed.is_empty() {
                return Ok(claimed);
            }
        }
    }
    Ok(Vec::new())
}

/// Leases what is due of one priority. On PostgreSQL rows that another node is just claiming are passed over, and what
/// is due is looked for once (as an array), lest a plan look for it anew at each row and lease more than is asked for; on
/// SQLite there is one writer.
///
/// A row that cannot be read is set aside: at the head of the queue it would hold up all that is behind it.
fn lease_due(tx: &mut Tx, at_most: i64, priority: Priority, lease: &Lease) -> Result<Vec<Claimed>> {
    let waiting = alias!(outbox as waiting);
    let due = waiting
        .filter(waiting.field(outbox::priority).eq(priority as i32))
        .filter(waiting.field(outbox::due_at).le(tx.now))
        .order(waiting.field(outbox::due_at))
        .select(waiting.field(outbox::id))
        .limit(at_most);
    let leased = (
        outbox::due_at.eq(lease.ends_at),
        outbox::claim.eq(&lease.claim),
    );
    let rows: Vec<QueryResult<Mail>> = match tx.conn {
        Connection::Postgres(conn) => {
            let due = dsl::array(due.for_update().skip_locked());
            prepared(
                diesel::update(outbox::table)
                    .filter(outbox::id.eq_any(due))
                    .set(leased)
                    .returning(Mail::as_returning()),
            )
            .load_iter::<Mail, DefaultLoadingMode>(conn)?
            .collect()
        }
        Connection::Sqlite(conn) => prepared(
            diesel::update(outbox::table)
                .filter(outbox::id.eq_any(due))
                .set(leased)
                .returning(Mail::as_returning()),
        )
        .load_iter::<Mail, DefaultLoadingMode>(conn)?
        .collect(),
    };
    let mut claimed = Vec::new();
    let mut damaged = None;
    for row in rows {
        match row {
            Ok(mail) => claimed.push(Claimed::under(lease.clone(), mail)),
            Err(DieselError::DeserializationError(why)) => damaged = Some(why),
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(why) = damaged {
        set_aside(tx, priority, lease, &claimed, &why.to_string())?;
    }
    claimed.sort_by_key(|claimed| claimed.mail.queued_at);
    Ok(claimed)
}

/// Of what was just leased, sets aside all but what could be read.
fn set_aside(
    tx: &mut Tx,
    priority: Priority,
    lease: &Lease,
    read: &[Claimed],
    why: &str,
) -> Result<()> {
    let leased: Vec<String> = outbox::table
        .filter(outbox::priority.eq(priority as i32))
        .filter(outbox::due_at.eq(lease.ends_at))
        .filter(outbox::claim.eq(&lease.claim))
        .select(outbox::id)
        .load(tx.conn)?;
    for id in leased {
        if read.iter().any(|claimed| claimed.mail.id == id) {
            continue;
        }
        let reason = Some("its row cannot be read");
        settle(tx, &id, lease, state::REFUSED, reason, None)?;
        let why = why.to_owned();
        tx.after_commit(move || {
            tracing::error!(mail = id, why, event = "mail_damaged", "mail set aside");
        });
    }
    Ok(())
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

/// These left, and what of them is kept stays: their content is erased, by one statement. The ids of those whose lease was
/// not lost.
pub fn all_sent(tx: &mut Tx, claimed: &[&Claimed]) -> Result<Vec<String>> {
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    let each = EachSent {
        claimed,
        now: tx.now,
    };
    Ok(on_either!(tx.conn, |conn| prepared(each).load(conn))?)
}

/// diesel has no statement for rows that are named by several columns each, and whose number varies.
#[derive(Clone, Copy)]
struct EachSent<'a> {
    claimed: &'a [&'a Claimed],
    now: Timestamp,
}

impl Query for EachSent<'_> {
    type SqlType = Text;
}

impl QueryId for EachSent<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<DB> QueryFragment<DB> for EachSent<'_>
where
    DB: Backend,
    str: ToSql<Text, DB>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("UPDATE outbox SET state = ");
        out.push_bind_param::<Text, str>(state::SENT)?;
        out.push_sql(", settled_at = ");
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(
            ", due_at = NULL, claim = NULL, reason = NULL, body = NULL, link_hash = NULL WHERE ",
        );
        for (index, Claimed { mail, lease }) in self.claimed.iter().enumerate() {
            out.push_sql(if index == 0 { "(id = " } else { " OR (id = " });
            out.push_bind_param::<Text, str>(&mail.id)?;
            out.push_sql(" AND claim = ");
            out.push_bind_param::<Text, str>(&lease.claim)?;
            out.push_sql(" AND due_at = ");
            out.push_bind_param::<BigInt, _>(&lease.ends_at)?;
            out.push_sql(")");
        }
        out.push_sql(" RETURNING id");
        Ok(())
    }
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
    let settle = prepared(diesel::update(under(id, lease)).set(settled));
    let changed = on_either!(tx.conn, |conn| settle.execute(conn))?;
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
