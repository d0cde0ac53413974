//! A program's session goes on: its refresh token is used up, and another takes its place.
//!
//! Whoever brings a token that was used already is a thief or was robbed by one, and nobody can tell which: the
//! session ends, and with it everything that came of its tokens (RFC 9700, 4.14.2). Only right after its use, while
//! what took its place is unused, the same answer is given again: the first may have been lost.
//!
//! The new tokens are made and signed in the transaction that grants them: nothing can fail after the commit.

use crate::accounts::access_tokens::Signer;
use crate::accounts::client::Client;
use crate::accounts::events::Event;
use crate::accounts::limits::{self, Verb};
use crate::accounts::refresh_tokens::{self, Brought};
use crate::accounts::sessions::{self, Session};
use crate::accounts::users::{Held, User};
use crate::actions::{Counted, end_sessions, follow_link};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::random::Token;

/// What a program goes on with.
pub struct Granted {
    pub access_token: String,
    pub refresh_token: Token,
    /// What they are good for.
    pub scope: String,
}

/// Grants tokens for a session.
pub fn grant(tx: &Tx, signer: &Signer, session: &Session, refresh_token: Token) -> Result<Granted> {
    let signed = signer.sign(session, tx.now)?;
    Ok(Granted {
        access_token: signed.token,
        refresh_token,
        scope: signed.scope,
    })
}

/// Uses the token up; `None` if it keeps no session alive, which counts as a guess. One that comes too often is not
/// used up: it is good once the wait is over.
pub fn refresh(
    tx: &mut Tx,
    app: &App,
    signer: &Signer,
    token: Option<&Token>,
    client: &Client,
) -> Result<Counted<Option<Granted>>> {
    let guessed = |tx: &mut Tx| Ok(follow_link::count_guess(tx, app, client)?.map(|()| None));
    let Some(token) = token else {
        return guessed(tx);
    };
    let (held, granted_before) = match refresh_tokens::bring(tx, &app.config, &app.keys, token)? {
        Brought::Unused(held) => (held, None),
        Brought::JustUsed(held, successor) => (held, Some(successor)),
        Brought::UsedBefore(held) => {
            let robbed = client.labelled(&held.session.label);
            let why = Event::RefreshTokenReused;
            end_sessions::end(tx, &held.user, &held.session.id, why, &robbed)?;
            return guessed(tx);
        }
        Brought::Dead => return guessed(tx),
    };
    if let Err(too_many) = limits::count_verb(tx, &app.config, Verb::Refresh, &held.user)? {
        return Ok(Err(too_many));
    }
    let refresh_token = match granted_before {
        Some(successor) => successor,
        None => {
            sessions::touch(tx, &held.session, client)?;
            refresh_tokens::replace(tx, &app.keys, &held, token)?
        }
    };
    // The access token is signed anew, for it may be asked for another service than the first time.
    grant(tx, signer, &held.session, refresh_token).map(|on| Ok(Some(on)))
}

/// The rights of a program's session have changed: all of its tokens are dead, and it goes on with new ones. `None`
/// if the session has ended.
pub(super) fn renew(
    tx: &mut Tx,
    app: &App,
    signer: &Signer,
    user: &Held<User>,
    session_id: &str,
) -> Result<Option<Granted>> {
    sessions::raise_token_epoch(tx, user, session_id)?;
    let held = sessions::hold_of_program(tx, &app.config, &user.id, session_id)?;
    let Some(held) = held else {
        return Ok(None);
    };
    refresh_tokens::spend_all(tx, &held)?;
    let refresh_token = refresh_tokens::issue(tx, &held.user, &held.session)?;
    grant(tx, signer, &held.session, refresh_token).map(Some)
}
