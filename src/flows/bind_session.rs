//! Binding a session to its device (Device Bound Session Credentials, W3C): what the browser does by itself, beside the
//! page, when a session has begun, and from then on before its cookie is over.
//!
//! No person sees any of this, and no script can ask for it. It needs no cookie, for browsers bring none when their
//! visitor came from another site; and it may come from anywhere, for it does nothing without a signature: so it stands
//! apart from the session's cookie and from the same-origin check. Nobody is told to wait here, or sent elsewhere: a
//! browser that is answered so gives the binding up, and its visitor has to sign in again. Only a 503 lets it try once
//! more.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::json;

use crate::accounts::device_keys::Binding;
use crate::actions::bind_session::{self, Asked, Bound, Outcome, Proven};
use crate::app::App;
use crate::error::{Error, Result};
use crate::flows::Answer;
use crate::random;
use crate::web::app_data::act;
use crate::web::bound_session::{self, ATTRIBUTES, BIND, PROVE, SecureSession};
use crate::web::rejection::Rejection;

/// The challenge, in what we answer.
const CHALLENGE: HeaderName = HeaderName::from_static("secure-session-challenge");

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource(BIND).post(bind))
        .service(web::resource(PROVE).post(prove));
}

/// The session that the challenge names is bound to the key that has signed it.
async fn bind(asked: SecureSession) -> Answer {
    let SecureSession {
        app, client, proof, ..
    } = asked;
    let (proof, now) = (proof.ok_or(Rejection::Unreadable)?, app.clock.now());
    let binding = Binding::verify(&proof, &app.keys, &app.config, now);
    let binding = binding.ok_or(Rejection::Unreadable)?;
    let session_id = binding.challenge.session_id.clone();
    let bound = act(&app, move |tx, app| {
        bind_session::bind(tx, app, &binding, &client)
    });
    match bound.await? {
        Bound::Now(proven) => Ok(goes_on(&app, &proven)?),
        // In words that end nothing: the browser may have bound it before.
        Bound::Before => Err(Rejection::Unreadable),
        Bound::Ended => Ok(is_over(&session_id)),
    }
}

/// The device of the session that the browser names is there; or is challenged to prove it.
async fn prove(asked: SecureSession) -> Answer {
    let SecureSession {
        app,
        client,
        id,
        proof,
    } = asked;
    let session_id = &id.ok_or(Rejection::Unreadable)?;
    if !random::is_id(session_id) {
        return Ok(is_over(session_id));
    }
    let (id, at_hand) = (session_id.clone(), app.clone());
    let asked = app.read(move |tx| bind_session::look(tx, &at_hand, &id, proof.as_deref()));
    let signed = match asked.await? {
        Asked::Signed(signed) => signed,
        Asked::Challenged(challenge) => return Ok(challenged(session_id, &challenge)?),
        Asked::Ended => return Ok(is_over(session_id)),
    };
    let proven = act(&app, move |tx, app| {
        bind_session::prove(tx, app, &signed, &client)
    });
    match proven.await? {
        Outcome::Proven(proven) => Ok(goes_on(&app, &proven)?),
        Outcome::Challenged(challenge) => Ok(challenged(session_id, &challenge)?),
        Outcome::Ended => Ok(is_over(session_id)),
    }
}

/// The session is bound, and its device is there.
fn goes_on(app: &App, proven: &Proven) -> Result<HttpResponse> {
    let cookie = bound_session::cookie(app, proven)?;
    let mut answer = HttpResponse::Ok();
    challenge(&mut answer, &proven.session_id, &proven.challenge)?;
    Ok(answer.cookie(cookie).json(json!({
        "session_identifier": proven.session_id,
        "refresh_url": PROVE,
        "scope": { "include_site": false },
        "credentials": [{
            "type": "cookie",
            "name": bound_session::cookie_name(app),
            "attributes": ATTRIBUTES,
        }],
    })))
}

/// Nothing was proven yet.
fn challenged(session_id: &str, text: &str) -> Result<HttpResponse> {
    let mut answer = HttpResponseBuilder::new(StatusCode::FORBIDDEN);
    challenge(&mut answer, session_id, text)?;
    Ok(answer.finish())
}

fn challenge(answer: &mut HttpResponseBuilder, session_id: &str, text: &str) -> Result<()> {
    let words = HeaderValue::try_from(format!(r#""{text}";id="{session_id}""#));
    answer.insert_header((CHALLENGE, words.map_err(Error::internal)?));
    Ok(())
}

/// There is no such session: its browser need not ask any more. Nothing is taken from it, for it may have another.
fn is_over(session_id: &str) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "session_identifier": session_id, "continue": false }))
}
