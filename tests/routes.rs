//! Every route, and what it says to whom. A new route belongs into this table: a test looks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use doorpost::accounts::links::Purpose;
use doorpost::accounts::signed_links::UNSUBSCRIBE;
use doorpost::accounts::users;
use doorpost::api::jwks::JWKS;
use doorpost::api::metadata::METADATA;
use doorpost::api::tokens::{REVOKE, TOKENS};
use doorpost::random;
use doorpost::web::assets;
use doorpost::web::bound_session::{BIND, PROVE};
use reqwest::{Method, StatusCode};

use crate::headers;
use crate::support::wire::{self, Heard};
use crate::support::{Database, House, Page, Visitor};

/// Method and path; then status and `Location` for a stranger, for somebody who came in by a link (one in ordinary
/// mail too), and for somebody who has entered the password since. A POST sends a form without fields.
const ROUTES: &[(&str, &str, &str, &str, &str)] = &[
    ("GET", "/", "200", "200", "200"),
    (
        "GET",
        "/members",
        "303 /sign-in?next=%2Fmembers",
        "200",
        "200",
    ),
    ("GET", "/register", "200", "200", "200"),
    ("POST", "/register", "422", "422", "422"),
    ("GET", "/sign-in", "200", "200", "200"),
    ("POST", "/sign-in", "422", "422", "422"),
    ("GET", "/sign-in/sent", "200", "200", "200"),
    ("POST", "/sign-in/code", "422", "422", "422"),
    ("GET", "/sign-in/link", "410", "410", "410"),
    ("POST", "/sign-in/link", "410", "410", "410"),
    ("GET", "/sign-out", "303 /", "200", "200"),
    (
        "POST",
        "/sign-out",
        "303 /sign-in?next=%2Faccount",
        "303 /",
        "303 /",
    ),
    ("GET", "/auth/verify", "401 URL/sign-in", "204", "204"),
    (
        "GET",
        "/auth/turn-away",
        "401 URL/sign-in",
        "303 URL/account",
        "303 URL/account",
    ),
    ("GET", "/auth/return", "303 /", "303 /", "303 /"),
    ("POST", "/confirm-email/send", "422", "422", "422"),
    ("GET", "/confirm-email", "410", "410", "410"),
    ("POST", "/confirm-email", "410", "410", "410"),
    (
        "GET",
        "/account",
        "303 /sign-in?next=%2Faccount",
        "200",
        "200",
    ),
    ("GET", "/sign-in/password", "200", "200", "200"),
    ("POST", "/sign-in/password", "422", "422", "422"),
    ("POST", "/passkeys/sign-in/options", "415", "415", "415"),
    ("POST", "/passkeys/sign-in", "415", "415", "415"),
    (
        "POST",
        "/reauthenticate/passkey/options",
        "401",
        "415",
        "415",
    ),
    ("POST", "/reauthenticate/passkey", "401", "415", "415"),
    ("POST", "/account/passkeys/add/options", "401", "401", "415"),
    ("POST", "/account/passkeys/add", "401", "401", "415"),
    ("GET", "/forgot-password", "200", "200", "200"),
    ("POST", "/forgot-password", "422", "422", "422"),
    ("GET", "/reset-password", "410", "410", "410"),
    ("POST", "/reset-password", "410", "410", "410"),
    (
        "GET",
        "/reauthenticate",
        "303 /sign-in?next=%2Freauthenticate",
        "200",
        "200",
    ),
    (
        "POST",
        "/reauthenticate",
        "303 /sign-in?next=%2Faccount",
        "422",
        "422",
    ),
    (
        "GET",
        "/account/email",
        "303 /sign-in?next=%2Faccount%2Femail",
        "303 /reauthenticate?next=%2Faccount%2Femail",
        "200",
    ),
    (
        "POST",
        "/account/email",
        "303 /sign-in?next=%2Faccount",
        "303 /reauthenticate?next=%2Faccount%2Femail",
        "422",
    ),
    (
        "POST",
        "/account/email/cancel",
        "303 /sign-in?next=%2Faccount",
        "303 /account",
        "303 /account",
    ),
    ("GET", "/account/email/confirm", "410", "410", "410"),
    ("POST", "/account/email/confirm", "410", "410", "410"),
    ("GET", "/account/email/undo", "410", "410", "410"),
    ("POST", "/account/email/undo", "410", "410", "410"),
    (
        "GET",
        "/account/password",
        "303 /sign-in?next=%2Faccount%2Fpassword",
        "303 /reauthenticate?next=%2Faccount%2Fpassword",
        "200",
    ),
    (
        "POST",
        "/account/password",
        "303 /sign-in?next=%2Faccount",
        "303 /reauthenticate?next=%2Faccount%2Fpassword",
        "422",
    ),
    (
        "GET",
        "/account/passkeys",
        "303 /sign-in?next=%2Faccount%2Fpasskeys",
        "303 /reauthenticate?next=%2Faccount%2Fpasskeys",
        "200",
    ),
    (
        "POST",
        "/account/passkeys/not-now",
        "303 /sign-in?next=%2Faccount",
        "303 /account",
        "303 /account",
    ),
    (
        "GET",
        "/account/passkeys/{session}/rename",
        "404",
        "404",
        "404",
    ),
    (
        "POST",
        "/account/passkeys/{session}/rename",
        "404",
        "404",
        "404",
    ),
    (
        "GET",
        "/account/passkeys/{session}/remove",
        "404",
        "404",
        "404",
    ),
    (
        "POST",
        "/account/passkeys/{session}/remove",
        "404",
        "404",
        "404",
    ),
    (
        "POST",
        "/reset-password/passkey/options",
        "415",
        "415",
        "415",
    ),
    ("POST", "/reset-password/passkey", "415", "415", "415"),
    (
        "GET",
        "/account/sessions",
        "303 /sign-in?next=%2Faccount%2Fsessions",
        "200",
        "200",
    ),
    (
        "POST",
        "/account/sessions/{session}/end",
        "303 /sign-in?next=%2Faccount",
        "404",
        "404",
    ),
    (
        "POST",
        "/account/sessions/end-others",
        "303 /sign-in?next=%2Faccount",
        "303 /account/sessions",
        "303 /account/sessions",
    ),
    (
        "POST",
        "/account/links/end",
        "303 /sign-in?next=%2Faccount",
        "303 /account",
        "303 /account",
    ),
    (
        "POST",
        "/account/notification-links",
        "303 /sign-in?next=%2Faccount",
        "303 /account",
        "303 /account",
    ),
    (
        "POST",
        "/account/announcements",
        "303 /sign-in?next=%2Faccount",
        "303 /account",
        "303 /account",
    ),
    (
        "GET",
        "/account/activity",
        "303 /sign-in?next=%2Faccount%2Factivity",
        "200",
        "200",
    ),
    (
        "POST",
        "/account/export",
        "303 /sign-in?next=%2Faccount",
        "303 /reauthenticate?next=%2Faccount",
        "200",
    ),
    (
        "GET",
        "/account/delete",
        "303 /sign-in?next=%2Faccount%2Fdelete",
        "303 /reauthenticate?next=%2Faccount%2Fdelete",
        "200",
    ),
    (
        "POST",
        "/account/delete",
        "303 /sign-in?next=%2Faccount",
        "303 /reauthenticate?next=%2Faccount%2Fdelete",
        "422",
    ),
    ("POST", "/session/bind", "400", "400", "400"),
    ("POST", "/session/prove", "400", "400", "400"),
    (
        "GET",
        "/account/reset-hold",
        "303 /sign-in?next=%2Faccount%2Freset-hold",
        "303 /account",
        "303 /account",
    ),
    (
        "POST",
        "/account/reset-hold",
        "303 /sign-in?next=%2Faccount",
        "303 /reauthenticate?next=%2Faccount%2Freset-hold",
        "303 /account",
    ),
    ("GET", "/unsubscribe", "410", "410", "410"),
    ("POST", "/unsubscribe", "400", "400", "400"),
    ("GET", "/dev/inbox", "200", "200", "200"),
    ("GET", "/dev/inbox/{id}", "200", "200", "200"),
    ("GET", "/dev/inbox/{id}/html", "200", "200", "200"),
    (
        "POST",
        "/dev/inbox/clear",
        "303 /dev/inbox",
        "303 /dev/inbox",
        "303 /dev/inbox",
    ),
    ("GET", "/api", "200", "200", "200"),
    ("GET", "/api/openapi.json", "200", "200", "200"),
    ("GET", "/api/openapi-3.0.json", "200", "200", "200"),
    ("POST", "/api/v1/sign-in-codes", "415", "415", "415"),
    ("POST", "/api/v1/tokens", "400", "400", "400"),
    ("POST", "/api/v1/tokens/revoke", "400", "400", "400"),
    ("GET", "/api/v1/me", "401", "401", "401"),
    ("DELETE", "/api/v1/me", "401", "401", "401"),
    ("GET", "/api/v1/me/sessions", "401", "401", "401"),
    (
        "DELETE",
        "/api/v1/me/sessions/{session}",
        "401",
        "401",
        "401",
    ),
    ("POST", "/api/v1/me/password", "401", "401", "401"),
    ("POST", "/api/v1/me/email", "401", "401", "401"),
    ("GET", "/.well-known/jwks.json", "200", "200", "200"),
    (
        "GET",
        "/.well-known/oauth-authorization-server",
        "200",
        "200",
        "200",
    ),
    (
        "GET",
        "/.well-known/change-password",
        "303 /account/password",
        "303 /account/password",
        "303 /account/password",
    ),
    ("GET", "/.well-known/security.txt", "404", "404", "404"),
    ("GET", "/robots.txt", "200", "200", "200"),
    ("GET", "/healthz", "200", "200", "200"),
    ("GET", "/readyz", "200", "200", "200"),
    ("GET", "/static/doorpost.css", "200", "200", "200"),
    ("GET", "/static/doorpost.js", "200", "200", "200"),
    ("GET", "/static/passkeys.js", "200", "200", "200"),
    ("GET", "/static/icon.svg", "200", "200", "200"),
];

