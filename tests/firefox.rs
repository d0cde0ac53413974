//! The main stories in Firefox, with JavaScript and without it. How pages look, and all else that a browser can tell, is
//! tried in Chromium.

use std::time::Duration;

use crate::support::{Browser, Database, House, OtherSite, PASSWORD, Scripts};

const ADA: &str = "ada@example.org";
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_visitor_registers_changes_the_password_and_signs_out_with_scripts() {
    registers_changes_the_password_and_signs_out(Scripts::On, Database::Sqlite).await;
}

#[tokio::test]
async fn a_visitor_registers_changes_the_password_and_signs_out_without_scripts() {
    registers_changes_the_password_and_signs_out(Scripts::Off, Database::Postgres).await;
}

/// By a link in webmail, by a code, by the password; and Back shows nothing once it is over.
async fn registers_changes_the_password_and_signs_out(scripts: Scripts, db: Database) {
    let house = House::new(db).await;
    let at = |path: &str| format!("{}{path}", house.url);
    let browser = Browser::open_firefox(scripts).await;
    ask(&browser, &at("/register")).await;
    browser.goto(&house.mail_to(ADA).await.link).await;
    browser
        .fill("Password (you may choose one)", PASSWORD)
        .await;
    browser.click("Confirm my email address and sign in").await;
    browser.comes_to("/account").await;

    browser.click("Change your password").await;
    browser
        .comes_to("/reauthenticate?next=%2Faccount%2Fpassword")
        .await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Continue").await;
    browser.comes_to("/account/password").await;
    let other = "quite another horse altogether";
    browser.fill("New password", other).await;
    browser.click("Change the password").await;
    browser.comes_to("/account").await;
    browser.click("Sign out").await;
    browser.comes_to("/").await;
    browser.back().await;
    browser.sees("Sign in").await;
    assert!(
        !browser.text().await.contains(ADA),
        "{}",
        browser.text().await
    );

    house.advance(MINUTE);
    ask(&browser, &at("/sign-in")).await;
    if scripts == Scripts::Off {
        browser.click("Hold it still while I type the code").await;
    }
    let code = house.mails_to(ADA, 2).await.remove(0).code.unwrap();
    browser.fill("Code from the message", &code).await;
    browser.click("Continue").await;
    browser.comes_to("/account").await;
    browser.click("Sign out").await;

    house.advance(MINUTE);
    ask(&browser, &at("/sign-in")).await;
    let link = house.mails_to(ADA, 3).await.remove(0).link;
    let webmail = OtherSite::with_page(format!(r#"<p><a href="{link}">Read on</a>"#));
    browser.goto(&webmail.url).await;
    browser.click("Read on").await;
    browser.comes_to("/account").await;
    browser.sees("With the link from a message").await;
    browser.click("Sign out").await;

    browser.enters(&house.url, ADA, other).await;
    browser.sees("With the password").await;
}

#[tokio::test]
async fn a_link_opened_elsewhere_asks_where_it_was_sent_and_the_page_that_waits_moves_on() {
    let house = House::new(Database::Sqlite).await;
    house.member(ADA).await;
    let (asking, other) = (
        Browser::open_firefox(Scripts::On).await,
        Browser::open_firefox(Scripts::On).await,
    );
    ask(&asking, &format!("{}/sign-in", house.url)).await;
    let link = house.mails_to(ADA, 2).await.remove(0).link;
    other.goto(&link).await;
    other.comes_to("/sign-in/link").await;
    other.fill("Email address", "eve@example.org").await;
    other.click("Sign in").await;
    other.sees("The link was not sent to this address").await;

    let waiting = asking.tab().await;
    asking.open_tab().await;
    asking.goto(&link).await;
    asking.comes_to("/account").await;
    asking.turn_to(&waiting).await;
    asking.comes_to("/account").await;
}

async fn ask(browser: &Browser, url: &str) {
    browser.goto(url).await;
    browser.fill("Email address", ADA).await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
}
