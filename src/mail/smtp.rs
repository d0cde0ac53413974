//! How a letter leaves: SMTP, over one connection that each send slot keeps.
//!
//! Promised: every stage ends by a deadline of its own and a whole send within [`LONGEST_SEND`]; what
//! went wrong is told as what to do about it ([`Failure`]); a letter arrives byte for byte, as one
//! letter; nobody's connection is kept longer than is of use. Never: a letter, a sender or a log-in in the clear beyond this machine; TLS below 1.2 or with
//! a certificate that does not hold; of its own accord, a second try of a letter that the server may have
//! taken; a byte that is not plain text in an address or a letter (smuggling); a secret or a whole address
//! in a text for the log. Nothing else in the tree speaks SMTP.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use lettre::Address;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::MailParameter;
use lettre::transport::smtp::response::Response;
use tokio::time::timeout;

use crate::clock::{Clock, Timestamp, millis};
use crate::config::{Config, SmtpUrl};
use crate::error::Result;

mod extensions;
mod pace;
mod server;
mod stage;
mod trouble;
mod wire;
use pace::{DEADLINES, Deadlines, Pace, nobody};
pub use pace::{LONGEST_SEND, Watch};
use server::{Connection, Server};
pub use stage::Stage;
pub(super) use trouble::for_log;
pub use trouble::{Blames, Failure, Refusal};
use trouble::{Trouble, in_step};

/// How many letters go over one connection. Exim delivers the first ten at once, answers 250 to the rest as well,
/// and leaves them lying until its next queue run, half an hour later (`smtp_accept_queue_per_connection`).
const LETTERS_PER_CONNECTION: u32 = 10;

/// The mail server to hand letters to. Cheap to clone.
#[derive(Clone)]
pub struct Smtp {
    server: Arc<Server>,
    letters_per_connection: u32,
}

/// From whom a letter is, to whom, and by what name a bounce is to speak of it: its own id.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub id: &'a str,
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
            letters_per_connection: LETTERS_PER_CONNECTION,
        })
    }

    /// The same with another number of letters over one connection: to see what the usual one costs.
    pub fn with_letters_per_connection(self, letters_per_connection: u32) -> Self {
        Self {
            letters_per_connection,
            ..self
        }
    }

    /// A slot to send from, one letter after another. Nothing is connected until the first. The clock says how
    /// long a connection has rested.
    pub fn slot(&self, clock: &Clock) -> Slot {
        Slot {
            smtp: self.clone(),
            clock: clock.clone(),
            kept: None,
            was_answered: false,
        }
    }

    /// Connects, secures, logs in, asks whether it may send as `from`, and says goodbye. Sends nothing.
    pub async fn check(&self, from: &str) -> Result<(), Failure> {
        let mut slot = self.slot(&Clock::System);
        let accepted = slot.probe(from).await;
        slot.close().await;
        accepted
    }

    /// Hands over one message as [`Slot::send`] does, over a connection of its own, and tells each step.
    pub async fn send_watched(
        &self,
        envelope: Envelope<'_>,
        message: &str,
        watch: &Watch,
    ) -> Result<(), Failure> {
        let mut slot = self.slot(&Clock::System);
        let sent = slot.hand_over(envelope, message, watch).await;
        slot.close().await;
        sent
    }
}

/// One connection, opened when first needed and kept between letters. It is taken out while in use: a
/// send that panics or is dropped half-way leaves an empty slot, never a connection out of step.
pub struct Slot {
    smtp: Smtp,
    clock: Clock,
    kept: Option<Kept>,
    /// Whether the last failure was an answer of the server's.
    was_answered: bool,
}

struct Kept {
    connection: Connection,
    since: Timestamp,
}

impl Slot {
    /// Hands over one complete message (RFC 5322, lines ended by CRLF, 7 bit) from one address to one.
    /// `Ok` once the server has taken charge of it.
    pub async fn send(&mut self, envelope: Envelope<'_>, message: &str) -> Result<(), Failure> {
        self.hand_over(envelope, message, &nobody).await
    }

    /// Asks whether the server would have us send as `from`: over the kept connection, else a new one.
    pub async fn probe(&mut self, from: &str) -> Result<(), Failure> {
        let sender = Sender::probing(from)?;
        let pace = self.smtp.server.pace(&nobody);
        let mut connection = self.begin(&sender, None, pace).await?;
        say(&mut connection, pace, Stage::Mail, Rset).await?;
        self.keep(connection);
        Ok(())
    }

