//! How mail leaves: a worker in every node takes what is due and sends it.
//!
//! A few send slots, each with one kept SMTP connection, claim mail by lease, the highest priority first, and
//! settle each one as it goes. What the server says decides: taken, later, or never. While there is no way
//! to the server nobody claims ([`crate::mail::circuit_breaker`]). A letter that the server chews on, a row that is damaged and a
//! send that panics stop no other mail. Where no SMTP server is configured, mail is "sent" to `/dev/inbox`.
//!
//! The worker has a thread of its own, so that neither waits for the other: mail for a burst of visitors,
//! visitors for a slow mail server. The same thread purges what is over.

use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::accounts::links;
use crate::accounts::purge;
use crate::app::App;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::mail::backoff::{Backoff, jittered};
use crate::mail::circuit_breaker::CircuitBreaker;
use crate::mail::letters::Priority;
use crate::mail::message::compose;
use crate::mail::outbox::{self, LEASE, Mail};
use crate::mail::smtp::{Failure, LONGEST_SEND, Slot, Smtp};

/// Connections to the mail server that a node keeps: enough for their transactions to share commits, fewer
/// than mail servers commonly allow one client.
pub const SLOTS: usize = 8;

/// So many of them take only mail that somebody waits for: news may fill the others on a slow server.
const FOR_AWAITED: usize = 2;

/// The one behind them takes news as well: announcements may fill only those behind it.
const BEFORE_BULK: usize = FOR_AWAITED + 1;

/// Mails that a slot claims at once: few, so that a dead node holds few.
const CLAIM: i64 = 8;

/// How often a slot looks for mail that other nodes posted or that fell due.
const LOOK: Duration = Duration::from_secs(1);

/// A letter that takes longer keeps nobody else waiting: what its slot claimed with it goes to others.
const CHEWING: Duration = Duration::from_secs(2);

/// How often what is over is forgotten.
const PURGE: Duration = Duration::from_secs(60);

/// The running worker. Tell it to stop before the process ends, so that mail under way is finished and
/// claimed mail is given back.
pub struct Worker {
    stop: watch::Sender<Option<Instant>>,
    thread: JoinHandle<()>,
}

/// Starts the worker of this node.
pub fn start(app: App) -> Result<Worker> {
    let smtp = Smtp::of(&app.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::internal)?;
    let (stop, stopping) = watch::channel(None);
    // Its first round is still to come, and a program that has just started is not to be called broken.
    app.mail_health.go_round();
    let thread = std::thread::Builder::new()
        .name("mail".into())
        .spawn(move || runtime.block_on(work(app, smtp, Stopping(stopping))))
        .map_err(Error::internal)?;
    Ok(Worker { stop, thread })
}

impl Worker {
    /// Claims nothing more, gives back what was not begun, and gives letters under way so long. One that
    /// the server still chews on then is taken up when its lease ends, as that of a dead node is.
    pub fn tell_to_stop(&self, within: Duration) {
        let _ = self.stop.send(Some(Instant::now() + within));
    }

    /// Waits until it has stopped.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the mail worker ended in a panic");
        }
    }
}

/// Whether the worker is to stop, and by when.
#[derive(Clone)]
struct Stopping(watch::Receiver<Option<Instant>>);

impl Stopping {
    fn is_told(&self) -> bool {
        self.0.borrow().is_some()
    }

    async fn told(&mut self) -> Instant {
        match self.0.wait_for(Option::is_some).await {
            Ok(told) => told.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(), // Nobody is left who could tell.
        }
    }
}

async fn work(app: App, smtp: Option<Smtp>, mut stopping: Stopping) {
    let mut tasks = JoinSet::new();
    for number in 0..SLOTS {
        let lowest = match number {
            0..FOR_AWAITED => Priority::Awaited,
            FOR_AWAITED..BEFORE_BULK => Priority::News,
            _ => Priority::Bulk,
        };
        let (app, smtp, stopping) = (app.clone(), smtp.clone(), stopping.clone());
        tasks.spawn(keep_running(move || {
            Sender::new(app.clone(), smtp.as_ref(), lowest, stopping.clone()).run()
        }));
    }
    let tidying = stopping.clone();
    tasks.spawn(keep_running(move || tidy(app.clone(), tidying.clone())));
    let ended = async { while tasks.join_next().await.is_some() {} };
    let late = async { tokio::time::sleep_until(stopping.told().await.into()).await };
    tokio::select! {
        () = ended => {}
        () = late => tracing::warn!("a letter was not finished; its lease will end"),
    }
}

