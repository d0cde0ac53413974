//! Where in a send we are: what a deadline is for, and what a failure is told with.

use std::fmt::{self, Display};

/// Where in a send we are. Up to the sender it is about us and the server, from then on about the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Connect,
    Greeting,
    Tls,
    LogIn,
    Mail,
    Rcpt,
    Data,
    Letter,
}

impl Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Greeting => "greeting",
            Self::Tls => "TLS",
            Self::LogIn => "log-in",
            Self::Mail => "sender",
            Self::Rcpt => "recipient",
            Self::Data => "DATA",
            Self::Letter => "letter",
        })
    }
}
