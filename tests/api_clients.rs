//! Programs that others wrote, calling the API: PyJWT checks a token by the public keys alone, and Schemathesis
//! tries everything that the description allows, and what it does not.

use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};

use crate::program::{ANY_PORT, Doorpost, empty_folder, run};
use crate::support::{PASSWORD, Page, Visitor, audit};

const ADA: &str = "ada@example.org";

/// Nothing stands in the way of a program that calls thousands of times.
const NO_LIMITS: [(&str, &str); 6] = [
    ("LIMIT_MAIL_GAP", "off"),
    ("LIMIT_MAIL_PER_ADDRESS", "off"),
    ("LIMIT_MAIL_PER_ADDRESS_DAILY", "off"),
    ("LIMIT_MAIL_PER_NETWORK", "off"),
    ("LIMIT_PASSWORD_PER_NETWORK", "off"),
    ("LIMIT_TOKEN_PER_NETWORK", "off"),
];

#[tokio::test]
async fn another_service_checks_a_token_by_the_public_keys_alone() {
    let folder = empty_folder();
    let doorpost = Doorpost::serving(folder.path(), &[ANY_PORT]);
    let before = signed_in(&doorpost).await;
    let rotated = run(folder.path(), &["keys", "rotate"], &[ANY_PORT]);
    assert!(rotated.status.success(), "{rotated:?}");
    let said = String::from_utf8(rotated.stdout).unwrap();
    let made = said.split_once(" is listed from now on").expect(&said).0;
    let issuer = "http://localhost:8080";
    let read = checked(&doorpost, issuer, &before);
    assert!(read.status.success(), "{read:?}");
    let claims: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!(issuer), &json!(issuer))
    );
    assert_eq!(claims["amr"], json!(["pwd"]));

    let (head, rest) = before.split_once('.').unwrap();
    let changed = format!("{head}.{}", rest.replacen('e', "f", 1));
    assert!(!checked(&doorpost, issuer, &changed).status.success());
    assert!(
        !checked(&doorpost, "https://elsewhere.example", &before)
            .status
            .success()
    );
    assert_eq!(made.len(), 43, "a thumbprint: {made}");
}

/// Authlib and requests-oauthlib: signed in, refreshed and given back; and by Authlib a token is read as strictly as
/// RFC 9068 has it.
#[tokio::test]
async fn oauth_libraries_sign_in_refresh_and_give_back() {
    let folder = empty_folder();
    let doorpost = Doorpost::serving(folder.path(), &[ANY_PORT]);
    signed_in(&doorpost).await;
    let done = script("oauth_clients.py", &[&doorpost.url, ADA, PASSWORD]);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
}

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let folder = empty_folder();
    let variables = [&[ANY_PORT], &NO_LIMITS[..]].concat();
    let doorpost = Doorpost::serving(folder.path(), &variables);
    let by_password = signed_in(&doorpost).await;
    let by_code = by_code(&doorpost).await;
    schemathesis(&doorpost, &by_code, &[]);
    // With the password it may do all; the account is to be there until the end.
    schemathesis(
        &doorpost,
        &by_password,
        &["--exclude-operation-id=deleteAccount"],
    );
}

/// Everything that the description allows and forbids, tried by whoever has this token.
fn schemathesis(doorpost: &Doorpost, token: &str, more: &[&str]) {
    let home = empty_folder();
    let found = Command::new("timeout")
        .args(["--kill-after=10s", "2m"])
        .arg(audit::client("st"))
        .args(["run", &format!("{}/api/openapi.json", doorpost.url)])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--max-examples=50", "--generation-deterministic"])
        // Nobody guesses a password: what the description allows may be refused all the same.
        .arg("--exclude-checks=positive_data_acceptance")
        .args(more)
        .env("NO_COLOR", "1")
        .env("HOME", home.path())
        .current_dir(home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&found.stdout);
    let errors = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "{said}\n{errors}");
}

fn checked(doorpost: &Doorpost, issuer: &str, token: &str) -> Output {
    script("check_token.py", &[&doorpost.url, issuer, token])
}

/// What a script among `tests/support/clients` says.
fn script(name: &str, arguments: &[&str]) -> Output {
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clients");
    Command::new("timeout")
        .args(["--kill-after=10s", "1m"])
        .arg(audit::client("python"))
        .arg(format!("{scripts}/{name}"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Somebody with a password, who has signed in with it: the access token.
async fn signed_in(doorpost: &Doorpost) -> String {
    let ada = doorpost.visitor();
    ada.ask("/register", ADA).await.sees_inbox_page();
    let mail = doorpost.mail_to(ADA).await;
    let fields = [("token", mail.token()), ("password", PASSWORD)];
    ada.post("/confirm-email", &fields)
        .await
        .goes_on_to("/account");
    let body = json!({"grant_type": "password", "email": ADA, "password": PASSWORD});
    access_token(&call(&ada, "/api/v1/tokens", &body).await)
}

async fn by_code(doorpost: &Doorpost) -> String {
    let program = doorpost.visitor();
    let asked = call(&program, "/api/v1/sign-in-codes", &json!({"email": ADA})).await;
    let asked: Value = serde_json::from_str(&asked.body).unwrap();
    let mail = doorpost.mail_with(ADA, "sign in").await;
    let body =
        json!({"grant_type": "email_code", "sign_in_id": asked["sign_in_id"], "code": mail.code});
    access_token(&call(&program, "/api/v1/tokens", &body).await)
}

async fn call(program: &Visitor, path: &str, body: &Value) -> Page {
    let request = program.request(Method::POST, path);
    let request = request.header("content-type", "application/json");
    program.send(request.body(body.to_string())).await
}

fn access_token(page: &Page) -> String {
    let tokens: Value = serde_json::from_str(&page.body).unwrap();
    tokens["access_token"]
        .as_str()
        .expect(&page.body)
        .to_owned()
}
