//! The cookies beside the session: what this browser asked for, which accounts know it, the link it is
//! looking at, a form that was interrupted, what was just done, what nobody wants to be asked again, and where it was
//! sent back to.
//!
//! All are sealed under keys of their own, so that a visitor can neither read nor make one. A cookie that
//! does not open is as good as none. With `https` their names carry `__Host-`: no sibling host can plant
//! one.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::accounts::email_address;
use crate::accounts::links::Purpose;
use crate::accounts::sessions::Session;
use crate::accounts::signed_links::{self, SignedToken};
use crate::accounts::users::KnownAccount;
use crate::app::App;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::keys::KeyPurpose;
use crate::random::Token;
use crate::web::cookie_header::CookieHeader;

/// The name of a cookie of ours: `doorpost`, with what `suffix` adds.
pub fn name(config: &Config, suffix: &str) -> String {
    let prefix = if config.server.public_url.is_https() {
        "__Host-"
    } else {
        ""
    };
    format!("{prefix}doorpost{suffix}")
}

/// A kind of cookie: its name's end, its key, its age.
trait Sealed: Serialize + DeserializeOwned + Default {
    const SUFFIX: &'static str;
    const KEY: KeyPurpose;
    /// In seconds.
    const MAX_AGE: i64;

    /// Without its oldest part, if it has one to spare.
    fn without_oldest(self) -> Option<Self>;

    /// As the browser gets it.
    fn into_cookie(self, app: &App) -> Result<Cookie<'static>> {
        write(app, &self)
    }
}

fn read<T: Sealed>(req: &HttpRequest, app: &App) -> T {
    let cookie = req.cookie(&name(&app.config, T::SUFFIX));
    cookie
        .and_then(|cookie| open(cookie.value(), app))
        .unwrap_or_default()
}

fn open<T: Sealed>(value: &str, app: &App) -> Option<T> {
    let sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
    let plain = app.keys.open(T::KEY, &sealed)?;
    serde_json::from_slice(&plain).ok()
}

fn write<T: Sealed>(app: &App, value: &T) -> Result<Cookie<'static>> {
    let plain = serde_json::to_vec(value).map_err(Error::internal)?;
    let sealed = app.keys.seal(T::KEY, &plain)?;
    let cookie = Cookie::build(name(&app.config, T::SUFFIX), URL_SAFE_NO_PAD.encode(sealed));
    Ok(cookie
        .path("/")
        .http_only(true)
        .secure(app.config.server.public_url.is_https())
        .same_site(SameSite::Lax)
        .max_age(CookieAge::seconds(T::MAX_AGE))
        .finish())
}

/// The next cookie to be made lighter, of a browser that carries more than it should, and what is left of it: what
/// its visitor misses least goes first.
pub fn lighten(carried: &CookieHeader<'_>, app: &App) -> Option<Cookie<'static>> {
    lighter::<PendingRequests>(carried, app)
        .or_else(|| lighter::<LookedAt>(carried, app))
        .or_else(|| lighter::<Known>(carried, app))
        .or_else(|| lighter::<Interrupted>(carried, app))
        .or_else(|| lighter::<Done>(carried, app))
        .or_else(|| lighter::<NotNow>(carried, app))
}

fn lighter<T: Sealed>(carried: &CookieHeader<'_>, app: &App) -> Option<Cookie<'static>> {
    let value = carried.get(&name(&app.config, T::SUFFIX))?;
    let left: T = open::<T>(value, app)?.without_oldest()?;
    left.into_cookie(app).ok()
}

/// What this browser asked for: its last three requests for mail, newest first.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct PendingRequests(Vec<PendingRequest>);

/// A request for mail, as the browser that made it remembers it. The `next` lives here and never in a mail.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingRequest {
    pub id: String,
    pub email: String,
    /// The form that asked, which can ask again.
    pub route: String,
    pub next: Option<String>,
    pub shared: bool,
    pub at: Timestamp,
    pub again_at: Timestamp,
    /// The link that answered it was used, and signed nobody in: what comes next is to sign in.
    #[serde(default)]
    pub done: bool,
    #[serde(default)]
    pub code: CodeTaken,
}

/// Where the code of the message is taken, if it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CodeTaken {
    /// In this browser.
    #[default]
    Here,
    /// Where somebody asked a moment before this browser did, whose request was then answered by no message.
    Elsewhere,
    /// Nowhere any more.
    Nowhere,
}

