//! What the doors promise, tried on both databases.
//!
//! The tests on PostgreSQL make databases of their own in the cluster that `DOORPOST_TEST_POSTGRES` names
//! (a URL whose user may create databases). Where a server must hang, vanish or restart, a proxy stands
//! between it and the program and does so.

#![expect(
    clippy::disallowed_methods,
    reason = "they make databases from outside, where a variable of their own says"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::deserialize::{FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::serialize::{Output, ToSql};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use diesel_migrations::embed_migrations;
use tokio::task::JoinHandle;
use url::Url;

use super::postgres::Postgres;
use super::{Connection, Db, Migrations, Tx, on_either, prepared};
use crate::clock::Clock;
use crate::config::DatabaseUrl;
use crate::error::{Error, Result};

diesel::table! {
    jar (id) {
        id -> BigInt,
        label -> Text,
    }
}

// ---- on both ----

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Scratch::sqlite()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Scratch::postgres()).await;
            })+
        }
    };
}

on_both! {
    a_transaction_is_kept_or_undone,
    a_panic_is_one_functions_own_trouble,
    a_taken_value_is_an_answer,
    one_transaction_has_one_moment,
    what_waits_for_the_commit_is_done_if_there_is_one,
    what_the_commit_refuses_is_told_to_nobody,
    what_waits_at_once_is_all_done,
    nothing_is_done_for_a_caller_who_has_gone,
    errors_tell_no_values,
    concrete_connections_take_what_the_common_one_does_not,
    a_read_that_writes_is_refused,
    values_of_our_own_go_in_and_out,
    of_two_that_migrate_at_once_one_does,
    a_newer_schema_is_left_alone,
    the_tables_of_an_app_come_after_ours_and_are_noted_apart,
    an_app_comes_to_a_database_that_is_there,
}

async fn a_transaction_is_kept_or_undone(scratch: Scratch) {
    let db = scratch.with_jar().await;
    db.transaction(|tx| put(tx, 1, "kept")).await.unwrap();
    let undone: Result<()> = db
        .transaction(|tx| {
            put(tx, 2, "undone")?;
            Err(Error::internal("no"))
        })
        .await;
    assert!(matches!(undone, Err(Error::Internal(_))));
    assert_eq!(labels(&db).await, ["kept"]);
}

async fn a_panic_is_one_functions_own_trouble(scratch: Scratch) {
    let db = scratch.with_jar().await;
    let panicked: Result<()> = db
        .transaction(|tx| {
            put(tx, 1, "outer")?;
            tx.attempt(|tx| -> QueryResult<()> {
                diesel::insert_into(jar::table)
                    .values((jar::id.eq(2), jar::label.eq("inner")))
                    .execute(tx.conn)?;
                panic!("in a savepoint")
            })?;
            Ok(())
        })
        .await;
    assert!(matches!(panicked, Err(Error::Internal(_))));
    let panicked: Result<()> = db.read(|_| panic!("in a read")).await;
    assert!(matches!(panicked, Err(Error::Internal(_))));
    db.transaction(|tx| put(tx, 3, "after")).await.unwrap();
    assert_eq!(labels(&db).await, ["after"]);
}

async fn a_taken_value_is_an_answer(scratch: Scratch) {
    let db = scratch.with_jar().await;
    db.transaction(|tx| put(tx, 1, "plum")).await.unwrap();
    let outcome = db
        .transaction(|tx| {
            put(tx, 2, "before")?;
            let taken = tx.attempt(|tx| insert(tx, 3, "plum"))?;
            let free = tx.attempt(|tx| insert(tx, 4, "after"))?;
            Ok((taken, free))
        })
        .await
        .unwrap();
    assert_eq!(outcome, (None, Some(1)));
    assert_eq!(labels(&db).await, ["plum", "before", "after"]);
    let broken = db
        .transaction(|tx| tx.attempt(|tx| tx.conn.batch_execute("NONSENSE")))
        .await;
    assert!(broken.is_err());
}

async fn one_transaction_has_one_moment(scratch: Scratch) {
    let db = &scratch.db;
    let first = db.transaction(|tx| Ok(tx.now)).await.unwrap();
    scratch.clock.advance(Duration::from_millis(1500));
    assert_eq!(db.read(|tx| Ok(tx.now)).await.unwrap(), first + 1500);
}

/// Writes down what was said of transactions, as the log would.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<&'static str>>>);

