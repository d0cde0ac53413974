//! The whole way in and out in browsers of the plainest kind: no script, no style, no `Origin`, no `Sec-Fetch-Site`.

use std::time::Duration;

use crate::support::{Database, House, PASSWORD, Terminal, TextBrowser};

const ADA: &str = "ada@example.org";
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn in_lynx_a_visitor_registers_signs_in_and_out() {
    uses_the_site(TextBrowser::Lynx, Database::Sqlite).await;
}

#[tokio::test]
async fn in_w3m_a_visitor_registers_signs_in_and_out() {
    uses_the_site(TextBrowser::W3m, Database::Postgres).await;
}

#[tokio::test]
async fn in_links_a_visitor_registers_signs_in_and_out() {
    uses_the_site(TextBrowser::Links, Database::Sqlite).await;
}

async fn uses_the_site(browser: TextBrowser, db: Database) {
    let house = House::new(db).await;
    let at = |path: &str| format!("{}{path}", house.url);
    let terminal = Terminal::open(browser, &at("/register")).await;

    // By the link; and a password.
    terminal.fill("Email address", ADA).await;
    terminal.follow("Send me a link").await;
    terminal.sees("Look in your inbox").await;
    terminal.goto(&house.mail_to(ADA).await.link).await;
    terminal
        .fill("Password (you may choose one)", PASSWORD)
        .await;
    terminal
        .follow("Confirm my email address and sign in")
        .await;
    terminal.sees("With the link from a message").await;
    terminal.follow("Sign out").await;
    terminal.sees("Sign in with a link from your inbox").await;

    // By the code.
    house.advance(MINUTE);
    terminal.goto(&at("/sign-in")).await;
    terminal.fill("Email address", ADA).await;
    terminal.follow("Send me a link").await;
    terminal.sees("See whether you are signed in").await;
    let code = house.mails_to(ADA, 2).await.remove(0).code.unwrap();
    terminal.fill("Code from the message", &code).await;
    terminal.follow("Continue").await;
    terminal.sees("With the code from a message").await;

    // A passkey wants a script.
    assert!(
        !terminal.text().contains("Make a passkey"),
        "{}",
        terminal.text()
    );

    // Through the gate, by the password.
    terminal.follow("Change your password").await;
    terminal.sees("Enter your password").await;
    assert!(!terminal.text().contains("passkey"), "{}", terminal.text());
    terminal.fill("Password", PASSWORD).await;
    terminal.follow("Continue").await;
    let other = "quite another horse altogether";
    terminal.fill("New password", other).await;
    terminal.follow("Change the password").await;
    terminal.sees("With the code from a message").await;
    terminal.follow("Sign out").await;
    terminal.sees("Sign in with a link from your inbox").await;
    // They have shown it before, and do not show it from memory.
    terminal.goto(&at("/account")).await;
    terminal
        .sees("We send a link and a code to your inbox")
        .await;
    for word in [ADA, "passkey"] {
        assert!(!terminal.text().contains(word), "{}", terminal.text());
    }

    terminal.goto(&at("/sign-in/password")).await;
    terminal.fill("Email address", ADA).await;
    terminal.fill("Password", other).await;
    terminal.follow("Sign in").await;
    terminal.sees("With the password").await;
    assert_eq!(house.count("SELECT count(*) AS n FROM sessions").await, 1);
}
