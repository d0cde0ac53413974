//! Sign in with the password, in a form or by a program.
//!
//! Whatever was wrong, the answer is the same, in its words and in what it costs: an address nobody has and an
//! account without a password are compared with nothing, for as long as it takes to compare. Every try is
//! counted before it is compared, against the account and the network, known or not; a browser that the
//! account knows has a budget of its own, and so has a program that holds a session of it or held one, so that a
//! stranger's guessing shuts no owner out.

use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Guesser, Limit, Verdict};
use crate::accounts::passwords::{PasswordHash, Verified};
use crate::accounts::refresh_tokens;
use crate::accounts::users::{self, Held, KnownAccount, User};
use crate::actions::Counted;
use crate::actions::password_try::{self, PasswordTry};
use crate::actions::sign_in::{self, Device, NewSession};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::random::Token;

/// Somebody tries to sign in to the account of this address.
pub struct Attempt {
    pub email: EmailAddress,
    pub device: Device,
    /// A refresh token by which a program shows that it holds a session, or held one; used or not.
    pub shown: Option<Token>,
}

/// Counts the try: there is always something to compare, be it nobody's password.
pub fn count(tx: &mut Tx, app: &App, attempt: &Attempt) -> Result<Counted<Option<PasswordTry>>> {
    let user = users::find_by_email(tx, &attempt.email)?;
    let guesser = guesser(tx, user.as_ref(), attempt)?;
    let network = match guesser {
        Guesser::Anyone => attempt.device.client.network.trying_a_password(),
        _ => Vec::new(),
    };
    if let Verdict::Refused(too_many) = limits::count_all(tx, &app.config, &network)? {
        return Ok(Err(too_many));
    }
    let subject = guesser.at_sign_in(attempt.email.as_str());
    let counted = password_try::count(tx, app, user.as_ref(), subject)?;
    if counted.is_err() {
        for (limit, subject) in network {
            limits::give_back(tx, limit, subject)?;
        }
    }
    Ok(counted.map(Some))
}

/// Whose budget it is: a stranger's, unless the account knows the browser or the program.
fn guesser(tx: &mut Tx, user: Option<&User>, attempt: &Attempt) -> Result<Guesser> {
    let shown = match &attempt.shown {
        Some(token) => refresh_tokens::known_by(tx, token)?,
        None => None,
    };
    let knows = |brought: &[KnownAccount]| user.is_some_and(|user| user.knows(brought));
    Ok(if knows(&attempt.device.known) {
        Guesser::KnownBrowser
    } else if knows(shown.as_slice()) {
        Guesser::KnownProgram
    } else {
        Guesser::Anyone
    })
}

/// Lets in whoever had the password of the account; `None` for everybody else.
///
/// The account is read anew, and held: the right password opens nothing if it is another by now, or the account is
/// locked. That looks like any wrong one.
pub fn conclude(
    tx: &mut Tx,
    app: &App,
    attempt: &Attempt,
    tried: &PasswordTry,
    verified: Verified,
) -> Result<Option<NewSession>> {
    let user = users::hold_by_email(tx, attempt.email.as_str())?;
    match (user, verified) {
        (Some(user), Verified::Right { rehashed })
            if tried.is_about(&user) && !user.is_locked() =>
        {
            let_in(tx, app, attempt, tried, &user, rehashed.as_ref()).map(Some)
        }
        (user, _) => refuse(tx, app, attempt, tried, user.as_ref()).map(|()| None),
    }
}

fn let_in(
    tx: &mut Tx,
    app: &App,
    attempt: &Attempt,
    tried: &PasswordTry,
    user: &Held<User>,
    rehashed: Option<&PasswordHash>,
) -> Result<NewSession> {
    tried.forget(tx)?;
    if let Some(rehashed) = rehashed {
        users::rehash_password(tx, user, rehashed)?;
    }
    sign_in::by_password(tx, app, user, &attempt.device)
}

/// A wrong one. The owner finds it in the account's activity, and hears of the last one in a window. For an
/// address without an account, and for an account without a password, the same is done, and nothing is left of it.
fn refuse(
    tx: &mut Tx,
    app: &App,
    attempt: &Attempt,
    tried: &PasswordTry,
    user: Option<&Held<User>>,
) -> Result<()> {
    let client = &attempt.device.client;
    let member = user.map(|user| user.id.as_str());
    events::note_of_stranger(tx, member, Event::PasswordRefused, client)?;
    if member.is_none() {
        limits::decoy(tx, Limit::PasswordPerAccount, &tried.subject)?;
    }
    let Some(notice) = tried.notice() else {
        return Ok(());
    };
    let to = attempt.email.as_str();
    match user.is_some_and(|user| user.has_password() && !user.is_locked()) {
        true => app.outbox.tell(tx, to, notice, client),
        false => app
            .outbox
            .decoy(tx, |outbox, tx| outbox.tell(tx, to, notice, client)),
    }
}