/// Whatever panics in there begins anew, and the others never notice.
async fn keep_running<F>(task: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(panic) = tokio::spawn(task()).await {
        tracing::error!(%panic, "a part of the mail worker begins anew");
        tokio::time::sleep(LOOK).await;
    }
}

/// One send slot: claims, sends and settles until told to stop.
struct Sender {
    app: App,
    /// `None` where mail is shown instead of sent.
    slot: Option<Slot>,
    lowest: Priority,
    stopping: Stopping,
    backoff: Backoff,
}

/// What one look at the outbox came to.
enum Round {
    /// Mail was sent: there may be more.
    Busy,
    /// Nothing is due.
    Idle,
    /// There is no way to the server, and it is for another slot, or another time, to probe.
    Shut,
    /// This slot, or the database, cannot go on for now.
    Tired,
}

impl Sender {
    fn new(app: App, smtp: Option<&Smtp>, lowest: Priority, stopping: Stopping) -> Self {
        Self {
            app,
            slot: smtp.map(Smtp::slot),
            lowest,
            stopping,
            backoff: Backoff::default(),
        }
    }

    async fn run(mut self) {
        while !self.stopping.is_told() {
            self.app.mail_health.go_round();
            match self.round().await {
                Round::Busy => self.backoff = Backoff::default(),
                Round::Idle => {
                    let outbox = self.app.outbox.clone();
                    self.rest(outbox.wait(self.lowest, LOOK)).await;
                }
                Round::Shut => self.rest(tokio::time::sleep(LOOK)).await,
                Round::Tired => {
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
            Ok(claimed) if claimed.is_empty() => Round::Idle,
            Ok(claimed) => self.deliver(claimed).await,
            Err(error) => tired(&error),
        }
    }

    fn breaker(&self) -> &CircuitBreaker {
        &self.app.mail_health.breaker
    }

    async fn probe(&mut self) -> Round {
        let breaker = &self.app.mail_health.breaker;
        let Some(slot) = self.slot.as_mut().filter(|_| breaker.may_probe()) else {
            return Round::Shut;
        };
        let probed = tokio::select! {
            probed = slot.probe(self.app.config.mail.from.email.as_ref()) => probed,
            _ = self.stopping.told() => return Round::Shut,
        };
        match probed {
            Ok(()) => {
                breaker.close();
                Round::Busy
            }
            Err(failure) if slot.is_not_alone() => {
                breaker.close();
                crowded(&failure.to_string())
            }
            Err(failure) => {
                breaker.stay_open(&failure.to_string());
                Round::Shut
            }
        }
    }

    /// Sends the claimed mail one by one; gives back what it did not get to.
    async fn deliver(&mut self, claimed: Vec<Mail>) -> Round {
        let lease_ends = Instant::now() + LEASE - LONGEST_SEND;
        let app = self.app.clone();
        let mut waiting = claimed.into_iter();
        let mut round = Round::Busy;
        while matches!(round, Round::Busy)
            && !self.stopping.is_told()
            && Instant::now() < lease_ends
            && let Some(mail) = waiting.next()
        {
            let mut sending = pin!(self.deliver_one(mail));
            round = match tokio::time::timeout(CHEWING, &mut sending).await {
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

    async fn deliver_one(&mut self, mail: Mail) -> Round {
        let outcome = match why_useless(&self.app, &mail).await {
            Ok(None) => self.send(&mail).await,
            Ok(Some(reason)) => Outcome::Dropped(reason),
            Err(error) => return tired(&error),
        };
        let told = Arc::new((mail, outcome));
        if let Err(error) = self.write_down(&told).await {
            return tired(&error);
        }
        let (mail, outcome) = &*told;
        outcome.tell(mail);
        self.learn(outcome)
    }

    /// What left must be written down, or it leaves again: a database that is away is waited for.
    async fn write_down(&self, told: &Arc<(Mail, Outcome)>) -> Result<()> {
        let is_shown = self.slot.is_none();
        let mut backoff = Backoff::default();
        loop {
            let written = Arc::clone(told);
            let settled = self.app.transaction(move |tx| {
                let (mail, outcome) = &*written;
                settle(tx, mail, outcome, is_shown)
            });
            match (settled.await, &told.1) {
                (Err(Error::Unavailable(what)), Outcome::Sent) => {
                    tracing::warn!(
                        what,
                        mail = told.0.id,
                        "a mail that left is not written down yet"
                    );
                    tokio::time::sleep(backoff.longer()).await;
                }
                (settled, _) => return settled,
            }
        }
    }

    /// What an outcome says of the way to the server.
    fn learn(&self, outcome: &Outcome) -> Round {
        match outcome {
            Outcome::Sent | Outcome::Refused(_) => self.breaker().succeed(),
            Outcome::Unwelcome(what) => self.breaker().note(&without_addresses(what)),
            Outcome::NoWay(what) => {
                if self.slot.as_ref().is_some_and(Slot::is_not_alone) {
                    return crowded(what);
                }
                self.breaker().open(what);
                return Round::Shut;
            }
            Outcome::Dropped(_) | Outcome::Spoiled(_) | Outcome::Later(_) => {}
        }
        Round::Busy
    }

    /// Sends over the slot's connection, in a task of its own: a panic in there is a failed try.
    async fn send(&mut self, mail: &Mail) -> Outcome {
        let Some(content) = self.app.outbox.open(mail.body.as_deref()) else {
            return Outcome::Spoiled("its words cannot be opened".into());
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
                    judge(slot.send(&from, &mail.email, &message).await)
                }
                Err(error) => Outcome::Spoiled(error.to_string()),
            };
            (slot, outcome)
        });
        let (slot, outcome) = sending.await.unwrap_or_else(|panic| {
            let what = format!("the send ended early: {panic}");
            (fresh, Outcome::Later(what))
        });
        self.slot = Some(slot);
        outcome
    }
}

/// `/readyz` answers anybody: it tells nothing of whom we write to.
fn without_addresses(what: &str) -> String {
    let words = what.split(' ').filter(|word| !word.contains('@'));
    words.collect::<Vec<_>>().join(" ")
}

fn tired(error: &Error) -> Round {
    tracing::warn!(%error, "mail has to wait");
    Round::Tired
}

/// The server has others of us: it may allow no more.
fn crowded(what: &str) -> Round {
    tracing::warn!(what, "a connection fewer to the mail server");
    Round::Tired
}

async fn give_back(app: &App, mails: impl Iterator<Item = Mail>) {
    for mail in mails {
        let id = mail.id.clone();
        let given = app.transaction(move |tx| outbox::give_back(tx, &mail));
        if let Err(error) = given.await {
            tracing::warn!(%error, mail = id, "not given back; its lease will end");
        }
    }
}

/// A letter whose link is dead, or which would arrive too late, is worse than none.
async fn why_useless(app: &App, mail: &Mail) -> Result<Option<String>> {
    let useful_until = mail.useful_until;
    let link = mail.link_hash.clone();
    app.read(move |tx| {
        if tx.now >= useful_until {
            return Ok(Some("too late to be of use".into()));
        }
        match link {
            Some(link) if !links::is_live(tx, &link)? => Ok(Some("its link is dead".into())),
            _ => Ok(None),
        }
    })
    .await
}

/// What became of one mail.
enum Outcome {
    Sent,
    /// Of no use any more.
    Dropped(String),
    /// Damaged: nothing that could be sent.
    Spoiled(String),
    /// The server refuses it for good.
    Refused(String),
    /// The server refuses it for now, or the send broke off.
    Later(String),
    /// The same, and what the server refuses is us.
    Unwelcome(String),
    /// There is no way to the server: no mail's fault.
    NoWay(String),
}

fn judge(result: Result<(), Failure>) -> Outcome {
    match result {
        Ok(()) => Outcome::Sent,
        Err(Failure::Unreachable(what)) => Outcome::NoWay(what),
        Err(Failure::Unwelcome(what)) => Outcome::Unwelcome(what),
        Err(Failure::Later(what)) => Outcome::Later(what),
        Err(Failure::Never(what)) => Outcome::Refused(what),
    }
}

impl Outcome {
    /// For the log, once it is written down.
    fn tell(&self, mail: &Mail) {
        let (mail, letter) = (&*mail.id, &*mail.letter);
        match self {
            Self::Sent => tracing::info!(mail, letter, "mail sent"),
            Self::Dropped(reason) => tracing::info!(mail, letter, reason, "mail dropped"),
            Self::Spoiled(reason) => tracing::error!(mail, letter, reason, "mail set aside"),
            Self::Refused(reason) => tracing::warn!(mail, letter, reason, "mail refused"),
            Self::Later(reason) | Self::Unwelcome(reason) => {
                tracing::info!(mail, letter, reason, "mail put off");
            }
            Self::NoWay(_) => {}
        }
    }
}

/// Writes down what became of it. The life of a link begins when its mail is handed over.
fn settle(tx: &mut Tx, mail: &Mail, outcome: &Outcome, is_shown: bool) -> Result<()> {
    match outcome {
        Outcome::Sent => {
            if let Some(link) = &mail.link_hash {
                links::handed_over(tx, link, mail.useful_until.saturating_sub(mail.queued_at))?;
            }
            if is_shown {
                outbox::shown(tx, mail)
            } else {
                outbox::sent(tx, mail)
            }
        }
        Outcome::Dropped(reason) => outbox::dropped(tx, mail, reason),
        Outcome::Spoiled(reason) | Outcome::Refused(reason) => outbox::refused(tx, mail, reason),
        Outcome::Later(reason) | Outcome::Unwelcome(reason) => {
            let age = Duration::from_millis(tx.now.abs_diff(mail.queued_at));
            outbox::later(tx, mail, next_try(mail.tries, age), reason)
        }
        Outcome::NoWay(_) => outbox::give_back(tx, mail),
    }
}

/// Growing pauses: the first within 5 s, at most 30 s while the mail is fresh, then a fifth of its age.
fn next_try(tries: i32, age: Duration) -> Duration {
    let fresh = Duration::from_secs(5 << tries.clamp(0, 3)).min(Duration::from_secs(30));
    let pause = if age < Duration::from_secs(300) {
        fresh
    } else {
        (age / 5).clamp(fresh, Duration::from_secs(600))
    };
    jittered(pause)
}

/// Forgets what is over, in small batches, and counts what waits.
async fn tidy(app: App, mut stopping: Stopping) {
    let mut since_purge = PURGE;
    while !stopping.is_told() {
        let outbox = app.outbox.clone();
        if let Err(error) = app.db.read(move |tx| outbox.count(tx)).await {
            tracing::warn!(%error, "waiting mail was not counted");
        }
        since_purge += LOOK;
        if since_purge >= PURGE {
            since_purge = Duration::ZERO;
            if let Err(error) = forget(&app).await {
                tracing::warn!(%error, "nothing was purged");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stopping.told() => {}
        }
    }
}

async fn forget(app: &App) -> Result<()> {
    loop {
        let config = app.config.clone();
        let gone = app
            .db
            .transaction(move |tx| {
                Ok(purge::batch(tx, &config)? + outbox::kept::purge(tx, purge::BATCH)?)
            })
            .await?;
        if gone == 0 {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_panics_begins_anew_until_it_ends() {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        keep_running(move || {
            let times = count.fetch_add(1, Ordering::Relaxed);
            async move { assert!(times == 2, "not yet") }
        })
        .await;
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn pauses_grow_with_tries_and_age_and_have_bounds() {
        let longest = |tries, seconds| {
            let tries: Vec<Duration> = (0..200)
                .map(|_| next_try(tries, Duration::from_secs(seconds)))
                .collect();
            assert!(
                tries.iter().any(|pause| *pause != tries[0]),
                "they are spread"
            );
            tries.into_iter().max().unwrap().as_secs_f64().ceil()
        };
        assert!(longest(0, 0) <= 5.0);
        assert!(longest(1, 10) <= 10.0);
        assert!(longest(i32::MAX, 299) <= 30.0);
        assert!((60.0..=120.0).contains(&longest(9, 600)));
        assert!((300.0..=600.0).contains(&longest(i32::MAX, u64::MAX / 1_000)));
    }
}
