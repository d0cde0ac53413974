//! After each thing that was done, the next page says so: in one sentence, once, and to whoever did it.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::support::{Database, House, PASSWORD, Page, Visitor};

const ADA: &str = "ada@example.org";
const NEW: &str = "countess@example.net";
const COOKIE: &str = "doorpost_done";

/// What a form is sent with.
type Fields<'a> = &'a [(&'a str, &'a str)];

on_both! {
    async fn the_next_page_says_what_was_done_and_the_one_after_it_nothing(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let (other, mail) = house.asked("/sign-in", ADA).await;
        other.click(&mail.link).await.goes_on_to("/account");
        let password = [("password", "quite another horse altogether")];
        let deeds: [(&str, Fields, &str); 11] = [
            ("/account/notification-links", &[], "Saved: links in messages do not sign you in."),
            ("/account/notification-links", &[("enabled", "yes")], "Saved: links in messages sign you in."),
            (
                "/account/notification-links",
                &[("enabled", "yes"), ("usual_networks_only", "yes")],
                "Saved: links in messages sign you in from networks you have come from lately.",
            ),
            ("/account/announcements", &[], "Saved: you get no more announcements."),
            ("/account/announcements", &[("enabled", "yes")], "Saved: you get announcements."),
            ("/account/links/end", &[], "The links that were sent to you until now are ended."),
            ("/account/sessions/end-others", &[], "All other sessions are ended."),
            ("/account/email", &[("email", NEW)], "The change of your address waits to be confirmed."),
            ("/account/email/cancel", &[], "The change of your address is called off."),
            (
                "/account/password",
                &password,
                "Your password is changed. All other sessions are ended, and so are all links.",
            ),
            ("/sign-out", &[], "You are signed out."),
        ];
        for (route, fields, sentence) in deeds {
            says(&ada, ada.post(route, fields).await, sentence).await;
        }
    }

    async fn ended_sessions_and_accounts_are_said_to_be_ended(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let (other, mail) = house.asked("/sign-in", ADA).await;
        other.click(&mail.link).await.goes_on_to("/account");
        let end = |page: &Page| page.between("<form method=\"post\" action=\"/account/sessions/", "/end\"").unwrap();
        let list = other.get("/account/sessions").await.body;
        let (_, others) = list.split_once("End this session").map_or(("", list.as_str()), |(a, _)| ("", a));
        let id = others.rsplit_once("action=\"/account/sessions/").unwrap().1.split_once('/').unwrap().0;
        let ended = other.post(&format!("/account/sessions/{id}/end"), &[]).await;
        says(&other, ended, "The session is ended.").await;
        let own = end(&other.get("/account/sessions").await);
        let ended = other.post(&format!("/account/sessions/{own}/end"), &[]).await;
        says(&other, ended, "You are signed out.").await;

        ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
        let deleted = ada.post("/account/delete", &[("email", ADA)]).await;
        says(&ada, deleted, "Your account is deleted.").await;
    }

    async fn a_password_that_was_set_by_mail_is_said_to_be_there(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        let (ada, mail) = house.asked("/forgot-password", ADA).await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        let set = ada.post("/reset-password", &fields).await;
        says(&ada, set, "Your password is set. Sign in with it.").await;
    }

    /// The page that comes next is the plain one to sign in, where the account is not signed in.
    async fn a_changed_address_is_told_wherever_it_was_confirmed(db: Database) {
        for (place, sentence) in [
            ("where asked", "Your email address is changed."),
            ("on the phone", "The email address is changed. Sign in with the new one."),
            ("where somebody else is", "The email address of the other account is changed."),
        ] {
            let house = House::new(db).await;
            let ada = house.owner(ADA).await;
            ada.post("/account/email", &[("email", NEW)]).await.goes_on_to("/account/email");
            let mail = house.mail_to(NEW).await;
            let browser = match place {
                "where asked" => ada.clone(),
                "on the phone" => house.visitor(),
                _ => house.member("bob@example.org").await,
            };
            let fields = [("token", mail.token()), ("email", NEW), ("switch", "yes")];
            let confirmed = browser.post("/account/email/confirm", &fields).await;
            says(&browser, confirmed, sentence).await;

            let mails = house.all_mail_to(ADA).await;
            let undo = mails.iter().find(|mail| mail.route() == "/account/email/undo").unwrap();
            let fields = [("token", undo.token()), ("email", ADA), ("switch", "yes")];
            let undone = browser.post("/account/email/undo", &fields).await;
            says(&browser, undone, "The old address is back, and everybody is signed out.").await;
        }
    }

    async fn nobody_else_reads_it_in_that_browser(db: Database) {
        let house = House::new(db).await;
        let bob = house.member("bob@example.org").await;
        let ada = house.member(ADA).await;
        for (session, later, is_said) in [
            (ada.cookie("doorpost"), 59, true),
            (ada.cookie("doorpost"), 61, false),
            (bob.cookie("doorpost"), 0, false),
            (None, 0, true),
        ] {
            let browser = ada.with_copied_jar();
            browser.post("/account/links/end", &[]).await.goes_on_to("/account");
            match &session {
                Some(cookie) => browser.set_cookie("doorpost", cookie),
                None => browser.forget_cookie("doorpost"),
            }
            house.advance(Duration::from_secs(later));
            let page = browser.get("/").await;
            assert_eq!(sentence_of(&page).is_some(), is_said, "{later}: {}", page.body);
            assert_eq!(browser.cookie(COOKIE), None, "whoever came, it is gone");
        }
        // Nor can it be made.
        for forged in ["x".to_owned(), ada.cookie("doorpost_known").unwrap()] {
            let eve = house.visitor();
            eve.set_cookie(COOKIE, &forged);
            assert_eq!(sentence_of(&eve.get("/").await), None);
        }
    }

    /// What is not looked at uses nothing up: neither what a script or a browser fetches ahead, nor a page of an error.
    async fn it_waits_for_a_page_that_somebody_reads(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        ada.post("/account/links/end", &[]).await.goes_on_to("/account");
        for (method, path, header) in [
            (Method::HEAD, "/", ("accept", "*/*")),
            (Method::GET, "/", ("sec-purpose", "prefetch")),
            (Method::GET, "/", ("sec-fetch-mode", "cors")),
            (Method::GET, "/nowhere", ("accept", "text/html")),
            (Method::GET, "/sign-in/link?token=x", ("accept", "text/html")),
        ] {
            let request = ada.request(method, path).header(header.0, header.1);
            let page = ada.send(request).await;
            assert_eq!(sentence_of(&page), None, "{path} {header:?}");
            assert!(ada.cookie(COOKIE).is_some(), "{path} {header:?}");
        }
        assert!(sentence_of(&ada.get("/account").await).is_some());
    }

    async fn its_cookie_is_like_the_others(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        let done = ada.post("/account/links/end", &[]).await;
        let cookies = done.set_cookies();
        let [cookie] = cookies.as_slice() else {
            panic!("one cookie: {cookies:?}");
        };
        let (value, attributes) = cookie.split_once("; ").unwrap();
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=60"] {
            assert!(attributes.split("; ").any(|it| it == attribute), "{attribute}: {cookie}");
        }
        assert!(value.len() < 512, "{} bytes of the 3 KiB for all", value.len());
        assert!(!cookie.contains("links that were sent"), "sealed");
        let shared = house.visitor();
        let before = house.all_mail_to(ADA).await.len();
        shared.post("/sign-in", &[("email", ADA), ("shared", "yes")]).await.sees_inbox_page();
        let mail = house.mails_to(ADA, before + 1).await.remove(0);
        shared.click(&mail.link).await.goes_on_to("/account");
        let done = shared.post("/account/announcements", &[]).await;
        assert!(!done.set_cookies()[0].contains("Max-Age"), "it goes with the browser");
    }
}

/// What a page says was done.
fn sentence_of(page: &Page) -> Option<String> {
    page.between("<p class=\"note done\" role=\"status\">", "</p>")
}

/// Goes on to the next page, which says this, and loads it once more.
async fn says(browser: &Visitor, done: Page, sentence: &str) {
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    let next = done.location().to_owned();
    let page = browser.follow(done).await;
    assert_eq!(page.status, StatusCode::OK, "{next}: {}", page.body);
    assert_eq!(
        sentence_of(&page).as_deref(),
        Some(sentence),
        "{next}: {}",
        page.body
    );
    let again = browser.get(&next).await;
    let again = browser.follow(again).await;
    assert_eq!(sentence_of(&again), None, "{next}, once more");
    assert!(again.set_cookies().is_empty(), "{:?}", again.set_cookies());
}
