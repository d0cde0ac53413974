//! Deletes what has expired: links, ended sessions, limits whose window has passed, challenges that were answered, old
//! events, who was sent an announcement long ago, and whose mail came back.
//!
//! Nothing depends on it: every query judges for itself whether a row is still good. It keeps the tables small, so
//! that anonymous traffic leaves nothing behind. It takes one kind after another, each in small batches, the oldest first:
//! so a visitor's write waits for one small delete at the most, and each batch is found by an index, whatever else there
//! is. Rows that somebody has locked are left for the next time; so it waits for nobody, and is part of no deadlock.

use diesel::prelude::*;

use crate::accounts::batch::{by_first, rest};
use crate::accounts::passkeys::challenge;
use crate::accounts::{announced, events, mail_bounces, refresh_tokens, signing_keys};
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::{Tx, delete_unlocked, load_unlocked, on_either};
use crate::error::Result;
use crate::schema::{limits, links, sessions};

/// Rows that one batch has at the most.
pub const BATCH: i64 = 500;

/// Sessions in one batch: with each go the tokens that keep it alive.
const SESSIONS: i64 = BATCH / 10;

/// One kind of what expires.
#[derive(Clone, Copy)]
pub struct Kind {
    /// As the operator knows it.
    pub name: &'static str,
    /// Rows that one batch of it has at the most.
    pub at_most: i64,
    /// Deletes a batch of what is over, of so many rows at the most; how many there were. Fewer: that was all there was to
    /// be had.
    pub batch: fn(&mut Tx, &Config, i64) -> Result<usize>,
    /// How many are over.
    pub count: fn(&mut Tx, &Config) -> Result<i64>,
}

/// What expires of accounts, and of those who have none.
pub const KINDS: [Kind; 10] = [
    Kind {
        name: "links",
        at_most: BATCH,
        batch: |tx, _, at_most| links(tx, at_most),
        count: |tx, _| Ok(links_over(tx.now).count().get_result(tx.conn)?),
    },
    // Before the sessions: most of what hangs on those is gone by then.
    Kind {
        name: "refresh_tokens",
        at_most: BATCH,
        batch: |tx, _, at_most| refresh_tokens::purge(tx, at_most),
        count: |tx, _| refresh_tokens::count_over(tx),
    },
    Kind {
        name: "sessions",
        at_most: SESSIONS,
        batch: sessions,
        count: count_sessions,
    },
    Kind {
        name: "known_programs",
        at_most: BATCH,
        batch: |tx, _, at_most| refresh_tokens::purge_known(tx, at_most),
        count: |tx, _| refresh_tokens::count_forgotten(tx),
    },
    Kind {
        name: "challenges",
        at_most: BATCH,
        batch: |tx, _, at_most| challenge::purge(tx, at_most),
        count: |tx, _| challenge::count_over(tx),
    },
    Kind {
        name: "signing_keys",
        at_most: BATCH,
        batch: |tx, _, _| signing_keys::purge(tx),
        count: |tx, _| signing_keys::count_over(tx),
    },
    Kind {
        name: "limits",
        at_most: BATCH,
        batch: |tx, _, at_most| limits(tx, at_most),
        count: |tx, _| Ok(limits_over(tx.now).count().get_result(tx.conn)?),
    },
    Kind {
        name: "events",
        at_most: BATCH,
        batch: |tx, _, at_most| events::purge(tx, at_most),
        count: |tx, _| events::count_over(tx),
    },
    Kind {
        name: "announcements",
        at_most: BATCH,
        batch: |tx, _, at_most| announced::purge(tx, at_most),
        count: |tx, _| announced::count_over(tx),
    },
    Kind {
        name: "mail_bounces",
        at_most: BATCH,
        batch: |tx, _, at_most| mail_bounces::purge(tx, at_most),
        count: |tx, _| mail_bounces::count_over(tx),
    },
];

fn links(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over = links_over(tx.now).order(links::keep_until).limit(at_most);
    delete_unlocked!(tx.conn, links::token_hash as Vec<u8>, over)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn links_over(now: Timestamp) -> _ {
    links::table.filter(links::keep_until.le(now))
}

/// Those of browsers and those of programs rest for different times: asked for together, the ones that rest would be
/// looked at over and over before those that are over.
fn sessions(tx: &mut Tx, config: &Config, at_most: i64) -> Result<usize> {
    let (mut gone, too_old) = (0, too_old(tx, config));
    for (of_programs, since) in resting_since(tx, config) {
        let over = sessions_idle(of_programs, since)
            .order(sessions::last_seen_at)
            .limit(rest(at_most, gone));
        gone += delete_unlocked!(tx.conn, sessions::token_hash as Vec<u8>, over)?;
    }
    let over = sessions_too_old(too_old)
        .order(sessions::created_at)
        .limit(rest(at_most, gone));
    Ok(gone + delete_unlocked!(tx.conn, sessions::token_hash as Vec<u8>, over)?)
}

fn count_sessions(tx: &mut Tx, config: &Config) -> Result<i64> {
    let too_old = too_old(tx, config);
    let mut over: i64 = sessions_too_old(too_old).count().get_result(tx.conn)?;
    for (of_programs, since) in resting_since(tx, config) {
        over += sessions_idle(of_programs, since)
            .filter(sessions::created_at.gt(too_old))
            .count()
            .get_result::<i64>(tx.conn)?;
    }
    Ok(over)
}

/// Whether of programs, and since when they must have rested to be over.
fn resting_since(tx: &Tx, config: &Config) -> [(bool, Timestamp); 2] {
    [
        (false, tx.now - millis(config.sessions.idle)),
        (true, tx.now - millis(refresh_tokens::LIFETIME)),
    ]
}

fn too_old(tx: &Tx, config: &Config) -> Timestamp {
    tx.now - millis(config.sessions.lifetime)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn sessions_idle(of_programs: bool, since: Timestamp) -> _ {
    sessions::table
        .filter(sessions::for_program.eq(of_programs))
        .filter(sessions::last_seen_at.le(since))
}

#[diesel::dsl::auto_type(no_type_alias)]
fn sessions_too_old(too_old: Timestamp) -> _ {
    sessions::table.filter(sessions::created_at.le(too_old))
}

fn limits(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over: Vec<(String, String)> = load_unlocked!(
        tx.conn,
        limits_over(tx.now)
            .order(limits::ends_at)
            .select((limits::name, limits::subject))
            .limit(at_most)
    )?;
    let mut gone = 0;
    for (name, subjects) in by_first(over) {
        let named = limits::table
            .filter(limits::name.eq(name))
            .filter(limits::subject.eq_any(subjects));
        gone += on_either!(tx.conn, |conn| diesel::delete(named).execute(conn))?;
    }
    Ok(gone)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn limits_over(now: Timestamp) -> _ {
    limits::table.filter(limits::ends_at.le(now))
}
