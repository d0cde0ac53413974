//! One account, and everything that opens it: browsers, a program, a password, mailed links.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use doorpost::accounts::email_address::EmailAddress;
use doorpost::accounts::users::{self, Named, Operator};
use doorpost::actions::invite::{self, Told};
use doorpost::actions::lock_account::{self, Outcome};
use doorpost::keys::KeyPurpose;
use doorpost::mail::letters::Content;
use reqwest::StatusCode;
use serde_json::Value;
use tokio_postgres::Row;

use super::actions::Need;
use super::program::Program;
use super::stage::Stage;
use crate::support::{Authenticator, Mail, PASSWORD, Visitor};

const GAP: Duration = Duration::from_secs(61);

/// What opens an account, or something of it, as it was before anybody did anything.
pub const OWNER: &str = "the owner's browser, by its cookie of before";
pub const OTHER: &str = "another browser, by its cookie of before";
pub const PROGRAM: &str = "the program, by its access token of before";
pub const REFRESH_TOKEN: &str = "the program, by its refresh token of before";
pub const PASSWORD_BEFORE: &str = "the password of before";
pub const PASSKEY: &str = "the passkey of before";
pub const SIGN_IN_LINK: &str = "the sign-in link of before";
pub const PROGRAM_CODE: &str = "the program's code of before";
pub const RESET_LINK: &str = "the reset link of before";
pub const CHANGE_LINK: &str = "the link to a new address of before";
pub const UNDO_LINK: &str = "the undo link of before";
pub const CONFIRM_LINK: &str = "a stranger's confirm link of before";
pub const NOTIFICATION_LINK: &str = "the notification link of before";
pub const KNOWN_BROWSER: &str = "the known browser, by a new notification link";
pub const FIRST_IS_KNOWN: &str = "the first one's browser, by a new notification link";
pub const SECOND_IS_KNOWN: &str = "the second one's browser, by a new notification link";
/// Whatever is open, that which somebody is just opening too.
pub const EVERY_SESSION: &str = "every session";

/// An account of its own for each try.
pub struct World {
    pub stage: Arc<Stage>,
    pub id: String,
    pub address: String,
    /// The one it is to have.
    pub next: String,
    pub owner: Visitor,
    /// Signed in with the password.
    pub other: Visitor,
    pub other_id: String,
    /// Signed in once, and signed out.
    pub away: Visitor,
    pub program: Program,
    /// It holds a refresh token that was used.
    pub robbed: Option<Program>,
    /// One that does not count: whoever has it may have copied it.
    pub passkey: Option<Authenticator>,
    pub passkey_id: String,
    /// Somebody else, who asked for the address; and who asked for one that nobody has.
    pub strangers: [Visitor; 2],
    /// Where the sign-in link was asked for.
    pub asker: Visitor,
    pub sign_in_id: String,
    /// The id of a letter that the mail server refused.
    pub refused_letter: String,
    pub notification_link: String,
    pub mails: BTreeMap<&'static str, Mail>,
    /// The one it had, if it had another.
    pub former: String,
    /// The one that somebody asks for meanwhile.
    pub third: String,
    /// Letters that were posted before.
    old_letters: BTreeSet<String>,
}

impl World {
    /// With all that these need.
    pub async fn make(stage: &Arc<Stage>, needs: &[Need]) -> Self {
        let number = next_number();
        let mut world = Self::empty(stage, number);
        world.found_account(needs.contains(&Need::Undo)).await;
        world.strangers_ask().await;
        world.sign_in_everywhere().await;
        let (lock, others): (Vec<Need>, Vec<Need>) =
            needs.iter().partition(|need| **need == Need::Lock);
        // What is locked out can provide nothing more.
        for need in others.into_iter().chain(lock) {
            world.provide(need).await;
        }
        world.settle().await;
        world
    }

    fn empty(stage: &Arc<Stage>, number: u32) -> Self {
        let browser = || browser(stage);
        Self {
            stage: stage.clone(),
            id: String::new(),
            address: format!("ada{number}@example.org"),
            next: format!("next{number}@example.net"),
            owner: browser(),
            other: browser(),
            other_id: String::new(),
            away: browser(),
            program: Program::new(&browser()),
            robbed: None,
            passkey: None,
            passkey_id: String::new(),
            strangers: [browser(), browser()],
            asker: browser(),
            sign_in_id: String::new(),
            refused_letter: String::new(),
            notification_link: String::new(),
            mails: BTreeMap::new(),
            former: format!("former{number}@example.org"),
            third: format!("third{number}@example.net"),
            old_letters: BTreeSet::new(),
        }
    }

    /// A browser nobody knows, on a network of its own.
    pub fn browser(&self) -> Visitor {
        browser(&self.stage)
    }

