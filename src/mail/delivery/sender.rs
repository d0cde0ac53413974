//! One send slot: it claims mail, sends it and settles it until it is told to stop.
//!
//! A slot claims a few mails at once and sends them one by one over the connection it keeps. What it does next
//! hangs on what its last look at the outbox came to ([`Round`]).

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::Outcome;
use super::{LOOK, Stopping};
use crate::accounts::links;
use crate::app::App;
use crate::error::{Error, Result};
use crate::mail::backoff::Backoff;
use crate::mail::circuit_breaker::CircuitBreaker;
use crate::mail::letters::Priority;
use crate::mail::message::compose;
use crate::mail::outbox::{self, Claimed, LEASE, Mail};
use crate::mail::smtp::{LONGEST_SEND, Slot, Smtp};

/// Mails that a slot claims at once: few, so that a dead node holds few.
const CLAIM: i64 = 8;

/// A letter that takes longer keeps nobody else waiting: what its slot claimed with it goes to others.
const SLOW_SEND: Duration = Duration::from_secs(2);

/// One send slot.
pub(super) struct Sender {
    app: App,
    /// `None` where mail is shown instead of sent.
    slot: Option<Slot>,
    lowest: Priority,
    stopping: Stopping,
    backoff: Backoff,
}

/// What one look at the outbox came to.
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
    pub(super) fn new(app: App, smtp: Option<&Smtp>, lowest: Priority, stopping: Stopping) -> Self {
        Self {
            app,
            slot: smtp.map(Smtp::slot),
            lowest,
            stopping,
            backoff: Backoff::default(),
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
                    self.rest(outbox.wait(self.lowest, LOOK)).await;
                }
                Round::BreakerOpen => self.rest(tokio::time::sleep(LOOK)).await,
                Round::Failed => {
                    let pause = self.backoff.longer();
                    self.rest(tokio::time::sleep(pause)).await;
                }
            }
        }
        if let Some(slot) = &mut self.slot {
            slot.close().await;
        }
    }

    async fn rest(&mut self, rest: impl Future<Output = ()>) {
        tokio::select! {
            () = rest => {}
            _ = self.stopping.told() => {}
        }
    }

    async fn round(&mut self) -> Round {
        if self.slot.is_some() && !self.breaker().is_closed() {
            return self.probe().await;
        }
        let lowest = self.lowest;
        let claimed = self
            .app
            .transaction(move |tx| outbox::claim(tx, CLAIM, lowest));
        match claimed.await {
            Ok(claimed) if claimed.is_empty() => Round::NothingDue,
            Ok(claimed) => self.deliver(claimed).await,
            Err(error) => database_failed(&error),
        }
    }

    fn breaker(&self) -> &CircuitBreaker {
        &self.app.mail_health.breaker
    }

    async fn probe(&mut self) -> Round {
        let breaker = &self.app.mail_health.breaker;
        let Some(slot) = self.slot.as_mut().filter(|_| breaker.may_probe()) else {
            return Round::BreakerOpen;
        };
        let probed = tokio::select! {
            probed = slot.probe(self.app.config.mail.from.email.as_ref()) => probed,
            _ = self.stopping.told() => return Round::BreakerOpen,
        };
        match probed {
            Ok(()) => {
                breaker.close();
                Round::Progressed
            }
            Err(failure) if slot.is_not_alone() => {
                breaker.close();
                connection_refused(&failure.to_string())
            }
            Err(failure) => {
                breaker.stay_open(&failure.to_string());
                Round::BreakerOpen
            }
        }
    }

    /// Sends the claimed mail one by one; gives back what it did not get to.
    async fn deliver(&mut self, claimed: Vec<Claimed>) -> Round {
        let lease_ends = Instant::now() + LEASE - LONGEST_SEND;
        let app = self.app.clone();
        let mut waiting = claimed.into_iter();
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
                    give_back(&app, waiting.by_ref()).await;
                    sending.await
                }
            };
        }
        give_back(&app, waiting).await;
        round
    }

    async fn deliver_one(&mut self, claimed: Claimed) -> Round {
        let outcome = match why_not(&self.app, &claimed).await {
            Ok(None) => self.send(&claimed.mail).await,
            Ok(Some(why_not)) => why_not,
            Err(error) => return database_failed(&error),
        };
        self.settle(claimed, outcome).await
    }

    /// Sends over the slot's connection, in a task of its own: a panic in there is a failed try.
    async fn send(&mut self, mail: &Mail) -> Outcome {
        let Some(content) = self.app.outbox.open(mail.body.as_deref()) else {
            return Outcome::Damaged("its words cannot be opened".into());
        };
        let Some(mut slot) = self.slot.take() else {
            return Outcome::Sent;
        };
        let fresh = slot.fresh();
        let (config, mail) = (Arc::clone(&self.app.config), mail.clone());
        let sending = tokio::spawn(async move {
            let outcome = match compose(&config, &mail, &content) {
                Ok(message) => {
                    let from = config.mail.from.email.to_string();
                    Outcome::of(slot.send(&from, &mail.email, &message).await)
                }
                Err(error) => Outcome::Damaged(error.to_string()),
            };
            (slot, outcome)
        });
        let (slot, outcome) = sending.await.unwrap_or_else(|panic| {
            let what = format!("the send ended early: {panic}");
            (fresh, Outcome::Deferred(what))
        });
        self.slot = Some(slot);
        outcome
    }

    /// Writes down what became of a mail, tells it, and learns from it.
    async fn settle(&self, claimed: Claimed, outcome: Outcome) -> Round {
        let settled = Arc::new((claimed, outcome));
        let is_written = self.write_down(&settled).await;
        let (Claimed { mail, .. }, outcome) = &*settled;
        match is_written {
            Ok(true) => outcome.tell(mail),
            Ok(false) => tracing::warn!(mail = mail.id, "another node has taken this mail up"),
            Err(error) => return database_failed(&error),
        }
        self.learn(outcome)
    }

    /// What left must be written down, or it leaves again: a database that is away is waited for.
    async fn write_down(&self, settled: &Arc<(Claimed, Outcome)>) -> Result<bool> {
        let is_shown = self.slot.is_none();
        let mut backoff = Backoff::default();
        loop {
            let written = Arc::clone(settled);
            let done = self.app.transaction(move |tx| {
                let (claimed, outcome) = &*written;
                outcome.settle(tx, claimed, is_shown)
            });
            match (done.await, &**settled) {
                (Err(Error::Unavailable(what)), (Claimed { mail, .. }, Outcome::Sent)) => {
                    let mail = &*mail.id;
                    tracing::warn!(what, mail, "a mail that left is not written down yet");
                    tokio::time::sleep(backoff.longer()).await;
                }
                (done, _) => return done,
            }
        }
    }

    /// What an outcome says of the way to the server.
    fn learn(&self, outcome: &Outcome) -> Round {
        match outcome {
            Outcome::Sent | Outcome::Refused(_) => self.breaker().succeed(),
            Outcome::SenderRefused(what) => self.breaker().note(&without_addresses(what)),
            Outcome::Unreachable(what) => {
                if self.slot.as_ref().is_some_and(Slot::is_not_alone) {
                    return connection_refused(what);
                }
                self.breaker().open(what);
                return Round::BreakerOpen;
            }
            Outcome::Dropped(_)
            | Outcome::Damaged(_)
            | Outcome::Deferred(_)
            | Outcome::LeaseOver => {}
        }
        Round::Progressed
    }
}

