//! The letters, as their readers get them. All are sent by a house that runs in earnest, once, and looked at
//! from every side.
//!
//! What they say is kept in `tests/snapshots/`. After a change on purpose, `INSTA_UPDATE=always cargo test
//! letters` keeps them anew; read the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use doorpost::accounts::email_address::EmailAddress;
use doorpost::operator::mail;
use doorpost::operator::out::Out;
use tokio::sync::OnceCell;

use crate::support::{
    Database, Handed, House, Mail, ScriptedServer, audit, every_letter_is_sent, name_of_letter,
};

const SITE: &str = "door.example.org";

/// What stands above the link once more, for whoever sees no button.
const INSTEAD: &str = "If the button does nothing, open this address:";

struct Letter {
    name: &'static str,
    handed: Handed,
    mail: Mail,
}

async fn letters() -> &'static [Letter] {
    static LETTERS: OnceCell<Vec<Letter>> = OnceCell::const_new();
    LETTERS
        .get_or_init(async || {
            let server = ScriptedServer::start();
            let settings = [
                ("PUBLIC_URL", "https://door.example.org"),
                ("MAIL_FROM", "Door <login@door.example.org>"),
            ];
            let house = House::public(Database::Sqlite, &server, &settings).await;
            every_letter_is_sent(&house, async |address: &str| {
                let handed = server.taken_for(address);
                handed.iter().map(Handed::mail).collect()
            })
            .await;
            let address = EmailAddress::parse("carol@example.org").unwrap();
            let out = Out::default();
            let by_hand = mail::run(
                mail::Command::Test { address },
                (*house.app.config).clone(),
                house.app.clock.clone(),
                &out,
            );
            by_hand.await.unwrap();
            // Of one that was sent twice, the last.
            let mut named = BTreeMap::new();
            for handed in server.taken() {
                let mail = handed.mail();
                let name = name_of_letter(&mail.subject, SITE);
                named.insert(name, Letter { name, handed, mail });
            }
            named.into_values().collect()
        })
        .await
}

/// All but the operator's, who may put links wherever they like; tests/announce.rs looks at those.
async fn of_our_own_words() -> impl Iterator<Item = &'static Letter> {
    let letters = letters().await.iter();
    letters.filter(|letter| letter.name != "announcement")
}

/// Those that have templates of their own, and the notices.
#[tokio::test]
async fn there_is_no_letter_that_is_not_looked_at() {
    let templates = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/mail"));
    let mut names: BTreeSet<String> = templates
        .unwrap()
        .filter_map(|file| file.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
        .filter(|name| !["layout", "notice"].contains(&name.as_str()))
        .collect();
    let notices = include_str!("../src/mail/notices.rs").lines();
    let named = notices.filter_map(|line| line.split_once(" => \"")?.1.strip_suffix("\","));
    names.extend(named.map(str::to_owned));
    assert!(names.len() >= 15, "they were not found: {names:?}");
    let looked_at = letters().await.iter().map(|letter| letter.name.to_owned());
    assert_eq!(names, looked_at.collect());
}

#[tokio::test]
async fn every_letter_says_what_it_was_meant_to_say() {
    let letters = letters().await;
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        for Letter { name, mail, .. } in letters {
            let text = format!("Subject: {}\n\n{}", mail.subject, mail.text);
            insta::assert_snapshot!(format!("{name}.txt"), without_secrets(mail, &text));
            insta::assert_snapshot!(format!("{name}.html"), without_secrets(mail, &mail.html));
        }
    });
}

/// Another token and another code are drawn each time.
fn without_secrets(mail: &Mail, part: &str) -> String {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut pieces = part.split("token=");
    let first = pieces.next().unwrap().to_owned();
    let part = pieces.fold(first, |before, piece| {
        format!(
            "{before}token=TOKEN{}",
            piece.trim_start_matches(is_of_token)
        )
    });
    match &mail.code {
        Some(code) => part.replace(code, "XXXX-XXXX"),
        None => part,
    }
}

#[tokio::test]
async fn every_letter_is_html() {
    for Letter { name, mail, .. } in letters().await {
        audit::is_html(&format!("letter-{name}"), mail.html.clone()).await;
    }
}

/// Whoever reads the text misses nothing, nor does whoever reads the HTML.
#[tokio::test]
async fn text_and_html_say_the_same() {
    for Letter { name, mail, .. } in of_our_own_words().await {
        let button = button(&mail.html);
        let shown: Vec<String> = paragraphs(&seen(&mail.html))
            .filter(|words| Some(words) != button.as_ref())
            .filter(|words| *words != format!("{INSTEAD}\n{}", mail.link))
            .collect();
        let mut text: Vec<String> = paragraphs(&mail.text)
            .filter(|words| *words != mail.link && !words.ends_with("open this link:"))
            .collect();
        assert_eq!(text[0], mail.subject, "{name}");
        assert!(text[0].starts_with(&shown[0]), "{name}: {}", shown[0]);
        text[0].clone_from(&shown[0]);
        assert_eq!(text, shown, "{name}");
        assert_eq!(button.is_some(), !mail.link.is_empty(), "{name}");
    }
}

