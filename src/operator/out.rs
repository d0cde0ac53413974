//! What a command says to whoever called it.
//!
//! Nothing prints but this: `println!` panics where nobody reads any more (`doorpost mail list | head -1`) or nothing
//! can be kept (a full disk), and takes with it what the command was about to do. Here the command goes on. In the end
//! a reader who has gone is no failure, for they had read enough; anything else that was not written is one.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::error::{Error, Result};

/// Standard output and standard error. Clones are the same ones.
#[derive(Clone, Default)]
pub struct Out {
    /// Why standard output takes nothing more.
    lost: Arc<Mutex<Option<io::Error>>>,
}

impl Out {
    /// A line of what was asked for, on standard output.
    pub fn line(&self, line: impl Display) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.is_none() {
            *lost = writeln!(io::stdout().lock(), "{line}").err();
        }
    }

    /// What a program asked for, as one JSON value.
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        self.line(serde_json::to_string_pretty(value).map_err(Error::internal)?);
        Ok(())
    }

    /// Whether standard output still takes what is said: a long list need not be made for nobody.
    pub fn is_heard(&self) -> bool {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.is_none()
    }

    /// A line on standard error: why it cannot be. What cannot be said there cannot be said at all.
    pub fn complain(&self, line: impl Display) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// With what code the command ends that would end with this one.
    pub fn end(self, ended: ExitCode) -> ExitCode {
        let flushed = io::stdout().flush();
        let lost = self
            .lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match lost.map_or(flushed, Err) {
            Err(why) if why.kind() != ErrorKind::BrokenPipe => {
                self.complain(format_args!("doorpost: standard output: {why}"));
                ExitCode::FAILURE
            }
            _ => ended,
        }
    }
}
