//! The only namer of a database: two doors, [`Db::read`] and [`Db::transaction`], on SQLite or PostgreSQL.
//!
//! A function that touches data takes a [`Tx`]: one connection, one transaction, one moment. Which of
//! the two databases is behind it, only this room and the few places that `match` on [`Connection`] know.
//!
//! What holds on both:
//!
//! * A transaction is done or not done, never in between, and nobody hears "done" before it is kept.
//! * [`Error::Unavailable`] means not done, try again: the storage is away, full, read-only or busy. (One gap no
//!   database closes: a PostgreSQL that hangs or vanishes while it confirms a commit. So whatever is tried again must come
//!   to a good end if it was done before.)
//! * Nothing is done for a caller who has gone, nor once somebody has been told that it was not.
//! * A function that panics is rolled back and answered [`Error::Internal`]; it harms nobody beside it.
//! * What went away comes back by itself: nothing here needs a restart.
//! * An error never carries a value of a query, nor the password in the URL.
//!
//! A read runs outside any transaction: it may not write (both refuse), and two queries in it may see
//! two states. An error that a query returned ends the function that asked (`?`): on PostgreSQL the
//! transaction is lost by then, and on a full disk SQLite's too. The one refusal worth an answer of its
//! own, a value that is taken, goes through [`Tx::attempt`].

mod after_commit;
pub mod backup;
mod connection;
mod job;
mod migrations;
mod postgres;
mod prepared;
mod sqlite;
mod statements;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use diesel::connection::{Connection as _, TransactionManager as _};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::clock::{Clock, Timestamp};
use crate::config::DatabaseUrl;
use crate::error::{Error, Result};

pub use connection::{AnyConnection as Connection, MultiBackend as Backend};
pub(crate) use connection::{delete_unlocked, load_unlocked, on_either};
pub use migrations::{MadeBy, Migrations};
pub use prepared::prepared;

use after_commit::AfterCommit;
use migrations::{Dialect, Known};

/// One transaction, one moment: the first argument of every function that touches data.
pub struct Tx<'a> {
    /// Where ordinary queries run, whichever database it is.
    pub conn: &'a mut Connection,
    /// The moment at which all of this happens, in milliseconds since the Unix epoch.
    pub now: Timestamp,
    clock: &'a Clock,
    after_commit: AfterCommit,
}

impl<'a> Tx<'a> {
    fn begin(conn: &'a mut Connection, clock: &'a Clock) -> Self {
        Self {
            conn,
            now: clock.now(),
            clock,
            after_commit: AfterCommit::default(),
        }
    }
}

