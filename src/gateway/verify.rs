//! Verify: may this visitor of another app go on to it, and who are they?
//!
//! A proxy asks for each request that it is to hand on, with the visitor's cookies, and goes by the answer:
//!
//! * Whoever passes gets a 204 that says who they are, in `Remote-*`. The proxy puts that in the place of whatever the visitor
//!   said about it themselves, and with it the cookies without ours: an app never gets them.
//! * A stranger is sent to sign in, or to enter the password where that is asked for, and then back. So is a form's sender,
//!   back to the page that the form stands on. A script gets 401, for it can make nothing of a page.
//! * Who may not pass, reads that.
//!
//! Nothing is changed here and no cookie is set: proxies drop those of an answer that lets a visitor pass. In case of doubt
//! nobody passes.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};
use actix_web::middleware;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder};
use askama::Template;

use crate::accounts::app_tokens;
use crate::accounts::sessions::Session;
use crate::actions::pass_gate::{Missing, Verdict};
use crate::app::App;
use crate::error::Error;
use crate::gateway::original_request::Style;
use crate::gateway::question::Question;
use crate::web::next::{self, Next};
use crate::web::page::{Frame, page_with, shown_elsewhere};
use crate::web::rejection::Rejection;
use crate::web::{cookie_header, gate_cookie, return_url, sealed_cookies};

/// The token for apps that want one.
const REMOTE_JWT: HeaderName = HeaderName::from_static("remote-jwt");

/// What a handler gives: an answer, or why there is none.
pub type Answer = Result<HttpResponse, Rejection>;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/verify").get(verify))
        .service(web::resource("/turn-away").get(turn_away))
        .service(web::resource("/envoy{original:/.*}").to(verify))
        .service(web::resource("/reauthenticated/{within}/envoy{original:/.*}").to(verify));
}

/// The cookies that an app may have, as they were brought.
struct AppCookies(HeaderValue);

/// Sets them aside before anybody sifts ours.
pub async fn set_app_cookies_aside(
    req: ServiceRequest,
    next: middleware::Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let ours = req
        .app_data::<Data<App>>()
        .map(|app| sealed_cookies::name(&app.config, ""));
    let ours = [
        ours.as_deref().unwrap_or(gate_cookie::NAME),
        gate_cookie::NAME,
    ];
    if let Some(left) = cookie_header::without(req.headers(), &ours) {
        req.extensions_mut().insert(AppCookies(left));
    }
    next.call(req).await
}

/// The question.
async fn verify(req: HttpRequest) -> Answer {
    let question = Question::of(req)?;
    match question.judge().await? {
        Verdict::Pass(session) => question.let_pass(session.as_deref()).await,
        verdict => question.turn_away(verdict),
    }
}

/// For nginx, which can only say yes or no by itself: whoever it may not let pass is handed on to here, and gets what they
/// would have got of another proxy. Who may pass by now is sent to where they wanted to go.
async fn turn_away(req: HttpRequest) -> Answer {
    let question = Question::of(req)?;
    match question.judge().await? {
        Verdict::Pass(_) => Ok(question.lead_on()),
        verdict => question.turn_away(verdict),
    }
}

impl Question {
    async fn let_pass(&self, session: Option<&Session>) -> Answer {
        let status = match self.original.style {
            Style::Envoy => StatusCode::OK,
            Style::Redirect | Style::Status => StatusCode::NO_CONTENT,
        };
        let mut answer = HttpResponseBuilder::new(status).finish();
        if let Some(session) = session {
            identify(answer.headers_mut(), session)?;
            if let Some(token) = self.token_for_app(session).await? {
                answer.headers_mut().insert(REMOTE_JWT, token);
            }
        }
        if let Some(AppCookies(left)) = self.req.extensions_mut().remove() {
            answer.headers_mut().insert(COOKIE, left);
        } else if self.original.style == Style::Envoy {
            // It takes what we say, and leaves what we do not.
            let name = HeaderName::from_static("x-envoy-auth-headers-to-remove");
            answer
                .headers_mut()
                .insert(name, HeaderValue::from_static("cookie"));
        }
        Ok(answer)
    }

