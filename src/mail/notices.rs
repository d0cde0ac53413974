//! News of an account, which its owner did not ask for.
//!
//! Each says what happened, when and from where, and what to do if it was not the owner. The one URL in it is
//! the page with the account's sessions, which does nothing by itself and knows its reader where the account
//! knows the browser; the letters that say somebody came by in vain, or that all is gone, have none, and so have those
//! that tell what the operator did.

use std::time::Duration;

use askama::Template;

use crate::accounts::client::{Actor, Client};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::Result;
use crate::humanize;
use crate::mail::letters::{Content, Letter, Priority, render};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A password was set by a link.
    PasswordSet,
    /// The same, and until then what the account's passkeys guard is held.
    PasswordSetAndHeld { until: Timestamp },
    /// The owner said that it was not they who had that done, and took the password away.
    ResetDisowned,
    /// The password was changed by somebody who knew it.
    PasswordChanged,
    /// A passkey was added in a session.
    PasskeyAdded,
    /// The first passkey was made by a link.
    PasskeySet,
    /// A passkey was removed in a session.
    PasskeyRemoved,
    /// Wrong passwords were tried until no more are taken for a while.
    PasswordGuessed,
    /// So many were tried in a row that no more are taken for up to a day.
    PasswordPaused,
    /// A passkey was refused, for there are two of it.
    PasskeyCopied,
    /// Somebody signed in from a browser, or with a program, that the account does not know.
    NewBrowser,
    /// Somebody came with a session's cookie and could not prove to be on the device that it is bound to.
    DeviceNotProven,
    /// A change of the address was asked for; to the address that would be left.
    EmailChangeAsked,
    /// The address was changed; to the new one.
    EmailChanged,
    /// Somebody wanted another account to have this address, which has one.
    EmailTaken,
    /// Somebody asked for a link to an account that is locked.
    AccountLocked,
    /// The operator gave the account this address; to this one.
    EmailSetByOperator,
    /// The operator gave the account another address; to the one that it had.
    EmailTakenByOperator,
    /// The account is gone.
    AccountDeleted,
    /// The account is gone, and the operator deleted it.
    AccountDeletedByOperator,
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// News are worth sending for so long.
pub(super) const NEWS: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// How it came about.
pub struct Happened<'a> {
    pub at: Timestamp,
    pub by: Actor<'a>,
    /// How often it happened since the last such letter, which none told of.
    pub untold: u64,
}

/// The letter about what happened to the account of this address, with the link to the notice's page.
pub fn letter(
    config: &Config,
    to: &str,
    notice: Notice,
    link: Option<String>,
    happened: &Happened<'_>,
) -> Result<Letter> {
    let site = config.server.public_url.host();
    let by_program = happened.by.client().is_some_and(|client| client.is_program);
    let letter = &Fields {
        said: notice.paragraphs(site, to, by_program)?,
        link,
        when: humanize::moment(happened.at),
        site: site.to_owned(),
        device: happened.by.client().map(Device::of),
        untold: (happened.untold > 0).then(|| humanize::times(happened.untold)),
    };
    Ok(Letter {
        name: notice.name(),
        to: to.to_owned(),
        content: Content {
            subject: letter.said.subject.clone(),
            text: render(&Text { letter })?,
            html: render(&Html { letter })?,
            unsubscribe: None,
        },
        account: None,
        link_hash: None,
        priority: Priority::News,
        useful_for: NEWS,
        leaves_no_trace: notice.is_the_last(),
    })
}

