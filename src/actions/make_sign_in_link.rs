//! The operator makes a link that signs in, and hands it on without mail: over the telephone, say, while mail does not
//! arrive.
//!
//! It is a sign-in link like any other: it ends the older ones, works once and for as long, asks for the address of
//! the account, and opens nothing that is sensitive. No account comes of it, and none that is locked is opened.

use std::time::Duration;

use crate::accounts::client::Actor;
use crate::accounts::events::{self, Event};
use crate::accounts::links::{self, Purpose, Wanted};
use crate::accounts::users::{self, Named, Operator};
use crate::app::App;
use crate::clock::millis;
use crate::db::Tx;
use crate::error::Result;

/// What became of it.
pub enum Outcome {
    Made(Made),
    /// The account of this address is locked, and nothing was made.
    Locked(String),
    NoAccount,
}

/// A link to be handed on.
pub struct Made {
    /// Its path, with the token.
    pub path: String,
    /// The address of the account.
    pub email: String,
    /// So long it is good, from now on.
    pub lifetime: Duration,
}

/// Makes one.
pub fn make(tx: &mut Tx, app: &App, _: Operator, who: &Named) -> Result<Outcome> {
    let Some(user) = users::hold_named(tx, who)? else {
        return Ok(Outcome::NoAccount);
    };
    if user.is_locked() {
        return Ok(Outcome::Locked(user.email.clone()));
    }
    let wanted = Wanted {
        purpose: Purpose::SignIn,
        email: &user.email,
        user: Some(&user),
        link_request_id: None,
        session_id: None,
    };
    let issued = links::issue(tx, &app.config, &app.keys, &wanted)?;
    // It waits for no mail server: its life begins now.
    let hash = issued.token.hash();
    links::handed_over(tx, &[hash.as_bytes()], millis(issued.lifetime))?;
    events::note(tx, &user.id, Event::SignInLinkMade, Actor::Operator)?;
    Ok(Outcome::Made(Made {
        path: issued.path(),
        email: user.email.clone(),
        lifetime: issued.lifetime,
    }))
}
