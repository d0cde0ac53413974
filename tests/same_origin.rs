//! A POST from anywhere but our own pages changes nothing.

use doorpost::accounts::signed_links::UNSUBSCRIBE;
use reqwest::{Method, RequestBuilder, StatusCode};

use crate::support::{Database, House, Mail, Visitor};

/// Every route that takes a POST, with a form that would have an effect.
fn forms(mail: &Mail) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let email = ("email", "bea@example.org".to_owned());
    let token = ("token", mail.token().to_owned());
    let code = ("code", mail.code.clone().unwrap());
    vec![
        ("/register", vec![email.clone()]),
        ("/sign-in", vec![email.clone()]),
        ("/sign-in/code", vec![code]),
        ("/sign-in/link", vec![token.clone(), email.clone()]),
        ("/confirm-email", vec![token, email.clone()]),
        ("/confirm-email/send", vec![email]),
        ("/dev/inbox/clear", vec![]),
        (
            UNSUBSCRIBE,
            vec![("List-Unsubscribe", "One-Click".to_owned())],
        ),
        ("/sign-out", vec![]),
    ]
}

/// What `Sec-Fetch-Site` may say; `None` is an old browser that does not send it.
const SITES: [Option<&[&str]>; 9] = [
    None,
    Some(&["same-origin"]),
    Some(&["none"]),
    Some(&["same-site"]),
    Some(&["cross-site"]),
    Some(&["junk"]),
    Some(&[""]),
    Some(&["Same-Origin"]),
    Some(&["same-origin", "cross-site"]),
];

/// What `Origin` may say, of a house on this port.
fn origins(port: &str) -> Vec<(Option<String>, bool)> {
    let origin = |text: &str| Some(text.replace("PORT", port));
    vec![
        (None, false),
        (origin("http://localhost:PORT"), true),
        (origin("https://evil.test"), false),
        (origin("null"), false),
        (origin("http://localhost:1"), false),
        (origin("http://localhost"), false),
        (origin("https://localhost:PORT"), false),
        (origin("http://localhost:PORT.evil.test"), false),
        (origin("http://localhost:PORT/"), false),
        (origin("http://evil.localhost:PORT"), false),
        (origin("http://127.0.0.1:PORT"), false),
        (origin("http://LOCALHOST:PORT"), false),
        (origin("http://localhost:PORT http://evil.test"), false),
        (origin(""), false),
    ]
}

fn post(visitor: &Visitor, route: &str, fields: &[(&str, String)]) -> RequestBuilder {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    visitor
        .request(Method::POST, route)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.finish())
}

/// What a refused POST must leave as it is.
async fn state(house: &House) -> [i64; 5] {
    [
        house.count("SELECT count(*) AS n FROM users").await,
        house.count("SELECT count(*) AS n FROM sessions").await,
        house.count("SELECT count(*) AS n FROM outbox").await,
        house
            .count("SELECT count(*) AS n FROM links WHERE used_at IS NULL AND code_tries = 0 AND wrong_addresses = 0")
            .await,
        house.count("SELECT count(*) AS n FROM limits").await,
    ]
}