impl PendingRequest {
    /// A request that is made now. The message that answers it is on its way.
    pub fn new(id: String, email: String, route: &str, now: Timestamp) -> Self {
        Self {
            id,
            email,
            route: route.to_owned(),
            next: None,
            shared: false,
            at: now,
            again_at: now,
            done: false,
            code: CodeTaken::Here,
        }
    }

    /// Whether the mail it asks for may have a code: one that sets a password has none.
    pub fn has_code(&self) -> bool {
        Some(self.route.as_str()) != Purpose::ResetPassword.asks_again_at()
    }

    /// The address, as people write it.
    pub fn shown_email(&self) -> String {
        email_address::shown(&self.email)
    }

    /// Whether the same mail would answer both.
    fn asks_the_same(&self, other: &Self) -> bool {
        self.email == other.email && self.has_code() == other.has_code()
    }

    /// Whether this one takes the other's place.
    fn replaces(&self, other: &Self) -> bool {
        let went_unanswered = other.code == CodeTaken::Elsewhere;
        self.id == other.id || (went_unanswered && self.asks_the_same(other))
    }
}

impl Sealed for PendingRequests {
    const SUFFIX: &'static str = "_asked";
    const KEY: KeyPurpose = KeyPurpose::AskedCookie;
    const MAX_AGE: i64 = 2 * 24 * 60 * 60;

    fn without_oldest(mut self) -> Option<Self> {
        let oldest = self.0.pop();
        oldest.filter(|_| !self.0.is_empty()).map(|_| self)
    }

    /// On a shared computer it goes when the browser is closed, for it names an address.
    fn into_cookie(self, app: &App) -> Result<Cookie<'static>> {
        let mut cookie = write(app, &self)?;
        if self.0.iter().any(|request| request.shared) {
            cookie.set_max_age(None);
        }
        Ok(cookie)
    }
}

impl PendingRequests {
    /// What this browser brings.
    pub fn of(req: &HttpRequest, app: &App) -> Self {
        read(req, app)
    }

    /// The newest request: the only one whose code is taken.
    pub fn newest(&self) -> Option<&PendingRequest> {
        self.0.first()
    }

    /// The request with this id, if this browser made it.
    pub fn find(&self, id: &str) -> Option<&PendingRequest> {
        self.0.iter().find(|request| request.id == id)
    }

    /// The newest request, if a code is taken for it here.
    pub fn newest_with_code(&self) -> Option<&PendingRequest> {
        self.newest()
            .filter(|request| request.has_code() && request.code == CodeTaken::Here)
    }

    /// The ids of all of them.
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(|request| request.id.clone()).collect()
    }

    /// Whether a newer message went out than the one that answered this request: it was asked for here, or a moment
    /// before this browser asked.
    pub fn has_newer_message(&self, request: &PendingRequest) -> bool {
        self.0
            .iter()
            .take_while(|newer| newer.id != request.id)
            .any(|newer| newer.asks_the_same(request))
    }

    /// The cookie in which this request is done: the link that answered it was used, and signed nobody in.
    pub fn with_done(&self, request: PendingRequest, app: &App) -> Result<Cookie<'static>> {
        let done = PendingRequest {
            done: true,
            ..request
        };
        self.with(done, app)
    }

    /// The cookie with one more request in it; one with the same id takes the older one's place, and that of one which
    /// no message answered.
    pub fn with(&self, request: PendingRequest, app: &App) -> Result<Cookie<'static>> {
        let older = self
            .0
            .iter()
            .filter(|older| !request.replaces(older))
            .cloned();
        let requests: Vec<PendingRequest> = std::iter::once(request.clone())
            .chain(older)
            .take(3)
            .collect();
        Self(requests).into_cookie(app)
    }
}

