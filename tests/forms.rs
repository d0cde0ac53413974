//! Forms are read strictly, and nothing that is sent as one breaks anything.

use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, SET_COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::headers;
use crate::program::{ANY_PORT, Doorpost};
use crate::support::{Database, House, Page, Visitor, wire};

/// Every route that takes a form.
const ROUTES: [&str; 7] = [
    "/register",
    "/sign-in",
    "/sign-in/code",
    "/sign-in/link",
    "/confirm-email",
    "/confirm-email/send",
    "/sign-out",
];

const FORM: &str = "application/x-www-form-urlencoded";

fn sent(
    visitor: &Visitor,
    route: &str,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> RequestBuilder {
    let mut request = visitor
        .request(Method::POST, route)
        .header("sec-fetch-site", "same-origin")
        .body(body);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    request
}

async fn house_and_member(db: Database) -> (House, Visitor) {
    let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
    let ada = house.member("ada@example.org").await;
    (house, ada)
}

/// 16 KiB, all told.
fn body_of(length: usize) -> String {
    let start = "email=nobody&x=";
    format!("{start}{}", "a".repeat(length - start.len()))
}

on_both! {
    /// HTTP-05
    async fn what_is_no_form_is_refused_on_every_route(db: Database) {
        let (house, ada) = house_and_member(db).await;
        let unreadable: [&[u8]; 14] = [
            b"email=a@example.org&email=b@example.org",
            b"email=a@example.org&email=a@example.org",
            b"email=a@example.org&%65mail=b@example.org",
            b"token=a&token=b",
            b"x=1&x=2",
            b"x&x",
            b"email=%ff",
            b"email=ada%ff@example.org",
            b"email=\xff",
            b"%ff=1",
            b"x=%c3%28",
            b"x=%c0%80",           // an overlong NUL
            b"x=%ed%a0%80",        // half of a surrogate pair
            b"e\0m\0=\xff\xfe1\0", // UTF-16
        ];
        for route in ROUTES {
            for body in unreadable {
                let page = ada.send(sent(&ada, route, FORM, body)).await;
                let what = format!("{route} with {}", body.escape_ascii());
                assert_eq!(page.status, StatusCode::BAD_REQUEST, "{what}");
                headers::are_complete(&page, &what);
            }
        }
        assert_eq!(
            house.count("SELECT count(*) AS n FROM outbox").await,
            1,
            "only what made her a member"
        );
        assert!(ada.signed_in_as().await.is_some());
    }

    /// HTTP-05
    async fn what_is_a_form_with_nothing_of_use_in_it_is_a_mistake_and_no_more(db: Database) {
        let (_house, ada) = house_and_member(db).await;
        ada.forget_cookie("doorpost_link");
        for route in ROUTES {
            for body in [
                "",
                "&",
                "&&&",
                "=",
                "=&",
                "email",
                "email=",
                "token=",
                "code=",
                "x=1",
                "email[]=a@example.org",
                "email[0]=a",
                "email=%zz",
                "email=%",
                "email=%1",
                "email=%u0041",
                "email=+",
                "email=%00",
                "email=1e400",
                "email=-1",
                "email={\"a\":1}",
                "token[]=a",
                "token=%zz",
                "token=%00",
                "code=%zz",
                "code[]=BBBBBBBB",
                "code=99999999999999999999",
                "shared=2&email=a",
                "switch=%00",
                "next[]=/",
                "EMAIL=a@example.org",
                "id=1&role=admin&is_admin=1",
            ] {
                if route == "/sign-out" {
                    continue; // has no fields: it would do what it says
                }
                let page = ada.send(sent(&ada, route, FORM, body)).await;
                let what = format!("{route} with {body:?}");
                let is_link = route == "/sign-in/link" || route == "/confirm-email";
                let expected = if is_link {
                    StatusCode::GONE
                } else {
                    StatusCode::UNPROCESSABLE_ENTITY
                };
                assert_eq!(page.status, expected, "{what}");
                headers::are_complete(&page, &what);
            }
        }
        let out = ada
            .send(sent(&ada, "/sign-out", FORM, "x=%zz&%&email[]="))
            .await;
        assert_eq!((out.status, out.location()), (StatusCode::SEE_OTHER, "/"));
    }

    /// HTTP-05
    async fn fields_nobody_asked_for_are_ignored(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        let extra = [
            ("id", "1"),
            ("user_id", "1"),
            ("role", "admin"),
            ("is_admin", "true"),
            ("confirmed_at", "0"),
            ("email_verified", "true"),
            ("password", "correct horse battery staple"),
            ("created_at", "0"),
        ];
        let mut fields = vec![("email", "ada@example.org")];
        fields.extend(extra);
        ada.post("/register", &fields).await.sees_inbox_page();
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 0);
        let page = ada
            .click(&house.mail_to("ada@example.org").await.link)
            .await;
        let token = ada.follow(page).await.hidden("token").unwrap();
        let mut fields = vec![("token", token.as_str()), ("email", "eve@example.org")];
        fields.extend(extra);
        let done = ada.post("/confirm-email", &fields).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
    }

    /// HTTP-01, HTTP-05
    async fn a_form_weighs_at_most_16_kib(db: Database) {
        let (_house, ada) = house_and_member(db).await;
        for route in ROUTES {
            let fields: String = (0..10_000).map(|number| format!("f{number}=&")).collect();
            for (what, body) in [
                ("a byte too much", body_of(16 * 1024 + 1)),
                ("ten thousand fields", fields),
                ("one field of a megabyte", body_of(1024 * 1024)),
            ] {
                let page = ada.send(sent(&ada, route, FORM, body)).await;
                assert_eq!(
                    page.status,
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "{route} with {what}"
                );
                headers::are_complete(&page, what);
            }
        }
        for route in &ROUTES[..6] {
            let page = ada.send(sent(&ada, route, FORM, body_of(16 * 1024))).await;
            assert_ne!(
                page.status,
                StatusCode::PAYLOAD_TOO_LARGE,
                "{route} with all of 16 KiB"
            );
            assert!(
                page.status.is_client_error() && page.status != StatusCode::BAD_REQUEST,
                "{route}"
            );
        }
    }

    /// HTTP-01
    async fn a_form_whose_length_nobody_declared_weighs_no_more(db: Database) {
        let (house, _) = house_and_member(db).await;
        for (length, status) in [(16 * 1024, 422), (16 * 1024 + 1, 413)] {
            let body = body_of(length);
            let (first, second) = body.split_at(9_000);
            let request = format!(
                "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Type: {FORM}\r\n\
                 Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
                first.len(),
                second.len()
            );
            assert_eq!(
                wire::say(&house.url, request).await.statuses,
                [status],
                "{length} bytes"
            );
        }
    }

    /// HTTP-06, promise 10
    async fn one_content_type_is_taken_and_no_other(db: Database) {
        let (house, ada) = house_and_member(db).await;
        let part = "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\neve@example.org\r\n--x--\r\n";
        let many_parts = part.replace("--x--\r\n", "").repeat(10_000);
        for route in ROUTES {
            for (content_type, body) in [
                ("", "email=eve@example.org"),
                ("text/plain", "email=eve@example.org"),
                ("application/json", "{\"email\":\"eve@example.org\"}"),
                ("application/xml", "<email>eve@example.org</email>"),
                (
                    "application/x-www-form-urlencoded2",
                    "email=eve@example.org",
                ),
                (
                    "application/x-www-form-urlencoded, text/plain",
                    "email=eve@example.org",
                ),
                (
                    "application/x-www-form-urlencoded; charset=utf-16",
                    "email=eve@example.org",
                ),
                (
                    "application/x-www-form-urlencoded; charset=iso-8859-1",
                    "email=eve@example.org",
                ),
                ("multipart/form-data; boundary=x", part),
                ("multipart/form-data", part),
                ("multipart/form-data; boundary=", part),
                ("multipart/form-data; boundary=x", &many_parts),
                ("multipart/mixed; boundary=x", part),
                ("multipart/form-data; boundary=\"x\r", part),
            ] {
                if content_type.contains('\r') {
                    continue;
                }
                let page = ada
                    .send(sent(&ada, route, content_type, body.to_owned()))
                    .await;
                let what = format!("{route} as {content_type:?}");
                assert_eq!(page.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{what}");
                headers::are_complete(&page, &what);
            }
        }
        let huge = format!("multipart/form-data; boundary={}", "x".repeat(60_000));
        let page = ada.send(sent(&ada, "/sign-in", &huge, part)).await;
        assert_eq!(page.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(house.count("SELECT count(*) AS n FROM outbox").await, 1);
        assert!(ada.signed_in_as().await.is_some());
    }

    /// HTTP-05
    async fn a_mistake_comes_back_with_what_was_typed(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        for route in ["/register", "/sign-in", "/confirm-email/send"] {
            let typed = "\"><script>alert(1)</script>&lt;@";
            let page = ada
                .post(
                    route,
                    &[("email", typed), ("next", "/members"), ("shared", "yes")],
                )
                .await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(!page.body.contains("<script>alert"), "{}", page.body);
            let shown = page
                .between("id=\"email\" name=\"email\" type=\"email\" value=\"", "\"")
                .unwrap();
            assert_eq!(unescape(&shown), typed);
            assert_eq!(page.hidden("next").as_deref(), Some("/members"));
            assert!(
                page.body
                    .contains("value=\"yes\" aria-describedby=\"shared-hint\" checked")
            );
            assert!(
                page.between("id=\"email-mistake\">", "</p>")
                    .unwrap()
                    .contains("one email address")
            );
            assert!(page.body.contains("aria-invalid=\"true\""));
        }
        for typed in [
            "x".repeat(15_000),
            "a\0b@example.org".to_owned(),
            "\u{202e}@\u{202d}".to_owned(),
        ] {
            let page = ada.ask("/register", &typed).await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        }
        assert_eq!(
            house.count("SELECT count(*) AS n FROM limits").await,
            0,
            "no row is left of a mistake"
        );
    }

    /// HTTP-19
    async fn a_field_has_one_source(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        ada.ask("/sign-in", "ada@example.org")
            .await
            .sees_inbox_page();
        let mail = house.mails_to("ada@example.org", 2).await.remove(0);
        let right = [("token", mail.token()), ("email", "ada@example.org")];
        let bea = house.visitor();

        // A token in the query of a POST: even where the body has it too.
        for route in ROUTES {
            for query in [
                "?token=x",
                "?token",
                "?a=b&token=",
                "?%74oken=x",
                "?token=x&token=x",
            ] {
                let page = ada.post(&format!("{route}{query}"), &right).await;
                assert_eq!(page.status, StatusCode::BAD_REQUEST, "{route}{query}");
            }
            let page = ada
                .post(&format!("{route}?token={}", mail.token()), &[])
                .await;
            assert_eq!(
                page.status,
                StatusCode::BAD_REQUEST,
                "{route} with the token in the query alone"
            );
        }
        // Other fields in the query are not looked at.
        bea.post(
            "/sign-in?email=eve@example.org&next=//e.test",
            &[("email", "bea@example.org")],
        )
        .await
        .sees_inbox_page();
        house.mail_to("bea@example.org").await;
        assert_eq!(
            bea.post("/register?email=eve@example.org", &[])
                .await
                .status,
            StatusCode::UNPROCESSABLE_ENTITY
        );
        assert!(house.all_mail_to("eve@example.org").await.is_empty());
        // A doubled field in the query of a page.
        for path in [
            "/sign-in?next=/a&next=/b",
            "/register?x&x",
            "/sign-in/link?token=a&token=b",
            "/sign-in?next=%ff",
        ] {
            assert_eq!(
                bea.get(path).await.status,
                StatusCode::BAD_REQUEST,
                "{path}"
            );
        }
        // The link in the form counts, not the one that this browser looked at last.
        let looked = bea.get(&house.mail_to("bea@example.org").await.link).await;
        assert_eq!(looked.status, StatusCode::SEE_OTHER);
        let done = bea.post("/sign-in/link", &right).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
        assert_eq!(bea.signed_in_as().await.as_deref(), Some("ada@example.org"));
    }

    /// HTTP-18
    async fn nothing_a_visitor_sends_begins_another_header(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        let request = ada
            .form(
                "/sign-in",
                &[
                    ("email", "ada@example.org"),
                    ("next", "/a\r\nSet-Cookie: evil.one=1\r\n\r\n<script>"),
                ],
            )
            .header("x-request-id", "evil.two")
            .header("x-correlation-id", "evil.three")
            .header("traceparent", "evil.four");
        let page = ada.send(request).await;
        page.sees_inbox_page();
        let all = format!("{:?}", page.headers);
        assert!(!all.contains("evil."), "{all}");
        let page = ada.get("/account?a=%0d%0aSet-Cookie:%20evil=1").await;
        assert_eq!(
            page.location(),
            "/sign-in?next=%2Faccount%3Fa%3D%250d%250aSet-Cookie%3A%2520evil%3D1"
        );
        assert!(page.set_cookies().is_empty());
    }

    /// ENU-06
    async fn an_address_in_the_query_changes_no_page(db: Database) {
        let house = House::new(db).await;
        drop(house.member("ada@example.org").await);
        let eve = house.visitor();
        for route in [
            "/",
            "/sign-in",
            "/register",
            "/sign-in/sent",
            "/sign-in/link",
            "/confirm-email",
            "/account",
        ] {
            let plain = eve.get(route).await;
            for email in ["ada@example.org", "eve@example.org", "junk"] {
                let asked = eve.get(&format!("{route}?email={email}")).await;
                assert_eq!(asked.status, plain.status, "{route} with {email}");
                assert_eq!(asked.body, plain.body, "{route} with {email}");
                assert_eq!(
                    names(&asked.headers),
                    names(&plain.headers),
                    "{route} with {email}"
                );
            }
        }
    }

    /// ENU-04
    async fn an_ask_is_answered_with_the_same_headers_for_a_member_and_a_stranger(db: Database) {
        let house = House::new(db).await;
        drop(house.member("ada@example.org").await);
        for route in ["/sign-in", "/register", "/confirm-email/send"] {
            let (known, unknown) = (house.visitor(), house.visitor());
            let known = (
                known.ask(route, "ada@example.org").await,
                known.get("/sign-in/sent").await,
            );
            let unknown = (
                unknown.ask(route, "eve@example.org").await,
                unknown.get("/sign-in/sent").await,
            );
            assert_same(&known.0, &unknown.0, route);
            assert_same(&known.1, &unknown.1, route);
            assert_eq!(known.1.body.replace("ada@", "eve@"), unknown.1.body);
            house.advance(Duration::from_secs(61));
        }
    }
}

/// Equal as far as headers go; what is sealed or random differs in its value and not in its length.
#[track_caller]
fn assert_same(known: &Page, unknown: &Page, route: &str) {
    assert_eq!(known.status, unknown.status, "{route}");
    assert_eq!(names(&known.headers), names(&unknown.headers), "{route}");
    for (name, value) in &known.headers {
        let other = &unknown.headers[name];
        if name == "x-request-id" || name == "date" || name == SET_COOKIE {
            assert_eq!(value.len(), other.len(), "{route}: {name}");
        } else {
            assert_eq!(value, other, "{route}: {name}");
        }
    }
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// What a template made harmless, as it was.
pub fn unescape(html: &str) -> String {
    html.replace("&#34;", "\"")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#39;", "'")
        .replace("&#38;", "&")
}

/// HTTP-01
#[tokio::test]
async fn a_huge_body_is_refused_early_and_held_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let program = Doorpost::serving(folder.path(), &[ANY_PORT]);
    assert_eq!(
        program.visitor().get("/sign-in").await.status,
        StatusCode::OK
    );
    let before = program.memory();
    for (route, status) in [
        ("/sign-in", 413),
        ("/nothing", 404),
        ("/sign-out", 303),
        ("/healthz", 405),
    ] {
        let head = format!(
            "POST {route} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Type: {FORM}\r\n"
        );
        let declared = format!("{head}Content-Length: 1073741824\r\n\r\nemail=");
        let heard = wire::say(&program.url, declared).await;
        assert_eq!(heard.statuses, [status], "{route} with a gigabyte to come");

        let began = Instant::now();
        stream(&program, &head).await;
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(10),
            "{route} listened to a stream for {took:?}"
        );
    }
    let grown = program.memory().saturating_sub(before);
    assert!(grown < 20 * 1024 * 1024, "grown by {grown} bytes");
    assert_eq!(
        program.visitor().get("/sign-in").await.status,
        StatusCode::OK
    );
}

/// Streams chunks, at a hundred megabytes a second at most, until the server closes the connection.
async fn stream(program: &Doorpost, head: &str) {
    let mut stream = wire::connect(&program.url).await;
    let started = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    stream.write_all(started.as_bytes()).await.unwrap();
    let chunk = format!("100000\r\n{}\r\n", "a".repeat(0x10_0000));
    for _ in 0..2_000 {
        let write = timeout(Duration::from_secs(5), stream.write_all(chunk.as_bytes()));
        if !matches!(write.await, Ok(Ok(()))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