impl Told {
    fn after_commit(&self, tx: &mut Tx<'_>, words: &'static str) {
        let Self(told) = self.clone();
        tx.after_commit(move || told.lock().unwrap().push(words));
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn what_waits_for_the_commit_is_done_if_there_is_one(scratch: Scratch) {
    let db = scratch.with_jar().await;
    let told = Told::default();
    let says = told.clone();
    db.transaction(move |tx| {
        says.after_commit(tx, "kept");
        put(tx, 1, "plum")?;
        tx.if_it_can(|tx| {
            says.after_commit(tx, "possible");
            Ok(())
        })?;
        tx.if_it_can(|tx| {
            says.after_commit(tx, "impossible");
            Err(Error::internal("no"))
        })?;
        let may_be_taken = |id, label| {
            let says = says.clone();
            move |tx: &mut Tx<'_>| {
                says.after_commit(tx, label);
                insert(tx, id, label)
            }
        };
        tx.attempt(may_be_taken(2, "plum"))?;
        tx.attempt(may_be_taken(2, "pear"))?;
        tx.taken_back(|tx| {
            says.after_commit(tx, "a decoy");
            Ok(())
        })?;
        assert!(says.take().is_empty(), "too early");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(told.take(), ["kept", "possible", "pear"]);

    let ends: [fn() -> Result<()>; 2] = [|| Err(Error::internal("no")), || panic!("in a function")];
    for ends in ends {
        let says = told.clone();
        let undone: Result<()> = db
            .transaction(move |tx| {
                says.after_commit(tx, "undone");
                ends()
            })
            .await;
        assert!(undone.is_err() && told.take().is_empty());
    }
    let says = told.clone();
    db.read(move |tx| {
        says.after_commit(tx, "seen");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(told.take(), ["seen"]);
}

async fn what_the_commit_refuses_is_told_to_nobody(scratch: Scratch) {
    let db = scratch.with_jar().await;
    let table = "CREATE TABLE lid (jar BIGINT REFERENCES jar (id) DEFERRABLE INITIALLY DEFERRED)";
    db.transaction(move |tx| Ok(tx.conn.batch_execute(table)?))
        .await
        .unwrap();
    let told = Told::default();
    let says = told.clone();
    let refused = db
        .transaction(move |tx| {
            says.after_commit(tx, "a lid for no jar");
            Ok(tx.conn.batch_execute("INSERT INTO lid (jar) VALUES (1)")?)
        })
        .await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("could not be kept"),
        "the commit is what fails"
    );
    assert!(told.take().is_empty());
}

async fn what_waits_at_once_is_all_done(scratch: Scratch) {
    let db = scratch.with_jar().await;
    db.transaction(|tx| put(tx, 0, "count")).await.unwrap();
    let all: Vec<_> = (0..100)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                db.transaction(|tx| {
                    let one_more = diesel::update(jar::table.find(0)).set(jar::label.eq("counted"));
                    assert_eq!(one_more.execute(tx.conn)?, 1);
                    let count: i64 = jar::table.count().get_result(tx.conn)?;
                    put(tx, count, &format!("number {count}")) // row 0's lock makes them take turns
                })
                .await
            })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    assert_eq!(labels(&db).await.len(), 101);
}

async fn nothing_is_done_for_a_caller_who_has_gone(scratch: Scratch) {
    let db = scratch.with_jar().await;
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let left = tokio::spawn({
        let db = db.clone();
        async move {
            db.transaction(move |tx| {
                put(tx, 1, "left behind")?;
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                Ok(())
            })
            .await
        }
    });
    tokio::task::yield_now().await;
    has_begun.recv_timeout(Duration::from_secs(1)).unwrap();
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    go_on.send(()).unwrap();
    thread::sleep(Duration::from_millis(100));
    assert!(labels(&db).await.is_empty());
}

async fn errors_tell_no_values(scratch: Scratch) {
    let db = scratch.with_jar().await;
    db.transaction(|tx| put(tx, 1, "alice@example.org"))
        .await
        .unwrap();
    let taken = db
        .transaction(|tx| put(tx, 2, "alice@example.org"))
        .await
        .unwrap_err();
    assert!(matches!(taken, Error::Internal(_)));
    assert!(!format!("{taken} {taken:?}").contains("alice"), "{taken}");
}

async fn concrete_connections_take_what_the_common_one_does_not(scratch: Scratch) {
    let db = scratch.with_jar().await;
    let found = db
        .transaction(|tx| {
            put(tx, 1, "one")?;
            let row = (jar::id.eq(1), jar::label.eq("again"));
            let upserted = match tx.conn {
                Connection::Postgres(conn) => diesel::insert_into(jar::table)
                    .values(row)
                    .on_conflict_do_nothing()
                    .execute(conn)?,
                Connection::Sqlite(conn) => diesel::insert_into(jar::table)
                    .values(row)
                    .on_conflict_do_nothing()
                    .execute(conn)?,
            };
            assert_eq!(upserted, 0);
            let claimed: Vec<i64> = match tx.conn {
                Connection::Postgres(conn) => jar::table
                    .select(jar::id)
                    .for_update()
                    .skip_locked()
                    .load(conn)?,
                Connection::Sqlite(conn) => jar::table.select(jar::id).load(conn)?,
            };
            assert_eq!(claimed, [1]);
            let sql = "SELECT label FROM jar WHERE id = $1 AND label <> $2";
            let query = || {
                diesel::sql_query(sql)
                    .bind::<BigInt, _>(1)
                    .bind::<Text, _>("x")
            };
            let common: Vec<Labelled> = query().load(tx.conn)?;
            let concrete: Vec<Labelled> = match tx.conn {
                Connection::Postgres(conn) => query().load(conn)?,
                Connection::Sqlite(conn) => query().load(conn)?,
            };
            Ok((common[0].label.clone(), concrete[0].label.clone()))
        })
        .await
        .unwrap();
    assert_eq!(found, ("one".into(), "one".into()));
}

async fn a_read_that_writes_is_refused(scratch: Scratch) {
    let db = scratch.with_jar().await;
    assert!(db.read(|tx| put(tx, 1, "sly")).await.is_err());
    assert!(labels(&db).await.is_empty());
}

#[derive(QueryableByName)]
struct Labelled {
    #[diesel(sql_type = Text)]
    label: String,
}

async fn values_of_our_own_go_in_and_out(scratch: Scratch) {
    let db = scratch.with_jar().await;
    let back: Vec<Fruit> = db
        .transaction(|tx| {
            let row = (jar::id.eq(1), jar::label.eq(Fruit::Plum));
            diesel::insert_into(jar::table)
                .values(row)
                .execute(tx.conn)?;
            let eaten = diesel::delete(jar::table.filter(jar::id.eq_any([1, 2])));
            Ok(eaten.returning(jar::label).get_results(tx.conn)?)
        })
        .await
        .unwrap();
    assert_eq!(back, [Fruit::Plum]);
}

#[derive(Clone, Copy, Debug, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
enum Fruit {
    Plum,
}

impl<DB: diesel::backend::Backend> ToSql<Text, DB> for Fruit
where
    str: ToSql<Text, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> diesel::serialize::Result {
        "plum".to_sql(out)
    }
}

impl<DB: diesel::backend::Backend> FromSql<Text, DB> for Fruit
where
    String: FromSql<Text, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> diesel::deserialize::Result<Self> {
        match String::from_sql(bytes)?.as_str() {
            "plum" => Ok(Self::Plum),
            other => Err(format!("{other} is no fruit").into()),
        }
    }
}