/// The accounts that signed in here fully; one year.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Known(Vec<KnownAccount>);

impl Sealed for Known {
    const SUFFIX: &'static str = "_known";
    const KEY: KeyPurpose = KeyPurpose::KnownCookie;
    const MAX_AGE: i64 = 365 * 24 * 60 * 60;

    fn without_oldest(mut self) -> Option<Self> {
        let oldest = self.0.pop();
        oldest.filter(|_| !self.0.is_empty()).map(|_| self)
    }
}

impl Known {
    /// What this browser brings, as far as it is not older than a year whatever the browser did.
    pub fn of(req: &HttpRequest, app: &App) -> Self {
        let Self(mut accounts) = read(req, app);
        let oldest = app.clock.now() - Self::MAX_AGE * 1000;
        accounts.retain(|known| known.since >= oldest);
        Self(accounts)
    }

    /// The accounts that know this browser, to be compared with what they say themselves.
    pub fn accounts(&self) -> &[KnownAccount] {
        &self.0
    }

    /// The cookie of a browser in which this account has just signed in.
    pub fn with(&self, signed_in: KnownAccount, app: &App) -> Result<Cookie<'static>> {
        let user_id = signed_in.user_id.clone();
        let others = self.0.iter().filter(|known| known.user_id != user_id);
        let accounts = std::iter::once(signed_in)
            .chain(others.cloned())
            .take(8)
            .collect();
        write(app, &Self(accounts))
    }
}

/// The links this browser is looking at, the last of each purpose. They carry a token from the first look,
/// whose address holds it, to the page with the form; that of a link in ordinary mail to the form that signs in.
#[derive(Default, Serialize, Deserialize)]
pub struct LookedAt(BTreeMap<String, LookedAtToken>);

#[derive(Serialize, Deserialize)]
struct LookedAtToken {
    token: String,
    until: Timestamp,
}

impl Sealed for LookedAt {
    const SUFFIX: &'static str = "_link";
    const KEY: KeyPurpose = KeyPurpose::LinkCookie;
    const MAX_AGE: i64 = 10 * 60;

    fn without_oldest(mut self) -> Option<Self> {
        let oldest = self.0.iter().min_by_key(|(_, looked)| looked.until);
        let (oldest, _) = oldest.filter(|_| self.0.len() > 1)?;
        let oldest = oldest.clone();
        self.0.remove(&oldest);
        Some(self)
    }
}

impl LookedAt {
    /// What this browser brings.
    pub fn of(req: &HttpRequest, app: &App) -> Self {
        read(req, app)
    }

    /// The cookie with a look at this link in it.
    pub fn with(self, app: &App, purpose: Purpose, token: &Token) -> Result<Cookie<'static>> {
        self.with_any(app, purpose.name(), token.reveal())
    }

    /// The cookie with a look at this link in ordinary mail in it.
    pub fn with_notification(self, app: &App, token: &SignedToken) -> Result<Cookie<'static>> {
        let purpose = signed_links::Purpose::Notification;
        self.with_any(app, purpose.name(), token.reveal())
    }

    fn with_any(mut self, app: &App, purpose: &str, token: &str) -> Result<Cookie<'static>> {
        let looked = LookedAtToken {
            token: token.to_owned(),
            until: app.clock.now() + Self::MAX_AGE * 1000,
        };
        self.0.insert(purpose.to_owned(), looked);
        write(app, &self)
    }

    /// The token of the link of this purpose that this browser looked at last.
    pub fn token(&self, app: &App, purpose: Purpose) -> Option<Token> {
        self.any_token(app, purpose.name()).and_then(Token::parse)
    }

    /// That of the link in ordinary mail that this browser followed last.
    pub fn notification(&self, app: &App) -> Option<SignedToken> {
        self.any_token(app, signed_links::Purpose::Notification.name())
            .and_then(SignedToken::parse)
    }

    fn any_token(&self, app: &App, purpose: &str) -> Option<&str> {
        let looked = self.0.get(purpose)?;
        (looked.until > app.clock.now()).then_some(&*looked.token)
    }
}

