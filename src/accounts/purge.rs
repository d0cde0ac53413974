//! Deletes what has expired: links, ended sessions, limits whose window has passed, old events, who was sent an
//! announcement long ago, and whose mail came back.
//!
//! Nothing depends on it: every query judges for itself whether a row is still good. It keeps the tables small, so
//! that anonymous traffic leaves nothing behind. It works in small batches, lest a visitor's write waits behind a
//! large delete.

use diesel::prelude::*;

use crate::accounts::{announced, events, mail_bounces, refresh_tokens, signing_keys};
use crate::clock::{Timestamp, millis};
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
    gone += mail_bounces::purge(tx, BATCH)?;
    Ok(gone)
}

/// Counts everything that has expired, by what it is.
pub fn count(tx: &mut Tx, config: &Config) -> Result<Vec<(&'static str, i64)>> {
    Ok(vec![
        ("links", links_over(tx.now).count().get_result(tx.conn)?),
        ("sessions", count_sessions(tx, config)?),
        ("refresh_tokens", refresh_tokens::count_over(tx)?),
        ("known_programs", refresh_tokens::count_forgotten(tx)?),
        ("signing_keys", signing_keys::count_over(tx)?),
        ("limits", limits_over(tx.now).count().get_result(tx.conn)?),
        ("events", events::count_over(tx)?),
        ("announcements", announced::count_over(tx)?),
        ("mail_bounces", mail_bounces::count_over(tx)?),
    ])
}

fn links(tx: &mut Tx) -> Result<usize> {
    let over: Vec<Vec<u8>> = links_over(tx.now)
        .select(links::token_hash)
        .limit(BATCH)
        .load(tx.conn)?;
    let gone = links::table.filter(links::token_hash.eq_any(over));
    Ok(diesel::delete(gone).execute(tx.conn)?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn links_over(now: Timestamp) -> _ {
    links::table.filter(links::keep_until.le(now))
}

fn sessions(tx: &mut Tx, config: &Config) -> Result<usize> {
    let (idle_since, too_old) = (idle_since(tx, config), too_old(tx, config));
    let mut over: Vec<Vec<u8>> = sessions_idle(idle_since, program_idle_since(tx))
        .select(sessions::token_hash)
        .limit(BATCH)
        .load(tx.conn)?;
    over.extend(
        sessions_too_old(too_old)
            .select(sessions::token_hash)
            .limit(BATCH)
            .load::<Vec<u8>>(tx.conn)?,
    );
    let gone = sessions::table.filter(sessions::token_hash.eq_any(over));
    Ok(diesel::delete(gone).execute(tx.conn)?)
}

fn count_sessions(tx: &mut Tx, config: &Config) -> Result<i64> {
    let (idle_since, too_old) = (idle_since(tx, config), too_old(tx, config));
    let idle: i64 = sessions_idle(idle_since, program_idle_since(tx))
        .filter(sessions::created_at.gt(too_old))
        .count()
        .get_result(tx.conn)?;
    let old: i64 = sessions_too_old(too_old).count().get_result(tx.conn)?;
    Ok(idle + old)
}

fn idle_since(tx: &Tx, config: &Config) -> Timestamp {
    tx.now - millis(config.sessions.idle)
}

fn program_idle_since(tx: &Tx) -> Timestamp {
    tx.now - millis(refresh_tokens::LIFETIME)
}

fn too_old(tx: &Tx, config: &Config) -> Timestamp {
    tx.now - millis(config.sessions.lifetime)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn sessions_idle(idle_since: Timestamp, program_idle_since: Timestamp) -> _ {
    let no: bool = false;
    sessions::table
        .filter(sessions::last_seen_at.le(idle_since))
        .filter(
            sessions::for_program
                .eq(no)
                .or(sessions::last_seen_at.le(program_idle_since)),
        )
}

#[diesel::dsl::auto_type(no_type_alias)]
fn sessions_too_old(too_old: Timestamp) -> _ {
    sessions::table.filter(sessions::created_at.le(too_old))
}

/// A row of this table has a key of two columns, which no `IN` takes on both databases; the subject
/// alone may match a limit of another name whose window is open, so the end is asked for once more.
fn limits(tx: &mut Tx) -> Result<usize> {
    let over: Vec<String> = limits_over(tx.now)
        .select(limits::subject)
        .limit(BATCH)
        .load(tx.conn)?;
    let gone = limits::table
        .filter(limits::subject.eq_any(over))
        .filter(limits::ends_at.le(tx.now));
    Ok(diesel::delete(gone).execute(tx.conn)?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn limits_over(now: Timestamp) -> _ {
    limits::table.filter(limits::ends_at.le(now))
}
