//! Somebody's own Chromium or Firefox: a fresh profile, with JavaScript or without it.
//!
//! What a test does goes by what a person sees: words on links and buttons, labels of fields. A test
//! that waits looks again and again, and not for ever.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::cookies::Cookie;
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

use super::audit;

/// What a page has not shown after this long it does not show. A page that waits without JavaScript
/// looks every 5 s.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whether pages may run scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scripts {
    On,
    Off,
}

/// What the next key goes to.
#[derive(Debug, Deserialize)]
pub struct Focus {
    /// What it says, or what its label says.
    pub words: String,
    /// Which it is of all the places that Tab should come to; none of them, say the page as a whole.
    pub place: Option<usize>,
    /// How many such places there are.
    pub places: usize,
    /// Whether a visible line is drawn around it, and nothing covers it.
    pub is_seen: bool,
    pub is_in_main: bool,
    /// Whether it is what says above a form that there is a problem.
    pub is_summary: bool,
    pub top: f64,
    pub bottom: f64,
    pub left: f64,
    pub right: f64,
}

/// A browser. Closed when dropped, also by a test that fails. What Firefox has no words for in WebDriver, and Chromium
/// has, is done in Chromium alone.
pub struct Browser {
    client: Client,
    session: String,
    /// Firefox has a driver of its own, for one driver drives one.
    driver: Option<GeckoDriver>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one that nobody used before.
    pub async fn open(scripts: Scripts) -> Self {
        Self::open_with(scripts, &[]).await
    }

    /// The same, where a host of the test's is on this machine, under a certificate that nobody vouches for.
    pub async fn open_with_host(scripts: Scripts, host: &str) -> Self {
        let here = format!("--host-resolver-rules=MAP {host} 127.0.0.1");
        Self::open_with(scripts, &[&here, "--ignore-certificate-errors"]).await
    }

    /// The same, under a certificate with this key, which it trusts; and with keys of its own that sessions can be bound
    /// to (in a file: this machine may have no chip for them).
    pub async fn open_with_keys(host: &str, key_hash: &str) -> Self {
        let here = format!("--host-resolver-rules=MAP {host} 127.0.0.1");
        let trusted = format!("--ignore-certificate-errors-spki-list={key_hash}");
        let keys = "DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting";
        let keys = format!("--enable-features={keys}");
        Self::open_with(Scripts::On, &[&here, &trusted, &keys]).await
    }

    async fn open_with(scripts: Scripts, arguments: &[&str]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut options = options(scripts, &profile);
        let usual = options["args"].as_array_mut().unwrap();
        usual.extend(arguments.iter().map(|argument| json!(argument)));
        let mut capabilities = Capabilities::new();
        for (name, value) in [
            ("goog:chromeOptions", options),
            ("goog:loggingPrefs", json!({ "browser": "ALL" })),
        ] {
            capabilities.insert(name.to_owned(), value);
        }
        let browser = Self::connect(&driver(), capabilities, None, profile).await;
        browser.devtools("Network.enable", json!({})).await; // It keeps what it is sent.
        browser
    }

    /// Starts a Firefox that nobody used before.
    pub async fn open_firefox(scripts: Scripts) -> Self {
        Self::open_firefox_with_host(scripts, "localhost").await
    }

    /// The same, where a host of the test's is on this machine, under a certificate that nobody vouches for.
    pub async fn open_firefox_with_host(scripts: Scripts, host: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let driver = GeckoDriver::start(&profile);
        let mut capabilities = Capabilities::new();
        let runs_scripts = scripts == Scripts::On;
        let options = json!({ "args": ["-headless"], "prefs": {
            "javascript.enabled": runs_scripts,
            "network.dns.localDomains": host,
            // Of all authenticators it asks the one that a test plugs in.
            "security.webauth.webauthn_enable_softtoken": true,
            "security.webauth.webauthn_enable_usbtoken": false,
        } });
        capabilities.insert("acceptInsecureCerts".to_owned(), true.into());
        capabilities.insert("moz:firefoxOptions".to_owned(), options);
        let url = driver.url.clone();
        Self::connect(&url, capabilities, Some(driver), profile).await
    }

    async fn connect(
        url: &str,
        capabilities: Capabilities,
        driver: Option<GeckoDriver>,
        profile: TempDir,
    ) -> Self {
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(url)
            .await
            .expect("the driver starts a browser");
        let id = client.session_id().await.unwrap().unwrap();
        Self {
            client,
            session: format!("{url}/session/{id}"),
            driver,
            _profile: profile,
        }
    }

