//! How a letter leaves: SMTP, over one connection that each send slot keeps.
//!
//! Promised: every stage ends by a deadline of its own and a whole send within [`LONGEST_SEND`]; what
//! went wrong is told as what to do about it ([`Failure`]); a letter arrives byte for byte, as one
//! letter. Never: a letter, a sender or a log-in in the clear beyond this machine; TLS below 1.2 or with
//! a certificate that does not hold; of its own accord, a second try of a letter that the server may have
//! taken; a byte that is not plain text in an address or a letter (smuggling); a secret or a whole address
//! in a text for the log. Nothing else in the tree speaks SMTP.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use lettre::Address;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::response::Response;
use tokio::time::{Instant, timeout};

use crate::config::{Config, SmtpUrl};
use crate::error::Result;

mod pace;
mod server;
mod stage;
mod trouble;
mod wire;
use pace::{DEADLINES, Deadlines, Pace, nobody};
pub use pace::{LONGEST_SEND, Watch};
use server::{Connection, Server};
pub use stage::Stage;
pub use trouble::Failure;
use trouble::{Trouble, for_log, in_step};

/// The mail server to hand letters to. Cheap to clone.
#[derive(Clone)]
pub struct Smtp {
    server: Arc<Server>,
}

impl Smtp {
    /// The server that the configuration names, if it names one; we greet it by our public name.
    ///
    /// # Errors
    /// As of [`Smtp::new`].
    pub fn of(config: &Config) -> Result<Option<Self>> {
        let server = |url| {
            Self::new(
                url,
                config.mail.smtp_ca_file.as_deref(),
                config.server.public_url.host(),
            )
        };
        config.mail.smtp.as_ref().map(server).transpose()
    }

    /// The server of `SMTP_URL`, trusted by the system's certificates and those in `ca_file`
    /// (`SMTP_CA_FILE`, PEM). `hello` is the public host name, or address, that we greet it with.
    /// Connects nowhere yet.
    ///
    /// # Errors
    /// A host that is no name for a certificate, a file that cannot be read or holds no certificate.
    pub fn new(url: &SmtpUrl, ca_file: Option<&Path>, hello: &str) -> Result<Self> {
        Self::with_deadlines(url, ca_file, hello, DEADLINES)
    }

    fn with_deadlines(
        url: &SmtpUrl,
        ca_file: Option<&Path>,
        hello: &str,
        deadlines: Deadlines,
    ) -> Result<Self> {
        let server = Server::new(url, ca_file, hello, deadlines)?;
        Ok(Self {
            server: Arc::new(server),
        })
    }

    /// A slot to send from, one letter after another. Nothing is connected until the first.
    pub fn slot(&self) -> Slot {
        Slot {
            server: Arc::clone(&self.server),
            kept: None,
        }
    }

    /// Connects, secures, logs in, asks whether it may send as `from`, and says goodbye. Sends nothing.
    pub async fn check(&self, from: &str) -> Result<(), Failure> {
        let mut slot = self.slot();
        let accepted = slot.probe(from).await;
        slot.close().await;
        accepted
    }

    /// Hands over one message as [`Slot::send`] does, over a connection of its own, and tells each step.
    pub async fn send_watched(
        &self,
        from: &str,
        to: &str,
        message: &str,
        watch: &Watch,
    ) -> Result<(), Failure> {
        let mut slot = self.slot();
        let sent = slot.hand_over(from, to, message, watch).await;
        slot.close().await;
        sent
    }
}

/// One connection, opened when first needed and kept between letters. It is taken out while in use: a
/// send that panics or is dropped half-way leaves an empty slot, never a connection out of step.
pub struct Slot {
    server: Arc<Server>,
    kept: Option<Kept>,
}

struct Kept {
    connection: Connection,
    since: Instant,
}

impl Slot {
    /// Hands over one complete message (RFC 5322, lines ended by CRLF, 7 bit) from one address to one.
    /// `Ok` once the server has taken charge of it.
    pub async fn send(&mut self, from: &str, to: &str, message: &str) -> Result<(), Failure> {
        self.hand_over(from, to, message, &nobody).await
    }

    /// Asks whether the server would have us send as `from`: over the kept connection, else a new one.
    pub async fn probe(&mut self, from: &str) -> Result<(), Failure> {
        let from = address(from)?;
        let server = Arc::clone(&self.server);
        let pace = server.pace(&nobody);
        let mut connection = self.begin(from, pace).await?;
        say(&mut connection, pace, Stage::Mail, Rset).await?;
        self.keep(connection);
        Ok(())
    }

    /// Whether another slot holds a connection to this server, as far as we know: then a failure to
    /// connect may be about this one alone, for many servers allow a client only so many.
    pub fn is_not_alone(&self) -> bool {
        let own = usize::from(self.kept.is_some());
        self.server.connections() > own
    }

