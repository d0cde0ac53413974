//! How often something may happen, kept in the database: all nodes share it and a restart keeps it.
//!
//! One row per limit and subject, one guarded statement for all that one event counts against, so that many at once
//! are never more than the limit allows. A window begins with the first event in it and lasts as long as the rate says;
//! when it is over the next event begins another. What is counted is what was asked, never what was
//! found: a known address and an unknown one run out in the same way.

mod mail;
mod network;

use std::time::Duration;

use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Nullable, Text};

pub use mail::{
    Addressee, Asked, Asker, Gap, MailKind, Recent, begin_gap, count_request, end_of_gap,
    give_gap_back,
};
pub use network::Network;

use crate::accounts::users::{Held, User};
use crate::clock::{Timestamp, millis};
use crate::config::{Config, Rate};
use crate::db::{Tx, on_either, prepared};
use crate::error::Result;
use crate::metrics;
use crate::schema::limits;

/// What is limited. Each one brings its name and its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Between two mails to one address: asking within it is no error, and sends no second mail.
    MailGap,
    /// Mails to one address in a while.
    MailPerAddress,
    /// Mails to one address in a day.
    MailPerAddressDaily,
    /// Mails of all kinds to one mailbox, under whatever addresses.
    MailPerMailbox,
    /// The same in a day.
    MailPerMailboxDaily,
    /// Mails asked for from one network.
    MailPerNetwork,
    /// The same for the /48 around an IPv6 /64: whoever is given a /48 has 65,536 networks in it.
    MailPerWideNetwork,
    /// Passwords tried on one account.
    PasswordPerAccount,
    /// Wrong ones in a row.
    PasswordsInARow,
    /// Passwords tried from one network, right or wrong.
    PasswordPerNetwork,
    /// The same for the /48 around an IPv6 /64.
    PasswordPerWideNetwork,
    /// Tokens that are not live, wrong addresses and wrong codes from one network.
    TokenPerNetwork,
    /// The same for the /48 around an IPv6 /64.
    TokenPerWideNetwork,
    /// What an account does.
    PerAccount(Verb),
}

/// What an account can do over and over, by all of its sessions and programs together: each has a budget of its own,
/// lest one member's hashes, mail and files keep the others waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The password is entered in a session, or a passkey used there, be it right or wrong.
    Reauthenticate,
    /// Somebody signs in with a passkey of it.
    SignInWithPasskey,
    /// A passkey is added.
    AddPasskey,
    /// Another password is set in a session.
    ChangePassword,
    /// Another address is asked for.
    AskForAddress,
    /// Everything kept is downloaded.
    Export,
    /// A program's session goes on under other tokens.
    Refresh,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Reauthenticate => "reauthenticate",
            Self::SignInWithPasskey => "sign_in_with_passkey",
            Self::AddPasskey => "add_passkey",
            Self::ChangePassword => "change_password",
            Self::AskForAddress => "ask_for_address",
            Self::Export => "export",
            Self::Refresh => "refresh",
        }
    }

    /// More than anybody does who means it.
    fn rate(self, config: &Config) -> Option<Rate> {
        let an_hour = |count| {
            Some(Rate {
                count,
                per: Duration::from_secs(60 * 60),
            })
        };
        match self {
            Self::Reauthenticate | Self::SignInWithPasskey => an_hour(200),
            Self::AddPasskey => an_hour(40),
            Self::ChangePassword | Self::Export => an_hour(10),
            Self::AskForAddress => config.limits.mail_per_address,
            // A hundred sessions, each every six minutes.
            Self::Refresh => an_hour(1_000),
        }
    }
}

/// A /48 gets this many times what a /64 gets.
const WIDE: u32 = 16;

/// A mailbox gets this many times what an address gets of a kind: as many as there are kinds, so that nobody with
/// one address meets it.
const MAILBOX: u32 = 3;

