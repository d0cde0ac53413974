//! Browsers that say of no form where it comes from (lynx, w3m, Links …): they use all of the site, and no other site
//! uses them.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::support::{Database, House, PASSWORD, Page, ScriptedServer, Visitor};

const FIELD: &str = "form_token";
const COOKIE: &str = "doorpost_plain";

/// The pages with forms, for somebody who is signed in and has entered the password.
const PAGES: [&str; 11] = [
    "/",
    "/register",
    "/sign-in",
    "/sign-in/sent",
    "/sign-in/password",
    "/forgot-password",
    "/account",
    "/account/email",
    "/account/password",
    "/account/sessions",
    "/account/delete",
];

/// Opens a page and sends the form on it that goes to this route.
async fn send(visitor: &Visitor, page: &str, route: &str, typed: &[(&str, &str)]) -> Page {
    let mut page = visitor.get_plainly(page).await;
    while page.status == StatusCode::SEE_OTHER {
        page = visitor.get_plainly(page.location()).await;
    }
    let token = page.hidden(FIELD).expect("the page has the field");
    let mut fields = vec![(FIELD, token.as_str())];
    fields.extend(typed);
    visitor.post_plainly(route, &fields).await
}

fn forms(page: &Page) -> usize {
    page.body.matches("method=\"post\"").count()
}

/// What a refused form must leave as it is.
async fn state(house: &House) -> [i64; 4] {
    [
        house.count("SELECT count(*) AS n FROM users").await,
        house.count("SELECT count(*) AS n FROM sessions").await,
        house.count("SELECT count(*) AS n FROM outbox").await,
        house.count("SELECT count(*) AS n FROM limits").await,
    ]
}

