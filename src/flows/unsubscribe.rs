//! No more announcements: by the link in one, or by the button that a mail program shows beside it.
//!
//! Opening the link changes nothing, for scanners open it, too; its page has one button. A mail program's button
//! makes its provider's server send what ours sends (RFC 8058): from nobody's browser, with nothing but the
//! signed token. So the token alone says whose announcements end, whoever is signed in; it ends them and can
//! do nothing else, and to use it twice does no harm. On the account page they can be switched on again.

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::signed_links::{Purpose, SignedToken, UNSUBSCRIBE};
use crate::actions::switch_mail;
use crate::flows::Answer;
use crate::web::one_click::OneClick;
use crate::web::page::{Frame, confidential, page, page_with};
use crate::web::rejection::Rejection;
use crate::web::visitor::Visitor;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource(UNSUBSCRIBE).get(show).post(unsubscribe));
}

async fn show(visitor: Visitor) -> Answer {
    let Some(token) = token(&visitor)? else {
        return gone(&visitor);
    };
    let (links, brought) = (visitor.app.signed_links.clone(), token.clone());
    let reader = visitor
        .app
        .read(move |tx| links.reader(tx, Purpose::Unsubscribe, &brought));
    match reader.await? {
        Some(reader) if reader.announcements => Ok(confidential(page(&AskPage {
            frame: visitor.frame(),
            site: visitor.app.config.server.public_url.host(),
            token: token.reveal(),
        })?)),
        Some(_) => done(&visitor),
        None => gone(&visitor),
    }
}

async fn unsubscribe(visitor: Visitor, _: OneClick) -> Answer {
    let Some(token) = token(&visitor)? else {
        return gone(&visitor);
    };
    let client = visitor.client();
    let ended = visitor.act(move |tx, app| switch_mail::unsubscribe(tx, app, &token, &client));
    match ended.await? {
        true => done(&visitor),
        false => gone(&visitor),
    }
}

fn token(visitor: &Visitor) -> Result<Option<SignedToken>, Rejection> {
    let query = visitor.query()?;
    let text = query.get("token");
    Ok(text.and_then(|text| SignedToken::parse(text)))
}

fn done(visitor: &Visitor) -> Answer {
    Ok(confidential(page(&DonePage {
        frame: visitor.frame(),
        site: visitor.app.config.server.public_url.host(),
    })?))
}

fn gone(visitor: &Visitor) -> Answer {
    let page = GonePage {
        frame: visitor.frame_of_dead_end(),
    };
    Ok(confidential(page_with(StatusCode::GONE, &page)?))
}

#[derive(Template)]
#[template(path = "unsubscribe/ask.html")]
struct AskPage<'a> {
    frame: Frame,
    site: &'a str,
    token: &'a str,
}

#[derive(Template)]
#[template(path = "unsubscribe/done.html")]
struct DonePage<'a> {
    frame: Frame,
    site: &'a str,
}

#[derive(Template)]
#[template(path = "unsubscribe/gone.html")]
struct GonePage {
    frame: Frame,
}
