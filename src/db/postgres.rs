//! PostgreSQL, in Rust down to the socket: a few plain threads with a connection each.
//!
//! A job runs on one of the threads and blocks it: queries are written once, and in SQLite they are plain
//! calls. A caller waits at most 2 seconds in all and is then told "not done"; the thread, when it gets
//! that far, sees that nobody waits and rolls back. So a server that hangs costs 2 seconds, not a visitor's
//! patience, and one that is gone costs nothing: a lost connection is replaced by the next job, and if that
//! fails, the next tries again.
//!
//! **TLS** is rustls, and a certificate is always verified against the system's roots (`SSL_CERT_FILE` names
//! others). `sslmode=disable` is plain text; `require` refuses a server without TLS; `prefer` takes plain text
//! from such a server, but never falls back from a certificate it does not trust. A URL that names no
//! `sslmode` means plain text where the server is on this machine (a loopback address or a Unix socket:
//! Debian's PostgreSQL has a certificate there that nobody can verify), and `prefer` elsewhere.
//!
//! Settings are made for the session, so a proxy in front must keep one server connection per client
//! connection (PgBouncer: `pool_mode=session`).

use std::any::Any;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use diesel::connection::{
    AnsiTransactionManager, CacheSize, Instrumentation, LoadConnection, SimpleConnection,
    TransactionManager as _, TransactionManagerStatus,
};
use diesel::expression::QueryMetadata;
use diesel::internal::derives::multiconnection::{ConnectionSealed, MultiConnectionHelper};
use diesel::migration::{CREATE_MIGRATIONS_TABLE, MigrationConnection};
use diesel::pg::{
    FailedToLookupTypeError, Pg, PgMetadataCacheKey, PgMetadataLookup, PgTypeMetadata,
};
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::sql_types::TypeMetadata;
use diesel::{ConnectionError, ConnectionResult, QueryResult};
use diesel_async::{
    AsyncConnection as _, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection as _,
};
use futures_util::StreamExt as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::job::{self, Job, Outcome, Ran};
use super::migrations::{Known, apply_pending};
use super::{Connection, Tx, roll_back_to};
use crate::clock::Clock;
use crate::error::{Error, Result};

/// How many threads, and so connections, a node has.
const CONNECTIONS: usize = 8;

/// How long a caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a connection may take to come about: less, so that its caller hears why it did not.
const CONNECT_PATIENCE: Duration = Duration::from_millis(1500);

/// A statement has no longer than its caller's patience, and waits for a row less long than that. A guarded
/// `UPDATE` decides by its row count, for which it must see what others committed while it waited. A node
/// that stops in mid-transaction lets go of its rows. Notices (that a table is there already) are noise.
const SETTINGS: &str = "SET default_transaction_isolation = 'read committed'; \
    SET statement_timeout = '2s'; SET lock_timeout = '1500ms'; \
    SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = 'warning'";

/// Migrating may take a while, and whoever starts beside it waits for it. The lock's number is "doorpost"
/// in ASCII; it is let go at the end of the transaction, whichever way that comes.
const LOCK_MIGRATIONS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'; \
    SET LOCAL idle_in_transaction_session_timeout = 0; \
    SELECT pg_advisory_xact_lock(7237125663510983540)";

/// A PostgreSQL database.
pub(super) struct Store {
    connector: Arc<Connector>,
    queue: SyncSender<Task>,
}

/// What a thread is asked to do.
struct Task {
    kind: Kind,
    job: Box<dyn Job>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Transaction,
}

impl Store {
    /// Connects once, so that whoever starts the program hears what is wrong, then starts the threads.
    pub fn open(url: &str, clock: Clock) -> Result<Self> {
        let connector = Arc::new(Connector::new(url)?);
        on_plain_thread(|| connector.connect().map(drop))?;
        let (queue, tasks) = job::queue();
        let tasks = Arc::new(Mutex::new(tasks));
        for _ in 0..CONNECTIONS {
            let tasks = Arc::clone(&tasks);
            let worker = Worker {
                connector: Arc::clone(&connector),
                clock: clock.clone(),
                connection: None,
            };
            thread::Builder::new()
                .name("database".into())
                .spawn(move || worker.run(&tasks))
                .map_err(Error::unavailable)?;
        }
        Ok(Self { connector, queue })
    }

    /// See [`super::Db::migrate`].
    pub fn migrate(&self, known: Known) -> Result<Vec<String>> {
        on_plain_thread(|| {
            let mut conn = self.connector.connect()?;
            Connection::begin_transaction(&mut conn)?;
            conn.batch_execute(LOCK_MIGRATIONS)?;
            // On an error the connection is closed, and the server rolls back.
            let applied = apply_pending(&mut conn, known)?;
            commit(&mut conn)?;
            Ok(applied)
        })
    }