    /// If the rules say that it gets one.
    async fn token_for_app(&self, session: &Session) -> Result<Option<HeaderValue>, Rejection> {
        let page = self.original.page.as_ref();
        let rules = self.rules.as_ref();
        let Some((page, rules)) = page.zip(rules) else {
            return Ok(None);
        };
        if !rules.of(&page.host).is_some_and(|host| host.jwt) {
            return Ok(None);
        }
        let now = self.app.clock.now();
        let ring = self.app.signing_keys.ring_that_signs(&self.app.db, now);
        let site = &self.app.config.server.public_url;
        let audience = page.origin(site);
        let token = app_tokens::sign(&*ring.await?, site.as_str(), &audience, session, now)?;
        let token = HeaderValue::try_from(token).map_err(Error::internal)?;
        Ok(Some(token))
    }

    /// To the page that lets the visitor pass, and from there back; or, for whoever sees no page, what is missing.
    fn turn_away(&self, verdict: Verdict) -> Answer {
        let missing = match verdict {
            Verdict::Forbidden(session) => return self.refuse(session.as_deref()),
            Verdict::Reauthenticate(missing) => Some(missing),
            Verdict::SignIn | Verdict::Pass(_) => None,
        };
        let page = match missing {
            Some(Missing { passkey: true, .. }) => "/reauthenticate?with=passkey",
            Some(_) => "/reauthenticate",
            None => "/sign-in",
        };
        let page = match self.original.way_back(&self.app.config) {
            Some(back) => next::before(page, &back.named()),
            None => page.to_owned(),
        };
        let onward = self.app.config.server.public_url.link(&page);
        let is_led = self.original.style != Style::Status && !self.original.is_for_nobody_to_see();
        let mut answer = match is_led {
            true => HttpResponse::SeeOther(),
            false => HttpResponse::Unauthorized(),
        };
        // RFC 9110 (15.5.2) has each 401 say this. One that is for nginx is no answer to anybody, and nginx would leave it
        // in the redirect that it makes of it.
        if self.original.is_for_nobody_to_see() {
            answer.insert_header((WWW_AUTHENTICATE, challenge(missing)));
        }
        Ok(answer.insert_header((LOCATION, onward)).finish())
    }

    fn refuse(&self, session: Option<&Session>) -> Answer {
        if self.original.is_for_nobody_to_see() {
            return Ok(HttpResponse::Forbidden().finish());
        }
        let site = &self.app.config.server.public_url;
        let host = self.original.page.as_ref().map(|page| page.host.as_str());
        let back = self.original.way_back(&self.app.config);
        let back = back.as_ref().map(Next::named);
        let page = RefusedPage {
            frame: Frame::of_nobody(self.app.name, site.as_str()),
            host,
            email: session.map(Session::shown_email),
            sign_out: match &back {
                Some(back) => next::before("/sign-out", back),
                None => "/sign-out".to_owned(),
            },
        };
        let mut answer = page_with(StatusCode::FORBIDDEN, &page)?;
        shown_elsewhere(answer.headers_mut(), site.as_str())?;
        Ok(answer)
    }

    /// Where nginx or the app turns away whom we let pass, they come here again and again.
    fn lead_on(&self) -> HttpResponse {
        let way_back = self.original.way_back(&self.app.config).unwrap_or_default();
        let way_back = return_url::at_once(way_back.as_str());
        let onward = self.app.config.server.public_url.link(&way_back);
        HttpResponse::SeeOther()
            .insert_header((LOCATION, onward))
            .finish()
    }
}

/// Who it is, in the headers that proxies and apps know.
fn identify(headers: &mut HeaderMap, session: &Session) -> Result<(), Error> {
    let auth_time = session.auth_time() / 1000;
    for (name, value) in [
        ("remote-user", session.user_id.clone()),
        ("remote-email", session.email.clone()),
        ("remote-auth-method", session.auth_method.clone()),
        ("remote-auth-time", auth_time.to_string()),
    ] {
        let value = HeaderValue::try_from(value).map_err(Error::internal)?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(())
}

/// What is missing, for programs (in the manner of RFC 9470).
fn challenge(missing: Option<Missing>) -> String {
    const TOO_LITTLE: &str = r#"Doorpost error="insufficient_user_authentication""#;
    match missing {
        Some(missing) => match missing.within {
            Some(within) => format!(r#"{TOO_LITTLE}, max_age="{}""#, within.as_secs()),
            None => TOO_LITTLE.to_owned(),
        },
        None => "Doorpost".to_owned(),
    }
}

/// For who may not pass. A proxy shows it at the app's host, so all of its addresses are whole.
#[derive(Template)]
#[template(path = "gateway/refused.html")]
struct RefusedPage<'a> {
    frame: Frame,
    host: Option<&'a str>,
    email: Option<String>,
    sign_out: String,
}
