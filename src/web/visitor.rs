//! Who makes the request, and what their browser brought.
//!
//! A handler's signature says who may call it: [`Visitor`] lets everybody in and knows who they are;
//! [`SignedIn`] sends a stranger to sign in first, and back.

use std::collections::BTreeMap;
use std::pin::Pin;

use actix_session::{Session as Carried, SessionExt};
use actix_web::cookie::Cookie;
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};

use crate::accounts::client::Client;
use crate::accounts::sessions::{self, HeldSession, Holder, Session};
use crate::actions::bind_session;
use crate::actions::sign_in::{Device, NewSession};
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Error;
use crate::random::{Token, TokenHash};
use crate::web::app_data::{act, app_of};
use crate::web::bound_session::{self, DeviceProof};
use crate::web::client;
use crate::web::gate_cookie;
use crate::web::marks::{AskedByHead, DoneIsShown};
use crate::web::next::Next;
use crate::web::page::{Frame, ShownHold, see_other};
use crate::web::rejection::Rejection;
use crate::web::script;
use crate::web::sealed_cookies::{Done, Interrupted, Known, PendingRequests};
use crate::web::session_cookie;
use crate::web::set_cookie::EndsWithBrowser;
use crate::web::urlencoded;

/// One visitor's request, as far as handlers care.
pub struct Visitor {
    pub app: Data<App>,
    /// The living session of this browser.
    pub session: Option<Session>,
    pub req: HttpRequest,
    /// What the browser shows of the device that the session is bound to, if it is.
    pub device_proof: DeviceProof,
    carried: Carried,
    token: Option<Token>,
}

impl FromRequest for Visitor {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        Box::pin(async move {
            let app = app_of(&req)?;
            let carried = req.get_session();
            let token = session_cookie::token(&carried);
            let session = match &token {
                Some(token) => living(&app, token).await?,
                None => None,
            };
            let device_proof = match &session {
                Some(session) => bound_session::look(&req, &app, session),
                None => DeviceProof::NotAsked,
            };
            let mut visitor = Self {
                app,
                session,
                req,
                device_proof,
                carried,
                token,
            };
            visitor.turn_away_if_not_proven().await?;
            visitor.renew_if_wanted().await?;
            if let Some(session) = &visitor.session {
                note_seen(&visitor.app, session, || visitor.client());
            }
            Ok(visitor)
        })
    }
}

async fn living(app: &Data<App>, token: &Token) -> Result<Option<Session>, Rejection> {
    let config = app.config.clone();
    let hash = token.hash();
    Ok(app
        .read(move |tx| sessions::find(tx, &config, &hash))
        .await?)
}

impl Visitor {
    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    /// What the layout shows, and once what was done before.
    pub fn frame(&self) -> Frame {
        Frame {
            done: self.what_was_done(),
            ..self.frame_of_dead_end()
        }
    }

    /// The same for a page that leads nowhere: what was done is kept for the next one.
    pub fn frame_of_dead_end(&self) -> Frame {
        Frame {
            site: self.app.name,
            site_url: String::new(),
            signed_in: self.session.as_ref().map(Session::shown_email),
            passkeys: self.app.relying_party.is_some(),
            done: None,
            hold: self.hold(),
            next: self.next_from_masthead(),
            device_not_proven: self.is_not_proven(),
        }
    }

    /// What waits on the account of whoever is signed in here.
    pub fn hold(&self) -> Option<ShownHold> {
        let session = self.session.as_ref()?;
        ShownHold::of(session, self.now(), &self.app.config)
    }

    /// Whoever takes the way in from the masthead gets there as well.
    fn next_from_masthead(&self) -> Option<String> {
        match self.session {
            Some(_) => None,
            None => self.next_in_query().ok().flatten(),
        }
    }

    /// What stands in the query, by its name.
    pub fn query(&self) -> Result<BTreeMap<String, String>, Rejection> {
        Ok(urlencoded::pairs(self.req.query_string().as_bytes())?)
    }

    /// The page that the query names as the next one, if a visitor may be sent there.
    pub fn next_in_query(&self) -> Result<Option<String>, Rejection> {
        let query = self.query()?;
        Ok(query.get("next").and_then(|named| self.next(named)))
    }

