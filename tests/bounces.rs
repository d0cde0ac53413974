//! Letters that come back: what mail servers report of them is understood, whoever wrote it and however; what it
//! means for further mail; and that nobody can silence somebody else by it.
//!
//! The reports in `tests/bounces/` are real ones, about a letter of ours; README.md there says how each came about.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use doorpost::accounts::users;
use doorpost::actions::announce::{Fate as Reader, announce_to};
use doorpost::actions::note_bounce::{Outcome, note_bounce};
use doorpost::mail::announcement::Announcement;
use doorpost::mail::bounce_address;
use doorpost::mail::bounce_report::{Fate, Report, Says};
use doorpost::random;
use doorpost::schema::outbox as table;
use proptest::prelude::*;
use serde_json::Value;

use crate::program::{ANY_PORT, Doorpost, empty_folder, run, run_reading};
use crate::purge::purge_all;
use crate::support::maildir::{arrives_for, real_server, unused_address_at};
use crate::support::{Database, House, Mail, PASSWORD, ScriptedServer, Store, eventually};

const ADA: &str = "ada@example.org";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The letter that the reports are about.
const NUMBER: &str = "AUHOL6PUNrsCSdTWnNX-6g";

/// Every report: its file, what became of the letter, the code, what that says of Ada's mailbox, and the reason.
const REPORTS: &[(&str, Fate, &str, Says, &str)] = &[
    (
        "postfix-no-such-user.eml",
        Fate::Failed,
        "5.1.1",
        Says::NoMailbox,
        "550 5.1.1 <*@example.org>: Recipient address rejected: User unknown",
    ),
    (
        "postfix-mailbox-full.eml",
        Fate::Failed,
        "5.2.2",
        Says::NotReached,
        "552 5.2.2 <*@example.org> Quota exceeded (mailbox for user is full)",
    ),
    (
        "postfix-delayed.eml",
        Fate::Delayed,
        "4.3.2",
        Says::NotReached,
        "451 4.3.2 <*@example.org>: try again later",
    ),
    (
        "postfix-expired.eml",
        Fate::Failed,
        "4.3.2",
        Says::NotReached,
        "451 4.3.2 <*@example.org>: try again later",
    ),
    (
        "postfix-passed-on.eml",
        Fate::Failed,
        "5.1.1",
        Says::NotReached,
        "550 5.1.1 <*@elsewhere.example>: Recipient address rejected: User unknown",
    ),
    (
        "dovecot-lmtp-quota.eml",
        Fate::Failed,
        "5.2.2",
        Says::NotReached,
        "552 5.2.2 <*@example.org> Quota exceeded (mailbox for user is full)",
    ),
    (
        "exim-no-such-user.eml",
        Fate::Failed,
        "5.1.1",
        Says::NoMailbox,
        "550 5.1.1 <*@example.org>: Recipient address rejected: User unknown",
    ),
    (
        "exim-mailbox-full.eml",
        Fate::Failed,
        "5.2.2",
        Says::NotReached,
        "552 5.2.2 <*@example.org> Quota exceeded (mailbox for user is full)",
    ),
    (
        "opensmtpd-no-such-user.eml",
        Fate::Failed,
        "5.1.1",
        Says::NoMailbox,
        "550 5.1.1 <*@example.org>: Recipient address rejected: User unknown",
    ),
    (
        "opensmtpd-delayed.eml",
        Fate::Delayed,
        "4.3.2",
        Says::NotReached,
        "451 4.3.2 <*@example.org>: try again later",
    ),
    (
        "sendmail-no-such-user.eml",
        Fate::Failed,
        "5.1.1",
        Says::NoMailbox,
        "550 5.1.1 <*@example.org>: Recipient address rejected: User unknown",
    ),
    (
        "sendmail-mailbox-full.eml",
        Fate::Failed,
        "5.2.2",
        Says::NotReached,
        "552 5.2.2 <*@example.org> Quota exceeded (mailbox for user is full)",
    ),
    (
        "sendmail-delayed.eml",
        Fate::Delayed,
        "4.2.2",
        Says::NotReached,
        "452 4.2.2 <*@example.org>: Mailbox full",
    ),
];