/// A form behind the gate that was sent too late: what was typed in it, until the gate is passed. It belongs
/// to one account, and never holds a password.
#[derive(Default, Serialize, Deserialize)]
pub struct Interrupted {
    user_id: String,
    page: String,
    fields: BTreeMap<String, String>,
    until: Timestamp,
}

impl Sealed for Interrupted {
    const SUFFIX: &'static str = "_form";
    const KEY: KeyPurpose = KeyPurpose::FormCookie;
    const MAX_AGE: i64 = 60 * 60;

    fn without_oldest(self) -> Option<Self> {
        Some(Self::default())
    }

    /// What holds nothing is taken back.
    fn into_cookie(self, app: &App) -> Result<Cookie<'static>> {
        let mut cookie = write(app, &self)?;
        if self.fields.is_empty() {
            cookie.make_removal();
        }
        Ok(cookie)
    }
}

/// A cookie that is longer keeps nothing: nobody types so much here by hand.
const LONGEST_FORM: usize = 2 * 1024;

impl Interrupted {
    /// What this browser brings for this page, if it was typed by this account, and lately.
    pub fn of(req: &HttpRequest, app: &App, user_id: &str, page: &str) -> BTreeMap<String, String> {
        let brought: Self = read(req, app);
        let is_meant =
            brought.user_id == user_id && brought.page == page && brought.until > app.clock.now();
        if is_meant {
            brought.fields
        } else {
            BTreeMap::new()
        }
    }

    /// The cookie with what this account typed on this page. It ends with a session that ends with the
    /// browser.
    pub fn keep(
        app: &App,
        session: &Session,
        page: &str,
        fields: BTreeMap<String, String>,
    ) -> Result<Option<Cookie<'static>>> {
        let typed = Self {
            user_id: session.user_id.clone(),
            page: page.to_owned(),
            fields,
            until: app.clock.now() + Self::MAX_AGE * 1000,
        };
        let mut cookie = write(app, &typed)?;
        if session.shared {
            cookie.set_max_age(None);
        }
        Ok((cookie.value().len() <= LONGEST_FORM).then_some(cookie))
    }

    /// The cookie that takes it back, if this browser has one: the form has arrived.
    pub fn forget(req: &HttpRequest, app: &App) -> Result<Option<Cookie<'static>>> {
        if req.cookie(&name(&app.config, Self::SUFFIX)).is_none() {
            return Ok(None);
        }
        Self::default().into_cookie(app).map(Some)
    }
}

/// What was just done, in one sentence for the page that comes next. It names nobody, is gone after a minute whatever
/// happens, and is shown to nobody else who signs in here.
#[derive(Default, Serialize, Deserialize)]
pub struct Done {
    sentence: String,
    /// The session that did it, if one did.
    session_id: Option<String>,
    until: Timestamp,
}

impl Sealed for Done {
    const SUFFIX: &'static str = "_done";
    const KEY: KeyPurpose = KeyPurpose::DoneCookie;
    const MAX_AGE: i64 = 60;

    fn without_oldest(self) -> Option<Self> {
        Some(Self::default())
    }

    /// What says nothing is taken back.
    fn into_cookie(self, app: &App) -> Result<Cookie<'static>> {
        let mut cookie = write(app, &self)?;
        if self.sentence.is_empty() {
            cookie.make_removal();
        }
        Ok(cookie)
    }
}

impl Done {
    /// Whether this browser brings a sentence, for whomever it is.
    pub fn is_brought(req: &HttpRequest, app: &App) -> bool {
        req.cookie(&name(&app.config, Self::SUFFIX)).is_some()
    }

