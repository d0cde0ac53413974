//! A code by mail, for a program that asks for it.
//!
//! What happens is what happens when somebody asks in a browser, and known and unknown addresses are answered
//! alike. The code is good only with the id that is answered here, as elsewhere it is good only in the browser
//! that asked: to somebody who has talked its reader into telling the code over the phone, it is of no use.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::client::Label;
use crate::accounts::email_address::EmailAddress;
use crate::actions::request_link::{self, AskedBy, LinkKind, LinkRequest, Outcome};
use crate::api::Answer;
use crate::api::caller::Open;
use crate::api::error::ApiError;
use crate::random;
use crate::web::app_data::act;
use crate::web::client;
use crate::web::field_error::FieldError;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/api/v1/sign-in-codes").post(ask));
}

/// Whom to mail a code.
#[derive(Deserialize, ToSchema)]
pub struct CodeRequest {
    /// Where the code goes.
    #[schema(format = "email", example = "ada@example.org")]
    email: String,
}

/// The request that the code will belong to.
#[derive(Serialize, ToSchema)]
pub struct CodeAsked {
    /// To be sent with the code, and kept to oneself until then.
    sign_in_id: String,
    /// In so many seconds another mail can be asked for.
    again_in: u64,
    /// A message went to this address a moment ago, so that none went for this id: the code in it belongs to the id
    /// that was answered then. Only if its code or link was used already, another one is on its way, and its code
    /// belongs to this id.
    sent_before: bool,
}

/// Mail a sign-in code.
///
/// Known and unknown addresses are answered alike. An address without an account gets a code with which one begins, if
/// sign-up is open to it. The code is good only together with the `sign_in_id` of this answer.
#[utoipa::path(
    post, path = "/api/v1/sign-in-codes", tag = "tokens", operation_id = "askForCode",
    request_body = CodeRequest,
    responses(
        Open<CodeRequest>,
        (status = 202, description = "A code is on its way, if this address may have one; or went there a moment ago", body = CodeAsked),
        (status = 422, description = "No address that mail could go to"),
        (status = 429, description = "Too often: wait for Retry-After"),
    )
)]
async fn ask(Open { app, req, body }: Open<CodeRequest>) -> Answer {
    let email = EmailAddress::parse(&body.email).map_err(|why| ApiError::Unacceptable {
        field: "email",
        error: FieldError::Address(why),
    })?;
    app.outbox.check_room()?;
    let now = app.clock.now();
    let request = LinkRequest {
        id: random::id(),
        kind: LinkKind::SignIn,
        email,
        client: client::of_program(&req, &app.config, Label::default()),
        asked_by: AskedBy::Program,
    };
    let sign_in_id = request.id.clone();
    let requested = act(&app, move |tx, app| {
        request_link::request(tx, app, &request)
    });
    let (again_at, sent_before) = match requested.await?? {
        Outcome::Sent { again_at } => (again_at, false),
        Outcome::SentBefore { again_at, .. } | Outcome::SentElsewhere { again_at } => {
            (again_at, true)
        }
    };
    let wait = u64::try_from(again_at - now).unwrap_or(0);
    Ok(HttpResponse::Accepted().json(CodeAsked {
        sign_in_id,
        again_in: wait.div_ceil(1000),
        sent_before,
    }))
}
