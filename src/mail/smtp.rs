//! How a letter leaves: SMTP, over one connection that each send slot keeps.
//!
//! Promised: every stage ends by a deadline of its own and a whole send within [`LONGEST_SEND`]; what
//! went wrong is told as what to do about it ([`Failure`]); a letter arrives byte for byte, as one
//! letter. Never: a letter, a sender or a log-in in the clear beyond this machine; TLS below 1.2 or with
//! a certificate that does not hold; of its own accord, a second try of a letter that the server may have
//! taken; a byte that is not plain text in an address or a letter (smuggling); a secret or a whole address
//! in a text for the log. Nothing else in the tree speaks SMTP.

use std::error::Error as StdError;
use std::fmt::{self, Display};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension};
use lettre::transport::smtp::response::Response;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::config::{Config, SmtpSecurity, SmtpUrl};
use crate::error::{Error, Result};

mod wire;
use wire::Wire;

/// No send takes longer, whatever the server does. Under a lease that outlives it no other node takes a
/// mail up while this one may still hand it over.
pub const LONGEST_SEND: Duration = Duration::from_secs(40);

/// Why a letter did not leave, by what is to be done about it. The text is for the operator's log: one
/// line of ASCII, at most 200 characters, without secrets or whole addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No way to the server, or it will not have us: connecting, TLS, log-in, the sender. It would be
    /// the same with any mail, and costs none a try.
    Unreachable(String),
    /// Not now, and the one whom the server will not have is us: it named this recipient and blamed the
    /// sender, or would not relay for us. Other recipients may fare better.
    Unwelcome(String),
    /// Not now: a 4xx about this mail, or a hang-up or deadline once the recipient was named. The latter
    /// is the mail's own failure, too, lest one that chokes the server holds up all the others.
    Later(String),
    /// Not ever: a 5xx about this recipient or letter, or one that cannot be sent safely.
    Never(String),
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreachable(text)
        | Self::Unwelcome(text)
        | Self::Later(text)
        | Self::Never(text)) = self;
        f.write_str(text)
    }
}

impl StdError for Failure {}

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
                config.smtp_ca_file.as_deref(),
                config.public_url.host(),
            )
        };
        config.smtp.as_ref().map(server).transpose()
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
        let host = url.host.trim_matches(['[', ']']).to_owned();
        let authorities = ca_file.map_or(Ok(Vec::new()), certificates)?;
        let server = Server {
            security: Security::new(&url.security, &host, authorities)?,
            log_in: url.credentials.clone().map(Credentials::from),
            hello: client_id(hello),
            host,
            port: url.port,
            deadlines,
            connections: AtomicUsize::new(0),
        };
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
        let welcome = slot.knock(from).await;
        slot.close().await;
        welcome
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

/// Told what was said at each stage that went well: for the operator's eyes, without secrets.
pub type Watch = dyn Fn(Stage, &str) + Send + Sync;

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

