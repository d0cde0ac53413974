//! Sign in with a passkey.
//!
//! Whoever comes is known by the answer alone: what is asked is the same for everybody, so that a sign-in page tells
//! nobody who has a passkey. Whatever is wrong with an answer, it is refused in the same words, and counts against the
//! network it came from, as a link that is not live does.

use crate::accounts::limits::{self, Verb};
use crate::accounts::passkeys::challenge::{self, For};
use crate::accounts::users::{self, Held, User};
use crate::actions::passkey_answer::Answer;
use crate::actions::sign_in::{self, Device, NewSession};
use crate::actions::{Counted, follow_link};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;

/// A challenge for whoever it may be. Nothing is written down.
pub fn challenge(app: &App) -> Result<Vec<u8>> {
    challenge::draw(&app.keys, app.clock.now(), For::SigningIn)
}

/// Lets in whoever has the passkey; `None` for everybody else. A locked account looks like a wrong passkey.
pub fn conclude(
    tx: &mut Tx,
    app: &App,
    answer: Option<&Answer>,
    device: &Device,
) -> Result<Counted<Option<NewSession>>> {
    let user = match answer {
        Some(answer) => users::hold(tx, answer.user_id())?,
        None => None,
    };
    if let Some((answer, user)) = answer.zip(user.filter(|user| !user.is_locked())) {
        return let_in(tx, app, answer, &user, device);
    }
    refuse(tx, app, device)
}

fn let_in(
    tx: &mut Tx,
    app: &App,
    answer: &Answer,
    user: &Held<User>,
    device: &Device,
) -> Result<Counted<Option<NewSession>>> {
    if let Err(too_many) = limits::count_verb(tx, &app.config, Verb::SignInWithPasskey, user)? {
        return Ok(Err(too_many));
    }
    match answer.take(tx, app, user, &device.client)? {
        true => Ok(Ok(Some(sign_in::by_passkey(tx, app, user, device)?))),
        false => refuse(tx, app, device),
    }
}

fn refuse(tx: &mut Tx, app: &App, device: &Device) -> Result<Counted<Option<NewSession>>> {
    Ok(follow_link::count_guess(tx, app, &device.client)?.map(|()| None))
}
