//! The account's own pages: its sessions, its activity, its password, its download, its end.

use std::time::Duration;

use doorpost::accounts::{announced, users};
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{Database, House, PASSWORD, Page, Visitor};

const ADA: &str = "ada@example.org";
const NEW: &str = "quite another horse altogether";
const GAP: Duration = Duration::from_secs(61);

async fn another_session(house: &House) -> Visitor {
    let (visitor, mail) = house.asked("/sign-in", ADA).await;
    visitor.click(&mail.link).await.goes_on_to("/account");
    house.advance(GAP);
    visitor
}

/// Something was announced to this account.
async fn was_announced_to(house: &House, address: &'static str) {
    let told = house.app.transaction(move |tx| {
        let reader = users::of_address(tx, address)?.unwrap();
        let digests = announced::Digests {
            words: [1; 32],
            subject: [2; 32],
            file: [3; 32],
        };
        announced::announce_to(tx, &digests, &reader.id)
    });
    assert!(told.await.unwrap());
}

/// The ids that the page with the sessions offers to end.
async fn session_ids(visitor: &Visitor) -> Vec<String> {
    let page = visitor.get("/account/sessions").await;
    let forms = page.body.split("action=\"/account/sessions/").skip(1);
    let ids = forms.filter_map(|rest| rest.split_once("/end\"").map(|(id, _)| id.to_owned()));
    ids.filter(|id| !id.contains('"')).collect()
}

