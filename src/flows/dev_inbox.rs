//! The development inbox: the outbox, read in the browser.
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
use crate::mail::outbox::Words;
use crate::mail::outbox::kept::{self, InboxMail};
use crate::web::page::{Frame, page};
use crate::web::problem::Stop;
use crate::web::visit::Visit;
use crate::words;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/dev/inbox").get(list))
        .service(web::resource("/dev/inbox/{id}").get(show))
        .service(web::resource("/dev/inbox/{id}/html").get(show_html));
}

/// The newest mail that the list shows.
const MOST: i64 = 200;

/// The page of one mail frames its HTML part.
const PAGE_CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                        connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; \
                        frame-ancestors 'none'";

/// The HTML part is a letter, not a page of ours: it may style itself and open its links in a tab, and
/// nothing else.
const LETTER_CSP: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
                          style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'self'";

async fn list(visit: Visit) -> Answer {
    only_for_developers(&visit)?;
    let mails = visit.app.read(|tx| kept::inbox(tx, MOST)).await?;
    let mails = mails
        .into_iter()
        .filter_map(|mail| opened(&visit, mail))
        .collect();
    let frame = visit.frame();
    Ok(page(&ListPage { frame, mails })?)
}

async fn show(visit: Visit, id: web::Path<String>) -> Answer {
    let mail = find(&visit, id.into_inner()).await?;
    let shown = page(&ShowPage {
        frame: visit.frame(),
        from: visit.app.config.mail_from.to_string(),
        link: link_in(&mail.words.text),
        mail,
    })?;
    Ok(under(PAGE_CSP, shown))
}

async fn show_html(visit: Visit, id: web::Path<String>) -> Answer {
    let mail = find(&visit, id.into_inner()).await?;
    let letter = HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(mail.words.html);
    Ok(under(LETTER_CSP, letter))
}

fn under(csp: &'static str, mut response: HttpResponse) -> HttpResponse {
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(csp));
    response
}

async fn find(visit: &Visit, id: String) -> Result<Opened, Stop> {
    only_for_developers(visit)?;
    let mail = visit
        .app
        .read(move |tx| kept::inbox_mail(tx, &id))
        .await?
        .ok_or(Stop::NotFound)?;
    opened(visit, mail)
        .ok_or_else(|| Stop::Trouble(Error::internal("the words of a mail cannot be opened")))
}

fn only_for_developers(visit: &Visit) -> Result<(), Stop> {
    let peer = visit.req.peer_addr().map(|peer| peer.ip().to_canonical());
    let is_ours = visit.app.config.has_dev_inbox()
        && peer.is_some_and(|ip: IpAddr| ip.is_loopback())
        && names_loopback(&visit.req);
    if is_ours { Ok(()) } else { Err(Stop::NotFound) }
}

fn names_loopback(req: &HttpRequest) -> bool {
    let host = req.headers().get(HOST).and_then(|host| host.to_str().ok());
    host.and_then(|host| PublicUrl::parse(&format!("http://{host}")).ok())
        .is_some_and(|named| named.is_loopback())
}

/// The one URL of a letter's text stands on a line of its own.
fn link_in(text: &str) -> Option<String> {
    text.lines()
        .find(|line| line.starts_with("http"))
        .map(str::to_owned)
}

fn opened(visit: &Visit, mail: InboxMail) -> Option<Opened> {
    Some(Opened {
        words: visit.app.outbox.open(mail.body.as_deref())?,
        id: mail.id,
        to: mail.email,
        when: words::moment(mail.queued_at),
    })
}

struct Opened {
    id: String,
    to: String,
    when: String,
    words: Words,
}

#[derive(Template)]
#[template(path = "dev_inbox/list.html")]
struct ListPage {
    frame: Frame,
    mails: Vec<Opened>,
}

#[derive(Template)]
#[template(path = "dev_inbox/show.html")]
struct ShowPage {
    frame: Frame,
    from: String,
    link: Option<String>,
    mail: Opened,
}