/// Each path with the methods it takes; mail is that with this id.
pub fn paths(mail_id: &str) -> BTreeMap<String, BTreeSet<Method>> {
    let mut paths: BTreeMap<String, BTreeSet<Method>> = BTreeMap::new();
    for (method, path, ..) in ROUTES {
        let method: Method = method.parse().unwrap();
        let methods = paths.entry(real(path, mail_id)).or_default();
        if method == Method::GET {
            methods.insert(Method::HEAD);
        }
        methods.insert(method);
    }
    paths
}

/// What programs find at a place of its own.
const OF_THE_API: [&str; 2] = [
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
];

/// The routes that the description of the API is of.
pub fn of_the_api() -> Vec<String> {
    ROUTES
        .iter()
        .filter(|(_, path, ..)| path.starts_with("/api/v1/") || OF_THE_API.contains(path))
        .map(|(method, path, ..)| format!("{method} {}", path.replace("{session}", "{id}")))
        .collect()
}

/// The paths of pages, and what each answers a stranger.
pub fn for_strangers() -> impl Iterator<Item = (&'static str, &'static str)> {
    let pages = ROUTES.iter().filter(|(method, ..)| *method == "GET");
    pages.map(|(_, path, to_a_stranger, ..)| (*path, *to_a_stranger))
}

