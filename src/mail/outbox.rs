//! Mail waits in the database.
//!
//! A letter is posted in the transaction of what it speaks of: it leaves only if all of that commits, and
//! nothing that commits loses its letter. Its content is sealed while it waits and erased once it left.
//! A worker of any node claims mail for a while ([`claimed`]); when the worker dies, the mail falls due again
//! by itself. That of the same node mostly has it claimed as it is posted ([`handover`]).
//!
//! What identifies a mail (its id, hence the Message-ID, its date and its content) is fixed here, so that a
//! second copy, which a crash may cause, is the same mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::accounts::client::Actor;
use crate::accounts::limits;
use crate::accounts::links::Issued;
use crate::accounts::mail_bounces;
use crate::accounts::signed_links::SignedLinks;
use crate::accounts::users;
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::{Tx, on_either};
use crate::error::{Error, Result};
use crate::keys::{KeyPurpose, Keys, Unopened};
use crate::mail::letters::{self, AskedFrom, Content, Letter, Priority};
use crate::mail::notices::{self, Happened, Notice};
use crate::random;
use crate::schema::outbox;

mod claimed;
mod handover;
pub mod kept;

pub use claimed::{
    Claimed, LEASE, all_sent, claim, dropped, forgotten, give_back, holds, later, refused, sent,
    shown,
};
pub use handover::Fresh;

use claimed::Lease;
use handover::Handover;

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
    handover: Arc<Handover>,
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

/// Where a mail stands, as the table holds it.
pub mod state {
    /// It waits, for its next try or while a worker has it.
    pub const QUEUED: &str = "queued";
    /// The server took charge of it.
    pub const SENT: &str = "sent";
    /// It was sent, and came back.
    pub const BOUNCED: &str = "bounced";
    /// The server will never take it, or it is damaged.
    pub const REFUSED: &str = "refused";
    /// It came to be of no use before it could be sent.
    pub const DROPPED: &str = "dropped";

