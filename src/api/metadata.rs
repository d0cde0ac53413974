//! What an OAuth client may ask where (RFC 8414): for clients that are told nothing but the address of the site.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::access_tokens::{READ, WRITE};
use crate::api::Answer;
use crate::api::jwks::JWKS;
use crate::api::tokens::{REVOKE, TOKENS};
use crate::app::App;

/// Where it is.
pub const METADATA: &str = "/.well-known/oauth-authorization-server";

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource(METADATA).get(show));
}

/// Names and values are those of RFC 8414, section 2.
#[derive(Serialize, ToSchema)]
pub struct Metadata {
    issuer: String,
    token_endpoint: String,
    revocation_endpoint: String,
    jwks_uri: String,
    /// Without a page at which a program asks for permission there is no other type of answer.
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 3],
    scopes_supported: [&'static str; 2],
    token_endpoint_auth_methods_supported: [&'static str; 1],
    revocation_endpoint_auth_methods_supported: [&'static str; 1],
    service_documentation: String,
}

/// The addresses for OAuth clients.
///
/// What a client that knows only the site needs to find the rest (RFC 8414).
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "keys", operation_id = "oauthMetadata",
    responses(
        (status = 200, description = "What RFC 8414 has clients look for", body = Metadata),
    )
)]
async fn show(app: Data<App>) -> Answer {
    let issuer = app.config.server.public_url.as_str();
    let at = |path: &str| format!("{issuer}{path}");
    Ok(HttpResponse::Ok().json(Metadata {
        issuer: issuer.to_owned(),
        token_endpoint: at(TOKENS),
        revocation_endpoint: at(REVOKE),
        jwks_uri: at(JWKS),
        response_types_supported: [],
        grant_types_supported: ["password", "refresh_token", "email_code"],
        scopes_supported: [READ, WRITE],
        token_endpoint_auth_methods_supported: ["none"],
        revocation_endpoint_auth_methods_supported: ["none"],
        service_documentation: at("/api"),
    }))
}
