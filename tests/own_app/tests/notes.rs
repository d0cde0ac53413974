//! The app as its visitors meet it: the program itself, on both databases.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends there"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use tempfile::TempDir;

const ADA: &str = "ada@example.org";
const PASSWORD: &str = "a horse that eats staples";

/// What does not happen within this long does not happen.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_member_of_my_own_app_keeps_notes_on_sqlite() {
    notes_are_kept_and_erased("sqlite:notes.db").await;
}

#[tokio::test]
async fn a_member_of_my_own_app_keeps_notes_on_postgresql() {
    notes_are_kept_and_erased(&empty_database().await).await;
}

async fn notes_are_kept_and_erased(database_url: &str) {
    let program = Program::start(database_url);
    program.has_applied("2026-11-22-000001_notes");

    // Pages of one's own, in the site's frame.
    let mut ada = Browser::new(&program);
    let home = ada.get("/").await;
    home.is_a_page("Notes");
    assert!(home.body.contains("href=\"/register\""), "{}", home.body);
    let stranger = ada.get("/notes").await;
    stranger.goes_on_to("/sign-in?next=%2Fnotes");

    ada.registers(PASSWORD).await;
    let notes = ada.get("/notes").await;
    notes.is_a_page("Your notes");
    assert!(
        notes
            .body
            .contains(&format!("<a href=\"/account\">{ADA}</a>"))
    );
    assert!(notes.body.contains("There is none yet."), "{}", notes.body);

    ada.get("/elsewhere")
        .await
        .is_in_the_frame("There is no such page");

    // A table of one's own.
    ada.post("/notes", "text=Feed+the+%3Cb%3Ecat")
        .await
        .goes_on_to("/notes");
    ada.sees_note("<li>Feed the &#60;b&#62;cat</li>", true)
        .await;
    let nothing = ada.post("/notes", "text=+").await;
    assert_eq!(nothing.status, StatusCode::UNPROCESSABLE_ENTITY);
    let elsewhere = ada
        .form("/notes", "text=spam")
        .header("sec-fetch-site", "cross-site");
    let forged = ada.send(elsewhere).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);

    // A sensitive action: a session that came from a link may look, and no more.
    let first = "/reauthenticate?next=%2Fnotes%2Ferase";
    ada.get("/notes/erase").await.goes_on_to(first);
    ada.post("/notes/erase", "").await.goes_on_to(first);
    ada.sees_note("Feed the", true).await;
    let entered = format!("password={}&next=/notes/erase", PASSWORD.replace(' ', "+"));
    ada.post("/reauthenticate", &entered)
        .await
        .goes_on_to("/notes/erase");
    ada.get("/notes/erase").await.is_a_page("Erase your notes");
    ada.post("/notes/erase", "").await.goes_on_to("/notes");
    ada.sees_note("Feed the", false).await;

    // A letter, whose link knows its reader where the account knows the browser.
    let link = ada.newest_link("Your notes are erased").await;
    assert!(link.contains("/notes?login_token="), "{link}");
    ada.post("/sign-out", "").await.goes_on_to("/");
    ada.get("/notes").await.goes_on_to("/sign-in?next=%2Fnotes");
    ada.click(&link).await.goes_on_to("/notes");
    ada.get("/notes").await.is_a_page("Your notes");
    let mut other = Browser::new(&program);
    other.click(&link).await.goes_on_to("/notes");
    other
        .get("/notes")
        .await
        .goes_on_to("/sign-in?next=%2Fnotes");

    // The command line.
    let checked = program.told(&["check"]);
    assert!(checked.contains("has every migration"), "{checked}");
}

/// The running program, in a folder of its own. It is killed at the latest when the test ends.
struct Program {
    folder: TempDir,
    database_url: String,
    child: Child,
    url: String,
    /// What it said until it listened.
    log: String,
}

impl Program {
    fn start(database_url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command(&folder, database_url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut log = String::new();
        let url = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("it ended: {log}"))
                .unwrap();
            log += &format!("{line}\n");
            if let Some((_, rest)) = line.split_once("listening=") {
                let address = rest.split_whitespace().next().unwrap();
                break format!("http://{address}");
            }
        };
        // Whoever says something goes on being heard.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            folder,
            database_url: database_url.to_owned(),
            child,
            url,
            log,
        }
    }

    fn has_applied(&self, migration: &str) {
        assert!(self.log.contains(migration), "{}", self.log);
    }

    /// What a command says that went well.
    fn told(&self, arguments: &[&str]) -> String {
        let ended = command(&self.folder, &self.database_url)
            .args(arguments)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &TempDir, database_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_own_app"));
    command
        .current_dir(folder.path())
        .env_clear()
        .env("BIND_ADDRESS", "127.0.0.1:0")
        .env("DATABASE_URL", database_url);
    command
}

