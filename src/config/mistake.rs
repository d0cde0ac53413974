//! What is wrong with a value, and the line that refuses the start for it. Neither ever has the value in it.

use std::fmt;

/// Why the start is refused: one line on standard error, exit status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The variable as the operator set it.
    pub variable: String,
    /// What is wrong with it, without its value.
    pub wrong: String,
    /// What to write instead.
    pub instead: String,
}

/// What is wrong with a value, and what to write instead: without the name of the variable, which a
/// parser does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong with it, without the value.
    pub wrong: String,
    /// What to write instead.
    pub instead: String,
}

/// What every parser of a value answers.
pub(super) type Parsed<T> = Result<T, Mistake>;

impl Mistake {
    pub(super) fn new(wrong: impl Into<String>, instead: impl Into<String>) -> Self {
        Self {
            wrong: wrong.into(),
            instead: instead.into(),
        }
    }

    pub(super) fn in_variable(self, variable: &str) -> Refusal {
        Refusal {
            // A name may hold anything but `=`; the message stays one line.
            variable: variable.escape_debug().to_string(),
            wrong: self.wrong,
            instead: self.instead,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; write {}", self.wrong, self.instead)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable,
            wrong,
            instead,
        } = self;
        write!(f, "doorpost: {variable}: {wrong}; write {instead}")
    }
}

impl std::error::Error for Mistake {}
impl std::error::Error for Refusal {}
