//! Somebody follows a link from a letter, and means it: the link is used up and has its effect, in one transaction.
//!
//! In the browser that asked, the token is enough. Anywhere else only somebody who knows where the link was sent
//! goes on. This is what stops mail scanners that run scripts and press buttons, and a person who was sent
//! somebody else's link (login CSRF by mail). Whoever comes with what is not live, or names the wrong address, may
//! be guessing, and that is counted.
//!
//! A link whose effect is not admitted any more is not used up: the undo of a change whose address somebody has
//! meanwhile still works once they have left it. No link to an account that is locked is taken, either.

use crate::accounts::admission::{self, Admission};
use crate::accounts::client::Client;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::limits;
use crate::accounts::links::{self, Consumed, Found, Purpose};
use crate::accounts::users::User;
use crate::actions::Counted;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::metrics;
use crate::random::Token;

/// A link that somebody follows.
pub struct Followed {
    pub token: Token,
    pub purpose: Purpose,
    /// Where it was sent, as somebody typed it; `None` in the browser that asked for it.
    pub typed: Option<EmailAddress>,
    pub client: Client,
}

/// What became of it.
pub enum Outcome<T> {
    /// The link is used up, and this is what its effect gave.
    Done(T),
    WrongAddress,
    /// The link is not live, or has no effect any more.
    Dead,
}

/// Uses the link up, if it is live and whoever follows it may, and has its effect.
pub fn follow<T>(
    tx: &mut Tx,
    app: &App,
    followed: &Followed,
    effect: impl FnOnce(&mut Tx, Consumed) -> Result<Option<T>>,
) -> Result<Counted<Outcome<T>>> {
    let found = match find(tx, app, followed)? {
        Ok(found) => found,
        Err(refused) => return Ok(refused),
    };
    match use_up(tx, app, found, &followed.client)? {
        Some(proof) => Ok(Ok(effect(tx, proof)?.map_or(Outcome::Dead, Outcome::Done))),
        None => dead(tx, app, followed),
    }
}

/// Looks whether somebody who follows the link could use it up now, and does not: for what has to be prepared before that.
/// A wrong address counts here as there, or it could be guessed without end.
pub fn preview<T>(
    tx: &mut Tx,
    app: &App,
    followed: &Followed,
    prepare: impl FnOnce(&mut Tx, &Found) -> Result<Option<T>>,
) -> Result<Counted<Outcome<T>>> {
    let found = match find(tx, app, followed)? {
        Ok(found) => found,
        Err(refused) => return Ok(refused),
    };
    if !is_admitted(tx, app, &found)? || !found.is_live(tx)? {
        return dead(tx, app, followed);
    }
    Ok(Ok(prepare(tx, &found)?.map_or(Outcome::Dead, Outcome::Done)))
}

/// The link that is followed, if it was sent where whoever follows it says.
fn find<T>(
    tx: &mut Tx,
    app: &App,
    followed: &Followed,
) -> Result<Result<Found, Counted<Outcome<T>>>> {
    let Some(found) = links::find(tx, &followed.token, followed.purpose)? else {
        return dead(tx, app, followed).map(Err);
    };
    let typed = followed.typed.as_ref();
    if typed.is_some_and(|typed| typed.as_str() != found.email()) {
        return refuse_address(tx, app, followed, &found).map(Err);
    }
    Ok(Ok(found))
}

/// Uses a link up that was found, if it is live and its effect is still admitted.
pub(super) fn use_up(
    tx: &mut Tx,
    app: &App,
    found: Found,
    client: &Client,
) -> Result<Option<Consumed>> {
    let consumed = match is_admitted(tx, app, &found)? {
        true => found.consume(tx)?,
        false => None,
    };
    if let Some(consumed) = &consumed {
        let user = consumed.user().map(|user| user.id.clone());
        count(tx, consumed.purpose(), "used");
        tell(tx, "link_used", consumed.purpose(), user, client);
    }
    Ok(consumed)
}

/// Whether the account, or a new one, may still have the address that the link would give it.
fn is_admitted(tx: &mut Tx, app: &App, found: &Found) -> Result<bool> {
    let (sign_up, email) = (&app.config.accounts.sign_up, found.email());
    let account = found.user().map(|user| &**user);
    if account.is_some_and(User::is_locked) {
        return Ok(false);
    }
    let admission = match found.purpose() {
        Purpose::SignIn | Purpose::ResetPassword | Purpose::Own(_) => return Ok(true),
        Purpose::ConfirmEmail if account.is_some() => return Ok(true),
        Purpose::ConfirmEmail | Purpose::ChangeEmail => {
            admission::decide(tx, sign_up, account, email)?
        }
        Purpose::UndoChangeEmail => admission::beside_others(tx, account, email)?,
    };
    Ok(admission == Admission::Admitted)
}

/// A wrong address counts, and the third one ends the link. The owner of the account, if there is one, finds it in
/// the account's activity.
fn refuse_address<T>(
    tx: &mut Tx,
    app: &App,
    followed: &Followed,
    found: &Found,
) -> Result<Counted<Outcome<T>>> {
    let outcome = match found.count_wrong_address(tx)? {
        Some(ended) => {
            count(tx, followed.purpose, "wrong_address");
            if let Some(user) = found.user() {
                let event = Event::LinkRefused(followed.purpose);
                events::note(tx, &user.id, event, &followed.client)?;
            }
            if ended {
                Outcome::Dead
            } else {
                Outcome::WrongAddress
            }
        }
        None => return dead(tx, app, followed),
    };
    counted(tx, app, followed, outcome)
}

fn dead<T>(tx: &mut Tx, app: &App, followed: &Followed) -> Result<Counted<Outcome<T>>> {
    let counted = count_dead(tx, app, followed.purpose, &followed.client)?;
    Ok(counted.map(|()| Outcome::Dead))
}

fn counted<T>(
    tx: &mut Tx,
    app: &App,
    followed: &Followed,
    outcome: Outcome<T>,
) -> Result<Counted<Outcome<T>>> {
    Ok(count_guess(tx, app, &followed.client)?.map(|()| outcome))
}

/// Somebody came with the token of a link that is not live: used, expired, replaced, or made up.
pub fn count_dead(
    tx: &mut Tx,
    app: &App,
    purpose: Purpose,
    client: &Client,
) -> Result<Counted<()>> {
    count(tx, purpose, "dead");
    tell(tx, "link_dead", purpose, None, client);
    count_guess(tx, app, client)
}

fn count(tx: &mut Tx, purpose: Purpose, outcome: &'static str) {
    tx.after_commit(move || {
        metrics::links(purpose.name(), outcome).inc();
    });
}

/// For the operator alone: what it did to an account, its owner finds in the account's activity.
fn tell(tx: &mut Tx, event: &'static str, purpose: Purpose, user: Option<String>, client: &Client) {
    let client = client.clone();
    tx.after_commit(move || {
        tracing::info!(
            event,
            detail = purpose.name(),
            user,
            ip = client.ip(),
            request_id = client.request_id,
            "link"
        );
    });
}

/// Somebody came with a token, a code or an address that is not right: it counts against their network. Past the
/// limit, that is what they hear of.
pub fn count_guess(tx: &mut Tx, app: &App, client: &Client) -> Result<Counted<()>> {
    let networks = client.network.guessing();
    Ok(limits::count_all(tx, &app.config, &networks)?.permission())
}
