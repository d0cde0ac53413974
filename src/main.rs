//! The program: Doorpost with the pages of `pages.rs`. An app of one's own begins with a `main` like this.

use std::process::ExitCode;

use doorpost::server::Server;
use doorpost::{operator, pages};

fn main() -> ExitCode {
    operator::run(Server::new().pages(pages::configure))
}
