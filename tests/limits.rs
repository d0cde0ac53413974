//! Limits: how often something may happen, for whom, and what the page says when it may not.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};

use crate::support::{Database, House, PASSWORD, Page, Visitor};

const ADA: &str = "ada@example.org";
const NOBODY: &str = "nobody@example.org";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The variables of limits on one address.
const GAP: &str = "LIMIT_MAIL_GAP";
const ADDRESS: &str = "LIMIT_MAIL_PER_ADDRESS";
const DAILY: &str = "LIMIT_MAIL_PER_ADDRESS_DAILY";
/// And on one network.
const NETWORK: &str = "LIMIT_MAIL_PER_NETWORK";
const TOKENS: &str = "LIMIT_TOKEN_PER_NETWORK";

/// A token that nobody was ever mailed.
const JUNK: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

on_both! {
    /// LIM-01
    async fn a_flood_on_one_address_brings_what_the_limits_allow_and_no_more(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        house.advance(24 * 60 * MINUTE);
        let mut mailed = 1; // the one that made the account
        let mut last = None;
        for round in 0..200 {
            let network = format!("198.51.100.{}", round % 50);
            let flood = house.visitor().calling_from(&network);
            let known = flood.ask("/sign-in", ADA).await;
            let unknown = flood.ask("/sign-in", NOBODY).await;
            assert_eq!(look_of(&known), look_of(&unknown), "round {round}");
            assert!(
                [StatusCode::SEE_OTHER, StatusCode::TOO_MANY_REQUESTS].contains(&known.status),
                "round {round}: {}", known.status
            );
            last = Some(known);
            house.advance(18 * SECOND);
        }
        for address in [ADA, NOBODY] {
            assert_eq!(
                posted(&house, address).await,
                10 + mailed,
                "{address}: five in each quarter, and ten a day"
            );
            mailed = 0;
        }

        // The owner waits as long as the page says, and is let in.
        let last = last.unwrap();
        assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
        house.advance(Duration::from_secs(retry_after(&last)));
        let owner = house.visitor();
        owner.ask("/sign-in", ADA).await.sees_inbox_page();
        let link = house.all_mail_to(ADA).await.remove(0).link;
        assert_eq!(owner.click(&link).await.location(), "/account");
    }

    async fn a_browser_that_the_account_knows_has_a_budget_of_its_own(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        ada.post("/sign-out", &[]).await;
        let stranger = house.visitor();
        while stranger.ask("/sign-in", ADA).await.status == StatusCode::SEE_OTHER {
            house.advance(MINUTE);
        }
        ada.ask("/sign-in", ADA).await.sees_inbox_page();
        let link = house.all_mail_to(ADA).await.remove(0).link;
        assert_eq!(ada.click(&link).await.location(), "/account", "a stranger's asking shuts nobody out");
        assert_eq!(
            stranger.ask("/sign-in", ADA).await.status,
            StatusCode::TOO_MANY_REQUESTS,
            "and the owner's lets no stranger in",
        );
    }

    /// One mailbox, as most providers have it, is no more flooded under many names than under one.
    async fn addresses_that_share_a_mailbox_share_a_wider_budget(db: Database) {
        let house = House::with(db, &[(DAILY, "off")]).await;
        for mailbox in ["ada", "nobody"] {
            let known = format!("{mailbox}+me@example.org");
            let own = house.visitor();
            if mailbox == "ada" {
                let ada = house.member(&known).await;
                own.set_cookie("doorpost_known", &ada.cookie("doorpost_known").unwrap());
                house.advance(15 * MINUTE);
            }
            let mut mailed = 0;
            for number in 0..60 {
                let address = match number % 3 {
                    0 => known.clone(),
                    1 => format!("{mailbox}+{number}@example.org"),
                    _ => format!("{}.{}+{number}@example.org", &mailbox[..1], &mailbox[1..]),
                };
                let route = ["/sign-in", "/register", "/forgot-password"][number % 3];
                let page = house.visitor().ask(route, &address).await;
                match page.status {
                    StatusCode::SEE_OTHER => mailed += 1,
                    other => {
                        assert_eq!(other, StatusCode::TOO_MANY_REQUESTS, "{address}");
                        assert!((1..=900).contains(&retry_after(&page)), "{address}");
                    }
                }
                house.advance(5 * SECOND);
            }
            // Those that came within the gap of their address sent nothing.
            let within_the_gap = 15;
            assert!(mailed <= 15 + within_the_gap, "{mailbox}: {mailed}");
            let shut = house.visitor().ask("/sign-in", &format!("{mailbox}+new@example.org")).await;
            assert_eq!(shut.status, StatusCode::TOO_MANY_REQUESTS, "{mailbox}");
            house.visitor().ask("/sign-in", &format!("{mailbox}+new@example.net")).await.sees_inbox_page();
            if mailbox == "ada" {
                own.ask("/sign-in", &known).await.sees_inbox_page();
            }
        }
        let flood = "SELECT count(*) AS n FROM outbox WHERE email LIKE 'nobody%@example.org'";
        assert!(house.count(flood).await <= 15);
    }

    async fn a_change_of_address_floods_no_mailbox_under_many_names(db: Database) {
        let house = House::with(db, &[(ADDRESS, "1/15m")]).await;
        let mut asked = Vec::new();
        for number in 0..5 {
            let owner = house.owner(&format!("owner{number}@example.net")).await;
            let wanted = format!("ada+{number}@example.org");
            asked.push(owner.post("/account/email", &[("email", &wanted)]).await.status.as_u16());
        }
        assert_eq!(asked, [303, 303, 303, 429, 429]);
    }

    /// One member's hashes, files and mail are bounded, whatever was entered; and another's are another's.
    async fn what_an_account_does_over_and_over_has_a_budget_of_its_own(db: Database) {
        let house = House::new(db).await;
        let (ada, bob) = (house.owner(ADA).await, house.owner("bob@example.org").await);
        ada.reauthenticate().await;
        let password = [("password", "quite another horse altogether")];
        ada.post("/account/password", &[("password", "short")]).await.says_mistake("too short");
        for (route, fields, done) in [
            ("/account/password", &password[..], StatusCode::SEE_OTHER),
            ("/account/export", &[][..], StatusCode::OK),
        ] {
            for _ in 0..10 {
                assert_eq!(ada.post(route, fields).await.status, done, "{route}");
            }
            let refused = ada.post(route, fields).await;
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{route}");
            assert_eq!(retry_after(&refused), 60 * 60, "{route}");
            assert_eq!(bob.post(route, fields).await.status, done, "{route}");
        }
        house.execute("UPDATE limits SET count = 200 WHERE name = 'reauthenticate'").await;
        let refused = ada.post("/reauthenticate", &password).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!((1..=60 * 60).contains(&retry_after(&refused)));
        house.advance(60 * MINUTE);
        ada.reauthenticate_with(password[0].1).await;
        ada.post("/account/password", &password).await.goes_on_to("/account");
    }

    /// The mailbox hears of everything that happens, and is not buried.
    async fn of_each_kind_of_news_there_is_one_an_hour_and_it_says_what_went_untold(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        for _ in 0..4 {
            house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
        }
        let first = house.news_to(ADA).await;
        assert_eq!(first.len(), 1);
        assert!(!first[0].text.contains("Before that"), "{}", first[0].text);
        house.advance(60 * MINUTE);
        for untold in ["like this: 3 times\n", "like this: once\n"] {
            house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
            house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
            let newest = house.news_to(ADA).await.remove(0);
            assert!(newest.text.contains(untold), "{}", newest.text);
            assert!(newest.html.contains(untold.trim_start_matches("like this: ").trim_end()));
            house.advance(60 * MINUTE);
        }
        assert_eq!(house.news_to(ADA).await.len(), 3);
        let owner = house.owner("bob@example.org").await;
        owner.post("/account/password", &[("password", PASSWORD)]).await.goes_on_to("/account");
        assert_eq!(house.news_to("bob@example.org").await.len(), 1, "another account's are another's");
    }

    async fn asking_again_at_once_is_no_error_and_sends_nothing(db: Database) {
        let house = House::with(db, &[("SIGN_UP", "example.org")]).await;
        house.member(ADA).await;
        for (address, mails) in [(ADA, 1), (NOBODY, 1), ("shut@example.net", 0)] {
            let visitor = house.visitor();
            let before = posted(&house, address).await;
            let first = visitor.ask("/sign-in", address).await;
            first.sees_inbox_page();
            house.advance(15 * SECOND);
            for again in [&visitor, &house.visitor()] {
                let second = again.ask("/sign-in", address).await;
                assert_eq!(look_of(&second), look_of(&first), "{address}");
                let page = again.get("/sign-in/sent").await;
                assert!(page.body.contains("another one in 45 seconds"), "{address}: says when: {}", page.body);
            }
            assert_eq!(posted(&house, address).await, before + mails, "{address}: no second mail");
            house.advance(45 * SECOND);
            let page = visitor.get("/sign-in/sent").await;
            assert!(!page.body.contains("another one in"), "{address}: the wait is over");
            visitor.ask("/sign-in", address).await.sees_inbox_page();
            assert_eq!(posted(&house, address).await, before + 2 * mails, "{address}: after it, one");
        }
    }

    async fn signing_in_registering_and_confirming_are_one_kind(db: Database) {
        let house = House::with(db, &[(ADDRESS, "3/15m")]).await;
        house.member(ADA).await;
        house.advance(15 * MINUTE);
        for address in [ADA, NOBODY] {
            let visitor = house.visitor();
            for route in ["/register", "/sign-in", "/confirm-email/send"] {
                visitor.ask(route, address).await.sees_inbox_page();
                house.advance(MINUTE);
            }
            for route in ["/register", "/sign-in", "/confirm-email/send"] {
                let refused = visitor.ask(route, address).await;
                assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{address} at {route}");
                assert_eq!(retry_after(&refused), 12 * 60, "{address} at {route}");
            }
            // However it is spelled.
            let shouted = visitor.ask("/sign-in", &format!(" {} ", address.to_uppercase())).await;
            assert_eq!(shouted.status, StatusCode::TOO_MANY_REQUESTS, "{address} shouted");
        }
    }

    async fn ten_mails_a_day_are_enough(db: Database) {
        let house = House::with(db, &[(ADDRESS, "off")]).await;
        let visitor = house.visitor();
        for _ in 0..10 {
            visitor.ask("/sign-in", ADA).await.sees_inbox_page();
            house.advance(MINUTE);
        }
        let refused = visitor.ask("/sign-in", ADA).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(retry_after(&refused), (24 * 60 - 10) * 60, "a day from the first");
        house.advance(Duration::from_secs(retry_after(&refused)) - SECOND);
        assert_eq!(visitor.ask("/sign-in", ADA).await.status, StatusCode::TOO_MANY_REQUESTS, "not before");
        house.advance(SECOND);
        visitor.ask("/sign-in", ADA).await.sees_inbox_page();
        assert_eq!(posted(&house, ADA).await, 11);
    }

    /// LIM-02
    async fn one_network_cannot_spray_a_thousand_addresses(db: Database) {
        let house = House::with(db, &[(NETWORK, "20/1m")]).await;
        house.member(ADA).await;
        let spray = house.visitor().calling_from("203.0.113.5");
        let mut passed = 0;
        for number in 0..1_000 {
            // Every other one is known, where there is a budget left for it.
            let address = if number % 2 == 0 && number < 4 { ADA.into() } else { format!("{number}@example.org") };
            let page = spray.ask("/sign-in", &address).await;
            match page.status {
                StatusCode::SEE_OTHER => passed += 1,
                other => {
                    assert_eq!(other, StatusCode::TOO_MANY_REQUESTS, "{address}");
                    assert!((1..=60).contains(&retry_after(&page)), "{address}");
                }
            }
        }
        assert_eq!(passed, 20);
        let (known, unknown) = (spray.ask("/sign-in", ADA).await, spray.ask("/sign-in", NOBODY).await);
        assert_eq!(look_of(&known), look_of(&unknown), "and it learns nothing by it");
        let elsewhere = house.visitor().calling_from("203.0.113.6");
        elsewhere.ask("/sign-in", NOBODY).await.sees_inbox_page();
        house.advance(MINUTE);
        spray.ask("/sign-in", "later@example.org").await.sees_inbox_page();
    }

    async fn a_network_is_an_ipv4_address_or_an_ipv6_64_within_its_48(db: Database) {
        let house = House::with(db, &[(NETWORK, "2/1m"), (TOKENS, "2/1m")]).await;
        let mut asked = 0;
        let mut ask = async |from: &str| {
            asked += 1;
            house.visitor().calling_from(from).ask("/sign-in", &format!("{asked}@example.org")).await.status
        };
        let (sent, refused) = (StatusCode::SEE_OTHER, StatusCode::TOO_MANY_REQUESTS);
        for (from, status) in [
            ("192.0.2.1", sent),
            ("192.0.2.1", sent),
            ("192.0.2.1", refused),
            ("::ffff:192.0.2.1", refused), // the same one, dressed up
            ("192.0.2.2", sent),
            ("2001:db8:0:1::1", sent),
            ("2001:db8:0:1:ffff::1", sent),
            ("2001:db8:0:1::3", refused),
            ("2001:db8:0:2::1", sent),
        ] {
            assert_eq!(ask(from).await, status, "mail from {from}");
        }
        for network in 2..17 {
            for _ in 0..2 {
                ask(&format!("2001:db8:0:{network:x}::1")).await; // with those above: 32 in 2001:db8::/48
            }
        }
        assert_eq!(ask("2001:db8:0:99::1").await, refused, "a /48 has sixteen times a /64's");
        assert_eq!(ask("2001:db8:1:1::1").await, sent, "the next /48 has its own");

        let open = async |from: &str| {
            house.visitor().calling_from(from).get(&format!("/sign-in/link?token={JUNK}")).await.status
        };
        for (from, status) in [
            ("192.0.2.1", StatusCode::GONE),
            ("192.0.2.1", StatusCode::GONE),
            ("192.0.2.1", refused),
            ("2001:db8:0:1::1", StatusCode::GONE),
            ("2001:db8:0:1::2", StatusCode::GONE),
            ("2001:db8:0:1::3", refused),
            ("2001:db8:0:2::3", StatusCode::GONE),
        ] {
            assert_eq!(open(from).await, status, "a junk token from {from}");
        }
    }

    /// LIM-05
    async fn what_a_stranger_says_of_where_they_come_from_counts_for_nothing(db: Database) {
        let house = House::with(db, &[("TRUSTED_PROXIES", ""), (NETWORK, "3/1m")]).await;
        let mut passed = 0;
        for number in 0..20 {
            let somewhere = format!("198.51.100.{number}");
            let visitor = house.visitor();
            let mut form = visitor.form("/sign-in", &[("email", &format!("{number}@example.org"))]);
            for header in ["x-forwarded-for", "x-real-ip", "cf-connecting-ip", "true-client-ip", "x-client-ip"] {
                form = form.header(header, &somewhere);
            }
            let page = visitor.send(form.header("forwarded", format!("for={somewhere}"))).await;
            passed += i32::from(page.status == StatusCode::SEE_OTHER);
        }
        assert_eq!(passed, 3, "all of it came from one peer");
    }

    /// LIM-05
    async fn of_a_chain_of_proxies_the_rightmost_stranger_counts(db: Database) {
        let chains = [
            // Whatever is left of it may be made up.
            ("198.51.100.7", true),
            ("203.0.113.1, 198.51.100.7", true),
            ("203.0.113.2,198.51.100.7", true),
            ("198.51.100.8, 10.0.0.1, 198.51.100.7", true),
            ("203.0.113.3, 198.51.100.7, 10.0.0.9", true),
            ("junk, 198.51.100.7", true),
            // As Azure's gateways, IIS, and those who think of `Forwarded` write it.
            ("198.51.100.7:4711", true),
            ("\"198.51.100.7:4712\"", true),
            ("198.51.100.8:1, 198.51.100.7:2, 10.0.0.9:3", true),
            ("[::ffff:198.51.100.7]:4711", true),
            ("198.51.100.8:4711", false),
            ("198.51.100.7:4711, 198.51.100.8:4712", false),
            ("198.51.100.7:4711, [2001:db8::1]:4712", false),
            // Neither is an address: all who come over it are one network, and no visitor's.
            ("198.51.100.7, unknown", false),
            ("198.51.100.7, 198.51.100.7;4711", false),
            ("198.51.100.7, 198.51.100.8", false),
            ("198.51.100.7, 203.0.113.1, 10.0.0.9", false),
        ];
        let house = House::with(db, &[("TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8"), (ADDRESS, "off"), (NETWORK, "1/1m")]).await;
        for (number, (chain, is_the_same)) in chains.into_iter().enumerate() {
            house.advance(MINUTE);
            let first = house.visitor().calling_from("198.51.100.7");
            first.ask("/sign-in", &format!("first{number}@example.org")).await.sees_inbox_page();
            let second = house.visitor().calling_from(chain).ask("/sign-in", &format!("second{number}@example.org")).await;
            let refused = second.status == StatusCode::TOO_MANY_REQUESTS;
            assert_eq!(refused, is_the_same, "{chain}");
        }
    }

    async fn wrong_tokens_addresses_and_codes_share_a_budget_and_live_links_are_free(db: Database) {
        let house = House::with(db, &[(TOKENS, "6/1m")]).await;
        house.member(ADA).await;
        let asked = house.visitor();
        asked.ask("/sign-in", ADA).await.sees_inbox_page();
        let mail = house.mails_to(ADA, 2).await.remove(0);
        let elsewhere = house.visitor();
        for _ in 0..8 {
            assert_eq!(elsewhere.click(&mail.link).await.status, StatusCode::SEE_OTHER, "a live one is free");
            assert_eq!(elsewhere.get("/sign-in/link").await.status, StatusCode::OK, "and so is its page");
        }
        let wrong_address = [("token", mail.token()), ("email", NOBODY)];
        let wrong = [
            elsewhere.get(&format!("/sign-in/link?token={JUNK}")).await,
            elsewhere.get("/confirm-email?token=").await,
            elsewhere.post("/sign-in/link", &[("token", "!")]).await,
            elsewhere.post("/sign-in/link", &wrong_address).await,
            asked.post("/sign-in/code", &[("code", "BBBB-BBBB")]).await,
            asked.post("/sign-in/code", &[("code", "DDDD-DDDD")]).await,
        ];
        let statuses = wrong.map(|page| page.status.as_u16());
        assert_eq!(statuses, [410, 410, 410, 422, 422, 422]);
        for refused in [
            elsewhere.get(&format!("/confirm-email?token={JUNK}")).await,
            elsewhere.get("/sign-in/link?token=").await,
            elsewhere.post("/confirm-email", &[("token", JUNK), ("email", ADA)]).await,
            elsewhere.post("/sign-in/link", &wrong_address).await,
            asked.post("/sign-in/code", &[("code", "CCCC-CCCC")]).await,
        ] {
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.body);
            assert_eq!(retry_after(&refused), 60);
        }
        let neighbour = house.visitor().calling_from("192.0.2.9");
        assert_eq!(neighbour.get(&format!("/sign-in/link?token={JUNK}")).await.status, StatusCode::GONE);
        // Who holds a live one is let in all the same.
        assert_eq!(asked.click(&mail.link).await.location(), "/account");
        house.advance(MINUTE);
        let again = elsewhere.get(&format!("/sign-in/link?token={JUNK}")).await;
        assert_eq!(again.status, StatusCode::GONE, "after the wait it is a page again");
    }

    /// LIM-07
    async fn a_refusal_is_a_page_of_ours_that_costs_no_session(db: Database) {
        let house = House::with(db, &[(NETWORK, "1/1m"), (TOKENS, "1/1m")]).await;
        let ada = house.member(ADA).await;
        ada.ask("/sign-in", "one@example.org").await.sees_inbox_page();
        ada.get(&format!("/sign-in/link?token={JUNK}")).await;
        house.advance(20 * SECOND);
        let form = ada.form("/sign-in", &[("email", "two@example.org")]);
        let json = ada.form("/sign-in", &[("email", "two@example.org")]).header("accept", "application/json");
        let token = ada.request(Method::GET, &format!("/sign-in/link?token={JUNK}"));
        for (request, content_type) in [
            (form, "text/html; charset=utf-8"),
            (token, "text/html; charset=utf-8"),
            (json, "application/problem+json"),
        ] {
            let page = ada.send(request).await;
            assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(retry_after(&page), 40);
            assert_eq!(page.header("content-type"), Some(content_type));
            assert_eq!(page.set_cookies(), [""; 0]);
            for header in [
                "content-security-policy",
                "x-content-type-options",
                "referrer-policy",
                "permissions-policy",
                "cross-origin-opener-policy",
                "cross-origin-resource-policy",
                "cache-control",
                "x-request-id",
            ] {
                assert!(page.header(header).is_some(), "{header} is missing");
            }
            if content_type.starts_with("text/html") {
                assert!(page.body.contains("Try again in 40 seconds."), "{}", page.body);
                assert!(page.body.contains("<link rel=\"stylesheet\""), "in the site's layout");
            }
        }
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "the session lives on");
        let stylesheet = ada.get("/").await.between("rel=\"stylesheet\" href=\"", "\"").unwrap();
        for exempt in ["/healthz", "/readyz", &stylesheet, "/", "/sign-in", "/register", "/sign-in/sent"] {
            for _ in 0..5 {
                assert_eq!(ada.get(exempt).await.status, StatusCode::OK, "{exempt} is exempt");
            }
        }
    }

    async fn a_restart_or_another_node_forgets_no_limit(db: Database) {
        let settings = &[(NETWORK, "3/1m"), (TOKENS, "1/1m"), (ADDRESS, "1/15m")];
        let house = House::with(db, settings).await;
        let visitor = house.visitor();
        visitor.ask("/sign-in", ADA).await.sees_inbox_page();
        house.advance(SECOND);
        visitor.get(&format!("/sign-in/link?token={JUNK}")).await;
        visitor.ask("/sign-in", NOBODY).await.sees_inbox_page();
        let refused = async |house: &House, why: &str| {
            let visitor = visitor.at(house);
            let token = visitor.get(&format!("/sign-in/link?token={JUNK}")).await;
            assert_eq!(token.status, StatusCode::TOO_MANY_REQUESTS, "{why}");
            // In the gap: counted by the network alone.
            visitor.ask("/sign-in", NOBODY).await
        };
        let other = house.second_node(settings);
        refused(&other, "the other node").await.sees_inbox_page();
        let mail = visitor.at(&other).ask("/sign-in", "fourth@example.org").await;
        assert_eq!(mail.status, StatusCode::TOO_MANY_REQUESTS, "the other node counts along");
        drop(other);
        let house = house.restart(settings).await;
        let mail = refused(&house, "after a restart").await;
        assert_eq!(mail.status, StatusCode::TOO_MANY_REQUESTS, "after a restart");
        house.advance(MINUTE);
        let mail = visitor.at(&house).ask("/sign-in", ADA).await;
        assert_eq!(mail.status, StatusCode::TOO_MANY_REQUESTS, "the address has its own");
        assert_eq!(retry_after(&mail), 15 * 60 - 61);
    }

    /// Atomic: of 50 at once, on two nodes, exactly as many pass as the limit says.
    async fn of_fifty_at_once_exactly_as_many_pass_as_may(db: Database) {
        for (limit, what) in [
            ((NETWORK, "20/1m"), "mails from one network"),
            ((TOKENS, "30/1m"), "junk tokens from one network"),
            ((ADDRESS, "5/15m"), "mails to one address"),
            ((DAILY, "7/1d"), "mails to one address in a day"),
        ] {
            let mut settings = vec![(GAP, "off"), (ADDRESS, "off"), (DAILY, "off"), (NETWORK, "off"), (TOKENS, "off")];
            settings.retain(|(name, _)| *name != limit.0);
            settings.push(limit);
            let house = House::with(db, &settings).await;
            let other = house.second_node(&settings);
            let pages = at_once([&house, &other], async |visitor, number| match limit.0 {
                NETWORK => visitor.ask("/sign-in", &format!("{number}@example.org")).await,
                TOKENS => visitor.get(&format!("/sign-in/link?token={JUNK}")).await,
                _ => visitor.ask("/sign-in", ADA).await,
            })
            .await;
            let may: usize = limit.1.split_once('/').unwrap().0.parse().unwrap();
            let statuses: Vec<u16> = pages.iter().map(|page| page.status.as_u16()).collect();
            let passes = if limit.0 == TOKENS { 410 } else { 303 };
            let passed = statuses.iter().filter(|status| **status == passes).count();
            assert_eq!(passed, may, "{what}: {statuses:?}");
            // On a machine that is busy a few may have waited too long for their turn, which counts nothing.
            let rest = statuses.iter().filter(|status| **status != passes);
            assert!(rest.clone().all(|status| [429, 503].contains(status)), "{what}: {statuses:?}");
            if limit.0 == ADDRESS || limit.0 == DAILY {
                let posted = house.count("SELECT count(*) AS n FROM outbox").await;
                assert_eq!(usize::try_from(posted), Ok(may), "{what}");
            }
        }
    }

    /// The gap, too: of 50 at once one is mailed, and nobody is told who.
    async fn of_fifty_at_once_in_the_gap_one_is_mailed(db: Database) {
        let house = House::new(db).await;
        let other = house.second_node(&[]);
        let pages = at_once([&house, &other], async |visitor, _| visitor.ask("/sign-in", ADA).await).await;
        for page in &pages {
            assert_eq!(look_of(page), look_of(&pages[0]));
            page.sees_inbox_page();
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM outbox").await, 1);
        assert_eq!(house.count("SELECT count(*) AS n FROM links").await, 1);
    }

    /// LIM-03
    async fn when_the_mail_queue_is_full_everybody_is_told_the_same(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        let house = house.restart(&[
            ("SMTP_URL", "smtp://127.0.0.1:1"), // nobody is there
            ("MAIL_QUEUE_MAX", "3"),
            ("SIGN_UP", "example.org"),
        ])
        .await;
        for address in ["one@example.org", "two@example.org", "three@example.org"] {
            house.visitor().ask("/sign-in", address).await.sees_inbox_page();
        }
        let (known, in_the_gap) = (ADA, "one@example.org");
        let mut looks = Vec::new();
        for address in [known, NOBODY, "shut@example.net", in_the_gap] {
            for route in ["/sign-in", "/register", "/confirm-email/send"] {
                let page = house.visitor().ask(route, address).await;
                assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{address} at {route}");
                assert!(retry_after(&page) >= 1, "{address} at {route}");
                looks.push(look_of(&page));
            }
        }
        looks.dedup();
        assert_eq!(looks.len(), 1, "{looks:?}");
        assert_eq!(house.count("SELECT count(*) AS n FROM outbox WHERE state = 'queued'").await, 3);
        let mistyped = house.visitor().ask("/sign-in", "not an address").await;
        assert_eq!(mistyped.status, StatusCode::UNPROCESSABLE_ENTITY, "a mistake is a mistake all the same");
        assert_eq!(house.visitor().get("/sign-in").await.status, StatusCode::OK);

        // The server is back: nothing that was acknowledged is lost, and there is room again.
        let house = house.restart(&[]).await;
        for address in ["one@example.org", "two@example.org", "three@example.org"] {
            assert_eq!(house.all_mail_to(address).await.len(), 1, "{address}");
        }
        house.visitor().ask("/sign-in", NOBODY).await.sees_inbox_page();
    }
}