    /// The page that a form names as the next one, if a visitor may be sent there.
    pub fn next(&self, named: &str) -> Option<String> {
        let next = Next::parse(named, &self.app.config)?;
        Some(next.as_str().to_owned())
    }

    /// Only for somebody who looks: a script that fetches a page, or a prefetch, must not use the sentence up.
    fn what_was_done(&self) -> Option<String> {
        if !Done::is_brought(&self.req, &self.app) || !self.is_click() {
            return None;
        }
        self.req.extensions_mut().insert(DoneIsShown);
        Done::of(&self.req, &self.app, self.session.as_ref())
    }

    /// Something is done: goes on to this page, or to the first one that this leads to, which says so in one sentence.
    pub fn done(&self, sentence: &'static str, next: &str) -> Result<HttpResponse, Rejection> {
        self.done_with(sentence, next, None)
    }

    /// The same with another cookie.
    pub fn done_with(
        &self,
        sentence: &'static str,
        next: &str,
        cookie: Option<Cookie<'static>>,
    ) -> Result<HttpResponse, Rejection> {
        let mut onward = see_other(next);
        onward.cookie(Done::keep(&self.app, self.session.as_ref(), sentence)?);
        if let Some(cookie) = cookie {
            onward.cookie(cookie);
        }
        Ok(onward.finish())
    }

    /// The same for a script, which is told where to lead.
    pub fn done_by_script(
        &self,
        sentence: &'static str,
        next: &str,
        cookie: Option<Cookie<'static>>,
    ) -> Result<HttpResponse, Rejection> {
        let mut onward = script::go_on_to(next);
        let done = Done::keep(&self.app, self.session.as_ref(), sentence)?;
        for cookie in [Some(done), cookie].into_iter().flatten() {
            onward.add_cookie(&cookie).map_err(Error::internal)?;
        }
        Ok(onward)
    }

    /// What this browser asked for.
    pub fn pending_requests(&self) -> PendingRequests {
        PendingRequests::of(&self.req, &self.app)
    }

    /// The accounts that know this browser.
    pub fn known(&self) -> Known {
        Known::of(&self.req, &self.app)
    }

    /// Who makes the request, for the account's owner to recognise.
    pub fn client(&self) -> Client {
        client::of(&self.req, &self.app.config)
    }

    /// What somebody is about to sign in on here.
    pub fn device(&self, shared: bool) -> Device {
        Device {
            client: self.client(),
            known: self.known().accounts().to_vec(),
            // One that is not proven may be somebody else's: no sign-in ends it.
            replaced: self.token_hash().filter(|_| !self.is_not_proven()),
            holder: match shared {
                true => Holder::SharedBrowser,
                false => Holder::Browser,
            },
        }
    }

