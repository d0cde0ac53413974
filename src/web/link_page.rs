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
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::accounts::email_address::{self, EmailAddress, NotAnAddress};
use crate::accounts::links::{self, Consumed, Link, Look, Purpose};
use crate::accounts::passwords::Refused;
use crate::actions::follow_link::{self, Followed, Outcome};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::random::Token;
use crate::web::field_error::FieldError;
use crate::web::next::Next;
use crate::web::page::{Frame, confidential, page_with, see_other};
use crate::web::rejection::Rejection;
use crate::web::sealed_cookies::{LookedAt, PendingRequest};
use crate::web::visitor::Visitor;

/// A live link, as seen from this browser.
pub struct Seen {
    pub token: Token,
    /// The address it was sent to.
    pub email: String,
    /// The request of this browser that the link answers; `None` anywhere else.
    pub asked: Option<PendingRequest>,
    /// Whether its address has to be typed: this is not the browser that asked.
    pub ask_address: bool,
    /// Whether somebody asked for it in a browser; nobody did for an invitation.
    pub was_asked_for: bool,
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
pub async fn look(visitor: &Visitor, purpose: Purpose) -> Result<Looked, Rejection> {
    let query = visitor.query()?;
    let Some(text) = query.get("token") else {
        return look_on_page(visitor, purpose).await;
    };
    Ok(match find(visitor, Token::parse(text), purpose).await? {
        Found::Live(seen) => Looked::InAddress(seen),
        Found::UsedByMe { next } => Looked::Answered(onward(&next)),
        Found::Dead { asked } => {
            Looked::Answered(gone_counted(visitor, purpose, asked.as_ref()).await?)
        }
    })
}

async fn look_on_page(visitor: &Visitor, purpose: Purpose) -> Result<Looked, Rejection> {
    let Some(token) = LookedAt::of(&visitor.req, &visitor.app).token(&visitor.app, purpose) else {
        return Ok(Looked::Answered(no_cookie(visitor)?));
    };
    Ok(match find(visitor, Some(token), purpose).await? {
        Found::Live(seen) => Looked::OnPage(seen),
        Found::UsedByMe { next } => Looked::Answered(onward(&next)),
        // It was live when the cookie was made, so nobody is guessing.
        Found::Dead { asked } => Looked::Answered(gone(visitor, purpose, asked.as_ref())?),
    })
}

fn onward(next: &str) -> HttpResponse {
    confidential(see_other(next).finish())
}

/// Takes the token out of the address bar.
pub fn to_clean_page(
    visitor: &Visitor,
    purpose: Purpose,
    seen: &Seen,
) -> Result<HttpResponse, Rejection> {
    let cookie =
        LookedAt::of(&visitor.req, &visitor.app).with(&visitor.app, purpose, &seen.token)?;
    let redirect = see_other(purpose.route()).cookie(cookie).finish();
    Ok(confidential(redirect))
}

enum Found {
    Live(Seen),
    UsedByMe {
        next: String,
    },
    /// The request of this browser that it answered, if it did.
    Dead {
        asked: Option<PendingRequest>,
    },
}

async fn find(
    visitor: &Visitor,
    token: Option<Token>,
    purpose: Purpose,
) -> Result<Found, Rejection> {
    let Some(token) = token else {
        return Ok(Found::Dead { asked: None });
    };
    let looking = token.clone();
    let look = visitor
        .app
        .read(move |tx| links::look(tx, &looking, purpose))
        .await?;
    Ok(match look {
        Look::Live(link) => Found::Live(seen(visitor, token, purpose, link)),
        Look::UsedBy {
            user_id,
            link_request_id,
        } if is_me(visitor, &user_id) => Found::UsedByMe {
            next: next_of(pending_request_of(visitor, link_request_id.as_deref()).as_ref()),
        },
        Look::UsedBy {
            link_request_id, ..
        }
        | Look::Dead { link_request_id } => Found::Dead {
            asked: pending_request_of(visitor, link_request_id.as_deref()),
        },
    })
}

fn seen(visitor: &Visitor, token: Token, purpose: Purpose, link: Link) -> Seen {
    let asked = pending_request_of(visitor, link.link_request_id.as_deref());
    Seen {
        token,
        // Nobody asks for an undo link in a browser: it goes to whoever reads the old mailbox.
        ask_address: purpose == Purpose::UndoChangeEmail
            || !(asked.is_some() || is_asking_session(visitor, &link)),
        asked,
        was_asked_for: link.link_request_id.is_some() || link.session_id.is_some(),
        somebody_else: somebody_else(visitor, &link),
        email: link.email,
    }
}

fn is_asking_session(visitor: &Visitor, link: &Link) -> bool {
    let here = visitor.session.as_ref().map(|session| &session.id);
    here.is_some() && here == link.session_id.as_ref()
}

/// A link of an account is known by the account, for its address may be another by now; one that makes an
/// account has only an address.
fn somebody_else(visitor: &Visitor, link: &Link) -> Option<String> {
    let here = visitor.session.as_ref()?;
    let is_me = match &link.user_id {
        Some(user_id) => here.user_id == *user_id,
        None => here.email == link.email,
    };
    (!is_me).then(|| here.shown_email())
}

fn is_me(visitor: &Visitor, user_id: &str) -> bool {
    let session = visitor.session.as_ref();
    session.is_some_and(|session| session.user_id == user_id)
}

fn pending_request_of(visitor: &Visitor, link_request_id: Option<&str>) -> Option<PendingRequest> {
    visitor.pending_requests().find(link_request_id?).cloned()
}

/// Where a visitor goes who asked here, or came from elsewhere.
pub fn next_of(request: Option<&PendingRequest>) -> String {
    request
        .and_then(|request| request.next.clone())
        .unwrap_or_else(|| Next::DEFAULT.to_owned())
}

/// What the form on a link's page sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct LinkForm {
    token: String,
    email: String,
    /// Where the link leads to choosing one.
    pub password: Zeroizing<String>,
    /// "yes" where somebody else is signed in and the visitor chose to go on.
    switch: String,
}

