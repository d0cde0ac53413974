//! The operator's text goes to one reader, and to nobody twice.
//!
//! A row for each reader and text decides who was sent what, also for two runs at once.

use crate::accounts::announced;
use crate::accounts::mail_bounces;
use crate::accounts::users::{self, User};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::announcement::Announcement;

/// What becomes of one reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Told,
    HadIt,
    WantsNone,
    HasNoAccount,
    /// Mail to them comes back.
    IsNotReached,
}

/// Posts the letter to this reader. Nobody else changes the account meanwhile: whoever calls announcements off, or
/// leaves, does so before or after.
pub fn announce_to(tx: &mut Tx, app: &App, announcement: &Announcement, id: &str) -> Result<Fate> {
    let reader = match users::hold(tx, id)? {
        Some(reader) if reader.announcements => reader,
        other => return Ok(fate_of_others(other.as_deref())),
    };
    if is_not_reached(tx, &reader)? {
        return Ok(Fate::IsNotReached);
    }
    if !announced::announce_to(tx, &announcement.digests, id)? {
        return Ok(Fate::HadIt);
    }
    let letter = announcement.letter(tx, &app.config, &app.signed_links, &reader)?;
    app.outbox.post(tx, &letter)?;
    Ok(Fate::Told)
}

/// What would become of this reader; nothing does.
pub fn foretell(tx: &mut Tx, announcement: &Announcement, id: &str) -> Result<Fate> {
    match users::find(tx, id)? {
        Some(reader) if reader.announcements => {
            match announced::was_sent(tx, &announcement.digests, id)? {
                _ if is_not_reached(tx, &reader)? => Ok(Fate::IsNotReached),
                true => Ok(Fate::HadIt),
                false => Ok(Fate::Told),
            }
        }
        other => Ok(fate_of_others(other.as_ref())),
    }
}

/// How many of these readers would get it, and had another text under the same subject lately.
pub fn count_alike(tx: &mut Tx, announcement: &Announcement, ids: Vec<String>) -> Result<usize> {
    let alike = announced::sent_alike(tx, &announcement.digests, ids)?;
    let fates = alike.iter().map(|id| foretell(tx, announcement, id));
    let fates = fates.collect::<Result<Vec<Fate>>>()?;
    Ok(fates.into_iter().filter(|fate| *fate == Fate::Told).count())
}

fn is_not_reached(tx: &mut Tx, reader: &User) -> Result<bool> {
    let bounce = mail_bounces::of(tx, &reader.id, &reader.email)?;
    Ok(bounce.is_some_and(|it| it.holds_news_back()))
}

fn fate_of_others(account: Option<&User>) -> Fate {
    match account {
        Some(_) => Fate::WantsNone,
        None => Fate::HasNoAccount,
    }
}