async fn of_two_that_migrate_at_once_one_does(scratch: Scratch) {
    assert!(scratch.db.ready().await.is_err());
    let other = Db::open(&scratch.url, scratch.clock.clone()).unwrap();
    let (one, two) = thread::scope(|scope| {
        let one = scope.spawn(|| scratch.db.migrate().unwrap());
        let two = scope.spawn(|| other.migrate().unwrap());
        (one.join().unwrap(), two.join().unwrap())
    });
    assert!(one.is_empty() != two.is_empty(), "{one:?} {two:?}");
    assert!(one.iter().chain(&two).all(|name| name.contains('_')));
    scratch.db.ready().await.unwrap();
    other.ready().await.unwrap();
    assert!(other.migrate().unwrap().is_empty());
}

async fn a_newer_schema_is_left_alone(scratch: Scratch) {
    scratch.db.migrate().unwrap();
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')";
    scratch
        .db
        .transaction(move |tx| Ok(tx.conn.batch_execute(newer)?))
        .await
        .unwrap();
    scratch.db.ready().await.unwrap();
    assert!(scratch.db.migrate().unwrap().is_empty());
}

/// Those of an app, whose first goes by the very version of our first.
static OWN: Migrations = Migrations {
    sqlite: embed_migrations!("tests/own_app/migrations/sqlite"),
    postgres: embed_migrations!("tests/own_app/migrations/postgres"),
};

const OWN_NAMES: [&str; 2] = ["2026-11-22-000001_notes", "2026-11-29-000001_share_links"];

async fn the_tables_of_an_app_come_after_ours_and_are_noted_apart(scratch: Scratch) {
    let with_app = scratch.db.clone().with_migrations(Some(&OWN));
    let pending = with_app.pending().await.unwrap();
    assert_eq!(pending.first().unwrap(), "20261122000001");
    assert!(pending.ends_with(&["own_20261122000001".into(), "own_20261129000001".into()]));
    let applied = with_app.migrate().unwrap();
    assert_eq!(applied.first().unwrap(), "2026-11-22-000001_first_floor");
    assert_eq!(applied[applied.len() - OWN_NAMES.len()..], OWN_NAMES);
    assert_eq!(applied.len(), pending.len());
    with_app.ready().await.unwrap();
    assert!(with_app.migrate().unwrap().is_empty());
}

async fn an_app_comes_to_a_database_that_is_there(scratch: Scratch) {
    scratch.db.migrate().unwrap();
    let with_app = scratch.db.clone().with_migrations(Some(&OWN));
    assert!(with_app.ready().await.is_err());
    assert_eq!(with_app.migrate().unwrap(), OWN_NAMES);
    with_app.ready().await.unwrap();
    // A node without the app, beside it, minds nothing.
    scratch.db.ready().await.unwrap();
    assert!(scratch.db.migrate().unwrap().is_empty());
}

// ---- SQLite ----

