//! Who comes by: readers who ask for a link and use it, and then look at pages; strangers who ask and never come back;
//! members who sign in with a password; programs that call and refresh.
//!
//! Each comes from a network of their own, as behind a proxy: what the audit trail holds of them is a row each.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::json;

use crate::program::sink::{Letter, Sink};
use crate::program::{Connection, between, cookie_of, get, post, post_json};
use crate::site::PASSWORD;

/// What somebody comes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Visit {
    Page,
    Call,
    Ask,
    Register,
    Use,
    Refresh,
    Password,
}

/// Of fifty, so many come for this. A link is asked for as often as one is used.
pub const MIX: [(Visit, usize, &str); 7] = [
    (Visit::Page, 30, "a signed-in page"),
    (Visit::Call, 5, "a call of the API"),
    (Visit::Ask, 4, "asking for a link"),
    (Visit::Register, 1, "asking to register"),
    (Visit::Use, 4, "using a link"),
    (Visit::Refresh, 4, "a refresh"),
    (Visit::Password, 2, "a sign-in with the password"),
];

/// Members, each with a password, a browser that is known, and a program. Enough for nobody to come to the hundred
/// sessions that an account has at the most: the next would end that of the program.
const MEMBERS: u64 = 256;

/// Sessions that are looked at pages with: those that began last.
const SESSIONS: usize = 500;

/// Letters that are there before anybody uses a link: so few that each is used while it is good, at ten visits a second
/// still.
const AHEAD: usize = 32;

/// A letter that takes longer is not waited for.
const MAIL_PATIENCE: Duration = Duration::from_secs(10);

const A_MOMENT: Duration = Duration::from_millis(100);

pub struct Crowd {
    port: u16,
    accounts: u64,
    members: Vec<Member>,
    sessions: Mutex<VecDeque<String>>,
    /// What the browser of a reader is known by.
    known: Mutex<HashMap<u64, String>>,
    /// Since when somebody waits for a letter.
    awaited: Mutex<HashMap<String, Instant>>,
    links: Mutex<Receiver<(u64, String)>>,
    /// Whose turn it is.
    comers: AtomicU64,
    askers: AtomicU64,
    member: AtomicU64,
}

struct Member {
    email: String,
    known: String,
    tokens: Mutex<Tokens>,
}

struct Tokens {
    access: String,
    refresh: String,
}

/// What comes of letters that are handed over.
pub struct Mailbox {
    letters: Receiver<Letter>,
    links: Sender<(u64, String)>,
}

impl Crowd {
    /// Members sign in, and the first readers ask for their links.
    pub fn gather(port: u16, sink: &Sink, accounts: u64) -> (Self, Mailbox) {
        let ((letters_to, letters), (links_to, links)) = (channel(), channel());
        let crowd = Self {
            port,
            accounts,
            members: (0..MEMBERS)
                .map(|n| Member::of(port, accounts - 10 * (n + 1) + 2))
                .collect(),
            sessions: Mutex::default(),
            known: Mutex::default(),
            awaited: Mutex::default(),
            links: Mutex::new(links),
            comers: AtomicU64::new(0),
            askers: AtomicU64::new(0),
            member: AtomicU64::new(0),
        };
        sink.settle();
        sink.tell(letters_to);
        let mailbox = Mailbox {
            letters,
            links: links_to,
        };
        (crowd, mailbox)
    }

    /// Letters to be ahead of those who use them, and sessions to look at pages with.
    pub fn begin(&self) -> Result<(), String> {
        let mut browser = self.connection();
        for _ in 0..AHEAD {
            self.make(Visit::Ask, &mut browser)?;
        }
        for _ in 0..AHEAD / 2 {
            self.make(Visit::Use, &mut browser)?;
            self.make(Visit::Ask, &mut browser)?;
        }
        Ok(())
    }

    pub fn connection(&self) -> Connection {
        Connection::open(self.port)
    }

    /// The visit; what was wrong with its answer.
    pub fn make(&self, visit: Visit, connection: &mut Connection) -> Result<(), String> {
        let comer = self.comers.fetch_add(1, Ordering::Relaxed);
        let (mut member, mut network) = (0, MEMBERS + comer);
        if [Visit::Call, Visit::Refresh, Visit::Password].contains(&visit) {
            member = self.member.fetch_add(1, Ordering::Relaxed) % MEMBERS;
            network = member; // where they always are
        }
        let member = &self.members[member as usize];
        let mut send = |request: &str, status: &str| {
            let sent = connection.try_send(&from_a_network(request, network));
            let answer = sent.map_err(|why| format!("{visit:?}: {why}"))?;
            match answer.split(' ').nth(1) {
                Some(its) if its == status => Ok(answer),
                _ => Err(format!("{visit:?}: {}", &answer[..answer.len().min(200)])),
            }
        };
        match visit {
            Visit::Page => drop(send(&get("/members", &self.session(comer)), "200")?),
            Visit::Call => drop(send(&member.call(), "200")?),
            Visit::Ask => {
                let reader = self.next_reader();
                self.awaits(format!("reader{reader}@example.org"));
                send(&post("/sign-in", &email_of(reader)), "303")?;
            }
            Visit::Register => {
                self.awaits(format!("stranger{comer}@example.com"));
                let form = format!("email=stranger{comer}%40example.com");
                send(&post("/register", &form), "303")?;
            }
            Visit::Use => {
                let next = self.links.lock().unwrap().recv_timeout(MAIL_PATIENCE);
                let (reader, token) = next.map_err(|_| "no letter came".to_owned())?;
                let form = format!("token={token}&{}", email_of(reader));
                let known = self.known().get(&reader).cloned().unwrap_or_default();
                let used = send(&with_cookie(&post("/sign-in/link", &form), &known), "303")?;
                self.enters(reader, &used);
            }
            Visit::Refresh => {
                let mut tokens = locked(&member.tokens);
                let grant = json!({"grant_type": "refresh_token", "refresh_token": tokens.refresh});
                let granted = send(&post_json("/api/v1/tokens", &grant.to_string()), "200")?;
                *tokens = Tokens::of(&granted);
            }
            Visit::Password => drop(send(&member.sign_in(), "303")?),
        }
        Ok(())
    }