    /// The sentence that this browser brings for this session, or for nobody: what was done may have ended the
    /// session that did it.
    pub fn of(req: &HttpRequest, app: &App, session: Option<&Session>) -> Option<String> {
        let brought: Self = read(req, app);
        let is_meant =
            session.is_none_or(|session| brought.session_id.as_ref() == Some(&session.id));
        (is_meant && brought.until > app.clock.now()).then_some(brought.sentence)
    }

    /// The cookie with what was done in this session, or by nobody who is signed in. The words are ours, so that nothing
    /// anybody typed is in them.
    pub fn keep(
        app: &App,
        session: Option<&Session>,
        sentence: &'static str,
    ) -> Result<Cookie<'static>> {
        let done = Self {
            sentence: sentence.to_owned(),
            session_id: session.map(|session| session.id.clone()),
            until: app.clock.now() + Self::MAX_AGE * 1000,
        };
        let mut cookie = write(app, &done)?;
        if session.is_some_and(|session| session.shared) {
            cookie.set_max_age(None);
        }
        Ok(cookie)
    }

    /// The cookie that takes it back: it was shown.
    pub fn forget(app: &App) -> Result<Cookie<'static>> {
        Self::default().into_cookie(app)
    }
}

/// The accounts that were offered a passkey in this browser and said "not now": for a month none is offered them here.
#[derive(Default, Serialize, Deserialize)]
pub struct NotNow(Vec<SaidNotNow>);

#[derive(Clone, Serialize, Deserialize)]
struct SaidNotNow {
    user_id: String,
    until: Timestamp,
}

impl Sealed for NotNow {
    const SUFFIX: &'static str = "_not_now";
    const KEY: KeyPurpose = KeyPurpose::NotNowCookie;
    const MAX_AGE: i64 = 30 * 24 * 60 * 60;

    fn without_oldest(mut self) -> Option<Self> {
        let oldest = self.0.pop();
        oldest.filter(|_| !self.0.is_empty()).map(|_| self)
    }
}

impl NotNow {
    /// What this browser brings, as far as it is not over whatever the browser did.
    pub fn of(req: &HttpRequest, app: &App) -> Self {
        let Self(mut said) = read(req, app);
        let now = app.clock.now();
        said.retain(|said| said.until > now);
        Self(said)
    }

    /// Whether this account said so.
    pub fn was_said_by(&self, user_id: &str) -> bool {
        self.0.iter().any(|said| said.user_id == user_id)
    }

    /// The cookie of a browser in which this account has just said so.
    pub fn with(self, user_id: &str, app: &App) -> Result<Cookie<'static>> {
        let this = SaidNotNow {
            user_id: user_id.to_owned(),
            until: app.clock.now() + Self::MAX_AGE * 1000,
        };
        let others = self.0.into_iter().filter(|said| said.user_id != user_id);
        write(
            app,
            &Self(std::iter::once(this).chain(others).take(4).collect()),
        )
    }
}

/// To which host this browser was sent back lately, and how often in short order.
#[derive(Default, Serialize, Deserialize)]
pub struct Returned {
    host: String,
    times: u32,
    until: Timestamp,
}

impl Sealed for Returned {
    const SUFFIX: &'static str = "_returned";
    const KEY: KeyPurpose = KeyPurpose::ReturnedCookie;
    const MAX_AGE: i64 = 10;

    fn without_oldest(self) -> Option<Self> {
        None
    }
}

impl Returned {
    /// What this browser brings, with one more time that it is sent to this host: within ten seconds of the last time, or
    /// the first of all.
    pub fn once_more(req: &HttpRequest, app: &App, host: &str) -> Self {
        let before: Self = read(req, app);
        let now = app.clock.now();
        let goes_on = before.host == host && now < before.until;
        Self {
            host: host.to_owned(),
            times: if goes_on { before.times + 1 } else { 1 },
            until: now + Self::MAX_AGE * 1000,
        }
    }

    /// How often it was.
    pub fn times(&self) -> u32 {
        self.times
    }

    /// The cookie that says so.
    pub fn keep(&self, app: &App) -> Result<Cookie<'static>> {
        write(app, self)
    }
}
