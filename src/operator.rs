//! The program: configuration, log, and then what the command line says, which is what an operator does without a
//! browser. The only place that may give up.
//!
//! A command says what it did on standard output ([`out`]), and ends with 0 only if it did it. What it changed it tells the
//! log, too, by an event and without anybody's address. Whatever shows something
//! also speaks JSON (`--json`); what destroys something can be tried (`--dry-run`), and asks before what cannot be undone
//! ([`ask`]).

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::accounts::key_probe::{self, Proof};
use crate::app::App;
use crate::clock::Clock;
use crate::config::{Config, DatabaseUrl, Summary};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::keys::misfit;
use crate::server::Server;

pub mod announce;
mod ask;
pub mod backup;
pub mod check;
pub mod health;
pub mod keys;
mod log;
pub mod mail;
pub mod migrate;
pub mod out;
pub mod purge;
pub mod restore;
pub mod users;

use out::Out;

/// A configuration that is unsafe or does not parse, or a command line that does not.
const REFUSED: u8 = 2;

/// What stands below the help of each command.
const EXIT_CODES: &str = "\
Exit codes: 0 it is done; 1 it is not, or there was trouble; 2 the command line or the configuration is refused.";

/// How often a database that is away is looked for at the start.
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// The whole program around this server: a `main` hands over to it, and returns what it gives.
pub fn run(server: Server) -> ExitCode {
    let out = Out::default();
    let ended = called(&server, &out);
    out.end(ended)
}

fn called(server: &Server, out: &Out) -> ExitCode {
    let command_line = match CommandLine::given() {
        Ok(command_line) => command_line,
        Err(answer) => return answered(&answer, out),
    };
    if let Some(Command::Keys(keys::Command::Generate)) = command_line.command {
        keys::generate(out);
        return ExitCode::SUCCESS;
    }
    let config = match Config::load() {
        Ok(config) => config,
        Err(refusal) => {
            out.complain(refusal);
            return ExitCode::from(command_line.refused());
        }
    };
    log::start(&config, command_line.serves());
    match actix_web::rt::System::new().block_on(obey(command_line, config, server, out)) {
        Ok(ended) => ended,
        Err(error) => {
            tracing::error!(%error, event = "stopped_by_error", "Doorpost had to stop");
            ExitCode::FAILURE
        }
    }
}

/// Help that was asked for, or what is wrong with the command line.
fn answered(answer: &clap::Error, out: &Out) -> ExitCode {
    let words = answer.render();
    let words = words.to_string();
    match answer.use_stderr() {
        true => {
            out.complain(words.trim_end());
            ExitCode::from(REFUSED)
        }
        false => {
            out.line(words.trim_end());
            ExitCode::SUCCESS
        }
    }
}

/// Sign in by email link. Without a command, Doorpost serves.
#[derive(Parser)]
#[command(name = "doorpost", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Mail a text to everybody who has an account, or to some of them; to nobody twice.
    Announce(announce::Arguments),
    /// Copy the database to a file, beside a running server.
    Backup(backup::Arguments),
    /// Whether it could serve: configuration, address, database, key and mail server, a line each.
    Check(check::Arguments),
    /// Whether the Doorpost of these settings serves, by its own word; for what watches a container.
    Health,
    /// A secret key, what is sealed with it in the database, and what access tokens are signed with.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Mail that waits, was sent or was refused; and whether any would leave.
    #[command(subcommand)]
    Mail(mail::Command),
    /// Bring the tables up to date, as the next start would.
    Migrate(migrate::Arguments),
    /// Forget all that is over, here and now, as a running Doorpost does by and by.
    Purge(purge::Arguments),
    /// Put a backup in the place of the database, and end what was used or ended since.
    Restore(restore::Arguments),
    /// Who has an account, and who may have one.
    #[command(subcommand)]
    Users(users::Command),
}

/// The command line as clap has it: what the man pages and the completions of a package are made of.
pub fn command_line() -> clap::Command {
    with_exit_codes(CommandLine::command())
}

fn with_exit_codes(command: clap::Command) -> clap::Command {
    command
        .after_help(EXIT_CODES)
        .mut_subcommands(with_exit_codes)
}

impl CommandLine {
    /// What the program was called with, or what is to be said to that.
    fn given() -> Result<Self, clap::Error> {
        Self::from_arg_matches(&command_line().try_get_matches()?)
    }