    async fn found_account(&mut self, had_another_address: bool) {
        let first = match had_another_address {
            true => self.former.clone(),
            false => self.address.clone(),
        };
        self.owner.ask("/register", &first).await.sees_inbox_page();
        let mail = self.newest_to(&first, "/confirm-email").await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        self.owner
            .post("/confirm-email", &fields)
            .await
            .goes_on_to("/account");
        self.owner.reauthenticate().await;
        let found = format!("SELECT id FROM users WHERE email = '{first}'");
        self.id = self.stage.query(&found).await[0].get(0);
        self.stage.house.advance(GAP);
        if had_another_address {
            let address = self.address.clone();
            let link = self.asks_for_address(&address).await;
            self.owner
                .use_link(&link, &address)
                .await
                .goes_on_to("/account");
            let undo = self.newest_to(&first, "/account/email/undo").await;
            self.mails.insert(UNDO_LINK, undo);
            self.stage.house.advance(GAP);
        }
    }

    async fn strangers_ask(&self) {
        let nobodys = nobodys(&self.address);
        for (stranger, address) in self.strangers.iter().zip([&self.address, &nobodys]) {
            stranger.ask("/sign-in", address).await.sees_inbox_page();
        }
        self.stage.house.advance(GAP);
    }

    async fn asks_for_address(&self, address: &str) -> Mail {
        let asked = self
            .owner
            .post("/account/email", &[("email", address)])
            .await;
        asked.goes_on_to("/account/email");
        self.newest_to(address, "/account/email/confirm").await
    }

    async fn sign_in_everywhere(&mut self) {
        self.owner.reauthenticate().await;
        self.notification_link = self.notification_link().await;
        for browser in [&self.other, &self.away] {
            browser
                .enter(&self.address, PASSWORD)
                .await
                .goes_on_to("/account");
            browser.post("/sign-out", &[]).await.goes_on_to("/");
        }
        self.other
            .click(&self.notification_link)
            .await
            .goes_on_to("/account");
        let only = "SELECT id FROM sessions WHERE auth_method = 'notification_link'";
        let only = format!("{only} AND user_id = '{}'", self.id);
        self.other_id = self.stage.query(&only).await[0].get(0);
        let page = self.program.sign_in(&self.address, PASSWORD).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        self.program = self.program.clone().with(&page);
    }

    async fn provide(&mut self, need: Need) {
        match need {
            Need::Undo => return, // from the beginning
            Need::SignIn => {
                let asked = self.asker.ask("/sign-in", &self.address).await;
                asked.sees_inbox_page();
                self.keep(SIGN_IN_LINK, "/sign-in/link").await;
            }
            Need::ProgramCode => {
                let program = Program::new(&self.browser());
                let asked = program.ask_for_code(&self.address).await;
                let asked: Value = serde_json::from_str(&asked.body).unwrap();
                self.sign_in_id = asked["sign_in_id"].as_str().unwrap().to_owned();
                self.keep(PROGRAM_CODE, "/sign-in/link").await;
            }
            Need::Reset => {
                let asked = self.browser().ask("/forgot-password", &self.address).await;
                asked.sees_inbox_page();
                self.keep(RESET_LINK, "/reset-password").await;
            }
            Need::Change => {
                let mail = self.asks_for_address(&self.next).await;
                self.mails.insert(CHANGE_LINK, mail);
            }
            Need::Confirm => {
                let asked = self.browser().ask("/register", &self.next).await;
                asked.sees_inbox_page();
                let mail = self.newest_to(&self.next, "/confirm-email").await;
                self.mails.insert(CONFIRM_LINK, mail);
            }
            Need::Invitation => self.invites_next().await,
            Need::Lock => self.is_locked().await,
            Need::Passkey => self.has_passkey().await,
            Need::ResetHold => self.is_held().await,
            Need::RefusedLetter => {
                let refused = format!(
                    "UPDATE outbox SET state = 'refused', due_at = NULL, settled_at = {}
                        WHERE email = '{}' AND letter = 'new_browser' RETURNING id",
                    self.stage.house.clock.now(),
                    self.address
                );
                self.refused_letter = self.stage.query(&refused).await[0].get(0);
            }
            Need::UsedRefreshToken => {
                self.robbed = Some(self.program.clone());
                for _ in 0..2 {
                    let page = self.program.refresh().await;
                    self.program = self.program.clone().with(&page);
                }
            }
        }
        self.stage.house.advance(GAP);
    }

    /// The operator does.
    async fn invites_next(&mut self) {
        let (app, next) = (
            self.stage.house.app.clone(),
            EmailAddress::parse(&self.next).unwrap(),
        );
        let inviting = app.clone();
        let invited = app.transaction(move |tx| invite::invite(tx, &inviting, &next, Told::ByMail));
        invited.await.unwrap();
        let mail = self.newest_to(&self.next, "/confirm-email").await;
        self.mails.insert(CONFIRM_LINK, mail);
    }

