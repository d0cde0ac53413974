//! Mail waits in the database.
//!
//! A letter is posted in the transaction of what it speaks of: it leaves only if all of that commits, and
//! nothing that commits loses its letter. Its content is sealed while it waits and erased once it left.
//! A worker of any node claims mail by moving its `due_at` into the future: that is the lease, and when
//! the worker dies, the mail falls due again by itself.
//!
//! What identifies a mail (its id, hence the Message-ID, its date and its content) is fixed here, so that a
//! second copy, which a crash may cause, is the same mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use tokio::sync::Notify;

use crate::accounts::client::Client;
use crate::accounts::links::Issued;
use crate::accounts::signed_links::SignedLinks;
use crate::accounts::users;
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::{Connection, Tx, on_either};
use crate::error::{Error, Result};
use crate::keys::{KeyPurpose, Keys};
use crate::mail::letters::{self, AskedFrom, Content, Letter, Priority};
use crate::mail::notices::{self, Notice};
use crate::random;
use crate::schema::outbox;

pub mod kept;

/// Where one Doorpost posts its mail.
#[derive(Clone)]
pub struct Outbox {
    pub config: Arc<Config>,
    pub keys: Arc<Keys>,
    signed_links: SignedLinks,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    awaited: Signal,
    news: Signal,
    bulk: Signal,
    /// How much waits, announcements aside: counted by the worker, raised by every post since.
    waiting: AtomicI64,
}

/// Wakes a send slot of this node when mail was posted; those of other nodes look by themselves.
#[derive(Default)]
struct Signal {
    posted: AtomicBool,
    notify: Notify,
}

impl Signal {
    fn notify_if_posted(&self) {
        if self.posted.swap(false, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }
}

/// How long a worker may keep a mail it claimed: longer than one send can last, shorter than the minute
/// within which another node must take up a dead one's mail.
pub const LEASE: Duration = Duration::from_secs(50);

/// Where a mail stands, as the table holds it.
pub mod state {
    /// It waits, for its next try or while a worker has it.
    pub const QUEUED: &str = "queued";
    /// The server took charge of it.
    pub const SENT: &str = "sent";
    /// The server will never take it, or it is damaged.
    pub const REFUSED: &str = "refused";
    /// It came to be of no use before it could be sent.
    pub const DROPPED: &str = "dropped";
}

impl Outbox {
    /// Knows of no mail yet; what waits is in the database.
    pub fn new(config: Arc<Config>, keys: Arc<Keys>) -> Self {
        Self {
            signed_links: SignedLinks::new(config.clone(), keys.clone()),
            config,
            keys,
            shared: Arc::default(),
        }
    }

    /// Posts a letter. It leaves when the transaction has committed.
    pub fn post(&self, tx: &mut Tx, letter: &Letter) -> Result<()> {
        let content = serde_json::to_vec(&letter.content).map_err(Error::internal)?;
        let link_hash = letter.link_hash.as_ref().map(|hash| hash.as_bytes());
        let row = (
            outbox::id.eq(random::id()),
            outbox::letter.eq(letter.name),
            outbox::email.eq(&letter.to),
            outbox::state.eq(state::QUEUED),
            outbox::body.eq(self.keys.seal(KeyPurpose::Outbox, &content)?),
            outbox::link_hash.eq(link_hash),
            outbox::queued_at.eq(tx.now),
            outbox::useful_until.eq(tx.now + millis(letter.useful_for)),
            outbox::due_at.eq(tx.now),
            outbox::tries.eq(0),
            outbox::leaves_no_trace.eq(letter.leaves_no_trace),
            outbox::priority.eq(letter.priority as i32),
        );
        on_either!(tx.conn, |conn| diesel::insert_into(outbox::table)
            .values(row)
            .execute(conn))?;
        let signal = match letter.priority {
            Priority::Awaited => &self.shared.awaited,
            Priority::News => &self.shared.news,
            Priority::Bulk => &self.shared.bulk,
        };
        if letter.priority < Priority::Bulk {
            self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        }
        signal.posted.store(true, Ordering::Release);
        Ok(())
    }

    /// Posts news of an account to its owner, about what somebody does just now. Its link is signed for whoever
    /// has the address, as this transaction has left the account: one that was changed just now, too.
    pub fn tell(&self, tx: &mut Tx, to: &str, notice: Notice, client: &Client) -> Result<()> {
        let reader = match notice.page() {
            Some(page) => users::of_address(tx, to)?.zip(Some(page)),
            None => None,
        };
        let link = reader.map(|(reader, page)| self.signed_links.to_page(tx, &reader, page));
        let letter = notices::letter(&self.config, to, notice, link, tx.now, client)?;
        self.post(tx, &letter)
    }

    /// Posts the letter of a link that was issued, with the browser that asked for it, if one did.
    pub fn post_link(
        &self,
        tx: &mut Tx,
        to: &str,
        issued: &Issued,
        browser: Option<&str>,
    ) -> Result<()> {
        let asked = AskedFrom {
            at: tx.now,
            browser,
        };
        let letter = letters::link(&self.config, to, issued, &asked)?;
        self.post(tx, &letter)
    }

    /// Refuses early, the same for everyone, while as much mail waits as the configuration allows. An announcement
    /// shuts nobody out, however many get it: that is the operator's own doing, and goes last.
    pub fn check_room(&self) -> Result<()> {
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        if u64::try_from(waiting).unwrap_or(0) >= self.config.outbox.queue_max {
            return Err(Error::unavailable("the mail queue is full"));
        }
        Ok(())
    }

    /// Wakes a send slot if something was posted since one was last woken.
    pub fn notify(&self) {
        self.shared.awaited.notify_if_posted();
        self.shared.news.notify_if_posted();
        self.shared.bulk.notify_if_posted();
    }

