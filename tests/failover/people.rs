//! People who come and go while servers die: each registers in one browser, signs in in another, and ends the session of the
//! first. What they were told is done is written down, and looked for in the end.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, StatusCode};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::cluster::Cluster;
use crate::support::{Mail, Mailboxes, Page, ScriptedServer, Visitor, eventually};

/// How many are there at once.
const AT_ONCE: usize = 12;

/// Who was told to try again does so after this long, and is less patient than told to be.
const A_MOMENT: Duration = Duration::from_millis(100);

/// A letter that has not come by then was lost with the row that it was in, or comes once a lease has ended: people ask
/// again.
const FOR_A_LETTER: Duration = Duration::from_secs(4);

/// Nobody tries longer than that.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everybody, and what they share.
#[derive(Clone)]
pub struct Crowd {
    nodes: Arc<Vec<String>>,
    anybody: Visitor,
    mailboxes: Mailboxes,
    record: Arc<Mutex<Record>>,
    go_home: Arc<AtomicBool>,
    turn: Arc<AtomicUsize>,
}

/// What people were told.
#[derive(Clone, Default)]
pub struct Record {
    /// Letters that were promised, by the address.
    asked: HashMap<String, usize>,
    accounts: HashSet<String>,
    /// Browsers that are signed in, and as whom.
    signed_in: Vec<(String, Visitor)>,
    /// Browsers whose session was ended.
    ended: Vec<Visitor>,
    /// When each node did something last.
    served: HashMap<String, Instant>,
    done: usize,
    refused: usize,
    asked_again: usize,
    /// Answers that are neither "done" nor "try again".
    pub wrong: Vec<String>,
}

impl Crowd {
    pub fn gather(nodes: &[String], mail: &ScriptedServer) -> Self {
        Self {
            anybody: Visitor::new(&nodes[0]),
            nodes: Arc::new(nodes.to_vec()),
            mailboxes: Mailboxes::at(mail),
            record: Arc::default(),
            go_home: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// One after the other leaves, and the next comes in their place.
    pub fn come_and_go(&self) -> JoinSet<()> {
        let mut coming = JoinSet::new();
        for _ in 0..AT_ONCE {
            let crowd = self.clone();
            coming.spawn(async move {
                while !crowd.go_home.load(Ordering::Relaxed) {
                    Person::new(&crowd).visit().await;
                }
            });
        }
        coming
    }

    /// Whoever is there finishes what they came for; nobody comes after them.
    pub async fn goes_home(&self, mut coming: JoinSet<()>) {
        self.go_home.store(true, Ordering::Relaxed);
        while let Some(gone) = coming.join_next().await {
            gone.unwrap();
        }
    }

    /// Each node has done something since.
    pub async fn is_served_again(&self, since: Instant, within: Duration) {
        eventually("every node serves", async || {
            let served = &self.record.lock().unwrap().served;
            let is_served = |node: &String| served.get(node).is_some_and(|last| *last > since);
            self.nodes.iter().all(is_served)
        })
        .await;
        assert!(since.elapsed() < within, "after {:?}", since.elapsed());
    }

    pub fn record(&self) -> Record {
        self.record.lock().unwrap().clone()
    }
}

impl Record {
    /// What of it is not there: in the tables of this server, and at the nodes.
    pub async fn is_there(&self, server: &Cluster) -> Vec<String> {
        let root = server.root().await;
        let mut lost = Vec::new();
        let letters = "SELECT email, count(*) FROM outbox GROUP BY email";
        let letters = root.query(letters, &[]).await.unwrap();
        let letters: HashMap<String, i64> =
            letters.iter().map(|row| (row.get(0), row.get(1))).collect();
        for (address, asked) in &self.asked {
            let posted = letters.get(address).copied().unwrap_or_default();
            if posted < *asked as i64 {
                lost.push(format!(
                    "{address} was promised {asked} letters, and {posted} are there"
                ));
            }
        }
        let accounts = root.query("SELECT email FROM users", &[]).await.unwrap();
        let accounts: HashSet<String> = accounts.iter().map(|row| row.get(0)).collect();
        for address in self.accounts.difference(&accounts) {
            lost.push(format!("the account of {address} is not there"));
        }
        for (address, browser) in &self.signed_in {
            let now = browser.signed_in_as().await;
            if now.as_ref() != Some(address) {
                lost.push(format!("the session of {address} is not there"));
            }
        }
        for browser in &self.ended {
            if let Some(address) = browser.signed_in_as().await {
                lost.push(format!("a session of {address} was ended, and is there"));
            }
        }
        lost
    }
}

impl Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            done,
            refused,
            asked_again,
            ..
        } = self;
        let (accounts, ended) = (self.accounts.len(), self.ended.len());
        write!(
            f,
            "{done} times done ({accounts} accounts, {ended} sessions ended), {refused} times refused, \
             {asked_again} letters asked for again"
        )
    }
}

/// Somebody with an address and a network of their own.
struct Person {
    crowd: Crowd,
    address: String,
    network: String,
    mailbox: UnboundedReceiver<Mail>,
    until: Instant,
}

