//! In front of an app, for real: nginx, Caddy and HAProxy as Debian ships them, Traefik and Envoy, each with the very files
//! of `deploy/gateway/`, before Doorpost and an app that keeps what comes to it. Seen by curl, which says what no browser
//! would; by browsers in `browsers`.
//!
//! Each proxy has its own way to ask, its own idea of a header's name and of a path. What holds of all of them: the app
//! hears of nobody who may not pass, and who somebody is it hears from Doorpost alone.

mod browsers;

use std::fs;
use std::net::TcpListener;

use tempfile::{NamedTempFile, TempDir};

use crate::program::{Doorpost, empty_folder};
use crate::support::app::{App, Request, TICK, WEB_SOCKET_KEY, WELCOME};
use crate::support::proxy::{Answer, Kind, Proxy, behind, free_port};
use crate::support::{Database, PASSWORD, ScriptedServer, Store, encode, eventually, secret_key};

const ADA: &str = "ada@example.org";
const EVE: &str = "eve@example.net";

const COOKIE_DOMAIN: (&str, &str) = ("COOKIE_DOMAIN", "example.org");
const GATE_FILE: (&str, &str) = ("GATE_FILE", "gate.toml");

/// Who may pass. APP stands for the app's host; that /admin wants more says the proxy.
const RULES: &str = r#"
[[host]]
name = "APP"
allow = ["ada@example.org", "bob@example.org"]
open = ["/open/*"]
jwt = true

[[host.path]]
at = "/vault/*"
strength = "password"

# Whoever is signed in; but these are other hosts.
[[host]]
name = "app.example.org:8443"

[[host]]
name = "wiki.example.org"
"#;

/// How a person's browser asks for a page.
const PERSON: &[&str] = &[
    "--header",
    "Accept: text/html",
    "--header",
    "Sec-Fetch-Mode: navigate",
];

/// A form of the app's. Over HTTP/2 a proxy may answer it before all of it has come (RFC 9113, 8.1), which curl takes ill and
/// browsers do not.
const FORM: &[&str] = &["--http1.1", "--data", "notice=lost"];

/// How a page's script asks.
const SCRIPT: &[&str] = &["--header", "Sec-Fetch-Mode: cors"];

/// How a form of Doorpost's pages comes.
const FROM_OUR_PAGE: &str = "Sec-Fetch-Site: same-origin";

