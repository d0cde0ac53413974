//! Bytes on the wire that are hardly HTTP, or HTTP meant to be misread.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;

use crate::program::{ANY_PORT, Doorpost};
use crate::support::{Database, House, wire};

/// A form's head up to its framing.
const FORM: &str = "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\
                    Content-Type: application/x-www-form-urlencoded\r\n";

/// A page's head.
const PAGE: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";

/// What follows on the same connection: it must be answered alone, or not at all.
const CANARY: &str = "GET /canary HTTP/1.1\r\nHost: localhost\r\n\r\n";

on_both! {
    /// HTTP-10
    async fn whatever_two_readers_could_frame_differently_ends_the_connection(db: Database) {
        let house = House::new(db).await;
        for (what, framing) in [
            (
                "both lengths",
                "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
            ),
            (
                "both lengths, the other way",
                "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG",
            ),
            (
                "two lengths",
                "Content-Length: 6\r\nContent-Length: 0\r\n\r\nemail=",
            ),
            (
                "one length twice",
                "Content-Length: 6\r\nContent-Length: 6\r\n\r\nemail=",
            ),
            ("a list of lengths", "Content-Length: 6, 6\r\n\r\nemail="),
            ("a negative length", "Content-Length: -1\r\n\r\n"),
            ("a length with a sign", "Content-Length: +6\r\n\r\nemail="),
            ("a hexadecimal length", "Content-Length: 0x6\r\n\r\nemail="),
            ("two numbers", "Content-Length: 6 6\r\n\r\nemail="),
            ("an empty length", "Content-Length:\r\n\r\n"),
            (
                "a length beyond all numbers",
                "Content-Length: 99999999999999999999999\r\n\r\n",
            ),
            (
                "an unknown encoding",
                "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            ),
            (
                "chunked, not last",
                "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            ),
            (
                "chunked, not alone",
                "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            ),
            (
                "two encodings",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            ),
            (
                "identity",
                "Transfer-Encoding: identity\r\nContent-Length: 6\r\n\r\nemail=",
            ),
            (
                "a space before the colon",
                "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            ),
            (
                "a tab in the value",
                "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            ),
            (
                "a folded header",
                "X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                "a folded encoding",
                "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
            ),
            (
                "a bare CR",
                "X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            ),
            ("a NUL", "X-A: b\0\r\nContent-Length: 0\r\n\r\n"),
            ("a nameless header", ": b\r\nContent-Length: 0\r\n\r\n"),
            (
                "a header without a colon",
                "X-A\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                "a second host",
                "Host: evil.test\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                "a negative chunk",
                "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n",
            ),
            (
                "a chunk with a sign",
                "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
            ),
            (
                "a chunk with a prefix",
                "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
            ),
            (
                "a chunk beyond all numbers",
                "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n",
            ),
            (
                "a chunk that wraps round",
                "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n",
            ),
            (
                "a line end in an extension",
                "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
            ),
            (
                "chunks that end in LF",
                "Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
            ),
            (
                "a chunk longer than it says",
                "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
            ),
        ] {
            let heard = wire::say(&house.url, format!("{FORM}{framing}{CANARY}")).await;
            assert_eq!(heard.statuses, [400], "{what}: {}", heard.text);
            assert!(heard.closed, "{what}");
        }
        let http_1_0 = FORM.replace("HTTP/1.1", "HTTP/1.0");
        let heard = wire::say(
            &house.url,
            format!("{http_1_0}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{CANARY}"),
        )
        .await;
        assert_eq!(
            (&heard.statuses[..], heard.closed),
            (&[400][..], true),
            "chunks in HTTP/1.0"
        );
        assert_eq!(house.count("SELECT count(*) AS n FROM limits").await, 0);
    }

    /// HTTP-10
    async fn what_follows_a_well_framed_request_is_a_request_of_its_own(db: Database) {
        let house = House::new(db).await;
        for (what, request) in [
            ("a length", format!("{FORM}Content-Length: 6\r\n\r\nemail=")),
            ("no length", format!("{FORM}\r\n")),
            (
                "chunks",
                format!(
                    "{FORM}Transfer-Encoding: chunked\r\n\r\n3\r\nema\r\n3\r\nil=\r\n0\r\n\r\n"
                ),
            ),
            (
                "an extension",
                format!("{FORM}Transfer-Encoding: chunked\r\n\r\n6;a=b\r\nemail=\r\n0\r\n\r\n"),
            ),
            (
                "a trailer",
                format!(
                    "{FORM}Transfer-Encoding: chunked\r\n\r\n6\r\nemail=\r\n0\r\nX-A: b\r\n\r\n"
                ),
            ),
            (
                "lines that end in LF",
                format!("{FORM}Content-Length: 0\r\n\r\n").replace("\r\n", "\n"),
            ),
        ] {
            let heard = wire::say(&house.url, format!("{request}{CANARY}")).await;
            assert_eq!(heard.statuses, [422, 404], "{what}: {}", heard.text);
        }
        // A request as the body of another is a body.
        let request = format!("{PAGE}Content-Length: {}\r\n\r\n{CANARY}", CANARY.len());
        assert_eq!(wire::say(&house.url, request).await.statuses, [200]);
        let request = format!("{FORM}Content-Length: {}\r\n\r\n{CANARY}", CANARY.len());
        assert_eq!(wire::say(&house.url, request).await.statuses, [422]);
    }

    /// HTTP-09
    async fn a_flood_of_headers_ends_the_connection(db: Database) {
        let house = House::new(db).await;
        let many = |count: usize| {
            (0..count)
                .map(|number| format!("X-{number}: a\r\n"))
                .collect::<String>()
        };
        for (what, request, expected) in [
            ("96 headers", format!("{PAGE}{}\r\n", many(95)), &[200][..]),
            ("97 headers", format!("{PAGE}{}\r\n", many(96)), &[400, 431]),
            (
                "10,000 headers",
                format!("{PAGE}{}\r\n", many(10_000)),
                &[400, 431],
            ),
            (
                "a head of 130 kB",
                format!("{PAGE}X-A: {}\r\n\r\n", "a".repeat(133_000)),
                &[400, 431],
            ),
            (
                "a head of 130 kB without end",
                format!("{PAGE}X-A: {}", "a".repeat(133_000)),
                &[400, 431],
            ),
            (
                "a path of 70 kB",
                format!(
                    "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    "a".repeat(70_000)
                ),
                &[400, 414, 431],
            ),
            (
                "a cookie of 8 kB",
                format!("{PAGE}Cookie: doorpost={}\r\n\r\n", "a".repeat(8_000)),
                &[200],
            ),
            (
                "500 cookies",
                format!("{PAGE}Cookie: {}\r\n\r\n", "doorpost=a; ".repeat(500)),
                &[200],
            ),
        ] {
            let heard = wire::say(&house.url, &request).await;
            assert!(
                matches!(heard.statuses[..], [status] if expected.contains(&status)),
                "{what}: {}",
                heard.text
            );
            assert_eq!(heard.closed, heard.statuses != [200], "{what}");
        }
        assert_eq!(house.visitor().get("/").await.status, StatusCode::OK);
    }

    /// HTTP-09
    async fn cookies_and_headers_of_any_bytes_are_nobodys(db: Database) {
        let house = House::new(db).await;
        for path in ["/", "/account", "/sign-in/sent", "/sign-in/link"] {
            for junk in [
                &b"Cookie: doorpost=\xff\xfe; doorpost_asked=\xff"[..],
                b"Cookie: doorpost=%00%ff; doorpost_asked=%; doorpost_known=!; doorpost_link==",
                b"Cookie: =; ;; doorpost; doorpost=\"",
                b"Cookie: \r\nCookie: doorpost=",
                b"User-Agent: \xff\r\nReferer: \xe9\r\nAccept: \xff\r\nX-Forwarded-For: \xff",
                b"Sec-Fetch-Mode: \xff\r\nSec-Fetch-Dest: \xff\r\nPurpose: \xff\r\nOrigin: \xff",
            ] {
                let mut request =
                    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
                request.extend_from_slice(junk);
                request.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
                let heard = wire::say(&house.url, request).await;
                let expected = match path {
                    "/account" => 303,
                    "/sign-in/link" => 410,
                    _ => 200,
                };
                assert_eq!(
                    heard.statuses,
                    [expected],
                    "{path} with {}",
                    junk.escape_ascii()
                );
                assert!(
                    !heard.text.to_ascii_lowercase().contains("set-cookie"),
                    "{path}"
                );
            }
        }
    }

    /// HTTP-11
    async fn oddities_of_the_protocol_get_a_sane_answer(db: Database) {
        let house = House::new(db).await;
        for (what, request, expected, closed) in [
            (
                "HTTP/1.0",
                "GET /healthz HTTP/1.0\r\n\r\n",
                &[200][..],
                true,
            ),
            ("HTTP/0.9", "GET /healthz\r\n", &[400], true),
            (
                "HTTP/1.1 without a host",
                "GET /healthz HTTP/1.1\r\n\r\n",
                &[400],
                true,
            ),
            (
                "HTTP/1.2",
                "GET /healthz HTTP/1.2\r\nHost: localhost\r\n\r\n",
                &[400],
                true,
            ),
            (
                "HTTP/2 by prior knowledge",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
                &[400],
                true,
            ),
            (
                "an upgrade to HTTP/2",
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
                &[200],
                true,
            ),
            (
                "an absolute target",
                "GET http://evil.test/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
                &[200],
                false,
            ),
            (
                "a space in the target",
                "GET /heal thz HTTP/1.1\r\nHost: localhost\r\n\r\n",
                &[400],
                true,
            ),
            (
                "empty lines first",
                "\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
                &[200],
                false,
            ),
            (
                "TLS",
                "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n\r\n",
                &[400],
                true,
            ),
        ] {
            let heard = wire::say(&house.url, request).await;
            assert_eq!(heard.statuses, expected, "{what}: {}", heard.text);
            assert_eq!(heard.closed, closed, "{what}");
        }
        let path = b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(
            wire::say(&house.url, path).await.statuses,
            [400],
            "a path that is no text"
        );
    }

    /// HTTP-11
    async fn nobody_is_given_a_web_socket(db: Database) {
        let house = House::new(db).await;
        for (request, status) in [(PAGE, 200), (FORM, 408)] {
            let mut stream = wire::connect(&house.url).await;
            let upgrade = format!(
                "{request}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n{CANARY}"
            );
            stream.write_all(upgrade.as_bytes()).await.unwrap();
            if status == 408 {
                stream.shutdown().await.unwrap(); // the whole rest of the connection would be its body
            }
            let heard = wire::listen(stream, Duration::from_secs(3)).await;
            assert!(
                heard.closed && !heard.statuses.contains(&101),
                "{}",
                heard.text
            );
            assert!(
                !heard.statuses.contains(&404),
                "the canary is not a request: {}",
                heard.text
            );
        }
    }

    /// HTTP-11
    async fn a_hundred_requests_at_once_get_a_hundred_answers_in_order(db: Database) {
        let house = House::new(db).await;
        let paths = ["/healthz", "/canary", "/account", "/sign-in/link"];
        let requests: String = (0..100)
            .map(|number| {
                format!(
                    "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    paths[number % 4]
                )
            })
            .collect();
        let heard = wire::say(&house.url, requests).await;
        let expected: Vec<u16> = (0..100)
            .map(|number| [200, 404, 303, 410][number % 4])
            .collect();
        assert_eq!(heard.statuses, expected);
        let ids: std::collections::BTreeSet<&str> = heard
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("x-request-id: "))
            .collect();
        assert_eq!(ids.len(), 100, "each answer has an id of its own");
    }

    /// HTTP-11
    async fn on_one_connection_each_request_is_its_own_visitor(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        let cookie = ada.cookie("doorpost").unwrap();
        let asks =
            |cookie: &str| format!("GET /account HTTP/1.1\r\nHost: localhost\r\n{cookie}\r\n");
        let hers = asks(&format!("Cookie: doorpost={cookie}\r\n"));
        let heard = wire::say(
            &house.url,
            [&hers, &asks(""), &hers, &asks("")]
                .map(String::as_str)
                .concat(),
        )
        .await;
        assert_eq!(heard.statuses, [200, 303, 200, 303], "{}", heard.text);
    }

    /// HTTP-11
    async fn a_client_that_leaves_early_leaves_nothing_behind(db: Database) {
        let house = House::new(db).await;
        for part in [
            "G",
            "GET / HTTP/1.1\r\nHost:",
            &format!("{FORM}Content-Length: 100\r\n\r\nemail=ada@example.org"),
            &format!("{FORM}Transfer-Encoding: chunked\r\n\r\n15\r\nemail=ada@example.org\r\n"),
        ] {
            let mut stream = wire::connect(&house.url).await;
            stream.write_all(part.as_bytes()).await.unwrap();
            drop(stream);
        }
        assert_eq!(house.visitor().get("/").await.status, StatusCode::OK);
        assert_eq!(
            house.count("SELECT count(*) AS n FROM limits").await,
            0,
            "half a form asks for nothing"
        );
    }
}

/// HTTP-02, HTTP-11, promise 14
#[tokio::test]
async fn who_sends_too_slowly_is_let_go_and_holds_nobody_up() {
    let house = House::new(Database::Sqlite).await;
    let mut slow = tokio::task::JoinSet::new();
    for number in 0..200 {
        let (what, part) = match number % 5 {
            0 => ("nothing", String::new()),
            1 => ("half a head", PAGE.to_owned()),
            2 => ("half a form", format!("{FORM}Content-Length: 100\r\n\r\ne")),
            3 => (
                "half a chunk",
                format!("{FORM}Transfer-Encoding: chunked\r\n\r\n5\r\nem"),
            ),
            _ => (
                "a form it was told to go on with",
                format!("{FORM}Expect: 100-continue\r\nContent-Length: 6\r\n\r\n"),
            ),
        };
        let mut stream = wire::connect(&house.url).await;
        stream.write_all(part.as_bytes()).await.unwrap();
        slow.spawn(async move {
            let heard = wire::listen(stream, Duration::from_secs(20)).await;
            (what, heard)
        });
    }
    let ada = house.visitor();
    let began = Instant::now();
    while !slow.is_empty() {
        let asked = Instant::now();
        assert_eq!(ada.get("/sign-in").await.status, StatusCode::OK);
        let waited = asked.elapsed();
        assert!(
            waited < Duration::from_millis(500),
            "others waited {waited:?}"
        );
        while let Some(ended) = slow.try_join_next() {
            let (what, heard) = ended.unwrap();
            assert!(heard.closed, "{what} was left open");
            assert!(
                matches!(heard.statuses[..], [408] | [100, 408]),
                "{what}: {}",
                heard.text
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(18),
        "after {:?}",
        began.elapsed()
    );
}

/// How many callers send and never read, and how much each of them sends.
const DEAF: usize = 64;
const SENT: usize = 256 * 1024;

/// What the program may take for all of them: 2 MB each, for what the kernel lets them send ahead.
const BOUND: u64 = DEAF as u64 * 2 * 1024 * 1024;

/// They have 30 s to take something, and the kernel looks again only in a while.
const LET_GO: Duration = Duration::from_secs(90);

/// HTTP-04, promise 14: whoever sends and never reads fills no memory, holds nobody up, and is let go.
#[tokio::test]
async fn who_never_reads_is_let_go_and_fills_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let doorpost = Doorpost::serving(folder.path(), &[ANY_PORT]);
    let visitor = doorpost.visitor();
    assert_eq!(visitor.get("/sign-in").await.status, StatusCode::OK);
    let (held, open) = (doorpost.memory(), doorpost.open_files().len());

    // Answers that are many times longer than what asks for them.
    let asking = "GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let asking = asking.repeat(SENT / asking.len());
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        let stream = wire::connect(&doorpost.url).await;
        // It takes what is sent until it is sent answers that nobody takes.
        let sent = stream.try_write(asking.as_bytes());
        assert!(sent.is_ok(), "{sent:?}");
        deaf.push(stream);
    }
    let began = Instant::now();
    while doorpost.open_files().len() > open + 4 {
        let waited = began.elapsed();
        assert!(waited < LET_GO, "they are still there after {waited:?}");
        assert_eq!(visitor.get("/sign-in").await.status, StatusCode::OK);
        let grown = doorpost.memory().saturating_sub(held);
        assert!(grown < BOUND, "it grew by {grown} bytes");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(deaf);
}
