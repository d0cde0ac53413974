//! Whose mail came back, and what is not sent there for a while.
//!
//! To go on writing to a mailbox that is not there makes mail servers take less from us, and then less of it reaches
//! those whose mailbox is. So news and announcements wait until it works again. A link that somebody asks for goes
//! there all the same: it is the way in, and a mail server is wrong now and then (for a day in December 2020 Gmail
//! said of its users that they do not exist).
//!
//! One report that there is no such mailbox is enough; others (it is full, it does not answer) have to come on
//! three days. Whoever uses a letter that was posted later has proven the mailbox, and without that a month passes.
//! What was said of an address that the account has left says nothing of the one it has.

use std::time::Duration;

use diesel::prelude::*;

use crate::accounts::events;
use crate::accounts::users::{Held, User};
use crate::clock::{Timestamp, millis};
use crate::db::{Tx, delete_unlocked, on_either};
use crate::error::Result;
use crate::schema::mail_bounces;

/// For so long after the last report it is kept, and counts.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// On so many days something has to come back before no news go there: one outage is one day.
pub const DAYS: i32 = 3;

/// What is known of an account's mailbox that does not work.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = mail_bounces)]
pub struct MailBounce {
    pub reported_at: Timestamp,
    /// The code that was reported last; empty, if there was none.
    pub status: String,
    posted_at: Timestamp,
    days: i32,
    no_mailbox: bool,
}

impl MailBounce {
    /// Whether neither news nor announcements go there.
    pub fn holds_news_back(&self) -> bool {
        self.no_mailbox || self.days >= DAYS
    }
}

/// A letter that came back.
pub struct Returned<'a> {
    pub posted_at: Timestamp,
    /// Whether the report says that there is no such mailbox.
    pub no_mailbox: bool,
    /// The code of it. No words: a stranger may have written those, and the owner is shown this.
    pub status: &'a str,
}

/// Writes down that a letter to the address that the account has now came back.
pub fn note(tx: &mut Tx, user: &Held<User>, returned: &Returned<'_>) -> Result<()> {
    let before = of(tx, &user.id, &user.email)?;
    let day = |at: Timestamp| at.div_euclid(millis(DAY));
    let days = match &before {
        None => 1,
        Some(before) if day(before.reported_at) == day(tx.now) => before.days,
        Some(before) => before.days.saturating_add(1),
    };
    let no_mailbox = returned.no_mailbox || before.as_ref().is_some_and(|it| it.no_mailbox);
    let posted_at = before.map_or(returned.posted_at, |it| {
        it.posted_at.max(returned.posted_at)
    });
    diesel::delete(mail_bounces::table.find(&user.id)).execute(tx.conn)?;
    let row = (
        mail_bounces::user_id.eq(&user.id),
        mail_bounces::email.eq(&user.email),
        mail_bounces::reported_at.eq(tx.now),
        mail_bounces::posted_at.eq(posted_at),
        mail_bounces::days.eq(days),
        mail_bounces::no_mailbox.eq(no_mailbox),
        mail_bounces::status.eq(returned.status),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(mail_bounces::table)
        .values(row)
        .execute(conn))?;
    Ok(())
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known of this address of the account, unless its mailbox has worked since.
pub fn of(tx: &mut Tx, user_id: &str, email: &str) -> Result<Option<MailBounce>> {
    let kept: Option<MailBounce> = on_either!(tx.conn, |conn| mail_bounces::table
        .find(user_id)
        .filter(mail_bounces::email.eq(email))
        .filter(mail_bounces::reported_at.gt(tx.now - millis(KEPT)))
        .select(MailBounce::as_select())
        .first(conn)
        .optional())?;
    match kept {
        Some(kept) if !events::read_mail_since(tx, user_id, kept.posted_at)? => Ok(Some(kept)),
        _ => Ok(None),
    }
}

/// Forgets a batch of what was reported long ago.
pub fn purge(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over = over(tx.now).order(mail_bounces::reported_at).limit(at_most);
    delete_unlocked!(tx.conn, mail_bounces::user_id as String, over)
}

/// How many were reported so long ago.
pub fn count_over(tx: &mut Tx) -> Result<i64> {
    Ok(over(tx.now).count().get_result(tx.conn)?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn over(now: Timestamp) -> _ {
    let since: Timestamp = now - millis(KEPT);
    mail_bounces::table.filter(mail_bounces::reported_at.le(since))
}
