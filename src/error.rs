//! What can go wrong, in words.
//!
//! Not found is `None`, and a mistake in a form is a page with the mistake. An [`Error`] is neither: it
//! is trouble of ours. It is logged once, where it is answered, and what the visitor reads tells
//! nothing of it.

use std::fmt;

/// Trouble of ours: the visitor can only try again.
#[derive(Debug)]
pub enum Error {
    /// The storage is away, full or busy. Nothing was done; trying again is safe. Answered 503.
    Unavailable(String),
    /// A bug, or data that breaks a promise of ours. Nothing was done. Answered 500.
    Internal(String),
}

/// What everything in Doorpost returns that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A broken promise of our own, told to the operator.
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::Internal(what.to_string())
    }

    /// A storage or a queue that cannot serve right now.
    pub fn unavailable(what: impl fmt::Display) -> Self {
        Self::Unavailable(what.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(what) => write!(f, "unavailable: {what}"),
            Self::Internal(what) => write!(f, "internal: {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// A database that answers with anything but data is away until shown otherwise; only what it says of
/// our own statements (types, constraints) is a bug. A row that has gone while another that hangs on it was
/// written, and a deadlock that was resolved against us, are neither: it was not done, and trying again helps.
impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind as Kind, Error as Diesel};
        match &error {
            Diesel::DatabaseError(
                Kind::UniqueViolation | Kind::NotNullViolation | Kind::CheckViolation,
                _,
            )
            | Diesel::NotFound
            | Diesel::QueryBuilderError(_)
            | Diesel::DeserializationError(_)
            | Diesel::SerializationError(_)
            | Diesel::InvalidCString(_) => Self::internal(&error),
            _ => Self::unavailable(&error),
        }
    }
}
