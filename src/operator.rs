//! The command line: what an operator does without a browser.
//!
//! A command says what it did on standard output, and ends with 0 only if it did it. Whatever lists also
//! speaks JSON (`--json`).

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Result;
use crate::server;

pub mod announce;
pub mod check;
pub mod keys;
pub mod mail;
pub mod users;

/// Sign in by email link. Without a command, Doorpost serves.
#[derive(Parser)]
#[command(name = "doorpost", version)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Mail a text to everybody who has an account, or to some of them; to nobody twice.
    Announce(announce::Arguments),
    /// Whether it could serve: configuration, database, key and mail server, a line each.
    Check,
    /// What access tokens are signed with.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Mail that waits, was sent or was refused; and whether any would leave.
    #[command(subcommand)]
    Mail(mail::Command),
    /// Who has an account, and who may have one.
    #[command(subcommand)]
    Users(users::Command),
}

impl CommandLine {
    /// Whether it names no command.
    pub fn serves(&self) -> bool {
        self.command.is_none()
    }
}

/// Does what the command line says. An error is trouble of ours; a command that was given in vain says so
/// by itself, and by its exit code.
pub async fn run(command_line: CommandLine, config: Config) -> Result<ExitCode> {
    match command_line.command {
        None => server::serve(open(config)?).await?,
        Some(Command::Announce(arguments)) => {
            return announce::run(arguments, config, Clock::System).await;
        }
        Some(Command::Check) => return Ok(check::run(&config).await),
        Some(Command::Keys(command)) => keys::run(command, open(config)?).await?,
        Some(Command::Mail(command)) => return mail::run(command, config, Clock::System).await,
        Some(Command::Users(command)) => users::run(command, open(config)?).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn open(config: Config) -> Result<App> {
    App::new(config, Clock::System).inspect_err(|_| tracing::error!("Doorpost cannot start"))
}
