//! Sessions end: this one at sign-out, one from the list, all others, a program's that gave its token back, or, by the
//! operator, all there are.
//!
//! A session is named by its public id. One that belongs to somebody else is answered like one that does not exist.

use std::sync::Arc;

use crate::accounts::access_tokens::Claims;
use crate::accounts::client::{Actor, Client};
use crate::accounts::events::{self, Event};
use crate::accounts::refresh_tokens;
use crate::accounts::sessions::{self, HeldSession};
use crate::accounts::users::{self, Held, Named, Operator, User};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::random::TokenHash;

/// Ends the session itself.
pub fn sign_out(tx: &mut Tx, by: &HeldSession, client: &Client) -> Result<()> {
    end(tx, &by.user, &by.session.id, Event::SignedOut, client).map(drop)
}

/// Ends a session of the account from its list; false if the account has none of this id.
pub fn end_one(tx: &mut Tx, by: &HeldSession, id: &str, client: &Client) -> Result<bool> {
    end(tx, &by.user, id, Event::SessionEnded, client)
}

/// Ends every session of the account but this one.
pub fn end_others(tx: &mut Tx, by: &HeldSession, client: &Client) -> Result<()> {
    if sessions::end_others(tx, &by.user, &by.session.id)? > 0 {
        events::note(tx, &by.user.id, Event::OtherSessionsEnded, client)?;
    }
    Ok(())
}

/// Ends every session of the account that is named so, and lets it forget the browsers that it knows; the address of the
/// account, if there is one.
pub fn end_all(tx: &mut Tx, _: Operator, who: &Named) -> Result<Option<String>> {
    let Some(user) = users::hold_named(tx, who)? else {
        return Ok(None);
    };
    sessions::end_all(tx, &user)?;
    events::note(tx, &user.id, Event::SessionsEnded, Actor::Operator)?;
    Ok(Some(user.email.clone()))
}

/// Ends a session for this reason.
pub(super) fn end(
    tx: &mut Tx,
    user: &Held<User>,
    id: &str,
    why: Event,
    client: &Client,
) -> Result<bool> {
    let ended = sessions::end_by_id(tx, user, id)?;
    if ended {
        events::note(tx, &user.id, why, client)?;
    }
    Ok(ended)
}

/// What a program gives back.
pub enum GivenBack {
    RefreshToken(TokenHash),
    /// What an access token says.
    AccessToken(Arc<Claims>),
}

/// Ends the session of a program that gave its token back (RFC 7009). Whoever else has a token of it is out, too;
/// one that keeps no session alive ends none.
pub fn revoke(tx: &mut Tx, app: &App, given_back: &GivenBack, client: &Client) -> Result<()> {
    let held = match given_back {
        GivenBack::RefreshToken(token) => refresh_tokens::hold_session(tx, &app.config, token)?,
        GivenBack::AccessToken(claims) => {
            sessions::hold_of_program(tx, &app.config, &claims.sub, &claims.sid)?
                .filter(|held| claims.are_of(&held.session))
        }
    };
    match held {
        Some(held) => {
            let client = client.labelled(&held.session.label);
            sign_out(tx, &held, &client)
        }
        None => Ok(()),
    }
}