    /// Those of which there are few, as long as all is well.
    pub const WATCHED: [&str; 3] = [QUEUED, REFUSED, DROPPED];
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
        let body = Body {
            content: &letter.content,
            account: letter.account.clone(),
        };
        let body = serde_json::to_vec(&body).map_err(Error::internal)?;
        let place = self.shared.handover.place(letter.priority);
        let lease = place.as_ref().map(|_| Lease::from(tx.now));
        let mail = Mail {
            body: Some(self.keys.seal(KeyPurpose::Outbox, &body)?),
            sealed_by: Some(self.keys.id().to_owned()),
            link_hash: letter
                .link_hash
                .as_ref()
                .map(|hash| hash.as_bytes().to_vec()),
            ..Mail::unqueued(letter, tx.now)
        };
        let row = (
            outbox::id.eq(&mail.id),
            outbox::letter.eq(&mail.letter),
            outbox::email.eq(&mail.email),
            outbox::state.eq(state::QUEUED),
            outbox::body.eq(&mail.body),
            outbox::sealed_by.eq(&mail.sealed_by),
            outbox::link_hash.eq(&mail.link_hash),
            outbox::queued_at.eq(mail.queued_at),
            outbox::useful_until.eq(mail.useful_until),
            outbox::due_at.eq(lease.as_ref().map_or(tx.now, |lease| lease.ends_at)),
            outbox::claim.eq(lease.as_ref().map(|lease| &lease.claim)),
            outbox::tries.eq(mail.tries),
            outbox::leaves_no_trace.eq(mail.leaves_no_trace),
            outbox::priority.eq(mail.priority),
        );
        on_either!(tx.conn, |conn| diesel::insert_into(outbox::table)
            .values(row)
            .execute(conn))?;
        if letter.priority < Priority::Bulk {
            self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        }
        let Some((place, lease)) = place.zip(lease) else {
            let signal = match letter.priority {
                Priority::Awaited => &self.shared.awaited,
                Priority::News => &self.shared.news,
                Priority::Bulk => &self.shared.bulk,
            };
            signal.posted.store(true, Ordering::Release);
            return Ok(());
        };
        let is_complete = letter.account.is_none() && letter.link_hash.is_some();
        let fresh = Fresh {
            content: is_complete.then(|| letter.content.clone()),
            claimed: Claimed::under(
                lease,
                Mail {
                    body: mail.body.filter(|_| !is_complete),
                    ..mail
                },
            ),
        };
        tx.after_commit(move || place.fill(fresh));
        Ok(())
    }

    /// Posts news of an account to its owner, about what somebody does just now. Its link is signed for whoever
    /// has the address, as this transaction has left the account: one that was changed just now, too. Of a kind
    /// there is one an hour, or a day, and the next one says what went untold. None goes where mail comes back.
    pub fn tell<'a>(
        &self,
        tx: &mut Tx,
        to: &str,
        notice: Notice,
        by: impl Into<Actor<'a>>,
    ) -> Result<()> {
        let untold = match notice.is_the_last() {
            true => Some(0),
            false => limits::count_news(tx, notice.name(), to, notice.gap())?,
        };
        let reader = users::of_address(tx, to)?;
        let to_page = reader.as_ref().zip(notice.page());
        let link = to_page.map(|(reader, page)| self.signed_links.to_page(tx, reader, page));
        let happened = Happened {
            at: tx.now,
            by: by.into(),
            untold: untold.unwrap_or(0),
        };
        let letter = notices::letter(&self.config, to, notice, link, &happened)?;
        let account = reader.map(|reader| reader.id);
        let letter = Letter { account, ..letter };
        let account = letter.account.as_deref().unwrap_or_default();
        let bounce = mail_bounces::of(tx, account, to)?;
        let is_wanted = untold.is_some() && !bounce.is_some_and(|it| it.holds_news_back());
        match is_wanted {
            true => self.post(tx, &letter),
            false => self.decoy(tx, |unwatched, tx| unwatched.post(tx, &letter)),
        }
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

    /// Posts what nobody is to get, and takes it back: for an address that must not be told from one that is mailed,
    /// while this table cannot be written, either. It wakes no worker and fills no queue.
    pub fn decoy(
        &self,
        tx: &mut Tx,
        post: impl FnOnce(&Self, &mut Tx<'_>) -> Result<()>,
    ) -> Result<()> {
        let unwatched = Self {
            shared: Arc::default(),
            ..self.clone()
        };
        tx.taken_back(|tx| post(&unwatched, tx))
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

    /// Waits until something of this priority or a higher one is posted here, or for so long. Whether the table is to be
    /// looked into, for it was posted there.
    pub async fn wait(&self, lowest: Priority, at_most: Duration) -> bool {
        tokio::select! {
            () = self.shared.handover.wait(lowest) => false,
            () = self.shared.awaited.notify.notified() => true,
            () = self.shared.news.notify.notified(), if lowest >= Priority::News => true,
            () = self.shared.bulk.notify.notified(), if lowest >= Priority::Bulk => true,
            () = tokio::time::sleep(at_most) => true,
        }
    }

    /// Has mail handed over to the slots of this node from here on, as far as no older mail waits.
    pub fn take_on(&self) {
        self.shared.handover.open();
    }

    /// The next mail that was handed over, of this priority or a higher one.
    pub fn take(&self, lowest: Priority) -> Option<Fresh> {
        self.shared.handover.take(lowest)
    }

    /// Whether mail of this priority or a higher one lies in the table, as far as anybody looked.
    pub fn is_behind(&self, lowest: Priority) -> bool {
        self.shared.handover.is_behind(lowest)
    }

    /// A slot asked for so much mail of this priority and above, and claimed this.
    pub fn looked(&self, lowest: Priority, at_most: i64, claimed: &[Claimed]) {
        let found = claimed.first().and_then(|first| {
            let is_more = i64::try_from(claimed.len()).is_ok_and(|claimed| claimed >= at_most);
            Some((Priority::of(first.mail.priority)?, is_more))
        });
        self.shared.handover.looked(lowest, found);
    }

    /// Has no more mail handed over, for no slot can send it; what was, to be given back.
    pub fn take_no_more(&self) -> Vec<Claimed> {
        self.shared.handover.close()
    }

    /// Whether mail may be handed over yet that was posted before.
    pub fn is_promised_mail(&self) -> bool {
        self.shared.handover.is_promised()
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

    /// Opens the content of a mail.
    pub fn open(&self, mail: &Mail) -> Result<Body<Content>, Unopened> {
        let sealed = mail.body.as_deref().ok_or(Unopened::Damaged)?;
        let sealed_by = mail.sealed_by.as_deref();
        let body = self.keys.open_by(sealed_by, KeyPurpose::Outbox, sealed)?;
        serde_json::from_slice(&body).map_err(|_| Unopened::Damaged)
    }
}

/// What is sealed of a letter while it waits. The release before this one wrote its content alone.
#[derive(Serialize, Deserialize)]
pub struct Body<C> {
    #[serde(flatten)]
    pub content: C,
    /// See [`Letter::account`].
    #[serde(default)]
    pub account: Option<String>,
}

/// A mail as it waits, or is shown.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct Mail {
    pub id: String,
    pub letter: String,
    pub email: String,
    pub body: Option<Vec<u8>>,
    /// The id of the key that sealed the body, if that is known.
    pub sealed_by: Option<String>,
    pub link_hash: Option<Vec<u8>>,
    pub queued_at: Timestamp,
    pub useful_until: Timestamp,
    pub tries: i32,
    pub leaves_no_trace: bool,
    pub priority: i32,
}

impl Mail {
    /// A letter that does not wait its turn.
    pub fn unqueued(letter: &Letter, now: Timestamp) -> Self {
        Self {
            id: random::id(),
            letter: letter.name.to_owned(),
            email: letter.to.clone(),
            body: None,
            sealed_by: None,
            link_hash: None,
            queued_at: now,
            useful_until: now + millis(letter.useful_for),
            tries: 0,
            leaves_no_trace: letter.leaves_no_trace,
            priority: letter.priority as i32,
        }
    }
}
