//! Who calls: from which network, with what, in which request.
//!
//! It is what an account's owner recognises a sign-in by, and what limits are counted against. No right depends on
//! it: many people may share an IP address, and a browser may call itself anything.

use std::net::Ipv4Addr;

use crate::accounts::limits::Network;
use crate::invisible;

/// A browser or a program that made a request.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where it calls from.
    pub network: Network,
    /// Our own coarse words for it, never the visitor's; `None` where we have none.
    pub product: Option<String>,
    /// Whether it is a program, by what it calls itself or by the way that it came.
    pub is_program: bool,
    /// What whoever signed it in calls it.
    pub label: Label,
    /// The request, as the log names it.
    pub request_id: String,
}

impl Client {
    /// A mail server that reports to us: it comes by way of this machine, and in no request.
    pub fn mail_server() -> Self {
        Self {
            network: Network::of(Ipv4Addr::LOCALHOST.into()),
            product: Some("a mail server".to_owned()),
            is_program: false,
            label: Label::default(),
            request_id: String::new(),
        }
    }

    /// Its address, as the tables and letters have it.
    pub fn ip(&self) -> String {
        self.network.ip.to_string()
    }

    /// The same, in a session that is called this.
    pub fn labelled(&self, label: &Label) -> Self {
        Self {
            label: label.clone(),
            ..self.clone()
        }
    }

    /// What it is, as the tables and letters have it: words of ours alone.
    pub fn kind(&self) -> String {
        match (&self.product, self.is_program) {
            (Some(product), false) => product.clone(),
            (Some(product), true) => format!("a program ({product})"),
            (None, false) => "an unknown browser".to_owned(),
            (None, true) => "an unknown program".to_owned(),
        }
    }
}

/// Who did something to an account, as its trail and its letters say it.
#[derive(Clone, Copy, Debug)]
pub enum Actor<'a> {
    /// Whoever sat before a browser or used a program.
    Client(&'a Client),
    /// The operator, by a command. Of their machine nothing is told.
    Operator,
}

impl<'a> From<&'a Client> for Actor<'a> {
    fn from(client: &'a Client) -> Self {
        Self::Client(client)
    }
}

impl<'a> Actor<'a> {
    /// The browser or the program, unless it was the operator.
    pub fn client(self) -> Option<&'a Client> {
        match self {
            Self::Client(client) => Some(client),
            Self::Operator => None,
        }
    }

    /// Its address, as the tables have it; empty for the operator.
    pub fn ip(self) -> String {
        self.client().map(Client::ip).unwrap_or_default()
    }

    /// What it is, as the tables have it: words of ours alone.
    pub fn kind(self) -> String {
        self.client()
            .map_or_else(|| "the operator".to_owned(), Client::kind)
    }

    /// What whoever signed a program in calls it.
    pub fn label(self) -> &'a str {
        self.client().map_or("", |client| client.label.as_str())
    }

    /// The request, as the log names it; a command is none.
    pub fn request_id(self) -> &'a str {
        self.client()
            .map_or("", |client| client.request_id.as_str())
    }
}

/// What somebody calls a program of theirs, to tell it from others; empty, if it has no name.
///
/// A stranger who signs in chooses it, too. So it is one short line that can be seen, it is always shown as
/// somebody's words, and it stands in no letter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// The most characters it may have.
    pub const MOST: usize = 60;

    /// Takes a line of visible text, without what nobody sees around it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = invisible::visible_line(text).ok()?;
        (text.chars().count() <= Self::MOST).then(|| Self(text.to_owned()))
    }

    /// To be stored, or shown as what somebody wrote.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One that a table held.
impl From<String> for Label {
    fn from(stored: String) -> Self {
        Self(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_short_line_that_can_be_seen() {
        let most = "\u{e9}".repeat(60);
        for (text, label) in [
            ("", ""),
            (" Ada\u{2019}s phone \u{200b}", "Ada\u{2019}s phone"),
            (
                "\u{1f469}\u{200d}\u{1f4bb} \u{2764}\u{fe0f}",
                "\u{1f469}\u{200d}\u{1f4bb} \u{2764}\u{fe0f}",
            ),
            ("<b>backup</b>", "<b>backup</b>"),
            (&most, &most),
        ] {
            assert_eq!(Label::parse(text).as_ref().map(Label::as_str), Some(label));
        }
        let longer = "a".repeat(61);
        for text in [
            "a\nb",
            "a\0",
            "\ta",
            "a\u{202e}b",
            "a\u{2028}b",
            "a\u{ad}b",
            "a\u{3164}b",
            &longer,
        ] {
            assert_eq!(Label::parse(text), None, "{text:?}");
        }
    }
}
