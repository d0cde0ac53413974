//! The way a mailed link takes, whatever it is for.
//!
//! Looking changes nothing, for whoever looks may be a mail scanner. The first look carries the token in
//! its address: it is answered with a redirect to the same page without it, and the token goes along in a
//! sealed cookie and from there into the page's form, so that two tabs with two links do not mix. Only the
//! form's POST uses a link up; and in a browser that did not ask for it, only together with the address
//! the link was sent to.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use serde::Deserialize;

use crate::accounts::email_address::EmailAddress;
use crate::accounts::limits::{self, Network, Verdict};
use crate::accounts::links::{self, AddressTried, Consumed, Link, Look, Purpose};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::random::Token;
use crate::web::form;
use crate::web::next::Next;
use crate::web::page::{Frame, confidential, page_with, see_other};
use crate::web::problem::Stop;
use crate::web::sealed_cookies::{Ask, LookedAt};
use crate::web::visit::Visit;

/// A live link, as seen from this browser.
pub struct Seen {
    pub token: Token,
    /// This browser's ask that the link answers; `None` anywhere else.
    pub asked: Option<Ask>,
    /// The address of somebody else who is signed in in this browser.
    pub somebody_else: Option<String>,
}

/// What a GET on a link's route came to.
pub enum Looked {
    /// The token is in the address, and the link is live.
    InAddress(Seen),
    /// The address is clean: the page with the form.
    OnPage(Seen),
    /// There is nothing to go on with; this is the answer.
    Answered(HttpResponse),
}

/// Looks at the link a visitor came with.
pub async fn look(visit: &Visit, purpose: Purpose) -> Result<Looked, Stop> {
    let query = form::pairs(visit.req.query_string().as_bytes())?;
    let Some(text) = query.get("token") else {
        return look_on_page(visit, purpose).await;
    };
    Ok(match find(visit, Token::parse(text), purpose).await? {
        Found::Live(seen) => Looked::InAddress(seen),
        Found::UsedByMe { next } => Looked::Answered(onward(&next)),
        Found::Dead => Looked::Answered(gone_counted(visit, purpose).await?),
    })
}

async fn look_on_page(visit: &Visit, purpose: Purpose) -> Result<Looked, Stop> {
    let Some(token) = LookedAt::of(&visit.req, &visit.app).token(&visit.app, purpose) else {
        return Ok(Looked::Answered(no_cookie(visit)?));
    };
    Ok(match find(visit, Some(token), purpose).await? {
        Found::Live(seen) => Looked::OnPage(seen),
        Found::UsedByMe { next } => Looked::Answered(onward(&next)),
        // It was live when the cookie was made, so nobody is guessing.
        Found::Dead => Looked::Answered(gone(visit, purpose)?),
    })
}

fn onward(next: &str) -> HttpResponse {
    confidential(see_other(next).finish())
}

/// Takes the token out of the address bar.
pub fn to_clean_page(visit: &Visit, purpose: Purpose, seen: &Seen) -> Result<HttpResponse, Stop> {
    let cookie = LookedAt::of(&visit.req, &visit.app).with(&visit.app, purpose, &seen.token)?;
    let redirect = see_other(purpose.route()).cookie(cookie).finish();
    Ok(confidential(redirect))
}

enum Found {
    Live(Seen),
    UsedByMe { next: String },
    Dead,
}

async fn find(visit: &Visit, token: Option<Token>, purpose: Purpose) -> Result<Found, Stop> {
    let Some(token) = token else {
        return Ok(Found::Dead);
    };
    let looking = token.clone();
    let look = visit
        .app
        .read(move |tx| links::look(tx, &looking, purpose))
        .await?;
    Ok(match look {
        Look::Live(link) => Found::Live(seen(visit, token, &link)),
        Look::UsedBy { user_id, ask_id } if is_me(visit, &user_id) => Found::UsedByMe {
            next: next_of(ask_of(visit, ask_id.as_deref()).as_ref()),
        },
        Look::UsedBy { .. } | Look::Dead => Found::Dead,
    })
}