    /// The operator does.
    async fn is_locked(&self) {
        let named = Named::Id(self.id.clone());
        let operator = Operator::at_the_command_line();
        let locked = self
            .stage
            .house
            .app
            .transaction(move |tx| lock_account::lock(tx, operator, &named));
        assert!(matches!(locked.await.unwrap(), Outcome::Done(_)));
    }

    async fn has_passkey(&mut self) {
        let mut passkey = Authenticator::of(&self.stage.house, &self.address).await;
        passkey.counts = false;
        self.passkey = Some(passkey);
        let its_id = format!("SELECT id FROM passkeys WHERE user_id = '{}'", self.id);
        self.passkey_id = self.stage.query(&its_id).await[0].get(0);
    }

    /// All that a reset leaves of use here is its hold: it would end every session.
    async fn is_held(&self) {
        let now = self.stage.house.clock.now();
        let held = format!(
            "UPDATE users SET reset_hold_since = {now} WHERE id = '{}'",
            self.id
        );
        self.stage.query(&held).await;
        self.stage.house.advance(GAP);
        let mut passkey = self.passkey.clone().unwrap();
        passkey.opens_gate(&self.owner).await;
    }

    /// Keeps the mail that just went to the account's address.
    async fn keep(&mut self, name: &'static str, route: &str) {
        let mail = self.newest_to(&self.address, route).await;
        self.mails.insert(name, mail);
    }

    /// All sessions were seen just now, so that nobody writes that down amid a schedule.
    async fn settle(&mut self) {
        let now = self.stage.house.clock.now();
        let seen = format!("UPDATE sessions SET last_seen_at = {now}");
        self.stage.query(&seen).await;
        let letters = self.letters().await.into_iter();
        self.old_letters = letters.map(|letter| letter.id).collect();
    }

    /// A link to a page, as a notice that is sent now has it.
    pub async fn notification_link(&self) -> String {
        let (links, id) = (self.stage.house.app.signed_links.clone(), self.id.clone());
        let made = self.stage.house.app.read(move |tx| {
            let reader = users::find(tx, &id)?;
            Ok(reader.map(|reader| links.to_page(tx, &reader, "/account")))
        });
        made.await.unwrap().unwrap_or_default()
    }

    async fn newest_to(&self, address: &str, route: &str) -> Mail {
        let letters = self.letters().await;
        let fits = |letter: &&Letter| letter.to == address && letter.is_for(route);
        let newest = letters.iter().rev().find(fits);
        newest
            .unwrap_or_else(|| panic!("{address} has no {route}"))
            .mail
            .clone()
    }

    /// What was posted to the account's addresses, in order.
    async fn letters(&self) -> Vec<Letter> {
        let posted = format!(
            "SELECT id, email, letter, body FROM outbox WHERE email IN ('{}', '{}', '{}', '{}')
                ORDER BY queued_at, letter",
            self.address, self.next, self.former, self.third
        );
        let posted = self.stage.query(&posted).await;
        posted.iter().map(|row| self.letter(row)).collect()
    }

    fn letter(&self, row: &Row) -> Letter {
        let keys = &self.stage.house.app.keys;
        let body = keys.open(KeyPurpose::Outbox, row.get(3));
        let body = body.expect("it is sealed with our key");
        let content: Content = serde_json::from_slice(&body).unwrap();
        Letter {
            id: row.get(0),
            to: row.get(1),
            name: row.get(2),
            mail: content.into(),
        }
    }

    /// What was posted since everything was ready.
    pub async fn new_letters(&self) -> Vec<Letter> {
        let mut letters = self.letters().await;
        letters.retain(|letter| !self.old_letters.contains(&letter.id));
        letters
    }
}

/// An address that nobody has, and that looks like this one.
pub fn nobodys(address: &str) -> String {
    format!("zoe{}", &address[3..])
}

/// What the first and the second choose where they set one.
pub const PASSWORDS: [&str; 2] = [
    "quite another horse altogether",
    "a third horse of the same colour",
];

/// A letter that waits, read where it does.
pub struct Letter {
    id: String,
    pub to: String,
    pub name: String,
    pub mail: Mail,
}

impl Letter {
    fn is_for(&self, route: &str) -> bool {
        self.mail.link.contains('?') && self.mail.route() == route
    }
}

fn browser(stage: &Stage) -> Visitor {
    let network = next_number();
    let [_, a, b, c] = network.to_be_bytes();
    stage
        .house
        .visitor()
        .calling_from(&format!("10.{a}.{b}.{c}"))
}

fn next_number() -> u32 {
    static NUMBERS: AtomicU32 = AtomicU32::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}
