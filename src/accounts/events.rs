//! What happened to an account: its own audit trail, for its owner to read.
//!
//! An event is written in the transaction of what happened, so that neither is there without the other. It
//! says what, when, from where and by which request, in words of ours alone.
//!
//! What is repeated from the same place is one event with a count. Of each kind the newest are kept, for a year: a
//! flood of wrong passwords pushes out older ones of them, and neither a sign-in nor a change, nor what is known of the
//! networks that the account comes from.

use std::time::Duration;

use diesel::alias;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use crate::accounts::client::{Actor, Client};
use crate::accounts::limits::Network;
use crate::accounts::links::Purpose;
use crate::accounts::sessions::AuthMethod;
use crate::clock::{Timestamp, millis};
use crate::db::{Tx, delete_unlocked, on_either, prepared};
use crate::error::Result;
use crate::metrics;
use crate::random;
use crate::schema::{events, users};

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The address was confirmed: the account exists.
    Registered,
    /// Somebody asked for a link to this account.
    LinkAsked(Purpose),
    /// A link was followed by somebody who did not know where it was sent.
    LinkRefused(Purpose),
    /// Somebody came in.
    SignedIn(AuthMethod),
    /// A wrong password was entered by somebody who wanted to sign in.
    PasswordRefused,
    /// A passkey has counted to less than before: there are two of it.
    PasskeyCopied,
    /// A passkey was added.
    PasskeyAdded,
    /// The password was entered in a session, or a passkey used there.
    Reauthenticated,
    /// A wrong one was.
    ReauthenticationRefused,
    /// A session wanted to do something sensitive, and was asked for the password or a passkey.
    ReauthenticationRequired,
    /// Somebody came with a session's cookie and could not prove to be on the device that it is bound to.
    DeviceNotProven,
    /// Somebody signed out.
    SignedOut,
    /// A session was ended from the list.
    SessionEnded,
    /// A program's session was: one of its refresh tokens was used twice.
    RefreshTokenReused,
    /// All other sessions were.
    OtherSessionsEnded,
    /// All sessions were, by the operator.
    SessionsEnded,
    /// All links that were out were ended.
    LinksEnded,
    /// How links in ordinary mail are taken was changed.
    NotificationLinksSwitched,
    /// Announcements were called off, or wanted again.
    AnnouncementsSwitched,
    /// A password was set by a link.
    PasswordSet,
    /// With it a hold began: what the account's passkeys guard waits.
    ResetHoldBegun,
    /// The owner said that they had set the password, or the operator: nothing waits any more.
    ResetHoldLifted,
    /// The owner said that somebody else had: that password is gone, and so are the other sessions.
    ResetDisowned,
    /// The password was changed in a session.
    PasswordChanged,
    /// The first passkey was made by a link.
    PasskeySet,
    /// A passkey was given another name.
    PasskeyRenamed,
    /// A passkey was removed.
    PasskeyRemoved,
    /// A change of the address was asked for.
    EmailChangeAsked,
    /// The pending change was called off.
    EmailChangeCancelled,
    /// The address was changed.
    EmailChanged,
    /// The change was taken back from the old mailbox.
    EmailChangeUndone,
    /// The operator made a link that signs in, to be handed on without mail.
    SignInLinkMade,
    /// The operator locked the account.
    Locked,
    /// The operator unlocked it.
    Unlocked,
    /// A letter to its address came back.
    MailBounced,
    /// Everything that is kept was taken away as a file.
    Exported,
    /// The account was deleted, and this trail with it: only the log still says so.
    Deleted,
}

