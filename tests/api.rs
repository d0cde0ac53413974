//! What programs do: tokens, what may be done with one, and all the ways in which one opens nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::prelude::*;
use doorpost::accounts::signing_keys;
use doorpost::keys::KeyPurpose;
use doorpost::schema::signing_keys as keys_table;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::purge::purge_all;
use crate::support::{
    Database, House, PASSWORD, Page, Visitor, at_once, eventually, waiting_for_locks,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const ADA: &str = "ada@example.org";
const CODES: &str = "/api/v1/sign-in-codes";
const TOKENS: &str = "/api/v1/tokens";
const REVOKE: &str = "/api/v1/tokens/revoke";
const ME: &str = "/api/v1/me";

/// So long the answer to a refresh is told again.
const TOLD_AGAIN: Duration = Duration::from_secs(10);

/// Repeats of it within an hour are one row with a count.
const REUSED: &str = "SELECT CAST(coalesce(sum(count), 0) AS BIGINT) AS n FROM events WHERE name = 'refresh_token_reused'";

/// Somebody's program: no cookies, no pages, a pair of tokens once it has one.
#[derive(Clone)]
struct Program {
    http: Visitor,
    access: String,
    refresh: String,
}

impl Program {
    fn at(house: &House) -> Self {
        Self {
            http: house.visitor().refusing_cookies(),
            access: String::new(),
            refresh: String::new(),
        }
    }

    /// One that has signed in with the password.
    async fn of_owner(house: &House, address: &str) -> Self {
        let page = Self::at(house).password(address, PASSWORD).await;
        Self::at(house).with(&page)
    }

    /// One that has signed in with a code.
    async fn by_code(house: &House, address: &str) -> Self {
        let (id, code) = code_for(house, address).await;
        let page = Self::at(house).code(&id, &code).await;
        Self::at(house).with(&page)
    }

    fn with(mut self, page: &Page) -> Self {
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let tokens = read(page);
        self.access = tokens["access_token"].as_str().unwrap().to_owned();
        self.refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
        self
    }

    /// The password, with a token that shows that this is a program of the account's.
    async fn password_showing(&self, token: &str, address: &str, password: &str) -> Page {
        let body = json!({
            "grant_type": "password", "email": address, "password": password, "refresh_token": token,
        });
        self.post(TOKENS, &body).await
    }

    async fn password(&self, address: &str, password: &str) -> Page {
        let body = json!({"grant_type": "password", "email": address, "password": password});
        self.post(TOKENS, &body).await
    }

    async fn code(&self, id: &str, code: &str) -> Page {
        let body = json!({"grant_type": "email_code", "sign_in_id": id, "code": code});
        self.post(TOKENS, &body).await
    }

    async fn refresh(&self) -> Page {
        self.refresh_with(&self.refresh).await
    }

    async fn refresh_with(&self, token: &str) -> Page {
        let body = json!({"grant_type": "refresh_token", "refresh_token": token});
        self.post(TOKENS, &body).await
    }

    async fn get(&self, path: &str) -> Page {
        self.send(Method::GET, path, None).await
    }

    async fn delete(&self, path: &str) -> Page {
        self.send(Method::DELETE, path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Page {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Page {
        let mut request = self.http.request(method, path);
        if !self.access.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.access));
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        self.http.send(request).await
    }

    /// The address it is signed in as, if it is.
    async fn signed_in_as(&self) -> Option<String> {
        let page = self.get(ME).await;
        match page.status {
            StatusCode::OK => read(&page)["email"].as_str().map(str::to_owned),
            _ => {
                is_problem(&page, 401, "invalid_token");
                assert_eq!(
                    page.header("www-authenticate"),
                    Some(r#"Bearer error="invalid_token""#)
                );
                None
            }
        }
    }

    /// The id of the key that signed its token.
    fn key_id(&self) -> String {
        part(&self.access, 0)["kid"].as_str().unwrap().to_owned()
    }

    fn claims(&self) -> Value {
        claims_of(&self.access)
    }
}

fn read(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|why| panic!("{why}: {}", page.body))
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn claims_of(token: &str) -> Value {
    part(token, 1)
}

#[track_caller]
fn is_problem(page: &Page, status: u16, name: &str) {
    assert_eq!(page.status.as_u16(), status, "{}", page.body);
    assert_eq!(
        page.header("content-type"),
        Some("application/problem+json")
    );
    let problem = read(page);
    assert_eq!(problem["type"], format!("urn:doorpost:problem:{name}"));
    assert_eq!(problem["status"], status);
    assert!(
        problem["title"].is_string() && problem["detail"].is_string(),
        "{problem}"
    );
}

async fn ask(house: &House, address: &str) -> Page {
    Program::at(house)
        .post(CODES, &json!({"email": address}))
        .await
}

/// Asks for a code; the id it is good with, and the code.
async fn code_for(house: &House, address: &str) -> (String, String) {
    let before = house.all_mail_to(address).await.len();
    let page = ask(house, address).await;
    assert_eq!(page.status, StatusCode::ACCEPTED, "{}", page.body);
    let mail = house.mails_to(address, before + 1).await.remove(0);
    let id = read(&page)["sign_in_id"].as_str().unwrap().to_owned();
    house.advance(Duration::from_secs(61)); // past the gap, so that the test can ask again
    (id, mail.code.unwrap())
}

on_both! {
    async fn a_password_gets_a_program_in_and_its_tokens_say_so(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let program = Program::of_owner(&house, ADA).await;
        assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA));
        let header = part(&program.access, 0);
        assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("ES256")));
        let (claims, now) = (program.claims(), house.clock.now() / 1000);
        let me = read(&program.get(ME).await);
        assert_eq!(claims["iss"], house.url);
        assert_eq!(claims["aud"], house.url);
        assert_eq!(claims["sub"], me["id"]);
        assert_eq!(claims["client_id"], "doorpost", "RFC 9068 has one in every token");
        assert_eq!(claims["sid"], me["session_id"]);
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(now), &json!(now + 900)));
        assert_eq!(claims["auth_time"], now);
        assert_eq!(claims["amr"], json!(["pwd"]));
        assert_eq!(claims["scope"], "account:read account:write");
        house.advance(Duration::from_secs(60 * 60));
        let another = Program::of_owner(&house, ADA).await;
        assert_ne!(claims["jti"], another.claims()["jti"]);
        assert_eq!(house.news_to(ADA).await.len(), 2, "its owner hears of each");
    }

    async fn a_code_gets_a_member_in_and_makes_a_stranger_one(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        for address in [ADA, "new@example.org"] {
            let program = Program::by_code(&house, address).await;
            assert_eq!(program.signed_in_as().await.as_deref(), Some(address));
            assert_eq!(program.claims()["scope"], "account:read", "a mail never gives more");
            assert_eq!(program.claims()["amr"], json!(["otp"]));
        }
    }

    async fn a_code_is_good_once_with_its_own_id_and_five_times_at_most(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        let (other_id, other_code) = code_for(&house, ADA).await;
        let (id, code) = code_for(&house, ADA).await;
        let program = Program::at(&house);
        is_problem(&program.code(&other_id, &code).await, 400, "invalid_grant");
        is_problem(&program.code(&id, &other_code).await, 400, "invalid_grant");
        is_problem(&program.code("nobodys", &code).await, 400, "invalid_grant");
        assert_eq!(program.code(&id, &code).await.status, StatusCode::OK);
        is_problem(&program.code(&id, &code).await, 400, "invalid_grant");
        let (id, code) = code_for(&house, ADA).await;
        for _ in 0..5 {
            is_problem(&program.code(&id, "BCDF-GHJK").await, 400, "invalid_grant");
        }
        is_problem(&program.code(&id, &code).await, 400, "invalid_grant");
    }

    async fn a_code_is_taken_as_people_paste_it_and_what_cannot_be_one_costs_no_try(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        let (id, code) = code_for(&house, ADA).await;
        let program = Program::at(&house);
        for typed in ["", "BCDF", "not a code", "AEIO-UYAE", "https://e.test/sign-in/link?token=x"] {
            let page = program.code(&id, typed).await;
            is_problem(&page, 400, "not_a_code");
            let problem = read(&page);
            assert_eq!((&problem["error"], &problem["field"]), (&json!("invalid_request"), &json!("code")));
        }
        assert_eq!(house.count("SELECT CAST(max(code_tries) AS BIGINT) AS n FROM links").await, 0);
        let pasted = format!("\u{feff}\u{201e}{}\u{201c}.\t", code.to_lowercase().replace('-', "\u{a0}\u{2013}\u{200b}"));
        assert_eq!(program.code(&id, &pasted).await.status, StatusCode::OK);
    }

    async fn known_and_unknown_addresses_look_alike(db: Database) {
        let house = House::with(db, &[("SIGN_UP", "invited")]).await;
        house.execute("INSERT INTO invitations (email, invited_at) VALUES ('ada@example.org', 0)").await;
        house.member_with_password(ADA).await;
        let looks = |page: &Page| {
            let id = read(page)["sign_in_id"].as_str().unwrap().to_owned();
            (page.looks().replace(&id, "ID"), id)
        };
        let (known, ada) = looks(&ask(&house, ADA).await);
        let (unknown, nobody) = looks(&ask(&house, "nobody@example.org").await);
        assert_eq!(known, unknown);
        let (known, _) = looks(&ask(&house, ADA).await);
        let (unknown, _) = looks(&ask(&house, "nobody@example.org").await);
        assert_eq!(known, unknown, "within the gap, too");
        let program = Program::at(&house);
        for _ in 0..6 {
            let known = program.code(&ada, "BCDF-GHJK").await;
            assert_eq!(known.looks(), program.code(&nobody, "BCDF-GHJK").await.looks());
        }
        for _ in 0..6 {
            let known = program.password(ADA, "a wrong password for her").await;
            let unknown = program.password("nobody@example.org", "a wrong password for her").await;
            assert_eq!(known.looks(), unknown.looks());
        }
    }

    async fn tokens_are_delivered_where_they_are_wanted(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let program = Program::at(&house);
        let wanted = |delivery: &str| json!({
            "grant_type": "password", "email": ADA, "password": PASSWORD, "delivery": delivery,
        });
        let page = program.post(TOKENS, &wanted("header")).await;
        let access = page.header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
        assert_eq!(claims_of(access)["iss"], house.url);
        let refresh = page.header("x-refresh-token").unwrap().to_owned();
        assert_eq!(program.refresh_with(&refresh).await.status, StatusCode::OK);
        assert!(read(&page)["access_token"].is_null() && read(&page)["refresh_token"].is_null());
        assert_eq!(read(&page)["token_type"], "Bearer");

        let page = program.post(TOKENS, &wanted("cookie")).await;
        assert!(read(&page)["access_token"].is_null() && read(&page)["refresh_token"].is_null());
        let cookies = page.set_cookies();
        assert!(cookies[0].starts_with("doorpost_access=") && cookies[1].starts_with("doorpost_refresh="));
        for cookie in cookies {
            assert!(cookie.contains("; HttpOnly; Path=/") && cookie.ends_with("; SameSite=Strict"), "{cookie}");
        }
        is_problem(&program.post(TOKENS, &wanted("pigeon")).await, 400, "invalid_request");
    }

    async fn a_token_in_a_cookie_counts_for_pages_of_ours_alone(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let browser = house.visitor();
        let json = |site: &'static str, path: &str, body: Value| {
            browser.request(Method::POST, path).header("sec-fetch-site", site)
                .header("content-type", "application/json").body(body.to_string())
        };
        let sign_in = json!({"grant_type": "password", "email": ADA, "password": PASSWORD, "delivery": "cookie"});
        let refused = browser.send(json("cross-site", TOKENS, sign_in.clone())).await;
        is_problem(&refused, 403, "cross_origin");
        let page = browser.send(json("same-origin", TOKENS, sign_in)).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert_eq!(browser.get(ME).await.status, StatusCode::OK);
        let change = json!({"password": "another horse that eats staples"});
        for site in ["cross-site", "same-site", "none"] {
            let page = browser.send(json(site, "/api/v1/me/password", change.clone())).await;
            is_problem(&page, 403, "cross_origin");
            let page = browser.send(json(site, TOKENS, json!({"grant_type": "refresh_token"}))).await;
            is_problem(&page, 403, "cross_origin");
        }
        let unsaid = browser.request(Method::DELETE, ME);
        is_problem(&browser.send(unsaid).await, 403, "cross_origin");
        let page = browser.send(json("same-origin", TOKENS, json!({"grant_type": "refresh_token"}))).await;
        assert_eq!(page.set_cookies().len(), 2, "{}", page.body);
        let page = browser.send(json("same-origin", "/api/v1/me/password", change)).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert_eq!(page.set_cookies().len(), 2, "the new ones, where the old ones were: {}", page.body);
        assert_eq!(browser.get(ME).await.status, StatusCode::OK);
        browser.send(json("same-origin", REVOKE, json!({}))).await;
        assert_eq!(browser.cookie("doorpost_access"), None);
        is_problem(&browser.get(ME).await, 401, "no_token");
    }

    async fn what_opens_the_pages_does_not_open_the_api_nor_the_other_way_round(db: Database) {
        let house = House::new(db).await;
        let browser = house.owner(ADA).await;
        assert!(browser.signed_in_as().await.is_some());
        let page = browser.get(ME).await;
        is_problem(&page, 401, "no_token");
        assert_eq!(page.header("www-authenticate"), Some("Bearer"));
        let cookie = browser.cookie("doorpost").unwrap();
        for junk in [cookie.as_str(), "", "x", "a.b.c"] {
            let program = Program { access: junk.to_owned(), ..Program::at(&house) };
            let page = program.get(ME).await;
            assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{junk}");
        }
        let program = Program::of_owner(&house, ADA).await;
        let stranger = house.visitor();
        for token in [&program.access, &program.refresh] {
            stranger.set_cookie("doorpost", token);
            assert_eq!(stranger.signed_in_as().await, None);
        }
        // An id that names a browser's session names none for a program.
        let listed = read(&program.get("/api/v1/me/sessions").await);
        assert_eq!(listed["sessions"].as_array().unwrap().len(), 2);
    }

    async fn a_refresh_token_is_good_once_and_for_thirty_days(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let first = Program::of_owner(&house, ADA).await;
        house.advance(Duration::from_secs(29 * 24 * 60 * 60));
        assert_eq!(first.signed_in_as().await, None, "a quarter of an hour has passed");
        let second = first.clone().with(&first.refresh().await);
        assert_eq!(second.signed_in_as().await.as_deref(), Some(ADA));
        assert_eq!(first.claims()["auth_time"], second.claims()["auth_time"], "nobody proved anything anew");
        assert_eq!(first.claims()["sid"], second.claims()["sid"]);
        house.advance(Duration::from_secs(24 * 60 * 60));
        is_problem(&second.refresh().await, 400, "invalid_grant");
        assert_eq!(read(&second.refresh().await)["error"], "invalid_grant");
    }

    async fn a_refresh_token_that_is_used_twice_ends_everything_that_came_of_it(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let first = Program::of_owner(&house, ADA).await;
        let bystander = Program::of_owner(&house, ADA).await;
        let second = first.clone().with(&first.refresh().await);
        let third = second.clone().with(&second.refresh().await);
        assert_eq!(third.signed_in_as().await.as_deref(), Some(ADA));
        is_problem(&first.refresh().await, 400, "invalid_grant");
        for program in [&first, &second, &third] {
            assert_eq!(program.signed_in_as().await, None, "its access token is dead at once");
            is_problem(&program.refresh().await, 400, "invalid_grant");
        }
        assert_eq!(bystander.signed_in_as().await.as_deref(), Some(ADA), "another sign-in is another family");
        assert_eq!(house.count(REUSED).await, 1);
    }

    /// An answer is lost on its way to a phone; or two threads of a program refresh at once.
    async fn a_refresh_that_is_repeated_at_once_gets_the_same_answer(db: Database) {
        let house = House::new(db).await;
        let other_node = second_node(&house);
        house.member_with_password(ADA).await;
        let lost = Program::of_owner(&house, ADA).await;
        let first = lost.clone().with(&lost.refresh().await);
        house.advance(TOLD_AGAIN - Duration::from_millis(1));
        let elsewhere = Program { http: Program::at(&other_node).http, ..lost.clone() };
        for repeated in [lost.clone(), elsewhere] {
            let again = lost.clone().with(&repeated.refresh().await);
            assert_eq!(again.refresh, first.refresh);
            for program in [&first, &again] {
                assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA));
            }
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM refresh_tokens").await, 2);
        assert_eq!(house.count(REUSED).await, 0);
        // It goes on as if nothing had been lost.
        let second = first.clone().with(&first.refresh().await);
        assert_eq!(second.signed_in_as().await.as_deref(), Some(ADA));
    }

    /// Later it may be a thief, and so it may once the program has gone on.
    async fn a_refresh_that_is_repeated_later_or_after_its_answer_was_used_ends_the_session(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let repeats: [&str; 3] = ["too late", "its successor used", "the rights changed"];
        for (number, why) in (1..).zip(repeats) {
            let first = Program::of_owner(&house, ADA).await;
            let second = first.clone().with(&first.refresh().await);
            let last = match why {
                "too late" => {
                    house.advance(TOLD_AGAIN);
                    second
                }
                "its successor used" => second.clone().with(&second.refresh().await),
                _ => {
                    let same = json!({"password": "another horse that eats staples"});
                    second.clone().with(&second.post("/api/v1/me/password", &same).await)
                }
            };
            assert_eq!(last.signed_in_as().await.as_deref(), Some(ADA), "{why}");
            is_problem(&first.refresh().await, 400, "invalid_grant");
            assert_eq!(last.signed_in_as().await, None, "{why}");
            is_problem(&last.refresh().await, 400, "invalid_grant");
            assert_eq!(house.count(REUSED).await, number, "{why}");
        }
    }

    /// Whoever has the database has none of it, and after a minute not even whoever has the key as well.
    async fn what_is_told_again_lies_sealed_and_not_for_long(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let program = Program::of_owner(&house, ADA).await;
        let program = program.clone().with(&program.refresh().await);
        let kept = "SELECT count(*) AS n FROM refresh_tokens WHERE successor IS NOT NULL";
        purge_all(&house).await;
        assert_eq!(house.count(kept).await, 1);
        let dump = house.dump().await;
        assert!(!dump.windows(43).any(|window| window == program.refresh.as_bytes()));
        house.advance(TOLD_AGAIN);
        purge_all(&house).await;
        assert_eq!(house.count(kept).await, 0);
        assert_eq!(program.refresh().await.status, StatusCode::OK);
    }

    async fn of_many_refreshes_at_once_all_get_the_same_answer(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let other_node = second_node(&house);
        house.member_with_password(ADA).await;
        for _ in 0..5 {
            let program = Program::of_owner(&house, ADA).await;
            let racers = (0..8).map(|index| {
                let mut racer = program.clone();
                if index % 2 == 1 {
                    racer.http = Program::at(&other_node).http;
                }
                async move { racer.clone().with(&racer.refresh().await) }
            });
            let racers = at_once(racers).await;
            let granted: BTreeSet<&str> = racers.iter().map(|racer| racer.refresh.as_str()).collect();
            assert_eq!(granted.len(), 1);
            for racer in &racers {
                assert_eq!(racer.signed_in_as().await.as_deref(), Some(ADA));
            }
            house.advance(TOLD_AGAIN);
            is_problem(&program.refresh().await, 400, "invalid_grant");
            assert_eq!(racers[0].signed_in_as().await, None);
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM refresh_tokens").await, 0);
    }

    /// What a program leaves behind that refreshes without end; and a thief who does so hides nothing by it.
    async fn of_used_tokens_the_newest_few_are_kept_and_the_others_known_all_the_same(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let robbed = Program::of_owner(&house, ADA).await;
        let mut thief = robbed.clone();
        for _ in 0..30 {
            thief = thief.clone().with(&thief.refresh().await);
            house.advance(Duration::from_secs(1));
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM refresh_tokens").await, 11);
        is_problem(&robbed.refresh().await, 400, "invalid_grant");
        assert_eq!(thief.signed_in_as().await, None, "the session ended");
        is_problem(&thief.refresh().await, 400, "invalid_grant");
    }

    async fn a_refresh_that_comes_too_often_costs_no_token(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let program = Program::of_owner(&house, ADA).await;
        let program = program.clone().with(&program.refresh().await);
        house.execute("UPDATE limits SET count = 1000 WHERE name = 'refresh'").await;
        for _ in 0..3 {
            let page = program.refresh().await;
            is_problem(&page, 429, "too_many_requests");
            assert_eq!(page.header("retry-after"), Some("3600"));
        }
        assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA));
        house.advance(Duration::from_secs(3_600));
        let program = program.clone().with(&program.refresh().await);
        assert_eq!(program.refresh().await.status, StatusCode::OK);
    }

    async fn what_is_sensitive_wants_the_password_lately(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let by_code = Program::by_code(&house, ADA).await;
        let by_password = Program::of_owner(&house, ADA).await;
        house.advance(Duration::from_secs(10 * 60));
        let refreshed = by_password.clone().with(&by_password.refresh().await);
        for program in [&by_code, &by_password, &refreshed] {
            for page in [
                program.post("/api/v1/me/password", &json!({"password": "another horse that eats staples"})).await,
                program.post("/api/v1/me/email", &json!({"email": "next@example.org"})).await,
                program.delete(ME).await,
            ] {
                is_problem(&page, 401, "insufficient_user_authentication");
                assert_eq!(read(&page)["max_age"], 600);
                assert_eq!(
                    page.header("www-authenticate"),
                    Some(r#"Bearer error="insufficient_user_authentication", max_age="600""#)
                );
            }
            assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA), "it may look");
        }
        let stepped_up = Program::of_owner(&house, ADA).await;
        let page = stepped_up.post("/api/v1/me/email", &json!({"email": "next@example.org"})).await;
        assert_eq!(page.status, StatusCode::ACCEPTED, "{}", page.body);
        assert_eq!(house.mail_to("next@example.org").await.route(), "/account/email/confirm");
        assert_eq!(stepped_up.delete(ME).await.status, StatusCode::NO_CONTENT);
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 0);
        for program in [by_code, refreshed, stepped_up] {
            assert_eq!(program.signed_in_as().await, None);
        }
    }

    async fn a_new_password_ends_every_other_session_of_browsers_and_programs(db: Database) {
        let house = House::new(db).await;
        let browser = house.owner(ADA).await;
        let other = Program::of_owner(&house, ADA).await;
        let program = Program::of_owner(&house, ADA).await;
        for (refused, field) in [("too short", "password"), ("passwordpassword", "password")] {
            let page = program.post("/api/v1/me/password", &json!({field: refused})).await;
            is_problem(&page, 422, "unacceptable_password");
        }
        let new = "another horse that eats staples";
        let page = program.post("/api/v1/me/password", &json!({"password": new})).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let program = program.with(&page);
        assert_eq!(browser.signed_in_as().await, None);
        assert_eq!(other.signed_in_as().await, None);
        is_problem(&other.refresh().await, 400, "invalid_grant");
        assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA));
        assert_eq!(program.refresh().await.status, StatusCode::OK);
        is_problem(&Program::at(&house).password(ADA, PASSWORD).await, 400, "invalid_grant");
        assert_eq!(Program::at(&house).password(ADA, new).await.status, StatusCode::OK);
    }

    /// Whoever copied them before the owner acted has nothing: neither kind of token outlives a change of rights.
    async fn a_new_password_kills_every_token_of_before_those_of_the_program_that_set_it_too(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let program = Program::of_owner(&house, ADA).await;
        let thief = program.clone();
        let new = "another horse that eats staples";
        let page = program.post("/api/v1/me/password", &json!({"password": new})).await;
        let program = program.with(&page);
        assert_eq!(thief.signed_in_as().await, None);
        let theirs = json!({"password": "a horse that a thief has set"});
        is_problem(&thief.post("/api/v1/me/password", &theirs).await, 401, "invalid_token");
        assert_eq!(thief.post(REVOKE, &json!({"token": thief.access})).await.status, StatusCode::OK);
        assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA), "a dead token gives nothing back");
        assert_eq!(program.clone().with(&program.refresh().await).signed_in_as().await.as_deref(), Some(ADA));
        is_problem(&thief.refresh().await, 400, "invalid_grant");
    }

    /// Promise 22: the second try must not be the one that ends the session, or finds its code used.
    async fn what_is_answered_as_not_done_can_be_tried_again(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let program = Program::of_owner(&house, ADA).await;
        let (id, code) = code_for(&house, ADA).await;
        house.advance(Duration::from_secs(61)); // past what a node remembers of the keys
        house.execute("ALTER TABLE signing_keys RENAME TO signing_keys_away").await;
        assert_eq!(program.refresh().await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(program.code(&id, &code).await.status, StatusCode::SERVICE_UNAVAILABLE);
        let sessions = "SELECT count(*) AS n FROM sessions WHERE for_program";
        assert_eq!(house.count(sessions).await, 1);
        house.execute("ALTER TABLE signing_keys_away RENAME TO signing_keys").await;
        let program = program.clone().with(&program.refresh().await);
        assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA));
        let other = program.code(&id, &code).await;
        assert_eq!(other.status, StatusCode::OK, "{}", other.body);
    }

    /// The link is opened in a browser, so that no program is there to be handed anything.
    async fn a_changed_address_ends_the_program_that_asked_for_it(db: Database) {
        let house = House::new(db).await;
        let browser = house.member_with_password(ADA).await;
        let program = Program::of_owner(&house, ADA).await;
        let page = program.post("/api/v1/me/email", &json!({"email": "next@example.org"})).await;
        assert_eq!(page.status, StatusCode::ACCEPTED, "{}", page.body);
        let link = house.mail_to("next@example.org").await;
        let fields = [("token", link.token()), ("email", "next@example.org")];
        let done = house.visitor().post("/account/email/confirm", &fields).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
        assert_eq!(program.signed_in_as().await, None);
        is_problem(&program.refresh().await, 400, "invalid_grant");
        assert_eq!(browser.signed_in_as().await, None);
    }

    /// A service that is shown a token must not be able to show it to us (or to another), and act in its owner's name.
    async fn a_token_for_another_service_is_none_for_us(db: Database) {
        let files = "https://files.example.org";
        let house = House::with(db, &[("API_AUDIENCES", "https://files.example.org,other")]).await;
        house.member_with_password(ADA).await;
        let asked = |audience: &str| {
            let body = json!({"grant_type": "password", "email": ADA, "password": PASSWORD, "audience": audience});
            let program = Program::at(&house);
            async move { program.post(TOKENS, &body).await }
        };
        let page = asked(files).await;
        let program = Program::at(&house).with(&page);
        assert_eq!(program.claims()["aud"], files);
        assert_eq!(program.claims()["scope"], "account:read", "never to change anything");
        assert_eq!(read(&page)["scope"], "account:read");
        assert_eq!(program.signed_in_as().await, None);
        let page = program.refresh().await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert_eq!(Program::at(&house).with(&page).signed_in_as().await.as_deref(), Some(ADA), "one for us");
        for nobody in ["https://elsewhere.example.org", "", "https://files.example.org/"] {
            is_problem(&asked(nobody).await, 400, "invalid_target");
        }
    }

    async fn sessions_are_listed_and_ended_and_a_token_of_an_ended_one_is_dead_at_once(db: Database) {
        let house = House::new(db).await;
        let browser = house.owner(ADA).await;
        house.member_with_password("bob@example.org").await;
        let bob = Program::of_owner(&house, "bob@example.org").await;
        let (one, two) = (Program::of_owner(&house, ADA).await, Program::of_owner(&house, ADA).await);
        let listed = read(&one.get("/api/v1/me/sessions").await);
        let ids: Vec<&str> = listed["sessions"].as_array().unwrap().iter()
            .map(|session| session["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 3);
        let sid = two.claims()["sid"].as_str().unwrap().to_owned();
        assert!(ids.contains(&sid.as_str()));
        assert!(browser.get("/account/sessions").await.body.contains(&sid), "the browser's list has it, too");
        let path = format!("/api/v1/me/sessions/{sid}");
        is_problem(&bob.delete(&path).await, 404, "not_found");
        assert_eq!(two.signed_in_as().await.as_deref(), Some(ADA));
        assert_eq!(one.delete(&path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(two.signed_in_as().await, None);
        is_problem(&two.refresh().await, 400, "invalid_grant");
        is_problem(&one.delete(&path).await, 404, "not_found");
        browser.post("/account/sessions/end-others", &[]).await;
        assert_eq!(one.signed_in_as().await, None, "and a browser ends those of programs");
    }

    async fn a_token_that_is_given_back_ends_its_session(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        for by_access in [false, true] {
            let program = Program::of_owner(&house, ADA).await;
            let token = if by_access { &program.access } else { &program.refresh };
            let stranger = Program::at(&house);
            let page = stranger.post(REVOKE, &json!({"token": token})).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.body);
            assert_eq!(program.signed_in_as().await, None);
            is_problem(&program.refresh().await, 400, "invalid_grant");
            for unknown in [token.as_str(), "junk", ""] {
                let page = stranger.post(REVOKE, &json!({"token": unknown})).await;
                assert_eq!(page.status, StatusCode::OK, "as RFC 7009 has it");
            }
        }
    }

    /// The list of RFC 8725, and what libraries were fooled by.
    async fn a_token_that_is_not_signed_by_us_for_us_opens_nothing(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let program = Program::of_owner(&house, ADA).await;
        assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA), "and the house remembers it");
        let (header, claims) = (part(&program.access, 0), program.claims());
        let [head, body, signature]: [&str; 3] =
            program.access.split('.').collect::<Vec<_>>().try_into().unwrap();
        let with = |of: &Value, name: &str, value: Value| {
            let mut changed = of.clone();
            changed[name] = value;
            changed
        };
        let sealed = |head: &Value, body: &Value, signature: &str| {
            let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
            format!("{}.{}.{signature}", encode(head), encode(body))
        };
        let none = with(&header, "alg", json!("none"));
        let hs256 = with(&header, "alg", json!("HS256"));
        let jwks = read(&program.get("/.well-known/jwks.json").await);
        let mut forged = vec![
            sealed(&none, &claims, ""),
            sealed(&with(&header, "alg", json!("None")), &claims, ""),
            sealed(&none, &claims, signature),
            sealed(&header, &claims, ""),
            sealed(&header, &with(&claims, "sub", json!("somebody")), signature),
            sealed(&with(&header, "kid", json!("unknown")), &claims, signature),
            sealed(&with(&header, "alg", json!("ES384")), &claims, signature),
            sealed(&with(&header, "jwk", jwks["keys"][0].clone()), &claims, signature),
            format!("{head}.{body}"),
            format!("{head}.{body}.{signature}."),
            format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        ];
        // Signed with what everybody has.
        let coordinate = |name: &str| {
            URL_SAFE_NO_PAD.decode(jwks["keys"][0][name].as_str().unwrap()).unwrap()
        };
        let point = [&[4], coordinate("x").as_slice(), &coordinate("y")].concat();
        for secret in [point.as_slice(), jwks["keys"][0].to_string().as_bytes(), b""] {
            forged.push(hmac_signed(&hs256, &claims, secret));
        }
        for token in forged {
            let thief = Program { access: token.clone(), ..Program::at(&house) };
            assert_eq!(thief.signed_in_as().await, None, "{token}");
        }
        assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA));
        // Signed with our own key, as nobody can: what it says has to be right as well.
        for (name, value) in [
            ("iss", json!("https://elsewhere.example")),
            ("aud", json!("https://elsewhere.example")),
            ("aud", json!([house.url])),
            ("exp", json!("9999999999")),
            ("exp", json!(1)),
            ("exp", Value::Null),
            ("sid", json!("nobodys")),
            ("sub", json!("nobody")),
        ] {
            let thief = Program { access: our_own(&house, &header, &with(&claims, name, value.clone())).await, ..Program::at(&house) };
            assert_eq!(thief.signed_in_as().await, None, "{name}: {value}");
        }
        for (name, value) in [("typ", json!("JWT")), ("typ", Value::Null), ("crit", json!(["b64"]))] {
            let thief = Program { access: our_own(&house, &with(&header, name, value.clone()), &claims).await, ..Program::at(&house) };
            assert_eq!(thief.signed_in_as().await, None, "{name}: {value}");
        }
        let same = Program { access: our_own(&house, &header, &claims).await, ..Program::at(&house) };
        assert_eq!(same.signed_in_as().await.as_deref(), Some(ADA), "or this test tries nothing");
    }

    /// Whoever verifies may have read the list a quarter of an hour ago, and some do not read it again for a new key.
    async fn a_key_is_listed_before_it_signs_and_verifies_until_its_last_token_is_dead(db: Database) {
        let house = House::new(db).await;
        let other_node = second_node(&house);
        house.member_with_password(ADA).await;
        let before = Program::of_owner(&house, ADA).await;
        let at_other = |program: &Program| Program { http: Program::at(&other_node).http, ..program.clone() };
        assert_eq!(at_other(&before).signed_in_as().await.as_deref(), Some(ADA));
        let first = before.key_id();
        house.advance(MINUTE);
        let second = rotate(&house).await;
        assert_eq!(rotate(&house).await, second, "the one that is listed already");
        house.advance(MINUTE);
        for node in [&house, &other_node] {
            assert_eq!(key_ids(node).await, [second.clone(), first.clone()]);
        }
        house.advance(14 * MINUTE);
        for node in [&house, &other_node] {
            assert_eq!(Program::of_owner(node, ADA).await.key_id(), first, "it has been listed for 15 minutes");
        }
        house.advance(6 * MINUTE);
        let last = Program::of_owner(&house, ADA).await;
        house.advance(MINUTE);
        for node in [&house, &other_node] {
            let after = Program::of_owner(node, ADA).await;
            assert_eq!(after.key_id(), second);
            assert_eq!(after.signed_in_as().await.as_deref(), Some(ADA));
        }
        assert_eq!(last.signed_in_as().await.as_deref(), Some(ADA), "signed with the first or the second");
        assert_eq!(key_ids(&house).await, [second.clone(), first.clone()]);
        house.advance(20 * MINUTE);
        assert_eq!(last.signed_in_as().await, None, "not for having been read before");
        assert_eq!(key_ids(&house).await, [second.as_str()], "its last token is dead");

        // And by the calendar: the day before.
        house.advance(89 * DAY);
        assert_eq!(Program::of_owner(&house, ADA).await.key_id(), second);
        let listed = key_ids(&house).await;
        assert_eq!((listed.len(), &listed[1]), (2, &second));
        house.advance(DAY);
        assert_eq!(Program::of_owner(&house, ADA).await.key_id(), listed[0]);
    }

    /// Whoever has stolen a key signs what they like: so nothing that it signed counts.
    async fn a_stolen_key_is_replaced_at_once(db: Database) {
        let house = House::new(db).await;
        let other_node = second_node(&house);
        house.member_with_password(ADA).await;
        let before = Program::of_owner(&house, ADA).await;
        rotate(&house).await;
        let keys = house.app.keys.clone();
        let made = house.app.transaction(move |tx| signing_keys::replace_all(tx, &keys)).await.unwrap();
        house.advance(MINUTE);
        for node in [&house, &other_node] {
            assert_eq!(key_ids(node).await, [made.id.as_str()]);
            let program = Program { http: Program::at(node).http, ..before.clone() };
            assert_eq!(program.signed_in_as().await, None);
        }
        let after = before.clone().with(&before.refresh().await);
        assert_eq!((after.key_id(), after.signed_in_as().await.as_deref()), (made.id, Some(ADA)));
    }

    async fn two_nodes_that_sign_at_once_make_one_key(db: Database) {
        let house = House::with(db, &[("LIMIT_PASSWORD_PER_ACCOUNT", "off")]).await;
        let other_node = second_node(&house);
        house.member_with_password(ADA).await;
        let racers = (0..8).map(|index| {
            let program = Program::at(if index % 2 == 0 { &house } else { &other_node });
            async move { program.clone().with(&program.password(ADA, PASSWORD).await) }
        });
        for program in at_once(racers).await {
            assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA));
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM signing_keys WHERE retired_at IS NULL").await, 1);
    }

    async fn what_is_tried_too_often_has_to_wait(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "3/1m")]).await;
        house.member_with_password(ADA).await;
        let program = Program::at(&house);
        for _ in 0..5 {
            is_problem(&program.password(ADA, "a wrong password for her").await, 400, "invalid_grant");
        }
        let page = program.password(ADA, PASSWORD).await;
        is_problem(&page, 429, "too_many_requests");
        assert_eq!(page.header("retry-after"), Some("900"));
        for _ in 0..3 {
            is_problem(&program.refresh_with("junk").await, 400, "invalid_grant");
        }
        is_problem(&program.refresh_with("junk").await, 429, "too_many_requests");
        for _ in 0..5 {
            assert_eq!(ask(&house, "bob@example.org").await.status, StatusCode::ACCEPTED);
            house.advance(Duration::from_secs(61));
        }
        is_problem(&ask(&house, "bob@example.org").await, 429, "too_many_requests");
    }

    /// Nobody's wrong passwords shut the owner's program out, be its session living or ended.
    async fn a_program_that_shows_a_token_it_was_given_has_a_budget_of_its_own(db: Database) {
        let house = House::with(db, &[("LIMIT_PASSWORD_PER_NETWORK", "5/1m")]).await;
        house.member_with_password(ADA).await;
        house.member_with_password("bob@example.org").await;
        let (hers, his) = (Program::of_owner(&house, ADA).await, Program::of_owner(&house, "bob@example.org").await);
        house.advance(Duration::from_secs(61));
        let wrong = "a wrong password for her";
        for _ in 0..5 {
            is_problem(&Program::at(&house).password(ADA, wrong).await, 400, "invalid_grant");
        }
        let stranger = Program::at(&house).password_showing(&his.refresh, ADA, PASSWORD).await;
        is_problem(&stranger, 429, "too_many_requests");
        is_problem(&Program::at(&house).password(ADA, PASSWORD).await, 429, "too_many_requests");
        let first = hers.refresh.clone();
        let hers = hers.clone().with(&hers.refresh().await);
        // It has a budget, and one token of its session is as good as another.
        for _ in 0..5 {
            is_problem(&hers.password_showing(&first, ADA, wrong).await, 400, "invalid_grant");
        }
        is_problem(&hers.password_showing(&hers.refresh, ADA, PASSWORD).await, 429, "too_many_requests");
        house.advance(Duration::from_secs(15 * 60));
        for _ in 0..5 {
            is_problem(&Program::at(&house).password(ADA, wrong).await, 400, "invalid_grant");
        }
        // Ended, it is known all the same; the token that it shows is not used up, and opens nothing.
        house.execute("DELETE FROM sessions").await;
        let anew = hers.clone().with(&hers.password_showing(&hers.refresh, ADA, PASSWORD).await);
        assert_eq!(anew.signed_in_as().await.as_deref(), Some(ADA));
        is_problem(&hers.refresh().await, 400, "invalid_grant");
        // A reset makes strangers of programs, as it does of browsers.
        house.advance(Duration::from_secs(61));
        let (elsewhere, mail) = house.asked("/forgot-password", ADA).await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        elsewhere.post("/reset-password", &fields).await.goes_on_to("/sign-in/password");
        for _ in 0..5 {
            is_problem(&Program::at(&house).password(ADA, wrong).await, 400, "invalid_grant");
        }
        is_problem(&anew.password_showing(&anew.refresh, ADA, PASSWORD).await, 429, "too_many_requests");
    }

    async fn a_body_is_json_and_read_strictly(db: Database) {
        let house = House::new(db).await;
        let visitor = house.visitor();
        let sent = async |kind: &str, body: &str| {
            let request = visitor.request(Method::POST, TOKENS).header("content-type", kind);
            visitor.send(request.body(body.to_owned())).await
        };
        let json = "application/json";
        for kind in ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16"] {
            is_problem(&sent(kind, "{}").await, 415, "unsupported_media_type");
        }
        for body in ["", "[]", "{", r#"{"grant_type": 1}"#, r#"{"a": 1, "a": 1}"#] {
            is_problem(&sent(json, body).await, 400, "invalid_request");
        }
        is_problem(&sent(json, "{}").await, 400, "invalid_request");
        is_problem(&sent(json, r#"{"grant_type": "implicit"}"#).await, 400, "unsupported_grant_type");
        is_problem(&sent(json, r#"{"grant_type": "password"}"#).await, 400, "invalid_request");
        is_problem(&sent(json, &format!(r#"{{"a": "{}"}}"#, "a".repeat(17_000))).await, 413, "too_large");
        is_problem(&ask(&house, "no address").await, 422, "unacceptable_email");
        let nowhere = visitor.get("/api/v1/nowhere").await;
        is_problem(&nowhere, 404, "not_found");
    }

    async fn pages_of_other_sites_are_told_nothing_unless_they_are_named(db: Database) {
        let named = "https://app.example.org";
        for (origins, told) in [("", None), (named, Some(named))] {
            let house = House::with(db, &[("API_ORIGINS", origins)]).await;
            house.member_with_password(ADA).await;
            let program = Program::of_owner(&house, ADA).await;
            let visitor = house.visitor();
            let call = |origin: &str, path: &str| {
                visitor.request(Method::GET, path).header("origin", origin)
                    .header("authorization", format!("Bearer {}", program.access))
            };
            let page = visitor.send(call(named, ME)).await;
            assert_eq!(page.status, StatusCode::OK);
            assert_eq!(page.header("access-control-allow-origin"), told);
            assert_eq!(page.header("access-control-allow-credentials"), None);
            for (origin, path) in [("https://other.example.org", ME), ("null", ME), (named, "/account"), (named, "/")] {
                let page = visitor.send(call(origin, path)).await;
                assert!(page.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{path}");
            }
            let preflight = visitor.request(Method::OPTIONS, TOKENS).header("origin", named)
                .header("access-control-request-method", "POST");
            let page = visitor.send(preflight).await;
            let expected = if told.is_some() { StatusCode::NO_CONTENT } else { StatusCode::METHOD_NOT_ALLOWED };
            assert_eq!((page.status, page.header("access-control-allow-origin")), (expected, told));
        }
    }

    async fn what_is_over_is_forgotten(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let program = Program::of_owner(&house, ADA).await;
        house.advance(Duration::from_secs(8 * 24 * 60 * 60));
        purge_all(&house).await;
        assert_eq!(program.refresh().await.status, StatusCode::OK, "a program may rest longer than a browser");
        house.advance(Duration::from_secs(31 * 24 * 60 * 60));
        purge_all(&house).await;
        for table in ["sessions", "refresh_tokens"] {
            assert_eq!(house.count(format!("SELECT count(*) AS n FROM {table}")).await, 0, "{table}");
        }
    }

    /// What its owner sees of a program: our words for what it is, and theirs for which it is.
    async fn a_program_is_said_to_be_one_and_called_what_its_owner_calls_it(db: Database) {
        let house = House::new(db).await;
        let browser = house.member_with_password(ADA).await;
        for (agent, label, kind) in [
            ("python-requests/2.32.5", "Ada\u{2019}s <b>backup</b>\u{a0}", "a program (Python)"),
            ("okhttp/5.0.0", "\u{5d4}\u{5d8}\u{5dc}\u{5e4}\u{5d5}\u{5df} 2", "a program (OkHttp)"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "", "a program (Firefox on Linux)"),
            ("evil <i>agent</i>", "", "an unknown program"),
        ] {
            house.advance(Duration::from_secs(2 * 60 * 60));
            let mut program = Program::at(&house);
            program.http = program.http.calling_itself(agent);
            let body = json!({"grant_type": "password", "email": ADA, "password": PASSWORD, "label": label});
            let program = program.clone().with(&program.post(TOKENS, &body).await);
            let label = label.trim_end_matches('\u{a0}');
            let program = program.clone().with(&program.refresh().await); // which changes nothing of it
            let listed = read(&program.get("/api/v1/me/sessions").await);
            let mut sessions = listed["sessions"].as_array().unwrap().iter();
            let listed = sessions.find(|session| session["current"] == true).unwrap();
            assert_eq!((&listed["browser"], &listed["label"]), (&json!(kind), &json!(label)));
            assert_eq!(listed["program"], true);
            let escaped = label.replace('<', "&#60;").replace('>', "&#62;");
            let shown = match label {
                "" => kind.to_owned(),
                _ => format!("\u{201c}<bdi>{escaped}</bdi>\u{201d}, {kind}"),
            };
            for path in ["/account/sessions", "/account/activity"] {
                let page = browser.get(path).await;
                assert!(page.body.contains(&shown), "{path}: {shown} in {}", page.body);
                assert!(!page.body.contains("<i>agent") && !page.body.contains("#62;agent"), "{path}");
            }
        }
        let news = house.news_to(ADA).await;
        let told = news.iter().find(|mail| mail.text.contains("Program: Python\n")).unwrap();
        assert!(told.text.contains("with a program it has not been used with before"), "{}", told.text);
        assert!(told.html.contains("Program:</span> Python<br>"), "{}", told.html);
        for mail in &news {
            for part in [&mail.text, &mail.html, &mail.subject] {
                assert!(!part.contains("<b>backup") && !part.contains("<i>agent") && !part.contains('\u{5d4}'), "{part}");
            }
        }
        house.execute("DELETE FROM events WHERE name <> 'signed_in'").await;
        browser.reauthenticate().await;
        let export = browser.post("/account/export", &[]).await;
        assert!(export.body.contains("Ada\u{2019}s <b>backup</b>"), "it is kept, and so it is in what is kept");
    }

    async fn a_label_that_is_none_costs_nothing(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let (id, code) = code_for(&house, ADA).await;
        for label in ["a\nb", "a\u{202e}b", "\0", &"a".repeat(61)] {
            for mut body in [
                json!({"grant_type": "password", "email": ADA, "password": PASSWORD}),
                json!({"grant_type": "email_code", "sign_in_id": id, "code": code}),
            ] {
                body["label"] = json!(label);
                is_problem(&Program::at(&house).post(TOKENS, &body).await, 400, "invalid_request");
            }
        }
        let body = json!({"grant_type": "email_code", "sign_in_id": id, "code": code, "label": "a".repeat(60)});
        assert_eq!(Program::at(&house).post(TOKENS, &body).await.status, StatusCode::OK);
    }

    /// Promise 1: a dump of the database opens nothing.
    async fn no_token_and_no_key_stands_in_the_database(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let program = Program::of_owner(&house, ADA).await;
        let dump = house.dump().await;
        let holds = |secret: &[u8]| dump.windows(secret.len()).any(|window| window == secret);
        assert!(holds(program.claims()["sid"].as_str().unwrap().as_bytes()), "the dump is one");
        assert!(!holds(program.refresh.as_bytes()) && !holds(program.access.as_bytes()));
        let sealed = house.app.read(|tx| Ok(keys_table::table.select(keys_table::sealed).first::<Vec<u8>>(tx.conn)?));
        let pkcs8 = house.app.keys.open(KeyPurpose::SigningKey, &sealed.await.unwrap()).unwrap();
        assert!(!holds(&pkcs8[36..68]), "nor the private half");
    }
}

/// Both have looked the token up before either may use it; and whoever waits for the account reads it again.
#[tokio::test]
async fn two_refreshes_that_wait_for_one_account_get_the_same_answer() {
    let house = House::new(Database::Postgres).await;
    let other_node = second_node(&house);
    house.member_with_password(ADA).await;
    let program = Program::of_owner(&house, ADA).await;
    let (mut holder, driven) = connected(&house).await;
    let (watcher, watched) = connected(&house).await;
    let lock = holder.transaction().await.unwrap();
    lock.execute("SELECT 1 FROM users FOR UPDATE", &[])
        .await
        .unwrap();
    let racers = [&house, &other_node].map(|node| {
        let racer = Program {
            http: Program::at(node).http,
            ..program.clone()
        };
        tokio::spawn(async move { racer.clone().with(&racer.refresh().await) })
    });
    eventually("both wait for the account", async || {
        waiting_for_locks(&watcher).await == 2
    })
    .await;
    lock.rollback().await.unwrap();
    let [one, other] = racers;
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    assert_eq!(one.refresh, other.refresh);
    for program in [&one, &other] {
        assert_eq!(program.signed_in_as().await.as_deref(), Some(ADA));
    }
    assert_eq!(
        house
            .count("SELECT count(*) AS n FROM refresh_tokens")
            .await,
        2
    );
    drop((holder, watcher));
    let _ = (driven.await, watched.await);
}

/// Somebody else's connection to the database of this house.
async fn connected(house: &House) -> (tokio_postgres::Client, JoinHandle<()>) {
    let (client, connection) = tokio_postgres::connect(house.database_url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    let driven = tokio::spawn(async move { connection.await.unwrap() });
    (client, driven)
}

/// Another node of the same site.
fn second_node(house: &House) -> House {
    house.second_node(&[
        ("PUBLIC_URL", &house.url),
        ("ARGON2_MEMORY_KIB", "64"),
        ("ARGON2_PASSES", "1"),
        ("LIMIT_PASSWORD_PER_ACCOUNT", "off"),
        ("LIMIT_TOKEN_PER_NETWORK", "off"),
    ])
}

/// The id of the key that is to sign next.
async fn rotate(house: &House) -> String {
    let keys = house.app.keys.clone();
    let next = house
        .app
        .transaction(move |tx| signing_keys::rotate(tx, &keys));
    next.await.unwrap().id
}

async fn key_ids(house: &House) -> Vec<String> {
    let page = house.visitor().get("/.well-known/jwks.json").await;
    let keys = read(&page)["keys"].as_array().unwrap().clone();
    let ids = keys
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned());
    ids.collect()
}

/// A token that says anything, under the house's own key.
async fn our_own(house: &House, header: &Value, claims: &Value) -> String {
    let ring = house
        .app
        .signing_keys
        .read_again(&house.app.db)
        .await
        .unwrap();
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = &ring.signs.as_ref().unwrap().key;
    let signature = key.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What a library makes of our public key that takes it for a password.
fn hmac_signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn the_document_describes_every_route_of_the_api() {
    let house = House::new(Database::Sqlite).await;
    let page = house.visitor().get("/api/openapi.json").await;
    let document = read(&page);
    assert_eq!(document["openapi"], "3.1.0");
    let mut described: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    described.sort();
    let mut routes = crate::routes::of_the_api();
    routes.sort();
    assert_eq!(described, routes);
    let tags: Vec<&Value> = array(&document["tags"]).map(|tag| &tag["name"]).collect();
    let items = document["paths"].as_object().unwrap().values();
    for operation in items.flat_map(|item| item.as_object().unwrap().values()) {
        let words = operation["description"].as_str().unwrap_or_default();
        assert!(words.ends_with('.'), "{operation}");
        assert!(
            array(&operation["tags"]).all(|tag| tags.contains(&tag)),
            "{operation}"
        );
    }
    let shown = house.visitor().get("/api").await;
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(shown.body.contains(path.as_str()), "{path}");
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("an array").iter()
}