/// The path to ask for: with the id of a mail, and with a file's fingerprint.
fn real(path: &str, mail_id: &str) -> String {
    let files = [
        &assets::STYLESHEET,
        &assets::SCRIPT,
        &assets::PASSKEYS,
        &assets::ICON,
    ];
    if let Some(name) = path.strip_prefix("/static/") {
        let file = files.into_iter().find(|file| file.url().ends_with(name));
        return file.unwrap().url().to_owned();
    }
    path.replace("{id}", mail_id)
        .replace("{session}", "nobodys")
}

/// The id of the newest mail in the development inbox.
pub async fn newest_mail_id(visitor: &Visitor) -> String {
    let list = visitor.get("/dev/inbox").await;
    list.between("href=\"/dev/inbox/", "\"").unwrap()
}

/// Somebody who came in by a link, with the session's cookie and none beside it; and whose account is not so new any more
/// that its first passkey needs no gate.
async fn link_session(house: &House) -> Visitor {
    let member = house.member("ada@example.org").await;
    house.advance(Duration::from_secs(10 * 60));
    keep_the_session_alone(&member);
    member
}

/// Somebody who came back by a link in ordinary mail.
async fn notification_session(house: &House) -> Visitor {
    let member = house.member("dot@example.org").await;
    let links = house.app.signed_links.clone();
    let made = house.app.read(move |tx| {
        let reader = users::of_address(tx, "dot@example.org")?.unwrap();
        Ok(links.to_page(tx, &reader, "/account"))
    });
    member.forget_cookie("doorpost");
    member
        .click(&made.await.unwrap())
        .await
        .goes_on_to("/account");
    keep_the_session_alone(&member);
    member
}

fn keep_the_session_alone(member: &Visitor) {
    for beside in ["doorpost_asked", "doorpost_known", "doorpost_link"] {
        member.forget_cookie(beside);
    }
}

