//! Sign out: the session ends here and now, on every node, and its cookie opens nothing again.
//!
//! Only a POST from our own page does it, so that no picture on another site signs anybody out (CSRF). An app that Doorpost is
//! a sign-in for leads to the page that asks, and gets its visitor back from there.

use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;

use crate::actions::end_sessions;
use crate::flows::Answer;
use crate::web::form::Form;
use crate::web::next::Next;
use crate::web::page::{Frame, page, see_other};
use crate::web::rejection::Rejection;
use crate::web::visitor::{SignedIn, Visitor};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/sign-out").get(ask).post(sign_out));
}

/// Whoever is not signed in has nothing to be asked.
async fn ask(visitor: Visitor) -> Answer {
    let next = visitor.next_in_query()?;
    let Some(session) = &visitor.session else {
        return Ok(see_other(next.as_deref().unwrap_or("/")).finish());
    };
    Ok(page(&AskPage {
        email: session.shown_email(),
        stay: next.clone().unwrap_or_else(|| Next::DEFAULT.to_owned()),
        next,
        frame: visitor.frame(),
    })?)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SignOutForm {
    next: String,
}

async fn sign_out(signed_in: SignedIn, Form(form): Form<SignOutForm>) -> Answer {
    let next = signed_in.visitor.next(&form.next);
    let client = signed_in.visitor.client();
    let ended = signed_in.act(move |tx, _, by| end_sessions::sign_out(tx, by, &client));
    match ended.await {
        // The session had ended already, which is all that was wanted.
        Ok(()) | Err(Rejection::SignInFirst { .. }) => {
            let next = next.as_deref().unwrap_or("/");
            signed_in.visitor.leave_for(next, "You are signed out.")
        }
        Err(rejection) => Err(rejection),
    }
}

#[derive(Template)]
#[template(path = "sign_out.html")]
struct AskPage {
    frame: Frame,
    email: String,
    /// Where somebody goes who does it, and who does not.
    next: Option<String>,
    stay: String,
}
