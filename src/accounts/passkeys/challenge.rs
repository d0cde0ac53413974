//! Challenges for passkeys: sealed and not stored, good for one purpose, a few minutes, and one right answer.
//!
//! Whoever asks for one leaves nothing behind, however often they ask. What a challenge is for, for whom and since when
//! is sealed in the challenge itself: the authenticator signs it, the browser brings it back, and we open it. One that
//! was made to sign in does not open the gate, and one that was made for one session is no good in another.
//!
//! That one answer is taken once, whatever the network repeats and on however many nodes it arrives, is a row's work: the
//! first right answer writes down the challenge, hashed, until it would be over anyhow. So there are never more rows than
//! there were right answers.

use std::time::Duration;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::{Timestamp, millis};
use crate::db::{Tx, delete_unlocked};
use crate::error::{Error, Result};
use crate::keys::{KeyPurpose, Keys};
use crate::schema::answered_challenges;

/// So long one may be answered: as long as people take to find a telephone, and to unlock it.
pub const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// What a challenge is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum For {
    /// To come in. It is the same for everybody: who comes is known by the answer.
    SigningIn,
    /// To open the gate of the session with this id.
    Reauthenticating(String),
    /// To add a passkey, in the session or by the link with this name.
    Adding(String),
    /// To add one in the session with this id that its browser makes by itself.
    AddingByItself(String),
}

/// What stands in one that is sealed.
#[derive(Serialize, Deserialize)]
struct Content {
    purpose: For,
    made_at: Timestamp,
}

/// A challenge of ours that is still good.
#[derive(Clone)]
pub struct Challenge {
    bytes: Vec<u8>,
    ends_at: Timestamp,
}

/// Makes one. The nonce of the seal makes it unlike any other.
pub fn draw(keys: &Keys, now: Timestamp, purpose: For) -> Result<Vec<u8>> {
    let content = Content {
        purpose,
        made_at: now,
    };
    let plain = serde_json::to_vec(&content).map_err(Error::internal)?;
    keys.seal(KeyPurpose::PasskeyChallenge, &plain)
}

impl Challenge {
    /// Opens one that came back; `None` unless it was made for this, and not too long ago.
    pub fn open(keys: &Keys, now: Timestamp, purpose: &For, bytes: Vec<u8>) -> Option<Self> {
        let plain = keys.open(KeyPurpose::PasskeyChallenge, &bytes)?;
        let content: Content = serde_json::from_slice(&plain).ok()?;
        let ends_at = content.made_at + millis(LIFETIME);
        (content.purpose == *purpose && now < ends_at).then_some(Self { bytes, ends_at })
    }

    /// What the authenticator has to have signed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes its one right answer; whether this is it. A second one, a race included, is not.
    pub fn answer(&self, tx: &mut Tx) -> Result<bool> {
        let hash = Sha256::digest(&self.bytes);
        let row = (
            answered_challenges::hash.eq(hash.as_slice()),
            answered_challenges::ends_at.eq(self.ends_at),
        );
        let answered = tx.attempt(|tx| {
            diesel::insert_into(answered_challenges::table)
                .values(row)
                .execute(tx.conn)
        })?;
        Ok(answered.is_some())
    }
}

/// Deletes those that are over.
pub(in crate::accounts) fn purge(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over = over(tx.now)
        .order(answered_challenges::ends_at)
        .limit(at_most);
    delete_unlocked!(tx.conn, answered_challenges::hash as Vec<u8>, over)
}

/// How many are over.
pub(in crate::accounts) fn count_over(tx: &mut Tx) -> Result<i64> {
    Ok(over(tx.now).count().get_result(tx.conn)?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn over(now: Timestamp) -> _ {
    answered_challenges::table.filter(answered_challenges::ends_at.le(now))
}
