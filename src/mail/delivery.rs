//! How mail leaves: a worker in every node takes what is due and sends it.
//!
//! A few send slots, each with one kept SMTP connection, claim mail by lease and settle each one as it
//! goes. What the server says decides: taken, later, or never. A server that cannot be reached costs no
//! mail its tries: the slot rests and the mail keeps its place. A send that panics counts as a failed try
//! and stops nothing else. Where no SMTP server is configured, mail is "sent" to `/dev/inbox`.
//!
//! The worker has a thread of its own, so that neither waits for the other: mail for a burst of visitors,
//! visitors for a slow mail server. The same thread purges what is over.

use std::pin::pin;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{MultiPart, SinglePart};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::accounts::links;
use crate::accounts::purge;
use crate::app::App;
use crate::error::{Error, Result};
use crate::mail::outbox::{self, LEASE, Mail, Words};
use crate::mail::smtp::{Failure, LONGEST_SEND, Slot, Smtp};
use crate::random;

/// Connections to the mail server that a node keeps: enough for their transactions to share commits, fewer
/// than mail servers commonly allow one client.
const SLOTS: usize = 8;

/// Mails that a slot claims at once: few, so that a dead node holds few.
const CLAIM: i64 = 8;

/// How often a slot looks for mail that other nodes posted or that fell due.
const LOOK: Duration = Duration::from_secs(1);

/// A letter that takes longer keeps nobody else waiting: what its slot claimed with it goes to others.
const CHEWING: Duration = Duration::from_secs(2);

/// At the end, letters under way get this long. One that the server still chews on then is taken up when
/// its lease ends, as that of a dead node is.
const FINISH: Duration = Duration::from_secs(5);

/// How often what is over is forgotten.
const PURGE: Duration = Duration::from_secs(60);

/// How the worker is doing, for `/readyz` and the operator.
#[derive(Default)]
pub struct Health {
    /// When a slot last went round; a clock on the wall that is set meanwhile says nothing of that.
    beat: Mutex<Option<Instant>>,
    trouble: Mutex<Option<String>>,
}

impl Health {
    /// Whether the worker went round within the last while.
    pub fn is_running(&self) -> bool {
        let beat = self.beat.lock().ok().and_then(|beat| *beat);
        beat.is_some_and(|beat| beat.elapsed() <= LEASE)
    }

    fn go_round(&self) {
        if let Ok(mut beat) = self.beat.lock() {
            *beat = Some(Instant::now());
        }
    }

    /// What keeps mail from leaving, if anything does.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().ok().and_then(|trouble| trouble.clone())
    }

    fn set_trouble(&self, trouble: Option<String>) {
        if let Ok(mut known) = self.trouble.lock() {
            *known = trouble;
        }
    }
}

/// The running worker. Call [`Worker::stop`] before the process ends, so that mail under way is
/// finished and claimed mail is given back.
pub struct Worker {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Starts the worker of this node.
pub fn start(app: App) -> Result<Worker> {
    let smtp = match &app.config.smtp {
        Some(url) => Some(Smtp::new(
            url,
            app.config.smtp_ca_file.as_deref(),
            app.config.public_url.host(),
        )?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::internal)?;
    let (stop, stopping) = watch::channel(false);
    // Its first round is still to come, and a program that has just started is not to be called broken.
    app.mail_health.go_round();
    let thread = std::thread::Builder::new()
        .name("mail".into())
        .spawn(move || runtime.block_on(work(app, smtp, stopping)))
        .map_err(Error::internal)?;
    Ok(Worker { stop, thread })
}

impl Worker {
    /// Finishes what is under way, gives back what is not, and returns when all slots have ended, or
    /// soon: whoever stops a program kills it when it does not end.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the mail worker ended in a panic");
        }
    }
}

async fn work(app: App, smtp: Option<Smtp>, stopping: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    for _ in 0..SLOTS {
        let transport = smtp.as_ref().map(|smtp| smtp.slot());
        tasks.spawn(run_slot(app.clone(), transport, stopping.clone()));
    }
    tasks.spawn(tidy(app, stopping.clone()));
    let ended = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = ended => {}
        () = late(stopping) => tracing::warn!("a letter was not finished; its lease will end"),
    }
}

async fn late(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
    tokio::time::sleep(FINISH).await;
}

