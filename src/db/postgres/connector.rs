//! How the server is reached: the URL, TLS, and what each session is told first.
//!
//! **Several servers**, of which one takes writes and the others follow it, are asked in the order of the URL, each in a
//! time of its own: one that is away, hangs, or takes no writes costs the next no more than a head start.
//!
//! **TLS** is rustls, and a certificate is always verified, for its name too, against the system's roots
//! (`SSL_CERT_FILE` names others) or those that `sslrootcert` names. `sslmode=disable` is plain text; `require` and
//! `verify-full` refuse a server without TLS; `prefer` takes plain text from such a server, but never falls back from
//! a certificate it does not trust. A URL that names neither means plain text where the server is on this machine (a
//! loopback address or a Unix socket: Debian's PostgreSQL has a certificate there that nobody can verify), and
//! `prefer` elsewhere.

use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use futures_util::StreamExt as _;
use futures_util::future::poll_fn;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::Severity;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection as Link, SimpleQueryMessage, Socket,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Postgres;
use crate::config::PostgresUrl;
use crate::db::{Connection, statements};
use crate::error::{Error, Result};
use crate::random;

/// How long a connection may take to come about: less, so that its caller hears why it did not.
const CONNECT_PATIENCE: Duration = Duration::from_millis(1500);

/// How long a server has before the next is asked as well: one that is well has answered by then, unless it is far away.
const HEAD_START: Duration = Duration::from_millis(300);

/// How long the look at what stands between may take: once, and over a long way perhaps.
const LOOK_PATIENCE: Duration = Duration::from_secs(4);

/// A statement has no longer than its caller's patience, and waits for a row less long than that. A guarded
/// `UPDATE` decides by its row count, for which it must see what others committed while it waited. A node
/// that stops in mid-transaction lets go of its rows. Nothing is written outside of a transaction. Notices (that a table is
/// there already) are noise.
const SETTINGS: &str = "SET default_transaction_isolation = 'read committed'; \
    SET default_transaction_read_only = on; \
    SET statement_timeout = '2s'; SET lock_timeout = '1500ms'; \
    SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = 'warning'";

/// Says that a Doorpost has the database open, for as long as this session lives; no, where another wants it for itself
/// alone ([`is_alone`](super::is_alone)). A session that a pool in front of the server keeps loses the lock with whatever
/// else was its client's.
const MARK_IN_USE: &str = "SELECT pg_try_advisory_lock_shared(7237125663510983541)";

/// Knows how to reach the server.
pub(super) struct Connector {
    servers: Vec<Config>,
    in_any_order: bool,
    tls: MakeRustlsConnect,
}

