//! The owner takes away everything that is kept on the account, by Doorpost and by an app that is built on it. No
//! secret is in it: no hash, no token.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::accounts::announced;
use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Verb};
use crate::accounts::links;
use crate::accounts::mail_bounces;
use crate::accounts::passkeys;
use crate::accounts::sessions;
use crate::accounts::users::{Owner, User};
use crate::actions::Counted;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::humanize::rfc3339;
use crate::mail::outbox;

/// An account whose owner may take everything away, as one transaction has seen.
pub struct Permitted(User);

/// Counts the download that is wanted.
pub fn permit(tx: &mut Tx, app: &App, owner: &Owner) -> Result<Counted<Permitted>> {
    let user = owner.user();
    let counted = limits::count_verb(tx, &app.config, Verb::Export, user)?;
    Ok(counted.map(|()| Permitted(User::clone(user))))
}

/// What is kept. It is read outside of any transaction that writes: nobody's write waits for it.
pub fn read(tx: &mut Tx, app: &App, Permitted(user): &Permitted) -> Result<Value> {
    let passkeys = passkeys::list(tx, &user.id)?;
    let sessions = sessions::list(tx, &app.config, &user.id)?;
    let links = links::kept_of(tx, user)?;
    let events = events::list(tx, &user.id, None, i64::MAX)?;
    let mail = outbox::kept::of_address(tx, &user.email)?;
    let announced = announced::list(tx, &user.id)?;
    let bounce = mail_bounces::of(tx, &user.id, &user.email)?;
    let mut everything = json!({
        "account": {
            "id": user.id,
            "email": user.email,
            "created_at": rfc3339(user.created_at),
            "has_password": user.has_password(),
            "password_set_at": user.password_set_at.map(rfc3339),
            "reset_hold_since": user.reset_hold_since.map(rfc3339),
            "notification_links": user.notification_links,
            "usual_networks_only": user.usual_networks_only,
            "announcements": user.announcements,
        },
        "passkeys": passkeys.iter().map(|passkey| json!({
            "id": passkey.id,
            "name": passkey.name,
            "created_at": rfc3339(passkey.created_at),
            "last_used_at": passkey.last_used_at.map(rfc3339),
            "credential_id": URL_SAFE_NO_PAD.encode(&passkey.credential_id),
            "public_key": URL_SAFE_NO_PAD.encode(&passkey.public_key),
            "sign_count": passkey.sign_count,
            "backup_eligible": passkey.backup_eligible,
            "backed_up": passkey.backed_up,
            "aaguid": passkey.aaguid.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            "transports": passkey.transports().collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "sessions": sessions.iter().map(|session| json!({
            "id": session.id,
            "auth_method": session.auth_method,
            "created_at": rfc3339(session.created_at),
            "last_seen_at": rfc3339(session.last_seen_at),
            "ip": session.ip,
            "browser": session.browser,
            "program": session.for_program,
            "label": session.label.as_str(),
            "shared": session.shared,
            "bound_to_device_at": session.bound_at.map(rfc3339),
        })).collect::<Vec<_>>(),
        "links": links.iter().map(|link| json!({
            "purpose": link.purpose,
            "sent_to": link.email,
            "asked_at": rfc3339(link.asked_at),
            "used_at": link.used_at.map(rfc3339),
        })).collect::<Vec<_>>(),
        "events": events.iter().map(|event| json!({
            "at": rfc3339(event.at),
            "count": event.count,
            "name": event.name,
            "detail": event.detail,
            "ip": event.ip,
            "browser": event.browser,
            "label": event.label,
            "request_id": event.request_id,
        })).collect::<Vec<_>>(),
        "mail": mail.iter().map(|mail| json!({
            "letter": mail.letter,
            "state": mail.state,
            "queued_at": rfc3339(mail.queued_at),
            "settled_at": mail.settled_at.map(rfc3339),
        })).collect::<Vec<_>>(),
        "mail_comes_back": bounce.map(|bounce| json!({
            "reported_at": rfc3339(bounce.reported_at),
            "status": bounce.status,
            "holds_news_back": bounce.holds_news_back(),
        })),
        "announcements": announced.iter().map(|sent| json!({
            "sha256": STANDARD.encode(&sent.announcement),
            "posted_at": rfc3339(sent.posted_at),
        })).collect::<Vec<_>>(),
    });
    for own in &app.own_data {
        everything["own"][own.name] = (own.read)(tx, user)?;
    }
    Ok(everything)
}

/// Everything was read, and is handed over to the owner.
pub fn note(tx: &mut Tx, owner: &Owner, client: &Client) -> Result<()> {
    events::note(tx, &owner.user().id, Event::Exported, client)
}
