//! The account's address changes: asked for by its owner, confirmed from the new mailbox, undone from the old one.
//!
//! A link goes to the new address, and a notice to the old one; nothing changes before the link is used.
//! Whoever asks for an address that somebody has sees what others see: its owner is told, without a link.
//! When the change happens, every other session and every link ends, and the old mailbox gets a link that takes
//! it back: that restores the address, takes the password away (a thief may know it), ends everything and
//! mails a link to set a new one. Of several such links the oldest wins, and while one lives its address is
//! kept for its owner.
//!
//! After a reset by mail it may be held for a while, the asking and the change alike ([`Settled`]); what takes a change
//! back is not.

use crate::accounts::admission::{self, Admission};
use crate::accounts::client::Client;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Asker, Gap, Limit, MailKind, TooMany, Verb, Verdict};
use crate::accounts::links::{self, Consumed, Purpose, Wanted};
use crate::accounts::passkeys;
use crate::accounts::sessions::{self, HeldSession};
use crate::accounts::users::{self, Held, Owner, Settled, User};
use crate::actions::Counted;
use crate::actions::request_link::{mail_link, mail_nobody};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::random::{Token, TokenHash};

/// An owner wants another address.
pub struct ChangeRequest {
    pub new: EmailAddress,
    /// The session that asks.
    pub session_id: String,
    pub client: Client,
}

/// What became of it.
pub enum Requested {
    /// The change is pending, and a mail is on its way, or went there a moment ago.
    Sent,
    /// A mail went there a moment ago, which was not for this account, or the change it was for is off.
    TooSoon(TooMany),
}

/// Counts the request, against the network, the new address and the account; then mails the new address what is
/// its own, and tells the old one. Only the newest change is pending.
pub fn request(
    tx: &mut Tx,
    app: &App,
    owner: &Settled<'_, Owner>,
    request: &ChangeRequest,
) -> Result<Counted<Requested>> {
    let (config, user) = (&app.config, owner.user());
    let networks = request.client.network.asking_for_mail();
    if let Verdict::Refused(too_many) = limits::count_all(tx, config, &networks)? {
        return Ok(Err(too_many));
    }
    let target = MailKind::ChangeEmail.addressee(&request.new, Asker::Anyone);
    if let Gap::Lasts(recent) = limits::begin_gap(tx, config, &target, &user.id)? {
        if is_pending(tx, app, user, &request.new)? {
            return Ok(Ok(Requested::Sent));
        }
        // The account's own mail, when it was used, is no reason to send no other.
        let is_own = recent.answered.as_ref() == Some(&user.id);
        if !is_own || !links::change_was_used(tx, user, request.new.as_str())? {
            return Ok(Ok(Requested::TooSoon(recent.again)));
        }
    }
    let mut budget = target.budget();
    budget.push((Limit::PerAccount(Verb::AskForAddress), &user.id));
    if let Verdict::Refused(too_many) = limits::count_all(tx, config, &budget)? {
        limits::give_gap_back(tx, &target)?;
        return Ok(Err(too_many));
    }
    links::end_of(tx, user, Purpose::ChangeEmail)?;
    mail_new_address(tx, app, user, request)?;
    let client = &request.client;
    events::note(tx, &user.id, Event::EmailChangeAsked, client)?;
    app.outbox
        .tell(tx, &user.email, Notice::EmailChangeAsked, client)?;
    Ok(Ok(Requested::Sent))
}

fn is_pending(tx: &mut Tx, app: &App, user: &Held<User>, new: &EmailAddress) -> Result<bool> {
    let pending = links::pending_change(tx, &app.config, &user.id)?;
    Ok(pending.is_some_and(|pending| pending.email == new.as_str()))
}

/// Whatever is known of the new address, a change is pending from here on, and looks the same.
fn mail_new_address(
    tx: &mut Tx,
    app: &App,
    user: &Held<User>,
    request: &ChangeRequest,
) -> Result<()> {
    let email = request.new.as_str();
    let wanted = Wanted {
        purpose: Purpose::ChangeEmail,
        email,
        user: Some(user),
        link_request_id: None,
        session_id: Some(&request.session_id),
    };
    match admission::decide(tx, &app.config.accounts.sign_up, Some(user), email)? {
        Admission::Admitted => mail_link(tx, app, &wanted, Some(&request.client)),
        Admission::Closed => mail_nobody(tx, app, &wanted, &request.client),
        Admission::Taken | Admission::Kept => {
            links::decoy(tx, &app.config, &app.keys, &wanted)?;
            app.outbox
                .tell(tx, email, Notice::EmailTaken, &request.client)
        }
    }
}

