//! Sign out: the session ends here and now, on every node, and its cookie opens nothing again.
//!
//! Only a POST from our own page does it, so that no picture on another site signs anybody out.

use actix_web::web::{self, ServiceConfig};

use crate::accounts::events::{self, Event};
use crate::accounts::sessions;
use crate::flows::Answer;
use crate::web::form::{Form, NoFields};
use crate::web::visitor::SignedIn;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/sign-out").post(sign_out));
}

async fn sign_out(SignedIn { visitor, session }: SignedIn, _: Form<NoFields>) -> Answer {
    let client = visitor.client();
    let ended = visitor.app.transaction(move |tx| {
        if sessions::end_by_id(tx, &session.user_id, &session.id)? {
            events::note(tx, &session.user_id, Event::SignedOut, &client)?;
        }
        Ok(())
    });
    ended.await?;
    visitor.leave()
}
