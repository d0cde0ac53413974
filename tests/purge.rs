//! What is over is refused at once and forgotten soon: nothing depends on the cleaner, and the cleaner
//! takes nothing that lives. What is kept, and for how long, is written down.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Text;
use doorpost::accounts::limits::{self, Limit, Verdict};
use doorpost::accounts::purge;
use doorpost::accounts::users::{self, Named, Operator};
use doorpost::actions::delete_account;
use doorpost::app::App;
use doorpost::db::Tx;
use doorpost::error::Error;
use doorpost::mail::{delivery, outbox};
use reqwest::StatusCode;
use tokio::sync::oneshot;

use crate::support::{Database, House};

const ADA: &str = "ada@example.org";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

on_both! {
    /// TOK-07
    async fn an_expired_link_is_refused_before_it_is_forgotten(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        let ada = house.visitor();
        ada.ask("/sign-in", ADA).await.sees_inbox_page();
        let mail = house.mails_to(ADA, 2).await.remove(0);
        house.advance(Duration::from_secs(600));
        assert_eq!(rows(&house, "links").await, 2, "both are still there");
        let used = ada.post("/sign-in/link", &[("token", mail.token()), ("email", ADA)]).await;
        assert_eq!(used.status, StatusCode::GONE, "and refused");
        let code = mail.code.clone().unwrap();
        let typed = ada.post("/sign-in/code", &[("code", &code)]).await;
        assert_eq!(typed.status, StatusCode::UNPROCESSABLE_ENTITY, "the code as well");
        assert_eq!(ada.signed_in_as().await, None);

        house.advance(3 * DAY);
        let gone = purge_all(&house).await;
        assert!(gone > 0 && rows(&house, "links").await == 0, "now they are gone");
        let after = ada.post("/sign-in/link", &[("token", mail.token()), ("email", ADA)]).await;
        assert_eq!(after.status, StatusCode::GONE, "which looks no different");
        assert_eq!(after.body.replace(id_of(&after), ""), used.body.replace(id_of(&used), ""));
    }

    async fn an_ended_session_is_refused_before_it_is_forgotten(db: Database) {
        for (idle, lifetime) in [("7d", "30d"), ("10d", "10d")] {
            let house = House::with(db, &[("SESSION_IDLE", idle), ("SESSION_LIFETIME", lifetime)]).await;
            let ada = house.member(ADA).await;
            house.advance(11 * DAY);
            assert_eq!(rows(&house, "sessions").await, 1, "{idle}: it is still there");
            assert_eq!(ada.signed_in_as().await, None, "{idle}: and opens nothing");
            purge_all(&house).await;
            assert_eq!(rows(&house, "sessions").await, 0, "{idle}: now it is gone");
            assert_eq!(ada.signed_in_as().await, None, "{idle}");
            assert_eq!(rows(&house, "users").await, 1, "{idle}: the account is not");
        }
    }

    /// Promise 6: anonymous traffic makes no unbounded durable state.
    async fn what_strangers_leave_behind_is_forgotten(db: Database) {
        let house = House::new(db).await;
        let stranger = house.visitor();
        for number in 0..10 {
            stranger.ask("/register", &format!("{number}@example.org")).await.sees_inbox_page();
            stranger.get("/sign-in/link?token=junk").await;
            stranger.post("/sign-in/code", &[("code", "BBBB-BBBB")]).await;
        }
        house.all_mail_to("0@example.org").await;
        for table in ["links", "limits", "outbox"] {
            assert!(rows(&house, table).await > 0, "{table}");
        }
        house.advance(15 * DAY);
        purge_all(&house).await;
        for table in crate::house_rules::tables() {
            assert_eq!(rows(&house, &table).await, 0, "{table}");
        }
    }

    async fn the_cleaner_takes_nothing_that_lives(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        let (by_link, by_code) = (house.visitor(), house.visitor());
        by_link.ask("/sign-in", ADA).await.sees_inbox_page();
        let link = house.mails_to(ADA, 2).await.remove(0).link;
        by_code.ask("/register", "bob@example.org").await.sees_inbox_page();
        let code = house.mail_to("bob@example.org").await.code.unwrap();
        by_code.get("/sign-in/link?token=junk").await;
        house.advance(Duration::from_secs(30));
        let mut before = Vec::new();
        for table in crate::house_rules::tables() {
            before.push(rows(&house, &table).await);
        }
        // Its windows of a minute are over, those of a quarter and of a day are not.
        assert_eq!(purge_all(&house).await, 0, "nothing is over yet");
        for (table, before) in crate::house_rules::tables().iter().zip(before) {
            assert_eq!(rows(&house, table).await, before, "{table}");
        }
        house.advance(Duration::from_secs(31));
        assert!(purge_all(&house).await > 0, "the windows of a minute are");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "the session");
        assert_eq!(by_link.click(&link).await.location(), "/account", "the link");
        assert_eq!(by_code.post("/sign-in/code", &[("code", &code)]).await.location(), "/account", "the code");
    }

    async fn one_window_that_is_over_takes_no_other_along(db: Database) {
        let mut house = House::new(db).await;
        house.stop_worker(); // which might be quicker
        // The same subject under two names, one of which ends sooner.
        count(&house, Limit::TokenPerNetwork, "192.0.2.1").await;
        count(&house, Limit::MailPerAddressDaily, "192.0.2.1").await;
        count(&house, Limit::TokenPerNetwork, "192.0.2.2").await;
        house.advance(Duration::from_secs(60));
        assert_eq!(purge_all(&house).await, 2);
        assert_eq!(rows(&house, "limits").await, 1);
        assert_eq!(rows(&house, "limits WHERE name = 'mail_per_address_daily'").await, 1);
    }

    async fn it_takes_small_batches_lest_visitors_wait(db: Database) {
        let mut house = House::new(db).await;
        house.stop_worker(); // which might be quicker
        let most = usize::try_from(purge::BATCH).unwrap();
        let rest = 201;
        for hundred in 0..(2 * most + rest) / 100 + 1 {
            let until = (2 * most + rest).min((hundred + 1) * 100);
            let config = house.app.config.clone();
            let counted = house.app.transaction(move |tx| {
                for number in hundred * 100..until {
                    let verdict = limits::count(tx, &config, Limit::TokenPerNetwork, &number.to_string())?;
                    assert!(matches!(verdict, Verdict::Allowed { .. }));
                }
                Ok(())
            });
            counted.await.unwrap();
        }
        house.advance(Duration::from_secs(60));
        let kind = delivery::expiring().find(|kind| kind.name == "limits").unwrap();
        let batches = RefCell::new(Vec::new());
        let watch = |gone| batches.borrow_mut().push(gone);
        delivery::forget(&house.app, kind, watch).await.unwrap();
        let [most, rest] = [most, rest].map(|rows| rows as u64);
        assert_eq!(batches.into_inner(), [most, most, rest]);
    }
}