/// What comes to the same mailbox and is no report.
const OTHERS: &[&str] = &["other-dovecot-reject.eml", "other-dovecot-vacation.eml"];

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bounces");
    fs::read(folder.join(name)).unwrap()
}

/// The report of a mail server about the letter of this number, to this mailbox.
fn report(status: &str, number: &str, address: &str) -> Vec<u8> {
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mail.example.net\r\nTo: doorpost@example.test\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"cut\"\r\n\r\n\
         --cut\r\n\r\nIt could not be delivered.\r\n\
         --cut\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mail.example.net\r\n\r\n\
         Final-Recipient: rfc822; {address}\r\nAction: failed\r\nStatus: {status}\r\n\
         Diagnostic-Code: smtp; 550 {status} <{address}>: visit http://evil.test/\r\n\r\n\
         --cut\r\nContent-Type: text/rfc822-headers\r\n\r\n\
         Message-ID: <{number}@sign.example.test>\r\nTo: {address}\r\n\r\n--cut--\r\n"
    )
    .into_bytes()
}

#[test]
fn what_mail_servers_report_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bounces");
    let mails = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let mails: BTreeSet<PathBuf> = mails
        .filter(|it| it.extension().is_some_and(|it| it == "eml"))
        .collect();
    assert_eq!(mails.len(), REPORTS.len() + OTHERS.len(), "{mails:?}");
    for (name, fate, status, says, reason) in REPORTS {
        for bytes in [
            file(name),
            with_other_line_ends(&file(name)),
            in_an_mbox(&file(name)),
        ] {
            let read = Report::read(&bytes).unwrap_or_else(|| panic!("{name} is a report"));
            assert_eq!(read.letter.as_deref(), Some(NUMBER), "{name}");
            assert_eq!(read.fate, *fate, "{name}");
            assert_eq!(
                read.status.map(|it| it.to_string()).as_deref(),
                Some(*status),
                "{name}"
            );
            assert_eq!(read.says_of(ADA), *says, "{name}");
            assert_eq!(read.reason, *reason, "{name}");
        }
    }
    for name in OTHERS {
        assert_eq!(Report::read(&file(name)), None, "{name}");
    }
}

/// As Exim wrote it until 4.84, and some still do: for people, with the whole letter below.
#[test]
fn a_report_without_a_form_is_understood_by_its_head_and_its_words() {
    let report = format!(
        "Return-path: <>\nX-Failed-Recipients: {ADA}\nAuto-Submitted: auto-replied\n\
         From: Mail Delivery System <Mailer-Daemon@mail.example.net>\nTo: doorpost@example.test\n\
         Subject: Mail delivery failed: returning message to sender\n\n\
         This message was created automatically by mail delivery software.\n\n  {ADA}\n\
         \x20   SMTP error from remote mail server after RCPT TO:<{ADA}>:\n\
         \x20   host mx.example.org [192.0.2.5]: 550 5.1.1 No such user\n\n\
         ------ This is a copy of the message, including all the headers. ------\n\n\
         Return-path: <doorpost@example.test>\nMessage-ID: <{NUMBER}@login.example.org>\n\nHello\n"
    );
    let read = Report::read(report.as_bytes()).unwrap();
    assert_eq!(
        (read.fate, read.letter.as_deref()),
        (Fate::Failed, Some(NUMBER))
    );
    assert_eq!(
        (read.says_of(ADA), &*read.reason),
        (Says::NoMailbox, "5.1.1")
    );
    let bare = report.replace(&format!("X-Failed-Recipients: {ADA}\n"), "");
    assert_eq!(
        Report::read(bare.as_bytes()),
        None,
        "anybody can quote a letter"
    );
}