behind! {
    [nginx: Nginx, caddy: Caddy, haproxy: Haproxy, traefik: Traefik, envoy: Envoy]

    async fn each_visitor_gets_what_is_theirs(kind: Kind) {
        let app = App::open();
        let site = Site::open(kind, app.port, &[COOKIE_DOMAIN, GATE_FILE]);
        let (stranger, ada, eve) = (Person::new(), site.member(ADA).await, site.member(EVE).await);

        a_stranger_is_sent_to_sign_in_and_comes_back(&site, &app);
        a_member_passes_as_who_they_are(&site, &app, &ada);
        many_cookies_of_the_app_arrive(&site, &app, &ada);
        somebody_else_reads_that_they_may_not(&site, &app, &eve);
        what_is_open_is_open(&site, &app, &stranger);
        a_script_is_told_in_its_own_way(&site, &app, &stranger, &ada);
        an_upload_arrives_whole(&site, &app, &stranger, &ada);
        a_web_socket_is_for_members(&site, &app, &stranger, &ada);
        some_paths_want_a_password(&site, &app, &ada);
        whoever_signs_out_is_out_at_the_next_request(&site, &app, &ada);
    }

    async fn what_a_visitor_says_of_themselves_counts_for_nothing(kind: Kind) {
        let app = App::open();
        let site = Site::open(kind, app.port, &[COOKIE_DOMAIN, GATE_FILE]);
        let (stranger, ada, eve) = (Person::new(), site.member(ADA).await, site.member(EVE).await);

        no_word_on_who_they_are_reaches_the_app(&site, &app, &stranger, &ada);
        no_word_on_what_they_ask_for_is_believed(&site, &app, [&stranger, &ada, &eve]);
        no_word_on_the_host_is_believed(&site, &app, [&stranger, &ada, &eve]);
        the_app_gets_a_path_and_no_whole_address(&site, &app, &stranger);
        a_connection_becomes_nothing_but_a_web_socket(&site, &app, &stranger, &ada);
        no_spelling_of_a_path_leads_past_the_rules(&site, &app, &stranger, &ada);
        what_proxies_ask_at_is_out_of_reach(&site, &ada);
        no_log_of_a_proxy_holds_what_a_link_holds(&site);
    }

    /// What the proxy's file demands, without any rules.
    async fn whatever_an_app_may_take_for_a_page_wants_its_password(kind: Kind) {
        let app = App::open();
        let site = Site::open(kind, app.port, &[COOKIE_DOMAIN]);
        let ada = site.member(ADA).await;
        let gate = site.proxy.url() + "/reauthenticate?next=";
        for path in [
            "/admin",
            "/ADMIN/x",
            "//admin",
            "/%61dmin",
            "/%2561dmin",
            "/;/admin",
            "/x/..;/admin/",
            "/x/..\\admin/",
            "/x\\..\\admin/",
            "/%2e%2e\\admin/",
        ] {
            let asked = ada.looks_at(&site, path);
            let there = asked.header("location").unwrap_or_default();
            assert!(there.starts_with(&gate), "{path}: {asked:?}");
            assert!(app.came().is_empty(), "{path}");
        }
        is_let_in(&ada.looks_at(&site, "/board?page=/admin/"), &app);
    }

    async fn while_doorpost_is_away_nobody_passes(kind: Kind) {
        let (app, store) = (App::open(), Store::make(Database::Postgres).await);
        let database = ("DATABASE_URL", store.url.as_str());
        let mut site = Site::open(kind, app.port, &[COOKIE_DOMAIN, GATE_FILE, database]);
        let ada = site.member(ADA).await;

        // Doorpost itself says that nobody can be found.
        store.set_away(true).await;
        let away = ada.looks_at(&site, "/");
        assert_eq!(away.status, 503, "{away:?}");
        assert!(away.header("retry-after").is_some(), "{away:?}");
        assert!(away.body.contains("Back in a moment"), "{away:?}");
        assert!(app.came().is_empty());
        store.set_away(false).await;
        eventually("the database", async || ada.looks_at(&site, "/").status == 200).await;
        app.came();

        let nobody_passes = |site: &Site, how: &str| {
            for path in ["/", "/admin/", "/open/x"] {
                let away = ada.looks_at(site, path);
                match kind {
                    // It has no page for that, and no other status.
                    Kind::Traefik => assert_eq!(away.status, 500, "{how}: {away:?}"),
                    _ => is_away(&away, how),
                }
            }
            assert!(app.came().is_empty(), "{how}");
        };
        site.kill();
        nobody_passes(&site, "it has died");
        site.begin();
        is_let_in(&ada.looks_at(&site, "/"), &app);
        site.kill();
        let deaf = TcpListener::bind(("127.0.0.1", site.port)).unwrap();
        std::thread::spawn(move || deaf.incoming().flatten().for_each(drop));
        nobody_passes(&site, "it hangs up");
    }
}

/// What the question itself may weigh is no matter: nginx looks at the length of the upload there, too.
#[tokio::test]
async fn behind_nginx_one_location_may_take_more_than_the_others() {
    let app = App::open();
    let mut site = Site::open(Kind::Nginx, app.port, &[COOKIE_DOMAIN]);
    let ada = site.member(ADA).await;
    let larger = format!(
        "location /upload/ {{ client_max_body_size 1m; auth_request /doorpost-verify; proxy_pass http://127.0.0.1:{}; }}",
        app.port
    );
    site.proxy.change_app_of_nginx(&[
        ("client_max_body_size 16m;", "client_max_body_size 1k;"),
        (
            "location / {\n        auth_request",
            &format!("{larger}\n    location / {{\n        auth_request"),
        ),
    ]);
    let upload = format!("all={}", "x".repeat(100_000));
    let sends = |path: &str| ada.asks(&site, path, &[PERSON, &["--data", &upload]].concat());
    assert_eq!(is_let_in(&sends("/upload/x"), &app).body, upload);
    assert_eq!(sends("/elsewhere").status, 413);
    assert!(app.came().is_empty());
}

