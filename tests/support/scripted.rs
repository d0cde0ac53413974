//! A mail server that does as the test says: it takes mail, refuses it, dawdles, hangs up, is away.
//!
//! It runs on a thread of its own, so that a house that stops, and says goodbye to it, finds it there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

pub use super::letter::Handed;

/// A letter that has not come after this long does not come: a send slot that met trouble rests for
/// up to 8 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server does at a step of the conversation.
pub enum Answer {
    /// What a server says whom all of it suits.
    Agree,
    /// Something else.
    Say(&'static str),
    /// Agrees, after a while.
    After(Duration),
    /// Nothing, for as long as anybody waits.
    Stall,
    /// Closes the connection without a word.
    HangUp,
}

/// The step: the connection itself (`CONNECT`), a command, or the letter that ends with a dot (`.`).
pub struct Step<'a> {
    pub verb: &'a str,
    /// The recipient, once one was named.
    pub to: &'a str,
}

type Script = Box<dyn FnMut(&Step<'_>) -> Answer + Send>;

/// A running server.
pub struct ScriptedServer {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    presence: watch::Sender<Presence>,
    /// What it is by now, and with how many it speaks.
    state: watch::Sender<State>,
    script: Mutex<Script>,
    letters: Mutex<Vec<Handed>>,
    postman: Mutex<Option<UnboundedSender<Handed>>>,
    commands: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    Away,
    Gone,
}

#[derive(Clone, Copy)]
struct State {
    presence: Presence,
    conversations: usize,
}

impl ScriptedServer {
    /// One that takes everything.
    pub fn start() -> Self {
        let shared = Arc::new(Shared {
            presence: watch::Sender::new(Presence::There),
            state: watch::Sender::new(State {
                presence: Presence::Away,
                conversations: 0,
            }),
            script: Mutex::new(Box::new(|_| Answer::Agree)),
            letters: Mutex::default(),
            postman: Mutex::default(),
            commands: Mutex::default(),
            connections: AtomicUsize::default(),
        });
        let (tell, told) = mpsc::channel();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(serve(serving, tell));
        });
        Self {
            port: told.recv().unwrap(),
            shared,
        }
    }

    /// What `SMTP_URL` says to reach it.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// From now on whoever connects is refused, and who is connected was hung up on.
    pub fn go_away(&self) {
        self.shared.presence.send_replace(Presence::Away);
        self.waits_until(|state| state.presence == Presence::Away && state.conversations == 0);
    }

    /// It is there again.
    pub fn come_back(&self) {
        self.shared.presence.send_replace(Presence::There);
        self.waits_until(|state| state.presence == Presence::There);
    }

    /// Its thread does by itself what it is told, and a test that went on meanwhile would have a letter taken by a
    /// server that it has sent away. So the test's thread waits.
    fn waits_until(&self, so: impl Fn(&State) -> bool) {
        let began = Instant::now();
        while !so(&self.shared.state.borrow()) {
            assert!(began.elapsed() < PATIENCE, "the server does not do as told");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Does this at each step from now on.
    pub fn follow(&self, script: impl FnMut(&Step<'_>) -> Answer + Send + 'static) {
        *held(&self.shared.script) = Box::new(script);
    }

    /// Takes everything again.
    pub fn agree(&self) {
        self.follow(|_| Answer::Agree);
    }

    /// Every letter it was handed, in order, those it did not take among them.
    pub fn handed(&self) -> Vec<Handed> {
        held(&self.shared.letters).clone()
    }

    /// How often this recipient was named.
    pub fn times_named(&self, address: &str) -> usize {
        let recipient = format!("RCPT TO:<{address}>");
        let commands = self.commands();
        commands.iter().filter(|line| **line == recipient).count()
    }

    /// Every command line it heard, letters aside.
    pub fn commands(&self) -> Vec<String> {
        held(&self.shared.commands).clone()
    }

    /// The letters it took.
    pub fn taken(&self) -> Vec<Handed> {
        self.taken_that(|_| true)
    }

    /// The letters it took for this address, oldest first.
    pub fn taken_for(&self, address: &str) -> Vec<Handed> {
        self.taken_that(|letter| letter.to == [address])
    }

    /// Looked through where they lie: a crowd's letters are too many to copy at every look.
    fn taken_that(&self, fits: impl Fn(&Handed) -> bool) -> Vec<Handed> {
        let letters = held(&self.shared.letters);
        let taken = letters.iter().filter(|letter| letter.taken && fits(letter));
        taken.cloned().collect()
    }

    /// From now on every letter that it takes also comes here, for a test of more people than could each
    /// keep looking.
    pub fn deliveries(&self) -> UnboundedReceiver<Handed> {
        let (postman, deliveries) = unbounded_channel();
        *held(&self.shared.postman) = Some(postman);
        deliveries
    }

    /// How many letters it took.
    pub fn count_taken(&self) -> usize {
        let letters = held(&self.shared.letters);
        letters.iter().filter(|letter| letter.taken).count()
    }

    /// The only letter for this address, or the newest; waits until there is one.
    pub async fn letter_for(&self, address: &str) -> Handed {
        self.letters_for(address, 1).await.pop().unwrap()
    }

    /// The letters for this address, oldest first; waits until there are at least so many.
    pub async fn letters_for(&self, address: &str, at_least: usize) -> Vec<Handed> {
        let what = format!("{at_least} letters for {address}");
        eventually(&what, async || self.taken_for(address).len() >= at_least).await;
        self.taken_for(address)
    }

    /// Waits until it took so many letters.
    pub async fn takes(&self, at_least: usize) {
        let what = format!("{at_least} letters");
        eventually(&what, async || self.count_taken() >= at_least).await;
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.shared.presence.send_replace(Presence::Gone);
    }
}

/// Looks until it is so; not for ever.
pub async fn eventually(what: &str, so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a test holds while it panics is as good as before.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(shared: Arc<Shared>, tell: mpsc::Sender<u16>) {
    let mut spot = Spot::keep(0);
    tell.send(spot.port()).unwrap();
    let mut presence = shared.presence.subscribe();
    loop {
        let now = *presence.borrow_and_update();
        spot = match now {
            Presence::Gone => return,
            Presence::There => spot.open(),
            Presence::Away => spot.close(),
        };
        shared.state.send_modify(|state| state.presence = now);
        loop {
            tokio::select! {
                stream = spot.accept() => {
                    shared.state.send_modify(|state| state.conversations += 1);
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        while_there(stream, &shared).await;
                        shared.state.send_modify(|state| state.conversations -= 1);
                    });
                }
                changed = presence.changed() => {
                    changed.unwrap();
                    break;
                }
            }
        }
    }
}

/// Our port: open, or closed and still ours, so that nobody else opens there while the server is away.
enum Spot {
    Open(TcpListener),
    Closed(TcpSocket),
}

impl Spot {
    fn keep(port: u16) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(([127, 0, 0, 1], port).into()).unwrap();
        Self::Closed(socket)
    }

    fn open(self) -> Self {
        match self {
            Self::Closed(socket) => Self::Open(socket.listen(256).unwrap()),
            open @ Self::Open(_) => open,
        }
    }

    fn close(self) -> Self {
        let port = self.port();
        drop(self);
        Self::keep(port)
    }

    fn port(&self) -> u16 {
        let address = match self {
            Self::Open(listener) => listener.local_addr(),
            Self::Closed(socket) => socket.local_addr(),
        };
        address.unwrap().port()
    }

    async fn accept(&self) -> TcpStream {
        match self {
            Self::Open(listener) => listener.accept().await.unwrap().0,
            Self::Closed(_) => std::future::pending().await,
        }
    }
}

