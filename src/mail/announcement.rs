//! What the operator has to say to many readers: one Markdown text, a letter to each.
//!
//! The text begins with its one first-level heading, which is the subject. It is read once, strictly: what
//! would load something from elsewhere (an image, HTML) is refused with its line, and so is a link that leads
//! nowhere. A link to a page of ours knows its reader; one to anywhere else stays as it was written, for
//! a token that left the site would open it to whoever runs that other site.
//!
//! [`markdown`] reads the text, [`html`] and [`plain`] write the two parts of a letter.

use askama::Template;
use sha2::{Digest, Sha256};

use crate::accounts::announced::Digests;
use crate::accounts::signed_links::SignedLinks;
use crate::accounts::users::User;
use crate::config::{Config, PublicUrl};
use crate::db::Tx;
use crate::error::Result;
use crate::mail::letters::{Content, Letter, Priority, render};
use crate::mail::notices::NEWS;

mod html;
mod markdown;
mod plain;

pub use markdown::Refused;
use markdown::{Block, Link};

/// A text that was read and found good.
pub struct Announcement {
    pub subject: String,
    /// What it is known by: what it says, and not how its file ends its lines.
    pub digests: Digests,
    body: Vec<Block>,
}

/// What differs from one copy to the next.
struct Copy<'a> {
    to: &'a str,
    /// The URL of a page of ours, as this reader gets it.
    page: &'a dyn Fn(&str) -> String,
    unsubscribe: String,
}

impl Announcement {
    /// Reads the Markdown of an announcement by the site at this URL.
    pub fn parse(text: &[u8], home: &PublicUrl) -> Result<Self, Refused> {
        let (subject, body) = markdown::parse(text, home)?;
        let digests = Digests {
            words: Sha256::digest(said(&subject, &body)).into(),
            subject: Sha256::digest(&subject).into(),
            file: Sha256::digest(text).into(),
        };
        Ok(Self {
            subject,
            digests,
            body,
        })
    }

    /// The letter for one reader, as this transaction has just read them.
    pub fn letter(
        &self,
        tx: &Tx,
        config: &Config,
        links: &SignedLinks,
        reader: &User,
    ) -> Result<Letter> {
        let copy = Copy {
            to: &reader.email,
            page: &|page| links.to_page(tx, reader, page),
            unsubscribe: links.to_unsubscribe(tx, reader),
        };
        Ok(Letter {
            name: "announcement",
            to: reader.email.clone(),
            content: self.content(config, copy)?,
            account: Some(reader.id.clone()),
            link_hash: None,
            priority: Priority::Bulk,
            useful_for: NEWS,
            leaves_no_trace: false,
        })
    }

    /// The text part of a letter to this address, to be looked at: it shows which links are signed, and none
    /// of them is.
    pub fn specimen(&self, config: &Config, links: &SignedLinks, to: &str) -> Result<String> {
        let copy = Copy {
            to,
            page: &|page| links.to_page_unsigned(page),
            unsubscribe: links.to_unsubscribe_unsigned(),
        };
        Ok(self.content(config, copy)?.text)
    }

    fn content(&self, config: &Config, copy: Copy<'_>) -> Result<Content> {
        let url = |link: &Link| match link {
            Link::Page { url, .. } => (copy.page)(url),
            Link::Elsewhere { url } => url.clone(),
        };
        let letter = &Fields {
            subject: &self.subject,
            text: plain::written(&self.body, &url),
            html: html::written(&self.body, &url),
            site: config.server.public_url.host(),
            to: copy.to,
            unsubscribe: &copy.unsubscribe,
        };
        let (text, html) = (render(&Text { letter })?, render(&Html { letter })?);
        Ok(Content {
            subject: self.subject.clone(),
            text,
            html,
            unsubscribe: Some(copy.unsubscribe),
        })
    }
}

/// All of it as plain text, with its links as they were written. A release that writes it otherwise would take what was
/// sent for something else.
fn said(subject: &str, body: &[Block]) -> String {
    let url = |link: &Link| match link {
        Link::Page { url, .. } | Link::Elsewhere { url } => url.clone(),
    };
    format!("{subject}\n\n{}", plain::written(body, &url))
}

struct Fields<'a> {
    subject: &'a str,
    text: String,
    /// Every word in it was escaped where it was written.
    html: String,
    /// The host people know the site by.
    site: &'a str,
    to: &'a str,
    unsubscribe: &'a str,
}

#[derive(Template)]
#[template(path = "mail/announcement.txt")]
struct Text<'a> {
    letter: &'a Fields<'a>,
}

#[derive(Template)]
#[template(path = "mail/announcement.html")]
struct Html<'a> {
    letter: &'a Fields<'a>,
}
