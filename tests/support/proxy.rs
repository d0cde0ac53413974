//! nginx, Caddy and HAProxy in front of Doorpost, as Debian ships them, with the files that an operator puts there: those of
//! `deploy/`. Nothing in them is changed but what says on which ports, under which certificate, and in which folder.
//! And before an app, too, that Doorpost is a sign-in for (`gateway`), where Traefik and Envoy stand beside them.

mod gateway;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The host that the files of `deploy/` name.
pub const HOST: &str = "login.example.org";

/// The host of the app that those of `deploy/gateway/` name.
pub const APP_HOST: &str = "app.example.org";

/// What does not listen after this long does not listen.
const PATIENCE: Duration = Duration::from_secs(15);

/// The SHA-256 of a certificate's public key, in base64.
const KEY_HASH: &str = r#"openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform der |
    openssl dgst -sha256 -binary | base64"#;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Caddy,
    Haproxy,
    Traefik,
    Envoy,
}

/// Runs each test behind each of these. A test is a function of the proxy that it is behind.
macro_rules! behind {
    (@each [$($proxy:ident: $kind:ident),+]) => {$(
        #[tokio::test]
        async fn $proxy() {
            test(Kind::$kind).await;
        }
    )+};
    ($each:tt $($(#[doc = $doc:literal])* async fn $name:ident($kind:ident: Kind) $body:block)+) => {$(
        $(#[doc = $doc])*
        mod $name {
            use super::*;
            async fn test($kind: Kind) $body

            behind! { @each $each }
        }
    )+};
}
pub(crate) use behind;

/// A running proxy. Ended when dropped.
pub struct Proxy {
    pub kind: Kind,
    folder: TempDir,
    http: u16,
    https: u16,
    process: Option<Child>,
}

/// What curl was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The version of HTTP: `2`.
    pub version: String,
    /// As they came, names in lower case.
    pub head: String,
    pub body: String,
}

impl Proxy {
    /// Starts one in front of the Doorpost that listens, or will, on this port of this machine.
    pub fn start(kind: Kind, doorpost: u16) -> Self {
        let mut proxy = Self::made(kind);
        match kind {
            Kind::Nginx => proxy.configure_nginx(doorpost),
            Kind::Caddy => proxy.configure_caddy(doorpost),
            _ => panic!("{kind:?} has files for Doorpost and an app alone"),
        }
        proxy.begin();
        proxy
    }

    /// Starts one in front of both, the Doorpost and the app, that listen, or will, on these ports of this machine.
    pub fn start_before_app(kind: Kind, doorpost: u16, app: u16) -> Self {
        let mut proxy = Self::made(kind);
        match kind {
            Kind::Nginx => {
                proxy.configure_nginx(doorpost);
                proxy.add_app_to_nginx(doorpost, app);
            }
            Kind::Caddy => {
                proxy.configure_caddy(doorpost);
                proxy.add_app_to_caddy(doorpost, app);
            }
            Kind::Haproxy => proxy.configure_haproxy(doorpost, app),
            Kind::Traefik => proxy.configure_traefik(doorpost, app),
            Kind::Envoy => proxy.configure_envoy(doorpost, app),
        }
        proxy.begin();
        proxy
    }

    /// Starts an nginx in front of those that listen, or will, on these ports of this machine, with what
    /// `docs/deploy.md` says of several nodes.
    pub fn start_before_nodes(ports: &[u16; 3]) -> Self {
        let mut proxy = Self::made(Kind::Nginx);
        proxy.configure_nginx(ports[0]);
        let pages = fs::read_to_string(in_repository("docs/deploy.md")).unwrap();
        let upstream = pages.find("    upstream doorpost {").unwrap();
        let upstream = &pages[upstream..];
        let upstream = &upstream[..upstream.find("    }\n").unwrap() + 6];
        let at = |port| format!("127.0.0.1:{port}");
        let upstream = changed(
            upstream,
            &[
                ("10.0.0.11:8080", &at(ports[0])),
                ("10.0.0.12:8080", &at(ports[1])),
                ("10.0.0.13:8080", &at(ports[2])),
            ],
        );
        let file = proxy.path("sites-enabled/doorpost");
        let site = fs::read_to_string(&file).unwrap();
        let one = format!("proxy_pass http://{};", at(ports[0]));
        let site = changed(&site, &[(&one, "proxy_pass http://doorpost;")]);
        fs::write(file, upstream + &site).unwrap();
        proxy.begin();
        proxy
    }

    /// What `PUBLIC_URL` says.
    pub fn url(&self) -> String {
        format!("https://{HOST}:{}", self.https)
    }

    /// The host of the app, as `RETURN_HOSTS` names it.
    pub fn app_host(&self) -> String {
        format!("{APP_HOST}:{}", self.https)
    }

    /// By this a browser can be told to trust its certificate as if somebody vouched for it.
    pub fn key_hash(&self) -> String {
        let hashed = Command::new("sh")
            .args(["-c", KEY_HASH, "sh"])
            .arg(self.path("certificate.pem"))
            .output()
            .unwrap();
        assert!(hashed.status.success(), "{hashed:?}");
        String::from_utf8(hashed.stdout).unwrap().trim().to_owned()
    }

    /// Stops it, and starts it again.
    pub fn restart(&mut self) {
        self.end();
        self.begin();
    }

    /// Asks for something as curl does that is given these arguments, by TLS under a certificate that is verified.
    pub fn curl(&self, path: &str, arguments: &[&str]) -> Answer {
        self.curl_at(&format!("{}{path}", self.url()), arguments)
    }

    /// The same of the app.
    pub fn curl_app(&self, path: &str, arguments: &[&str]) -> Answer {
        self.curl_at(&format!("https://{}{path}", self.app_host()), arguments)
    }

    /// The same without TLS.
    pub fn curl_plainly(&self, path: &str, arguments: &[&str]) -> Answer {
        self.curl_at(&format!("http://{HOST}:{}{path}", self.http), arguments)
    }

    fn curl_at(&self, url: &str, arguments: &[&str]) -> Answer {
        let asked = self.run_curl(url, arguments);
        let complaint = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "{url}: {complaint}{}", self.log());
        Answer::parse(&String::from_utf8_lossy(&asked.stdout))
    }

    fn run_curl(&self, url: &str, arguments: &[&str]) -> Output {
        let both = |port| [HOST, APP_HOST].map(|host| format!("{host}:{port}:127.0.0.1"));
        let here = [both(self.http), both(self.https)].concat();
        let here = here.iter().flat_map(|here| ["--resolve", here]);
        Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "60",
                "--dump-header",
                "-",
            ])
            .args(["--noproxy", "*", "--http2", "--cacert"])
            .arg(self.path("certificate.pem"))
            .args(here)
            .args(arguments)
            .arg(url)
            .output()
            .unwrap()
    }

    /// All that it has logged, in whatever file.
    pub fn log(&self) -> String {
        let files = fs::read_dir(self.path("log")).unwrap();
        files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .collect()
    }

    fn made(kind: Kind) -> Self {
        let proxy = Self {
            kind,
            folder: tempfile::tempdir().unwrap(),
            http: free_port(),
            https: free_port(),
            process: None,
        };
        proxy.make_certificate();
        proxy
    }

    fn make_certificate(&self) {
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args([
                "-subj",
                &format!("/CN={HOST}"),
                "-addext",
                &format!("subjectAltName=DNS:{HOST},DNS:{APP_HOST}"),
            ])
            .arg("-keyout")
            .arg(self.path("key.pem"))
            .arg("-out")
            .arg(self.path("certificate.pem"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    /// As Debian has it: its `nginx.conf`, and ours in `sites-enabled/`.
    fn configure_nginx(&self, doorpost: u16) {
        for folder in ["log", "sites-enabled", "conf.d", "temporary"] {
            fs::create_dir(self.path(folder)).unwrap();
        }
        let here = |name: &str| self.path(name).display().to_string();
        let temporary = ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"]
            .map(|what| format!("{what}_temp_path {}/{what};", here("temporary")))
            .concat();
        let whole = fs::read_to_string("/etc/nginx/nginx.conf")
            .expect("Debian's nginx is there; tests/run installs it");
        let whole = changed(
            &whole,
            &[
                // Whoever runs the tests; a worker has to reach their folder.
                (
                    "user www-data;",
                    &format!("user {};", whoever_runs("--user")),
                ),
                ("/run/nginx.pid", &here("pid")),
                ("include /etc/nginx/modules-enabled/*.conf;", ""),
                ("/etc/nginx/conf.d/", &here("conf.d/")),
                ("/etc/nginx/sites-enabled/", &here("sites-enabled/")),
                ("/var/log/nginx/", &here("log/")),
                ("http {", &format!("http {{ {temporary}")),
            ],
        );
        fs::write(self.path("nginx.conf"), whole).unwrap();
        let site = changed(
            &deployed("nginx.conf"),
            &[
                ("    listen [::]:80;\n", ""),
                ("    listen [::]:443 ssl http2;\n", ""),
                ("listen 80;", &format!("listen 127.0.0.1:{};", self.http)),
                ("listen 443 ", &format!("listen 127.0.0.1:{} ", self.https)),
                (
                    "/etc/letsencrypt/live/login.example.org/fullchain.pem",
                    &here("certificate.pem"),
                ),
                (
                    "/etc/letsencrypt/live/login.example.org/privkey.pem",
                    &here("key.pem"),
                ),
                ("https://login.example.org", &self.url()),
                ("/var/log/nginx/", &here("log/")),
                ("127.0.0.1:8080", &format!("127.0.0.1:{doorpost}")),
                ("/usr/share/doorpost/", &in_repository("deploy/")),
            ],
        );
        fs::write(self.path("sites-enabled/doorpost"), site).unwrap();
    }

    fn configure_caddy(&self, doorpost: u16) {
        fs::create_dir(self.path("log")).unwrap();
        let here = |name: &str| self.path(name).display().to_string();
        let ports = format!(
            "\n{{\n\tadmin off\n\thttp_port {}\n\thttps_port {}\n",
            self.http, self.https
        );
        let certificate = format!("\ttls {} {}", here("certificate.pem"), here("key.pem"));
        let whole = changed(
            &deployed("Caddyfile"),
            &[
                ("\n{\n", &ports),
                (
                    "\t#tls /etc/ssl/certs/login.example.org.pem /etc/ssl/private/login.example.org.key",
                    &certificate,
                ),
                ("127.0.0.1:8080", &format!("127.0.0.1:{doorpost}")),
                ("/usr/share/doorpost", &in_repository("deploy")),
            ],
        );
        fs::write(self.path("Caddyfile"), whole).unwrap();
    }

    fn begin(&mut self) {
        let mut command = match self.kind {
            Kind::Nginx => {
                let mut nginx = Command::new("nginx");
                nginx
                    .args(["-g", "daemon off;", "-p"])
                    .arg(self.folder.path());
                nginx.arg("-c").arg(self.path("nginx.conf"));
                nginx
            }
            Kind::Caddy => {
                let mut caddy = Command::new("caddy");
                caddy
                    .args(["run", "--adapter", "caddyfile", "--config"])
                    .arg(self.path("Caddyfile"));
                caddy
            }
            _ => self.gateway_program(),
        };
        let said = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log/said"))
            .unwrap();
        let process = command
            // Caddy keeps what it knows there.
            .env("HOME", self.folder.path())
            .env("XDG_DATA_HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.folder.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap_or_else(|why| panic!("{:?} is installed; tests/run does so: {why}", self.kind));
        self.process = Some(process);
        for port in [self.http, self.https] {
            self.until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        }
        // It listens before it has read what to do.
        if self.kind == Kind::Traefik {
            self.until(|| self.run_curl(&self.url(), &[]).status.success());
        }
    }

    fn until(&self, it_is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !it_is_so() {
            assert!(
                began.elapsed() < PATIENCE,
                "{:?} does not listen: {}",
                self.kind,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// As the service manager does it: killed, nginx would leave its workers behind.
    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            let id = process.id().to_string();
            let _ = Command::new("kill").args(["-s", "TERM", &id]).status();
            let _ = process.wait();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

impl Answer {
    fn parse(text: &str) -> Self {
        // What comes before the last head is a "100 Continue".
        let is_interim = |head: &str| head.split(' ').nth(1) == Some("100");
        let mut rest = text;
        let (head, body) = loop {
            let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
            if !is_interim(head) {
                break (head, body);
            }
            rest = body;
        };
        let (first, fields) = head.split_once("\r\n").unwrap();
        let mut words = first.split(' ');
        Self {
            version: words.next().unwrap().trim_start_matches("HTTP/").to_owned(),
            status: words.next().unwrap().parse().unwrap(),
            head: fields
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| format!("{}: {value}\n", name.to_ascii_lowercase()))
                .collect(),
            body: body.to_owned(),
        }
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(is, _)| *is == name).map(|(_, value)| value)
    }
}

/// A text with each of these put in the place of what it stands for, all of which are in it.
pub fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in {text}");
        text.replace(from, to)
    })
}

/// A file of `deploy/`.
pub fn deployed(name: &str) -> String {
    fs::read_to_string(in_repository(&format!("deploy/{name}"))).unwrap()
}

fn in_repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(path)
        .display()
        .to_string()
}

/// By name: the `--user`, or the `--group`.
fn whoever_runs(what: &str) -> String {
    let asked = Command::new("id").args([what, "--name"]).output().unwrap();
    String::from_utf8(asked.stdout).unwrap().trim().to_owned()
}

/// One that nobody listens on just now. It is below 32768, where those begin that are given to whoever wants any port: one of
/// theirs would be gone by the time it is wanted, to somebody who connects.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(101);
    let mut ports = std::iter::repeat_with(|| {
        let place = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % 20_000;
        u16::try_from(12_000 + place).unwrap()
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(is_free).unwrap()
}