fn seen(visit: &Visit, token: Token, link: &Link) -> Seen {
    let here = visit.session.as_ref().map(|session| &session.email);
    Seen {
        token,
        asked: ask_of(visit, link.ask_id.as_deref()),
        somebody_else: here.filter(|email| **email != link.email).cloned(),
    }
}

fn is_me(visit: &Visit, user_id: &str) -> bool {
    let session = visit.session.as_ref();
    session.is_some_and(|session| session.user_id == user_id)
}

fn ask_of(visit: &Visit, ask_id: Option<&str>) -> Option<Ask> {
    visit.asked().find(ask_id?).cloned()
}

/// Where a visitor goes who asked here, or came from elsewhere.
pub fn next_of(ask: Option<&Ask>) -> String {
    ask.and_then(|ask| ask.next.clone())
        .unwrap_or_else(|| Next::DEFAULT.to_owned())
}

/// What the form on a link's page sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct LinkForm {
    token: String,
    email: String,
    /// "yes" where somebody else is signed in and the visitor chose to go on.
    switch: String,
}

/// What the page with the form shows.
pub struct LinkView {
    pub token: String,
    pub ask_address: bool,
    pub email: String,
    pub error: Option<&'static str>,
    pub signed_in_as: Option<String>,
}

impl LinkView {
    /// The page as it is first seen.
    pub fn of(seen: &Seen) -> Self {
        Self {
            token: seen.token.reveal().to_owned(),
            ask_address: seen.asked.is_none(),
            email: String::new(),
            error: None,
            signed_in_as: seen.somebody_else.clone(),
        }
    }

    fn again(seen: &Seen, email: String, error: Option<&'static str>) -> Self {
        Self {
            email,
            error,
            ..Self::of(seen)
        }
    }
}

/// What a POST on a link's route came to.
pub enum Submitted<T> {
    /// The link is used up, and this is what its effect gave.
    Done { effect: T, next: String },
    /// The form again, with what is missing.
    Again(LinkView),
    /// There is nothing to go on with; this is the answer.
    Answered(HttpResponse),
}

const NO_ADDRESS: &str = "Type the whole address the link was sent to, like name@example.org.";
const WRONG_ADDRESS: &str = "The link was not sent to this address. Type the one it was sent to; the third wrong one ends it.";

/// Uses the link up, if this visitor may, and has its effect in the same transaction.
pub async fn submit<T: Send + 'static>(
    visit: &Visit,
    form: LinkForm,
    purpose: Purpose,
    effect: impl FnOnce(&mut Tx, &Consumed, Option<&Ask>) -> Result<Option<T>> + Send + 'static,
) -> Result<Submitted<T>, Stop> {
    let seen = match find(visit, Token::parse(&form.token), purpose).await? {
        Found::Live(seen) => seen,
        Found::UsedByMe { next } => return Ok(Submitted::Answered(onward(&next))),
        Found::Dead => return Ok(Submitted::Answered(gone_counted(visit, purpose).await?)),
    };
    if seen.somebody_else.is_some() && form.switch != "yes" {
        return Ok(Submitted::Again(LinkView::again(&seen, form.email, None)));
    }
    let typed = match (&seen.asked, EmailAddress::parse(&form.email)) {
        (Some(_), _) => None,
        (None, Ok(typed)) => Some(typed),
        (None, Err(_)) => {
            let again = LinkView::again(&seen, form.email, Some(NO_ADDRESS));
            return Ok(Submitted::Again(again));
        }
    };
    let (token, asked, network) = (seen.token.clone(), seen.asked.clone(), visit.network());
    let config = visit.app.config.clone();
    let outcome = visit
        .app
        .transaction(
            move |tx| match consume(tx, &token, purpose, typed.as_ref())? {
                AddressTried::Right(proof) => {
                    Ok(effect(tx, &proof, asked.as_ref())?.map_or(Outcome::Dead, Outcome::Done))
                }
                AddressTried::Wrong { ended: false } => {
                    guessed(tx, &config, &network, Outcome::WrongAddress)
                }
                AddressTried::Wrong { ended: true } | AddressTried::Dead => {
                    guessed(tx, &config, &network, Outcome::Dead)
                }
            },
        )
        .await?;
    match outcome {
        Outcome::Done(effect) => Ok(Submitted::Done {
            effect,
            next: next_of(seen.asked.as_ref()),
        }),
        Outcome::WrongAddress => Ok(Submitted::Again(LinkView::again(
            &seen,
            form.email,
            Some(WRONG_ADDRESS),
        ))),
        Outcome::Dead => Ok(Submitted::Answered(gone(visit, purpose)?)),
        Outcome::TooMany { until } => Err(Stop::too_many(until, visit.now())),
    }
}

