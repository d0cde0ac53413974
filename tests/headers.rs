//! The headers on every answer, whatever it is an answer to; and those of the cookies.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};

use crate::support::{Database, House, Page, ScriptedServer, Visitor};

/// The whole set, each header once, on an answer of a house with or without TLS.
#[track_caller]
pub fn are_complete(page: &Page, what: &str) {
    let csp = csp(page);
    let only = |directive: &str| csp.get(directive).map(String::as_str);
    assert_eq!(only("default-src"), Some("'none'"), "{what}");
    // What a proxy shows at an app's host has its style and its mark from here, and no form.
    let is_shown_elsewhere = only("form-action") == Some("'none'") && what.contains(" /auth/");
    if !is_shown_elsewhere {
        assert_eq!(only("form-action"), Some("'self'"), "{what}");
    }
    assert_eq!(only("base-uri"), Some("'none'"), "{what}");
    assert_eq!(only("frame-ancestors"), Some("'none'"), "{what}"); // CSR-07
    for (directive, sources) in &csp {
        let is_looks = ["style-src", "img-src"].contains(&directive.as_str());
        let ours = ["'none'", "'self'"].contains(&sources.as_str())
            || is_shown_elsewhere && is_looks && sources.starts_with("http://localhost:");
        assert!(ours, "{what}: {directive} {sources}");
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), Some(value), "{what}: {name}");
    }
    let referrer = page.header("referrer-policy");
    assert!(
        matches!(referrer, Some("same-origin" | "no-referrer")),
        "{what}: {referrer:?}"
    );
    assert!(page.header("permissions-policy").is_some(), "{what}");
    let id = page.header("x-request-id").unwrap_or_default();
    assert!(id.len() >= 16 && id.is_ascii(), "{what}: request {id:?}");
    for name in ["server", "x-powered-by", "via"] {
        assert_eq!(page.header(name), None, "{what}: {name}");
    }
    for name in page.headers.keys() {
        assert!(
            !name.as_str().starts_with("access-control-"),
            "{what}: {name}"
        ); // HDR-05
    }
    if !page.body.is_empty() {
        let kind = page.header("content-type").unwrap_or_default();
        let says_all = kind.ends_with("; charset=utf-8")
            || ["application/json", "application/problem+json"].contains(&kind);
        assert!(says_all, "{what}: {kind:?}");
    }
}

#[track_caller]
fn csp(page: &Page) -> BTreeMap<String, String> {
    let csp = page
        .header("content-security-policy")
        .expect("a content security policy");
    csp.split(';')
        .map(|directive| {
            let directive = directive.trim();
            let (name, sources) = directive.split_once(' ').unwrap_or((directive, ""));
            (name.to_owned(), sources.to_owned())
        })
        .collect()
}

/// An answer of every class, by name.
async fn answers(house: &House, ada: &Visitor, token: &str) -> Vec<(&'static str, Page)> {
    let bea = house.visitor();
    let json = |path: &str| {
        ada.request(Method::GET, path)
            .header("accept", "application/json")
    };
    let cross = bea
        .request(Method::POST, "/sign-in")
        .header("sec-fetch-site", "cross-site");
    let multipart = bea
        .request(Method::POST, "/sign-in")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "multipart/form-data; boundary=x")
        .body("--x--");
    let preflight = bea
        .request(Method::OPTIONS, "/sign-in")
        .header("origin", "https://evil.test")
        .header("access-control-request-method", "POST");
    let huge = "a".repeat(17 * 1024);
    let mut answers = vec![
        ("200 home", bea.get("/").await),
        ("200 form", bea.get("/sign-in").await),
        ("200 nothing asked", bea.get("/sign-in/sent").await),
        ("200 account", ada.get("/account").await),
        ("200 health", bea.get("/healthz").await),
        ("200 ready", bea.get("/readyz").await),
        ("200 head", bea.send(bea.request(Method::HEAD, "/")).await),
        ("303 asked", bea.ask("/sign-in", "bea@example.org").await),
        ("303 stranger", bea.get("/account").await),
        (
            "303 clean",
            bea.get(&format!("/sign-in/link?token={token}")).await,
        ),
        ("200 link", bea.get("/sign-in/link").await),
        (
            "400 doubled",
            bea.post("/sign-in", &[("email", "a"), ("email", "b")])
                .await,
        ),
        ("403 elsewhere", bea.send(cross).await),
        ("404 nothing", bea.get("/nothing").await),
        ("404 json", ada.send(json("/nothing")).await),
        ("404 static", bea.get("/static/nothing.css").await),
        (
            "405 method",
            bea.send(bea.request(Method::PUT, "/sign-in")).await,
        ),
        ("405 preflight", bea.send(preflight).await),
        (
            "405 health",
            bea.send(bea.request(Method::DELETE, "/healthz")).await,
        ),
        ("410 gone", bea.get("/sign-in/link?token=x").await),
        ("413 huge", bea.post("/sign-in", &[("email", &huge)]).await),
        ("415 multipart", bea.send(multipart).await),
        ("422 mistake", bea.ask("/register", "nobody").await),
        ("410 gone again", bea.get("/confirm-email?token=x").await),
        ("429 guesses", bea.get("/sign-in/link?token=x").await),
        ("410 no cookie", house.visitor().get("/confirm-email").await),
    ];
    // Trouble: a row that breaks a promise of ours, and a storage that does not answer.
    house
        .execute("CREATE UNIQUE INDEX trouble ON outbox (letter) WHERE email > 'trouble'")
        .await;
    bea.ask("/sign-in", "trouble-a@example.org")
        .await
        .sees_inbox_page();
    answers.push((
        "500 bug",
        bea.ask("/sign-in", "trouble-b@example.org").await,
    ));
    house
        .execute("ALTER TABLE limits RENAME TO limits_away")
        .await;
    answers.push(("503 storage", bea.ask("/sign-in", "cyd@example.org").await));
    house
        .execute("ALTER TABLE limits_away RENAME TO limits")
        .await;
    for (what, page) in &answers {
        assert_eq!(page.status.as_str(), &what[..3], "{what}: {}", page.body);
    }
    answers
}

