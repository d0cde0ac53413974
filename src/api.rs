//! The same actions for programs: tokens, and what may be done with one. JSON in, JSON out.
//!
//! The rules are those of the [`flows`](crate::flows), called from the same places below; here stands how a
//! program asks and is answered, in OAuth's words where they fit (RFC 6749, 6750, 7009, 9068, 9457, 9470).
//!
//! * [`caller`]: who calls, by an access token; the guards that handlers ask for.
//! * [`codes`], [`tokens`]: how a program gets tokens, keeps and gives them back.
//! * [`oauth`]: how OAuth's clients are refused.
//! * [`delivery`]: how tokens are handed over.
//! * [`me`]: the account of whoever calls.
//! * [`jwks`]: the public keys, for services that check tokens on their own.
//! * [`metadata`]: where all this is, for OAuth clients.
//! * [`openapi`]: the description of all this, for programs and for people.
//! * [`error`]: why a program got no further, as a problem with a type of its own.
//! * [`answers`]: which of these each guard gives, for the description.
//! * [`cors`], [`origins`]: pages of other sites, where the operator names them.
//!
//! The browser's session cookie is not accepted here. So a page of another site cannot act in a visitor's name
//! (CSRF): a program sends its token itself.

use actix_web::HttpResponse;
use actix_web::web::ServiceConfig;

use crate::api::error::ApiError;

pub mod answers;
pub mod caller;
pub mod codes;
pub mod cors;
pub mod delivery;
pub mod error;
pub mod jwks;
pub mod me;
pub mod metadata;
pub mod oauth;
pub mod openapi;
pub mod origins;
pub mod tokens;

/// What a handler gives: an answer, or why there is none.
pub type Answer = Result<HttpResponse, ApiError>;

/// Every route for programs.
pub fn configure(cfg: &mut ServiceConfig) {
    codes::configure(cfg);
    tokens::configure(cfg);
    me::configure(cfg);
    jwks::configure(cfg);
    metadata::configure(cfg);
    openapi::configure(cfg);
}