impl Connector {
    /// Reads the URL, and finds whom to trust.
    pub fn new(url: &str) -> Result<Self> {
        let url = parse(url)?;
        let speaks_tls = |server: &Config| server.get_ssl_mode() != SslMode::Disable;
        let roots = match (url.servers.iter().any(speaks_tls), &url.root_certificates) {
            (false, _) => RootCertStore::empty(),
            (true, Some(file)) => roots_in(file)?,
            (true, None) => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            servers: url.servers,
            in_any_order: url.in_any_order,
            tls: MakeRustlsConnect::new(tls),
        })
    }

    /// A connection, driven by the thread that waits on it, and for no answer longer than it has `patience`. Only for
    /// plain threads.
    pub fn connect(&self, patience: Option<Duration>) -> Result<Connection> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::unavailable)?;
        let dialled = runtime.block_on(async { timeout(CONNECT_PATIENCE, self.dial()).await });
        match dialled.unwrap_or_else(|_| Err(cannot_connect("it does not answer"))) {
            Ok(dialled) => {
                let mut conn = Connection::Postgres(Postgres::over(dialled, runtime, patience));
                statements::say(&mut conn);
                Ok(conn)
            }
            Err(why) => {
                // A name server that does not answer either is not waited for.
                runtime.shutdown_background();
                Err(why)
            }
        }
    }

    /// Refuses a proxy that gives each transaction whichever of its server connections is free (PgBouncer's
    /// `pool_mode=transaction`): the settings of a session, its prepared statements and its locks would be a
    /// stranger's, now and then. Only for plain threads.
    pub fn refuse_shared_sessions(&self) -> Result<()> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::unavailable)?;
        let looked =
            runtime.block_on(async { timeout(LOOK_PATIENCE, self.shares_sessions()).await });
        runtime.shutdown_background();
        match looked {
            Ok(Ok(false)) => Ok(()),
            Ok(Ok(true)) => Err(Error::misconfigured(
                "what DATABASE_URL leads to gives each transaction another connection to PostgreSQL; a node needs 8 \
                 that are its own: with PgBouncer, set pool_mode=session for this database and a pool_size of 9 for \
                 each node, or go past it",
            )),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(cannot_connect(
                "a second connection is not served beside the first: is the pool in front of it too small? A node \
                 needs 8",
            )),
        }
    }

    /// Whether a connection is served by another process once its transaction has ended. Whichever of those that were
    /// given back a proxy takes first, the last or the one that waits longest, two askers at two tries meet another.
    async fn shares_sessions(&self) -> Result<bool> {
        let ((one, _), (other, _)) = tokio::try_join!(self.reach(), self.reach())?;
        let mut served_by = Vec::new();
        for client in [&one, &other] {
            client
                .batch_execute("BEGIN")
                .await
                .map_err(cannot_connect)?;
            served_by.push((client, process_of(client).await?));
        }
        for client in [&one, &other] {
            client
                .batch_execute("COMMIT")
                .await
                .map_err(cannot_connect)?;
        }
        for (client, process) in served_by {
            for _ in 0..2 {
                if process_of(client).await? != process {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn dial(&self) -> Result<Dialled> {
        let (client, link) = self.reach().await?;
        let has_warned = Arc::clone(&link.has_warned);
        let is_free = asked(&client, &format!("{SETTINGS}; {MARK_IN_USE}")).await?;
        if is_free.as_deref() != Some("t") {
            return Err(Error::unavailable("the database is just being restored"));
        }
        let client = AsyncPgConnection::try_from(client)
            .await
            .map_err(cannot_connect)?;
        Ok(Dialled {
            client,
            link: link.driver,
            has_warned,
        })
    }

    /// A bare connection to the first server that gives one, and what drives it.
    async fn reach(&self) -> Result<(Client, Driven)> {
        let mut others = self.in_turn();
        let mut asked = FuturesUnordered::new();
        let mut refusals = Vec::new();
        loop {
            asked.extend(others.next().map(|server| self.ask(server)));
            tokio::select! {
                answer = asked.next() => match answer {
                    Some(Ok((client, link))) => return Ok((client, Driven::by_this_thread(link))),
                    Some(Err(refusal)) => refusals.push(refusal),
                    None => return Err(refused_by_all(&refusals)),
                },
                () = sleep(HEAD_START), if others.len() > 0 => {}
            }
        }
    }

    fn in_turn(&self) -> impl ExactSizeIterator<Item = &Config> {
        let first = match self.in_any_order {
            true => usize::from(u16::from_ne_bytes(random::bytes())) % self.servers.len(),
            false => 0,
        };
        let (last, first) = self.servers.split_at(first);
        let in_turn: Vec<&Config> = first.iter().chain(last).collect();
        in_turn.into_iter()
    }

    async fn ask(&self, server: &Config) -> std::result::Result<(Client, TlsLink), Refusal> {
        let asked = server.connect(self.tls.clone()).await;
        asked.map_err(|why| Refusal {
            by: name_of(server),
            why,
        })
    }
}

/// A connection that nobody drives yet.
type TlsLink = Link<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// A server that gave no connection.
struct Refusal {
    by: String,
    why: tokio_postgres::Error,
}

/// As long as one of them may come back, waiting for it is not in vain. Which of several said what is said; a single one
/// stands in the URL.
fn refused_by_all(refusals: &[Refusal]) -> Error {
    let words = match refusals {
        [only] => in_words(&only.why),
        several => {
            let words = several
                .iter()
                .map(|refusal| format!("{}: {}", refusal.by, in_words(&refusal.why)));
            words.collect::<Vec<_>>().join("; ")
        }
    };
    match refusals.iter().any(|refusal| may_pass(&refusal.why)) {
        true => cannot_connect(words),
        false => Error::misconfigured(format!(
            "cannot connect to PostgreSQL by this DATABASE_URL: {words}"
        )),
    }
}

fn name_of(server: &Config) -> String {
    let host = match server.get_hosts() {
        [Host::Tcp(name), ..] => name.clone(),
        [Host::Unix(folder), ..] => folder.display().to_string(),
        [] => String::new(),
    };
    match server.get_ports() {
        [port, ..] => format!("{host}:{port}"),
        [] => host,
    }
}

/// A connection that is ready for use.
pub(super) struct Dialled {
    pub client: AsyncPgConnection,
    /// What drives it.
    pub link: JoinHandle<()>,
    /// Set whenever the server does what it was told and has a warning on it.
    pub has_warned: Arc<AtomicBool>,
}

/// What drives a connection, as long as somebody waits on its thread.
struct Driven {
    driver: JoinHandle<()>,
    has_warned: Arc<AtomicBool>,
}

impl Driven {
    fn by_this_thread<T>(link: Link<Socket, T>) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let has_warned = Arc::<AtomicBool>::default();
        let driver = tokio::spawn(drive(link, Arc::clone(&has_warned)));
        Self { driver, has_warned }
    }
}

/// A warning comes ahead of the answer that it belongs to, and so is known before that.
async fn drive<T>(mut link: Link<Socket, T>, has_warned: Arc<AtomicBool>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| link.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) => {
                if notice.parsed_severity() == Some(Severity::Warning) {
                    has_warned.store(true, Ordering::Relaxed);
                }
            }
            Some(Ok(_)) => {}
            Some(Err(why)) => {
                return tracing::warn!(
                    event = "database_connection_lost",
                    "a connection to the database was lost: {}",
                    in_words(&why)
                );
            }
            None => return,
        }
    }
}

