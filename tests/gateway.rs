//! In front of other apps: what a proxy is told that asks about a visitor, in its own words, and how visitors come to an app
//! and leave it. Here the test is the proxy; real ones are in `gateway_proxies.rs`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, RequestBuilder, StatusCode};

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::support::{
    Authenticator, Database, House, Mail, PASSWORD, Page, ScriptedServer, Visitor, eventually,
    secret_key,
};

const ADA: &str = "ada@example.org";
const EVE: &str = "eve@example.org";

const APP: &str = "app.example.test";

/// The cookie that the hosts of apps get, and the one that they do not.
const GATE: &str = "__Secure-doorpost";
const SESSION: &str = "__Host-doorpost";

/// How a person's browser asks for a page.
const PERSON: &[(&str, &str)] = &[
    ("accept", "text/html,application/xhtml+xml"),
    ("sec-fetch-mode", "navigate"),
];

const SETTINGS: &[(&str, &str)] = &[
    ("RETURN_HOSTS", "app.example.test,*.apps.example.test:8443"),
    ("COOKIE_DOMAIN", "example.test"),
    ("LIMIT_MAIL_GAP", "off"),
    ("LIMIT_MAIL_PER_ADDRESS", "off"),
];

/// A site that is a sign-in for apps, and its mail.
struct Site {
    house: House,
    sink: ScriptedServer,
}

/// A proxy's way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Caddy,
    Nginx,
    Envoy,
}

const WAYS: [Way; 3] = [Way::Caddy, Way::Nginx, Way::Envoy];

impl Site {
    async fn open(db: Database) -> Self {
        Self::open_with(db, &[]).await
    }

    async fn open_with(db: Database, variables: &[(&str, &str)]) -> Self {
        let sink = ScriptedServer::start();
        let kept = SETTINGS
            .iter()
            .filter(|(name, _)| !variables.iter().any(|(other, _)| other == name));
        let settings: Vec<_> = kept.chain(variables).copied().collect();
        let house = House::public(db, &sink, &settings).await;
        Self { house, sink }
    }

    async fn ask(&self, visitor: &Visitor, route: &str, fields: &[(&str, &str)]) -> Mail {
        let address = fields[0].1;
        let mails = || self.sink.taken_for(address).len();
        let before = mails();
        visitor.post(route, fields).await.sees_inbox_page();
        eventually("the mail", async || mails() > before).await;
        self.sink.taken_for(address).pop().unwrap().mail()
    }

    /// Somebody who has an account with [`PASSWORD`], and came in by link.
    async fn member(&self, address: &str) -> Visitor {
        let visitor = self.house.visitor();
        let mail = self.ask(&visitor, "/register", &[("email", address)]).await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        visitor
            .post("/confirm-email", &fields)
            .await
            .goes_on_to("/account");
        self.house.advance(Duration::from_secs(61));
        visitor
    }
}

/// What a browser sends to an app's host: of our cookies the one alone that is meant for it.
fn at_app(visitor: &Visitor) -> Visitor {
    let there = visitor.with_copied_jar();
    for name in [
        "",
        "_asked",
        "_known",
        "_bound",
        "_returned",
        "_done",
        "_link",
    ] {
        there.forget_cookie(&format!("{SESSION}{name}"));
    }
    there
}

impl Way {
    /// The question whether this visitor may have this page of the app.
    fn question(self, visitor: &Visitor, method: &str, uri: &str) -> RequestBuilder {
        self.question_about(APP, visitor, method, uri, "")
    }

    /// The same about another host, with a demand of the proxy's own.
    fn question_about(
        self,
        host: &str,
        visitor: &Visitor,
        method: &str,
        uri: &str,
        demand: &str,
    ) -> RequestBuilder {
        let ask = |path: &str| visitor.request(Method::GET, &format!("{path}{demand}"));
        match self {
            Self::Caddy => ask("/auth/verify")
                .header("x-forwarded-method", method)
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", host)
                .header("x-forwarded-uri", uri),
            Self::Nginx => ask("/auth/verify")
                .header("x-original-method", method)
                .header("x-original-url", format!("https://{host}{uri}")),
            Self::Envoy => {
                let demand = demand.replace("?reauthenticated=", "/reauthenticated/");
                visitor
                    .request(
                        method.parse().unwrap(),
                        &format!("/auth{demand}/envoy{uri}"),
                    )
                    .header("host", host)
            }
        }
    }

    async fn asks(self, visitor: &Visitor, uri: &str) -> Page {
        let question = dressed(self.question(visitor, "GET", uri), PERSON);
        visitor.send(question).await
    }
}

fn dressed(request: RequestBuilder, headers: &[(&str, &str)]) -> RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    })
}

/// Asks as Caddy does, with a demand of its own.
async fn asks_within(visitor: &Visitor, demand: &str) -> Page {
    let question = Way::Caddy.question_about(APP, visitor, "GET", "/admin/", demand);
    visitor.send(dressed(question, PERSON)).await
}

/// The visitor does not pass, and is sent there.
#[track_caller]
fn is_sent_to(page: &Page, way: Way, there: &str) {
    let status = match way {
        Way::Nginx => StatusCode::UNAUTHORIZED,
        Way::Caddy | Way::Envoy => StatusCode::SEE_OTHER,
    };
    assert_eq!(page.status, status, "{way:?}: {}", page.body);
    assert_eq!(
        page.location(),
        format!("{}{there}", House::PUBLIC),
        "{way:?}"
    );
    says_nothing_of_anybody(page);
}

#[track_caller]
fn says_nothing_of_anybody(page: &Page) {
    let says = page
        .headers
        .keys()
        .find(|name| name.as_str().starts_with("remote"));
    assert_eq!(says, None);
    assert_eq!(page.header("set-cookie"), None);
}

/// The visitor passes; and as whom.
#[track_caller]
fn passes(page: &Page, way: Way) -> (String, String) {
    let status = match way {
        Way::Envoy => StatusCode::OK,
        Way::Caddy | Way::Nginx => StatusCode::NO_CONTENT,
    };
    assert_eq!(
        page.status, status,
        "{way:?}: {:?} {}",
        page.headers, page.body
    );
    assert_eq!(page.header("set-cookie"), None);
    let says = |name: &str| page.header(name).expect(name).to_owned();
    assert!(says("remote-auth-time").parse::<i64>().unwrap() > 1_700_000_000);
    assert!(!says("remote-user").is_empty());
    (says("remote-email"), says("remote-auth-method"))
}

