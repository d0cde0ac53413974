//! Apps that have no sign-in of their own. One keeps what comes to it: what a proxy let through, and with which words about
//! the visitor; whoever asks for a WebSocket gets one, with a word in it. The other is the example of `deploy/gateway/`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::proxy::{Proxy, changed, deployed};

/// What it answers.
pub const WELCOME: &str = "This is the app.";

/// What it says in a WebSocket.
pub const TICK: &str = "tick";

/// What a visitor asks for a WebSocket with (RFC 6455, 1.3).
pub const WEB_SOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const WEB_SOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Until the test's end.
pub struct App {
    pub port: u16,
    came: Arc<Mutex<Vec<Request>>>,
}

/// A request, as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Method and path.
    pub asked: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl App {
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::<Mutex<Vec<Request>>>::default();
        let kept = came.clone();
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let kept = kept.clone();
                // Proxies connect ahead of time, and hold up nobody.
                thread::spawn(move || answer(caller, &kept));
            }
        });
        Self { port, came }
    }

    /// What has come since it was last asked.
    pub fn came(&self) -> Vec<Request> {
        std::mem::take(&mut *self.came.lock().unwrap())
    }
}

impl Request {
    fn read(caller: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(caller);
        let mut request = Self::default();
        let mut line = String::new();
        lines.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let (asked, _) = line.rsplit_once(' ')?;
        asked.clone_into(&mut request.asked);
        loop {
            line.clear();
            lines.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            let header = (name.to_ascii_lowercase(), value.trim().to_owned());
            request.headers.push(header);
        }
        let length = request.header("content-length");
        let length = length.map_or(0, |length| length.parse().unwrap());
        lines.take(length).read_to_string(&mut request.body).ok()?;
        Some(request)
    }

    /// The header of this name, which is there once or not at all.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(is, _)| is == name);
        let value = named.next().map(|(_, value)| value.as_str());
        assert!(named.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// What it says of its visitor to an app that takes names for the same that differ in case, dashes, dots and underscores;
    /// by name.
    pub fn identity(&self) -> Vec<(String, &str)> {
        let mut said: Vec<_> = self
            .plain_headers()
            .filter(|(name, value)| name.contains("remote") && !value.is_empty())
            .collect();
        said.sort();
        said
    }

    /// Whether a visitor's header came through, in any spelling that such an app takes for the same.
    pub fn has(&self, header: &str) -> bool {
        let (name, value) = header.split_once(": ").unwrap();
        let sought = (plain(name), value);
        self.plain_headers().any(|came| came == sought)
    }

    fn plain_headers(&self) -> impl Iterator<Item = (String, &str)> {
        let headers = self.headers.iter();
        headers.map(|(name, value)| (plain(name), value.as_str()))
    }
}

fn plain(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
}

fn answer(mut caller: TcpStream, kept: &Mutex<Vec<Request>>) -> Option<()> {
    let request = Request::read(&caller)?;
    let wants_a_web_socket = request.header("sec-websocket-key") == Some(WEB_SOCKET_KEY);
    kept.lock().unwrap().push(request);
    if wants_a_web_socket {
        let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade";
        write!(
            caller,
            "{head}\r\nsec-websocket-accept: {WEB_SOCKET_ACCEPT}\r\n\r\n"
        )
        .ok()?;
        // A word, and that this was all.
        let length = u8::try_from(TICK.len()).unwrap();
        let frames = [&[0x81, length], TICK.as_bytes(), &[0x88, 0]].concat();
        return caller.write_all(&frames).ok();
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close";
    let length = WELCOME.len();
    write!(
        caller,
        "{head}\r\ncontent-length: {length}\r\n\r\n{WELCOME}"
    )
    .ok()
}

/// What does not listen after this long does not listen.
const PATIENCE: Duration = Duration::from_secs(15);

/// The app of `deploy/gateway/`. Ended when dropped.
pub struct ExampleApp {
    process: Child,
}

impl ExampleApp {
    /// Starts it on this port, behind this proxy.
    pub fn start(port: u16, proxy: &Proxy) -> Self {
        let program = changed(
            &deployed("gateway/example-app.py"),
            &[
                ("9000", &port.to_string()),
                ("https://login.example.org", &proxy.url()),
                ("app.example.org", &proxy.app_host()),
            ],
        );
        let process = Command::new("python3")
            .args(["-c", &program])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                began.elapsed() < PATIENCE,
                "the example app does not listen"
            );
            thread::sleep(Duration::from_millis(20));
        }
        Self { process }
    }
}

impl Drop for ExampleApp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
