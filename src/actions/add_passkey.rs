//! A passkey is added in a session: by the owner, or the first one to an account that has just begun ([`MayAdd`]).
//!
//! What is asked for is sealed in the challenge: in which session, so that nobody has an owner add a passkey to another
//! account. The passkey itself is verified before it comes here, and kept if nobody has it yet. The mailbox is told.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Verb};
use crate::accounts::passkeys::challenge::{self, Challenge, For};
use crate::accounts::passkeys::{self, Added, MayAdd, Passkey};
use crate::accounts::users::{Held, User};
use crate::actions::Counted;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::webauthn::{Mediation, NewCredential, Refusal, RegistrationResponse, RelyingParty};

/// A challenge for a passkey of this account, and the passkeys that it has. Where it may have no more, none is asked
/// for.
pub fn offer(tx: &mut Tx, app: &App, user: &Held<User>, purpose: For) -> Result<Option<Offer>> {
    let has = passkeys::list(tx, &user.id)?;
    if i64::try_from(has.len()).is_ok_and(|has| has >= passkeys::MOST) {
        return Ok(None);
    }
    Ok(Some(Offer {
        challenge: challenge::draw(&app.keys, tx.now, purpose)?,
        user_handle: passkeys::user_handle(&user.id),
        email: user.email.clone(),
        has,
    }))
}

/// What an authenticator is asked for.
pub struct Offer {
    pub challenge: Vec<u8>,
    pub user_handle: [u8; 32],
    pub email: String,
    /// An authenticator that has one of these makes no other.
    pub has: Vec<Passkey>,
}

/// A passkey that was verified, and not yet added.
pub struct Made {
    credential: NewCredential,
    challenge: Challenge,
}

/// Verifies what an authenticator has made; nothing is read or changed.
pub fn verify(
    app: &App,
    site: &RelyingParty,
    purpose: &For,
    response: RegistrationResponse,
) -> Option<Made> {
    check(app, site, purpose, response)
        .inspect_err(|why| {
            tracing::info!(
                event = "passkey_refused",
                why = why.name(),
                "a passkey was refused"
            );
        })
        .ok()
}

fn check(
    app: &App,
    site: &RelyingParty,
    purpose: &For,
    response: RegistrationResponse,
) -> Result<Made, Refusal> {
    let challenge = response.challenge().ok_or(Refusal::Malformed)?;
    let challenge = Challenge::open(&app.keys, app.clock.now(), purpose, challenge);
    let challenge = challenge.ok_or(Refusal::WrongChallenge)?;
    let mediation = match purpose {
        For::AddingByItself(_) => Mediation::Conditional,
        _ => Mediation::Asking,
    };
    let credential = response.verify(site, challenge.as_bytes(), mediation)?;
    Ok(Made {
        credential,
        challenge,
    })
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    Added,
    /// The account has as many as it may have.
    TooMany,
    /// It is known already, or its challenge was answered before.
    Refused,
}

/// Adds it to the account.
pub fn add(
    tx: &mut Tx,
    app: &App,
    may: &MayAdd,
    made: &Made,
    client: &Client,
) -> Result<Counted<Outcome>> {
    let user = may.user();
    if let Err(too_many) = limits::count_verb(tx, &app.config, Verb::AddPasskey, user)? {
        return Ok(Err(too_many));
    }
    let outcome = keep(tx, may, made, client)?;
    if let Outcome::Added = outcome {
        events::note(tx, &user.id, Event::PasskeyAdded, client)?;
        app.outbox
            .tell(tx, &user.email, Notice::PasskeyAdded, client)?;
    }
    Ok(Ok(outcome))
}

/// Keeps it, if nothing has come between.
pub(super) fn keep(tx: &mut Tx, may: &MayAdd, made: &Made, client: &Client) -> Result<Outcome> {
    if !made.challenge.answer(tx)? {
        return Ok(Outcome::Refused);
    }
    Ok(match passkeys::add(tx, may, &made.credential, client)? {
        Added::Done => Outcome::Added,
        Added::TooMany => Outcome::TooMany,
        Added::Known => Outcome::Refused,
    })
}
