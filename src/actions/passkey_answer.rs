//! What a passkey has signed, between its two transactions.
//!
//! To verify a signature takes its time, so that is done by a read, which keeps nobody waiting. What came of it is taken
//! in the transaction that acts on it: with the account held, for a passkey that is still there, once for each challenge,
//! and only if the authenticator has counted on. Of two answers at once the second one waits for the first, and is
//! judged by what that one left.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::passkeys::challenge::{Challenge, For};
use crate::accounts::passkeys::{self, Counter, Passkey};
use crate::accounts::users::{Held, User};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::webauthn::{AuthenticationResponse, KnownCredential, Refusal, RelyingParty, Used};

/// An answer that was verified, and not yet taken.
pub struct Answer {
    passkey: Passkey,
    challenge: Challenge,
    used: Used,
}

/// Reads who answers, and verifies it; nothing is changed. Why an answer is not taken is for the log.
pub fn verify(
    tx: &mut Tx,
    app: &App,
    site: &RelyingParty,
    purpose: &For,
    response: &AuthenticationResponse,
) -> Result<Result<Answer, Refusal>> {
    let passkey = passkeys::find_by_credential(tx, response.credential_id())?;
    let verified = match passkey {
        Some(passkey) => check(app, tx.now, site, purpose, response, passkey),
        None => Err(Refusal::UnknownCredential),
    };
    Ok(verified.inspect_err(|why| {
        tracing::info!(
            event = "passkey_refused",
            why = why.name(),
            "a passkey was refused"
        );
    }))
}

fn check(
    app: &App,
    now: i64,
    site: &RelyingParty,
    purpose: &For,
    response: &AuthenticationResponse,
    passkey: Passkey,
) -> Result<Answer, Refusal> {
    let challenge = response.challenge().ok_or(Refusal::Malformed)?;
    let challenge = Challenge::open(&app.keys, now, purpose, challenge);
    let challenge = challenge.ok_or(Refusal::WrongChallenge)?;
    // Whoever is only now to be known is named by the authenticator as well (7.2).
    if *purpose == For::SigningIn && !response.names_account() {
        return Err(Refusal::WrongAccount);
    }
    let known = KnownCredential {
        public_key: &passkey.public_key,
        backup_eligible: passkey.backup_eligible,
        user_handle: &passkeys::user_handle(&passkey.user_id),
    };
    let used = response.verify(site, challenge.as_bytes(), &known)?;
    Ok(Answer {
        passkey,
        challenge,
        used,
    })
}

impl Answer {
    /// Whose passkey it was, when it was verified.
    pub fn user_id(&self) -> &str {
        &self.passkey.user_id
    }

    /// Takes it, if nothing has come between; whether it was taken. The account is held, and its owner hears of a
    /// passkey that there are two of.
    pub fn take(&self, tx: &mut Tx, app: &App, user: &Held<User>, client: &Client) -> Result<bool> {
        let Some(passkey) = passkeys::find_of(tx, user, &self.passkey.credential_id)? else {
            return Ok(false);
        };
        // Removed meanwhile, and added anew.
        if passkey.id != self.passkey.id || !self.challenge.answer(tx)? {
            return Ok(false);
        }
        match passkeys::note_use(tx, user, &passkey, self.used)? {
            Counter::WentOn => Ok(true),
            Counter::FellBehind => {
                events::note(tx, &user.id, Event::PasskeyCopied, client)?;
                let notice = Notice::PasskeyCopied;
                app.outbox.tell(tx, &user.email, notice, client)?;
                Ok(false)
            }
        }
    }
}