/// Claims, sends and settles until told to stop.
async fn run_slot(app: App, mut transport: Option<Slot>, mut stopping: watch::Receiver<bool>) {
    let mut rest = Rest::default();
    while !*stopping.borrow() {
        app.mail_health.go_round();
        let round = match app.db.transaction(|tx| outbox::claim(tx, CLAIM)).await {
            Ok(claimed) if claimed.is_empty() => Round::Idle,
            Ok(claimed) => deliver(&app, &mut transport, claimed, &stopping).await,
            Err(error) => Round::Trouble(Trouble::Database(error)),
        };
        let pause = match round {
            Round::Busy => {
                rest.over();
                continue;
            }
            Round::Idle => LOOK,
            Round::Trouble(Trouble::Database(error)) => {
                tracing::warn!(%error, "mail has to wait");
                rest.longer()
            }
            Round::Trouble(Trouble::Server(what)) => {
                tracing::warn!(%what, "mail has to wait");
                app.mail_health.set_trouble(Some(what));
                rest.longer()
            }
        };
        tokio::select! {
            () = wait(&app, pause, rest.is_short()) => {}
            _ = stopping.changed() => {}
        }
    }
    if let Some(slot) = &mut transport {
        slot.close().await;
    }
}

/// What one look at the outbox came to.
enum Round {
    Idle,
    Busy,
    Trouble(Trouble),
}

/// What keeps mail from leaving and is no mail's own fault. Of the database nothing is told with the health
/// of mail: that has a word of its own there, and what its driver says is for the log.
enum Trouble {
    Database(Error),
    Server(String),
}

/// A slot that met trouble does not let the bell of every new mail wake it.
async fn wait(app: &App, pause: Duration, bell_counts: bool) {
    if bell_counts {
        app.outbox.wait(pause).await;
    } else {
        tokio::time::sleep(pause).await;
    }
}

/// How long a slot rests when the server (or the database) is away: longer each time, never long.
#[derive(Default)]
struct Rest(u32);

impl Rest {
    fn over(&mut self) {
        self.0 = 0;
    }

    fn is_short(&self) -> bool {
        self.0 == 0
    }

    fn longer(&mut self) -> Duration {
        self.0 = (self.0 + 1).min(4);
        jittered(Duration::from_secs(1 << (self.0 - 1)))
    }
}

/// Sends the claimed mail one by one; gives back what it did not get to.
async fn deliver(
    app: &App,
    transport: &mut Option<Slot>,
    claimed: Vec<Mail>,
    stopping: &watch::Receiver<bool>,
) -> Round {
    let lease_ends = tokio::time::Instant::now() + LEASE - LONGEST_SEND;
    let mut waiting = claimed.into_iter();
    let mut trouble = None;
    while let Some(mail) = waiting.next() {
        if *stopping.borrow() || tokio::time::Instant::now() > lease_ends {
            give_back(app, &mail).await;
            break;
        }
        let mut sending = pin!(deliver_one(app, transport, mail));
        let delivered = match tokio::time::timeout(CHEWING, &mut sending).await {
            Ok(delivered) => delivered,
            Err(_) => {
                give_all_back(app, waiting.by_ref()).await;
                sending.await
            }
        };
        if let Err(what) = delivered {
            trouble = Some(what);
            break;
        }
    }
    give_all_back(app, waiting).await;
    trouble.map_or(Round::Busy, Round::Trouble)
}

async fn give_all_back(app: &App, mails: impl Iterator<Item = Mail>) {
    for mail in mails {
        give_back(app, &mail).await;
    }
}

async fn give_back(app: &App, mail: &Mail) {
    let id = mail.id.clone();
    let given = app
        .db
        .transaction(move |tx| outbox::later(tx, &id, Duration::ZERO, false, "given back"))
        .await;
    if let Err(error) = given {
        tracing::warn!(%error, mail = mail.id, "not given back; its lease will end");
    }
}

/// Sends one mail and writes down what became of it. `Err` is trouble that is not the mail's own.
async fn deliver_one(app: &App, transport: &mut Option<Slot>, mail: Mail) -> Result<(), Trouble> {
    let useless = why_useless(app, &mail).await.map_err(Trouble::Database)?;
    let words = app.outbox.open(mail.body.as_deref());
    let outcome = match (useless, words) {
        (Some(reason), _) => Outcome::Dropped(reason),
        (None, None) => Outcome::Refused("its words cannot be opened".into()),
        (None, Some(words)) => send(app, transport, &mail, &words).await,
    };
    let trouble = match &outcome {
        Outcome::NotNow(what) => Some(what.clone()),
        _ => None,
    };
    let is_development = transport.is_none();
    app.db
        .transaction(move |tx| match &outcome {
            Outcome::Sent => {
                if let Some(link) = &mail.link_hash {
                    links::handed_over(tx, link, mail.useful_until - mail.queued_at)?;
                }
                tracing::info!(mail = mail.id, letter = mail.letter, "mail sent");
                if is_development {
                    outbox::shown(tx, &mail.id)
                } else {
                    outbox::sent(tx, &mail)
                }
            }
            Outcome::Dropped(reason) => outbox::dropped(tx, &mail.id, reason),
            Outcome::Refused(reason) => {
                tracing::warn!(mail = mail.id, letter = mail.letter, reason, "mail refused");
                outbox::refused(tx, &mail.id, reason)
            }
            Outcome::Later(reason) => {
                let age = Duration::from_millis((tx.now - mail.queued_at).unsigned_abs());
                outbox::later(tx, &mail.id, next_try(mail.tries, age), true, reason)
            }
            Outcome::NotNow(what) => outbox::later(tx, &mail.id, Duration::ZERO, false, what),
        })
        .await
        .map_err(Trouble::Database)?;
    match trouble {
        Some(what) => Err(Trouble::Server(what)),
        None => {
            app.mail_health.set_trouble(None);
            Ok(())
        }
    }
}

