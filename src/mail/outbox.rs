//! Mail waits in the database.
//!
//! A letter is posted in the transaction of what it speaks of: it leaves only if all of that commits, and
//! nothing that commits loses its letter. The words are sealed while they wait and erased once they left.
//! A worker of any node claims mail by moving its `due_at` into the future: that is the lease, and when
//! the worker dies, the mail falls due again by itself.
//!
//! What identifies a mail (its id, hence the Message-ID, its date and its words) is fixed here, so that a
//! second copy, which a crash may cause, is the same mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::accounts::sessions::Whereabouts;
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::{Connection, Tx, on_either};
use crate::error::{Error, Result};
use crate::keys::{Keys, Use};
use crate::mail::letters::Letter;
use crate::mail::notices::{self, Notice};
use crate::random;
use crate::schema::{links, outbox};

/// The post room of one Doorpost.
#[derive(Clone)]
pub struct Outbox {
    pub config: Arc<Config>,
    pub keys: Arc<Keys>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Wakes a worker of this node; those of others look by themselves.
    bell: Notify,
    posted: AtomicBool,
    /// How much waits: counted by the worker, raised by every post since.
    waiting: AtomicI64,
}

/// The words of a mail, as they are sealed.
#[derive(Serialize, Deserialize)]
pub struct Words {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// How long a worker may keep a mail it claimed: longer than one send can last, shorter than the minute
/// within which another node must take up a dead one's mail.
pub const LEASE: Duration = Duration::from_secs(50);

/// Where a mail stands, as the table holds it.
mod state {
    pub const QUEUED: &str = "queued";
    pub const SENT: &str = "sent";
    pub const REFUSED: &str = "refused";
    pub const DROPPED: &str = "dropped";
}

impl Outbox {
    /// An empty post room; what waits is in the database.
    pub fn new(config: Arc<Config>, keys: Arc<Keys>) -> Self {
        Self {
            config,
            keys,
            shared: Arc::default(),
        }
    }

    /// Posts a letter. It leaves when the transaction has committed.
    pub fn post(&self, tx: &mut Tx, letter: &Letter) -> Result<()> {
        let words = serde_json::to_vec(&letter.words).map_err(Error::internal)?;
        let link_hash = letter.link_hash.as_ref().map(|hash| hash.as_bytes());
        let row = (
            outbox::id.eq(random::id()),
            outbox::letter.eq(letter.name),
            outbox::email.eq(&letter.to),
            outbox::state.eq(state::QUEUED),
            outbox::body.eq(self.keys.seal(Use::Outbox, &words)?),
            outbox::link_hash.eq(link_hash),
            outbox::queued_at.eq(tx.now),
            outbox::useful_until.eq(tx.now + millis(letter.useful_for)),
            outbox::due_at.eq(tx.now),
            outbox::tries.eq(0),
            outbox::leaves_no_trace.eq(letter.leaves_no_trace),
        );
        on_either!(tx.conn, |conn| diesel::insert_into(outbox::table)
            .values(row)
            .execute(conn))?;
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.shared.posted.store(true, Ordering::Release);
        Ok(())
    }

    /// Posts news of an account to its owner, about what somebody does just now.
    pub fn tell(&self, tx: &mut Tx, to: &str, notice: Notice, at: &Whereabouts) -> Result<()> {
        let letter = notices::letter(&self.config, to, notice, tx.now, at)?;
        self.post(tx, &letter)
    }

    /// Refuses early, the same for everyone, while more mail waits than this house wants to hold.
    pub fn check_room(&self) -> Result<()> {
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        if u64::try_from(waiting).unwrap_or(0) >= self.config.mail_queue_max {
            return Err(Error::unavailable("the mail queue is full"));
        }
        Ok(())
    }

    /// Wakes the worker if something was posted since it was last woken.
    pub fn ring(&self) {
        if self.shared.posted.swap(false, Ordering::AcqRel) {
            self.shared.bell.notify_one();
        }
    }

    /// Waits until something is posted here, or for so long.
    pub async fn wait(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.shared.bell.notified()).await;
    }

    /// Counts what waits.
    pub fn count(&self, tx: &mut Tx) -> Result<()> {
        let waiting: i64 = outbox::table
            .filter(outbox::due_at.is_not_null())
            .count()
            .get_result(tx.conn)?;
        self.shared.waiting.store(waiting, Ordering::Relaxed);
        Ok(())
    }

    /// Opens the words of a mail; `None` when they were damaged or sealed under a key that is gone.
    pub fn open(&self, body: Option<&[u8]>) -> Option<Words> {
        let words = self.keys.open(Use::Outbox, body?)?;
        serde_json::from_slice(&words).ok()
    }
}

/// A mail as it waits.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct Mail {
    pub id: String,
    pub letter: String,
    pub email: String,
    pub body: Option<Vec<u8>>,
    pub link_hash: Option<Vec<u8>>,
    pub queued_at: Timestamp,
    pub useful_until: Timestamp,
    pub tries: i32,
    pub leaves_no_trace: bool,
}

/// Takes mail that is due, oldest first, and leases it to the caller. One statement a mail: its text is the
/// same every time, so that the database has it prepared.
pub fn claim(tx: &mut Tx, at_most: i64) -> Result<Vec<Mail>> {
    let lease_ends = tx.now + millis(LEASE);
    due(tx, at_most)?
        .iter()
        .map(|id| {
            Ok(on_either!(tx.conn, |conn| diesel::update(
                outbox::table.find(id)
            )
            .set(outbox::due_at.eq(lease_ends))
            .returning(Mail::as_returning())
            .get_result(conn))?)
        })
        .collect()
}

