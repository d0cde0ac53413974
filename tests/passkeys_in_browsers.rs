//! Passkeys in Chromium and Firefox, each with an authenticator plugged in: what only a browser can tell. Whether it takes
//! what we ask for, makes what we take, and is asked at the right moment.

use std::time::Duration;

use crate::support::{Browser, Database, House, PASSWORD, Scripts};

const ADA: &str = "ada@example.org";
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Ada, signed in with her password, adds a passkey, and signs out.
async fn adds_a_passkey(browser: &Browser, house: &House) {
    house.member_with_password(ADA).await;
    browser.enters(&house.url, ADA, PASSWORD).await;
    // A browser that was asked to make one by itself may still be at it.
    browser.click("Passkeys").await;
    browser.comes_to("/account/passkeys").await;
    browser.press("Add a passkey").await;
    browser.sees("The passkey is added.").await;
    browser.click("Sign out").await;
    browser.comes_to("/").await;
}

/// Where a browser offers passkeys beside the form, nobody has to press anything of ours.
#[tokio::test]
async fn chromium_fills_a_passkey_in_and_opens_the_gate_with_it() {
    let house = House::new(Database::Sqlite).await;
    let at = |path: &str| format!("{}{path}", house.url);
    let browser = Browser::open(Scripts::On).await;
    browser.plug_authenticator_in().await;
    adds_a_passkey(&browser, &house).await;

    browser
        .goto(&at("/sign-in?next=%2Faccount%2Fsessions"))
        .await;
    browser.comes_to("/account/sessions").await;
    browser.sees("With a passkey").await;

    house.advance(HOUR);
    browser.goto(&at("/account/email")).await;
    browser
        .comes_to("/reauthenticate?next=%2Faccount%2Femail")
        .await;
    browser.photograph("gate-with-passkey").await;
    browser.press("Use a passkey").await;
    browser.comes_to("/account/email").await;

    // Beside the password as well.
    browser.click("Sign out").await;
    browser.goto(&at("/sign-in/password")).await;
    browser.comes_to("/account").await;
}

/// The button, where nothing was filled in: what waited beside the form gives way.
#[tokio::test]
async fn chromium_signs_in_by_the_button_and_says_what_went_wrong() {
    let house = House::new(Database::Postgres).await;
    let at = |path: &str| format!("{}{path}", house.url);
    let browser = Browser::open(Scripts::On).await;
    let authenticator = browser.plug_authenticator_in().await;
    adds_a_passkey(&browser, &house).await;

    browser.authenticator_knows(&authenticator, false).await;
    browser.goto(&at("/sign-in")).await;
    browser.press("Sign in with a passkey").await;
    browser.sees("No passkey was used").await;
    browser.photograph("sign-in-without-passkey").await;
    browser.authenticator_knows(&authenticator, true).await;
    house.execute("UPDATE users SET locked_at = 1").await;
    browser.press("Sign in with a passkey").await;
    browser.sees("It may have been removed").await;
    house.execute("UPDATE users SET locked_at = NULL").await;
    browser.press("Sign in with a passkey").await;
    browser.comes_to("/account").await;
    browser.sees("With a passkey").await;
}

/// An account that has a passkey and no password.
#[tokio::test]
async fn the_gate_of_an_account_without_a_password_asks_for_its_passkey() {
    let house = House::new(Database::Sqlite).await;
    let at = |path: &str| format!("{}{path}", house.url);
    let browser = Browser::open(Scripts::On).await;
    browser.plug_authenticator_in().await;
    adds_a_passkey(&browser, &house).await;
    house
        .execute("UPDATE users SET password_hash = NULL, password_set_at = NULL")
        .await;
    browser.goto(&at("/sign-in")).await;
    browser.comes_to("/account").await;
    house.advance(HOUR);
    browser.goto(&at("/account/delete")).await;
    browser.sees("Use your passkey").await;
    browser.photograph("gate-with-passkey-alone").await;
    browser.press("Use a passkey").await;
    browser.comes_to("/account/delete").await;
}

/// Firefox counts nothing, and waits beside the form without a word.
#[tokio::test]
async fn firefox_signs_in_by_the_button_and_opens_the_gate() {
    let house = House::new(Database::Postgres).await;
    let at = |path: &str| format!("{}{path}", house.url);
    let browser = Browser::open_firefox(Scripts::On).await;
    browser.plug_authenticator_in().await;
    adds_a_passkey(&browser, &house).await;

    for _ in 0..2 {
        browser
            .goto(&at("/sign-in?next=%2Faccount%2Fsessions"))
            .await;
        browser.press("Sign in with a passkey").await;
        browser.comes_to("/account/sessions").await;
        browser.sees("With a passkey").await;
        house.advance(HOUR);
        browser.goto(&at("/account/delete")).await;
        browser.press("Use a passkey").await;
        browser.comes_to("/account/delete").await;
        browser.click("Sign out").await;
        browser.comes_to("/").await;
    }
    // Whoever takes another way is asked no more.
    browser.goto(&at("/sign-in")).await;
    browser.fill("Email address", ADA).await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
}

/// Without JavaScript nobody sees any of it.
#[tokio::test]
async fn without_scripts_no_page_speaks_of_passkeys() {
    let house = House::new(Database::Sqlite).await;
    let browser = Browser::open(Scripts::Off).await;
    for path in ["/sign-in", "/sign-in/password"] {
        browser.goto(&format!("{}{path}", house.url)).await;
        let text = browser.text().await;
        assert!(!text.contains("passkey"), "{path}: {text}");
    }
}