/// What became of one send.
enum Outcome {
    Sent,
    /// Of no use any more.
    Dropped(String),
    /// The mail itself is refused for good.
    Refused(String),
    /// The mail itself is refused for now.
    Later(String),
    /// The server cannot be worked with right now: no mail's fault.
    NotNow(String),
}

/// A letter whose link is dead, or which would arrive too late, is worse than none.
async fn why_useless(app: &App, mail: &Mail) -> Result<Option<String>> {
    let useful_until = mail.useful_until;
    let link = mail.link_hash.clone();
    app.db
        .read(move |tx| {
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

/// Sends over the slot's connection, in a task of its own: a panic in there is a failed try.
async fn send(app: &App, transport: &mut Option<Slot>, mail: &Mail, words: &Words) -> Outcome {
    let Some(mut slot) = transport.take() else {
        return Outcome::Sent;
    };
    let message = match compose(app, mail, words) {
        Ok(message) => message,
        Err(error) => {
            *transport = Some(slot);
            return Outcome::Refused(error.to_string());
        }
    };
    let fresh = slot.fresh();
    let from = app.config.mail_from.email.to_string();
    let to = mail.email.clone();
    let sending = tokio::spawn(async move {
        let result = slot.send(&from, &to, &message).await;
        (slot, result)
    });
    match sending.await {
        Ok((used, result)) => {
            *transport = Some(used);
            judge(result)
        }
        Err(panic) => {
            *transport = Some(fresh);
            Outcome::Later(format!("the send ended early: {panic}"))
        }
    }
}

fn judge(result: std::result::Result<(), Failure>) -> Outcome {
    match result {
        Ok(()) => Outcome::Sent,
        Err(Failure::Unreachable(what)) => Outcome::NotNow(what),
        Err(Failure::Later(what)) => Outcome::Later(what),
        Err(Failure::Never(what)) => Outcome::Refused(what),
    }
}

/// The whole message. All that could differ between two copies comes from the row.
fn compose(app: &App, mail: &Mail, words: &Words) -> Result<String> {
    let to = mail.email.parse().map_err(Error::internal)?;
    let queued = UNIX_EPOCH + Duration::from_millis(mail.queued_at.unsigned_abs());
    let message_id = format!("<{}@{}>", mail.id, app.config.public_url.host());
    let alternatives = MultiPart::alternative()
        .boundary(&mail.id)
        .singlepart(part(ContentType::TEXT_PLAIN, &words.text))
        .singlepart(part(ContentType::TEXT_HTML, &words.html));
    let message = Message::builder()
        .from(app.config.mail_from.clone())
        .to(lettre::message::Mailbox::new(None, to))
        .subject(&words.subject)
        .message_id(Some(message_id))
        .date(queued)
        .raw_header(unencoded("Auto-Submitted", "auto-generated"))
        .raw_header(unencoded("X-Auto-Response-Suppress", "All"))
        .multipart(alternatives)
        .map_err(Error::internal)?;
    String::from_utf8(message.formatted()).map_err(Error::internal)
}

fn part(content_type: ContentType, body: &str) -> SinglePart {
    SinglePart::builder()
        .header(content_type)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(body.to_owned())
}

fn unencoded(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
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

/// Between half and all of it, so that what failed together does not come back together.
fn jittered(pause: Duration) -> Duration {
    let [draw] = random::bytes::<1>();
    pause.mul_f64(0.5 + f64::from(draw) / 512.0)
}

/// Forgets what is over, in small batches, and counts what waits.
async fn tidy(app: App, mut stopping: watch::Receiver<bool>) {
    let mut since_purge = PURGE;
    while !*stopping.borrow() {
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
            _ = stopping.changed() => {}
        }
    }
}

async fn forget(app: &App) -> Result<()> {
    loop {
        let config = app.config.clone();
        let gone = app
            .db
            .transaction(
                move |tx| Ok(purge::batch(tx, &config)? + outbox::purge(tx, purge::BATCH)?),
            )
            .await?;
        if gone == 0 {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}
