//! The program in a process of its own, and a bare connection to it: what every measurement needs.

#![allow(dead_code, reason = "no measurement needs all of it")]

pub mod postgres;
pub mod process;
pub mod sink;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The one that cargo has built beside the measurement.
pub const THIS_BUILD: &str = env!("CARGO_BIN_EXE_doorpost");

/// As a browser asks: one that says nothing of where it comes from gets a cookie and a field for it besides.
pub fn get(path: &str, cookie: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nCookie: {cookie}\r\n\r\n"
    )
}

pub fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub fn post_json(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// One request; the head of its answer, and the body with it.
    pub fn send(&mut self, request: &str) -> String {
        self.try_send(request).unwrap()
    }

    /// The same where it may be hung up on.
    pub fn try_send(&mut self, request: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut answer = String::new();
        let mut length = 0;
        loop {
            let start = answer.len();
            if self.stream.read_line(&mut answer)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = answer[start..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        answer.push_str(&String::from_utf8(body).unwrap());
        Ok(answer)
    }
}

/// So many are kept open while requests are sent at once.
pub const CONNECTIONS: usize = 32;

/// Sends so many requests over the kept connections, each taking the next of the list.
pub fn load(port: u16, total: usize, requests: &[String]) {
    load_and(port, total, requests, |_, _| {});
}

/// The same, and hands out each answer with the number of its request.
pub fn load_and(port: u16, total: usize, requests: &[String], each: impl Fn(usize, &str) + Sync) {
    let next = AtomicUsize::new(0);
    let take_turns = || {
        let mut connection = Connection::open(port);
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= total {
                break;
            }
            let request = &requests[n % requests.len()];
            let answer = connection.send(request);
            let is_well = ["200", "204", "303"].map(|status| format!("HTTP/1.1 {status}"));
            let is_well = is_well.iter().any(|first| answer.starts_with(first));
            assert!(is_well, "{request}\n\n{answer}");
            each(n, &answer);
        }
    };
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(take_turns);
        }
    });
}

/// The program, with limits out of the way.
pub struct House {
    pub server: Server,
    pub port: u16,
    pub folder: tempfile::TempDir,
    program: PathBuf,
}

impl House {
    pub fn open(variables: &[(&str, &str)]) -> Self {
        Self::of(Path::new(THIS_BUILD), variables)
    }

    /// Another build of the program.
    pub fn of(program: &Path, variables: &[(&str, &str)]) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        Self {
            server: serve(program, folder.path(), port, variables),
            port,
            folder,
            program: program.to_owned(),
        }
    }

    /// Stops it, and starts it in the same folder with these variables.
    pub fn restart(&mut self, variables: &[(&str, &str)]) {
        self.server.stop();
        self.server = serve(&self.program, self.folder.path(), self.port, variables);
    }

    /// Signs a fresh account in through the development inbox, and gives back its cookie. More fields, such as a
    /// password, go along when the address is confirmed.
    pub fn register(&self, address: &str, more: &str) -> String {
        let mut browser = Connection::open(self.port);
        let field = format!("email={}", address.replace('@', "%40"));
        browser.send(&post("/register", &field));
        let mail = wait_for(|| {
            let inbox = browser.send(&get("/dev/inbox", ""));
            let entry = inbox
                .split("<li>")
                .find(|entry| entry.contains(address))?
                .to_owned();
            Some(between(&entry, "/dev/inbox/", "\"").to_owned())
        });
        let mail = browser.send(&get(&format!("/dev/inbox/{mail}"), ""));
        let token = between(&mail, "token=", "\"");
        let form = format!("token={token}&email={address}{more}");
        cookie_of(&browser.send(&post("/confirm-email", &form)), "doorpost")
    }
}

/// Starts it in a folder, with these variables.
pub fn serve(program: &Path, folder: &Path, port: u16, variables: &[(&str, &str)]) -> Server {
    Server::start(&mut command(program, folder, port, variables), port)
}

/// What starts it, or does something with its data.
pub fn command(program: &Path, folder: &Path, port: u16, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .env("BIND_ADDRESS", format!("127.0.0.1:{port}"))
        .env("PUBLIC_URL", format!("http://localhost:{port}"))
        .env("LIMIT_MAIL_GAP", "off")
        .env("LIMIT_MAIL_PER_ADDRESS", "off")
        .env("LIMIT_MAIL_PER_ADDRESS_DAILY", "off")
        .env("LIMIT_MAIL_PER_NETWORK", "off")
        .envs(variables.iter().copied());
    command
}

/// The cookie of this name that an answer sets, as a browser sends it.
pub fn cookie_of(answer: &str, name: &str) -> String {
    let start = format!("set-cookie: {name}=");
    let line = answer.lines().find_map(|line| line.strip_prefix(&start));
    let value = line.unwrap().split(';').next().unwrap();
    format!("{name}={value}")
}

pub fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap();
    rest.split_once(after).unwrap().0
}

pub fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it never came");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A server in a process of its own, ended with its owner.
pub struct Server {
    child: Child,
    /// From its start until it took a connection.
    pub started_in: Duration,
}

impl Server {
    pub fn start(command: &mut Command, port: u16) -> Self {
        let began = Instant::now();
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        wait_for(|| TcpStream::connect(("127.0.0.1", port)).ok());
        Self {
            child,
            started_in: began.elapsed(),
        }
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Processor time that the server spends meanwhile, in microseconds.
    pub fn cpu_of(&self, work: impl FnOnce()) -> f64 {
        let before = process::cpu(self.process());
        work();
        process::cpu(self.process()) - before
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