/// No more than so many wrong passwords in a row, whatever is configured (NIST SP 800-63B, 3.2.2), until a day has
/// passed since the first of them, or the owner has come in another way.
const IN_A_ROW: Rate = Rate {
    count: 100,
    per: Duration::from_secs(24 * 60 * 60),
};

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Self::MailGap => "mail_gap",
            Self::MailPerAddress => "mail_per_address",
            Self::MailPerAddressDaily => "mail_per_address_daily",
            Self::MailPerMailbox => "mail_per_mailbox",
            Self::MailPerMailboxDaily => "mail_per_mailbox_daily",
            Self::MailPerNetwork => "mail_per_network",
            Self::MailPerWideNetwork => "mail_per_wide_network",
            Self::PasswordPerAccount => "password_per_account",
            Self::PasswordsInARow => "passwords_in_a_row",
            Self::PasswordPerNetwork => "password_per_network",
            Self::PasswordPerWideNetwork => "password_per_wide_network",
            Self::TokenPerNetwork => "token_per_network",
            Self::TokenPerWideNetwork => "token_per_wide_network",
            Self::PerAccount(verb) => verb.name(),
        }
    }

    fn rate(self, config: &Config) -> Option<Rate> {
        match self {
            Self::MailGap => config.limits.mail_gap,
            Self::MailPerAddress => config.limits.mail_per_address,
            Self::MailPerAddressDaily => config.limits.mail_per_address_daily,
            Self::MailPerMailbox => config.limits.mail_per_address.map(times(MAILBOX)),
            Self::MailPerMailboxDaily => config.limits.mail_per_address_daily.map(times(MAILBOX)),
            Self::MailPerNetwork => config.limits.mail_per_network,
            Self::MailPerWideNetwork => config.limits.mail_per_network.map(times(WIDE)),
            Self::PasswordPerAccount => config.limits.password_per_account,
            Self::PasswordsInARow => Some(IN_A_ROW),
            Self::PasswordPerNetwork => config.limits.password_per_network,
            Self::PasswordPerWideNetwork => config.limits.password_per_network.map(times(WIDE)),
            Self::TokenPerNetwork => config.limits.token_per_network,
            Self::TokenPerWideNetwork => config.limits.token_per_network.map(times(WIDE)),
            Self::PerAccount(verb) => verb.rate(config),
        }
    }
}

fn times(factor: u32) -> impl Fn(Rate) -> Rate {
    move |rate| Rate {
        count: rate.count.saturating_mul(factor),
        ..rate
    }
}

/// Whether something may happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It was counted and may happen; the next one may from this moment.
    Allowed { again_at: Timestamp },
    /// It was not counted.
    Refused(TooMany),
}

impl Verdict {
    /// Whether it may happen, for whoever does not say when the next one may.
    pub fn permission(self) -> Result<(), TooMany> {
        match self {
            Self::Allowed { .. } => Ok(()),
            Self::Refused(too_many) => Err(too_many),
        }
    }
}

/// Too often: not before the window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Which limit, as the table has it.
    pub limit: &'static str,
    pub until: Timestamp,
    /// Until then, as of now.
    pub wait: Duration,
}

/// Counts one event against one limit.
pub fn count(tx: &mut Tx, config: &Config, limit: Limit, subject: &str) -> Result<Verdict> {
    count_all(tx, config, &[(limit, subject)])
}

/// Counts one event against several limits, all or none: when one of them refuses, the others are as they were.
pub fn count_all(tx: &mut Tx, config: &Config, wanted: &[(Limit, &str)]) -> Result<Verdict> {
    let counting = Counting::of(tx, config, wanted, None)?;
    match counting.first_full() {
        Some(full) => {
            counting.take_back(tx, |_| true)?;
            Ok(Verdict::Refused(too_many(tx, full.limit, full.subject)?))
        }
        None => Ok(Verdict::Allowed {
            again_at: counting.again_at(tx.now, |_| true),
        }),
    }
}

/// An event that was counted in each window that has room for it.
struct Counting<'a> {
    windows: Vec<Window<'a>>,
    /// The windows in which it was: name, count and end.
    counted: Vec<(String, i64, Timestamp)>,
}

/// A window that would begin now.
struct Window<'a> {
    limit: Limit,
    name: &'static str,
    subject: &'a str,
    about: Option<&'a str>,
    most: i64,
    ends_at: Timestamp,
}

