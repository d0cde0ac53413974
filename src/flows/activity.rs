//! The account's own audit trail: what happened to it, when, and from where.

use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::events::{self, Noted};
use crate::flows::Answer;
use crate::web::form;
use crate::web::page::{Frame, page};
use crate::web::visit::SignedIn;
use crate::words;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/activity").get(show));
}

/// So many stand on a page.
const PAGE: i64 = 50;

/// The newest, or those before the one that the query names; one that is nobody's, or somebody else's, is as
/// good as none.
async fn show(SignedIn { visit, session }: SignedIn) -> Answer {
    let mut query = form::pairs(visit.req.query_string().as_bytes())?;
    let before = query.remove("before");
    let mut events = visit
        .app
        .read(move |tx| {
            let last = match before {
                Some(id) => events::find(tx, &session.user_id, &id)?,
                None => None,
            };
            events::list(tx, &session.user_id, last.as_ref(), PAGE + 1)
        })
        .await?;
    let has_older = events.len() > PAGE as usize;
    events.truncate(PAGE as usize);
    Ok(page(&ActivityPage {
        frame: visit.frame(),
        older_than: events
            .last()
            .filter(|_| has_older)
            .map(|last| last.id.clone()),
        events: events.into_iter().map(Shown::of).collect(),
    })?)
}

struct Shown {
    at: String,
    what: String,
    browser: String,
    ip: String,
}

impl Shown {
    fn of(noted: Noted) -> Self {
        Self {
            at: words::rfc3339(noted.at),
            what: what(&noted),
            browser: noted.browser,
            ip: noted.ip,
        }
    }
}

/// In words. A newer release may have written what this one does not know: that is shown as it is.
fn what(noted: &Noted) -> String {
    let detail = noted.detail.as_deref().unwrap_or_default();
    let words = match (noted.name.as_str(), detail) {
        ("registered", _) => "The address was confirmed, and the account began",
        ("link_requested", "reset_password") => "A link to set a password was asked for",
        ("link_requested", _) => "A link to sign in was asked for",
        ("link_refused", _) => "A link was opened by somebody who did not know its address",
        ("signed_in", "email_link") => "Signed in with the link from a message",
        ("signed_in", "email_code") => "Signed in with the code from a message",
        ("signed_in", "password") => "Signed in with the password",
        ("signed_in", _) => "Signed in",
        ("password_refused", _) => "A wrong password was entered to sign in",
        ("reauthenticated", _) => "The password was entered in a session",
        ("reauthentication_refused", _) => "A wrong password was entered in a session",
        ("reauthentication_required", _) => "Something sensitive was wanted without the password",
        ("signed_out", _) => "Signed out",
        ("session_ended", _) => "A session was ended",
        ("other_sessions_ended", _) => "All other sessions were ended",
        ("password_set", _) => "The password was set",
        ("password_changed", _) => "The password was changed",
        ("email_change_requested", _) => "A change of the address was asked for",
        ("email_change_cancelled", _) => "The change of the address was called off",
        ("email_changed", _) => "The address was changed",
        ("email_change_undone", _) => "The change of the address was taken back",
        ("exported", _) => "Everything kept on the account was downloaded",
        (unknown, _) => unknown,
    };
    words.to_owned()
}

#[derive(Template)]
#[template(path = "account/activity.html")]
struct ActivityPage {
    frame: Frame,
    events: Vec<Shown>,
    older_than: Option<String>,
}