/// A code in it would show on locked screens, and stand in the logs of mail servers.
#[tokio::test]
async fn a_subject_is_short_names_the_site_and_has_no_code() {
    for Letter { name, mail, .. } in letters().await {
        let own_words = mail.subject.replace(SITE, "");
        assert!(own_words.len() <= 40, "a phone shows no more: {own_words}");
        assert!(mail.subject.contains(SITE), "{name}: {}", mail.subject);
        let code = mail.code.as_deref().unwrap_or("no code");
        assert!(!mail.subject.contains(code), "{name}: {}", mail.subject);
    }
}

/// In the text on a line of its own; in the HTML as the button, and to be read.
#[tokio::test]
async fn a_letter_has_one_url_and_loads_nothing() {
    for Letter { name, mail, .. } in of_our_own_words().await {
        let (link, html) = (&mail.link, &mail.html);
        let urls = usize::from(!link.is_empty());
        let ours = link.starts_with("https://door.example.org/");
        assert!(ours || urls == 0, "{name}: {link}");
        assert_eq!(mail.text.matches("://").count(), urls, "{name}");
        let (followed, read) = (format!("href=\"{link}\""), format!(">{link}</a>"));
        for (what, times) in [("://", 3), ("href=", 2), (&followed, 2), (&read, 1)] {
            let found = html.matches(what).count();
            assert_eq!(found, times * urls, "{name}: {what}: {html}");
        }
    }
    for Letter { name, mail, .. } in letters().await {
        // Without its link, in which anything may stand by chance.
        let words = match &*mail.link {
            "" => mail.html.clone(),
            link => mail.html.replace(link, ""),
        };
        let lower = words.to_ascii_lowercase();
        for loads in LOADS {
            assert!(!lower.contains(loads), "{name}: {loads}");
        }
    }
}

/// What makes a mail reader fetch something, and tells the sender so.
const LOADS: &[&str] = &[
    "<img",
    "<svg",
    "<link",
    "<script",
    "<form",
    "<iframe",
    "src",
    "url(",
    "@import",
    "@font-face",
    "background=",
];

/// Quoted-printable breaks a link after 76 columns, and some mail programs leave it in two.
#[tokio::test]
async fn the_link_in_the_text_stands_whole_on_one_line() {
    for Letter { name, handed, mail } in letters().await {
        let (head, _) = handed.raw.split_once("text/html").unwrap();
        assert!(
            head.contains("Content-Transfer-Encoding: 7bit"),
            "{name}: {head}"
        );
        let link = format!("\r\n{}\r\n", mail.link);
        assert!(head.contains(&link), "{name}: {head}");
    }
}

/// The browser's name for itself is the visitor's own; the letter has ours for it.
#[tokio::test]
async fn no_word_of_a_visitors_stands_in_a_letter() {
    let mut named = 0;
    for Letter { name, handed, mail } in letters().await {
        assert!(!handed.raw.contains("evil."), "{name}: {}", handed.raw);
        named += mail.text.matches("Firefox on Linux").count();
    }
    assert!(named >= 8, "{named} letters name the browser");
}

#[tokio::test]
async fn a_letter_tells_its_reader_what_to_know_before_a_click() {
    for Letter { name, mail, handed } in letters().await {
        for part in [&mail.text, &seen(&mail.html)] {
            let says = |words: &str| part.contains(words);
            assert!(says(&handed.to[0]), "{name}, to whom: {part}");
            let unasked = ["invitation", "test", "announcement", "own"].contains(name);
            let by_operator = name.ends_with("_by_operator");
            let (whoever_did_not, whence) = match by_operator {
                false => ("Was it not you? ", "IP address: 127.0.0.1"),
                true => (
                    "Did you not ask them for it? ",
                    "By: the people who run door.example.org",
                ),
            };
            assert!(
                says(whoever_did_not) || unasked,
                "{name}, who did not ask: {part}"
            );
            if mail.is_news() {
                let whence = says("When: 22 November 2026, 00:0") && says(whence);
                assert!(whence, "{name}, when and from where: {part}");
                assert_ne!(says("IP address: "), by_operator, "{name}: {part}");
            } else if !["test", "announcement", "own"].contains(name) {
                let lasts = says(" works once, within ") || says(" work once, within ");
                assert!(lasts, "{name}, for how long: {part}");
            }
            let warns = says("Never tell the code to anyone");
            assert_eq!(warns, mail.code.is_some(), "{name}: {part}");
        }
        for paragraph in paragraphs(&mail.text) {
            assert!(paragraph.len() <= 320, "{name}, too long: {paragraph}");
        }
    }
}

