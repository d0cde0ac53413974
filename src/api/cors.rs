//! Pages of other sites that may call the API: those that `API_ORIGINS` names, and no others.
//!
//! By default none is named, and no answer has a header of CORS: so browsers let no page of another site read what
//! programs are told. A site that is named may send its tokens itself. Cookies never cross: they count for
//! our own pages alone.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, VARY,
};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};

use crate::api::jwks::JWKS;
use crate::api::metadata::METADATA;
use crate::api::origins;
use crate::app::App;

/// Answers a browser that asks first, and tells it which page may read the answer.
pub async fn guard(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some(origin) = named_origin(&req) else {
        return Ok(next.call(req).await?.map_into_left_body());
    };
    let asks_first = req.method() == Method::OPTIONS
        && req.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut res = if asks_first {
        let may = HttpResponse::NoContent()
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"))
            .insert_header((ACCESS_CONTROL_MAX_AGE, "600"))
            .finish();
        req.into_response(may).map_into_right_body()
    } else {
        next.call(req).await?.map_into_left_body()
    };
    tell(res.headers_mut(), origin);
    Ok(res)
}

/// The origin of the page that calls, if it is one that may call this.
fn named_origin(req: &ServiceRequest) -> Option<HeaderValue> {
    let path = req.path();
    let is_api = path.starts_with("/api/") || [JWKS, METADATA].contains(&path);
    let app = req.app_data::<Data<App>>().filter(|_| is_api)?;
    origins::named(req.headers(), &app.config).cloned()
}

fn tell(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "authorization, x-refresh-token, retry-after, www-authenticate, x-request-id",
        ),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
}
