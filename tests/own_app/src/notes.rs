//! What members keep: a table, what is asked of it, and what is done to it.
//!
//! Every function takes the transaction first, and each query is written once for both databases.

use diesel::prelude::*;
use doorpost::accounts::users::Owner;
use doorpost::app::App;
use doorpost::db::Tx;
use doorpost::error::Result;
use doorpost::mail::own_letter::OwnLetter;
use doorpost::random;

diesel::table! {
    notes (id) {
        id -> Text,
        user_id -> Text,
        kept_at -> BigInt,
        text -> Text,
    }
}

/// The newest notes of a member, as many as a page shows.
pub fn newest(tx: &mut Tx, user_id: &str) -> Result<Vec<String>> {
    Ok(notes::table
        .filter(notes::user_id.eq(user_id))
        .order(notes::kept_at.desc())
        .select(notes::text)
        .limit(100)
        .load(tx.conn)?)
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

/// Erases all of the owner's notes and tells them so: both, or neither. Without the proof that it is the owner who asks,
/// this does not compile.
pub fn erase(tx: &mut Tx, app: &App, owner: &Owner) -> Result<()> {
    let reader = owner.user();
    diesel::delete(notes::table.filter(notes::user_id.eq(&reader.id))).execute(tx.conn)?;
    let letter = OwnLetter {
        name: "notes_erased",
        subject: "Your notes are erased",
        paragraphs: &[
            "All of your notes were erased just now, by somebody who knew your password.",
        ],
        link: Some((
            "Open your notes",
            &app.signed_links.to_page(tx, reader, "/notes"),
        )),
    };
    app.outbox.post(tx, &letter.to(&app.config, reader)?)
}
