//! Deletes what has expired: links, ended sessions, limits whose window has passed, old events, and who was sent an
//! announcement long ago.
//!
//! Nothing depends on it: every query judges for itself whether a row is still good. It keeps the tables small, so
//! that anonymous traffic leaves nothing behind. It works in small batches, lest a visitor's write waits behind a
//! large delete.

use diesel::prelude::*;

use crate::accounts::{announced, events, refresh_tokens, signing_keys};
use crate::clock::millis;
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::schema::{limits, links, sessions};

/// Rows that one batch takes from each table at the most.
pub const BATCH: i64 = 500;

/// Deletes one batch of everything that has expired. The number of rows says whether there may be more.
pub fn batch(tx: &mut Tx, config: &Config) -> Result<usize> {
    let mut gone = links(tx)?;
    gone += sessions(tx, config)?;
    gone += refresh_tokens::purge(tx, BATCH)?;
    gone += signing_keys::purge(tx)?;
    gone += limits(tx)?;
    gone += events::purge(tx, BATCH)?;
    gone += announced::purge(tx, BATCH)?;
    Ok(gone)
}

fn links(tx: &mut Tx) -> Result<usize> {
    let over: Vec<Vec<u8>> = links::table
        .filter(links::keep_until.le(tx.now))
        .select(links::token_hash)
        .limit(BATCH)
        .load(tx.conn)?;
    let gone = links::table.filter(links::token_hash.eq_any(over));
    Ok(diesel::delete(gone).execute(tx.conn)?)
}

fn sessions(tx: &mut Tx, config: &Config) -> Result<usize> {
    let idle_since = tx.now - millis(config.sessions.idle);
    let program_idle_since = tx.now - millis(refresh_tokens::LIFETIME);
    let too_old = tx.now - millis(config.sessions.lifetime);
    let mut over: Vec<Vec<u8>> = sessions::table
        .filter(sessions::last_seen_at.le(idle_since))
        .filter(
            sessions::for_program
                .eq(false)
                .or(sessions::last_seen_at.le(program_idle_since)),
        )
        .select(sessions::token_hash)
        .limit(BATCH)
        .load(tx.conn)?;
    over.extend(
        sessions::table
            .filter(sessions::created_at.le(too_old))
            .select(sessions::token_hash)
            .limit(BATCH)
            .load::<Vec<u8>>(tx.conn)?,
    );
    let gone = sessions::table.filter(sessions::token_hash.eq_any(over));
    Ok(diesel::delete(gone).execute(tx.conn)?)
}

/// A row of this table has a key of two columns, which no `IN` takes on both databases; the subject
/// alone may match a limit of another name whose window is open, so the end is asked for once more.
fn limits(tx: &mut Tx) -> Result<usize> {
    let over: Vec<String> = limits::table
        .filter(limits::ends_at.le(tx.now))
        .select(limits::subject)
        .limit(BATCH)
        .load(tx.conn)?;
    let gone = limits::table
        .filter(limits::subject.eq_any(over))
        .filter(limits::ends_at.le(tx.now));
    Ok(diesel::delete(gone).execute(tx.conn)?)
}