on_both! {
    async fn a_visitor_registers_signs_in_and_out_and_sets_a_password(db: Database) {
        let (house, address) = (House::new(db).await, "ada@example.org");
        let ada = house.visitor();
        send(&ada, "/register", "/register", &[("email", address)]).await.sees_inbox_page();
        let mail = house.mail_to(address).await;
        let fields = [("token", mail.token())];
        send(&ada, mail.path(), "/confirm-email", &fields).await.goes_on_to("/account");

        house.advance(Duration::from_secs(61));
        let reset = [("email", address)];
        send(&ada, "/reauthenticate", "/forgot-password", &reset).await.sees_inbox_page();
        let mail = house.mails_to(address, 2).await.remove(0);
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        let set = send(&ada, mail.path(), "/reset-password", &fields).await;
        set.goes_on_to("/sign-in/password");
        let fields = [("email", address), ("password", PASSWORD)];
        send(&ada, "/sign-in/password", "/sign-in/password", &fields).await.goes_on_to("/account");
        send(&ada, "/account", "/sign-out", &[]).await.goes_on_to("/");

        house.advance(Duration::from_secs(61));
        send(&ada, "/sign-in", "/sign-in", &[("email", address)]).await.sees_inbox_page();
        let mail = house.mails_to(address, 3).await.remove(0);
        let wrong = send(&ada, "/sign-in/sent", "/sign-in/code", &[("code", "BCDF-GHJK")]).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        let token = wrong.hidden(FIELD).expect("a form again, with the field");
        let right = [(FIELD, token.as_str()), ("code", mail.code())];
        ada.post_plainly("/sign-in/code", &right).await.goes_on_to("/account");
    }

    async fn nobody_sees_it_whose_browser_says_where_it_comes_from(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner("ada@example.org").await;
        ada.ask("/sign-in", "ada@example.org").await.sees_inbox_page();
        for path in PAGES {
            let page = ada.get(path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            assert!(forms(&page) > 0, "{path}");
            assert!(!page.body.contains(FIELD), "{path}");
            assert_eq!(page.set_cookies(), [""; 0], "{path}");
        }
        // Whoever does not say it gets both, in every form, and the cookie once.
        let plain = ada.with_copied_jar();
        for (number, path) in PAGES.into_iter().enumerate() {
            let page = plain.get_plainly(path).await;
            let field = format!("<input type=\"hidden\" name=\"{FIELD}\" value=\"");
            assert_eq!(page.body.matches(&field).count(), forms(&page), "{path}");
            let cookies = page.set_cookies();
            assert_eq!(cookies.len(), usize::from(number == 0), "{path}: {cookies:?}");
            assert!(cookies.iter().all(|cookie| cookie.starts_with(COOKIE)));
        }
        // What has no form brings nothing.
        for path in ["/healthz", "/api", "/robots.txt"] {
            let page = house.visitor().get_plainly(path).await;
            assert_eq!(page.set_cookies(), [""; 0], "{path}");
        }
    }

    /// CSR-01, CSR-02
    async fn only_a_form_with_what_goes_with_the_cookie_is_taken(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        let token_for = async |visitor: &Visitor| {
            visitor.get_plainly("/sign-in").await.hidden(FIELD).unwrap()
        };
        let eve = house.visitor();
        let eves = token_for(&eve).await;
        let stranger = ada.with_copied_jar();
        stranger.forget_cookie("doorpost");
        let before_signing_in = token_for(&stranger).await;
        ada.set_cookie(COOKIE, &stranger.cookie(COOKIE).unwrap());
        let right = token_for(&ada).await;
        assert_ne!(right, before_signing_in, "it goes with the session");
        let before = state(&house).await;

        let email = ("email", "ada@example.org");
        let flipped = format!("{}{}", if right.starts_with('A') { 'B' } else { 'A' }, &right[1..]);
        let cookie = ada.cookie(COOKIE).unwrap();
        for field in ["", "x", &eves, &before_signing_in, &flipped, &cookie, &format!("{right}A")] {
            let page = ada.post_plainly("/sign-in", &[(FIELD, field), email]).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{field}");
            assert_eq!(page.set_cookies(), [""; 0]);
        }
        for fields in [vec![email], vec![(FIELD, &*right), (FIELD, &*right), email]] {
            let page = ada.post_plainly("/sign-in", &fields).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{fields:?}");
        }
        // With a cookie that is no cookie of ours, or somebody else's.
        for other in [None, Some("x"), Some(&*eve.cookie(COOKIE).unwrap())] {
            let without = ada.with_copied_jar();
            without.forget_cookie(COOKIE);
            if let Some(other) = other {
                without.set_cookie(COOKIE, other);
            }
            let page = without.post_plainly("/sign-in", &[(FIELD, &right), email]).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{other:?}");
        }
        // A cookie and its field that were planted together, in a browser that is signed in.
        let planted = ada.with_copied_jar();
        planted.set_cookie(COOKIE, &eve.cookie(COOKIE).unwrap());
        let page = planted.post_plainly("/sign-out", &[(FIELD, &eves)]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        assert_eq!(state(&house).await, before, "what was refused changed nothing");

        ada.post_plainly("/sign-in", &[(FIELD, &right), email]).await.sees_inbox_page();
        ada.post_plainly("/sign-out", &[(FIELD, &right)]).await.goes_on_to("/");
        assert_eq!(ada.signed_in_as().await, None);
    }

    /// CSR-01: it takes the place of what browsers say, and never contradicts it.
    async fn it_helps_no_form_that_says_where_it_comes_from(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        let token = ada.get_plainly("/sign-in").await.hidden(FIELD).unwrap();
        let form = format!("{FIELD}={token}&email=ada%40example.org");
        let before = state(&house).await;
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-site", ""),
            ("origin", "https://evil.test"),
            ("origin", "null"),
            ("origin", ""),
            ("content-type", "text/plain"),
            ("content-type", "application/json"),
        ] {
            let form = ada.request(Method::POST, "/sign-in").body(form.clone());
            let form = match name {
                "content-type" => form,
                _ => form.header("content-type", "application/x-www-form-urlencoded"),
            };
            let page = ada.send(form.header(name, value)).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{name}: {value}");
        }
        assert_eq!(state(&house).await, before);
    }

    /// CSR-03
    async fn a_form_is_taken_after_a_restart_and_a_change_of_keys(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        let token = ada.get_plainly("/register").await.hidden(FIELD).unwrap();
        let (old, new) = (house.secret_key().to_owned(), crate::support::secret_key());
        let house = house.restart(&[("SECRET_KEY", &new), ("SECRET_KEYS_OLD", &old)]).await;
        let ada = ada.at(&house);
        let fields = [(FIELD, token.as_str()), ("email", "ada@example.org")];
        ada.post_plainly("/register", &fields).await.sees_inbox_page();
        let house = house.restart(&[("SECRET_KEY", &crate::support::secret_key())]).await;
        let refused = ada.at(&house).post_plainly("/register", &fields).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(refused.body.contains("Load the page here again"), "{}", refused.body);
    }

    async fn the_field_is_kept_nowhere(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password("ada@example.org").await;
        let typed = [("email", "countess@example.net")];
        let gate = ada.get_plainly("/account").await;
        let token = gate.hidden(FIELD).unwrap();
        let fields = [(FIELD, token.as_str()), typed[0]];
        ada.post_plainly("/account/email", &fields).await.is_sent_to_the_gate("/account/email");
        let dump = house.dump().await;
        let cookie = ada.cookie(COOKIE).unwrap();
        for secret in [token.as_bytes(), cookie.as_bytes()] {
            assert!(!dump.windows(secret.len()).any(|part| part == secret));
        }
    }

    /// SES-03
    async fn behind_tls_its_cookie_is_as_the_others(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(db, &sink, &[]).await;
        let page = house.visitor().get_plainly("/sign-in").await;
        let cookie = page.header("set-cookie").unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert!(pair.starts_with("__Host-doorpost_plain="), "{cookie}");
        assert_eq!(attributes, "HttpOnly; Secure; Path=/; SameSite=Lax");
    }
}
