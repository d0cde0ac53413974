//! SQLite: reads where they are called, writes through one thread that commits together what waits together.
//!
//! A commit costs a flush to the disk (`synchronous=FULL`: what was answered survives a power cut), and
//! SQLite has one writer at a time anyway. So one thread takes whatever waits, gives each job a
//! savepoint inside one `BEGIN IMMEDIATE`, commits once, and only then answers. A job that fails or panics is
//! rolled back to its savepoint and harms no neighbour. Where the savepoint itself is lost (on a full
//! disk or an I/O error SQLite may end the whole transaction) nobody's work is kept, and all are told.
//!
//! A connection is kept only while it behaves: after trouble it is closed, which rolls back, and the
//! next group opens another. Another process that holds the write lock (the command line beside a
//! running server) is waited for 5 seconds; then everyone who waits is refused.
//!
//! The file is made readable by its owner alone, and so are the files SQLite puts beside it.

use std::cell::Cell;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, absolute};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;
use std::{io, iter, thread};

use diesel::connection::{
    AnsiTransactionManager, Connection as _, SimpleConnection as _, TransactionManager as _,
};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use thread_local::ThreadLocal;
use tokio::time::sleep;

use super::job::{self, Job, Outcome, QUEUE, Ran, Reply};
use super::{Connection, Ending, Tx, backup, roll_back_to, statements};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::writable;

/// How many jobs share a commit: enough to make the flush cheap, few enough that nobody waits long.
const GROUP: usize = 256;

/// The depth at which a group's transaction stands when no job's savepoint is open in it.
const GROUP_DEPTH: u32 = 1;

/// The busy timeout comes first: with several starting at once, the change to WAL may have to wait.
/// Temporary tables and indices stay in memory, lest a row lie in a file nobody looks after.
const SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";

/// Keys are hashes, so every write lands somewhere else: the cache (in KiB) holds the pages that are written again
/// and again, and the log is copied back only every 4,000 pages, by when most of them were written many times.
const WRITER: &str = "PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4000;";

/// Makes a write by a function that promised only to look fail loudly. Each thread that looks has a cache of its own,
/// which holds what lies above the leaves: these the kernel has, once for all.
const READER: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -4096;";

/// Migrating may take a while, and whoever starts beside it waits for it.
const PATIENT: &str = "PRAGMA busy_timeout = 60000;";

/// An SQLite database.
pub(super) struct Store {
    path: String,
    clock: Clock,
    readers: ThreadLocal<Cell<Option<Connection>>>,
    writer: SyncSender<Box<dyn Job>>,
    /// Keeps others from putting another file in the place of this one.
    _in_use: Option<File>,
}

impl Store {
    /// Opens the file, making it and its folder if they are missing.
    pub fn open(path: &Path, clock: Clock) -> Result<Self> {
        // SQLite keeps further files beside its own, and would only say that it cannot open the database.
        writable::could_make(path)?;
        let path = private_file(path).map_err(|why| {
            Error::misconfigured(format!(
                "the database {} cannot be opened: {why}",
                path.display()
            ))
        })?;
        let in_use = backup::mark_in_use(Path::new(&path))?;
        let connection = connect_first(&path)?;
        let (writer, jobs) = job::queue();
        let thread = Writer {
            path: path.clone(),
            clock: clock.clone(),
            connection: Some(connection),
        };
        thread::Builder::new()
            .name("database".into())
            .spawn(move || thread.run(&jobs))
            .map_err(Error::unavailable)?;
        Ok(Self {
            path,
            clock,
            readers: ThreadLocal::new(),
            writer,
            _in_use: in_use,
        })
    }

    /// See [`super::Db::alone`].
    pub fn alone<T>(
        &self,
        ending: Ending,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut conn = connect(&self.path, PATIENT)?;
        begin_immediate(&mut conn)?;
        // On an error the connection is closed, and closing it rolls back.
        let mut tx = Tx::begin(&mut conn, &self.clock);
        let done = work(&mut tx)?;
        let after_commit = tx.after_commit;
        if ending == Ending::Kept {
            Connection::commit_transaction(&mut conn)?;
            after_commit.run();
        }
        Ok(done)
    }

    /// Whose file it is says more than that it is not ours to write to.
    pub fn whose(&self) -> String {
        writable::whose(Path::new(&self.path))
    }

    /// Runs `look` here and now. A connection that saw a panic is not used again: it might go on
    /// showing an old state, in which an ended session still lives.
    pub fn read<T>(&self, look: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        let slot = self.readers.get_or_default();
        let mut conn = slot
            .take()
            .map_or_else(|| connect(&self.path, READER), Ok)?;
        let mut tx = Tx::begin(&mut conn, &self.clock);
        let answer = job::caught(look, &mut tx)?;
        let after_commit = tx.after_commit;
        slot.set(Some(conn));
        if answer.is_ok() {
            after_commit.run();
        }
        answer
    }

    /// Runs `change` on the writer's thread, in a transaction.
    pub async fn transaction<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (job, answer) = job::job(change);
        job::enqueue(&self.writer, job)?;
        answer.arrive().await
    }

    /// Waits until the writer has answered, be it with a refusal.
    pub async fn answers(&self) {
        loop {
            let (job, answer) = job::job(|_| Ok(()));
            if job::enqueue(&self.writer, job).is_ok() {
                let _ = answer.arrive().await;
                return;
            }
            sleep(BETWEEN_TRIES).await;
        }
    }
}

