//! A page: a template, rendered into the site's layout.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, LOCATION};
use actix_web::{HttpResponse, HttpResponseBuilder};
use askama::Template;
use askama::filters::HtmlSafe;

use crate::accounts::sessions::Session;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::humanize;
use crate::web::headers;
use crate::web::next;

/// What the layout needs to know on every page.
pub struct Frame {
    /// What the site calls itself.
    pub site: &'static str,
    /// Where it is, for a page that a proxy shows at the host of another app ([`shown_elsewhere`]); else empty.
    pub site_url: String,
    /// The address of whoever is signed in, as people write it.
    pub signed_in: Option<String>,
    /// Whether the site has passkeys.
    pub passkeys: bool,
    /// What was just done, in one sentence.
    pub done: Option<String>,
    /// What waits on the account of whoever is signed in, since a reset by mail.
    pub hold: Option<ShownHold>,
    /// The page of ours that whoever is not signed in was on the way to.
    pub next: Option<String>,
    /// This browser brings a session, and nothing that shows that it is on the device which that is bound to.
    pub device_not_proven: bool,
}

/// A hold, as whoever is signed in is shown it.
pub struct ShownHold {
    pub began_at: Timestamp,
    pub since: String,
    pub until: String,
    /// Whether it leaves this session alone: a passkey was used in it, and the owner is asked.
    pub is_free: bool,
}

impl ShownHold {
    /// The page that says more of it, and asks the owner.
    pub const PAGE: &'static str = "/account/reset-hold";

    /// The same, on the way to this one.
    pub fn page(next: &str) -> String {
        next::before(Self::PAGE, next)
    }

    /// The one that lies on the account of this session, if one does.
    pub fn of(session: &Session, now: Timestamp, config: &Config) -> Option<Self> {
        let hold = session.reset_hold(now, config)?;
        Some(Self {
            began_at: hold.since,
            since: humanize::moment(hold.since),
            until: humanize::moment(hold.until),
            is_free: session.is_free_of(hold),
        })
    }
}

impl Frame {
    /// That of a page which knows nothing of its visitor.
    pub fn of_nobody(site: &'static str, site_url: &str) -> Self {
        Self {
            site,
            site_url: site_url.to_owned(),
            signed_in: None,
            passkeys: false,
            done: None,
            hold: None,
            next: None,
            device_not_proven: false,
        }
    }

    /// The site's layout around the content of a page: for an app that is built on Doorpost, whose templates are
    /// compiled where `templates/layout.html` is not and cannot extend it. The content is an HTML template,
    /// which has escaped whatever it shows.
    pub fn around<T: Template>(self, title: &str, content: T) -> Framed<'_, T> {
        Framed {
            frame: self,
            title,
            content: Content(content),
        }
    }
}

/// A page in the site's layout, as [`Frame::around`] makes it.
#[derive(Template)]
#[template(path = "framed.html")]
pub struct Framed<'a, T: Template> {
    frame: Frame,
    title: &'a str,
    content: Content<T>,
}

/// What a template has written: HTML, which has escaped whatever it shows and is not to be escaped again.
struct Content<T>(T);

impl<T: Template> fmt::Display for Content<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Template> HtmlSafe for Content<T> {}

/// What a proxy shows at the host of another app: it is allowed the stylesheet and the mark of this site, which is at this
/// URL, and nothing else.
pub fn shown_elsewhere(headers: &mut HeaderMap, site_url: &str) -> Result<()> {
    let policy = format!(
        "default-src 'none'; style-src {site_url}; img-src {site_url}; form-action 'none'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy).map_err(Error::internal)?;
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    Ok(())
}

/// A page that answers 200.
pub fn page(template: &impl Template) -> Result<HttpResponse> {
    page_with(StatusCode::OK, template)
}

/// A page with another status: a form with a mistake in it (422), a link that is gone (410).
pub fn page_with(status: StatusCode, template: &impl Template) -> Result<HttpResponse> {
    let html = template.render().map_err(Error::internal)?;
    Ok(HttpResponseBuilder::new(status)
        .insert_header(header::ContentType::html())
        .body(html))
}

/// Goes on elsewhere on this site, by GET, without a word. After something was done it is
/// [`Visitor::done`](crate::web::visitor::Visitor::done) that goes on.
pub fn see_other(path: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, path));
    response
}

/// What every answer on a link's route says: neither indexed, nor told to anybody.
pub fn confidential(mut response: HttpResponse) -> HttpResponse {
    headers::tell_nobody(response.headers_mut());
    response
}