async fn while_there(stream: TcpStream, shared: &Shared) {
    let mut presence = shared.presence.subscribe();
    tokio::select! {
        _ = converse(stream, shared) => {}
        _ = presence.wait_for(|now| *now != Presence::There) => {}
    }
}

/// One connection, to its end: `None` once the client is gone.
async fn converse(stream: TcpStream, shared: &Shared) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed);
    let mut stream = BufReader::new(stream);
    let mut line = "CONNECT".to_owned();
    let (mut from, mut to) = (String::new(), Vec::new());
    loop {
        held(&shared.commands).push(line.clone());
        let verb = line.split([' ', ':']).next()?.to_ascii_uppercase();
        match verb.as_str() {
            "MAIL" => {
                from = path(&line)?;
                to.clear();
            }
            "RSET" => to.clear(),
            "RCPT" => to.push(path(&line)?),
            _ => {}
        }
        let agreed = answer(&mut stream, shared, &verb, &to).await?;
        if verb == "DATA" && agreed {
            let raw = letter(&mut stream).await?;
            let place = {
                let mut letters = held(&shared.letters);
                letters.push(Handed {
                    from: from.clone(),
                    to: to.clone(),
                    raw,
                    connection,
                    taken: false,
                });
                letters.len() - 1
            };
            if answer(&mut stream, shared, ".", &to).await? {
                take(shared, place);
            }
        }
        if verb == "QUIT" {
            return None;
        }
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        line.truncate(line.trim_end_matches("\r\n").len());
    }
}

fn take(shared: &Shared, place: usize) {
    let mut letters = held(&shared.letters);
    letters[place].taken = true;
    if let Some(postman) = &*held(&shared.postman) {
        // The test may have stopped listening.
        let _ = postman.send(letters[place].clone());
    }
}

/// What stands between the angle brackets of MAIL and RCPT.
fn path(command: &str) -> Option<String> {
    let (_, rest) = command.split_once('<')?;
    Some(rest.split_once('>')?.0.to_owned())
}

/// Says what the script wants said; whether it agreed.
async fn answer(
    stream: &mut BufReader<TcpStream>,
    shared: &Shared,
    verb: &str,
    to: &[String],
) -> Option<bool> {
    let usual = match verb {
        "CONNECT" => "220 scripted",
        "EHLO" => "250 scripted",
        "DATA" => "354 go ahead",
        "QUIT" => "221 bye",
        _ => "250 ok",
    };
    let to = to.last().map_or("", String::as_str);
    let wanted = held(&shared.script)(&Step { verb, to });
    let (words, agreed) = match wanted {
        Answer::Agree => (usual, true),
        Answer::Say(other) => (other, false),
        Answer::After(pause) => {
            tokio::time::sleep(pause).await;
            (usual, true)
        }
        Answer::Stall => std::future::pending().await,
        Answer::HangUp => return None,
    };
    let line = format!("{words}\r\n");
    stream.write_all(line.as_bytes()).await.ok()?;
    Some(agreed)
}

/// What comes before the final dot, its own dots unstuffed (RFC 5321, 4.5.2).
async fn letter(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut letter = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            return Some(letter);
        }
        letter.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
