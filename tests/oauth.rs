//! The API as OAuth's clients speak it: forms, the words of RFC 6749 in every refusal, and a document that says where
//! to ask.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::program::{ANY_PORT, Doorpost, empty_folder};
use crate::support::{Database, House, PASSWORD, Page, Visitor, encode};

const ADA: &str = "ada@example.org";
const TOKENS: &str = "/api/v1/tokens";
const REVOKE: &str = "/api/v1/tokens/revoke";
const FORM: &str = "application/x-www-form-urlencoded";

fn read(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|why| panic!("{why}: {}", page.body))
}

/// What a form is sent with.
type Fields<'a> = &'a [(&'a str, &'a str)];

/// Sends a form, as a program does: without cookies.
async fn send(house: &House, path: &str, fields: Fields<'_>, headers: Fields<'_>) -> Page {
    send_from(&house.visitor().refusing_cookies(), path, fields, headers).await
}

async fn send_from(program: &Visitor, path: &str, fields: Fields<'_>, headers: Fields<'_>) -> Page {
    let mut request = program
        .request(Method::POST, path)
        .header("content-type", FORM);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    program.send(request.body(encode(fields))).await
}

/// In a word of OAuth's and in letters that its grammar has, as plain JSON.
#[track_caller]
fn is_refused(page: &Page, status: u16, error: &str) {
    assert_eq!(page.status.as_u16(), status, "{}", page.body);
    assert_eq!(
        page.header("content-type"),
        Some("application/json"),
        "{}",
        page.body
    );
    let said = read(page);
    assert_eq!(said["error"], error, "{said}");
    let description = said["error_description"].as_str().unwrap();
    let fits = |letter: char| matches!(letter, ' '..='!' | '#'..='[' | ']'..='~');
    assert!(
        !description.is_empty() && description.chars().all(fits),
        "{description}"
    );
}