    /// Whether it names no command.
    fn serves(&self) -> bool {
        self.command.is_none()
    }

    /// With what code it ends if the configuration is refused.
    fn refused(&self) -> u8 {
        match &self.command {
            Some(Command::Mail(command)) => command.refused().unwrap_or(REFUSED),
            _ => REFUSED,
        }
    }
}

/// Does what the command line says. An error is trouble of ours; a command that was given in vain says so
/// by itself, and by its exit code.
async fn obey(
    command_line: CommandLine,
    config: Config,
    server: &Server,
    out: &Out,
) -> Result<ExitCode> {
    let open = |config| server.open(config, Clock::System);
    match command_line.command {
        None => {
            say_what_it_is(&config);
            server.serve(open_patiently(config, open)?).await?;
        }
        Some(Command::Announce(arguments)) => {
            return announce::run(arguments, config, Clock::System, out).await;
        }
        Some(Command::Backup(arguments)) => return backup::run(&arguments, &config, out),
        Some(Command::Check(arguments)) => {
            return check::run(arguments, &config, server, out).await;
        }
        Some(Command::Health) => return Ok(health::run(&config, out)),
        Some(Command::Keys(command)) => keys::run(command, open(config)?, out).await?,
        Some(Command::Mail(command)) => {
            return mail::run(command, config, Clock::System, out).await;
        }
        Some(Command::Migrate(arguments)) => {
            return migrate::run(arguments, &config, server, out).await;
        }
        Some(Command::Purge(arguments)) => {
            database_is_there(&config)?;
            return purge::run(arguments, open(config)?, out).await;
        }
        Some(Command::Restore(arguments)) => {
            return restore::run(arguments, config, &open, out).await;
        }
        Some(Command::Users(command)) => {
            if command.wants_accounts() {
                database_is_there(&config)?;
            }
            return users::run(command, open(config)?, out).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a command asks about is there or is not; none makes a file to look into.
fn database_is_there(config: &Config) -> Result<()> {
    match &config.database.url {
        DatabaseUrl::Sqlite(path) if !path.exists() => {
            let path = path.display();
            Err(Error::unavailable(format!("there is no database {path}")))
        }
        _ => Ok(()),
    }
}

/// Applies what is pending, and tells the log, as a start does.
fn bring_up_to_date(db: &Db) -> Result<()> {
    tell_of_migrations(&db.migrate()?);
    Ok(())
}

fn tell_of_migrations(applied: &[String]) {
    if !applied.is_empty() {
        tracing::info!(?applied, event = "migrated", "migrated");
    }
}

/// Whether the key is the one of this database. If it is not, what a command seals is opened by no server, and that is said
/// as a start says it.
async fn key_fits(app: &App, out: &Out) -> Result<bool> {
    let keys = app.keys.clone();
    let proof = app.read(move |tx| key_probe::look(tx, Some(&keys)));
    let Proof::Misfit { sealed_by } = proof.await? else {
        return Ok(true);
    };
    out.complain(misfit(&sealed_by, Some(&app.keys)));
    Ok(false)
}

/// Before anything can go wrong: what goes wrong is mostly that one of these is not what was meant.
fn say_what_it_is(config: &Config) {
    let Summary {
        sign_up,
        database,
        relay,
        limits,
    } = config.summary();
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(
        version,
        sign_up,
        database,
        relay,
        limits,
        event = "starts",
        "Doorpost starts"
    );
}

/// A machine that boots, and a group of containers, starts us before its database is there.
fn open_patiently(config: Config, open: impl Fn(Config) -> Result<App>) -> Result<App> {
    let began = Instant::now();
    let patience = config.database.wait;
    let mut was_said = false;
    loop {
        let why = match open(config.clone()) {
            Err(Error::Unavailable(why)) if config.database.url.is_server() => why,
            opened => {
                return opened.inspect_err(|_| {
                    tracing::error!(event = "cannot_start", "Doorpost cannot start");
                });
            }
        };
        if began.elapsed() >= patience {
            tracing::error!(
                event = "cannot_start",
                "Doorpost cannot start: waited {} s for its database",
                patience.as_secs()
            );
            return Err(Error::unavailable(why));
        }
        if !was_said {
            tracing::warn!(
                why,
                event = "database_awaited",
                "waiting for the database, for {} s at the most",
                patience.as_secs()
            );
            was_said = true;
        }
        thread::sleep(BETWEEN_TRIES);
    }
}