/// A browser: a cookie jar, the headers that matter, and no following of redirects.
struct Browser {
    client: Client,
    url: String,
    jar: BTreeMap<String, String>,
}

impl Browser {
    fn new(program: &Program) -> Self {
        Self {
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
            url: program.url.clone(),
            jar: BTreeMap::new(),
        }
    }

    async fn get(&mut self, path: &str) -> Page {
        let request = self.request(Method::GET, path);
        self.send(request).await
    }

    /// Clicks a link in a letter. It names the public URL, which is not where the test reaches the program.
    async fn click(&mut self, link: &str) -> Page {
        let (_, path) = link.split_once("localhost:8080").unwrap();
        let request = self
            .request(Method::GET, path)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        self.send(request).await
    }

    async fn post(&mut self, path: &str, fields: &str) -> Page {
        let request = self
            .form(path, fields)
            .header("sec-fetch-site", "same-origin");
        self.send(request).await
    }

    fn form(&self, path: &str, fields: &str) -> RequestBuilder {
        self.request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(fields.to_owned())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    async fn send(&mut self, request: RequestBuilder) -> Page {
        let cookies: Vec<String> = self
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let response = request
            .header(COOKIE, cookies.join("; "))
            .send()
            .await
            .unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.jar.remove(name);
            if !attributes.contains("Max-Age=0") {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = response.headers().get(LOCATION);
        Page {
            status: response.status(),
            location: location.map(|to| to.to_str().unwrap().to_owned()),
            body: response.text().await.unwrap(),
        }
    }

    /// Registers, and sets a password where the link confirms the address.
    async fn registers(&mut self, password: &str) {
        self.post("/register", &format!("email={ADA}"))
            .await
            .goes_on_to("/sign-in/sent");
        let link = self.newest_link("Confirm your email address").await;
        let mut page = self.click(&link).await;
        if let Some(on) = page.location.take() {
            page = self.get(&on).await;
        }
        let (_, token) = page.body.split_once("name=\"token\" value=\"").unwrap();
        let (token, _) = token.split_once('"').unwrap();
        let fields = format!("token={token}&password={}", password.replace(' ', "+"));
        self.post("/confirm-email", &fields)
            .await
            .goes_on_to("/account");
    }

    /// The link in the newest letter with this subject, by the development inbox.
    async fn newest_link(&mut self, subject: &str) -> String {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let inbox = self.get("/dev/inbox").await.body;
            let mut letters = inbox.split("<li><a href=\"").skip(1);
            if let Some(letter) = letters.find(|letter| letter.contains(subject)) {
                let (page, _) = letter.split_once('"').unwrap();
                let letter = self.get(page).await.body;
                let (before, _) = letter.split_once("\">Open the link</a>").unwrap();
                let (_, link) = before.rsplit_once('"').unwrap();
                return link.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no letter {subject:?}");
    }

    async fn sees_note(&mut self, note: &str, is_there: bool) {
        let page = self.get("/notes").await;
        page.is_a_page("Your notes");
        assert_eq!(page.body.contains(note), is_there, "{}", page.body);
    }
}

struct Page {
    status: StatusCode,
    location: Option<String>,
    body: String,
}

impl Page {
    #[track_caller]
    fn goes_on_to(&self, path: &str) {
        let status = (self.status, self.location.as_deref());
        assert_eq!(status, (StatusCode::SEE_OTHER, Some(path)), "{}", self.body);
    }

    /// In the site's frame, with no tag of it escaped.
    #[track_caller]
    fn is_a_page(&self, title: &str) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.is_in_the_frame(title);
    }

    #[track_caller]
    fn is_in_the_frame(&self, title: &str) {
        let title = format!("<title>{title} – Notebook</title>");
        for part in [
            title.as_str(),
            "alt=\"\">Notebook</a>",
            "    <h1>",
            "</html>",
        ] {
            assert!(self.body.contains(part), "{part}: {}", self.body);
        }
    }
}

/// An empty database on the PostgreSQL that `tests/run` started; it goes with that.
async fn empty_database() -> String {
    let name = format!("own_app_{}", std::process::id());
    on_the_cluster(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    on_the_cluster(&format!("CREATE DATABASE {name}")).await;
    let mut url: url::Url = cluster().parse().unwrap();
    url.set_path(&name);
    url.into()
}

#[expect(clippy::disallowed_methods, reason = "what tests/run started")]
fn cluster() -> String {
    std::env::var("DOORPOST_TEST_POSTGRES")
        .expect("DOORPOST_TEST_POSTGRES names a PostgreSQL cluster; tests/run starts one")
}

async fn on_the_cluster(statement: &str) {
    let (client, connection) = tokio_postgres::connect(&cluster(), tokio_postgres::NoTls)
        .await
        .expect("the PostgreSQL cluster answers");
    let driven = tokio::spawn(connection);
    client.batch_execute(statement).await.unwrap();
    drop(client);
    let _ = driven.await;
}