#[tokio::test]
async fn neighbours_in_a_group_do_not_harm_each_other() {
    let db = Scratch::sqlite().with_jar().await;
    let group = Group::gather(&db).await;
    let fine = group.add(|tx| put(tx, 1, "one"));
    let panics = group.add(|tx| {
        put(tx, 2, "two")?;
        panic!("one of the group")
    });
    let fails = group.add(|tx| {
        put(tx, 3, "three")?;
        put(tx, 1, "one again")
    });
    let fine_too = group.add(|tx| put(tx, 4, "four"));
    group.go().await;
    assert!(fine.await.unwrap().is_ok());
    assert!(matches!(panics.await.unwrap(), Err(Error::Internal(_))));
    assert!(matches!(fails.await.unwrap(), Err(Error::Internal(_))));
    assert!(fine_too.await.unwrap().is_ok());
    assert_eq!(labels(&db).await, ["one", "four"]);
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_half_done() {
    let db = Scratch::sqlite().with_jar().await;
    let group = Group::gather(&db).await;
    let before = group.add(|tx| put(tx, 1, "one"));
    let fills = group.add(|tx| {
        tx.conn.batch_execute("PRAGMA max_page_count = 1")?; // no smaller than the file is already
        put(tx, 2, &"x".repeat(1 << 20))
    });
    let after = group.add(|tx| put(tx, 3, "three"));
    group.go().await;
    for told in [before, fills, after] {
        assert!(matches!(told.await.unwrap(), Err(Error::Unavailable(_))));
    }
    assert!(labels(&db).await.is_empty());
    db.transaction(|tx| put(tx, 4, "room again")).await.unwrap();
    assert_eq!(labels(&db).await, ["room again"]);
}

#[tokio::test]
async fn a_held_lock_is_waited_for_and_then_everybody_is_refused() {
    let db = Scratch::sqlite().with_jar().await;
    let mut holder = SqliteConnection::establish(db.path().to_str().unwrap()).unwrap();
    holder.batch_execute("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    let first = tokio::spawn(put_one(db.clone(), 1));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let second = tokio::spawn(put_one(db.clone(), 2));
    assert!(labels(&db).await.is_empty()); // reading goes on
    assert!(matches!(first.await.unwrap(), Err(Error::Unavailable(_))));
    assert!(matches!(second.await.unwrap(), Err(Error::Unavailable(_))));
    let waited = begun.elapsed();
    assert!(
        waited > Duration::from_secs(4) && waited < Duration::from_secs(7),
        "{waited:?}"
    );

    let third = tokio::spawn(put_one(db.clone(), 3));
    tokio::time::sleep(Duration::from_millis(500)).await;
    holder.batch_execute("COMMIT").unwrap();
    third.await.unwrap().unwrap();
    assert_eq!(labels(&db).await, ["3"]);
}

/// Somebody who hears of a refusal and comes at once, while the database's thread still tells the others.
struct ComesAtOnce {
    db: Db,
    came: mpsc::Sender<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
}

impl Wake for ComesAtOnce {
    fn wake(self: Arc<Self>) {
        let mut late: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(put_one(self.db.clone(), 3));
        let waits = late.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(waits.is_pending());
        self.came.send(late).unwrap();
    }
}

#[tokio::test]
async fn who_comes_after_a_refusal_waits_anew() {
    let db = Scratch::sqlite().with_jar().await;
    let mut holder = SqliteConnection::establish(db.path().to_str().unwrap()).unwrap();
    holder.batch_execute("BEGIN IMMEDIATE").unwrap();
    let (came, comes) = mpsc::channel();
    let waker = Waker::from(Arc::new(ComesAtOnce {
        db: db.clone(),
        came,
    }));
    let mut refused = Box::pin(put_one(db.clone(), 1));
    let waits = refused.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(waits.is_pending());
    let late = comes.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(refused.await, Err(Error::Unavailable(_))));
    holder.batch_execute("COMMIT").unwrap();
    late.await.unwrap();
    assert_eq!(labels(&db).await, ["3"]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let db = Scratch::sqlite().with_jar().await;
    let group = Group::gather(&db).await;
    let waiting: Vec<_> = (0..1100)
        .map(|id| group.add(move |tx| put(tx, id, &id.to_string())))
        .collect();
    group.go().await;
    let mut done = 0;
    for one in waiting {
        match one.await.unwrap() {
            Ok(()) => done += 1,
            Err(error) => assert!(matches!(error, Error::Unavailable(_))),
        }
    }
    assert_eq!(done, 1024);
    assert_eq!(labels(&db).await.len(), 1024);
}

#[tokio::test]
async fn a_read_within_a_read_is_no_trouble() {
    let db = Scratch::sqlite().with_jar().await;
    let inner = db.clone();
    let count = db
        .read(move |_| match &inner.store {
            super::Store::Sqlite(store) => {
                store.read(|tx| Ok(jar::table.count().get_result::<i64>(tx.conn)?))
            }
            super::Store::Postgres(_) => Err(Error::internal("not here")),
        })
        .await;
    assert_eq!(count.unwrap(), 0);
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_its_name_means_nothing() {
    let folder = Folder::new();
    let path = folder.0.join("deep/file:er?mode=memory");
    let db = Db::open(&DatabaseUrl::Sqlite(path.clone()), Clock::System).unwrap();
    db.transaction(|tx| Ok(tx.conn.batch_execute("CREATE TABLE t (x)")?))
        .await
        .unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let wal = path.with_file_name("file:er?mode=memory-wal");
    assert_eq!((mode(&path), mode(&wal)), (0o600, 0o600));
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}

#[test]
fn many_may_open_a_new_file_at_once() {
    let folder = Folder::new();
    let url = DatabaseUrl::Sqlite(folder.0.join("new.db"));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| Db::open(&url, Clock::System).unwrap().migrate().unwrap());
        }
    });
}

