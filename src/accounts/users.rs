//! People whose address was proven, and those who were invited.
//!
//! A row in `users` exists only once somebody used a link that was mailed to its address: nothing that
//! is prepared on an address before its owner proves it can survive the proof, for there is nothing to
//! prepare it on.
//!
//! What changes an account for good takes a proof: an [`Owner`], or the link that was used up for it.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::accounts::email_address::EmailAddress;
use crate::accounts::links::{self, Consumed, Purpose};
use crate::accounts::owner::Owner;
use crate::accounts::passwords::PasswordHash;
use crate::clock::Timestamp;
use crate::config::SignUp;
use crate::db::{Connection, Tx, on_either};
use crate::error::Result;
use crate::random;
use crate::schema::{invitations, users};

/// An account.
#[derive(Clone, Queryable, Selectable)]
pub struct User {
    pub id: String,
    pub email: String,
    pub created_at: Timestamp,
    /// Browsers that came to know the account before this moment are strangers again.
    pub known_since: Timestamp,
    pub password_set_at: Option<Timestamp>,
    /// Whether links in ordinary mail sign in to it.
    pub notification_links: bool,
    /// Whether they do so only from networks it comes from anyhow.
    pub usual_networks_only: bool,
    /// Whether it gets announcements.
    pub announcements: bool,
    password_hash: Option<String>,
    wrong_passwords: i32,
    /// Raised by whatever ends all of its links.
    pub(super) signed_links_epoch: i32,
}

/// So many wrong passwords in a row, and none opens the account any more until its owner has come in
/// another way (NIST SP 800-63B §3.2.2: no more than 100).
const WRONG_PASSWORDS: i32 = 100;

/// An account that knows a browser: it signed in there, fully, at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAccount {
    pub user_id: String,
    pub since: Timestamp,
}

impl User {
    /// Whether a browser that brings these is one the account knows.
    pub fn knows(&self, brought: &[KnownAccount]) -> bool {
        brought
            .iter()
            .any(|known| known.user_id == self.id && known.since >= self.known_since)
    }

    /// Somebody, for a test that has no database.
    #[cfg(test)]
    pub(super) fn somebody() -> Self {
        Self {
            id: random::id(),
            email: "ada@example.org".into(),
            created_at: 0,
            known_since: 0,
            password_set_at: None,
            notification_links: true,
            usual_networks_only: false,
            announcements: true,
            password_hash: None,
            wrong_passwords: 0,
            signed_links_epoch: 0,
        }
    }

    /// Whether it has a password, good or not.
    pub fn has_password(&self) -> bool {
        self.password_hash.is_some()
    }

    /// What its password is compared with.
    pub fn password_hash(&self) -> Option<PasswordHash> {
        self.password_hash.clone().map(PasswordHash::stored)
    }

    /// Whether so many wrong ones came in a row that even the right one does not open it.
    pub fn has_been_guessed_at(&self) -> bool {
        self.wrong_passwords >= WRONG_PASSWORDS
    }
}

/// The account with this id.
pub fn find(tx: &mut Tx, id: &str) -> Result<Option<User>> {
    Ok(users::table
        .find(id)
        .select(User::as_select())
        .first(tx.conn)
        .optional()?)
}

/// The account of this address, if it has one.
pub fn find_by_email(tx: &mut Tx, email: &EmailAddress) -> Result<Option<User>> {
    of_address(tx, email.as_str())
}

/// The same for an address that a table held.
pub fn of_address(tx: &mut Tx, email: &str) -> Result<Option<User>> {
    Ok(on_either!(tx.conn, |conn| users::table
        .filter(users::email.eq(email))
        .select(User::as_select())
        .first(conn)
        .optional())?)
}

/// The ids of all accounts.
pub fn ids(tx: &mut Tx) -> Result<Vec<String>> {
    Ok(users::table
        .select(users::id)
        .order(users::id)
        .load(tx.conn)?)
}

/// Keeps others from changing this account until the transaction has ended: whoever changes an account and
/// what hangs on it takes the account first, so that of two at once one waits and none is a deadlock's victim.
/// On SQLite there is one writer anyhow.
pub fn hold(tx: &mut Tx, id: &str) -> Result<()> {
    if let Connection::Postgres(conn) = tx.conn {
        users::table
            .find(id)
            .select(users::id)
            .for_no_key_update()
            .load::<String>(conn)?;
    }
    Ok(())
}

