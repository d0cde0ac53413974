//! The words we send.
//!
//! Each letter is a pair of templates, plain text and HTML, rendered when it is posted. Nothing in it was
//! written by anyone but the operator: the address is in its canonical form, the browser is named in our
//! own words, and the one URL comes from the configuration (a request header never does).

use std::time::Duration;

use askama::Template;

use crate::accounts::links::{Issued, Purpose};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::mail::outbox::Words;
use crate::random::TokenHash;
use crate::words;

/// A letter, ready to be posted.
pub struct Letter {
    pub name: &'static str,
    pub to: String,
    pub words: Words,
    /// The link in it: when that is dead, the letter is of no use.
    pub link_hash: Option<TokenHash>,
    /// What goes first when much waits.
    pub urgency: Urgency,
    /// How long after posting it is still worth sending.
    pub useful_for: Duration,
    /// Whether nothing of it is kept once it left.
    pub leaves_no_trace: bool,
}

/// How much hurry a letter is in. Within one, mail goes in the order in which it fell due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Somebody sits before a page and waits for it.
    Awaited = 0,
    /// Nobody knows that it comes.
    News = 1,
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
    let words = match issued.purpose {
        Purpose::SignIn => Words {
            subject: render(&SignInSubject { letter })?,
            text: render(&SignInText { letter })?,
            html: render(&SignInHtml { letter })?,
        },
        Purpose::ConfirmEmail => Words {
            subject: render(&ConfirmEmailSubject { letter })?,
            text: render(&ConfirmEmailText { letter })?,
            html: render(&ConfirmEmailHtml { letter })?,
        },
        Purpose::ResetPassword => Words {
            subject: render(&ResetPasswordSubject { letter })?,
            text: render(&ResetPasswordText { letter })?,
            html: render(&ResetPasswordHtml { letter })?,
        },
        Purpose::ChangeEmail => Words {
            subject: render(&ChangeEmailSubject { letter })?,
            text: render(&ChangeEmailText { letter })?,
            html: render(&ChangeEmailHtml { letter })?,
        },
        Purpose::UndoChangeEmail => Words {
            subject: render(&UndoChangeEmailSubject { letter })?,
            text: render(&UndoChangeEmailText { letter })?,
            html: render(&UndoChangeEmailHtml { letter })?,
        },
    };
    Ok(sealed_up(issued.purpose.name(), to, issued, words))
}

/// The letter to somebody whom the operator invited.
pub fn invitation(config: &Config, to: &str, issued: &Issued, at: Timestamp) -> Result<Letter> {
    let asked = AskedFrom { at, browser: None };
    let fields = Fields::of(config, to, issued, &asked);
    let letter = &fields;
    let words = Words {
        subject: render(&InvitationSubject { letter })?,
        text: render(&InvitationText { letter })?,
        html: render(&InvitationHtml { letter })?,
    };
    Ok(Letter {
        urgency: Urgency::News,
        ..sealed_up("invitation", to, issued, words)
    })
}

/// A message that only shows that mail arrives.
pub fn test(config: &Config, to: &str, at: Timestamp) -> Result<Letter> {
    let letter = &TestFields {
        to: to.to_owned(),
        site: config.public_url.host().to_owned(),
        link: config.public_url.link("/"),
        when: words::moment(at),
    };
    Ok(Letter {
        name: "test",
        to: to.to_owned(),
        words: Words {
            subject: render(&TestSubject { letter })?,
            text: render(&TestText { letter })?,
            html: render(&TestHtml { letter })?,
        },
        link_hash: None,
        urgency: Urgency::Awaited,
        useful_for: Duration::ZERO,
        leaves_no_trace: true,
    })
}

fn sealed_up(name: &'static str, to: &str, issued: &Issued, words: Words) -> Letter {
    Letter {
        name,
        to: to.to_owned(),
        words,
        link_hash: Some(issued.token.hash()),
        urgency: Urgency::Awaited,
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
            site: config.public_url.host().to_owned(),
            link: config.public_url.link(&issued.path()),
            code: issued.code.as_ref().map(|code| code.shown()),
            lifetime: words::lasting(issued.lifetime),
            when: words::moment(asked.at),
            browser: asked.browser.map(str::to_owned),
        }
    }
}

#[derive(Template)]
#[template(path = "mail/sign_in.txt", block = "subject")]
struct SignInSubject<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/sign_in.txt")]
struct SignInText<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/sign_in.html")]
struct SignInHtml<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/confirm_email.txt", block = "subject")]
struct ConfirmEmailSubject<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/confirm_email.txt")]
struct ConfirmEmailText<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/confirm_email.html")]
struct ConfirmEmailHtml<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/reset_password.txt", block = "subject")]
struct ResetPasswordSubject<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/reset_password.txt")]
struct ResetPasswordText<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/reset_password.html")]
struct ResetPasswordHtml<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/change_email.txt", block = "subject")]
struct ChangeEmailSubject<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/change_email.txt")]
struct ChangeEmailText<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/change_email.html")]
struct ChangeEmailHtml<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/undo_change_email.txt", block = "subject")]
struct UndoChangeEmailSubject<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/undo_change_email.txt")]
struct UndoChangeEmailText<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/undo_change_email.html")]
struct UndoChangeEmailHtml<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/invitation.txt", block = "subject")]
struct InvitationSubject<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/invitation.txt")]
struct InvitationText<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/invitation.html")]
struct InvitationHtml<'a> {
    letter: &'a Fields,
}

/// What the test message speaks of.
struct TestFields {
    to: String,
    site: String,
    link: String,
    when: String,
}

#[derive(Template)]
#[template(path = "mail/test.txt", block = "subject")]
struct TestSubject<'a> {
    letter: &'a TestFields,
}

#[derive(Template)]
#[template(path = "mail/test.txt")]
struct TestText<'a> {
    letter: &'a TestFields,
}

#[derive(Template)]
#[template(path = "mail/test.html")]
struct TestHtml<'a> {
    letter: &'a TestFields,
}
