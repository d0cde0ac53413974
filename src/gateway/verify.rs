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

use std::time::Duration;

use actix_session::SessionExt;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};
use actix_web::middleware::Next;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder};

use crate::accounts::sessions::Session;
use crate::actions::pass_gate::{self, Verdict};
use crate::app::App;
use crate::config;
use crate::error::Error;
use crate::gateway::asked::{Asked, Style};
use crate::random::{Token, TokenHash};
use crate::web::bound_session::{self, DeviceProof};
use crate::web::cookie_header::{self, CookieHeader};
use crate::web::rejection::Rejection;
use crate::web::visitor::{app_of, note_seen};
use crate::web::{client, gate_cookie, next, sealed_cookies, session_cookie};

/// What a handler gives: an answer, or why there is none.
pub type Answer = Result<HttpResponse, Rejection>;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/verify").get(verify))
        .service(web::resource("/turn-away").get(turn_away))
        .service(web::resource("/envoy{asked:.*}").to(verify));
}

/// The cookies that an app may have, as they were brought.
struct AppCookies(HeaderValue);

/// Sets them aside before anybody sifts ours.
pub async fn set_app_cookies_aside(
    req: ServiceRequest,
    next: Next<impl MessageBody>,
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
        Verdict::Pass(session) => question.let_pass(&session),
        verdict => Ok(question.turn_away(&verdict)),
    }
}

/// For nginx, which can only say yes or no by itself: whoever it may not let pass is handed on to here, and gets what they
/// would have got of another proxy. Who may pass by now is sent to where they wanted to go.
async fn turn_away(req: HttpRequest) -> Answer {
    let question = Question::of(req)?;
    match question.judge().await? {
        Verdict::Pass(_) => Ok(question.lead_on()),
        verdict => Ok(question.turn_away(&verdict)),
    }
}

struct Question {
    app: Data<App>,
    req: HttpRequest,
    asked: Asked,
    /// How recent the password entry has to be, by the proxy's file.
    within: Option<Duration>,
}

impl Question {
    fn of(req: HttpRequest) -> Result<Self, Rejection> {
        let app = app_of(&req)?;
        let asked = Asked::by(&req, &app.config);
        // Envoy's query is the visitor's.
        let within = match asked.style {
            Style::Envoy => None,
            Style::Redirect | Style::Status => within(req.query_string())?,
        };
        Ok(Self {
            app,
            req,
            asked,
            within,
        })
    }

    async fn judge(&self) -> Result<Verdict, Rejection> {
        let now = self.app.clock.now();
        let session = self.session().await?;
        Ok(pass_gate::judge(session, self.within, now))
    }

    /// The living session of this visitor: by its own cookie, where the app is at our host, or else by the one that siblings
    /// get. One that is bound to its device counts by its own cookie only where the device shows itself.
    async fn session(&self) -> Result<Option<Session>, Rejection> {
        let own = session_cookie::token(&self.req.get_session())
            .as_ref()
            .map(Token::hash);
        let found = self.find(own).await?;
        let is_on_device = |session: &Session| {
            !matches!(
                bound_session::look(&self.req, &self.app, session),
                DeviceProof::Missing
            )
        };
        let found = match found.filter(is_on_device) {
            Some(session) => Some(session),
            None => {
                self.find(gate_cookie::read(
                    &CookieHeader::sift(self.req.headers()),
                    &self.app,
                ))
                .await?
            }
        };
        if let Some(session) = &found {
            note_seen(&self.app, session, || {
                client::of(&self.req, &self.app.config)
            });
        }
        Ok(found)
    }

    async fn find(&self, token: Option<TokenHash>) -> Result<Option<Session>, Rejection> {
        let Some(token) = token else {
            return Ok(None);
        };
        let config = self.app.config.clone();
        let found = self
            .app
            .read(move |tx| pass_gate::find(tx, &config, &token));
        Ok(found.await?)
    }

    fn let_pass(&self, session: &Session) -> Answer {
        let status = match self.asked.style {
            Style::Envoy => StatusCode::OK,
            Style::Redirect | Style::Status => StatusCode::NO_CONTENT,
        };
        let mut answer = HttpResponseBuilder::new(status).finish();
        identify(answer.headers_mut(), session)?;
        if let Some(AppCookies(left)) = self.req.extensions_mut().remove() {
            answer.headers_mut().insert(COOKIE, left);
        }
        Ok(answer)
    }

    /// To the page that lets the visitor pass, and from there back; or, for whoever sees no page, what is missing.
    fn turn_away(&self, verdict: &Verdict) -> HttpResponse {
        let page = match verdict {
            Verdict::Reauthenticate { .. } => "/reauthenticate",
            _ => "/sign-in",
        };
        let way_back = self.asked.way_back(&self.app.config);
        let page = match &way_back {
            Some(back) => next::before(page, &back.named()),
            None => page.to_owned(),
        };
        let onward = self.app.config.server.public_url.link(&page);
        let is_redirected = self.asked.style != Style::Status && !self.asked.is_for_nobody_to_see();
        let mut answer = match is_redirected {
            true => HttpResponse::SeeOther(),
            false => HttpResponse::Unauthorized(),
        };
        if !is_redirected {
            answer.insert_header((WWW_AUTHENTICATE, challenge(verdict)));
        }
        answer.insert_header((LOCATION, onward)).finish()
    }

    fn lead_on(&self) -> HttpResponse {
        let way_back = self.asked.way_back(&self.app.config).unwrap_or_default();
        let onward = self.app.config.server.public_url.link(way_back.as_str());
        HttpResponse::SeeOther()
            .insert_header((LOCATION, onward))
            .finish()
    }
}

/// What a proxy's file demands, by `reauthenticated=10m`; of several the strictest. A proxy may add the visitor's query to
/// its own, so nothing in it can make less of that, and what is not ours is left alone.
fn within(query: &str) -> Result<Option<Duration>, Rejection> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let demands = pairs.filter(|(name, _)| name == "reauthenticated");
    let mut strictest = None;
    for (_, demand) in demands {
        let within = config::duration(&demand).map_err(|_| {
            tracing::warn!(
                event = "demand_unreadable",
                "a proxy asks for reauthenticated=, and not for a duration such as 10m: nobody passes"
            );
            Rejection::Unreadable
        })?;
        strictest = Some(strictest.map_or(within, |other: Duration| other.min(within)));
    }
    Ok(strictest)
}

/// Who it is, in the headers that proxies and apps know.
fn identify(headers: &mut HeaderMap, session: &Session) -> Result<(), Error> {
    let auth_time = session.reauthenticated_at.unwrap_or(session.created_at) / 1000;
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
fn challenge(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Reauthenticate { within } => format!(
            r#"Doorpost error="insufficient_user_authentication", max_age="{}""#,
            within.as_secs()
        ),
        _ => "Doorpost".to_owned(),
    }
}
