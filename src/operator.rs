//! The command line: what an operator does without a browser.

use clap::{Parser, Subcommand};

use crate::app::App;
use crate::error::Result;
use crate::server;

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

/// Does what the command line says.
pub async fn run(command_line: CommandLine, app: App) -> Result<()> {
    match command_line.command {
        None => server::serve(app).await,
        Some(Command::Users(command)) => users::run(command, app).await,
    }
}
