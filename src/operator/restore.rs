//! `doorpost restore`: a backup takes the place of the database, while no server runs.
//!
//! The backup is copied beside the database, checked, brought up to date, and rid of what must not come back to life
//! ([`after_restore`]); only then does it take the place, in one step. The old database stays, under
//! another name. Whoever loads the data otherwise (`pg_restore`, Litestream) has the rest done by `--loaded`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use crate::accounts::key_probe::{self, Proof};
use crate::accounts::users;
use crate::actions::after_restore::{self, Ended};
use crate::app::App;
use crate::config::{Config, DatabaseUrl};
use crate::db::MadeBy;
use crate::db::backup::Restoring;
use crate::error::{Error, Result};
use crate::keys;
use crate::operator::{self, out::Out};

/// What is to be restored.
#[derive(Args)]
pub struct Arguments {
    /// What `doorpost backup` made.
    #[arg(required_unless_present = "loaded")]
    file: Option<PathBuf>,
    /// The data is in the database already: end the links and sessions that came with it, and send nothing that waits.
    #[arg(long, conflicts_with = "file")]
    loaded: bool,
    /// Only check the backup, and say what is in it.
    #[arg(long)]
    dry_run: bool,
}

/// What an operator of PostgreSQL is told.
const BY_POSTGRES: &str = "PostgreSQL has a tool of its own for this: \
    pg_restore --clean --if-exists --no-owner --dbname=\"$DATABASE_URL\" FILE; \
    afterwards `doorpost restore --loaded` (docs/operate.md, \"Backup\")";

/// Restores, and says what of before has ended.
pub async fn run(
    arguments: Arguments,
    config: Config,
    open: &impl Fn(Config) -> Result<App>,
    out: &Out,
) -> Result<ExitCode> {
    let restored = match (&arguments.file, &config.database.url) {
        (None, _) => loaded(open(config)?, arguments.dry_run, out).await,
        (Some(_), DatabaseUrl::Postgres(_)) => Err(Error::misconfigured(BY_POSTGRES)),
        (Some(file), DatabaseUrl::Sqlite(database)) => {
            let database = database.clone();
            restore(&database, file, arguments.dry_run, config, open, out).await
        }
    };
    match restored {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(why) => {
            out.complain(why);
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn restore(
    database: &Path,
    file: &Path,
    is_dry: bool,
    mut config: Config,
    open: &impl Fn(Config) -> Result<App>,
    out: &Out,
) -> Result<()> {
    let began = Instant::now();
    let restoring = Restoring::begin(database, file)?;
    config.database.url = restoring.url();
    let app = open(config)?;
    let file = file.display();
    must_be_ours(&app, &file.to_string()).await?;
    let applied = app.db.migrate()?;
    let accounts = app.db.take_time(users::count)?;
    if is_dry {
        out.line(format_args!(
            "{file} is whole, and would be restored; accounts: {accounts}."
        ));
        return Ok(());
    }
    let ended = end_what_was(&app, out)?;
    let now = app.clock.now();
    drop(app);
    let aside = restoring.finish(now)?;
    tell_log(&applied, ended);
    out.line(format_args!(
        "Restored in {:.1} s; accounts: {accounts}. {}",
        began.elapsed().as_secs_f64(),
        said(ended)
    ));
    if let Some(aside) = aside {
        let aside = aside.display();
        out.line(format_args!("The database of before is {aside}."));
    }
    Ok(())
}

async fn loaded(app: App, is_dry: bool, out: &Out) -> Result<()> {
    must_be_ours(&app, "the database").await?;
    if is_dry {
        let accounts = app.db.take_time(users::count)?;
        out.line(format_args!(
            "Every session and every link would end; accounts: {accounts}."
        ));
        return Ok(());
    }
    let applied = app.db.migrate()?;
    let ended = end_what_was(&app, out)?;
    tell_log(&applied, ended);
    out.line(said(ended));
    Ok(())
}

async fn must_be_ours(app: &App, what: &str) -> Result<()> {
    match app.db.made_by().await? {
        MadeBy::Us => Ok(()),
        MadeBy::Others => Err(Error::misconfigured(format!(
            "{what} has no tables of Doorpost"
        ))),
        MadeBy::Newer => Err(Error::misconfigured(format!(
            "{what} was made by a newer Doorpost than this one"
        ))),
    }
}

/// Another key than that of before opens nothing that stays: that is told, and is no reason to go without the data.
fn end_what_was(app: &App, out: &Out) -> Result<Ended> {
    let (proof, ended) = app.db.take_time(|tx| {
        let proof = key_probe::prove(tx, Some(&app.keys))?;
        Ok((proof, after_restore::after_restore(tx, &app.keys)?))
    })?;
    if let Proof::Misfit { sealed_by } = proof {
        out.complain(keys::misfit(&sealed_by, Some(&app.keys)));
    }
    Ok(ended)
}

fn tell_log(applied: &[String], ended: Ended) {
    operator::tell_of_migrations(applied);
    let Ended {
        sessions,
        links,
        letters,
    } = ended;
    tracing::info!(sessions, links, letters, event = "restored", "restored");
}

fn said(ended: Ended) -> String {
    let Ended {
        sessions,
        links,
        letters,
    } = ended;
    format!(
        "Ended: sessions {sessions}, links {links}, letters that waited and will not be sent {letters}."
    )
}
