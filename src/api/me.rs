//! The account of whoever calls: who it is, where it is signed in, and what its owner may change.
//!
//! What is sensitive asks for the password first, as the browser's pages do, and by the same rules.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::accounts::email_address::EmailAddress;
use crate::accounts::sessions::{self, Listed};
use crate::actions::change_email::{self, ChangeRequest, Requested};
use crate::actions::{change_password, delete_account, end_sessions};
use crate::api::Answer;
use crate::api::answers::CrossOrigin;
use crate::api::caller::{Caller, Sensitive, SteppedUp};
use crate::api::delivery::{self, Delivery, Tokens};
use crate::api::error::ApiError;
use crate::humanize::rfc3339;
use crate::web::field_error::FieldError;
use crate::web::new_password;
use crate::web::path_id::PathId;
use crate::web::rejection::Rejection;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/api/v1/me").get(show).delete(delete))
        .service(web::resource("/api/v1/me/sessions").get(list_sessions))
        .service(web::resource("/api/v1/me/sessions/{id}").delete(end_session))
        .service(web::resource("/api/v1/me/password").post(change_password))
        .service(web::resource("/api/v1/me/email").post(change_email));
}

/// An account.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// What `sub` names in tokens.
    id: String,
    email: String,
    #[schema(format = "date-time")]
    created_at: String,
    has_password: bool,
    /// What this access token is good for.
    scope: String,
    /// The session that it belongs to, as `sid` names it.
    session_id: String,
}

/// Who is signed in.
///
/// The account that the access token is of, and what the token is good for.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "me", operation_id = "me", security(("bearer" = [])),
    responses(
        Caller,
        (status = 200, description = "The account", body = Me),
    )
)]
async fn show(caller: Caller) -> Answer {
    let session = caller.session;
    Ok(HttpResponse::Ok().json(Me {
        id: session.user_id,
        email: session.email,
        created_at: rfc3339(session.member_since),
        has_password: session.has_password,
        scope: caller.claims.scope.clone(),
        session_id: session.id,
    }))
}

/// The sessions of an account.
#[derive(Serialize, ToSchema)]
pub struct Sessions {
    sessions: Vec<ShownSession>,
}

/// A session, as its owner sees it.
#[derive(Serialize, ToSchema)]
pub struct ShownSession {
    /// It names the session and opens nothing.
    id: String,
    /// `password`, `passkey`, `email_code`, `email_link` or `notification_link`.
    auth_method: String,
    #[schema(format = "date-time")]
    created_at: String,
    #[schema(format = "date-time")]
    last_seen_at: String,
    ip: String,
    /// Our own words for the browser or the program.
    browser: String,
    /// It is a program's.
    program: bool,
    /// As the program was called when it signed in; empty, if it was not.
    label: String,
    /// On a shared computer.
    shared: bool,
    /// The one that asks.
    current: bool,
}

impl ShownSession {
    fn of(listed: Listed, current: &str) -> Self {
        Self {
            current: listed.id == current,
            id: listed.id,
            auth_method: listed.auth_method,
            created_at: rfc3339(listed.created_at),
            last_seen_at: rfc3339(listed.last_seen_at),
            ip: listed.ip,
            browser: listed.browser,
            program: listed.for_program,
            label: listed.label.as_str().to_owned(),
            shared: listed.shared,
        }
    }
}

/// Where somebody is signed in, in browsers and programs.
///
/// Every living session of the account, this one among them (`current`).
#[utoipa::path(
    get, path = "/api/v1/me/sessions", tag = "me", operation_id = "listSessions", security(("bearer" = [])),
    responses(
        Caller,
        (status = 200, description = "The living sessions, the last seen first", body = Sessions),
    )
)]
async fn list_sessions(caller: Caller) -> Answer {
    let (config, user_id) = (caller.app.config.clone(), caller.session.user_id.clone());
    let list = caller
        .app
        .read(move |tx| sessions::list(tx, &config, &user_id));
    let sessions = list
        .await?
        .into_iter()
        .map(|listed| ShownSession::of(listed, &caller.session.id))
        .collect();
    Ok(HttpResponse::Ok().json(Sessions { sessions }))
}

/// End a session, this one too.
///
/// A browser's is signed out by it, a program's tokens open nothing any more.
#[utoipa::path(
    delete, path = "/api/v1/me/sessions/{id}", tag = "me", operation_id = "endSession", security(("bearer" = [])),
    params(("id" = String, Path, description = "As the list has it")),
    responses(
        Caller,
        CrossOrigin,
        (status = 204, description = "It has ended, and its tokens open nothing"),
        (status = 404, description = "The account has no such session"),
    )
)]
async fn end_session(caller: Caller, id: Result<PathId, Rejection>) -> Answer {
    let (PathId(id), client) = (id?, caller.client());
    let ended = caller.act(move |tx, _, by| end_sessions::end_one(tx, by, &id, &client));
    match ended.await? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(Rejection::NotFound.into()),
    }
}

