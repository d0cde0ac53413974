//! News of an account, which its owner did not ask for.
//!
//! Each says what happened, when and from where, and what to do if it was not the owner. The one URL in it is
//! the page with the account's sessions, which does nothing by itself; the letters that say somebody came by
//! in vain, or that all is gone, have none.

use std::time::Duration;

use askama::Template;

use crate::accounts::sessions::Whereabouts;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::Result;
use crate::mail::letters::{Letter, Urgency, render};
use crate::mail::outbox::Words;
use crate::words;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A password was set by a link.
    PasswordSet,
    /// The password was changed by somebody who knew it.
    PasswordChanged,
    /// Wrong passwords were tried until no more are taken for a while.
    PasswordGuessed,
    /// Somebody signed in from a browser that the account does not know.
    NewBrowser,
    /// A change of the address was asked for; to the address that would be left.
    EmailChangeAsked,
    /// The address was changed; to the new one.
    EmailChanged,
    /// Somebody wanted another account to have this address, which has one.
    EmailTaken,
    /// The account is gone.
    AccountDeleted,
}

/// News are worth sending for so long.
const NEWS: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The letter about what happened just now (`when`) to the account of this address.
pub fn letter(
    config: &Config,
    to: &str,
    notice: Notice,
    when: Timestamp,
    at: &Whereabouts,
) -> Result<Letter> {
    let site = config.public_url.host();
    let letter = &Fields {
        words: notice.words(site, to),
        link: notice
            .has_link()
            .then(|| config.public_url.link("/account/sessions")),
        when: words::moment(when),
        browser: at.browser.clone(),
        ip: at.ip.clone(),
    };
    Ok(Letter {
        name: notice.name(),
        to: to.to_owned(),
        words: Words {
            subject: letter.words.subject.clone(),
            text: render(&Text { letter })?,
            html: render(&Html { letter })?,
        },
        link_hash: None,
        urgency: Urgency::News,
        useful_for: NEWS,
        leaves_no_trace: notice == Notice::AccountDeleted,
    })
}

impl Notice {
    fn name(self) -> &'static str {
        match self {
            Self::PasswordSet => "password_set",
            Self::PasswordChanged => "password_changed",
            Self::PasswordGuessed => "password_guessed",
            Self::NewBrowser => "new_browser",
            Self::EmailChangeAsked => "email_change_asked",
            Self::EmailChanged => "email_changed",
            Self::EmailTaken => "email_taken",
            Self::AccountDeleted => "account_deleted",
        }
    }

    fn has_link(self) -> bool {
        !matches!(self, Self::EmailTaken | Self::AccountDeleted)
    }

    fn words(self, site: &str, to: &str) -> NoticeWords {
        let (subject, what, if_you, if_not_you) = match self {
            Self::PasswordSet => (
                format!("Your password for {site} was set"),
                format!(
                    "A link that was mailed to {to} was used to set the password of your account at \
                     {site}. Everybody who was signed in to it has been signed out."
                ),
                "Was it you? Then there is nothing to do.",
                "Was it not you? Then somebody else reads your mail: change the password of your mailbox \
                 first, then set a new password by mail once more. Afterwards see who is signed in:",
            ),
            Self::PasswordChanged => (
                format!("Your password for {site} was changed"),
                format!(
                    "The password of your account {to} at {site} was changed by somebody who was signed \
                     in and knew the old one. All other sessions have been ended."
                ),
                "Was it you? Then there is nothing to do.",
                "Was it not you? Set a new password by mail (“Forgotten your password?” on the sign-in \
                 page): that ends every session. See who is signed in:",
            ),
            Self::PasswordGuessed => (
                format!("Wrong passwords for your account at {site}"),
                format!(
                    "Somebody tried several wrong passwords for your account {to} at {site}. For a while \
                     no more are taken."
                ),
                "Was it you? A link by mail signs you in without a password, at any time.",
                "Was it not you? Your password was not found out, and there is nothing you must do. See who \
                 is signed in:",
            ),
            Self::NewBrowser => (
                format!("New sign-in to {site}"),
                format!(
                    "Somebody signed in to your account {to} at {site} from a browser it has not been \
                     used from before."
                ),
                "Was it you? Then there is nothing to do.",
                "Was it not you? See who is signed in, end that session, and set a new password:",
            ),
            Self::EmailChangeAsked => (
                format!("Your email address at {site} may change"),
                format!(
                    "Somebody who is signed in to your account at {site} and knows its password asked that \
                     it have another address instead of {to}. Nothing has changed yet. Once the new \
                     address is confirmed, we write to you here again, with a link that takes the change \
                     back."
                ),
                "Was it you? Then there is nothing to do.",
                "Was it not you? See who is signed in, end that session, and set a new password:",
            ),
            Self::EmailChanged => (
                format!("This is your email address at {site} now"),
                format!(
                    "Your account at {site} has the address {to} from now on: links to sign in come here. \
                     The old address was told, too."
                ),
                "Was it you? Then there is nothing to do.",
                "Was it not you? See who is signed in:",
            ),
            Self::EmailTaken => (
                format!("Somebody wanted to use your address at {site}"),
                format!(
                    "Somebody who has an account at {site} asked that it have the address {to}. That is \
                     the address of your account, or was until lately, so nothing was changed."
                ),
                "Was it you, with a second account? Only one account can have an address: change that of \
                 the other one first, or delete it.",
                "Was it not you? Then there is nothing to do.",
            ),
            Self::AccountDeleted => (
                format!("Your account at {site} is deleted"),
                format!(
                    "The account {to} at {site} was deleted, with everything that was kept about it. This \
                     is the last message about it."
                ),
                "Was it you? You can register again at any time; that begins a new account.",
                "Was it not you? Somebody was signed in to your account and knew its password: if you use \
                 that password elsewhere, change it there.",
            ),
        };
        NoticeWords {
            subject,
            what,
            if_you,
            if_not_you,
        }
    }
}

struct NoticeWords {
    subject: String,
    what: String,
    /// What to do if it was the reader who did it.
    if_you: &'static str,
    if_not_you: &'static str,
}

struct Fields {
    words: NoticeWords,
    link: Option<String>,
    when: String,
    browser: String,
    ip: String,
}

#[derive(Template)]
#[template(path = "mail/notice.txt")]
struct Text<'a> {
    letter: &'a Fields,
}

#[derive(Template)]
#[template(path = "mail/notice.html")]
struct Html<'a> {
    letter: &'a Fields,
}
