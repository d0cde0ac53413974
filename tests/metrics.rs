//! What Prometheus is told: of everything that happens, of nobody by name, on a listener of its own; and that the
//! dashboard and the alerts in `deploy/` ask for nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use actix_web::rt::System;
use doorpost::exporter;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::program::{ANY_PORT, Doorpost};
use crate::support::{
    Answer, Database, House, PASSWORD, ScriptedServer, Store, Visitor, eventually,
};

const ADA: &str = "ada.lovelace@example.org";
const BOB: &str = "bob.refused@example.org";
const HERS: &str = "192.0.2.7";

/// A program that is watched.
struct Watched {
    doorpost: Doorpost,
    server: ScriptedServer,
    /// Where its metrics are.
    exporter: Visitor,
    _store: Store,
    _folder: tempfile::TempDir,
}

impl Watched {
    async fn start(db: Database) -> Self {
        let (store, folder) = (Store::make(db).await, tempfile::tempdir().unwrap());
        let server = ScriptedServer::start();
        server.follow(|step| match (step.verb, step.to) {
            ("RCPT", BOB) => Answer::Say("550 5.1.1 <bob.refused@example.org>: no such user"),
            _ => Answer::Agree,
        });
        let smtp = server.url();
        let variables = [
            ANY_PORT,
            ("METRICS_ADDRESS", "127.0.0.1:0"),
            ("DATABASE_URL", store.url.as_str()),
            ("SECRET_KEY", store.secret_key.as_str()),
            ("SMTP_URL", smtp.as_str()),
            ("TRUSTED_PROXIES", "127.0.0.1/32"),
            ("ARGON2_MEMORY_KIB", "64"),
            ("ARGON2_PASSES", "1"),
            ("LIMIT_MAIL_GAP", "off"),
            ("LIMIT_TOKEN_PER_NETWORK", "3/1h"),
        ];
        let doorpost = Doorpost::serving(folder.path(), &variables);
        let log = doorpost.log();
        let (_, address) = log.split_once("metrics are at http://").unwrap();
        let (address, _) = address.split_once("/metrics").unwrap();
        Self {
            exporter: Visitor::new(&format!("http://{address}")),
            doorpost,
            server,
            _store: store,
            _folder: folder,
        }
    }

    fn visitor(&self) -> Visitor {
        self.doorpost.visitor().calling_from(HERS)
    }

    async fn scrape(&self) -> Scrape {
        scrape(&self.exporter).await
    }