/// A connection to the server, counted among those that there are.
struct Connection {
    smtp: AsyncSmtpConnection,
    server: Arc<Server>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slot {
    /// Hands over one complete message (RFC 5322, lines ended by CRLF, 7 bit) from one address to one.
    /// `Ok` once the server has taken charge of it.
    pub async fn send(&mut self, from: &str, to: &str, message: &str) -> Result<(), Failure> {
        self.hand_over(from, to, message, &nobody).await
    }

    /// Asks whether the server would have us send as `from`: over the kept connection, else a new one.
    pub async fn knock(&mut self, from: &str) -> Result<(), Failure> {
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
        self.server.connections.load(Ordering::Relaxed) > own
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
        Err(_) => say(connection, pace, Stage::Mail, Rset).await.is_ok(),
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

/// An answer must be one to our command. Were a stray line taken for the go-ahead to DATA, the letter
/// would be read as commands; were one taken for the answer to the letter, it would be lost.
fn in_step(stage: Stage, answer: &Response) -> Result<(), Trouble> {
    let code = u16::from(answer.code());
    let expected = match stage {
        Stage::Data => code == 354,
        _ => (200..300).contains(&code),
    };
    if expected {
        return Ok(());
    }
    Err(Trouble::lost(
        stage,
        format!("out of step, answered {code}"),
    ))
}

/// How to reach the server, and how long to wait for it.
struct Server {
    host: String,
    port: u16,
    security: Security,
    log_in: Option<Credentials>,
    hello: ClientId,
    deadlines: Deadlines,
    /// How many are open.
    connections: AtomicUsize,
}

enum Security {
    ImplicitTls(TlsConnector, ServerName<'static>),
    StartTls(TlsParameters),
    Plaintext,
}

impl Connection {
    /// One that is greeted, secured and logged in. With `StartTls` a server that does not offer it is
    /// refused: whoever strips the offer on the way gets nothing to read.
    async fn open(server: &Arc<Server>, pace: Pace<'_>) -> Result<Self, Trouble> {
        let stream = server.stream(pace).await?;
        let greeting = AsyncSmtpConnection::connect_with_transport(stream, &server.hello);
        let smtp = pace.within(Stage::Greeting, greeting).await?;
        server.connections.fetch_add(1, Ordering::Relaxed);
        let mut connection = Self {
            smtp,
            server: Arc::clone(server),
        };
        pace.tell(Stage::Greeting, &connection.offers());
        if let Security::StartTls(tls) = &server.security {
            let upgrade = connection.smtp.starttls(tls.clone(), &server.hello);
            pace.within(Stage::Tls, upgrade).await?;
            pace.tell(Stage::Tls, &server.certified());
            pace.tell(Stage::Greeting, &connection.offers());
        }
        if let Some(credentials) = &server.log_in {
            let log_in = connection.smtp.auth(DEFAULT_MECHANISMS, credentials);
            let answer = pace.within(Stage::LogIn, log_in).await?;
            in_step(Stage::LogIn, &answer)?;
            pace.tell(Stage::LogIn, "accepted");
        }
        Ok(connection)
    }

    /// Who answers, and what of that matters to us it can do.
    fn offers(&self) -> String {
        let server = self.smtp.server_info();
        let can = |feature| server.supports_feature(feature);
        let offers = [
            (can(Extension::StartTls), "STARTTLS"),
            (
                can(Extension::Authentication(Mechanism::Plain)),
                "AUTH PLAIN",
            ),
            (
                can(Extension::Authentication(Mechanism::Login)),
                "AUTH LOGIN",
            ),
        ];
        let offered = offers.iter().filter(|(can, _)| *can).map(|(_, name)| *name);
        for_log(
            &[server.name()]
                .into_iter()
                .chain(offered)
                .collect::<Vec<_>>()
                .join(", "),
        )
    }
}

impl Server {
    fn pace<'a>(&self, watch: &'a Watch) -> Pace<'a> {
        Pace {
            deadlines: self.deadlines,
            end: Instant::now() + self.deadlines.whole,
            watch,
        }
    }

    fn certified(&self) -> String {
        format!("encrypted; the certificate is good for {}", self.host)
    }

    async fn stream(&self, pace: Pace<'_>) -> Result<Box<dyn AsyncTokioStream>, Trouble> {
        let tcp = pace.within(Stage::Connect, self.connect()).await?;
        let peer = tcp
            .peer_addr()
            .map_err(|e| Trouble::new(Stage::Connect, &e))?;
        pace.tell(Stage::Connect, &peer.to_string());
        match &self.security {
            Security::ImplicitTls(tls, name) => {
                let handshake = tls.connect(name.clone(), tcp);
                let tls = pace.within(Stage::Tls, handshake).await?;
                pace.tell(Stage::Tls, &self.certified());
                Ok(Box::new(Wire::new(tls, peer)))
            }
            // A name may come to mean another machine after the configuration was read.
            Security::Plaintext if !peer.ip().to_canonical().is_loopback() => Err(Trouble::lost(
                Stage::Connect,
                "the server is not on this machine: plain text is refused",
            )),
            Security::StartTls(_) | Security::Plaintext => Ok(Box::new(Wire::new(tcp, peer))),
        }
    }

    /// Each of the name's addresses gets its share of the time: one that swallows packets (IPv6, often)
    /// must not use up the others'. With Nagle's algorithm on, each letter would wait 40 ms for an
    /// acknowledgement.
    async fn connect(&self) -> io::Result<TcpStream> {
        let addresses: Vec<_> = lookup_host((self.host.as_str(), self.port))
            .await?
            .collect();
        let shares = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            let attempt = TcpStream::connect(address);
            match timeout(self.deadlines.connect / shares, attempt).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    }
}

/// How long each stage may take.
#[derive(Clone, Copy)]
struct Deadlines {
    connect: Duration,
    answer: Duration,
    letter: Duration,
    whole: Duration,
    goodbye: Duration,
    idle: Duration,
}

/// RFC 5321 (4.5.3.2) would wait minutes, for mail that is in no hurry; here a person waits for the link,
/// and a slot that hangs is missed by others. Relays that look up names or delay their greeting answer
/// within 10 s. What scans a letter before it answers gets the most time, for a letter given up after
/// its dot may arrive twice. Servers and firewalls drop idle connections after minutes, under stress
/// after 10 s, so that keeping one longer than 30 s buys little.
const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(10),
    letter: Duration::from_secs(30),
    whole: LONGEST_SEND,
    goodbye: Duration::from_secs(1),
    idle: Duration::from_secs(30),
};

/// The deadlines of one send (each stage has its own, and none outlives the whole), and who watches it.
#[derive(Clone, Copy)]
struct Pace<'a> {
    deadlines: Deadlines,
    end: Instant,
    watch: &'a Watch,
}

