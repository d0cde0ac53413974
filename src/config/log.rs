//! What is logged, and how it looks.

use tracing_subscriber::EnvFilter;

use super::reader::{Mistake, Parsed};

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

/// What [`EnvFilter`] takes.
pub(super) fn directives(text: &str) -> Parsed<String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Mistake::new(
            "is not a list of log levels",
            "info, or such as warn,doorpost=debug",
        )),
    }
}