on_both! {
    /// PWD-13, SES-06, TOK-13
    async fn a_changed_password_ends_other_sessions_and_all_links(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let other = another_session(&house).await;
        let (_, link) = house.asked("/sign-in", ADA).await;
        let (_, reset) = house.asked("/forgot-password", ADA).await;
        let before = ada.with_copied_jar();
        for (password, mistake) in [("short", "too short"), ("passwordpassword", "Many people")] {
            ada.post("/account/password", &[("password", password)]).await.says_mistake(mistake);
        }
        ada.post("/account/password", &[("password", NEW)]).await.goes_on_to("/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        for dead in [&before, &other] {
            assert_eq!(dead.signed_in_as().await, None);
        }
        for mail in [&link, &reset] {
            house.visitor().use_link(mail, ADA).await.says_the_link_is_gone();
        }
        assert_eq!(house.visitor().enter(ADA, PASSWORD).await.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(house.visitor().enter(ADA, NEW).await.status, StatusCode::SEE_OTHER);
        let told = house.news_to(ADA).await;
        assert_eq!(told.iter().filter(|news| news.subject.ends_with("was changed")).count(), 1);
        ada.post("/account/password", &[("password", NEW)]).await.goes_on_to("/account");
        assert!(ada.signed_in_as().await.is_some(), "the same once more is harmless");
    }

    /// SES-05, AZ-01
    async fn sessions_are_listed_and_ended_one_by_one_or_all_others(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password(ADA).await;
        let (two, three) = (another_session(&house).await, another_session(&house).await);
        let page = ada.get("/account/sessions").await;
        assert_eq!(page.body.matches("(this session)").count(), 1);
        assert_eq!(page.body.matches("127.0.0.1").count(), 3);
        let bob = house.member("bob@example.org").await;
        let ids = session_ids(&ada).await;
        assert_eq!(ids.len(), 3);
        for id in ids.iter().map(String::as_str).chain(["", "nobodys", "..", "%00", "' OR 1=1 --"]) {
            let page = bob.post(&format!("/account/sessions/{id}/end"), &[]).await;
            assert!(page.status.is_client_error(), "{id}: {}", page.status);
        }
        let mine = session_ids(&two).await;
        let own = two.get("/account/sessions").await;
        let (before_mine, _) = own.body.split_once("(this session)").unwrap();
        let at = before_mine.matches("<section").count() - 1;
        let other = mine.iter().enumerate().find(|(n, _)| *n != at).unwrap().1;
        two.post(&format!("/account/sessions/{other}/end"), &[]).await.goes_on_to("/account/sessions");
        let mut alive = Vec::new();
        for visitor in [&ada, &two, &three] {
            alive.push(visitor.signed_in_as().await.is_some());
        }
        assert_eq!(alive.iter().filter(|alive| **alive).count(), 2);
        assert!(alive[1]);
        two.post("/account/sessions/end-others", &[]).await.goes_on_to("/account/sessions");
        assert!(ada.signed_in_as().await.is_none() && three.signed_in_as().await.is_none());
        assert!(bob.signed_in_as().await.is_some(), "others are left alone");
        let this = session_ids(&two).await.remove(0);
        two.post(&format!("/account/sessions/{this}/end"), &[]).await.goes_on_to("/");
        assert_eq!(two.signed_in_as().await, None);
    }

    async fn activity_tells_what_happened_page_by_page(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        house.visitor().post("/sign-in/password", &[("email", ADA), ("password", NEW)]).await;
        ada.post("/account/password", &[("password", NEW)]).await.goes_on_to("/account");
        let page = ada.get("/account/activity").await.body;
        for what in [
            "the account began", "The password was set", "Signed in with the link from a message",
            "The password was entered in a session", "A wrong password was entered to sign in",
            "The password was changed", "datetime=\"2026-11-22T00:0", "127.0.0.1",
        ] {
            assert!(page.contains(what), "{what}: {page}");
        }
        for _ in 0..60 {
            house.advance(Duration::from_secs(60 * 60));
            ada.reauthenticate_with(NEW).await;
        }
        let page = ada.get("/account/activity").await;
        assert_eq!(page.body.matches("<time ").count(), 50);
        let older = page.between("href=\"/account/activity?before=", "\"").unwrap();
        let page = ada.get(&format!("/account/activity?before={older}")).await;
        assert!(page.body.contains("the account began") && !page.body.contains("rel=\"next\""));
        let bob = house.member("bob@example.org").await;
        let page = bob.get(&format!("/account/activity?before={older}")).await;
        assert!(page.body.contains("the account began") && !page.body.contains("wrong password"));
    }

    /// Promise of the trail: nobody can write so much into it that something else is lost.
    async fn what_anybody_can_repeat_pushes_out_nothing_but_its_own(db: Database) {
        use diesel::prelude::*;
        use doorpost::accounts::client::{Client, Label};
        use doorpost::accounts::events::{self, Event};
        use doorpost::accounts::limits::Network;
        use doorpost::db::Tx;
        use doorpost::error::Result;
        use doorpost::schema::users;

        let house = House::new(db).await;
        house.member(ADA).await;
        let flood = |tx: &mut Tx, networks: std::ops::Range<u32>| -> Result<bool> {
            let id: String = users::table.select(users::id).first(tx.conn)?;
            for n in networks {
                let client = Client {
                    network: Network::of(std::net::Ipv4Addr::from(n + (198 << 24)).into()),
                    product: Some("a browser".to_owned()),
                    is_program: false,
                    label: Label::default(),
                    request_id: "a request".into(),
                };
                // By strangers, and by whoever has a session that came from a link.
                for event in [Event::PasswordRefused, Event::NotificationLinksSwitched] {
                    events::note(tx, &id, event, &client)?;
                }
            }
            events::comes_from(tx, &id, &Network::of("127.0.0.1".parse().unwrap()))
        };
        for n in 0..11 {
            let flooded = house.app.transaction(move |tx| flood(tx, n * 50..(n + 1) * 50));
            assert!(flooded.await.unwrap(), "the usual networks are still known");
        }
        for (name, kept) in [
            ("password_refused", 100), ("notification_links_switched", 100), ("registered", 1), ("signed_in", 1),
        ] {
            let of_name = format!("SELECT count(*) AS n FROM events WHERE name = '{name}'");
            assert_eq!(house.count(of_name).await, kept, "{name}");
        }
    }

    async fn what_is_repeated_from_one_place_is_one_event_with_a_count(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        for _ in 0..5 {
            house.advance(GAP);
            house.visitor().post("/sign-in/password", &[("email", ADA), ("password", NEW)]).await;
        }
        house.visitor().calling_from("192.0.2.7").post("/sign-in/password", &[("email", ADA), ("password", NEW)]).await;
        let rows = "SELECT count(*) AS n FROM events WHERE name = 'password_refused'";
        assert_eq!(house.count(rows).await, 1, "five are taken, and all from one place");
        let page = ada.get("/account/activity").await.body;
        assert!(page.contains("5 times, the last at <time datetime=\"2026-11-22T00:06"), "{page}");
        let file = ada.post("/account/export", &[]).await.body;
        let kept: Value = serde_json::from_str(&file).unwrap();
        let of_name = |event: &&Value| event["name"] == "password_refused";
        assert_eq!(kept["events"].as_array().unwrap().iter().find(of_name).unwrap()["count"], 5);

        house.advance(Duration::from_secs(24 * 60 * 60));
        house.visitor().post("/sign-in/password", &[("email", ADA), ("password", NEW)]).await;
        assert_eq!(house.count(rows).await, 2, "of another day");
    }

    async fn the_download_has_everything_of_the_account_and_no_secret(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        house.member("bob@example.org").await;
        ada.reauthenticate().await;
        was_announced_to(&house, ADA).await;
        let file = ada.post("/account/export", &[]).await;
        assert_eq!(file.status, StatusCode::OK);
        assert_eq!(file.header("content-type"), Some("application/json"));
        assert!(file.header("content-disposition").unwrap().starts_with("attachment; filename="));
        let kept: Value = serde_json::from_str(&file.body).unwrap();
        assert_eq!(kept["account"]["email"], ADA);
        assert_eq!(kept["account"]["has_password"], true);
        assert_eq!(kept["sessions"].as_array().unwrap().len(), 1);
        assert_eq!(kept["account"]["notification_links"], true);
        for part in ["links", "events", "mail", "announcements"] {
            assert!(!kept[part].as_array().unwrap().is_empty(), "{part}");
        }
        for secret in ["bob@", "argon2", "token_hash", "password_hash"] {
            assert!(!file.body.contains(secret), "{secret}");
        }
    }

    /// Whoever asked for mail to somebody's address sees of its code what they would see of a stranger's.
    async fn a_deletion_changes_nothing_that_a_stranger_sees_of_their_own_requests(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let (eve, _) = house.asked("/sign-in", ADA).await;
        let other = house.visitor();
        other.ask("/sign-in", "bob@example.org").await.sees_inbox_page();
        let seen = |page: Page| (page.status, page.looks().replace("bob@example.org", ADA));
        assert_eq!(seen(eve.type_code("BCDF-GHJK").await), seen(other.type_code("BCDF-GHJK").await));
        ada.post("/account/delete", &[("email", ADA)]).await.goes_on_to("/");
        for _ in 0..5 {
            let (hers, others) = (eve.type_code("BCDF-GHJK").await, other.type_code("BCDF-GHJK").await);
            assert_eq!(seen(hers), seen(others));
        }
    }

    async fn a_deleted_account_leaves_nothing(db: Database) {
        let mut house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let bob = house.member("bob@example.org").await;
        ada.reauthenticate().await;
        ada.post("/account/email", &[("email", "new@example.org")]).await.goes_on_to("/account/email");
        house.all_mail_to("new@example.org").await;
        let (_, link) = house.asked("/sign-in", ADA).await;
        house.hold_mail();
        was_announced_to(&house, ADA).await;
        house.advance(GAP);
        house.visitor().ask("/forgot-password", ADA).await.sees_inbox_page();
        for wrong in ["", "bob@example.org", "ada"] {
            ada.post("/account/delete", &[("email", wrong)]).await.says_mistake("not the address of your account");
        }
        let done = ada.post("/account/delete", &[("email", " ADA@example.org ")]).await;
        done.goes_on_to("/");
        assert!(done.header("clear-site-data").is_some());
        assert_eq!(ada.signed_in_as().await, None);
        for rows in [
            "users WHERE email = 'ada@example.org'", "links WHERE email = 'ada@example.org'",
            "links WHERE email = 'new@example.org'", "outbox WHERE email = 'new@example.org'",
            "sessions WHERE user_id NOT IN (SELECT id FROM users)",
            "events WHERE user_id NOT IN (SELECT id FROM users)",
            "announced WHERE user_id NOT IN (SELECT id FROM users)",
        ] {
            assert_eq!(house.count(format!("SELECT count(*) AS n FROM {rows}")).await, 0, "{rows}");
        }
        let waiting = "SELECT count(*) AS n FROM outbox WHERE email = 'ada@example.org'";
        assert_eq!(house.count(waiting).await, 1, "the letter that says so, and no other");
        house.release_mail();
        let told = house.news_to(ADA).await;
        assert_eq!(told.len(), 1);
        assert!(told[0].subject.ends_with("is deleted") && told[0].link.is_empty());
        house.visitor().use_link(&link, ADA).await.says_the_link_is_gone();
        assert_eq!(bob.signed_in_as().await.as_deref(), Some("bob@example.org"));

        house.advance(Duration::from_secs(24 * 60 * 60));
        let again = house.visitor();
        again.ask("/register", ADA).await.sees_inbox_page();
        let mail = house.mail_to(ADA).await;
        assert_eq!(mail.route(), "/confirm-email", "a new account");
        again.confirm(&mail.link).await;
        assert_eq!(house.visitor().enter(ADA, PASSWORD).await.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(session_ids(&again).await.len(), 1);
        house.visitor().use_link(&link, ADA).await.says_the_link_is_gone();
    }

    /// With a mail server the letter that says so is not kept either.
    async fn the_last_letter_leaves_no_trace(db: Database) {
        use crate::support::ScriptedServer;

        let server = ScriptedServer::start();
        let house = House::with(db, &[("SMTP_URL", &server.url())]).await;
        let ada = house.visitor();
        ada.ask("/register", ADA).await.sees_inbox_page();
        let mail = server.letter_for(ADA).await.mail();
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        ada.post("/confirm-email", &fields).await.goes_on_to("/account");
        ada.reauthenticate().await;
        ada.post("/account/delete", &[("email", ADA)]).await.goes_on_to("/");
        let letters = server.letters_for(ADA, 2).await;
        assert!(letters.iter().any(|letter| letter.mail().subject.ends_with("is deleted")));
        house.seen("SELECT count(*) AS n FROM (SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM outbox)) AS emptiness").await;
    }
}
