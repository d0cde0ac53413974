//! What is done over and over: by strangers, by the owner's browsers and program, each many times, in an order that
//! nobody chose, with every limit as it is by default.
//!
//! After each try the model of [`budgets`](super::budgets) is compared with the answer: whether it was one too many. At
//! the end the trail tells all of it, and what a flood could push out is still there.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use reqwest::StatusCode;
use serde_json::json;

use super::always;
use super::budgets::{ANYONE, Budget, Budgets, KNOWN_BROWSER, KNOWN_PROGRAM};
use super::model::{DAY, HOUR, MINUTE, SECOND, Time};
use super::program::Program;
use super::sequences::draw;
use super::steps::Guess;
use crate::support::{Database, House, PASSWORD, Page, Visitor};

/// The longest sequence.
const REPEATS: usize = 14;

const ADDRESS: &str = "ada@example.org";
const WRONG: &str = "no horse of hers at all";

/// So long after a password entry its session may do what is sensitive.
const WINDOW: Time = 10 * MINUTE;

/// What is done so many times.
#[derive(Clone, Debug)]
struct Repeat {
    does: Does,
    times: usize,
}

#[derive(Clone, Copy, Debug)]
enum Does {
    /// Somebody asks for a link to one of the mailbox's addresses, each time another.
    AskUnderAnotherName,
    Ask,
    /// A stranger guesses, from one network or from another each time.
    StrangerEnters,
    StrangersEnter,
    KnownBrowserEnters(Guess),
    ProgramEnters(Guess),
    Reauthenticate(Guess),
    ChangePassword,
    AskForAddress,
    Export,
    /// A session that may only look goes to a page that wants the password.
    LookAtGate,
    Wait(Time),
}

/// Any of it.
fn repeat() -> impl Strategy<Value = Repeat> {
    let times = prop_oneof![3 => Just(1), 3 => Just(4), 4 => Just(7), 4 => Just(12), 2 => Just(17), 1 => Just(110)];
    let guess = || prop_oneof![1 => Just(Guess::Right), 2 => Just(Guess::Wrong)];
    let wait = prop_oneof![
        2 => Just(61 * SECOND), 3 => Just(16 * MINUTE), 2 => Just(HOUR), 1 => Just(DAY),
    ];
    let does = prop_oneof![
        2 => Just(Does::AskUnderAnotherName),
        1 => Just(Does::Ask),
        2 => Just(Does::StrangerEnters),
        1 => Just(Does::StrangersEnter),
        2 => guess().prop_map(Does::KnownBrowserEnters),
        2 => guess().prop_map(Does::ProgramEnters),
        3 => guess().prop_map(Does::Reauthenticate),
        2 => Just(Does::ChangePassword),
        1 => Just(Does::AskForAddress),
        1 => Just(Does::Export),
        1 => Just(Does::LookAtGate),
        5 => wait.prop_map(Does::Wait),
    ];
    (does, times).prop_map(|(does, times)| match does {
        Does::Wait(_) => Repeat { does, times: 1 },
        // Each costs a letter to be sent, or a file.
        Does::Ask | Does::AskUnderAnotherName | Does::AskForAddress | Does::Export => Repeat {
            does,
            times: times.min(17),
        },
        _ => Repeat { does, times },
    })
}

/// Plays so many sequences: how many tries there were, and what is wrong with the shortest that shows it.
pub fn search(db: Database, sequences: u32, seed: u64) -> (usize, Option<String>) {
    let repeats = proptest::collection::vec(repeat(), 1..=REPEATS);
    draw(repeats, sequences, seed, async |repeats: &Vec<Repeat>| {
        play(db, repeats).await
    })
}

/// Plays a sequence from the beginning: how many tries there were, or what is wrong, and after what.
async fn play(db: Database, repeats: &[Repeat]) -> Result<usize, String> {
    let mut play = Play::begin(db).await;
    let mut tries = 0;
    for (number, repeat) in repeats.iter().enumerate() {
        for time in 1..=repeat.times {
            tries += 1;
            if let Some(wrong) = play.does(repeat.does).await {
                let before = &repeats[..=number];
                return Err(format!("after {before:#?}\nat time {time}: {wrong}"));
            }
        }
    }
    let wrong = play.look().await;
    match wrong.is_empty() {
        true => Ok(tries),
        false => Err(format!("after {repeats:#?}\n{}", wrong.join("\n"))),
    }
}

