//! The server, and a connection to it: reached, greeted, secured and logged in.

use std::fmt::Display;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, TlsParameters,
};
use lettre::transport::smtp::commands::Ehlo;
use lettre::transport::smtp::extension::{ClientId, Extension};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::extensions::Extensions;
use super::pace::{Deadlines, Pace, Watch};
use super::stage::Stage;
use super::trouble::{Trouble, for_log, in_step};
use super::wire::Wire;
use crate::config::{SmtpSecurity, SmtpUrl};
use crate::error::{Error, Result};

/// How to reach the server, and how long to wait for it.
pub(super) struct Server {
    pub(super) host: String,
    port: u16,
    security: Security,
    log_in: Option<Credentials>,
    pub(super) hello: ClientId,
    pub(super) deadlines: Deadlines,
    /// How many are open.
    connections: AtomicUsize,
    /// How many it has let in, and not greeted yet.
    let_in: AtomicUsize,
}

enum Security {
    ImplicitTls(TlsConnector, ServerName<'static>),
    StartTls(TlsParameters),
    Plaintext,
}

/// A connection to the server, counted among those that there are.
pub(super) struct Connection {
    pub(super) smtp: AsyncSmtpConnection,
    pub(super) extensions: Extensions,
    /// How many letters were begun over it.
    pub(super) begun: u32,
    /// To what it was told ahead, and has not answered yet.
    pub(super) unheard: Vec<Stage>,
    server: Arc<Server>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits for its greeting, and is counted as long.
struct LetIn<'a>(&'a Server);

impl<'a> LetIn<'a> {
    fn to(server: &'a Server) -> Self {
        server.let_in.fetch_add(1, Ordering::Relaxed);
        Self(server)
    }
}

impl Drop for LetIn<'_> {
    fn drop(&mut self) {
        self.0.let_in.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// One that is greeted, secured and logged in. With `StartTls` a server that does not offer it is
    /// refused: whoever strips the offer on the way gets nothing to read.
    pub(super) async fn open(server: &Arc<Server>, pace: Pace<'_>) -> Result<Self, Trouble> {
        let stream = server.stream(pace).await?;
        let let_in = LetIn::to(server);
        let greeting = AsyncSmtpConnection::connect_with_transport(stream, &server.hello);
        let smtp = pace.within(Stage::Greeting, greeting).await?;
        server.connections.fetch_add(1, Ordering::Relaxed);
        drop(let_in);
        let mut connection = Self {
            smtp,
            extensions: Extensions::default(),
            begun: 0,
            unheard: Vec::new(),
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
        connection.extensions = connection.ask_for_extensions(pace).await?;
        Ok(connection)
    }

    /// Once more, and once logged in: of the answer to its own EHLO lettre keeps what it knows itself. A server
    /// that will not be greeted twice (OpenSMTPD: "already identified") is taken to offer nothing.
    async fn ask_for_extensions(&mut self, pace: Pace<'_>) -> Result<Extensions, Trouble> {
        let ehlo = Ehlo::new(self.server.hello.clone());
        let asked = pace.within(Stage::Greeting, self.smtp.command(ehlo)).await;
        match asked {
            Ok(answer) => {
                in_step(Stage::Greeting, &answer)?;
                Ok(Extensions::of(&answer))
            }
            Err(trouble) if trouble.code.is_some() => Ok(Extensions::default()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Whether the server has ended it while it rested: it hung up, or says that it does (421: RFC 5321, 3.8). Waits
    /// for nothing. A server has nothing else to say unasked.
    pub(super) async fn was_ended(&mut self) -> bool {
        let mut said = pin!(self.smtp.read_response());
        poll_fn(|cx| Poll::Ready(said.as_mut().poll(cx).is_ready())).await
    }

    /// Who answers, and what of that matters to us it can do.
    fn offers(&self) -> String {
        let server = self.smtp.server_info();
        let auth = Extension::Authentication;
        let mut offers = server.name().to_owned();
        for (feature, name) in [
            (Extension::StartTls, ", STARTTLS"),
            (auth(Mechanism::Plain), ", AUTH PLAIN"),
            (auth(Mechanism::Login), ", AUTH LOGIN"),
        ] {
            if server.supports_feature(feature) {
                offers.push_str(name);
            }
        }
        for_log(&offers)
    }
}

impl Server {
    /// See [`super::Smtp::new`].
    pub(super) fn new(
        url: &SmtpUrl,
        ca_file: Option<&Path>,
        hello: &str,
        deadlines: Deadlines,
    ) -> Result<Self> {
        let host = url.host.trim_matches(['[', ']']).to_owned();
        let authorities = ca_file.map_or(Ok(Vec::new()), certificates)?;
        Ok(Self {
            security: Security::new(&url.security, &host, authorities)?,
            log_in: url.credentials.clone().map(Credentials::from),
            hello: client_id(hello),
            host,
            port: url.port,
            deadlines,
            connections: AtomicUsize::new(0),
            let_in: AtomicUsize::new(0),
        })
    }

    /// How many connections to it are open.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many may be open in a moment.
    pub(super) fn let_in(&self) -> usize {
        self.let_in.load(Ordering::Relaxed)
    }

    pub(super) fn pace<'a>(&self, watch: &'a Watch) -> Pace<'a> {
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
