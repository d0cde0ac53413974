//! Doorpost in a real browser, with JavaScript and without it: what only a browser can tell. Which cookies
//! go along, what a policy forbids, what Back shows, how a page looks.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::{
    Browser, Database, House, OtherSite, PASSWORD, Scripts, announced, eventually,
    every_letter_is_sent, name_of_letter,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Runs each test with JavaScript and without it; on one database each, for the other tests are run
/// on both.
macro_rules! with_and_without_scripts {
    ($($(#[doc = $doc:literal])* async fn $name:ident($house:ident: House, $scripts:ident: Scripts) $body:block)+) => {$(
        $(#[doc = $doc])*
        mod $name {
            use super::*;
            async fn test($house: House, $scripts: Scripts) $body

            #[tokio::test]
            async fn with_scripts() {
                test(House::new(Database::Sqlite).await, Scripts::On).await;
            }

            #[tokio::test]
            async fn without_scripts() {
                test(House::new(Database::Postgres).await, Scripts::Off).await;
            }
        }
    )+};
}

with_and_without_scripts! {
    /// The heart of it: a session from a link may look, and must show the password before it changes anything.
    async fn an_address_is_changed_behind_the_gate_and_taken_back(house: House, scripts: Scripts) {
        let (old, new) = ("ada@example.org", "countess@example.net");
        let at = |path: &str| format!("{}{path}", house.url);
        let browser = Browser::open(scripts).await;
        ask(&browser, &house, "/register", old).await;
        browser.goto(&house.mail_to(old).await.link).await;
        browser.click("Confirm my email address and sign in").await;
        browser.comes_to("/account").await;
        house.advance(MINUTE);

        // The gate, without a password.
        browser.click("Change your email address").await;
        browser.comes_to("/reauthenticate?next=%2Faccount%2Femail").await;
        browser.sees("Set a password first").await;
        browser.photograph("gate-without-password").await;
        browser.click("Send me a link to set a password").await;
        browser.comes_to("/sign-in/sent").await;
        browser.photograph("sent-reset").await;
        browser.goto(&house.mails_to(old, 2).await.remove(0).link).await;
        browser.comes_to("/reset-password").await;
        browser.fill("New password", "short").await;
        browser.click("Set the password").await;
        browser.sees("This is too short.").await;
        browser.photograph("reset-password-too-short").await;
        browser.fill("New password", PASSWORD).await;
        browser.click("Set the password").await;
        browser.comes_to("/sign-in/password").await;
        browser.sees("Your password is set.").await;
        browser.photograph("password-is-set").await;
        browser.fill("Password", PASSWORD).await;
        browser.click("Sign in").await;

        // Back at the form.
        browser.comes_to("/account/email").await;
        browser.fill("Email address", new).await;
        browser.click("Send me a link").await;
        browser.comes_to("/account/email").await;
        browser.sees(new).await;
        browser.photograph("email-change-pending").await;
        browser.goto(&house.mail_to(new).await.link).await;
        browser.comes_to("/account/email/confirm").await;
        browser.photograph("email-change-confirm").await;
        browser.click("Change the address").await;
        browser.comes_to("/account").await;
        browser.sees(new).await;
        for (name, path) in [
            ("account-with-password", "/account"),
            ("sessions", "/account/sessions"),
            ("activity", "/account/activity"),
            ("change-password", "/account/password"),
            ("delete-account", "/account/delete"),
            ("gate", "/reauthenticate?next=/account/password"),
            ("forgot-password", "/forgot-password"),
        ] {
            browser.goto(&at(path)).await;
            browser.photograph(name).await;
        }

        // Taken back from the old mailbox.
        let mails = house.mails_to(old, 3).await;
        let undo = mails.into_iter().find(|mail| mail.route() == "/account/email/undo").unwrap();
        browser.goto(&undo.link).await;
        browser.comes_to("/account/email/undo").await;
        browser.photograph("email-change-undo").await;
        browser.fill("Email address", old).await;
        browser.click("Take the change back").await;
        browser.comes_to("/sign-in/sent").await;
        browser.goto(&at("/account")).await;
        browser.comes_to("/sign-in?next=%2Faccount").await;
        let back = "SELECT count(*) AS n FROM users WHERE email = 'ada@example.org' AND password_hash IS NULL";
        assert_eq!(house.count(back).await, 1);
    }

    /// HDR-02
    async fn a_visitor_registers_and_signs_in_by_the_mail_in_the_inbox(house: House, scripts: Scripts) {
        let browser = Browser::open(scripts).await;
        browser.goto(&house.url).await;
        browser.click("Register").await;
        browser.fill("Email address", "ada@example.org").await;
        browser.click("Send me a link").await;
        browser.comes_to("/sign-in/sent").await;
        let waiting = browser.tab().await;

        // By the link in the text part.
        browser.open_tab().await;
        open_mail(&browser, &house, "Confirm your email address").await;
        browser.click_at("pre a").await;
        browser.comes_to("/confirm-email").await;
        browser.click("Confirm my email address and sign in").await;
        browser.comes_to("/account").await;
        browser.sees("ada@example.org").await;
        let signed_in = browser.tab().await;

        // The page that waited saw it, too.
        browser.turn_to(&waiting).await;
        browser.comes_to("/account").await;
        browser.turn_to(&signed_in).await;
        browser.click("Sign out").await;
        browser.comes_to("/").await;

        house.advance(MINUTE);
        browser.click("Sign in").await;
        browser.fill("Email address", "ada@example.org").await;
        browser.click("Send me a link").await;
        browser.comes_to("/sign-in/sent").await;
        let waiting = browser.tab().await;

        // By the button in the HTML part.
        browser.open_tab().await;
        open_mail(&browser, &house, "Sign in to localhost").await;
        browser.press("Message").await;
        browser.open_tab_from_frame("a.button").await;
        browser.comes_to("/account").await;
        browser.sees("With the link from a message").await;
        browser.turn_to(&waiting).await;
        browser.comes_to("/account").await;
        browser.is_content().await;
    }

    async fn a_mail_in_the_inbox_is_shown_as_text_as_message_and_as_source(house: House, scripts: Scripts) {
        for address in ["ada@example.org", "ben@example.org"] {
            house.visitor().ask("/register", address).await.sees_inbox_page();
            house.mail_to(address).await;
            house.advance(3 * MINUTE);
        }
        let mail = house.mail_to("ada@example.org").await;
        let browser = Browser::open(scripts).await;
        browser.goto(&format!("{}/dev/inbox", house.url)).await;
        browser.sees(mail.code()).await;
        browser.sees("6 minutes ago").await;
        open_mail(&browser, &house, "Confirm your email address").await;
        browser.sees("ben@example.org").await;
        assert!(!browser.text().await.contains("Newer"), "it is the newest");
        browser.click("Older").await;
        browser.sees(&mail.link).await;
        let address = browser.path().await;
        let raw = "Auto-Submitted: auto-generated";
        match scripts {
            Scripts::On => {
                // The source has the link as well, and is in sight until the script has come.
                eventually("one part at a time", async || !browser.text().await.contains(raw)).await;
                browser.press("Source").await;
                browser.sees(raw).await;
                assert_eq!(browser.value(FOCUSED_TAB).await, "Source true");
                assert_eq!(browser.path().await, format!("{address}#source"));
                browser.reload().await;
                browser.sees(raw).await;
                browser.photograph("inbox-mail-source").await;

                // By keys: one stop on the way through the page, and arrows within it.
                browser.press("Source").await;
                browser.keys(LEFT).await;
                assert_eq!(browser.value(FOCUSED_TAB).await, "Message true");
                browser.photograph("inbox-mail-message").await;
                browser.keys(LEFT).await;
                assert_eq!(browser.value(FOCUSED_TAB).await, "Text true");
                browser.keys(LEFT).await;
                assert_eq!(browser.value(FOCUSED_TAB).await, "Source true");
                browser.keys(RIGHT).await;
                assert_eq!(browser.value(FOCUSED_TAB).await, "Text true");
                browser.keys(END).await;
                assert_eq!(browser.value(FOCUSED_TAB).await, "Source true");
                browser.keys(HOME).await;
                assert_eq!(browser.value(FOCUSED_TAB).await, "Text true");
                let stops = "document.querySelectorAll('[role=tab]:not([tabindex=\"-1\"])').length";
                assert_eq!(browser.value(stops).await, 1);
                assert_eq!(browser.path().await, format!("{address}#text"));
            }
            Scripts::Off => {
                browser.sees(raw).await;
                browser.press("Source").await;
                browser.comes_to(&format!("{address}#source")).await;
                browser.photograph("inbox-mail-without-scripts").await;
            }
        }
        browser.click("Open the link").await;
        browser.comes_to("/confirm-email").await;
        browser.is_content().await;
    }

    async fn the_code_is_copied_out_of_the_inbox(house: House, scripts: Scripts) {
        let browser = Browser::open(scripts).await;
        ask(&browser, &house, "/register", "ada@example.org").await;
        let code = house.mail_to("ada@example.org").await.code.unwrap();
        open_mail(&browser, &house, "Confirm your email address").await;
        browser.sees(&code).await;
        if scripts == Scripts::Off {
            assert!(!browser.text().await.contains("Copy the code"), "nothing that does nothing");
            return;
        }
        browser.press("Copy the code").await;
        browser.sees("Copied").await;
        browser.says("Copied").await;
        browser.photograph("inbox-mail-copied").await;
        browser.goto(&format!("{}/sign-in/sent", house.url)).await;
        browser.fill("Code from the message", PASTE).await;
        assert_eq!(browser.typed("Code from the message").await, code);
        browser.is_content().await;
    }

    async fn announcements_are_ended_by_the_link_in_one(house: House, scripts: Scripts) {
        house.member("ada@example.org").await;
        announced(&house, "# News from the door\n\nIt is [open](/members).\n", "all").await;
        let browser = Browser::open(scripts).await;
        open_mail(&browser, &house, "News from the door").await;
        let mail = house.everything_to("ada@example.org").await.remove(0);
        browser.goto(&mail.link).await;
        browser.sees("Get no more announcements?").await;
        browser.photograph("unsubscribe").await;
        browser.click("Get no more announcements").await;
        browser.sees("You get no more announcements").await;
        browser.photograph("unsubscribed").await;
        let want = "SELECT count(*) AS n FROM users WHERE announcements";
        assert_eq!(house.count(want).await, 0);
        browser.goto(&format!("{}/unsubscribe?token=lost", house.url)).await;
        browser.photograph("unsubscribe-gone").await;
        browser.is_content().await;
    }

    async fn the_inbox_is_cleared(house: House, scripts: Scripts) {
        for address in ["ada@example.org", "ben@example.org"] {
            house.visitor().ask("/register", address).await.sees_inbox_page();
            house.mail_to(address).await;
        }
        let browser = Browser::open(scripts).await;
        browser.goto(&format!("{}/dev/inbox", house.url)).await;
        browser.sees("2 messages").await;
        browser.click("Clear all").await;
        browser.sees("No mail yet").await;
        browser.comes_to("/dev/inbox").await;
        browser.is_content().await;
    }

    async fn a_form_is_sent_again_after_back(house: House, scripts: Scripts) {
        let browser = Browser::open(scripts).await;
        for address in ["ada@example.org", "ben@example.org"] {
            ask(&browser, &house, "/register", address).await;
            house.mail_to(address).await;
            browser.back().await;
            browser.comes_to("/register").await;
            browser.click("Send me a link").await;
            browser.comes_to("/sign-in/sent").await;
            browser.sees(address).await;
        }
        browser.is_content().await;
    }

    async fn a_visitor_signs_in_by_the_code(house: House, scripts: Scripts) {
        house.member("ada@example.org").await;
        let browser = Browser::open(scripts).await;
        browser.goto(&format!("{}/members", house.url)).await;
        browser.comes_to("/sign-in?next=%2Fmembers").await;
        browser.fill("Email address", "ada@example.org\n").await; // Enter sends the form
        browser.comes_to("/sign-in/sent").await;
        if scripts == Scripts::Off {
            browser.click("Hold it still while I type the code").await;
        }
        let code = house.mails_to("ada@example.org", 2).await[0].code.clone().unwrap();

        browser.fill("Code from the message", &wrong(&code)).await;
        browser.click("Continue").await;
        browser.sees("This code is not right").await;
        assert_eq!(browser.path().await, "/sign-in/code");
        browser.fill("Code from the message", &code.to_lowercase().replace('-', "")).await;
        browser.click("Continue").await;
        browser.comes_to("/members").await;
        browser.sees("ada@example.org").await;
        browser.is_content().await;
    }

    /// SES-15
    async fn back_shows_nothing_of_the_account_after_signing_out(house: House, scripts: Scripts) {
        house.member("ada@example.org").await;
        let browser = Browser::open(scripts).await;
        sign_in(&browser, &house, "ada@example.org").await;
        browser.goto(&format!("{}/members", house.url)).await;
        browser.goto(&format!("{}/account", house.url)).await;
        browser.click("Sign out").await;
        browser.comes_to("/").await;
        for page in ["/account", "/members"] {
            browser.back().await;
            // Loaded anew, hence refused, and on the way to the page for signing in.
            browser.comes_to(&format!("/sign-in?next=%2F{}", &page[1..])).await;
            let text = browser.text().await;
            assert!(!text.contains("ada@example.org"), "{page}: {text}");
        }
        browser.is_content().await;
    }

    /// TOK-22
    async fn a_link_opened_in_another_browser_asks_where_it_was_sent(house: House, scripts: Scripts) {
        house.member("ada@example.org").await;
        let (asking, other) = (Browser::open(scripts).await, Browser::open(scripts).await);
        let link = ask_for_link(&asking, &house, "ada@example.org").await;

        other.goto(&link).await;
        other.comes_to("/sign-in/link").await;
        other.sees("This browser did not ask for the link you opened").await;
        assert!(!other.text().await.contains("ada"), "it does not say where");
        assert_eq!(other.typed("Email address").await, "");
        other.fill("Email address", "eve@example.org").await;
        other.click("Sign in").await;
        other.sees("The link was not sent to this address").await;
        other.fill("Email address", "ada@example.org").await;
        other.click("Sign in").await;
        other.comes_to("/account").await;
        other.sees("ada@example.org").await;

        // The browser that asked stays a stranger's: it waits on.
        asking.reload().await;
        assert_eq!(asking.path().await, "/sign-in/sent");
        asking.is_content().await;
        other.is_content().await;
    }

    /// TOK-22, CSR-01
    async fn a_click_in_webmail_signs_in_the_browser_that_asked(house: House, scripts: Scripts) {
        house.member("ada@example.org").await;
        let browser = Browser::open(scripts).await;
        let link = ask_for_link(&browser, &house, "ada@example.org").await;
        // Where a link lies and is not clicked, as in a preview, nothing happens.
        let framed = format!(r#"<iframe src="{link}"></iframe><img src="{link}" alt="">"#);
        let page = format!(r#"{framed}<link rel="prefetch" href="{link}"><p><a href="{link}">Read on</a>"#);
        let webmail = OtherSite::with_page(page);

        browser.goto(&webmail.url).await;
        assert_eq!(house.count("SELECT count(*) AS n FROM sessions").await, 1, "of the confirmation");
        browser.click("Read on").await;
        browser.comes_to("/account").await;
        browser.sees("ada@example.org").await;
        assert_eq!(house.count("SELECT count(*) AS n FROM sessions").await, 2);
    }

    /// With the headers that a real browser sends when somebody reads their mail on another site.
    async fn a_link_in_a_notice_knows_its_reader_where_the_account_knows_the_browser(house: House, scripts: Scripts) {
        let (ada, sessions) = ("ada@example.org", "SELECT count(*) AS n FROM sessions");
        house.member(ada).await;
        let browser = Browser::open(scripts).await;
        sign_in(&browser, &house, ada).await;
        let link = house.news_to(ada).await.remove(0).link;
        let framed = format!(r#"<iframe src="{link}"></iframe><img src="{link}" alt="">"#);
        let page = format!(r#"{framed}<link rel="prefetch" href="{link}"><p><a href="{link}">Read on</a>"#);
        let webmail = OtherSite::with_page(page);
        browser.click("Sign out").await;
        browser.comes_to("/").await;
        let before = house.count(sessions).await;

        browser.goto(&webmail.url).await;
        assert_eq!(house.count(sessions).await, before, "it was not clicked");
        let blocked = browser.complaints().await;
        assert!(blocked.iter().any(|why| why.contains("frame-ancestors")), "{blocked:?}");
        browser.click("Read on").await;
        browser.comes_to("/account/sessions").await;
        browser.sees("With a link in a notice or an announcement").await;
        browser.photograph("sessions-from-a-notice").await;
        assert_eq!(house.count(sessions).await, before + 1);
        browser.click("Delete account").await;
        browser.comes_to("/reauthenticate?next=%2Faccount%2Fdelete").await;

        // Forwarded: another browser is asked who it is, with the address filled in.
        let forwarded = Browser::open(scripts).await;
        forwarded.goto(&webmail.url).await;
        forwarded.complaints().await;
        forwarded.click("Read on").await;
        forwarded.comes_to("/sign-in?next=%2Faccount%2Fsessions").await;
        assert_eq!(forwarded.typed("Email address").await, ada);
        forwarded.photograph("sign-in-from-a-notice").await;
        assert_eq!(house.count(sessions).await, before + 1);
    }
}

/// NetSurf knows no transforms, and drew it over the wordmark.
#[tokio::test]
async fn the_skip_link_is_out_of_the_way_where_nothing_is_transformed() {
    let house = House::new(Database::Sqlite).await;
    let browser = Browser::open(Scripts::On).await;
    browser.goto(&house.url).await;
    let skip = "(skip => (skip.style.transform = 'none', skip.getBoundingClientRect().right))\
                (document.querySelector('.skip'))";
    let right = browser.value(skip).await.as_f64().unwrap();
    assert!(right <= 0.0, "it reaches to {right}");
}

#[tokio::test]
async fn new_mail_appears_in_the_inbox_without_a_reload() {
    let house = House::new(Database::Sqlite).await;
    let browser = Browser::open(Scripts::On).await;
    browser.goto(&format!("{}/dev/inbox", house.url)).await;
    browser.sees("No mail yet").await;
    for address in ["ada@example.org", "ben@example.org"] {
        let visitor = house.visitor();
        visitor.ask("/register", address).await.sees_inbox_page();
        browser.sees(address).await;
    }
    browser.is_content().await;
}

/// Whoever reads or goes through the list by keys is not thrown back by what is new.
#[tokio::test]
async fn new_mail_in_the_inbox_takes_the_focus_from_nothing_and_is_said() {
    let house = House::new(Database::Sqlite).await;
    let ask = async |address: &str| {
        let visitor = house.visitor();
        visitor.ask("/register", address).await.sees_inbox_page();
    };
    ask("ada@example.org").await;
    house.mail_to("ada@example.org").await;
    let browser = Browser::open(Scripts::On).await;
    browser.goto(&format!("{}/dev/inbox", house.url)).await;
    browser.sees("just now").await;
    let focused = "document.activeElement.getAttribute('href')";
    browser
        .value("document.querySelector('.mails a').focus()")
        .await;
    let row = browser.value(focused).await;
    assert!(row.is_string(), "{row}");
    house.advance(MINUTE);
    browser.sees("1 minute ago").await;
    ask("ben@example.org").await;
    browser.sees("2 messages").await;
    assert_eq!(browser.value(focused).await, row);
    browser
        .says("New: Confirm your email address for localhost")
        .await;
    browser.is_content().await;
}

#[tokio::test]
async fn a_password_is_shown_while_it_is_typed_and_hidden_when_it_is_sent() {
    let house = House::new(Database::Sqlite).await;
    let browser = Browser::open(Scripts::On).await;
    browser
        .goto(&format!("{}/sign-in/password", house.url))
        .await;
    let field = |name: &str| format!("document.getElementById('password').{name}");
    let same = async || {
        assert_eq!(browser.value(&field("name")).await, "password");
        let autocomplete = browser.value(&field("autocomplete")).await;
        assert_eq!(autocomplete, "current-password");
        assert_eq!(browser.typed("Password").await, PASSWORD);
        // Where the caret was.
        assert_eq!(browser.value(&field("selectionStart")).await, 2);
        let focused = browser.value("document.activeElement.id").await;
        assert_eq!(focused, "password");
    };
    browser.fill("Email address", "ada@example.org").await;
    browser.fill("Password", PASSWORD).await;
    browser.keys(&format!("{HOME}{RIGHT}{RIGHT}")).await;
    assert_eq!(browser.value(&field("type")).await, "password");
    browser.press("Show password").await;
    assert_eq!(browser.value(&field("type")).await, "text");
    browser.says("The password is shown").await;
    same().await;
    browser.photograph("password-shown").await;
    browser.press("Hide password").await;
    assert_eq!(browser.value(&field("type")).await, "password");
    same().await;
    browser.press("Show password").await;
    browser.value(KEEP_FORMS).await;
    browser.press("Sign in").await;
    assert_eq!(browser.value("window.sent").await, 1);
    assert_eq!(browser.value(&field("type")).await, "password");
    browser.sees("Show password").await;
    browser.is_content().await;

    let without = Browser::open(Scripts::Off).await;
    without
        .goto(&format!("{}/sign-in/password", house.url))
        .await;
    without.sees("Password").await;
    assert!(!without.text().await.contains("Show password"));
}

/// A browser that keeps pages as they were left says so when it shows one again. Chromium keeps none that
/// says `no-store`, so here the event comes alone.
#[tokio::test]
async fn a_form_pressed_twice_is_sent_once_and_again_after_back() {
    let house = House::new(Database::Sqlite).await;
    let browser = Browser::open(Scripts::On).await;
    browser.goto(&format!("{}/register", house.url)).await;
    browser.value(KEEP_FORMS).await;
    browser.press("Send me a link").await;
    browser.press("Send me a link").await;
    assert_eq!(browser.value("window.sent").await, 1);
    let back = "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))";
    browser.value(back).await;
    browser.press("Send me a link").await;
    assert_eq!(browser.value("window.sent").await, 2);
    browser.is_content().await;
}

/// Lets no form go, and counts those that would have gone.
const KEEP_FORMS: &str = "window.sent = 0, addEventListener('submit', event => {
    window.sent += !event.defaultPrevented;
    event.preventDefault();
})";

/// The words on the tab that has the focus, and whether it is the chosen one.
const FOCUSED_TAB: &str =
    "document.activeElement.textContent + ' ' + document.activeElement.ariaSelected";

// Keys, as WebDriver names them.
const END: &str = "\u{e010}";
const HOME: &str = "\u{e011}";
const LEFT: &str = "\u{e012}";
const RIGHT: &str = "\u{e014}";
const PASTE: &str = "\u{e009}v";

/// CSR-07
#[tokio::test]
async fn our_pages_show_nothing_in_a_frame() {
    let house = House::new(Database::Sqlite).await;
    house.member("ada@example.org").await;
    let browser = Browser::open(Scripts::On).await;
    let link = ask_for_link(&browser, &house, "ada@example.org").await;
    let mails = house
        .count("SELECT count(*) AS n FROM outbox WHERE state = 'sent'")
        .await;
    assert_eq!(mails, 2);
    let framed = |url: &str| format!(r#"<iframe src="{url}"></iframe>"#);
    let framable = OtherSite::with_page("<p>A page that can be framed".to_owned());
    browser
        .goto(&OtherSite::with_page(framed(&framable.url)).url)
        .await;
    browser.enter_frame().await;
    browser.sees("A page that can be framed").await;

    let ours = [
        "/",
        "/sign-in",
        "/register",
        "/sign-in/sent",
        "/account",
        "/dev/inbox",
        "/none",
    ];
    let mut pages: Vec<String> = ours
        .iter()
        .map(|path| format!("{}{path}", house.url))
        .collect();
    pages.push(link.clone());
    for page in &pages {
        let site = OtherSite::with_page(framed(page));
        browser.goto(&site.url).await;
        browser.enter_frame().await;
        let text = browser.text().await;
        assert!(!text.contains("Doorpost"), "{page} shows: {text}");
    }
    let refused = browser.complaints().await.len();
    assert!(
        refused >= pages.len(),
        "the browser refused each: {refused}"
    );

    browser.goto(&link).await;
    browser.comes_to("/account").await;
}

/// What can only be pressed is not printed.
#[tokio::test]
async fn the_account_is_printed_as_something_to_read() {
    let house = House::new(Database::Sqlite).await;
    house.member("ada@example.org").await;
    let browser = Browser::open(Scripts::On).await;
    sign_in(&browser, &house, "ada@example.org").await;
    let buttons = ["Sign out", "Download what is kept"];
    let shown = browser.text().await;
    browser.put_on_paper().await;
    let printed = browser.text().await;
    for words in buttons {
        assert!(shown.contains(words), "{words}: {shown}");
        assert!(!printed.contains(words), "{words}: {printed}");
    }
    for words in ["ada@example.org", "What happened to it"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    let (contrast, words) = browser.faintest_words().await;
    assert!(contrast >= 4.5, "{contrast} to 1 is too faint: {words}");
}

/// HDR-02
#[tokio::test]
async fn a_strangers_pages_fit_any_screen_and_break_no_policy() {
    let house = House::with(Database::Sqlite, &[("LIMIT_MAIL_PER_ADDRESS", "1/15m")]).await;
    let at = |path: &str| format!("{}{path}", house.url);
    let browser = Browser::open(Scripts::On).await;
    let pages = [
        ("home", "/"),
        ("sign-in", "/sign-in"),
        ("register", "/register"),
        ("sent-nothing-asked", "/sign-in/sent"),
        ("link-without-cookie", "/sign-in/link"),
        ("link-gone", "/sign-in/link?token=used"),
        ("inbox-empty", "/dev/inbox"),
        ("api", "/api"),
        ("error-404", "/there/is/no/such/page"),
    ];
    for (name, path) in pages {
        browser.goto(&at(path)).await;
        browser.photograph(name).await;
    }
    for (name, path) in [
        ("sign-in-mistake", "/sign-in"),
        ("register-mistake", "/register"),
    ] {
        browser.goto(&at(path)).await;
        browser.fill("Email address", "ada at example.org").await;
        browser.click("Send me a link").await;
        browser.photograph(name).await;
    }
    browser.fill("Email address", &long_address()).await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
    browser.photograph("sent").await;
    house.mail_to(&long_address()).await;
    open_mail(&browser, &house, "Confirm your email address").await;
    browser.photograph("inbox-mail").await;
    let mail = browser.path().await;
    browser.goto(&at("/dev/inbox")).await;
    browser.photograph("inbox").await;
    browser.goto(&at(&format!("{mail}/html"))).await;
    browser.photograph("mail-confirm-email").await;

    browser.goto(&at("/sign-in/sent")).await;
    for tries in 1..=5 {
        browser.fill("Code from the message", "BBBB-BBBB").await;
        browser.click("Continue").await;
        match tries {
            1 => browser.photograph("sent-code-wrong").await,
            5 => browser.photograph("sent-code-ended").await,
            _ => {}
        }
    }
    house.advance(MINUTE);
    browser.goto(&at("/sign-in/sent")).await;
    browser.click("Send it again").await;
    browser.sees("Too many tries").await;
    browser.photograph("error-429").await;

    let without = Browser::open(Scripts::Off).await;
    ask(&without, &house, "/sign-in", "ben@example.org").await;
    without.photograph("sent-without-scripts").await;
    without.click("Hold it still while I type the code").await;
    without.photograph("sent-without-scripts-still").await;
}

/// HDR-02
#[tokio::test]
async fn forms_with_a_mistake_fit_any_screen_and_break_no_policy() {
    let house = House::new(Database::Sqlite).await;
    let at = |path: &str| format!("{}{path}", house.url);
    house.member_with_password("ada@example.org").await;
    let browser = Browser::open(Scripts::On).await;
    browser.goto(&at("/sign-in/password")).await;
    browser.photograph("sign-in-password").await;
    browser.fill("Email address", "ada").await;
    browser.click("Sign in").await;
    browser.photograph("sign-in-password-mistake").await;
    browser.fill("Email address", "ada@example.org").await;
    browser.fill("Password", "a horse that eats grass").await;
    browser.click("Sign in").await;
    browser.photograph("sign-in-password-wrong").await;
    browser.goto(&at("/forgot-password")).await;
    browser.fill("Email address", "ada").await;
    browser.click("Send me a link").await;
    browser.photograph("forgot-password-mistake").await;

    sign_in(&browser, &house, "ada@example.org").await;
    browser.goto(&at("/account/password")).await;
    browser.fill("Password", "a horse that eats grass").await;
    browser.click("Continue").await;
    browser.photograph("gate-password-wrong").await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Continue").await;
    for (name, path, label, button) in [
        (
            "change-password-too-short",
            "/account/password",
            "New password",
            "Change the password",
        ),
        (
            "email-change-mistake",
            "/account/email",
            "Email address",
            "Send me a link",
        ),
        (
            "delete-account-mistake",
            "/account/delete",
            "Email address",
            "Delete my account",
        ),
    ] {
        browser.goto(&at(path)).await;
        browser.fill(label, "ada").await;
        browser.click(button).await;
        browser.sees("There is a problem").await;
        browser.photograph(name).await;
    }
}

/// HDR-02
#[tokio::test]
async fn a_members_pages_fit_any_screen_and_break_no_policy() {
    let house = House::new(Database::Postgres).await;
    let at = |path: &str| format!("{}{path}", house.url);
    let address = long_address();
    let (asking, other) = (
        Browser::open(Scripts::On).await,
        Browser::open(Scripts::On).await,
    );
    ask(&asking, &house, "/register", &address).await;
    let link = house.mail_to(&address).await.link;
    asking.goto(&link).await;
    asking.photograph("confirm-email").await;
    other.goto(&link).await;
    other.photograph("confirm-email-elsewhere").await;
    other
        .fill("Email address", "somebody.else@example.org")
        .await;
    other.click("Confirm my email address and sign in").await;
    other.photograph("confirm-email-wrong-address").await;
    asking.click("Confirm my email address and sign in").await;
    asking.comes_to("/account").await;
    asking.photograph("account").await;
    for (name, path) in [("home-signed-in", "/"), ("members", "/members")] {
        asking.goto(&at(path)).await;
        asking.photograph(name).await;
    }

    // Signed in here, and a link of somebody else's.
    let ben = house.member("ben@example.org").await;
    ben.ask("/sign-in", "ben@example.org")
        .await
        .sees_inbox_page();
    let link = house.mails_to("ben@example.org", 2).await.remove(0).link;
    other.goto(&link).await;
    other.photograph("sign-in-link-elsewhere").await;
    other.fill("Email address", "ben@example.org").await;
    other.click("Sign in").await;
    other.comes_to("/account").await;
    other.photograph("account-short-address").await;
    house.advance(MINUTE);
    ben.ask("/sign-in", "ben@example.org")
        .await
        .sees_inbox_page();
    let link = house.mails_to("ben@example.org", 3).await.remove(0).link;
    asking.goto(&link).await;
    asking.photograph("link-somebody-else-signed-in").await;
    asking.goto(&at("/sign-in/link?token=used")).await;
    asking.photograph("link-gone-signed-in").await;

    // A newer mail was sent; then out and in again.
    house.advance(MINUTE);
    asking.goto(&at("/account")).await;
    asking.click("Sign out").await;
    let older = ask_for_link(&asking, &house, &address).await;
    house.advance(MINUTE);
    ask_for_link(&asking, &house, &address).await;
    asking.goto(&older).await;
    asking.photograph("link-gone-newer-sent").await;
    open_mail(&asking, &house, "Sign in to localhost").await;
    let mail = asking.path().await;
    asking.goto(&at(&format!("{mail}/html"))).await;
    asking.photograph("mail-sign-in").await;
}

/// As the development inbox serves it; and once more as mail readers show it that drop its style sheet.
#[tokio::test]
async fn every_letter_fits_any_screen_and_is_easy_to_read() {
    let house = House::new(Database::Sqlite).await;
    let mailbox = async |address: &str| house.everything_to(address).await;
    every_letter_is_sent(&house, mailbox).await;
    let inbox = house.visitor().get("/dev/inbox").await.body;
    let mails = inbox.split("<li><a href=\"").skip(1).map(|mail| {
        let (path, rest) = mail.split_once("\"><strong>").unwrap();
        let (subject, _) = rest.split_once("</strong>").unwrap();
        (name_of_letter(subject, "localhost"), path)
    });
    let browser = Browser::open(Scripts::On).await;
    for (name, path) in mails.collect::<BTreeMap<_, _>>() {
        browser.goto(&format!("{}{path}/html", house.url)).await;
        browser.photograph(&format!("letter-{name}")).await;
        browser.drop_style_sheets().await;
        browser.photograph(&format!("letter-{name}-bare")).await;
    }
}

/// As long as an address may be, with nowhere to break a line.
fn long_address() -> String {
    format!(
        "{}@{}.example.org",
        "a".repeat(64),
        ["b"; 3].map(|b| b.repeat(50)).join(".")
    )
}

/// A code that is not this one.
fn wrong(code: &str) -> String {
    let first = if code.starts_with('B') { "C" } else { "B" };
    format!("{first}{}", &code[1..])
}

async fn ask(browser: &Browser, house: &House, route: &str, address: &str) {
    browser.goto(&format!("{}{route}", house.url)).await;
    browser.fill("Email address", address).await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
}

/// Asks for a sign-in link, and reads the mail in a mailbox elsewhere.
async fn ask_for_link(browser: &Browser, house: &House, address: &str) -> String {
    let mails = house.mails_to(address, 1).await.len();
    ask(browser, house, "/sign-in", address).await;
    house.mails_to(address, mails + 1).await.remove(0).link
}

async fn sign_in(browser: &Browser, house: &House, address: &str) {
    let link = ask_for_link(browser, house, address).await;
    browser.goto(&link).await;
    browser.comes_to("/account").await;
}

/// Opens the newest mail in the development inbox, once it is there.
async fn open_mail(browser: &Browser, house: &House, subject: &str) {
    browser.goto(&format!("{}/dev/inbox", house.url)).await;
    let began = std::time::Instant::now();
    while !browser.text().await.contains(subject) && began.elapsed() < MINUTE / 6 {
        browser.reload().await;
    }
    browser.sees(subject).await;
    browser.click_at(".mails a").await;
    browser.sees(subject).await;
}
