//! The way back to another app: a page that goes on by itself.
//!
//! A form of ours must not lead to another host, lest one that was planted send a password there (`form-action 'self'`), and
//! browsers hold each redirect after it to that. So forms lead here, and the page goes on. Nobody is sent anywhere that
//! `RETURN_HOSTS` does not name, whoever wrote the address.
//!
//! Whoever comes without the cookie by which the app's proxy asks about them, because it was lost or because the session began
//! before `COOKIE_DOMAIN` was set, gets it here. Where it does not arrive all the same, they would go in circles: then the
//! page stays, and says so.

use actix_web::http::header::{HeaderValue, REFRESH};
use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::error::Error;
use crate::gateway::verify::Answer;
use crate::web::gate_cookie;
use crate::web::page::{Frame, page, see_other};
use crate::web::return_url::{self, ReturnUrl};
use crate::web::sealed_cookies::Returned;
use crate::web::visitor::Visitor;

/// More often than anybody is sent straight on to one host, each time within ten seconds of the last.
const CIRCLES: u32 = 5;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/return").get(go_on));
}

async fn go_on(visitor: Visitor) -> Answer {
    let path = visitor.req.uri().path_and_query();
    let to = path.and_then(|path| ReturnUrl::led_to_by(path.as_str()));
    let url = to.and_then(|to| ReturnUrl::parse(&to, &visitor.app.config));
    let Some(url) = url else {
        return Ok(see_other("/").finish());
    };
    give_cookie(&visitor)?;
    if !return_url::is_at_once(visitor.req.query_string()) {
        return lead(&visitor, &url);
    }
    let returned = Returned::once_more(&visitor.req, &visitor.app, url.host());
    let mut answer = match returned.times() >= CIRCLES {
        true => stay(&visitor, &url)?,
        false => lead(&visitor, &url)?,
    };
    let kept = returned.keep(&visitor.app)?;
    answer.add_cookie(&kept).map_err(Error::internal)?;
    Ok(answer)
}

fn lead(visitor: &Visitor, url: &ReturnUrl) -> Answer {
    let mut answer = ReturnPage::of(visitor, url, false).answer()?;
    let refresh = HeaderValue::try_from(format!("0; url={}", url.as_str()));
    let refresh = refresh.map_err(Error::internal)?;
    answer.headers_mut().insert(REFRESH, refresh);
    Ok(answer)
}

fn stay(visitor: &Visitor, url: &ReturnUrl) -> Answer {
    tracing::warn!(
        host = url.host(),
        event = "goes_in_circles",
        "an app sends a visitor back again and again: does its proxy get the cookie of COOKIE_DOMAIN?"
    );
    ReturnPage::of(visitor, url, true).answer()
}

fn give_cookie(visitor: &Visitor) -> Result<(), Error> {
    match (&visitor.session, visitor.token_hash()) {
        (Some(session), Some(token)) => {
            gate_cookie::hand_over(&visitor.req, &visitor.app, session, &token)
        }
        _ => Ok(()),
    }
}

#[derive(Template)]
#[template(path = "gateway/return.html")]
struct ReturnPage<'a> {
    frame: Frame,
    url: &'a str,
    host: &'a str,
    goes_in_circles: bool,
}

impl<'a> ReturnPage<'a> {
    fn of(visitor: &Visitor, url: &'a ReturnUrl, goes_in_circles: bool) -> Self {
        Self {
            frame: visitor.frame_of_dead_end(),
            url: url.as_str(),
            host: url.host(),
            goes_in_circles,
        }
    }

    fn answer(&self) -> Answer {
        Ok(page(self)?)
    }
}