#[tokio::test]
async fn the_last_one_out_ends_the_thread() {
    let scratch = Scratch::sqlite().with_jar().await;
    let clone = scratch.db.clone();
    let wal = scratch.path().with_extension("db-wal");
    assert!(wal.exists());
    let Scratch { db, _home, .. } = scratch;
    drop(db);
    drop(clone);
    eventually(|| !wal.exists()); // SQLite removes it when the last connection closes
}

// ---- PostgreSQL ----

#[tokio::test]
async fn a_swallowed_error_is_not_called_done() {
    let db = Scratch::postgres().with_jar().await;
    let told = db
        .transaction(|tx| {
            put(tx, 1, "one")?;
            let _ = tx.conn.batch_execute("NONSENSE");
            Ok(())
        })
        .await;
    assert!(matches!(told, Err(Error::Unavailable(_))));
    assert!(labels(&db).await.is_empty());
}

/// It goes in one breath with what begins its transaction, whose failure nobody has heard of yet.
#[tokio::test]
async fn a_statement_whose_transaction_did_not_begin_writes_nothing() {
    let scratch = Scratch::postgres().with_jar().await;
    let DatabaseUrl::Postgres(url) = &scratch.url else {
        panic!("no server")
    };
    // On a plain thread, for such a connection waits.
    let tried = thread::scope(|scope| {
        let tries = scope.spawn(|| {
            let mut conn = Connection::Postgres(Postgres::establish(url).unwrap());
            let row =
                || diesel::insert_into(jar::table).values((jar::id.eq(1), jar::label.eq("adrift")));
            // A part of no transaction is what the server does not begin.
            conn.batch_execute("SAVEPOINT part").unwrap();
            let counted = row().execute(&mut conn);
            conn.batch_execute("SAVEPOINT part").unwrap();
            let returned: QueryResult<i64> = row().returning(jar::id).get_result(&mut conn);
            let adrift: i64 = jar::table.count().get_result(&mut conn).unwrap();
            let kept = conn.transaction(|conn| row().execute(conn));
            (counted.is_err(), returned.is_err(), adrift, kept)
        });
        tries.join().unwrap()
    });
    assert_eq!(
        tried,
        (true, true, 0, Ok(1)),
        "and what failed is left behind"
    );
    assert_eq!(labels(&scratch).await, ["adrift"]);
}

#[tokio::test]
async fn an_update_is_prepared_once_for_each_text() {
    let db = Scratch::postgres().with_jar().await;
    let prepared_texts = db.transaction(|tx| {
        put(tx, 1, "one")?;
        put(tx, 2, "two")?;
        for (id, label) in [(1, "plum"), (2, "pear"), (1, "fig")] {
            let renamed = prepared(diesel::update(jar::table.find(id)).set(jar::label.eq(label)));
            assert_eq!(on_either!(tx.conn, |conn| renamed.execute(conn))?, 1);
        }
        let moved = prepared(diesel::update(jar::table.find(2)).set(jar::id.eq(3)));
        assert_eq!(on_either!(tx.conn, |conn| moved.execute(conn))?, 1);
        let unprepared = diesel::update(jar::table.find(3)).set((jar::id.eq(4), jar::label.eq("kiwi")));
        assert_eq!(unprepared.execute(tx.conn)?, 1);
        let texts = "SELECT statement AS label FROM pg_prepared_statements WHERE statement LIKE 'UPDATE%' \
                     ORDER BY statement";
        Ok(diesel::sql_query(texts).load::<Labelled>(tx.conn)?)
    });
    let texts: Vec<String> = prepared_texts
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.label)
        .collect();
    assert_eq!(
        texts,
        [
            r#"UPDATE "jar" SET "id" = $1 WHERE ("jar"."id" = $2)"#,
            r#"UPDATE "jar" SET "label" = $1 WHERE ("jar"."id" = $2)"#,
        ]
    );
    assert_eq!(labels(&db).await, ["fig", "kiwi"]);
}

#[tokio::test]
async fn a_lost_connection_is_replaced() {
    let scratch = Scratch::postgres();
    let proxy = Proxy::to(&scratch);
    let db = Scratch {
        db: proxy.db(),
        ..scratch
    }
    .with_jar()
    .await;
    for id in 0..16 {
        put_one(db.clone(), id).await.unwrap();
        proxy.cut();
        thread::sleep(Duration::from_millis(20));
        // A server that restarted in between costs nobody anything.
        assert_eq!(labels(&db).await.len() as i64, id + 1);
    }
}

#[tokio::test]
async fn a_connection_lost_under_way_is_not_done() {
    let scratch = Scratch::postgres();
    let proxy = Arc::new(Proxy::to(&scratch));
    let db = Scratch {
        db: proxy.db(),
        ..scratch
    }
    .with_jar()
    .await;
    let cutter = Arc::clone(&proxy);
    let told = db
        .transaction(move |tx| {
            put(tx, 1, "one")?;
            cutter.cut();
            put(tx, 2, "two")
        })
        .await;
    assert!(matches!(told, Err(Error::Unavailable(_))));
    put_one(db.clone(), 3).await.unwrap();
    assert_eq!(labels(&db).await, ["3"]);
}