/// On PostgreSQL rows that another node is just claiming are passed over; on SQLite there is one writer.
fn due(tx: &mut Tx, at_most: i64) -> Result<Vec<String>> {
    let due = outbox::table
        .filter(outbox::due_at.le(tx.now))
        .order(outbox::due_at)
        .select(outbox::id)
        .limit(at_most);
    Ok(match tx.conn {
        Connection::Postgres(conn) => due.for_update().skip_locked().load(conn)?,
        Connection::Sqlite(conn) => due.load(conn)?,
    })
}

/// It left: the words are erased, or the whole of it.
pub fn sent(tx: &mut Tx, mail: &Mail) -> Result<()> {
    if mail.leaves_no_trace {
        diesel::delete(unsettled(&mail.id)).execute(tx.conn)?;
        return Ok(());
    }
    settle(tx, &mail.id, state::SENT, None)
}

/// Takes back all mail to this address, waiting or sent, and all whose link leads to this account: what is
/// deleted is not written to any more.
pub fn forget_account(tx: &mut Tx, user_id: &str, email: &str) -> Result<()> {
    let its_links = links::table
        .filter(links::user_id.eq(user_id))
        .select(links::token_hash.nullable());
    let mail = outbox::email
        .eq(email)
        .nullable()
        .or(outbox::link_hash.eq_any(its_links));
    diesel::delete(outbox::table.filter(mail)).execute(tx.conn)?;
    Ok(())
}

/// It will never be taken, for this reason: kept for the operator, without its link.
pub fn refused(tx: &mut Tx, id: &str, reason: &str) -> Result<()> {
    settle(tx, id, state::REFUSED, Some(reason))
}

/// It is of no use any more: too late, or its link is dead.
pub fn dropped(tx: &mut Tx, id: &str, reason: &str) -> Result<()> {
    settle(tx, id, state::DROPPED, Some(reason))
}

/// What is said of a mail counts until it is settled. A node so slow that its lease ended, and another
/// took the mail up and sent it, says nothing any more: else a mail that left would fall due again.
#[diesel::dsl::auto_type(no_type_alias)]
fn unsettled(id: &str) -> _ {
    outbox::table.find(id).filter(outbox::due_at.is_not_null())
}

fn settle(tx: &mut Tx, id: &str, state: &str, reason: Option<&str>) -> Result<()> {
    let settled = (
        outbox::state.eq(state),
        outbox::due_at.eq(None::<Timestamp>),
        outbox::settled_at.eq(tx.now),
        outbox::reason.eq(reason),
        outbox::body.eq(None::<Vec<u8>>),
        outbox::link_hash.eq(None::<Vec<u8>>),
    );
    on_either!(tx.conn, |conn| diesel::update(unsettled(id))
        .set(settled)
        .execute(conn))?;
    Ok(())
}

/// A mail as it is kept, without its words.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct KeptMail {
    pub letter: String,
    pub state: String,
    pub queued_at: Timestamp,
    pub settled_at: Option<Timestamp>,
}

/// All mail to this address that is kept, the newest first.
pub fn kept_for(tx: &mut Tx, email: &str) -> Result<Vec<KeptMail>> {
    Ok(outbox::table
        .filter(outbox::email.eq(email))
        .order(outbox::queued_at.desc())
        .select(KeptMail::as_select())
        .load(tx.conn)?)
}

/// In development it is shown instead of sent: the words stay, to be read at `/dev/inbox`.
pub fn shown(tx: &mut Tx, id: &str) -> Result<()> {
    diesel::update(unsettled(id))
        .set((
            outbox::state.eq(state::SENT),
            outbox::due_at.eq(None::<Timestamp>),
            outbox::settled_at.eq(tx.now),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// It did not leave now: again after a while. Trouble that is not the mail's own costs it no try.
pub fn later(
    tx: &mut Tx,
    id: &str,
    after: Duration,
    costs_a_try: bool,
    reason: &str,
) -> Result<()> {
    diesel::update(unsettled(id))
        .set((
            outbox::due_at.eq(tx.now + millis(after)),
            outbox::tries.eq(outbox::tries + i32::from(costs_a_try)),
            outbox::reason.eq(Some(reason)),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// A mail as `/dev/inbox` lists it.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct InboxMail {
    pub id: String,
    pub email: String,
    pub body: Option<Vec<u8>>,
    pub queued_at: Timestamp,
}

/// The newest mail that left, as far as its words are still there.
pub fn inbox(tx: &mut Tx, at_most: i64) -> Result<Vec<InboxMail>> {
    Ok(outbox::table
        .filter(outbox::state.eq(state::SENT))
        .filter(outbox::body.is_not_null())
        .order((outbox::queued_at.desc(), outbox::id))
        .select(InboxMail::as_select())
        .limit(at_most)
        .load(tx.conn)?)
}

/// One mail of the inbox.
pub fn inbox_mail(tx: &mut Tx, id: &str) -> Result<Option<InboxMail>> {
    Ok(outbox::table
        .find(id)
        .filter(outbox::state.eq(state::SENT))
        .filter(outbox::body.is_not_null())
        .select(InboxMail::as_select())
        .first(tx.conn)
        .optional()?)
}

/// How long what left, or was refused, stays on the list.
const KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Forgets a batch of mail that was settled long ago.
pub fn purge(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over: Vec<String> = outbox::table
        .filter(outbox::settled_at.le(tx.now - millis(KEPT)))
        .select(outbox::id)
        .limit(at_most)
        .load(tx.conn)?;
    let gone = outbox::table.filter(outbox::id.eq_any(over));
    Ok(diesel::delete(gone).execute(tx.conn)?)
}
