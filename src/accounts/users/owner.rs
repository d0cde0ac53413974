//! Proof that it is the owner of an account who acts.
//!
//! What is sensitive asks for an [`Owner`]: setting a password, asking for another address, taking everything
//! away, deleting. Only `accounts/` makes one, and only for three reasons: the password was entered in this very
//! session within the window ([`HeldSession::into_owner`](crate::accounts::sessions::HeldSession::into_owner)),
//! a link was used up in this transaction that stands for it
//! ([`Consumed::into_owner`](crate::accounts::links::Consumed::into_owner)), or the operator acts in the owner's
//! place ([`Operator::in_place_of_owner`](super::Operator::in_place_of_owner)). A handler that forgets the gate
//! has no `Owner` to hand in, and does not compile.
//!
//! A proof is of one transaction: its account is held there, so that a session which ended a moment ago
//! permits nothing any more.

use super::{Held, User};
use crate::clock::Timestamp;

/// The owner of this account is the one who acts, as this transaction has seen.
pub struct Owner {
    user: Held<User>,
    passkey_used_at: Option<Timestamp>,
}

impl Owner {
    pub(in crate::accounts) fn proven(user: Held<User>) -> Self {
        Self {
            user,
            passkey_used_at: None,
        }
    }

    /// In a session in which a passkey was last used then, if ever.
    pub(in crate::accounts) fn in_session(
        user: Held<User>,
        passkey_used_at: Option<Timestamp>,
    ) -> Self {
        Self {
            user,
            passkey_used_at,
        }
    }

    /// Whose account it is.
    pub fn user(&self) -> &Held<User> {
        &self.user
    }

    /// When a passkey was last used in the session in which they act.
    pub(super) fn passkey_used_at(&self) -> Option<Timestamp> {
        self.passkey_used_at
    }

    /// The account, for a proof that says less.
    pub(in crate::accounts) fn into_user(self) -> Held<User> {
        self.user
    }
}
