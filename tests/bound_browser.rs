//! Sessions that are bound to their device, in a real Chromium behind a real nginx: what the browser makes of our answers,
//! and what a copy of its cookies is worth in another one. And in a Firefox, which binds nothing.
//!
//! The house's clock is the test's, and the browser's is not: that its cookie is over is played by throwing it away, and
//! that ours is, by moving our clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::net::{TcpListener, TcpStream};

use crate::support::proxy::{HOST, Kind, Proxy};
use crate::support::{
    Browser, Database, House, OtherSite, PASSWORD, ScriptedServer, Scripts, eventually,
};

const ADA: &str = "ada@example.org";
const BOUND: &str = "__Host-doorpost_bound";

const MINUTE: Duration = Duration::from_secs(60);
const AWAY: Duration = Duration::from_secs(11 * 60);

/// A house behind nginx, which speaks TLS for it.
struct Site {
    house: House,
    sink: ScriptedServer,
    proxy: Proxy,
    /// The port that the house listens on; none, and nobody is at home.
    there: Arc<AtomicU16>,
    port: u16,
}

impl Site {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(Kind::Nginx, listener.local_addr().unwrap().port());
        let (sink, public_url) = (ScriptedServer::start(), proxy.url());
        let settings = [
            ("PUBLIC_URL", public_url.as_str()),
            ("LIMIT_MAIL_GAP", "off"),
            ("REAUTHENTICATION_WINDOW", "1h"),
        ];
        let house = House::public(Database::Sqlite, &sink, &settings).await;
        let (_, port) = house.url.rsplit_once(':').unwrap();
        let port: u16 = port.parse().unwrap();
        let there = Arc::new(AtomicU16::new(port));
        tokio::spawn(forward(listener, there.clone()));
        Self {
            house,
            sink,
            proxy,
            there,
            port,
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.proxy.url())
    }

    async fn chromium(&self) -> Browser {
        Browser::open_with_keys(HOST, &self.proxy.key_hash()).await
    }

    /// Makes an account with [`PASSWORD`] in this browser, and is signed in.
    async fn register(&self, browser: &Browser) {
        browser.goto(&self.at("/register")).await;
        browser.fill("Email address", ADA).await;
        browser.click("Send me a link").await;
        browser.comes_to("/sign-in/sent").await;
        browser
            .goto(&self.sink.letter_for(ADA).await.mail().link)
            .await;
        browser.comes_to("/confirm-email").await;
        browser
            .fill("Password (you may choose one)", PASSWORD)
            .await;
        browser.click("Confirm my email address and sign in").await;
        browser.comes_to("/account").await;
        browser.sees(ADA).await;
    }

    /// Somebody whose browser has bound the session, a while ago.
    async fn bound(&self) -> Browser {
        let browser = self.chromium().await;
        self.register(&browser).await;
        self.is_bound(1).await;
        self.house.advance(MINUTE);
        browser
    }

    /// So many sessions are bound, sooner or later.
    async fn is_bound(&self, sessions: i64) {
        eventually("the session is bound", async || {
            self.count("sessions WHERE bound_at IS NOT NULL").await == sessions
        })
        .await;
    }

    async fn count(&self, what: &str) -> i64 {
        self.house
            .count(format!("SELECT count(*) AS n FROM {what}"))
            .await
    }

    /// When the session that was bound last was.
    async fn bound_at(&self) -> i64 {
        self.house
            .count("SELECT COALESCE(max(bound_at), 0) AS n FROM sessions")
            .await
    }

    async fn proofs(&self) -> i64 {
        self.house
            .count("SELECT CAST(max(proofs) AS BIGINT) AS n FROM device_keys")
            .await
    }
}

/// Where nobody is at home, whoever calls is hung up on.
async fn forward(listener: TcpListener, there: Arc<AtomicU16>) {
    while let Ok((mut caller, _)) = listener.accept().await {
        let port = there.load(Ordering::SeqCst);
        tokio::spawn(async move {
            if port != 0
                && let Ok(mut house) = TcpStream::connect(("127.0.0.1", port)).await
            {
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut house).await;
            }
        });
    }
}

