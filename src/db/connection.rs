//! One connection for both databases: an ordinary query is written once, on this.
//!
//! `RETURNING` columns, joins, boxed queries, `eq_any`, savepoints and `BigInt`, `Text`, `Binary` and `Bool`
//! work on it. `ON CONFLICT`, `FOR UPDATE SKIP LOCKED` and batch inserts do not: they take a `match`
//! that names the concrete connection of each database. So does what must be as fast as it can be, for here diesel
//! writes the SQL anew, several times, at every call.
//!
//! (The rest of the program calls it `db::Connection`. Here it cannot be called that: what the derive
//! writes stands in this module beside diesel's trait of that name.)

#![expect(
    clippy::disallowed_methods,
    reason = "what the derive writes can open a connection, too"
)]

use diesel::sqlite::SqliteConnection;

use super::postgres::Postgres;

/// A connection to whichever database the configuration names.
#[derive(diesel::MultiConnection)]
#[allow(
    clippy::large_enum_variant,
    reason = "a handful exist, and none is moved but by its owner"
)]
pub enum AnyConnection {
    /// To a PostgreSQL server.
    Postgres(Postgres),
    /// To an SQLite file.
    Sqlite(SqliteConnection),
}

/// Runs one query on whichever connection is behind the common one, written once and compiled for both.
///
/// For what the common type does not have (`ON CONFLICT`), and for what happens at every sign-in: on its own
/// connection diesel keeps the SQL of a query, on the common one it builds it several times at every call. An `UPDATE`
/// is kept by [`prepared`](super::prepared()) alone.
macro_rules! on_either {
    ($conn:expr, |$each:ident| $query:expr) => {
        match $conn {
            $crate::db::Connection::Postgres($each) => $query,
            $crate::db::Connection::Sqlite($each) => $query,
        }
    };
}
pub(crate) use on_either;

/// Loads the rows that a query finds, and on PostgreSQL locks them, but for those that somebody else has locked just now.
///
/// For whoever clears away and has no hurry: they never wait for another's lock while they hold their own, and so are part
/// of no deadlock, whatever order others take theirs in. On SQLite there is one writer.
macro_rules! load_unlocked {
    ($conn:expr, $rows:expr) => {
        match $conn {
            $crate::db::Connection::Postgres(conn) => $rows.for_update().skip_locked().load(conn),
            $crate::db::Connection::Sqlite(conn) => $rows.load(conn),
        }
    };
}
pub(crate) use load_unlocked;

/// Deletes the rows that a query finds, by their key, but for those that somebody else has locked just now; how many
/// there were. The key is named with what it is in Rust: `events::id as String`.
macro_rules! delete_unlocked {
    ($conn:expr, $table:ident::$key:ident as $in_rust:ty, $rows:expr) => {
        $crate::db::load_unlocked!($conn, $rows.select($table::$key))
            .and_then(|keys: Vec<$in_rust>| {
                let gone = $table::table.filter($table::$key.eq_any(keys));
                $crate::db::on_either!($conn, |conn| diesel::delete(gone).execute(conn))
            })
            .map_err($crate::error::Error::from)
    };
}
pub(crate) use delete_unlocked;
