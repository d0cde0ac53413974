//! Registering: somebody types an address, and no account comes of it yet.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::purge::purge_all;
use crate::support::{Database, House, Visitor, at_once};

const GAP: Duration = Duration::from_secs(61);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const USERS: &str = "SELECT count(*) AS n FROM users";
const SESSIONS: &str = "SELECT count(*) AS n FROM sessions";

/// The forms that ask for mail.
const ASKS: [&str; 3] = ["/register", "/sign-in", "/confirm-email/send"];

on_both! {
    async fn a_stranger_who_registers_is_mailed_a_link_that_confirms(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        let form = ada.get("/register").await;
        assert_eq!(form.status, StatusCode::OK);
        assert!(form.body.contains("action=\"/register\""), "{}", form.body);
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        let mail = house.mail_to("ada@example.org").await;
        assert_eq!(mail.route(), "/confirm-email");
        assert!(mail.text.contains("within 24 hours"), "{}", mail.text);
        assert!(mail.code.is_some());
        let sent = ada.get("/sign-in/sent").await;
        assert!(sent.body.contains("Look in your inbox") && sent.body.contains("ada@example.org"));
        assert!(sent.body.contains("action=\"/sign-in/code\""), "it takes the code");
        assert!(sent.body.contains("Send it again"), "and sends again");
    }

    /// REG-05, ENU-01
    async fn registering_looks_the_same_for_a_stranger_and_a_member(db: Database) {
        let house = House::new(db).await;
        house.member("member@example.org").await;
        house.advance(DAY); // so that both have asked as often today
        for route in ASKS {
            let mut seen = Vec::new();
            for address in ["member@example.org", "nobody@example.org"] {
                let browser = house.visitor();
                let asked = browser.ask(route, address).await;
                asked.sees_inbox_page();
                seen.push([
                    asked.looks(),
                    browser.get("/sign-in/sent").await.looks().replace(address, "ADDRESS"),
                    browser.ask(route, address).await.looks(),
                    browser.type_code("BBBB-BBBB").await.looks().replace(address, "ADDRESS"),
                ]);
            }
            assert_eq!(seen[0], seen[1], "{route}");
            house.all_mail_to("").await; // a link that a newer one ended is not sent any more
            house.advance(GAP);
        }
        let to_member = house.all_mail_to("member@example.org").await;
        assert_eq!(to_member.len(), 4);
        for mail in &to_member[..3] {
            assert_eq!(mail.route(), "/sign-in/link", "a member gets a sign-in link");
        }
        for mail in house.all_mail_to("nobody@example.org").await {
            assert_eq!(mail.route(), "/confirm-email");
        }
        assert_eq!(house.count(USERS).await, 1, "no second row, and none for the stranger");
    }

    /// REG-04
    async fn what_was_asked_for_an_unproven_address_leaves_nothing_behind(db: Database) {
        let house = House::new(db).await;
        let address = "ada@example.org";
        let eve = house.visitor();
        eve.ask("/register", address).await.sees_inbox_page();
        for _ in 0..3 {
            eve.ask("/register", address).await.sees_inbox_page();
        }
        assert_eq!(house.all_mail_to(address).await.len(), 1, "one mail within the gap");
        for sent in 2..=5 {
            house.advance(GAP);
            eve.ask("/register", address).await.sees_inbox_page();
            house.mails_to(address, sent).await;
        }
        house.advance(GAP);
        let refused = eve.ask("/register", address).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "and five in a quarter of an hour");
        assert_eq!(house.all_mail_to(address).await.len(), 5);
        assert_eq!(house.count(USERS).await, 0);
        assert_eq!(house.count(SESSIONS).await, 0);
        assert_eq!(eve.signed_in_as().await, None);

        house.advance(2 * DAY);
        purge_all(&house).await;
        for table in [
            "SELECT count(*) AS n FROM links",
            "SELECT count(*) AS n FROM limits",
            "SELECT count(*) AS n FROM users",
        ] {
            assert_eq!(house.count(table).await, 0, "{table}");
        }
        let (ada, mail) = house.asked("/register", address).await;
        ada.confirm(&mail.link).await;
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(address), "the address stayed free");
    }

    /// REG-06
    async fn fifty_who_register_one_address_at_once_cause_one_mail_and_one_account(db: Database) {
        let house = House::new(db).await;
        let second = (db == Database::Postgres).then(|| house.second_node(&[]));
        let variants = [
            "ada@example.org", "Ada@Example.ORG", " ADA@EXAMPLE.ORG ", "aDa@eXample.org", "ada@example.org ",
        ];
        let crowd: Vec<Visitor> = (0..50)
            .map(|n| {
                let node = if n % 2 == 0 { &house } else { second.as_ref().unwrap_or(&house) };
                node.visitor().calling_from(&format!("192.0.2.{n}"))
            })
            .collect();
        at_once(crowd.iter().cloned().map(|one| async move { one.get("/register").await.status })).await;
        let asks = crowd.iter().cloned().enumerate().map(|(n, one)| async move {
            one.ask(ASKS[n % 3], variants[n % variants.len()]).await
        });
        let answers = at_once(asks).await;
        for answer in &answers {
            assert_eq!(answer.looks(), answers[0].looks());
        }
        answers[0].sees_inbox_page();
        let mails = house.all_mail_to("ada@example.org").await;
        assert_eq!(mails.len(), 1);
        assert_eq!(house.count("SELECT count(*) AS n FROM outbox").await, 1, "to no other spelling");
        assert_eq!(house.count(USERS).await, 0);

        house.visitor().use_link(&mails[0], "ada@example.org").await.goes_on_to("/account");
        assert_eq!(house.count(USERS).await, 1);
    }

    /// REG-07
    async fn fields_that_a_form_does_not_name_are_ignored(db: Database) {
        let house = House::new(db).await;
        let extra = [
            ("id", "1"), ("user_id", "1"), ("role", "admin"), ("is_admin", "true"),
            ("confirmed_at", "1"), ("email_verified", "true"), ("password_hash", "x"),
            ("created_at", "1"), ("known_since", "9"), ("sudo_until", "9999999999999"),
            ("auth_method", "password"), ("ask_id", "x"), ("purpose", "sign_in"), ("used_at", "1"),
        ];
        let with_extra = |fields: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
            let all = fields.iter().chain(&extra);
            all.map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        let mut addresses = Vec::new();
        for (n, route) in ASKS.iter().enumerate() {
            let address = format!("ada{n}@example.org");
            let browser = house.visitor();
            post(&browser, route, with_extra(&[("email", &address)])).await.sees_inbox_page();
            assert_eq!(house.count(USERS).await as usize, n, "an ask makes no account");
            let mail = house.mail_to(&address).await;
            let fields = with_extra(&[("token", mail.token())]);
            post(&browser, "/confirm-email", fields).await.goes_on_to("/account");
            addresses.push(address);
        }
        house.advance(GAP);
        let (browser, mail) = house.asked("/sign-in", &addresses[0]).await;
        let fields = with_extra(&[("code", mail.code())]);
        post(&browser, "/sign-in/code", fields).await.goes_on_to("/account");
        house.advance(GAP);
        let (browser, mail) = house.asked("/sign-in", &addresses[1]).await;
        let fields = with_extra(&[("token", mail.token())]);
        post(&browser, "/sign-in/link", fields).await.goes_on_to("/account");

        let untouched = "SELECT count(*) AS n FROM users \
                         WHERE length(id) = 22 AND created_at > 1000000 AND known_since = created_at";
        assert_eq!(house.count(untouched).await, 3);
        let methods = "SELECT count(*) AS n FROM sessions WHERE auth_method IN ('email_link', 'email_code')";
        assert_eq!(house.count(methods).await, 5);
    }

    async fn a_mistake_is_shown_beside_what_was_typed(db: Database) {
        let house = House::new(db).await;
        let mistakes = [
            "", " ", "ada", "ada@", "@example.org", "ada@example", "ada@127.0.0.1", "ada@[127.0.0.1]",
            "a b@example.org", "\"ada\"@example.org", "ada@example.org,eve@example.org",
            "Ada <ada@example.org>", "adä@example.org", "ada@example.org\r\nBcc: eve@example.org",
        ];
        for route in ASKS {
            for typed in mistakes {
                let browser = house.visitor();
                let fields = [("email", typed), ("next", "/members"), ("shared", "yes")];
                let again = browser.post(route, &fields).await;
                assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "{route} {typed:?}");
                assert!(again.body.contains("id=\"email-mistake\""), "{typed:?}: {}", again.body);
                assert_eq!(again.hidden("next").as_deref(), Some("/members"));
                assert!(again.body.contains("aria-describedby=\"shared-hint\" checked"));
                if typed.chars().all(|c| c.is_alphanumeric() || "@.".contains(c)) {
                    let value = again.between("type=\"email\" value=\"", "\"");
                    assert_eq!(value.as_deref(), Some(typed));
                }
                assert_eq!(again.set_cookies(), [""; 0]);
            }
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM links").await, 0);
        assert_eq!(house.count("SELECT count(*) AS n FROM outbox").await, 0);
    }

    async fn mail_goes_to_the_one_form_of_an_address(db: Database) {
        let house = House::new(db).await;
        for (typed, stored, shown) in [
            ("  Ada@Example.ORG ", "ada@example.org", "ada@example.org"),
            ("Bob+List.a@EXAMPLE.org", "bob+list.a@example.org", "bob+list.a@example.org"),
            ("eve@BÜCHER.example", "eve@xn--bcher-kva.example", "eve@bücher.example"),
        ] {
            let browser = house.visitor();
            browser.ask("/register", typed).await.sees_inbox_page();
            let mail = house.mail_to(stored).await;
            let sent = browser.get("/sign-in/sent").await;
            assert!(sent.body.contains(&format!("<strong>{shown}</strong>")), "{}", sent.body);
            house.visitor().use_link(&mail, typed).await.goes_on_to("/account");
        }
    }

    async fn asking_again_within_the_gap_says_when_it_makes_sense(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        house.advance(Duration::from_secs(20));
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        let sent = ada.get("/sign-in/sent").await;
        assert!(sent.body.contains("another one in 40 seconds"), "{}", sent.body);
        assert_eq!(house.all_mail_to("ada@example.org").await.len(), 1);
        house.advance(Duration::from_secs(40));
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        assert_eq!(house.all_mail_to("ada@example.org").await.len(), 2);
    }

    async fn the_confirmation_mail_again_is_asked_for_by_post(db: Database) {
        let house = House::new(db).await;
        let (_, first) = house.asked("/register", "ada@example.org").await;
        house.advance(GAP);
        let ada = house.visitor();
        let by_get = ada.request(Method::GET, "/confirm-email/send");
        assert_eq!(ada.send(by_get).await.status, StatusCode::METHOD_NOT_ALLOWED);
        ada.ask("/confirm-email/send", "ada@example.org").await.sees_inbox_page();
        let second = house.mails_to("ada@example.org", 2).await.remove(0);
        assert_ne!(first.link, second.link);
        house.visitor().use_link(&first, "ada@example.org").await.says_the_link_is_gone();
        ada.confirm(&second.link).await;
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
    }
}

async fn post(browser: &Visitor, route: &str, fields: Vec<(&str, String)>) -> crate::support::Page {
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    browser.post(route, &fields).await
}
