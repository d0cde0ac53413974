//! The account at a glance: whose it is, how this session came in, and what it may do.

use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::mail_bounces::{self, MailBounce};
use crate::accounts::passkeys;
use crate::accounts::sessions::Session;
use crate::accounts::users::{self, User};
use crate::flows::Answer;
use crate::humanize;
use crate::web::page::{Frame, page};
use crate::web::passkey_offer::Offer;
use crate::web::pending_change::PendingChange;
use crate::web::rejection::Rejection;
use crate::web::visitor::SignedIn;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account").get(show));
}

async fn show(SignedIn { visitor, session }: SignedIn) -> Answer {
    let app = visitor.app.clone();
    let user_id = session.user_id.clone();
    let (user, pending, bounce, passkeys) = visitor
        .app
        .read(move |tx| {
            let user = users::find(tx, &user_id)?;
            let email = user.as_ref().map_or("", |user| &user.email);
            let bounce = mail_bounces::of(tx, &user_id, email)?;
            let passkeys = passkeys::list(tx, &user_id)?;
            Ok((
                user,
                PendingChange::find(tx, &app, &user_id)?,
                bounce,
                passkeys,
            ))
        })
        .await?;
    // It was deleted in this very moment.
    let user = user.ok_or(Rejection::NotFound)?;
    let config = &visitor.app.config;
    let may_act = session.is_reauthenticated(visitor.now(), config);
    let may_act_until = session.reauthenticated_until(config).filter(|_| may_act);
    Ok(page(&AccountPage {
        frame: visitor.frame(),
        way_in: humanize::way_in(&session.auth_method),
        since: humanize::moment(session.created_at),
        ends: humanize::moment(session.ends_at(config)),
        may_act_until: may_act_until.map(humanize::moment),
        password_set: user.has_password().then(|| {
            user.password_set_at
                .map(humanize::moment)
                .unwrap_or_default()
        }),
        links_count_for: humanize::lasting(config.links.notification),
        user,
        pending,
        bounce: bounce.as_ref().map(ShownBounce::of),
        offer: Offer::to(&visitor, &session, &passkeys),
        passkeys: humanize::counted(passkeys.len() as u64, "passkey"),
        has_passkeys: !passkeys.is_empty(),
        session,
    })?)
}

#[derive(Template)]
#[template(path = "account/overview.html")]
struct AccountPage {
    frame: Frame,
    session: Session,
    way_in: &'static str,
    since: String,
    ends: String,
    /// Until when this session may do what is sensitive.
    may_act_until: Option<String>,
    /// When the password was set, if there is one.
    password_set: Option<String>,
    pending: Option<PendingChange>,
    bounce: Option<ShownBounce>,
    passkeys: String,
    has_passkeys: bool,
    offer: Offer,
    user: User,
    /// How long a link in a notice or an announcement knows its reader.
    links_count_for: String,
}

/// A letter to the account's address that came back.
struct ShownBounce {
    on: String,
    why: &'static str,
    status: String,
    holds_news_back: bool,
}

impl ShownBounce {
    fn of(bounce: &MailBounce) -> Self {
        Self {
            on: humanize::moment(bounce.reported_at),
            why: humanize::why_mail_came_back(&bounce.status),
            status: bounce.status.clone(),
            holds_news_back: bounce.holds_news_back(),
        }
    }
}
