//! What mailed links are for.

use std::time::Duration;

use crate::config::Config;

/// What a link is for. Each one brings its facts; a new one does not compile until all are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signs a member in.
    SignIn,
    /// Proves a stranger's address; the account exists from then on.
    ConfirmEmail,
    /// Sets a password, the first one too.
    ResetPassword,
    /// Proves the address that an account is to have from now on.
    ChangeEmail,
    /// From the address an account had before: takes that back.
    UndoChangeEmail,
    /// Something of an app that is built on Doorpost.
    Own(&'static OwnPurpose),
}

/// The facts of a link of an app that is built on Doorpost. It is ended by whatever ends the links of its account, and
/// forgotten as they are. It has no code, and proves neither an address nor an owner.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnPurpose {
    name: &'static str,
    route: &'static str,
    lifetime: Duration,
}

impl OwnPurpose {
    /// * `name`: as the table holds it, and log and metrics show it. A prefix keeps it clear of those of Doorpost that are
    ///   to come.
    /// * `route`: the page it opens; the token follows as `?token=`.
    /// * `lifetime`: how long it is good from its hand-over ([`handed_over`](super::handed_over), or its letter's leaving),
    ///   and twice as long from its making at the most: a link that waits for no letter is handed over at once.
    ///
    /// ```
    /// # use {doorpost::accounts::links::{OwnPurpose, Purpose}, std::time::Duration};
    /// const SHARE: Purpose = Purpose::Own(&OwnPurpose::new("share", "/shared", Duration::from_secs(60)));
    /// ```
    ///
    /// # Panics
    /// A purpose of Doorpost's has the name: its links would be taken for the app's, and the app's for its. In a `const`,
    /// where purposes belong, this does not compile:
    ///
    /// ```compile_fail
    /// # use {doorpost::accounts::links::{OwnPurpose, Purpose}, std::time::Duration};
    /// const SHARE: Purpose = Purpose::Own(&OwnPurpose::new("sign_in", "/shared", Duration::from_secs(60)));
    /// ```
    pub const fn new(name: &'static str, route: &'static str, lifetime: Duration) -> Self {
        assert!(
            !Purpose::is_ours(name),
            "links of Doorpost's own have this name: give those of the app another one"
        );
        Self {
            name,
            route,
            lifetime,
        }
    }
}

impl Purpose {
    const ALL: [Self; 5] = [
        Self::SignIn,
        Self::ConfirmEmail,
        Self::ResetPassword,
        Self::ChangeEmail,
        Self::UndoChangeEmail,
    ];

    /// As the table holds it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::ConfirmEmail => "confirm_email",
            Self::ResetPassword => "reset_password",
            Self::ChangeEmail => "change_email",
            Self::UndoChangeEmail => "undo_change_email",
            Self::Own(own) => own.name,
        }
    }

    /// The page a link of this purpose opens; the token follows as `?token=`.
    pub fn route(self) -> &'static str {
        match self {
            Self::SignIn => "/sign-in/link",
            Self::ConfirmEmail => "/confirm-email",
            Self::ResetPassword => "/reset-password",
            Self::ChangeEmail => "/account/email/confirm",
            Self::UndoChangeEmail => "/account/email/undo",
            Self::Own(own) => own.route,
        }
    }

    /// The form that mails a new one; none where only the account's own page may ask.
    pub fn asks_again_at(self) -> Option<&'static str> {
        match self {
            Self::SignIn | Self::UndoChangeEmail => Some("/sign-in"),
            Self::ConfirmEmail => Some("/confirm-email/send"),
            Self::ResetPassword => Some("/forgot-password"),
            Self::ChangeEmail | Self::Own(_) => None,
        }
    }

    /// How long it is good, from the hand-over to SMTP.
    pub fn lifetime(self, config: &Config) -> Duration {
        match self {
            Self::SignIn => config.links.sign_in,
            Self::ConfirmEmail => config.links.confirm_email,
            Self::ResetPassword => config.links.reset_password,
            Self::ChangeEmail => config.links.change_email,
            Self::UndoChangeEmail => config.links.undo_change_email,
            Self::Own(own) => own.lifetime,
        }
    }

    /// Whether a newer one for the same address takes its place. Whoever asks for an address that is somebody's next or
    /// former one must not end the link on its way there; and of an app's links a member may have many.
    pub(super) fn is_replaced(self) -> bool {
        match self {
            Self::SignIn | Self::ConfirmEmail | Self::ResetPassword => true,
            Self::ChangeEmail | Self::UndoChangeEmail | Self::Own(_) => false,
        }
    }

    /// Whether its use gives the address to an account that had another, or none.
    pub(super) fn gives_address(self) -> bool {
        match self {
            Self::ConfirmEmail | Self::ChangeEmail | Self::UndoChangeEmail => true,
            Self::SignIn | Self::ResetPassword | Self::Own(_) => false,
        }
    }

    /// Whether its use proves the address that it was made for. What an app makes it may show to whoever it likes instead
    /// of mailing it.
    pub(super) fn proves_address(self) -> bool {
        !matches!(self, Self::Own(_))
    }

    /// Whether a code goes with it, for the browser that asked.
    pub fn has_code(self) -> bool {
        match self {
            Self::SignIn | Self::ConfirmEmail => true,
            Self::ResetPassword | Self::ChangeEmail | Self::UndoChangeEmail | Self::Own(_) => false,
        }
    }

    /// How long its row is kept after the request. What a request writes depends on whether its address is known:
    /// a row of one of two purposes, or a decoy. So all of these are kept equally long.
    pub(super) fn kept(self, config: &Config) -> Duration {
        let lifetime = match self {
            Self::SignIn | Self::ConfirmEmail => {
                config.links.sign_in.max(config.links.confirm_email)
            }
            Self::ResetPassword | Self::ChangeEmail | Self::UndoChangeEmail | Self::Own(_) => {
                self.lifetime(config)
            }
        };
        2 * lifetime
    }

    /// Whether one of Doorpost's own has this name.
    const fn is_ours(name: &str) -> bool {
        let mut at = 0;
        while at < Self::ALL.len() {
            if is_same(Self::ALL[at].name(), name) {
                return true;
            }
            at += 1;
        }
        false
    }

    /// The one of Doorpost's own that has this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }
}

/// `==`, before anything runs.
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_purpose_of_an_app_has_the_name_of_one_of_ours() {
        let made =
            |name| std::panic::catch_unwind(|| OwnPurpose::new(name, "/own", Duration::ZERO));
        for purpose in Purpose::ALL {
            assert!(made(purpose.name()).is_err(), "{}", purpose.name());
        }
        for name in ["share_note", "sign", "sign_in_", "sign-in", "SIGN_IN", ""] {
            assert!(made(name).is_ok(), "{name}");
        }
    }
}
