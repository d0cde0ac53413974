//! The account's passkeys: which there are, what they are called, and their end.
//!
//! A passkey is named by an id of ours. One that belongs to somebody else is answered like one that does not exist.
//! What its authenticator calls it stands on the list alone, for the browser to forget those that are gone.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;

use crate::accounts::passkeys::{self, Name, Passkey};
use crate::actions::change_password::ThisSession;
use crate::actions::remove_passkey::{self, Removed};
use crate::actions::rename_passkey;
use crate::error::{Error, Result};
use crate::flows::Answer;
use crate::humanize;
use crate::web::field_error::FieldError;
use crate::web::form::{Form, NoFields};
use crate::web::next::Next;
use crate::web::page::{Frame, page, page_with};
use crate::web::path_id::PathId;
use crate::web::rejection::Rejection;
use crate::web::sealed_cookies::NotNow;
use crate::web::step_up::{BehindGate, MayAddPasskey, Reauthenticated, Sensitive};
use crate::web::visitor::SignedIn;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/passkeys").get(show))
        .service(web::resource("/account/passkeys/not-now").post(not_now))
        .service(
            web::resource("/account/passkeys/{id}/rename")
                .get(show_name)
                .post(rename),
        )
        .service(
            web::resource("/account/passkeys/{id}/remove")
                .get(show_end)
                .post(remove),
        );
}

const LIST: &str = "/account/passkeys";

async fn show(gate: MayAddPasskey) -> Answer {
    let user_id = gate.session.user_id.clone();
    let list = gate
        .visitor
        .app
        .read(move |tx| passkeys::list(tx, &user_id))
        .await?;
    Ok(page(&ListPage {
        frame: gate.visitor.frame(),
        accepted: accepted(&gate, &list)?,
        passkeys: list.iter().map(Shown::of).collect(),
    })?)
}

/// What the browser may tell whatever keeps the passkeys: which of them are still taken, and what the account is called
/// (WebAuthn Level 3, 5.1.10). Without those that are gone it offers no dead end at the next sign-in.
fn accepted(gate: &MayAddPasskey, list: &[Passkey]) -> Result<Option<String>> {
    let Some(site) = &gate.visitor.app.relying_party else {
        return Ok(None);
    };
    let email = gate.session.shown_email();
    let ids = list.iter().map(|passkey| &passkey.credential_id);
    let accepted = json!({
        "rpId": site.id(),
        "userId": URL_SAFE_NO_PAD.encode(passkeys::user_handle(&gate.session.user_id)),
        "allAcceptedCredentialIds": ids.map(|id| URL_SAFE_NO_PAD.encode(id)).collect::<Vec<_>>(),
        "name": email,
        "displayName": email,
    });
    serde_json::to_string(&accepted)
        .map(Some)
        .map_err(Error::internal)
}

async fn show_name(PathId(id): PathId, gate: Reauthenticated) -> Answer {
    let (passkey, _) = find(&gate, id).await?;
    let mut typed = gate.typed_before(gate.visitor.req.path());
    let name = typed.remove("name").unwrap_or_else(|| passkey.name.clone());
    Ok(page(&NamePage::of(&gate, passkey, name, None))?)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NameForm {
    name: String,
}

impl BehindGate for NameForm {
    const PAGE: &'static str = LIST;

    fn page(req: &HttpRequest) -> String {
        req.path().to_owned()
    }

    fn typed(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("name".to_owned(), self.name.clone())])
    }
}

async fn rename(PathId(id): PathId, Sensitive { gate, form }: Sensitive<NameForm>) -> Answer {
    let name = match Name::parse(&form.name) {
        Ok(name) => name,
        Err(why) => {
            let (passkey, _) = find(&gate, id).await?;
            let again = NamePage::of(&gate, passkey, form.name, Some(FieldError::Name(why)));
            return Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &again)?);
        }
    };
    let client = gate.visitor.client();
    let renamed =
        gate.act(move |tx, _, owner| rename_passkey::rename(tx, owner, &id, &name, &client));
    match renamed.await? {
        true => gate.visitor.done("The passkey has another name.", LIST),
        false => Err(Rejection::NotFound),
    }
}

