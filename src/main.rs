//! The program: configuration, log, and then what the command line says. The only place that may give up.

use std::process::ExitCode;

use clap::Parser;
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
    match actix_web::rt::System::new().block_on(operator::run(command_line, config)) {
        Ok(ended) => ended,
        Err(error) => {
            tracing::error!(%error, "Doorpost had to stop");
            ExitCode::FAILURE
        }
    }
}
