//! A small app of one's own on Doorpost, without a fork: members keep notes.
//!
//! `main` hands over to Doorpost's command line: without a command the program serves, with `check` it says whether it
//! could, and so on. Configured as Doorpost is, by its environment.

use std::process::ExitCode;

use diesel_migrations::embed_migrations;
use doorpost::db::Migrations;
use doorpost::operator;
use doorpost::server::Server;

mod erase;
mod notes;
mod pages;
mod share_links;
mod sharing;

static MIGRATIONS: Migrations = Migrations {
    sqlite: embed_migrations!("migrations/sqlite"),
    postgres: embed_migrations!("migrations/postgres"),
};

fn main() -> ExitCode {
    operator::run(
        Server::new()
            .name("Notebook")
            .pages(pages::configure)
            .pages(erase::configure)
            .pages(sharing::configure)
            .export("notes", notes::export)
            .export("share_links", share_links::export)
            .migrations(&MIGRATIONS),
    )
}