    /// Whether another slot holds a connection to this server, as far as we know: then a failure to
    /// connect may be about this one alone, for many servers allow a client only so many. While one of ours that was
    /// let in before waits for its greeting, an answer that sends us away says the same; silence does not.
    pub fn is_not_alone(&self) -> bool {
        let server = &self.smtp.server;
        let own = usize::from(self.kept.is_some());
        server.connections() > own || self.was_answered && server.let_in() > 0
    }

    async fn hand_over(
        &mut self,
        envelope: Envelope<'_>,
        message: &str,
        watch: &Watch,
    ) -> Result<(), Failure> {
        let (sender, to) = (Sender::of(envelope)?, address(envelope.to)?);
        let message = plain(message)?;
        let pace = self.smtp.server.pace(watch);
        let mut connection = self.begin(&sender, Some(&to), pace).await?;
        let sent = deliver(&mut connection, to, message, pace).await;
        if still_in_step(&mut connection, &sent, pace).await {
            self.keep(connection);
        }
        Ok(sent?)
    }

    /// A slot to the same server with no connection yet.
    pub fn fresh(&self) -> Self {
        self.smtp.slot(&self.clock)
    }

    /// Says goodbye over a connection that is of no more use: it has carried its share of letters, or has rested
    /// for so long that the server has better uses for it (Exim takes twenty in all, and hangs up after 300 s). One
    /// that the server has ended goes without: while it counted, [`Slot::is_not_alone`] would say of a server that is
    /// away that it has others of us.
    pub async fn let_go(&mut self) {
        if let Some(kept) = &mut self.kept
            && kept.connection.was_ended().await
        {
            self.kept = None;
        }
        if self.kept.as_ref().is_some_and(|kept| self.is_over(kept)) {
            self.close().await;
        }
    }

    /// Says goodbye, if there is anybody to say it to.
    pub async fn close(&mut self) {
        if let Some(mut kept) = self.kept.take() {
            let goodbye = kept.connection.smtp.quit();
            let _ = timeout(self.smtp.server.deadlines.goodbye, goodbye).await;
        }
    }

    fn is_over(&self, kept: &Kept) -> bool {
        let connection = &kept.connection;
        let offered = connection.extensions.letters.unwrap_or(u32::MAX);
        let rested = self.clock.now().abs_diff(kept.since);
        connection.begun >= self.smtp.letters_per_connection.min(offered)
            || rested >= millis(self.smtp.server.deadlines.idle).unsigned_abs()
    }

    /// A connection that has accepted the sender. One that was kept may have broken meanwhile, in ways
    /// that show only when it is used, or have had its share of letters: it gets one fresh successor.
    /// Nothing of the letter was sent yet, so nothing is sent twice.
    async fn begin(
        &mut self,
        sender: &Sender,
        to: Option<&Address>,
        pace: Pace<'_>,
    ) -> Result<Connection, Trouble> {
        self.let_go().await;
        if let Some(Kept { mut connection, .. }) = self.kept.take()
            && name_sender(&mut connection, sender, to, pace).await.is_ok()
        {
            return Ok(connection);
        }
        let opened = Connection::open(&self.smtp.server, pace).await;
        self.was_answered = opened.as_ref().is_err_and(|trouble| trouble.is_answer);
        let mut fresh = opened?;
        name_sender(&mut fresh, sender, to, pace).await?;
        Ok(fresh)
    }

    fn keep(&mut self, connection: Connection) {
        self.kept = Some(Kept {
            connection,
            since: self.clock.now(),
        });
    }
}

/// The sender, and what is said with it where the server offers DSN. A bounce then brings back the head of the
/// letter without its body: else a live link lands in the mailbox of `MAIL_FROM`, before the eyes of whoever reads
/// what comes back.
struct Sender {
    from: Address,
    with_dsn: Vec<MailParameter>,
}

impl Sender {
    /// That of a letter.
    fn of(envelope: Envelope<'_>) -> Result<Self, Failure> {
        let parameter = |keyword: &str, value: &str| MailParameter::Other {
            keyword: keyword.to_owned(),
            value: Some(value.to_owned()),
        };
        let with_dsn = vec![
            parameter("RET", "HDRS"),
            parameter("ENVID", harmless_id(envelope.id)?),
        ];
        let from = address(envelope.from)?;
        Ok(Self { from, with_dsn })
    }

