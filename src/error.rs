//! What can go wrong, in words.
//!
//! Not found is `None`, and a mistake in a form is a page with the mistake. An [`Error`] is neither:
//! something failed on our side. It is logged once, where it is answered, and what the visitor reads says
//! nothing about it.

use std::fmt;

/// A failure on our side: the visitor can only try again.
#[derive(Debug)]
pub enum Error {
    /// The storage is away, full, read-only or busy. Nothing was done; trying again is safe. Answered 503.
    Unavailable(String),
    /// What the operator has set, or lets the program do, does not serve: trying again is in vain until they change it.
    /// Said at the start and by commands.
    Misconfigured(String),
    /// A bug, or data that cannot be. Nothing was done. Answered 500.
    Internal(String),
}

/// What everything in Doorpost returns that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What it is, without which of the three.
    pub fn words(&self) -> &str {
        match self {
            Self::Unavailable(what) | Self::Misconfigured(what) | Self::Internal(what) => what,
        }
    }

    /// A bug, in words for the operator.
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::Internal(what.to_string())
    }

    /// A setting or a right, in words for whoever can change it.
    pub fn misconfigured(what: impl fmt::Display) -> Self {
        Self::Misconfigured(what.to_string())
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
            Self::Misconfigured(what) => f.write_str(what),
            Self::Internal(what) => write!(f, "internal: {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// What the database refuses in our own statements (types, constraints) is a bug. Any other error counts as a
/// database that is away, and trying again helps: so do a foreign key whose row was deleted meanwhile, and a
/// deadlock that was resolved against us, for in both cases nothing was done.
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
