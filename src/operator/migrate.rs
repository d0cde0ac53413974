//! `doorpost migrate`: brings the tables up to date, as the next start would, and says what that was.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::clock::Clock;
use crate::config::{Config, DatabaseUrl};
use crate::db::Db;
use crate::error::Result;
use crate::operator::out::Out;
use crate::server::Server;

/// How the tables are brought up to date.
#[derive(Args)]
pub struct Arguments {
    /// Only say what is pending.
    #[arg(long)]
    pub dry_run: bool,
    /// Say it as a JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What is pending, or was until now; in the order in which it is applied.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    migrations: Vec<String>,
}

/// Applies what is pending, all of it or nothing, and says what that was.
pub async fn run(
    arguments: Arguments,
    config: &Config,
    server: &Server,
    out: &Out,
) -> Result<ExitCode> {
    let Arguments { dry_run, json } = arguments;
    let migrations = match dry_run {
        true => pending(config, server).await?,
        false => open(config, server)?.migrate()?,
    };
    for migration in migrations.iter().filter(|_| !dry_run) {
        tracing::info!(migration, event = "migration_applied", "applied");
    }
    let report = Report {
        dry_run,
        migrations,
    };
    match json {
        true => out.json(&report)?,
        false => report.tell(out),
    }
    Ok(ExitCode::SUCCESS)
}

/// A file that is not there yet lacks every one, and is not made for the asking.
async fn pending(config: &Config, server: &Server) -> Result<Vec<String>> {
    match &config.database.url {
        url @ DatabaseUrl::Sqlite(path) if matches!(path.try_exists(), Ok(false)) => {
            Db::all_migrations(url, server.own_migrations())
        }
        _ => open(config, server)?.pending_names().await,
    }
}

fn open(config: &Config, server: &Server) -> Result<Db> {
    let db = Db::open(&config.database.url, Clock::System)?;
    Ok(db.with_migrations(server.own_migrations()))
}

impl Report {
    fn tell(&self, out: &Out) {
        if self.migrations.is_empty() {
            out.line("Nothing is pending.");
            return;
        }
        let how = if self.dry_run { "pending" } else { "applied" };
        for migration in &self.migrations {
            out.line(format_args!("{how}  {migration}"));
        }
    }
}
