//! Every redirect stays on this site, and what a stranger wrote is never in a mail.

use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

use crate::support::{Database, House, Page, Visitor, wire};

/// Where a visitor lands who asked to go nowhere, or to somewhere else than here.
const ACCOUNT: &str = "/account";

/// What is typed as `next`, and where it leads.
const NEXT: &[(&str, &str)] = &[
    // pages of this site
    ("/members", "/members"),
    ("/members?tab=2&x=a%20b#c", "/members?tab=2&x=a%20b#c"),
    ("/a/../members", "/members"),
    ("/.e.test", "/.e.test"),
    ("/@e.test", "/@e.test"),
    ("/e.test:80", "/e.test:80"),
    ("/javascript:alert(1)", "/javascript:alert(1)"),
    ("/sign-in?next=//e.test", "/sign-in?next=//e.test"),
    (
        "/sign-in?next=%2Fsign-in%3Fnext%3D%252F%252Fe.test",
        "/sign-in?next=%2Fsign-in%3Fnext%3D%252F%252Fe.test",
    ),
    // nothing
    ("", ACCOUNT),
    ("members", ACCOUNT),
    ("?next=/members", ACCOUNT),
    ("#", ACCOUNT),
    // another host, in the ways browsers know
    ("//e.test", ACCOUNT),
    ("///e.test", ACCOUNT),
    ("////e.test", ACCOUNT),
    ("/\\e.test", ACCOUNT),
    ("\\\\e.test", ACCOUNT),
    ("\\/e.test", ACCOUNT),
    ("/\\/e.test", ACCOUNT),
    ("//\\e.test", ACCOUNT),
    ("//own.evil", ACCOUNT),
    ("//localhost@e.test", ACCOUNT),
    ("//localhost:80", ACCOUNT),
    ("//e.test/%2e%2e", ACCOUNT),
    ("//%65.test", ACCOUNT),
    ("//", ACCOUNT),
    ("http://e.test", ACCOUNT),
    ("https://e.test/members", ACCOUNT),
    ("https:e.test", ACCOUNT),
    ("https:/e.test", ACCOUNT),
    ("https:///e.test", ACCOUNT),
    ("https:\\\\e.test", ACCOUNT),
    ("HTTPS://E.TEST", ACCOUNT),
    ("http://localhost@e.test", ACCOUNT),
    ("http://localhost.e.test", ACCOUNT),
    ("http:members", ACCOUNT),
    ("javascript:alert(1)", ACCOUNT),
    ("JavaScript:alert(1)", ACCOUNT),
    ("java\nscript:alert(1)", ACCOUNT),
    ("data:text/html,hello", ACCOUNT),
    ("vbscript:x", ACCOUNT),
    ("file:///etc/passwd", ACCOUNT),
    ("mailto:a@e.test", ACCOUNT),
    ("about:blank", ACCOUNT),
    // white space and control characters, which browsers drop
    (" //e.test", ACCOUNT),
    ("/ /e.test", ACCOUNT),
    ("/\t/e.test", ACCOUNT),
    ("/\n/e.test", ACCOUNT),
    ("\t//e.test", ACCOUNT),
    ("\u{1}//e.test", ACCOUNT),
    ("/members\r\nSet-Cookie: a=b", ACCOUNT),
    ("/members\nLocation: //e.test", ACCOUNT),
    ("/members\0", ACCOUNT),
    ("/%09/e.test", ACCOUNT),
    ("/%0d%0aLocation:%20//e.test", ACCOUNT),
    ("/members?a=%0d%0aSet-Cookie:a=b", ACCOUNT),
    ("/members?a=%00", ACCOUNT),
    // slashes and dots that somebody else may decode
    ("/%2fe.test", ACCOUNT),
    ("/%2f%2fe.test", ACCOUNT),
    ("/%5ce.test", ACCOUNT),
    ("/%252fe.test", ACCOUNT),
    ("/%25252fe.test", ACCOUNT),
    ("/x/..//e.test", ACCOUNT),
    ("/..//e.test", ACCOUNT),
    ("/.//e.test", ACCOUNT),
    ("/%2e//e.test", ACCOUNT),
    ("/x/%2e%2e//e.test", ACCOUNT),
    ("/%2e%2e%2f%2fe.test", ACCOUNT),
    // signs that look or map like others
    ("/\u{ff0f}e.test", ACCOUNT),
    ("\u{ff0f}\u{ff0f}e.test", ACCOUNT),
    ("//e\u{3002}test", ACCOUNT),
    ("https://e\u{3002}test", ACCOUNT),
    ("/\u{2028}/e.test", ACCOUNT),
    ("\u{feff}//e.test", ACCOUNT),
    // percent signs that say nothing, bytes that are no text
    ("/%", ACCOUNT),
    ("/%zz", ACCOUNT),
    ("/%ff", ACCOUNT),
    ("/%c0%af/e.test", ACCOUNT),
];

