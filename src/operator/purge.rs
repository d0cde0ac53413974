//! `doorpost purge`: forgets all that is over, here and now, as a running Doorpost does by and by.
//!
//! It goes on in small batches, as that one does: whoever signs in meanwhile waits for none of it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use indicatif::{HumanCount, ProgressBar};
use serde::Serialize;

use crate::accounts::purge;
use crate::app::App;
use crate::error::{Error, Result};
use crate::mail::delivery;
use crate::mail::outbox;
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
    of: BTreeMap<&'static str, u64>,
}

/// Forgets all that is over, and says how much that was.
pub async fn run(arguments: Arguments, app: App, out: &Out) -> Result<ExitCode> {
    app.db.ready().await?;
    let Arguments { dry_run, json } = arguments;
    let of = count(&app).await?;
    let rows = match dry_run {
        true => of.values().sum(),
        false => forget(&app, of.values().sum()).await?,
    };
    if !dry_run {
        tracing::info!(rows, event = "purged", "purged");
    }
    let report = Report { dry_run, rows, of };
    match json {
        true => out.line(serde_json::to_string_pretty(&report).map_err(Error::internal)?),
        false => report.tell(out),
    }
    Ok(ExitCode::SUCCESS)
}

async fn count(app: &App) -> Result<BTreeMap<&'static str, u64>> {
    let config = app.config.clone();
    let counted = app.read(move |tx| {
        let mut counted = purge::count(tx, &config)?;
        counted.push(("mail", outbox::kept::count_over(tx)?));
        Ok(counted)
    });
    let counted = counted.await?.into_iter();
    Ok(counted
        .map(|(what, rows)| (what, u64::try_from(rows).unwrap_or(0)))
        .collect())
}

/// Batch by batch; how many rows that were.
async fn forget(app: &App, about: u64) -> Result<u64> {
    let bar = ProgressBar::new(about);
    let mut rows = 0;
    loop {
        let config = app.config.clone();
        let batch = app.transaction(move |tx| delivery::purge_batch(tx, &config));
        match batch.await? {
            // A running Doorpost may be at the same batch, and have been faster.
            0 if count(app).await?.values().all(|left| *left == 0) => break,
            gone => rows += gone as u64,
        }
        bar.set_position(rows);
    }
    bar.finish_and_clear();
    Ok(rows)
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
