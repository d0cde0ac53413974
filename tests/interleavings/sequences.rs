//! Anything that three browsers and two programs may do, one after the other, in an order that nobody chose;
//! time passes meanwhile, nodes end and others begin, keys are replaced.
//!
//! After each step the model is compared with what is seen from outside: who is signed in where and for what,
//! what a copied cookie opens, and which letters with links went out.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::{self, Display, Write as _};
use std::ops::Add;
use std::time::Duration;

use doorpost::accounts::email_address::EmailAddress;
use doorpost::accounts::users;
use doorpost::actions::invite::{self, Told};
use doorpost::mail::letters::Priority;
use doorpost::mail::outbox::{self, Claimed};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::always;
use super::model::{Holder, MINUTE, Model, SECOND, Time};
use super::outcome::compare_strangers;
use super::program::Program;
use super::steps::{
    ADDRESSES, Around, BEGINNING, BROWSERS, ByProgram, Guess, InBrowser, Late, PASSWORDS, PROGRAMS,
    Step, Trouble, step,
};
use super::tell;
use super::world::nobodys;
use crate::support::{Database, House, Mail, Visitor, eventually, secret_key};

/// The longest sequence.
const STEPS: usize = 100;

/// Shrinking takes as long as playing: it need not find the shortest of all.
const SHRINKS: u32 = 300;

/// Where the public sees it, whichever node there is.
const PUBLIC_URL: &str = "http://localhost:8080";

/// Mail that no node has looked at yet.
const UNTRIED: &str = "SELECT count(*) AS n FROM outbox WHERE state = 'queued' AND tries = 0";

/// Plays so many; what came about, and what is wrong with the shortest sequence that shows it.
pub fn search(db: Database, sequences: u32, seed: u64) -> (Came, Option<String>) {
    let steps = proptest::collection::vec(step(), 1..=STEPS);
    draw(steps, sequences, seed, async |steps: &Vec<Step>| {
        play(db, steps).await
    })
}

/// Draws so many of these and plays each; the sum of what came of them, and what is wrong with the smallest that shows
/// it.
pub fn draw<T: fmt::Debug, C: Add<Output = C> + Copy + Default>(
    drawn: impl Strategy<Value = T>,
    number: u32,
    seed: u64,
    play: impl AsyncFn(&T) -> Result<C, String>,
) -> (C, Option<String>) {
    let runtime = Runtime::new().unwrap();
    let config = Config {
        cases: number,
        max_shrink_iters: SHRINKS,
        failure_persistence: None,
        ..Config::default()
    };
    let mut seeds = [0; 32];
    seeds[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seeds);
    let (all, played, failed) = (Cell::new(C::default()), Cell::new(0), Cell::new(false));
    let run = TestRunner::new_with_rng(config, rng).run(&drawn, |drawn| {
        let came = runtime.block_on(play(&drawn));
        played.set(played.get() + 1);
        match came {
            Ok(came) => all.set(all.get() + came),
            Err(why) => {
                if !failed.replace(true) {
                    let number = played.get();
                    tell(&format!(
                        "number {number} is wrong, a shorter one is looked for: {why}"
                    ));
                }
                return Err(TestCaseError::fail(why));
            }
        }
        Ok(())
    });
    let wrong = match run {
        Ok(()) => None,
        Err(TestError::Fail(why, _)) => Some(why.to_string()),
        Err(why) => Some(why.to_string()),
    };
    (all.get(), wrong)
}

/// What came about while a sequence was played: where nothing does, nothing is tried.
#[derive(Clone, Copy, Default)]
pub struct Came {
    pub steps: usize,
    pub accounts: usize,
    pub sessions: usize,
    pub links: usize,
}

impl Add for Came {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            accounts: self.accounts + other.accounts,
            sessions: self.sessions + other.sessions,
            links: self.links + other.links,
        }
    }
}

impl Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            steps,
            accounts,
            sessions,
            links,
        } = self;
        write!(
            f,
            "{steps} steps, {accounts} accounts, {sessions} sessions, {links} mailed links"
        )
    }
}

