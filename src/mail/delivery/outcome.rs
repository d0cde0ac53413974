//! What became of one mail: judged by what the server said, told in the log, and written down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::accounts::links;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::backoff::jittered;
use crate::mail::outbox::{self, Claimed, Mail};
use crate::mail::smtp::{Failure, Refusal};
use crate::metrics;

/// What became of one mail.
pub(super) enum Outcome {
    Sent,
    /// Of no use any more.
    Dropped(String),
    /// Posted beside the deletion of the account that it is about.
    Forgotten,
    /// Damaged: nothing that could be sent.
    Damaged(String),
    /// Sealed by a key that this node does not have: another may, or this one after a restart.
    KeyMissing(String),
    /// The server refuses it for good.
    Refused(Refusal),
    /// The server refuses it for now, or the send broke off.
    Deferred(Refusal),
    /// There is no way to the server: no mail's fault.
    Unreachable(String),
    /// Not tried: our lease has ended, or would before the send.
    LeaseOver,
}

/// A mail, and what became of it.
pub(super) type Settled = Arc<(Claimed, Outcome)>;

impl Outcome {
    /// What the end of a send says of the mail.
    pub(super) fn of(sent: Result<(), Failure>) -> Self {
        match sent {
            Ok(()) => Self::Sent,
            Err(Failure::Unreachable(what)) => Self::Unreachable(what),
            Err(Failure::Later(refusal)) => Self::Deferred(refusal),
            Err(Failure::Never(refusal)) => Self::Refused(refusal),
        }
    }

    /// As the metrics have it; nothing, if no mail was tried.
    fn name(&self) -> Option<&'static str> {
        match self {
            Self::Sent => Some("sent"),
            Self::Dropped(_) => Some("dropped"),
            Self::Forgotten => Some("forgotten"),
            Self::Damaged(_) => Some("damaged"),
            Self::KeyMissing(_) => Some("key_missing"),
            Self::Refused(_) => Some("refused"),
            Self::Deferred(_) => Some("deferred"),
            Self::Unreachable(_) | Self::LeaseOver => None,
        }
    }

    /// For the metrics, once it is written down.
    pub(super) fn count(&self, mail: &Mail, now: Timestamp) {
        if let Some(outcome) = self.name() {
            metrics::letters(outcome).inc();
        }
        if matches!(self, Self::Sent) {
            let waited = u64::try_from(now - mail.queued_at).unwrap_or(0);
            metrics::letter_left(Duration::from_millis(waited));
        }
    }

    /// For the log, once it is written down.
    pub(super) fn tell(&self, mail: &Mail) {
        let (mail, letter) = (&*mail.id, &*mail.letter);
        match self {
            Self::Sent => tracing::info!(mail, letter, event = "mail_sent", "mail sent"),
            Self::Dropped(reason) => {
                tracing::info!(mail, letter, reason, event = "mail_dropped", "mail dropped");
            }
            Self::Forgotten => tracing::info!(
                mail,
                letter,
                event = "mail_forgotten",
                "mail forgotten: its account is gone"
            ),
            Self::Damaged(reason) => tracing::error!(
                mail,
                letter,
                reason,
                event = "mail_damaged",
                "mail set aside"
            ),
            Self::KeyMissing(reason) => tracing::error!(
                mail,
                letter,
                reason,
                event = "mail_key_missing",
                "mail put off"
            ),
            Self::Refused(refusal) => {
                tracing::warn!(
                    mail,
                    letter,
                    reason = refusal.words,
                    event = "mail_refused",
                    "mail refused"
                );
            }
            Self::Deferred(refusal) => {
                tracing::info!(
                    mail,
                    letter,
                    reason = refusal.words,
                    event = "mail_deferred",
                    "mail put off"
                );
            }
            Self::Unreachable(_) => {}
            Self::LeaseOver => tracing::warn!(
                mail,
                letter,
                event = "mail_lease_lost",
                "mail not tried: its lease is over"
            ),
        }
    }

    /// Writes it down. False: the lease was lost meanwhile, another node has the mail, and nothing is written.
    fn settle(&self, tx: &mut Tx, claimed: &Claimed, is_shown: bool) -> Result<bool> {
        let mail = &claimed.mail;
        match self {
            Self::Sent if is_shown => outbox::shown(tx, claimed),
            Self::Sent => outbox::sent(tx, claimed),
            Self::Dropped(reason) => outbox::dropped(tx, claimed, reason),
            Self::Forgotten => outbox::forgotten(tx, claimed),
            Self::Damaged(reason) | Self::Refused(Refusal { words: reason, .. }) => {
                outbox::refused(tx, claimed, reason)
            }
            Self::KeyMissing(reason) | Self::Deferred(Refusal { words: reason, .. }) => {
                let age = Duration::from_millis(tx.now.abs_diff(mail.queued_at));
                outbox::later(tx, claimed, next_try(mail.tries, age), reason)
            }
            Self::Unreachable(_) | Self::LeaseOver => outbox::give_back(tx, claimed),
        }
    }
}