enum Outcome<T> {
    Done(T),
    WrongAddress,
    Dead,
    TooMany { until: Timestamp },
}

/// Where this browser asked, nobody needs to say where the link was sent.
fn consume(
    tx: &mut Tx,
    token: &Token,
    purpose: Purpose,
    typed: Option<&EmailAddress>,
) -> Result<AddressTried> {
    match typed {
        Some(typed) => links::consume_knowing_address(tx, token, purpose, typed),
        None => {
            Ok(links::consume(tx, token, purpose)?.map_or(AddressTried::Dead, AddressTried::Right))
        }
    }
}

/// Counts a guess; past the limit, that is what the visitor hears of.
fn guessed<T>(
    tx: &mut Tx,
    config: &Config,
    network: &Network,
    outcome: Outcome<T>,
) -> Result<Outcome<T>> {
    Ok(match limits::count_all(tx, config, &network.guessing())? {
        Verdict::Allowed { .. } => outcome,
        Verdict::Refused { until } => Outcome::TooMany { until },
    })
}

/// A token that is not live counts as a guess, and past the limit as too many of them.
async fn gone_counted(visit: &Visit, purpose: Purpose) -> Result<HttpResponse, Stop> {
    let (config, network) = (visit.app.config.clone(), visit.network());
    let verdict = visit
        .app
        .transaction(move |tx| limits::count_all(tx, &config, &network.guessing()))
        .await?;
    match verdict {
        Verdict::Allowed { .. } => gone(visit, purpose),
        Verdict::Refused { until } => Err(Stop::too_many(until, visit.now())),
    }
}

/// The page for a link that is used, expired, unknown, tampered with or meant for something else. It
/// depends on the route and on this browser alone, so that it tells nothing about the link.
pub fn gone(visit: &Visit, purpose: Purpose) -> Result<HttpResponse, Stop> {
    let asked = visit.asked();
    let newest = asked.newest();
    let page = GonePage {
        frame: visit.frame(),
        newer_sent: newest.is_some_and(|ask| asked.count_for(&ask.email) > 1),
        maybe_signed_in: visit.session.is_some(),
        route: purpose.asks_again_at(),
        asked: newest,
    };
    Ok(confidential(page_with(StatusCode::GONE, &page)?))
}

/// The clean page without the cookie that should have come along: most likely cookies are refused here.
fn no_cookie(visit: &Visit) -> Result<HttpResponse, Stop> {
    let page = NoCookiePage {
        frame: visit.frame(),
    };
    Ok(confidential(page_with(StatusCode::GONE, &page)?))
}

#[derive(Template)]
#[template(path = "link/gone.html")]
struct GonePage<'a> {
    frame: Frame,
    /// What this browser asked for last: the new link leads to the same place, on the same terms.
    asked: Option<&'a Ask>,
    route: &'static str,
    newer_sent: bool,
    maybe_signed_in: bool,
}

#[derive(Template)]
#[template(path = "link/no_cookie.html")]
struct NoCookiePage {
    frame: Frame,
}
