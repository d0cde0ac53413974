//! The pictures that README.md shows: the real pages in a real browser, of people who do not exist.
//!
//! ```text
//! tests/run --ignored pictures
//! ```
//!
//! takes all of them anew. Nothing else writes into `docs/pictures`; tests/documentation.rs sees that each is shown.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Browser, Database, House, Scripts};

/// A window on a desk, and one in a hand.
const DESK: (u32, u32) = (880, 680);
const HAND: (u32, u32) = (390, 640);

#[tokio::test]
#[ignore = "it writes into docs/pictures"]
async fn pictures_of_the_pages_are_taken() {
    let house = House::new(Database::Sqlite).await;
    house.member_with_password("ada@example.org").await;
    let at = |path: &str| format!("{}{path}", house.url);
    let browser = Browser::open(Scripts::On).await;

    // Somebody new.
    browser.goto(&at("/register")).await;
    browser.fill("Email address", "grace@example.org").await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
    browser
        .goto(&house.mail_to("grace@example.org").await.link)
        .await;
    browser.sees("Confirm").await;
    keep("confirm-email", &browser, DESK, "light").await;

    // Somebody who has an account, a minute later.
    house.advance(Duration::from_secs(60));
    let before = house.mails_to("ada@example.org", 1).await.len();
    browser.goto(&at("/sign-in")).await;
    keep("sign-in", &browser, DESK, "light").await;
    browser.fill("Email address", "ada@example.org").await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
    keep("look-in-your-inbox", &browser, HAND, "light").await;
    let mails = house.mails_to("ada@example.org", before + 1).await;
    browser.goto(&at("/dev/inbox")).await;
    let newest = browser
        .value("document.querySelector('.mails a').pathname")
        .await;
    let letter = format!("{}/html", newest.as_str().unwrap());
    browser.goto(&at(&letter)).await;
    keep("letter", &browser, DESK, "light").await;
    browser.goto(&mails[0].link).await;
    browser.comes_to("/account").await;
    keep("account", &browser, DESK, "light").await;
    browser.goto(&at("/account/email")).await;
    browser.sees("Enter your password").await;
    keep("reauthenticate", &browser, DESK, "dark").await;
    browser.is_content().await;
}

async fn keep(name: &str, browser: &Browser, (width, height): (u32, u32), scheme: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
    fs::create_dir_all(&folder).unwrap();
    let picture = browser.seen_in(width, height, scheme).await;
    fs::write(folder.join(format!("{name}.png")), picture).unwrap();
}
