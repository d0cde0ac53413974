//! diesel's plain connection to PostgreSQL, around diesel-async's.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::{
    AnsiTransactionManager, CacheSize, Instrumentation, LoadConnection, SimpleConnection,
};
use diesel::expression::QueryMetadata;
use diesel::internal::derives::multiconnection::{ConnectionSealed, MultiConnectionHelper};
use diesel::migration::{CREATE_MIGRATIONS_TABLE, MigrationConnection};
use diesel::pg::{
    FailedToLookupTypeError, Pg, PgMetadataCacheKey, PgMetadataLookup, PgTypeMetadata,
};
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::TypeMetadata;
use diesel::{ConnectionError, ConnectionResult, QueryResult};
use diesel_async::{
    AsyncConnection as _, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection as _,
};
use futures_util::TryStreamExt as _;
use futures_util::future::join;
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use super::connector::{Connector, Dialled};
use crate::db::Connection;
use crate::error::Error;

/// Begins a transaction that may write: by itself, none of ours may.
const BEGIN: &str = "BEGIN READ WRITE";

/// Whoever runs the server may want nothing written now (`default_transaction_read_only`), and ours would overrule that.
/// So a transaction looks, now and then, what the session would have without us.
const HEED_READ_ONLY: &str = "RESET default_transaction_read_only; \
    SELECT set_config('transaction_read_only', current_setting('default_transaction_read_only'), true); \
    SET default_transaction_read_only = on";

/// How often it looks.
const HEED_EVERY: Duration = Duration::from_secs(1);

/// A connection so new is kept whatever failed on it: another would be no better, and a server in trouble has better
/// things to do than to give us one after the other.
const NEW: Duration = Duration::from_secs(1);

/// A connection to PostgreSQL in diesel's plain, waiting form, around diesel-async's.
///
/// It has a small runtime of its own, which runs only while somebody waits here.
///
/// What begins a transaction, and what begins or keeps a part of one, has no answer that anybody waits for. It goes with
/// the statement after it, in one round trip. Should it fail alone, the server refuses that statement, too: a
/// transaction that is spoilt takes none, and outside of one nothing can be written.
pub struct Postgres {
    client: AsyncPgConnection,
    transactions: AnsiTransactionManager,
    link: JoinHandle<()>,
    runtime: Runtime,
    /// How long an answer may take.
    patience: Option<Duration>,
    since: Instant,
    /// When a transaction last looked whether anything may be written.
    heeded: Option<Instant>,
    /// What goes with the next statement.
    owed: String,
    /// Whether a statement of this transaction has failed.
    has_failed: bool,
    /// Whether an answer did not come in time. It may come yet, and would be taken for another's.
    is_lost: bool,
    /// Whether the server did what it was told, with a warning.
    has_warned: Arc<AtomicBool>,
}

impl Postgres {
    /// Over a link that this runtime drives.
    pub(super) fn over(dialled: Dialled, runtime: Runtime, patience: Option<Duration>) -> Self {
        Self {
            client: dialled.client,
            transactions: AnsiTransactionManager::default(),
            link: dialled.link,
            runtime,
            patience,
            since: Instant::now(),
            heeded: None,
            owed: String::new(),
            has_failed: false,
            is_lost: false,
            has_warned: dialled.has_warned,
        }
    }

