//! The visitors: each with an address, a network and a mailbox, and all of them impatient. What they saw is
//! written down.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorpost::clock::{Clock, Timestamp};
use doorpost::random::Token;
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::PATIENCE;
use super::nodes::Nodes;
use crate::support::{Mail, Mailboxes, Page, ScriptedServer, Visitor};

/// Visitors who talk to the program at once. Those who wait for their mail are not counted.
const AT_ONCE: usize = 32;

/// What somebody comes for.
#[derive(Clone, Copy)]
pub enum Errand {
    /// To register, and then to sign in elsewhere.
    SignIn,
    /// To ask for mail that is never opened: its link stays alive, and the mail worth sending once more.
    AskAndForget,
}

/// All visitors, and what they share.
#[derive(Clone)]
pub struct Crowd {
    /// Where each node is.
    nodes: Arc<Vec<String>>,
    /// Whose connections everybody uses.
    anybody: Visitor,
    at_once: Arc<Semaphore>,
    mailboxes: Mailboxes,
    records: Arc<Mutex<Records>>,
    people: Arc<AtomicUsize>,
    /// Answers that somebody got.
    answers: Arc<AtomicUsize>,
}

/// What the visitors saw.
#[derive(Clone, Default)]
pub struct Records {
    pub asks: Vec<Ask>,
    pub uses: Vec<Use>,
    /// How many requests came to nothing.
    pub unanswered: usize,
}

/// Somebody asked, within this time by the clock on the wall.
#[derive(Clone)]
pub struct Ask {
    pub address: String,
    pub from: Timestamp,
    pub until: Timestamp,
    pub was_answered: bool,
}

/// A link let somebody in, as often as was seen; never, if the answer was cut off.
#[derive(Clone)]
pub struct Use {
    pub link: Vec<u8>,
    pub times_seen: usize,
}

impl Crowd {
    pub fn gather(nodes: &Nodes, server: &ScriptedServer) -> Self {
        let urls: Vec<String> = nodes.list.iter().map(|node| node.url()).collect();
        Self {
            anybody: Visitor::new(&urls[0]),
            nodes: Arc::new(urls),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            mailboxes: Mailboxes::at(server),
            records: Arc::default(),
            people: Arc::default(),
            answers: Arc::default(),
        }
    }

    /// People come one after the other, all of them within this time.
    pub fn visits(&self, errands: Vec<Errand>, within: Duration) -> JoinSet<()> {
        let between = within / errands.len().max(1) as u32;
        let mut visits = JoinSet::new();
        for (number, errand) in errands.into_iter().enumerate() {
            let mut person = Person::new(self);
            visits.spawn(async move {
                tokio::time::sleep(between * number as u32).await;
                person.visit(errand).await;
            });
        }
        visits
    }

    /// Waits until everybody has done what they came for. Whoever waits in vain, when nobody else gets an answer any
    /// more either, is sent home.
    pub async fn all_go_home(&self, visits: &mut JoinSet<()>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut answers = 0;
        loop {
            match tokio::time::timeout(PATIENCE, visits.join_next()).await {
                Ok(None) => return wrong,
                Ok(Some(ended)) => {
                    wrong.extend(ended.err().map(|panic| format!("a visitor: {panic}")));
                }
                Err(_) if answers < self.answers() => answers = self.answers(),
                Err(_) => {
                    wrong.push(format!("{} visitors wait in vain", visits.len()));
                    visits.shutdown().await;
                    return wrong;
                }
            }
        }
    }

    fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    pub fn records(&self) -> Records {
        self.records.lock().unwrap().clone()
    }
}

/// Somebody with an address and a network of their own.
struct Person {
    crowd: Crowd,
    address: String,
    network: String,
    mailbox: UnboundedReceiver<Mail>,
    /// Links that were tried: a copy of a letter is no new one.
    tried: BTreeSet<String>,
    steps: AtomicUsize,
}

/// What became of a link.
#[derive(PartialEq, Eq)]
enum Opened {
    In,
    /// It was used, in a moment when nobody was there to say so.
    UsedUnseen,
    Dead,
}

impl Person {
    fn new(crowd: &Crowd) -> Self {
        let number = crowd.people.fetch_add(1, Ordering::Relaxed);
        let address = format!("visitor-{number}@example.org");
        let [_, a, b, c] = (number as u32).to_be_bytes();
        Self {
            crowd: crowd.clone(),
            network: format!("10.{a}.{b}.{c}"),
            mailbox: crowd.mailboxes.open(&address),
            address,
            tried: BTreeSet::new(),
            steps: AtomicUsize::new(number),
        }
    }

    async fn visit(&mut self, errand: Errand) {
        match errand {
            Errand::SignIn => {
                self.sign_in("/register").await;
                self.sign_in("/sign-in").await;
            }
            Errand::AskAndForget => self.ask(&self.new_browser(), "/register").await,
        }
    }

    /// However often it takes, in a browser that was never here before.
    async fn sign_in(&mut self, route: &str) {
        let browser = self.new_browser();
        loop {
            self.ask(&browser, route).await;
            if self.read_mail(&browser).await == Opened::In {
                break;
            }
        }
        let account = loop {
            let asked = self.answer(&browser, |tab| tab.request(Method::GET, "/account"));
            if let Some(page) = asked.await {
                break page;
            }
            a_moment().await;
        };
        let shown = account.between("<dt>Email address</dt><dd>", "</dd>");
        assert_eq!(shown.as_ref(), Some(&self.address), "{}", account.status);
    }