    /// Does something in one transaction.
    pub async fn act<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx, &App) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Rejection> {
        act(&self.app, work).await
    }

    /// What actix-session carries for this browser.
    pub fn carried(&self) -> &Carried {
        &self.carried
    }

    /// The session token this browser brings, living or not, as its hash.
    pub fn token_hash(&self) -> Option<TokenHash> {
        self.token.as_ref().map(Token::hash)
    }

    /// Hands the browser a new token of this session, and invites it to bind the session to its device; the token of a
    /// shared computer goes when the browser is closed.
    pub fn hand_over(&self, token: &Token, session: &Session) -> Result<(), Rejection> {
        self.replace_token(token, session)?;
        bound_session::invite(&self.req, &self.app, session)?;
        Ok(())
    }

    fn replace_token(&self, token: &Token, session: &Session) -> Result<(), Rejection> {
        session_cookie::hand_over(&self.carried, token)?;
        gate_cookie::hand_over(&self.req, &self.app, session, &token.hash())?;
        if session.shared {
            self.req.extensions_mut().insert(EndsWithBrowser);
        }
        Ok(())
    }

    /// Hands over the cookies of a session that has just begun, and goes on to where the visitor wanted. A shared
    /// computer comes to know nobody.
    pub fn welcome(&self, begun: &NewSession, next: &str) -> Result<HttpResponse, Rejection> {
        self.welcome_with(begun, see_other(next).finish())
    }

    /// The same with another answer than a redirect.
    pub fn welcome_with(
        &self,
        begun: &NewSession,
        mut onward: HttpResponse,
    ) -> Result<HttpResponse, Rejection> {
        self.hand_over(&begun.token, &begun.session)?;
        if !begun.session.shared {
            let known = self.known().with(begun.known.clone(), &self.app)?;
            onward.add_cookie(&known).map_err(Error::internal)?;
        }
        Ok(onward)
    }

    /// Goes home without a session, and without what the browser keeps of the pages it saw.
    pub fn leave(&self, sentence: &'static str) -> Result<HttpResponse, Rejection> {
        self.leave_for("/", sentence)
    }

    /// The same, to another page.
    pub fn leave_for(&self, next: &str, sentence: &'static str) -> Result<HttpResponse, Rejection> {
        session_cookie::take_back(&self.carried);
        gate_cookie::take_back(&self.req, &self.app);
        let forgotten = Interrupted::forget(&self.req, &self.app)?;
        let mut onward = self.done_with(sentence, next, forgotten)?;
        if let Some(bound) = bound_session::take_back(&self.req, &self.app) {
            onward.add_cookie(&bound).map_err(Error::internal)?;
        }
        // Not "cookies": that would take those of sibling hosts too.
        onward.headers_mut().insert(
            HeaderName::from_static("clear-site-data"),
            HeaderValue::from_static(r#""cache", "storage""#),
        );
        Ok(onward)
    }

    /// Whether this browser brings a session that it could not show to be on its device: there is none for it, then.
    pub fn is_not_proven(&self) -> bool {
        matches!(self.device_proof, DeviceProof::Missing)
    }

    /// Whoever has a bound session's cookie and not its device is nobody here. Their request is given a way to prove
    /// itself, if there is one left, and ends nothing.
    async fn turn_away_if_not_proven(&mut self) -> Result<(), Rejection> {
        let Some(session) = self
            .session
            .take_if(|_| matches!(self.device_proof, DeviceProof::Missing))
        else {
            return Ok(());
        };
        let another_way = bound_session::another_way(&self.req, &self.app, self.is_click());
        if matches!(another_way, Some(Rejection::LoadAgain)) {
            return Err(Rejection::LoadAgain);
        }
        self.note_not_proven(session).await?;
        match another_way {
            Some(another_way) => Err(another_way),
            None => Ok(()),
        }
    }

    async fn note_not_proven(&self, session: Session) -> Result<(), Rejection> {
        let client = self.client();
        let (asked_about, caller) = (session.clone(), client.clone());
        let look = move |tx: &mut Tx| bind_session::is_noteworthy(tx, &asked_about, &caller);
        match self.app.read(look).await? {
            true => {
                self.act(move |tx, app| bind_session::note_not_proven(tx, app, &session, &client))
                    .await
            }
            false => Ok(()),
        }
    }

    /// The session's rights were changed from elsewhere: here it gets its new token. Of two requests at once
    /// one does that. It is invited to nothing, for whoever comes first has shown a cookie and no more: a copy of it must
    /// not be bound to a thief's device.
    async fn renew_if_wanted(&mut self) -> Result<(), Rejection> {
        let wanted = self.session.as_ref().filter(|found| found.wants_new_token);
        let wanted = wanted.and_then(|it| Some((it.clone(), self.token_hash()?)));
        let Some((session, old)) = wanted else {
            return Ok(());
        };
        let renewed = self.app.transaction(move |tx| sessions::renew(tx, &old));
        if let Some(token) = renewed.await? {
            self.replace_token(&token, &session)?;
            self.token = Some(token);
        }
        Ok(())
    }

    /// Whether a person clicked: a GET that navigates a whole tab, from any site (webmail is another
    /// site). Frames, fetches, prefetches and HEAD are not clicks.
    pub fn is_click(&self) -> bool {
        let asked_by_head = self.req.extensions().contains::<AskedByHead>();
        !asked_by_head && navigates(self.req.headers())
    }
}

