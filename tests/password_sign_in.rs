//! Signing in with the password: the same answer whatever was wrong, and a budget for guesses.

use std::time::Duration;

use reqwest::StatusCode;

use crate::support::{Database, House, PASSWORD, Page, Visitor, at_once};

const ADA: &str = "ada@example.org";
const OTHER: &str = "a horse that eats nothing";
const WRONG: &str = "The address or the password is not right.";
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Registers with this password; the answer to it.
async fn register(house: &House, address: &str, password: &str) -> Page {
    let (visitor, mail) = house.asked("/register", address).await;
    let fields = [("token", mail.token()), ("password", password)];
    visitor.post("/confirm-email", &fields).await
}

/// A browser in a network of its own.
fn from(house: &House, n: usize) -> Visitor {
    house.visitor().calling_from(&format!("198.51.100.{n}"))
}

/// Everything off that is not about guesses in a row.
const UNLIMITED: &[(&str, &str)] = &[
    ("LIMIT_PASSWORD_PER_NETWORK", "off"),
    ("LIMIT_PASSWORD_PER_ACCOUNT", "off"),
];

async fn guess_a_hundred_times(house: &House, address: &str) {
    for n in 0..100 {
        let guessed = from(house, n).enter(address, OTHER).await;
        guessed.says_mistake(WRONG);
    }
}

