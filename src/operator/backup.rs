//! `doorpost backup`: a copy of the database in one file, made beside a running server.
//!
//! What is in it, and what is not, `docs/operate.md` tells: above all not `SECRET_KEY`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::config::{Config, DatabaseUrl};
use crate::db::backup;
use crate::error::Result;
use crate::operator::out::Out;

/// Where the copy is to be.
#[derive(Args)]
pub struct Arguments {
    /// The file to make. It has its name only once it is whole, checked and on the disk.
    file: PathBuf,
    /// Replace the file if it is there already.
    #[arg(long)]
    yes: bool,
}

/// What an operator of PostgreSQL is told.
const BY_POSTGRES: &str = "PostgreSQL has a tool of its own for this: \
    pg_dump --format=custom --file=FILE \"$DATABASE_URL\" (docs/operate.md, \"Backup\")";

/// Makes the copy, and says how large it is.
pub fn run(arguments: &Arguments, config: &Config, out: &Out) -> Result<ExitCode> {
    let DatabaseUrl::Sqlite(database) = &config.database.url else {
        out.complain(BY_POSTGRES);
        return Ok(ExitCode::FAILURE);
    };
    let began = Instant::now();
    let bar = ProgressBar::new(0).with_style(ProgressStyle::default_bar());
    let watch = |copied, size| {
        bar.set_length(size);
        bar.set_position(copied);
    };
    let copied = backup::back_up(database, &arguments.file, arguments.yes, &watch);
    bar.finish_and_clear();
    match copied {
        Ok(bytes) => {
            let file = arguments.file.display();
            tracing::info!(%file, bytes, event = "backed_up", "backed up");
            let bytes = HumanBytes(bytes);
            let seconds = began.elapsed().as_secs_f64();
            out.line(format_args!("{file}: {bytes}, in {seconds:.1} s."));
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            out.complain(why);
            Ok(ExitCode::FAILURE)
        }
    }
}
