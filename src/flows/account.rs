//! The account at a glance: whose it is, and how this session came in.

use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::sessions::Session;
use crate::flows::Answer;
use crate::web::page::{Frame, page};
use crate::web::visit::SignedIn;
use crate::words;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account").get(show));
}

async fn show(SignedIn { visit, session }: SignedIn) -> Answer {
    Ok(page(&AccountPage {
        frame: visit.frame(),
        since: words::moment(session.created_at),
        ends: words::moment(session.ends_at(&visit.app.config)),
        session,
    })?)
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    session: Session,
    since: String,
    ends: String,
}