/// Plays a sequence from the beginning; or what is wrong, and after which step.
async fn play(db: Database, steps: &[Step]) -> Result<Came, String> {
    let mut play = Play::begin(db).await;
    let steps: Vec<&Step> = BEGINNING.iter().chain(steps).collect();
    for (number, step) in steps.iter().enumerate() {
        play.advance(SECOND);
        match step {
            Step::Browser(browser, does) => play.in_browser(*browser, does).await,
            Step::Program(program, does) => play.by_program(*program, does).await,
            Step::Around(around) => play.around(around).await,
        }
        let wrong = play.look().await;
        if !wrong.is_empty() {
            return Err(told(&steps[..=number], &wrong));
        }
    }
    Ok(Came {
        steps: steps.len(),
        accounts: play.model.accounts.len(),
        sessions: play.model.sessions.len(),
        links: play.model.links.len(),
    })
}

fn told(steps: &[&Step], wrong: &[String]) -> String {
    let mut told = "after these steps\n".to_owned();
    for step in steps {
        let _ = writeln!(told, "    {step:?}");
    }
    told + &wrong.join("\n")
}

/// A copy of a browser's cookies, and what it was a copy of.
struct Copied {
    jar: Visitor,
    session: Option<usize>,
    edition: u32,
}

/// A copy of a program's access token, likewise.
struct CopiedToken {
    program: Program,
    session: usize,
    edition: u32,
    issued_at: Time,
}

struct Notification {
    path: String,
    account: usize,
    epoch: u32,
    address: usize,
    made_at: Time,
}

struct Play {
    /// None only while one node hands over to the next.
    house: Option<House>,
    model: Model,
    browsers: Vec<Visitor>,
    programs: Vec<Program>,
    sign_in_ids: Vec<String>,
    copies: Vec<Copied>,
    copied_tokens: Vec<CopiedToken>,
    notifications: Vec<Notification>,
    /// Those with a link, as the model counts them.
    mails: Vec<Mail>,
    tokens: BTreeSet<String>,
    keys: Vec<String>,
    /// Who asked for this address, and who asked for nobody's.
    strangers: Vec<([Visitor; 2], usize)>,
    /// What was seen to be wrong while something was done.
    wrong: Vec<String>,
}

impl Play {
    async fn begin(db: Database) -> Self {
        let house = House::with(db, &[&SETTINGS[..], &[OPEN]].concat()).await;
        Self {
            model: Model::new(house.clock.now(), BROWSERS, PROGRAMS),
            browsers: (0..BROWSERS).map(|_| house.visitor()).collect(),
            programs: (0..PROGRAMS)
                .map(|_| Program::new(&house.visitor()))
                .collect(),
            sign_in_ids: vec![String::new(); PROGRAMS],
            copies: Vec::new(),
            copied_tokens: Vec::new(),
            notifications: Vec::new(),
            mails: Vec::new(),
            tokens: BTreeSet::new(),
            keys: vec![house.secret_key().to_owned()],
            strangers: Vec::new(),
            wrong: Vec::new(),
            house: Some(house),
        }
    }

    fn house(&self) -> &House {
        self.house.as_ref().unwrap()
    }

    fn house_mut(&mut self) -> &mut House {
        self.house.as_mut().unwrap()
    }

    fn advance(&mut self, by: Time) {
        self.house()
            .advance(Duration::from_millis(by.unsigned_abs()));
        self.model.now += by;
    }

    async fn in_browser(&mut self, number: usize, does: &InBrowser) {
        let browser = self.browsers[number].clone();
        match *does {
            InBrowser::Register(address) => self.asks(number, "/register", address).await,
            InBrowser::AskToSignIn(address) => self.asks(number, "/sign-in", address).await,
            InBrowser::AskToReset(address) => {
                browser
                    .ask("/forgot-password", ADDRESSES[address])
                    .await
                    .sees_inbox_page();
                self.model.asks_to_reset(number, address);
            }
            InBrowser::AskAmid(trouble, address) => {
                let links = self.model.links.len();
                self.house_mut().hold_mail();
                self.asks(number, "/sign-in", address).await;
                self.goes_through(trouble).await;
                self.model.leave_now(links);
            }
            InBrowser::UseLink(mail, password) => self.uses_link(number, mail, password).await,
            InBrowser::TypeCode(mail) => self.types_code(number, mail).await,
            InBrowser::SignIn(address, guess) => {
                let password = self.password(self.model.account_of(address), guess);
                browser.enter(ADDRESSES[address], PASSWORDS[password]).await;
                self.model
                    .signs_in(Holder::Browser(number), address, password);
            }
            InBrowser::FollowNotification => {
                let Some(link) = self.notifications.last() else {
                    return;
                };
                browser.click(&link.path).await;
                self.model
                    .follows(number, link.account, link.epoch, link.address, link.made_at);
            }
            InBrowser::CopyJar => self.copies(number),
            _ => self.in_account(&browser, number, does).await,
        }
    }