impl<'a> Counting<'a> {
    /// Counts one event, where there is room for it; of the gap between two mails, it is kept what it is about.
    fn of(
        tx: &mut Tx,
        config: &Config,
        wanted: &[(Limit, &'a str)],
        about: Option<&'a str>,
    ) -> Result<Self> {
        let now = tx.now;
        let window = |(limit, subject): &(Limit, &'a str)| {
            let rate = limit.rate(config)?;
            Some(Window {
                limit: *limit,
                name: limit.name(),
                subject,
                about: about.filter(|_| *limit == Limit::MailGap),
                most: i64::from(rate.count),
                ends_at: now + millis(rate.per),
            })
        };
        let windows: Vec<_> = wanted.iter().filter_map(window).collect();
        let counted = match windows.as_slice() {
            [] => Vec::new(),
            windows => {
                let each = CountEach { windows, now };
                on_either!(tx.conn, |conn| prepared(each).load(conn))?
            }
        };
        Ok(Self { windows, counted })
    }

    fn counted(&self, window: &Window<'_>) -> Option<(i64, Timestamp)> {
        let mut all = self.counted.iter();
        let found = all.find(|(name, ..)| name == window.name);
        found.map(|(_, count, ends_at)| (*count, *ends_at))
    }

    /// The first limit that refuses it.
    fn first_full(&self) -> Option<&Window<'a>> {
        self.windows
            .iter()
            .find(|window| self.counted(window).is_none())
    }

    /// When the next one may happen, as far as these limits go.
    fn again_at(&self, now: Timestamp, of: impl Fn(Limit) -> bool) -> Timestamp {
        let used_up = |window: &Window| match self.counted(window) {
            Some((count, ends_at)) if count >= window.most => Some(ends_at),
            _ => None,
        };
        let windows = self.windows.iter().filter(|window| of(window.limit));
        windows.filter_map(used_up).fold(now, Timestamp::max)
    }

    /// Has it not counted against these limits after all. A window that began with it is over again: it begins with
    /// the next event.
    fn take_back(&self, tx: &mut Tx, of: impl Fn(Limit) -> bool) -> Result<()> {
        for window in self.windows.iter().filter(|window| of(window.limit)) {
            let Some((count, ends_at)) = self.counted(window) else {
                continue;
            };
            let ends_at = if count == 1 { tx.now } else { ends_at };
            let before = prepared(
                diesel::update(limits::table.find((window.name, window.subject)))
                    .set((limits::count.eq(count - 1), limits::ends_at.eq(ends_at))),
            );
            on_either!(tx.conn, |conn| before.execute(conn))?;
        }
        Ok(())
    }
}

/// Counts one event in each of these windows, whose limits are different ones, by one statement; the windows come back
/// in which it was counted. A full one is not touched. For several rows at once diesel has none that both databases
/// understand.
#[derive(Clone, Copy)]
struct CountEach<'a> {
    windows: &'a [Window<'a>],
    now: Timestamp,
}

impl Query for CountEach<'_> {
    type SqlType = (Text, BigInt, BigInt);
}

impl QueryId for CountEach<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<'a, DB> QueryFragment<DB> for CountEach<'a>
where
    DB: Backend,
    str: ToSql<Text, DB>,
    Option<&'a str>: ToSql<Nullable<Text>, DB>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("INSERT INTO limits (name, subject, count, ends_at, about) VALUES ");
        for (index, window) in self.windows.iter().enumerate() {
            out.push_sql(if index == 0 { "(" } else { ", (" });
            out.push_bind_param::<Text, str>(window.name)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, str>(window.subject)?;
            out.push_sql(", 1, ");
            out.push_bind_param::<BigInt, _>(&window.ends_at)?;
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Text>, _>(&window.about)?;
            out.push_sql(")");
        }
        out.push_sql(" ON CONFLICT (name, subject) DO UPDATE SET about = excluded.about");
        out.push_sql(", count = CASE WHEN limits.ends_at <= ");
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(" THEN 1 ELSE limits.count + 1 END, ends_at = CASE WHEN limits.ends_at <= ");
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(" THEN excluded.ends_at ELSE limits.ends_at END WHERE limits.ends_at <= ");
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(" OR limits.count < CASE limits.name");
        for window in self.windows {
            out.push_sql(" WHEN ");
            out.push_bind_param::<Text, str>(window.name)?;
            out.push_sql(" THEN ");
            out.push_bind_param::<BigInt, _>(&window.most)?;
        }
        out.push_sql(" END RETURNING name, count, ends_at");
        Ok(())
    }
}

/// A full window. It may be over and purged by now: then the next one may follow at once.
fn too_many(tx: &mut Tx, limit: Limit, subject: &str) -> Result<TooMany> {
    // Whoever asks again within the gap is refused nothing.
    if limit != Limit::MailGap {
        tx.after_commit(move || {
            metrics::limited(limit.name()).inc();
        });
    }
    let ends_at = limits::table
        .find((limit.name(), subject))
        .select(limits::ends_at)
        .first::<Timestamp>(tx.conn)
        .optional()?;
    let until = ends_at.unwrap_or(tx.now);
    let wait = u64::try_from(until - tx.now).unwrap_or(0);
    Ok(TooMany {
        limit: limit.name(),
        until,
        wait: Duration::from_millis(wait.max(1)),
    })
}

