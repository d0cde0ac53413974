//! The files of `deploy/gateway/`, for a proxy in front of Doorpost and of an app that Doorpost is a sign-in for.

use std::fs;
use std::process::Command;

use super::{APP_HOST, HOST, Kind, Proxy, changed, deployed, in_repository, whoever_runs};
use crate::support::audit;

const LETSENCRYPT: &str = "/etc/letsencrypt/live";

impl Proxy {
    pub(super) fn add_app_to_nginx(&self, doorpost: u16, app: u16) {
        let app_url = format!("https://{}", self.app_host());
        let site = changed(
            &deployed("gateway/nginx.conf"),
            &[
                ("    listen [::]:80;\n", ""),
                ("    listen [::]:443 ssl http2;\n", ""),
                ("listen 80;", &format!("listen 127.0.0.1:{};", self.http)),
                ("listen 443 ", &format!("listen 127.0.0.1:{} ", self.https)),
                ("https://app.example.org", &app_url),
                (
                    "Host              app.example.org;",
                    &format!("Host {};", self.app_host()),
                ),
                (
                    "X-Forwarded-Host  app.example.org;",
                    &format!("X-Forwarded-Host {};", self.app_host()),
                ),
                (
                    "X-Forwarded-Host app.example.org;",
                    &format!("X-Forwarded-Host {};", self.app_host()),
                ),
                ("127.0.0.1:8080", &here(doorpost)),
                ("127.0.0.1:9000", &here(app)),
                ("/usr/share/doorpost/", &in_repository("deploy/")),
            ],
        );
        let site = self.with_our_certificate(&site, &[APP_HOST]);
        fs::write(self.path("sites-enabled/app"), site).unwrap();
    }

    /// Changes the app's file for nginx, as its operator may, and starts nginx anew.
    pub fn change_app_of_nginx(&mut self, changes: &[(&str, &str)]) {
        let file = self.path("sites-enabled/app");
        let site = fs::read_to_string(&file).unwrap();
        fs::write(&file, changed(&site, changes)).unwrap();
        self.restart();
    }

    pub(super) fn add_app_to_caddy(&self, doorpost: u16, app: u16) {
        let (certificate, key) = (self.named("certificate.pem"), self.named("key.pem"));
        let site = changed(
            &deployed("gateway/Caddyfile"),
            &[
                (
                    "\t#tls /etc/ssl/certs/app.example.org.pem /etc/ssl/private/app.example.org.key",
                    &format!("\ttls {certificate} {key}"),
                ),
                (
                    "request_header Host app.example.org",
                    &format!("request_header Host {}", self.app_host()),
                ),
                ("127.0.0.1:8080", &here(doorpost)),
                ("127.0.0.1:9000", &here(app)),
                ("/usr/share/doorpost", &in_repository("deploy")),
            ],
        );
        fs::write(self.path("app"), site).unwrap();
        let file = self.path("Caddyfile");
        let whole = fs::read_to_string(&file).unwrap() + "\nimport app\n";
        fs::write(file, whole).unwrap();
    }

    pub(super) fn configure_haproxy(&self, doorpost: u16, app: u16) {
        for folder in ["log", "certificates"] {
            fs::create_dir(self.path(folder)).unwrap();
        }
        let both = ["certificate.pem", "key.pem"].map(|file| fs::read(self.path(file)).unwrap());
        fs::write(self.path("certificates/both.pem"), both.concat()).unwrap();
        let secure = "bind :::443 ssl crt /etc/haproxy/certificates/ alpn h2,http/1.1\n";
        let whole = changed(
            &deployed("gateway/haproxy.cfg"),
            &[
                ("    bind :::80\n", ""),
                (&format!("    {secure}"), ""),
                ("bind :80\n", &format!("bind {}\n", here(self.http))),
                ("bind :443 ", &format!("bind {} ", here(self.https))),
                ("/etc/haproxy/certificates/", &self.named("certificates/")),
                (
                    "/etc/haproxy/doorpost.lua",
                    &in_repository("deploy/gateway/doorpost.lua"),
                ),
                ("log /dev/log local0", "log stdout format raw local0"),
                ("user haproxy", &format!("user {}", whoever_runs("--user"))),
                (
                    "set-header host app.example.org",
                    &format!("set-header host {}", self.app_host()),
                ),
                (
                    "group haproxy",
                    &format!("group {}", whoever_runs("--group")),
                ),
                ("127.0.0.1:8080", &here(doorpost)),
                ("127.0.0.1:9000", &here(app)),
                ("/usr/share/doorpost/", &in_repository("deploy/")),
            ],
        );
        fs::write(self.path("haproxy.cfg"), whole).unwrap();
    }