#[tokio::test]
async fn a_server_that_hangs_or_is_away_is_503_soon_and_comes_back_by_itself() {
    let scratch = Scratch::postgres();
    let proxy = Proxy::to(&scratch);
    let db = Scratch {
        db: proxy.db(),
        ..scratch
    }
    .with_jar()
    .await;
    for trouble in [&proxy.state.hangs, &proxy.state.is_away] {
        trouble.store(true, Ordering::SeqCst);
        if !proxy.state.hangs.load(Ordering::SeqCst) {
            proxy.cut();
        }
        let begun = Instant::now();
        let callers: Vec<_> = (0..32)
            .map(|id| tokio::spawn(put_one(db.clone(), id)))
            .collect();
        for caller in callers {
            assert!(matches!(caller.await.unwrap(), Err(Error::Unavailable(_))));
        }
        assert!(
            begun.elapsed() < Duration::from_millis(2500),
            "{:?}",
            begun.elapsed()
        );
        thread::sleep(Duration::from_millis(1000));

        trouble.store(false, Ordering::SeqCst);
        let back = Instant::now();
        while labels_if_there(&db).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(
            back.elapsed() < Duration::from_secs(5),
            "{:?}",
            back.elapsed()
        );
        assert!(labels(&db).await.is_empty()); // whoever was told "not done" finds nothing done
    }
}

#[tokio::test]
async fn a_server_that_is_silent_or_away_costs_the_next_no_turn() {
    let scratch = Scratch::postgres().with_jar().await;
    let DatabaseUrl::Postgres(url) = &scratch.url else {
        panic!("no server")
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // which nobody answers at
    let away = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url: Url = url.parse().unwrap();
    let there = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let firsts = [silent.local_addr().unwrap(), away];
    for (id, first) in firsts.iter().enumerate() {
        let both = url.as_str().replace(&there, &format!("{first},{there}"));
        let begun = Instant::now();
        let db = Db::open(&DatabaseUrl::Postgres(both), Clock::System).unwrap();
        put_one(db, id as i64).await.unwrap();
        assert!(
            begun.elapsed() < Duration::from_millis(1500),
            "{:?}",
            begun.elapsed()
        );
    }
    let neither = format!("postgres://u@{away},localhost:1/d");
    let error = Db::open(&DatabaseUrl::Postgres(neither), Clock::System)
        .err()
        .unwrap()
        .to_string();
    for who in [away.to_string(), "localhost:1".into()] {
        let said = format!("{who}: error connecting to server: Connection refused");
        assert!(error.contains(&said), "{error}");
    }
}

/// They were made while nothing was to be written, or lead to a server that was told to follow another.
#[tokio::test]
async fn connections_that_take_no_writes_are_replaced() {
    let scratch = Scratch::postgres().with_jar().await;
    let Home::Database(Database(name)) = &scratch._home else {
        panic!("this story is PostgreSQL's")
    };
    let set = |read_only| {
        on_the_cluster(&format!(
            "ALTER DATABASE {name} SET default_transaction_read_only = {read_only}"
        ));
    };
    set("on");
    let db = Db::open(&scratch.url, Clock::System).unwrap();
    let at_once = (0..64).map(|id| tokio::spawn(put_one(db.clone(), id)));
    for refused in at_once.collect::<Vec<_>>() {
        assert!(matches!(refused.await.unwrap(), Err(Error::Unavailable(_))));
    }
    set("off");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut refused = 0;
    for id in 0..100 {
        refused += usize::from(put_one(db.clone(), id).await.is_err());
    }
    assert!(refused <= 8, "{refused} times: each finds out for itself");
    let at_once = (100..200).map(|id| tokio::spawn(put_one(db.clone(), id)));
    let mut refused_now = 0;
    for done in at_once.collect::<Vec<_>>() {
        refused_now += usize::from(done.await.unwrap().is_err());
    }
    assert!(refused + refused_now <= 8, "and once");
}

/// It answers `COMMIT` and warns if it was kept from waiting for a standby.
#[tokio::test]
async fn a_commit_with_a_warning_is_not_called_done() {
    let db = Scratch::postgres().with_jar().await;
    let warns = |deferred: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE WARNING 'it may be lost'; RETURN NULL; END $$; \
             DROP TRIGGER IF EXISTS warns ON jar; \
             CREATE CONSTRAINT TRIGGER warns AFTER INSERT ON jar {deferred} \
             FOR EACH ROW EXECUTE FUNCTION warn()"
        )
    };
    let make = |trigger: String| db.transaction(move |tx| Ok(tx.conn.batch_execute(&trigger)?));
    make(warns("NOT DEFERRABLE")).await.unwrap();
    put_one(db.clone(), 1).await.unwrap(); // of what was done before the commit, not of that
    make(warns("DEFERRABLE INITIALLY DEFERRED")).await.unwrap();
    let told = put_one(db.clone(), 2).await;
    assert!(
        matches!(&told, Err(Error::Unavailable(why)) if why.contains("no standby")),
        "{told:?}"
    );
}

