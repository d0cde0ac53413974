//! A proxy's question: who is the visitor, what did they ask for, and what is asked of them for it?

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use actix_session::SessionExt;
use actix_web::HttpRequest;
use actix_web::web::Data;
use percent_encoding::percent_decode_str;

use crate::accounts::sessions::{self, Session};
use crate::actions::pass_gate::{self, Verdict, Wanted};
use crate::app::App;
use crate::config::{self, GateRules, PathPattern};
use crate::gateway::original_request::{self, AppPage, OriginalRequest};
use crate::random::{Token, TokenHash};
use crate::web::app_data::app_of;
use crate::web::bound_session::{self, DeviceProof};
use crate::web::cookie_header::CookieHeader;
use crate::web::rejection::Rejection;
use crate::web::visitor::note_seen;
use crate::web::{client, gate_cookie, session_cookie};

/// A question, as far as its answer needs it.
pub struct Question {
    pub app: Data<App>,
    pub req: HttpRequest,
    pub original: OriginalRequest,
    /// How recent the password entry has to be, by the proxy's file.
    within: Option<Duration>,
    /// What the operator's file says.
    pub rules: Option<Arc<GateRules>>,
}

impl Question {
    /// Reads it; one that cannot be read lets nobody pass.
    pub fn of(req: HttpRequest) -> Result<Self, Rejection> {
        let app = app_of(&req)?;
        let original = OriginalRequest::by(&req, &app.config)?;
        let within = match req.match_info().get(original_request::ENVOY) {
            // The query is the visitor's.
            Some(_) => req.match_info().get("within").map(duration).transpose()?,
            None => within(req.query_string(), original.page.as_ref())?,
        };
        let rules = app.gate.rules();
        Ok(Self {
            app,
            req,
            original,
            within,
            rules,
        })
    }

    /// What becomes of the visitor.
    pub async fn judge(&self) -> Result<Verdict, Rejection> {
        let session = self.session().await?;
        let page = self.original.page.as_ref();
        let wanted = Wanted {
            page: page.map(|page| (page.host.as_str(), page.uri.as_str())),
            within: self.within,
        };
        let now = self.app.clock.now();
        Ok(pass_gate::judge(
            self.rules.as_deref(),
            &wanted,
            session,
            now,
        ))
    }

    /// The living session of this visitor: by its own cookie, where the app is at our host, or else by the one that siblings
    /// get. One that is bound to its device counts by its own cookie only where the device shows itself.
    async fn session(&self) -> Result<Option<Session>, Rejection> {
        let own = session_cookie::token(&self.req.get_session());
        let found = self.find(own.as_ref().map(Token::hash)).await?;
        let is_on_device = |session: &Session| {
            let shown = bound_session::look(&self.req, &self.app, session);
            !matches!(shown, DeviceProof::Missing)
        };
        let found = match found.filter(is_on_device) {
            Some(session) => Some(session),
            None => {
                let brought = CookieHeader::sift(self.req.headers());
                self.find(gate_cookie::read(&brought, &self.app)).await?
            }
        };
        if let Some(session) = &found {
            let client = || client::of(&self.req, &self.app.config);
            note_seen(&self.app, session, client);
        }
        Ok(found)
    }

    async fn find(&self, token: Option<TokenHash>) -> Result<Option<Session>, Rejection> {
        let Some(token) = token else {
            return Ok(None);
        };
        let config = self.app.config.clone();
        let found = self.app.read(move |tx| sessions::find(tx, &config, &token));
        Ok(found.await?)
    }
}

/// How recent a password entry the proxy's file demands for this page: `reauthenticated=10m`, or for some paths alone
/// `reauthenticated=10m:/admin/*`, which are compared as those of the rules are. Of several demands the strictest counts, and
/// each stands by itself: a proxy may add its visitor's query to its own, and nothing in that can make less of it. What is not
/// ours is left alone; what nearly is was meant to be. No form wrote it: a `+` is one, as it is in the rules.
fn within(query: &str, page: Option<&AppPage>) -> Result<Option<Duration>, Rejection> {
    let mut strictest = None;
    for pair in query.split('&') {
        let (name, words) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, words) = (decoded(name), decoded(words));
        if name != DEMAND {
            match name.to_ascii_lowercase().starts_with("reauth") {
                true => return Err(unreadable()),
                false => continue,
            }
        }
        let (within, at) = demand(&words)?;
        if at.is_none_or(|at| page.is_none_or(|page| at.may_be(&page.uri))) {
            strictest = Some(strictest.map_or(within, |other: Duration| other.min(within)));
        }
    }
    Ok(strictest)
}

const DEMAND: &str = "reauthenticated";

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

fn demand(words: &str) -> Result<(Duration, Option<PathPattern>), Rejection> {
    let (within, at) = match words.split_once(':') {
        Some((within, at)) => (
            within,
            Some(PathPattern::parse(at).map_err(|_| unreadable())?),
        ),
        None => (words, None),
    };
    Ok((duration(within)?, at))
}

fn duration(words: &str) -> Result<Duration, Rejection> {
    config::duration(words).map_err(|_| unreadable())
}

fn unreadable() -> Rejection {
    tracing::warn!(
        event = "demand_unreadable",
        "a proxy demands a recent password in a way that cannot be read, not as in reauthenticated=10m or \
         reauthenticated=10m:/admin/*: nobody passes"
    );
    Rejection::Unreadable
}
