//! The same as people see it, in Chromium and in Firefox, with the example app of `deploy/gateway/`: which cookies go to
//! which host, what the policy of our pages lets pass, and how what is shown on the way looks.

use crate::support::app::ExampleApp;
use crate::support::proxy::{Kind, free_port};
use crate::support::{Browser, PASSWORD, Scripts, eventually};

use super::{ADA, COOKIE_DOMAIN, EVE, GATE_FILE, Person, Site, goes_on_to, with};

const BOTH_HOSTS: &str = "*.example.org";

#[tokio::test]
async fn somebody_comes_to_an_app_and_leaves_it_behind_nginx() {
    comes_to_an_app_and_leaves_it(Kind::Nginx).await;
}

#[tokio::test]
async fn somebody_comes_to_an_app_and_leaves_it_behind_caddy() {
    comes_to_an_app_and_leaves_it(Kind::Caddy).await;
}

#[tokio::test]
async fn somebody_comes_to_an_app_and_leaves_it_behind_haproxy() {
    comes_to_an_app_and_leaves_it(Kind::Haproxy).await;
}

async fn comes_to_an_app_and_leaves_it(kind: Kind) {
    let (site, _app) = open(kind, &[COOKIE_DOMAIN]);
    site.member(ADA).await;
    let browser = Browser::open_with_host(Scripts::On, BOTH_HOSTS).await;
    browser.goto(&site.app("/")).await;
    comes_in_by_mail(&site, &browser, "/").await;
    the_clock_ticks(&browser).await;
    browser.is_content().await;
    passes_the_gate(&browser).await;
    browser.fill("Notice", "Back at noon").await;
    browser.click("Write").await;
    browser
        .sees("On the board: Back at noon (ada@example.org)")
        .await;

    // Ended from elsewhere amid a form: through everything once more, and back to its page.
    the_clock_ticks(&browser).await;
    browser.click("Write on it").await;
    browser.fill("Notice", "Nobody is here").await;
    ends_all_other_sessions(&site);
    browser.click("Write").await;
    comes_in_by_mail(&site, &browser, "/admin/").await;
    enters_the_password(&browser).await;
    browser.is_content().await;

    let board = site.app("/");
    browser.goto(&board).await;
    browser.sees("On the board: Back at noon").await;
    the_clock_ticks(&browser).await;
    browser.click("Sign out").await;
    no_form_leads_away(&browser, [&board, "https://other.example.org/"]).await;
    signs_out(&site, &browser).await;
    browser.is_content().await;
}

/// Firefox reads `form-action` in its own way, and has a jar of its own.
#[tokio::test]
async fn in_firefox_as_well() {
    let (site, _app) = open(Kind::Nginx, &[COOKIE_DOMAIN]);
    site.member(ADA).await;
    let hosts = "login.example.org,app.example.org";
    let browser = Browser::open_firefox_with_host(Scripts::On, hosts).await;
    browser.goto(&site.app("/")).await;
    comes_in_by_mail(&site, &browser, "/").await;
    the_clock_ticks(&browser).await;
    passes_the_gate(&browser).await;
    browser.click("Sign out").await;
    signs_out(&site, &browser).await;
}

