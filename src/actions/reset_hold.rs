//! The hold after a reset by mail, from its beginning to its end.
//!
//! It begins with the reset, on an account that has passkeys, and ends by itself. Its owner can end it at once in a session
//! in which they used a passkey: they say that the reset was theirs, and nothing is held any more; or that it was not,
//! and what it brought is gone: the password, every other session, every link.
//!
//! A passkey alone does not end it for everybody. Whoever signs in with one may not know of the reset, and a thief who waits
//! in another session must not be let go on by that: so it frees the session in which it was used, and the
//! owner is asked there. What is held, and why, is in [`users::reset_hold`](crate::accounts::users::ResetHold).

use crate::accounts::client::{Actor, Client};
use crate::accounts::events::{self, Event};
use crate::accounts::links;
use crate::accounts::passkeys;
use crate::accounts::sessions;
use crate::accounts::users::{self, Named, Operator, Owner, ResetHold, Settled};
use crate::actions::change_password::ThisSession;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::random::Token;

/// The password was set by mail: the hold that begins with it, if the account has passkeys. A later reset begins it anew,
/// lest a thief waits for the end of one that was the owner's.
pub fn begin(tx: &mut Tx, app: &App, owner: &Owner, client: &Client) -> Result<Option<ResetHold>> {
    let user = owner.user();
    if passkeys::count(tx, &user.id)? == 0 {
        return Ok(None);
    }
    users::begin_reset_hold(tx, owner)?;
    let hold = ResetHold::begun(Some(tx.now), tx.now, &app.config);
    if hold.is_some() {
        events::note(tx, &user.id, Event::ResetHoldBegun, client)?;
    }
    Ok(hold)
}

/// What the owner says of the reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Mine,
    NotMine,
}

/// What came of it.
pub enum Answered {
    /// Nothing is held any more.
    Lifted,
    /// What the reset brought is gone. The session goes on under this token, unless it has just ended.
    Disowned(Option<Token>),
    /// The hold was over, or somebody has answered before; nothing was done.
    TooLate,
}

/// The owner, who has used a passkey since, answers for the reset.
pub fn answer(
    tx: &mut Tx,
    app: &App,
    owner: &Settled<'_, Owner>,
    said: Said,
    session: &ThisSession,
    client: &Client,
) -> Result<Answered> {
    if owner.user().reset_hold(tx.now, &app.config).is_none() {
        return Ok(Answered::TooLate);
    }
    users::end_reset_hold(tx, owner)?;
    match said {
        Said::Mine => {
            events::note(tx, &owner.user().id, Event::ResetHoldLifted, client)?;
            Ok(Answered::Lifted)
        }
        Said::NotMine => disown(tx, app, owner, session, client).map(Answered::Disowned),
    }
}

/// Nothing is left of what a thief may have by the reset, or by the mailbox since.
fn disown(
    tx: &mut Tx,
    app: &App,
    owner: &Owner,
    session: &ThisSession,
    client: &Client,
) -> Result<Option<Token>> {
    let user = owner.user();
    users::remove_password(tx, owner)?;
    sessions::end_others(tx, user, &session.id)?;
    users::forget_browsers(tx, user)?;
    links::end_all(tx, user)?;
    events::note(tx, &user.id, Event::ResetDisowned, client)?;
    app.outbox
        .tell(tx, &user.email, Notice::ResetDisowned, client)?;
    sessions::renew(tx, &session.token)
}

/// Whoever is held says that the passkeys which were added shortly before the reset are somebody else's. They go, with whoever
/// came in by one: else a thief who had a session for a moment, and added one, would be the one whom the hold leaves alone.
pub fn disown_young(
    tx: &mut Tx,
    app: &App,
    owner: &Owner,
    session: &ThisSession,
    client: &Client,
) -> Result<Answered> {
    let user = owner.user();
    let Some(hold) = user.reset_hold(tx.now, &app.config) else {
        return Ok(Answered::TooLate);
    };
    if passkeys::remove_young(tx, owner, hold.since)? == 0 {
        return Ok(Answered::TooLate);
    }
    sessions::end_others(tx, user, &session.id)?;
    links::end_all(tx, user)?;
    events::note(tx, &user.id, Event::PasskeyRemoved, client)?;
    app.outbox
        .tell(tx, &user.email, Notice::PasskeyRemoved, client)?;
    sessions::renew(tx, &session.token).map(Answered::Disowned)
}

/// What became of the operator's command. Each has the address of the account.
pub enum Outcome {
    Done(String),
    /// Nothing was held.
    WasSo(String),
    NoAccount,
}

/// The operator, who knows that the reset was the owner's, ends the hold for somebody whose passkey is lost.
pub fn lift(tx: &mut Tx, app: &App, operator: Operator, who: &Named) -> Result<Outcome> {
    let Some(user) = users::hold_named(tx, who)? else {
        return Ok(Outcome::NoAccount);
    };
    if user.reset_hold(tx.now, &app.config).is_none() {
        return Ok(Outcome::WasSo(user.email.clone()));
    }
    let owner = operator.in_place_of_owner(user);
    users::end_reset_hold(tx, &operator.settles(&owner))?;
    let user = owner.user();
    events::note(tx, &user.id, Event::ResetHoldLifted, Actor::Operator)?;
    Ok(Outcome::Done(user.email.clone()))
}