/// Fifty visitors of one network, half of them at either node, at the same moment.
async fn at_once(nodes: [&House; 2], act: impl AsyncFn(&Visitor, usize) -> Page) -> Vec<Page> {
    const MANY: usize = 50;
    let visitors: Vec<Visitor> = (0..MANY)
        .map(|number| nodes[number % 2].visitor())
        .collect();
    // Everybody's connection is open before anybody asks, and so are the nodes' to the database.
    join_all(visitors.iter().map(|visitor| visitor.get("/readyz"))).await;
    join_all(
        visitors
            .iter()
            .enumerate()
            .map(|(number, visitor)| act(visitor, number)),
    )
    .await
}

/// The letters to this address, left or not: one that was overtaken by a newer one need not leave.
async fn posted(house: &House, address: &str) -> i64 {
    let letters = format!("SELECT count(*) AS n FROM outbox WHERE email = '{address}'");
    house.count(letters).await
}

/// The seconds that a refusal asks to wait.
#[track_caller]
fn retry_after(page: &Page) -> u64 {
    let wait = page
        .header("retry-after")
        .expect("a refusal says when to try again");
    wait.parse().expect("in whole seconds")
}

/// All that a visitor can see of an answer but what differs every time: status, headers, body.
fn look_of(page: &Page) -> String {
    let mut headers: Vec<String> = page
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| match name.as_str() {
            // A sealed cookie looks different each time; its name, length and attributes do not.
            "set-cookie" => {
                let (pair, attributes) = value.to_str().unwrap().split_once(';').unwrap();
                let (cookie, _) = pair.split_once('=').unwrap();
                format!("{name}: {cookie};{attributes}")
            }
            _ => format!("{name}: {}", value.to_str().unwrap()),
        })
        .collect();
    headers.sort();
    let id = page.header("x-request-id").unwrap_or("none");
    format!("{} {headers:?} {}", page.status, page.body.replace(id, "…"))
}