#[tokio::test]
async fn each_way_in_is_bound_by_the_browser_itself() {
    let site = Site::open().await;
    let browser = site.chromium().await;
    site.register(&browser).await;
    site.is_bound(1).await;
    browser.goto(&site.at("/account/sessions")).await;
    browser.sees("bound to this device since").await;
    browser.photograph("sessions-bound").await;

    browser.click("Sign out").await;
    browser.comes_to("/").await;
    assert!(
        !browser
            .cookies()
            .await
            .iter()
            .any(|(name, _)| name == BOUND)
    );
    browser.enters(&site.at(""), ADA, PASSWORD).await;
    site.is_bound(1).await;

    browser.click("Sign out").await;
    browser.comes_to("/").await;
    browser.goto(&site.at("/sign-in")).await;
    browser.fill("Email address", ADA).await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
    let code = async || {
        let letters = site.sink.taken_for(ADA);
        letters
            .iter()
            .filter_map(|letter| letter.mail().code)
            .nth(1)
    };
    eventually("the code", async || code().await.is_some()).await;
    browser
        .fill("Code from the message", &code().await.unwrap())
        .await;
    browser.click("Continue").await;
    browser.comes_to("/account").await;
    site.is_bound(1).await;

    // By a click in webmail, which is another site; while one is signed in, whose session ends by it.
    site.house.advance(MINUTE);
    browser.goto(&site.at("/sign-in")).await;
    browser.fill("Email address", ADA).await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
    let link = async || {
        let letters = site.sink.taken_for(ADA);
        let links = letters.iter().map(|letter| letter.mail());
        let mut links = links.filter(|mail| mail.code.is_some());
        links.nth(2).map(|mail| mail.link)
    };
    eventually("the link", async || link().await.is_some()).await;
    let before = site.bound_at().await;
    let link = link().await.unwrap();
    let webmail = OtherSite::with_page(format!(r#"<a href="{link}">Open</a>"#));
    browser.goto(&webmail.url).await;
    browser.click("Open").await;
    browser.comes_to("/account").await;
    eventually("the new session is bound", async || {
        site.bound_at().await > before
    })
    .await;
    assert_eq!(site.count("sessions").await, 1);
}

#[tokio::test]
async fn a_cookie_that_is_over_is_proven_anew_and_a_form_keeps_its_body() {
    let site = Site::open().await;
    let browser = site.bound().await;
    // Over at the browser: it holds the request until it has another.
    browser.forget_cookie(BOUND).await;
    browser.goto(&site.at("/account")).await;
    browser.sees(ADA).await;
    assert_eq!(site.proofs().await, 2);

    // Over here alone: it is sent to get another, with its form.
    site.house.advance(AWAY);
    browser.click("Send me none").await;
    browser.comes_to("/account").await;
    browser.sees("Saved: you get no more announcements.").await;

    // And before what is sensitive, once more.
    browser
        .goto(&site.at("/reauthenticate?next=/account/email"))
        .await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Continue").await;
    browser.comes_to("/account/email").await;
    browser.fill("Email address", "countess@example.net").await;
    site.house.advance(MINUTE);
    let before = site.proofs().await;
    browser.click("Send me a link").await;
    browser.comes_to("/account/email").await;
    browser.sees("countess@example.net").await;
    assert_eq!(site.proofs().await, before + 1);
}

#[tokio::test]
async fn a_link_from_another_site_arrives_bound() {
    let site = Site::open().await;
    let browser = site.bound().await;
    let webmail = OtherSite::with_page(format!(r#"<a href="{}">Open</a>"#, site.at("/account")));
    browser.forget_cookie(BOUND).await;
    browser.goto(&webmail.url).await;
    browser.click("Open").await;
    browser.comes_to("/account").await;
    browser.sees(ADA).await;
    assert_eq!(site.proofs().await, 2);
}

/// Promise 30
#[tokio::test]
async fn a_copied_jar_is_dead_in_a_plain_client_and_in_another_browser_and_the_owner_goes_on() {
    let site = Site::open().await;
    let browser = site.bound().await;
    let jar = browser.cookies().await;
    assert!(jar.iter().any(|(name, _)| name == BOUND), "{jar:?}");
    let plain = site.house.visitor().calling_from("198.51.100.7");
    for (name, value) in &jar {
        plain.set_cookie(name, value);
    }
    let thief = site.chromium().await;
    thief.plant_cookies(&site.at("/"), &jar).await;
    thief.goto(&site.at("/account")).await;
    thief.sees(ADA).await; // until the copy is over
    assert_eq!(plain.signed_in_as().await.as_deref(), Some(ADA));

    site.house.advance(AWAY);
    // A script need not say that it comes from a page of ours; it is told so all the same.
    let refused = plain.get_plainly("/account").await;
    assert_eq!(refused.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(plain.signed_in_as().await, None);
    thief.goto(&site.at("/account")).await;
    thief.comes_to("/sign-in?next=%2Faccount").await;
    thief.sees("This browser could not be recognised").await;
    thief.photograph("device-not-proven").await;
    browser.goto(&site.at("/account")).await;
    browser.sees(ADA).await;
    assert_eq!(plain.signed_in_as().await, None);
    thief.reload().await;
    thief.sees("This browser could not be recognised").await;
    browser.goto(&site.at("/account/activity")).await;
    browser.sees("A copy of a session was refused").await;
    browser.sees("198.51.100.7").await;
    browser.photograph("activity-device-not-proven").await;
}

#[tokio::test]
async fn while_nobody_is_at_home_the_binding_is_kept() {
    let site = Site::open().await;
    let browser = site.bound().await;
    site.there.store(0, Ordering::SeqCst);
    browser.forget_cookie(BOUND).await;
    browser.goto(&site.at("/account")).await;
    browser.sees("Back in a moment").await;
    site.there.store(site.port, Ordering::SeqCst);
    browser.goto(&site.at("/account")).await;
    browser.sees(ADA).await;
    assert_eq!(site.proofs().await, 2);
}

#[tokio::test]
async fn firefox_binds_nothing_and_is_as_it_was() {
    let site = Site::open().await;
    let browser = Browser::open_firefox_with_host(Scripts::On, HOST).await;
    site.register(&browser).await;
    site.house.advance(AWAY);
    browser.goto(&site.at("/account")).await;
    browser.sees(ADA).await;
    assert_eq!(site.count("device_keys").await, 0);
}
