//! The hold after a reset by mail: what whoever reads the mailbox cannot do to an account that has passkeys.
//!
//! A link by mail sets a password, and the password opens the gate: so far, whoever reads the mail is the owner. An owner
//! who has a passkey can show more than that. So on an account with passkeys a reset by mail is followed by a hold, of
//! `RESET_HOLD`, on whatever would shut them out for good: another address, another passkey or one less, the end of
//! the account. A session in which a passkey was used since the reset is free of it; whoever has none there waits.
//!
//! [`Settled`] is the proof that no hold stands in the way. What is held takes one, and so does not compile in a
//! handler that forgets the hold. Only `accounts/` makes one: of an [`Owner`], of a used link that changes the
//! address or takes such a change back, or because [the operator](super::Operator) says so.
//!
//! The moment of the reset is kept, and the setting judges it: a shorter one counts at once.

use std::ops::Deref;
use std::time::Duration;

use super::{Owner, User};
use crate::clock::{Timestamp, millis};
use crate::config::Config;

/// What is kept of the last reset says that its hold lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetHold {
    /// When the password was set by mail.
    pub since: Timestamp,
    pub until: Timestamp,
}

impl ResetHold {
    /// The hold that began then, if it lasts.
    pub fn begun(since: Option<Timestamp>, now: Timestamp, config: &Config) -> Option<Self> {
        let (since, lasting) = since.zip(config.accounts.reset_hold)?;
        let until = since + millis(lasting);
        (now < until).then_some(Self { since, until })
    }

    /// How long it still lasts.
    pub fn lasting(self, now: Timestamp) -> Duration {
        Duration::from_millis((self.until - now).unsigned_abs())
    }

    /// Whether it leaves somebody alone who used a passkey then.
    pub fn is_none_after(self, passkey_used_at: Option<Timestamp>) -> bool {
        passkey_used_at.is_some_and(|used_at| used_at >= self.since)
    }
}

impl User {
    /// The hold that the last reset by mail left on it, if it lasts.
    pub fn reset_hold(&self, now: Timestamp, config: &Config) -> Option<ResetHold> {
        ResetHold::begun(self.reset_hold_since, now, config)
    }
}

/// The account of somebody in whose way no hold stands, as this transaction has seen.
pub struct Settled<'a, T>(&'a T);

impl<'a, T> Settled<'a, T> {
    pub(in crate::accounts) fn proven(account: &'a T) -> Self {
        Self(account)
    }
}

impl<T> Deref for Settled<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

impl Owner {
    /// The same, if nothing is held from them: there is no hold, or a passkey was used in their session since it began.
    pub fn settled(&self, now: Timestamp, config: &Config) -> Result<Settled<'_, Self>, ResetHold> {
        match self.user().reset_hold(now, config) {
            Some(hold) if !hold.is_none_after(self.passkey_used_at()) => Err(hold),
            _ => Ok(Settled::proven(self)),
        }
    }
}
