//! One send slot: it claims mail, sends it and settles it until it is told to stop.
//!
//! A slot takes what is handed over to it, and every second, or when there is known to be some, claims a few mails of
//! those that wait in the table. It sends them one by one over the connection it keeps. What it does next hangs on what
//! its last round came to ([`Round`]).

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::{Outcome, Settled};
use super::settling::Settling;
use super::stopping::Stopping;
use crate::accounts::{links, users};
use crate::app::App;
use crate::clock::millis;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::keys::Unopened;
use crate::mail::backoff::Backoff;
use crate::mail::bounce_address;
use crate::mail::circuit_breaker::CircuitBreaker;
use crate::mail::letters::{Content, Priority};
use crate::mail::message::compose;
use crate::mail::outbox::{self, Body, Claimed, Fresh, LEASE, Mail};
use crate::mail::smtp::{Blames, Envelope, LONGEST_SEND, Refusal, Slot, Smtp};

/// How often a slot looks into the table, for mail that other nodes posted or that fell due.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Mails that a slot claims at once: few, so that a dead node holds few.
const CLAIM: i64 = 8;

/// A letter that takes longer keeps nobody else waiting: what its slot claimed with it, and what is handed over
/// meanwhile, goes to others.
const SLOW_SEND: Duration = Duration::from_secs(2);

/// So soon after it was posted, mail that was handed over is as it was then, as far as mail ever is that was just looked
/// at.
const FRESH: Duration = Duration::from_secs(1);

/// One send slot.
pub(super) struct Sender {
    app: App,
    /// `None` where mail is shown instead of sent.
    slot: Option<Slot>,
    lowest: Priority,
    settling: Arc<Settling>,
    stopping: Stopping,
    backoff: Backoff,
    /// When it looks into the table next.
    looks_at: Instant,
}

/// Mail that a slot has taken on.
struct Taken {
    claimed: Claimed,
    /// What it says, if that is at hand.
    content: Option<Content>,
}

impl From<Claimed> for Taken {
    fn from(claimed: Claimed) -> Self {
        Self {
            claimed,
            content: None,
        }
    }
}

impl From<Fresh> for Taken {
    fn from(fresh: Fresh) -> Self {
        Self {
            claimed: fresh.claimed,
            content: fresh.content,
        }
    }
}

/// What one round came to.
enum Round {
    /// Mail was sent, or the server answered a probe: there may be more.
    Progressed,
    /// Nothing is due.
    NothingDue,
    /// There is no way to the server, and it is for another slot, or another time, to probe.
    BreakerOpen,
    /// The database did not answer, or the server has no connection left for this slot.
    Failed,
}

impl Sender {
    /// A slot for mail of this priority and above.
    pub(super) fn new(
        app: App,
        smtp: Option<&Smtp>,
        lowest: Priority,
        settling: Arc<Settling>,
        stopping: Stopping,
    ) -> Self {
        Self {
            slot: smtp.map(|smtp| smtp.slot(&app.clock)),
            app,
            lowest,
            settling,
            stopping,
            backoff: Backoff::default(),
            looks_at: Instant::now(),
        }
    }

    /// Goes on until told to stop.
    pub(super) async fn run(mut self) {
        while !self.stopping.is_told() {
            self.app.mail_health.go_round();
            match self.round().await {
                Round::Progressed => self.backoff = Backoff::default(),
                Round::NothingDue => {
                    let outbox = self.app.outbox.clone();
                    let pause = self.looks_at.saturating_duration_since(Instant::now());
                    if self.rest(outbox.wait(self.lowest, pause)).await == Some(true) {
                        self.looks_at = Instant::now();
                    }
                }
                Round::BreakerOpen => {
                    self.rest(tokio::time::sleep(LOOK)).await;
                }
                Round::Failed => {
                    let pause = self.backoff.longer();
                    self.rest(tokio::time::sleep(pause)).await;
                }
            }
        }
        give_back(&self.app, self.app.outbox.take_no_more()).await;
        if let Some(slot) = &mut self.slot {
            slot.close().await;
        }
    }

