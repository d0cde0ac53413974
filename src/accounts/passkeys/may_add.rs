//! Proof that whoever acts may give an account a passkey.
//!
//! Its owner may, if no hold stands in their way. Besides, an account that has neither a password nor a passkey, and so
//! nothing that its owner could enter at the gate, gets its first passkey where it would get its first password: by the
//! mailed link that sets one; and in the first minutes, in the very session in which its address was confirmed. That
//! session has shown what such a link shows, and nobody has had a moment in which to put anything on the account that a
//! thief could want.
//!
//! Only here one is made, and only of an account that is held. A session from any other link may look, however fresh.

use std::time::Duration;

use crate::accounts::links::{Consumed, Purpose};
use crate::accounts::sessions::{HeldSession, Session};
use crate::accounts::users::{Held, ResetHold, User};
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;

/// So long after its address was confirmed an account is new.
const NEW: Duration = Duration::from_secs(10 * 60);

/// Whoever acts may give this account a passkey, as this transaction has seen.
pub struct MayAdd(Held<User>);

impl MayAdd {
    /// In this session, whose device was proven to be there until this moment, if it is bound to one. `None`: the gate comes
    /// first; an owner may be [held](ResetHold) all the same.
    pub fn in_session(
        tx: &mut Tx,
        config: &Config,
        held: HeldSession,
        device_proven_until: Option<Timestamp>,
    ) -> Result<Option<std::result::Result<Self, ResetHold>>> {
        if is_new(&held.session, tx.now) && has_nothing_to_enter(tx, &held.user)? {
            return Ok(Some(Ok(Self(held.user))));
        }
        let owner = held.into_owner(tx.now, config, device_proven_until);
        Ok(
            owner.map(|owner| match owner.settled(tx.now, config).err() {
                Some(hold) => Err(hold),
                None => Ok(Self(owner.into_user())),
            }),
        )
    }

    /// By a link that was used up for setting a password.
    pub fn by_link(tx: &mut Tx, proof: Consumed) -> Result<Option<Self>> {
        let sets_password = proof.purpose() == Purpose::ResetPassword;
        let Some(owner) = proof.into_owner().filter(|_| sets_password) else {
            return Ok(None);
        };
        let user = owner.into_user();
        Ok(has_nothing_to_enter(tx, &user)?.then_some(Self(user)))
    }

    /// Whose account it is.
    pub fn user(&self) -> &Held<User> {
        &self.0
    }
}

/// Whether a session may still add the first passkey without the gate, as far as it knows by itself.
pub fn is_new(session: &Session, now: Timestamp) -> bool {
    session.began_account() && !session.has_password && now < session.created_at + millis(NEW)
}

/// Whether an account has neither password nor passkey.
pub fn has_nothing_to_enter(tx: &mut Tx, user: &User) -> Result<bool> {
    Ok(!user.has_password() && super::count(tx, &user.id)? == 0)
}