impl Event {
    /// As the table and the log have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::LinkAsked(_) => "link_requested",
            Self::LinkRefused(_) => "link_refused",
            Self::SignedIn(_) => "signed_in",
            Self::PasswordRefused => "password_refused",
            Self::PasskeyCopied => "passkey_copied",
            Self::PasskeyAdded => "passkey_added",
            Self::Reauthenticated => "reauthenticated",
            Self::ReauthenticationRefused => "reauthentication_refused",
            Self::ReauthenticationRequired => "reauthentication_required",
            Self::DeviceNotProven => "device_not_proven",
            Self::SignedOut => "signed_out",
            Self::SessionEnded => "session_ended",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::OtherSessionsEnded => "other_sessions_ended",
            Self::SessionsEnded => "sessions_ended",
            Self::LinksEnded => "links_ended",
            Self::NotificationLinksSwitched => "notification_links_switched",
            Self::AnnouncementsSwitched => "announcements_switched",
            Self::PasswordSet => "password_set",
            Self::ResetHoldBegun => "reset_hold_begun",
            Self::ResetHoldLifted => "reset_hold_lifted",
            Self::ResetDisowned => "reset_disowned",
            Self::PasswordChanged => "password_changed",
            Self::PasskeySet => "passkey_set",
            Self::PasskeyRenamed => "passkey_renamed",
            Self::PasskeyRemoved => "passkey_removed",
            Self::EmailChangeAsked => "email_change_requested",
            Self::EmailChangeCancelled => "email_change_cancelled",
            Self::EmailChanged => "email_changed",
            Self::EmailChangeUndone => "email_change_undone",
            Self::SignInLinkMade => "sign_in_link_made",
            Self::Locked => "locked",
            Self::Unlocked => "unlocked",
            Self::MailBounced => "mail_bounced",
            Self::Exported => "exported",
            Self::Deleted => "deleted",
        }
    }

    fn detail(self) -> Option<&'static str> {
        match self {
            Self::LinkAsked(purpose) | Self::LinkRefused(purpose) => Some(purpose.name()),
            Self::SignedIn(method) => Some(method.name()),
            _ => None,
        }
    }

    /// Within this time, as clocks divide the day, repeats of it are folded. What strangers can repeat says no more
    /// by its every hour.
    fn folded_within(self) -> Duration {
        match self {
            Self::LinkAsked(_) | Self::LinkRefused(_) | Self::PasswordRefused => DAY,
            _ => HOUR,
        }
    }

    /// So many of it an account keeps. By its sign-ins an account's usual networks are known.
    fn most(self) -> i64 {
        match self {
            Self::SignedIn(_) => 300,
            _ => 100,
        }
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What was written down, newest first in every list.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = events)]
pub struct Noted {
    pub id: String,
    pub at: Timestamp,
    pub name: String,
    pub detail: Option<String>,
    pub ip: String,
    pub browser: String,
    pub request_id: String,
    /// What whoever signed the program in calls it; empty for a browser.
    pub label: String,
    /// How often it happened, the last time at this moment.
    pub count: i64,
}

/// For so long an account keeps them.
pub const KEPT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The events of one name and detail, which are pushed out by none but their own; of the table, or of what stands for
/// it in a query.
macro_rules! of_kind {
    ($event:expr) => {
        of_kind!($event, |column| column)
    };
    ($event:expr, |$column:ident| $place:expr) => {{
        let name = {
            let $column = events::name;
            $place
        };
        let detail = {
            let $column = events::detail;
            $place
        };
        let its_detail = $event.detail();
        let has_it = detail.eq(its_detail);
        let has_none = its_detail.is_none().into_sql::<Bool>();
        let neither_has_one = detail.is_null().and(has_none);
        name.eq($event.name())
            .nullable()
            .and(has_it.or(neither_has_one.nullable()))
    }};
}

/// Writes down what has just happened to an account, here and in the log.
pub fn note<'a>(tx: &mut Tx, user_id: &str, event: Event, by: impl Into<Actor<'a>>) -> Result<()> {
    let by = by.into();
    write(tx, user_id, event, by)?;
    tell(tx, user_id, event, by);
    Ok(())
}

/// Writes down what a stranger did with an address, for the account behind it if there is one.
///
/// Whether there is one must not be seen while this table cannot be written, either. So for every address the same
/// statements run and wait for the same locks, and what fails leaves a line in the log and refuses nobody.
pub fn note_of_stranger(
    tx: &mut Tx,
    user_id: Option<&str>,
    event: Event,
    client: &Client,
) -> Result<()> {
    tx.if_it_can(|tx| write(tx, user_id.unwrap_or(NOBODY), event, client.into()))?;
    if let Some(user_id) = user_id {
        tell(tx, user_id, event, client.into());
    }
    Ok(())
}

/// No account has this id: what is written for it is no row.
const NOBODY: &str = "";

