//! Mail through a relay as there are in earnest: TLS by an authority of its own, a log-in, and a sender that
//! belongs to the log-in.
//!
//! Promised: nothing is handed over but in TLS that holds; while the relay will not have us, mail waits and
//! `/readyz` says why without a secret; once it is put right, the same mail arrives.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::prelude::*;
use doorpost::schema::outbox;
use tempfile::TempDir;
use url::Url;

use crate::support::maildir::{
    arrives_for, read_strictly, started, the_one_url, unused_address, unused_address_at,
};
use crate::support::{Database, House, Visitor, eventually};

// --- a relay that takes our mail ---

/// OBX-06
#[tokio::test]
async fn a_letter_goes_through_starttls_with_a_log_in_and_its_link_signs_in() {
    let house = house_behind(&submission()).await;
    a_letter_arrives_and_its_link_signs_in(&house).await;
}

/// OBX-06
#[tokio::test]
async fn a_letter_goes_through_tls_from_the_first_byte_with_a_log_in_and_its_link_signs_in() {
    let house = house_behind(&submissions()).await;
    a_letter_arrives_and_its_link_signs_in(&house).await;
}

async fn a_letter_arrives_and_its_link_signs_in(house: &House) {
    let address = unused_address();
    let ada = asks(house, &address).await;
    let mail = read_strictly(&arrives_for(&address).await);
    let received = mail["headers"]["Received"].as_str().unwrap();
    // RFC 3848: S is for TLS, A for the log-in.
    assert!(received.contains(" with ESMTPSA "), "{received}");
    ada.confirm(&the_one_url(&mail)).await;
    assert_eq!(ada.signed_in_as().await, Some(address));
}

/// ADR-08
#[tokio::test]
async fn a_domain_with_an_umlaut_is_written_to_by_its_ascii_name() {
    let house = house_behind(&submission()).await;
    let typed = unused_address_at("bücher.example");
    let address = typed.replace("bücher", "xn--bcher-kva");
    let ada = asks(&house, &typed).await;
    let mail = read_strictly(&arrives_for(&address).await);
    let headers = &mail["headers"];
    assert_eq!(headers["X-Original-To"], *address, "in the envelope");
    assert_eq!(headers["To"], *address);
    ada.confirm(&the_one_url(&mail)).await;
    let shown = ada.signed_in_as().await;
    assert_eq!(shown, Some(typed), "as people write it");
}

// --- a relay that will not have us, or that we will not have ---

on_both! {
    /// OBX-06
    async fn to_a_relay_that_nobody_vouches_for_nothing_is_sent(db: Database) {
        for relay in [submission(), submissions()] {
            let wrong = [("SMTP_URL", &*relay)];
            let right = [("SMTP_URL", &*relay), ("SMTP_CA_FILE", &*authority())];
            mail_waits_until_it_is_put_right(db, &wrong, "TLS: ", &right).await;
        }
    }

    async fn mail_waits_while_the_relay_refuses_our_password(db: Database) {
        let outdated = relay("smtp", "DOORPOST_TEST_SUBMISSION", Some(PASSWORD_OF_LAST_YEAR));
        let wrong = [("SMTP_URL", &*outdated), ("SMTP_CA_FILE", &*authority())];
        let right = [("SMTP_URL", &*submission()), ("SMTP_CA_FILE", &*authority())];
        mail_waits_until_it_is_put_right(db, &wrong, "log-in: 535", &right).await;
    }

    async fn mail_waits_while_the_relay_refuses_our_sender(db: Database) {
        let right = [("SMTP_URL", &*submission()), ("SMTP_CA_FILE", &*authority())];
        let [url, authority] = right;
        let wrong = [url, authority, ("MAIL_FROM", "Somebody else <else@localhost>")];
        mail_waits_until_it_is_put_right(db, &wrong, "Sender address rejected: not owned by user", &right).await;
    }

    async fn mail_waits_while_the_relay_wants_a_log_in_that_we_do_not_have(db: Database) {
        let without = format!("smtp://{}?tls=required", started("DOORPOST_TEST_SUBMISSION"));
        let wrong = [("SMTP_URL", &*without), ("SMTP_CA_FILE", &*authority())];
        let right = [("SMTP_URL", &*submission()), ("SMTP_CA_FILE", &*authority())];
        mail_waits_until_it_is_put_right(db, &wrong, "not logged in", &right).await;
    }
}