#[tokio::test]
async fn what_is_shown_on_the_way_looks_like_the_rest() {
    let (mut site, _app) = open(Kind::Nginx, &[COOKIE_DOMAIN, GATE_FILE]);
    site.member(ADA).await;
    site.member(EVE).await;
    let (board, login) = (site.app("/"), site.proxy.url());
    let browser = Browser::open_with_host(Scripts::On, BOTH_HOSTS).await;
    browser.enters(&login, EVE, PASSWORD).await;
    browser.goto(&board).await;
    browser.sees("You may not open this page").await;
    browser.photograph("app-not-allowed").await;
    browser.click("Sign in as somebody else").await;
    browser.sees("Sign out?").await;
    browser.photograph("sign-out").await;
    signs_out(&site, &browser).await;
    comes_in_by_mail(&site, &browser, "/").await;
    browser.click("Write on it").await;
    browser
        .sees(&format!("{} wants to be sure", site.proxy.app_host()))
        .await;
    browser.photograph("gate-for-app").await;

    // An operator who forgot it: the app never learns that somebody has signed in.
    site.kill();
    site.settings.retain(|(name, _)| *name != COOKIE_DOMAIN.0);
    site.begin();
    browser.goto(&board).await;
    browser.sees("keeps sending you back").await;
    browser.photograph("return-in-circles").await;
    site.kill();
    site.settings
        .push((COOKIE_DOMAIN.0, COOKIE_DOMAIN.1.to_owned()));
    site.begin();
    browser
        .click(&format!("Try {} again", site.proxy.app_host()))
        .await;
    browser.sees("Hello, ada@example.org").await;

    site.write_rules("[[host]]\nname = \"other.example.org\"\n");
    let doorpost = site.doorpost.as_ref().unwrap();
    doorpost.signal("HUP");
    doorpost.says("and hold from now on hosts=1");
    let stranger = Browser::open_with_host(Scripts::On, BOTH_HOSTS).await;
    stranger.goto(&board).await;
    stranger.sees("Nobody may open this page").await;
    stranger.photograph("app-unknown").await;
}

fn open(kind: Kind, settings: &[(&'static str, &str)]) -> (Site, ExampleApp) {
    let port = free_port();
    let site = Site::open(kind, port, settings);
    let app = ExampleApp::start(port, &site.proxy);
    (site, app)
}

/// From the page for signing in to where they wanted to go.
async fn comes_in_by_mail(site: &Site, browser: &Browser, to: &str) {
    let before = site.relay.taken_for(ADA).len();
    let sign_in = with("/sign-in", "next", &site.app(to));
    browser.comes_to(&sign_in).await;
    browser.fill("Email address", ADA).await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
    let letters = site.relay.letters_for(ADA, before + 1).await;
    browser.goto(&letters[before].mail().link).await;
    if to == "/" {
        browser.sees("Hello, ada@example.org").await;
        browser.sees("by email_link").await;
        let here = browser.value("location.href").await;
        assert_eq!(here, site.app(to));
    }
}

/// To what wants a password, from the board.
async fn passes_the_gate(browser: &Browser) {
    browser.click("Write on it").await;
    enters_the_password(browser).await;
}

async fn enters_the_password(browser: &Browser) {
    browser.sees("Enter your password").await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Continue").await;
    browser.sees("Write on the board").await;
    let path = browser.path().await;
    assert_eq!(path, "/admin/");
}

/// By the page that asks; the app is the next to ask.
async fn signs_out(site: &Site, browser: &Browser) {
    browser.sees("Sign out?").await;
    browser.click("Sign out").await;
    let sign_in = with("/sign-in", "next", &site.app("/"));
    browser.comes_to(&sign_in).await;
}

async fn the_clock_ticks(browser: &Browser) {
    let clock = "document.querySelector('#clock')?.textContent ?? 'not known'";
    eventually("a word by WebSocket", async || {
        browser.value(clock).await != "not known"
    })
    .await;
}

fn ends_all_other_sessions(site: &Site) {
    let elsewhere = Person::new();
    let entered = [("email", ADA), ("password", PASSWORD)];
    let entered = elsewhere.presses(site, "/sign-in/password", &entered);
    goes_on_to(&entered, "/account");
    let ended = elsewhere.presses(site, "/account/sessions/end-others", &[("all", "1")]);
    goes_on_to(&ended, "/account/sessions");
}

/// One that was planted on our page, whatever it wants.
async fn no_form_leads_away(browser: &Browser, hosts: [&str; 2]) {
    browser.sees("Sign out?").await;
    let here = browser.path().await;
    for there in hosts {
        browser
            .value(&format!(
                "(() => {{
                    const form = document.createElement('form');
                    Object.assign(form, {{ method: 'post', action: '{there}' }});
                    document.body.append(form);
                    form.submit();
                }})()"
            ))
            .await;
        eventually("that the policy forbids it", async || {
            let complaints = browser.complaints().await;
            complaints
                .iter()
                .any(|one| one.contains("form-action 'self'"))
        })
        .await;
        assert_eq!(browser.path().await, here);
    }
}
