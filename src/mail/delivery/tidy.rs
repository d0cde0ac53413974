//! What the worker does beside sending: it counts what waits, and forgets what is over, in small batches.
//!
//! The two go on beside each other: however much there is to be forgotten, what waits is counted each second, and nobody
//! is told that the queue is full because it once was.

use std::time::{Duration, Instant};

use super::stopping::Stopping;
use crate::accounts::purge::{self, Kind};
use crate::app::App;
use crate::error::Result;
use crate::mail::outbox;

/// How often waiting mail is counted.
const COUNT: Duration = Duration::from_secs(1);

/// How often what is over is forgotten.
const PURGE: Duration = Duration::from_secs(60);

/// Counts what waits until told to stop.
pub(super) async fn count_waiting(app: App, mut stopping: Stopping) {
    while !stopping.is_told() {
        let outbox = app.outbox.clone();
        if let Err(error) = app.db.read(move |tx| outbox.count(tx)).await {
            tracing::warn!(%error, event = "count_failed", "waiting mail was not counted");
        }
        tokio::select! {
            () = tokio::time::sleep(COUNT) => {}
            _ = stopping.told() => {}
        }
    }
}

/// Forgets what is over until told to stop, be it in the middle of it.
pub(super) async fn forget_by_and_by(app: App, mut stopping: Stopping) {
    let forget = async {
        loop {
            forget_all(&app).await;
            tokio::time::sleep(PURGE).await;
        }
    };
    tokio::select! {
        () = forget => {}
        _ = stopping.told() => {}
    }
}

/// All kinds of what expires, mail among them.
pub fn expiring() -> impl Iterator<Item = Kind> {
    let mail = Kind {
        name: "mail",
        at_most: purge::BATCH,
        batch: |tx, _, at_most| outbox::kept::purge(tx, at_most),
        count: |tx, _| outbox::kept::count_over(tx),
    };
    purge::KINDS.into_iter().chain([mail])
}

/// Trouble with one kind is none of the others'.
async fn forget_all(app: &App) {
    for kind in expiring() {
        if let Err(error) = forget(app, kind, |_| ()).await {
            tracing::warn!(%error, what = kind.name, event = "purge_failed", "nothing was purged");
        }
    }
}

/// Forgets whatever is to be had of one kind, and says of each batch how many rows it had; how many that were. After each
/// it rests for as long as that took: however much there is, others have the database for half of the time at the least.
pub async fn forget(app: &App, kind: Kind, watch: impl Fn(u64)) -> Result<u64> {
    let mut rows = 0;
    loop {
        let began = Instant::now();
        let config = app.config.clone();
        let batch = app
            .db
            .transaction(move |tx| (kind.batch)(tx, &config, kind.at_most));
        let gone = batch.await?;
        rows += gone as u64;
        watch(gone as u64);
        if i64::try_from(gone).is_ok_and(|gone| gone < kind.at_most) {
            return Ok(rows);
        }
        tokio::time::sleep(began.elapsed()).await;
    }
}
