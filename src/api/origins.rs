//! Pages of other sites that call, as far as the operator has named them.

use actix_web::http::header::{HeaderMap, HeaderValue, ORIGIN};

use crate::config::Config;

/// The origin that a request says it comes from, if `API_ORIGINS` names it.
pub fn named<'a>(headers: &'a HeaderMap, config: &Config) -> Option<&'a HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let named = &config.api.origins;
    let is_named = named
        .iter()
        .any(|named| named.as_bytes() == origin.as_bytes());
    is_named.then_some(origin)
}