/// As it is on the wire, where the files have line feeds alone.
fn with_other_line_ends(mail: &[u8]) -> Vec<u8> {
    let text = mail.iter().filter(|byte| **byte != b'\r');
    text.flat_map(|byte| match byte {
        b'\n' => vec![b'\r', b'\n'],
        byte => vec![*byte],
    })
    .collect()
}

fn in_an_mbox(mail: &[u8]) -> Vec<u8> {
    [b"From MAILER-DAEMON Sun Nov 29 16:00:00 2026\n", mail].concat()
}

on_both! {
    async fn a_letter_to_no_mailbox_comes_back_and_news_wait_until_a_later_letter_was_used(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password(ADA).await;
        assert!(!ada.get("/account").await.body.contains("came back"));

        let lost = report("5.1.1", &newest_letter(&house, ADA).await, ADA);
        assert_eq!(is_reported(&house, &lost).await, Some(Outcome::Bounced));
        assert_eq!(is_reported(&house, &lost).await, Some(Outcome::Known), "once for each letter");
        let page = ada.get("/account").await;
        for words in ["there is no such mailbox (code 5.1.1)", "neither notices"] {
            assert!(page.body.contains(words), "{}", page.body);
        }
        assert!(!page.body.contains("evil.test"), "a stranger's words");
        let trail = ada.get("/account/activity").await.body;
        assert!(trail.contains("mail_bounced") && trail.contains("a mail server"), "{trail}");
        ada.reauthenticate().await;
        let export = ada.post("/account/export", &[]).await.body;
        assert!(export.contains("\"status\": \"5.1.1\"") || export.contains("\"status\":\"5.1.1\""), "{export}");
        assert!(export.contains("bounced"), "{export}");

        // Somebody signs in from elsewhere: no notice; nor an announcement.
        house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
        assert_eq!(announce(&house, ADA).await, Reader::IsNotReached);
        assert_eq!(house.news_to(ADA).await.len(), 0);

        // A link that is asked for comes, and when it was used, so do the others.
        let (asked, link) = house.asked("/sign-in", ADA).await;
        asked.click(&link.link).await.goes_on_to("/account");
        assert!(!ada.get("/account").await.body.contains("came back"), "the mailbox works");
        assert_eq!(announce(&house, ADA).await, Reader::Told);
        house.advance(Duration::from_secs(60 * 60));
        house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
        eventually("a notice", async || house.news_to(ADA).await.len() == 1).await;
    }

    async fn a_report_that_is_older_than_the_last_sign_in_by_mail_says_nothing(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password(ADA).await;
        let before = newest_letter(&house, ADA).await;
        let (asked, link) = house.asked("/sign-in", ADA).await;
        house.advance(Duration::from_secs(1));
        asked.click(&link.link).await.goes_on_to("/account");
        let reported = is_reported(&house, &report("5.1.1", &before, ADA)).await;
        assert_eq!(reported, Some(Outcome::Bounced), "the letter did come back");
        assert!(!ada.get("/account").await.body.contains("came back"), "and the mailbox works");
        assert_eq!(house.count("SELECT count(*) AS n FROM mail_bounces").await, 0);
    }

    async fn a_full_mailbox_counts_once_a_day_and_is_tried_again_in_a_month(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        for (day, reports, reached) in [(1, 3, true), (2, 1, true), (3, 1, false)] {
            for _ in 0..reports {
                tell(&house, ADA).await;
                let lost = report("5.2.2", &newest_letter(&house, ADA).await, ADA);
                assert_eq!(is_reported(&house, &lost).await, Some(Outcome::Bounced), "day {day}");
                house.advance(Duration::from_secs(60));
            }
            let fate = if reached { Reader::Told } else { Reader::IsNotReached };
            assert_eq!(announce(&house, ADA).await, fate, "day {day}");
            house.advance(DAY);
        }
        house.advance(30 * DAY);
        assert_eq!(announce(&house, ADA).await, Reader::Told);
        purge_all(&house).await;
        assert_eq!(house.count("SELECT count(*) AS n FROM mail_bounces").await, 0);
    }

    async fn what_is_said_of_the_letter_or_of_somebody_else_says_nothing_of_the_mailbox(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password(ADA).await;
        for status in ["5.7.1", "5.6.0", "5.1.8", "5.3.4"] {
            tell(&house, ADA).await;
            let lost = report(status, &newest_letter(&house, ADA).await, ADA);
            assert_eq!(is_reported(&house, &lost).await, Some(Outcome::Bounced), "{status}");
            house.advance(DAY);
        }
        assert!(!ada.get("/account").await.body.contains("came back"));
        // Her mailbox passes her letters on, and one of those that they go to is gone.
        tell(&house, ADA).await;
        let lost = report("5.1.1", &newest_letter(&house, ADA).await, "gone@elsewhere.example");
        assert_eq!(is_reported(&house, &lost).await, Some(Outcome::Bounced));
        assert!(ada.get("/account").await.body.contains("came back"));
        assert_eq!(announce(&house, ADA).await, Reader::Told, "three days, and not one");
    }

    async fn a_report_of_an_address_that_was_left_says_nothing_of_the_new_one(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let lost = report("5.1.1", &newest_letter(&house, ADA).await, ADA);
        is_reported(&house, &lost).await;
        ada.post("/account/email", &[("email", "countess@example.net")]).await.goes_on_to("/account/email");
        let mail = house.mail_to("countess@example.net").await;
        ada.use_link(&mail, "countess@example.net").await.goes_on_to("/account");
        assert!(!ada.get("/account").await.body.contains("came back"));
        assert_eq!(announce(&house, "countess@example.net").await, Reader::Told);
    }

    /// The link that changes an address is a letter, too: whoever uses it has read the mailbox.
    async fn whoever_proves_an_address_anew_is_reached_there(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let lost = report("5.1.1", &newest_letter(&house, ADA).await, ADA);
        is_reported(&house, &lost).await;
        for address in ["countess@example.net", ADA] {
            house.advance(Duration::from_secs(61));
            ada.post("/account/email", &[("email", address)]).await.goes_on_to("/account/email");
            let is_the_change = |mail: &Mail| !mail.is_news() && mail.route() == "/account/email/confirm";
            let mut came = house.all_mail_to(address).await;
            came.retain(is_the_change);
            ada.use_link(&came.pop().unwrap(), address).await.goes_on_to("/account");
        }
        assert!(!ada.get("/account").await.body.contains("came back"));
        assert_eq!(announce(&house, ADA).await, Reader::Told);
    }

    async fn a_deleted_account_leaves_nothing_of_it(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        is_reported(&house, &report("5.1.1", &newest_letter(&house, ADA).await, ADA)).await;
        assert_eq!(house.count("SELECT count(*) AS n FROM mail_bounces").await, 1);
        ada.post("/account/delete", &[("email", ADA)]).await.goes_on_to("/");
        assert_eq!(house.count("SELECT count(*) AS n FROM mail_bounces").await, 0);
    }

    /// ENU-01: a stranger who asks for a link, or tries a password, sees what they see of any other address.
    async fn a_stranger_sees_nothing_of_it(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        house.member_with_password("bob@example.org").await;
        is_reported(&house, &report("5.1.1", &newest_letter(&house, ADA).await, ADA)).await;
        let mut seen = Vec::new();
        for address in [ADA, "bob@example.org", "zoe@example.org"] {
            let stranger = house.visitor();
            let asked = stranger.ask("/sign-in", address).await;
            let tried = stranger.enter(address, "a horse that eats grass").await;
            let [asked, tried] = [asked, tried].map(|page| page.looks().replace(address, "ADDRESS"));
            seen.push((asked, tried));
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0], seen[2]);
    }

    async fn where_letters_have_addresses_of_their_own_nothing_else_is_believed(db: Database) {
        let server = ScriptedServer::start();
        let smtp = server.url();
        let variables = [("MAIL_BOUNCE_ADDRESS", "bounce@example.test"), ("SMTP_URL", &*smtp)];
        let house = House::with(db, &variables).await;
        house.visitor().ask("/register", ADA).await.sees_inbox_page();
        let letter = server.letter_for(ADA).await;
        house.seen("SELECT count(*) AS n FROM outbox WHERE state = 'sent'").await;
        let number = newest_letter(&house, ADA).await;
        let sender = bounce_address::sender(&house.app.config, &house.app.keys, &number);
        assert_eq!(letter.from, sender);
        assert!(sender.starts_with("bounce+") && sender.split('@').next().unwrap().len() <= 64, "{sender}");

        // Whoever was shown the letter knows its number.
        let forged = report("5.1.1", &number, ADA);
        assert_eq!(is_reported(&house, &forged).await, None);
        let other = bounce_address::sender(&house.app.config, &house.app.keys, NUMBER);
        let (stem, tag) = other.split_once('.').unwrap();
        let mixed = format!("{}.{tag}", sender.split_once('.').unwrap().0);
        for address in [&*mixed, stem, "bounce+@example.test", "bounce+.@example.test"] {
            assert_eq!(is_reported(&house, &to(&forged, address)).await, None, "{address}");
        }
        let shouted = to(&forged, &format!("<{}>", sender.to_ascii_uppercase()));
        assert_eq!(is_reported(&house, &shouted).await, Some(Outcome::Bounced));
        let passed_on = ("MAIL_BOUNCE_ADDRESS", "other@example.test");
        let renamed = house.second_node(&[variables[1], passed_on]);
        assert_eq!(is_reported(&renamed, &shouted).await, None, "another address is not ours any more");
    }

    async fn the_command_reads_what_a_mail_server_pipes_into_it(db: Database) {
        let server = ScriptedServer::start();
        let (store, folder, smtp) = (Store::make(db).await, empty_folder(), server.url());
        let variables = [ANY_PORT, ("SMTP_URL", &*smtp), ("DATABASE_URL", &*store.url), ("SECRET_KEY", &*store.secret_key)];
        let bounce = |message: &[u8], arguments: &[&str]| {
            let ended = run_reading(message, folder.path(), &[&["mail", "bounce"], arguments].concat(), &variables);
            (ended.status.code().unwrap(), String::from_utf8(ended.stdout).unwrap())
        };
        let mail = |arguments: &[&str]| {
            let ended = run(folder.path(), &[&["mail"], arguments].concat(), &variables);
            String::from_utf8(ended.stdout).unwrap()
        };
        // There is no table yet: the mail server keeps what it has.
        assert_eq!(bounce(&report("5.1.1", NUMBER, ADA), &[]).0, 75);
        let doorpost = Doorpost::serving(folder.path(), &variables);
        doorpost.visitor().ask("/register", ADA).await.sees_inbox_page();
        let number = server.letter_for(ADA).await.number();
        eventually("it to be written down", async || mail(&["show", &number]).contains("state         sent")).await;

        let late = String::from_utf8(report("4.2.2", &number, ADA)).unwrap().replace("Action: failed", "Action: delayed");
        let (code, told) = bounce(late.as_bytes(), &[]);
        assert_eq!((code, &*told), (0, &*format!("{number} is late: 550 4.2.2 <*@example.org>: visit http://evil.test/\n")));
        assert!(mail(&["show", &number]).contains("state         sent\n"));
        let (code, told) = bounce(&report("5.1.1", &number, ADA), &["--recipient", "doorpost@localhost"]);
        assert_eq!((code, &*told), (0, &*format!("{number} came back: 550 5.1.1 <*@example.org>: visit http://evil.test/\n")));
        assert!(mail(&["list", "--state", "bounced"]).contains("bounced  confirm_email  ada@example.org  550 5.1.1"));
        assert!(mail(&["show", &number]).contains("reason        550 5.1.1"));
        assert_eq!(bounce(&report("5.1.1", &number, ADA), &[]), (0, format!("{number} came back before\n")));
        assert_eq!(bounce(&report("5.1.1", NUMBER, ADA), &[]), (0, format!("passed over: there is no letter {NUMBER}\n")));
        for name in OTHERS {
            assert_eq!(bounce(&file(name), &[]), (0, "passed over: it reports of no letter that came back\n".to_owned()), "{name}");
        }
        assert_eq!(bounce(b"", &[]).0, 0);
        assert_eq!(bounce(&vec![b'x'; 9 * 1024 * 1024], &[]).0, 0, "all of it was read");

        let wrong = [&variables[..], &[("LOG_FORMAT", "xml")]].concat();
        let refused = run_reading(&report("5.1.1", &number, ADA), folder.path(), &["mail", "bounce"], &wrong);
        assert_eq!(refused.status.code(), Some(75), "and the mail server keeps it");
    }

    async fn a_letter_that_is_just_leaving_is_reported_again_later(db: Database) {
        let mut house = House::new(db).await;
        house.member_with_password(ADA).await;
        house.stop_worker();
        house.visitor().ask("/sign-in", ADA).await.sees_inbox_page();
        let lost = report("5.1.1", &newest_letter(&house, ADA).await, ADA);
        assert_eq!(is_reported(&house, &lost).await, Some(Outcome::TooEarly));
        house.start_worker();
        house.seen("SELECT count(*) AS n FROM outbox WHERE state = 'sent' AND letter = 'sign_in'").await;
        assert_eq!(is_reported(&house, &lost).await, Some(Outcome::Bounced));
    }
}

