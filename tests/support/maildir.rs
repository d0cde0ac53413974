//! The real mail server of the tests, and the Maildir where all that it takes lands.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use doorpost::random;
use serde_json::Value;

use super::eventually;

#[expect(clippy::disallowed_methods, reason = "what tests/run started")]
pub fn started(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is set by tests/run, which starts Postfix"))
}

pub fn real_server() -> String {
    started("DOORPOST_TEST_SMTP")
}

/// All mail lands in one Maildir: each test writes to an address of its own.
pub fn unused_address() -> String {
    unused_address_at("example.org")
}

pub fn unused_address_at(domain: &str) -> String {
    format!("ada+{}@{domain}", random::id().to_ascii_lowercase())
}

/// Takes the one mail for this address out of the Maildir, as soon as it is there.
pub async fn arrives_for(address: &str) -> Vec<u8> {
    let folder = Path::new(&started("DOORPOST_TEST_MAILDIR")).join("new");
    let recipient = format!("Delivered-To: {address}\n");
    let arrived = || {
        let files = std::fs::read_dir(&folder).unwrap();
        // Another test may take its own away in this very moment.
        let mails = files.filter_map(|file| {
            let path = file.unwrap().path();
            let mail = std::fs::read(&path).ok()?;
            let is_for_us = String::from_utf8_lossy(&mail).contains(&recipient);
            is_for_us.then_some((path, mail))
        });
        mails.collect::<Vec<_>>()
    };
    eventually("mail in the Maildir", async || !arrived().is_empty()).await;
    let mut arrived = arrived();
    assert_eq!(arrived.len(), 1);
    let (path, mail) = arrived.remove(0);
    std::fs::remove_file(path).unwrap();
    mail
}

/// What Python's email package makes of a mail when it raises on the least defect.
const STRICT_READER: &str = r#"
import email, email.policy, json, sys
raw = sys.stdin.buffer.read()
policy = email.policy.default + email.policy.strict
mail = email.message_from_bytes(raw, policy=policy)
names = mail.keys()
for name in names:
    assert name in ("Received",) or names.count(name) == 1, name
    assert not mail[name].defects, (name, mail[name].defects)
assert mail.get_content_type() == "multipart/alternative"
parts = list(mail.iter_parts())
assert all(not part.is_multipart() and not part.defects for part in parts)
plain, html = parts
print(json.dumps({
    "headers": {name: str(mail[name]) for name in names},
    "types": [[p.get_content_type(), p.get_content_charset(), p["Content-Transfer-Encoding"]] for p in parts],
    "text": plain.get_content(),
    "html": html.get_content(),
    "longest_line": max(len(line) for line in raw.split(b"\n\n", 1)[1].split(b"\n")),
}))
"#;

pub fn read_strictly(mail: &[u8]) -> Value {
    let mut python = Command::new("python3")
        .args(["-I", "-c", STRICT_READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(mail).unwrap();
    let read = python.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&read.stderr);
    let mail = String::from_utf8_lossy(mail);
    assert!(read.status.success(), "{said}\n{mail}");
    serde_json::from_slice(&read.stdout).unwrap()
}

/// The one URL in the text, which is the only one in the HTML too.
#[track_caller]
pub fn the_one_url(mail: &Value) -> String {
    let urls = |part: &str| -> Vec<String> {
        let end = |c: char| c.is_whitespace() || "\"<>'()".contains(c);
        let part = mail[part].as_str().unwrap();
        part.match_indices("://")
            .map(|(at, _)| {
                let begins = part[..at].rfind(end).map_or(0, |before| before + 1);
                part[begins..].split(end).next().unwrap().to_owned()
            })
            .collect()
    };
    let in_text = urls("text");
    assert_eq!(in_text.len(), 1, "one URL in the text: {in_text:?}");
    for url in urls("html") {
        assert_eq!(
            url, in_text[0],
            "the HTML part leads there and nowhere else"
        );
    }
    in_text[0].clone()
}