/// Where a used link leads.
pub struct LedTo {
    pub user: User,
    /// The link made the account, so whoever used it owns all there is.
    pub new_owner: Option<Owner>,
}

/// The account that a used link leads to: made now if the link proves a new address. A sign-in link makes
/// none, so one whose account is gone leads nowhere and does not bring it back.
///
/// Taking the [`Consumed`] link is the point: without a proven address there is no account to be had.
pub fn led_to_by(tx: &mut Tx, proof: &Consumed) -> Result<Option<LedTo>> {
    let is_new = proof.purpose() == Purpose::ConfirmEmail && make(tx, proof.email())?;
    let Some(user) = of_address(tx, proof.email())? else {
        return Ok(None);
    };
    Ok(Some(LedTo {
        new_owner: is_new.then(|| Owner::proven(user.clone())),
        user,
    }))
}

/// Two links for one address may be used at once: one makes the account (true), both find it.
fn make(tx: &mut Tx, email: &str) -> Result<bool> {
    let id = random::id();
    let row = (
        users::id.eq(&id),
        users::email.eq(email),
        users::created_at.eq(tx.now),
        users::known_since.eq(tx.now),
        users::wrong_passwords.eq(0),
    );
    let made = on_either!(tx.conn, |conn| diesel::insert_into(users::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(made > 0)
}

/// The owner, as proven by a link that was used up for setting a password. Links for anything else prove
/// less.
pub fn owner_by_link(tx: &mut Tx, proof: &Consumed) -> Result<Option<Owner>> {
    let (Purpose::ResetPassword, Some(id)) = (proof.purpose(), proof.user_id()) else {
        return Ok(None);
    };
    let user = find(tx, id)?.filter(|user| user.email == proof.email());
    Ok(user.map(Owner::proven))
}

/// Gives the account this password, in place of any it had.
pub fn set_password(tx: &mut Tx, owner: &Owner, hash: &PasswordHash) -> Result<()> {
    diesel::update(users::table.find(&owner.user().id))
        .set((
            users::password_hash.eq(hash.as_str()),
            users::password_set_at.eq(tx.now),
            users::wrong_passwords.eq(0),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// The same password at the present cost; not if the account has another one by now.
pub fn rehash_password(tx: &mut Tx, user: &User, hash: &PasswordHash) -> Result<()> {
    let unchanged = users::password_hash.eq(&user.password_hash);
    diesel::update(users::table.find(&user.id).filter(unchanged))
        .set(users::password_hash.eq(hash.as_str()))
        .execute(tx.conn)?;
    Ok(())
}

/// Writes down that a password was wrong.
pub fn count_wrong_password(tx: &mut Tx, id: &str) -> Result<()> {
    diesel::update(users::table.find(id))
        .set(users::wrong_passwords.eq(users::wrong_passwords + 1))
        .execute(tx.conn)?;
    Ok(())
}

/// The owner is here: what was guessed before is forgotten.
pub fn forget_wrong_passwords(tx: &mut Tx, id: &str) -> Result<()> {
    let guessed_at = users::table.find(id).filter(users::wrong_passwords.gt(0));
    diesel::update(guessed_at)
        .set(users::wrong_passwords.eq(0))
        .execute(tx.conn)?;
    Ok(())
}

/// Every browser that the account knows is a stranger from here on.
pub fn forget_browsers(tx: &mut Tx, id: &str) -> Result<()> {
    diesel::update(users::table.find(id))
        .set(users::known_since.eq(tx.now))
        .execute(tx.conn)?;
    Ok(())
}

/// No link that was signed for the account until now knows its reader any more.
pub fn end_signed_links(tx: &mut Tx, id: &str) -> Result<()> {
    diesel::update(users::table.find(id))
        .set(users::signed_links_epoch.eq(users::signed_links_epoch + 1))
        .execute(tx.conn)?;
    Ok(())
}

/// Whether links in ordinary mail sign in, and from where. Those that are out when they are switched off
/// stay dead when they are switched on again.
pub fn switch_notification_links(
    tx: &mut Tx,
    id: &str,
    enabled: bool,
    usual_networks_only: bool,
) -> Result<()> {
    diesel::update(users::table.find(id))
        .set((
            users::notification_links.eq(enabled),
            users::usual_networks_only.eq(usual_networks_only),
        ))
        .execute(tx.conn)?;
    match enabled {
        true => Ok(()),
        false => end_signed_links(tx, id),
    }
}

/// Whether the account gets announcements.
pub fn switch_announcements(tx: &mut Tx, id: &str, wanted: bool) -> Result<()> {
    diesel::update(users::table.find(id))
        .set(users::announcements.eq(wanted))
        .execute(tx.conn)?;
    Ok(())
}

/// Whether this account may have this address: nobody else has it, and it is not kept for an owner who
/// may still take a change back.
pub fn may_have(tx: &mut Tx, user: &User, email: &EmailAddress) -> Result<bool> {
    let is_others = |id: &str| id != user.id;
    let holder = find_by_email(tx, email)?.map(|holder| holder.id);
    let keeper = links::oldest_undo(tx, email.as_str())?.map(|undo| undo.user_id);
    Ok(!holder.iter().chain(&keeper).any(|id| is_others(id)))
}

/// Gives the account the address that a used link proves: a new one, or the one it had before. `None`: the
/// account is gone, or somebody else has the address by now, or it is kept for somebody else, and nothing is changed.
pub fn change_email(tx: &mut Tx, proof: &Consumed) -> Result<Option<User>> {
    let (Purpose::ChangeEmail | Purpose::UndoChangeEmail, Some(id)) =
        (proof.purpose(), proof.user_id())
    else {
        return Ok(None);
    };
    let keeper = links::oldest_undo(tx, proof.email())?.map(|undo| undo.user_id);
    if keeper.is_some_and(|keeper| keeper != id) {
        return Ok(None);
    }
    let changed = tx.attempt(|tx| {
        diesel::update(users::table.find(id))
            .set(users::email.eq(proof.email()))
            .execute(tx.conn)
    })?;
    match changed {
        Some(_) => find(tx, id),
        None => Ok(None),
    }
}

/// Takes the password away: whoever changed the address may have changed it, too. Only a used undo link
/// does this.
pub fn remove_password(tx: &mut Tx, proof: &Consumed) -> Result<()> {
    let (Purpose::UndoChangeEmail, Some(id)) = (proof.purpose(), proof.user_id()) else {
        return Ok(());
    };
    diesel::update(users::table.find(id))
        .set((
            users::password_hash.eq(None::<String>),
            users::password_set_at.eq(None::<Timestamp>),
            users::wrong_passwords.eq(0),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Deletes the account, and with it its sessions, links and events. What was mailed is the outbox's to
/// forget.
pub fn delete(tx: &mut Tx, owner: &Owner) -> Result<()> {
    let user = owner.user();
    links::delete_sent_to(tx, &user.email)?;
    diesel::delete(users::table.find(&user.id)).execute(tx.conn)?;
    Ok(())
}

/// Whether this address may have an account here: by the house's rule, or by invitation.
pub fn may_sign_up(tx: &mut Tx, sign_up: &SignUp, email: &EmailAddress) -> Result<bool> {
    Ok(sign_up.admits(email.domain()) || is_invited(tx, email)?)
}

fn is_invited(tx: &mut Tx, email: &EmailAddress) -> Result<bool> {
    let invited = invitations::table
        .find(email.as_str())
        .select(invitations::email)
        .first::<String>(tx.conn)
        .optional()?;
    Ok(invited.is_some())
}

/// Lets this address in, whatever the house's rule, until it is withdrawn. Once more is no mistake.
pub fn invite(tx: &mut Tx, email: &EmailAddress) -> Result<()> {
    let row = (
        invitations::email.eq(email.as_str()),
        invitations::invited_at.eq(tx.now),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(invitations::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(())
}

/// Takes an invitation back; false if there was none. An account made through it stays.
pub fn withdraw_invitation(tx: &mut Tx, email: &EmailAddress) -> Result<bool> {
    let gone = diesel::delete(invitations::table.find(email.as_str())).execute(tx.conn)?;
    Ok(gone > 0)
}