/// What the page with the form shows.
pub struct LinkView {
    pub token: String,
    /// The address it was sent to, for the browser that asked.
    pub sent_to: Option<String>,
    pub ask_address: bool,
    pub was_asked_for: bool,
    pub email: String,
    pub error: Option<FieldError>,
    pub password_error: Option<FieldError>,
    pub signed_in_as: Option<String>,
}

impl LinkView {
    /// The page as it is first seen.
    pub fn of(seen: &Seen) -> Self {
        Self {
            token: seen.token.reveal().to_owned(),
            sent_to: (!seen.ask_address).then(|| email_address::shown(&seen.email)),
            ask_address: seen.ask_address,
            was_asked_for: seen.was_asked_for,
            email: String::new(),
            error: None,
            password_error: None,
            signed_in_as: seen.somebody_else.clone(),
        }
    }

    /// Whether the form has a mistake in it.
    pub fn has_mistake(&self) -> bool {
        self.error.is_some() || self.password_error.is_some()
    }

    fn again(seen: &Seen, email: String, error: Option<FieldError>) -> Self {
        Self {
            email,
            error,
            ..Self::of(seen)
        }
    }
}

/// What a look at a sent form came to, before anything is used up.
pub enum Checked {
    /// The link is live and nothing is missing.
    Ready(Ready),
    /// The form again, with what is missing.
    Again(LinkView),
    /// There is nothing to go on with; this is the answer.
    Answered(HttpResponse),
}

/// A live link and all it takes to use it up.
pub struct Ready {
    seen: Seen,
    purpose: Purpose,
    /// The address as it was typed, and what it means; where none is asked for, none.
    email: String,
    typed: Option<EmailAddress>,
}