/// For a screen reader the language, a title, and tables that are only layout; for Outlook, colours as it knows
/// them.
#[tokio::test]
async fn the_html_is_written_for_mail_readers() {
    for Letter { name, mail, .. } in letters().await {
        let html = &mail.html;
        let count = |what: &str| html.matches(what).count();
        assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\" dir=\"ltr\">"));
        assert_eq!(
            count(&format!("<title>{}</title>", mail.subject)),
            1,
            "{name}"
        );
        assert_eq!(count("<h1"), 1, "{name}");
        assert_eq!(
            count("<table"),
            count("<table role=\"presentation\""),
            "{name}"
        );
        for cell in html.split("<td").skip(1) {
            let (attributes, _) = cell.split_once('>').unwrap();
            let both = ["bgcolor=", "background-color:"].map(|colour| attributes.contains(colour));
            assert_eq!(both[0], both[1], "{name}: {attributes}");
        }
        assert!(
            !html.contains("display: none"),
            "{name}: to filters, a sign of spam"
        );
        assert!(html.len() < 20_000, "{name}: some show only the beginning");
    }
}

/// What SpamAssassin may say: that there is HTML, which costs nothing; and that the letter came from an address
/// that is nobody's, as befits a test. That it comes from a mailing list speaks for an announcement.
const HARMLESS: &[&str] = &["HTML_MESSAGE", "RCVD_ILLEGAL_IP", "MAILING_LIST_MULTI"];

/// With the rules that Debian ships, and without asking anybody on the network.
#[tokio::test]
async fn no_letter_looks_like_spam() {
    let letters = letters().await;
    let folder = tempfile::tempdir().unwrap();
    let mailbox = folder.path().join("mailbox");
    let arrived: String = letters.iter().map(arrived).collect();
    std::fs::write(&mailbox, arrived).unwrap();
    let ran = Command::new("spamassassin")
        .env("HOME", folder.path())
        .args(["--local", "--test-mode", "--nocreate-prefs"])
        .arg("--configpath=/usr/share/spamassassin")
        .args(["--cf=use_bayes 0", "--cf=fold_headers 0"])
        .arg("--cf=add_header all Hits _TESTS(,)_")
        .args(["--mbox".as_ref(), mailbox.as_os_str()])
        .output()
        .expect("SpamAssassin is there; tests/run installs it");
    let judged = String::from_utf8(ran.stdout).unwrap();
    for letter in letters {
        // It judges them in an order of its own.
        let id = letter.handed.header("message-id");
        let mut verdicts = judged.split("X-Spam-Hits: ").skip(1);
        let Some(verdict) = verdicts.find(|verdict| verdict.contains(&id)) else {
            let complaints = String::from_utf8_lossy(&ran.stderr);
            panic!("{} was not judged: {complaints}", letter.name);
        };
        let hits = verdict.lines().next().unwrap();
        let harmless = hits.split(',').all(|rule| HARMLESS.contains(&rule));
        assert!(harmless, "{}: {hits}", letter.name);
    }
}

/// As it lies in a mailbox file, with the line of the server that took it from ours.
fn arrived(letter: &Letter) -> String {
    let handed = &letter.handed;
    let (from, to, date) = (&handed.from, &handed.to[0], handed.header("date"));
    let raw = handed.raw.replace("\r\n", "\n");
    format!(
        "From {from} Sun Nov 22 00:00:00 2026\n\
         Received: from {SITE} ({SITE} [192.0.2.25])\n\
         \tby mx.example.org with ESMTPS id 4Zq7 for <{to}>; {date}\n\
         {raw}\n"
    )
}

// --- HTML, read as a person does ---

/// The words that can be seen.
fn seen(html: &str) -> String {
    let (_, body) = html.split_once("</head>").unwrap();
    let body = without(body, "<!--", "-->");
    let mut words = String::new();
    for piece in body.split_inclusive('>') {
        let (text, tag) = piece.split_once('<').unwrap_or((piece, ""));
        words += text.trim_matches('\n');
        match tag.split([' ', '>']).next().unwrap_or_default() {
            "a" | "/a" | "span" | "/span" | "strong" | "/strong" => {}
            "br" => words += "\n",
            _ => words += "\n\n",
        }
    }
    unescaped(&words)
}

fn button(html: &str) -> Option<String> {
    let (_, button) = html.split_once("<a class=\"button\"")?;
    let (button, _) = button.split_once("</a>")?;
    Some(unescaped(button.split_once('>')?.1))
}

fn paragraphs(text: &str) -> impl Iterator<Item = String> {
    text.split("\n\n")
        .map(|words| words.trim().to_owned())
        .filter(|words| !words.is_empty())
}

fn without(text: &str, from: &str, to: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(from) {
        kept += before;
        rest = after.split_once(to).unwrap().1;
    }
    kept + rest
}

/// Every `&` in our letters is that of a number; one that is not came from an address.
#[track_caller]
fn unescaped(html: &str) -> String {
    let mut escapes = html.split('&').skip(1);
    assert!(escapes.all(|escape| escape.starts_with('#')), "{html}");
    let mut text = html.to_owned();
    for (escaped, character) in [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
    ] {
        text = text.replace(escaped, character);
    }
    text
}