    /// What wants a session.
    async fn in_account(&mut self, browser: &Visitor, number: usize, does: &InBrowser) {
        match *does {
            InBrowser::Reauthenticate(guess) => {
                let password = self.password(self.model.account_in(number), guess);
                let fields = [("password", PASSWORDS[password]), ("next", "/account")];
                browser.post("/reauthenticate", &fields).await;
                self.model.reauthenticates(number, password);
            }
            InBrowser::ChangePassword(password) => {
                let fields = [("password", PASSWORDS[password])];
                browser.post("/account/password", &fields).await;
                self.model.changes_password(number, password);
            }
            InBrowser::AskForAddress(address) => {
                let fields = [("email", ADDRESSES[address])];
                browser.post("/account/email", &fields).await;
                self.model.asks_for_address(number, address);
            }
            InBrowser::Delete => self.deletes(browser, number).await,
            InBrowser::SignOut => {
                browser.post("/sign-out", &[]).await;
                self.model.signs_out(number);
            }
            InBrowser::EndOtherSessions => {
                browser.post("/account/sessions/end-others", &[]).await;
                self.model.ends_other_sessions(number);
            }
            InBrowser::EndLinks => {
                browser.post("/account/links/end", &[]).await;
                self.model.ends_links(number);
            }
            _ => panic!("{does:?} wants no session"),
        }
    }

    /// With all that was mailed to its address.
    async fn deletes(&mut self, browser: &Visitor, number: usize) {
        let shown = self.model.seen(self.model.browsers[number].session);
        let address = shown.map_or("", |(address, _)| ADDRESSES[address]);
        let deleted = browser.post("/account/delete", &[("email", address)]).await;
        self.model.deletes(number);
        if deleted.header("location") != Some("/") {
            return;
        }
        let left = "SELECT count(*) AS n FROM outbox WHERE letter <> 'account_deleted'";
        let left = format!("{left} AND email = '{address}'");
        if self.house().count(left).await > 0 {
            let wrong = format!("mail to {address} outlived the account");
            self.wrong.push(wrong);
        }
        self.strangers_guess().await;
    }

    async fn by_program(&mut self, number: usize, does: &ByProgram) {
        let program = self.programs[number].clone();
        let holder = Holder::Program(number);
        let answer = match *does {
            ByProgram::AskForCode(address) => {
                let page = program.ask_for_code(ADDRESSES[address]).await;
                let asked: Value = serde_json::from_str(&page.body).unwrap();
                self.sign_in_ids[number] = asked["sign_in_id"].as_str().unwrap().to_owned();
                self.model.asks_to_come_in(holder, address);
                page
            }
            ByProgram::TypeCode(mail) => {
                let Some((
                    link,
                    Mail {
                        code: Some(code), ..
                    },
                )) = self.mail(mail)
                else {
                    return;
                };
                self.model.types_code(holder, link);
                program.type_code(&self.sign_in_ids[number], &code).await
            }
            ByProgram::SignIn(address, guess) => {
                let password = self.password(self.model.account_of(address), guess);
                self.model.signs_in(holder, address, password);
                program
                    .sign_in(ADDRESSES[address], PASSWORDS[password])
                    .await
            }
            ByProgram::Refresh => {
                self.model.refreshes(number);
                program.refresh().await
            }
            ByProgram::LoseRefresh => {
                self.model.loses_refresh(number);
                program.refresh().await;
                return;
            }
            ByProgram::Revoke => {
                self.model.revokes(number);
                program.revoke().await
            }
            ByProgram::ChangePassword(password) => {
                let new = json!({"password": PASSWORDS[password]});
                self.model.changes_password_by_program(number, password);
                program.post("/api/v1/me/password", &new).await
            }
            ByProgram::AskForAddress(address) => {
                let new = json!({"email": ADDRESSES[address]});
                self.model.asks_for_address_by_program(number, address);
                program.post("/api/v1/me/email", &new).await
            }
            ByProgram::CopyToken => return self.copies_token(number),
        };
        self.programs[number] = program.with(&answer);
    }