on_both! {
    /// CSR-01
    async fn only_a_post_from_our_own_origin_is_taken(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (_, port) = house.url.rsplit_once(':').unwrap();
        let bea = house.member("bea@example.org").await;
        bea.ask("/sign-in", "bea@example.org")
            .await
            .sees_inbox_page();
        let mail = house.mails_to("bea@example.org", 2).await.remove(0);
        let before = state(&house).await;

        let (mut refused, mut taken) = (Vec::new(), Vec::new());
        for (route, fields) in forms(&mail) {
            for site in SITES {
                for (origin, is_ours) in origins(port) {
                    let mut request = post(&bea, route, &fields);
                    for site in site.unwrap_or_default() {
                        request = request.header("sec-fetch-site", *site);
                    }
                    if let Some(origin) = &origin {
                        request = request.header("origin", origin);
                    }
                    let may_pass = match site {
                        Some(site) => site == ["same-origin"],
                        // A mail provider's server is nobody's browser (RFC 8058).
                        None => is_ours || (route == UNSUBSCRIBE && origin.is_none()),
                    };
                    let what = format!("POST {route} with {site:?} from {origin:?}");
                    if may_pass { &mut taken } else { &mut refused }.push((what, request));
                }
            }
        }
        assert_eq!(taken.len(), 9 * (14 + 1) + 1);
        for (what, request) in refused {
            assert_eq!(
                bea.send(request).await.status,
                StatusCode::FORBIDDEN,
                "{what}"
            );
        }
        assert_eq!(
            state(&house).await,
            before,
            "what was refused changed nothing"
        );
        assert_eq!(bea.signed_in_as().await.as_deref(), Some("bea@example.org"));

        for (what, request) in taken {
            assert_ne!(
                bea.send(request).await.status,
                StatusCode::FORBIDDEN,
                "{what}"
            );
        }
        assert_eq!(
            bea.signed_in_as().await,
            None,
            "among them was the form to sign out"
        );
    }

    /// CSR-01
    async fn an_origin_sent_twice_is_nobodys(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        let twice = post(&ada, "/sign-in", &[("email", "ada@example.org".to_owned())])
            .header("origin", &house.url)
            .header("origin", "https://evil.test");
        assert_eq!(ada.send(twice).await.status, StatusCode::FORBIDDEN);
    }

    /// CSR-01
    async fn a_page_is_shown_wherever_the_visitor_comes_from(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        for method in [Method::GET, Method::HEAD] {
            for site in SITES.into_iter().flatten().flatten() {
                for route in ["/", "/sign-in", "/account"] {
                    let request = ada
                        .request(method.clone(), route)
                        .header("sec-fetch-site", *site)
                        .header("origin", "https://evil.test");
                    let page = ada.send(request).await;
                    assert_eq!(
                        page.status,
                        StatusCode::OK,
                        "{method} {route} from {site:?}"
                    );
                }
            }
        }
    }

    /// CSR-02
    async fn no_other_site_signs_a_visitor_into_an_account_of_its_choice(db: Database) {
        let house = House::new(db).await;
        let mallory = house.member("mallory@example.org").await;
        mallory
            .ask("/sign-in", "mallory@example.org")
            .await
            .sees_inbox_page();
        let mail = house.mails_to("mallory@example.org", 2).await.remove(0);
        let victim = house.visitor();
        let ours = state(&house).await;
        let fields = [
            ("token", mail.token().to_owned()),
            ("email", "mallory@example.org".to_owned()),
        ];
        for (route, fields) in [
            ("/sign-in/link", &fields[..]), // signs in
            ("/sign-in", &fields[1..]),     // asks for a link in the victim's browser
            ("/register", &fields[1..]),
            ("/confirm-email/send", &fields[1..]),
        ] {
            let request = post(&victim, route, fields)
                .header("sec-fetch-site", "cross-site")
                .header("origin", "https://evil.test");
            let page = victim.send(request).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{route}");
            assert_eq!(page.set_cookies(), [""; 0], "{route}");
        }
        assert_eq!(state(&house).await, ours);
        assert_eq!(victim.signed_in_as().await, None);

        // The same form from our own page would have done it: the refusal is what stood in between.
        let done = victim
            .send(post(&victim, "/sign-in/link", &fields).header("sec-fetch-site", "same-origin"));
        assert_eq!(done.await.status, StatusCode::SEE_OTHER);
        assert_eq!(
            victim.signed_in_as().await.as_deref(),
            Some("mallory@example.org")
        );
    }

    /// CSR-03
    async fn a_form_opened_before_signing_in_or_out_still_works_after_it(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        assert_eq!(ada.get("/sign-in").await.status, StatusCode::OK);

        // Asks to sign in although she is signed in by now.
        ada.ask("/sign-in", "ada@example.org")
            .await
            .sees_inbox_page();
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));

        // Signs out in two tabs.
        let out = ada.post("/sign-out", &[]).await;
        assert_eq!((out.status, out.location()), (StatusCode::SEE_OTHER, "/"));
        let out = ada.post("/sign-out", &[]).await;
        assert_eq!(out.status, StatusCode::SEE_OTHER);
        assert_eq!(
            ada.follow(out).await.status,
            StatusCode::OK,
            "a page to sign in"
        );

        // Types the code on the page from before.
        let mail = house.mails_to("ada@example.org", 2).await.remove(0);
        let code = mail.code.unwrap();
        let done = ada.post("/sign-in/code", &[("code", &code)]).await;
        assert_eq!(
            (done.status, done.location()),
            (StatusCode::SEE_OTHER, "/account")
        );
        // And presses Enter once more: used up, and she is in.
        let again = ada.post("/sign-in/code", &[("code", &code)]).await;
        again.goes_on_to("/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
    }

    /// CSR-03
    async fn a_form_opened_before_a_restart_still_works_after_it(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org")
            .await
            .sees_inbox_page();
        let mail = house.mail_to("ada@example.org").await;
        let page = ada.click(mail.path()).await;
        let page = ada.follow(page).await;
        let token = page.hidden("token").unwrap();

        let house = house.restart(&[]).await;
        let ada = ada.moved_to(&house.url);
        let done = ada.post("/confirm-email", &[("token", &token)]).await;
        assert_eq!(
            (done.status, done.location()),
            (StatusCode::SEE_OTHER, "/account")
        );

        let house = house.restart(&[]).await;
        let ada = ada.moved_to(&house.url);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
        assert_eq!(ada.post("/sign-out", &[]).await.location(), "/");
        assert_eq!(ada.signed_in_as().await, None);
    }

    /// CSR-06
    async fn a_method_is_what_the_request_line_says(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        let overrides = [
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
        ];
        for name in overrides {
            let request = ada
                .request(Method::GET, "/sign-out?_method=POST")
                .header("sec-fetch-site", "same-origin")
                .header(name, "POST");
            let asked = ada.send(request).await;
            assert_eq!(asked.status, StatusCode::OK, "{name}");
            assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"), "{name}");
            let request = ada
                .form("/sign-out?_method=GET", &[("_method", "GET")])
                .header("sec-fetch-site", "cross-site")
                .header(name, "GET");
            let page = ada.send(request).await;
            assert_ne!(page.status, StatusCode::SEE_OTHER, "{name} hides a POST");
            let request = ada
                .form(
                    "/sign-in",
                    &[("_method", "DELETE"), ("email", "ada@example.org")],
                )
                .header(name, "DELETE");
            ada.send(request).await.sees_inbox_page();
        }
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
    }
}