    /// Runs `look` on a thread, without a transaction: a single query is a single round trip.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.ask(Kind::Read, look).await
    }

    /// Runs `change` on a thread, in a transaction.
    pub async fn transaction<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.ask(Kind::Transaction, change).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (job, answer) = job::job(work);
        job::enqueue(&self.queue, Task { kind, job })?;
        timeout(PATIENCE, answer.arrive())
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("the database did not answer in time")))
    }
}

/// Runs `work` where waiting is allowed: inside an async worker it would panic.
fn on_plain_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(Error::internal("the database's thread panicked")))
}

/// One of the threads.
struct Worker {
    connector: Arc<Connector>,
    clock: Clock,
    connection: Option<Connection>,
}

impl Worker {
    /// Serves until the last sender is gone.
    fn run(mut self, tasks: &Mutex<Receiver<Task>>) {
        while let Some(task) = next(tasks) {
            if catch_unwind(AssertUnwindSafe(|| self.serve(task))).is_err() {
                tracing::error!("a database thread panicked and goes on with a new connection");
            }
        }
    }

    /// Runs a job and answers. The connection goes back to its place only if it is sound; to drop it is to
    /// roll back.
    fn serve(&mut self, Task { kind, job }: Task) {
        if !job.is_awaited() {
            return;
        }
        let mut conn = match self.begin(kind) {
            Ok(conn) => conn,
            Err(Error::Unavailable(why) | Error::Internal(why)) => return job.refuse(&why),
        };
        let Ran { outcome, reply } = job.run(&mut Tx::begin(&mut conn, &self.clock));
        let finished = match outcome {
            Outcome::Done if kind == Kind::Transaction => commit(&mut conn),
            Outcome::Done => Ok(()),
            Outcome::Failed => roll_back_to(&mut conn, 0),
            Outcome::Panicked => return reply.send(),
        };
        match finished {
            Ok(()) => self.connection = Some(conn),
            Err(why) if outcome == Outcome::Done => {
                return reply.refuse(&format!("the transaction could not be kept: {why}"));
            }
            // The function has its own word for what went wrong.
            Err(_) => {}
        }
        reply.send();
    }

    fn begin(&mut self, kind: Kind) -> Result<Connection> {
        let mut conn = match self.connection.take() {
            Some(conn) if is_alive(&conn) => conn,
            _ => self.connector.connect()?,
        };
        if kind == Kind::Transaction {
            Connection::begin_transaction(&mut conn)?;
        }
        Ok(conn)
    }
}

/// The next task; whoever holds the lock waits, the others wait for the lock.
fn next(tasks: &Mutex<Receiver<Task>>) -> Option<Task> {
    tasks
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}

fn is_alive(conn: &Connection) -> bool {
    matches!(conn, Connection::Postgres(conn) if conn.is_alive())
}

/// Commits. A function that swallowed an error and returned `Ok` leaves a transaction that is lost
/// already, and to a bare `COMMIT` PostgreSQL then answers `ROLLBACK`, which is no error: its caller would
/// hear "done" of what was not. Any other statement is refused in that state, so one goes ahead, in
/// the same round trip.
fn commit(conn: &mut Connection) -> QueryResult<()> {
    conn.batch_execute("SELECT 1; COMMIT")?;
    *Connection::transaction_manager_status_mut(conn) = TransactionManagerStatus::default();
    Ok(())
}

/// Knows how to reach the server.
struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Connector {
    fn new(url: &str) -> Result<Self> {
        let config = parse(url)?;
        let roots = match config.get_ssl_mode() {
            SslMode::Disable => RootCertStore::empty(),
            _ => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            config,
            tls: MakeRustlsConnect::new(tls),
        })
    }

    /// A connection, driven by the thread that waits on it. Only for plain threads.
    fn connect(&self) -> Result<Connection> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::unavailable)?;
        let dialled = runtime.block_on(async { timeout(CONNECT_PATIENCE, self.dial()).await });
        match dialled.unwrap_or_else(|_| Err("it does not answer".to_owned())) {
            Ok((client, link)) => Ok(Connection::Postgres(Postgres {
                client,
                transactions: AnsiTransactionManager::default(),
                link,
                runtime,
            })),
            Err(why) => {
                // A name server that does not answer either is not waited for.
                runtime.shutdown_background();
                Err(Error::unavailable(format!(
                    "cannot connect to PostgreSQL: {why}"
                )))
            }
        }
    }

    async fn dial(&self) -> Result<(AsyncPgConnection, JoinHandle<()>), String> {
        let connected = self.config.connect(self.tls.clone()).await;
        let (client, link) = connected.map_err(|why| in_words(&why))?;
        let link = tokio::spawn(async move {
            if let Err(why) = link.await {
                tracing::warn!("a connection to the database was lost: {}", in_words(&why));
            }
        });
        let mut client = AsyncPgConnection::try_from(client)
            .await
            .map_err(|why| why.to_string())?;
        client
            .batch_execute(SETTINGS)
            .await
            .map_err(|why| why.to_string())?;
        Ok((client, link))
    }
}

