//! Doorpost without a mouse: the Tab key, Enter, and what is typed.

use crate::support::{Browser, Database, Focus, House, PASSWORD, Scripts};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const END: &str = "\u{e010}";

/// More than any page has.
const MANY_STOPS: usize = 60;

#[tokio::test]
async fn a_visitor_registers_sets_a_password_and_signs_out_by_the_keyboard_alone() {
    let house = House::new(Database::Sqlite).await;
    let browser = Browser::open(Scripts::On).await;
    browser.goto(&house.url).await;
    can_skip_to_the_content(&browser).await;
    browser.goto(&house.url).await;
    can_be_walked_through(&browser).await;
    follow(&browser, "Register", "/register").await;

    can_be_walked_through(&browser).await;
    type_into(&browser, "Email address", "ada").await;
    browser.keys(ENTER).await;
    browser.sees("There is a problem").await;
    is_led_to_the_mistake(&browser, "Email address").await;
    browser.keys(END).await;
    browser.keys("@example.org").await;
    browser.keys(ENTER).await;
    browser.comes_to("/sign-in/sent").await;
    can_be_walked_through(&browser).await;
    house.mail_to("ada@example.org").await;
    follow(&browser, "in the development inbox", "/dev/inbox").await;

    can_be_walked_through(&browser).await;
    tab_to(&browser, "Confirm your email address for localhost").await;
    browser.keys(ENTER).await;
    browser.sees("Text").await;
    tab_to(&browser, "http://localhost").await;
    browser.keys(ENTER).await;
    browser.comes_to("/confirm-email").await;
    can_be_walked_through(&browser).await;
    type_into(&browser, "Password (you may choose one)", PASSWORD).await;
    let button = "Confirm my email address and sign in";
    follow(&browser, button, "/account").await;

    can_be_walked_through(&browser).await;
    let gate = "/reauthenticate?next=%2Faccount%2Fpassword";
    follow(&browser, "Change your password", gate).await;
    can_be_walked_through(&browser).await;
    type_into(&browser, "Password", PASSWORD).await;
    follow(&browser, "Continue", "/account/password").await;
    can_be_walked_through(&browser).await;
    type_into(&browser, "New password", "short").await;
    browser.keys(ENTER).await;
    browser.sees("This is too short.").await;
    is_led_to_the_mistake(&browser, "New password").await;
    browser.keys("quite another horse altogether").await;
    browser.keys(ENTER).await;
    browser.comes_to("/account").await;
    follow(&browser, "Sign out", "/").await;
    browser.is_content().await;
}

/// Whoever does not want the header again on every page presses Enter once.
async fn can_skip_to_the_content(browser: &Browser) {
    browser.keys(TAB).await;
    assert_eq!(seen(browser).await.words, "Skip to the main content");
    browser.keys(ENTER).await;
    assert!(!browser.focus().await.is_in_main, "nothing of it yet");
    browser.keys(TAB).await;
    assert!(seen(browser).await.is_in_main);
}

/// By Tab, from top to bottom: past everything that can be followed, pressed or typed into, to nothing twice,
/// and never back up, unless it is to the next column.
async fn can_be_walked_through(browser: &Browser) {
    let (mut top, mut right) = (f64::MIN, f64::MIN);
    let mut places = Vec::new();
    loop {
        browser.keys(TAB).await;
        let Some(place) = browser.focus().await.place else {
            break;
        };
        let focus = seen(browser).await;
        let goes_on = top <= focus.bottom || right <= focus.left;
        assert!(goes_on, "up to {}", focus.words);
        (top, right) = (focus.top, focus.right);
        places.push(place);
        assert!(places.len() < MANY_STOPS, "in circles: {places:?}");
    }
    let all = browser.focus().await.places;
    assert_eq!(places, (0..all).collect::<Vec<_>>());
}

/// The focus is on what says that something is wrong. The link in it leads to the field.
async fn is_led_to_the_mistake(browser: &Browser, label: &str) {
    let focus = browser.focus().await;
    assert!(focus.is_summary, "focus is on: {}", focus.words);
    browser.keys(TAB).await;
    seen(browser).await;
    browser.keys(ENTER).await;
    assert_eq!(seen(browser).await.words, label);
}

async fn type_into(browser: &Browser, label: &str, words: &str) {
    tab_to(browser, label).await;
    browser.keys(words).await;
}

async fn follow(browser: &Browser, words: &str, path: &str) {
    tab_to(browser, words).await;
    browser.keys(ENTER).await;
    browser.comes_to(path).await;
}

/// Presses Tab until the focus is on what begins with these words.
async fn tab_to(browser: &Browser, words: &str) {
    for _ in 0..MANY_STOPS {
        browser.keys(TAB).await;
        if browser.focus().await.words.starts_with(words) {
            seen(browser).await;
            return;
        }
    }
    panic!("Tab does not come to {words}: {}", browser.text().await);
}

/// Where the focus is; and that it can be seen there.
async fn seen(browser: &Browser) -> Focus {
    let focus = browser.focus().await;
    assert!(focus.is_seen, "it does not show on: {}", focus.words);
    focus
}
