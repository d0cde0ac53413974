//! `doorpost mail bounce`: reads what comes to the address that letters come back to.
//!
//! One message from standard input, for a mail server that pipes each one into a command; or a Maildir, whose messages
//! move from `new/` to `cur/` as they are read. Whatever is no report about a letter of ours is passed over and is no
//! failure: nothing is ever answered, and nothing comes back from here. What cannot be written down now, for the
//! database is away, stays where it is: the command ends with 75 then (EX_TEMPFAIL of sysexits.h), which tells a mail
//! server to keep the message and call again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::actions::note_bounce::{self, Outcome};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::mail::bounce_address;
use crate::mail::bounce_report::{Fate, LARGEST, Report};
use crate::operator::out::Out;

/// Keep the message, and call again later.
pub const TRY_AGAIN: u8 = 75;

/// How often `--watch` looks into the Maildir.
const LOOK: Duration = Duration::from_secs(2);

/// Where the messages are.
#[derive(Args)]
pub struct Arguments {
    /// Read the messages in DIR/new, and move them to DIR/cur. Without it, one message is read from standard input.
    #[arg(long, value_name = "DIR")]
    maildir: Option<PathBuf>,
    /// Go on until stopped.
    #[arg(long, requires = "maildir")]
    watch: bool,
    /// To which address the message was sent, if the mail server says so. It may stand in its head as well.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "maildir")]
    recipient: Option<String>,
}

/// Reads what there is.
pub async fn run(arguments: Arguments, config: Config, clock: Clock, out: &Out) -> ExitCode {
    let (maildir, recipient) = (arguments.maildir, arguments.recipient);
    let ended = match (&maildir, arguments.watch) {
        (None, _) => piped(recipient.as_deref(), config, clock, out).await,
        (Some(maildir), false) => once(maildir, config, clock, out).await,
        (Some(maildir), true) => watch(maildir, config, clock, out).await,
    };
    ended.unwrap_or_else(|why| {
        out.complain(why);
        ExitCode::from(TRY_AGAIN)
    })
}

async fn piped(
    recipient: Option<&str>,
    config: Config,
    clock: Clock,
    out: &Out,
) -> Result<ExitCode> {
    let message = read_input()?;
    // What is no report needs no database.
    let Some(report) = Report::read(&message) else {
        out.line(NO_REPORT);
        return Ok(ExitCode::SUCCESS);
    };
    let app = super::open(config, clock).await?;
    let (taken, words) = take(&app, report, recipient).await?;
    out.line(words);
    Ok(match taken {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(TRY_AGAIN),
    })
}

/// Whoever writes into a pipe that nobody reads fails: what is too long is read and thrown away.
fn read_input() -> Result<Vec<u8>> {
    let mut input = io::stdin().lock();
    let message = beginning(&mut input)?;
    io::copy(&mut input, &mut io::sink()).map_err(Error::unavailable)?;
    Ok(message)
}

async fn once(maildir: &Path, config: Config, clock: Clock, out: &Out) -> Result<ExitCode> {
    let app = super::open(config, clock).await?;
    let left = read_all(maildir, &app, out).await?;
    Ok(match left {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(TRY_AGAIN),
    })
}

/// A database that is away is waited for.
async fn watch(maildir: &Path, config: Config, clock: Clock, out: &Out) -> Result<ExitCode> {
    let listen = |kind| signal(kind).map_err(Error::internal);
    let (mut ended, mut broken_off) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let app = super::open(config, clock).await?;
    let mut trouble = None;
    loop {
        match read_all(maildir, &app, out).await {
            Err(why @ Error::Unavailable(_)) if trouble.is_none() => {
                out.complain(&why);
                trouble = Some(why);
            }
            Err(Error::Unavailable(_)) => {}
            read => {
                read?;
                trouble = None;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = ended.recv() => return Ok(ExitCode::SUCCESS),
            _ = broken_off.recv() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Reads what is new, in the order of its names. How many messages stay, because it is too early for them.
async fn read_all(maildir: &Path, app: &App, out: &Out) -> Result<usize> {
    let mut left = 0;
    for file in new_files(maildir)? {
        let path = maildir.join("new").join(&file);
        let message = match File::open(&path) {
            Ok(opened) => beginning(opened)?,
            // Another reader was faster.
            Err(why) if why.kind() == ErrorKind::NotFound => continue,
            Err(why) => return Err(trouble(&path, &why)),
        };
        let (taken, words) = match Report::read(&message) {
            Some(report) => take(app, report, None).await?,
            None => (true, NO_REPORT.to_owned()),
        };
        out.line(format_args!("{}  {words}", file.display()));
        match taken {
            true => {
                let mut name = file;
                name.push(":2,S");
                let seen = maildir.join("cur").join(name);
                match fs::rename(&path, &seen) {
                    Err(why) if path.exists() => return Err(trouble(&seen, &why)),
                    _ => {}
                }
            }
            false => left += 1,
        }
    }
    Ok(left)
}

/// Only files: what else lies there was not put there by a mail server.
fn new_files(maildir: &Path) -> Result<Vec<OsString>> {
    let folder = maildir.join("new");
    let entries = fs::read_dir(&folder).map_err(|why| trouble(&folder, &why))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|why| trouble(&folder, &why))?;
        let is_file = entry.file_type().is_ok_and(|it| it.is_file());
        files.extend(is_file.then(|| entry.file_name()));
    }
    files.sort();
    Ok(files)
}

/// A Maildir that is not ours to read does not become so by waiting.
fn trouble(path: &Path, why: &io::Error) -> Error {
    Error::misconfigured(format!("{}: {why}", path.display()))
}

fn beginning(input: impl Read) -> Result<Vec<u8>> {
    let mut message = Vec::new();
    let read = input.take(LARGEST).read_to_end(&mut message);
    read.map_err(Error::unavailable)?;
    Ok(message)
}

const NO_REPORT: &str = "passed over: it reports of no letter that came back";

/// Writes down what a report says. False: it is too early, and the message is to be kept.
async fn take(app: &App, report: Report, recipient: Option<&str>) -> Result<(bool, String)> {
    let letter = bounce_address::letter_of(&app.config, &app.keys, &report, recipient);
    let Some(id) = letter else {
        return Ok((
            true,
            "passed over: it is about no letter of ours".to_owned(),
        ));
    };
    let (number, reason, fate) = (id.clone(), report.reason.clone(), report.fate);
    let outcome = app
        .transaction(move |tx| note_bounce::note_bounce(tx, &id, &report))
        .await?;
    Ok(match outcome {
        Outcome::Bounced => {
            tracing::warn!(
                mail = number,
                reason,
                event = "mail_returned",
                "mail bounced"
            );
            (true, format!("{number} came back: {reason}"))
        }
        Outcome::Delayed => {
            tracing::info!(mail = number, reason, event = "mail_late", "mail is late");
            (true, format!("{number} is late: {reason}"))
        }
        Outcome::Known => (true, format!("{number} came back before")),
        Outcome::Unknown => (true, format!("passed over: there is no letter {number}")),
        Outcome::TooEarly if fate == Fate::Delayed => {
            (true, format!("passed over: {number} has not left yet"))
        }
        Outcome::TooEarly => (false, format!("{number} is just leaving; try again later")),
    })
}
