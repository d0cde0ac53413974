//! What is found without a link to it, because it is at the same place on every site: where the password is changed,
//! whom to tell of a security hole, and what search engines are to leave alone.

use std::fmt::Write;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::{self, Data, ServiceConfig};

use crate::app::App;
use crate::flows::Answer;
use crate::humanize;
use crate::web::page::see_other;
use crate::web::rejection::Rejection;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/.well-known/change-password").get(change_password))
        .service(web::resource("/.well-known/security.txt").get(security_txt))
        .service(web::resource("/robots.txt").get(robots_txt));
}

/// Password managers lead their people here (W3C, "A Well-Known URL for Changing Passwords").
async fn change_password() -> HttpResponse {
    see_other("/account/password").finish()
}

/// RFC 9116. Until the operator has said whom to tell there is none.
async fn security_txt(app: Data<App>) -> Answer {
    let security = &app.config.security;
    let Some(expires) = security.expires else {
        return Err(Rejection::NotFound);
    };
    let mut text = String::new();
    for contact in &security.contact {
        let _ = writeln!(text, "Contact: {contact}");
    }
    let site = app.config.server.public_url.as_str();
    let expires = humanize::rfc3339(expires);
    let _ = writeln!(text, "Expires: {expires}");
    let _ = writeln!(text, "Canonical: {site}/.well-known/security.txt");
    Ok(plain(text))
}

/// What only somebody signed in, the reader of a letter, or a program has any use for. An address with a query is a
/// page that somebody was on the way to, or a link that somebody was mailed.
async fn robots_txt() -> HttpResponse {
    plain(
        "User-agent: *\n\
         Disallow: /account\n\
         Disallow: /api/\n\
         Disallow: /auth/\n\
         Disallow: /confirm-email\n\
         Disallow: /dev/\n\
         Disallow: /healthz\n\
         Disallow: /readyz\n\
         Disallow: /reauthenticate\n\
         Disallow: /reset-password\n\
         Disallow: /sign-in/\n\
         Disallow: /sign-out\n\
         Disallow: /unsubscribe\n\
         Disallow: /*?\n"
            .to_owned(),
    )
}

fn plain(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(ContentType::plaintext())
        .body(text)
}
