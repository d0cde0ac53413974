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
use crate::db::Tx;
use crate::db::backup::{self, Restoring};
use crate::error::{Error, Result};
use crate::keys::{self, Keys};
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
        (None, _) => loaded(arguments.dry_run, config, open, out),
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
    app.db.made_by().await?.must_be_us(&file.to_string())?;
    let applied = app.db.migrate()?;
    let accounts = app.db.take_time(users::count)?;
    if is_dry {
        out.line(format_args!(
            "{file} is whole, and would be restored; accounts: {accounts}."
        ));
        return Ok(());
    }
    let (proof, ended) = app.db.take_time(|tx| end_what_was(tx, &app.keys))?;
    say_if_misfit(&proof, &app.keys, out);
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

/// A server that runs would be in the middle of it: of a link that is about to end somebody makes a session, after all
/// sessions have ended.
fn loaded(
    is_dry: bool,
    config: Config,
    open: &impl Fn(Config) -> Result<App>,
    out: &Out,
) -> Result<()> {
    if let DatabaseUrl::Sqlite(database) = &config.database.url {
        backup::must_be_free(database)?;
    }
    let app = open(config)?;
    if is_dry {
        let accounts = app.db.could_take_over(users::count)?;
        out.line(format_args!(
            "Every session and every link would end; accounts: {accounts}."
        ));
        return Ok(());
    }
    let (applied, (proof, ended)) = app.db.take_over(|tx| end_what_was(tx, &app.keys))?;
    tell_log(&applied, ended);
    say_if_misfit(&proof, &app.keys, out);
    out.line(said(ended));
    Ok(())
}

fn end_what_was(tx: &mut Tx, keys: &Keys) -> Result<(Proof, Ended)> {
    let proof = key_probe::prove(tx, Some(keys))?;
    Ok((proof, after_restore::after_restore(tx, keys)?))
}

/// Another key than that of before opens nothing that stays: that is told, and is no reason to go without the data.
fn say_if_misfit(proof: &Proof, keys: &Keys, out: &Out) {
    if let Proof::Misfit { sealed_by } = proof {
        out.complain(keys::misfit(sealed_by, Some(keys)));
    }
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
