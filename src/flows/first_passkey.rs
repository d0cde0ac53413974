//! The first passkey, by the mailed link that would set the first password.
//!
//! The page of the link ([`reset_password`](super::reset_password)) offers both; a script of it leads through this one,
//! in two steps. The first asks for a challenge and uses nothing up, but wants from another browser than the one that
//! asked to know where the link was sent, as the form does. The second brings what the authenticator has made: then the
//! link is used up, and the passkey kept, in one transaction. Nobody is signed in by it.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use serde::Deserialize;

use crate::accounts::links::Purpose;
use crate::accounts::passkeys::challenge::For;
use crate::actions::{add_passkey, set_first_passkey};
use crate::web::link_page::{self, Checked, LinkForm, LinkView, Ready, Submitted};
use crate::web::next;
use crate::web::page::confidential;
use crate::web::passkey_options::{self, site};
use crate::web::script::{Answer, ScriptError, Sent};
use crate::web::sealed_cookies::PendingRequest;
use crate::web::visitor::Visitor;
use crate::webauthn::RegistrationResponse;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/reset-password/passkey/options").post(options))
        .service(web::resource("/reset-password/passkey").post(make));
}

const GONE: ScriptError = ScriptError::Refused {
    name: "link_gone",
    title: "This link does not work",
    detail: "It may be used or too old by now. Load this page again: from there you get a new one.",
};

const NOT_THE_FIRST: ScriptError = ScriptError::Refused {
    name: "not_the_first",
    title: "Choose a password here",
    detail: "This account has a password or a passkey already. Then this link sets a password, and nothing else.",
};

const REFUSED: ScriptError = ScriptError::Refused {
    name: "passkey_refused",
    title: "This passkey was not taken",
    detail: "Maybe this took too long. Try again, or choose a password.",
};

async fn options(
    Sent {
        by: visitor,
        body: link,
    }: Sent<Visitor, LinkForm>,
) -> Answer {
    let site = site(&visitor.app.relying_party)?;
    let ready = check(&visitor, link).await?;
    let purpose = For::Adding(ready.name());
    let offered = link_page::preview(&visitor, ready, move |tx, app, found| {
        set_first_passkey::offer(tx, app, found, purpose)
    });
    let offer = match offered.await? {
        Submitted::Done { effect, .. } => effect.ok_or(NOT_THE_FIRST)?,
        Submitted::Again(view) => return Err(mistake(view)),
        Submitted::Answered(_) => return Err(GONE),
    };
    let options = passkey_options::to_make(site, visitor.app.name, &offer, false);
    Ok(confidential(HttpResponse::Ok().json(options)))
}

#[derive(Deserialize)]
struct MakeBody {
    credential: RegistrationResponse,
    #[serde(flatten)]
    link: LinkForm,
}

async fn make(Sent { by: visitor, body }: Sent<Visitor, MakeBody>) -> Answer {
    let site = site(&visitor.app.relying_party)?;
    let ready = check(&visitor, body.link).await?;
    let purpose = For::Adding(ready.name());
    let made = add_passkey::verify(&visitor.app, site, &purpose, body.credential);
    let (made, client) = (made.ok_or(REFUSED)?, visitor.client());
    let finished = link_page::finish(&visitor, ready, move |tx, app, proof, _| {
        set_first_passkey::set(tx, app, proof, &made, &client)
    });
    match finished.await? {
        Submitted::Done { asked, .. } => to_sign_in(&visitor, asked),
        Submitted::Again(view) => Err(mistake(view)),
        Submitted::Answered(_) => Err(GONE),
    }
}

async fn check(visitor: &Visitor, link: LinkForm) -> Result<Ready, ScriptError> {
    match link_page::check(visitor, link, Purpose::ResetPassword).await? {
        Checked::Ready(ready) => Ok(ready),
        Checked::Again(view) => Err(mistake(view)),
        Checked::Answered(_) => Err(GONE),
    }
}

/// Where somebody else is signed in, this page offers a password alone.
fn mistake(view: LinkView) -> ScriptError {
    view.error.map_or(GONE, ScriptError::Mistake)
}

/// To sign in with the new passkey, and from there to where the visitor was.
fn to_sign_in(visitor: &Visitor, asked: Option<PendingRequest>) -> Answer {
    let next = asked.as_ref().and_then(|asked| asked.next.as_deref());
    let sign_in = match next {
        Some(next) => next::before("/sign-in", next),
        None => "/sign-in".to_owned(),
    };
    let pending = visitor.pending_requests();
    let done = asked.map(|asked| pending.with_done(asked, &visitor.app));
    let made = "Your passkey is made. Sign in with it.";
    let onward = visitor.done_by_script(made, &sign_in, done.transpose()?)?;
    Ok(confidential(onward))
}