    /// Letters that have not come yet.
    pub fn awaited(&self) -> usize {
        locked(&self.awaited).len()
    }

    /// Brings letters to those who wait for them, until it is over; says how long each took.
    pub fn read_mail(&self, mailbox: &Mailbox, over: &AtomicBool, came: impl Fn(Duration)) {
        while !over.load(Ordering::Relaxed) {
            let Ok(Letter { to, token, at }) = mailbox.letters.recv_timeout(A_MOMENT) else {
                continue;
            };
            let since = locked(&self.awaited).remove(&to);
            if let Some(since) = since {
                came(at - since);
            }
            let reader = to
                .strip_prefix("reader")
                .and_then(|to| to.split('@').next());
            if let (Some(reader), Some(token)) = (reader, token) {
                let _ = mailbox.links.send((reader.parse().unwrap(), token)); // nobody comes any more at the end
            }
        }
    }

    /// One of those who come by often: all of them in turn, wherever in the database. None whose mail comes back.
    fn next_reader(&self) -> u64 {
        let asker = self.askers.fetch_add(1, Ordering::Relaxed);
        asker.wrapping_mul(7_919_777) % (self.accounts / 20) * 20 + 1
    }

    fn awaits(&self, address: String) {
        locked(&self.awaited).insert(address, Instant::now());
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        locked(&self.known)
    }

    fn session(&self, comer: u64) -> String {
        let sessions = locked(&self.sessions);
        sessions[comer as usize % sessions.len()].clone()
    }

    fn enters(&self, reader: u64, answer: &str) {
        if answer.contains("set-cookie: doorpost_known=") {
            let known = cookie_of(answer, "doorpost_known");
            self.known().insert(reader, known);
        }
        let mut sessions = locked(&self.sessions);
        sessions.push_back(cookie_of(answer, "doorpost"));
        if sessions.len() > SESSIONS {
            sessions.pop_front();
        }
    }
}

impl Member {
    /// One of the accounts that have a password.
    fn of(port: u16, account: u64) -> Self {
        let mut browser = Connection::open(port);
        let mut member = Self {
            email: format!("reader{account}"),
            known: String::new(),
            tokens: Mutex::new(Tokens {
                access: String::new(),
                refresh: String::new(),
            }),
        };
        member.known = cookie_of(&browser.send(&member.sign_in()), "doorpost_known");
        let grant = json!({
            "grant_type": "password",
            "email": format!("{}@example.org", member.email),
            "password": PASSWORD,
        });
        let granted = browser.send(&post_json("/api/v1/tokens", &grant.to_string()));
        member.tokens = Mutex::new(Tokens::of(&granted));
        member
    }

    fn sign_in(&self) -> String {
        let password = PASSWORD.replace(' ', "+");
        let form = format!("email={}%40example.org&password={password}", self.email);
        with_cookie(&post("/sign-in/password", &form), &self.known)
    }

    fn call(&self) -> String {
        let token = locked(&self.tokens).access.clone();
        format!(
            "GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
    }
}

impl Tokens {
    fn of(granted: &str) -> Self {
        Self {
            access: between(granted, r#""access_token":""#, "\"").to_owned(),
            refresh: between(granted, r#""refresh_token":""#, "\"").to_owned(),
        }
    }
}

/// Fifty visits in an order that is drawn, the same each time.
pub fn fifty() -> Vec<Visit> {
    let of_kind = |(visit, times, _): (Visit, usize, &str)| std::iter::repeat_n(visit, times);
    let mut fifty: Vec<Visit> = MIX.into_iter().flat_map(of_kind).collect();
    fifty.shuffle(&mut StdRng::seed_from_u64(50));
    fifty
}

/// What share of all visits these are.
pub fn share_of(visits: &[Visit]) -> f64 {
    let fifty = fifty();
    let these = fifty.iter().filter(|visit| visits.contains(visit));
    these.count() as f64 / fifty.len() as f64
}

fn email_of(reader: u64) -> String {
    format!("email=reader{reader}%40example.org")
}

fn from_a_network(request: &str, network: u64) -> String {
    let [.., a, b, c] = network.to_be_bytes();
    request.replacen(
        "\r\n",
        &format!("\r\nX-Forwarded-For: 10.{a}.{b}.{c}\r\n"),
        1,
    )
}

fn with_cookie(request: &str, cookie: &str) -> String {
    request.replacen("\r\n", &format!("\r\nCookie: {cookie}\r\n"), 1)
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap()
}
