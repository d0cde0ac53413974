//! Proof that it is the owner of an account who acts.
//!
//! What is sensitive asks for an [`Owner`]: setting a password, asking for another address, taking
//! everything away, deleting. Only this floor makes one, and only for two reasons: the password was entered
//! in this very session within the window ([`sessions::owner`](super::sessions::owner)), or a link was used
//! up in this transaction that stands for it ([`users::owner_by_link`](super::users::owner_by_link)). A
//! handler that forgets the gate has nothing to hand in, and does not compile.
//!
//! A proof is of one transaction: it was looked up there, so that a session which ended a moment ago
//! permits nothing any more.

use crate::accounts::users::User;

/// The owner of this account, as this transaction has seen.
pub struct Owner(User);

impl Owner {
    pub(super) fn proven(user: User) -> Self {
        Self(user)
    }

    /// Whose account it is.
    pub fn user(&self) -> &User {
        &self.0
    }
}
