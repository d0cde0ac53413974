//! `doorpost mail` and `doorpost check`: what an operator sees of mail, and can do about it.

use std::process::Output;
use std::time::Duration;

use diesel::prelude::*;
use doorpost::accounts::client::{Client, Label};
use doorpost::accounts::limits::Network;
use doorpost::mail::letters::Priority;
use doorpost::mail::notices::Notice;
use doorpost::mail::outbox;
use doorpost::mail::outbox::kept::{self, Retried};
use doorpost::schema::outbox as table;
use serde_json::Value;

use crate::program::{ANY_PORT, Doorpost, empty_folder, everything_in, run};
use crate::support::{Answer, Database, House, ScriptedServer, Step, Store, eventually};

const MINUTE: Duration = Duration::from_secs(60);

on_both! {
    /// OBX-03, OBX-04
    async fn the_operator_sees_what_waits_what_left_and_what_was_refused_but_no_link(db: Database) {
        let server = ScriptedServer::start();
        server.follow(|step| match step {
            Step { verb: "RCPT", to: "nobody@example.org" } => Answer::Say("550 5.1.1 no such user"),
            Step { verb: "RCPT", to: "late@example.org" } => Answer::Say("450 4.2.1 come back later"),
            _ => Answer::Agree,
        });
        let (store, folder, smtp) = (Store::make(db).await, empty_folder(), server.url());
        let variables = [ANY_PORT, ("SMTP_URL", &*smtp), ("DATABASE_URL", &*store.url), ("SECRET_KEY", &*store.secret_key)];
        let mail = |arguments: &[&str]| run(folder.path(), &[&["mail"], arguments].concat(), &variables);
        let doorpost = Doorpost::serving(folder.path(), &variables);
        assert_eq!(told(&mail(&["list"])), "There is no mail.\n");
        assert_eq!(json(&mail(&["list", "--json"])), serde_json::json!([]));

        for address in ["ann@example.org", "nobody@example.org", "late@example.org"] {
            doorpost.visitor().ask("/register", address).await.sees_inbox_page();
        }
        let anns = server.letter_for("ann@example.org").await.mail();
        eventually("all to be tried", async || {
            let list = json(&mail(&["list", "--json"]));
            let tried = |mail: &Value| mail["state"] != "queued" || mail["tries"] != 0;
            list.as_array().unwrap().iter().filter(|mail| tried(mail)).count() == 3
        }).await;

        let list = told(&mail(&["list"]));
        let line_of = |address: &str| list.lines().find(|line| line.contains(address)).unwrap().to_owned();
        assert!(line_of("ann@example.org").contains("  sent     confirm_email  "), "{list}");
        assert!(line_of("nobody@example.org").ends_with("recipient: 550 5.1.1 no such user"), "{list}");
        assert!(line_of("late@example.org").ends_with("recipient: 450 4.2.1 come back later"), "{list}");
        assert!(list.ends_with("In all: 1 queued, 1 refused, 1 sent.\n"), "{list}");
        let only = told(&mail(&["list", "--state", "refused", "--limit", "1"]));
        assert!(only.contains("nobody@") && !only.contains("ann@"), "{only}");

        let refused = json(&mail(&["list", "--state", "refused", "--json"]))[0].clone();
        let id = refused["id"].as_str().unwrap();
        assert_eq!(json(&mail(&["show", id, "--json"])), refused);
        let shown = told(&mail(&["show", id]));
        for fact in ["letter        confirm_email\n", "to            nobody@example.org\n", "state         refused\n"] {
            assert!(shown.contains(fact), "{shown}");
        }
        assert!(!shown.contains("next try"), "{shown}");
        let sent = json(&mail(&["list", "--state", "sent", "--json"]))[0].clone();
        let all = list + &told(&mail(&["show", sent["id"].as_str().unwrap()])) + &shown;
        for secret in [anns.token(), anns.code()] {
            assert!(!all.contains(secret), "{all}");
        }

        let again = mail(&["retry", id, "unheardof"]);
        assert_eq!(again.status.code(), Some(1));
        let words = String::from_utf8(again.stdout).unwrap();
        assert!(words.contains("erased when it was refused") && words.contains("there is no such mail"), "{words}");
        let unknown = mail(&["show", "unheardof"]);
        assert_eq!(unknown.status.code(), Some(1));
        assert_eq!(String::from_utf8(unknown.stderr).unwrap(), "There is no mail unheardof.\n");
    }

    async fn mail_is_tried_at_once_when_the_operator_says_so_and_never_twice(db: Database) {
        let server = ScriptedServer::start();
        let mut house = House::with(db, &[("SMTP_URL", &server.url())]).await;
        server.follow(|step| match (step.verb, step.to) {
            ("RCPT", "late@example.org") => Answer::Say("450 4.2.1 come back later"),
            ("RCPT", _) => Answer::Say("550 5.1.1 no such user"),
            _ => Answer::Agree,
        });
        house.visitor().ask("/register", "late@example.org").await.sees_inbox_page();
        house.visitor().ask("/register", "gone@example.org").await.sees_inbox_page();
        tell(&house, "reader@example.org").await;
        for (address, state) in [("gone@example.org", "refused"), ("reader@example.org", "refused")] {
            eventually(address, async || state_of(&house, address).await == state).await;
        }
        // It has waited long: so its next try is a minute away, or more.
        house.advance(10 * MINUTE);
        house.seen("SELECT count(*) AS n FROM outbox WHERE tries = 2").await;
        let waits = |address: &'static str| retry(&house, address);
        server.agree();
        assert_eq!(waits("late@example.org").await, Retried::Now);
        assert_eq!(waits("reader@example.org").await, Retried::Now, "news have no link that was erased");
        assert_eq!(waits("gone@example.org").await, Retried::Erased);
        server.letter_for("late@example.org").await;
        server.letter_for("reader@example.org").await;
        eventually("it to be settled", async || state_of(&house, "late@example.org").await == "sent").await;
        assert_eq!(waits("late@example.org").await, Retried::Over);

        house.stop_worker();
        tell(&house, "leased@example.org").await;
        let claimed = house.app.transaction(|tx| outbox::claim(tx, 8, Priority::News)).await.unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!(retry(&house, "leased@example.org").await, Retried::Soon, "a worker may have it");
        let unheard_of = house.app.transaction(|tx| kept::retry(tx, "unheardof")).await;
        assert_eq!(unheard_of.unwrap(), Retried::Unknown);
    }
}