/// A site as an operator runs it: Doorpost, its relay, the proxy in front, and an app on this port.
struct Site {
    doorpost: Option<Doorpost>,
    proxy: Proxy,
    relay: ScriptedServer,
    port: u16,
    key: String,
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Site {
    /// With these settings besides.
    fn open(kind: Kind, app: u16, settings: &[(&'static str, &str)]) -> Self {
        let settings = settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let port = free_port();
        let mut site = Self {
            doorpost: None,
            proxy: Proxy::start_before_app(kind, port, app),
            relay: ScriptedServer::start(),
            port,
            key: secret_key(),
            folder: empty_folder(),
            settings: settings.collect(),
        };
        site.write_rules(RULES);
        site.begin();
        site
    }

    fn begin(&mut self) {
        let address = format!("127.0.0.1:{}", self.port);
        let (url, app, relay) = (self.proxy.url(), self.proxy.app_host(), self.relay.url());
        let settings = [
            ("BIND_ADDRESS", address.as_str()),
            ("PUBLIC_URL", &url),
            ("RETURN_HOSTS", &app),
            ("SECRET_KEY", &self.key),
            ("SMTP_URL", &relay),
            ("MAIL_FROM", "login@example.org"),
            ("TRUSTED_PROXIES", "127.0.0.1/32,::1/128"),
            ("LIMIT_MAIL_GAP", "off"),
            ("LIMIT_MAIL_PER_ADDRESS", "off"),
        ];
        let more = self
            .settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let settings: Vec<_> = settings.into_iter().chain(more).collect();
        self.doorpost = Some(Doorpost::serving(self.folder.path(), &settings));
    }

    fn write_rules(&self, rules: &str) {
        let rules = rules.replace("APP", &self.proxy.app_host());
        fs::write(self.folder.path().join("gate.toml"), rules).unwrap();
    }

    /// As when its power fails.
    fn kill(&mut self) {
        self.doorpost.take().unwrap().killed();
    }

    /// An address at the app.
    fn app(&self, path: &str) -> String {
        format!("https://{}{path}", self.proxy.app_host())
    }

    /// Somebody who has an account with [`PASSWORD`], and came in by link.
    async fn member(&self, address: &str) -> Person {
        let person = Person::new();
        let asked = person.presses(self, "/register", &[("email", address)]);
        assert_eq!(asked.status, 303, "{asked:?}");
        let mail = self.relay.letter_for(address).await.mail();
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        goes_on_to(&person.presses(self, "/confirm-email", &fields), "/account");
        person
    }
}

/// Cookies, and who sends them: curl minds for which host they are.
struct Person {
    jar: NamedTempFile,
}

impl Person {
    fn new() -> Self {
        Self {
            jar: NamedTempFile::new().unwrap(),
        }
    }

    /// Looks at a page of the app, as a browser does.
    fn looks_at(&self, site: &Site, path: &str) -> Answer {
        self.asks(site, path, PERSON)
    }

    /// The same, and says this besides.
    fn says(&self, site: &Site, path: &str, headers: &[&str]) -> Answer {
        let said = headers.iter().flat_map(|header| ["--header", header]);
        let said: Vec<_> = PERSON.iter().copied().chain(said).collect();
        self.asks(site, path, &said)
    }

    fn asks(&self, site: &Site, path: &str, arguments: &[&str]) -> Answer {
        let arguments = [&self.cookies()[..], &["--path-as-is"], arguments].concat();
        site.proxy.curl_app(path, &arguments)
    }

    /// Sends a form of Doorpost's.
    fn presses(&self, site: &Site, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form = encode(fields);
        let sent = ["--header", FROM_OUR_PAGE, "--data", &form];
        site.proxy
            .curl(path, &[&self.cookies()[..], &sent].concat())
    }

    /// Enters the password at the gate, and is led back.
    fn enters_the_password(&self, site: &Site, next: &str) {
        let fields = [("password", PASSWORD), ("next", next)];
        let entered = self.presses(site, "/reauthenticate", &fields);
        self.is_led_back(site, &entered, next);
    }

    /// Over the page that goes on by itself.
    #[track_caller]
    fn is_led_back(&self, site: &Site, answer: &Answer, to: &str) {
        let page = format!("/auth/return?to={to}");
        goes_on_to(answer, &page);
        let page = site.proxy.curl(&page, &self.cookies());
        let refresh = format!("0; url={to}");
        assert_eq!(page.header("refresh"), Some(refresh.as_str()), "{page:?}");
    }

    fn cookies(&self) -> [&str; 4] {
        let jar = self.jar.path().to_str().unwrap();
        ["--cookie", jar, "--cookie-jar", jar]
    }
}

fn a_stranger_is_sent_to_sign_in_and_comes_back(site: &Site, app: &App) {
    let stranger = Person::new();
    let sent = stranger.looks_at(site, "/board?page=2");
    let board = site.app("/board?page=2");
    is_sent_to(&sent, site, "/sign-in", &board, app);
    assert_eq!(sent.header("set-cookie"), None, "{sent:?}");

    let fields = [("email", ADA), ("password", PASSWORD), ("next", &board)];
    let entered = stranger.presses(site, "/sign-in/password", &fields);
    stranger.is_led_back(site, &entered, &board);
    is_let_in(&stranger.looks_at(site, "/board?page=2"), app);

    // A form's sender comes back to its page.
    let stranger = Person::new();
    let referrer = format!("Referer: {board}");
    let form = [PERSON, FORM, &["--header", &referrer]].concat();
    is_sent_to(
        &stranger.asks(site, "/write", &form),
        site,
        "/sign-in",
        &board,
        app,
    );
}

fn a_member_passes_as_who_they_are(site: &Site, app: &App, ada: &Person) {
    let own = ["--cookie", "theme=dark; lang=en"];
    let page = ada.asks(site, "/board?page=2", &[PERSON, &own].concat());
    let came = is_let_in(&page, app);
    assert_eq!(came.asked, "GET /board?page=2");
    is_said_to_be(&came, ADA, "email_link");
    assert_eq!(came.header("cookie"), Some("theme=dark; lang=en"));
    let everything = format!("{came:?}");
    assert!(!everything.contains("-doorpost"), "{everything}");
    assert_eq!(page.header("set-cookie"), None, "{page:?}");
    let is_of_identity = |line: &&str| line.starts_with("remote");
    assert_eq!(page.head.lines().find(is_of_identity), None, "{page:?}");
    // Whoever has no cookies of the app's brings none.
    let came = is_let_in(&ada.looks_at(site, "/"), app);
    assert_eq!(came.header("cookie").unwrap_or_default(), "");
}

/// As many as the proxy itself takes, but for HAProxy, whose room for a whole head docs/gateway.md tells of. Doorpost's answer has
/// them once more.
fn many_cookies_of_the_app_arrive(site: &Site, app: &App, ada: &Person) {
    let how_many = match site.proxy.kind {
        Kind::Haproxy => 10,
        Kind::Nginx | Kind::Caddy | Kind::Traefik | Kind::Envoy => 26,
    };
    let value = "v".repeat(1000);
    let pairs: Vec<String> = (0..how_many).map(|n| format!("c{n}={value}")).collect();
    let headers: Vec<String> = pairs.iter().map(|pair| format!("Cookie: {pair}")).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let came = is_let_in(&ada.says(site, "/board", &headers), app);
    let arrived: Vec<&str> = came.header("cookie").unwrap().split("; ").collect();
    assert!(arrived.iter().eq(&pairs), "{} of {how_many}", arrived.len());
}

fn somebody_else_reads_that_they_may_not(site: &Site, app: &App, eve: &Person) {
    for path in ["/", "/admin/", "/vault/"] {
        let refused = eve.looks_at(site, path);
        assert_eq!(refused.status, 403, "{path}: {refused:?}");
        let somebody_else = site.proxy.url() + &with("/sign-out", "next", &site.app(path));
        for words in ["You may not open this page", EVE, &somebody_else] {
            assert!(refused.body.contains(words), "{path}, {words}: {refused:?}");
        }
    }
    let refused = eve.asks(site, "/", SCRIPT);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(
        refused.body.contains("You may not open this"),
        "{refused:?}"
    );
    assert!(app.came().is_empty());
}

fn what_is_open_is_open(site: &Site, app: &App, stranger: &Person) {
    let came = is_let_in(&stranger.looks_at(site, "/open/x"), app);
    assert_eq!(came.identity(), []);
}

fn a_script_is_told_in_its_own_way(site: &Site, app: &App, stranger: &Person, ada: &Person) {
    let deleting: &[&str] = &["--request", "DELETE"];
    let for_data: &[&str] = &["--header", "Accept: application/json"];
    for how in [SCRIPT, deleting, for_data] {
        let told = stranger.asks(site, "/data", how);
        assert_eq!(told.status, 401, "{how:?}: {told:?}");
        assert_eq!(
            told.header("www-authenticate"),
            Some("Doorpost"),
            "{told:?}"
        );
        assert!(app.came().is_empty(), "{how:?}");
        is_let_in(&ada.asks(site, "/data", how), app);
    }
    let told = ada.asks(site, "/admin/", SCRIPT);
    let wanted = r#"Doorpost error="insufficient_user_authentication", max_age="600""#;
    assert_eq!(
        (told.status, told.header("www-authenticate")),
        (401, Some(wanted)),
        "{told:?}"
    );
    assert!(app.came().is_empty());
}

fn an_upload_arrives_whole(site: &Site, app: &App, stranger: &Person, ada: &Person) {
    let upload = "x".repeat(200_000);
    let file = NamedTempFile::new().unwrap();
    fs::write(&file, &upload).unwrap();
    let file = format!("@{}", file.path().display());
    for version in ["--http1.1", "--http2"] {
        let form = [PERSON, &["--data-binary", &file, version]].concat();
        let came = is_let_in(&ada.asks(site, "/upload", &form), app);
        assert_eq!(came.asked, "POST /upload");
        assert!(came.body == upload, "{} bytes came", came.body.len());
    }
    let form = [PERSON, FORM, &["--data-binary", &file]].concat();
    let sent = stranger.asks(site, "/upload", &form);
    is_sent_to(&sent, site, "/sign-in", &site.app("/"), app);
}

fn a_web_socket_is_for_members(site: &Site, app: &App, stranger: &Person, ada: &Person) {
    let key = format!("Sec-WebSocket-Key: {WEB_SOCKET_KEY}");
    let headers = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        &key,
    ];
    let headers = headers.iter().flat_map(|header| ["--header", header]);
    let wanted: Vec<_> = ["--http1.1"].into_iter().chain(headers).collect();
    let told = stranger.asks(site, "/clock", &wanted);
    assert_eq!(told.status, 401, "{told:?}");
    assert!(app.came().is_empty());
    let opened = ada.asks(site, "/clock", &wanted);
    assert_eq!(opened.status, 101, "{opened:?}");
    assert!(opened.body.contains(TICK), "{opened:?}");
    let [came] = <[Request; 1]>::try_from(app.came()).unwrap();
    is_said_to_be(&came, ADA, "email_link");
}

fn some_paths_want_a_password(site: &Site, app: &App, ada: &Person) {
    let passes_by_link = is_let_in(&ada.looks_at(site, "/"), app);
    let (vault, admin) = (site.app("/vault/x"), site.app("/admin/write?as=me"));
    // By the rules, by the proxy's file; and a form.
    is_sent_to(
        &ada.looks_at(site, "/vault/x"),
        site,
        "/reauthenticate",
        &vault,
        app,
    );
    let asked = ada.looks_at(site, "/admin/write?as=me");
    is_sent_to(&asked, site, "/reauthenticate", &admin, app);
    let referrer = format!("Referer: {admin}");
    let form = [PERSON, FORM, &["--header", &referrer]].concat();
    is_sent_to(
        &ada.asks(site, "/admin/", &form),
        site,
        "/reauthenticate",
        &admin,
        app,
    );

    ada.enters_the_password(site, &admin);
    let came = is_let_in(&ada.looks_at(site, "/admin/write?as=me"), app);
    let entered_at = |came: &Request| {
        came.header("remote-auth-time")
            .unwrap()
            .parse::<i64>()
            .unwrap()
    };
    assert!(entered_at(&came) >= entered_at(&passes_by_link), "{came:?}");
    assert_eq!(came.asked, "GET /admin/write?as=me");
    is_let_in(&ada.looks_at(site, "/vault/x"), app);
    let came = is_let_in(&ada.asks(site, "/admin/", &form), app);
    assert_eq!(came.body, "notice=lost");
}

fn whoever_signs_out_is_out_at_the_next_request(site: &Site, app: &App, ada: &Person) {
    let copy = Person::new();
    fs::copy(&ada.jar, &copy.jar).unwrap();
    let home = site.app("/");
    for person in [ada, &copy] {
        is_let_in(&person.looks_at(site, "/"), app);
    }
    let left = ada.presses(site, "/sign-out", &[("next", &home)]);
    ada.is_led_back(site, &left, &home);
    for person in [ada, &copy] {
        is_sent_to(&person.looks_at(site, "/"), site, "/sign-in", &home, app);
    }
}

fn no_word_on_who_they_are_reaches_the_app(
    site: &Site,
    app: &App,
    stranger: &Person,
    ada: &Person,
) {
    const ROOT: &[&str] = &[
        "Remote-User: root",
        "remote-user: root",
        "REMOTE-USER: root",
        "Remote_User: root",
        "remote_user: root",
        "Remote.User: root",
        "Remote-Email: root@example.org",
        "Remote_Email: root@example.org",
        "Remote-Auth-Method: passkey",
        "Remote-Auth_Method: passkey",
        "Remote-Auth-Time: 9999999999",
        "Remote-Auth_Time: 9999999999",
        "Remote_Auth-Time: 9999999999",
        "Remote-JWT: e30.e30.e30",
        "Remote_JWT: e30.e30.e30",
        "Remote-Name: root",
        "Remote-Groups: wheel",
        "Remote_Groups: wheel",
        "Remote-Roles: wheel",
        "X-Remote-User: root",
        "X_Remote_User: root",
        "Http-Remote-User: root",
    ];
    let is_ada = |page: &Answer, said: &[&str]| {
        // To some proxies no request with such a name in it is one.
        if page.status != 400 {
            is_said_to_be(&is_let_in(page, app), ADA, "email_link");
        }
        let came = app.came();
        assert!(came.is_empty(), "{said:?}: {came:?}");
    };
    for said in ROOT.iter().map(|said| [*said]) {
        is_ada(&ada.asks(site, "/", &http1(&said)), &said);
    }
    is_ada(&ada.says(site, "/", ROOT), ROOT);
    is_ada(&ada.asks(site, "/", &http1(ROOT)), ROOT);
    // The same name twice, and one that is to go on to nobody (RFC 9110, 7.6.1).
    let twice = ["Remote-User: root", "Remote-User: toor", "remote-USER;"];
    is_ada(&ada.asks(site, "/", &http1(&twice)), &twice);
    let hop = ["Connection: Remote-User, Remote-Email, Remote-JWT, close"];
    is_ada(&ada.asks(site, "/", &http1(&hop)), &hop);

    for said in [http1(ROOT), http1(&hop), http1(&twice)] {
        let page = stranger.asks(site, "/open/x", &said);
        for came in app.came() {
            assert_eq!(came.identity(), [], "{said:?}");
        }
        assert!([200, 400].contains(&page.status), "{page:?}");
    }
}

fn no_word_on_what_they_ask_for_is_believed(
    site: &Site,
    app: &App,
    [stranger, ada, eve]: [&Person; 3],
) {
    let open = site.app("/open/x");
    let lies = [
        "X-Forwarded-Uri: /open/x".to_owned(),
        "X-Forwarded-Host: other.example.org".to_owned(),
        "X-Forwarded-Proto: http".to_owned(),
        "X-Forwarded-Method: DELETE".to_owned(),
        "X-Forwarded-For: 192.0.2.1".to_owned(),
        "X-Forwarded-Prefix: /open".to_owned(),
        "X_Forwarded_Uri: /open/x".to_owned(),
        format!("X-Original-URL: {open}"),
        "X-Original-Method: DELETE".to_owned(),
        "X-Original-URI: /open/x".to_owned(),
        "X_Original_URL: /open/x".to_owned(),
        "X-Original-Host: other.example.org".to_owned(),
        "X-Rewrite-URL: /open/x".to_owned(),
        "X_Rewrite_URL: /open/x".to_owned(),
        "Forwarded: for=192.0.2.1;host=other.example.org;proto=http".to_owned(),
        "Connection: X-Forwarded-Host, X-Forwarded-Uri, X-Original-URL, close".to_owned(),
    ];
    let all: Vec<&str> = lies.iter().map(String::as_str).collect();
    let board = site.app("/board");
    for said in lies.iter().map(|lie| vec![lie.as_str()]).chain([all]) {
        let said = said.as_slice();
        is_sent_to(
            &stranger.says(site, "/board", said),
            site,
            "/sign-in",
            &board,
            app,
        );
        let refused = eve.says(site, "/board", said);
        assert_eq!(refused.status, 403, "{said:?}: {refused:?}");
        let gate = ada.says(site, "/admin/", said);
        is_sent_to(&gate, site, "/reauthenticate", &site.app("/admin/"), app);
        let came = is_let_in(&ada.says(site, "/board", said), app);
        assert_eq!(came.asked, "GET /board", "{said:?}");
        let came_from = came.header("x-forwarded-for").unwrap_or_default();
        assert!(!came_from.contains("192.0.2.1"), "{said:?}: {came:?}");
        assert!(!said.iter().any(|lie| came.has(lie)), "{said:?}: {came:?}");
    }
    // Nor does a query make less of what the proxy demands.
    for query in [
        "reauthenticated=99d",
        "reauthenticated=99d&reauthenticated=",
        "?reauthenticated=99d",
    ] {
        let path = format!("/admin/?{query}");
        is_sent_to(
            &ada.looks_at(site, &path),
            site,
            "/reauthenticate",
            &site.app(&path),
            app,
        );
    }
}

/// The rules are for the host that is served, by whatever name and port a visitor calls it.
fn no_word_on_the_host_is_believed(site: &Site, app: &App, [stranger, ada, eve]: [&Person; 3]) {
    const OTHER_PORT: &[&str] = &["--header", "Host: app.example.org:8443"];
    const OTHER_HOST: &[&str] = &["--header", "Host: wiki.example.org"];
    let board = site.app("/board");
    let sign_in = site.proxy.url() + &with("/sign-in", "next", &board);
    let whole = ["--request-target", &board];
    let elsewhere = ["--request-target", "https://app.example.org:8443/board"];
    for said in [
        OTHER_PORT.to_vec(),
        [OTHER_PORT, &whole].concat(),
        [OTHER_HOST, &whole].concat(),
        elsewhere.to_vec(),
    ] {
        let said = [PERSON, &["--http1.1"], &said].concat();
        let sent = stranger.asks(site, "/board", &said);
        let there = sent.header("location").unwrap_or(&sign_in);
        assert_eq!(there, sign_in, "{said:?}: {sent:?}");
        eve.asks(site, "/board", &said);
        let came = app.came();
        assert!(came.is_empty(), "{said:?}: {came:?}");
    }
    // Some proxies serve it by no other port.
    let page = ada.asks(site, "/board", &[PERSON, OTHER_PORT].concat());
    if page.status != 404 {
        is_let_in(&page, app);
    }
}

/// Out of a whole address an app may read another page than Doorpost is told.
fn the_app_gets_a_path_and_no_whole_address(site: &Site, app: &App, stranger: &Person) {
    let whole = site.app("/open/x?page=1");
    let asked = [PERSON, &["--http1.1", "--request-target", &whole]].concat();
    let came = is_let_in(&stranger.asks(site, "/", &asked), app);
    assert_eq!(came.asked, "GET /open/x?page=1");
}

/// Of a tunnel (HTTP/2 without TLS, or `CONNECT`) Doorpost would not be asked about what goes through it.
fn a_connection_becomes_nothing_but_a_web_socket(
    site: &Site,
    app: &App,
    stranger: &Person,
    ada: &Person,
) {
    const WITH_SETTINGS: &[&str] = &[
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Connection: Upgrade, HTTP2-Settings",
    ];
    let h2c = [WITH_SETTINGS, &["Upgrade: h2c"]].concat();
    is_let_in(&ada.asks(site, "/board", &http1(&h2c)), app);
    for (person, path) in [(stranger, "/open/x"), (ada, "/board")] {
        let tunnel = ["--http1.1", "--request", "CONNECT"];
        let refused = person.asks(site, path, &[PERSON, &tunnel].concat());
        assert!(refused.status >= 400, "{path}: {refused:?}");
        assert!(app.came().is_empty(), "{path}");
    }
    for wanted in [
        &["Upgrade: h2c"][..],
        &["Upgrade: h2c, websocket"],
        &["Upgrade: websocket, h2c"],
        &["Upgrade: h2c", "Upgrade: websocket"],
        &["Upgrade: websocket", "Upgrade: h2c"],
        &["Upgrade: TLS/1.2"],
    ] {
        let said = [WITH_SETTINGS, wanted].concat();
        for (person, path) in [(stranger, "/open/x"), (ada, "/board")] {
            person.asks(site, path, &http1(&said));
            for came in app.came() {
                let upgrade = came.header("upgrade").unwrap_or("websocket");
                let settings = came.header("http2-settings");
                assert_eq!((upgrade, settings), ("websocket", None), "{came:?}");
            }
        }
    }
}

fn no_spelling_of_a_path_leads_past_the_rules(
    site: &Site,
    app: &App,
    stranger: &Person,
    ada: &Person,
) {
    let leads_nowhere = |person: &Person, path: &str| {
        let answer = person.looks_at(site, path);
        // Some proxies read it as a page that is open, and ask the app for that alone.
        for came in app.came() {
            let page = came.asked.strip_prefix("GET /open/").unwrap_or_default();
            let is_open = ["x", "board"].contains(&page);
            assert!(is_open, "{path}: {answer:?} {came:?}");
        }
        assert_ne!(answer.status, 500, "{path}: {answer:?}");
    };
    for path in [
        "/open/../board",
        "/open/%2e%2e/board",
        "/open/..%2fboard",
        "/open/.%2e/board",
        "/open/..;/board",
        "/open/%252e%252e/board",
        "/open/..\\board",
        "/open//../board",
        "/OPEN/x",
        "//open/x",
    ] {
        leads_nowhere(stranger, path);
    }
    for path in [
        "/admin",
        "/ADMIN/",
        "/Admin/x",
        "//admin/",
        "/./admin/",
        "/x/../admin/",
        "/x/%2e%2e/admin/",
        "/%61dmin/",
        "/%41DMIN/",
        "/admin;x/",
        "/vault",
        "/VAULT/x",
        "//vault/x",
        "/x/../vault/x",
        "/%76ault/x",
        "/vault%2fx",
        "/x/%2e%2e/vault/x",
        "/x;/../vault/x",
    ] {
        leads_nowhere(ada, path);
    }
}

fn what_proxies_ask_at_is_out_of_reach(site: &Site, ada: &Person) {
    for path in [
        "/auth/verify",
        "/auth/turn-away",
        "/auth/envoy/x",
        "/auth/reauthenticated/10m/envoy/x",
        "/readyz",
    ] {
        let answer = site.proxy.curl(path, &ada.cookies());
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}

/// Promise 21, where the file in front of Doorpost is one of `deploy/gateway/`.
fn no_log_of_a_proxy_holds_what_a_link_holds(site: &Site) {
    const SECRET: &str = "a-token-of-somebody";
    let path = format!("/sign-in/link?token={SECRET}");
    let referrer = format!("Referer: {}{path}", site.proxy.url());
    site.proxy.curl(&path, &["--header", &referrer]);
    let form = [FORM, &["--header", FROM_OUR_PAGE]].concat();
    site.proxy.curl(&path, &form);
    let log = site.proxy.log();
    assert!(!log.contains(SECRET), "{log}");
}

/// A person who says this besides, in names as they are written here.
fn http1<'a>(said: &[&'a str]) -> Vec<&'a str> {
    let said = said.iter().flat_map(|header| ["--header", header]);
    let usual = PERSON.iter().copied().chain(["--http1.1"]);
    usual.chain(said).collect()
}

