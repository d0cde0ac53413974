//! What access tokens are signed with: one key pair for all nodes, which is replaced now and then.
//!
//! The private half is sealed in the table; whoever steals the table can sign nothing. One key signs at a time, and
//! the next one is listed for a while before it does: other services keep the list they have read for minutes, and
//! some refuse a token whose key is not on it instead of reading it again. So a key is replaced
//! in two steps that no clock has to be told of: when the next one is made, it is written down from when on it signs,
//! and that the one before it is retired in that moment. A retired one verifies until the last token it signed is
//! dead, and is then forgotten.
//!
//! A key is replaced after ninety days, the next one being listed from the day before, or when the operator says so
//! (`doorpost keys rotate`). One that was stolen is replaced at once, and everything it signed is dead.
//!
//! Two nodes that make a key at once end up with one: of all keys one has no end yet, as a unique index says. A node
//! keeps what it read for a minute, and reads again when a token names a key that it does not know. So a
//! retired key may sign for a minute more, on a node that has not heard of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::prelude::*;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::accounts::es256::{KeyPair, SigningKey};
use crate::clock::{Timestamp, millis};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::keys::{KeyPurpose, Keys};
use crate::schema::signing_keys;

/// For how long one key signs.
const SIGNS_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The next one is listed for so long before, where nobody is in a hurry.
const LISTED_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// And for so long at the least: longer than anybody is known to keep the list (Envoy: ten minutes, by default),
/// and than it takes every node to hear of it.
const LISTED_FOR: Duration = Duration::from_secs(20 * 60);

/// For how long a node goes by what it read.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// For how long at the most a token is good that a key has signed.
pub const SIGNATURE_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// For how long a retired key still verifies: a node that has not heard of its end signs with it once more, and what
/// it signed is to be good for as long as any other.
const VERIFIES_FOR: Duration =
    Duration::from_secs(SIGNATURE_LIFETIME.as_secs() + 2 * KNOWN_FOR.as_secs());

/// All keys that count at one moment.
pub struct Ring {
    /// The one that signs, if this node could open it.
    pub signs: Option<Private>,
    /// Those that verify, the newest first: the one that signs next, too.
    pub verify: Vec<Public>,
    /// From when on the newest signs, which may be yet to come.
    newest_signs_from: Timestamp,
    read_at: Timestamp,
}

/// The private half of the key that signs.
pub struct Private {
    pub id: String,
    pub key: SigningKey,
}

/// The public half of a key.
pub struct Public {
    pub id: String,
    /// An uncompressed point: 4, x, y.
    pub point: Vec<u8>,
    retired_at: Option<Timestamp>,
}

impl Ring {
    /// The key with this id, while it verifies.
    pub fn find(&self, id: &str, now: Timestamp) -> Option<&Public> {
        self.living(now).find(|key| key.id == id)
    }

    /// The keys that verify at this moment.
    pub fn living(&self, now: Timestamp) -> impl Iterator<Item = &Public> {
        self.verify.iter().filter(move |key| {
            key.retired_at
                .is_none_or(|retired_at| now < retired_at + millis(VERIFIES_FOR))
        })
    }

    /// From when on another one is to sign, if it is time to make one: at once where none can.
    fn wants_another(&self, now: Timestamp) -> Option<Timestamp> {
        if self.signs.is_none() {
            return Some(now);
        }
        let next_signs_from = self.newest_signs_from + millis(SIGNS_FOR);
        let is_time = now >= next_signs_from - millis(LISTED_AHEAD);
        is_time.then(|| next_signs_from.max(now + millis(LISTED_FOR)))
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        (self.read_at..self.read_at + millis(KNOWN_FOR)).contains(&now)
    }
}

impl Public {
    /// Its coordinates, as a JWK has them.
    pub fn coordinates(&self) -> Option<(String, String)> {
        coordinates(&self.point)
    }
}

fn coordinates(point: &[u8]) -> Option<(String, String)> {
    let (x, y) = point.get(1..65)?.split_at(32);
    Some((URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y)))
}

/// The keys as this node knows them. Clones know the same.
#[derive(Clone)]
pub struct SigningKeys {
    keys: Arc<Keys>,
    known: Arc<Mutex<Option<Arc<Ring>>>>,
}

impl SigningKeys {
    /// Knows none yet.
    pub fn new(keys: Arc<Keys>) -> Self {
        Self {
            keys,
            known: Arc::default(),
        }
    }

    /// The keys to verify with, as they were a minute ago at the latest.
    pub async fn ring(&self, db: &Db, now: Timestamp) -> Result<Arc<Ring>> {
        let known = self.known().clone();
        match known.filter(|ring| ring.is_fresh(now)) {
            Some(ring) => Ok(ring),
            None => self.read_again(db).await,
        }
    }

    /// The keys to sign with: the first is made now, and the next one when it is time for it.
    pub async fn ring_that_signs(&self, db: &Db, now: Timestamp) -> Result<Arc<Ring>> {
        let ring = self.ring(db, now).await?;
        if ring.wants_another(now).is_none() {
            return Ok(ring);
        }
        let keys = self.keys.clone();
        db.transaction(move |tx| replace_if_wanted(tx, &keys))
            .await?;
        self.read_again(db).await
    }

    /// The keys as they are now: a token named one that this node has not heard of.
    pub async fn read_again(&self, db: &Db) -> Result<Arc<Ring>> {
        let keys = self.keys.clone();
        let ring = Arc::new(db.read(move |tx| read(tx, &keys)).await?);
        *self.known() = Some(ring.clone());
        Ok(ring)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Arc<Ring>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = signing_keys)]
