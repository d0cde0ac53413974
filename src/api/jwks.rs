//! The public keys (RFC 7517), with which any service checks access tokens on its own.
//!
//! A key is there before it signs, and until the last token it signed is dead.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Answer;
use crate::app::App;

/// Where they are.
pub const JWKS: &str = "/.well-known/jwks.json";

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource(JWKS).get(show));
}

/// A set of public keys.
#[derive(Serialize, ToSchema)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

/// One of them.
#[derive(Serialize, ToSchema)]
pub struct Jwk {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: String,
    x: String,
    y: String,
}

/// The public keys.
///
/// For services that check access tokens by themselves (RFC 7517). A key is here before it signs, and for as long as a
/// token of it may live.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "keys", operation_id = "publicKeys",
    responses(
        (status = 200, description = "Those whose tokens may live", body = JwkSet),
    )
)]
async fn show(app: Data<App>) -> Answer {
    let now = app.clock.now();
    let ring = app.signing_keys.ring(&app.db, now).await?;
    let keys = ring
        .living(now)
        .filter_map(|key| {
            let (x, y) = key.coordinates()?;
            Some(Jwk {
                kty: "EC",
                crv: "P-256",
                alg: "ES256",
                usage: "sig",
                kid: key.id.clone(),
                x,
                y,
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(JwkSet { keys }))
}