/// The password that is wanted.
#[derive(Deserialize, ToSchema)]
pub struct PasswordChange {
    /// At least 15 characters, and none of those that many people have.
    #[schema(value_type = String, min_length = 15, max_length = 256)]
    password: Zeroizing<String>,
}

/// Change the password; every other session ends, and so does every link.
///
/// Sensitive: wants a token by password, not older than the window for sensitive actions. An account without a
/// password gets its first one by a mailed link, in a browser.
#[utoipa::path(
    post, path = "/api/v1/me/password", tag = "me", operation_id = "changePassword", security(("bearer" = [])),
    request_body = PasswordChange,
    responses(
        Sensitive<PasswordChange>,
        (status = 200, description = "It is changed. All tokens of before are dead: go on with these, delivered as the one that asked", body = Tokens),
        (status = 422, description = "The password is not taken"),
        (status = 429, description = "Too often: wait for Retry-After"),
    )
)]
async fn change_password(Sensitive { caller, body }: Sensitive<PasswordChange>) -> Answer {
    let email = &caller.session.email;
    let password = new_password::parse(&caller.app, &body.password, email).map_err(|refused| {
        ApiError::Unacceptable {
            field: "password",
            error: FieldError::NewPassword(refused),
        }
    })?;
    caller.act_as_owner(change_password::count).await??;
    let hash = new_password::hash(&caller.app, password, email).await?;
    let (session_id, client) = (caller.session.id.clone(), caller.client());
    let signer = delivery::signer(&caller.app, None).await?;
    let changed = caller.act_as_owner(move |tx, app, owner| {
        change_password::by_program(tx, app, owner, &hash, &session_id, &signer, &client)
    });
    let granted = changed.await?.ok_or(ApiError::InvalidToken)?;
    let delivery = match caller.by_cookie {
        true => Delivery::Cookie,
        false => Delivery::Body,
    };
    Ok(delivery::deliver(&caller.app, granted, delivery))
}

/// The address that is wanted.
#[derive(Deserialize, ToSchema)]
pub struct EmailChange {
    /// Where the link goes; nothing changes before it is used.
    #[schema(format = "email")]
    email: String,
}

/// Ask for another address; it changes once the link that is mailed there is used.
///
/// Sensitive, as the password. The old address is told of it, and of the change once it happens, with a way to take it
/// back. After a reset by mail of an account that has passkeys it waits for a while, or until its owner uses one in a
/// browser and says there that the reset was theirs.
#[utoipa::path(
    post, path = "/api/v1/me/email", tag = "me", operation_id = "changeEmail", security(("bearer" = [])),
    request_body = EmailChange,
    responses(
        Sensitive<EmailChange>,
        (status = 202, description = "A link is on its way, or went there a moment ago, if that address may be had"),
        (status = 409, description = "It waits until held_until, because the password was set by mail"),
        (status = 422, description = "The address is not taken"),
        (status = 429, description = "Too often: wait for Retry-After"),
    )
)]
async fn change_email(Sensitive { caller, body }: Sensitive<EmailChange>) -> Answer {
    let unacceptable = |error| ApiError::Unacceptable {
        field: "email",
        error,
    };
    let new = match EmailAddress::parse(&body.email) {
        Ok(new) if new.as_str() == caller.session.email => {
            return Err(unacceptable(FieldError::SameAddress));
        }
        Ok(new) => new,
        Err(why) => return Err(unacceptable(FieldError::Address(why))),
    };
    caller.app.outbox.check_room()?;
    let request = ChangeRequest {
        new,
        session_id: caller.session.id.clone(),
        client: caller.client(),
    };
    let requested =
        caller.act_settled(move |tx, app, owner| change_email::request(tx, app, owner, &request));
    match requested.await?? {
        Requested::Sent => Ok(HttpResponse::Accepted().finish()),
        Requested::TooSoon(too_soon) => Err(unacceptable(too_soon.into())),
    }
}

/// Delete the account.
///
/// Sensitive, as the password. Everything that is kept on the account goes with it, at once and for good. After a reset by
/// mail it waits as another address does.
#[utoipa::path(
    delete, path = "/api/v1/me", tag = "me", operation_id = "deleteAccount", security(("bearer" = [])),
    responses(
        SteppedUp,
        (status = 204, description = "It is gone"),
        (status = 409, description = "It waits until held_until, because the password was set by mail"),
    )
)]
async fn delete(SteppedUp(caller): SteppedUp) -> Answer {
    let client = caller.client();
    let deleted =
        caller.act_settled(move |tx, app, owner| delete_account::delete(tx, app, owner, &client));
    deleted.await?;
    Ok(HttpResponse::NoContent().finish())
}