async fn ask(visitor: &Visitor, method: &str, path: &str) -> Page {
    match method {
        "GET" => visitor.get(path).await,
        "DELETE" => visitor.send(visitor.request(Method::DELETE, path)).await,
        _ => visitor.post(path, &[]).await,
    }
}

/// With a jar of its own each time, for what one route sets is no business of the next.
async fn answers_to(member: &Visitor, method: &str, path: &str, expected: &str, mail_id: &str) {
    if path == "/sign-out" {
        return; // last, for the copies share one session
    }
    let what = format!("a member's {method} {path}, in hope of {expected}");
    let member = member.with_copied_jar();
    answers(
        &ask(&member, method, &real(path, mail_id)).await,
        expected,
        &what,
    );
}

/// Where to, without the address of the house that it stands in: `URL`.
fn led_to(page: &Page) -> String {
    let location = page.header("location").unwrap_or_default();
    match location.strip_prefix("http://localhost:") {
        Some(rest) => format!(
            "URL{}",
            rest.trim_start_matches(|c: char| c.is_ascii_digit())
        ),
        None => location.to_owned(),
    }
}

#[track_caller]
fn answers(page: &Page, expected: &str, what: &str) {
    let (status, location) = expected.split_once(' ').unwrap_or((expected, ""));
    assert_eq!(page.status.as_str(), status, "{what}: {}", page.body);
    assert_eq!(led_to(page), location, "{what}");
    if !path_has_its_own_csp(what) {
        headers::are_complete(page, what);
    }
    let caching = page.header("cache-control").unwrap();
    let is_file = what.contains("/static/");
    assert_eq!(
        caching == "no-store, no-cache",
        !is_file,
        "{what}: {caching}"
    );
}

/// The development inbox frames a letter, which is not a page of ours; and what a proxy is answered is shown at the host of
/// another app.
fn path_has_its_own_csp(what: &str) -> bool {
    ["/dev/inbox/{id}", "/auth/verify", "/auth/turn-away"]
        .iter()
        .any(|path| what.contains(path))
}

on_both! {
    /// AZ-02, HDR-01
    async fn every_route_says_to_everybody_what_the_table_says(db: Database) {
        let house = House::new(db).await;
        let member = link_session(&house).await;
        let mail_id = newest_mail_id(&member).await;
        for (method, path, to_stranger, ..) in ROUTES {
            let what = format!("a stranger's {method} {path}");
            let stranger = house.visitor();
            let page = ask(&stranger, method, &real(path, &mail_id)).await;
            answers(&page, to_stranger, &what);
            // What was cleared is said on the next page.
            let is_done = *path == "/dev/inbox/clear";
            assert!(page.set_cookies().is_empty() || is_done, "{what}");
        }
        house.member("cyd@example.org").await; // for the stranger cleared the inbox
        let notified = notification_session(&house).await;
        for who in [&member, &notified] {
            let mail_id = newest_mail_id(who).await;
            for (method, path, _, to_member, _) in ROUTES {
                answers_to(who, method, path, to_member, &mail_id).await;
            }
            house.member(&format!("{}@example.org", random::id().to_lowercase())).await; // for the inbox was cleared
        }
        let owner = house.owner("bob@example.org").await;
        keep_the_session_alone(&owner);
        let mail_id = newest_mail_id(&owner).await;
        for (method, path, .., to_owner) in ROUTES {
            answers_to(&owner, method, path, to_owner, &mail_id).await;
        }
        for visitor in [member, notified, owner] {
            let page = visitor.post("/sign-out", &[]).await;
            answers(&page, "303 /", "a member's POST /sign-out");
        }
    }

    /// HTTP-07
    async fn every_route_takes_the_methods_in_the_table_and_no_others(db: Database) {
        let house = House::new(db).await;
        let member = link_session(&house).await;
        for (path, methods) in paths(&newest_mail_id(&member).await) {
            let page = member.send(member.request(Method::OPTIONS, &path)).await;
            assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            let allowed: BTreeSet<Method> = page
                .header("allow")
                .unwrap()
                .split(", ")
                .map(|method| method.parse().unwrap())
                .collect();
            assert_eq!(allowed, methods, "{path}");
        }
    }
}

/// A form sent to a path that no client would leave as it is.
async fn post_as_it_is(who: &Visitor, url: &str, path: &str, fields: &[(&str, &str)]) -> Heard {
    let body: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let body = body.join("&");
    let cookie = who.cookie("doorpost").unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncookie: doorpost={cookie}\r\n\
         sec-fetch-site: same-origin\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    wire::say(url, request).await
}