// --- a relay that is not who it says, and one that is not heard ---

/// OBX-06
#[tokio::test]
async fn to_whoever_cannot_show_who_they_are_nothing_is_said() {
    for (scheme, impostor, why) in [
        ("smtp", "stripped", "TLS: STARTTLS is not supported"),
        ("smtp", "expired", "TLS: invalid peer certificate"),
        ("smtps", "expired", "TLS: invalid peer certificate"),
        (
            "smtp",
            "other-host",
            "TLS: invalid peer certificate: certificate not valid for name",
        ),
        (
            "smtps",
            "other-host",
            "TLS: invalid peer certificate: certificate not valid for name",
        ),
        (
            "smtp",
            "tls1.0",
            "TLS: received fatal alert: ProtocolVersion",
        ),
        (
            "smtps",
            "tls1.0",
            "TLS: received fatal alert: ProtocolVersion",
        ),
    ] {
        let server = ServerInPython::start(scheme, impostor);
        let house = house_at(&server).await;
        asks(&house, "ada@example.org").await;
        let told = format!(r#""smtp":"{why}"#);
        eventually(&format!("{impostor}: {told}"), async || {
            ready(&house).await.contains(&told)
        })
        .await;
        eventually("another try", async || {
            server.heard().matches("connected").count() > 1
        })
        .await;
        for secret in ["AUTH", "MAIL", "RCPT", "DATA", "ada@example.org"] {
            assert!(
                !server.heard().contains(secret),
                "{scheme} {impostor}: {}",
                server.heard()
            );
        }
        let waiting = waiting(&house).await;
        assert!(
            matches!(&waiting[..], [(_, _, 0)]),
            "{scheme} {impostor}: {waiting:?}"
        );
    }
}

/// The same server with a certificate that holds hears all of it, and none of it in the clear.
#[tokio::test]
async fn to_whoever_shows_who_they_are_it_is_said_in_tls() {
    for scheme in ["smtp", "smtps"] {
        let server = ServerInPython::start(scheme, "good");
        let house = house_at(&server).await;
        asks(&house, "ada@example.org").await;
        eventually("the letter", async || {
            server.heard().contains("in TLS: .\n")
        })
        .await;
        let heard = server.heard();
        for command in [
            "AUTH PLAIN ",
            "MAIL FROM:<doorpost@localhost>",
            "RCPT TO:<ada@example.org>",
        ] {
            assert!(
                heard.contains(&format!("in TLS: {command}")),
                "{scheme}: {heard}"
            );
            assert!(
                !heard.contains(&format!("in the clear: {command}")),
                "{scheme}: {heard}"
            );
        }
    }
}

async fn house_at(server: &ServerInPython) -> House {
    let authority = server.folder.path().join("ca.pem");
    let settings = [
        ("SMTP_URL", &*server.url),
        ("SMTP_CA_FILE", authority.to_str().unwrap()),
    ];
    House::with(Database::Sqlite, &settings).await
}

/// A mail server by another hand than ours, with a certificate of its own kind, that writes down what it hears.
struct ServerInPython {
    child: Child,
    url: String,
    heard: Arc<Mutex<String>>,
    folder: TempDir,
}

const MAIL_SERVER: &str = include_str!("support/mail_server.py");

impl ServerInPython {
    fn start(scheme: &str, kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_certificate(folder.path(), kind);
        let mut child = Command::new("python3")
            .args(["-I", "-W", "ignore", "-c", MAIL_SERVER, scheme, kind])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        let port = port.strip_prefix("port ").unwrap();
        let required = if scheme == "smtp" {
            "?tls=required"
        } else {
            ""
        };
        let heard = Arc::new(Mutex::new(String::new()));
        let ears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *ears.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self {
            child,
            url: format!("{scheme}://door:sesame@localhost:{port}{required}"),
            heard,
            folder,
        }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for ServerInPython {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn make_certificate(folder: &Path, kind: &str) {
    let days = if kind == "expired" { "-1" } else { "2" };
    let host = if kind == "other-host" {
        "elsewhere.example"
    } else {
        "localhost"
    };
    let script = r#"
        set -e
        key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        openssl req -x509 $key -days 2 -subj /CN=Authority -keyout ca.key -out ca.pem
        openssl req $key -subj /CN=mail -keyout server.key -out server.csr
        echo "subjectAltName = DNS:$2" >names
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days "$1" -extfile names -out server.pem
    "#;
    let made = Command::new("sh")
        .args(["-c", script, "sh", days, host])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

// --- one that is put right ---

/// With the wrong settings nothing is handed over, and `/readyz` says why not; after a restart with the right
/// ones the very mail that waited arrives.
async fn mail_waits_until_it_is_put_right(
    db: Database,
    wrong: &[Setting<'_>],
    why: &str,
    right: &[Setting<'_>],
) {
    let house = House::with(db, wrong).await;
    let (before, meanwhile) = (unused_address(), unused_address());
    asks(&house, &before).await;
    eventually(why, async || ready(&house).await.contains(why)).await;
    asks(&house, &meanwhile).await;
    eventually(why, async || ready(&house).await.contains(why)).await;
    let told = ready(&house).await;
    let (_, password) = log_in();
    for secret in [&*password, PASSWORD_OF_LAST_YEAR, &before, &meanwhile] {
        assert!(!told.contains(secret), "{secret} is told: {told}");
    }
    let waiting = waiting(&house).await;
    assert_eq!(waiting.len(), 2, "both wait: {told}");
    // What was refused before a recipient was named says nothing of the mail.
    let is_tried = told.contains("recipient:");
    assert!(
        waiting.iter().all(|(.., tries)| is_tried || *tries == 0),
        "{waiting:?}"
    );

    let house = house.restart(right).await;
    house.advance(Duration::from_secs(30));
    for (id, address, _) in waiting {
        let mail = read_strictly(&arrives_for(&address).await);
        assert_eq!(mail["headers"]["Message-ID"], format!("<{id}@localhost>"));
    }
    eventually("the trouble to be over", async || {
        ready(&house).await.contains(r#""smtp":"ok""#)
    })
    .await;
}

// --- the relay, and the house ---

type Setting<'a> = (&'a str, &'a str);

const PASSWORD_OF_LAST_YEAR: &str = "last-year";

/// `SMTP_URL` for STARTTLS and the log-in that the relay knows.
fn submission() -> String {
    relay("smtp", "DOORPOST_TEST_SUBMISSION", None)
}

/// The same for TLS from the first byte.
fn submissions() -> String {
    relay("smtps", "DOORPOST_TEST_SUBMISSIONS", None)
}

fn relay(scheme: &str, place: &str, other_password: Option<&str>) -> String {
    let (user, password) = log_in();
    let password = other_password.unwrap_or(&password);
    let mut url = Url::parse(&format!("{scheme}://{}", started(place))).unwrap();
    url.set_username(&user).unwrap();
    url.set_password(Some(password)).unwrap();
    if scheme == "smtp" {
        url.set_query(Some("tls=required"));
    }
    url.into()
}

/// User and password.
fn log_in() -> (String, String) {
    let log_in = started("DOORPOST_TEST_LOGIN");
    let (user, password) = log_in.split_once(':').unwrap();
    (user.to_owned(), password.to_owned())
}

/// The file with the authority that vouches for the relay.
fn authority() -> String {
    started("DOORPOST_TEST_CA")
}

async fn house_behind(relay: &str) -> House {
    let settings = [("SMTP_URL", relay), ("SMTP_CA_FILE", &authority())];
    House::with(Database::Sqlite, &settings).await
}

/// Somebody with a browser of their own who asks for the first mail to this address.
async fn asks(house: &House, address: &str) -> Visitor {
    let visitor = house.visitor();
    visitor.ask("/register", address).await.sees_inbox_page();
    visitor
}

/// Id, address and tries of what waits with its words.
async fn waiting(house: &House) -> Vec<(String, String, i32)> {
    use outbox::{body, email, id, state, table, tries};
    let waiting = house.app.read(|tx| {
        let queued = table.filter(state.eq("queued")).filter(body.is_not_null());
        Ok(queued.select((id, email, tries)).load(tx.conn)?)
    });
    waiting.await.unwrap()
}

async fn ready(house: &House) -> String {
    house.visitor().get("/readyz").await.body
}