/// With a Postfix that takes the letter and then finds that nobody is there.
#[tokio::test]
async fn a_real_mail_server_reports_to_the_address_of_the_letter() {
    let smtp = real_server();
    let variables = [
        ("MAIL_BOUNCE_ADDRESS", "bounce@example.org"),
        ("SMTP_URL", &*smtp),
    ];
    let house = House::with(Database::Sqlite, &variables).await;
    let nobody: &str = unused_address_at("bounces.example").leak();
    house
        .visitor()
        .ask("/register", nobody)
        .await
        .sees_inbox_page();
    house
        .seen("SELECT count(*) AS n FROM outbox WHERE state = 'sent'")
        .await;
    let number = newest_letter(&house, nobody).await;
    let sender = bounce_address::sender(&house.app.config, &house.app.keys, &number);
    let report = arrives_for(&sender).await;
    assert_eq!(is_reported(&house, &report).await, Some(Outcome::Bounced));
    let read = Report::read(&report).unwrap();
    assert_eq!(
        (read.letter.clone(), read.says_of(nobody)),
        (Some(number), Says::NoMailbox)
    );
}

#[tokio::test]
async fn a_maildir_is_read_once_or_for_as_long_as_it_is_watched() {
    let server = ScriptedServer::start();
    let (folder, smtp) = (empty_folder(), server.url());
    let variables = [ANY_PORT, ("SMTP_URL", &*smtp)];
    let maildir = folder.path().join("Maildir");
    for name in ["new", "cur", "tmp"] {
        fs::create_dir_all(maildir.join(name)).unwrap();
    }
    let names = |name: &str| -> Vec<String> {
        let files = fs::read_dir(maildir.join(name)).unwrap();
        let mut names: Vec<String> = files
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let bounce = ["mail", "bounce", "--maildir", "Maildir"];
    let doorpost = Doorpost::serving(folder.path(), &variables);
    let mut numbers = Vec::new();
    for address in [ADA, "bob@example.org"] {
        doorpost
            .visitor()
            .ask("/register", address)
            .await
            .sees_inbox_page();
        numbers.push(server.letter_for(address).await.number());
    }
    let state = |number: &str| {
        let shown = run(
            folder.path(),
            &["mail", "show", number, "--json"],
            &variables,
        );
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        shown["state"].as_str().unwrap().to_owned()
    };
    for number in &numbers {
        eventually("it to be written down", async || state(number) == "sent").await;
    }

    fs::write(
        maildir.join("new/1.a.host"),
        report("5.1.1", &numbers[0], ADA),
    )
    .unwrap();
    fs::write(
        maildir.join("new/2.b.host"),
        "Subject: Hello\n\nWho are you?\n",
    )
    .unwrap();
    fs::create_dir(maildir.join("new/folder")).unwrap();
    let read = run(folder.path(), &bounce, &variables);
    assert_eq!(read.status.code(), Some(0), "{read:?}");
    let told = String::from_utf8(read.stdout).unwrap();
    assert!(
        told.contains("1.a.host  ") && told.contains("2.b.host  passed over"),
        "{told}"
    );
    assert_eq!(names("new"), ["folder"]);
    assert_eq!(names("cur"), ["1.a.host:2,S", "2.b.host:2,S"]);
    assert_eq!(state(&numbers[0]), "bounced");

    let mut command = crate::program::command(folder.path(), &variables);
    command.args(bounce).arg("--watch");
    let mut watching = Doorpost::spawned(command);
    fs::write(
        maildir.join("new/3.c.host"),
        report("5.2.2", &numbers[1], "bob@example.org"),
    )
    .unwrap();
    watching.says("3.c.host");
    eventually("it to be written down", async || {
        state(&numbers[1]) == "bounced"
    })
    .await;
    watching.signal("TERM");
    assert_eq!(watching.ends(), Some(0));

    let nowhere = run(
        folder.path(),
        &["mail", "bounce", "--maildir", "nowhere"],
        &variables,
    );
    assert_eq!(nowhere.status.code(), Some(75));
    assert!(
        String::from_utf8(nowhere.stderr)
            .unwrap()
            .contains("nowhere/new: No such file")
    );
}

/// One that watches and one that cron begins, say: what the other has read meanwhile is no trouble.
#[tokio::test]
async fn two_that_read_one_maildir_are_in_nobodys_way() {
    let folder = empty_folder();
    drop(Doorpost::serving(folder.path(), &[ANY_PORT]));
    let maildir = folder.path().join("Maildir");
    for name in ["new", "cur"] {
        fs::create_dir_all(maildir.join(name)).unwrap();
    }
    for number in 0..1_000 {
        let file = maildir.join(format!("new/{number:04}.host"));
        fs::write(file, "Subject: Hello\n\nWho are you?\n").unwrap();
    }
    let readers = [(); 4].map(|()| {
        let mut command = crate::program::command(folder.path(), &[ANY_PORT]);
        command.args(["mail", "bounce", "--maildir", "Maildir"]);
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    for reader in readers {
        let ended = reader.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{said}");
    }
    assert_eq!(fs::read_dir(maildir.join("cur")).unwrap().count(), 1_000);
}

#[test]
fn what_is_as_deep_as_it_is_long_is_read_as_far_as_is_of_use() {
    let began = Instant::now();
    let in_a_letter = "Content-Type: message/rfc822\n\n".repeat(130_000);
    let in_parts: String = (0..20_000)
        .map(|it| format!("Content-Type: multipart/mixed; boundary=b{it}\n\n--b{it}\n"))
        .collect();
    let long_head = format!("Subject: {}\n\n", "@".repeat(4_000_000));
    let long_reason = String::from_utf8(report("5.1.1", NUMBER, ADA)).unwrap();
    let long_reason = long_reason.replace("visit ", &"@@@@ ".repeat(700_000));
    let many = format!(
        "Content-Type: multipart/report; boundary=b\n\n{}",
        "--b\n\n".repeat(800_000)
    );
    let mut wrapped = report("5.1.1", NUMBER, ADA);
    for depth in 0..3 {
        let head =
            format!("Content-Type: multipart/mixed; boundary=\"w{depth}\"\r\n\r\n--w{depth}\r\n");
        wrapped = [
            head.as_bytes(),
            &wrapped,
            b"\r\n--w",
            depth.to_string().as_bytes(),
            b"--\r\n",
        ]
        .concat();
    }
    for (mail, is_report) in [
        (in_a_letter.as_bytes(), false),
        (in_parts.as_bytes(), false),
        (long_head.as_bytes(), false),
        (long_reason.as_bytes(), true),
        (many.as_bytes(), false),
        (&wrapped, true),
    ] {
        let read = Report::read(mail);
        assert_eq!(read.is_some(), is_report);
        assert!(read.is_none_or(|it| it.reason.len() <= 200));
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the bytes are: no panic, and nothing in what is read but plain text.
    #[test]
    fn whatever_comes_is_read_or_passed_over(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), proptest::collection::vec(any::<u8>(), 0..12), 0usize..40), 0..6),
        which in 0usize..100,
    ) {
        let mut mail = match REPORTS.get(which) {
            Some((name, ..)) => file(name),
            None => report("5.1.1", NUMBER, ADA),
        };
        for (at, bytes, gone) in cuts {
            let at = at.index(mail.len() + 1);
            let end = (at + gone).min(mail.len());
            mail.splice(at..end, bytes);
        }
        if let Some(read) = Report::read(&mail) {
            prop_assert!(read.reason.bytes().all(|it| (b' '..=b'~').contains(&it)) && read.reason.len() <= 200);
            prop_assert!(!read.reason.contains("ada@"));
        }
    }

    #[test]
    fn whatever_bytes_come_are_no_trouble(mail in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = Report::read(&mail);
    }
}

/// The same report, sent to this address.
fn to(report: &[u8], address: &str) -> Vec<u8> {
    let text = String::from_utf8(report.to_owned()).unwrap();
    text.replace("To: doorpost@example.test", &format!("To: {address}"))
        .into_bytes()
}

/// Hands a report in, as the command does. `None`: it is about no letter that could be believed.
async fn is_reported(house: &House, mail: &[u8]) -> Option<Outcome> {
    let report = Report::read(mail).expect("a report");
    let (config, keys) = (&house.app.config, &house.app.keys);
    let id = bounce_address::letter_of(config, keys, &report, None)?;
    let noted = house
        .app
        .transaction(move |tx| note_bounce(tx, &id, &report));
    Some(noted.await.unwrap())
}

async fn newest_letter(house: &House, address: &'static str) -> String {
    let number = house.app.read(move |tx| {
        let mails = table::table.filter(table::email.eq(address));
        let newest = mails.order((table::queued_at.desc(), table::id));
        Ok(newest.select(table::id).first(tx.conn)?)
    });
    number.await.unwrap()
}

/// Posts a letter that nobody asked for, and waits until it has left.
async fn tell(house: &House, address: &'static str) {
    house
        .execute(format!("DELETE FROM outbox WHERE email = '{address}'"))
        .await;
    assert_eq!(announce(house, address).await, Reader::Told);
    house
        .seen("SELECT count(*) AS n FROM outbox WHERE state = 'sent'")
        .await;
}

/// Announces something new to whoever has this address.
async fn announce(house: &House, address: &'static str) -> Reader {
    let text = format!("# News {}\n\nThere are some.\n", random::id());
    let app = house.app.clone();
    let announced = house.app.transaction(move |tx| {
        let announcement = Announcement::parse(text.as_bytes(), &app.config.server.public_url);
        let reader = users::of_address(tx, address)?.expect("somebody has this address");
        announce_to(tx, &app, &announcement.expect("a text"), &reader.id)
    });
    announced.await.unwrap()
}