    /// Waits until something of this priority or a higher one is posted here, or for so long.
    pub async fn wait(&self, lowest: Priority, at_most: Duration) {
        tokio::select! {
            () = self.shared.awaited.notify.notified() => {}
            () = self.shared.news.notify.notified(), if lowest >= Priority::News => {}
            () = self.shared.bulk.notify.notified(), if lowest >= Priority::Bulk => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    /// Counts what waits, announcements aside.
    pub fn count(&self, tx: &mut Tx) -> Result<()> {
        let waiting: i64 = outbox::table
            .filter(outbox::due_at.is_not_null())
            .filter(outbox::priority.lt(Priority::Bulk as i32))
            .count()
            .get_result(tx.conn)?;
        self.shared.waiting.store(waiting, Ordering::Relaxed);
        Ok(())
    }

    /// Opens the content of a mail; `None` when it was damaged or sealed under a key that is gone.
    pub fn open(&self, body: Option<&[u8]>) -> Option<Content> {
        let content = self.keys.open(KeyPurpose::Outbox, body?)?;
        serde_json::from_slice(&content).ok()
    }
}

/// A mail as it waits, or is shown.
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

impl Mail {
    /// A letter that does not wait its turn.
    pub fn unqueued(letter: &Letter, now: Timestamp) -> Self {
        Self {
            id: random::id(),
            letter: letter.name.to_owned(),
            email: letter.to.clone(),
            body: None,
            link_hash: None,
            queued_at: now,
            useful_until: now + millis(letter.useful_for),
            tries: 0,
            leaves_no_trace: letter.leaves_no_trace,
        }
    }
}

/// Takes mail that is due, the highest priority and then the oldest first, and leases it to the caller: mail of
/// one priority, and of none below `lowest`. One statement a mail: its text is the same every time, so that the
/// database has it prepared.
pub fn claim(tx: &mut Tx, at_most: i64, lowest: Priority) -> Result<Vec<Mail>> {
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
fn lease(tx: &mut Tx, due: Vec<String>) -> Result<Vec<Mail>> {
    let lease_ends = tx.now + millis(LEASE);
    let mut leased = Vec::new();
    for id in due {
        let claimed = on_either!(tx.conn, |conn| diesel::update(outbox::table.find(&id))
            .set(outbox::due_at.eq(lease_ends))
            .returning(Mail::as_returning())
            .get_result(conn));
        match claimed {
            Ok(mail) => leased.push(mail),
            Err(DieselError::DeserializationError(why)) => {
                tracing::error!(mail = id, %why, "mail set aside");
                settle(
                    tx,
                    &id,
                    state::REFUSED,
                    Some("its row cannot be read"),
                    None,
                )?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(leased)
}

/// It left: the content is erased, or the whole of it.
pub fn sent(tx: &mut Tx, mail: &Mail) -> Result<()> {
    if mail.leaves_no_trace {
        diesel::delete(unsettled(&mail.id)).execute(tx.conn)?;
        return Ok(());
    }
    settle(tx, &mail.id, state::SENT, None, None)
}

/// It will never be taken, for this reason: kept for the operator. News keep their content, so that they can
/// be tried again; a link does not outlive the refusal.
pub fn refused(tx: &mut Tx, mail: &Mail, reason: &str) -> Result<()> {
    let kept = mail.body.as_deref().filter(|_| mail.link_hash.is_none());
    settle(tx, &mail.id, state::REFUSED, Some(reason), kept)
}

/// It is of no use any more: too late, or its link is dead.
pub fn dropped(tx: &mut Tx, mail: &Mail, reason: &str) -> Result<()> {
    settle(tx, &mail.id, state::DROPPED, Some(reason), None)
}

/// In development it is shown instead of sent: the content stays, to be read at `/dev/inbox`.
pub fn shown(tx: &mut Tx, mail: &Mail) -> Result<()> {
    diesel::update(unsettled(&mail.id))
        .set((
            outbox::state.eq(state::SENT),
            outbox::due_at.eq(None::<Timestamp>),
            outbox::settled_at.eq(tx.now),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// What is said of a mail counts until it is settled. A node so slow that its lease ended, and another
/// took the mail up and sent it, says nothing any more: else a mail that left would fall due again.
#[diesel::dsl::auto_type(no_type_alias)]
fn unsettled(id: &str) -> _ {
    outbox::table.find(id).filter(outbox::due_at.is_not_null())
}

fn settle(
    tx: &mut Tx,
    id: &str,
    state: &str,
    reason: Option<&str>,
    content: Option<&[u8]>,
) -> Result<()> {
    let settled = (
        outbox::state.eq(state),
        outbox::due_at.eq(None::<Timestamp>),
        outbox::settled_at.eq(tx.now),
        outbox::reason.eq(reason),
        outbox::body.eq(content),
        outbox::link_hash.eq(None::<Vec<u8>>),
    );
    on_either!(tx.conn, |conn| diesel::update(unsettled(id))
        .set(settled)
        .execute(conn))?;
    Ok(())
}

/// It did not leave now: again after a while.
pub fn later(tx: &mut Tx, mail: &Mail, after: Duration, reason: &str) -> Result<()> {
    diesel::update(unsettled(&mail.id))
        .set((
            outbox::due_at.eq(tx.now + millis(after)),
            outbox::tries.eq(mail.tries.saturating_add(1)),
            outbox::reason.eq(Some(reason)),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// It was claimed and not tried: whoever looks next may have it.
pub fn give_back(tx: &mut Tx, mail: &Mail) -> Result<()> {
    diesel::update(unsettled(&mail.id))
        .set(outbox::due_at.eq(tx.now))
        .execute(tx.conn)?;
    Ok(())
}
