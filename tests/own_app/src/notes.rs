//! What members keep: a table, what is asked of it, and what is done to it.
//!
//! Every function takes the transaction first, and each query is written once for both databases.

use diesel::prelude::*;
use doorpost::accounts::users::User;
use doorpost::clock::Timestamp;
use doorpost::db::Tx;
use doorpost::error::Result;
use doorpost::humanize;
use doorpost::random;
use serde_json::{Value, json};

diesel::table! {
    notes (id) {
        id -> Text,
        user_id -> Text,
        kept_at -> BigInt,
        text -> Text,
    }
}

/// A note, as its member sees it.
#[derive(Queryable)]
pub struct Note {
    pub id: String,
    pub text: String,
}

/// The newest notes of a member, as many as a page shows.
pub fn newest(tx: &mut Tx, user_id: &str) -> Result<Vec<Note>> {
    Ok(notes::table
        .filter(notes::user_id.eq(user_id))
        .order(notes::kept_at.desc())
        .select((notes::id, notes::text))
        .limit(100)
        .load(tx.conn)?)
}

/// This note, if it is one of this member's.
pub fn find(tx: &mut Tx, user_id: &str, id: &str) -> Result<Option<Note>> {
    Ok(notes::table
        .filter(notes::id.eq(id))
        .filter(notes::user_id.eq(user_id))
        .select((notes::id, notes::text))
        .first(tx.conn)
        .optional()?)
}

/// Keeps a note.
pub fn keep(tx: &mut Tx, user_id: &str, text: &str) -> Result<()> {
    diesel::insert_into(notes::table)
        .values((
            notes::id.eq(random::id()),
            notes::user_id.eq(user_id),
            notes::kept_at.eq(tx.now),
            notes::text.eq(text),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// All of a member's notes, for the file in which they download everything.
pub fn export(tx: &mut Tx, user: &User) -> Result<Value> {
    let kept: Vec<(Timestamp, String)> = notes::table
        .filter(notes::user_id.eq(&user.id))
        .order(notes::kept_at)
        .select((notes::kept_at, notes::text))
        .load(tx.conn)?;
    Ok(kept
        .into_iter()
        .map(|(at, text)| json!({ "kept_at": humanize::rfc3339(at), "text": text }))
        .collect())
}
