//! Whether the mail server refuses letters in a way that the operator must know of.
//!
//! One recipient whom the server dislikes is no trouble of ours: any visitor can have us write to such a one. Trouble
//! is what every letter would meet: a refusal that names us, or several recipients refused in a row and no letter
//! taken between. It is over when a letter is taken, and when what was refused waits no longer. The server's words
//! can be a stranger's (it may ask their mail server, and quote it): so a letter that was refused before another was
//! taken is no more held against the server, however often it is refused again.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::accounts::email_address::EmailAddress;
use crate::mail::outbox::Mail;
use crate::mail::smtp::{Blames, Refusal};

/// So many recipients refused in a row are no accident.
const SEVERAL: usize = 3;

/// Refusals that are kept in mind, the newest.
const REMEMBERED: usize = 100;

/// Mail that waits is met again after no longer a time: see `next_try` of the worker, whose longest pause it is, and a
/// little for the slot that is to look. What was not met for so long is some other node's to tell.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(660);

/// The refusals of late, as far as they may be trouble.
#[derive(Default)]
pub struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    /// The newest last.
    refused: Vec<Refused>,
    is_told: bool,
}

/// A letter that was refused.
struct Refused {
    mail: String,
    /// Addresses that lead to one mailbox are one recipient.
    recipient: String,
    words: String,
    names_us: bool,
    /// A letter was taken since: it is this one's own bad luck.
    is_disproved: bool,
    met: Instant,
}

impl Refusals {
    /// The server refused this letter, for now or for good.
    pub fn note(&self, mail: &Mail, refusal: &Refusal) {
        let mut state = self.state();
        let before = state.forget(&mail.id);
        if refusal.blames != Blames::Recipient {
            state.refused.push(Refused {
                mail: mail.id.clone(),
                recipient: mailbox(&mail.email),
                words: for_anybody(&refusal.words, &mail.email),
                names_us: refusal.blames == Blames::Us,
                is_disproved: before.is_some_and(|before| before.is_disproved),
                met: Instant::now(),
            });
        }
        let too_many = state.refused.len().saturating_sub(REMEMBERED);
        state.refused.drain(..too_many);
        state.tell();
    }

    /// The server took a letter.
    pub fn disprove(&self) {
        let mut state = self.state();
        for refused in &mut state.refused {
            refused.is_disproved = true;
        }
        state.tell();
    }

    /// A letter waits no longer.
    pub fn forget(&self, mail: &Mail) {
        let mut state = self.state();
        state.forget(&mail.id);
        state.tell();
    }

    /// The words of what is trouble, if anything is.
    pub fn trouble(&self) -> Option<String> {
        let mut state = self.state();
        state.tell();
        state.trouble().map(str::to_owned)
    }

    /// No panic leaves it half written: what it holds is good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, mail: &str) -> Option<Refused> {
        let at = self
            .refused
            .iter()
            .position(|refused| refused.mail == mail)?;
        Some(self.refused.remove(at))
    }

    fn trouble(&self) -> Option<&str> {
        let held = |refused: &&Refused| !refused.is_disproved;
        if let Some(ours) = self
            .refused
            .iter()
            .rfind(|refused| held(refused) && refused.names_us)
        {
            return Some(&ours.words);
        }
        let in_a_row = self.refused.iter().filter(held);
        let recipients: BTreeSet<_> = in_a_row.map(|refused| &refused.recipient).collect();
        let newest = self.refused.iter().rfind(held);
        newest
            .filter(|_| recipients.len() >= SEVERAL)
            .map(|newest| &*newest.words)
    }

    /// Once in the log when it begins, and once when it is over.
    fn tell(&mut self) {
        self.refused
            .retain(|refused| refused.met.elapsed() <= LONGEST_PAUSE);
        let trouble = self.trouble().map(str::to_owned);
        match (&trouble, self.is_told) {
            (Some(what), false) => tracing::error!(
                what,
                event = "relay_refuses",
                "the mail server refuses our letters"
            ),
            (None, true) => tracing::info!(
                event = "relay_accepts",
                "the mail server refuses our letters no more"
            ),
            _ => {}
        }
        self.is_told = trouble.is_some();
    }
}

/// What a damaged row has for an address is a mailbox of its own.
fn mailbox(address: &str) -> String {
    EmailAddress::parse(address).map_or_else(|_| address.to_owned(), |email| email.mailbox())
}