    /// Types an address.
    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Signs in at this site by the password.
    pub async fn enters(&self, site: &str, address: &str, password: &str) {
        self.goto(&format!("{site}/sign-in/password")).await;
        self.fill("Email address", address).await;
        self.fill("Password", password).await;
        self.click("Sign in").await;
        self.comes_to("/account").await;
    }

    /// Follows the link, or presses the button, that says this; in the main part of the page, if it is
    /// there, else anywhere. Waits until the page is left.
    pub async fn click(&self, words: &str) {
        let fits = format!("[self::a or self::button][normalize-space() = \"{words}\"]");
        let fits = format!("//main//*{fits} | //*{fits}[not(//main//*{fits})]");
        self.leave_by(Locator::XPath(&fits)).await;
    }

    /// The same, of what does not lead away from the page.
    pub async fn press(&self, words: &str) {
        let fits = format!("//main//*[self::a or self::button][normalize-space() = \"{words}\"]");
        self.click_on(Locator::XPath(&fits)).await;
    }

    /// What a person does not see: the value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        self.client.execute(&script, vec![]).await.unwrap()
    }

    /// Clicks what a selector finds, for what has no words of its own, and waits until the page is left.
    pub async fn click_at(&self, css: &str) {
        self.leave_by(Locator::Css(css)).await;
    }

    async fn leave_by(&self, what: Locator<'_>) {
        let clicked = self.click_on(what).await;
        self.until("another page", async || {
            clicked.tag_name().await.is_err().then_some(())
        })
        .await;
    }

    async fn click_on(&self, what: Locator<'_>) -> Element {
        self.until(&format!("{what:?}"), async || {
            let found = self.client.find(what).await.ok()?;
            found.click().await.ok()?;
            Some(found)
        })
        .await
    }

    /// Types into the field with this label, instead of what is there.
    pub async fn fill(&self, label: &str, value: &str) {
        self.until(label, async || {
            let field = self.field(label).await?;
            field.clear().await.ok()?;
            field.send_keys(value).await.ok()
        })
        .await;
    }

    /// What is typed in the field with this label.
    pub async fn typed(&self, label: &str) -> String {
        self.until(label, async || {
            self.field(label).await?.prop("value").await.ok()?
        })
        .await
    }

    async fn field(&self, label: &str) -> Option<Element> {
        let field = format!("//input[@id = //label[normalize-space() = \"{label}\"]/@for]");
        self.client.find(Locator::XPath(&field)).await.ok()
    }

    /// Presses these keys, one after the other; they go to whatever has the focus.
    pub async fn keys(&self, keys: &str) {
        let keyboard = KeyActions::new("keyboard".to_owned());
        let pressed = keys.chars().fold(keyboard, |keyboard, value| {
            let down = keyboard.then(KeyAction::Down { value });
            down.then(KeyAction::Up { value })
        });
        self.client.perform_actions(pressed).await.unwrap();
    }

    /// What the next key goes to.
    pub async fn focus(&self) -> Focus {
        let focus = self.client.execute(FOCUS, vec![]).await.unwrap();
        serde_json::from_value(focus).unwrap()
    }

    /// Throws a cookie of this page away.
    pub async fn forget_cookie(&self, name: &str) {
        self.client.delete_cookie(name).await.unwrap();
    }

    /// All cookies of this page, by name: what whoever copies the jar has.
    pub async fn cookies(&self) -> Vec<(String, String)> {
        let cookies = self.client.get_all_cookies().await.unwrap();
        let pair = |cookie: &Cookie<'_>| (cookie.name().to_owned(), cookie.value().to_owned());
        cookies.iter().map(pair).collect()
    }

    /// Puts cookies of this site into the jar.
    pub async fn plant_cookies(&self, site: &str, cookies: &[(String, String)]) {
        for (name, value) in cookies {
            let cookie = json!({
                "name": name, "value": value, "url": site, "path": "/",
                "secure": true, "httpOnly": true, "sameSite": "Lax",
            });
            self.devtools("Network.setCookie", cookie).await;
        }
    }

    /// Presses Back.
    pub async fn back(&self) {
        self.client.back().await.unwrap();
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// Opens an empty tab and turns to it.
    pub async fn open_tab(&self) -> WindowHandle {
        let tab = self.client.new_window(true).await.unwrap().handle;
        self.turn_to(&tab).await;
        tab
    }

    /// The tab that is looked at.
    pub async fn tab(&self) -> WindowHandle {
        self.client.window().await.unwrap()
    }

    /// Looks at another tab.
    pub async fn turn_to(&self, tab: &WindowHandle) {
        self.client.switch_to_window(tab.clone()).await.unwrap();
    }

    /// Clicks what opens a tab, in the only frame of the page, and turns to that tab.
    pub async fn open_tab_from_frame(&self, css: &str) {
        let before = self.client.windows().await.unwrap();
        self.enter_frame().await;
        self.click_on(Locator::Css(css)).await;
        let opened = self.until("a new tab", async || {
            let tabs = self.client.windows().await.ok()?;
            tabs.into_iter().find(|tab| !before.contains(tab))
        });
        self.turn_to(&opened.await).await;
    }

    /// Turns to the only frame in the page.
    pub async fn enter_frame(&self) {
        self.until("a frame", async || self.client.enter_frame(0).await.ok())
            .await;
    }

    /// Where the browser is: path and query.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url[url::Position::BeforePath..].to_owned()
    }

    /// The words that can be seen.
    pub async fn text(&self) -> String {
        match self.client.find(Locator::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Comes to this path, sooner or later, by itself.
    pub async fn comes_to(&self, path: &str) {
        self.until(path, async || (self.path().await == path).then_some(()))
            .await;
    }

    /// Shows these words, sooner or later.
    pub async fn sees(&self, words: &str) {
        self.until(words, async || {
            self.text().await.contains(words).then_some(())
        })
        .await;
    }

    /// Says these words, sooner or later, to those who listen to the page.
    pub async fn says(&self, words: &str) {
        let said = "[...document.querySelectorAll('[role=status]')].map(one => one.textContent)";
        self.until(words, async || {
            let said = self.value(said).await;
            said.as_array()?
                .iter()
                .any(|said| said == words)
                .then_some(())
        })
        .await;
    }

    async fn until<T>(&self, what: &str, there: impl AsyncFn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(there) = there().await {
                return there;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain for {what} at {} in: {}",
                self.path().await,
                self.text().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the browser found fault with since it was last asked: scripts that failed, what the policy
    /// of a page forbade. Not that a page of ours came with the status of an error, for that it does as
    /// part of a test.
    pub async fn complaints(&self) -> Vec<String> {
        let logged = self.command("se/log", json!({ "type": "browser" })).await;
        let entries = logged.as_array().unwrap().iter();
        entries
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .filter(|message| {
                let is_status = message.contains("the server responded with a status of 4");
                !is_status || message.contains("/static/")
            })
            .collect()
    }

    /// There is nothing that the browser finds fault with.
    pub async fn is_content(&self) {
        let complaints = self.complaints().await;
        assert!(
            complaints.is_empty(),
            "at {}: {complaints:#?}",
            self.path().await
        );
    }

    /// A window of this size, in light colours or in dark ones.
    async fn look(&self, width: u32, height: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Lays the page out as a printer gets it.
    pub async fn put_on_paper(&self) {
        let paper = json!({ "media": "print" });
        self.devtools("Emulation.setEmulatedMedia", paper).await;
    }

    /// Looks at the page as it is on a wide screen and a narrow one, by day and by night; keeps pictures.
    /// However narrow, nobody has to scroll sideways; however dark, all words can be told from what is behind
    /// them; everybody can use it; it is HTML; and the browser finds no fault.
    pub async fn photograph(&self, name: &str) {
        self.until(name, async || (!self.text().await.is_empty()).then_some(()))
            .await;
        for (width, scheme) in [
            (1280, "light"),
            (1280, "dark"),
            (320, "light"),
            (320, "dark"),
        ] {
            self.look(width, 800, scheme).await;
            let (wide, high) = self.extent().await;
            assert!(wide <= width, "{name} is {wide} px wide on {width} px");
            let (contrast, words) = self.faintest_words().await;
            assert!(
                contrast >= 4.5,
                "{name}, {scheme}: {contrast} to 1 is too faint: {words}"
            );
            // Each width and each scheme once.
            if [(1280, "light"), (320, "dark")].contains(&(width, scheme)) {
                self.everybody_can_use(name).await;
                // Frames are painted only where the window shows them.
                self.look(width, high.max(800), scheme).await;
                let file = artifacts().join(format!("{name}-{width}-{scheme}.png"));
                std::fs::write(file, self.picture().await).unwrap();
            }
        }
        audit::is_html(name, self.source().await).await;
        self.is_content().await;
    }

    /// axe-core finds nothing to say against the page as it is.
    async fn everybody_can_use(&self, name: &str) {
        let found = self.client.execute(&audit::AXE, vec![]).await.unwrap();
        audit::nothing_is_wrong(name, serde_json::from_value(found).unwrap());
    }

    /// The page as it was sent. Asked for again it might be another one, and the answer to a form cannot be.
    async fn source(&self) -> String {
        let tree = self.devtools("Page.getFrameTree", json!({})).await;
        let request = json!({ "requestId": tree["frameTree"]["frame"]["loaderId"] });
        let sent = self.devtools("Network.getResponseBody", request).await;
        assert_eq!(sent["base64Encoded"], false, "it is text");
        sent["body"].as_str().unwrap().to_owned()
    }

    /// The words that are hardest to read, and how much their colour differs from the one behind them: 1 is
    /// not at all, and 4.5 is enough (WCAG 2.2, 1.4.3).
    pub async fn faintest_words(&self) -> (f64, String) {
        let found = self.client.execute(FAINTEST_WORDS, vec![]).await.unwrap();
        (
            found["contrast"].as_f64().unwrap(),
            found["words"].as_str().unwrap().to_owned(),
        )
    }

    /// The page as mail readers show it that drop style sheets.
    pub async fn drop_style_sheets(&self) {
        let drop = "document.querySelectorAll('style').forEach(style => style.remove())";
        self.client.execute(drop, vec![]).await.unwrap();
    }

    /// How wide and how high the page is.
    async fn extent(&self) -> (u32, u32) {
        let metrics = self.devtools("Page.getLayoutMetrics", json!({})).await;
        let pixels = |side: &str| metrics["cssContentSize"][side].as_u64().unwrap();
        let (width, height) = (pixels("width"), pixels("height"));
        (width.try_into().unwrap(), height.try_into().unwrap())
    }

    /// A picture of what a window of this size shows, in light colours or in dark ones.
    pub async fn seen_in(&self, width: u32, height: u32, scheme: &str) -> Vec<u8> {
        self.look(width, height, scheme).await;
        self.capture(json!({ "format": "png" })).await
    }

    /// The whole page, as far down as it goes.
    async fn picture(&self) -> Vec<u8> {
        let (width, height) = self.extent().await;
        let how = json!({
            "format": "png",
            "optimizeForSpeed": true,
            "captureBeyondViewport": true,
            "clip": { "x": 0, "y": 0, "width": width, "height": height, "scale": 1 },
        });
        self.capture(how).await
    }

    async fn capture(&self, how: Value) -> Vec<u8> {
        let taken = self.devtools("Page.captureScreenshot", how).await;
        STANDARD.decode(taken["data"].as_str().unwrap()).unwrap()
    }

    /// Plugs an authenticator in. Whoever sits there touches it at once, and it knows them.
    pub async fn plug_authenticator_in(&self) -> String {
        let kind = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserConsenting": true,
            "isUserVerified": true,
        });
        let id = self.command("webauthn/authenticator", kind).await;
        id.as_str().unwrap().to_owned()
    }

    /// From here on it knows, or does not know, whoever touches it.
    pub async fn authenticator_knows(&self, id: &str, knows: bool) {
        let path = format!("webauthn/authenticator/{id}/uv");
        let known = json!({ "isUserVerified": knows });
        let answer: Result<Value, CmdError> =
            self.client.issue_cmd(Devtool { path, body: known }).await;
        answer.unwrap();
    }

    async fn devtools(&self, cmd: &str, params: Value) -> Value {
        let body = json!({ "cmd": cmd, "params": params });
        self.command("goog/cdp/execute", body).await
    }

    async fn command(&self, path: &str, body: Value) -> Value {
        let path = path.to_owned();
        let answer: Result<Value, CmdError> = self.client.issue_cmd(Devtool { path, body }).await;
        answer.unwrap()
    }
}

const FAINTEST_WORDS: &str = r"
    const parts = colour => colour.match(/[\d.]+/g).map(Number);
    const linear = part => part <= 10.31475 ? part / 3294.6 : ((part / 255 + .055) / 1.055) ** 2.4;
    const light = ([red, green, blue]) => .2126 * linear(red) + .7152 * linear(green) + .0722 * linear(blue);
    const behind = element => {
        if (!element) return [255, 255, 255];
        const [red, green, blue, opaque = 1] = parts(getComputedStyle(element).backgroundColor);
        return opaque ? [red, green, blue] : behind(element.parentElement);
    };
    const faintest = { contrast: 21, words: '' };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const words = texts.currentNode.data.trim(), element = texts.currentNode.parentElement;
        if (!words || !element.checkVisibility()) continue;
        const lights = [light(parts(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
        const contrast = (lights[0] + .05) / (lights[1] + .05);
        if (contrast < faintest.contrast) Object.assign(faintest, { contrast, words });
    }
    return faintest;
";

const FOCUS: &str = r"
    const it = document.activeElement;
    const places = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, iframe')]
        .filter(place => place.tabIndex >= 0 && place.type !== 'hidden' && place.checkVisibility());
    const place = places.indexOf(it);
    const box = it.getClientRects()[0], line = getComputedStyle(it);
    const inFront = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return {
        words: (it.labels?.[0] ?? it).innerText.replace(/\s+/g, ' ').trim(),
        place: place < 0 ? null : place,
        places: places.length,
        is_seen: line.outlineStyle !== 'none' && parseFloat(line.outlineWidth) >= 2 && it.contains(inFront),
        is_in_main: it.matches('main *'),
        is_summary: it.matches('.summary'),
        top: box.top + scrollY,
        bottom: box.bottom + scrollY,
        left: box.left,
        right: box.right,
    };
";

fn options(scripts: Scripts, profile: &TempDir) -> Value {
    let profile = profile.path().display();
    let mut options = json!({
        "args": [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--hide-scrollbars",
            "--window-size=1280,800",
            format!("--user-data-dir={profile}"),
        ],
    });
    if scripts == Scripts::Off {
        options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
    }
    options
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A runtime of its own: the test's may be ending.
        let session = std::mem::take(&mut self.session);
        let closed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(reqwest::Client::new().delete(session).send())
        });
        let _ = closed.join();
        drop(self.driver.take());
    }
}

/// A geckodriver, on a port that it chooses. Ended when dropped.
struct GeckoDriver {
    url: String,
    process: Child,
}

impl GeckoDriver {
    fn start(profile: &TempDir) -> Self {
        let mut process = Command::new(geckodriver())
            .args(["--port=0", "--websocket-port=0", "--profile-root"])
            .arg(profile.path())
            .env("HOME", profile.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            let length = said.read_line(&mut line).unwrap();
            assert!(length > 0, "geckodriver ended before it listened");
            if let Some((_, address)) = line.trim_end().split_once("Listening on ") {
                break address.to_owned();
            }
        };
        // What it says later, nobody may leave unread.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let url = format!("http://{address}");
        Self { url, process }
    }
}

impl Drop for GeckoDriver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that fantoccini does not know.
#[derive(Debug)]
struct Devtool {
    path: String,
    body: Value,
}

impl WebDriverCompatibleCommand for Devtool {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// The ChromeDriver that `tests/run` started.
#[expect(clippy::disallowed_methods, reason = "what tests/run started")]
fn driver() -> String {
    std::env::var("DOORPOST_TEST_WEBDRIVER")
        .expect("DOORPOST_TEST_WEBDRIVER is the address of a ChromeDriver; tests/run starts one")
}

/// The geckodriver that `tests/run` brought.
#[expect(clippy::disallowed_methods, reason = "what tests/run brought")]
fn geckodriver() -> String {
    std::env::var("DOORPOST_TEST_GECKODRIVER")
        .expect("DOORPOST_TEST_GECKODRIVER is a geckodriver; tests/run brings one")
}

/// Where pictures are kept.
#[expect(clippy::disallowed_methods, reason = "what tests/run chose")]
fn artifacts() -> PathBuf {
    let chosen = std::env::var("DOORPOST_TEST_ARTIFACTS").map(PathBuf::from);
    let folder =
        chosen.unwrap_or_else(|_| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../artifacts"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A page on another site than ours, which is on `localhost`: webmail with a link to us, or a page that
/// frames ours. One page, whatever is asked for, until the test's end.
pub struct OtherSite {
    pub url: String,
}

impl OtherSite {
    pub fn with_page(html: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://127.0.0.1:{}/",
            listener.local_addr().unwrap().port()
        );
        std::thread::spawn(move || {
            for visitor in listener.incoming().flatten() {
                // Whoever connects and says nothing (browsers do, ahead of time) holds up nobody.
                let html = html.clone();
                std::thread::spawn(move || show(visitor, &html));
            }
        });
        Self { url }
    }
}

fn show(mut visitor: TcpStream, html: &str) -> Option<()> {
    let mut request = BufReader::new(visitor.try_clone().ok()?);
    let mut line = String::new();
    while request.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close";
    let length = html.len();
    write!(visitor, "{head}\r\ncontent-length: {length}\r\n\r\n{html}").ok()
}