on_both! {
    /// RFC 6749, 4.3 and 6; RFC 7009, 2.1; with what clients send besides.
    async fn a_form_signs_in_refreshes_and_gives_back(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let fields = [
            ("grant_type", "password"), ("username", ADA), ("password", PASSWORD),
            ("client_id", "anything"), ("client_secret", ""), ("scope", "account:read"),
        ];
        let basic = [("authorization", "Basic ZG9vcnBvc3Q6")];
        let page = send(&house, TOKENS, &fields, &basic).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert_eq!(page.header("content-type"), Some("application/json"));
        let first = read(&page);
        assert_eq!(first["token_type"], "Bearer");

        let token = first["refresh_token"].as_str().unwrap();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let page = send(&house, TOKENS, &fields, &[]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let second = read(&page);

        let token = second["refresh_token"].as_str().unwrap();
        let fields = [("token", token), ("token_type_hint", "refresh_token")];
        let page = send(&house, REVOKE, &fields, &basic).await;
        assert_eq!((page.status, page.body.as_str()), (StatusCode::OK, "{}"), "some clients read it");
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        is_refused(&send(&house, TOKENS, &fields, &[]).await, 400, "invalid_grant");
    }

    /// What a browser sends unasked, from a page of any site, neither sets a cookie nor counts one.
    async fn a_form_has_nothing_to_do_with_cookies(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let entry = [("grant_type", "password"), ("email", ADA), ("password", PASSWORD)];
        let by_cookie = [&entry[..], &[("delivery", "cookie")]].concat();
        let page = send(&house, TOKENS, &by_cookie, &[]).await;
        is_refused(&page, 400, "invalid_request");
        assert!(page.set_cookies().is_empty());

        let browser = house.visitor();
        let body = json!({"grant_type": "password", "email": ADA, "password": PASSWORD, "delivery": "cookie"});
        let json = browser.request(Method::POST, TOKENS).header("content-type", "application/json");
        let page = browser.send(json.header("sec-fetch-site", "same-origin").body(body.to_string())).await;
        assert_eq!(page.set_cookies().len(), 2, "{}", page.body);
        let ours = [("sec-fetch-site", "same-origin")];
        let refresh = [("grant_type", "refresh_token")];
        is_refused(&send_from(&browser, TOKENS, &refresh, &ours).await, 400, "invalid_request");
        is_refused(&send_from(&browser, REVOKE, &[], &ours).await, 400, "invalid_request");

        for elsewhere in [("sec-fetch-site", "cross-site"), ("origin", "https://elsewhere.test")] {
            let page = send(&house, TOKENS, &entry, &[elsewhere]).await;
            is_refused(&page, 403, "access_denied");
        }
        let named = house.second_node(&[("API_ORIGINS", "https://elsewhere.test")]);
        let page = send(&named, TOKENS, &entry, &[("origin", "https://elsewhere.test")]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    }

    /// Every way to be refused at the token endpoint, by the word that a client goes by.
    async fn a_client_is_refused_in_words_that_it_knows(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "3/1m")]).await;
        let empty: [(&str, &str); 0] = [];
        let long = "x".repeat(20_000);
        let cases: [(Fields, u16, &str); 9] = [
            (&empty, 400, "invalid_request"),
            (&[("grant_type", "")], 400, "invalid_request"),
            (&[("grant_type", "password")], 400, "invalid_request"),
            (&[("grant_type", "password"), ("grant_type", "password")], 400, "invalid_request"),
            (&[("grant_type", "client_credentials")], 400, "unsupported_grant_type"),
            (&[("grant_type", "password"), ("username", ADA), ("password", "wrong")], 400, "invalid_grant"),
            (&[("grant_type", "password"), ("username", "no address"), ("password", "wrong")], 400, "invalid_grant"),
            (&[("grant_type", "password"), ("audience", "https://nobody.test")], 400, "invalid_target"),
            (&[("grant_type", &long)], 413, "invalid_request"),
        ];
        for (fields, status, error) in cases {
            is_refused(&send(&house, TOKENS, fields, &[]).await, status, error);
        }
        is_refused(&send(&house, REVOKE, &empty, &[]).await, 400, "invalid_request");
        let junk = [("grant_type", "refresh_token"), ("refresh_token", "junk")];
        for _ in 0..3 {
            is_refused(&send(&house, TOKENS, &junk, &[]).await, 400, "invalid_grant");
        }
        let page = send(&house, TOKENS, &junk, &[]).await;
        is_refused(&page, 429, "temporarily_unavailable");
        assert!(page.header("retry-after").is_some());
        house.execute("ALTER TABLE limits RENAME TO limits_away").await;
        is_refused(&send(&house, TOKENS, &junk, &[]).await, 503, "temporarily_unavailable");
        house.execute("ALTER TABLE limits_away RENAME TO limits").await;

        // Whoever accepts plain JSON alone gets that, and everybody else a problem.
        let program = house.visitor().refusing_cookies();
        for (accept, kind) in [
            ("application/json", "application/json"),
            ("application/json, text/plain;q=0.5", "application/json"),
            ("application/json, */*", "application/problem+json"),
            ("*/*", "application/problem+json"),
            ("application/problem+json, application/json", "application/problem+json"),
        ] {
            for (method, status) in [(Method::POST, 415), (Method::GET, 405)] {
                let request = program.request(method, TOKENS).header("accept", accept);
                let page = program.send(request).await;
                assert_eq!(page.status.as_u16(), status, "{accept}");
                assert_eq!(page.header("content-type"), Some(kind), "{accept}");
                assert_eq!(read(&page)["error"], "invalid_request");
            }
        }
    }

    /// 404, 405 and 415 as programs read them, whatever the method and whatever they say they accept.
    async fn a_program_is_never_told_of_pages_and_forms(db: Database) {
        let house = House::new(db).await;
        let program = house.visitor().refusing_cookies();
        let problem = |name: &str| format!("urn:doorpost:problem:{name}");
        for (method, path, status, name) in [
            (Method::POST, "/api/v1/nothing", 404, "not_found"),
            (Method::POST, "/api/", 404, "not_found"),
            (Method::DELETE, "/api/v2/me", 404, "not_found"),
            (Method::GET, "/api/v1/tokens/", 404, "not_found"),
            (Method::PUT, "/api/v1/me", 405, "method_not_allowed"),
            (Method::POST, "/api/v1/sign-in-codes", 415, "unsupported_media_type"),
            (Method::POST, "/.well-known/jwks.json", 405, "method_not_allowed"),
        ] {
            let request = program.request(method.clone(), path).header("accept", "application/json");
            let page = program.send(request).await;
            assert_eq!(page.status.as_u16(), status, "{method} {path}: {}", page.body);
            let said = read(&page);
            assert_eq!((&said["type"], &said["status"]), (&json!(problem(name)), &json!(status)), "{path}");
            assert!(!page.body.contains(" page") && !page.body.contains("form was"), "{}", page.body);
        }
    }

    /// RFC 8414, 2 and 3.3: the issuer is the one in the tokens, and each address is one that answers.
    async fn a_client_finds_everything_by_the_address_of_the_site(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let page = house.visitor().get("/.well-known/oauth-authorization-server").await;
        assert_eq!(page.header("content-type"), Some("application/json"));
        let metadata = read(&page);
        assert_eq!(metadata["issuer"], house.url);
        assert_eq!(metadata["response_types_supported"], json!([]));
        assert_eq!(metadata["token_endpoint_auth_methods_supported"], json!(["none"]));
        let path_of = |name: &str| metadata[name].as_str().unwrap()[house.url.len()..].to_owned();
        assert_eq!(house.visitor().get(&path_of("jwks_uri")).await.status, StatusCode::OK);
        assert_eq!(house.visitor().get(&path_of("service_documentation")).await.status, StatusCode::OK);
        let fields = [("grant_type", "password"), ("username", ADA), ("password", PASSWORD)];
        let tokens = read(&send(&house, &path_of("token_endpoint"), &fields, &[]).await);
        let token = tokens["access_token"].as_str().unwrap();
        let given_back = send(&house, &path_of("revocation_endpoint"), &[("token", token)], &[]).await;
        assert_eq!(given_back.status, StatusCode::OK);
        let scopes: Vec<Value> = tokens["scope"].as_str().unwrap().split(' ').map(Value::from).collect();
        assert_eq!(metadata["scopes_supported"], Value::from(scopes));
    }
}