    /// `None`: told to stop meanwhile.
    async fn rest<T>(&mut self, rest: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            rested = rest => Some(rested),
            _ = self.stopping.told() => None,
        }
    }

    async fn round(&mut self) -> Round {
        if let Some(slot) = &mut self.slot {
            slot.let_go().await;
            if !self.breaker().is_closed() {
                give_back(&self.app, self.app.outbox.take_no_more()).await;
                return self.probe().await;
            }
        }
        self.app.outbox.take_on();
        if Instant::now() >= self.looks_at
            && let Some(round) = self.deliver_due().await
        {
            return round;
        }
        match self.app.outbox.take(self.lowest) {
            Some(fresh) => self.deliver([fresh]).await,
            // There was no room for all of it, and nobody is told of each letter that waits in the table.
            None if self.app.outbox.is_behind(self.lowest) => {
                self.deliver_due().await.unwrap_or(Round::NothingDue)
            }
            None => Round::NothingDue,
        }
    }

    /// Sends what is due in the table; `None`, if nothing is.
    async fn deliver_due(&mut self) -> Option<Round> {
        match self.claim().await {
            Ok(claimed) if claimed.is_empty() => {
                self.looks_at = Instant::now() + LOOK;
                None
            }
            Ok(claimed) => Some(self.deliver(claimed).await),
            Err(error) => Some(database_failed(&error)),
        }
    }

    async fn claim(&self) -> Result<Vec<Claimed>> {
        let (app, lowest) = (&self.app, self.lowest);
        let claiming = app.transaction(move |tx| outbox::claim(tx, CLAIM, lowest));
        let claimed = claiming.await?;
        app.outbox.looked(lowest, CLAIM, &claimed);
        Ok(claimed)
    }

    fn breaker(&self) -> &CircuitBreaker {
        &self.app.mail_health.breaker
    }

    async fn probe(&mut self) -> Round {
        let breaker = &self.app.mail_health.breaker;
        let Some(slot) = self.slot.as_mut().filter(|_| breaker.may_probe()) else {
            return Round::BreakerOpen;
        };
        let from = bounce_address::probing_sender(&self.app.config);
        let probed = tokio::select! {
            probed = slot.probe(&from) => probed,
            _ = self.stopping.told() => return Round::BreakerOpen,
        };
        match probed {
            Ok(()) => {
                breaker.close();
                Round::Progressed
            }
            Err(failure) if slot.is_not_alone() => {
                breaker.close();
                breaker.miss(&failure.to_string());
                Round::Failed
            }
            Err(failure) => {
                breaker.stay_open(&failure.to_string());
                Round::BreakerOpen
            }
        }
    }

    /// Sends mail one by one; gives back what it did not get to.
    async fn deliver(&mut self, mail: impl IntoIterator<Item: Into<Taken>>) -> Round {
        let lease_ends = Instant::now() + LEASE - LONGEST_SEND;
        let app = self.app.clone();
        let mut waiting = mail.into_iter().map(Into::<Taken>::into);
        let mut round = Round::Progressed;
        while matches!(round, Round::Progressed)
            && !self.stopping.is_told()
            && Instant::now() < lease_ends
            && let Some(mail) = waiting.next()
        {
            let mut sending = pin!(self.deliver_one(mail));
            round = match tokio::time::timeout(SLOW_SEND, &mut sending).await {
                Ok(round) => round,
                Err(_) => {
                    let claimed_with_it = waiting.by_ref().map(|taken| taken.claimed);
                    give_back(&app, claimed_with_it).await;
                    give_back(&app, app.outbox.take_no_more()).await;
                    sending.await
                }
            };
        }
        give_back(&app, waiting.map(|taken| taken.claimed)).await;
        round
    }

    async fn deliver_one(&mut self, Taken { claimed, content }: Taken) -> Round {
        let since_posted = self.app.clock.now() - claimed.mail.queued_at;
        let is_fresh = (0..millis(FRESH)).contains(&since_posted);
        let looked = match content {
            Some(content) if is_fresh => Ok(Ok(content)),
            content => look_again(&self.app, &claimed, content).await,
        };
        let outcome = match looked {
            Ok(Ok(content)) => self.send(&claimed.mail, content).await,
            Ok(Err(why_not)) => why_not,
            Err(error) => return database_failed(&error),
        };
        self.settle(claimed, outcome).await
    }

    /// Sends over the slot's connection, in a task of its own: a panic in there is a failed try.
    async fn send(&mut self, mail: &Mail, content: Content) -> Outcome {
        let Some(mut slot) = self.slot.take() else {
            return Outcome::Sent;
        };
        let fresh = slot.fresh();
        let (config, mail) = (Arc::clone(&self.app.config), mail.clone());
        let from = bounce_address::sender(&config, &self.app.keys, &mail.id);
        // In a box, for an SMTP conversation weighs 12 KiB, and tokio moves what it spawns a dozen times.
        let sending = tokio::spawn(Box::pin(async move {
            let outcome = match compose(&config, &mail, &content) {
                Ok(message) => {
                    let envelope = Envelope {
                        from: &from,
                        to: &mail.email,
                        id: &mail.id,
                    };
                    Outcome::of(slot.send(envelope, &message).await)
                }
                Err(error) => Outcome::Damaged(error.to_string()),
            };
            (slot, outcome)
        }));
        let (slot, outcome) = sending.await.unwrap_or_else(|panic| {
            let refusal = Refusal {
                words: format!("the send ended early: {panic}"),
                blames: Blames::Nobody,
            };
            (fresh, Outcome::Deferred(refusal))
        });
        self.slot = Some(slot);
        outcome
    }

    /// Writes down what became of a mail, tells it, and learns from it.
    async fn settle(&self, claimed: Claimed, outcome: Outcome) -> Round {
        let settled: Settled = Arc::new((claimed, outcome));
        let is_written = self.write_down(&settled).await;
        let (Claimed { mail, .. }, outcome) = &*settled;
        match is_written {
            Ok(true) => {
                outcome.count(mail, self.app.clock.now());
                outcome.tell(mail);
            }
            Ok(false) => tracing::warn!(
                mail = mail.id,
                event = "mail_lease_lost",
                "another node has taken this mail up"
            ),
            Err(error) => return database_failed(&error),
        }
        self.learn(mail, outcome)
    }

    /// What left must be written down, or it leaves again: a database that is away is waited for.
    async fn write_down(&self, settled: &Settled) -> Result<bool> {
        let is_shown = self.slot.is_none();
        let mut backoff = Backoff::default();
        loop {
            let done = self.settling.write_down(&self.app, settled, is_shown);
            match (done.await, &**settled) {
                (Err(Error::Unavailable(what)), (Claimed { mail, .. }, Outcome::Sent)) => {
                    let mail = &*mail.id;
                    tracing::warn!(
                        what,
                        mail,
                        event = "mail_unsettled",
                        "a mail that left is not written down yet"
                    );
                    tokio::time::sleep(backoff.longer()).await;
                }
                (done, _) => return done,
            }
        }
    }

    /// What an outcome says of the way to the server.
    fn learn(&self, mail: &Mail, outcome: &Outcome) -> Round {
        let health = &self.app.mail_health;
        match outcome {
            Outcome::Sent => {
                health.breaker.succeed();
                health.refusals.disprove();
                health.refusals.forget(mail);
            }
            Outcome::Refused(refusal) => {
                health.breaker.succeed();
                health.refusals.note(mail, refusal);
            }
            Outcome::Deferred(refusal) => health.refusals.note(mail, refusal),
            Outcome::KeyMissing(what) => health.note_missing_key(what),
            Outcome::Unreachable(what) => {
                if self.slot.as_ref().is_some_and(Slot::is_not_alone) {
                    health.breaker.miss(what);
                    return Round::Failed;
                }
                health.breaker.open(what);
                return Round::BreakerOpen;
            }
            Outcome::Dropped(_) | Outcome::Forgotten | Outcome::Damaged(_) => {
                health.refusals.forget(mail);
            }
            Outcome::LeaseOver => {}
        }
        Round::Progressed
    }
}

