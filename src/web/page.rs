//! A page: a template, rendered into the site's layout.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, LOCATION};
use actix_web::{HttpResponse, HttpResponseBuilder};
use askama::Template;

use crate::error::{Error, Result};

/// What the layout needs to know on every page.
pub struct Frame {
    /// The address of whoever is signed in.
    pub signed_in: Option<String>,
}

/// A page that answers 200.
pub fn page(template: &impl Template) -> Result<HttpResponse> {
    page_with(StatusCode::OK, template)
}

/// A page with another status: a form with a mistake in it (422), a link that is gone (410).
pub fn page_with(status: StatusCode, template: &impl Template) -> Result<HttpResponse> {
    let html = template.render().map_err(Error::internal)?;
    Ok(HttpResponseBuilder::new(status)
        .insert_header(header::ContentType::html())
        .body(html))
}

/// Goes on elsewhere on this site, by GET.
pub fn see_other(path: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, path));
    response
}

/// What every answer on a link's route says: neither kept, nor indexed, nor told to anybody.
pub fn confidential(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    headers.insert(
        header::REFERRER_POLICY,
        header::HeaderValue::from_static("no-referrer"),
    );
    headers.insert(
        header::HeaderName::from_static("x-robots-tag"),
        header::HeaderValue::from_static("noindex"),
    );
    response
}
