//! What is logged, and how it looks.

use tracing_subscriber::filter::Targets;

use super::mistake::{Mistake, Parsed};

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl LogFormat {
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Mistake::new("is neither of its two values", "text or json")),
        }
    }
}

/// A level for everything, for a module, or several of these.
pub(super) fn levels(text: &str) -> Parsed<Targets> {
    let mistake = Mistake::new(
        "is not a list of log levels",
        "info, or such as warn,doorpost=debug",
    );
    text.parse().map_err(|_| mistake)
}