/// The pending change is off, if there is one.
pub fn cancel(tx: &mut Tx, app: &App, by: &HeldSession, client: &Client) -> Result<()> {
    if links::pending_change(tx, &app.config, &by.user.id)?.is_some() {
        links::end_of(tx, &by.user, Purpose::ChangeEmail)?;
        events::note(tx, &by.user.id, Event::EmailChangeCancelled, client)?;
    }
    Ok(())
}

/// Where one of the two links is used.
pub struct UsedHere {
    pub client: Client,
    /// The session of this browser: its id, and its token's hash.
    pub session: Option<(String, TokenHash)>,
}

/// The change happens.
pub struct Changed {
    /// The account.
    pub user_id: String,
    /// The new token of the session that asked, if that is this browser's.
    pub renewed_here: Option<Token>,
}

/// Gives the account the address that the link proves. `None` when the account is gone, or somebody else has the
/// address by now: then nothing is changed.
pub fn confirm(
    tx: &mut Tx,
    app: &App,
    proof: &Consumed,
    here: &UsedHere,
) -> Result<Option<Changed>> {
    let Some((before, after)) = take_address(tx, app, proof)? else {
        return Ok(None);
    };
    let renewed_here = end_sessions_but_the_asking(tx, &after, proof, here)?;
    mail_undo(tx, app, &before, &after, here)?;
    events::note(tx, &after.id, Event::EmailChanged, &here.client)?;
    app.outbox
        .tell(tx, &after.email, Notice::EmailChanged, &here.client)?;
    Ok(Some(Changed {
        user_id: after.id.clone(),
        renewed_here,
    }))
}

/// Gives the account the address, and ends all links of both; the address it had, and the account as it is.
fn take_address(tx: &mut Tx, app: &App, proof: &Consumed) -> Result<Option<(String, Held<User>)>> {
    let before = proof.settled(tx.now, &app.config);
    let Some((before, address)) = before.zip(proof.address()) else {
        return Ok(None);
    };
    let Some(after) = users::change_email(tx, &before, address)? else {
        return Ok(None);
    };
    links::end_all(tx, &before)?;
    links::end_all(tx, &after)?;
    Ok(Some((before.email.clone(), after)))
}

/// The session that asked goes on under a new token: at once if it is here, else when it is next seen. A program's
/// cannot be handed new ones: its tokens are dead, and so it ends with the others.
fn end_sessions_but_the_asking(
    tx: &mut Tx,
    user: &Held<User>,
    proof: &Consumed,
    here: &UsedHere,
) -> Result<Option<Token>> {
    let asking = match proof.session_id() {
        Some(id) if !sessions::is_of_program(tx, user, id)? => id,
        _ => {
            sessions::end_all(tx, user)?;
            return Ok(None);
        }
    };
    sessions::end_others(tx, user, asking)?;
    match &here.session {
        Some((id, token)) if id == asking => sessions::renew(tx, token),
        _ => sessions::renew_when_seen(tx, user, asking).map(|()| None),
    }
}

fn mail_undo(
    tx: &mut Tx,
    app: &App,
    before: &str,
    user: &Held<User>,
    here: &UsedHere,
) -> Result<()> {
    let wanted = Wanted {
        purpose: Purpose::UndoChangeEmail,
        email: before,
        user: Some(user),
        link_request_id: None,
        session_id: None,
    };
    mail_link(tx, app, &wanted, Some(&here.client))
}

/// The old address is back, and nothing that somebody may have prepared is left: no password, session or link, and no passkey
/// that was added shortly before the change, or since. (An older one is the owner's, and what it guards is guarded from a
/// thief of the old mailbox, too.) A link to set a new password is on its way to it, in answer to the request of this id; the address.
pub fn undo(
    tx: &mut Tx,
    app: &App,
    proof: Consumed,
    here: &UsedHere,
    link_request_id: &str,
) -> Result<Option<String>> {
    let Some((_, after)) = take_address(tx, app, &proof)? else {
        return Ok(None);
    };
    let asked_at = proof.asked_at();
    let Some(owner) = proof.into_owner() else {
        return Ok(None);
    };
    users::remove_password(tx, &owner)?;
    if passkeys::remove_young(tx, &owner, asked_at)? > 0 {
        events::note(tx, &after.id, Event::PasskeyRemoved, &here.client)?;
    }
    sessions::end_all(tx, &after)?;
    links::end_undos_since(tx, &after, asked_at)?;
    events::note(tx, &after.id, Event::EmailChangeUndone, &here.client)?;
    let wanted = Wanted {
        purpose: Purpose::ResetPassword,
        email: &after.email,
        user: Some(&after),
        link_request_id: Some(link_request_id),
        session_id: None,
    };
    mail_link(tx, app, &wanted, Some(&here.client))?;
    Ok(Some(after.email.clone()))
}
