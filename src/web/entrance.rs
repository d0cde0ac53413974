//! The last steps of every way in: a session begins, the browser gets its cookie, and goes on.

use actix_web::{HttpMessage, HttpResponse};

use crate::accounts::links::{self, Consumed, Purpose};
use crate::accounts::sessions::{self, AuthMethod, Whereabouts};
use crate::accounts::users;
use crate::db::Tx;
use crate::error::Result;
use crate::random::{Token, TokenHash};
use crate::web::page::see_other;
use crate::web::problem::Stop;
use crate::web::session_cookie::{self, EndsWithBrowser};
use crate::web::visit::Visit;

/// What a browser brings along when somebody is about to sign in there.
pub struct Arrival {
    at: Whereabouts,
    replaced: Option<TokenHash>,
}

/// A session that has just begun, on its way to the browser.
pub struct Entered {
    token: Token,
    user_id: String,
    shared: bool,
}

impl Arrival {
    /// Taken from the request, before the transaction.
    pub fn of(visit: &Visit) -> Self {
        Self {
            at: visit.whereabouts(),
            replaced: visit.token_hash(),
        }
    }
}

/// Signs in whoever used a link or a code, in the transaction that used it up. `None` when it leads to no
/// account.
///
/// The session replaces the one this browser had; every sign-in link of the account ends. On a shared
/// computer the session ends with the browser and leaves nothing known.
pub fn enter(
    tx: &mut Tx,
    proof: &Consumed,
    method: AuthMethod,
    arrival: &Arrival,
    shared: bool,
) -> Result<Option<Entered>> {
    let Some(user) = users::led_to_by(tx, proof)? else {
        return Ok(None);
    };
    links::remember_user(tx, proof, &user.id)?;
    for purpose in [Purpose::SignIn, Purpose::ConfirmEmail] {
        links::end(tx, &user.email, purpose)?;
    }
    let replaced = arrival.replaced.as_ref();
    let token = sessions::start(tx, &user.id, method, shared, &arrival.at, replaced)?;
    Ok(Some(Entered {
        token,
        user_id: user.id,
        shared,
    }))
}

/// Hands over the cookies and goes on to where the visitor wanted.
pub fn welcome(visit: &Visit, entered: &Entered, next: &str) -> Result<HttpResponse, Stop> {
    session_cookie::hand_over(visit.carried(), &entered.token)?;
    let mut onward = see_other(next);
    if entered.shared {
        visit.req.extensions_mut().insert(EndsWithBrowser);
    } else {
        let known = visit
            .known()
            .with(&entered.user_id, visit.now(), &visit.app)?;
        onward.cookie(known);
    }
    Ok(onward.finish())
}