impl Pace<'_> {
    fn tell(self, stage: Stage, what: &str) {
        (self.watch)(stage, what);
    }

    async fn within<T, E: StdError + 'static>(
        self,
        stage: Stage,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Trouble> {
        let own = match stage {
            Stage::Connect => self.deadlines.connect,
            Stage::Letter => self.deadlines.letter,
            _ => self.deadlines.answer,
        };
        match timeout_at(self.end.min(Instant::now() + own), work).await {
            Ok(done) => done.map_err(|error| Trouble::new(stage, &error)),
            Err(_) => Err(Trouble::lost(stage, "no answer in time")),
        }
    }
}

fn nobody(_: Stage, _: &str) {}

/// Where in a send we are. Up to the sender it is about us and the server, from then on about the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Connect,
    Greeting,
    Tls,
    LogIn,
    Mail,
    Rcpt,
    Data,
    Letter,
}

impl Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Greeting => "greeting",
            Self::Tls => "TLS",
            Self::LogIn => "log-in",
            Self::Mail => "sender",
            Self::Rcpt => "recipient",
            Self::Data => "DATA",
            Self::Letter => "letter",
        })
    }
}

/// A stage that did not go well, not yet judged.
struct Trouble {
    stage: Stage,
    /// The code of a refusal; none where there was no usable answer, and the connection is lost.
    code: Option<u16>,
    words: String,
}

impl Trouble {
    fn lost(stage: Stage, words: impl Into<String>) -> Self {
        Self {
            stage,
            code: None,
            words: words.into(),
        }
    }

    fn new(stage: Stage, error: &(dyn StdError + 'static)) -> Self {
        let Some(smtp) = error.downcast_ref::<SmtpError>() else {
            return Self::lost(stage, root(error).to_string());
        };
        match smtp.status() {
            Some(code) => Self::refused(stage, code.into(), &root(error).to_string()),
            None if smtp.is_response() => Self::lost(stage, "hung up, or did not speak SMTP"),
            None => Self::lost(stage, root(error).to_string()),
        }
    }

    fn refused(stage: Stage, code: u16, said: &str) -> Self {
        let said = match stage {
            // Once the server has seen a secret (a filter names the link that it dislikes), its
            // words may repeat it. Its codes do not.
            Stage::LogIn | Stage::Letter => enhanced_code(said).unwrap_or_default(),
            _ => said,
        };
        Self {
            stage,
            // 421 is hanging up, with manners: a server may say it to any command (RFC 5321, 3.8).
            code: (code != 421).then_some(code),
            words: format!("{code} {said}"),
        }
    }

    /// Whether the refusal is of us, whichever command it answers: of the sender, or of relaying for us.
    /// Postfix holds the former back until the recipient (`smtpd_delay_reject`). Codes: RFC 4954, 6 and
    /// RFC 3463, 3.2; relaying has none of its own, so the word decides, unless a code speaks of
    /// something else ("5.1.1 … unknown in relay recipient table").
    fn blames_us(&self) -> bool {
        let said = self.words.split_once(' ').map_or("", |(_, said)| said);
        let enhanced = enhanced_code(said).unwrap_or_default();
        let is_policy = enhanced.is_empty() || enhanced.contains(".7.");
        let relaying = is_policy && said.to_ascii_lowercase().contains("relay");
        self.code == Some(530)
            || enhanced.ends_with(".1.7")
            || enhanced.ends_with(".1.8")
            || (self.stage == Stage::Rcpt && relaying)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let text = for_log(&format!("{}: {}", trouble.stage, trouble.words));
        match trouble.code {
            _ if trouble.stage < Stage::Rcpt => Self::Unreachable(text),
            Some(_) if trouble.blames_us() => Self::Unwelcome(text),
            Some(500..) => Self::Never(text),
            _ => Self::Later(text),
        }
    }
}

/// The innermost cause: the outer ones only say "connection error".
fn root<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}

