//! The program in a process of its own, and a bare connection to it: what every measurement needs.

#![allow(dead_code, reason = "no measurement needs all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub fn get(path: &str, cookie: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n")
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
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let mut length = 0;
        loop {
            let start = answer.len();
            assert!(self.stream.read_line(&mut answer).unwrap() > 0, "hung up");
            let line = answer[start..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        answer.push_str(&String::from_utf8(body).unwrap());
        answer
    }
}

/// The program, with limits out of the way.
pub struct House {
    pub server: Server,
    pub port: u16,
    pub folder: tempfile::TempDir,
}

impl House {
    pub fn open(variables: &[(&str, &str)]) -> Self {
        Self::at(tempfile::tempdir().unwrap(), variables)
    }

    /// Stops it, and starts it in the same folder with these variables.
    pub fn again(self, variables: &[(&str, &str)]) -> Self {
        let Self { server, folder, .. } = self;
        drop(server);
        Self::at(folder, variables)
    }

    fn at(folder: tempfile::TempDir, variables: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorpost"));
        command
            .current_dir(folder.path())
            .env_clear()
            .env("BIND_ADDRESS", format!("127.0.0.1:{port}"))
            .env("PUBLIC_URL", format!("http://localhost:{port}"))
            .env("LIMIT_MAIL_GAP", "off")
            .env("LIMIT_MAIL_PER_ADDRESS", "off")
            .env("LIMIT_MAIL_PER_ADDRESS_DAILY", "off")
            .env("LIMIT_MAIL_PER_NETWORK", "off")
            .envs(variables.iter().copied());
        Self {
            server: Server::start(&mut command, port),
            port,
            folder,
        }
    }

    /// Signs a fresh account in through the development inbox, and gives back its cookie.
    pub fn sign_in(&self, n: usize) -> String {
        self.register(&format!("member{n}@example.org"), "")
    }

    /// The same with more fields, such as a password, when the address is confirmed.
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
        let answer = browser.send(&post("/confirm-email", &form));
        let cookie = answer
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: doorpost="))
            .unwrap();
        format!("doorpost={}", cookie.split(';').next().unwrap())
    }
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
        thread::sleep(Duration::from_millis(5));
    }
}

/// A server in a process of its own, ended with its owner.
pub struct Server(Child);

impl Server {
    pub fn start(command: &mut Command, port: u16) -> Self {
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        wait_for(|| TcpStream::connect(("127.0.0.1", port)).ok());
        Self(child)
    }

    /// Processor time that the server spends meanwhile, in microseconds.
    pub fn cpu_of(&self, work: impl FnOnce()) -> f64 {
        let before = cpu(self.0.id());
        work();
        cpu(self.0.id()) - before
    }
}

/// User and system time of all threads of a process, in microseconds (proc(5)); in ticks of 10 ms, which the
/// rounds are long for.
pub fn cpu(process: u32) -> f64 {
    let stat = Path::new("/proc").join(process.to_string()).join("stat");
    let stat = std::fs::read_to_string(stat).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) * 10_000.0
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