/// The files that the home page brings along.
async fn files(visitor: &Visitor) -> Vec<(String, Page)> {
    let home = visitor.get("/").await.body;
    let mut files = Vec::new();
    for rest in home.split("\"/static/").skip(1) {
        let path = format!("/static/{}", rest.split_once('"').unwrap().0);
        let file = visitor.get(&path).await;
        files.push((path, file));
    }
    assert!(files.len() >= 3, "{home}");
    files
}

const LIMITS: (&str, &str) = ("LIMIT_TOKEN_PER_NETWORK", "2/1m");

/// An https house with somebody signed in, and the token of a link to her that lives.
async fn public_house(
    db: Database,
    sink: &ScriptedServer,
    variables: &[(&str, &str)],
) -> (House, Visitor, String) {
    let house = House::public(db, sink, variables).await;
    let ada = house.visitor();
    ada.ask("/register", "ada@example.org")
        .await
        .sees_inbox_page();
    ada.confirm(sink.letter_for("ada@example.org").await.mail().path())
        .await;
    house.advance(std::time::Duration::from_secs(61));
    ada.ask("/sign-in", "ada@example.org")
        .await
        .sees_inbox_page();
    let mail = sink
        .letters_for("ada@example.org", 2)
        .await
        .pop()
        .unwrap()
        .mail();
    (house, ada, mail.token().to_owned())
}

