//! What the worker does beside sending: it forgets what is over, in small batches, and counts what waits.

use std::time::Duration;

use super::stopping::Stopping;
use crate::accounts::purge;
use crate::app::App;
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::outbox;

/// How often waiting mail is counted.
const COUNT: Duration = Duration::from_secs(1);

/// How often what is over is forgotten.
const PURGE: Duration = Duration::from_secs(60);

/// Goes on until told to stop.
pub(super) async fn tidy(app: App, mut stopping: Stopping) {
    let mut since_purge = PURGE;
    while !stopping.is_told() {
        let outbox = app.outbox.clone();
        if let Err(error) = app.db.read(move |tx| outbox.count(tx)).await {
            tracing::warn!(%error, event = "count_failed", "waiting mail was not counted");
        }
        since_purge += COUNT;
        if since_purge >= PURGE {
            since_purge = Duration::ZERO;
            if let Err(error) = forget(&app).await {
                tracing::warn!(%error, event = "purge_failed", "nothing was purged");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(COUNT) => {}
            _ = stopping.told() => {}
        }
    }
}

/// Forgets one batch of everything that is over. The number of rows says whether there may be more.
pub fn purge_batch(tx: &mut Tx, config: &Config) -> Result<usize> {
    Ok(purge::batch(tx, config)? + outbox::kept::purge(tx, purge::BATCH)?)
}

async fn forget(app: &App) -> Result<()> {
    loop {
        let config = app.config.clone();
        let batch = app.db.transaction(move |tx| purge_batch(tx, &config));
        if batch.await? == 0 {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}