    /// Asks until there is an answer.
    async fn ask(&self, browser: &Visitor, route: &str) {
        let _turn = self.crowd.at_once.acquire().await.unwrap();
        loop {
            let from = Clock::System.now();
            let form = |tab: &Visitor| tab.form(route, &[("email", &self.address)]);
            let answer = self.answer(browser, form).await;
            self.crowd.records.lock().unwrap().asks.push(Ask {
                address: self.address.clone(),
                from,
                until: Clock::System.now(),
                was_answered: answer.is_some(),
            });
            if let Some(page) = answer {
                return page.sees_inbox_page();
            }
            a_moment().await;
        }
    }

    /// Opens what comes until a link was used.
    async fn read_mail(&mut self, browser: &Visitor) -> Opened {
        loop {
            let mail = self.mailbox.recv().await.unwrap();
            if mail.is_news() || !self.tried.insert(mail.link.clone()) {
                continue;
            }
            let opened = self.open(browser, &mail).await;
            if opened != Opened::Dead {
                return opened;
            }
        }
    }

    /// Presses until there is an answer.
    async fn open(&self, browser: &Visitor, mail: &Mail) -> Opened {
        let _turn = self.crowd.at_once.acquire().await.unwrap();
        let mut was_cut_off = false;
        loop {
            let answers = self.press(browser, mail).await;
            was_cut_off |= answers.iter().any(Option::is_none);
            let pages: Vec<&Page> = answers.iter().flatten().collect();
            let times_seen = pages.iter().filter(|page| lets_in(page)).count();
            if times_seen > 0 {
                self.note_use(mail, times_seen);
                return Opened::In;
            }
            if pages.is_empty() || pages.len() < answers.len() {
                a_moment().await;
                continue;
            }
            pages.iter().for_each(|page| page.says_the_link_is_gone());
            if was_cut_off {
                self.note_use(mail, 0);
                return Opened::UsedUnseen;
            }
            return Opened::Dead;
        }
    }

    /// What was answered to each press; to none, if it did not come to that. A scanner that guards the mailbox
    /// looks first: that uses nothing, and tells a link that was replaced from one that our press used up.
    async fn press(&self, browser: &Visitor, mail: &Mail) -> Vec<Option<Page>> {
        let click = |tab: &Visitor| tab.clicking(mail.path());
        let Some(page) = self.answer(&self.new_browser(), click).await else {
            return Vec::new();
        };
        if page.status == StatusCode::GONE {
            return vec![Some(page)];
        }
        if mail.route() == "/sign-in/link" {
            return self.twice(browser, click).await;
        }
        let Some(token) = self.find_form(browser, mail).await else {
            return Vec::new();
        };
        let press = |tab: &Visitor| tab.form("/confirm-email", &[("token", &token)]);
        self.twice(browser, press).await
    }

    /// The token in the form that the link leads to. There is none if a press that was cut off had its effect
    /// just now: the next look finds that out.
    async fn find_form(&self, browser: &Visitor, mail: &Mail) -> Option<String> {
        let click = |tab: &Visitor| tab.clicking(mail.path());
        let page = self.answer(browser, click).await?;
        let clean = page.header("location")?;
        let form = |tab: &Visitor| tab.request(Method::GET, clean);
        self.answer(browser, form).await?.hidden("token")
    }

    /// Everybody presses twice, and where there are two nodes, at both of them at once.
    async fn twice(
        &self,
        browser: &Visitor,
        request: impl Fn(&Visitor) -> RequestBuilder,
    ) -> Vec<Option<Page>> {
        let press = || self.answer(browser, &request);
        join_all([press(), press()]).await
    }

    /// The answer of the next node; none, if that is killed before it is given in full, or is not there.
    async fn answer(
        &self,
        browser: &Visitor,
        request: impl Fn(&Visitor) -> RequestBuilder,
    ) -> Option<Page> {
        let next = self.steps.fetch_add(1, Ordering::Relaxed) % self.crowd.nodes.len();
        let tab = browser.moved_to(&self.crowd.nodes[next]);
        let answer = tab.try_send(request(&tab)).await.ok();
        let answer = answer.filter(|page| !page.status.is_server_error());
        match answer {
            Some(_) => {
                self.crowd.answers.fetch_add(1, Ordering::Relaxed);
            }
            None => self.crowd.records.lock().unwrap().unanswered += 1,
        }
        answer
    }

    fn note_use(&self, mail: &Mail, times_seen: usize) {
        self.crowd.records.lock().unwrap().uses.push(Use {
            link: hash_of(mail),
            times_seen,
        });
    }

    fn new_browser(&self) -> Visitor {
        let anybody = self.crowd.anybody.with_copied_jar();
        anybody.calling_from(&self.network)
    }
}

/// Whoever got no answer tries again after a while, as people do.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn lets_in(page: &Page) -> bool {
    page.status == StatusCode::SEE_OTHER && page.location() == "/account"
}

/// What the tables know the link of a mail by.
pub fn hash_of(mail: &Mail) -> Vec<u8> {
    let token = Token::parse(mail.token()).unwrap();
    token.hash().as_bytes().to_vec()
}
