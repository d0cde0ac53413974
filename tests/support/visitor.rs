//! Somebody with a browser: a cookie jar, the headers a browser sends, and nothing else.

use std::collections::BTreeMap;
use std::sync::Mutex;

use reqwest::header::{COOKIE, HeaderMap, HeaderName, LOCATION, SET_COOKIE, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;

use super::{House, Mail, PASSWORD};

/// What the cookies of ours weigh together at most.
const COOKIES: usize = 3 * 1024;

/// A visitor. Clones share the cookie jar: two tabs of one browser.
#[derive(Clone)]
pub struct Visitor {
    client: Client,
    base: String,
    jar: std::sync::Arc<Mutex<BTreeMap<String, String>>>,
    /// The network the trusted proxy says the visitor comes from; without it, this machine.
    network: Option<String>,
    refuses_cookies: bool,
    /// Whether cookies are kept as they come, and not looked at.
    is_lenient: bool,
    /// What the browser calls itself.
    agent: Option<&'static str>,
}

impl Visitor {
    pub fn new(base: &str) -> Self {
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        Self {
            client,
            base: base.to_owned(),
            jar: std::sync::Arc::default(),
            network: None,
            refuses_cookies: false,
            is_lenient: false,
            agent: None,
        }
    }

    /// The same browser at another node, or at the one that came after a restart.
    pub fn at(&self, house: &House) -> Self {
        self.moved_to(&house.url)
    }

    /// The same browser at another URL.
    pub fn moved_to(&self, url: &str) -> Self {
        Self {
            base: url.to_owned(),
            ..self.clone()
        }
    }

    /// The same browser, calling from this network.
    pub fn calling_from(&self, ip: &str) -> Self {
        Self {
            network: Some(ip.to_owned()),
            ..self.clone()
        }
    }

    /// The same browser, calling itself this.
    pub fn calling_itself(&self, agent: &'static str) -> Self {
        Self {
            agent: Some(agent),
            ..self.clone()
        }
    }

    /// A browser that keeps no cookie.
    pub fn refusing_cookies(&self) -> Self {
        Self {
            refuses_cookies: true,
            ..self.with_copied_jar()
        }
    }

    /// A browser that visits an older release, too, and does not mind how that set its cookies.
    pub fn lenient(&self) -> Self {
        Self {
            is_lenient: true,
            ..self.clone()
        }
    }

    /// Opens a page, as typing its address does.
    pub async fn get(&self, path: &str) -> Page {
        let typed = self.request(Method::GET, path);
        self.send(typed.header("sec-fetch-site", "none")).await
    }

    /// Opens a page in a browser that does not say where it comes from.
    pub async fn get_plainly(&self, path: &str) -> Page {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends a form from such a browser.
    pub async fn post_plainly(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let form = self.request(Method::POST, path);
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        self.send(form.body(encode(fields))).await
    }

    /// Clicks a link in a mail: a navigation from another site.
    pub async fn click(&self, link: &str) -> Page {
        self.send(self.clicking(link)).await
    }

    /// The request of such a click, to be given to [`Visitor::try_send`].
    pub fn clicking(&self, link: &str) -> RequestBuilder {
        self.request(Method::GET, link)
            .header("sec-fetch-site", "cross-site")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
    }

    /// Sends a form from one of our own pages.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(self.form(path, fields)).await
    }

    /// Sends JSON, as a script on one of our own pages does.
    pub async fn script(&self, path: &str, body: &Value) -> Page {
        self.send(self.scripted(path, body.to_string())).await
    }

    /// The request of such a script, likewise.
    pub fn scripted(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, path)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/json")
            .body(body)
    }

    /// A request to be dressed further and given to [`Visitor::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let said = [
            (USER_AGENT.as_str(), self.agent),
            ("x-forwarded-for", self.network.as_deref()),
        ];
        let request = self.client.request(method, self.url(path));
        said.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .fold(request, |request, (name, value)| {
                request.header(name, value)
            })
    }

    /// A form from one of our own pages, likewise.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        self.request(Method::POST, path)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encode(fields))
    }

    /// Sends with the jar's cookies and keeps what is set. Redirects are not followed.
    pub async fn send(&self, request: RequestBuilder) -> Page {
        self.try_send(request).await.unwrap()
    }

    /// The same where the server may be gone, or go amid the answer. Of an answer that was cut off nothing
    /// is kept.
    pub async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Page> {
        let cookies = self.cookie_header();
        let request = if cookies.is_empty() {
            request
        } else {
            request.header(COOKIE, cookies)
        };
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.text().await?;
        self.keep(&headers);
        Ok(Page {
            status,
            headers,
            body,
        })
    }

    /// Follows redirects until there is a page.
    pub async fn follow(&self, mut page: Page) -> Page {
        for _ in 0..5 {
            if page.status != StatusCode::SEE_OTHER {
                return page;
            }
            let location = page.location().to_owned();
            page = self.get(&location).await;
        }
        panic!("redirected in circles");
    }

    /// Fills in the form at `route` that asks for mail.
    pub async fn ask(&self, route: &str, address: &str) -> Page {
        self.post(route, &[("email", address)]).await
    }

    /// Opens a confirmation link in the browser that asked for it and presses its button.
    pub async fn confirm(&self, link: &str) {
        let page = self.click(link).await;
        let page = self.follow(page).await;
        let token = page.hidden("token").expect("the page has the link's form");
        let done = self.post("/confirm-email", &[("token", &token)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    }

    /// Clicks a link and goes on to the page it leads to.
    pub async fn open(&self, link: &str) -> Page {
        let page = self.click(link).await;
        self.follow(page).await
    }

    /// Sends a link's form with the address it was sent to, as anybody can who holds both.
    pub async fn use_link(&self, mail: &Mail, address: &str) -> Page {
        let fields = [("token", mail.token()), ("email", address)];
        self.post(mail.route(), &fields).await
    }

    /// Types a code where it was asked for.
    pub async fn type_code(&self, code: &str) -> Page {
        self.post("/sign-in/code", &[("code", code)]).await
    }

    /// Enters the password, so that this session may do what is sensitive.
    pub async fn reauthenticate(&self) {
        self.reauthenticate_with(PASSWORD).await;
    }

    /// The same with a password of the test's own.
    pub async fn reauthenticate_with(&self, password: &str) {
        let fields = [("password", password), ("next", "/account")];
        let entered = self.post("/reauthenticate", &fields).await;
        entered.goes_on_to("/account");
    }

    /// Signs in with a password; the answer to it.
    pub async fn enter(&self, address: &str, password: &str) -> Page {
        let fields = [("email", address), ("password", password)];
        self.post("/sign-in/password", &fields).await
    }

    /// The address this browser is signed in as, by what `/account` shows.
    pub async fn signed_in_as(&self) -> Option<String> {
        let page = self.get("/account").await;
        match page.status {
            StatusCode::OK => page.between("<dt>Email address</dt><dd>", "</dd>"),
            StatusCode::SEE_OTHER => None,
            other => panic!("/account answered {other}"),
        }
    }

    /// The value of a cookie in the jar.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar.lock().unwrap().get(name).cloned()
    }

    /// Puts a cookie into the jar, as an attacker or a test of one does.
    pub fn set_cookie(&self, name: &str, value: &str) {
        self.jar
            .lock()
            .unwrap()
            .insert(name.to_owned(), value.to_owned());
    }

    /// Throws a cookie away.
    pub fn forget_cookie(&self, name: &str) {
        self.jar.lock().unwrap().remove(name);
    }

    /// A browser of its own with the same cookies: what a thief of the jar has.
    pub fn with_copied_jar(&self) -> Self {
        Self {
            jar: Mutex::new(self.jar.lock().unwrap().clone()).into(),
            ..self.clone()
        }
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        }
    }

    fn cookie_header(&self) -> String {
        let jar = self.jar.lock().unwrap();
        let pairs: Vec<String> = jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    fn keep(&self, headers: &HeaderMap) {
        if self.refuses_cookies {
            return;
        }
        let mut jar = self.jar.lock().unwrap();
        for cookie in headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            // Lynx takes what follows it for another cookie's.
            let (_, last) = cookie.rsplit_once("; ").unwrap();
            assert!(last.starts_with("SameSite=") || self.is_lenient, "{cookie}");
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        let ours = jar.iter().filter(|(name, _)| name.contains("doorpost"));
        let weight: usize = ours.map(|(name, value)| name.len() + value.len() + 3).sum();
        let is_told = headers.contains_key(SET_COOKIE) && !self.is_lenient;
        assert!(!is_told || weight <= COOKIES, "{weight} bytes of cookies");
    }
}

