//! The secret key is replaced while nodes run, and no acknowledged letter is lost over it.
//!
//! Promised: in the order that `docs/deploy.md` gives, no letter waits for a key. In any other order, what a node
//! cannot open waits until a node can, or until it would be too late, is never erased before, and the operator is told
//! which key is missing.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel::prelude::*;
use doorpost::mail::outbox::kept::{self, KeptMail};
use doorpost::schema::outbox as table;

use crate::support::{Database, House, ScriptedServer, eventually, secret_key};

const PAUSE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

on_both! {
    /// FLT-09, promises 18, 29: the order of docs/deploy.md, node by node.
    async fn in_the_right_order_no_letter_waits_for_a_key(db: Database) {
        let server = ScriptedServer::start();
        let smtp = server.url();
        let mut first = House::with(db, &[("SMTP_URL", &smtp)]).await;
        let mut second = first.second_node(&[("SMTP_URL", &smtp)]);
        let (old, new) = (first.secret_key().to_owned(), secret_key());
        let told = [("SMTP_URL", &*smtp), ("SECRET_KEY", &*old), ("SECRET_KEYS_OLD", &*new)];
        let changed = [("SMTP_URL", &*smtp), ("SECRET_KEY", &*new), ("SECRET_KEYS_OLD", &*old)];
        let done = [("SMTP_URL", &*smtp), ("SECRET_KEY", &*new)];
        let mut acknowledged = 0;
        for settings in [&told[..], &changed, &done] {
            first = first.restart(settings).await;
            acknowledged += each_sends_the_letters_of_the_other(&server, &mut first, &mut second, acknowledged).await;
            second = second.restart(settings).await;
            acknowledged += each_sends_the_letters_of_the_other(&server, &mut first, &mut second, acknowledged).await;
        }
        assert_eq!(acknowledged, 48);
        let mails = all(&first).await;
        assert_eq!(mails.len(), acknowledged);
        for mail in mails {
            assert_eq!((mail.state.as_str(), mail.tries, mail.reason), ("sent", 0, None), "{}", mail.email);
        }
    }

    /// FLT-09, promises 18, 29: all at once, so that neither node knows the other's key.
    async fn in_the_wrong_order_no_letter_is_lost(db: Database) {
        const EACH: usize = 20;
        let server = ScriptedServer::start();
        let smtp = server.url();
        let mut first = House::with(db, &[("SMTP_URL", &smtp)]).await;
        let new = secret_key();
        let mut second = first.second_node(&[("SMTP_URL", &smtp), ("SECRET_KEY", &new)]);
        let keys = [first.app.keys.id().to_owned(), second.app.keys.id().to_owned()];

        // Each meets the other's letters first.
        first.hold_mail();
        ask(&first, 0..EACH).await;
        is_put_off(&second, EACH, &keys[0]).await;
        second.hold_mail();
        ask(&second, EACH..2 * EACH).await;
        first.release_mail();
        is_put_off(&first, EACH, &keys[1]).await;
        first.hold_mail();

        first.advance(PAUSE);
        first.release_mail();
        server.takes(EACH).await;
        first.hold_mail();
        first.advance(PAUSE);
        second.release_mail();
        server.takes(2 * EACH).await;
        second.hold_mail();
        let handed = server.handed();
        let ids: BTreeSet<String> = handed.iter().map(|letter| letter.header("Message-ID")).collect();
        assert_eq!((handed.len(), ids.len()), (2 * EACH, 2 * EACH), "each once");
        assert!(all(&first).await.iter().all(|mail| mail.state == "sent"));
    }

    /// FLT-09, promises 18, 29
    async fn what_no_node_can_open_waits_for_its_key_until_it_would_be_too_late(db: Database) {
        let server = ScriptedServer::start();
        let smtp = server.url();
        let mut house = House::with(db, &[("SMTP_URL", &smtp)]).await;
        let (old, new) = (house.secret_key().to_owned(), secret_key());
        let id = house.app.keys.id().to_owned();
        house.hold_mail();
        ask(&house, 0..3).await;
        // As the release before this one left it.
        assert_eq!(house.execute("UPDATE outbox SET sealed_by = NULL WHERE email = 'v0@example.org'").await, 1);
        let bodies = bodies(&house).await;

        let house = house.restart(&[("SMTP_URL", &smtp), ("SECRET_KEY", &new)]).await;
        eventually("each to be tried", async || all(&house).await.iter().all(|mail| mail.tries == 1)).await;
        for mail in all(&house).await {
            let reason = mail.reason.unwrap();
            assert_eq!(mail.state, "queued", "{}: {reason}", mail.email);
            assert!(reason.starts_with("sealed by "), "{reason}");
            assert_eq!(reason.contains(&id), mail.email != "v0@example.org", "{reason}");
        }
        assert_eq!(self::bodies(&house).await, bodies, "nothing is erased");
        let ready = house.visitor().get("/readyz").await.body;
        assert!(ready.contains(r#""outbox":"sealed by "#), "{ready}");

        let mut house = house.restart(&[("SMTP_URL", &smtp), ("SECRET_KEY", &new), ("SECRET_KEYS_OLD", &old)]).await;
        house.advance(PAUSE);
        server.takes(3).await;
        assert!(!house.visitor().get("/readyz").await.body.contains("outbox"));

        house.hold_mail();
        ask(&house, 3..4).await;
        let house = house.restart(&[("SMTP_URL", &smtp)]).await;
        house.seen("SELECT count(*) AS n FROM outbox WHERE state = 'queued' AND tries = 1").await;
        house.advance(DAY);
        eventually("it to be dropped", async || all(&house).await.iter().all(|mail| mail.state != "queued")).await;
        let late = all(&house).await.into_iter().find(|mail| mail.state == "dropped").unwrap();
        assert_eq!(late.email, "v3@example.org");
        let reason = late.reason.unwrap();
        assert!(reason.starts_with("too late to be of use: sealed by key "), "{reason}");
        assert_eq!(server.count_taken(), 3);
    }
}

/// Letters are asked for at each of two nodes, while only the other one's leave; how many that is.
async fn each_sends_the_letters_of_the_other(
    server: &ScriptedServer,
    first: &mut House,
    second: &mut House,
    before: usize,
) -> usize {
    let some = one_sends_the_letters_of_the_other(server, first, second, before).await;
    some + one_sends_the_letters_of_the_other(server, second, first, before + some).await
}

async fn one_sends_the_letters_of_the_other(
    server: &ScriptedServer,
    asked: &mut House,
    sends: &House,
    before: usize,
) -> usize {
    const SOME: usize = 4;
    asked.hold_mail();
    ask(asked, before..before + SOME).await;
    server.takes(before + SOME).await;
    eventually("them to be written down", async || {
        let mails = all(sends).await;
        mails.iter().all(|mail| mail.state == "sent")
    })
    .await;
    asked.release_mail();
    SOME
}

/// So many strangers ask, and are told that mail is on its way.
async fn ask(house: &House, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let address = format!("v{n}@example.org");
        let asked = house.visitor().ask("/register", &address).await;
        asked.sees_inbox_page();
    }
}

/// This node meets so many letters that were sealed by a key that it lacks, keeps them, and says so.
async fn is_put_off(house: &House, how_many: usize, key: &str) {
    eventually("all to be put off", async || {
        let waits = |mail: &&KeptMail| {
            let reason = mail.reason.as_deref().unwrap_or_default();
            mail.state == "queued" && mail.tries > 0 && reason.contains(key)
        };
        all(house).await.iter().filter(waits).count() == how_many
    })
    .await;
    let ready = house.visitor().get("/readyz").await.body;
    assert!(ready.contains(key), "{ready}");
}

async fn all(house: &House) -> Vec<KeptMail> {
    let all = house.app.read(|tx| kept::list(tx, None, 1000));
    all.await.unwrap()
}

async fn bodies(house: &House) -> Vec<Option<Vec<u8>>> {
    let bodies = house.app.read(|tx| {
        let bodies = table::table.select(table::body).order(table::email);
        Ok(bodies.load(tx.conn)?)
    });
    bodies.await.unwrap()
}