/// `/readyz` answers anybody: it tells nothing of whom we write to.
fn without_addresses(what: &str) -> String {
    let words = what.split(' ').filter(|word| !word.contains('@'));
    words.collect::<Vec<_>>().join(" ")
}

fn database_failed(error: &Error) -> Round {
    tracing::warn!(%error, "mail has to wait");
    Round::Failed
}

/// The server has other connections of ours: it may allow no more.
fn connection_refused(what: &str) -> Round {
    tracing::warn!(what, "a connection fewer to the mail server");
    Round::Failed
}

async fn give_back(app: &App, claimed: impl Iterator<Item = Claimed>) {
    for claimed in claimed {
        let id = claimed.mail.id.clone();
        let given = app.transaction(move |tx| outbox::give_back(tx, &claimed));
        if let Err(error) = given.await {
            tracing::warn!(%error, mail = id, "not given back; its lease will end");
        }
    }
}

/// Why a mail is not to be sent, just before it would be. The node may have been paused since it claimed it; and a
/// letter whose link is dead, or which would arrive too late, is worse than none.
async fn why_not(app: &App, claimed: &Claimed) -> Result<Option<Outcome>> {
    let claimed = claimed.clone();
    app.read(move |tx| {
        let mail = &claimed.mail;
        if !outbox::holds(tx, &claimed, LONGEST_SEND)? {
            return Ok(Some(Outcome::LeaseOver));
        }
        if tx.now >= mail.useful_until {
            return Ok(Some(Outcome::Dropped("too late to be of use".into())));
        }
        match &mail.link_hash {
            Some(link) if !links::is_live(tx, link)? => {
                Ok(Some(Outcome::Dropped("its link is dead".into())))
            }
            _ => Ok(None),
        }
    })
    .await
}