/// How soon a job that found the queue full tries again.
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Makes the file and its folder, for the owner alone, unless they are there; says where it is. The path
/// is made absolute so that no name means anything special to SQLite, as `:memory:` and `file:…` would.
/// A file that is there is not opened: to close it again would let go of every lock this process has on it.
fn private_file(path: &Path) -> io::Result<String> {
    let path = absolute(path)?;
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
    {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(why),
        _ => {}
    }
    path.into_os_string()
        .into_string()
        .map_err(|_| io::Error::other("its name is not UTF-8"))
}

/// Several programs that start at once on a fresh file all change it to WAL, and there SQLite does not wait:
/// all but one are told at once that it is locked. A moment later they find it changed.
fn connect_first(path: &str) -> Result<Connection> {
    for _ in 0..50 {
        match connect(path, WRITER) {
            Err(Error::Unavailable(why)) if why.contains("locked") => {
                thread::sleep(Duration::from_millis(100));
            }
            connected => return connected,
        }
    }
    connect(path, WRITER)
}

#[expect(clippy::disallowed_methods, reason = "this is the room it belongs in")]
fn connect(path: &str, further_settings: &str) -> Result<Connection> {
    let failed = |why| {
        let whose = writable::whose(Path::new(path));
        Error::unavailable(format!(
            "the database {path} cannot be opened: {why}{whose}"
        ))
    };
    let mut conn = SqliteConnection::establish(path).map_err(|why| failed(why.to_string()))?;
    conn.batch_execute(SETTINGS)
        .and_then(|()| conn.batch_execute(further_settings))
        .map_err(|why| failed(why.to_string()))?;
    let mut conn = Connection::Sqlite(conn);
    statements::say(&mut conn);
    Ok(conn)
}

/// `IMMEDIATE`: a transaction that looks first and then writes would otherwise be refused, without any
/// waiting, whenever another process wrote in between.
fn begin_immediate(conn: &mut Connection) -> Result<()> {
    match conn {
        Connection::Sqlite(conn) => Ok(AnsiTransactionManager::begin_transaction_sql(
            conn,
            "BEGIN IMMEDIATE",
        )?),
        Connection::Postgres(_) => Err(Error::internal("a PostgreSQL connection among SQLite's")),
    }
}

/// The one thread that writes.
struct Writer {
    path: String,
    clock: Clock,
    connection: Option<Connection>,
}

impl Writer {
    /// Serves until the last sender is gone.
    fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = jobs.recv() {
            let group = iter::once(first)
                .chain(jobs.try_iter())
                .take(GROUP)
                .collect();
            if catch_unwind(AssertUnwindSafe(|| self.serve(group, jobs))).is_err() {
                tracing::error!(
                    event = "database_thread_panicked",
                    "the database's thread panicked and goes on with a new connection"
                );
            }
        }
    }

    /// Runs a group, commits, answers. The connection goes back to its place only if all of that went well.
    fn serve(&mut self, group: Vec<Box<dyn Job>>, jobs: &Receiver<Box<dyn Job>>) {
        let mut conn = match self.begin() {
            Ok(conn) => conn,
            Err(why) => {
                let why = why.words();
                // Those who came meanwhile have been waiting for the same lock. Whoever comes once the first of
                // them has been answered, has not.
                let meanwhile = jobs.try_iter().take(QUEUE);
                let waiting: Vec<_> = group.into_iter().chain(meanwhile).collect();
                return waiting.into_iter().for_each(|job| job.refuse(why));
            }
        };
        let mut jobs = group.into_iter();
        let mut replies = Vec::with_capacity(jobs.len());
        let committed = jobs
            .try_for_each(|job| self.run_one(&mut conn, job, &mut replies))
            .and_then(|()| Connection::commit_transaction(&mut conn));
        match committed {
            Ok(()) => {
                self.connection = Some(conn);
                replies.into_iter().for_each(|reply| reply.send());
            }
            Err(why) => {
                drop(conn);
                let why = format!("the transaction could not be kept: {why}");
                replies.into_iter().for_each(|reply| reply.refuse(&why));
                jobs.for_each(|job| job.refuse(&why));
            }
        }
    }

    fn begin(&mut self) -> Result<Connection> {
        let mut conn = self
            .connection
            .take()
            .map_or_else(|| connect(&self.path, WRITER), Ok)?;
        begin_immediate(&mut conn)?;
        Ok(conn)
    }

    /// Runs one job in a savepoint. An error is one of the savepoint itself, and ends the group.
    fn run_one(
        &self,
        conn: &mut Connection,
        job: Box<dyn Job>,
        replies: &mut Vec<Box<dyn Reply>>,
    ) -> QueryResult<()> {
        if !job.is_awaited() {
            return Ok(());
        }
        Connection::begin_transaction(conn)?;
        let Ran { outcome, reply } = job.run(&mut Tx::begin(conn, &self.clock));
        replies.push(reply);
        match outcome {
            Outcome::Done => Connection::commit_transaction(conn),
            Outcome::Failed | Outcome::Panicked => roll_back_to(conn, GROUP_DEPTH),
        }
    }
}
