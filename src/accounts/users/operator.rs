//! Proof that it is the operator who acts, by a command on the machine where the database is at hand.
//!
//! The operator may do to an account what its owner may, for they could as well do it to the database. What the
//! command line does goes through the same actions all the same, so that it ends what they end, waits for what
//! they wait for, and is told of as they are.

use super::{Held, Owner, ProvenAddress, Settled, User};
use crate::accounts::email_address::EmailAddress;

/// The operator is the one who acts.
#[derive(Clone, Copy, Debug)]
pub struct Operator(());

impl Operator {
    /// Who gave a command is the operator. Nothing but the command line says so: `tests/house_rules.rs` sees to it.
    pub fn at_the_command_line() -> Self {
        Self(())
    }

    /// Acts in place of the owner of this account.
    pub fn in_place_of_owner(self, user: Held<User>) -> Owner {
        Owner::proven(user)
    }

    /// Nothing is held from the operator.
    pub fn settles<T>(self, account: &T) -> Settled<'_, T> {
        Settled::proven(account)
    }

    /// An address that an account is to have although no link has proven it: the operator knows whose it is.
    pub fn vouches_for(self, address: &EmailAddress) -> ProvenAddress {
        ProvenAddress(address.as_str().to_owned())
    }
}
