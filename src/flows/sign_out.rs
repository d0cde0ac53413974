//! Sign out: the session ends here and now, on every node, and its cookie opens nothing again.
//!
//! Only a POST from our own page does it, so that no picture on another site signs anybody out.

use actix_web::http::header::HeaderName;
use actix_web::web::{self, ServiceConfig};
use serde::Deserialize;

use crate::accounts::sessions;
use crate::flows::Answer;
use crate::web::form::Form;
use crate::web::page::see_other;
use crate::web::session_cookie;
use crate::web::visit::SignedIn;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/sign-out").post(sign_out));
}

#[derive(Default, Deserialize)]
struct NoFields {}

async fn sign_out(signed_in: SignedIn, _: Form<NoFields>) -> Answer {
    let visit = signed_in.visit;
    if let Some(token) = visit.token_hash() {
        visit
            .app
            .transaction(move |tx| sessions::end(tx, &token))
            .await?;
    }
    session_cookie::take_back(visit.carried());
    // Not "cookies": that would take those of sibling hosts too.
    let clear = (
        HeaderName::from_static("clear-site-data"),
        r#""cache", "storage""#,
    );
    Ok(see_other("/").insert_header(clear).finish())
}
