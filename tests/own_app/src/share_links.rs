//! Links that show one note to whoever has them: for so long, so many times, and until their member ends them.
//!
//! A link is one of Doorpost's. There its token is kept, as a hash, and its end; and it ends with the other links of
//! its account: by a new password, a new address, "End all links", a lock. Kept here is what it shows, and how often.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use doorpost::accounts::links::{self, Look, OwnPurpose, Purpose, Wanted};
use doorpost::accounts::sessions::HeldSession;
use doorpost::accounts::users::User;
use doorpost::app::App;
use doorpost::clock::{Timestamp, millis};
use doorpost::db::Tx;
use doorpost::error::Result;
use doorpost::random::{self, Token};
use serde_json::{Value, json};

use crate::notes::notes;

/// What these links are for.
pub const SHARE_NOTE: Purpose =
    Purpose::Own(&OwnPurpose::new("share_note", "/shared", days(MOST_DAYS)));

/// The most days a link may last, and the most times it may be opened.
pub const MOST_DAYS: u32 = 30;
pub const MOST_TIMES: u32 = 1_000;

const fn days(count: u32) -> Duration {
    Duration::from_secs(count as u64 * 24 * 60 * 60)
}

diesel::table! {
    share_links (token_hash) {
        token_hash -> Binary,
        id -> Text,
        note_id -> Text,
        times -> BigInt,
        opened -> BigInt,
    }
}

diesel::joinable!(share_links -> notes (note_id));
diesel::allow_tables_to_appear_in_same_query!(share_links, notes);

/// What its member says of a link.
pub struct Terms {
    pub times: u32,
    pub days: u32,
}

/// Makes a link to a note, if that is one of the member's; its URL, which nobody is shown again.
pub fn make(
    tx: &mut Tx,
    app: &App,
    by: &HeldSession,
    note_id: &str,
    terms: &Terms,
) -> Result<Option<String>> {
    if crate::notes::find(tx, &by.user.id, note_id)?.is_none() {
        return Ok(None);
    }
    let wanted = Wanted {
        purpose: SHARE_NOTE,
        email: &by.user.email,
        user: Some(&by.user),
        link_request_id: None,
        session_id: None,
    };
    let issued = links::issue(tx, &app.config, &app.keys, &wanted)?;
    let token_hash = issued.token.hash();
    // It waits for no mail server: its life begins now.
    links::handed_over(tx, &[token_hash.as_bytes()], millis(days(terms.days)))?;
    diesel::insert_into(share_links::table)
        .values((
            share_links::token_hash.eq(token_hash.as_bytes()),
            share_links::id.eq(random::id()),
            share_links::note_id.eq(note_id),
            share_links::times.eq(i64::from(terms.times)),
            share_links::opened.eq(0),
        ))
        .execute(tx.conn)?;
    Ok(Some(app.config.server.public_url.link(&issued.path())))
}

/// How many times a link can still be opened, if it can. Looking changes nothing.
pub fn left(tx: &mut Tx, token: &Token) -> Result<Option<i64>> {
    let Look::Live(_) = links::look(tx, token, SHARE_NOTE)? else {
        return Ok(None);
    };
    let left = share_links::table
        .find(token.hash().as_bytes())
        .select(share_links::times - share_links::opened)
        .first::<i64>(tx.conn)
        .optional()?;
    Ok(left.filter(|left| *left > 0))
}

/// Opens a link, once more: the text of the note. Of many who open it at once, no more get past the guarded UPDATE than
/// it has times left; and none after its end, for its account is held.
pub fn open(tx: &mut Tx, token: &Token) -> Result<Option<String>> {
    let Some(link) = links::find(tx, token, SHARE_NOTE)? else {
        return Ok(None);
    };
    if !link.is_live(tx)? {
        return Ok(None);
    }
    let opened = diesel::update(
        share_links::table
            .find(token.hash().as_bytes())
            .filter(share_links::opened.lt(share_links::times)),
    )
    .set(share_links::opened.eq(share_links::opened + 1))
    .returning(share_links::note_id)
    .get_result::<String>(tx.conn)
    .optional()?;
    let Some(note_id) = opened else {
        return Ok(None);
    };
    Ok(notes::table
        .find(note_id)
        .select(notes::text)
        .first(tx.conn)
        .optional()?)
}

/// A link, as its member sees it.
#[derive(Queryable)]
pub struct ShareLink {
    pub id: String,
    pub note: String,
    pub times: i64,
    pub opened: i64,
}

/// The links of a member whose time is not over, the newest first, and when it is.
pub fn list(tx: &mut Tx, user_id: &str) -> Result<Vec<(ShareLink, Timestamp)>> {
    let mut kept = kept(tx, user_id)?;
    let live = links::live(tx, user_id, SHARE_NOTE)?;
    Ok(live
        .into_iter()
        .filter_map(|link| Some((kept.remove(&link.token_hash)?, link.expires_at)))
        .collect())
}

/// All that are kept, by their hashes.
fn kept(tx: &mut Tx, user_id: &str) -> Result<BTreeMap<Vec<u8>, ShareLink>> {
    let kept: Vec<(Vec<u8>, ShareLink)> = share_links::table
        .inner_join(notes::table)
        .filter(notes::user_id.eq(user_id))
        .select((
            share_links::token_hash,
            (
                share_links::id,
                notes::text,
                share_links::times,
                share_links::opened,
            ),
        ))
        .load(tx.conn)?;
    Ok(kept.into_iter().collect())
}

/// Ends a link, if it is one of the member's that live.
pub fn end(tx: &mut Tx, by: &HeldSession, id: &str) -> Result<bool> {
    let found = share_links::table
        .filter(share_links::id.eq(id))
        .select(share_links::token_hash)
        .first::<Vec<u8>>(tx.conn)
        .optional()?;
    match found {
        Some(token_hash) => links::end_one(tx, &by.user, SHARE_NOTE, &token_hash),
        None => Ok(false),
    }
}

/// All that are kept of a member's, for the file in which they download everything.
pub fn export(tx: &mut Tx, user: &User) -> Result<Value> {
    let kept = kept(tx, &user.id)?;
    Ok(kept
        .into_values()
        .map(|link| json!({ "note": link.note, "times": link.times, "opened": link.opened }))
        .collect())
}