/// By the codes of the errors: whatever may pass by itself, be it a guess, is worth another try.
#[tokio::test]
async fn what_may_pass_is_told_from_a_bug() {
    let db = Scratch::postgres().with_jar().await;
    let raised = async |code: &str| {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$");
        db.transaction(move |tx| Ok(tx.conn.batch_execute(&raise)?))
            .await
            .unwrap_err()
    };
    let may_pass = [
        "0A000", // no writes during recovery, a plan that another schema has spoilt
        "23503", // a row was deleted meanwhile
        "25006", // no writes
        "25P03", "40001", "40P01", // too long in a transaction, serialization, deadlock
        "53100", "53200", "53300", "53400", // disk, memory, connections
        "55P03", "57014", // a lock, a statement that takes too long
        "57P01", "57P02", "57P03", "57P05", // shut down, crashed, not up yet, idle
        "58030", "XX000", // its disk, itself
    ];
    for code in may_pass {
        let error = raised(code).await;
        assert!(matches!(error, Error::Unavailable(_)), "{code}: {error}");
    }
    for code in ["23502", "23505", "23514"] {
        let error = raised(code).await;
        assert!(matches!(error, Error::Internal(_)), "{code}: {error}");
    }
}

#[tokio::test]
async fn a_row_that_is_locked_is_not_waited_for_for_ever() {
    let db = Scratch::postgres().with_jar().await;
    put_one(db.clone(), 1).await.unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let holder = tokio::spawn({
        let db = db.clone();
        async move {
            db.transaction(move |tx| {
                diesel::update(jar::table)
                    .set(jar::label.eq("held"))
                    .execute(tx.conn)?;
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                Ok(())
            })
            .await
        }
    });
    tokio::task::yield_now().await;
    has_begun.recv().unwrap();
    let touch = |tx: &mut Tx<'_>| Ok(diesel::delete(jar::table).execute(tx.conn)?);
    let refused = db.transaction(touch).await.unwrap_err();
    assert!(refused.to_string().contains("lock timeout"), "{refused}");
    go_on.send(()).unwrap();
    holder.await.unwrap().unwrap();
    assert_eq!(labels(&db).await, ["held"]);
}

#[tokio::test]
async fn the_last_one_out_ends_the_connections() {
    let scratch = Scratch::postgres().with_jar().await;
    for id in 0..8 {
        put_one(scratch.clone(), id).await.unwrap();
    }
    let watch = Db::open(&DatabaseUrl::Postgres(cluster().into()), Clock::System).unwrap();
    let Scratch { db, _home, .. } = scratch;
    let Home::Database(Database(name)) = &_home else {
        panic!("this story is PostgreSQL's")
    };
    let query = format!("SELECT 1 FROM pg_stat_activity WHERE datname = '{name}'");
    drop(db);
    for _ in 0..100 {
        let query = query.clone();
        let left = watch
            .read(|tx| Ok(diesel::sql_query(query).execute(tx.conn)?))
            .await
            .unwrap();
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("connections are left");
}

#[test]
fn a_server_that_is_away_at_start_is_said_clearly_and_without_the_password() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (url, expected) in [
        (
            format!("postgres://u:hunter2@{nobody}/d"),
            "Connection refused",
        ),
        (
            format!("postgres://u:hunter2@{nobody}/d?sslmode=require"),
            "Connection refused",
        ),
        ("postgres://u:hunter2@doorpost.invalid/d".into(), "lookup"),
        ("postgres://u:hunter2@[::1/d".into(), "cannot be read"),
        (
            format!("postgres://u:hun?ter2=x@{nobody}/d?hunter2=y"),
            "cannot be read",
        ),
    ] {
        let error = Db::open(&DatabaseUrl::Postgres(url), Clock::System)
            .err()
            .unwrap();
        let may_come = !error.to_string().contains("cannot be read");
        assert_eq!(matches!(error, Error::Unavailable(_)), may_come, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error:?}").contains("ter2"), "{error}");
    }
}

#[test]
fn a_wrong_password_is_said_without_it() {
    let mut url = cluster();
    url.set_username("doorpost_nobody").unwrap();
    url.set_password(Some("hunter2")).unwrap();
    let error = Db::open(&DatabaseUrl::Postgres(url.into()), Clock::System)
        .err()
        .unwrap();
    assert!(!format!("{error:?}").contains("hunter2"), "{error}");
}

// ---- helpers ----

fn insert(tx: &mut Tx<'_>, id: i64, label: &str) -> QueryResult<usize> {
    let row = (jar::id.eq(id), jar::label.eq(label));
    diesel::insert_into(jar::table).values(row).execute(tx.conn)
}

fn put(tx: &mut Tx<'_>, id: i64, label: &str) -> Result<()> {
    insert(tx, id, label)?;
    Ok(())
}

async fn put_one(db: Db, id: i64) -> Result<()> {
    db.transaction(move |tx| put(tx, id, &id.to_string())).await
}

async fn labels(db: &Db) -> Vec<String> {
    labels_if_there(db).await.unwrap()
}

async fn labels_if_there(db: &Db) -> Result<Vec<String>> {
    db.read(|tx| Ok(jar::table.order(jar::id).select(jar::label).load(tx.conn)?))
        .await
}

fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("not even after two seconds");
}

/// A database of a test's own, gone when the test is through.
struct Scratch {
    db: Db,
    url: DatabaseUrl,
    clock: Clock,
    _home: Home,
}