    /// Commits. A function that swallowed an error and returned `Ok` leaves a transaction that is lost
    /// already, and to a bare `COMMIT` PostgreSQL then answers `ROLLBACK`, which is no error: its caller would
    /// hear "done" of what was not. Any other statement is refused in that state, so where one has failed, even one
    /// that was taken back, another goes ahead.
    ///
    /// Where a commit waits for a standby and the wait is cut short, by `statement_timeout` or by somebody, the server
    /// answers `COMMIT` as well, with a warning that no standby may have it: a failover would undo what was called done.
    pub(super) fn commit(&mut self) -> QueryResult<()> {
        self.has_warned.store(false, Ordering::Relaxed);
        match self.has_failed {
            true => self.batch_execute("SELECT 1; COMMIT")?,
            false => self.batch_execute("COMMIT")?,
        }
        match self.has_warned.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(failure("no standby has confirmed it")),
        }
    }

    fn owe(&mut self, command: &str) {
        self.owed.push_str(command);
        self.owed.push_str("; ");
    }

    /// Runs a statement, and before it what is owed.
    fn run<T>(
        &mut self,
        statement: impl AsyncFnOnce(&AsyncPgConnection) -> QueryResult<T>,
    ) -> QueryResult<T> {
        let owed = std::mem::take(&mut self.owed);
        self.wait(async |client| {
            if owed.is_empty() {
                return statement(client).await;
            }
            let mut first = client;
            let (paid, done) = join(first.batch_execute(&owed), statement(client)).await;
            paid.and(done)
        })
    }

    /// Waits for what the server answers, and not for ever: the server ends a statement that takes long, but not if it
    /// hangs itself, and another may have taken its place.
    fn wait<T>(
        &mut self,
        asking: impl AsyncFnOnce(&AsyncPgConnection) -> QueryResult<T>,
    ) -> QueryResult<T> {
        let answer = match (self.is_lost, self.patience) {
            (true, _) => None,
            (false, None) => Some(self.runtime.block_on(asking(&self.client))),
            (false, Some(patience)) => {
                let asking = async { timeout(patience, asking(&self.client)).await };
                self.runtime.block_on(asking).ok()
            }
        };
        self.is_lost |= answer.is_none();
        let done = answer.unwrap_or_else(|| Err(failure("the server did not answer")));
        if done.is_err() {
            self.has_failed = true;
            self.heeded = None;
        }
        done
    }

    /// Whether the server has not hung up since somebody last waited here. Nothing is sent: the link gets
    /// a turn to hear what has arrived (one yield for the socket, one for the link).
    pub(super) fn is_alive(&self) -> bool {
        self.runtime.block_on(async {
            yield_now().await;
            yield_now().await;
        });
        !self.is_lost && !self.link.is_finished()
    }

    /// Whether something has failed on it for which the connection itself may be to blame: it may lead to a server
    /// that takes no writes any more, or have a session that is not as we made it. Nobody can tell all such failures from
    /// others, and a new connection costs little.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_lost || (self.has_failed && self.since.elapsed() > NEW)
    }
}

fn failure(what: &str) -> DieselError {
    DieselError::DatabaseError(
        DatabaseErrorKind::UnableToSendCommand,
        Box::new(what.to_owned()),
    )
}

impl ConnectionSealed for Postgres {}

impl SimpleConnection for Postgres {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        if query == "BEGIN" {
            self.has_failed = false;
            self.owe(BEGIN);
            if self.heeded.is_none_or(|then| then.elapsed() > HEED_EVERY) {
                self.owe(HEED_READ_ONLY);
                self.heeded = Some(Instant::now());
            }
            return Ok(());
        }
        if ["SAVEPOINT ", "RELEASE SAVEPOINT "]
            .iter()
            .any(|of_part| query.starts_with(of_part))
        {
            self.owe(query);
            return Ok(());
        }
        let all = std::mem::take(&mut self.owed) + query;
        self.wait(async |mut client| client.batch_execute(&all).await)
    }
}

impl diesel::Connection for Postgres {
    type Backend = Pg;
    type TransactionManager = AnsiTransactionManager;

    fn establish(url: &str) -> ConnectionResult<Self> {
        let bad = |why: Error| ConnectionError::BadConnection(why.to_string());
        match Connector::new(url)
            .and_then(|connector| connector.connect(None))
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
        self.run(async |mut client| client.execute_returning_count(source).await)
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

    /// Waits once for all rows, not once for each, and no longer than until one fails: a stream whose connection was lost
    /// amid them says so for ever, and to collect that takes all the memory there is.
    fn load<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        let rows: Vec<_> = self.run(async |mut client| {
            let rows = client.load(source).await?;
            rows.map_ok(Ok).try_collect().await
        })?;
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
