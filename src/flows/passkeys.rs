//! Passkeys: the ceremonies, which a script on our pages leads a visitor through.
//!
//! Each has two steps. The first asks for a challenge, and changes nothing; what a stranger is answered is the same for
//! everybody. The second brings what an authenticator has made of it: to come in, to open the gate, or to have one
//! passkey more. Without a script nobody sees any of it, and all the other ways are there.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use serde::Deserialize;

use crate::accounts::passkeys::challenge::For;
use crate::actions::add_passkey;
use crate::actions::passkey_answer::{self, Answer as PasskeyAnswer};
use crate::actions::reauthenticate::{self, Attempt};
use crate::actions::sign_in_with_passkey;
use crate::web::form::NoFields;
use crate::web::next::Next;
use crate::web::page::ShownHold;
use crate::web::passkey_options::{self, site};
use crate::web::rejection::Rejection;
use crate::web::script::{Answer, ScriptError, Sent, go_on_to};
use crate::web::step_up::MayAddPasskey;
use crate::web::visitor::{SignedIn, Visitor};
use crate::webauthn::{AuthenticationResponse, Refusal, RegistrationResponse};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/passkeys/sign-in/options").post(sign_in_options))
        .service(web::resource("/passkeys/sign-in").post(sign_in))
        .service(web::resource("/reauthenticate/passkey/options").post(gate_options))
        .service(web::resource("/reauthenticate/passkey").post(open_gate))
        .service(web::resource("/account/passkeys/add/options").post(add_options))
        .service(web::resource("/account/passkeys/add").post(add));
}

/// The page from which they are added.
const LIST: &str = "/account/passkeys";

/// Whatever was wrong, it is said in these words.
const REFUSED: ScriptError = ScriptError::Refused {
    name: "passkey_refused",
    title: "This passkey was not taken",
    detail: "It may have been removed, or this took too long. Try again, or take another way.",
};

/// Nor is more told to a visitor of one that nobody has; but what keeps it may forget it. Nobody guesses the name of one
/// that somebody has.
const UNKNOWN: ScriptError = ScriptError::Refused {
    name: "unknown_passkey",
    title: "This passkey was not taken",
    detail: "It may have been removed, or this took too long. Try again, or take another way.",
};

const TOO_MANY: ScriptError = ScriptError::Refused {
    name: "too_many_passkeys",
    title: "There are too many passkeys",
    detail: "An account has 20 passkeys at the most. Remove one that you no longer use.",
};

async fn sign_in_options(Sent { by: visitor, .. }: Sent<Visitor, NoFields>) -> Answer {
    let app = &visitor.app;
    let site = site(&app.relying_party)?;
    let challenge = sign_in_with_passkey::challenge(app)?;
    Ok(HttpResponse::Ok().json(passkey_options::to_sign(site, &challenge, &[])))
}

#[derive(Deserialize)]
struct SignInBody {
    credential: AuthenticationResponse,
    #[serde(default)]
    next: String,
    /// On a shared computer.
    #[serde(default)]
    shared: bool,
}

/// Whoever was signed in here is no more, as when a password is entered.
async fn sign_in(Sent { by: visitor, body }: Sent<Visitor, SignInBody>) -> Answer {
    let answer = verify(&visitor, For::SigningIn, body.credential).await?;
    let why_not = match answer {
        Err(Refusal::UnknownCredential) => UNKNOWN,
        _ => REFUSED,
    };
    let device = visitor.device(body.shared);
    let begun = visitor
        .act(move |tx, app| sign_in_with_passkey::conclude(tx, app, answer.as_ref().ok(), &device));
    let begun = begun.await??.ok_or(why_not)?;
    let next = visitor.next(&body.next);
    let next = next.as_deref().unwrap_or(Next::DEFAULT);
    // After a reset by mail whoever has a passkey is asked first whether it was they.
    let hold = ShownHold::of(&begun.session, visitor.now(), &visitor.app.config);
    let onward = match hold {
        Some(_) => go_on_to(&ShownHold::page(next)),
        None => go_on_to(next),
    };
    Ok(visitor.welcome_with(&begun, onward)?)
}

