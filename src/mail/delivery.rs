//! How mail leaves: a worker in every node takes what is due and sends it.
//!
//! A few send slots, each with one kept SMTP connection, take mail on by lease, the highest priority first, and
//! settle each one as it goes ([`sender`], [`settling`]). What the server says decides: taken, later, or never ([`outcome`]).
//! While there is no way to the server nobody claims ([`circuit_breaker`](crate::mail::circuit_breaker)). A letter
//! that the server takes long over, a row that is damaged and a send that panics stop no other mail. Where no SMTP
//! server is configured, mail is "sent" to `/dev/inbox`.
//!
//! The worker has a thread of its own, so that neither waits for the other: mail for a burst of visitors,
//! visitors for a slow mail server. The same thread forgets what is over ([`tidy`]).

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;
use crate::error::{Error, Result};
use crate::mail::letters::Priority;
use crate::mail::smtp::Smtp;

mod outcome;
mod sender;
mod settling;
mod stopping;
mod tidy;

use sender::{LOOK, Sender, give_back};
use settling::Settling;
use stopping::Stopping;
use tidy::{count_waiting, forget_by_and_by};

pub use tidy::{expiring, forget};

/// Connections to the mail server that a node keeps: enough for their transactions to share commits, fewer
/// than mail servers commonly allow one client.
pub const SLOTS: usize = 8;

/// So many of them take only mail that somebody waits for: news may fill the others on a slow server.
const FOR_AWAITED: usize = 2;

/// The one behind them takes news as well: announcements may fill only those behind it.
const BEFORE_BULK: usize = FOR_AWAITED + 1;

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
    /// the server has not answered by then is taken up when its lease ends, as that of a dead node is.
    pub fn tell_to_stop(&self, within: Duration) {
        let _ = self.stop.send(Some(Instant::now() + within));
    }

    /// Waits until it has stopped.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!(
                event = "mail_worker_panicked",
                "the mail worker ended in a panic"
            );
        }
    }
}

async fn work(app: App, smtp: Option<Smtp>, mut stopping: Stopping) {
    let mut tasks = JoinSet::new();
    let settling = Arc::new(Settling::of(SLOTS, &app));
    for number in 0..SLOTS {
        let lowest = match number {
            0..FOR_AWAITED => Priority::Awaited,
            FOR_AWAITED..BEFORE_BULK => Priority::News,
            _ => Priority::Bulk,
        };
        let (app, smtp, stopping) = (app.clone(), smtp.clone(), stopping.clone());
        let settling = Arc::clone(&settling);
        tasks.spawn(keep_running(move || {
            let (app, settling) = (app.clone(), Arc::clone(&settling));
            Sender::new(app, smtp.as_ref(), lowest, settling, stopping.clone()).run()
        }));
    }
    let (counted, told) = (app.clone(), stopping.clone());
    tasks.spawn(keep_running(move || {
        count_waiting(counted.clone(), told.clone())
    }));
    let (tidied, told) = (app.clone(), stopping.clone());
    tasks.spawn(keep_running(move || {
        forget_by_and_by(tidied.clone(), told.clone())
    }));
    let ended = async {
        while tasks.join_next().await.is_some() {}
        give_back_promised(&app).await;
    };
    let late = async { tokio::time::sleep_until(stopping.told().await.into()).await };
    tokio::select! {
        () = ended => {}
        () = late => tracing::warn!(event = "mail_lease_kept", "a letter was not finished; its lease will end"),
    }
}

/// Mail that was promised to the slots while they stopped, by transactions that end in a moment.
async fn give_back_promised(app: &App) {
    while app.outbox.is_promised_mail() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    give_back(app, app.outbox.take_no_more()).await;
}

/// Whatever panics in there begins anew, and the others never notice.
async fn keep_running<F>(task: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(panic) = tokio::spawn(task()).await {
        tracing::error!(%panic, event = "mail_worker_panicked", "a part of the mail worker begins anew");
        tokio::time::sleep(LOOK).await;
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
}
