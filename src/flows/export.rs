//! Download everything that is kept on the account, as one JSON file. No secret is in it: no hash, no token.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_DISPOSITION, ContentType};
use actix_web::web::{self, ServiceConfig};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::accounts::announced;
use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::links;
use crate::accounts::owner::Owner;
use crate::accounts::sessions;
use crate::config::Config;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::flows::Answer;
use crate::humanize::rfc3339;
use crate::mail::outbox;
use crate::web::step_up::{BehindGate, Sensitive};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/export").post(export));
}

#[derive(Default, Deserialize)]
struct ExportForm {}

impl BehindGate for ExportForm {
    const PAGE: &'static str = "/account";

    fn typed(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

async fn export(Sensitive { gate, .. }: Sensitive<ExportForm>) -> Answer {
    let (config, client) = (gate.visitor.app.config.clone(), gate.visitor.client());
    let everything = gate
        .act(move |tx, owner| gather(tx, &config, owner, &client))
        .await?;
    let file = serde_json::to_vec_pretty(&everything).map_err(Error::internal)?;
    Ok(HttpResponse::Ok()
        .insert_header(ContentType::json())
        .insert_header((
            CONTENT_DISPOSITION,
            r#"attachment; filename="doorpost-account.json""#,
        ))
        .body(file))
}

/// What is kept, this download included.
fn gather(tx: &mut Tx, config: &Config, owner: &Owner, client: &Client) -> Result<Value> {
    let user = owner.user();
    events::note(tx, &user.id, Event::Exported, client)?;
    let sessions = sessions::list(tx, config, &user.id)?;
    let links = links::kept_of(tx, user)?;
    let events = events::list(tx, &user.id, None, i64::MAX)?;
    let mail = outbox::kept::of_address(tx, &user.email)?;
    let announced = announced::list(tx, &user.id)?;
    Ok(json!({
        "account": {
            "id": user.id,
            "email": user.email,
            "created_at": rfc3339(user.created_at),
            "has_password": user.has_password(),
            "password_set_at": user.password_set_at.map(rfc3339),
            "notification_links": user.notification_links,
            "usual_networks_only": user.usual_networks_only,
            "announcements": user.announcements,
        },
        "sessions": sessions.iter().map(|session| json!({
            "id": session.id,
            "auth_method": session.auth_method,
            "created_at": rfc3339(session.created_at),
            "last_seen_at": rfc3339(session.last_seen_at),
            "ip": session.ip,
            "browser": session.browser,
            "shared": session.shared,
        })).collect::<Vec<_>>(),
        "links": links.iter().map(|link| json!({
            "purpose": link.purpose,
            "sent_to": link.email,
            "asked_at": rfc3339(link.asked_at),
            "used_at": link.used_at.map(rfc3339),
        })).collect::<Vec<_>>(),
        "events": events.iter().map(|event| json!({
            "at": rfc3339(event.at),
            "name": event.name,
            "detail": event.detail,
            "ip": event.ip,
            "browser": event.browser,
            "request_id": event.request_id,
        })).collect::<Vec<_>>(),
        "mail": mail.iter().map(|mail| json!({
            "letter": mail.letter,
            "state": mail.state,
            "queued_at": rfc3339(mail.queued_at),
            "settled_at": mail.settled_at.map(rfc3339),
        })).collect::<Vec<_>>(),
        "announcements": announced.iter().map(|sent| json!({
            "sha256": STANDARD.encode(&sent.announcement),
            "posted_at": rfc3339(sent.posted_at),
        })).collect::<Vec<_>>(),
    }))
}
