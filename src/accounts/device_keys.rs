//! The key on its device that a session is bound to (Device Bound Session Credentials, DBSC): a cookie that was copied to
//! another device is worth nothing there.
//!
//! A browser that can makes a key pair when a session begins. We keep the public half; the private one does not leave the
//! device, and signs a challenge of ours now and again. A session is bound once, and to one key: whoever holds a copy of
//! the cookie cannot bind it to a key of their own.
//!
//! A challenge is sealed and stored nowhere. It says what it is for, in which session, and when it was made; a proof
//! counts only if its challenge is younger than the last one that counted, so that each is good for one proof on all
//! nodes together.

mod jws;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::accounts::client::Client;
use crate::accounts::limits::Network;
use crate::accounts::sessions;
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::{Tx, on_either, prepared};
use crate::error::{Error, Result};
use crate::keys::{KeyPurpose, Keys};
use crate::schema::device_keys;

pub use jws::{Jwk, SignedChallenge};

/// What a browser is to sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    pub purpose: ChallengePurpose,
    pub session_id: String,
    /// When it was made, or a moment later: after the last one that counted, whatever the clock did.
    pub made_at: Timestamp,
}

/// What its signature does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengePurpose {
    /// It binds the session to the key that signs.
    Bind,
    /// It proves that the device is still there.
    Prove,
}

/// A browser asks for a proof when its cookie is over, and a moment passes until we hear of it.
const SPARE: Duration = Duration::from_secs(60);

/// For so long a proof counts, and a challenge waits for one; `None` where no session is bound.
pub fn good_for(config: &Config) -> Option<Duration> {
    config.sessions.proof.map(|proof| proof + SPARE)
}

impl Challenge {
    /// As the browser gets it.
    pub fn seal(&self, keys: &Keys) -> Result<String> {
        let plain = serde_json::to_vec(self).map_err(Error::internal)?;
        let sealed = keys.seal(KeyPurpose::DeviceChallenge, &plain)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// One of ours for this purpose, made lately enough to be answered.
    fn open(
        text: &str,
        purpose: ChallengePurpose,
        keys: &Keys,
        config: &Config,
        now: Timestamp,
    ) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = keys.open(KeyPurpose::DeviceChallenge, &sealed)?;
        let challenge: Self = serde_json::from_slice(&plain).ok()?;
        let is_live = now < challenge.made_at + millis(good_for(config)?);
        (challenge.purpose == purpose && is_live).then_some(challenge)
    }
}

/// A session that is to be bound to this key, which has signed our challenge to do so.
pub struct Binding {
    pub challenge: Challenge,
    key: Jwk,
}

impl Binding {
    /// Checks what a browser sent: a key and, signed by it, a challenge of ours. Anything else is `None`.
    pub fn verify(text: &str, keys: &Keys, config: &Config, now: Timestamp) -> Option<Self> {
        let signed = SignedChallenge::parse(text)?;
        let purpose = ChallengePurpose::Bind;
        let challenge = Challenge::open(signed.challenge(), purpose, keys, config, now)?;
        let key = signed.key()?.clone();
        signed.is_signed_by(&key).then_some(Self { challenge, key })
    }
}

/// Binds a session to a key, unless it is bound already or has ended: of two at once, one does it.
pub fn bind(tx: &mut Tx, binding: &Binding, client: &Client) -> Result<bool> {
    let session_id = &binding.challenge.session_id;
    if !sessions::bind(tx, session_id)? {
        return Ok(false);
    }
    let row = (
        device_keys::session_id.eq(session_id),
        device_keys::jwk.eq(binding.key.to_text()?),
        device_keys::proven_at.eq(binding.challenge.made_at),
        device_keys::proofs.eq(1),
        device_keys::proofs_since.eq(tx.now),
        device_keys::ip.eq(client.ip()),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(device_keys::table)
        .values(row)
        .execute(conn))?;
    Ok(true)
}

/// What a session is bound to, and how it has proven itself so far.
#[derive(Clone, Debug, Queryable, Selectable)]
pub struct DeviceKey {
    pub session_id: String,
    jwk: String,
    proven_at: Timestamp,
    proofs: i32,
    proofs_since: Timestamp,
    ip: String,
}

/// A browser gives six proofs to a site within nine minutes, and then none; when a session begins is one of them.
const QUOTA_WINDOW: Duration = Duration::from_secs(9 * 60);

/// We ask for no more than these out of turn. The rest is for when the browser's cookie is over, and for another sign-in.
const ASKED_FOR: i32 = 3;

impl DeviceKey {
    /// The next challenge: younger than the one that counted last, even where a clock was set back.
    pub fn challenge(&self, now: Timestamp) -> Challenge {
        Challenge {
            purpose: ChallengePurpose::Prove,
            session_id: self.session_id.clone(),
            made_at: now.max(self.proven_at + 1),
        }
    }

    /// What this text proves: the challenge, if this very key has signed one of ours for this very session.
    pub fn verify(
        &self,
        text: &str,
        keys: &Keys,
        config: &Config,
        now: Timestamp,
    ) -> Option<Challenge> {
        let signed = SignedChallenge::parse(text)?;
        let purpose = ChallengePurpose::Prove;
        let challenge = Challenge::open(signed.challenge(), purpose, keys, config, now)?;
        let key = Jwk::stored(&self.jwk)?;
        let counts = challenge.session_id == self.session_id
            && signed.key().is_none()
            && signed.is_signed_by(&key);
        counts.then_some(challenge)
    }

    /// Whether the browser would give another proof, if we ask for one out of turn.
    pub fn can_be_asked(&self, now: Timestamp) -> bool {
        self.proofs_lately(now) < ASKED_FOR
    }

    /// Whether its last proof came from this network.
    pub fn was_last_in(&self, network: &Network) -> bool {
        let last = self.ip.parse().ok().map(Network::of);
        last.is_some_and(|last| last.is_same(network))
    }

    fn proofs_lately(&self, now: Timestamp) -> i32 {
        match now < self.proofs_since + millis(QUOTA_WINDOW) {
            true => self.proofs,
            false => 0,
        }
    }
}

/// What this session is bound to.
pub fn find(tx: &mut Tx, session_id: &str) -> Result<Option<DeviceKey>> {
    Ok(on_either!(tx.conn, |conn| device_keys::table
        .find(session_id)
        .select(DeviceKey::as_select())
        .first(conn)
        .optional())?)
}

/// Counts a proof whose signature was right, unless one of the same challenge or of a younger one counted before: of two
/// at once, one does.
pub fn prove(tx: &mut Tx, key: &DeviceKey, challenge: &Challenge, client: &Client) -> Result<bool> {
    let lately = key.proofs_lately(tx.now);
    let since = match lately {
        0 => tx.now,
        _ => key.proofs_since,
    };
    let older = device_keys::table
        .filter(device_keys::session_id.eq(&key.session_id))
        .filter(device_keys::proven_at.lt(challenge.made_at));
    let prove = prepared(diesel::update(older).set((
        device_keys::proven_at.eq(challenge.made_at),
        device_keys::proofs.eq(lately + 1),
        device_keys::proofs_since.eq(since),
        device_keys::ip.eq(client.ip()),
    )));
    Ok(on_either!(tx.conn, |conn| prove.execute(conn))? > 0)
}