struct Play {
    house: House,
    budgets: Budgets,
    owner: Visitor,
    entered_at: Time,
    known: Visitor,
    program: Program,
    /// Signed in by a link.
    reader: Visitor,
    stranger: Visitor,
    /// What is asked for once only, and networks that are seen once only.
    next: u32,
    /// What happened, for the trail to tell.
    events: BTreeMap<&'static str, i64>,
}

impl Play {
    async fn begin(db: Database) -> Self {
        let house = House::with(db, &SETTINGS).await;
        let owner = house.member_with_password(ADDRESS).await;
        let known = house.visitor();
        known.enter(ADDRESS, PASSWORD).await.goes_on_to("/account");
        let program = Program::new(&house.visitor());
        let signed_in = program.sign_in(ADDRESS, PASSWORD).await;
        let (reader, mail) = house.asked("/sign-in", ADDRESS).await;
        reader.click(&mail.link).await.goes_on_to("/account");
        owner.reauthenticate().await;
        house.advance(Duration::from_secs(24 * 60 * 60)); // so that what was counted until here is over
        let stranger = house.visitor().calling_from("192.0.2.1");
        Self {
            budgets: Budgets::at(house.clock.now()),
            entered_at: 0,
            program: program.with(&signed_in),
            next: 0,
            events: BTreeMap::new(),
            house,
            owner,
            known,
            reader,
            stranger,
        }
    }

    /// Does it once; what is wrong with the answer.
    async fn does(&mut self, does: Does) -> Option<String> {
        let (expected, answer) = match does {
            Does::Wait(time) => {
                self.wait(time);
                self.owner.get("/account").await; // a session ends that is idle for a week
                return None;
            }
            Does::LookAtGate => {
                let network = self.another_network();
                let reader = self.reader.calling_from(&network);
                reader.get("/account/password").await;
                return None;
            }
            Does::ChangePassword | Does::AskForAddress | Does::Export => {
                self.pass_gate().await?;
                self.does_what_is_sensitive(does).await
            }
            Does::Reauthenticate(guess) => self.reauthenticates(guess).await,
            Does::Ask => {
                let answer = self.stranger.ask("/sign-in", ADDRESS).await;
                (self.budgets.asks(ADDRESS, "ada"), answer)
            }
            Does::AskUnderAnotherName => {
                let address = format!("ada+{}@example.org", self.another());
                let answer = self.stranger.ask("/sign-in", &address).await;
                (self.budgets.asks(&address, "ada"), answer)
            }
            Does::StrangerEnters => {
                self.enters(&self.stranger.clone(), ANYONE, Guess::Wrong)
                    .await
            }
            Does::StrangersEnter => {
                let network = self.another_network();
                let stranger = self.stranger.calling_from(&network);
                self.enters(&stranger, ANYONE, Guess::Wrong).await
            }
            Does::KnownBrowserEnters(guess) => {
                self.enters(&self.known.clone(), KNOWN_BROWSER, guess).await
            }
            Does::ProgramEnters(guess) => self.program_enters(guess).await,
        };
        let too_many = answer.status == StatusCode::TOO_MANY_REQUESTS;
        let said = |may: bool| if may { "taken" } else { "one too many" };
        (too_many == expected).then(|| {
            let (answer, expected) = (said(!too_many), said(expected));
            format!("{does:?} was {answer}, and should have been {expected}")
        })
    }

    async fn does_what_is_sensitive(&mut self, does: Does) -> (bool, Page) {
        match does {
            Does::ChangePassword => {
                let may = self.budgets.count(Budget::ChangePassword, "ada");
                self.happens("password_changed", may);
                let fields = [("password", PASSWORD)];
                (may, self.owner.post("/account/password", &fields).await)
            }
            Does::Export => {
                let may = self.budgets.count(Budget::Export, "ada");
                self.happens("exported", may);
                (may, self.owner.post("/account/export", &[]).await)
            }
            _ => {
                let address = format!("next+{}@example.net", self.another());
                let may = self.budgets.asks_for_address(&address, "next");
                self.happens("email_change_requested", may);
                let fields = [("email", &*address)];
                (may, self.owner.post("/account/email", &fields).await)
            }
        }
    }