impl Notice {
    /// As the tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PasswordSet => "password_set",
            Self::PasswordSetAndHeld { .. } => "password_set_and_held",
            Self::ResetDisowned => "reset_disowned",
            Self::PasswordChanged => "password_changed",
            Self::PasskeyAdded => "passkey_added",
            Self::PasskeySet => "passkey_set",
            Self::PasskeyRemoved => "passkey_removed",
            Self::PasswordGuessed => "password_guessed",
            Self::PasswordPaused => "password_paused",
            Self::PasskeyCopied => "passkey_copied",
            Self::NewBrowser => "new_browser",
            Self::DeviceNotProven => "device_not_proven",
            Self::EmailChangeAsked => "email_change_asked",
            Self::EmailChanged => "email_changed",
            Self::EmailTaken => "email_taken",
            Self::AccountLocked => "account_locked",
            Self::EmailSetByOperator => "email_set_by_operator",
            Self::EmailTakenByOperator => "email_taken_by_operator",
            Self::AccountDeleted => "account_deleted",
            Self::AccountDeletedByOperator => "account_deleted_by_operator",
        }
    }

    /// Between two of them to one address. Anybody can have the one about a lock sent, and whoever has a copy of a cookie
    /// the one about the device; each says the same every time.
    pub(super) fn gap(self) -> Duration {
        match self {
            Self::AccountLocked | Self::DeviceNotProven => DAY,
            _ => HOUR,
        }
    }

    /// Nothing is told of the account after this, and nothing of it stays.
    pub fn is_the_last(self) -> bool {
        matches!(self, Self::AccountDeleted | Self::AccountDeletedByOperator)
    }

    /// The page that its reader may want to see.
    pub fn page(self) -> Option<&'static str> {
        match self {
            Self::EmailTaken
            | Self::AccountLocked
            | Self::EmailSetByOperator
            | Self::EmailTakenByOperator
            | Self::AccountDeleted
            | Self::AccountDeletedByOperator => None,
            _ => Some("/account/sessions"),
        }
    }

    fn paragraphs(self, site: &str, to: &str, by_program: bool) -> Result<Paragraphs> {
        macro_rules! paragraphs {
            ($template:tt $(, $more:ident)?) => {{
                #[derive(Template)]
                #[template(path = $template)]
                struct FourParagraphs<'a> {
                    site: &'a str,
                    to: &'a str,
                    $($more: &'a str,)?
                }
                Paragraphs::of(&FourParagraphs { site, to $(, $more)? })
            }};
        }
        match self {
            Self::PasswordSet => paragraphs!("mail/notices/password_set.txt"),
            Self::PasswordSetAndHeld { until } => {
                let until = &humanize::moment(until);
                paragraphs!("mail/notices/password_set_and_held.txt", until)
            }
            Self::ResetDisowned => paragraphs!("mail/notices/reset_disowned.txt"),
            Self::PasswordChanged => paragraphs!("mail/notices/password_changed.txt"),
            Self::PasskeyAdded => paragraphs!("mail/notices/passkey_added.txt"),
            Self::PasskeySet => paragraphs!("mail/notices/passkey_set.txt"),
            Self::PasskeyRemoved => paragraphs!("mail/notices/passkey_removed.txt"),
            Self::PasswordGuessed => paragraphs!("mail/notices/password_guessed.txt"),
            Self::PasswordPaused => paragraphs!("mail/notices/password_paused.txt"),
            Self::PasskeyCopied => paragraphs!("mail/notices/passkey_copied.txt"),
            Self::NewBrowser if by_program => paragraphs!("mail/notices/new_program.txt"),
            Self::NewBrowser => paragraphs!("mail/notices/new_browser.txt"),
            Self::DeviceNotProven => paragraphs!("mail/notices/device_not_proven.txt"),
            Self::EmailChangeAsked => paragraphs!("mail/notices/email_change_asked.txt"),
            Self::EmailChanged => paragraphs!("mail/notices/email_changed.txt"),
            Self::EmailTaken => paragraphs!("mail/notices/email_taken.txt"),
            Self::AccountLocked => paragraphs!("mail/notices/account_locked.txt"),
            Self::EmailSetByOperator => paragraphs!("mail/notices/email_set_by_operator.txt"),
            Self::EmailTakenByOperator => paragraphs!("mail/notices/email_taken_by_operator.txt"),
            Self::AccountDeleted => paragraphs!("mail/notices/account_deleted.txt"),
            Self::AccountDeletedByOperator => {
                paragraphs!("mail/notices/account_deleted_by_operator.txt")
            }
        }
    }
}

/// What is said of a notice, a paragraph each in its template.
struct Paragraphs {
    subject: String,
    what: String,
    /// What to do if it was the reader who did it.
    if_you: String,
    if_not_you: String,
}

impl Paragraphs {
    fn of(template: &impl Template) -> Result<Self> {
        let text = render(template)?;
        let mut paragraphs = text.split("\n\n").map(|text| text.trim_end().to_owned());
        let mut next = || paragraphs.next().unwrap_or_default();
        Ok(Self {
            subject: next(),
            what: next(),
            if_you: next(),
            if_not_you: next(),
        })
    }
}

struct Fields {
    said: Paragraphs,
    link: Option<String>,
    when: String,
    site: String,
    /// From where, unless the operator did it.
    device: Option<Device>,
    untold: Option<String>,
}

struct Device {
    /// Our own words for the browser or the program; empty where we have none.
    product: String,
    is_program: bool,
    ip: String,
}

impl Device {
    fn of(client: &Client) -> Self {
        Self {
            product: client.product.clone().unwrap_or_default(),
            is_program: client.is_program,
            ip: client.ip(),
        }
    }
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
