//! The database is one of before: a backup took its place.
//!
//! It does not know what happened since. A link that was used is unused in it, a session that was ended lives, a key
//! that was stolen and replaced signs, a letter that was sent waits. So every link and every session ends, no browser
//! is known to any account, access tokens are signed with another key, and nothing that waits is sent: most of it was,
//! a moment after the backup was made, and a notice that comes twice, days later, does more harm than one that does not
//! come. Whoever wants a link asks for one.
//!
//! What nobody can know stays as it was: a password or an address that was changed since, an account that was deleted.

use crate::accounts::links;
use crate::accounts::sessions;
use crate::accounts::signing_keys;
use crate::accounts::users;
use crate::db::Tx;
use crate::error::Result;
use crate::keys::Keys;
use crate::mail::outbox;

/// How much of it there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub sessions: usize,
    pub links: usize,
    /// Letters that waited.
    pub letters: usize,
}

/// Ends it. Done twice, it ends what began between.
pub fn after_restore(tx: &mut Tx, keys: &Keys) -> Result<Ended> {
    let ended = Ended {
        sessions: sessions::end_everybodys(tx)?,
        links: links::forget_all(tx)?,
        letters: outbox::kept::drop_waiting(
            tx,
            "it waited in a backup, and may have been sent since",
        )?,
    };
    users::forget_everybodys_browsers(tx)?;
    signing_keys::replace_all(tx, keys)?;
    Ok(ended)
}