/// For the operator, who is the one that can give this node the key.
fn key_missing(mail: &Mail) -> String {
    match &mail.sealed_by {
        Some(id) => format!("sealed by key {id}, which is not among this node's"),
        None => "sealed by a key that is not among this node's".to_owned(),
    }
}

fn database_failed(error: &Error) -> Round {
    tracing::warn!(%error, event = "mail_database_away", "mail has to wait");
    Round::Failed
}

pub(super) async fn give_back(app: &App, claimed: impl IntoIterator<Item = Claimed>) {
    for claimed in claimed {
        let id = claimed.mail.id.clone();
        let given = app.transaction(move |tx| outbox::give_back(tx, &claimed));
        if let Err(error) = given.await {
            tracing::warn!(%error, mail = id, event = "mail_lease_kept", "not given back; its lease will end");
        }
    }
}

/// What a mail says, just before it is sent, or why it is not to be.
async fn look_again(
    app: &App,
    claimed: &Claimed,
    content: Option<Content>,
) -> Result<Result<Content, Outcome>> {
    let (claimed, outbox) = (claimed.clone(), app.outbox.clone());
    app.read(move |tx| {
        // The node may have been paused since it claimed it.
        if !outbox::holds(tx, &claimed, LONGEST_SEND)? {
            return Ok(Err(Outcome::LeaseOver));
        }
        let mail = &claimed.mail;
        let body = match content {
            Some(content) => Ok(Body {
                content,
                account: None,
            }),
            None => outbox.open(mail),
        };
        if let Some(why) = why_useless(tx, mail, body.as_ref().err())? {
            return Ok(Err(Outcome::Dropped(why)));
        }
        let body = match body {
            Ok(body) => body,
            Err(Unopened::UnknownKey) => return Ok(Err(Outcome::KeyMissing(key_missing(mail)))),
            Err(Unopened::Damaged) => {
                return Ok(Err(Outcome::Damaged("its content is damaged".into())));
            }
        };
        // It may have been posted by a transaction that did not see its account go.
        match body.account {
            Some(account) if users::find(tx, &account)?.is_none() => Ok(Err(Outcome::Forgotten)),
            _ => Ok(Ok(body.content)),
        }
    })
    .await
}

/// A letter whose link is dead, or which would arrive too late, is worse than none. If it was a key that kept it from
/// leaving in time, that is told, for it keeps the next one, too.
fn why_useless(tx: &mut Tx, mail: &Mail, unopened: Option<&Unopened>) -> Result<Option<String>> {
    if tx.now >= mail.useful_until {
        let why = match unopened {
            Some(Unopened::UnknownKey) => &format!(": {}", key_missing(mail)),
            _ => "",
        };
        return Ok(Some(format!("too late to be of use{why}")));
    }
    match &mail.link_hash {
        Some(link) if !links::is_live(tx, link)? => Ok(Some("its link is dead".into())),
        _ => Ok(None),
    }
}
