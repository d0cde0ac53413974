//! A mail server that takes everything, counts it, and remembers the newest link that each address was sent.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::wait_for;

pub struct Sink {
    pub port: u16,
    taken: Arc<Taken>,
}

#[derive(Default)]
struct Taken {
    letters: AtomicUsize,
    /// By the address they were sent to.
    tokens: Mutex<HashMap<String, String>>,
    told: Mutex<Option<Sender<Letter>>>,
}

/// A letter that was taken.
pub struct Letter {
    pub to: String,
    /// Of the link in it, if there is one that does something.
    pub token: Option<String>,
    pub at: Instant,
}

/// How a mail server's kernel acknowledges what it gets: Linux soon learns that answers follow at once,
/// and would else wait up to 40 ms for one to ride on.
#[derive(Clone, Copy, Debug)]
pub enum Acknowledges {
    AsUsual,
    Late,
}

impl Sink {
    pub fn open() -> Self {
        Self::that(Acknowledges::AsUsual)
    }

    pub fn that(acknowledges: Acknowledges) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::<Taken>::default();
        let counted = taken.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let counted = counted.clone();
                thread::spawn(move || converse(stream.unwrap(), &counted, acknowledges));
            }
        });
        Self { port, taken }
    }

    /// From now on each letter is told, and no token remembered.
    pub fn tell(&self, whom: Sender<Letter>) {
        *self.taken.told.lock().unwrap() = Some(whom);
    }

    /// Does something that mails so many letters, and waits for the last of them.
    pub fn take(&self, letters: usize, mailing: impl FnOnce()) {
        let awaited = self.taken() + letters;
        mailing();
        wait_for(|| (self.taken() >= awaited).then_some(()));
    }

    /// Waits until no more letters come.
    pub fn settle(&self) {
        let mut before = usize::MAX;
        wait_for(|| {
            let taken = self.taken();
            let settled = taken == std::mem::replace(&mut before, taken);
            thread::sleep(Duration::from_millis(300));
            settled.then_some(())
        });
    }

    /// The token of the newest link to this address, once.
    pub fn token(&self, address: &str) -> String {
        wait_for(|| self.taken.tokens.lock().unwrap().remove(address))
    }

    fn taken(&self) -> usize {
        self.taken.letters.load(Ordering::Relaxed)
    }
}

fn converse(mut stream: TcpStream, taken: &Taken, acknowledges: Acknowledges) {
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    stream.write_all(b"220 sink\r\n").unwrap();
    let (mut to, mut letter) = (String::new(), None::<String>);
    while let Some(Ok(line)) = lines.next() {
        if matches!(acknowledges, Acknowledges::Late) {
            SockRef::from(&stream).set_tcp_quickack(false).unwrap(); // forgotten by the kernel each time
        }
        let answer = match (&mut letter, line.as_str()) {
            (Some(letter), ".") => {
                remember(taken, &to, letter);
                "250 taken\r\n"
            }
            // A line of quoted-printable that ends so goes on in the next.
            (Some(letter), line) => {
                letter.push_str(line.strip_suffix('=').unwrap_or(line));
                continue;
            }
            (None, "DATA") => "354 go on\r\n",
            (None, "QUIT") => return,
            (None, line) => {
                if let Some((_, address)) = line.split_once("RCPT TO:<") {
                    to = address.split('>').next().unwrap_or_default().to_owned();
                }
                "250 ok\r\n"
            }
        };
        letter = (answer.starts_with("354")).then(String::new);
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A token is 43 characters long. It is read where the letter ends, in HTML: that is quoted-printable always.
fn remember(taken: &Taken, to: &str, letter: &str) {
    let rest = letter.rsplit_once("?token=3D");
    let token = rest.map(|(_, rest)| rest.chars().take(43).collect());
    let to = to.to_owned();
    if let Some(told) = &*taken.told.lock().unwrap() {
        let at = Instant::now();
        let _ = told.send(Letter { to, token, at }); // nobody listens any more at the end
    } else if let Some(token) = token {
        taken.tokens.lock().unwrap().insert(to, token);
    }
    taken.letters.fetch_add(1, Ordering::Relaxed);
}
