//! Signing in by link: a click suffices where one asked, and only there.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::support::{Database, House, Mail, Page, Visitor, at_once};

const GAP: Duration = Duration::from_secs(61);
const MINUTE: Duration = Duration::from_secs(60);

const SESSIONS: &str = "SELECT count(*) AS n FROM sessions";

const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
const DOCUMENT: (&str, &str) = ("sec-fetch-dest", "document");

on_both! {
    async fn in_the_browser_that_asked_a_click_signs_in(db: Database) {
        let house = House::new(db).await;
        house.member("ada@example.org").await;
        let ada = house.visitor();
        let form = ada.get("/sign-in?next=/members").await;
        assert_eq!(form.hidden("next").as_deref(), Some("/members"));
        let fields = [("email", "ada@example.org"), ("next", "/members")];
        ada.post("/sign-in", &fields).await.sees_inbox_page();
        let mail = house.mails_to("ada@example.org", 2).await.remove(0);
        assert_eq!(mail.route(), "/sign-in/link");
        assert!(mail.code.is_some(), "with a code");
        ada.click(&mail.link).await.goes_on_to("/members");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
        let by_link = "SELECT count(*) AS n FROM sessions WHERE auth_method = 'email_link'";
        assert_eq!(house.count(by_link).await, 2);
    }

    /// From any site, for webmail is another site; and from browsers that say nothing.
    async fn a_click_is_a_navigation_of_a_whole_tab(db: Database) {
        let house = House::new(db).await;
        type Headers = &'static [(&'static str, &'static str)];
        let clicks: [Headers; 5] = [
            &[],
            &[NAVIGATE, DOCUMENT],
            &[NAVIGATE, DOCUMENT, ("sec-fetch-site", "none")],
            &[NAVIGATE, DOCUMENT, ("sec-fetch-site", "cross-site"), ("sec-fetch-user", "?1")],
            &[NAVIGATE, DOCUMENT, ("sec-fetch-site", "same-origin")],
        ];
        let others: [Headers; 6] = [
            &[NAVIGATE],
            &[NAVIGATE, ("sec-fetch-dest", "iframe")],
            &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
            &[NAVIGATE, DOCUMENT, ("sec-purpose", "prefetch")],
            &[NAVIGATE, DOCUMENT, ("sec-purpose", "prefetch;prerender")],
            &[("purpose", "prefetch")],
        ];
        let clicks = clicks.map(|headers| (headers, true));
        let others = others.map(|headers| (headers, false));
        for (n, (headers, is_click)) in clicks.into_iter().chain(others).enumerate() {
            let address = format!("ada{n}@example.org");
            house.member(&address).await;
            let (ada, mail) = house.asked("/sign-in", &address).await;
            let mut request = ada.request(Method::GET, &mail.link);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = ada.send(request).await;
            if is_click {
                answer.goes_on_to("/account");
            } else {
                answer.goes_on_to("/sign-in/link");
                assert_eq!(ada.signed_in_as().await, None, "{headers:?}");
                let page = ada.get("/sign-in/link").await;
                assert!(!page.body.contains("type=\"email\""), "one press and no address, here");
                let token = page.hidden("token").unwrap();
                ada.post("/sign-in/link", &[("token", &token)]).await.goes_on_to("/account");
            }
            assert_eq!(ada.signed_in_as().await, Some(address), "{headers:?}");
        }
    }

    /// TOK-02, in the browser that asked: its GET is one of the two that change something.
    async fn of_fifty_clicks_at_once_one_signs_in(db: Database) {
        let house = House::new(db).await;
        let second = (db == Database::Postgres).then(|| house.second_node(&[]));
        house.member("ada@example.org").await;
        let (ada, mail) = house.asked("/sign-in", "ada@example.org").await;
        let sessions = house.count(SESSIONS).await;
        let link = format!("/sign-in/link?token={}", mail.token());
        let crowd: Vec<Visitor> = (0..50)
            .map(|n| {
                let node = if n % 2 == 0 { &house } else { second.as_ref().unwrap_or(&house) };
                let browser = node.visitor().calling_from(&format!("192.0.2.{n}"));
                browser.set_cookie("doorpost_asked", &ada.cookie("doorpost_asked").unwrap());
                browser
            })
            .collect();
        at_once(crowd.iter().cloned().map(|one| async move { one.get("/").await.status })).await;
        let clicks = crowd.iter().cloned().map(|one| {
            let link = link.clone();
            async move { one.click(&link).await }
        });
        let (won, lost): (Vec<Page>, Vec<Page>) = at_once(clicks)
            .await
            .into_iter()
            .partition(|page| page.status == StatusCode::SEE_OTHER);
        assert_eq!(won.len(), 1);
        for page in lost {
            page.says_the_link_is_gone();
        }
        assert_eq!(house.count(SESSIONS).await, sessions + 1);
    }

    async fn a_browser_remembers_its_last_three_asks(db: Database) {
        let house = House::new(db).await;
        let browser = house.visitor();
        let mut mails = Vec::new();
        for n in 0..4 {
            let address = format!("ada{n}@example.org");
            house.member(&address).await;
            let before = house.all_mail_to(&address).await.len();
            browser.ask("/sign-in", &address).await.sees_inbox_page();
            mails.push(house.mails_to(&address, before + 1).await.remove(0));
        }
        // Asked three asks ago: as good as elsewhere.
        let forgotten = browser.open(&mails[0].link).await;
        assert_eq!(forgotten.status, StatusCode::OK);
        assert!(forgotten.body.contains("type=\"email\""), "{}", forgotten.body);
        browser.click(&mails[1].link).await.goes_on_to("/account");
        assert_eq!(browser.signed_in_as().await.as_deref(), Some("ada1@example.org"));
    }

    /// The cookie of an ask cannot be brought from elsewhere.
    async fn a_link_is_no_click_with_a_foreign_cookie(db: Database) {
        let (house, other) = (House::new(db).await, House::new(db).await);
        house.member("ada@example.org").await;
        other.member("ada@example.org").await;
        let (_, mail) = house.asked("/sign-in", "ada@example.org").await;
        let (elsewhere, _) = other.asked("/sign-in", "ada@example.org").await;
        for asked in [elsewhere.cookie("doorpost_asked").unwrap(), "x".into(), String::new()] {
            let eve = house.visitor();
            eve.set_cookie("doorpost_asked", &asked);
            let page = eve.open(&mail.link).await;
            assert!(page.body.contains("type=\"email\""), "{}", page.body);
            assert_eq!(eve.signed_in_as().await, None);
        }
    }

    async fn a_stranger_who_signs_in_is_mailed_a_link_that_confirms_where_sign_up_is_open(db: Database) {
        for (sign_up, address, mailed) in [
            ("open", "ada@example.org", true),
            ("example.org", "ada@example.org", true),
            ("example.org", "ada@example.com", false),
            ("example.org", "ada@sub.example.org", false),
            ("*.example.org", "ada@sub.example.org", true),
            ("invited", "ada@example.org", false),
        ] {
            let house = House::with(db, &[("SIGN_UP", sign_up)]).await;
            for route in ["/sign-in", "/register"] {
                house.visitor().ask(route, address).await.sees_inbox_page();
                let mails = house.all_mail_to(address).await;
                assert_eq!(!mails.is_empty(), mailed, "SIGN_UP={sign_up} {route} {address}");
                if let Some(mail) = mails.first() {
                    assert_eq!(mail.route(), "/confirm-email");
                }
                house.advance(GAP);
            }
            assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 0);
        }
    }

    /// SES-01
    async fn signing_in_gives_a_new_cookie_and_ends_what_was_there(db: Database) {
        let house = House::new(db).await;
        for by in ["link", "code", "button"] {
            let address = format!("{by}@example.org");
            house.member(&address).await;
            // A session that an attacker planted, one of the member's own, and one that never was.
            let planted = house.member(&format!("eve-{by}@example.org")).await.cookie("doorpost").unwrap();
            let (earlier, mail) = house.asked("/sign-in", &address).await;
            sign_in(&earlier, &mail, "link").await;
            let own = earlier.cookie("doorpost").unwrap();
            for (before, somebody_else) in [(planted, true), (own, false), ("x".repeat(300), false)] {
                house.advance(5 * MINUTE);
                let (browser, mail) = house.asked("/sign-in", &address).await;
                browser.set_cookie("doorpost", &before);
                let done = if somebody_else && by != "code" {
                    let fields = [("token", mail.token()), ("switch", "yes")];
                    browser.post("/sign-in/link", &fields).await
                } else {
                    sign_in(&browser, &mail, by).await
                };
                done.goes_on_to("/account");
                assert_ne!(browser.cookie("doorpost").unwrap(), before);
                assert_eq!(browser.signed_in_as().await.as_ref(), Some(&address), "by {by}");
                let old = house.visitor();
                old.set_cookie("doorpost", &before);
                assert_eq!(old.signed_in_as().await, None, "the old one is dead, by {by}");
            }
        }
    }

    /// TOK-12
    async fn a_sign_in_elsewhere_ends_the_link(db: Database) {
        let house = House::new(db).await;
        house.member("ada@example.org").await;
        let (ada, mail) = house.asked("/sign-in", "ada@example.org").await;
        let phone = house.visitor();
        phone.use_link(&mail, "ada@example.org").await.goes_on_to("/account");
        ada.click(&mail.link).await.says_the_link_is_gone();
        assert_eq!(ada.signed_in_as().await, None);

        // Whichever way in it was: a link that confirms ends sign-in links, too.
        house.advance(GAP);
        let (ada, sign_in) = house.asked("/sign-in", "ada@example.org").await;
        house.execute("DELETE FROM users").await;
        house.advance(GAP);
        let (new, confirm) = house.asked("/register", "ada@example.org").await;
        new.type_code(confirm.code()).await.goes_on_to("/account");
        ada.click(&sign_in.link).await.says_the_link_is_gone();
    }

    async fn a_shared_computer_forgets(db: Database) {
        let house = House::new(db).await;
        let address = "ada@example.org";
        house.member(address).await;
        for by in ["link", "code", "button"] {
            house.advance(6 * MINUTE);
            let ada = house.visitor();
            let before = house.all_mail_to(address).await.len();
            let asked = ada.post("/sign-in", &[("email", address), ("shared", "yes")]).await;
            asked.sees_inbox_page();
            let mail = house.mails_to(address, before + 1).await.remove(0);
            let done = sign_in(&ada, &mail, by).await;
            done.goes_on_to("/account");
            for cookie in asked.set_cookies().into_iter().chain(done.set_cookies()) {
                let outlives = cookie.contains("Max-Age") || cookie.contains("Expires");
                assert!(!outlives, "it goes with the browser: {cookie}");
            }
            assert!(!done.raw().contains("doorpost_known"), "nothing is known here");
            assert_eq!(ada.cookie("doorpost_known"), None);

            house.advance(59 * MINUTE);
            assert_eq!(ada.signed_in_as().await.as_deref(), Some(address));
            house.seen("SELECT count(*) AS n FROM sessions WHERE shared AND last_seen_at > created_at").await;
            house.advance(59 * MINUTE);
            assert_eq!(ada.signed_in_as().await.as_deref(), Some(address), "it is in use");
            let moved = "SELECT count(*) AS n FROM sessions WHERE shared AND last_seen_at > created_at + 3600000";
            house.seen(moved).await;
            house.advance(60 * MINUTE);
            assert_eq!(ada.signed_in_as().await, None, "an hour without use, by {by}");
            house.execute("DELETE FROM sessions WHERE shared").await;
        }
    }

    async fn a_browser_of_ones_own_is_remembered(db: Database) {
        let house = House::new(db).await;
        house.member("ada@example.org").await;
        let (ada, mail) = house.asked("/sign-in", "ada@example.org").await;
        let done = ada.click(&mail.link).await;
        let cookies = done.set_cookies();
        let of = |name: &str| *cookies.iter().find(|cookie| cookie.starts_with(name)).unwrap();
        assert!(of("doorpost=").contains("Max-Age=2592000"), "30 days");
        assert!(of("doorpost_known=").contains("Max-Age=31536000"), "a year");
        house.advance(120 * MINUTE);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
    }

    async fn the_page_that_waits_moves_on_once_this_browser_is_signed_in(db: Database) {
        let house = House::new(db).await;
        house.member("ada@example.org").await;
        let ada = house.visitor();
        let fields = [("email", "ada@example.org"), ("next", "/members")];
        ada.post("/sign-in", &fields).await.sees_inbox_page();
        let mail = house.mails_to("ada@example.org", 2).await.remove(0);

        let waits = ada.get("/sign-in/sent").await;
        assert_eq!(waits.status, StatusCode::OK);
        assert!(waits.body.contains("data-waiting=\"/sign-in/sent\""), "by script");
        assert!(
            waits.body.contains("<noscript><meta http-equiv=\"refresh\""),
            "or without: {}", waits.body
        );
        assert!(waits.body.contains("sent?still=yes"));
        let still = ada.get("/sign-in/sent?still=yes").await;
        assert!(!still.body.contains("http-equiv=\"refresh\""), "not while a code is typed");
        // Most plain browsers do neither.
        for page in [waits, still] {
            assert!(page.body.contains("<a href=\"/sign-in/sent\">See whether you are signed in</a>"));
        }

        // Elsewhere is not here.
        let phone = house.visitor();
        phone.use_link(&mail, "ada@example.org").await.goes_on_to("/account");
        assert_eq!(ada.get("/sign-in/sent").await.status, StatusCode::OK);

        house.advance(GAP);
        ada.post("/sign-in", &fields).await.sees_inbox_page();
        let mail = house.mails_to("ada@example.org", 3).await.remove(0);
        let other_tab = ada.clone();
        other_tab.click(&mail.link).await.goes_on_to("/members");
        ada.get("/sign-in/sent").await.goes_on_to("/members");

        // A new ask waits again, though somebody is signed in.
        house.advance(GAP);
        ada.ask("/sign-in", "bob@example.org").await.sees_inbox_page();
        assert_eq!(ada.get("/sign-in/sent").await.status, StatusCode::OK);
    }

    async fn without_an_ask_the_page_that_waits_says_what_to_do(db: Database) {
        let house = House::new(db).await;
        let somebody = house.visitor();
        let page = somebody.get("/sign-in/sent").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.body.contains("this browser refuses cookies"), "{}", page.body);
        let code = somebody.type_code("BBBB-BBBB").await;
        code.says_mistake("Nothing asked for in this browser");
    }
}

/// By the click, by the code, or by the button behind a look that was no click.
async fn sign_in(browser: &Visitor, mail: &Mail, by: &str) -> Page {
    match by {
        "link" => browser.click(&mail.link).await,
        "code" => browser.type_code(mail.code()).await,
        _ => {
            browser
                .post("/sign-in/link", &[("token", mail.token())])
                .await
        }
    }
}
