//! What is different at OAuth's own endpoints: every refusal there has a word of OAuth's in `error`, and whoever
//! speaks as OAuth's clients do is answered in `application/json` (RFC 6749, 5.2). Few of them know
//! `application/problem+json`, and one took a refusal of that type for a token. The body is the same.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, Accept, CONTENT_TYPE, Header, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError};

use crate::api::error::ApiError;
use crate::web::form;

/// Around an endpoint of OAuth's.
pub async fn speak(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let wants_json = is_an_oauth_client(&req);
    let mut res = next.call(req).await?.map_into_boxed_body();
    if res.status() == StatusCode::METHOD_NOT_ALLOWED {
        res = in_our_words(res);
    }
    let is_refusal = res.status().is_client_error() || res.status().is_server_error();
    if wants_json && is_refusal {
        let json = HeaderValue::from_static("application/json");
        res.headers_mut().insert(CONTENT_TYPE, json);
    }
    Ok(res)
}

/// The framework refuses a method without a word.
fn in_our_words(res: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let allowed = res.headers().get(ALLOW).cloned();
    let mut answer = ApiError::WrongMethod.error_response();
    if let Some(allowed) = allowed {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    res.into_response(answer)
}

/// Whether it sends a form, or accepts plain JSON and nothing that a problem could be.
fn is_an_oauth_client(req: &ServiceRequest) -> bool {
    form::is_a_form(form::content_type(req.request())) || accepts_json_alone(req)
}

fn accepts_json_alone(req: &ServiceRequest) -> bool {
    let accept = Accept::parse(req).unwrap_or_else(|_| Accept(Vec::new()));
    let kinds = || accept.iter().map(|range| range.item.essence_str());
    kinds().any(|kind| kind == "application/json")
        && !kinds().any(|kind| ["*/*", "application/*", "application/problem+json"].contains(&kind))
}
