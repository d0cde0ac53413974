//! Where we are is what the configuration says, and never what a request says.

use reqwest::StatusCode;

use crate::program::{ANY_PORT, Doorpost, empty_folder};
use crate::support::{Database, Handed, House, ScriptedServer, Visitor, wire};

/// Headers by which a request may claim to be somewhere else.
const CLAIMS: &[(&str, &str)] = &[
    ("host", "evil.test"),
    ("host", "evil.test:443"),
    ("host", "sign.example.test:666"),
    ("host", "sign.example.test@evil.test"),
    ("host", "evil.test#sign.example.test"),
    ("host", "evil.test/?"),
    ("host", ""),
    ("x-forwarded-host", "evil.test"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-scheme", "http"),
    ("x-forwarded-port", "666"),
    ("x-forwarded-prefix", "/evil"),
    ("x-forwarded-server", "evil.test"),
    ("forwarded", "for=192.0.2.1;host=evil.test;proto=http"),
    ("x-host", "evil.test"),
    ("x-http-host-override", "evil.test"),
    ("x-original-host", "evil.test"),
    ("x-original-url", "/evil"),
    ("x-rewrite-url", "/evil"),
    ("x-url-scheme", "evil"),
    ("origin", "https://evil.test"),
    ("referer", "https://evil.test/"),
    ("user-agent", "https://evil.test/ evil"),
    ("x-forwarded-for", "evil.test"),
];

/// What a letter would show of them. No token holds such a sign.
const CLAIMED: [&str; 5] = ["evil.", ".evil", "/evil", "evil:", ":666"];

/// The routes that send mail.
const ROUTES: [&str; 3] = ["/register", "/sign-in", "/confirm-email/send"];

/// Whatever in a letter names a place, names ours.
#[track_caller]
fn names_only_us(letter: &Handed, claim: &str) {
    let mail = letter.mail();
    assert!(
        mail.link
            .starts_with("https://sign.example.test/confirm-email?token="),
        "{claim}: {}",
        mail.link
    );
    assert_eq!(mail.text.matches("://").count(), 1, "{claim}");
    assert_eq!(
        mail.html.matches("://").count(),
        mail.html.matches(&mail.link).count(),
        "{claim}"
    );
    for part in [&letter.raw, &mail.subject, &mail.text, &mail.html] {
        let named = CLAIMED.iter().find(|claimed| part.contains(*claimed));
        assert_eq!(named, None, "{claim}: {part}");
    }
    assert_eq!(letter.from, "doorpost@example.test");
    assert_eq!(letter.header("from"), "Doorpost <doorpost@example.test>");
    assert!(
        letter.header("message-id").ends_with("@sign.example.test>"),
        "{claim}"
    );
}

on_both! {
    /// HOST-01
    async fn no_header_puts_another_host_into_a_mail(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(db, &sink, &[]).await;
        for (number, (name, value)) in CLAIMS.iter().enumerate() {
            for (index, route) in ROUTES.into_iter().enumerate() {
                let claim = format!("{name}: {value} to {route}");
                let email = format!("ada{number}.{index}@example.org");
                let ada = house.visitor();
                let request = ada.form(route, &[("email", &email)]).header(*name, *value);
                let page = ada.send(request).await;
                if page.status == StatusCode::BAD_REQUEST {
                    assert!(*name == "host", "{claim} was refused");
                    continue;
                }
                assert_eq!(page.status, StatusCode::SEE_OTHER, "{claim}");
                assert_eq!(page.location(), "/sign-in/sent", "{claim}");
                names_only_us(&sink.letter_for(&email).await, &claim);
            }
        }
    }

    /// HOST-01
    async fn no_request_line_puts_another_host_into_a_mail(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(db, &sink, &[]).await;
        let body = "email=ada@example.org";
        let mut mailed = 0;
        for (target, hosts, statuses) in [
            (
                "http://evil.test/register",
                "Host: sign.example.test",
                &[303][..],
            ),
            (
                "http://sign.example.test@evil.test/register",
                "Host: sign.example.test",
                &[303, 400],
            ),
            (
                "/register",
                "Host: sign.example.test\r\nHost: evil.test",
                &[400],
            ),
            (
                "/register",
                "Host: evil.test\r\nHost: sign.example.test",
                &[400],
            ),
            ("/register", "Host:  evil.test\t", &[303]),
        ] {
            let request = format!(
                "POST {target} HTTP/1.1\r\n{hosts}\r\nSec-Fetch-Site: same-origin\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
            let heard = wire::say(&house.url, request).await;
            assert!(
                statuses.contains(&heard.statuses[0]),
                "{target} {hosts}: {}",
                heard.text
            );
            if heard.statuses[0] == 303 {
                mailed += 1;
                let letters = sink.letters_for("ada@example.org", mailed).await;
                names_only_us(&letters[mailed - 1], target);
            }
            house.advance(std::time::Duration::from_secs(200)); // past the gap between two mails
        }
        assert!(mailed >= 2);
    }

    /// HOST-02
    async fn no_field_chooses_where_a_link_leads(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(db, &sink, &[]).await;
        let names = [
            "origin",
            "base_url",
            "redirect_uri",
            "redirect",
            "callback",
            "callback_url",
            "return_to",
            "next",
            "host",
            "url",
            "link",
            "from",
            "subject",
        ];
        for (number, name) in names.into_iter().enumerate() {
            let email = format!("ada{number}@example.org");
            let ada = house.visitor();
            let query = format!("/register?{name}=https://evil.test/");
            let page = ada
                .post(&query, &[("email", &email), (name, "https://evil.test/")])
                .await;
            page.sees_inbox_page();
            let letter = sink.letter_for(&email).await;
            names_only_us(&letter, name);
            let page = ada.click(letter.mail().path()).await;
            let token = ada.follow(page).await.hidden("token").unwrap();
            let fields = [("token", token.as_str()), (name, "https://evil.test/")];
            let done = ada.post("/confirm-email", &fields).await;
            assert_eq!(done.location(), "/account", "{name}");
        }
    }

    /// HOST-03
    async fn an_untrusted_peer_is_believed_nothing(db: Database) {
        let house = House::with(
            db,
            &[
                ("TRUSTED_PROXIES", "192.0.2.0/24"),
                ("LIMIT_MAIL_PER_NETWORK", "2/1m"),
                ("LIMIT_MAIL_GAP", "off"),
            ],
        )
        .await;
        let ada = house.member("ada@example.org").await; // more than a minute ago
        for (number, forwarded) in ["198.51.100.1", "198.51.100.2", "198.51.100.3, 192.0.2.1"]
            .into_iter()
            .enumerate()
        {
            let page = ask_from(&ada, &house, forwarded).await;
            let expected = if number < 2 {
                StatusCode::SEE_OTHER
            } else {
                StatusCode::TOO_MANY_REQUESTS
            };
            assert_eq!(page.status, expected, "{forwarded}");
            assert!(
                page.set_cookies()
                    .iter()
                    .all(|cookie| !cookie.contains("Secure")),
                "http is http"
            );
        }
        let from_here = house.count("SELECT count(*) AS n FROM sessions WHERE ip = '127.0.0.1'");
        assert_eq!(from_here.await, 1);
    }

    /// HOST-03
    async fn a_trusted_proxy_is_believed_one_header_and_no_other(db: Database) {
        let house = House::with(
            db,
            &[
                ("TRUSTED_PROXIES", "127.0.0.0/8,192.0.2.0/24"),
                ("LIMIT_MAIL_PER_NETWORK", "1/1m"),
                ("LIMIT_MAIL_GAP", "off"),
            ],
        )
        .await;
        for (forwarded, status) in [
            ("198.51.100.1", StatusCode::SEE_OTHER),
            ("198.51.100.1", StatusCode::TOO_MANY_REQUESTS),
            ("198.51.100.2", StatusCode::SEE_OTHER),
            ("203.0.113.9, 198.51.100.2", StatusCode::TOO_MANY_REQUESTS), // the left part is made up
            (
                "203.0.113.9, 198.51.100.2, 192.0.2.7",
                StatusCode::TOO_MANY_REQUESTS,
            ), // a proxy of ours before the last
            ("2001:db8:0:1::1", StatusCode::SEE_OTHER),
            ("2001:db8:0:1:ffff::2", StatusCode::TOO_MANY_REQUESTS), // one /64
            ("2001:db8:0:2::1", StatusCode::SEE_OTHER),
            ("junk", StatusCode::SEE_OTHER), // the proxy itself
            ("", StatusCode::TOO_MANY_REQUESTS),
        ] {
            let page = ask_from(&house.visitor(), &house, forwarded).await;
            assert_eq!(page.status, status, "{forwarded}");
        }
    }
}

/// HOST-03: else every limit per network would hold for all visitors together, and nobody would know why.
#[tokio::test]
async fn a_header_that_cannot_be_read_is_told_to_the_operator_once() {
    const COMPLAINT: &str = "in a way that cannot be read";
    let folder = empty_folder();
    let variables = [ANY_PORT, ("TRUSTED_PROXIES", "127.0.0.1")];
    let doorpost = Doorpost::serving(folder.path(), &variables);
    let visit = async |from: &str| {
        let visitor = doorpost.visitor().calling_from(from);
        visitor
            .ask("/sign-in", "ada@example.org")
            .await
            .sees_inbox_page();
    };
    for readable in [
        "203.0.113.9",
        "203.0.113.9:4711",
        "[2001:db8::1]:4711",
        "unknown, 203.0.113.9",
    ] {
        visit(readable).await;
    }
    assert!(!doorpost.log().contains(COMPLAINT), "{}", doorpost.log());
    for odd in ["203.0.113.9;hunter2", "unknown", "203.0.113.9;hunter2"] {
        visit(odd).await;
    }
    doorpost.says("looks_like=\"999.9.999.9;aaaaaa9\"");
    let log = doorpost.log();
    assert_eq!(log.matches(COMPLAINT).count(), 1, "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

/// Asks for mail with this `X-Forwarded-For`, and with another address in each header like it.
async fn ask_from(visitor: &Visitor, house: &House, forwarded: &str) -> crate::support::Page {
    let unheard = format!(
        "203.0.113.{}",
        house.count("SELECT count(*) AS n FROM links").await
    );
    let mut request = visitor
        .form("/sign-in", &[("email", "ada@example.org")])
        .header("x-forwarded-for", forwarded)
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "evil.test");
    for name in [
        "x-real-ip",
        "cf-connecting-ip",
        "true-client-ip",
        "client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "fastly-client-ip",
    ] {
        request = request.header(name, &unheard);
    }
    request = request.header("forwarded", format!("for={unheard}"));
    visitor.send(request).await
}
