//! A program's session goes on: its refresh token is used up, and another takes its place.
//!
//! Whoever brings a token that was used already, be it in the same moment, is a thief or was robbed by one, and
//! nobody can tell which: the session ends, and with it everything that came of its tokens (RFC 9700, 4.14.2).

use crate::accounts::client::Client;
use crate::accounts::events::Event;
use crate::accounts::refresh_tokens::{self, Used};
use crate::accounts::sessions::{self, Session};
use crate::actions::{Counted, end_sessions, follow_link};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::random::Token;

/// A session that goes on under another token.
pub struct Refreshed {
    pub session: Session,
    pub refresh_token: Token,
}

/// Uses the token up; `None` if it keeps no session alive, which counts as a guess.
pub fn refresh(
    tx: &mut Tx,
    app: &App,
    token: Option<&Token>,
    client: &Client,
) -> Result<Counted<Option<Refreshed>>> {
    let used = match token {
        Some(token) => refresh_tokens::consume(tx, &app.config, &token.hash())?,
        None => Used::Dead,
    };
    match used {
        Used::Fresh(held) => {
            sessions::touch(tx, &held.session.id, client)?;
            let refresh_token = refresh_tokens::issue(tx, &held.user, &held.session)?;
            return Ok(Ok(Some(Refreshed {
                session: held.session,
                refresh_token,
            })));
        }
        Used::Again(held) => {
            let why = Event::RefreshTokenReused;
            end_sessions::end(tx, &held.user, &held.session.id, why, client)?;
        }
        Used::Dead => {}
    }
    Ok(follow_link::count_guess(tx, app, client)?.map(|()| None))
}