/// `/readyz` answers anybody: it tells nothing of whom we write to, neither an address nor its domain.
fn for_anybody(words: &str, address: &str) -> String {
    let domain = address.rsplit('@').next().unwrap_or_default();
    let domain = domain.to_ascii_lowercase();
    let names_nobody =
        |word: &&str| !word.contains('@') && !word.to_ascii_lowercase().contains(&domain);
    let harmless: Vec<_> = words.split(' ').filter(names_nobody).collect();
    harmless.join(" ")
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn mail(id: &str, email: &str) -> Mail {
        Mail {
            id: id.into(),
            letter: "sign_in".into(),
            email: email.into(),
            body: None,
            sealed_by: None,
            link_hash: None,
            queued_at: 0,
            useful_until: 0,
            tries: 0,
            leaves_no_trace: false,
            priority: 0,
        }
    }

    /// A letter to a recipient of this name, which is its id, too.
    fn to(name: &str) -> Mail {
        mail(name, &format!("{name}@example.org"))
    }

    fn refusal(blames: Blames) -> Refusal {
        Refusal {
            words: "recipient: 554 5.7.1 no".into(),
            blames,
        }
    }

    fn is_trouble(refusals: &Refusals) -> bool {
        refusals.trouble().is_some()
    }

    #[test]
    fn several_recipients_in_a_row_are_trouble_and_one_is_not_however_often() {
        let refusals = Refusals::default();
        for id in ["1", "2", "3", "4"] {
            refusals.note(&to("ann"), &refusal(Blames::Nobody));
            refusals.note(&mail(id, "ann@example.org"), &refusal(Blames::Nobody));
            let tagged = format!("ann+{id}@example.org");
            refusals.note(&mail(&tagged, &tagged), &refusal(Blames::Nobody));
        }
        refusals.note(&to("ben"), &refusal(Blames::Nobody));
        for name in ["c", "d", "e", "f"] {
            refusals.note(&to(name), &refusal(Blames::Recipient));
        }
        assert!(!is_trouble(&refusals));
        refusals.note(&to("gus"), &refusal(Blames::Nobody));
        assert_eq!(
            refusals.trouble().as_deref(),
            Some("recipient: 554 5.7.1 no")
        );
        refusals.disprove();
        assert!(!is_trouble(&refusals));
    }

    #[test]
    fn what_was_refused_before_a_letter_was_taken_is_trouble_no_more() {
        let refusals = Refusals::default();
        let names = ["ann", "ben", "gus"];
        for blames in [Blames::Nobody, Blames::Us] {
            for name in names {
                refusals.note(&to(name), &refusal(blames));
            }
            assert_eq!(is_trouble(&refusals), blames == Blames::Nobody);
            refusals.disprove();
        }
        refusals.note(&to("new"), &refusal(Blames::Us));
        assert!(
            is_trouble(&refusals),
            "a letter that was not refused before"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_us_is_trouble_until_it_waits_no_longer() {
        let refusals = Refusals::default();
        let ann = to("ann");
        for ends in [
            |refusals: &Refusals, ann: &Mail| refusals.forget(ann),
            |refusals: &Refusals, ann: &Mail| refusals.note(ann, &refusal(Blames::Recipient)),
            |refusals: &Refusals, _: &Mail| refusals.disprove(),
        ] {
            refusals.forget(&ann);
            refusals.note(&ann, &refusal(Blames::Us));
            assert!(is_trouble(&refusals));
            ends(&refusals, &ann);
            assert!(!is_trouble(&refusals));
        }
        refusals.forget(&ann);
        refusals.note(&ann, &refusal(Blames::Us));
        advance(LONGEST_PAUSE).await;
        assert!(is_trouble(&refusals));
        advance(Duration::from_secs(1)).await;
        assert!(!is_trouble(&refusals), "another node has it, or nobody");
    }

    #[test]
    fn a_flood_of_refusals_fills_no_memory() {
        let refusals = Refusals::default();
        for n in 0..10 * REMEMBERED {
            refusals.note(&to(&n.to_string()), &refusal(Blames::Nobody));
        }
        assert_eq!(refusals.state().refused.len(), REMEMBERED);
        assert!(is_trouble(&refusals));
    }

    #[test]
    fn nobody_learns_whom_we_write_to() {
        let told = |words: &str| for_anybody(words, "ann@Abroad.example");
        assert_eq!(
            told("recipient: 554 5.7.1 <*@abroad.example>: Relay access denied"),
            "recipient: 554 5.7.1 Relay access denied"
        );
        assert_eq!(
            told("recipient: 550 relaying to (abroad.example) or mx.ABROAD.example: no"),
            "recipient: 550 relaying to or no"
        );
    }
}
