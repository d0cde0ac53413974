//! Whether somebody who has just come in is offered a passkey, or is made one by their browser.
//!
//! It is offered to who came in by mail, in one sentence with two equal buttons, on the page to which they came and on
//! no other; whether their browser can make one, a script finds out. Never on a shared computer; nor to who said "not
//! now" here within a month; nor to an account that has one which may well work here.
//!
//! After a password some browsers make one by themselves, if its owner let them ("conditional creation", WebAuthn Level
//! 3, 5.1.3). They are asked without a word, under the same conditions.

use std::time::Duration;

use crate::accounts::passkeys::Passkey;
use crate::accounts::sessions::{AuthMethod, Session};
use crate::clock::millis;
use crate::web::sealed_cookies::NotNow;
use crate::web::visitor::Visitor;

/// So long after somebody came in, the page that they see is the one to which they came.
const JUST: Duration = Duration::from_secs(60);

/// What is done about a passkey on the page to which somebody came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    Nothing,
    /// It is offered.
    InWords,
    /// The browser is asked whether it makes one by itself.
    ByItself,
}

impl Offer {
    /// What is done for this visitor, whose account has these.
    pub fn to(visitor: &Visitor, session: &Session, passkeys: &[Passkey]) -> Self {
        let app = &visitor.app;
        let is_wanted = app.relying_party.is_some()
            && !session.shared
            && !passkeys.iter().any(may_work_here)
            && !NotNow::of(&visitor.req, app).was_said_by(&session.user_id);
        let since = visitor.now() - millis(JUST);
        let came_by = |methods: &[AuthMethod]| {
            let mut names = methods.iter().map(|method| method.name());
            session.created_at > since && names.any(|name| name == session.auth_method)
        };
        if !is_wanted {
            Self::Nothing
        } else if came_by(&[AuthMethod::EmailLink, AuthMethod::EmailCode]) {
            Self::InWords
        } else if came_by(&[AuthMethod::Password]) {
            Self::ByItself
        } else {
            Self::Nothing
        }
    }
}

/// One that is tied to the device on which it was made works there alone. Any other may be here, too, or can be brought.
fn may_work_here(passkey: &Passkey) -> bool {
    let is_tied = !passkey.backup_eligible && passkey.transports().all(|it| it == "internal");
    !is_tied
}
