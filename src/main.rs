//! The program: configuration, log, and then what the command line says. The only place that may give up.

use std::process::ExitCode;

use clap::Parser;
use doorpost::app::App;
use doorpost::clock::Clock;
use doorpost::config::Config;
use doorpost::operator::{self, CommandLine};

mod log;

/// A configuration that is unsafe or does not parse.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let config = match Config::load() {
        Ok(config) => config,
        Err(refusal) => {
            eprintln!("{refusal}");
            return ExitCode::from(REFUSED);
        }
    };
    log::start(&config, command_line.serves());
    let app = match App::new(config, Clock::System) {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(%error, "Doorpost cannot start");
            return ExitCode::FAILURE;
        }
    };
    match actix_web::rt::System::new().block_on(operator::run(command_line, app)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "Doorpost had to stop");
            ExitCode::FAILURE
        }
    }
}