/// Counts that an account does something, once more or not at all. It is held, as is whatever is decided of an account.
pub fn count_verb(
    tx: &mut Tx,
    config: &Config,
    verb: Verb,
    user: &Held<User>,
) -> Result<Result<(), TooMany>> {
    Ok(count(tx, config, Limit::PerAccount(verb), &user.id)?.permission())
}

/// For so long those that were not sent are counted, for the next one to tell of.
const UNTOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether news of this kind may go to this address now, so long after the last of them, a day at the most; and if so,
/// how much of it was not told since that one went.
pub fn count_news(tx: &mut Tx, kind: &str, to: &str, gap: Duration) -> Result<Option<u64>> {
    let key = (NEWS, format!("{kind} {to}"));
    let (gap, untold) = (millis(gap), millis(UNTOLD));
    let before: Option<(i64, Timestamp)> = on_either!(tx.conn, |conn| limits::table
        .find((key.0, &key.1))
        .select((limits::count, limits::ends_at))
        .first(conn)
        .optional())?;
    let living = before.filter(|(_, ends_at)| *ends_at > tx.now);
    if living.is_some_and(|(_, ends_at)| ends_at - untold + gap > tx.now) {
        let one_more = prepared(
            diesel::update(limits::table.find((key.0, &key.1)))
                .set(limits::count.eq(limits::count + 1)),
        );
        on_either!(tx.conn, |conn| one_more.execute(conn))?;
        return Ok(None);
    }
    let now = (limits::count.eq(1), limits::ends_at.eq(tx.now + untold));
    on_either!(tx.conn, |conn| prepared(
        diesel::insert_into(limits::table)
            .values((limits::name.eq(key.0), limits::subject.eq(&key.1), now))
            .on_conflict((limits::name, limits::subject))
            .do_update()
            .set(now)
    )
    .execute(conn))?;
    let more = living.map_or(0, |(count, _)| count - 1);
    Ok(Some(u64::try_from(more).unwrap_or(0)))
}

const NEWS: &str = "news";

/// Takes one count back.
pub fn give_back(tx: &mut Tx, limit: Limit, subject: &str) -> Result<()> {
    let counted = limits::table
        .find((limit.name(), subject))
        .filter(limits::count.gt(0));
    let one_less = prepared(diesel::update(counted).set(limits::count.eq(limits::count - 1)));
    on_either!(tx.conn, |conn| one_less.execute(conn))?;
    Ok(())
}

/// Writes as much as a count does, and changes nothing. Where something is written down for an account alone,
/// this is for an address that has none, lest the time an answer takes tell them apart.
pub fn decoy(tx: &mut Tx, limit: Limit, subject: &str) -> Result<()> {
    let as_it_is = prepared(
        diesel::update(limits::table.find((limit.name(), subject)))
            .set(limits::count.eq(limits::count)),
    );
    on_either!(tx.conn, |conn| as_it_is.execute(conn))?;
    Ok(())
}

/// Forgets what was counted.
pub fn forget(tx: &mut Tx, limit: Limit, subjects: &[String]) -> Result<()> {
    let counted = limits::table
        .filter(limits::name.eq(limit.name()))
        .filter(limits::subject.eq_any(subjects));
    on_either!(tx.conn, |conn| prepared(diesel::delete(counted))
        .execute(conn))?;
    Ok(())
}

/// Who tries passwords on an account. Each has a budget of its own, so that nobody uses up another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guesser {
    /// Anybody who types its address.
    Anyone,
    /// A browser that it knows.
    KnownBrowser,
    /// A program that holds a session of it, or held one.
    KnownProgram,
    /// A session of it, at the gate: all of them together, and nobody from outside.
    Gate,
}

impl Guesser {
    /// Who is counted when this one tries a password to come in, for an address known or not.
    pub fn at_sign_in(self, email: &str) -> String {
        format!("{} {email}", self.name())
    }

    /// Who is counted when a session of this account tries one.
    pub fn at_gate(user_id: &str) -> String {
        format!("{} {user_id}", Self::Gate.name())
    }

    /// All who can come in by password to the account of this address.
    pub fn all_at_sign_in(email: &str) -> Vec<String> {
        [Self::Anyone, Self::KnownBrowser, Self::KnownProgram]
            .map(|guesser| guesser.at_sign_in(email))
            .into()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::KnownBrowser => "known",
            Self::KnownProgram => "program",
            Self::Gate => "gate",
        }
    }
}