/// Writes down what became of each mail, those that left by one statement; whether it did. The life of a link begins when
/// its mail is handed over.
pub(super) fn settle_all(tx: &mut Tx, all: &[Settled], is_shown: bool) -> Result<Vec<bool>> {
    let leaves_a_trace = |(claimed, outcome): &(Claimed, Outcome)| {
        matches!(outcome, Outcome::Sent) && !is_shown && !claimed.mail.leaves_no_trace
    };
    let left: Vec<&Claimed> = all
        .iter()
        .filter(|settled| leaves_a_trace(settled))
        .map(|settled| &settled.0)
        .collect();
    let noted = outbox::all_sent(tx, &left)?;
    let mut written = Vec::new();
    for settled in all {
        let (claimed, outcome) = &**settled;
        written.push(match leaves_a_trace(settled) {
            true => noted.contains(&claimed.mail.id),
            false => outcome.settle(tx, claimed, is_shown)?,
        });
    }
    let of_links = all
        .iter()
        .zip(&written)
        .filter_map(|(settled, is_written)| {
            let (Claimed { mail, .. }, outcome) = &**settled;
            let link = mail.link_hash.as_deref()?;
            let lifetime = mail.useful_until.saturating_sub(mail.queued_at);
            (*is_written && matches!(outcome, Outcome::Sent)).then_some((lifetime, link))
        });
    let mut of_lifetime = BTreeMap::<_, Vec<&[u8]>>::new();
    for (lifetime, link) in of_links {
        of_lifetime.entry(lifetime).or_default().push(link);
    }
    for (lifetime, handed_over) in of_lifetime {
        links::handed_over(tx, &handed_over, lifetime)?;
    }
    Ok(written)
}

/// Growing pauses: the first within 5 s, at most 30 s while the mail is fresh, then a fifth of its age.
fn next_try(tries: i32, age: Duration) -> Duration {
    let fresh = Duration::from_secs(5 << tries.clamp(0, 3)).min(Duration::from_secs(30));
    let pause = if age < Duration::from_secs(300) {
        fresh
    } else {
        (age / 5).clamp(fresh, Duration::from_secs(600))
    };
    jittered(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_tries_and_age_and_have_bounds() {
        let longest = |tries, seconds| {
            let tries: Vec<Duration> = (0..200)
                .map(|_| next_try(tries, Duration::from_secs(seconds)))
                .collect();
            assert!(
                tries.iter().any(|pause| *pause != tries[0]),
                "they are spread"
            );
            tries.into_iter().max().unwrap().as_secs_f64().ceil()
        };
        assert!(longest(0, 0) <= 5.0);
        assert!(longest(1, 10) <= 10.0);
        assert!(longest(i32::MAX, 299) <= 30.0);
        assert!((60.0..=120.0).contains(&longest(9, 600)));
        assert!((300.0..=600.0).contains(&longest(i32::MAX, u64::MAX / 1_000)));
    }
}