/// Reads the URL. What is wrong with it is not said in detail: in a password whose special characters
/// were not encoded, the wrong part may be a piece of the password.
fn parse(url: &str) -> Result<Config> {
    let mut config: Config = url.parse().map_err(|_| {
        Error::unavailable(
            "the database's URL cannot be read; it should be \
             postgres://user:password@host:port/database, with special characters %-encoded",
        )
    })?;
    let names_sslmode = url
        .split(['?', '&'])
        .skip(1)
        .any(|option| option.starts_with("sslmode="));
    if !names_sslmode && is_local(&config) {
        config.ssl_mode(SslMode::Disable);
    }
    if config.get_application_name().is_none() {
        config.application_name("doorpost");
    }
    // A second host, or a second address of the same, gets its turn.
    config.connect_timeout(CONNECT_PATIENCE / 2);
    // So that a server which vanished without a word is noticed before a visitor comes twice.
    config.tcp_user_timeout(Duration::from_secs(3));
    config.keepalives_idle(Duration::from_secs(3));
    config.keepalives_interval(Duration::from_secs(1));
    config.keepalives_retries(3);
    Ok(config)
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

/// A connection to PostgreSQL in diesel's plain, waiting form, around diesel-async's.
///
/// It has a small runtime of its own, which runs only while somebody waits here.
pub struct Postgres {
    client: AsyncPgConnection,
    transactions: AnsiTransactionManager,
    link: JoinHandle<()>,
    runtime: Runtime,
}

impl Postgres {
    /// Whether the server has not hung up since somebody last waited here. Nothing is sent: the link gets
    /// a turn to hear what has arrived (one yield for the socket, one for the link).
    fn is_alive(&self) -> bool {
        self.runtime.block_on(async {
            yield_now().await;
            yield_now().await;
        });
        !self.link.is_finished()
    }
}

impl ConnectionSealed for Postgres {}

impl SimpleConnection for Postgres {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.runtime.block_on(self.client.batch_execute(query))
    }
}

impl diesel::Connection for Postgres {
    type Backend = Pg;
    type TransactionManager = AnsiTransactionManager;

    fn establish(url: &str) -> ConnectionResult<Self> {
        let bad = |why: Error| ConnectionError::BadConnection(why.to_string());
        match Connector::new(url)
            .and_then(|connector| connector.connect())
            .map_err(bad)?
        {
            Connection::Postgres(conn) => Ok(conn),
            Connection::Sqlite(_) => Err(bad(Error::internal("not PostgreSQL"))),
        }
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        self.runtime
            .block_on(self.client.execute_returning_count(source))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.client.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.client.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.client.set_prepared_statement_cache_size(size);
    }
}

impl LoadConnection for Postgres {
    type Cursor<'conn, 'query> = std::vec::IntoIter<QueryResult<Self::Row<'conn, 'query>>>;
    type Row<'conn, 'query> = <AsyncPgConnection as AsyncConnectionCore>::Row<'conn, 'query>;

    /// Waits once for all rows, not once for each.
    fn load<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        let Self {
            client, runtime, ..
        } = self;
        let rows: Vec<_> = runtime
            .block_on(async { QueryResult::Ok(client.load(source).await?.collect().await) })?;
        Ok(rows.into_iter())
    }
}

impl MigrationConnection for Postgres {
    fn setup(&mut self) -> QueryResult<usize> {
        self.batch_execute(CREATE_MIGRATIONS_TABLE).map(|()| 0)
    }
}

/// What diesel's derive asks where it needs to know a type's number on the server. The built-in types
/// have fixed numbers and are all that is used.
struct BuiltInTypes;

impl PgMetadataLookup for BuiltInTypes {
    fn lookup_type(&mut self, name: &str, schema: Option<&str>) -> PgTypeMetadata {
        let key = PgMetadataCacheKey::new(
            schema.map(|schema| schema.to_owned().into()),
            name.to_owned().into(),
        );
        PgTypeMetadata::from_result(Err(FailedToLookupTypeError::new(key)))
    }
}

impl MultiConnectionHelper for Postgres {
    fn to_any<'a>(_: &mut <Pg as TypeMetadata>::MetadataLookup) -> &mut (dyn Any + 'a) {
        Box::leak(Box::new(BuiltInTypes)) // has no size, so nothing is allocated and nothing leaks
    }

    fn from_any(lookup: &mut dyn Any) -> Option<&mut <Pg as TypeMetadata>::MetadataLookup> {
        lookup
            .downcast_mut::<BuiltInTypes>()
            .map(|lookup| lookup as &mut dyn PgMetadataLookup)
    }
}