/// Some who verify take an empty list for a broken one.
#[tokio::test]
async fn a_fresh_install_lists_its_key_before_anybody_asks_for_a_token() {
    let folder = empty_folder();
    let doorpost = Doorpost::serving(folder.path(), &[ANY_PORT]);
    let keys = read(&doorpost.visitor().get("/.well-known/jwks.json").await);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
}

/// For generators: where the API is, and what is open, said everywhere.
#[tokio::test]
async fn the_document_leaves_nothing_to_guess() {
    let house = House::new(Database::Sqlite).await;
    let document = read(&house.visitor().get("/api/openapi.json").await);
    assert_eq!(document["servers"], json!([{"url": house.url}]));
    let operations = document["paths"].as_object().unwrap();
    let operations = operations
        .values()
        .flat_map(|item| item.as_object().unwrap());
    for (_, asked) in
        operations.filter(|(name, _)| ["get", "post", "delete"].contains(&name.as_str()))
    {
        let is_open = asked["responses"].get("401").is_none();
        let security = asked["security"].as_array().expect("it is said of each");
        assert_eq!(security.is_empty(), is_open, "{}", asked["operationId"]);
        let body = asked.get("requestBody");
        assert!(
            body.is_none_or(|body| body["required"] == true),
            "{}",
            asked["operationId"]
        );
    }
    let before = read(&house.visitor().get("/api/openapi-3.0.json").await);
    assert_eq!(before["openapi"], "3.0.3");
    assert_eq!(before["paths"], document["paths"], "nothing in them is new");
    let referred = &before["components"]["schemas"]["TokenRequest"]["properties"]["delivery"];
    assert_eq!(referred, &json!({"$ref": "#/components/schemas/Delivery"}));
    let text = document.to_string();
    assert!(
        !text.contains(r#""format":"password""#),
        "some clients mask it on its way"
    );
    assert!(
        !text.contains(r#""null""#),
        "nothing that is answered or asked is null"
    );
}
