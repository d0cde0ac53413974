//! What ordinary mail may do: whether links in it sign in, and whether announcements come at all.

use crate::accounts::client::Client;
use crate::accounts::events::{self, Event};
use crate::accounts::sessions::HeldSession;
use crate::accounts::signed_links::{Purpose, SignedToken};
use crate::accounts::users;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;

/// Whether links in ordinary mail sign in, and whether only from networks that the account comes from anyhow.
pub fn switch_notification_links(
    tx: &mut Tx,
    by: &HeldSession,
    enabled: bool,
    usual_networks_only: bool,
    client: &Client,
) -> Result<()> {
    users::switch_notification_links(tx, &by.user, enabled, usual_networks_only)?;
    events::note(tx, &by.user.id, Event::NotificationLinksSwitched, client)
}

/// Whether the account gets announcements.
pub fn switch_announcements(
    tx: &mut Tx,
    by: &HeldSession,
    wanted: bool,
    client: &Client,
) -> Result<()> {
    users::switch_announcements(tx, &by.user, wanted)?;
    events::note(tx, &by.user.id, Event::AnnouncementsSwitched, client)
}

/// Ends announcements by the signed token of one, whoever brings it (RFC 8058); false where it is nobody's. To use
/// it twice is no mistake.
pub fn unsubscribe(tx: &mut Tx, app: &App, token: &SignedToken, client: &Client) -> Result<bool> {
    let reader = app
        .signed_links
        .hold_reader(tx, Purpose::Unsubscribe, token)?;
    let Some(reader) = reader else {
        return Ok(false);
    };
    if reader.announcements {
        users::switch_announcements(tx, &reader, false)?;
        events::note(tx, &reader.id, Event::AnnouncementsSwitched, client)?;
    }
    Ok(true)
}
