//! Accounts that are held: read again after their row was locked.
//!
//! Whatever begins or ends a right takes a [`Held`] account and not an id. So it decides on what the lock gave,
//! and two transactions that would contradict each other wait for each other. Without it, on PostgreSQL, a sign-in
//! and a reset pass each other: the reset ends all sessions that it can see, and the one that the sign-in has
//! inserted and not committed yet is not among them.
//!
//! There is one order of locks, so that there are no deadlocks: the address, the account, its links, all the rest. On
//! SQLite there is one writer, and nothing to wait for.

use std::ops::Deref;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

use super::{Named, User};
use crate::db::{Connection, Tx, prepared};
use crate::error::Result;
use crate::schema::users;

/// Something read after it was locked. Until the transaction ends, nobody else changes it, nor adds to what hangs
/// on it. Only this module makes one.
#[derive(Debug)]
pub struct Held<T>(T);

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Locks the row that this finds, and reads it. The lock is for the concrete connection, so the query is written once
/// and its type twice.
macro_rules! first_locked {
    ($tx:expr, $rows:expr) => {{
        let found = match $tx.conn {
            Connection::Postgres(conn) => $rows
                .for_update()
                .select(User::as_select())
                .first(conn)
                .optional()?,
            Connection::Sqlite(conn) => $rows.select(User::as_select()).first(conn).optional()?,
        };
        $tx.has_waited();
        Ok(found.map(Held))
    }};
}

/// Holds the account with this id, if there is one.
pub fn hold(tx: &mut Tx, id: &str) -> Result<Option<Held<User>>> {
    first_locked!(tx, users::table.find(id))
}

/// Holds the account that has this address, if one has.
pub fn hold_by_email(tx: &mut Tx, email: &str) -> Result<Option<Held<User>>> {
    first_locked!(tx, users::table.filter(users::email.eq(email)))
}

/// Holds the account that is named so, if there is one.
pub fn hold_named(tx: &mut Tx, named: &Named) -> Result<Option<Held<User>>> {
    match named {
        Named::Address(address) => hold_by_email(tx, address.as_str()),
        Named::Id(id) => hold(tx, id),
    }
}

/// Keeps others from giving this address to an account, until the transaction has ended: there may be no row yet
/// that could be locked. Taken before any account is.
pub fn hold_address(tx: &mut Tx, email: &str) -> Result<()> {
    if let Connection::Postgres(conn) = tx.conn {
        let lock = sql::<Bool>("pg_advisory_xact_lock(hashtextextended(")
            .bind::<Text, _>(email)
            .sql(", ")
            .bind::<BigInt, _>(ADDRESSES)
            .sql(")) IS NOT NULL");
        prepared(diesel::select(lock)).get_result::<bool>(conn)?;
    }
    tx.has_waited();
    Ok(())
}

/// Tells the locks on addresses from other advisory locks.
const ADDRESSES: i64 = 1;
