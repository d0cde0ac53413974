//! Sign out: the session ends here and now, on every node, and its cookie opens nothing again.
//!
//! Only a POST from our own page does it, so that no picture on another site signs anybody out (CSRF).

use actix_web::web::{self, ServiceConfig};

use crate::actions::end_sessions;
use crate::flows::Answer;
use crate::web::form::{Form, NoFields};
use crate::web::rejection::Rejection;
use crate::web::visitor::SignedIn;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/sign-out").post(sign_out));
}

async fn sign_out(signed_in: SignedIn, _: Form<NoFields>) -> Answer {
    let client = signed_in.visitor.client();
    let ended = signed_in.act(move |tx, _, by| end_sessions::sign_out(tx, by, &client));
    match ended.await {
        // The session had ended already, which is all that was wanted.
        Ok(()) | Err(Rejection::SignInFirst { .. }) => {
            signed_in.visitor.leave("You are signed out.")
        }
        Err(rejection) => Err(rejection),
    }
}