on_both! {
    /// HDR-01, HDR-02, HDR-03, HDR-04, HDR-05, CSR-07
    async fn every_answer_has_the_whole_set(db: Database) {
        let house = House::with(db, &[LIMITS]).await;
        let ada = house.member("ada@example.org").await;
        ada.ask("/sign-in", "ada@example.org")
            .await
            .sees_inbox_page();
        let mail = house.mails_to("ada@example.org", 2).await.remove(0);
        for (what, page) in answers(&house, &ada, mail.token()).await {
            are_complete(&page, what);
            assert_eq!(page.header("cache-control"), Some("no-store, no-cache"), "{what}");
            assert_eq!(page.header("strict-transport-security"), None, "{what}");
        }
        for (path, file) in files(&ada).await {
            are_complete(&file, &path);
        }
    }

    /// HDR-01, HDR-04
    async fn behind_tls_every_answer_says_so(db: Database) {
        let sink = ScriptedServer::start();
        let (house, ada, token) = public_house(db, &sink, &[LIMITS]).await;
        for (what, page) in answers(&house, &ada, &token).await {
            are_complete(&page, what);
            assert_eq!(
                page.header("strict-transport-security"),
                Some("max-age=63072000"),
                "{what}"
            );
        }
        for (path, file) in files(&ada).await {
            are_complete(&file, &path);
            assert_eq!(
                file.header("strict-transport-security"),
                Some("max-age=63072000"),
                "{path}"
            );
        }
    }

    /// HDR-04
    async fn hosts_below_ours_are_bound_to_tls_only_if_the_operator_says_so(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(db, &sink, &[("HSTS_INCLUDE_SUBDOMAINS", "true")]).await;
        for path in ["/", "/nothing", "/healthz"] {
            let page = house.visitor().get(path).await;
            let hsts = page.header("strict-transport-security");
            assert_eq!(hsts, Some("max-age=63072000; includeSubDomains"), "{path}");
        }
    }

    /// HDR-03
    async fn an_address_with_a_token_is_told_to_nobody(db: Database) {
        let house = House::with(db, &[LIMITS]).await;
        let ada = house.member("ada@example.org").await;
        ada.ask("/sign-in", "ada@example.org")
            .await
            .sees_inbox_page();
        let mail = house.mails_to("ada@example.org", 2).await.remove(0);
        let (path, token) = (mail.path(), mail.token());
        let elsewhere = house.visitor();
        let fields = [("token", token), ("email", "eve@example.org")];
        let right = [("token", token), ("email", "ada@example.org")];
        for (what, page) in [
            ("303 the first look", elsewhere.get(path).await),
            ("200 its page", elsewhere.get("/sign-in/link").await),
            (
                "422 a wrong address",
                elsewhere.post("/sign-in/link", &fields).await,
            ),
            (
                "400 a token twice",
                elsewhere.get(&format!("{path}&token=b")).await,
            ),
            ("303 in", elsewhere.post("/sign-in/link", &right).await),
            ("303 once more", elsewhere.get(path).await),
            ("410 used", house.visitor().get(path).await),
            ("429 too often", house.visitor().get(path).await),
            (
                "404 another page",
                house
                    .visitor()
                    .get(&format!("/nothing?token={token}"))
                    .await,
            ),
        ] {
            assert_eq!(page.status.as_str(), &what[..3], "{what}: {}", page.body);
            assert_eq!(
                page.header("referrer-policy"),
                Some("no-referrer"),
                "{what}"
            );
            assert_eq!(page.header("x-robots-tag"), Some("noindex"), "{what}");
            assert_eq!(page.header("cache-control"), Some("no-store, no-cache"), "{what}");
        }
    }

    /// HDR-05
    async fn nobody_elses_script_may_read_an_answer(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        for origin in [
            "null",
            "https://evil.test",
            &house.url,
            "http://sub.localhost",
        ] {
            for (method, path) in [
                (Method::GET, "/account"),
                (Method::OPTIONS, "/account"),
                (Method::OPTIONS, "/sign-out"),
                (Method::OPTIONS, "/nothing"),
            ] {
                let request = ada
                    .request(method.clone(), path)
                    .header("origin", origin)
                    .header("access-control-request-method", "POST")
                    .header("access-control-request-headers", "content-type")
                    .header("access-control-request-private-network", "true");
                let page = ada.send(request).await;
                are_complete(&page, path);
                if method == Method::OPTIONS {
                    assert!(
                        [403, 404, 405].contains(&page.status.as_u16()),
                        "{path}: {}",
                        page.status
                    );
                }
            }
        }
    }

    /// SES-03
    async fn every_cookie_behind_tls_is_bound_to_this_host_and_to_tls(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(db, &sink, &[]).await;
        let ada = house.visitor();
        let mut seen = Vec::new();
        let asked = ada.ask("/register", "ada@example.org").await;
        let mail = sink.letter_for("ada@example.org").await.mail();
        let looked = ada.click(mail.path()).await;
        let token = ada
            .follow(ada.click(mail.path()).await)
            .await
            .hidden("token")
            .unwrap();
        let confirmed = ada.post("/confirm-email", &[("token", &token)]).await;
        let out = ada.post("/sign-out", &[]).await;
        house.advance(std::time::Duration::from_secs(61));
        let shared = ada
            .post(
                "/sign-in",
                &[("email", "ada@example.org"), ("shared", "yes")],
            )
            .await;
        let mail = sink
            .letters_for("ada@example.org", 2)
            .await
            .pop()
            .unwrap()
            .mail();
        let entered = ada.click(mail.path()).await;
        for page in [asked, looked, confirmed, out, shared, entered] {
            for cookie in page.set_cookies() {
                assert!(cookie.len() <= 4096, "{cookie}");
                let mut parts = cookie.split("; ");
                let (name, _) = parts.next().unwrap().split_once('=').unwrap();
                assert!(name.starts_with("__Host-doorpost"), "{cookie}");
                let mut attributes: Vec<&str> = parts.collect();
                attributes
                    .retain(|part| !part.starts_with("Max-Age=") && !part.starts_with("Expires="));
                attributes.sort_unstable();
                assert_eq!(
                    attributes,
                    ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"],
                    "{cookie}"
                );
                seen.push(name.to_owned());
            }
        }
        for name in [
            "__Host-doorpost",
            "__Host-doorpost_asked",
            "__Host-doorpost_known",
            "__Host-doorpost_link",
        ] {
            assert!(
                seen.iter().any(|seen| seen == name),
                "no {name} in {seen:?}"
            );
        }
    }

    /// SES-03
    async fn only_on_this_machine_is_a_cookie_not_secure(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        let asked = ada.ask("/register", "ada@example.org").await;
        let mail = house.mail_to("ada@example.org").await;
        let token = ada
            .follow(ada.click(&mail.link).await)
            .await
            .hidden("token")
            .unwrap();
        let confirmed = ada.post("/confirm-email", &[("token", &token)]).await;
        let out = ada.post("/sign-out", &[]).await;
        for page in [asked, confirmed, out] {
            assert!(!page.set_cookies().is_empty());
            for cookie in page.set_cookies() {
                assert!(cookie.starts_with("doorpost"), "{cookie}");
                for part in ["; HttpOnly", "; SameSite=Lax", "; Path=/"] {
                    assert!(cookie.contains(part), "{part} in {cookie}");
                }
                assert!(
                    !cookie.contains("Secure") && !cookie.contains("Domain"),
                    "{cookie}"
                );
            }
        }
    }

    /// SES-03
    async fn a_cookie_never_outgrows_what_browsers_keep(db: Database) {
        let house = House::with(db, &[("LIMIT_MAIL_GAP", "off")]).await;
        let ada = house.visitor();
        let next = format!("/{}", "n".repeat(511));
        for host in ["a", "b", "c", "d"] {
            let local_part = "l".repeat(64);
            let label = "d".repeat(60);
            let email = format!("{local_part}@{host}.{label}.{label}.{label}.org");
            let asked = ada
                .post("/confirm-email/send", &[("email", &email), ("next", &next)])
                .await;
            asked.sees_inbox_page();
            for cookie in asked.set_cookies() {
                assert!(cookie.len() <= 4096, "{} bytes", cookie.len());
            }
        }
        assert_eq!(
            ada.get("/sign-in/sent").await.hidden("next").as_deref(),
            Some(&*next)
        );
    }

    /// A proxy gives a head so much room and no more (nginx 4 KiB), and a browser that outgrew it was shut out.
    async fn all_cookies_together_never_outgrow_a_head(db: Database) {
        let sink = ScriptedServer::start();
        let off = [("LIMIT_MAIL_GAP", "off"), ("LIMIT_MAIL_PER_ADDRESS", "off")];
        let house = House::public(db, &sink, &off).await;
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        ada.confirm(sink.letter_for("ada@example.org").await.mail().path()).await;
        // A form that was interrupted, with as much in it as is kept.
        let long = format!("{}@example.org", "l".repeat(1200));
        ada.post("/account/email", &[("email", &long)]).await.is_sent_to_the_gate("/account/email");
        assert!(ada.cookie("__Host-doorpost_form").is_some());

        let label = "d".repeat(60);
        for host in ["a", "b", "c", "d"] {
            let next = format!("/{host}{}", "n".repeat(510));
            let email = format!("{}@{host}.{label}.{label}.{label}.org", "l".repeat(64));
            let asked = ada.post("/sign-in", &[("email", &email), ("next", &next)]).await;
            asked.sees_inbox_page();
            let head = asked.headers.iter();
            let head: usize = head.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
            assert!(head < 4096, "{head} bytes of head");
            // The newest request is kept: whoever is signed in is sent where it wanted to go.
            ada.get("/sign-in/sent").await.goes_on_to(&next);
        }
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));

        // Of short requests all three are kept, and the form too.
        let eve = house.visitor();
        let mut links = Vec::new();
        for address in ["a@example.net", "b@example.net", "c@example.net"] {
            eve.ask("/register", address).await.sees_inbox_page();
            links.push(sink.letter_for(address).await.mail());
        }
        for mail in links {
            assert!(!eve.open(mail.path()).await.body.contains("type=\"email\""), "it asked");
        }
    }

    /// SES-03
    async fn pages_alone_set_no_cookie(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        for path in [
            "/",
            "/sign-in",
            "/register",
            "/sign-in/sent",
            "/account",
            "/nothing",
            "/healthz",
            "/sign-in/link?token=x",
        ] {
            assert_eq!(ada.get(path).await.set_cookies(), [""; 0], "{path}");
        }
        let ada = house.member("ada@example.org").await;
        for path in ["/", "/account", "/members", "/sign-in"] {
            let page = ada.get(path).await;
            assert_eq!(page.status, StatusCode::OK);
            assert_eq!(page.set_cookies(), [""; 0], "{path}");
        }
    }
}