    pub(super) fn configure_traefik(&self, doorpost: u16, app: u16) {
        fs::create_dir(self.path("log")).unwrap();
        let whole = changed(
            &deployed("gateway/traefik.yaml"),
            &[
                ("\":80\"", &format!("\"{}\"", here(self.http))),
                ("\":443\"", &format!("\"{}\"", here(self.https))),
                (
                    "/etc/traefik/traefik-routes.yaml",
                    &self.named("traefik-routes.yaml"),
                ),
            ],
        );
        fs::write(self.path("traefik.yaml"), whole).unwrap();
        let routes = changed(
            &deployed("gateway/traefik-routes.yaml"),
            &[
                (
                    "Host: app.example.org",
                    &format!("Host: {}", self.app_host()),
                ),
                ("127.0.0.1:8080", &here(doorpost)),
                ("127.0.0.1:9000", &here(app)),
            ],
        );
        let routes = self.with_our_certificate(&routes, &[HOST, APP_HOST]);
        fs::write(self.path("traefik-routes.yaml"), routes).unwrap();
    }

    pub(super) fn configure_envoy(&self, doorpost: u16, app: u16) {
        fs::create_dir(self.path("log")).unwrap();
        let port = |port: u16| format!("port_value: {port} }}");
        let whole = changed(
            &deployed("gateway/envoy.yaml"),
            &[
                ("\"::\", ipv4_compat: true", "127.0.0.1"),
                ("port_value: 80 }", &port(self.http)),
                ("port_value: 443 }", &port(self.https)),
                ("example.org:443", &format!("example.org:{}", self.https)),
                ("port_value: 8080 }", &port(doorpost)),
                ("port_value: 9000 }", &port(app)),
                ("127.0.0.1:8080", &here(doorpost)),
                ("/usr/share/doorpost/", &in_repository("deploy/")),
            ],
        );
        let whole = self.with_our_certificate(&whole, &[HOST, APP_HOST]);
        fs::write(self.path("envoy.yaml"), whole).unwrap();
    }

    /// Runs with what was written above.
    pub(super) fn gateway_program(&self) -> Command {
        let (program, arguments): (String, &[&str]) = match self.kind {
            Kind::Haproxy => ("haproxy".to_owned(), &["-db", "-f", "haproxy.cfg"]),
            Kind::Traefik => (audit::client("traefik"), &["--configFile=traefik.yaml"]),
            Kind::Envoy => (
                audit::client("envoy"),
                &[
                    "--disable-hot-restart",
                    "--concurrency",
                    "1",
                    "--config-path",
                    "envoy.yaml",
                ],
            ),
            Kind::Nginx | Kind::Caddy => panic!("{:?} is started elsewhere", self.kind),
        };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    fn with_our_certificate(&self, text: &str, hosts: &[&str]) -> String {
        hosts.iter().fold(text.to_owned(), |text, host| {
            changed(
                &text,
                &[
                    (
                        &format!("{LETSENCRYPT}/{host}/fullchain.pem"),
                        &self.named("certificate.pem"),
                    ),
                    (
                        &format!("{LETSENCRYPT}/{host}/privkey.pem"),
                        &self.named("key.pem"),
                    ),
                ],
            )
        })
    }

    /// A file of its folder, as its configuration names it.
    fn named(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

fn here(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