#[test]
fn a_test_message_says_each_step_of_the_conversation() {
    let server = ScriptedServer::start();
    let (folder, smtp) = (empty_folder(), server.url());
    let test = |smtp: &str| {
        run(
            folder.path(),
            &["mail", "test", "ann@example.org"],
            &[("SMTP_URL", smtp)],
        )
    };
    let said = told(&test(&smtp));
    let address = smtp.strip_prefix("smtp://").unwrap();
    assert_eq!(
        said,
        format!(
            "connecting   {address}\n\
             greeting     scripted\n\
             sender       250 ok\n\
             recipient    250 ok\n\
             DATA         354 go ahead\n\
             letter       250 ok\n\
             The server took charge of it. Look for it in the mailbox of ann@example.org.\n"
        )
    );
    let letters = server.taken_for("ann@example.org");
    let [letter] = &letters[..] else {
        panic!("{letters:?}")
    };
    assert_eq!(letter.header("Subject"), "A test message from localhost");
    assert_eq!(letter.mail().link, "http://localhost:8080/");

    server.follow(|step| match step.verb {
        "RCPT" => Answer::Say("554 5.7.1 <ann@example.org>: Relay access denied"),
        _ => Answer::Agree,
    });
    let refused = test(&smtp);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stdout).unwrap();
    assert_eq!(
        said,
        format!(
            "connecting   {address}\n\
             greeting     scripted\n\
             sender       250 ok\n\
             FAILED at recipient: 554 5.7.1 <*@example.org>: Relay access denied\n"
        )
    );
    assert!(everything_in(folder.path()).is_empty(), "it needs no data");

    let away = test("smtp://127.0.0.1:1");
    assert_eq!(away.status.code(), Some(1));
    let said = String::from_utf8(away.stdout).unwrap();
    assert!(said.starts_with("FAILED at connecting: "), "{said}");

    let nowhere = run(folder.path(), &["mail", "test", "ann@example.org"], &[]);
    assert_eq!(nowhere.status.code(), Some(1));
    let said = String::from_utf8(nowhere.stderr).unwrap();
    assert!(said.contains("SMTP_URL is not set"), "{said}");
    let nobody = run(folder.path(), &["mail", "test", "no address"], &[]);
    assert_eq!(nobody.status.code(), Some(2));
}