fn write(tx: &mut Tx, user_id: &str, event: Event, by: Actor<'_>) -> Result<()> {
    if !fold(tx, user_id, event, by)? {
        insert(tx, user_id, event, by)?;
        forget_all_but_newest(tx, user_id, event)?;
    }
    Ok(())
}

/// Counted, and in the log, once it is certain.
fn tell(tx: &mut Tx, user_id: &str, event: Event, by: Actor<'_>) {
    let (user, ip, request_id) = (user_id.to_owned(), by.ip(), by.request_id().to_owned());
    let by = by.client().is_none().then_some("operator");
    tx.after_commit(move || {
        metrics::events(event.name()).inc();
        if let Event::SignedIn(method) = event {
            metrics::sign_ins(method.name()).inc();
        }
        tracing::info!(
            event = event.name(),
            detail = event.detail(),
            user,
            by,
            ip,
            request_id,
            "event"
        );
    });
}

/// Counts it along with the same from the same place a while ago, if there was that.
fn fold(tx: &mut Tx, user_id: &str, event: Event, by: Actor<'_>) -> Result<bool> {
    let began_at = tx.now - tx.now % millis(event.folded_within());
    let earlier = alias!(events as earlier);
    let the_same = earlier
        .filter(earlier.field(events::user_id).eq(user_id))
        .filter(earlier.field(events::at).ge(began_at))
        .filter(of_kind!(event, |column| earlier.field(column)))
        .filter(earlier.field(events::ip).eq(by.ip()))
        .filter(earlier.field(events::browser).eq(by.kind()))
        .filter(earlier.field(events::label).eq(by.label()))
        .select(earlier.field(events::id));
    let once_more = prepared(
        diesel::update(events::table)
            .filter(events::id.nullable().eq(the_same.single_value()))
            .set((
                events::at.eq(tx.now),
                events::request_id.eq(by.request_id()),
                events::count.eq(events::count + 1),
            )),
    );
    Ok(on_either!(tx.conn, |conn| once_more.execute(conn))? > 0)
}

/// A row for this account; none, where there is no such account.
fn insert(tx: &mut Tx, user_id: &str, event: Event, by: Actor<'_>) -> Result<()> {
    let row = users::table.find(user_id).select((
        random::id().into_sql::<Text>(),
        users::id,
        tx.now.into_sql::<BigInt>(),
        event.name().into_sql::<Text>(),
        event.detail().into_sql::<Nullable<Text>>(),
        by.ip().into_sql::<Text>(),
        by.kind().into_sql::<Text>(),
        by.label().into_sql::<Text>(),
        by.request_id().into_sql::<Text>(),
        1.into_sql::<BigInt>(),
    ));
    let columns = (
        events::id,
        events::user_id,
        events::at,
        events::name,
        events::detail,
        events::ip,
        events::browser,
        events::label,
        events::request_id,
        events::count,
    );
    on_either!(tx.conn, |conn| diesel::insert_into(events::table)
        .values(row)
        .into_columns(columns)
        .execute(conn))?;
    Ok(())
}

/// Writes it down unless the same was written within the last minute, from the same address: for what loading a page does.
pub fn note_seldom(tx: &mut Tx, user_id: &str, event: Event, client: &Client) -> Result<()> {
    match noted_lately(tx, user_id, event)?.contains(&client.ip()) {
        true => Ok(()),
        false => note(tx, user_id, event, client),
    }
}

/// Whether it was written within the last minute, from wherever: what somebody can do over and over, from one address after
/// the other, is written no oftener than that.
pub fn was_noted_lately(tx: &mut Tx, user_id: &str, event: Event) -> Result<bool> {
    Ok(!noted_lately(tx, user_id, event)?.is_empty())
}

/// From where it was written within the last minute.
fn noted_lately(tx: &mut Tx, user_id: &str, event: Event) -> Result<Vec<String>> {
    Ok(events::table
        .filter(events::user_id.eq(user_id))
        .filter(events::at.gt(tx.now - millis(Duration::from_secs(60))))
        .filter(events::name.eq(event.name()))
        .select(events::ip)
        .load(tx.conn)?)
}

