//! `doorpost purge`: forgets all that is over, here and now, as a running Doorpost does by and by.
//!
//! It goes on in small batches, as that one does: whoever signs in meanwhile waits for none of it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{HumanCount, ProgressBar};
use serde::Serialize;

use crate::app::App;
use crate::error::Result;
use crate::mail::delivery;
use crate::operator::out::Out;

/// How what is over is forgotten.
#[derive(Args)]
pub struct Arguments {
    /// Only count what would be gone.
    #[arg(long)]
    pub dry_run: bool,
    /// Say it as a JSON object.
    #[arg(long)]
    pub json: bool,
}

/// How many rows are over, or were, by what they are.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    rows: u64,
    of: Of,
}

/// How often is looked whether something is left: within this any transaction of a Doorpost's has ended, which may have
/// what is over in its hands.
const ROUNDS: usize = 10;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(300);

/// Rows, by what they are.
type Of = BTreeMap<&'static str, u64>;

/// Forgets all that is over, and says how much that was. Fails, if something is over and cannot be deleted.
pub async fn run(arguments: Arguments, app: App, out: &Out) -> Result<ExitCode> {
    app.db.ready().await?;
    let Arguments { dry_run, json } = arguments;
    let (of, stuck) = match dry_run {
        true => (count(&app).await?, 0),
        false => forget(&app).await?,
    };
    let rows = of.values().sum();
    if !dry_run {
        tracing::info!(rows, event = "purged", "purged");
    }
    let report = Report { dry_run, rows, of };
    match json {
        true => out.json(&report)?,
        false => report.tell(out),
    }
    if stuck > 0 {
        let rows = HumanCount(stuck);
        out.complain(format_args!(
            "{rows} rows are over and could not be deleted: somebody else holds them, or something in the database \
             forbids it."
        ));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

async fn count(app: &App) -> Result<Of> {
    let config = app.config.clone();
    let counted = app.read(move |tx| {
        let each = delivery::expiring().map(|kind| {
            let rows = (kind.count)(tx, &config)?;
            Ok((kind.name, u64::try_from(rows).unwrap_or(0)))
        });
        each.collect()
    });
    counted.await
}

/// In rounds, until nothing is left: a running Doorpost may have a part of it in its hands, and more comes to be over all
/// the time. How much is gone, and how much cannot be deleted.
async fn forget(app: &App) -> Result<(Of, u64)> {
    let bar = ProgressBar::no_length();
    let (mut gone, mut stuck) = (Of::new(), 0);
    for _ in 0..ROUNDS {
        let mut of_round = 0;
        for kind in delivery::expiring() {
            let rows = delivery::forget(app, kind, |rows| bar.inc(rows)).await?;
            *gone.entry(kind.name).or_default() += rows;
            of_round += rows;
        }
        let left: u64 = count(app).await?.values().sum();
        stuck = if of_round == 0 { left } else { 0 };
        if left == 0 {
            break;
        }
        tokio::time::sleep(BETWEEN_ROUNDS).await;
    }
    bar.finish_and_clear();
    Ok((gone, stuck))
}

impl Report {
    fn tell(&self, out: &Out) {
        let total = HumanCount(self.rows);
        if !self.dry_run {
            out.line(format_args!("{total} rows that were over are gone."));
            return;
        }
        for (what, rows) in &self.of {
            out.line(format_args!("{what:<15} {}", HumanCount(*rows)));
        }
        out.line(format_args!("{total} rows are over."));
    }
}
