//! The operator gives an account another address, because the mailbox of the old one is lost.
//!
//! It counts at once, and no link has to prove it: a mailbox that is lost may be in somebody's hands, and until the
//! new address counted, whoever reads the old one could come in and prevent it. The operator vouches for the address.
//!
//! For the same reason nothing of before is left: every session, every link, also those that take a change of address
//! back, the password and the passkeys, for whoever reads the mailbox may have set and added them. (An owner who still knew theirs would need
//! no operator: they change the address themselves.) The old mailbox is told, lest an operator who was deceived
//! goes unnoticed, but gets no link that takes it back: that would hand the account to just whom it is taken from.

use crate::accounts::admission::{self, Admission};
use crate::accounts::client::Actor;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::events::{self, Event};
use crate::accounts::links::{self, Purpose};
use crate::accounts::passkeys;
use crate::accounts::sessions;
use crate::accounts::users::{self, Named, Operator, User};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::notices::Notice;

/// What became of it.
pub enum Outcome {
    /// It has the address; this is the one that it had.
    Done {
        before: String,
    },
    /// It had it already, and nothing was done.
    WasSo,
    /// Another account has the address.
    Taken,
    /// Another account had it lately, and its owner may still take that change back.
    Kept,
    NoAccount,
}

/// Gives the account this address.
pub fn set(
    tx: &mut Tx,
    app: &App,
    operator: Operator,
    who: &Named,
    address: &EmailAddress,
) -> Result<Outcome> {
    users::hold_address(tx, address.as_str())?;
    let Some(before) = users::hold_named(tx, who)? else {
        return Ok(Outcome::NoAccount);
    };
    if let Some(refused) = refusal(tx, &before, address)? {
        return Ok(refused);
    }
    let settled = operator.settles(&before);
    let Some(after) = users::change_email(tx, &settled, &operator.vouches_for(address))? else {
        return Ok(Outcome::Taken);
    };
    links::end_all(tx, &before)?;
    links::end_all(tx, &after)?;
    links::end_of(tx, &after, Purpose::UndoChangeEmail)?;
    sessions::end_all(tx, &after)?;
    events::note(tx, &after.id, Event::EmailChanged, Actor::Operator)?;
    for (to, notice) in [
        (&before.email, Notice::EmailTakenByOperator),
        (&after.email, Notice::EmailSetByOperator),
    ] {
        app.outbox.tell(tx, to, notice, Actor::Operator)?;
    }
    let owner = operator.in_place_of_owner(after);
    users::remove_password(tx, &owner)?;
    passkeys::remove_all(tx, &owner)?;
    Ok(Outcome::Done {
        before: before.email.clone(),
    })
}

/// Why it would not be done, if that can be seen beforehand.
pub fn look(tx: &mut Tx, who: &Named, address: &EmailAddress) -> Result<Option<Outcome>> {
    match users::find_named(tx, who)? {
        Some(user) => refusal(tx, &user, address),
        None => Ok(Some(Outcome::NoAccount)),
    }
}

fn refusal(tx: &mut Tx, before: &User, address: &EmailAddress) -> Result<Option<Outcome>> {
    if before.email == address.as_str() {
        return Ok(Some(Outcome::WasSo));
    }
    let admission = admission::beside_others(tx, Some(before), address.as_str())?;
    Ok(match admission {
        Admission::Taken => Some(Outcome::Taken),
        Admission::Kept => Some(Outcome::Kept),
        Admission::Admitted | Admission::Closed => None,
    })
}