enum Home {
    Folder(#[expect(dead_code, reason = "kept for its drop")] Folder),
    Database(Database),
}

impl Scratch {
    fn sqlite() -> Self {
        let folder = Folder::new();
        Self::open(
            DatabaseUrl::Sqlite(folder.0.join("scratch.db")),
            Home::Folder(folder),
        )
    }

    fn postgres() -> Self {
        let database = Database::new();
        Self::open(
            DatabaseUrl::Postgres(database.url().into()),
            Home::Database(database),
        )
    }

    fn open(url: DatabaseUrl, home: Home) -> Self {
        let clock = Clock::stopped_at(1_000_000);
        Self {
            db: Db::open(&url, clock.clone()).unwrap(),
            url,
            clock,
            _home: home,
        }
    }

    /// The same with an empty table in it.
    async fn with_jar(self) -> Self {
        let table = "CREATE TABLE jar (id BIGINT PRIMARY KEY NOT NULL, label TEXT NOT NULL UNIQUE)";
        self.transaction(move |tx| Ok(tx.conn.batch_execute(table)?))
            .await
            .unwrap();
        self
    }

    fn path(&self) -> &Path {
        match &self.url {
            DatabaseUrl::Sqlite(path) => path,
            DatabaseUrl::Postgres(_) => panic!("no file"),
        }
    }
}

impl Deref for Scratch {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

/// Tells names of one run apart; the process's number tells runs apart.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "doorpost_test_{}_{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::SeqCst)
    )
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(unique());
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn cluster() -> Url {
    let url = std::env::var("DOORPOST_TEST_POSTGRES")
        .expect("DOORPOST_TEST_POSTGRES should name a PostgreSQL whose user may create databases");
    url.parse().unwrap()
}

struct Database(String);

impl Database {
    fn new() -> Self {
        let name = unique();
        on_the_cluster(&format!("CREATE DATABASE {name}"));
        Self(name)
    }

    fn url(&self) -> Url {
        let mut url = cluster();
        url.set_path(&self.0);
        url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        on_the_cluster(&format!("DROP DATABASE {} WITH (FORCE)", self.0));
    }
}

fn on_the_cluster(statement: &str) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut conn = Postgres::establish(cluster().as_str()).unwrap();
            conn.batch_execute(
                "SET statement_timeout = 0; SET default_transaction_read_only = off",
            )
            .unwrap();
            conn.batch_execute(statement).unwrap();
        });
    });
}

/// Jobs that SQLite's writer will find waiting together, because one before them keeps it.
struct Group {
    db: Db,
    keeper: JoinHandle<Result<()>>,
    let_go: mpsc::Sender<()>,
}

impl Group {
    async fn gather(db: &Db) -> Self {
        let (begun, has_begun) = mpsc::channel();
        let (let_go, may_go) = mpsc::channel();
        let keeper = tokio::spawn({
            let db = db.clone();
            async move {
                db.transaction(move |_| {
                    begun.send(()).unwrap();
                    may_go.recv().unwrap();
                    Ok(())
                })
                .await
            }
        });
        tokio::task::yield_now().await;
        has_begun.recv().unwrap();
        Self {
            db: db.clone(),
            keeper,
            let_go,
        }
    }

    fn add(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<()> + Send + 'static,
    ) -> JoinHandle<Result<()>> {
        let db = self.db.clone();
        tokio::spawn(async move { db.transaction(change).await })
    }

    async fn go(self) {
        tokio::time::sleep(Duration::from_millis(100)).await; // everybody has asked by now
        self.let_go.send(()).unwrap();
        self.keeper.await.unwrap().unwrap();
    }
}

/// Stands between the program and PostgreSQL, and is the trouble there can be with a server.
struct Proxy {
    address: SocketAddr,
    database: Url,
    state: Arc<ProxyState>,
}

#[derive(Default)]
struct ProxyState {
    /// Nothing comes through any more, as with a server that was stopped or a network that swallows all.
    hangs: AtomicBool,
    /// Whoever connects is hung up on.
    is_away: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    fn to(scratch: &Scratch) -> Self {
        let DatabaseUrl::Postgres(url) = &scratch.url else {
            panic!("no server")
        };
        let database: Url = url.parse().unwrap();
        let server = format!(
            "{}:{}",
            database.host_str().unwrap(),
            database.port().unwrap_or(5432)
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<ProxyState>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if !shared.is_away.load(Ordering::SeqCst) {
                    join(&client, &TcpStream::connect(&server).unwrap(), &shared);
                }
            }
        });
        Self {
            address,
            database,
            state,
        }
    }

    fn db(&self) -> Db {
        let mut url = self.database.clone();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        Db::open(&DatabaseUrl::Postgres(url.into()), Clock::System).unwrap()
    }

    /// Every connection there is now is lost.
    fn cut(&self) {
        for stream in self.state.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn join(client: &TcpStream, server: &TcpStream, state: &Arc<ProxyState>) {
    state
        .streams
        .lock()
        .unwrap()
        .extend([client, server].map(|end| end.try_clone().unwrap()));
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let state = Arc::clone(state);
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                while state.hangs.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(5));
                }
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