    async fn hand_over(
        &mut self,
        from: &str,
        to: &str,
        message: &str,
        watch: &Watch,
    ) -> Result<(), Failure> {
        let (from, to) = (address(from)?, address(to)?);
        let message = plain(message)?;
        let server = Arc::clone(&self.server);
        let pace = server.pace(watch);
        let mut connection = self.begin(from, pace).await?;
        let sent = deliver(&mut connection, to, message, pace).await;
        if still_in_step(&mut connection, &sent, pace).await {
            self.keep(connection);
        }
        Ok(sent?)
    }

    /// A slot to the same server with no connection yet.
    pub fn fresh(&self) -> Self {
        Self {
            server: Arc::clone(&self.server),
            kept: None,
        }
    }

    /// Says goodbye, if there is anybody to say it to.
    pub async fn close(&mut self) {
        if let Some(mut kept) = self.kept.take() {
            let goodbye = kept.connection.smtp.quit();
            let _ = timeout(self.server.deadlines.goodbye, goodbye).await;
        }
    }

    /// A connection that has accepted the sender. One that was kept may have broken meanwhile, in ways
    /// that show only when it is used, or have had its share of letters: it gets one fresh successor.
    /// Nothing of the letter was sent yet, so nothing is sent twice.
    async fn begin(&mut self, from: Address, pace: Pace<'_>) -> Result<Connection, Trouble> {
        let mail = Mail::new(Some(from), Vec::new());
        if let Some(mut kept) = self.take_recent().await
            && say(&mut kept, pace, Stage::Mail, &mail).await.is_ok()
        {
            return Ok(kept);
        }
        let mut fresh = Connection::open(&self.server, pace).await?;
        say(&mut fresh, pace, Stage::Mail, &mail).await?;
        Ok(fresh)
    }

    async fn take_recent(&mut self) -> Option<Connection> {
        if self.kept.as_ref()?.since.elapsed() > self.server.deadlines.idle {
            self.close().await;
        }
        self.kept.take().map(|kept| kept.connection)
    }

    fn keep(&mut self, connection: Connection) {
        self.kept = Some(Kept {
            connection,
            since: Instant::now(),
        });
    }
}

/// The rest of a letter's transaction, after its sender (RFC 5321, 3.3).
async fn deliver(
    connection: &mut Connection,
    to: Address,
    message: &str,
    pace: Pace<'_>,
) -> Result<(), Trouble> {
    say(connection, pace, Stage::Rcpt, Rcpt::new(to, Vec::new())).await?;
    say(connection, pace, Stage::Data, Data).await?;
    let answer = pace
        .within(Stage::Letter, connection.smtp.message(message.as_bytes()))
        .await?;
    in_step(Stage::Letter, &answer)?;
    pace.tell(Stage::Letter, &said(&answer));
    Ok(())
}

/// Whether the connection can carry another letter. After a refusal it can, once the transaction that
/// was begun is forgotten (RFC 5321, 4.1.1.5).
async fn still_in_step(
    connection: &mut Connection,
    sent: &Result<(), Trouble>,
    pace: Pace<'_>,
) -> bool {
    match sent {
        Ok(()) => true,
        Err(trouble) if trouble.code.is_none() => false,
        Err(_) => {
            let unwatched = Pace {
                watch: &nobody,
                ..pace
            };
            let forgotten = say(connection, unwatched, Stage::Mail, Rset).await;
            forgotten.is_ok()
        }
    }
}

/// One command and its answer.
async fn say(
    connection: &mut Connection,
    pace: Pace<'_>,
    stage: Stage,
    command: impl Display,
) -> Result<(), Trouble> {
    let answer = pace.within(stage, connection.smtp.command(command)).await?;
    in_step(stage, &answer)?;
    pace.tell(stage, &said(&answer));
    Ok(())
}

/// The first line of an answer.
fn said(answer: &Response) -> String {
    let words = answer.first_line().unwrap_or_default();
    for_log(&format!("{} {words}", answer.code()))
}

/// An address that can only be an address once it is in a command: `a@b> NOTIFY=…` or a line end would
/// write commands of their own.
fn address(text: &str) -> Result<Address, Failure> {
    let harmless = |byte: u8| byte.is_ascii_graphic() && !br#"<>"\"#.contains(&byte);
    text.parse()
        .ok()
        .filter(|_| text.bytes().all(harmless))
        .ok_or_else(|| Failure::Never("an address that cannot be sent safely".into()))
}

/// A message of nothing but short lines of ASCII text, without its last line end (the final dot brings
/// one). A bare CR or LF is a line end to some servers and none to others: a letter with one could end
/// early for one of them, and the rest of it be commands. Longer lines are cut by some (RFC 5321,
/// 4.5.3.1.6); 8-bit text would need extensions that the server may lack.
fn plain(message: &str) -> Result<&str, Failure> {
    let text = |byte: u8| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic();
    let fits = |line: &str| line.len() <= 998 && line.bytes().all(text);
    if !message.split("\r\n").all(fits) {
        let why = "a letter that is not 7-bit text in lines of at most 998 characters";
        return Err(Failure::Never(why.into()));
    }
    Ok(message.strip_suffix("\r\n").unwrap_or(message))
}

#[cfg(test)]
mod tests;