/// Writes down, seldom and beside the answer, that the session is in use. Once at a time: where its row is held, a page with
/// sixty pictures would have every connection wait for it.
pub fn note_seen(app: &Data<App>, session: &Session, client: impl FnOnce() -> Client) {
    if !session.wants_touch(app.clock.now(), &app.config) {
        return;
    }
    let Some(note) = app.notes_under_way.begin(session) else {
        return;
    };
    let (app, session, client) = (app.clone(), session.clone(), client());
    actix_web::rt::spawn(async move {
        let _note = note;
        let seen = app.transaction(move |tx| sessions::touch(tx, &session, &client));
        if let Err(error) = seen.await {
            tracing::warn!(%error, event = "session_use_lost", "a session's use was not written down");
        }
    });
}

fn navigates(headers: &HeaderMap) -> bool {
    let says = |name: &str| headers.get(name).map(|value| value.as_bytes());
    let fetched = match (says("sec-fetch-mode"), says("sec-fetch-dest")) {
        (None, None) => false,
        (mode, dest) => mode != Some(b"navigate") || dest != Some(b"document"),
    };
    let prefetched = ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        headers.get_all(*name).any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            value.windows(8).any(|word| word == b"prefetch")
                || value.windows(9).any(|word| word == b"prerender")
        })
    });
    !fetched && !prefetched
}

/// Somebody is signed in; a stranger is sent to sign in first, and comes back.
pub struct SignedIn {
    pub visitor: Visitor,
    pub session: Session,
}

impl FromRequest for SignedIn {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let visitor = Visitor::from_request(req, payload);
        Box::pin(async move {
            let visitor = visitor.await?;
            match visitor.session.clone() {
                Some(session) => Ok(Self { visitor, session }),
                None if visitor.is_not_proven() && bound_session::says_not_now(&visitor.req) => {
                    Err(Rejection::NotProvenNow)
                }
                None => Err(Rejection::SignInFirst {
                    next: way_back(&visitor.req),
                }),
            }
        })
    }
}

impl SignedIn {
    /// Does something in one transaction, which holds the account and looks once more whether the session lives:
    /// one that was ended a moment ago permits nothing.
    pub async fn act<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx, &App, &HeldSession) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Rejection> {
        let next = way_back(&self.visitor.req);
        let Some(token) = self.visitor.token_hash() else {
            return Err(Rejection::SignInFirst { next });
        };
        let user_id = self.session.user_id.clone();
        let done = self.visitor.act(move |tx, app| {
            let held = sessions::hold(tx, &app.config, &user_id, &token)?;
            held.map(|held| work(tx, app, &held)).transpose()
        });
        done.await?.ok_or(Rejection::SignInFirst { next })
    }
}

/// A page can be gone back to; what was sent to a route that only takes POST cannot.
pub(super) fn way_back(req: &HttpRequest) -> String {
    let page = req.uri().path_and_query();
    match page {
        Some(page) if req.method() == Method::GET => page.as_str().to_owned(),
        _ => Next::DEFAULT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn only_a_navigation_of_a_whole_tab_is_a_click() {
        let clicks = |headers: &[(&'static str, &'static str)]| {
            let mut req = TestRequest::default();
            for header in headers {
                req = req.append_header(*header);
            }
            navigates(req.to_http_request().headers())
        };
        let navigate = ("sec-fetch-mode", "navigate");
        let document = ("sec-fetch-dest", "document");
        assert!(clicks(&[]));
        assert!(clicks(&[navigate, document]));
        assert!(clicks(&[
            navigate,
            document,
            ("sec-fetch-site", "cross-site")
        ]));
        assert!(!clicks(&[navigate]));
        assert!(!clicks(&[navigate, ("sec-fetch-dest", "iframe")]));
        assert!(!clicks(&[
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-dest", "empty")
        ]));
        assert!(!clicks(&[
            navigate,
            document,
            ("sec-purpose", "prefetch;prerender")
        ]));
        assert!(!clicks(&[navigate, document, ("purpose", "Prefetch")]));
        assert!(!clicks(&[("x-moz", "prefetch")]));
    }
}