/// The list, and what is too long for it.
fn list() -> Vec<(String, String)> {
    let mut list: Vec<(String, String)> = NEXT
        .iter()
        .map(|(typed, lands)| ((*typed).to_owned(), (*lands).to_owned()))
        .collect();
    let longest = format!("/{}", "a".repeat(511));
    list.push((longest.clone(), longest));
    list.push((format!("/{}", "a".repeat(512)), ACCOUNT.to_owned()));
    list.push((format!("/{}", "a".repeat(8 * 1024)), ACCOUNT.to_owned()));
    list
}

/// A redirect to this path, which a browser reads as a page of the same site.
#[track_caller]
fn lands(house: &House, page: &Page, path: &str, typed: &str) {
    assert_eq!(
        page.status,
        StatusCode::SEE_OTHER,
        "{typed:?}: {}",
        page.body
    );
    assert_eq!(page.location(), path, "{typed:?}");
    for from in ["/", "/sign-in/link?token=x", "/a/b/c"] {
        let here = Url::parse(&house.url).unwrap().join(from).unwrap();
        let there = here.join(page.location()).unwrap();
        assert_eq!(there.origin(), here.origin(), "{typed:?} leads to {there}");
    }
    assert_eq!(page.headers.get_all("location").iter().count(), 1);
    assert!(
        page.header("a").is_none() && page.set_cookies().iter().all(|c| c.starts_with("doorpost"))
    );
}

async fn house_without_limits(db: Database) -> House {
    House::with(
        db,
        &[
            ("LIMIT_MAIL_GAP", "off"),
            ("LIMIT_MAIL_PER_ADDRESS", "off"),
            ("LIMIT_MAIL_PER_ADDRESS_DAILY", "off"),
        ],
    )
    .await
}

async fn ask(visitor: &Visitor, route: &str, email: &str, next: &str) {
    let asked = visitor
        .post(route, &[("email", email), ("next", next)])
        .await;
    asked.sees_inbox_page();
}