    async fn around(&mut self, around: &Around) {
        match *around {
            Around::NameWrongAddress(mail) => {
                let Some((link, mail)) = self.mail(mail) else {
                    return;
                };
                let fields = [("token", mail.token()), ("email", "nobody@example.org")];
                self.house().visitor().post(mail.route(), &fields).await;
                self.model.names_wrong_address(link);
            }
            Around::WriteNotification(address) => self.writes_notification(address).await,
            Around::Invite(address) => self.invites(address).await,
            Around::Withdraw(address) => {
                let email = EmailAddress::parse(ADDRESSES[address]).unwrap();
                let app = &self.house().app;
                let withdrawn = app.transaction(move |tx| invite::withdraw(tx, &email));
                withdrawn.await.unwrap();
                self.model.is_withdrawn(address);
            }
            Around::StrangersAsk(address) => self.strangers_ask(address).await,
            Around::StrangersGuess => self.strangers_guess().await,
            Around::Wait(time) => self.advance(time),
            Around::Restart => self.hand_over().await,
            Around::SwitchSignUp => {
                self.model.is_closed = !self.model.is_closed;
                self.hand_over().await;
            }
            Around::ReplaceKey => {
                self.keys.push(secret_key());
                self.hand_over().await;
            }
        }
    }

    async fn strangers_ask(&mut self, address: usize) {
        let strangers = [self.house().visitor(), self.house().visitor()];
        let nobodys = nobodys(ADDRESSES[address]);
        for (stranger, address) in strangers.iter().zip([ADDRESSES[address], &nobodys]) {
            stranger.ask("/sign-in", address).await.sees_inbox_page();
        }
        self.model.stranger_asks(address);
        self.strangers.push((strangers, address));
    }

    /// Each types a wrong code, and sees what they would see of an address that nobody has.
    async fn strangers_guess(&mut self) {
        for (strangers, address) in &self.strangers {
            let differs = compare_strangers(strangers, ADDRESSES[*address]).await;
            let seen = "a stranger who asked sees that somebody has the address";
            self.wrong
                .extend(differs.map(|how| format!("{seen}: {how}")));
        }
    }

