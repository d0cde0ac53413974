//! Doorpost behind nginx and behind Caddy, with the very files of `deploy/`, seen from outside: by a browser, and by
//! curl. What a caller says of itself counts for nothing, no log has what a link holds, and whichever side starts again,
//! nobody loses anything.

mod nodes;

use tempfile::TempDir;

use crate::program::{Doorpost, empty_folder};
use crate::support::proxy::{Answer, HOST, Kind, Proxy, behind, free_port};
use crate::support::{Browser, ScriptedServer, Scripts, audit, secret_key};

const ADA: &str = "ada@example.org";

/// How a form of our own pages comes.
const FROM_OUR_PAGE: &str = "Sec-Fetch-Site: same-origin";

/// A site as an operator runs it: Doorpost, its relay, and the proxy in front.
struct Site {
    doorpost: Option<Doorpost>,
    proxy: Proxy,
    relay: ScriptedServer,
    port: u16,
    key: String,
    folder: TempDir,
    limit: &'static str,
}

impl Site {
    fn open(kind: Kind) -> Self {
        Self::with_limit(kind, "30/1m")
    }

    /// With this limit on links that are none.
    fn with_limit(kind: Kind, limit: &'static str) -> Self {
        let port = free_port();
        let mut site = Self {
            doorpost: None,
            proxy: Proxy::start(kind, port),
            relay: ScriptedServer::start(),
            port,
            key: secret_key(),
            folder: empty_folder(),
            limit,
        };
        site.begin();
        site
    }

    fn begin(&mut self) {
        let address = format!("127.0.0.1:{}", self.port);
        let (site, relay) = (self.proxy.url(), self.relay.url());
        let doorpost = Doorpost::serving(
            self.folder.path(),
            &[
                ("BIND_ADDRESS", &address),
                ("PUBLIC_URL", &site),
                ("SECRET_KEY", &self.key),
                ("SMTP_URL", &relay),
                ("MAIL_FROM", "login@example.org"),
                ("TRUSTED_PROXIES", "127.0.0.1/32,::1/128"),
                ("LIMIT_MAIL_GAP", "off"),
                ("LIMIT_TOKEN_PER_NETWORK", self.limit),
            ],
        );
        self.doorpost = Some(doorpost);
    }

    /// As when its power fails.
    fn kill(&mut self) {
        self.doorpost.take().unwrap().killed();
    }

    /// Asks for a page, with this header, too.
    fn get(&self, path: &str, header: &str) -> Answer {
        self.proxy.curl(path, &["--header", header])
    }

    /// Sends a form of our own, as curl takes it.
    fn post(&self, path: &str, form: &str) -> Answer {
        self.proxy
            .curl(path, &["--header", FROM_OUR_PAGE, "--data", form])
    }

    async fn link_for(&self, address: &str) -> String {
        self.relay.letter_for(address).await.mail().link
    }
}

/// What the proxy says while Doorpost is away.
#[track_caller]
fn is_away(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"), "{answer:?}");
    assert_eq!(
        answer.header("cache-control"),
        Some("no-store"),
        "{answer:?}"
    );
    assert!(answer.body.contains("Back in a moment"), "{answer:?}");
    let told = answer.head.clone() + &answer.body;
    for name in ["127.0.0.1", "8080", "upstream", "nginx/", "Caddy"] {
        assert!(!told.contains(name), "it tells of {name}: {told}");
    }
}