fn forget_all_but_newest(tx: &mut Tx, user_id: &str, event: Event) -> Result<()> {
    let newest_surplus = on_either!(tx.conn, |conn| events::table
        .filter(events::user_id.eq(user_id))
        .filter(of_kind!(event))
        .order((events::at.desc(), events::id.desc()))
        .select((events::at, events::id))
        .offset(event.most())
        .first::<(Timestamp, String)>(conn)
        .optional())?;
    if let Some((at, id)) = newest_surplus {
        let older = events::at
            .lt(at)
            .or(events::at.eq(at).and(events::id.le(id)));
        diesel::delete(
            events::table
                .filter(events::user_id.eq(user_id))
                .filter(of_kind!(event))
                .filter(older),
        )
        .execute(tx.conn)?;
    }
    Ok(())
}

/// The newest events of an account, or those before this one.
pub fn list(
    tx: &mut Tx,
    user_id: &str,
    before: Option<&Noted>,
    at_most: i64,
) -> Result<Vec<Noted>> {
    let all = events::table
        .filter(events::user_id.eq(user_id))
        .order((events::at.desc(), events::id.desc()))
        .select(Noted::as_select())
        .limit(at_most);
    Ok(match before {
        None => all.load(tx.conn)?,
        Some(last) => {
            let older = events::at
                .lt(last.at)
                .or(events::at.eq(last.at).and(events::id.lt(&last.id)));
            all.filter(older).load(tx.conn)?
        }
    })
}

/// For so long an account is taken to come from where it came from.
const USUAL: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Whether somebody signed in to the account from this network lately, and by more than a link in ordinary mail:
/// such a link must not vouch for the next one.
pub fn comes_from(tx: &mut Tx, user_id: &str, network: &Network) -> Result<bool> {
    let came_from: Vec<String> = events::table
        .filter(events::user_id.eq(user_id))
        .filter(events::at.gt(tx.now - millis(USUAL)))
        .filter(events::name.eq("signed_in"))
        .filter(events::detail.ne(AuthMethod::NotificationLink.name()))
        .select(events::ip)
        .distinct()
        .load(tx.conn)?;
    let mut networks = came_from.iter().filter_map(|ip| ip.parse().ok());
    Ok(networks.any(|ip| Network::of(ip).is_same(network)))
}

/// Whether somebody has used a letter to this account since, or it came by its address since: then its mailbox works,
/// or nothing is known of it.
pub fn read_mail_since(tx: &mut Tx, user_id: &str, since: Timestamp) -> Result<bool> {
    let by_letter =
        [AuthMethod::EmailLink, AuthMethod::EmailCode].map(|method| Some(method.name()));
    let signed_in = events::name
        .eq("signed_in")
        .nullable()
        .and(events::detail.eq_any(by_letter));
    let others = [
        Event::PasswordSet,
        Event::PasskeySet,
        Event::EmailChanged,
        Event::EmailChangeUndone,
    ];
    let by_other_links = events::name.eq_any(others.map(Event::name)).nullable();
    let latest: Option<Timestamp> = events::table
        .filter(events::user_id.eq(user_id))
        .filter(events::at.gt(since))
        .filter(signed_in.or(by_other_links))
        .select(events::at)
        .first(tx.conn)
        .optional()?;
    Ok(latest.is_some())
}

/// One event of this account.
pub fn find(tx: &mut Tx, user_id: &str, id: &str) -> Result<Option<Noted>> {
    if !random::is_id(id) {
        return Ok(None);
    }
    Ok(events::table
        .find(id)
        .filter(events::user_id.eq(user_id))
        .select(Noted::as_select())
        .first(tx.conn)
        .optional()?)
}

/// Forgets a batch of what happened long ago.
pub fn purge(tx: &mut Tx, at_most: i64) -> Result<usize> {
    let over = over(tx.now).order(events::at).limit(at_most);
    delete_unlocked!(tx.conn, events::id as String, over)
}

/// How many happened so long ago.
pub fn count_over(tx: &mut Tx) -> Result<i64> {
    Ok(over(tx.now).count().get_result(tx.conn)?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn over(now: Timestamp) -> _ {
    let since: Timestamp = now - millis(KEPT);
    events::table.filter(events::at.le(since))
}