    /// That of no letter, which comes to no bounce.
    fn probing(from: &str) -> Result<Self, Failure> {
        let from = address(from)?;
        Ok(Self {
            from,
            with_dsn: Vec::new(),
        })
    }

    fn command(&self, with_dsn: bool) -> Mail {
        let parameters = match with_dsn {
            true => self.with_dsn.clone(),
            false => Vec::new(),
        };
        Mail::new(Some(self.from.clone()), parameters)
    }
}

/// Begins a letter. A server that offers DSN and then chokes on it (RFC 5321, 4.1.1.11) is asked without.
async fn name_sender(
    connection: &mut Connection,
    sender: &Sender,
    to: Option<&Address>,
    pace: Pace<'_>,
) -> Result<(), Trouble> {
    connection.begun += 1;
    let with_dsn = connection.extensions.dsn && !sender.with_dsn.is_empty();
    let named = name_ahead(connection, sender.command(with_dsn), to, pace).await;
    match named {
        Err(trouble) if with_dsn && matches!(trouble.code, Some(501 | 504 | 555)) => {
            hear_out(connection, pace).await?;
            connection.extensions.dsn = false;
            say(connection, pace, Stage::Mail, sender.command(false)).await
        }
        named => named,
    }
}

/// Names the sender. A server that lets us (PIPELINING, RFC 2920) is told the recipient in the same breath, and that the
/// letter follows; what it answers to those is heard when it is their turn.
async fn name_ahead(
    connection: &mut Connection,
    mail: Mail,
    to: Option<&Address>,
    pace: Pace<'_>,
) -> Result<(), Trouble> {
    let Some(to) = to.filter(|_| connection.extensions.pipelining) else {
        return say(connection, pace, Stage::Mail, mail).await;
    };
    connection.unheard = vec![Stage::Rcpt, Stage::Data];
    let rcpt = Rcpt::new(to.clone(), Vec::new());
    say(connection, pace, Stage::Mail, format!("{mail}{rcpt}{Data}")).await
}

/// Hears what is still to be said to commands that went ahead, after one of them was refused. A server that waits for a
/// letter all the same is hung up on.
async fn hear_out(connection: &mut Connection, pace: Pace<'_>) -> Result<(), Trouble> {
    for stage in std::mem::take(&mut connection.unheard) {
        match pace.within(stage, connection.smtp.read_response()).await {
            Ok(_) if stage == Stage::Data => {
                return Err(Trouble::lost(
                    stage,
                    "a letter without a recipient was called for",
                ));
            }
            Err(trouble) if trouble.code.is_none() => return Err(trouble),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
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
    say(connection, pace, Stage::Letter, ended_by_a_dot(message)).await
}

/// A letter in one piece, as it goes over the wire (RFC 5321, 4.5.2): a line of it that begins with a dot gets another,
/// and after the last one the dot stands alone.
fn ended_by_a_dot(message: &str) -> String {
    let first = if message.starts_with('.') { "." } else { "" };
    format!("{first}{}\r\n.\r\n", message.replace("\r\n.", "\r\n.."))
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
            hear_out(connection, unwatched).await.is_ok()
                && say(connection, unwatched, Stage::Mail, Rset).await.is_ok()
        }
    }
}

/// One command and its answer; or the answer alone, if the command went ahead.
async fn say(
    connection: &mut Connection,
    pace: Pace<'_>,
    stage: Stage,
    command: impl Display,
) -> Result<(), Trouble> {
    let went_ahead = connection.unheard.first() == Some(&stage);
    let answer = match went_ahead {
        true => {
            connection.unheard.remove(0);
            pace.within(stage, connection.smtp.read_response()).await?
        }
        false => pace.within(stage, connection.smtp.command(command)).await?,
    };
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
        .ok_or_else(|| Failure::unfit("an address that cannot be sent safely"))
}

/// A letter's id that can only be an id: it is ours, but rows can be damaged (RFC 3461, 4.4).
fn harmless_id(id: &str) -> Result<&str, Failure> {
    let is_harmless =
        (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let unsafe_id = || Failure::unfit("an id that cannot be sent safely");
    is_harmless.then_some(id).ok_or_else(unsafe_id)
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
        return Err(Failure::unfit(why));
    }
    Ok(message.strip_suffix("\r\n").unwrap_or(message))
}

#[cfg(test)]
mod tests;