/// Fields as a form has them.
pub fn encode(fields: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    form.finish()
}

/// A cookie's name and attributes stay; its sealed value is another each time, and so is the moment, a year ago, at
/// which one that is taken back is said to have expired.
fn unsealed(header: &HeaderName, value: &str) -> String {
    match (header == SET_COOKIE, value.split_once('=')) {
        (true, Some((name, rest))) => {
            let attributes = rest.split(';').skip(1);
            let attributes = attributes.map(|one| match one.trim_start().starts_with("Expires=") {
                true => " Expires=THEN",
                false => one,
            });
            let attributes: Vec<&str> = attributes.collect();
            format!("{name}=SEALED;{}", attributes.join(";"))
        }
        _ => value.to_owned(),
    }
}

/// An answer.
#[derive(Debug)]
pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Page {
    /// Where a redirect leads.
    pub fn location(&self) -> &str {
        self.header(LOCATION.as_str())
            .unwrap_or_else(|| panic!("no redirect but {}: {}", self.status, self.body))
    }

    /// A header that is there at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().unwrap();
        assert!(values.next().is_none(), "{name} is there twice");
        Some(value)
    }

    /// All of the Set-Cookie headers.
    pub fn set_cookies(&self) -> Vec<&str> {
        let cookies = self.headers.get_all(SET_COOKIE).iter();
        cookies.map(|cookie| cookie.to_str().unwrap()).collect()
    }

    /// What it says in JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.body))
    }

    /// The value of a hidden field.
    pub fn hidden(&self, name: &str) -> Option<String> {
        self.between(&format!("name=\"{name}\" value=\""), "\"")
    }

    /// What stands between two marks in the page.
    pub fn between(&self, before: &str, after: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(before)?;
        let (inside, _) = rest.split_once(after)?;
        Some(inside.to_owned())
    }

    /// All that a visitor can tell two answers apart by: status, headers and body, without the request id,
    /// the date, and what is sealed in a cookie.
    pub fn looks(&self) -> String {
        let mut headers: Vec<String> = self
            .headers
            .iter()
            .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", unsealed(name, value.to_str().unwrap())))
            .collect();
        headers.sort();
        let id = self.header("x-request-id").expect("every answer has an id");
        let body = self.body.replace(id, "REQUEST-ID");
        format!("{}\n{}\n\n{body}", self.status, headers.join("\n"))
    }

    /// The whole answer as it came: where to search for what must not be in it.
    pub fn raw(&self) -> String {
        format!("{} {:?}\n{}", self.status, self.headers, self.body)
    }

    /// The link is used up, or the code taken: the visitor goes on to this page.
    #[track_caller]
    pub fn goes_on_to(&self, path: &str) {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        assert_eq!(self.location(), path);
    }

    /// The one page for links that are used, expired, unknown, tampered with or meant for something else.
    #[track_caller]
    pub fn says_the_link_is_gone(&self) {
        assert_eq!(self.status, StatusCode::GONE, "{}", self.body);
        assert!(
            self.body.contains("This link does not work"),
            "{}",
            self.body
        );
        assert_eq!(self.set_cookies(), [""; 0], "and hands out nothing");
    }

    /// The password is wanted first, and then this page.
    #[track_caller]
    pub fn is_sent_to_the_gate(&self, next: &str) {
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        self.goes_on_to(&format!("/reauthenticate?next={next}"));
    }

    /// The form again, with this mistake beside its field.
    #[track_caller]
    pub fn says_mistake(&self, mistake: &str) {
        assert_eq!(
            self.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            self.body
        );
        assert!(self.body.contains(mistake), "{mistake}: {}", self.body);
    }

    /// An ask was taken: the visitor is sent to the page that waits.
    #[track_caller]
    pub fn sees_inbox_page(&self) {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        assert_eq!(self.location(), "/sign-in/sent");
    }
}