struct Row {
    id: String,
    public: Vec<u8>,
    sealed: Vec<u8>,
    retired_at: Option<Timestamp>,
    signs_from: Timestamp,
}

impl Row {
    fn signs(&self, now: Timestamp) -> bool {
        self.signs_from <= now && self.retired_at.is_none_or(|retired_at| now < retired_at)
    }
}

fn read(tx: &mut Tx, keys: &Keys) -> Result<Ring> {
    let rows: Vec<Row> = signing_keys::table
        .order((signing_keys::created_at.desc(), signing_keys::id))
        .select(Row::as_select())
        .load(tx.conn)?;
    let signing = rows.iter().filter(|row| row.signs(tx.now));
    let signing = signing.max_by_key(|row| row.signs_from);
    let newest = rows.iter().find(|row| row.retired_at.is_none());
    Ok(Ring {
        // What was sealed under a key that is gone signs no more: another takes its place.
        signs: signing.and_then(|row| {
            let pkcs8 = Zeroizing::new(keys.open(KeyPurpose::SigningKey, &row.sealed)?);
            Some(Private {
                id: row.id.clone(),
                key: SigningKey::read(&pkcs8).ok()?,
            })
        }),
        newest_signs_from: newest.map_or(tx.now, |row| row.signs_from),
        read_at: tx.now,
        verify: rows
            .into_iter()
            .map(|row| Public {
                id: row.id,
                point: row.public,
                retired_at: row.retired_at,
            })
            .collect(),
    })
}

/// Another node may have been faster: then there is nothing to do.
fn replace_if_wanted(tx: &mut Tx, keys: &Keys) -> Result<()> {
    match read(tx, keys)?.wants_another(tx.now) {
        Some(signs_from) => make(tx, keys, signs_from).map(drop),
        None => Ok(()),
    }
}

/// A key that takes the place of another.
pub struct Next {
    pub id: String,
    pub signs_from: Timestamp,
}

/// Lists another key, which signs once everybody knows it; or finds the one that is listed already.
pub fn rotate(tx: &mut Tx, keys: &Keys) -> Result<Next> {
    let listed: Option<(String, Timestamp)> = signing_keys::table
        .filter(signing_keys::signs_from.gt(tx.now))
        .select((signing_keys::id, signing_keys::signs_from))
        .first(tx.conn)
        .optional()?;
    match listed {
        Some((id, signs_from)) => Ok(Next { id, signs_from }),
        None => make(tx, keys, tx.now + millis(LISTED_FOR)),
    }
}

/// Forgets every key and makes one that signs at once: whatever was signed until now is dead, by whomever.
pub fn replace_all(tx: &mut Tx, keys: &Keys) -> Result<Next> {
    diesel::delete(signing_keys::table).execute(tx.conn)?;
    make(tx, keys, tx.now)
}

/// Makes a key that signs from this moment on, and retires the one before it in that moment. Where another caller was
/// faster, that one's key stands.
fn make(tx: &mut Tx, keys: &Keys, signs_from: Timestamp) -> Result<Next> {
    let pair = KeyPair::draw()?;
    let id = thumbprint(&pair.public)?;
    let sealed = keys.seal(KeyPurpose::SigningKey, &pair.private)?;
    diesel::update(signing_keys::table.filter(signing_keys::retired_at.is_null()))
        .set(signing_keys::retired_at.eq(signs_from))
        .execute(tx.conn)?;
    let now = tx.now;
    let made = tx.attempt(|tx| {
        diesel::insert_into(signing_keys::table)
            .values((
                signing_keys::id.eq(&id),
                signing_keys::public.eq(&pair.public),
                signing_keys::sealed.eq(&sealed),
                signing_keys::created_at.eq(now),
                signing_keys::signs_from.eq(signs_from),
            ))
            .execute(tx.conn)
    })?;
    match made {
        Some(_) => Ok(Next { id, signs_from }),
        None => newest(tx),
    }
}

fn newest(tx: &mut Tx) -> Result<Next> {
    let (id, signs_from) = signing_keys::table
        .filter(signing_keys::retired_at.is_null())
        .select((signing_keys::id, signing_keys::signs_from))
        .first(tx.conn)?;
    Ok(Next { id, signs_from })
}

/// What names a key (RFC 7638): the digest of its public half, in the one spelling that has no choice.
fn thumbprint(point: &[u8]) -> Result<String> {
    let (x, y) = coordinates(point).ok_or_else(|| Error::internal("not a point of P-256"))?;
    let spelled = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    Ok(URL_SAFE_NO_PAD.encode(Sha256::digest(spelled)))
}

/// Forgets keys whose last token is dead.
pub fn purge(tx: &mut Tx) -> Result<usize> {
    Ok(diesel::delete(over(tx.now)).execute(tx.conn)?)
}

/// How many verify nothing any more.
pub fn count_over(tx: &mut Tx) -> Result<i64> {
    Ok(over(tx.now).count().get_result(tx.conn)?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn over(now: Timestamp) -> _ {
    let since: Timestamp = now - millis(VERIFIES_FOR);
    signing_keys::table.filter(signing_keys::retired_at.le(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of RFC 7638 are of an RSA key; this is the P-256 key of RFC 7517, appendix A.1.
    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        let part = |text| URL_SAFE_NO_PAD.decode(text).unwrap();
        let x = part("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4");
        let y = part("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM");
        let point = [&[4], x.as_slice(), &y].concat();
        let named = thumbprint(&point).unwrap();
        assert_eq!(named, "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
        assert!(thumbprint(&point[..64]).is_err());
    }
}
