//! Somebody tries a password to come in, in a form or by a program.
//!
//! Whatever was wrong, the answer is the same, in its words and in what it costs: an address nobody has and an
//! account without a password are compared with nothing, for as long as it takes to compare. Every try is
//! counted before it is compared, against the account and the network, known or not; a browser that the
//! account knows has a budget of its own, so that a stranger's guessing shuts no owner out.

use std::sync::Arc;

use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::limits::{self, Limit, Network, Verdict};
use crate::accounts::passwords::{PasswordHash, Priority, Typed, Verified};
use crate::accounts::users::{self, User};
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;
use crate::web::entrance::{self, Arrival, Entered};
use crate::web::rejection::Rejection;

/// Somebody tries to sign in to the account of this address.
pub struct Attempt {
    pub email: EmailAddress,
    pub network: Network,
    pub arrival: Arrival,
    /// On a shared computer.
    pub shared: bool,
}

/// Lets in whoever has the password of the account; `None` for everybody else.
pub async fn sign_in(
    app: &App,
    attempt: Attempt,
    typed: &str,
) -> Result<Option<Entered>, Rejection> {
    let permit = app
        .passwords
        .acquire(Priority::Anonymous)
        .ok_or(Rejection::Busy)?;
    let attempt = Arc::new(attempt);
    let (counting_app, counting) = (app.clone(), attempt.clone());
    let counted = app.transaction(move |tx| count(tx, &counting_app, &counting));
    let compare = match counted.await? {
        Counted::Compare(compare) => compare,
        Counted::TooMany { until } => return Err(Rejection::too_many(until, app.clock.now())),
    };
    let stored = compare.user.as_ref().and_then(User::password_hash);
    let verified = match Typed::new(typed) {
        Some(typed) => permit.verify(stored, typed).await?,
        None => Verified::Wrong,
    };
    let concluding_app = app.clone();
    let concluded = app.transaction(move |tx| match verified {
        Verified::Right { rehashed } => {
            let_in(tx, &concluding_app, &attempt, &compare, rehashed.as_ref())
        }
        Verified::Wrong => refuse(tx, &concluding_app, &compare, &attempt.arrival).map(|()| None),
    });
    Ok(concluded.await?)
}

enum Counted {
    Compare(Compare),
    TooMany { until: Timestamp },
}

/// A try that was counted and may be compared.
struct Compare {
    user: Option<User>,
    /// Against what it was counted.
    subject: String,
    /// There is no other try in this window.
    is_last: bool,
}

/// Counts a try before it is compared, so that many at once, on any number of nodes, are no more than the
/// limits allow.
fn count(tx: &mut Tx, app: &App, attempt: &Attempt) -> Result<Counted> {
    let user = users::find_by_email(tx, &attempt.email)?;
    let is_known = user
        .as_ref()
        .is_some_and(|user| user.knows(&attempt.arrival.known));
    let subject = limits::password_subject(attempt.email.as_str(), is_known);
    let network = match is_known {
        true => Vec::new(),
        false => attempt.network.trying_a_password(),
    };
    if let Verdict::Refused { until } = limits::count_all(tx, &app.config, &network)? {
        return Ok(Counted::TooMany { until });
    }
    let counted = limits::count(tx, &app.config, Limit::PasswordPerAccount, &subject)?;
    Ok(match counted {
        Verdict::Allowed { again_at } => Counted::Compare(Compare {
            user,
            subject,
            is_last: again_at > tx.now,
        }),
        Verdict::Refused { until } => {
            for (limit, subject) in network {
                limits::give_back(tx, limit, subject)?;
            }
            Counted::TooMany { until }
        }
    })
}

/// The right password. It opens nothing if it is another by now, or if so many wrong ones came before it that
/// it may have been guessed; that looks like any wrong one.
fn let_in(
    tx: &mut Tx,
    app: &App,
    attempt: &Attempt,
    compare: &Compare,
    rehashed: Option<&PasswordHash>,
) -> Result<Option<Entered>> {
    let now = users::find_by_email(tx, &attempt.email)?;
    let compared = compare.user.as_ref().and_then(User::password_hash);
    let is_still_right = |user: &User| user.password_hash() == compared;
    let Some(user) = now.filter(|user| is_still_right(user) && !user.has_been_guessed_at()) else {
        refuse(tx, app, compare, &attempt.arrival)?;
        return Ok(None);
    };
    limits::forget(tx, Limit::PasswordPerAccount, &compare.subject)?;
    if let Some(rehashed) = rehashed {
        users::rehash_password(tx, &user, rehashed)?;
    }
    entrance::enter_by_password(tx, &user, &attempt.arrival, attempt.shared).map(Some)
}

/// A wrong one. The owner finds it in the account's activity, and hears of the last one in a window. For an
/// address without an account as much is written, and nothing changed.
fn refuse(tx: &mut Tx, app: &App, compare: &Compare, arrival: &Arrival) -> Result<()> {
    let id = compare.user.as_ref().map(|user| user.id.as_str());
    let Some(user) = id.map(|id| users::find(tx, id)).transpose()?.flatten() else {
        return limits::decoy(tx, Limit::PasswordPerAccount, &compare.subject);
    };
    users::count_wrong_password(tx, &user.id)?;
    events::note(tx, &user.id, Event::PasswordRefused, &arrival.client)?;
    if compare.is_last && user.has_password() {
        let news = Notice::PasswordGuessed;
        app.outbox.tell(tx, &user.email, news, &arrival.client)?;
    }
    Ok(())
}
