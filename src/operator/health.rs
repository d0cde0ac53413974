//! `doorpost health`: whether the Doorpost of these settings serves, by its own word (`/readyz`). For what watches a
//! container, in which there is no other program to ask with.
//!
//! Unlike `doorpost check` it opens nothing and logs in nowhere: it may be asked every few seconds.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::config::Config;
use crate::operator::out::Out;

/// Whoever listens there is on this machine, and answers at once if it is one of us.
const PATIENCE: Duration = Duration::from_secs(2);

/// An answer of ours to such a question is a few hundred bytes long.
const LONGEST: u64 = 4096;

/// Says what it says of itself, and fails unless it serves.
pub fn run(config: &Config, out: &Out) -> ExitCode {
    let address = config.server.bind_address;
    match ask(address, "/readyz") {
        Ok(answer) => {
            out.line(answer.body());
            match answer.is_ok() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(why) => {
            out.complain(format_args!(
                "doorpost: nothing answers at {address}: {why}"
            ));
            ExitCode::FAILURE
        }
    }
}

/// What was answered, head and body.
pub struct Answer(String);

impl Answer {
    /// Whether its status says that all is well.
    pub fn is_ok(&self) -> bool {
        self.0.starts_with("HTTP/1.1 200 ")
    }

    /// Whether it has this header, by its name in lower case.
    pub fn has_header(&self, name: &str) -> bool {
        self.0.contains(&format!("\r\n{name}: "))
    }

    /// What comes after the head.
    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").unwrap_or_default().1
    }
}

/// Asks whoever listens at this address of this machine.
///
/// # Errors
/// Nobody listens there, or does not answer in 2 s, or not in text.
pub fn ask(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    Ok(Answer(answer))
}