    /// Nothing, if no more passwords are taken there for a while.
    async fn pass_gate(&mut self) -> Option<()> {
        if self.budgets.now >= self.entered_at + WINDOW {
            let (may, _) = self.reauthenticates(Guess::Right).await;
            return may.then_some(());
        }
        Some(())
    }

    async fn reauthenticates(&mut self, guess: Guess) -> (bool, Page) {
        let right = matches!(guess, Guess::Right);
        let may = self.budgets.reauthenticates(right);
        if may && right {
            self.entered_at = self.budgets.now;
        }
        let event = match right {
            true => "reauthenticated",
            false => "reauthentication_refused",
        };
        self.happens(event, may);
        let fields = [("password", password(guess)), ("next", "/account")];
        (may, self.owner.post("/reauthenticate", &fields).await)
    }

    async fn enters(&mut self, browser: &Visitor, who: &str, guess: Guess) -> (bool, Page) {
        let may = self.comes_in(who, guess);
        (may, browser.enter(ADDRESS, password(guess)).await)
    }

    /// It shows that it is known by a token that it had once.
    async fn program_enters(&mut self, guess: Guess) -> (bool, Page) {
        let may = self.comes_in(KNOWN_PROGRAM, guess);
        let body = json!({
            "grant_type": "password", "email": ADDRESS, "password": password(guess),
            "refresh_token": self.program.refresh,
        });
        let answer = self.program.post("/api/v1/tokens", &body).await;
        self.program = self.program.clone().with(&answer);
        if answer.status == StatusCode::OK {
            self.program.revoke().await; // there is room for a hundred sessions
        }
        (may, answer)
    }

    fn comes_in(&mut self, who: &str, guess: Guess) -> bool {
        let right = matches!(guess, Guess::Right);
        let may = self.budgets.enters(who, right);
        self.happens(
            if right {
                "signed_in"
            } else {
                "password_refused"
            },
            may,
        );
        may
    }

    fn happens(&mut self, event: &'static str, may: bool) {
        *self.events.entry(event).or_default() += i64::from(may);
    }

    fn wait(&mut self, time: Time) {
        self.house
            .advance(Duration::from_millis(time.unsigned_abs()));
        self.budgets.now += time;
    }

    fn another(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn another_network(&mut self) -> String {
        let [_, a, b, c] = self.another().to_be_bytes();
        format!("10.{a}.{b}.{c}")
    }

    /// What the trail does not tell, or tells of nobody; and what never may be.
    async fn look(&self) -> Vec<String> {
        let mut wrong = always::broken(&self.house).await;
        for name in ["registered", "password_set"] {
            if self.told(name).await == 0 {
                wrong.push(format!("the trail has forgotten \"{name}\""));
            }
        }
        for (name, happened) in &self.events {
            // One at the beginning was by password, twice, and one by link.
            let before = match *name {
                "signed_in" => 4,
                "reauthenticated" => 1,
                _ => 0,
            };
            // Of each kind the newest hundred places are kept.
            let told = self.told(name).await;
            if told != before + happened && self.rows(name).await < 100 {
                let expected = before + happened;
                wrong.push(format!(
                    "the trail tells of {told} \"{name}\", not of {expected}"
                ));
            }
        }
        wrong
    }

    async fn told(&self, name: &str) -> i64 {
        let told = "SELECT CAST(coalesce(sum(count), 0) AS BIGINT) AS n FROM events";
        self.house
            .count(format!("{told} WHERE name = '{name}'"))
            .await
    }

    async fn rows(&self, name: &str) -> i64 {
        let rows = format!("SELECT count(*) AS n FROM events WHERE name = '{name}'");
        self.house.count(rows).await
    }
}

fn password(guess: Guess) -> &'static str {
    match guess {
        Guess::Right => PASSWORD,
        Guess::Wrong => WRONG,
    }
}

/// Networks are no part of this: they have tests of their own.
const SETTINGS: [(&str, &str); 2] = [
    ("LIMIT_PASSWORD_PER_NETWORK", "off"),
    ("LIMIT_TOKEN_PER_NETWORK", "off"),
];