behind! {
    [nginx: Nginx, caddy: Caddy]

    /// FLT-06
    async fn a_visitor_comes_in_by_link_and_stays_whichever_side_starts_again(kind: Kind) {
        let mut site = Site::open(kind);
        let at = |site: &Site, path: &str| format!("{}{path}", site.proxy.url());
        let browser = Browser::open_with_host(Scripts::On, HOST).await;
        browser.goto(&at(&site, "/register")).await;
        browser.fill("Email address", ADA).await;
        browser.click("Send me a link").await;
        browser.comes_to("/sign-in/sent").await;
        let link = site.link_for(ADA).await;
        assert!(link.starts_with(&at(&site, "/confirm-email?token=")), "{link}");
        browser.goto(&link).await;
        browser.comes_to("/confirm-email").await;
        browser.click("Confirm my email address and sign in").await;
        browser.comes_to("/account").await;
        browser.sees(ADA).await;

        site.kill();
        browser.reload().await;
        browser.sees("Back in a moment").await;
        site.begin();
        browser.reload().await;
        browser.sees(ADA).await;

        // Amid a form: it is sent again from where one was.
        site.kill();
        browser.click("Sign out").await;
        browser.sees("Back in a moment").await;
        site.begin();
        browser.goto(&at(&site, "/account")).await;
        browser.sees(ADA).await;

        site.proxy.restart();
        browser.reload().await;
        browser.sees(ADA).await;
        browser.click("Sign out").await;
        browser.comes_to("/").await;
        browser.goto(&at(&site, "/account")).await;
        browser.comes_to("/sign-in?next=%2Faccount").await;
    }

    /// LIM-05, HOST-03
    async fn what_a_caller_says_of_itself_counts_for_nothing(kind: Kind) {
        let site = Site::with_limit(kind, "4/1h");
        let guess = |header: &str| site.get("/sign-in/link?token=junk", header).status;
        for header in [
            "X-Forwarded-For: 192.0.2.1",
            "X-Forwarded-For: 192.0.2.2, 192.0.2.3",
            "Forwarded: for=192.0.2.4",
            "X-Real-IP: 192.0.2.5",
        ] {
            assert_ne!(guess(header), 429, "{header}");
        }
        assert_eq!(guess("X-Forwarded-For: 192.0.2.6"), 429, "they all came from one network");
        // And it is the caller's, not the proxy's own: nothing is amiss that Doorpost would warn of.
        let log = site.doorpost.as_ref().unwrap().log();
        assert!(!log.contains(" WARN "), "{log}");
    }

    /// Promise 21
    async fn no_log_holds_what_a_link_holds(kind: Kind) {
        const SECRET: &str = "a-token-of-somebody";
        let mut site = Site::open(kind);
        let path = format!("/sign-in/link?token={SECRET}");
        let ask_in_every_way = |site: &Site| {
            let referrer = format!("Referer: {}{path}", site.proxy.url());
            site.get(&path, &referrer);
            site.post(&path, "email=ada@example.org");
            site.proxy.curl(&path, &["--http1.1", "--header", "Host:"]);
            site.proxy.curl(&path, &["--http1.1", "--request", "GET it"]);
            let large = format!("X-Large: {}", "x".repeat(40_000));
            site.proxy.curl(&path, &["--http1.1", "--header", &large]);
            site.proxy.curl_plainly(&path, &[]);
        };
        ask_in_every_way(&site);
        site.kill();
        ask_in_every_way(&site);
        // Somebody who hears the question and hangs up.
        let deaf = std::net::TcpListener::bind(("127.0.0.1", site.port)).unwrap();
        std::thread::spawn(move || deaf.incoming().flatten().take(2).for_each(drop));
        is_away(&site.get(&path, "Accept: text/html"));
        site.post(&path, "email=ada@example.org");
        let log = site.proxy.log();
        assert!(!log.contains(SECRET), "{log}");
        let asked = match kind {
            Kind::Caddy => "\"uri\":\"/sign-in/link\"",
            _ => "\"GET /sign-in/link\" 503",
        };
        assert!(log.contains(asked), "{log}");
    }

    async fn what_goes_through_is_as_doorpost_sent_it(kind: Kind) {
        let site = Site::open(kind);
        let page = site.get("/sign-in", "Accept-Encoding: gzip");
        assert_eq!((page.status, page.version.as_str()), (200, "2"), "{page:?}");
        // BREACH: a page that is compressed tells by its length what is secret in it.
        assert_eq!(page.header("content-encoding"), None, "{page:?}");
        assert!(page.body.contains("Email address"), "{page:?}");
        assert!(page.header("strict-transport-security").is_some(), "{page:?}");
        assert!(page.header("x-request-id").is_some(), "{page:?}");
        let server = page.header("server").unwrap_or_default();
        assert!(!server.contains('/') && server != "Caddy", "{server}");

        let form = |size: usize| site.post("/sign-in", &format!("email={}", "x".repeat(size)));
        assert_eq!(form(15_000).status, 422, "it is read to its end");
        let large = form(20_000);
        assert_eq!(large.status, 413, "{large:?}");
        assert!(large.header("x-request-id").is_some(), "Doorpost says so: {large:?}");
        let flood = "x".repeat(120_000);
        let flood = site.proxy.curl("/sign-in", &["--http1.1", "--header", FROM_OUR_PAGE, "--data", &flood]);
        assert_eq!(flood.status, 413, "{flood:?}");

        let plain = site.proxy.curl_plainly("/sign-in?next=%2Faccount", &[]);
        assert!([301, 308].contains(&plain.status), "{plain:?}");
        let secure = plain.header("location").unwrap();
        assert!(secure.starts_with(&format!("https://{HOST}")) && secure.ends_with("/sign-in?next=%2Faccount"), "{plain:?}");

        // What is wrong inside is nobody's business out there.
        assert_eq!(site.proxy.curl("/readyz", &[]).status, 404);
        assert_eq!(site.proxy.curl("/healthz", &[]).status, 200);
    }

    async fn while_doorpost_is_away_the_proxy_says_so_and_when_to_come_back(kind: Kind) {
        let mut site = Site::open(kind);
        site.kill();
        for path in ["/", "/account?from=mail", "/api/v1/me", "/no-such-page"] {
            is_away(&site.get(path, "Accept: */*"));
        }
        let away = site.post("/sign-in", "email=ada@example.org");
        is_away(&away);
        audit::is_html("away", away.body).await;
        site.begin();
        assert_eq!(site.get("/", "Accept: */*").status, 200);
    }
}