/// Two that take the same rows in different orders would each wait for the other, and PostgreSQL would end one of them.
/// Here the purge comes amid a deletion, which has the mail by then and not yet the links.
#[tokio::test]
async fn a_purge_leaves_what_a_deletion_has_in_its_hands_and_waits_for_nobody() {
    let (house, id) = somebody_long_gone().await;
    let (amid, is_amid) = oneshot::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let app = house.app.clone();
    let deletion = tokio::spawn(async move {
        let acting = app.clone();
        let deleting = app.transaction(move |tx| {
            outbox::kept::forget_account(tx, &id, ADA)?;
            amid.send(()).unwrap();
            goes_on.recv().unwrap();
            delete(tx, &acting, &id)
        });
        deleting.await
    });
    is_amid.await.unwrap();
    let purged = tokio::time::timeout(Duration::from_secs(1), purge_all(&house)).await;
    assert!(purged.expect("it waits for nobody") > 0);
    assert_eq!(rows(&house, "links").await, 0, "nobody had those");
    assert!(rows(&house, "outbox").await > 0, "somebody has these");
    go_on.send(()).unwrap();
    assert!(
        deletion.await.unwrap().unwrap(),
        "it goes on as if nothing had happened"
    );
    assert_eq!(rows(&house, "users").await, 0);
}