    /// Mail waits, and is to leave all the same, once.
    async fn goes_through(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::KeyIsReplaced => {
                self.keys.push(secret_key());
                return self.hand_over().await;
            }
            Trouble::NodesDisagree => {
                let key = secret_key();
                let settings = [("PUBLIC_URL", PUBLIC_URL), ("SECRET_KEY", &*key)];
                let other = self.house().second_node(&settings);
                eventually("it to be met", async || {
                    self.house().count(UNTRIED).await == 0
                })
                .await;
                drop(other);
            }
            Trouble::NodeDies => drop(self.claim().await),
            Trouble::NodeIsPaused(late) => {
                let paused = self.claim().await;
                self.advance(MINUTE);
                let taken_up = self.claim().await;
                for mail in paused {
                    if self.says(mail, late).await {
                        let wrong = format!("{late:?}: it moved mail that another node had");
                        self.wrong.push(wrong);
                    }
                }
                for mail in taken_up {
                    self.says(mail, Late::GivesBack).await;
                }
            }
        }
        self.advance(MINUTE);
        self.house_mut().release_mail();
    }

    /// All mail that is due, as a node's worker claims it.
    async fn claim(&self) -> Vec<Claimed> {
        let claimed = self.house().app.transaction(|tx| {
            let mut claimed = outbox::claim(tx, 8, Priority::Bulk)?;
            claimed.extend(outbox::claim(tx, 8, Priority::Bulk)?);
            Ok(claimed)
        });
        claimed.await.unwrap()
    }

    /// Whether it was heard.
    async fn says(&self, mail: Claimed, what: Late) -> bool {
        let said = self.house().app.transaction(move |tx| match what {
            Late::GivesBack => outbox::give_back(tx, &mail),
            Late::PutsOff => outbox::later(tx, &mail, Duration::from_secs(1), "not now"),
            Late::Refuses => outbox::refused(tx, &mail, "no such user"),
            Late::Drops => outbox::dropped(tx, &mail, "too late"),
            Late::Forgets => outbox::forgotten(tx, &mail),
            Late::HasSent => outbox::sent(tx, &mail),
        });
        said.await.unwrap()
    }

    async fn asks(&mut self, number: usize, route: &str, address: usize) {
        let asked = self.browsers[number].ask(route, ADDRESSES[address]).await;
        asked.sees_inbox_page();
        self.model.asks_to_come_in(Holder::Browser(number), address);
    }

    async fn uses_link(&mut self, number: usize, mail: usize, password: usize) {
        let Some((link, mail)) = self.mail(mail) else {
            return;
        };
        let fields = [
            ("token", mail.token()),
            ("email", ADDRESSES[self.model.links[link].address]),
            ("password", PASSWORDS[password]),
            ("switch", "yes"),
        ];
        self.browsers[number].post(mail.route(), &fields).await;
        self.model.uses_link(number, link, password);
    }

    async fn types_code(&mut self, number: usize, mail: usize) {
        let Some((
            link,
            Mail {
                code: Some(code), ..
            },
        )) = self.mail(mail)
        else {
            return;
        };
        self.browsers[number].type_code(&code).await;
        self.model.types_code(Holder::Browser(number), link);
    }

    /// The newest but so many, and the model's link of it.
    fn mail(&self, back: usize) -> Option<(usize, Mail)> {
        let link = self.mails.len().checked_sub(1 + back)?;
        Some((link, self.mails[link].clone()))
    }

    /// The one that somebody types: where the account has none, there is no right one.
    fn password(&self, account: Option<usize>, guess: Guess) -> usize {
        let right = account.and_then(|account| self.model.accounts[account].password);
        match guess {
            Guess::Right => right.unwrap_or(0),
            Guess::Wrong => right.map_or(0, |right| (right + 1) % PASSWORDS.len()),
        }
    }

    fn copies(&mut self, number: usize) {
        let session = self.model.browsers[number].session;
        self.copies.push(Copied {
            jar: self.browsers[number].with_copied_jar(),
            session,
            edition: session.map_or(0, |session| self.model.sessions[session].edition),
        });
    }

    fn copies_token(&mut self, number: usize) {
        if let Some(session) = self.model.programs[number].session {
            self.copied_tokens.push(CopiedToken {
                program: self.programs[number].clone(),
                session,
                edition: self.model.sessions[session].edition,
                issued_at: self.model.programs[number].access_issued_at,
            });
        }
    }

    async fn writes_notification(&mut self, address: usize) {
        let Some(account) = self.model.account_of(address) else {
            return;
        };
        let links = self.house().app.signed_links.clone();
        let made = self.house().app.read(move |tx| {
            let reader = users::of_address(tx, ADDRESSES[address])?;
            Ok(reader.map(|reader| links.to_page(tx, &reader, "/account")))
        });
        let Some(link) = made.await.unwrap() else {
            return;
        };
        self.notifications.push(Notification {
            path: link[PUBLIC_URL.len()..].to_owned(),
            account,
            epoch: self.model.accounts[account].epoch,
            address,
            made_at: self.model.now,
        });
    }

    async fn invites(&mut self, address: usize) {
        let email = EmailAddress::parse(ADDRESSES[address]).unwrap();
        let app = self.house().app.clone();
        let invited = self
            .house()
            .app
            .transaction(move |tx| invite::invite(tx, &app, &email, Told::ByMail));
        invited.await.unwrap();
        self.model.is_invited(address);
    }

    /// Another node takes over, with the newest key to seal with and all older ones to open with.
    async fn hand_over(&mut self) {
        let (newest, older) = self.keys.split_last().unwrap();
        let older = older.join(",");
        let keys = [("SECRET_KEY", newest.as_str()), ("SECRET_KEYS_OLD", &older)];
        let sign_up = if self.model.is_closed { CLOSED } else { OPEN };
        let settings = [&SETTINGS[..], &keys, &[sign_up]].concat();
        let house = self.house.take().unwrap().restart(&settings).await;
        for browser in &mut self.browsers {
            *browser = browser.at(&house);
        }
        for copy in &mut self.copies {
            copy.jar = copy.jar.at(&house);
        }
        for (strangers, _) in &mut self.strangers {
            *strangers = strangers.each_ref().map(|stranger| stranger.at(&house));
        }
        let copied = self.copied_tokens.iter_mut().map(|copy| &mut copy.program);
        for program in self.programs.iter_mut().chain(copied) {
            *program = program.moved_to(&house.url);
        }
        self.house = Some(house);
    }

    /// What differs from the model.
    async fn look(&mut self) -> Vec<String> {
        let mut wrong = std::mem::take(&mut self.wrong);
        wrong.extend(self.read_mail().await);
        wrong.extend(always::broken(self.house()).await);
        for number in 0..BROWSERS {
            let session = self.model.browsers[number].session;
            let expected = self.model.seen(session);
            if let Some(session) = session.filter(|session| self.model.lives(*session)) {
                self.model.touch(session);
            }
            wrong.extend(
                differs(
                    &format!("browser {number}"),
                    &self.browsers[number],
                    expected,
                )
                .await,
            );
        }
        for (number, copy) in self.copies.iter().enumerate() {
            let is_the_same =
                |session: &usize| self.model.sessions[*session].edition == copy.edition;
            let expected = self.model.seen(copy.session.filter(is_the_same));
            wrong.extend(differs(&format!("copied jar {number}"), &copy.jar, expected).await);
        }
        for (number, program) in self.programs.iter().enumerate() {
            let expected = self.model.seen_by_program(number);
            wrong.extend(opens_another(&format!("program {number}"), program, expected).await);
        }
        for (number, copy) in self.copied_tokens.iter().enumerate() {
            let (session, edition) = (copy.session, copy.edition);
            let expected = self.model.seen_by_token(session, edition, copy.issued_at);
            let who = format!("copied token {number}");
            wrong.extend(opens_another(&who, &copy.program, expected).await);
        }
        wrong
    }

    /// Every letter with a link that the model knows of, and no other.
    async fn read_mail(&mut self) -> Vec<String> {
        let mut came = Vec::new();
        for address in ADDRESSES {
            let mut mails = self.house().all_mail_to(address).await;
            mails.reverse();
            mails.retain(|mail| self.tokens.insert(mail.token().to_owned()));
            came.extend(mails.into_iter().map(|mail| (address, mail)));
        }
        let mut wrong = Vec::new();
        let from = self.mails.len();
        for link in &self.model.links[from..] {
            let is_it = |(to, mail): &(&str, Mail)| {
                *to == ADDRESSES[link.address] && mail.route() == link.purpose.route()
            };
            match came.iter().position(is_it) {
                Some(it) => self.mails.push(came.remove(it).1),
                None => wrong.push(format!("no mail came: {link:?}")),
            }
        }
        wrong.extend(
            came.iter()
                .map(|(to, mail)| format!("an unexpected mail came: {} to {to}", mail.subject)),
        );
        wrong
    }
}

