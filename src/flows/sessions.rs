//! The account's sessions: where somebody is signed in to it, since when and how; and their end.
//!
//! A session is named by its public id. One that belongs to somebody else is answered like one that does not exist.

use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::sessions::{self, Listed};
use crate::actions::end_sessions;
use crate::flows::Answer;
use crate::humanize;
use crate::web::form::{Form, NoFields};
use crate::web::page::{Frame, page};
use crate::web::path_id::PathId;
use crate::web::rejection::Rejection;
use crate::web::visitor::SignedIn;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/sessions").get(show))
        .service(web::resource("/account/sessions/end-others").post(end_others))
        .service(web::resource("/account/sessions/{id}/end").post(end));
}

async fn show(SignedIn { visitor, session }: SignedIn) -> Answer {
    let (config, user_id) = (visitor.app.config.clone(), session.user_id.clone());
    let list = visitor
        .app
        .read(move |tx| sessions::list(tx, &config, &user_id))
        .await?;
    Ok(page(&SessionsPage {
        frame: visitor.frame(),
        sessions: list
            .into_iter()
            .map(|listed| Shown::of(listed, &session.id))
            .collect(),
    })?)
}

async fn end(signed_in: SignedIn, PathId(id): PathId, _: Form<NoFields>) -> Answer {
    let is_this = id == signed_in.session.id;
    let client = signed_in.visitor.client();
    let ended = signed_in.act(move |tx, _, by| end_sessions::end_one(tx, by, &id, &client));
    if !ended.await? {
        return Err(Rejection::NotFound);
    }
    if is_this {
        return signed_in.visitor.leave("You are signed out.");
    }
    let ended = "The session is ended.";
    signed_in.visitor.done(ended, "/account/sessions")
}

async fn end_others(signed_in: SignedIn, _: Form<NoFields>) -> Answer {
    let client = signed_in.visitor.client();
    signed_in
        .act(move |tx, _, by| end_sessions::end_others(tx, by, &client))
        .await?;
    let ended = "All other sessions are ended.";
    signed_in.visitor.done(ended, "/account/sessions")
}

struct Shown {
    id: String,
    method: &'static str,
    browser: String,
    /// What whoever signed the program in calls it.
    label: String,
    ip: String,
    since: String,
    last_seen: String,
    shared: bool,
    /// When it was bound to its device, if it is.
    bound_since: Option<String>,
    is_this: bool,
}

impl Shown {
    fn of(listed: Listed, this: &str) -> Self {
        Self {
            is_this: listed.id == this,
            method: humanize::way_in(&listed.auth_method),
            since: humanize::moment(listed.created_at),
            last_seen: humanize::moment(listed.last_seen_at),
            id: listed.id,
            browser: listed.browser,
            label: listed.label.as_str().to_owned(),
            ip: listed.ip,
            bound_since: listed.bound_at.map(humanize::moment),
            shared: listed.shared,
        }
    }
}

#[derive(Template)]
#[template(path = "account/sessions.html")]
struct SessionsPage {
    frame: Frame,
    sessions: Vec<Shown>,
}
