//! The pages that are not about signing in: the development inbox, the health routes, error pages; and
//! what the log says of all of them.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use doorpost::server::Server;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::forms::unescape;
use crate::headers;
use crate::program::{ANY_PORT, Doorpost};
use crate::routes::newest_mail_id;
use crate::support::{Database, Handed, House, Page, ScriptedServer, wire};

on_both! {
    /// An app that is built on Doorpost brings pages, and takes none away.
    async fn no_page_of_an_app_takes_the_place_of_one_of_ours(db: Database) {
        let house = House::new(db).await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::new().pages(everywhere);
        let serving = server.build(house.app.clone(), listener, 1).unwrap();
        let (handle, running) = (serving.handle(), tokio::spawn(serving));
        let ada = house.member("ada@example.org").await.moved_to(&url);
        for ours in ["/sign-in", "/account", "/api", "/healthz", "/dev/inbox"] {
            let page = ada.get(ours).await;
            assert_eq!(page.status, StatusCode::OK, "{ours}");
            assert_ne!(page.body, "mine", "{ours}");
        }
        for theirs in ["/", "/members", "/any/thing"] {
            assert_eq!(ada.get(theirs).await.body, "mine", "{theirs}");
        }
        handle.stop(true).await;
        running.await.unwrap().unwrap();
    }

    async fn the_development_inbox_shows_the_mail_to_whoever_is_on_this_machine(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        assert!(ada.get("/dev/inbox").await.body.contains("No mail yet"));
        ada.ask("/register", "ada@example.org")
            .await
            .sees_inbox_page();
        let mail = house.mail_to("ada@example.org").await;
        let list = ada.get("/dev/inbox").await;
        let id = list.between("href=\"/dev/inbox/", "\"").unwrap();
        assert!(list.body.contains(&mail.subject) && list.body.contains("ada@example.org"));
        let page = ada.get(&format!("/dev/inbox/{id}")).await;
        assert!(
            page.body
                .contains(&format!("<a href=\"{0}\">{0}</a>", mail.link)),
            "{}",
            page.body
        );
        let letter = ada.get(&format!("/dev/inbox/{id}/html")).await;
        assert_eq!(letter.body, mail.html);
        let csp = letter.header("content-security-policy").unwrap();
        assert!(
            csp.starts_with("sandbox allow-popups") && csp.contains("default-src 'none'"),
            "{csp}"
        );
        assert!(
            csp.contains("frame-ancestors 'self'") && !csp.contains("allow-scripts"),
            "{csp}"
        );
        assert_eq!(letter.header("cache-control"), Some("no-store, no-cache"));

        house.advance(Duration::from_secs(61));
        ada.ask("/register", "ada@example.org")
            .await
            .sees_inbox_page();
        house.mails_to("ada@example.org", 2).await;
        let newest = ada
            .get("/dev/inbox")
            .await
            .between("href=\"/dev/inbox/", "\"")
            .unwrap();
        assert_ne!(newest, id, "the newest is first");
        for path in [
            "/dev/inbox/nothing",
            "/dev/inbox/nothing/html",
            "/dev/inbox/%ff",
            "/dev/inbox/",
            "/dev",
        ] {
            assert_eq!(ada.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    async fn the_development_inbox_shows_what_a_mail_server_would_be_handed(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        let id = newest_mail_id(&ada).await;
        let page = ada.get(&format!("/dev/inbox/{id}")).await;
        let source = page.between("<pre class=\"letter source\">", "</pre>").unwrap();
        let handed = Handed {
            from: "doorpost@localhost".to_owned(),
            to: vec!["ada@example.org".to_owned()],
            raw: unescape(&source),
            connection: 0,
            taken: true,
        };
        let shown = handed.mail();
        assert_eq!((shown.subject, shown.text, shown.html), (mail.subject, mail.text, mail.html));
        assert_eq!(handed.header("to"), "ada@example.org");
        assert_eq!(handed.header("date"), "Sun, 22 Nov 2026 00:00:00 +0000");
        assert_eq!(handed.header("message-id"), format!("<{id}@localhost>"));
        let facts = unescape(&page.between("<dl class=\"facts\">", "</dl>").unwrap());
        for fact in [
            "Doorpost <doorpost@localhost>",
            "ada@example.org",
            "22 November 2026, 00:00 UTC",
            &format!("<{id}@localhost>"),
        ] {
            assert!(facts.contains(fact), "{fact} is not in {facts}");
        }
    }

    async fn the_development_inbox_is_cleared_of_what_it_shows_and_of_nothing_else(db: Database) {
        let mut house = House::new(db).await;
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        let id = newest_mail_id(&ada).await;
        house.hold_mail();
        ada.ask("/register", "ben@example.org").await.sees_inbox_page();

        let elsewhere = ada
            .request(Method::POST, "/dev/inbox/clear")
            .header("sec-fetch-site", "cross-site")
            .header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(ada.send(elsewhere).await.status, StatusCode::FORBIDDEN);
        assert_eq!(newest_mail_id(&ada).await, id, "nothing happened");

        ada.post("/dev/inbox/clear", &[]).await.goes_on_to("/dev/inbox");
        assert!(ada.get("/dev/inbox").await.body.contains("No mail yet"));
        for path in [format!("/dev/inbox/{id}"), format!("/dev/inbox/{id}/html")] {
            assert_eq!(ada.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
        }

        house.release_mail();
        house.mail_to("ben@example.org").await; // which waited
        ada.confirm(&mail.link).await; // the link lives on
    }

    /// DNS rebinding: a page elsewhere reads what it likes through a name of its own that points here.
    async fn the_development_inbox_answers_only_who_names_this_machine(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org")
            .await
            .sees_inbox_page();
        house.mail_to("ada@example.org").await;
        let id = ada
            .get("/dev/inbox")
            .await
            .between("href=\"/dev/inbox/", "\"")
            .unwrap();
        let paths = [
            "/dev/inbox".to_owned(),
            format!("/dev/inbox/{id}"),
            format!("/dev/inbox/{id}/html"),
        ];
        for (host, status) in [
            ("localhost", StatusCode::OK),
            ("LocalHost:8080", StatusCode::OK),
            ("app.localhost:8080", StatusCode::OK),
            ("127.0.0.1:8080", StatusCode::OK),
            ("[::1]:8080", StatusCode::OK),
            ("evil.test", StatusCode::NOT_FOUND),
            ("evil.test:8080", StatusCode::NOT_FOUND),
            ("localhost.evil.test", StatusCode::NOT_FOUND),
            ("localhost@evil.test", StatusCode::NOT_FOUND),
            ("evil.test#localhost", StatusCode::NOT_FOUND),
            ("evil.test/localhost", StatusCode::NOT_FOUND),
            ("127.0.0.1.nip.test", StatusCode::NOT_FOUND),
            ("192.168.0.1", StatusCode::NOT_FOUND),
            ("0.0.0.0", StatusCode::NOT_FOUND),
            ("[::ffff:192.168.0.1]", StatusCode::NOT_FOUND),
            ("notlocalhost", StatusCode::NOT_FOUND),
            ("localhost.", StatusCode::NOT_FOUND),
            ("", StatusCode::NOT_FOUND),
        ] {
            for path in &paths {
                let page = ada
                    .send(ada.request(Method::GET, path).header("host", host))
                    .await;
                assert_eq!(page.status, status, "{host:?} asks for {path}");
            }
            if status == StatusCode::NOT_FOUND {
                let clear = ada.form("/dev/inbox/clear", &[]).header("host", host);
                assert_eq!(ada.send(clear).await.status, status, "{host:?} clears");
            }
        }
        assert_eq!(newest_mail_id(&ada).await, id, "nobody cleared it");
    }

    async fn where_mail_is_really_sent_there_is_no_inbox(db: Database) {
        let sink = ScriptedServer::start();
        let local = House::with(db, &[("SMTP_URL", &sink.url())]).await;
        let public = House::public(db, &sink, &[]).await;
        for house in [local, public] {
            let ada = house.visitor();
            let asked = ada.ask("/register", "ada@example.org").await;
            asked.sees_inbox_page();
            sink.letter_for("ada@example.org").await;
            for path in ["/dev/inbox", "/dev/inbox/x", "/dev/inbox/x/html"] {
                for host in ["localhost", "sign.example.test"] {
                    let page = ada
                        .send(ada.request(Method::GET, path).header("host", host))
                        .await;
                    assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
                }
            }
            let clear = ada.post("/dev/inbox/clear", &[]).await;
            assert_eq!(clear.status, StatusCode::NOT_FOUND);
            assert!(!ada.get("/sign-in/sent").await.body.contains("/dev/inbox"));
        }
    }

    async fn healthz_and_readyz_say_how_it_is_without_asking_who_wants_to_know(db: Database) {
        let house = House::new(db).await;
        for host in ["localhost", "10.0.0.7:8080", "evil.test"] {
            let ada = house.visitor();
            let lives = ada
                .send(ada.request(Method::GET, "/healthz").header("host", host))
                .await;
            assert_eq!(
                (lives.status, lives.body.as_str()),
                (StatusCode::OK, "{\"status\":\"ok\"}")
            );
            let ready = ada
                .send(ada.request(Method::GET, "/readyz").header("host", host))
                .await;
            assert_eq!(ready.status, StatusCode::OK, "{}", ready.body);
            assert_eq!(
                json(&ready),
                serde_json::json!({"database": "ok", "mail_worker": "ok", "smtp": "ok"})
            );
        }
    }

    async fn a_mail_server_that_is_away_takes_no_node_out(db: Database) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = format!("smtp://127.0.0.1:{}", free.local_addr().unwrap().port());
        drop(free);
        let house = House::with(db, &[("SMTP_URL", &nobody)]).await;
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org")
            .await
            .sees_inbox_page();
        let began = std::time::Instant::now();
        loop {
            let ready = ada.get("/readyz").await;
            assert_eq!(ready.status, StatusCode::OK, "{}", ready.body);
            let smtp = json(&ready)["smtp"].as_str().unwrap().to_owned();
            if smtp != "ok" {
                assert!(
                    smtp.contains("connecting") && !smtp.contains("ada@"),
                    "{smtp}"
                );
                break;
            }
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "no trouble is told"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Promise 20
    async fn a_clock_that_is_set_stops_no_worker(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        house.asked("/register", "ada@example.org").await; // it has gone round
        house.advance(Duration::from_secs(24 * 60 * 60));
        let ready = ada.get("/readyz").await;
        assert_eq!(ready.status, StatusCode::OK, "{}", ready.body);
    }

    /// HTTP-14
    async fn an_error_is_a_page_or_a_problem_as_the_reader_likes_and_tells_nothing_of_us(
        db: Database,
    ) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "2/1m")]).await;
        let ada = house.visitor();
        house
            .execute("CREATE UNIQUE INDEX trouble ON outbox (letter) WHERE email > 'trouble'")
            .await;
        ada.ask("/sign-in", "trouble-a@example.org")
            .await
            .sees_inbox_page();
        ada.get("/sign-in/link?token=x").await;
        ada.get("/sign-in/link?token=x").await;
        let huge = "a".repeat(17 * 1024);
        for accept in [
            None,
            Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            Some("*/*"),
            Some("application/json"),
            Some("application/problem+json, application/json;q=0.9"),
        ] {
            let prefers_json = accept.is_some_and(|accept| accept.contains("json"));
            let with = |mut request: reqwest::RequestBuilder| {
                if let Some(accept) = accept {
                    request = request.header("accept", accept);
                }
                ada.send(request)
            };
            for (status, request) in [
                (400, ada.form("/sign-in", &[("email", "a"), ("email", "b")])),
                (403, ada.request(Method::POST, "/sign-in")),
                (
                    404,
                    ada.request(Method::GET, "/nothing/of/the/kind?secret=1"),
                ),
                (405, ada.request(Method::DELETE, "/sign-in")),
                (413, ada.form("/sign-in", &[("email", &huge)])),
                (
                    415,
                    ada.request(Method::POST, "/sign-in")
                        .header("sec-fetch-site", "same-origin")
                        .body("a=b"),
                ),
                (429, ada.request(Method::GET, "/sign-in/link?token=x")),
                (
                    500,
                    ada.form("/sign-in", &[("email", "trouble-b@example.org")]),
                ),
            ] {
                let page = with(request).await;
                is_an_honest_error(&page, status, prefers_json);
            }
            house
                .execute("ALTER TABLE limits RENAME TO limits_away")
                .await;
            let page = with(ada.form("/sign-in", &[("email", "bea@example.org")])).await;
            is_an_honest_error(&page, 503, prefers_json);
            house
                .execute("ALTER TABLE limits_away RENAME TO limits")
                .await;
        }
        let full = House::with(db, &[("MAIL_QUEUE_MAX", "0")]).await;
        for email in ["ada@example.org", "bea@example.org"] {
            let page = full.visitor().ask("/sign-in", email).await;
            is_an_honest_error(&page, 503, false);
        }
    }

    /// Programs that take both are asked which they like better.
    async fn who_likes_json_better_gets_it(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        for (accept, kind) in [
            ("application/json", "application/problem+json"),
            ("application/problem+json", "application/problem+json"),
            ("application/json, */*", "application/problem+json"),
            (
                "application/json, text/html;q=0.5",
                "application/problem+json",
            ),
            (
                "text/html;q=0.5, application/json",
                "application/problem+json",
            ),
            ("APPLICATION/JSON", "application/problem+json"),
            (
                "text/html, application/json;q=0.9",
                "text/html; charset=utf-8",
            ),
            ("text/html, application/json", "text/html; charset=utf-8"),
            ("application/json;q=0", "text/html; charset=utf-8"),
            ("text/plain", "text/html; charset=utf-8"),
            ("junk;q=junk,,;", "text/html; charset=utf-8"),
        ] {
            let page = ada
                .send(
                    ada.request(Method::GET, "/nothing")
                        .header("accept", accept),
                )
                .await;
            assert_eq!(page.status, StatusCode::NOT_FOUND);
            assert_eq!(page.header("content-type"), Some(kind), "{accept}");
        }
    }
}

fn json(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap()
}

#[track_caller]
fn is_an_honest_error(page: &Page, status: u16, prefers_json: bool) {
    assert_eq!(page.status.as_u16(), status, "{}", page.body);
    headers::are_complete(page, &status.to_string());
    let id = page.header("x-request-id").unwrap();
    if prefers_json {
        assert_eq!(
            page.header("content-type"),
            Some("application/problem+json")
        );
        let problem = json(page);
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], id);
        assert!(
            problem["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
    } else {
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(page.body.contains(id), "the page names the request");
        assert!(
            page.body.contains("<main") && page.body.contains("doorpost.css"),
            "in the site's layout"
        );
    }
    let retry_after: Option<u64> = page.header("retry-after").map(|wait| wait.parse().unwrap());
    assert_eq!(
        retry_after.is_some(),
        [429, 503].contains(&status),
        "{status}"
    );
    assert!(retry_after.is_none_or(|wait| wait >= 1));
    for inside in [
        "secret=1",
        "kind?",
        "SELECT",
        "INSERT",
        "outbox",
        "limits",
        "sqlite",
        "postgres",
        "relation",
        "constraint",
        "trouble",
        "src/",
        ".rs",
        "panicked",
        "actix",
        env!("CARGO_PKG_VERSION"),
        "diesel",
        "@example.org",
    ] {
        assert!(
            !page.body.to_lowercase().contains(&inside.to_lowercase()),
            "{status} tells of {inside}"
        );
    }
}

/// FLT-02, as far as pages go
#[tokio::test]
async fn while_postgres_is_away_the_process_lives_and_says_that_it_is_not_ready() {
    let house = House::new(Database::Postgres).await;
    let ada = house.member("ada@example.org").await;
    house.set_database_away(true).await;
    for _ in 0..3 {
        let began = std::time::Instant::now();
        assert_eq!(ada.get("/healthz").await.status, StatusCode::OK);
        let ready = ada.get("/readyz").await;
        assert_eq!(
            ready.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{}",
            ready.body
        );
        assert_eq!(json(&ready)["database"], "away");
        is_an_honest_error(&ada.get("/account").await, 503, false);
        is_an_honest_error(&ada.ask("/sign-in", "ada@example.org").await, 503, false);
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "after {:?}",
            began.elapsed()
        );
    }
    // The worker has met it by now, too: what it says of mail is about mail, and not about our database.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let ready = json(&ada.get("/readyz").await).to_string();
    for inside in ["house_", "127.0.0.1", "connections", "database \\\""] {
        assert!(!ready.contains(inside), "{inside} in {ready}");
    }

    house.set_database_away(false).await;
    let began = std::time::Instant::now();
    while ada.get("/readyz").await.status != StatusCode::OK {
        assert!(began.elapsed() < Duration::from_secs(5), "not back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
}

/// What a visitor leaves in the log of a real program that is as talkative as it can be made.
async fn log_of_a_visit(format: &str) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let variables = [ANY_PORT, ("RUST_LOG", "trace"), ("LOG_FORMAT", format)];
    let program = Doorpost::serving(folder.path(), &variables);
    let ada = program.visitor();
    let mut secrets: Vec<String> = Vec::new();
    let ask = ada
        .form(
            "/register?evil-query=1",
            &[
                ("email", "ada.secret@example.org"),
                ("next", "/members?evil-next"),
            ],
        )
        .header("user-agent", "evil-agent \"}{\" level=ERROR")
        .header("referer", "http://evil-referer/")
        .header("x-request-id", "evil-id")
        .header("x-forwarded-for", "evil-hop");
    ada.send(ask).await.sees_inbox_page();
    let mail = program.mail_to("ada.secret@example.org").await;
    let (path, token, code) = (mail.path(), mail.token(), mail.code());
    let wrong = format!("{}A", &token[..42]);
    for path in [
        path,
        &format!("/confirm-email?token={wrong}"),
        &format!("/evil-path/{token}"),
        &format!("/static/{token}"),
    ] {
        ada.click(path).await;
    }
    ada.post("/sign-in/code", &[("code", "evil-code")]).await;
    let done = ada.post("/sign-in/code", &[("code", code)]).await;
    assert_eq!(
        (done.status, done.location()),
        (StatusCode::SEE_OTHER, "/members?evil-next")
    );
    ada.post(
        "/sign-in",
        &[(
            "email",
            "evil\r\n2026-01-01T00:00:00Z ERROR evil\u{1b}[31m@example.org",
        )],
    )
    .await;
    ada.post("/sign-in", &[("email", "a"), ("email", "evil-double")])
        .await;
    ada.set_cookie("doorpost_known", "evil-cookie");
    ada.get("/account").await;
    for name in ["doorpost", "doorpost_asked", "doorpost_link"] {
        secrets.extend(ada.cookie(name));
    }
    ada.post("/sign-out", &[]).await;
    for junk in [
        "GET /evil-wire\x1b[31m HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: evil-value\x1b[31m\r\n\r\n",
        "EVIL-METHOD evil evil evil\r\n\r\n",
    ] {
        wire::say(&program.url, junk).await;
    }
    secrets.extend([token, &wrong, code, "ada.secret", "evil-", "\u{1b}"].map(str::to_owned));
    let last = ada.get("/").await;
    program.says(last.header("x-request-id").unwrap());
    (program.log(), secrets)
}

/// LOG-02, promise 21
#[tokio::test]
async fn the_log_shows_patterns_and_nothing_that_a_visitor_wrote() {
    for format in ["text", "json"] {
        let (log, secrets) = log_of_a_visit(format).await;
        for secret in secrets {
            assert!(!log.contains(&secret), "{secret:?} is in the log:\n{log}");
        }
        for line in log.lines() {
            match format {
                "json" => {
                    let event: Value = serde_json::from_str(line).expect(line);
                    assert!(
                        event["timestamp"].is_string() && event["level"].is_string(),
                        "{line}"
                    );
                }
                _ => {
                    let (time, rest) = line.split_once(' ').expect(line);
                    assert!(time.len() == 27 && time.ends_with('Z'), "{line}");
                    let level = rest.split_whitespace().next().expect(line);
                    assert!(
                        ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level),
                        "{line}"
                    );
                }
            }
        }
        for route in [
            "/register",
            "/confirm-email",
            "/sign-in/code",
            "/account",
            "/dev/inbox/{id}",
            "none",
        ] {
            let text = format!("route=\"{route}\"");
            let json = format!("\"route\":\"{route}\"");
            assert!(
                log.contains(&text) || log.contains(&json),
                "{route} is not in the log:\n{log}"
            );
        }
        let requests = log
            .lines()
            .filter(|line| line.contains("middleware") && line.contains("request_id"));
        assert!(requests.clone().count() >= 12);
        for line in requests {
            assert!(
                line.contains("status") && line.contains("method") && line.contains("micros"),
                "{line}"
            );
        }
    }
}

/// HTTP-14
#[tokio::test]
async fn the_id_on_an_error_page_finds_its_line_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let program = Doorpost::serving(folder.path(), &[ANY_PORT]);
    let page = program.visitor().get("/nothing").await;
    let id = page.header("x-request-id").unwrap();
    program.says(id);
    let log = program.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(id)).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains("status=404") && lines[0].contains("method=GET"),
        "{}",
        lines[0]
    );
}

/// Pages under every address there is.
fn everywhere(cfg: &mut ServiceConfig) {
    let mine = async || HttpResponse::Ok().body("mine");
    cfg.service(web::resource("/{any:.*}").get(mine));
}