impl Ready {
    /// The address the link was sent to, as this visitor knows it: where it has to be named, the one that was
    /// named, right or wrong. What is said of a password that is too much like it then tells nothing of the
    /// other.
    pub fn address(&self) -> &str {
        let named = self.typed.as_ref().map(EmailAddress::as_str);
        named.unwrap_or(&self.seen.email)
    }

    fn followed(&self, visitor: &Visitor) -> Followed {
        Followed {
            token: self.seen.token.clone(),
            purpose: self.purpose,
            typed: self.typed.clone(),
            client: visitor.client(),
        }
    }

    /// What the link is called where its token has no business.
    pub fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.seen.token.hash().as_bytes())
    }

    /// The form again, with a mistake in the password.
    pub fn again(self, refused: Refused) -> LinkView {
        LinkView {
            password_error: Some(FieldError::NewPassword(refused)),
            ..LinkView::again(&self.seen, self.email, None)
        }
    }
}

/// Looks whether this visitor has a live link and sent all that is asked for. Where something slow comes
/// before the link is used up, junk gets no further than this.
pub async fn check(
    visitor: &Visitor,
    form: LinkForm,
    purpose: Purpose,
) -> Result<Checked, Rejection> {
    let seen = match find(visitor, Token::parse(&form.token), purpose).await? {
        Found::Live(seen) => seen,
        Found::UsedByMe { next } => return Ok(Checked::Answered(onward(&next))),
        Found::Dead { asked } => {
            let gone = gone_counted(visitor, purpose, asked.as_ref()).await?;
            return Ok(Checked::Answered(gone));
        }
    };
    if seen.somebody_else.is_some() && form.switch != "yes" {
        return Ok(Checked::Again(LinkView::again(&seen, form.email, None)));
    }
    let typed = match EmailAddress::parse(&form.email) {
        _ if !seen.ask_address => None,
        Ok(typed) => Some(typed),
        Err(why) => {
            let error = match why {
                NotAnAddress::Invisible(_) => FieldError::Address(why),
                _ => FieldError::NoLinkAddress,
            };
            let again = LinkView::again(&seen, form.email, Some(error));
            return Ok(Checked::Again(again));
        }
    };
    Ok(Checked::Ready(Ready {
        seen,
        purpose,
        email: form.email,
        typed,
    }))
}

/// What a used link does, and what that gives; `None` where there is nothing left for it to do.
pub trait Effect<T>:
    FnOnce(&mut Tx, &App, Consumed, Option<&PendingRequest>) -> Result<Option<T>> + Send + 'static
{
}

impl<T, F> Effect<T> for F where
    F: FnOnce(&mut Tx, &App, Consumed, Option<&PendingRequest>) -> Result<Option<T>>
        + Send
        + 'static
{
}

/// What a POST on a link's route came to.
pub enum Submitted<T> {
    /// The link is used up, and this is what its effect gave.
    Done {
        effect: T,
        asked: Option<PendingRequest>,
    },
    /// The form again, with what is missing.
    Again(LinkView),
    /// There is nothing to go on with; this is the answer.
    Answered(HttpResponse),
}

/// Checks and finishes at once.
pub async fn submit<T: Send + 'static>(
    visitor: &Visitor,
    form: LinkForm,
    purpose: Purpose,
    effect: impl Effect<T>,
) -> Result<Submitted<T>, Rejection> {
    match check(visitor, form, purpose).await? {
        Checked::Ready(ready) => finish(visitor, ready, effect).await,
        Checked::Again(view) => Ok(Submitted::Again(view)),
        Checked::Answered(answer) => Ok(Submitted::Answered(answer)),
    }
}

/// Prepares this visitor to use the link up, if they may; nothing is used up by that.
pub async fn preview<T: Send + 'static>(
    visitor: &Visitor,
    ready: Ready,
    prepare: impl FnOnce(&mut Tx, &App, &links::Found) -> Result<Option<T>> + Send + 'static,
) -> Result<Submitted<T>, Rejection> {
    let followed = ready.followed(visitor);
    let previewed = visitor.act(move |tx, app| {
        follow_link::preview(tx, app, &followed, |tx, found| prepare(tx, app, found))
    });
    submitted(visitor, ready, previewed.await??)
}

