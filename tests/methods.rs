//! What a request may be besides GET and POST of a route: nothing; and what stands at paths that are none.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::{Method, StatusCode};

use crate::support::{Database, House, Page, wire};
use crate::{headers, routes};

/// What HEAD and GET may differ in.
const DIFFERENT_EACH_TIME: [&str; 2] = ["x-request-id", "date"];

fn comparable(page: &Page) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = page
        .headers
        .iter()
        .filter(|(name, _)| !DIFFERENT_EACH_TIME.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    headers
}

on_both! {
    /// HTTP-07
    async fn other_methods_are_refused_on_every_route(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        let long = "M".repeat(1024);
        let others = [
            "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "get", "Post",
            "QUERY", "!", &long,
        ];
        for (path, methods) in routes::paths(&routes::newest_mail_id(&ada).await) {
            let known = [Method::GET, Method::POST, Method::HEAD]
                .into_iter()
                .filter(|method| !methods.contains(method));
            let other = others
                .iter()
                .map(|name| Method::from_bytes(name.as_bytes()).unwrap())
                .filter(|method| !methods.contains(method));
            for method in known.chain(other) {
                let what = format!("{method:.20} {path}");
                let request = ada
                    .request(method.clone(), &path)
                    .header("sec-fetch-site", "same-origin")
                    .header("x-mark", "what TRACE would echo");
                let page = ada.send(request).await;
                assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED, "{what}");
                let allow = page.header("allow").unwrap_or_default();
                for method in &methods {
                    assert!(
                        allow.split(", ").any(|allowed| allowed == method.as_str()),
                        "{what}: {allow}"
                    );
                }
                assert_eq!(allow.split(", ").count(), methods.len(), "{what}: {allow}");
                assert!(
                    !page.body.contains("would echo") && !page.body.contains("MMMMMMMM"),
                    "{what}"
                );
                headers::are_complete(&page, &what);
                assert!(page.set_cookies().is_empty(), "{what}");
            }
        }
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
    }

    /// HTTP-07
    async fn nobody_is_connected_to_anywhere(db: Database) {
        let house = House::new(db).await;
        for target in [
            "evil.test:443",
            "localhost:80",
            "/",
            "/sign-in",
            "http://evil.test/",
        ] {
            let heard = wire::say(
                &house.url,
                format!("CONNECT {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            )
            .await;
            assert!(
                matches!(heard.statuses[..], [400 | 404 | 405]),
                "{target}: {}",
                heard.text
            );
        }
        let heard = wire::say(&house.url, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(
            matches!(heard.statuses[..], [400 | 404 | 405]),
            "{}",
            heard.text
        );
    }

    /// HTTP-07
    async fn head_is_get_without_the_body(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        let mut paths: Vec<String> = routes::paths(&routes::newest_mail_id(&ada).await)
            .into_keys()
            .collect();
        paths.extend(
            [
                "/nothing",
                "/sign-in/link?token=x",
                "/account?a=b",
                "/sign-in?next=/a&next=/b",
            ]
            .map(str::to_owned),
        );
        for visitor in [house.visitor(), ada] {
            for path in &paths {
                let get = visitor.get(path).await;
                let head = visitor.request(Method::HEAD, path);
                let head = visitor.send(head.header("sec-fetch-site", "none")).await;
                assert_eq!(head.status, get.status, "{path}");
                assert_eq!(head.body, "", "{path}");
                assert_eq!(comparable(&head), comparable(&get), "{path}");
                let length = head.header("content-length");
                // An answer without content has no length (RFC 9110, 8.6).
                let expected = (get.status != StatusCode::NO_CONTENT).then_some(get.body.len());
                assert_eq!(length.map(|length| length.parse().unwrap()), expected, "{path}");
            }
        }
    }

    /// HTTP-07, TOK-19
    async fn head_uses_nothing_up(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        ada.ask("/sign-in", "ada@example.org")
            .await
            .sees_inbox_page();
        let mail = house.mails_to("ada@example.org", 2).await.remove(0);
        let head = ada
            .request(Method::HEAD, &mail.link)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        let page = ada.send(head).await;
        assert_eq!(
            (page.status, page.location()),
            (StatusCode::SEE_OTHER, "/sign-in/link")
        );
        assert_eq!(
            house
                .count(
                    "SELECT count(*) AS n FROM links WHERE used_at IS NULL AND purpose = 'sign_in'"
                )
                .await,
            1
        );
        let page = ada.click(&mail.link).await;
        assert_eq!(
            (page.status, page.location()),
            (StatusCode::SEE_OTHER, "/account")
        );
    }

    /// HTTP-08
    async fn there_is_nothing_below_static_but_its_files(db: Database) {
        let house = House::new(db).await;
        for target in [
            "/static",
            "/static/",
            "/static//",
            "/static/.",
            "/static/..",
            "/static/../",
            "/static/../Cargo.toml",
            "/static/../../etc/passwd",
            "/static/%2e%2e/Cargo.toml",
            "/static/..%2fCargo.toml",
            "/static/%2e%2e%2fCargo.toml",
            "/static/%252e%252e%252fCargo.toml",
            "/static/..\\Cargo.toml",
            "/static/..%5cCargo.toml",
            "/static/%5c..%5c.env",
            "/static//etc/passwd",
            "/static/%2fetc%2fpasswd",
            "/static/%00",
            "/static/doorpost.css%00.html",
            "/static/.env",
            "/static/../.env",
            "/static/.git/config",
            "/static/../data/doorpost.db",
            "/static/../data/secret_key",
            "/static/../templates/layout.html",
            "/static/..;/Cargo.toml",
            "/static/....//Cargo.toml",
            "/static/%c0%ae%c0%ae/Cargo.toml",
            "/.env",
            "/.git/config",
            "/Cargo.toml",
            "/data/doorpost.db",
            "/data/secret_key",
            "/templates/layout.html",
            "/tests/run",
            "/..%2f..%2fetc%2fpasswd",
            "/../../etc/passwd",
            "//etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/static/doorpost.css",
            "/static/doorpost.js",
            "/static/icon.svg",
            "/static/000000000000/doorpost.css",
            "/static/doorpost.css.map",
            "/favicon.ico",
            "/robots.txt/",
            "/server-status",
            "/metrics",
            "/debug",
            "/actuator/env",
        ] {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            let heard = wire::say(&house.url, request).await;
            assert!(
                matches!(heard.statuses[..], [400 | 404]),
                "{target}: {}",
                heard.text
            );
            for secret in [
                "[package]",
                "root:",
                "SQLite format",
                "{%",
                "#!/",
                "SECRET_KEY",
                "Index of",
            ] {
                assert!(!heard.text.contains(secret), "{target} gives away {secret}");
            }
        }
    }

    /// HTTP-20
    async fn a_file_comes_compressed_to_whoever_takes_that_and_a_page_never_does(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        let home = ada.get("/").await.body;
        let (before, _) = home.split_once("/doorpost.css\"").unwrap();
        let path = format!("/static/{}/doorpost.css", before.rsplit_once('/').unwrap().1);
        let stylesheet = include_bytes!("../static/doorpost.css");
        let get = |path: &str, accepted: &str| {
            let request = ada.request(Method::GET, path).header("accept-encoding", accepted);
            request.send()
        };
        for accepted in ["gzip", "br, gzip;q=0.5", "gzip, deflate, br, zstd"] {
            let file = get(&path, accepted).await.unwrap();
            assert_eq!(file.headers()["content-encoding"], "gzip", "{accepted}");
            assert_eq!(file.headers()["vary"], "accept-encoding", "{accepted}");
            let bytes = file.bytes().await.unwrap();
            assert!(bytes.len() < stylesheet.len() / 2, "{} bytes", bytes.len());
            let mut unpacked = Vec::new();
            GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == stylesheet, "{accepted}");
        }
        for accepted in ["identity", "br", "gzip;q=0", ""] {
            let file = get(&path, accepted).await.unwrap();
            assert!(!file.headers().contains_key("content-encoding"), "{accepted}");
            assert_eq!(file.headers()["vary"], "accept-encoding", "{accepted}");
            assert!(file.bytes().await.unwrap() == stylesheet[..], "{accepted}");
        }
        // What is secret in a page would show in its length (BREACH).
        let page = get("/sign-in", "gzip").await.unwrap();
        assert!(!page.headers().contains_key("content-encoding"));
    }

    async fn a_file_is_what_it_says_and_may_be_kept(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        let home = ada.get("/").await.body;
        for (file, kind) in [
            ("doorpost.css", "text/css; charset=utf-8"),
            ("doorpost.js", "text/javascript; charset=utf-8"),
            ("icon.svg", "image/svg+xml; charset=utf-8"),
        ] {
            let (before, _) = home.split_once(&format!("/{file}\"")).unwrap();
            let fingerprint = before.rsplit_once('/').unwrap().1;
            let path = format!("/static/{fingerprint}/{file}");
            let page = ada.get(&path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            assert_eq!(page.header("content-type"), Some(kind));
            assert_eq!(
                page.header("cache-control"),
                Some("public, max-age=31536000, immutable")
            );
            assert!(!page.body.is_empty());
            headers::are_complete(&page, &path);
            assert_eq!(page.header("content-encoding"), None, "nobody asked for it");
            // Any other fingerprint is another file, and there is none.
            let mut digits: Vec<char> = fingerprint.chars().collect();
            digits[0] = if digits[0] == '0' { '1' } else { '0' };
            let other: String = digits.into_iter().collect();
            for path in [
                format!("/static/{other}/{file}"),
                format!("{path}.bak"),
                format!("{path}/"),
                path.to_uppercase(),
            ] {
                let page = ada.get(&path).await;
                assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
                assert_eq!(page.header("cache-control"), Some("no-store, no-cache"), "{path}");
            }
        }
    }
}