async fn differs(who: &str, browser: &Visitor, expected: Option<(usize, bool)>) -> Option<String> {
    let seen = match browser.signed_in_as().await {
        None => None,
        Some(address) => {
            let gate = browser.get("/account/password").await;
            Some((address, gate.status == StatusCode::OK))
        }
    };
    let expected = expected.map(|(address, entered)| (ADDRESSES[address].to_owned(), entered));
    (seen != expected).then(|| format!("{who} is signed in as {seen:?}, not {expected:?}"))
}

async fn opens_another(who: &str, program: &Program, expected: Option<usize>) -> Option<String> {
    let seen = program.signed_in_as().await;
    let expected = expected.map(|address| ADDRESSES[address]);
    let differs = seen.as_deref() != expected;
    differs.then(|| format!("{who} is signed in as {seen:?}, not {expected:?}"))
}

/// Limits have tests of their own.
const SETTINGS: [(&str, &str); 9] = [
    ("PUBLIC_URL", PUBLIC_URL),
    ("ARGON2_MEMORY_KIB", "64"),
    ("ARGON2_PASSES", "1"),
    ("LIMIT_MAIL_GAP", "off"),
    ("LIMIT_MAIL_PER_ADDRESS", "off"),
    ("LIMIT_MAIL_PER_ADDRESS_DAILY", "off"),
    ("LIMIT_PASSWORD_PER_ACCOUNT", "off"),
    ("LIMIT_PASSWORD_PER_NETWORK", "off"),
    ("LIMIT_TOKEN_PER_NETWORK", "off"),
];

/// To all addresses but the last.
const OPEN: (&str, &str) = ("SIGN_UP", "example.org");
const CLOSED: (&str, &str) = ("SIGN_UP", "invited");
