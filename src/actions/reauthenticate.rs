//! The password or a passkey once more, before what is sensitive.
//!
//! The right one opens this session for the window, under a new token. Wrong ones are counted against a budget
//! that all sessions of the account share and that nobody from outside can use up. A passkey counts as much as the
//! password, for its authenticator has made sure who used it; but only one of this very account, which has answered a
//! challenge of this very session.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Guesser, Limit, Verb};
use crate::accounts::passkeys::challenge::{self, For};
use crate::accounts::passkeys::{self, Passkey};
use crate::accounts::passwords::Verified;
use crate::accounts::sessions::{self, Session};
use crate::accounts::users;
use crate::actions::Counted;
use crate::actions::passkey_answer::Answer;
use crate::actions::password_try::{self, PasswordTry};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::random::{Token, TokenHash};

/// The session that is to be opened.
#[derive(Clone)]
pub struct Attempt {
    pub user_id: String,
    pub token: TokenHash,
    pub client: Client,
}

/// Counts the try; `None` where the account has no password that it could be compared with.
pub fn count(tx: &mut Tx, app: &App, attempt: &Attempt) -> Result<Counted<Option<PasswordTry>>> {
    let user = users::hold(tx, &attempt.user_id)?;
    let Some(user) = user.filter(|user| user.has_password()) else {
        return Ok(Ok(None));
    };
    let verb = Verb::Reauthenticate;
    if let Err(too_many) = limits::count_verb(tx, &app.config, verb, &user)? {
        return Ok(Err(too_many));
    }
    let subject = Guesser::at_gate(&user.id);
    let counted = password_try::count(tx, app, Some(&user), subject)?;
    if counted.is_err() {
        limits::give_back(tx, Limit::PerAccount(verb), &user.id)?;
    }
    Ok(counted.map(Some))
}

/// What came of the try.
pub enum Outcome {
    /// The session goes on under this token, and may do what is sensitive.
    Open(Token),
    Wrong,
    /// The session ended meanwhile, or the password is another by now.
    Ended,
}

/// Opens the session, if the password was right and is still the account's.
pub fn conclude(
    tx: &mut Tx,
    app: &App,
    attempt: &Attempt,
    tried: &PasswordTry,
    verified: Verified,
) -> Result<Outcome> {
    let client = &attempt.client;
    let held = sessions::hold(tx, &app.config, &attempt.user_id, &attempt.token)?;
    let Some(user) = held.map(|held| held.user) else {
        return Ok(Outcome::Ended);
    };
    let Verified::Right { rehashed } = verified else {
        events::note(tx, &user.id, Event::ReauthenticationRefused, client)?;
        if let Some(notice) = tried.notice() {
            app.outbox.tell(tx, &user.email, notice, client)?;
        }
        return Ok(Outcome::Wrong);
    };
    if !tried.is_about(&user) {
        return Ok(Outcome::Ended);
    }
    let Some(token) = sessions::reauthenticate(tx, &user, &attempt.token)? else {
        return Ok(Outcome::Ended);
    };
    if let Some(rehashed) = rehashed {
        users::rehash_password(tx, &user, &rehashed)?;
    }
    tried.forget(tx)?;
    events::note(tx, &user.id, Event::Reauthenticated, client)?;
    Ok(Outcome::Open(token))
}

/// A challenge for the passkeys of this session's account, and these; `None` where it has none.
pub fn challenge(tx: &mut Tx, app: &App, session: &Session) -> Result<Option<Challenged>> {
    let passkeys = passkeys::list(tx, &session.user_id)?;
    if passkeys.is_empty() {
        return Ok(None);
    }
    Ok(Some(Challenged {
        challenge: challenge::draw(&app.keys, tx.now, purpose(session))?,
        passkeys,
    }))
}

/// What the authenticators of an account are asked for.
pub struct Challenged {
    pub challenge: Vec<u8>,
    pub passkeys: Vec<Passkey>,
}

/// What a challenge for this session is for.
pub fn purpose(session: &Session) -> For {
    For::Reauthenticating(session.id.clone())
}

/// Opens the session, if a passkey of its account was used.
pub fn by_passkey(
    tx: &mut Tx,
    app: &App,
    attempt: &Attempt,
    answer: Option<&Answer>,
) -> Result<Counted<Outcome>> {
    let client = &attempt.client;
    let held = sessions::hold(tx, &app.config, &attempt.user_id, &attempt.token)?;
    let Some(user) = held.map(|held| held.user) else {
        return Ok(Ok(Outcome::Ended));
    };
    let verb = Verb::Reauthenticate;
    if let Err(too_many) = limits::count_verb(tx, &app.config, verb, &user)? {
        return Ok(Err(too_many));
    }
    let taken = match answer {
        Some(answer) => answer.take(tx, app, &user, client)?,
        None => false,
    };
    if !taken {
        events::note(tx, &user.id, Event::ReauthenticationRefused, client)?;
        return Ok(Ok(Outcome::Wrong));
    }
    let Some(token) = sessions::reauthenticate_by_passkey(tx, &user, &attempt.token)? else {
        return Ok(Ok(Outcome::Ended));
    };
    events::note(tx, &user.id, Event::Reauthenticated, client)?;
    Ok(Ok(Outcome::Open(token)))
}

/// Somebody signed in wanted to do what is sensitive, and is asked for the password first.
pub fn note_required(tx: &mut Tx, user_id: &str, client: &Client) -> Result<()> {
    if let Some(user) = users::hold(tx, user_id)? {
        events::note_seldom(tx, &user.id, Event::ReauthenticationRequired, client)?;
    }
    Ok(())
}