/// The server's process that serves this connection now.
async fn process_of(client: &Client) -> Result<Option<String>> {
    asked(client, "SELECT pg_backend_pid()").await
}

/// What the server answers to a question; asked without a prepared statement.
async fn asked(client: &Client, question: &str) -> Result<Option<String>> {
    let answer = client
        .simple_query(question)
        .await
        .map_err(|why| cannot_connect(in_words(&why)))?;
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

fn cannot_connect(why: impl fmt::Display) -> Error {
    Error::unavailable(format!("cannot connect to PostgreSQL: {why}"))
}

/// What may pass by itself: nobody listens yet, no name for it yet, a server that starts or has too many callers. A
/// user, a password, a database or a certificate that is not right does not come right by waiting.
fn may_pass(error: &tokio_postgres::Error) -> bool {
    if let Some(said) = error.as_db_error() {
        // Invalid authorization, no such database, not permitted.
        return !["28", "3D", "42"]
            .iter()
            .any(|class| said.code().code().starts_with(class));
    }
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    // What TLS does not like comes as data that is not valid.
    error.is_closed()
        || cause.is_some_and(|cause: &io::Error| cause.kind() != io::ErrorKind::InvalidData)
}

/// The URL, with what we add to it.
fn parse(url: &str) -> Result<PostgresUrl> {
    let mut url = PostgresUrl::parse(url).map_err(|mistake| {
        Error::misconfigured(format!("the database's URL cannot be read: it {mistake}"))
    })?;
    let speaks_plainly = !url.names_tls && url.servers.iter().all(is_local);
    for server in &mut url.servers {
        if speaks_plainly {
            server.ssl_mode(SslMode::Disable);
        }
        if server.get_application_name().is_none() {
            server.application_name("doorpost");
        }
        // A second address of the same name gets its turn.
        server.connect_timeout(CONNECT_PATIENCE / 2);
        // So that a server which vanished without a word is noticed before a visitor comes twice.
        server.tcp_user_timeout(Duration::from_secs(3));
        server.keepalives_idle(Duration::from_secs(3));
        server.keepalives_interval(Duration::from_secs(1));
        server.keepalives_retries(3);
    }
    Ok(url)
}

fn is_local(config: &Config) -> bool {
    let local_host = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    };
    config.get_hosts().iter().all(local_host)
        && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Error::unavailable(
            "no root certificates on this system to verify PostgreSQL's with (package ca-certificates)",
        ));
    }
    Ok(roots)
}

/// The authorities that the operator named, and no others.
fn roots_in(file: &Path) -> Result<RootCertStore> {
    let unread = |why: &dyn fmt::Display| {
        Error::misconfigured(format!("the certificates in {}: {why}", file.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|why| unread(&why))? {
        let certificate = certificate.map_err(|why| unread(&why))?;
        roots.add(certificate).map_err(|why| unread(&why))?;
    }
    Ok(roots)
}

/// An error with its causes, in one line. tokio-postgres names no URL and no password in any of them.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(words, ": {error}");
        cause = error.source();
    }
    words.replace('\n', " ")
}
