//! A session is bound to its device, and the device proves now and again that it is still there (DBSC).
//!
//! Nothing here ends a session: whoever comes with a copy of its cookie and without the key gets nowhere, and the owner,
//! who has both, goes on and is told.

use crate::accounts::client::Client;
use crate::accounts::device_keys::{self, Binding, Challenge, ChallengePurpose, DeviceKey};
use crate::accounts::events::{self, Event};
use crate::accounts::sessions::{self, Session};
use crate::accounts::users;
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;

/// What the answer that begins a session, or changes its rights, asks a browser to sign.
pub fn offer(app: &App, session: &Session, now: Timestamp) -> Result<String> {
    let challenge = Challenge {
        purpose: ChallengePurpose::Bind,
        session_id: session.id.clone(),
        made_at: now,
    };
    challenge.seal(&app.keys)
}

/// What came of a browser's wish to bind its session.
pub enum Bound {
    /// It is bound from here on.
    Now(Proven),
    /// It was before, to this key or to another: it stays so.
    Before,
    /// It has ended.
    Ended,
}

/// A device that has proven just now that it is there.
pub struct Proven {
    pub session_id: String,
    pub at: Timestamp,
    /// What it is to sign the next time.
    pub challenge: String,
}

/// Binds a session to the key that signed our challenge to do so.
pub fn bind(tx: &mut Tx, app: &App, binding: &Binding, client: &Client) -> Result<Bound> {
    let id = &binding.challenge.session_id;
    let session = sessions::find_of_browser(tx, &app.config, id)?;
    if session.is_none() {
        return Ok(Bound::Ended);
    }
    let bound = device_keys::bind(tx, binding, client)?;
    match device_keys::find(tx, id)? {
        Some(key) if bound => Ok(Bound::Now(proven(tx, app, &key)?)),
        Some(_) => Ok(Bound::Before),
        // A moment ago, while this waited for whoever ended it.
        None => Ok(Bound::Ended),
    }
}

/// What is asked of a session that its browser names.
pub enum Asked {
    /// It has ended, is bound to nothing, or never was ours: its browser need not ask any more.
    Ended,
    /// Nothing was proven: this is to be signed.
    Challenged(String),
    /// The key of the session has signed one of our challenges, which is still to be counted.
    Signed(Box<Signed>),
}

/// A proof whose signature is right.
pub struct Signed {
    key: DeviceKey,
    challenge: Challenge,
}

/// Looks at what a browser sent, and writes nothing. A proof that is none, whatever is wrong with it, is answered as if
/// it were missing: with a challenge, which nobody can use without the key.
pub fn look(tx: &mut Tx, app: &App, session_id: &str, proof: Option<&str>) -> Result<Asked> {
    let Some(key) = living_key(tx, app, session_id)? else {
        return Ok(Asked::Ended);
    };
    let now = tx.now;
    match proof.and_then(|proof| key.verify(proof, &app.keys, &app.config, now)) {
        Some(challenge) => Ok(Asked::Signed(Box::new(Signed { key, challenge }))),
        None => Ok(Asked::Challenged(key.challenge(now).seal(&app.keys)?)),
    }
}

/// What came of a proof whose signature is right.
pub enum Outcome {
    Proven(Proven),
    /// Another one was counted meanwhile, or this very one before: this is to be signed.
    Challenged(String),
    Ended,
}

/// Counts the proof; each counts once, on all nodes together.
pub fn prove(tx: &mut Tx, app: &App, signed: &Signed, client: &Client) -> Result<Outcome> {
    let counted = device_keys::prove(tx, &signed.key, &signed.challenge, client)?;
    let Some(key) = living_key(tx, app, &signed.key.session_id)? else {
        return Ok(Outcome::Ended);
    };
    match counted {
        true => Ok(Outcome::Proven(proven(tx, app, &key)?)),
        false => Ok(Outcome::Challenged(key.challenge(tx.now).seal(&app.keys)?)),
    }
}

fn living_key(tx: &mut Tx, app: &App, session_id: &str) -> Result<Option<DeviceKey>> {
    if app.config.sessions.proof.is_none() {
        return Ok(None);
    }
    match sessions::find_of_browser(tx, &app.config, session_id)? {
        Some(session) => device_keys::find(tx, &session.id),
        None => Ok(None),
    }
}

fn proven(tx: &mut Tx, app: &App, key: &DeviceKey) -> Result<Proven> {
    Ok(Proven {
        session_id: key.session_id.clone(),
        at: tx.now,
        challenge: key.challenge(tx.now).seal(&app.keys)?,
    })
}

/// Whether somebody who came with the cookie of a bound session, and did not prove to be on its device, is to be written
/// down. The browser that proved it last may have lost its key; from anywhere else it may be a copy. Whoever sends one over
/// and over is written down now and then, and must not hold the account at every request: so this is asked before.
pub fn is_noteworthy(tx: &mut Tx, session: &Session, client: &Client) -> Result<bool> {
    if events::was_noted_lately(tx, &session.user_id, Event::DeviceNotProven)? {
        return Ok(false);
    }
    let key = device_keys::find(tx, &session.id)?;
    let is_its_network = key.is_some_and(|key| key.was_last_in(&client.network));
    Ok(!is_its_network || !sessions::was_seen_in(tx, &session.id, client)?)
}

/// Writes it down, and tells the owner.
pub fn note_not_proven(tx: &mut Tx, app: &App, session: &Session, client: &Client) -> Result<()> {
    let Some(user) = users::hold(tx, &session.user_id)? else {
        return Ok(());
    };
    // Of two at once one does.
    if events::was_noted_lately(tx, &user.id, Event::DeviceNotProven)? {
        return Ok(());
    }
    events::note(tx, &user.id, Event::DeviceNotProven, client)?;
    app.outbox
        .tell(tx, &user.email, Notice::DeviceNotProven, client)
}
