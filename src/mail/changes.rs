//! What an owner does to an account for good, in one transaction each: another password, another address,
//! an end.
//!
//! Each takes the [`Owner`], writes down what happened and tells the mailbox, whoever's hands it came
//! through: a browser's form or a program's request.

use crate::accounts::client::Client;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Limit, MailKind, Network, Verdict};
use crate::accounts::links::{self, Purpose, Wanted};
use crate::accounts::owner::Owner;
use crate::accounts::passwords::PasswordHash;
use crate::accounts::sessions;
use crate::accounts::users::{self, User};
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::mail::outbox::{self, Outbox};

/// Sets another password. Every session but this one ends, and so does every link.
pub fn change_password(
    tx: &mut Tx,
    outbox: &Outbox,
    owner: &Owner,
    hash: &PasswordHash,
    kept_session: &str,
    client: &Client,
) -> Result<()> {
    let user = owner.user();
    users::set_password(tx, owner, hash)?;
    sessions::end_others(tx, &user.id, kept_session)?;
    links::end_all(tx, user)?;
    events::note(tx, &user.id, Event::PasswordChanged, client)?;
    outbox.tell(tx, &user.email, Notice::PasswordChanged, client)
}

/// An owner wants another address.
pub struct Asking {
    pub new: EmailAddress,
    pub session_id: String,
    pub network: Network,
    pub client: Client,
    pub outbox: Outbox,
}

/// What became of it.
pub enum Asked {
    Sent,
    /// A mail went there a moment ago, and the change it was for is off.
    TooSoon {
        until: Timestamp,
    },
    TooMany {
        until: Timestamp,
    },
}

/// Counts the ask, against the network, the new address and the account; then mails the new address what is
/// its own, and tells the old one. Only the newest change is pending.
pub fn ask_to_change_email(tx: &mut Tx, owner: &Owner, asking: &Asking) -> Result<Asked> {
    let (config, user) = (&asking.outbox.config, owner.user());
    if let Verdict::Refused { until } =
        limits::count_all(tx, config, &asking.network.asking_for_mail())?
    {
        return Ok(Asked::TooMany { until });
    }
    let target = MailKind::ChangeEmail.subject(&asking.new, false);
    if let Verdict::Refused { until } = limits::count(tx, config, Limit::MailGap, &target)? {
        let pending = links::pending_change(tx, config, &user.id)?;
        let is_pending = pending.is_some_and(|pending| pending.email == asking.new.as_str());
        return Ok(match is_pending {
            true => Asked::Sent,
            false => Asked::TooSoon { until },
        });
    }
    let account = format!("change_email from {}", user.id);
    let budget = [
        (Limit::MailPerAddress, target.as_str()),
        (Limit::MailPerAddressDaily, target.as_str()),
        (Limit::MailPerAddress, account.as_str()),
    ];
    if let Verdict::Refused { until } = limits::count_all(tx, config, &budget)? {
        limits::give_back(tx, Limit::MailGap, &target)?;
        return Ok(Asked::TooMany { until });
    }
    links::end_of(tx, &user.id, Purpose::ChangeEmail)?;
    mail_new_address(tx, user, asking)?;
    events::note(tx, &user.id, Event::EmailChangeAsked, &asking.client)?;
    let news = Notice::EmailChangeAsked;
    asking.outbox.tell(tx, &user.email, news, &asking.client)?;
    Ok(Asked::Sent)
}

/// Whatever is known of the new address, a change is pending from here on, and looks the same.
fn mail_new_address(tx: &mut Tx, user: &User, asking: &Asking) -> Result<()> {
    let Outbox { config, keys, .. } = &asking.outbox;
    let wanted = Wanted {
        purpose: Purpose::ChangeEmail,
        email: asking.new.as_str(),
        user_id: Some(&user.id),
        ask_id: None,
        session_id: Some(&asking.session_id),
    };
    if !users::may_have(tx, user, &asking.new)? {
        links::decoy(tx, config, keys, &wanted)?;
        let news = Notice::EmailTaken;
        return asking.outbox.tell(tx, wanted.email, news, &asking.client);
    }
    if !users::may_sign_up(tx, &config.accounts.sign_up, &asking.new)? {
        return links::decoy(tx, config, keys, &wanted);
    }
    let browser = Some(&*asking.client.browser);
    asking.outbox.send_link(tx, &wanted, browser)
}

/// Deletes the account and what was mailed to it.
pub fn delete_account(tx: &mut Tx, outbox: &Outbox, owner: &Owner, client: &Client) -> Result<()> {
    let user = owner.user();
    outbox::kept::forget_account(tx, &user.id, &user.email)?;
    users::delete(tx, owner)?;
    outbox.tell(tx, &user.email, Notice::AccountDeleted, client)
}
