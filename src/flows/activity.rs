//! The account's own audit trail: what happened to it, when, and from where.

use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::events::{self, Noted};
use crate::flows::Answer;
use crate::humanize;
use crate::web::page::{Frame, page};
use crate::web::visitor::SignedIn;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/activity").get(show));
}

/// So many stand on a page.
const PAGE: i64 = 50;

/// The newest events, or those before the one that the query names, if it names one of this account.
async fn show(SignedIn { visitor, session }: SignedIn) -> Answer {
    let mut query = visitor.query()?;
    let before = query.remove("before");
    let mut events = visitor
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
        frame: visitor.frame(),
        older_than: events
            .last()
            .filter(|_| has_older)
            .map(|last| last.id.clone()),
        events: events.into_iter().map(Shown::of).collect(),
    })?)
}

struct Shown {
    at: String,
    /// What happened, as the table has it, and the word of ours that goes with it.
    name: String,
    detail: String,
    browser: String,
    /// What whoever signed the program in calls it.
    label: String,
    ip: String,
    /// How often, if it was more than once.
    times: Option<String>,
}

impl Shown {
    fn of(noted: Noted) -> Self {
        Self {
            at: humanize::rfc3339(noted.at),
            name: noted.name,
            detail: noted.detail.unwrap_or_default(),
            browser: noted.browser,
            label: noted.label,
            ip: noted.ip,
            times: match noted.count {
                ..=1 => None,
                count => Some(humanize::times(count.unsigned_abs())),
            },
        }
    }
}

#[derive(Template)]
#[template(path = "account/activity.html")]
struct ActivityPage {
    frame: Frame,
    events: Vec<Shown>,
    older_than: Option<String>,
}
