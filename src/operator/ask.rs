//! A question before what cannot be undone.
//!
//! Whoever sits at a terminal is asked. A script is not: it says `--yes` beforehand, or nothing is done.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use crate::operator::REFUSED;
use crate::operator::out::Out;

/// Whether it is to be done; if not, with what code the command ends. What that is was said by then.
pub fn confirm(question: impl Display, yes: bool, out: &Out) -> Result<(), ExitCode> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        out.complain(
            "Nothing was done: it cannot be undone, and there is no terminal to ask at. Say --yes beforehand.",
        );
        return Err(ExitCode::from(REFUSED));
    }
    out.complain(format_args!("{question} Type yes to go on:"));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    match read.is_ok() && answer.trim().eq_ignore_ascii_case("yes") {
        true => Ok(()),
        false => {
            out.complain("Nothing was done.");
            Err(ExitCode::FAILURE)
        }
    }
}