on_both! {
    async fn the_password_signs_in_and_leads_on(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let ada = house.visitor();
        let page = ada.get("/sign-in/password?next=/members").await;
        assert_eq!(page.hidden("next").as_deref(), Some("/members"));
        let fields = [("email", " Ada@EXAMPLE.org"), ("password", PASSWORD), ("next", "/members")];
        ada.post("/sign-in/password", &fields).await.goes_on_to("/members");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        let by_password = "SELECT count(*) AS n FROM sessions WHERE auth_method = 'password'";
        assert_eq!(house.count(by_password).await, 1);
    }

    /// SES-01
    async fn the_session_is_a_new_one(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password(ADA).await;
        let before = ada.with_copied_jar();
        ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
        assert_ne!(ada.cookie("doorpost"), before.cookie("doorpost"));
        assert_eq!(before.signed_in_as().await, None, "the old one is replaced");
    }

    /// ENU-01, ENU-06, PWD-07: whatever was wrong.
    async fn the_answer_is_the_same_whatever_was_wrong(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        house.member("lnk@example.org").await;
        house.member_with_password("blk@example.org").await;
        house.execute("UPDATE users SET password_hash = '' WHERE email = 'blk@example.org'").await;
        house.member_with_password("hug@example.org").await;
        house.execute("UPDATE users SET password_hash = '$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' WHERE email = 'hug@example.org'").await;
        let mut looks = Vec::new();
        for (address, password) in [
            (ADA, OTHER),
            ("non@example.org", OTHER),
            ("lnk@example.org", PASSWORD),
            ("blk@example.org", PASSWORD),
            ("hug@example.org", PASSWORD),
        ] {
            let visitor = house.visitor();
            let page = visitor.enter(address, password).await;
            page.says_mistake(WRONG);
            assert!(!page.body.contains(password), "a password is never shown again");
            looks.push(page.looks().replace(address, "ADDRESS"));
            assert_eq!(visitor.signed_in_as().await, None);
        }
        looks.dedup();
        assert_eq!(looks.len(), 1, "{looks:#?}");
    }

    async fn what_is_missing_is_a_mistake_and_costs_no_try(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let visitor = house.visitor();
        for _ in 0..7 {
            visitor.enter(ADA, "").await.says_mistake("Type your password.");
            visitor.enter("ada", PASSWORD).await.says_mistake("id=\"email-mistake\"");
        }
        visitor.enter(ADA, PASSWORD).await.goes_on_to("/account");
    }

    /// PWD-01, PWD-05, REG-07
    async fn a_password_may_be_chosen_when_confirming_and_a_mistake_costs_nothing(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", ADA).await;
        for (password, mistake) in [
            ("fourteen chars", "too short"),
            ("passwordpassword", "Many people use this password"),
            ("ada@example.org", "Little remains of this"),
            (&"x".repeat(257), "too long"),
        ] {
            let fields = [("token", mail.token()), ("password", password)];
            let page = ada.post("/confirm-email", &fields).await;
            page.says_mistake(mistake);
            assert!(!page.body.contains(&format!("value=\"{password}\"")));
        }
        let fields = [
            ("token", mail.token()), ("password", PASSWORD), ("password_hash", "x"), ("user_id", "x"),
            ("password_entered_at", "9999999999999"),
        ];
        ada.post("/confirm-email", &fields).await.goes_on_to("/account");
        house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
    }

    /// PWD-01, PWD-02, PWD-03, PWD-04
    async fn every_character_of_a_password_counts(db: Database) {
        let house = House::with(db, &[("LIMIT_PASSWORD_PER_NETWORK", "off")]).await;
        let head = "x".repeat(128);
        for (n, (chosen, same, other)) in [
            (format!("{head}1"), format!("{head}1"), format!("{head}2")),
            ("nul\0 in the middle".into(), "nul\0 in the middle".into(), "nul in the middle".into()),
            (" spaces  around it ".into(), " spaces  around it ".into(), "spaces around it".into()),
            ("cafe\u{301} with nothing".into(), "café with nothing".into(), "cafe with nothing".into()),
            ("ﬁsh and no chips here".into(), "ﬁsh and no chips here".into(), "fish and no chips here".into()),
            ("Case is kept, always".into(), "Case is kept, always".into(), "case is kept, always".into()),
            ("😀".repeat(15), "😀".repeat(15), "😀".repeat(16)),
        ].into_iter().enumerate() {
            let (chosen, same, other): (String, String, String) = (chosen, same, other);
            let address = format!("ada{n}@example.org");
            register(&house, &address, &chosen).await.goes_on_to("/account");
            house.visitor().enter(&address, &other).await.says_mistake(WRONG);
            house.visitor().enter(&address, &same).await.goes_on_to("/account");
        }
    }

    /// PWD-07, TOK-17
    async fn what_is_kept_is_a_salted_hash_and_follows_the_configured_cost(db: Database) {
        let house = House::with(db, &[("ARGON2_MEMORY_KIB", "128"), ("ARGON2_PASSES", "2")]).await;
        house.member_with_password(ADA).await;
        house.member_with_password("bob@example.org").await;
        let distinct = "SELECT count(DISTINCT password_hash) AS n FROM users";
        assert_eq!(house.count(distinct).await, 2, "each has a salt of its own");
        let dump = house.dump().await;
        assert!(!dump.windows(PASSWORD.len()).any(|bytes| bytes == PASSWORD.as_bytes()));

        let house = house.restart(&[]).await;
        let at = |cost: &str| {
            format!("SELECT count(*) AS n FROM users WHERE password_hash LIKE '$argon2id$v=19${cost}$%'")
        };
        assert_eq!(house.count(at("m=128,t=2,p=1")).await, 2);
        house.visitor().enter(ADA, OTHER).await.says_mistake(WRONG);
        assert_eq!(house.count(at("m=64,t=1,p=1")).await, 0);
        for _ in 0..2 {
            house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
            assert_eq!(house.count(at("m=64,t=1,p=1")).await, 1, "hashed anew, at sign-in");
        }
    }

    /// PWD-08, PWD-09: promise 16.
    async fn guesses_share_a_budget_over_all_networks_nodes_and_restarts(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password(ADA).await;
        for address in [ADA, "nobody@example.org"] {
            for n in 0..5 {
                from(&house, n).enter(address, OTHER).await.says_mistake(WRONG);
            }
            let refused = from(&house, 9).enter(address, PASSWORD).await;
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{address}");
            let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=900).contains(&wait));
        }
        let told = house.news_to(ADA).await;
        assert_eq!(told.iter().filter(|news| news.subject.starts_with("Wrong passwords")).count(), 1);

        let house = house.restart(&[]).await;
        assert_eq!(from(&house, 10).enter(ADA, PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
        // The owner always gets in: by link, and in a browser that the account knows.
        let (by_link, mail) = house.asked("/sign-in", ADA).await;
        by_link.click(&mail.link).await.goes_on_to("/account");
        ada.at(&house).enter(ADA, PASSWORD).await.goes_on_to("/account");
        house.advance(WINDOW);
        from(&house, 11).enter(ADA, PASSWORD).await.goes_on_to("/account");
    }

    async fn fifty_guesses_at_once_on_two_nodes_are_five(db: Database) {
        let house = House::with(db, &[("ARGON2_PARALLEL", "64"), ("LIMIT_PASSWORD_PER_NETWORK", "off")]).await;
        house.member_with_password(ADA).await;
        let second = house.second_node(&[("ARGON2_PARALLEL", "64"), ("LIMIT_PASSWORD_PER_NETWORK", "off")]);
        let guesses = (0..50).map(|n| {
            let visitor = from(if n % 2 == 0 { &house } else { &second }, n);
            async move { visitor.enter(ADA, OTHER).await.status }
        });
        let answers = at_once(guesses).await;
        let compared = answers.iter().filter(|status| **status == StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(compared.count(), 5, "{answers:?}");
        let refused = answers.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.count(), 45);
    }

    async fn one_network_tries_twenty_a_minute_whatever_the_account(db: Database) {
        let house = House::new(db).await;
        let spray = from(&house, 1);
        for n in 0..20 {
            spray.enter(&format!("nobody{n}@example.org"), OTHER).await.says_mistake(WRONG);
        }
        let refused = spray.enter("nobody20@example.org", OTHER).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        from(&house, 2).enter("nobody21@example.org", OTHER).await.says_mistake(WRONG);
    }

    async fn a_try_that_the_account_refuses_does_not_count_against_the_network(db: Database) {
        let house = House::new(db).await;
        let office = from(&house, 1);
        for n in 0..30 {
            let expected = if n < 5 { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::TOO_MANY_REQUESTS };
            assert_eq!(office.enter("nobody@example.org", OTHER).await.status, expected);
        }
        office.enter("somebody@example.org", OTHER).await.says_mistake(WRONG);
    }

    /// NIST SP 800-63B: no more than a hundred in a row, over however long; and that has an end, and is said.
    async fn a_hundred_in_a_row_are_the_last_for_a_day_or_until_the_owner_was_here(db: Database) {
        let house = House::with(db, UNLIMITED).await;
        let ada = house.member_with_password(ADA).await;
        let day = Duration::from_secs(24 * 60 * 60);
        for address in [ADA, "nobody@example.org"] {
            guess_a_hundred_times(&house, address).await;
            let refused = house.visitor().enter(address, PASSWORD).await;
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{address}");
            assert_eq!(refused.header("retry-after"), Some("86400"), "{address}");
            assert!(refused.body.contains("Try again in 24 hours."), "{}", refused.body);
        }
        let told = house.news_to(ADA).await;
        assert_eq!(told.iter().filter(|news| news.subject.starts_with("A hundred wrong passwords")).count(), 1);

        // It shuts out neither a browser that the account knows, nor whoever reads its mail.
        ada.enter(ADA, OTHER).await.says_mistake(WRONG);
        ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
        house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
        guess_a_hundred_times(&house, ADA).await;
        let (by_link, mail) = house.asked("/sign-in", ADA).await;
        by_link.click(&mail.link).await.goes_on_to("/account");
        house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
        guess_a_hundred_times(&house, ADA).await;
        assert_eq!(house.visitor().enter(ADA, PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
        house.advance(day);
        house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
    }

    /// TOK-12
    async fn any_sign_in_ends_the_sign_in_links(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let (ada, mail) = house.asked("/sign-in", ADA).await;
        house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
        ada.click(&mail.link).await.says_the_link_is_gone();
    }

    async fn a_sign_in_from_a_browser_the_account_does_not_know_is_told(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password(ADA).await;
        assert!(house.news_to(ADA).await.is_empty(), "registering is no news");
        ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
        assert!(house.news_to(ADA).await.is_empty(), "this browser is known");
        house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
        let news = house.news_to(ADA).await;
        assert_eq!(news.len(), 1);
        assert!(news[0].subject.starts_with("New sign-in"), "{}", news[0].subject);
        assert_eq!(news[0].route(), "/account/sessions");
        assert!(news[0].text.contains("IP address: 127.0.0.1"), "{}", news[0].text);
        assert_eq!(news[0].text.matches("://").count(), 1, "one URL");
    }

    async fn on_a_shared_computer_the_session_ends_with_the_browser(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let ada = house.visitor();
        let fields = [("email", ADA), ("password", PASSWORD), ("shared", "yes")];
        let page = ada.post("/sign-in/password", &fields).await;
        let cookies = page.set_cookies();
        assert!(cookies.iter().all(|cookie| !cookie.contains("Max-Age")), "{cookies:?}");
        assert!(ada.cookie("doorpost_known").is_none());
        ada.reauthenticate().await;
        let page = ada.post("/account/password", &[("password", "another horse altogether")]).await;
        let cookies = page.set_cookies();
        assert!(!cookies.is_empty() && cookies.iter().all(|cookie| !cookie.contains("Max-Age")));
    }

    /// PWD-12, PWD-15: beyond the queue an answer at once, and others get through.
    async fn a_flood_of_sign_ins_is_refused_early_and_stops_nobody_else(db: Database) {
        let house = House::with(db, &[
            ("ARGON2_PARALLEL", "1"), ("ARGON2_MEMORY_KIB", "19456"), ("ARGON2_PASSES", "2"),
            ("LIMIT_PASSWORD_PER_NETWORK", "off"),
        ]).await;
        let ada = house.member_with_password(ADA).await;
        let flood = (0..100).map(|n| {
            let visitor = house.visitor();
            async move { visitor.enter(&format!("nobody{n}@example.org"), OTHER).await }
        });
        let (flood, gate) = tokio::join!(at_once(flood), ada.post("/reauthenticate", &[("password", PASSWORD)]));
        gate.goes_on_to("/account");
        let surplus: Vec<&Page> = flood.iter()
            .filter(|page| page.status == StatusCode::SERVICE_UNAVAILABLE).collect();
        assert!(!surplus.is_empty());
        for page in &flood {
            match page.status {
                StatusCode::SERVICE_UNAVAILABLE => assert_eq!(page.header("retry-after"), Some("1")),
                _ => page.says_mistake(WRONG),
            }
        }
        let counted = "SELECT count(*) AS n FROM limits WHERE name = 'password_per_account'";
        assert_eq!(house.count(counted).await as usize, flood.len() - surplus.len(), "the surplus cost nothing");
    }

    /// REG-01: nothing that was typed before the proof is on the account.
    async fn a_password_that_somebody_else_prepared_opens_nothing(db: Database) {
        let house = House::new(db).await;
        let (_, first) = house.asked("/register", ADA).await;
        house.advance(Duration::from_secs(61));
        let (ada, second) = house.asked("/register", ADA).await;
        let fields = [("token", first.token()), ("email", ADA), ("password", "eves horse eats no staples")];
        house.visitor().post("/confirm-email", &fields).await.says_the_link_is_gone();
        let fields = [("token", second.token()), ("password", PASSWORD)];
        ada.post("/confirm-email", &fields).await.goes_on_to("/account");
        house.visitor().enter(ADA, "eves horse eats no staples").await.says_mistake(WRONG);
    }
}
