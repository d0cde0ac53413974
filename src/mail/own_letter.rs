//! A letter of an app that is built on Doorpost, in the look of all the others.
//!
//! Its words are given once, as plain paragraphs, and make both parts. The HTML part is written on the same paper,
//! with everything escaped; in the text part a paragraph is a line, and the link stands alone. Like every other, it
//! says to whom it was sent, so that whoever gets it forwarded knows that it was not to them.

use askama::Template;

use crate::accounts::users::User;
use crate::config::Config;
use crate::error::Result;
use crate::mail::letters::{Content, Letter, Priority, render};
use crate::mail::notices::NEWS;

/// What a letter of one's own says.
pub struct OwnLetter<'a> {
    /// What the log and `doorpost mail list` call it.
    pub name: &'static str,
    pub subject: &'a str,
    pub paragraphs: &'a [&'a str],
    /// The one link in it: what its button says, and its URL.
    pub link: Option<(&'a str, &'a str)>,
}

impl OwnLetter<'_> {
    /// The letter to this reader, ready to be posted: one that nobody waits for, and that is worth sending for
    /// three days. A field of it says something else where that is wrong.
    pub fn to(&self, config: &Config, reader: &User) -> Result<Letter> {
        let letter = &Fields {
            own: self,
            site: config.server.public_url.host(),
            to: &reader.email,
        };
        Ok(Letter {
            name: self.name,
            to: reader.email.clone(),
            content: Content {
                subject: self.subject.to_owned(),
                text: render(&Text { letter })?,
                html: render(&Html { letter })?,
                unsubscribe: None,
            },
            account: Some(reader.id.clone()),
            link_hash: None,
            priority: Priority::News,
            useful_for: NEWS,
            leaves_no_trace: false,
        })
    }
}

struct Fields<'a> {
    own: &'a OwnLetter<'a>,
    /// The host people know the site by.
    site: &'a str,
    to: &'a str,
}

#[derive(Template)]
#[template(path = "mail/own.txt")]
struct Text<'a> {
    letter: &'a Fields<'a>,
}

#[derive(Template)]
#[template(path = "mail/own.html")]
struct Html<'a> {
    letter: &'a Fields<'a>,
}
