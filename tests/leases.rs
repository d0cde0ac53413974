//! Who claimed a mail and lost it moves nothing: a node that is paused knows nothing of it, and wakes with mail in its
//! hands that another has taken up since.
//!
//! Promised: every statement about a claimed mail names the claim, and the claim is looked at again just before the
//! send. So what a node says that was paused, whenever it wakes, has no mail sent once more, and none lost.

use std::sync::mpsc;
use std::time::Duration;

use diesel::prelude::*;
use doorpost::mail::letters::Priority;
use doorpost::mail::outbox::kept::{self, Retried};
use doorpost::mail::outbox::{self, Claimed};
use doorpost::schema::outbox as table;

use crate::support::{Answer, Database, House, ScriptedServer, eventually};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

on_both! {
    /// Promise 19
    async fn whatever_a_paused_node_says_moves_no_mail_that_another_has_taken_up(db: Database) {
        let house = quiet_house(db).await;
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        let [paused] = claim(&house).await.try_into().unwrap();
        house.advance(MINUTE);
        let [taken_up] = claim(&house).await.try_into().unwrap();
        house.advance(SECOND);

        let before = row(&house).await;
        let said = house.app.transaction(move |tx| {
            Ok([
                outbox::give_back(tx, &paused)?,
                outbox::later(tx, &paused, Duration::ZERO, "not now")?,
                outbox::refused(tx, &paused, "no such user")?,
                outbox::dropped(tx, &paused, "too late")?,
                outbox::shown(tx, &paused)?,
                outbox::sent(tx, &paused)?,
            ])
        });
        assert_eq!(said.await.unwrap(), [false; 6], "each is told so");
        assert_eq!(row(&house).await, before);
        assert!(house.app.transaction(move |tx| outbox::sent(tx, &taken_up)).await.unwrap());
        assert_eq!(row(&house).await.0, "sent", "who has it goes on as if nothing had happened");
    }

    /// Promise 19: the release before this one claims without drawing a value, and leaves ours in the row.
    async fn a_claim_by_the_release_before_ends_ours(db: Database) {
        let house = quiet_house(db).await;
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        let [paused] = claim(&house).await.try_into().unwrap();
        house.advance(MINUTE);
        let leased = house.app.transaction(|tx| {
            let lease_ends = tx.now + 50_000;
            Ok(diesel::update(table::table).set(table::due_at.eq(lease_ends)).execute(tx.conn)?)
        });
        assert_eq!(leased.await.unwrap(), 1);
        let before = row(&house).await;
        assert!(!house.app.transaction(move |tx| outbox::sent(tx, &paused)).await.unwrap());
        assert_eq!(row(&house).await, before);
    }

    /// Promise 19
    async fn a_claim_is_looked_at_again_before_the_send_and_must_outlast_it(db: Database) {
        let house = quiet_house(db).await;
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        let [claimed] = claim(&house).await.try_into().unwrap();
        let holds = async |claimed: &Claimed| {
            let claimed = claimed.clone();
            house.app.read(move |tx| outbox::holds(tx, &claimed, 40 * SECOND)).await.unwrap()
        };
        house.advance(10 * SECOND);
        assert!(holds(&claimed).await);
        house.advance(SECOND);
        assert!(!holds(&claimed).await, "it would end amid the send");
        house.advance(MINUTE);
        let [taken_up] = claim(&house).await.try_into().unwrap();
        assert_eq!((holds(&claimed).await, holds(&taken_up).await), (false, true));
        house.execute("DELETE FROM outbox").await;
        assert!(!holds(&taken_up).await, "it was taken back");
    }

    /// Promise 19: the worker itself, which is kept waiting in the middle of a letter while another node takes up all
    /// that it has claimed.
    async fn a_worker_that_was_kept_waiting_leaves_alone_what_another_has_taken_up(db: Database) {
        const MAILS: usize = 8;
        let server = ScriptedServer::start();
        let mut house = House::with(db, &[("SMTP_URL", &server.url())]).await;
        house.stop_worker();
        for n in 0..MAILS {
            house.visitor().ask("/register", &format!("v{n}@example.org")).await.sees_inbox_page();
        }
        let (wake, asleep) = mpsc::channel::<()>();
        server.follow(move |step| {
            if step.verb == "." {
                let _ = asleep.recv(); // until there is nobody left who could wake us
            }
            Answer::Agree
        });
        house.start_worker();
        eventually("a letter to be under way", async || !server.handed().is_empty()).await;
        let taken_up = house.app.transaction(|tx| {
            // The leases of all have ended.
            diesel::update(table::table).set(table::due_at.eq(tx.now)).execute(tx.conn)?;
            outbox::claim(tx, 8, Priority::News)
        });
        let taken_up = taken_up.await.unwrap();
        assert_eq!(taken_up.len(), MAILS);

        drop(wake);
        house.stop_worker();
        assert!(server.handed().len() < MAILS, "it begins nothing more");
        for claimed in taken_up {
            let to = claimed.mail.email.clone();
            let is_held = house.app.transaction(move |tx| outbox::sent(tx, &claimed)).await.unwrap();
            assert!(is_held, "{to} was moved");
        }
    }

    /// Promise 19: what was handed over is in no worker's hands yet, and waits there as long as its node is paused.
    async fn a_worker_that_wakes_leaves_alone_what_was_handed_over_to_it_and_taken_up_by_another(db: Database) {
        let server = ScriptedServer::start();
        let mut house = House::with(db, &[("SMTP_URL", &server.url())]).await;
        house.stop_worker();
        house.app.outbox.take_on();
        house.app.outbox.looked(Priority::News, 8, &[]);
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        assert!(claim(&house).await.is_empty(), "it is handed over");
        house.advance(MINUTE);
        let [taken_up] = claim(&house).await.try_into().unwrap();

        house.start_worker();
        house.visitor().ask("/register", "ben@example.org").await.sees_inbox_page();
        server.letter_for("ben@example.org").await;
        house.stop_worker();
        assert_eq!(server.times_named("ada@example.org"), 0);
        assert!(house.app.transaction(move |tx| outbox::sent(tx, &taken_up)).await.unwrap());
    }

    /// Promise 19: two operators at once, and a worker between them.
    async fn a_mail_that_is_claimed_while_it_is_retried_stays_with_who_claimed_it(db: Database) {
        let house = quiet_house(db).await;
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        let id = house.app.transaction(|tx| {
            let next_try = tx.now + 600_000;
            diesel::update(table::table).set(table::due_at.eq(next_try)).execute(tx.conn)?;
            Ok(table::table.select(table::id).first::<String>(tx.conn)?)
        });
        let id = id.await.unwrap();
        let (go, going) = mpsc::channel::<()>();
        let (claims, claiming) = tokio::sync::oneshot::channel();
        let app = house.app.clone();
        let worker = tokio::spawn(async move {
            app.transaction(move |tx| {
                diesel::update(table::table).set(table::due_at.eq(tx.now)).execute(tx.conn)?;
                let claimed = outbox::claim(tx, 8, Priority::News)?.remove(0);
                claims.send(()).unwrap();
                going.recv().unwrap();
                Ok(claimed)
            })
            .await
        });
        claiming.await.unwrap();
        let app = house.app.clone();
        let operator = tokio::spawn(async move { app.transaction(move |tx| kept::retry(tx, &id)).await });
        if db == Database::Postgres {
            house.seen("SELECT count(*) AS n FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event_type = 'Lock'").await;
        } // On SQLite there is one writer: it waits for its turn.
        go.send(()).unwrap();
        let claimed = worker.await.unwrap().unwrap();
        assert_eq!(operator.await.unwrap().unwrap(), Retried::Soon);
        assert!(house.app.transaction(move |tx| outbox::sent(tx, &claimed)).await.unwrap());
    }
}

/// Whose mail waits until the test takes it.
async fn quiet_house(db: Database) -> House {
    let mut house = House::new(db).await;
    house.hold_mail();
    house
}

/// What a node's worker takes at once.
async fn claim(house: &House) -> Vec<Claimed> {
    let claimed = house
        .app
        .transaction(|tx| outbox::claim(tx, 8, Priority::News));
    claimed.await.unwrap()
}

type Row = (
    String,
    Option<i64>,
    Option<String>,
    i32,
    Option<String>,
    Option<Vec<u8>>,
);

/// The one there is.
async fn row(house: &House) -> Row {
    use table::{body, claim, due_at, reason, state, tries};
    let row = house.app.read(|tx| {
        let columns = (state, due_at, claim, tries, reason, body);
        Ok(table::table.select(columns).first(tx.conn)?)
    });
    row.await.unwrap()
}