on_both! {
    async fn a_stranger_is_sent_to_sign_in_and_back(db: Database) {
        let site = Site::open(db).await;
        let stranger = site.house.visitor();
        let back = "/sign-in?next=https%3A%2F%2Fapp.example.test%2Fwiki%3Fpage%3D1%26x%3D%2525";
        for way in WAYS {
            let answer = way.asks(&stranger, "/wiki?page=1&x=%25").await;
            is_sent_to(&answer, way, back);
        }

        let page = stranger.get(back).await;
        assert!(page.body.contains("you go on to <strong>app.example.test</strong>"), "{}", page.body);
        assert_eq!(page.hidden("next").unwrap(), "/auth/return?to=https://app.example.test/wiki?page=1%26x=%2525");
        let mail = site.ask(&stranger, "/register", &[("email", ADA), ("next", "https://app.example.test/wiki?page=1&x=%25")]).await;
        assert!(!mail.link.contains("app.example.test"), "{}", mail.link);
        let confirmed = stranger.post("/confirm-email", &[("token", mail.token())]).await;
        confirmed.goes_on_to("/auth/return?to=https://app.example.test/wiki?page=1%26x=%2525");
        let onward = stranger.follow(confirmed).await;
        assert_eq!(onward.status, StatusCode::OK);
        assert_eq!(onward.header("refresh"), Some("0; url=https://app.example.test/wiki?page=1&x=%25"));
        assert!(onward.body.contains(r#"href="https://app.example.test/wiki?page=1&#38;x=%25""#), "{}", onward.body);
        for way in WAYS {
            let answer = way.asks(&at_app(&stranger), "/wiki?page=1&x=%25").await;
            assert_eq!(passes(&answer, way), (ADA.to_owned(), "email_link".to_owned()));
        }
    }

    async fn by_a_click_on_the_link_and_by_the_password_one_comes_back_too(db: Database) {
        let site = Site::open(db).await;
        site.member(ADA).await;
        let next = ("next", "https://a.apps.example.test:8443/x#y");
        let there = "/auth/return?to=https://a.apps.example.test:8443/x%23y";

        let clicks = site.house.visitor();
        let mail = site.ask(&clicks, "/sign-in", &[("email", ADA), next]).await;
        let path = mail.link.strip_prefix(House::PUBLIC).unwrap();
        let landed = clicks.follow(clicks.click(path).await).await;
        assert_eq!(landed.header("refresh"), Some("0; url=https://a.apps.example.test:8443/x#y"));

        let types = site.house.visitor();
        let fields = [("email", ADA), ("password", PASSWORD), next];
        types.post("/sign-in/password", &fields).await.goes_on_to(there);
        let code = site.house.visitor();
        let mail = site.ask(&code, "/sign-in", &[("email", ADA), next]).await;
        code.type_code(&mail.code.unwrap()).await.goes_on_to(there);
    }

    async fn the_longest_way_back_fits_into_the_cookies(db: Database) {
        let site = Site::open(db).await;
        let ada = site.house.visitor();
        // What cannot stand in a query as it is takes three times the room there.
        let url = format!("https://app.example.test/?{}", "a=%26&".repeat(81));
        assert!(url.len() > 500);
        for address in [ADA, EVE, "bob@example.org", "cyd@example.org"] {
            let form = ada.get(&format!("/register?next={}", url.replace('%', "%25").replace('&', "%26"))).await;
            let next = form.hidden("next").unwrap();
            let fields = [("email", address), ("next", &next)];
            let mail = site.ask(&ada, "/register", &fields).await;
            let confirmed = ada.post("/confirm-email", &[("token", mail.token()), ("switch", "yes")]).await;
            let landed = ada.follow(confirmed).await;
            assert_eq!(landed.header("refresh").unwrap(), format!("0; url={url}"));
            site.house.advance(Duration::from_secs(61));
        }
        passes(&Way::Caddy.asks(&at_app(&ada), "/").await, Way::Caddy);
    }

    async fn a_script_is_told_and_not_sent_anywhere(db: Database) {
        let site = Site::open(db).await;
        let visitor = site.house.visitor();
        for way in WAYS {
            for (method, said) in [
                ("GET", &[("sec-fetch-mode", "cors"), ("accept", "*/*")][..]),
                ("POST", &[("sec-fetch-mode", "same-origin"), ("accept", "text/html")]),
                ("GET", &[("sec-fetch-mode", "websocket"), ("upgrade", "websocket")]),
                ("GET", &[("upgrade", "websocket")]),
                ("GET", &[("sec-websocket-version", "13")]),
                ("GET", &[("x-requested-with", "XMLHttpRequest"), ("accept", "text/html")]),
                ("GET", &[("accept", "application/json")]),
                ("PUT", &[("accept", "*/*")]),
                ("DELETE", &[]),
            ] {
                let question = dressed(way.question(&visitor, method, "/data"), said);
                let answer = visitor.send(question).await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{way:?} {method} {said:?}");
                assert_eq!(answer.header("www-authenticate"), Some("Doorpost"));
                assert!(answer.body.contains("Sign in first"), "{}", answer.body);
                says_nothing_of_anybody(&answer);
            }
        }
        // Whoever says nothing may be a person.
        let answer = visitor.send(Way::Caddy.question(&visitor, "GET", "/")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
    }

    async fn whoever_sends_a_form_comes_back_to_the_page_it_stands_on(db: Database) {
        let site = Site::open(db).await;
        let visitor = site.house.visitor();
        for (referrer, back) in [
            ("https://app.example.test/edit?id=7#end", "%2Fedit%3Fid%3D7"),
            ("https://app.example.test/", "%2F"),
            ("https://e.test/edit", "%2F"),
            ("https://app.example.test.e.test/edit", "%2F"),
            ("https://a.apps.example.test:8443/edit", "%2F"),
            ("", "%2F"),
        ] {
            for way in WAYS {
                let question = dressed(way.question(&visitor, "POST", "/save"), PERSON);
                let answer = visitor.send(question.header("referer", referrer)).await;
                is_sent_to(&answer, way, &format!("/sign-in?next=https%3A%2F%2Fapp.example.test{back}"));
            }
        }
    }

    async fn the_cookie_of_apps_is_worth_nothing_at_our_own_pages(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let answer = ada.post("/reauthenticate", &[("password", PASSWORD)]).await;
        let lines = answer.set_cookies();
        let line = |name: &str| {
            let begins = format!("{name}=");
            let mut lines = lines.iter().filter(|line| line.starts_with(&begins));
            lines.next().unwrap_or_else(|| panic!("no {name} in {lines:?}")).to_owned()
        };
        let attributes = |line: &str| line.split_once("; ").unwrap().1.to_owned();
        assert_eq!(
            attributes(line(GATE)),
            "HttpOnly; Secure; Path=/; Domain=example.test; Max-Age=2592000; SameSite=Lax"
        );
        assert!(!line(SESSION).contains("Domain"), "{}", line(SESSION));

        let thief = at_app(&ada);
        thief.set_cookie(SESSION, &thief.cookie(GATE).unwrap());
        thief.get("/account").await.goes_on_to("/sign-in?next=%2Faccount");
        thief.forget_cookie(SESSION);
        thief.get("/account").await.goes_on_to("/sign-in?next=%2Faccount");
        let out = thief.post("/sign-out", &[]).await;
        assert_eq!(out.location(), "/sign-in?next=%2Faccount");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
    }

    async fn an_app_never_gets_a_cookie_of_ours(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        for way in WAYS {
            let page = way.asks(&ada, "/").await;
            passes(&page, way);
            assert_eq!(page.header("cookie"), None);
            let removed = page.header("x-envoy-auth-headers-to-remove");
            assert_eq!(removed, (way == Way::Envoy).then_some("cookie"));
        }

        let there = at_app(&ada);
        let gate = there.cookie(GATE).unwrap();
        there.forget_cookie(GATE);
        let carried = format!("sid=1; theme=dark; {GATE}={gate};sid=\"2\"; {GATE}={gate}; ä=ö; x__Secure-doorpost=3");
        let question = Way::Nginx.question(&there, "GET", "/").header("cookie", carried);
        let page = there.send(question).await;
        passes(&page, Way::Nginx);
        let left = page.headers.get("cookie").unwrap().as_bytes();
        assert_eq!(left, "sid=1; theme=dark; sid=\"2\"; ä=ö; x__Secure-doorpost=3".as_bytes());
    }

    /// SUD-01
    async fn a_session_that_came_from_a_link_stays_one_and_the_password_is_asked_for(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let app = at_app(&ada);
        let (_, method) = passes(&Way::Caddy.asks(&app, "/").await, Way::Caddy);
        assert_eq!(method, "email_link");

        let gate = "/reauthenticate?next=https%3A%2F%2Fapp.example.test%2Fadmin%2F";
        is_sent_to(&asks_within(&app, "?reauthenticated=10m").await, Way::Caddy, gate);
        let by_script = Way::Caddy.question_about(APP, &app, "GET", "/admin/", "?reauthenticated=10m");
        let answer = app.send(by_script.header("sec-fetch-mode", "cors")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            answer.header("www-authenticate"),
            Some(r#"Doorpost error="insufficient_user_authentication", max_age="600""#)
        );

        let form = ada.get(gate).await;
        assert!(form.body.contains(APP), "it says which app asks: {}", form.body);
        let next = form.hidden("next").unwrap();
        let entered = ada.post("/reauthenticate", &[("password", PASSWORD), ("next", &next)]).await;
        entered.goes_on_to("/auth/return?to=https://app.example.test/admin/");
        // The cookie of before is of no use any more.
        is_sent_to(&asks_within(&app, "").await, Way::Caddy, "/sign-in?next=https%3A%2F%2Fapp.example.test%2Fadmin%2F");
        let app = at_app(&ada);
        let page = asks_within(&app, "?reauthenticated=10m").await;
        assert_eq!(passes(&page, Way::Caddy).1, "email_link");
        let entered_at: i64 = page.header("remote-auth-time").unwrap().parse().unwrap();
        assert_eq!(entered_at, site.house.clock.now() / 1000);

        site.house.advance(Duration::from_secs(599));
        passes(&asks_within(&app, "?reauthenticated=10m").await, Way::Caddy);
        is_sent_to(&asks_within(&app, "?reauthenticated=9m").await, Way::Caddy, gate);
        site.house.advance(Duration::from_secs(1));
        is_sent_to(&asks_within(&app, "?reauthenticated=10m").await, Way::Caddy, gate);
        passes(&asks_within(&app, "?reauthenticated=1h").await, Way::Caddy);
        passes(&asks_within(&app, "").await, Way::Caddy);
        for way in WAYS {
            let ask = |demand| dressed(way.question_about(APP, &app, "GET", "/admin/", demand), PERSON);
            is_sent_to(&app.send(ask("?reauthenticated=10m")).await, way, gate);
            passes(&app.send(ask("?reauthenticated=1h")).await, way);
        }
    }

    async fn a_visitor_makes_no_less_of_what_a_proxy_demands(db: Database) {
        let site = Site::open(db).await;
        let app = at_app(&site.member(ADA).await);
        for demand in [
            "?reauthenticated=10m&reauthenticated=10000d",
            "?reauthenticated=3650d&reauthenticated=10m",
            "?next=/x&reauthenticated=10m&a=%ff&a=b&token=x",
        ] {
            let answer = asks_within(&app, demand).await;
            assert_ne!(answer.status, StatusCode::NO_CONTENT, "{demand}");
            says_nothing_of_anybody(&answer);
        }
        for junk in ["?reauthenticated=", "?reauthenticated=10", "?reauthenticated=soon", "?reauthenticated=10m&reauthenticated=x"] {
            assert_eq!(asks_within(&app, junk).await.status, StatusCode::BAD_REQUEST, "{junk}");
        }
        for near in ["?Reauthenticated=10m", "?reauthenticated[]=10m", "?reauth=10m", "?reauthenticated=10m:admin"] {
            assert_eq!(asks_within(&app, near).await.status, StatusCode::BAD_REQUEST, "{near}");
        }
        let junk = Way::Envoy.question_about(APP, &app, "GET", "/", "?reauthenticated=soon");
        assert_eq!(app.send(junk).await.status, StatusCode::BAD_REQUEST);
        let beside = app.get("/auth/envoy-and-more/").await;
        assert_eq!(beside.status, StatusCode::NOT_FOUND);
        // What stands in the visitor's own address is none of ours.
        passes(&asks_within(&app, "?page=1&page=2&x=%ff&token=a").await, Way::Caddy);
        passes(&Way::Envoy.asks(&app, "/?reauthenticated=soon").await, Way::Envoy);
    }

    /// A demand is written as a path is in the rules, and is no form.
    async fn a_proxy_demands_for_the_path_that_it_names(db: Database) {
        let site = Site::open(db).await;
        let app = at_app(&site.member(ADA).await);
        let asks = async |demand: &str, uri: &str| {
            let question = Way::Nginx.question_about(APP, &app, "GET", uri, &format!("?reauthenticated=10m:{demand}"));
            app.send(dressed(question, PERSON)).await.status.is_success()
        };
        for (demand, uri) in [
            ("/c++/*", "/c++/x"),
            ("/c%2B%2B/*", "/c++/x"),
            ("/my+files/*", "/my+files/x"),
            ("/my%20files/*", "/my+files/x"),
            ("/a%26b/*", "/a&b/x"),
        ] {
            assert!(!asks(demand, uri).await, "{demand} {uri}");
            assert!(asks(demand, "/elsewhere").await, "{demand}");
        }
    }

    async fn a_proxy_demands_for_some_paths_what_no_spelling_gets_around(db: Database) {
        let site = Site::open(db).await;
        let app = at_app(&site.member(ADA).await);
        let demand = "?reauthenticated=10m:/admin/*&reauthenticated=5m:/vault";
        for way in [Way::Caddy, Way::Nginx] {
            for uri in ["/", "/administrator", "/x?next=/admin/", "/vault/x", "/%D0%96", "/index.php/x"] {
                let question = way.question_about(APP, &app, "GET", uri, demand);
                passes(&app.send(dressed(question, PERSON)).await, way);
            }
            for uri in ["/admin", "/admin/", "/admin/x?y", "/ADMIN", "/vault", "/%61dmin", "//x", "/x/..\\admin", "/..;/admin", "/%2561dmin", "/%EF%BD%81dmin", "/%20admin", "/a%C2%ADdmin", "/x/%EF%BC%8Fadmin", "/index.php/admin", "/%C3%A1dmin/x", "/admin+"] {
                let question = way.question_about(APP, &app, "GET", uri, demand);
                let page = app.send(dressed(question, PERSON)).await;
                assert!(!page.status.is_success(), "{way:?} {uri}");
                assert!(page.location().contains("/reauthenticate?"), "{way:?} {uri}");
            }
        }
        // Where nobody says what was asked for, it may be any of these.
        let unsaid = app.get(&format!("/auth/verify{demand}")).await;
        assert_eq!(unsaid.status, StatusCode::UNAUTHORIZED);
    }

    /// HOST-03
    async fn nobody_is_sent_back_to_a_host_that_is_not_named(db: Database) {
        let site = Site::open(db).await;
        let visitor = site.house.visitor();
        for host in [
            "e.test",
            "example.test",
            "www.app.example.test",
            "app.example.test.e.test",
            "app.example.test@e.test",
            "e.test#app.example.test",
            "e.test/app.example.test",
            "e.test\\app.example.test",
            "app.example.test, e.test",
            "app.example.test:444",
            "app.example.test:",
            "app.example.test:0443",
            "app.example.test:+443",
            "app.example.test.",
            "[::1]",
            "",
        ] {
            for way in [Way::Caddy, Way::Nginx] {
                let question = way.question_about(host, &visitor, "GET", "/", "");
                let answer = visitor.send(dressed(question, PERSON)).await;
                is_sent_to(&answer, way, "/sign-in");
            }
        }
        let spelled = Way::Caddy.question_about("APP.example.test:443", &visitor, "GET", "/", "");
        is_sent_to(&visitor.send(dressed(spelled, PERSON)).await, Way::Caddy, "/sign-in?next=https%3A%2F%2Fapp.example.test%2F");
        for (uri, back) in [
            ("//e.test/", "%2F%2Fe.test%2F"),
            ("/\\e.test", "%2F"),
            ("@e.test/", ""),
            (".e.test/", ""),
            ("", ""),
        ] {
            let answer = Way::Caddy.asks(&visitor, uri).await;
            match back {
                "" => is_sent_to(&answer, Way::Caddy, "/sign-in"),
                back => is_sent_to(&answer, Way::Caddy, &format!("/sign-in?next=https%3A%2F%2Fapp.example.test{back}")),
            }
        }
        let long = Way::Caddy.asks(&visitor, &format!("/{}", "a".repeat(600))).await;
        is_sent_to(&long, Way::Caddy, "/sign-in?next=https%3A%2F%2Fapp.example.test%2F");

        for to in ["https://e.test", "//e.test", "https://app.example.test@e.test", "javascript:alert(1)", ""] {
            let page = visitor.get(&format!("/auth/return?to={to}")).await;
            page.goes_on_to("/");
            let page = visitor.get(&format!("/sign-in?next=/auth/return?to={to}")).await;
            assert_eq!(page.hidden("next"), None, "{to}");
        }
    }

    /// curl sends letters as they were typed, and proxies hand them on so.
    async fn an_address_with_letters_as_they_are_is_the_page_that_it_is(db: Database) {
        let (site, _file) = Site::open_with_rules(db, "[[host]]\nname = \"app.example.test\"\n[[host.path]]\nat = \"/Überblick/*\"\nstrength = \"password\"\n").await;
        let ada = at_app(&site.member(ADA).await);
        let ask = async |way: Way, uri: &str| {
            let (name, value) = match way {
                Way::Caddy => ("x-forwarded-uri", uri.to_owned()),
                _ => ("x-original-url", format!("https://{APP}{uri}")),
            };
            let value = reqwest::header::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            let question = ada.request(Method::GET, "/auth/verify").header("x-forwarded-host", APP).header(name, value);
            ada.send(dressed(question, PERSON)).await
        };
        for way in [Way::Caddy, Way::Nginx] {
            passes(&ask(way, "/bücher?wort=schön").await, way);
            let gate = ask(way, "/überblick/x").await;
            assert!(gate.location().ends_with("/reauthenticate?next=https%3A%2F%2Fapp.example.test%2F%25C3%25BCberblick%2Fx"), "{}", gate.location());
        }
    }

    async fn a_proxy_that_is_not_trusted_says_nothing(db: Database) {
        let site = Site::open_with(db, &[("TRUSTED_PROXIES", "192.0.2.1")]).await;
        let visitor = site.house.visitor();
        for way in [Way::Caddy, Way::Nginx] {
            let answer = way.asks(&visitor, "/wiki").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
            assert_eq!(answer.location(), format!("{}/sign-in", House::PUBLIC));
        }
        // Who somebody is, they may hear all the same.
        let ada = site.member(ADA).await;
        passes(&Way::Nginx.asks(&at_app(&ada), "/").await, Way::Nginx);
    }

    async fn a_proxy_that_hands_on_its_visitors_word_lets_nobody_pass(db: Database) {
        let site = Site::open(db).await;
        let app = at_app(&site.member(ADA).await);
        let question = Way::Nginx.question(&app, "GET", "/admin/").header("x-forwarded-uri", "/open");
        assert_eq!(app.send(question).await.status, StatusCode::BAD_REQUEST);
        let question = Way::Caddy.question(&app, "GET", "/admin/").header("x-original-url", "https://e.test/");
        assert_eq!(app.send(question).await.status, StatusCode::BAD_REQUEST);
        let twice = Way::Caddy.question(&app, "GET", "/admin/").header("x-forwarded-uri", "/open");
        passes(&app.send(twice.header("x-forwarded-host", "e.test")).await, Way::Caddy);
        let stranger = site.house.visitor();
        let twice = Way::Caddy.question(&stranger, "GET", "/admin/").header("x-forwarded-uri", "/open");
        is_sent_to(&stranger.send(twice).await, Way::Caddy, "/sign-in");
    }

    async fn whoever_signs_out_is_out_of_every_app_at_the_next_request(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let app = at_app(&ada);
        let form = ada.get("/sign-out?next=https://app.example.test/bye").await;
        assert_eq!(form.status, StatusCode::OK);
        assert!(form.body.contains(ADA), "{}", form.body);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "a look changes nothing");
        passes(&Way::Caddy.asks(&app, "/").await, Way::Caddy);

        let next = form.hidden("next").unwrap();
        let out = ada.post("/sign-out", &[("next", &next)]).await;
        out.goes_on_to("/auth/return?to=https://app.example.test/bye");
        assert_eq!(ada.cookie(GATE), None, "its own host's cookie is taken back");
        for way in WAYS {
            let back = "/sign-in?next=https%3A%2F%2Fapp.example.test%2F";
            is_sent_to(&way.asks(&app, "/").await, way, back);
        }
        let landed = ada.follow(out).await;
        assert_eq!(landed.header("refresh"), Some("0; url=https://app.example.test/bye"));
        // Whoever is out already has nothing to confirm.
        ada.get("/sign-out").await.goes_on_to("/");
        ada.get("/sign-out?next=https://e.test/").await.goes_on_to("/");
    }

    async fn sessions_that_are_ended_from_elsewhere_are_out_of_every_app(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let elsewhere = site.house.visitor();
        elsewhere.enter(ADA, PASSWORD).await.goes_on_to("/account");
        let app = at_app(&elsewhere);
        passes(&Way::Caddy.asks(&app, "/").await, Way::Caddy);
        ada.post("/account/sessions/end-others", &[]).await;
        let back = "/sign-in?next=https%3A%2F%2Fapp.example.test%2F";
        is_sent_to(&Way::Caddy.asks(&app, "/").await, Way::Caddy, back);
        passes(&Way::Caddy.asks(&at_app(&ada), "/").await, Way::Caddy);
    }

    async fn whoever_is_signed_in_already_goes_straight_back_and_gets_the_cookie(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        ada.forget_cookie(GATE);
        let back = "/sign-in?next=https://app.example.test/";
        let onward = ada.get(back).await;
        onward.goes_on_to("/auth/return?to=https://app.example.test/&at-once=yes");
        ada.follow(onward).await;
        passes(&Way::Caddy.asks(&at_app(&ada), "/").await, Way::Caddy);
        // To our own pages the form is shown, as ever.
        assert_eq!(ada.get("/sign-in?next=/account").await.status, StatusCode::OK);
    }

    async fn nobody_goes_in_circles(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let round = async |app: &str| ada.follow(ada.get(&format!("/sign-in?next=https://{app}/")).await).await;
        let goes_on = |page: &Page| page.header("refresh").is_some();
        for _ in 0..4 {
            assert!(goes_on(&round(APP).await));
        }
        let page = round(APP).await;
        assert_eq!((page.status, page.header("refresh")), (StatusCode::OK, None));
        assert!(page.body.contains("keeps sending you back"), "{}", page.body);
        assert!(goes_on(&round("a.apps.example.test:8443").await));
        for _ in 0..4 {
            // Slow circles are circles, too.
            site.house.advance(Duration::from_secs(9));
            assert!(goes_on(&round(APP).await));
        }
        site.house.advance(Duration::from_secs(9));
        assert!(!goes_on(&round(APP).await));
        site.house.advance(Duration::from_secs(10));
        assert!(goes_on(&round(APP).await));
        // Whoever does something on the way goes in none.
        for _ in 0..9 {
            assert!(goes_on(&ada.get("/auth/return?to=https://app.example.test/").await));
        }
    }

    async fn a_cookie_that_is_none_opens_nothing(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let other = Site::open(db).await;
        let good = ada.cookie(GATE).unwrap();
        let eve = site.member(EVE).await;
        let app = site.house.visitor();
        let back = "/sign-in?next=https%3A%2F%2Fapp.example.test%2F";
        for bad in [
            "",
            "x",
            "%00",
            &good[1..],
            &format!("{good}="),
            &good.chars().rev().collect::<String>(),
            &ada.cookie(SESSION).unwrap(),
            &ada.cookie(&format!("{SESSION}_known")).unwrap(),
            &other.member(ADA).await.cookie(GATE).unwrap(),
            &"A".repeat(4000),
        ] {
            app.set_cookie(GATE, bad);
            is_sent_to(&Way::Caddy.asks(&app, "/").await, Way::Caddy, back);
        }
        app.forget_cookie(GATE);
        // Two that differ: one of them may be planted.
        let both = format!("{GATE}={good}; {GATE}={}", eve.cookie(GATE).unwrap());
        let question = Way::Caddy.question(&app, "GET", "/").header("cookie", both);
        is_sent_to(&app.send(dressed(question, PERSON)).await, Way::Caddy, back);
        // Under a name that a lenient reader would take for it.
        let lenient = format!("__Secure%2Ddoorpost={good}");
        let question = Way::Caddy.question(&app, "GET", "/").header("cookie", lenient);
        is_sent_to(&app.send(dressed(question, PERSON)).await, Way::Caddy, back);
    }

    async fn every_node_knows_the_cookie_and_after_a_rotation_of_the_key_too(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let (new, old) = (secret_key(), site.house.secret_key().to_owned());
        let smtp = site.sink.url();
        let settings = [
            SETTINGS,
            &[
                ("PUBLIC_URL", House::PUBLIC),
                ("SMTP_URL", &smtp),
                ("MAIL_FROM", "doorpost@example.test"),
                ("SECRET_KEY", &new),
                ("SECRET_KEYS_OLD", &old),
            ],
        ]
        .concat();
        let other = site.house.second_node(&settings);
        passes(&Way::Caddy.asks(&at_app(&ada.at(&other)), "/").await, Way::Caddy);
        // At our own host by the session's own cookie.
        let own = ada.at(&other);
        own.forget_cookie(GATE);
        passes(&Way::Caddy.asks(&own, "/").await, Way::Caddy);
    }

    async fn an_app_at_our_own_host_needs_no_other_cookie(db: Database) {
        let site = Site::open_with(db, &[("COOKIE_DOMAIN", ""), ("RETURN_HOSTS", "")]).await;
        let ada = site.member(ADA).await;
        assert_eq!(ada.cookie(GATE), None);
        let host = House::PUBLIC.trim_start_matches("https://");
        let ask = |visitor: &Visitor| dressed(Way::Caddy.question_about(host, visitor, "GET", "/wiki/?a=b", ""), PERSON);
        passes(&ada.send(ask(&ada)).await, Way::Caddy);
        let stranger = site.house.visitor();
        is_sent_to(&stranger.send(ask(&stranger)).await, Way::Caddy, "/sign-in?next=%2Fwiki%2F%3Fa%3Db");
    }

    async fn nginx_hands_on_to_here_whom_it_may_not_let_pass(db: Database) {
        let site = Site::open(db).await;
        let visitor = site.house.visitor();
        let turn_away = |visitor: &Visitor| {
            visitor
                .request(Method::GET, "/auth/turn-away")
                .header("x-forwarded-method", "GET")
                .header("x-forwarded-host", APP)
                .header("x-forwarded-uri", "/wiki")
        };
        let answer = visitor.send(turn_away(&visitor)).await;
        is_sent_to(&answer, Way::Caddy, "/sign-in?next=https%3A%2F%2Fapp.example.test%2Fwiki");
        let answer = visitor.send(turn_away(&visitor).header("sec-fetch-mode", "cors")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        // Signed in meanwhile.
        let ada = site.member(ADA).await;
        let there = at_app(&ada);
        let back = "/auth/return?to=https://app.example.test/wiki&at-once=yes";
        for _ in 0..4 {
            is_sent_to(&there.send(turn_away(&there)).await, Way::Caddy, back);
            assert!(ada.get(back).await.header("refresh").is_some());
        }
        // It is not Doorpost that turns them away.
        let page = ada.get(back).await;
        assert_eq!(page.header("refresh"), None);
        assert!(page.body.contains("keeps sending you back"), "{}", page.body);
    }

    /// Another `COOKIE_DOMAIN` was set, or a sibling has planted one: a browser brings both to our host.
    async fn whoever_brings_two_cookies_of_ours_is_rid_of_the_other_one(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let both = |visitor: &Visitor| {
            let own = visitor.cookie(SESSION).unwrap();
            format!("{SESSION}={own}; {GATE}=of-another-domain; {GATE}={}", visitor.cookie(GATE).unwrap())
        };
        let names_it = |line: &&str| line.starts_with("__Secure-doorpost=");
        let removed = |domain: &str| format!("{GATE}=; HttpOnly; Secure; Path=/; {domain}Max-Age=0; Expires=");
        let others = [removed(""), removed("Domain=sign.example.test; ")];
        let back = "/auth/return?to=https://app.example.test/";
        for (method, path, is_removal) in [(Method::GET, back, false), (Method::POST, "/sign-out", true)] {
            let browser = site.house.visitor();
            let form = browser
                .request(method, path)
                .header("sec-fetch-site", "same-origin")
                .header("content-type", "application/x-www-form-urlencoded")
                .body("next=/");
            let answer = browser.send(form.header("cookie", both(&ada))).await;
            let lines: Vec<&str> = answer.set_cookies().into_iter().filter(names_it).collect();
            assert_eq!(lines.len(), 3, "{lines:?}");
            for (line, other) in lines.iter().zip(&others) {
                assert!(line.starts_with(other), "{line} is not {other}");
            }
            assert!(lines[2].contains("Domain=example.test; "), "{lines:?}");
            assert_eq!(lines[2].starts_with("__Secure-doorpost=;"), is_removal, "{lines:?}");
        }
        // Of one alone none ends, and a stranger gets none.
        let eve = site.member(EVE).await.get(back).await;
        assert_eq!(eve.set_cookies().iter().filter(|line| names_it(line)).count(), 1);
        let stranger = site.house.visitor();
        let page = stranger.request(Method::GET, back).header("cookie", format!("{GATE}=a; {GATE}=b"));
        assert_eq!(stranger.send(page).await.set_cookies(), [""; 0]);
    }

    /// HDR-04: what an app's host has below it is not ours.
    async fn what_is_shown_at_an_apps_host_binds_no_host_below_it(db: Database) {
        let site = Site::open_with(db, &[("HSTS_INCLUDE_SUBDOMAINS", "true")]).await;
        let ada = at_app(&site.member(ADA).await);
        let stranger = site.house.visitor();
        for page in [
            Way::Caddy.asks(&ada, "/").await,
            Way::Caddy.asks(&stranger, "/").await,
            Way::Envoy.asks(&stranger, "/").await,
            asks_within(&stranger, "?reauthenticated=soon").await,
            stranger.get("/auth/turn-away").await,
        ] {
            assert_eq!(page.header("strict-transport-security"), Some("max-age=63072000"), "{}", page.status);
        }
        let ours = stranger.get("/auth/return").await;
        assert_eq!(ours.header("strict-transport-security"), Some("max-age=63072000; includeSubDomains"));
    }
}

/// Who may pass where, in a file.
fn rules(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

impl Site {
    async fn open_with_rules(db: Database, text: &str) -> (Self, NamedTempFile) {
        let file = rules(text);
        let path = file.path().to_str().unwrap();
        (Self::open_with(db, &[("GATE_FILE", path)]).await, file)
    }
}

const RULES: &str = r#"
    [[host]]
    name = "app.example.test"
    allow = ["ada@example.org", "*.example.net"]
    open = ["/health", "/assets/*"]
    jwt = true

    [[host.path]]
    at = "/admin/*"
    strength = "password"
    reauthenticated = "10m"

    [[host.path]]
    at = "/vault/*"
    allow = ["ada@example.org"]
    strength = "passkey"

    [[host]]
    name = "*.apps.example.test:8443"
"#;

/// The visitor does not pass, and reads that; and as whom.
#[track_caller]
fn is_refused(page: &Page, email: &str) {
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.body);
    says_nothing_of_anybody(page);
    assert!(page.body.contains(email), "{}", page.body);
    assert!(page.body.contains(APP), "{}", page.body);
    let sign_out =
        r#"href="https://sign.example.test/sign-out?next=https%3A%2F%2Fapp.example.test%2F"#;
    assert!(page.body.contains(sign_out), "{}", page.body);
    is_whole_elsewhere(page);
}

/// A proxy shows it at the app's host: it has no address there, and is allowed nothing but our style.
#[track_caller]
fn is_whole_elsewhere(page: &Page) {
    assert_eq!(
        page.header("content-security-policy"),
        Some(
            "default-src 'none'; style-src https://sign.example.test; img-src https://sign.example.test; \
             form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
        )
    );
    let style = r#"<link rel="stylesheet" href="https://sign.example.test/static/"#;
    assert!(page.body.contains(style), "{}", page.body);
    assert!(!page.body.contains(r#"="/"#), "{}", page.body);
    assert!(!page.body.contains("<script"), "{}", page.body);
}

on_both! {
    async fn who_may_pass_is_what_the_file_says(db: Database) {
        let (site, _file) = Site::open_with_rules(db, RULES).await;
        let (ada, eve) = (site.member(ADA).await, site.member(EVE).await);
        let bob = site.member("bob@team.example.net").await;
        for way in WAYS {
            passes(&way.asks(&at_app(&ada), "/").await, way);
            passes(&way.asks(&at_app(&bob), "/x?y").await, way);
            is_refused(&way.asks(&at_app(&eve), "/").await, EVE);
            is_refused(&way.asks(&at_app(&eve), "/admin/").await, EVE);
            is_refused(&way.asks(&at_app(&bob), "/vault/key").await, "bob@team.example.net");
            let stranger = site.house.visitor();
            is_sent_to(&way.asks(&stranger, "/").await, way, "/sign-in?next=https%3A%2F%2Fapp.example.test%2F");

            // A script can make nothing of a page.
            let question = way.question(&at_app(&eve), "GET", "/").header("accept", "application/json");
            let page = at_app(&eve).send(question).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN);
            assert_eq!(page.json()["status"], 403);
            assert_eq!(page.json()["title"], "You may not open this");
        }
        // The other app is open to whoever is signed in.
        let other = Way::Caddy.question_about("a.apps.example.test:8443", &eve, "GET", "/", "");
        passes(&at_app(&eve).send(dressed(other, PERSON)).await, Way::Caddy);
    }

    async fn the_style_is_there_for_the_hosts_of_apps(db: Database) {
        let site = Site::open(db).await;
        let visitor = site.house.visitor();
        let page = visitor.get("/").await;
        let style = page.between(r#"<link rel="stylesheet" href=""#, "\"").unwrap();
        let style = visitor.get(&style).await;
        assert_eq!(style.header("cross-origin-resource-policy"), Some("same-site"));
        let unreadable = visitor.get("/auth/verify?reauthenticated=x").await;
        is_whole_elsewhere(&unreadable);
    }

    async fn a_host_that_the_file_does_not_name_lets_nobody_pass(db: Database) {
        let (site, _file) = Site::open_with_rules(db, RULES).await;
        let ada = at_app(&site.member(ADA).await);
        let stranger = site.house.visitor();
        for visitor in [&ada, &stranger] {
            for host in ["wiki.example.test", "app.example.test:8443", "apps.example.test:8443", "sign.example.test", "app.example.test.", ""] {
                let question = Way::Caddy.question_about(host, visitor, "GET", "/health", "");
                let page = visitor.send(dressed(question, PERSON)).await;
                assert_eq!(page.status, StatusCode::FORBIDDEN, "{host}");
                says_nothing_of_anybody(&page);
            }
            let unsaid = visitor.get("/auth/verify").await;
            assert_eq!(unsaid.status, StatusCode::FORBIDDEN);
        }
    }

    async fn what_is_open_is_open_to_everybody_and_says_who_those_are_that_may_pass(db: Database) {
        let (site, _file) = Site::open_with_rules(db, RULES).await;
        let (ada, eve, stranger) = (site.member(ADA).await, site.member(EVE).await, site.house.visitor());
        for way in WAYS {
            for path in ["/health", "/assets/app.css?v=1"] {
                let page = way.asks(&stranger, path).await;
                assert!(page.status.is_success(), "{way:?} {path}");
                says_nothing_of_anybody(&page);
                let (email, _) = passes(&way.asks(&at_app(&ada), path).await, way);
                assert_eq!(email, ADA);
                // Who may not see the rest is nobody there.
                let page = way.asks(&at_app(&eve), path).await;
                assert!(page.status.is_success(), "{way:?} {path}");
                says_nothing_of_anybody(&page);
            }
            for path in ["/health/", "/healthz", "/assets/../", "/assets/..%2f", "//health", "/assets/%2e%2e/admin", "/HEALTH"] {
                let page = way.asks(&stranger, path).await;
                assert!(!page.status.is_success(), "{way:?} {path}");
            }
        }
    }

    async fn some_paths_ask_for_a_password_and_some_for_a_passkey(db: Database) {
        let (site, _file) = Site::open_with_rules(db, RULES).await;
        let ada = site.member(ADA).await;
        let gate = |path: &str| format!("/reauthenticate?next=https%3A%2F%2Fapp.example.test{path}");
        is_sent_to(&Way::Caddy.asks(&at_app(&ada), "/admin").await, Way::Caddy, &gate("%2Fadmin"));
        // However it is spelled.
        for path in ["/ADMIN/x", "//admin", "/x/../admin/y", "/%61dmin", "/admin;x"] {
            let page = Way::Caddy.asks(&at_app(&ada), path).await;
            assert_eq!(page.status, StatusCode::SEE_OTHER, "{path}");
            assert!(page.location().contains("/reauthenticate?"), "{path}: {}", page.location());
        }
        ada.post("/reauthenticate", &[("password", PASSWORD)]).await.goes_on_to("/account");
        passes(&Way::Caddy.asks(&at_app(&ada), "/admin").await, Way::Caddy);
        site.house.advance(Duration::from_secs(600));
        is_sent_to(&Way::Caddy.asks(&at_app(&ada), "/admin").await, Way::Caddy, &gate("%2Fadmin"));

        let by_passkey = "/reauthenticate?with=passkey&next=https%3A%2F%2Fapp.example.test%2Fvault%2F";
        ada.post("/reauthenticate", &[("password", PASSWORD)]).await.goes_on_to("/account");
        is_sent_to(&Way::Caddy.asks(&at_app(&ada), "/vault/").await, Way::Caddy, by_passkey);
        let page = ada.get(by_passkey).await;
        assert!(page.body.contains("A passkey is needed"), "{}", page.body);
        let mut authenticator = Authenticator::on(House::PUBLIC);
        authenticator.make_at(&ada, "/account/passkeys/add").await;
        let page = ada.get(by_passkey).await;
        assert!(page.body.contains("Use your passkey"), "{}", page.body);
        assert_eq!(page.hidden("next").unwrap(), "/auth/return?to=https://app.example.test/vault/");
        authenticator.opens_gate(&ada).await;
        passes(&Way::Caddy.asks(&at_app(&ada), "/vault/").await, Way::Caddy);
    }

    async fn the_file_is_read_again_and_counts_at_the_next_request(db: Database) {
        let (site, file) = Site::open_with_rules(db, RULES).await;
        let eve = site.member(EVE).await;
        is_refused(&Way::Caddy.asks(&at_app(&eve), "/").await, EVE);
        std::fs::write(file.path(), "[[host]]\nname = \"app.example.test\"\n").unwrap();
        site.house.app.gate.read_again().unwrap();
        passes(&Way::Caddy.asks(&at_app(&eve), "/").await, Way::Caddy);
        std::fs::write(file.path(), "[[host]]\nname = \"app.example.test\"\nalow = []\n").unwrap();
        site.house.app.gate.read_again().unwrap_err();
        passes(&Way::Caddy.asks(&at_app(&eve), "/").await, Way::Caddy);
    }

    async fn an_app_that_trusts_no_network_gets_a_token_for_itself_alone(db: Database) {
        let (site, _file) = Site::open_with_rules(db, RULES).await;
        let ada = site.member(ADA).await;
        let page = Way::Caddy.asks(&at_app(&ada), "/").await;
        let token = page.header("remote-jwt").unwrap();
        let part = |n: usize| {
            let part = token.split('.').nth(n).unwrap();
            let json = URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice::<Value>(&json).unwrap()
        };
        assert_eq!((&part(0)["typ"], &part(0)["alg"]), (&json!("JWT"), &json!("ES256")));
        let now = site.house.clock.now() / 1000;
        let says = part(1);
        assert_eq!(says["iss"], House::PUBLIC);
        assert_eq!(says["aud"], "https://app.example.test");
        assert_eq!(says["email"], ADA);
        assert_eq!(says["sub"], page.header("remote-user").unwrap());
        assert_eq!(says["amr"], json!(["otp"]));
        assert_eq!((&says["iat"], &says["exp"]), (&json!(now), &json!(now + 120)));
        let keys = ada.get("/.well-known/jwks.json").await.json();
        let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == part(0)["kid"]);
        let point = |name: &str| URL_SAFE_NO_PAD.decode(key.unwrap()[name].as_str().unwrap()).unwrap();
        let point = [vec![4], point("x"), point("y")].concat();
        let (message, signature) = token.rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
            .unwrap();

        // Our own API takes it for nothing.
        let me = ada.request(Method::GET, "/api/v1/me").header("authorization", format!("Bearer {token}"));
        assert_eq!(ada.send(me).await.status, StatusCode::UNAUTHORIZED);
        // Who is nobody there gets none, nor does an app that asked for none.
        assert_eq!(Way::Caddy.asks(&site.house.visitor(), "/health").await.header("remote-jwt"), None);
        let other = Way::Caddy.question_about("a.apps.example.test:8443", &ada, "GET", "/", "");
        assert_eq!(at_app(&ada).send(dressed(other, PERSON)).await.header("remote-jwt"), None);
    }
}