/// The app was asked, once, and answered; with what words on the visitor.
#[track_caller]
fn is_let_in(page: &Answer, app: &App) -> Request {
    let came = app.came();
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(page.body, WELCOME, "{page:?}");
    let [came] = <[Request; 1]>::try_from(came).expect("one request");
    came
}

/// To this page of Doorpost, and from there to what was asked for; the app hears nothing of it.
#[track_caller]
fn is_sent_to(answer: &Answer, site: &Site, page: &str, next: &str, app: &App) {
    let there = site.proxy.url() + &with(page, "next", next);
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some(there.as_str())),
        "{answer:?}"
    );
    let came = app.came();
    assert!(came.is_empty(), "{came:?}");
}

#[track_caller]
fn goes_on_to(answer: &Answer, path: &str) {
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some(path)),
        "{answer:?}"
    );
}

/// This and nothing else is said of the visitor.
#[track_caller]
fn is_said_to_be(came: &Request, address: &str, method: &str) {
    let said = came.identity();
    let names: Vec<_> = said.iter().map(|(name, _)| name.as_str()).collect();
    let all = [
        "remote-auth-method",
        "remote-auth-time",
        "remote-email",
        "remote-jwt",
        "remote-user",
    ];
    assert_eq!(names, all, "{came:?}");
    // Nor is the app told to take it away.
    let connection = came.header("connection").unwrap_or_default();
    assert!(
        !connection.to_ascii_lowercase().contains("remote"),
        "{came:?}"
    );
    let value = |name: &str| came.header(name).expect(name);
    assert_eq!(value("remote-email"), address, "{came:?}");
    assert_eq!(value("remote-auth-method"), method, "{came:?}");
    let (time, user, token) = (
        value("remote-auth-time"),
        value("remote-user"),
        value("remote-jwt"),
    );
    assert!(
        time.parse::<u64>().is_ok_and(|time| time < 9_999_999_999),
        "{came:?}"
    );
    assert!(user.len() > 8, "{came:?}");
    assert!(token.split('.').all(|part| part.len() > 8), "{came:?}");
}

/// What a proxy says while Doorpost is away.
#[track_caller]
fn is_away(answer: &Answer, how: &str) {
    assert_eq!(answer.status, 503, "{how}: {answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"), "{how}: {answer:?}");
    assert_eq!(
        answer.header("cache-control"),
        Some("no-store"),
        "{how}: {answer:?}"
    );
    assert!(
        answer.body.contains("Back in a moment"),
        "{how}: {answer:?}"
    );
}

/// This page, with one field in its query.
fn with(page: &str, name: &str, value: &str) -> String {
    format!("{page}?{}", encode(&[(name, value)]))
}