/// The other way round: the purge has the links and not yet the mail.
#[tokio::test]
async fn a_deletion_amid_a_purge_waits_for_that_and_that_for_nobody() {
    let (house, id) = somebody_long_gone().await;
    let (amid, is_amid) = oneshot::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let (app, config) = (house.app.clone(), house.app.config.clone());
    let purge = tokio::spawn(async move {
        let all_at_once = app.transaction(move |tx| {
            let mut kinds = delivery::expiring();
            let links = kinds.next().expect("links come first");
            let mut gone = (links.batch)(tx, &config, links.at_most)?;
            amid.send(()).unwrap();
            goes_on.recv().unwrap();
            for kind in kinds {
                gone += (kind.batch)(tx, &config, kind.at_most)?;
            }
            Ok(gone)
        });
        all_at_once.await
    });
    is_amid.await.unwrap();
    let app = house.app.clone();
    let deletion = tokio::spawn(async move {
        let acting = app.clone();
        app.transaction(move |tx| delete(tx, &acting, &id)).await
    });
    let waits = "SELECT count(*) AS n FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    house.seen(waits).await;
    go_on.send(()).unwrap();
    assert!(purge.await.unwrap().unwrap() > 0);
    assert!(deletion.await.unwrap().unwrap());
    assert_eq!(rows(&house, "users").await, 0);
}

/// An account that is there still, while all that hangs on it is over; and its id.
async fn somebody_long_gone() -> (House, String) {
    let mut house = House::new(Database::Postgres).await;
    let ada = house.owner(ADA).await;
    ada.ask("/forgot-password", ADA).await.sees_inbox_page();
    house.mails_to(ADA, 2).await;
    house.stop_worker();
    house.advance(400 * DAY);
    let id = house
        .app
        .read(|tx| Ok(users::of_address(tx, ADA)?.unwrap().id));
    let id = id.await.unwrap();
    (house, id)
}

fn delete(tx: &mut Tx, app: &App, id: &str) -> Result<bool, Error> {
    let named = Named::Id(id.to_owned());
    let deleted = delete_account::by_operator(tx, app, Operator::at_the_command_line(), &named)?;
    Ok(deleted.is_some())
}

/// What the worker does once a minute, here and now.
pub async fn purge_all(house: &House) -> u64 {
    let mut all = 0;
    for kind in delivery::expiring() {
        let gone = delivery::forget(&house.app, kind, |_| ());
        all += gone.await.unwrap();
    }
    all
}

async fn count(house: &House, limit: Limit, subject: &'static str) {
    let config = house.app.config.clone();
    let counted = house
        .app
        .transaction(move |tx| limits::count(tx, &config, limit, subject));
    assert!(matches!(counted.await.unwrap(), Verdict::Allowed { .. }));
}

async fn rows(house: &House, table: &str) -> i64 {
    house
        .count(format!("SELECT count(*) AS n FROM {table}"))
        .await
}

fn id_of(page: &crate::support::Page) -> &str {
    page.header("x-request-id").unwrap()
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    of: String,
    #[diesel(sql_type = Text)]
    name: String,
}

/// The table in docs/operate.md ("Retention") has a row for every table, with all of its columns and no others.
#[tokio::test]
async fn every_column_that_is_kept_is_in_the_docs() {
    let house = House::new(Database::Sqlite).await;
    let columns = house.app.read(|tx| {
        let query = "SELECT m.name AS of, c.name AS name FROM sqlite_master AS m, pragma_table_info(m.name) AS c \
            WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\'";
        Ok(diesel::sql_query(query).load::<Column>(tx.conn)?)
    });
    let mut kept: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Column { of, name } in columns.await.unwrap() {
        kept.entry(of).or_default().insert(name);
    }
    assert_eq!(kept.len(), crate::house_rules::tables().len());

    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operate.md")).unwrap();
    let (_, page) = page.split_once("## Retention").unwrap();
    let quoted = |text: &str| -> Vec<String> {
        text.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let told: BTreeMap<String, BTreeSet<String>> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            assert!(
                cells.len() == 6 && cells[3..5].iter().all(|cell| !cell.is_empty()),
                "{row}"
            );
            (
                quoted(cells[1]).remove(0),
                quoted(cells[2]).into_iter().collect(),
            )
        })
        .collect();
    assert_eq!(told, kept);
}
