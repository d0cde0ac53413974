//! PostgreSQL, in Rust down to the socket: a few plain threads with a connection each.
//!
//! A job runs on one of the threads and blocks it: queries are written once, and in SQLite they are plain
//! calls. A caller waits at most 2 seconds in all and is then told "not done"; the thread, when it gets
//! that far, sees that nobody waits and rolls back. So a server that hangs costs 2 seconds, not a visitor's
//! patience, and one that is gone costs nothing: a lost connection is replaced by the next job, and if that
//! fails, the next tries again.
//!
//! Settings and prepared statements are the session's, so a proxy in front must keep one server connection for each
//! of ours (PgBouncer: `pool_mode=session`). One that does not is refused at the start.

mod connection;
mod connector;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::{
    SimpleConnection as _, TransactionManager as _, TransactionManagerStatus,
};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use tokio::time::timeout;

pub use connection::Postgres;
use connector::Connector;

use super::job::{self, Job, Outcome, Ran};
use super::{Connection, Ending, Tx, roll_back_to};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::metrics;

/// How many threads, and so connections, a node has.
const CONNECTIONS: usize = 8;

/// How long a caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a thread waits for an answer: more than the server takes that ends a statement itself.
const THREADS_PATIENCE: Duration = Duration::from_secs(3);

/// Migrating may take a while, and whoever starts beside it waits for it.
const MIGRATING: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'; \
    SET LOCAL idle_in_transaction_session_timeout = 0";

/// A rehearsal gives way to those who are served meanwhile, and holds their tables no longer than this.
const REHEARSING: &str = "SET LOCAL statement_timeout = '3s'; SET LOCAL lock_timeout = '1s'";

/// The lock's number is "doorpost" in ASCII; it is let go at the end of the transaction, whichever way that comes.
const LOCK_MIGRATIONS: &str = "SELECT pg_advisory_xact_lock(7237125663510983540)";

/// Takes what every session of a Doorpost shares, if none has it. The number is the one after that of the migrations.
const LOCK_OTHERS_OUT: &str = "pg_try_advisory_xact_lock(7237125663510983541)";

/// A session that was closed is over at the server within this.
const CLOSING: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// A PostgreSQL database.
pub(super) struct Store {
    connector: Arc<Connector>,
    clock: Clock,
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
        on_plain_thread(|| {
            connector.refuse_shared_sessions()?;
            connector.connect(Some(THREADS_PATIENCE)).map(drop)
        })?;
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
        Ok(Self {
            connector,
            clock,
            queue,
        })
    }

    /// See [`super::Db::alone`].
    pub fn alone<T: Send>(
        &self,
        ending: Ending,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        on_plain_thread(|| {
            let mut conn = self.connector.connect(None)?;
            Connection::begin_transaction(&mut conn)?;
            conn.batch_execute(match ending {
                Ending::Kept => MIGRATING,
                Ending::Undone => REHEARSING,
            })?;
            conn.batch_execute(LOCK_MIGRATIONS)?;
            // On an error the connection is closed, and the server rolls back.
            let mut tx = Tx::begin(&mut conn, &self.clock);
            let done = work(&mut tx)?;
            let after_commit = tx.after_commit;
            match ending {
                Ending::Kept => {
                    commit(&mut conn)?;
                    after_commit.run();
                }
                Ending::Undone => Connection::rollback_transaction(&mut conn)?,
            }
            Ok(done)
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
            .unwrap_or_else(|_| {
                metrics::database_refusals("timeout").inc();
                Err(Error::unavailable("the database did not answer in time"))
            })
    }
}

/// Whether no other session of a Doorpost is there, on whatever node; then none comes until this transaction ends.
pub(super) fn is_alone(conn: &mut Postgres) -> Result<bool> {
    let began = Instant::now();
    loop {
        let is_alone = diesel::select(sql::<Bool>(LOCK_OTHERS_OUT)).get_result(conn)?;
        if is_alone || began.elapsed() > CLOSING {
            return Ok(is_alone);
        }
        thread::sleep(BETWEEN_LOOKS);
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
                tracing::error!(
                    event = "database_thread_panicked",
                    "a database thread panicked and goes on with a new connection"
                );
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
            Err(why) => return job.refuse(why.words()),
        };
        let Ran { outcome, reply } = job.run(&mut Tx::begin(&mut conn, &self.clock));
        let finished = match outcome {
            Outcome::Done if kind == Kind::Transaction => commit(&mut conn),
            Outcome::Done => Ok(()),
            Outcome::Failed if is_suspect(&conn) => {
                drop(conn);
                return reply.send();
            }
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
            _ => self.connector.connect(Some(THREADS_PATIENCE))?,
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

fn is_suspect(conn: &Connection) -> bool {
    matches!(conn, Connection::Postgres(conn) if conn.is_suspect())
}

fn commit(conn: &mut Connection) -> QueryResult<()> {
    match conn {
        Connection::Postgres(postgres) => postgres.commit()?,
        Connection::Sqlite(_) => {}
    }
    *Connection::transaction_manager_status_mut(conn) = TransactionManagerStatus::default();
    Ok(())
}
