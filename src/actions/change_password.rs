//! The owner sets another password: every other session ends, and so does every link.
//!
//! Choosing the same password again is harmless. It is counted before it is hashed, which is what it costs.

use crate::accounts::access_tokens::Signer;
use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Verb};
use crate::accounts::links;
use crate::accounts::passwords::PasswordHash;
use crate::accounts::sessions;
use crate::accounts::users::{self, Owner};
use crate::actions::Counted;
use crate::actions::refresh::{self, Granted};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::random::{Token, TokenHash};

/// Counts the change that is wanted.
pub fn count(tx: &mut Tx, app: &App, owner: &Owner) -> Result<Counted<()>> {
    limits::count_verb(tx, &app.config, Verb::ChangePassword, owner.user())
}

/// Changes it in a browser, whose session goes on under a new token; `None` when that has ended.
pub fn in_browser(
    tx: &mut Tx,
    app: &App,
    owner: &Owner,
    hash: &PasswordHash,
    session: &ThisSession,
    client: &Client,
) -> Result<Option<Token>> {
    change(tx, app, owner, hash, &session.id, client)?;
    sessions::renew(tx, &session.token)
}

/// The session of the browser in which it is changed.
pub struct ThisSession {
    pub id: String,
    pub token: TokenHash,
}

/// Changes it by a program, whose session goes on with new tokens: those it had, and whoever copied them has, are
/// dead. `None` when the session has ended.
pub fn by_program(
    tx: &mut Tx,
    app: &App,
    owner: &Owner,
    hash: &PasswordHash,
    session_id: &str,
    signer: &Signer,
    client: &Client,
) -> Result<Option<Granted>> {
    change(tx, app, owner, hash, session_id, client)?;
    refresh::renew(tx, app, signer, owner.user(), session_id)
}

/// Sets the password, and leaves no session but this one.
fn change(
    tx: &mut Tx,
    app: &App,
    owner: &Owner,
    hash: &PasswordHash,
    kept_session: &str,
    client: &Client,
) -> Result<()> {
    let user = owner.user();
    users::set_password(tx, owner, hash)?;
    sessions::end_others(tx, user, kept_session)?;
    links::end_all(tx, user)?;
    events::note(tx, &user.id, Event::PasswordChanged, client)?;
    app.outbox
        .tell(tx, &user.email, Notice::PasswordChanged, client)
}