on_both! {
    /// Promise 7: no spelling of a route avoids the gate, or reaches an action another way.
    async fn a_route_spelled_otherwise_reaches_no_action(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner("ada@example.org").await;
        let bob = house.member_with_password("bob@example.org").await;
        let fields = [("email", "ada@example.org"), ("_method", "POST"), ("method", "DELETE")];
        for path in [
            "//account/delete", "/account//delete", "/account/delete/", "/account/./delete",
            "/account/%2e/delete", "/%2e/account/delete", "/account%2fdelete", "/Account/Delete",
            "/ACCOUNT/DELETE", "/account/delete;a=b", "/account/delete%00", "/account/delete%20",
            "/account/x/../delete", "/account/x/%2e%2e/delete", "/account\\delete", "/account/delete.json",
        ] {
            for (who, fields) in [(&ada, &fields[1..]), (&bob, &fields[..])] {
                let answer = post_as_it_is(who, &house.url, path, fields).await;
                assert!(matches!(answer.statuses[..], [400 | 404 | 405]), "{path}: {answer:?}");
            }
        }
        for header in ["x-http-method-override", "x-http-method", "x-method-override"] {
            let request = ada.request(Method::GET, "/account/delete").header(header, "POST");
            assert_eq!(ada.send(request).await.status, StatusCode::OK, "only the page");
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 2);
        assert!(ada.signed_in_as().await.is_some() && bob.signed_in_as().await.is_some());
    }
}

#[test]
fn the_table_names_every_route_of_the_program() {
    let mut in_source = BTreeSet::new();
    collect(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &mut in_source,
    );
    // They take any method, as they are asked about requests of any: tests/gateway.rs.
    assert!(in_source.remove("/auth/envoy{original:/.*}"));
    assert!(in_source.remove("/auth/reauthenticated/{within}/envoy{original:/.*}"));
    let in_table: BTreeSet<String> = ROUTES
        .iter()
        .map(|(_, path, ..)| match path.split_once("/static/") {
            Some(_) => "/static/".to_owned(),
            None => path.replace("{session}", "{id}"),
        })
        .collect();
    assert_eq!(in_source, in_table);
}

/// What stands in `web::resource(…)` and its like, in all the files below `folder`.
fn collect(folder: &Path, routes: &mut BTreeSet<String>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, routes);
            continue;
        }
        if path.ends_with("exporter.rs") {
            continue; // A listener of its own, of which no visitor's address has anything: tests/metrics.rs.
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for other in [".route(\"", "#[get(", "#[post(", "default_service"] {
            assert!(
                !source.contains(other),
                "{}: {other} is unknown to this test",
                path.display()
            );
        }
        assert!(
            source.matches("web::scope(\"/").count() == usize::from(path.ends_with("gateway.rs")),
            "{}: another scope is unknown to this test",
            path.display()
        );
        let scope = match path.components().any(|part| part.as_os_str() == "gateway") {
            true => "/auth",
            false => "",
        };
        for rest in source.split("web::resource(").skip(1) {
            routes.insert(format!("{scope}{}", named(rest)));
        }
    }
}

fn named(argument: &str) -> String {
    if let Some(literal) = argument.strip_prefix('"') {
        return literal.split_once('"').unwrap().0.to_owned();
    }
    if argument.starts_with("UNSUBSCRIBE)") {
        return UNSUBSCRIBE.to_owned();
    }
    let constant = argument.split_once(')').unwrap().0;
    let constants = [
        ("BIND", BIND),
        ("PROVE", PROVE),
        ("JWKS", JWKS),
        ("METADATA", METADATA),
        ("TOKENS", TOKENS),
        ("REVOKE", REVOKE),
    ];
    if let Some((_, path)) = constants.iter().find(|(name, _)| *name == constant) {
        return (*path).to_owned();
    }
    let (argument, _) = argument.split_once("())").unwrap();
    match argument {
        "Purpose::SignIn.route" => Purpose::SignIn.route().to_owned(),
        "Purpose::ConfirmEmail.route" => Purpose::ConfirmEmail.route().to_owned(),
        "Purpose::ResetPassword.route" => Purpose::ResetPassword.route().to_owned(),
        "Purpose::ChangeEmail.route" => Purpose::ChangeEmail.route().to_owned(),
        "Purpose::UndoChangeEmail.route" => Purpose::UndoChangeEmail.route().to_owned(),
        "asset.url" => "/static/".to_owned(),
        other => panic!("a route that this test cannot read: {other}"),
    }
}