async fn verify(
    visitor: &Visitor,
    purpose: For,
    response: AuthenticationResponse,
) -> Result<Result<PasskeyAnswer, Refusal>, ScriptError> {
    let site = site(&visitor.app.relying_party)?.clone();
    let app = visitor.app.clone();
    let verified = visitor
        .app
        .read(move |tx| passkey_answer::verify(tx, &app, &site, &purpose, &response));
    Ok(verified.await?)
}

async fn gate_options(sent: Sent<SignedIn, NoFields>) -> Answer {
    let SignedIn { visitor, session } = sent.by;
    let site = site(&visitor.app.relying_party)?;
    let app = visitor.app.clone();
    let challenged = visitor
        .app
        .read(move |tx| reauthenticate::challenge(tx, &app, &session));
    let challenged = challenged.await?.ok_or(Rejection::NotFound)?;
    let (challenge, with) = (&challenged.challenge, &challenged.passkeys);
    Ok(HttpResponse::Ok().json(passkey_options::to_sign(site, challenge, with)))
}

#[derive(Deserialize)]
struct GateBody {
    credential: AuthenticationResponse,
    #[serde(default)]
    next: String,
}

async fn open_gate(
    Sent {
        by: signed_in,
        body,
    }: Sent<SignedIn, GateBody>,
) -> Answer {
    let SignedIn { visitor, session } = signed_in;
    let next = visitor.next(&body.next);
    let next = next.unwrap_or_else(|| Next::DEFAULT.to_owned());
    let Some(token) = visitor.token_hash() else {
        return Err(Rejection::SignInFirst { next }.into());
    };
    let attempt = Attempt {
        user_id: session.user_id.clone(),
        token,
        client: visitor.client(),
    };
    let answer = verify(&visitor, reauthenticate::purpose(&session), body.credential).await?;
    let opened = visitor
        .act(move |tx, app| reauthenticate::by_passkey(tx, app, &attempt, answer.as_ref().ok()));
    match opened.await?? {
        reauthenticate::Outcome::Open(token) => {
            visitor.hand_over(&token, &session)?;
            Ok(go_on_to(&next))
        }
        reauthenticate::Outcome::Ended => Err(Rejection::SignInFirst { next }.into()),
        reauthenticate::Outcome::Wrong => Err(REFUSED),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AddOptionsBody {
    /// Nobody is asked: the browser makes one by itself, or does not.
    by_itself: bool,
}

/// A challenge is good in this session alone.
fn adding(gate: &MayAddPasskey, by_itself: bool) -> For {
    let session = gate.session.id.clone();
    match by_itself {
        true => For::AddingByItself(session),
        false => For::Adding(session),
    }
}

async fn add_options(Sent { by: gate, body }: Sent<MayAddPasskey, AddOptionsBody>) -> Answer {
    let app = &gate.visitor.app;
    let site = site(&app.relying_party)?;
    let purpose = adding(&gate, body.by_itself);
    let offer = gate.act(|tx, app, may| add_passkey::offer(tx, app, may.user(), purpose));
    let offer = offer.await?.ok_or(TOO_MANY)?;
    let options = passkey_options::to_make(site, app.name, &offer, body.by_itself);
    Ok(HttpResponse::Ok().json(options))
}

#[derive(Deserialize)]
struct AddBody {
    credential: RegistrationResponse,
    #[serde(default)]
    by_itself: bool,
}

async fn add(Sent { by: gate, body }: Sent<MayAddPasskey, AddBody>) -> Answer {
    let visitor = &gate.visitor;
    let site = site(&visitor.app.relying_party)?;
    let purpose = adding(&gate, body.by_itself);
    let made = add_passkey::verify(&visitor.app, site, &purpose, body.credential);
    let (made, client) = (made.ok_or(REFUSED)?, visitor.client());
    let added = gate.act(move |tx, app, may| add_passkey::add(tx, app, may, &made, &client));
    match added.await?? {
        add_passkey::Outcome::Added if body.by_itself => Ok(go_on_to(Next::DEFAULT)),
        add_passkey::Outcome::Added => {
            let added = "The passkey is added. It signs you in from now on.";
            // After the first one the list is behind the gate.
            let is_open = gate
                .session
                .is_reauthenticated(visitor.now(), &visitor.app.config);
            let next = if is_open { LIST } else { Next::DEFAULT };
            Ok(visitor.done_by_script(added, next, None)?)
        }
        add_passkey::Outcome::TooMany => Err(TOO_MANY),
        add_passkey::Outcome::Refused => Err(REFUSED),
    }
}
