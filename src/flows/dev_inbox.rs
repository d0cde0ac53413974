//! The development inbox: the outbox, read in the browser, and cleared there.
//!
//! It exists only while nothing real is at stake: the site is on this very machine and no mail server is
//! configured. Even then it answers nobody but a peer on this machine that names it as such, for a web page
//! elsewhere could otherwise read the mail through a name of its own that points here (DNS rebinding).

use std::net::IpAddr;

use actix_web::http::header::{CONTENT_SECURITY_POLICY, HOST, HeaderValue};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use crate::config::PublicUrl;
use crate::error::Error;
use crate::flows::Answer;
use crate::humanize;
use crate::mail::letters::Content;
use crate::mail::message::{compose, message_id};
use crate::mail::outbox::{Mail, kept};
use crate::random::Code;
use crate::web::form::{Form, NoFields};
use crate::web::page::{Frame, page};
use crate::web::path_id::PathId;
use crate::web::rejection::Rejection;
use crate::web::visitor::Visitor;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/dev/inbox").get(list))
        .service(web::resource("/dev/inbox/clear").post(clear))
        .service(web::resource("/dev/inbox/{id}").get(show))
        .service(web::resource("/dev/inbox/{id}/html").get(show_html));
}

/// The newest mail that the list shows.
const MOST: usize = 200;

/// The page of one mail frames its HTML part.
const PAGE_CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                        connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; \
                        frame-ancestors 'none'";

/// The HTML part is a letter, not a page of ours: it may style itself and open its links in a tab, and
/// nothing else.
const LETTER_CSP: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
                          style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'self'";

async fn list(visitor: Visitor) -> Answer {
    let mails = newest(&visitor).await?;
    Ok(page(&ListPage {
        frame: visitor.frame(),
        is_cut: mails.len() >= MOST,
        mails,
    })?)
}

async fn clear(visitor: Visitor, _: Form<NoFields>) -> Answer {
    only_for_developers(&visitor)?;
    visitor.app.transaction(kept::clear_inbox).await?;
    visitor.done("The inbox is empty.", "/dev/inbox")
}

async fn show(visitor: Visitor, PathId(id): PathId) -> Answer {
    let shown = find(&visitor, id).await?;
    let (newer, older) = beside(&shown.mail.id, newest(&visitor).await?);
    let config = &visitor.app.config;
    let answer = page(&ShowPage {
        frame: visitor.frame(),
        from: config.mail.from.to_string(),
        message_id: message_id(config, &shown.mail),
        source: compose(config, &shown.mail, &shown.content)?,
        newer,
        older,
        shown,
    })?;
    Ok(under(PAGE_CSP, answer))
}

async fn show_html(visitor: Visitor, PathId(id): PathId) -> Answer {
    let shown = find(&visitor, id).await?;
    let letter = HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(shown.content.html);
    Ok(under(LETTER_CSP, letter))
}

fn under(csp: &'static str, mut response: HttpResponse) -> HttpResponse {
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(csp));
    response
}

/// What cannot be opened, as it was sealed under a key that is gone, is not listed.
async fn newest(visitor: &Visitor) -> Result<Vec<Shown>, Rejection> {
    only_for_developers(visitor)?;
    let mails = visitor.app.read(|tx| kept::inbox(tx, MOST as i64)).await?;
    Ok(mails
        .into_iter()
        .filter_map(|mail| opened(visitor, mail))
        .collect())
}

/// The mails above and below this one on the list.
fn beside(id: &str, listed: Vec<Shown>) -> (Option<String>, Option<String>) {
    let ids: Vec<String> = listed.into_iter().map(|shown| shown.mail.id).collect();
    let Some(at) = ids.iter().position(|listed| listed == id) else {
        return (None, None);
    };
    let newer = at.checked_sub(1).and_then(|above| ids.get(above));
    (newer.cloned(), ids.get(at + 1).cloned())
}

async fn find(visitor: &Visitor, id: String) -> Result<Shown, Rejection> {
    only_for_developers(visitor)?;
    let mail = visitor
        .app
        .read(move |tx| kept::inbox_mail(tx, &id))
        .await?
        .ok_or(Rejection::NotFound)?;
    opened(visitor, mail).ok_or_else(|| {
        Rejection::Trouble(Error::internal("the content of a mail cannot be opened"))
    })
}

fn only_for_developers(visitor: &Visitor) -> Result<(), Rejection> {
    let peer = visitor.req.peer_addr().map(|peer| peer.ip().to_canonical());
    let is_ours = visitor.app.config.has_dev_inbox()
        && peer.is_some_and(|ip: IpAddr| ip.is_loopback())
        && names_loopback(&visitor.req);
    if is_ours {
        Ok(())
    } else {
        Err(Rejection::NotFound)
    }
}

fn names_loopback(req: &HttpRequest) -> bool {
    let host = req.headers().get(HOST).and_then(|host| host.to_str().ok());
    host.and_then(|host| PublicUrl::parse(&format!("http://{host}")).ok())
        .is_some_and(|named| named.is_loopback())
}

fn opened(visitor: &Visitor, mail: Mail) -> Option<Shown> {
    Some(Shown {
        content: visitor.app.outbox.open(&mail).ok()?.content,
        ago: humanize::ago(mail.queued_at, visitor.now()),
        mail,
    })
}

/// A mail with its content.
struct Shown {
    mail: Mail,
    content: Content,
    ago: String,
}

impl Shown {
    fn when(&self) -> String {
        humanize::moment(self.mail.queued_at)
    }

    /// The same moment, for programs.
    fn moment(&self) -> String {
        humanize::rfc3339(self.mail.queued_at)
    }

    /// The one URL of a letter's text stands on a line of its own.
    fn link(&self) -> Option<&str> {
        self.line(|line| line.starts_with("http"))
    }

    /// The text before the link, the link, and the text after it.
    fn around_link(&self) -> Option<(&str, &str, &str)> {
        let link = self.link()?;
        let (before, after) = self.content.text.split_once(link)?;
        Some((before, link, after))
    }

    /// The code, too, stands on a line of its own.
    fn code(&self) -> Option<&str> {
        self.line(|line| Code::parse(line).is_some_and(|code| code.shown() == line))
    }

    fn line(&self, fits: impl Fn(&str) -> bool) -> Option<&str> {
        self.content.text.lines().find(|line| fits(line))
    }
}

#[derive(Template)]
#[template(path = "dev_inbox/list.html")]
struct ListPage {
    frame: Frame,
    mails: Vec<Shown>,
    /// There may be more than is listed.
    is_cut: bool,
}

#[derive(Template)]
#[template(path = "dev_inbox/show.html")]
struct ShowPage {
    frame: Frame,
    shown: Shown,
    from: String,
    message_id: String,
    /// The whole message, as a mail server would be handed it.
    source: String,
    newer: Option<String>,
    older: Option<String>,
}