/// FLT-13
#[tokio::test]
async fn a_check_says_how_it_is_with_each_part_and_makes_nothing() {
    let folder = empty_folder();
    let check = |variables: &[(&str, &str)]| {
        let variables = [&[ANY_PORT], variables].concat();
        run(folder.path(), &["check"], &variables)
    };
    let settings = folder.path().canonicalize().unwrap().join(".env");
    let settings = settings.display();
    assert_eq!(
        told(&check(&[])),
        format!(
            "configuration  ok      read; there is no {settings}\n\
             address        ok      127.0.0.1:0 is free\n\
             database       ok      data/doorpost.db is made at the first start\n\
             key            ok      one is made at the first start\n\
             passkeys       ok      they belong to localhost\n\
             mail           ok      no SMTP_URL: it is shown at /dev/inbox, and none leaves\n"
        )
    );
    assert!(everything_in(folder.path()).is_empty());

    std::fs::write(folder.path().join(".env"), "SIGN_UP=open\n").unwrap();
    drop(Doorpost::serving(folder.path(), &[ANY_PORT]));
    let server = ScriptedServer::start();
    let smtp = server.url();
    let address = smtp.strip_prefix("smtp://").unwrap();
    assert_eq!(
        told(&check(&[("SMTP_URL", &smtp)])),
        format!(
            "configuration  ok      read, with {settings}\n\
             address        ok      127.0.0.1:0 is free\n\
             database       ok      it answers, can be written to, and has every migration\n\
             key            ok      it is there, and fits the database\n\
             passkeys       ok      they belong to localhost\n\
             mail           ok      {address} would have our mail\n"
        )
    );
    let verbs: Vec<String> = server.commands();
    assert_eq!(
        verbs[3..], // It is greeted twice: the second time for what it offers.
        ["MAIL FROM:<doorpost@localhost>", "RSET", "QUIT"]
    );

    let fresh = Store::make(Database::Postgres).await;
    let said = told(&check(&[("DATABASE_URL", &fresh.url)]));
    assert!(
        said.contains("it answers, and can be written to; the next start applies"),
        "{said}"
    );

    server.follow(|step| match step.verb {
        "MAIL" => Answer::Say("550 5.7.1 not you"),
        _ => Answer::Agree,
    });
    std::fs::write(folder.path().join("data/secret_key"), "too short").unwrap();
    let failed = check(&[
        ("SMTP_URL", &smtp),
        (
            "DATABASE_URL",
            "postgres://doorpost:hunter2@127.0.0.1:1/doorpost",
        ),
    ]);
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8(failed.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[0],
        format!("configuration  ok      read, with {settings}")
    );
    assert!(
        lines[2].starts_with("database       FAILED  unavailable: cannot connect"),
        "{said}"
    );
    assert!(lines[3].starts_with("key            FAILED  "), "{said}");
    assert_eq!(
        lines[5],
        format!("mail           FAILED  {address}: sender: 550 5.7.1 not you")
    );
    assert!(!said.contains("hunter2"), "{said}");

    let unread = check(&[("LOG_FORMAT", "xml")]);
    assert_eq!(unread.status.code(), Some(2), "as the start itself would");
}

#[track_caller]
fn told(ended: &Output) -> String {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    String::from_utf8(ended.stdout.clone()).unwrap()
}

fn json(ended: &Output) -> Value {
    serde_json::from_str(&told(ended)).unwrap()
}

async fn tell(house: &House, address: &'static str) {
    let outbox = house.app.outbox.clone();
    let client = Client {
        network: Network::of("192.0.2.1".parse().unwrap()),
        product: Some("Firefox on Linux".to_owned()),
        is_program: false,
        label: Label::default(),
        request_id: "none".into(),
    };
    let told = house
        .app
        .transaction(move |tx| outbox.tell(tx, address, Notice::NewBrowser, &client));
    told.await.unwrap();
}

async fn state_of(house: &House, address: &'static str) -> String {
    let state = house.app.read(move |tx| {
        let mail = table::table.filter(table::email.eq(address));
        Ok(mail.select(table::state).first(tx.conn)?)
    });
    state.await.unwrap()
}

async fn retry(house: &House, address: &'static str) -> Retried {
    let retried = house.app.transaction(move |tx| {
        let mail = table::table.filter(table::email.eq(address));
        let id: String = mail.select(table::id).first(tx.conn)?;
        kept::retry(tx, &id)
    });
    retried.await.unwrap()
}
