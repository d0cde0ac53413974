//! What can be wrong with what somebody typed. What is said of it is in `templates/parts/field_errors.txt`.

#![expect(unused_qualifications, reason = "in what the derive writes")]

use askama::Template;

use crate::accounts::email_address::NotAnAddress;
use crate::accounts::passkeys::{Name, NotAName};
use crate::accounts::passwords::{self, Refused};
use crate::actions::TooMany;
use crate::{humanize, invisible};

/// A mistake in a form; shown, it is a sentence or two that say what to do.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(path = "parts/field_errors.txt")]
pub enum FieldError {
    /// What was typed is no address that mail could go to.
    Address(NotAnAddress),
    /// A new password that is not taken.
    NewPassword(Refused),
    NoPassword,
    /// Of the account of this session.
    WrongPassword,
    /// Whichever of the two it is.
    WrongAddressOrPassword,
    NoCode,
    /// What was typed cannot be a code at all.
    NotACode,
    WrongCode,
    /// The address a link was sent to was asked for.
    NoLinkAddress,
    WrongLinkAddress,
    /// The new address is the old one.
    SameAddress,
    /// The address typed to delete an account is not that of the account.
    AnotherAddress,
    /// What was typed is no name for a passkey.
    Name(NotAName),
    /// A message went there a moment ago.
    TooSoon {
        wait: String,
    },
}

impl From<TooMany> for FieldError {
    fn from(too_soon: TooMany) -> Self {
        Self::TooSoon {
            wait: humanize::waiting(too_soon.wait),
        }
    }
}
