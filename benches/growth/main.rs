//! Whether what somebody does costs the same with ten thousand accounts and with ten million, and what the accounts
//! take.
//!
//! `load` fills databases as [`rows`] says, `measure` does the same in each of them in turn, and `purge` looks how long
//! visitors wait while a million rows that are over are deleted. Databases stay between runs: loading the largest takes
//! longer than all the rest.
//!
//! `cargo bench --bench growth -- --help` says how it is called.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod fill;
mod operations;
#[path = "../program/mod.rs"]
mod program;
mod purge;
mod rows;
mod site;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use program::postgres;
use site::Site;

/// Fills databases with accounts, and measures in them. PostgreSQL is the throw-away cluster that DOORPOST_TEST_POSTGRES
/// names, as for the other measurements.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
    /// As cargo says
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Makes databases of these sizes anew
    Load(Which),
    /// Says what the tables of each take
    Sizes(Which),
    /// Does the same in each, in turn
    Measure {
        #[command(flatten)]
        which: Which,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// Has visitors come by while so many rows that are over are deleted
    Purge {
        #[command(flatten)]
        which: Which,
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
    },
}

#[derive(clap::Args)]
struct Which {
    #[arg(value_enum)]
    database: Database,
    /// Sizes, in accounts
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000")]
    accounts: Vec<u64>,
    /// Where the files are
    #[arg(long, default_value = "target/growth")]
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
}

fn main() {
    match Options::parse().command {
        Command::Load(which) => {
            let hash = site::password_hash(19_456, 2); // the cost that is the default
            which
                .sites()
                .iter()
                .for_each(|site| fill::fill(site, &hash));
        }
        Command::Sizes(which) => which.sites().iter().for_each(fill::tell_sizes),
        Command::Measure { which, rounds } => operations::measure(&which.sites(), rounds),
        Command::Purge { which, rows } => {
            which
                .sites()
                .iter()
                .for_each(|site| purge::watch(site, rows));
        }
    }
}

impl Which {
    fn sites(&self) -> Vec<Site> {
        let cluster = match self.database {
            Database::Sqlite => None,
            Database::Postgres => Some(postgres::cluster().expect("DOORPOST_TEST_POSTGRES")),
        };
        let site = |accounts: &u64| {
            let folder = self.folder.join(format!("{:?}-{accounts}", self.database));
            let name = format!("growth_{accounts}");
            Site::at(folder, cluster.as_deref(), name, *accounts)
        };
        self.accounts.iter().map(site).collect()
    }
}