    /// Ada registers, comes back by password and by link; somebody guesses; a letter is refused.
    async fn spends_a_day(&self) {
        let ada = self.visitor();
        ada.ask("/register", ADA).await.sees_inbox_page();
        let mail = self.server.letter_for(ADA).await.mail();
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        ada.post("/confirm-email", &fields)
            .await
            .goes_on_to("/account");
        ada.post("/sign-out", &[]).await.goes_on_to("/");
        self.visitor()
            .enter(ADA, "a horse that eats grass alone")
            .await;
        ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
        let again = self.visitor();
        again.ask("/sign-in", ADA).await.sees_inbox_page();
        let is_sign_in = |letter: &crate::support::Handed| letter.mail().route() == "/sign-in/link";
        eventually("a link to sign in", async || {
            self.server.taken_for(ADA).iter().any(is_sign_in)
        })
        .await;
        let mails = self.server.taken_for(ADA);
        let link = mails
            .iter()
            .find(|letter| is_sign_in(letter))
            .unwrap()
            .mail();
        again.click(link.path()).await.goes_on_to("/account");
        for _ in 0..4 {
            again.get("/sign-in/link?token=junk").await;
        }
        again.ask("/register", BOB).await.sees_inbox_page();
        self.doorpost.says("mail refused");
        // News of a sign-in leaves by itself.
        eventually("all that left is written down", async || {
            let sent = self
                .scrape()
                .await
                .value(r#"doorpost_letters_total{outcome="sent"}"#);
            sent == Some(self.server.count_taken() as f64)
        })
        .await;
    }
}

/// What a scrape gave.
struct Scrape {
    text: String,
}

async fn scrape(exporter: &Visitor) -> Scrape {
    let page = exporter.get("/metrics").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    Scrape { text: page.body }
}

impl Scrape {
    /// The value of a line, by all that stands before it.
    fn value(&self, series: &str) -> Option<f64> {
        let line = self
            .text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    #[track_caller]
    fn has(&self, series: &str, expected: f64) {
        assert_eq!(
            self.value(series),
            Some(expected),
            "{series} in {}",
            self.text
        );
    }

    /// The kind of each metric that it has, by its name.
    fn kinds(&self) -> BTreeMap<&str, &str> {
        let kinds = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "));
        kinds.map(|line| line.split_once(' ').unwrap()).collect()
    }

    /// Every value of every label.
    fn labels(&self) -> BTreeSet<&str> {
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.split_once('{'))
            .flat_map(|(_, labels)| labels.split('"').skip(1).step_by(2))
            .collect()
    }
}

on_both! {
    /// LOG-04
    async fn what_happens_is_counted_and_to_whom_is_not(db: Database) {
        let watched = Watched::start(db).await;
        let began = watched.scrape().await;
        for (method, outcome) in [("password", "sent"), ("email_code", "refused")] {
            began.has(&format!("doorpost_sign_ins_total{{method=\"{method}\"}}"), 0.0);
            began.has(&format!("doorpost_letters_total{{outcome=\"{outcome}\"}}"), 0.0);
        }
        watched.spends_a_day().await;

        let scrape = watched.scrape().await;
        for (series, expected) in [
            (r#"doorpost_sign_ins_total{method="email_link"}"#, 2.0),
            (r#"doorpost_sign_ins_total{method="password"}"#, 1.0),
            (r#"doorpost_events_total{event="password_refused"}"#, 1.0),
            (r#"doorpost_events_total{event="registered"}"#, 1.0),
            (r#"doorpost_links_total{purpose="confirm_email",outcome="issued"}"#, 2.0),
            (r#"doorpost_links_total{purpose="confirm_email",outcome="used"}"#, 1.0),
            (r#"doorpost_links_total{purpose="sign_in",outcome="used"}"#, 1.0),
            (r#"doorpost_links_total{purpose="sign_in",outcome="dead"}"#, 4.0),
            (r#"doorpost_limited_total{limit="token_per_network"}"#, 1.0),
            (r#"doorpost_letters_total{outcome="refused"}"#, 1.0),
            ("doorpost_database_up", 1.0),
            ("doorpost_mail_worker_up", 1.0),
            ("doorpost_smtp_breaker_open", 0.0),
            ("doorpost_password_hashes_refused_total", 0.0),
            (r#"doorpost_http_requests_total{route="/sign-in/link",method="GET",status="429"}"#, 1.0),
            (r#"doorpost_http_requests_total{route="/sign-in/password",method="POST",status="303"}"#, 1.0),
        ] {
            scrape.has(series, expected);
        }
        let sent = scrape.value(r#"doorpost_letters_total{outcome="sent"}"#);
        assert_eq!(sent, Some(watched.server.count_taken() as f64));
        assert_eq!(scrape.value("doorpost_letter_delay_seconds_count"), sent);
        let pages = scrape.value(
            r#"doorpost_http_request_duration_seconds_count{route="/sign-in/link",method="GET"}"#,
        );
        assert!(pages >= Some(5.0), "{pages:?}");

        for label in scrape.labels() {
            let is_somebody = ["@", "lovelace", "bob", "192.", "127.", "junk"]
                .iter()
                .any(|mark| label.contains(mark));
            let is_an_id = label.len() > 30 || label.chars().filter(char::is_ascii_uppercase).count() > 7;
            assert!(!is_somebody && !is_an_id, "a label says {label:?}");
        }
        assert_eq!(promtool(&["check", "metrics"], &scrape.text), "");
    }
}

#[tokio::test]
async fn whatever_is_asked_for_the_labels_stay_few() {
    let watched = Watched::start(Database::Sqlite).await;
    let visitor = watched.visitor();
    visitor.get("/no/such/page").await;
    let before = watched.scrape().await.text.lines().count();
    for number in 0..50 {
        visitor.get(&format!("/{number}/{number}")).await;
        visitor.get(&format!("/static/{number}.js")).await;
        let method = Method::from_bytes(format!("BREW{number}").as_bytes()).unwrap();
        visitor
            .send(visitor.request(method, &format!("/pot/{number}")))
            .await;
    }
    let scrape = watched.scrape().await;
    // Two methods, and a status or two.
    let histogram = 17;
    assert!(
        scrape.text.lines().count() <= before + 3 * (histogram + 1),
        "{}",
        scrape.text
    );
    let none = r#"{route="none",method="GET",status="404"}"#;
    assert!(scrape.value(&format!("doorpost_http_requests_total{none}")) >= Some(51.0));
}

#[tokio::test]
async fn metrics_are_on_a_listener_of_their_own_and_nothing_else_is() {
    let watched = Watched::start(Database::Sqlite).await;
    assert_eq!(
        watched.visitor().get("/metrics").await.status,
        StatusCode::NOT_FOUND
    );
    for page in ["/", "/sign-in", "/healthz", "/readyz", "/metrics/more"] {
        assert_eq!(
            watched.exporter.get(page).await.status,
            StatusCode::NOT_FOUND,
            "{page}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let unwatched = Doorpost::serving(folder.path(), &[ANY_PORT]);
    assert!(!unwatched.log().contains("metrics"), "{}", unwatched.log());
    assert_eq!(
        unwatched.visitor().get("/metrics").await.status,
        StatusCode::NOT_FOUND
    );
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let variables = [ANY_PORT, ("METRICS_ADDRESS", address.as_str())];
    let mut doorpost = Doorpost::start(folder.path(), &variables);
    assert_eq!(doorpost.ends(), Some(1));
    let words = format!("METRICS_ADDRESS {address}: Address already in use");
    assert!(doorpost.log().contains(&words), "{}", doorpost.log());

    let checked = crate::program::run(folder.path(), &["check"], &variables);
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(
        told.contains(&format!("address        FAILED  {words}")),
        "{told}"
    );
}

/// Whoever scrapes, and however often: the database is asked once in a while.
#[tokio::test]
async fn a_hundred_scrapes_are_one_question_to_the_database() {
    let watched = Watched::start(Database::Postgres).await;
    let asked = |scrape: &Scrape| {
        scrape
            .value("doorpost_database_wait_seconds_count")
            .unwrap()
    };
    let before = asked(&watched.scrape().await);
    let all = (0..100).map(|_| watched.scrape());
    let scrapes = futures_util::future::join_all(all).await;
    let after = scrapes.iter().map(asked).fold(before, f64::max);
    // The mail worker looks for mail, and counts it, every second.
    assert!(after - before < 60.0, "{before} {after}");
    assert!(
        scrapes
            .iter()
            .all(|scrape| scrape.value("doorpost_database_up") == Some(1.0))
    );
}

#[tokio::test]
async fn a_database_that_is_away_keeps_back_its_own_part_alone() {
    let house = House::new(Database::Postgres).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let exporter = Visitor::new(&format!("http://{}", listener.local_addr().unwrap()));
    let app = house.app.clone();
    thread::spawn(move || {
        System::new().block_on(async { exporter::serve(app, listener).unwrap().await })
    });
    let until = async |up: f64| {
        eventually("what the database is", async || {
            tokio::time::sleep(Duration::from_millis(250)).await;
            scrape(&exporter).await.value("doorpost_database_up") == Some(up)
        })
        .await;
        scrape(&exporter).await
    };
    let there = until(1.0).await;
    assert!(
        there
            .value(r#"doorpost_outbox_letters{state="queued"}"#)
            .is_some()
    );
    house.set_database_away(true).await;
    let away = until(0.0).await;
    assert_eq!(away.value("doorpost_outbox_oldest_age_seconds"), None);
    assert!(
        away.value("process_open_fds").is_some() && away.value("doorpost_mail_worker_up").is_some()
    );
    house.set_database_away(false).await;
    until(1.0).await;
}

/// What waits, and since when: news of all nodes, whichever is asked.
#[tokio::test]
async fn mail_that_is_stuck_shows() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ANY_PORT,
        ("METRICS_ADDRESS", "127.0.0.1:0"),
        ("SMTP_URL", "smtp://127.0.0.1:1"),
    ];
    let doorpost = Doorpost::serving(folder.path(), &variables);
    let log = doorpost.log();
    let (_, address) = log.split_once("metrics are at ").unwrap();
    let exporter = Visitor::new(address.split_once("/metrics").unwrap().0);
    doorpost
        .visitor()
        .ask("/register", ADA)
        .await
        .sees_inbox_page();
    doorpost.says("mail has to wait");
    eventually("a letter that waits", async || {
        let scrape = scrape(&exporter).await;
        scrape.value(r#"doorpost_outbox_letters{state="queued"}"#) == Some(1.0)
            && scrape.value("doorpost_outbox_oldest_age_seconds") > Some(0.0)
            && scrape.value("doorpost_smtp_breaker_open") == Some(1.0)
    })
    .await;
}

// --- deploy/ and docs/ ---

/// What is in `deploy/` is of use only as long as it asks for what there is.
#[tokio::test]
async fn the_dashboard_the_alerts_and_the_docs_name_what_there_is() {
    let watched = Watched::start(Database::Sqlite).await;
    watched.spends_a_day().await;
    let scrape = watched.scrape().await;
    let kinds = scrape.kinds();
    let given: BTreeSet<&str> = kinds
        .iter()
        .flat_map(|(name, kind)| match *kind {
            "histogram" => ["_bucket", "_sum", "_count"]
                .map(|end| format!("{name}{end}"))
                .to_vec(),
            _ => vec![(*name).to_owned()],
        })
        .map(|name| &*name.leak())
        .collect();

    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/doorpost.json")).unwrap();
    let asked = expressions(&dashboard);
    assert!(
        asked.len() > 15,
        "only {} expressions were found",
        asked.len()
    );
    let alerts = read("deploy/prometheus/alerts.yml");
    for text in asked.iter().chain([&alerts]) {
        for name in names_in(text) {
            assert!(
                given.contains(name),
                "{name} is in none of {given:?}: {text}"
            );
        }
    }
    for name in kinds.keys().filter(|name| name.starts_with("doorpost_")) {
        let is_shown = asked
            .iter()
            .chain([&alerts])
            .any(|text| text.contains(name));
        assert!(is_shown, "nobody looks at {name}");
    }

    let docs = read("docs/operate.md");
    let (_, table) = docs.split_once("| metric | labels").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `doorpost_"));
    let told: BTreeSet<String> = rows
        .map(|row| format!("doorpost_{}", row.split_once('`').unwrap().0))
        .collect();
    let ours: BTreeSet<String> = kinds
        .keys()
        .filter(|name| name.starts_with("doorpost_"))
        .map(|name| (*name).to_owned())
        .collect();
    assert_eq!(told, ours, "what docs/operate.md says, and what there is");
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    let folder = path("deploy/prometheus");
    let told = promtool_in(&folder, &["check", "rules", "alerts.yml"], "");
    assert!(told.contains("SUCCESS"), "{told}");
    let told = promtool_in(&folder, &["test", "rules", "alerts_test.yml"], "");
    assert!(told.contains("SUCCESS"), "{told}");

    // Each is tried in both ways.
    let tests = read("deploy/prometheus/alerts_test.yml");
    let alerts = read("deploy/prometheus/alerts.yml");
    let names: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let asked: Vec<&str> = tests
            .split("alertname: ")
            .filter(|part| part.lines().next() == Some(name))
            .collect();
        let fires = asked.iter().any(|part| {
            part.lines()
                .nth(1)
                .is_some_and(|line| line.trim() == "exp_alerts:")
        });
        let is_silent = asked.iter().any(|part| {
            part.lines()
                .nth(1)
                .is_some_and(|line| line.trim() == "exp_alerts: []")
        });
        assert!(
            fires && is_silent,
            "{name}: fires {fires}, is silent {is_silent}"
        );
    }
}

/// Every query of a dashboard.
fn expressions(panel: &Value) -> Vec<String> {
    match panel {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("expr" | "query", Value::String(query)) => vec![query.clone()],
                _ => expressions(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

/// The names of our metrics in it.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("doorpost_") || word.starts_with("process_"))
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn promtool(arguments: &[&str], input: &str) -> String {
    promtool_in(Path::new("."), arguments, input)
}

/// What Prometheus' own tool says, whichever way; it ends with an error if it finds one.
fn promtool_in(folder: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool (Debian: prometheus)");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    assert!(ended.status.success(), "{arguments:?}: {told}");
    told
}