/// What became of a link.
enum Opened {
    In,
    /// It is dead although nobody has used it but us: in a moment of which the answer was lost.
    UsedUnseen,
    /// A newer one took its place.
    Dead,
}

impl Person {
    fn new(crowd: &Crowd) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let address = format!("visitor-{number}@example.org");
        let [_, a, b, c] = (number as u32).to_be_bytes();
        Self {
            crowd: crowd.clone(),
            mailbox: crowd.mailboxes.open(&address),
            address,
            network: format!("10.{a}.{b}.{c}"),
            until: Instant::now() + PATIENCE,
        }
    }

    async fn visit(mut self) {
        let home = self.new_browser();
        self.comes_in(&home, "/register").await;
        self.noted(|record, address| {
            record.accounts.insert(address);
        });
        let phone = self.new_browser();
        loop {
            self.comes_in(&phone, "/sign-in").await;
            let end = |tab: &Visitor| tab.form("/account/sessions/end-others", &[]);
            let page = self.insists(&phone, end).await;
            // Its own session may have been lost with the server that knew it.
            if page.status == StatusCode::SEE_OTHER && page.location() == "/account/sessions" {
                break;
            }
        }
        self.noted(|record, address| {
            record.signed_in.push((address, phone));
            record.ended.push(home);
        });
    }

    /// However often it takes.
    async fn comes_in(&mut self, browser: &Visitor, route: &'static str) {
        let mut route = route;
        loop {
            let ask = |tab: &Visitor| tab.form(route, &[("email", &self.address)]);
            self.insists(browser, ask).await.sees_inbox_page();
            self.noted(|record, address| *record.asked.entry(address).or_default() += 1);
            match self.reads_mail(browser).await {
                Some(Opened::In) => return,
                // Then the account is there.
                Some(_) => route = "/sign-in",
                None => self.noted(|record, _| record.asked_again += 1),
            }
        }
    }

    /// Opens what comes; nothing, if nothing comes for a while.
    async fn reads_mail(&mut self, browser: &Visitor) -> Option<Opened> {
        loop {
            let mail = timeout(FOR_A_LETTER, self.mailbox.recv()).await.ok()??;
            if mail.is_news() {
                continue;
            }
            match self.opens(browser, &mail).await {
                Opened::Dead => {}
                opened => return Some(opened),
            }
        }
    }

    async fn opens(&self, browser: &Visitor, mail: &Mail) -> Opened {
        let mut refused = 0;
        let fields = [("token", mail.token()), ("email", &*self.address)];
        let page = self
            .tries(browser, |tab| tab.form(mail.route(), &fields), &mut refused)
            .await;
        match (page.status, refused) {
            (StatusCode::SEE_OTHER, _) => Opened::In,
            (StatusCode::GONE, 0) => Opened::Dead,
            (StatusCode::GONE, _) => Opened::UsedUnseen,
            (other, _) => {
                self.noted(|record, _| record.wrong.push(format!("a link was answered {other}")));
                Opened::Dead
            }
        }
    }

    async fn insists(
        &self,
        browser: &Visitor,
        request: impl Fn(&Visitor) -> RequestBuilder,
    ) -> Page {
        self.tries(browser, request, &mut 0).await
    }

    /// Tries, now at this node and then at the other, until it is told something else than to try again.
    async fn tries(
        &self,
        browser: &Visitor,
        request: impl Fn(&Visitor) -> RequestBuilder,
        refused: &mut usize,
    ) -> Page {
        loop {
            assert!(
                Instant::now() < self.until,
                "{} tries in vain",
                self.address
            );
            let turn = self.crowd.turn.fetch_add(1, Ordering::Relaxed);
            let node = &self.crowd.nodes[turn % self.crowd.nodes.len()];
            let tab = browser.moved_to(node);
            match tab.try_send(request(&tab)).await {
                Ok(page) if page.status == StatusCode::SERVICE_UNAVAILABLE => {
                    *refused += 1;
                    self.noted(|record, _| {
                        record.refused += 1;
                        if page.header("retry-after").is_none() {
                            record
                                .wrong
                                .push("a 503 says not when to try again".to_owned());
                        }
                    });
                }
                Ok(page) => {
                    self.noted(|record, _| {
                        if page.status.is_server_error() {
                            record.wrong.push(format!("{}: {}", page.status, page.body));
                        }
                        if page.status == StatusCode::SEE_OTHER {
                            record.done += 1;
                            record.served.insert(node.clone(), Instant::now());
                        }
                    });
                    return page;
                }
                Err(why) => {
                    self.noted(|record, _| record.wrong.push(format!("no answer: {why}")));
                }
            }
            tokio::time::sleep(A_MOMENT).await;
        }
    }

    fn noted(&self, note: impl FnOnce(&mut Record, String)) {
        note(&mut self.crowd.record.lock().unwrap(), self.address.clone());
    }

    fn new_browser(&self) -> Visitor {
        let anybody = self.crowd.anybody.with_copied_jar();
        anybody.calling_from(&self.network)
    }
}