async fn show_end(PathId(id): PathId, gate: Reauthenticated) -> Answer {
    let (passkey, is_the_last) = find(&gate, id).await?;
    Ok(page(&EndPage {
        frame: gate.visitor.frame(),
        has_password: gate.session.has_password,
        passkey,
        is_the_last,
    })?)
}

#[derive(Default, Deserialize)]
struct EndForm {}

impl BehindGate for EndForm {
    const PAGE: &'static str = LIST;

    fn page(req: &HttpRequest) -> String {
        req.path().to_owned()
    }

    fn typed(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

async fn remove(PathId(id): PathId, Sensitive { gate, form }: Sensitive<EndForm>) -> Answer {
    let session = ThisSession {
        id: gate.session.id.clone(),
        token: gate.token().clone(),
    };
    let client = gate.visitor.client();
    let removed = gate.act_settled(&form, move |tx, app, owner| {
        remove_passkey::remove(tx, app, owner, &id, &session, &client)
    });
    match removed.await? {
        Removed::Gone(Some(token)) => {
            gate.visitor.hand_over(&token, &gate.session)?;
            let removed =
                "The passkey is removed. All other sessions are ended, and so are all links.";
            gate.visitor.done(removed, LIST)
        }
        Removed::Gone(None) => Err(Rejection::SignInFirst {
            next: LIST.to_owned(),
        }),
        Removed::NoSuch => Err(Rejection::NotFound),
    }
}

/// The passkey of this id, and whether it is the only one.
async fn find(gate: &Reauthenticated, id: String) -> Result<(Shown, bool), Rejection> {
    let user_id = gate.session.user_id.clone();
    let list = gate
        .visitor
        .app
        .read(move |tx| passkeys::list(tx, &user_id))
        .await?;
    let found = list.iter().find(|passkey| passkey.id == id);
    let found = found.ok_or(Rejection::NotFound)?;
    Ok((Shown::of(found), list.len() == 1))
}

/// Nobody is asked again for a month, in this browser.
async fn not_now(signed_in: SignedIn, _: Form<NoFields>) -> Answer {
    let SignedIn { visitor, session } = &signed_in;
    let said = NotNow::of(&visitor.req, &visitor.app).with(&session.user_id, &visitor.app)?;
    let done = "You are not asked about a passkey in this browser for a month.";
    visitor.done_with(done, Next::DEFAULT, Some(said))
}

struct Shown {
    id: String,
    name: String,
    added: String,
    last_used: Option<String>,
    /// Where it is to be had, as it says itself.
    place: &'static str,
}

impl Shown {
    fn of(passkey: &Passkey) -> Self {
        Self {
            id: passkey.id.clone(),
            name: passkey.name.clone(),
            added: humanize::moment(passkey.created_at),
            last_used: passkey.last_used_at.map(humanize::moment),
            place: match (passkey.backup_eligible, passkey.backed_up) {
                (true, true) => "Synced: on every device that shares it",
                (true, false) => "On one device, and may be synced to others",
                (false, _) => "On one device only",
            },
        }
    }
}

#[derive(Template)]
#[template(path = "account/passkeys.html")]
struct ListPage {
    frame: Frame,
    passkeys: Vec<Shown>,
    /// For the browser; nothing where there can be no passkeys.
    accepted: Option<String>,
}

#[derive(Template)]
#[template(path = "account/passkey_name.html")]
struct NamePage {
    frame: Frame,
    passkey: Shown,
    /// As it was typed.
    name: String,
    error: Option<FieldError>,
}

impl NamePage {
    fn of(gate: &Reauthenticated, passkey: Shown, name: String, error: Option<FieldError>) -> Self {
        Self {
            frame: gate.visitor.frame(),
            passkey,
            name,
            error,
        }
    }
}

#[derive(Template)]
#[template(path = "account/passkey_remove.html")]
struct EndPage {
    frame: Frame,
    passkey: Shown,
    is_the_last: bool,
    has_password: bool,
}