impl Tx<'_> {
    /// Whoever had to wait for a lock acts after whoever had it, and so at a later moment: what was ended
    /// meanwhile is over, although this transaction began before.
    pub fn has_waited(&mut self) {
        self.now = self.now.max(self.clock.now());
    }

    /// Does this once the transaction is kept, before its caller hears of it; and never, if it is undone or the
    /// savepoint around it is. For a line in the log or a count: it should be quick, and cannot fail.
    pub fn after_commit(&mut self, act: impl FnOnce() + Send + 'static) {
        self.after_commit.add(act);
    }

    /// Runs `write` in a savepoint of its own. `None`: a unique index refused, the value is taken; then
    /// `write` is undone and the transaction goes on. Every other error of the database is an error.
    pub fn attempt<T>(
        &mut self,
        write: impl FnOnce(&mut Tx<'_>) -> QueryResult<T>,
    ) -> Result<Option<T>> {
        let (now, clock) = (self.now, self.clock);
        let written = self.conn.transaction(|conn| {
            let mut tx = Tx {
                conn,
                now,
                clock,
                after_commit: AfterCommit::default(),
            };
            Ok::<_, DieselError>((write(&mut tx)?, tx.after_commit))
        });
        match written {
            Ok((written, after_commit)) => {
                self.after_commit.append(after_commit);
                Ok(Some(written))
            }
            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs `write` in a savepoint of its own, and goes on without it if it fails: for what is worth writing, and
    /// must not be why the rest is refused.
    pub fn if_it_can(&mut self, write: impl FnOnce(&mut Tx<'_>) -> Result<()>) -> Result<()> {
        Connection::begin_transaction(self.conn)?;
        let before = self.after_commit.len();
        match write(self) {
            Ok(()) => Connection::commit_transaction(self.conn)?,
            Err(error) => {
                self.after_commit.forget_all_but(before);
                Connection::rollback_transaction(self.conn)?;
                tracing::error!(
                    event = "done_without",
                    %error,
                    "something was not written, and the rest was done without it"
                );
            }
        }
        Ok(())
    }

    /// Runs `write` and takes it back: for a decoy, which has to cost what the real thing costs and to fail when
    /// that fails, and of which nothing may be left.
    pub fn taken_back(&mut self, write: impl FnOnce(&mut Tx<'_>) -> Result<()>) -> Result<()> {
        Connection::begin_transaction(self.conn)?;
        let before = self.after_commit.len();
        let written = write(self);
        self.after_commit.forget_all_but(before);
        let taken_back = Connection::rollback_transaction(self.conn);
        written?;
        Ok(taken_back?)
    }
}

/// What becomes of the work of a transaction that is an operator's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Kept,
    Undone,
}

/// The database. Clones are the same one; when the last is dropped, its threads end.
#[derive(Clone)]
pub struct Db {
    store: Store,
    /// The tables of the app that is built on Doorpost.
    own: Option<&'static Migrations>,
}

#[derive(Clone)]
enum Store {
    Sqlite(Arc<sqlite::Store>),
    Postgres(Arc<postgres::Store>),
}

impl Db {
    /// Opens the database, and makes the file of an SQLite one that is not there yet. Migrates nothing.
    /// A PostgreSQL that cannot be reached now is an error now.
    pub fn open(url: &DatabaseUrl, clock: Clock) -> Result<Self> {
        let store = match url {
            DatabaseUrl::Sqlite(path) => Store::Sqlite(sqlite::Store::open(path, clock)?.into()),
            DatabaseUrl::Postgres(url) => {
                Store::Postgres(postgres::Store::open(url, clock)?.into())
            }
        };
        Ok(Self { store, own: None })
    }

    /// The same, with tables of one's own beside Doorpost's.
    pub fn with_migrations(self, own: Option<&'static Migrations>) -> Self {
        Self { own, ..self }
    }

    /// Applies the embedded migrations that the database lacks and names them, Doorpost's first: all of them
    /// or none, in one transaction under a lock, so that of two nodes that start at once one migrates and both
    /// come up. Migrations this program does not know are left alone: a newer release may be migrating
    /// under an older one that still runs.
    pub fn migrate(&self) -> Result<Vec<String>> {
        let known = self.known();
        self.alone(Ending::Kept, |tx| migrations::apply_pending(tx, known))
    }

    /// Does what a start would: applies what is pending, and then this. And undoes both: what would fail then fails
    /// now, and nothing has changed. The names of what would be applied come with the outcome.
    pub fn rehearse<T: Send>(
        &self,
        and_then: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send,
    ) -> Result<(Vec<String>, T)> {
        let known = self.known();
        self.alone(Ending::Undone, |tx| {
            Ok((migrations::apply_pending(tx, known)?, and_then(tx)?))
        })
    }

    /// Runs a function in a transaction that may take its time and touch every row: for what is done while nobody is
    /// served. A visitor's transaction is over after two seconds.
    pub fn take_time<T: Send>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        self.alone(Ending::Kept, change)
    }

    /// What another program has loaded here becomes ours: the tables are brought up to date, and then this is done, in one
    /// transaction that may take its time. The names of what was applied come with the outcome.
    ///
    /// # Errors
    /// A Doorpost has the database open, or it is none of ours ([`Db::could_take_over`]): then nothing has changed.
    pub fn take_over<T: Send>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send,
    ) -> Result<(Vec<String>, T)> {
        let known = self.known();
        self.alone(Ending::Kept, |tx| {
            may_be_taken_over(tx, known)?;
            Ok((migrations::apply_pending(tx, known)?, change(tx)?))
        })
    }

    /// Looks at what [`Db::take_over`] would take over.
    ///
    /// # Errors
    /// A Doorpost has the database open, or it has not the tables of one, or those of a newer one.
    pub fn could_take_over<T: Send>(
        &self,
        look: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        let known = self.known();
        self.alone(Ending::Kept, |tx| {
            may_be_taken_over(tx, known)?;
            look(tx)
        })
    }

    /// What a start says that could not write. A role that may only read, a server that follows another, somebody else's
    /// file, a full disk: the database has its words for each.
    pub fn not_written(&self, why: &Error) -> Error {
        let whose = match &self.store {
            Store::Sqlite(store) => store.whose(),
            Store::Postgres(_) => String::new(),
        };
        let why = why.words();
        Error::misconfigured(format!("the database cannot be written to: {why}{whose}"))
    }

    /// Runs a function in a transaction with all the time it needs, under the lock that lets one node at a time
    /// change the tables.
    fn alone<T: Send>(
        &self,
        ending: Ending,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        match &self.store {
            Store::Sqlite(store) => store.alone(ending, work),
            Store::Postgres(store) => store.alone(ending, work),
        }
    }

    /// Whether the database answers and has every migration this program knows.
    pub async fn ready(&self) -> Result<()> {
        match self.pending().await?.first() {
            None => Ok(()),
            Some(missing) => Err(Error::unavailable(format!(
                "migration {missing} is pending"
            ))),
        }
    }

    /// Which of the two it is.
    pub fn kind(&self) -> &'static str {
        match &self.store {
            Store::Sqlite(_) => "sqlite",
            Store::Postgres(_) => "postgresql",
        }
    }

    /// The migrations that this program knows and the database lacks.
    pub async fn pending(&self) -> Result<Vec<String>> {
        let known = self.known();
        self.read(move |tx| migrations::pending(tx, known)).await
    }

    /// The same by their names, as [`Db::migrate`] has them.
    pub async fn pending_names(&self) -> Result<Vec<String>> {
        let known = self.known();
        self.read(move |tx| migrations::pending_names(tx, known))
            .await
    }

    /// The names of all migrations, for a database of this kind that nobody has made yet.
    pub fn all_migrations(
        url: &DatabaseUrl,
        own: Option<&'static Migrations>,
    ) -> Result<Vec<String>> {
        let dialect = match url {
            DatabaseUrl::Sqlite(_) => Dialect::Sqlite,
            DatabaseUrl::Postgres(_) => Dialect::Postgres,
        };
        Known { dialect, own }.names()
    }

    /// Runs a function that only looks. On SQLite it runs where it is called, on a connection of that
    /// thread: a look-up by key costs less than the way to another thread.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.store {
            Store::Sqlite(store) => store.read(look),
            Store::Postgres(store) => store.read(look).await,
        }
    }

    /// Runs a function inside a transaction, which is kept if it returns `Ok` and undone otherwise. It
    /// should be quick: slow work, such as a password's hash, belongs before it.
    pub async fn transaction<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.store {
            Store::Sqlite(store) => store.transaction(change).await,
            Store::Postgres(store) => store.transaction(change).await,
        }
    }

    /// Waits until the thread that writes to SQLite has answered, be it that it cannot: then it does not hang. On
    /// PostgreSQL there is nothing to wait for: its threads hang as long as the server does, which no restart of ours
    /// would mend.
    pub async fn writer_answers(&self) {
        match &self.store {
            Store::Sqlite(store) => store.answers().await,
            Store::Postgres(_) => {}
        }
    }

    /// What made its tables.
    pub async fn made_by(&self) -> Result<MadeBy> {
        let known = self.known();
        self.read(move |tx| migrations::made_by(tx, known)).await
    }

    fn known(&self) -> Known {
        let dialect = match &self.store {
            Store::Sqlite(_) => Dialect::Sqlite,
            Store::Postgres(_) => Dialect::Postgres,
        };
        Known {
            dialect,
            own: self.own,
        }
    }
}

/// On SQLite whoever takes over has looked before: with the file open, it would be in its own way
/// ([`backup::must_be_free`]).
fn may_be_taken_over(tx: &mut Tx<'_>, known: Known) -> Result<()> {
    if let Connection::Postgres(conn) = &mut *tx.conn
        && !postgres::is_alone(conn)?
    {
        return Err(Error::misconfigured(
            "the database is in use; stop every Doorpost that has it open, on whatever machine (docs/operate.md, \
             \"PostgreSQL\", says how to find it)",
        ));
    }
    migrations::made_by(tx, known)?.must_be_us("the database")
}

/// Undoes what a job did, down to `depth`, the savepoints included that a panic left open.
fn roll_back_to(conn: &mut Connection, depth: u32) -> QueryResult<()> {
    while transaction_depth(conn)? > depth {
        Connection::rollback_transaction(conn)?;
    }
    Ok(())
}

fn transaction_depth(conn: &mut Connection) -> QueryResult<u32> {
    let depth = Connection::transaction_manager_status_mut(conn).transaction_depth()?;
    Ok(depth.map_or(0, |depth| depth.get()))
}