/// The code that an answer may begin with, as in `5.1.1 no such user` (RFC 2034).
fn enhanced_code(said: &str) -> Option<&str> {
    let word = said.split(' ').next()?;
    let of_digits = |part: &str| matches!(part.len(), 1..=3) && part.parse::<u16>().is_ok();
    (word.split('.').count() == 3 && word.split('.').all(of_digits)).then_some(word)
}

/// Makes a text fit for the log: one line of ASCII (no forged lines, no colours), of bounded length, in
/// which an address keeps only its domain.
fn for_log(text: &str) -> String {
    const MAX: usize = 200;
    let mut fit = String::new();
    for character in text.chars() {
        match character {
            '@' => {
                let local = fit.rfind([' ', '<', '(', '[', ',', ';', ':', '"']);
                fit.truncate(local.map_or(0, |before| before + 1));
                fit.push_str("*@");
            }
            ' '..='~' => fit.push(character),
            _ => fit.push('?'),
        }
    }
    fit.truncate(MAX);
    fit.trim_end().to_owned()
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

/// What EHLO says: a name, or an address in brackets (RFC 5321, 4.1.3).
fn client_id(hello: &str) -> ClientId {
    match hello.trim_matches(['[', ']']).parse() {
        Ok(std::net::IpAddr::V4(address)) => ClientId::Ipv4(address),
        Ok(std::net::IpAddr::V6(address)) => ClientId::Ipv6(address),
        Err(_) => ClientId::Domain(hello.to_owned()),
    }
}

impl Security {
    fn new(
        wanted: &SmtpSecurity,
        host: &str,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self> {
        match wanted {
            SmtpSecurity::Plaintext => Ok(Self::Plaintext),
            SmtpSecurity::StartTls => Ok(Self::StartTls(starttls(host, authorities)?)),
            SmtpSecurity::ImplicitTls => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| Error::internal("SMTP_URL: the host is no name for TLS"))?;
                Ok(Self::ImplicitTls(implicit_tls(authorities)?, name))
            }
        }
    }
}

/// lettre's own settings, which trust the system's certificates and begin at TLS 1.2.
fn starttls(host: &str, authorities: Vec<CertificateDer<'static>>) -> Result<TlsParameters> {
    let mut tls = TlsParameters::builder(host.to_owned());
    for authority in authorities {
        let certificate = Certificate::from_der(authority.to_vec()).map_err(unfit)?;
        tls = tls.add_root_certificate(certificate);
    }
    tls.build().map_err(unfit)
}

/// The same for a connection that is TLS from its first byte, which lettre cannot open over a stream of
/// ours.
fn implicit_tls(authorities: Vec<CertificateDer<'static>>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for authority in authorities {
        roots.add(authority).map_err(unfit)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unfit)?;
    if found.is_empty() {
        return Err(unfit("no certificate in it"));
    }
    Ok(found)
}

fn unfit(why: impl Display) -> Error {
    Error::internal(format!("SMTP_CA_FILE: {why}"))
}

#[cfg(test)]
mod tests;