on_both! {
    /// RED-01
    async fn whoever_registers_lands_on_this_site(db: Database) {
        let house = house_without_limits(db).await;
        for (number, (typed, path)) in list().into_iter().enumerate() {
            let email = format!("ada{number}@example.org");
            let ada = house.visitor();
            let route = ["/register", "/confirm-email/send", "/sign-in"][number % 3];
            ask(&ada, route, &email, &typed).await;
            let mail = house.mail_to(&email).await;
            let page = ada.click(&mail.link).await;
            lands(&house, &page, "/confirm-email", &typed);
            let token = ada.follow(page).await.hidden("token").unwrap();
            let done = ada.post("/confirm-email", &[("token", &token)]).await;
            lands(&house, &done, &path, &typed);
            // The second click, in the browser that is signed in by now.
            lands(&house, &ada.click(&mail.link).await, &path, &typed);
        }
    }

    /// RED-01
    async fn whoever_signs_in_by_link_or_code_lands_on_this_site(db: Database) {
        let house = house_without_limits(db).await;
        let ada = house.member("ada@example.org").await;
        for (number, (typed, path)) in list().into_iter().enumerate() {
            ask(&ada, "/sign-in", "ada@example.org", &typed).await;
            let mail = house
                .mails_to("ada@example.org", number + 2)
                .await
                .remove(0);
            house.advance(Duration::from_secs(1)); // so that the next is newer
            let done = if number % 2 == 0 {
                ada.click(&mail.link).await
            } else {
                ada.post("/sign-in/code", &[("code", &mail.code.unwrap())])
                    .await
            };
            lands(&house, &done, &path, &typed);
            // The page that waits, in another tab.
            lands(&house, &ada.get("/sign-in/sent").await, &path, &typed);
        }
    }

    /// RED-01
    async fn a_form_carries_on_only_what_leads_to_this_site(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        for (typed, path) in list() {
            let next: String = url::form_urlencoded::byte_serialize(typed.as_bytes()).collect();
            let kept = (path == typed).then(|| path.replace('&', "&#38;"));
            for route in ["/sign-in", "/register"] {
                let page = ada.get(&format!("{route}?next={next}")).await;
                assert_eq!(page.status, StatusCode::OK, "{typed:?}");
                if path == ACCOUNT || kept.is_some() {
                    assert_eq!(page.hidden("next"), kept, "{typed:?}");
                }
                assert!(!page.body.contains("\"//e.test"), "{typed:?}");
            }
        }
    }

    /// RED-01
    async fn a_stranger_is_sent_to_sign_in_and_back_whatever_the_path(db: Database) {
        let house = House::new(db).await;
        let (_, port) = house.url.rsplit_once(':').unwrap();
        for (target, next) in [
            ("/account", "/account"),
            ("/account?next=//e.test", "/account?next=//e.test"),
            ("/account?//e.test", "/account?//e.test"),
            (
                "/account?a=%0d%0aSet-Cookie:a=b",
                "/account?a=%0d%0aSet-Cookie:a=b",
            ),
            ("/%61ccount", "/%61ccount"),
            ("http://e.test/account", "/account"),
            ("http://e.test//account", ""),
            ("//e.test/account", ""),
            ("//account", ""),
            ("/%2fe.test/account", ""),
            ("/%5ce.test/account", ""),
            ("/\\e.test/account", ""),
            ("/account/", ""),
            ("/account/..//e.test", ""),
            ("/account/%2e%2e/%2fe.test", ""),
            ("/account;//e.test", ""),
        ] {
            let request = format!(
                "GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
            );
            let heard = wire::say(&house.url, request).await;
            let location = heard
                .text
                .lines()
                .find_map(|line| line.strip_prefix("location: "));
            if next.is_empty() {
                assert!(
                    matches!(heard.statuses[..], [404 | 400]),
                    "{target}: {}",
                    heard.text
                );
                assert_eq!(location, None, "{target}");
                continue;
            }
            let there = Url::parse(&house.url)
                .unwrap()
                .join(location.unwrap())
                .unwrap();
            assert_eq!(
                (heard.statuses[0], there.path()),
                (303, "/sign-in"),
                "{target}"
            );
            assert!(location.unwrap().starts_with("/sign-in?next="), "{target}");
            let (_, carried) = there.query_pairs().next().unwrap();
            assert_eq!(carried, next, "{target}");
        }
    }

    /// Whichever way in they take, the one in the masthead, too.
    async fn every_way_in_leads_back_to_where_a_stranger_was_going(db: Database) {
        let house = House::new(db).await;
        let stranger = house.visitor();
        let page = stranger.get("/members?tab=2").await;
        let page = stranger.follow(page).await;
        let ways: Vec<&str> = page.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let ways: Vec<&str> = ways.into_iter().filter(|way| way.starts_with("/sign-in") || way.starts_with("/register")).collect();
        assert!(ways.len() >= 4, "{ways:?}");
        for way in ways {
            let there = stranger.get(way).await;
            assert_eq!(there.hidden("next").as_deref(), Some("/members?tab=2"), "{way}");
        }
        let page = stranger.get("/sign-in?next=//e.test").await;
        assert!(!page.body.contains("e.test"), "{}", page.body);
    }

    /// RED-01
    async fn a_stranger_who_signs_in_is_back_where_they_were_going(db: Database) {
        let house = House::new(db).await;
        drop(house.member("ada@example.org").await);
        let ada = house.visitor();
        let page = ada.get("/members?tab=2").await;
        let form = ada.follow(page).await;
        let next = form.hidden("next").unwrap();
        ask(&ada, "/sign-in", "ada@example.org", &next).await;
        let mail = house.mails_to("ada@example.org", 2).await.remove(0);
        lands(
            &house,
            &ada.click(&mail.link).await,
            "/members?tab=2",
            &next,
        );
    }

    /// RED-03
    async fn what_a_stranger_writes_never_gets_into_a_mail(db: Database) {
        let house = house_without_limits(db).await;
        drop(house.member("ada@example.org").await);
        let mallory = house.visitor();
        let nexts = [
            "/members?mallory",
            "/sign-out?mallory",
            "https://mallory.test/",
        ]
        .map(str::to_owned);
        for (number, next) in nexts
            .into_iter()
            .chain([format!("/mallory{}", "y".repeat(8000))])
            .enumerate()
        {
            let fields = [
                ("email", "ada@example.org"),
                ("next", &next),
                ("name", "mallory"),
                ("subject", "mallory"),
            ];
            let request = mallory
                .form("/sign-in?mallory=mallory", &fields)
                .header("user-agent", "mallory")
                .header("referer", "https://mallory.test/")
                .header("accept-language", "mallory")
                .header("x-forwarded-for", "mallory, 192.0.2.1")
                .header("x-request-id", "mallory");
            mallory.send(request).await.sees_inbox_page();
            let mail = house
                .mails_to("ada@example.org", number + 2)
                .await
                .remove(0);
            house.advance(Duration::from_secs(1)); // so that the next is newer
            for part in [&mail.subject, &mail.text, &mail.html] {
                assert!(!part.to_ascii_lowercase().contains("mallory"), "{part}");
            }
            assert!(
                mail.link
                    .starts_with(&format!("{}/sign-in/link?token=", house.url))
            );

            // Ada opens it where she is: she has to name her address, and lands on her account.
            let ada = house.visitor();
            let page = ada.click(&mail.link).await;
            let token = ada.follow(page).await.hidden("token").unwrap();
            let fields = [("token", token.as_str()), ("email", "ada@example.org")];
            lands(
                &house,
                &ada.post("/sign-in/link", &fields).await,
                ACCOUNT,
                &next,
            );
        }
    }
}
