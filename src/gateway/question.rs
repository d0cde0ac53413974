//! A proxy's question: who is the visitor, what did they ask for, and what is asked of them for it?

use std::sync::Arc;
use std::time::Duration;

use actix_session::SessionExt;
use actix_web::HttpRequest;
use actix_web::web::Data;

use crate::accounts::sessions::Session;
use crate::actions::pass_gate::{self, Verdict, Wanted};
use crate::app::App;
use crate::config::{self, GateRules};
use crate::gateway::original_request::{self, OriginalRequest};
use crate::random::{Token, TokenHash};
use crate::web::bound_session::{self, DeviceProof};
use crate::web::cookie_header::CookieHeader;
use crate::web::rejection::Rejection;
use crate::web::visitor::{app_of, note_seen};
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
            Some(_) => req.match_info().get("within").map(demand).transpose()?,
            None => within(req.query_string())?,
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
        let found = self
            .app
            .read(move |tx| pass_gate::find(tx, &config, &token));
        Ok(found.await?)
    }
}

/// What a proxy's file demands, by `reauthenticated=10m`; of several the strictest. A proxy may add the visitor's query to
/// its own, so nothing in it can make less of that, and what is not ours is left alone.
fn within(query: &str) -> Result<Option<Duration>, Rejection> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let demands = pairs.filter(|(name, _)| name == "reauthenticated");
    let mut strictest = None;
    for (_, words) in demands {
        let within = demand(&words)?;
        strictest = Some(strictest.map_or(within, |other: Duration| other.min(within)));
    }
    Ok(strictest)
}

fn demand(words: &str) -> Result<Duration, Rejection> {
    config::duration(words).map_err(|_| {
        tracing::warn!(
            event = "demand_unreadable",
            "a proxy asks for a recent password, and not by a duration such as 10m: nobody passes"
        );
        Rejection::Unreadable
    })
}
