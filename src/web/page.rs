//! A page: a template, rendered into the site's layout.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, LOCATION};
use actix_web::{HttpResponse, HttpResponseBuilder};
use askama::Template;

use crate::error::{Error, Result};
use crate::web::headers;

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

/// What every answer on a link's route says: neither indexed, nor told to anybody.
pub fn confidential(mut response: HttpResponse) -> HttpResponse {
    headers::tell_nobody(response.headers_mut());
    response
}
