//! The letters we send.
//!
//! Each letter is a pair of templates, plain text and HTML, rendered when it is posted. Nothing in it was
//! written by anyone but the operator: the address is in its canonical form, the browser is named in our
//! own words, and the one URL comes from the configuration (a request header never does).

use std::time::Duration;

use askama::Template;
use serde::{Deserialize, Serialize};

use crate::accounts::links::{Issued, Purpose};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::humanize;
use crate::random::TokenHash;

/// A letter, ready to be posted.
pub struct Letter {
    pub name: &'static str,
    pub to: String,
    pub content: Content,
    /// The id of the account that it is about, if it is about one: when that is gone, the letter is not sent.
    pub account: Option<String>,
    /// The link in it: when that is dead, the letter is of no use.
    pub link_hash: Option<TokenHash>,
    pub priority: Priority,
    /// How long after posting it is still worth sending.
    pub useful_for: Duration,
    /// Whether nothing of it is kept once it left.
    pub leaves_no_trace: bool,
}

/// What a letter says, as it is sealed while it waits.
#[derive(Clone, Serialize, Deserialize)]
pub struct Content {
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The URL that ends mail of this kind, of an announcement.
    #[serde(default)]
    pub unsubscribe: Option<String>,
}

/// What goes first when much waits: what compares as less. Within one priority, mail goes in the order in which
/// it fell due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody sits before a page and waits for it.
    Awaited = 0,
    /// Nobody knows that it comes.
    News = 1,
    /// One of many that say the same.
    Bulk = 2,
}

impl Priority {
    /// Each of them, what goes first at the head.
    pub const ALL: [Self; 3] = [Self::Awaited, Self::News, Self::Bulk];

    /// The one that the table holds as this.
    pub fn of(number: i32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|priority| *priority as i32 == number)
    }
}

/// The content of a letter: its text, whose block "subject" is the subject, and its HTML.
macro_rules! content {
    ($letter:expr, $text:tt, $html:tt) => {{
        #[derive(Template)]
        #[template(path = $text, block = "subject")]
        struct Subject<'a> {
            letter: &'a Fields,
        }

        #[derive(Template)]
        #[template(path = $text)]
        struct Text<'a> {
            letter: &'a Fields,
        }

        #[derive(Template)]
        #[template(path = $html)]
        struct Html<'a> {
            letter: &'a Fields,
        }

        let letter: &Fields = $letter;
        Content {
            subject: render(&Subject { letter })?,
            text: render(&Text { letter })?,
            html: render(&Html { letter })?,
            unsubscribe: None,
        }
    }};
}

/// When and from what browser a letter was asked for.
pub struct AskedFrom<'a> {
    pub at: Timestamp,
    pub browser: Option<&'a str>,
}

/// The letter that goes with a link somebody asked for.
pub fn link(config: &Config, to: &str, issued: &Issued, asked: &AskedFrom<'_>) -> Result<Letter> {
    let fields = Fields::of(config, to, issued, asked);
    let letter = &fields;
    let content = match issued.purpose {
        Purpose::SignIn => content!(letter, "mail/sign_in.txt", "mail/sign_in.html"),
        Purpose::ConfirmEmail => {
            content!(letter, "mail/confirm_email.txt", "mail/confirm_email.html")
        }
        Purpose::ResetPassword => {
            content!(
                letter,
                "mail/reset_password.txt",
                "mail/reset_password.html"
            )
        }
        Purpose::ChangeEmail => content!(letter, "mail/change_email.txt", "mail/change_email.html"),
        Purpose::UndoChangeEmail => {
            content!(
                letter,
                "mail/undo_change_email.txt",
                "mail/undo_change_email.html"
            )
        }
        Purpose::Own(_) => {
            let name = issued.purpose.name();
            let why = format!("the letter with a link for {name} is the app's own");
            return Err(Error::internal(why));
        }
    };
    Ok(with_link(issued.purpose.name(), to, issued, content))
}

/// The letter to somebody whom the operator invited.
pub fn invitation(config: &Config, to: &str, issued: &Issued, at: Timestamp) -> Result<Letter> {
    let asked = AskedFrom { at, browser: None };
    let fields = Fields::of(config, to, issued, &asked);
    let letter = &fields;
    let content = content!(letter, "mail/invitation.txt", "mail/invitation.html");
    Ok(Letter {
        priority: Priority::News,
        ..with_link("invitation", to, issued, content)
    })
}

/// A message that only shows that mail arrives.
pub fn test(config: &Config, to: &str, at: Timestamp) -> Result<Letter> {
    let letter = &Fields {
        to: to.to_owned(),
        site: config.server.public_url.host().to_owned(),
        link: config.server.public_url.link("/"),
        code: None,
        lifetime: String::new(),
        when: humanize::moment(at),
        browser: None,
    };
    Ok(Letter {
        name: "test",
        to: to.to_owned(),
        content: content!(letter, "mail/test.txt", "mail/test.html"),
        account: None,
        link_hash: None,
        priority: Priority::Awaited,
        useful_for: Duration::ZERO,
        leaves_no_trace: true,
    })
}

fn with_link(name: &'static str, to: &str, issued: &Issued, content: Content) -> Letter {
    Letter {
        name,
        to: to.to_owned(),
        content,
        account: None, // Its link is gone with it.
        link_hash: Some(issued.token.hash()),
        priority: Priority::Awaited,
        useful_for: issued.lifetime,
        leaves_no_trace: false,
    }
}

pub(super) fn render(template: &impl Template) -> Result<String> {
    template.render().map_err(Error::internal)
}

/// What a letter with a link may speak of.
struct Fields {
    to: String,
    /// The host people know the site by.
    site: String,
    link: String,
    code: Option<String>,
    lifetime: String,
    /// When and from what browser it was asked for.
    when: String,
    browser: Option<String>,
}

impl Fields {
    fn of(config: &Config, to: &str, issued: &Issued, asked: &AskedFrom<'_>) -> Self {
        Self {
            to: to.to_owned(),
            site: config.server.public_url.host().to_owned(),
            link: config.server.public_url.link(&issued.path()),
            code: issued.code.as_ref().map(|code| code.shown()),
            lifetime: humanize::lasting(issued.lifetime),
            when: humanize::moment(asked.at),
            browser: asked.browser.map(str::to_owned),
        }
    }
}