/// Uses the link up, if this visitor may, and has its effect in the same transaction.
pub async fn finish<T: Send + 'static>(
    visitor: &Visitor,
    ready: Ready,
    effect: impl Effect<T>,
) -> Result<Submitted<T>, Rejection> {
    let (asked, followed) = (ready.seen.asked.clone(), ready.followed(visitor));
    let followed = visitor.act(move |tx, app| {
        follow_link::follow(tx, app, &followed, |tx, proof| {
            effect(tx, app, proof, asked.as_ref())
        })
    });
    submitted(visitor, ready, followed.await??)
}

fn submitted<T>(
    visitor: &Visitor,
    ready: Ready,
    outcome: Outcome<T>,
) -> Result<Submitted<T>, Rejection> {
    let Ready {
        seen,
        purpose,
        email,
        ..
    } = ready;
    Ok(match outcome {
        Outcome::Done(effect) => Submitted::Done {
            effect,
            asked: seen.asked,
        },
        Outcome::WrongAddress => {
            let wrong = FieldError::WrongLinkAddress;
            Submitted::Again(LinkView::again(&seen, email, Some(wrong)))
        }
        Outcome::Dead => Submitted::Answered(gone(visitor, purpose, seen.asked.as_ref())?),
    })
}

/// A token that is not live counts as a guess, and past the limit as too many of them.
async fn gone_counted(
    visitor: &Visitor,
    purpose: Purpose,
    asked: Option<&PendingRequest>,
) -> Result<HttpResponse, Rejection> {
    let client = visitor.client();
    visitor
        .act(move |tx, app| follow_link::count_dead(tx, app, purpose, &client))
        .await??;
    gone(visitor, purpose, asked)
}

/// The page for a link that is used, expired, unknown, tampered with or meant for something else. It depends on the
/// route and on what this browser knows, so that it tells nothing about the link: only where the link answered a
/// request of this browser is anything said of it, namely that a newer message went out.
pub fn gone(
    visitor: &Visitor,
    purpose: Purpose,
    asked: Option<&PendingRequest>,
) -> Result<HttpResponse, Rejection> {
    let pending = visitor.pending_requests();
    let page = GonePage {
        frame: visitor.frame_of_dead_end(),
        newer_sent: asked.is_some_and(|asked| pending.has_newer_message(asked)),
        maybe_signed_in: visitor.session.is_some(),
        asked_on_account_page: purpose == Purpose::ChangeEmail,
        route: purpose.asks_again_at(),
        asked: asked.or(pending.newest()),
    };
    Ok(confidential(page_with(StatusCode::GONE, &page)?))
}

/// The clean page without the cookie that should have come along: most likely cookies are refused here.
fn no_cookie(visitor: &Visitor) -> Result<HttpResponse, Rejection> {
    let page = NoCookiePage {
        frame: visitor.frame_of_dead_end(),
    };
    Ok(confidential(page_with(StatusCode::GONE, &page)?))
}

#[derive(Template)]
#[template(path = "link/gone.html")]
struct GonePage<'a> {
    frame: Frame,
    /// What the link answered, or what this browser asked for last: the new link leads to the same place, on the
    /// same terms.
    asked: Option<&'a PendingRequest>,
    /// The form that mails a new one, where anybody may ask.
    route: Option<&'static str>,
    /// A newer message went out than the one with this link.
    newer_sent: bool,
    maybe_signed_in: bool,
    /// The page of the account that asked for it mails another.
    asked_on_account_page: bool,
}

#[derive(Template)]
#[template(path = "link/no_cookie.html")]
struct NoCookiePage {
    frame: Frame,
}
