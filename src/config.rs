//! The only reader of the environment: parse, explain, refuse.
//!
//! Every variable is read once, at start, and is a value of its own type from then on. A configuration
//! that is unsafe or does not parse never starts: the first variable that is wrong, in the order of the
//! table below, is named in one line with what to write instead. No value is ever printed.
//!
//! The table declares each variable once. Its row is the field of [`Config`], how it is read, and its
//! place in `.env.example` and `docs/configuration.md`, both written by `cargo test --lib config`.

mod amounts;
mod argon2;
mod credentials;
mod database_url;
mod dot_env;
mod gate_file;
mod host_pattern;
mod log;
mod mail;
mod mistake;
mod network;
mod public_url;
mod reader;
#[cfg(test)]
mod reference;
mod return_hosts;
mod rules;
mod secret_key;
mod security;
mod service_manager;
mod sign_up;
mod smtp_url;
mod summary;
#[macro_use]
mod table;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use lettre::Address;
use lettre::message::Mailbox;
use tracing_subscriber::filter::Targets;

use crate::clock::Timestamp;
use crate::domain_name::DomainName;

pub use amounts::{Rate, duration};
pub use database_url::{DatabaseUrl, PostgresUrl};
pub use gate_file::{
    Allowed, Asked, Demand, Demands, GateFile, GateRules, HostRules, PathPattern, Strength,
};
pub use host_pattern::HostPattern;
pub use log::LogFormat;
pub use mistake::{Mistake, Refusal};
pub use public_url::PublicUrl;
pub use return_hosts::ReturnHosts;
pub use secret_key::SecretKey;
pub use service_manager::ServiceManager;
pub use sign_up::{DomainPattern, SignUp};
pub use smtp_url::{SmtpSecurity, SmtpUrl};
pub use summary::Summary;

use amounts::{count, month_or_off, rate, yes_or_no};
use reader::{Reader, list_of, optional};

// A row: what it means, then field: type = variable, default, parser. An empty default is not set. A `check`
// is a rule between two variables, and stands where the first of them can be judged.
variables! {
    /// The site
    server: Server {
        /// Where to listen; beyond this machine only with a `PUBLIC_URL` that is not loopback.
        bind_address: SocketAddr = "BIND_ADDRESS", "127.0.0.1:8080", network::socket_address;

        /// Scheme, host and port that visitors see; https unless loopback; every link in mail begins with it.
        public_url: PublicUrl = "PUBLIC_URL", "http://localhost:8080", PublicUrl::parse;
        check rules::seen_as_far_as_it_listens(bind_address, &public_url);
    }

    /// The database
    database: Database {
        /// `sqlite:PATH` (from the working directory) or `postgres://USER:PASSWORD@HOST/DATABASE`, with the options that
        /// docs/deploy.md tells of
        url: DatabaseUrl = "DATABASE_URL", "sqlite:data/doorpost.db", DatabaseUrl::parse;

        /// How long a start waits for a PostgreSQL that is away: on a machine that boots it may come later.
        wait: Duration = "DATABASE_WAIT", "30s", duration;
    }

    /// Secret keys
    keys: Keys {
        /// 64 random bytes in base64 (`head -c 64 /dev/urandom | base64 -w 0`); on loopback made once and kept
        /// in `data/secret_key`.
        secret_key: Option<SecretKey> = "SECRET_KEY", "", optional(secret_key::chosen);
        check rules::a_public_site_has_a_key(&server, &secret_key);

        /// Former keys, between commas: they still open and verify, and never seal or sign.
        secret_keys_old: Vec<SecretKey> = "SECRET_KEYS_OLD", "", list_of(secret_key::chosen);
    }

    /// Mail
    mail: Mail {
        /// `smtps://USER:PASSWORD@HOST:465`, `smtp://USER:PASSWORD@HOST:587?tls=required`, or
        /// `smtp://127.0.0.1:2525` (plain text, loopback only).
        smtp: Option<SmtpUrl> = "SMTP_URL", "", optional(SmtpUrl::parse);
        check rules::a_public_site_sends_mail(&server, &smtp);

        /// A file of certificates (PEM) to trust besides the system's when talking to the mail server.
        smtp_ca_file: Option<PathBuf> = "SMTP_CA_FILE", "", optional(mail::certificates);

        /// The sender of every letter; has to be set to an address of yours when `PUBLIC_URL` is not loopback.
        from: Mailbox = "MAIL_FROM", "Doorpost <doorpost@localhost>", mail::mailbox;
        check rules::a_public_site_has_a_sender(&server, &from);

        /// Where letters come back to (`bounce@example.org`), each to an address of its own (`bounce+NUMBER@example.org`)
        /// that nobody can make up; unset, to the address of `MAIL_FROM`. See docs/operate.md.
        bounce_address: Option<Address> = "MAIL_BOUNCE_ADDRESS", "", optional(mail::bounce_address);
    }

    /// Accounts
    accounts: Accounts {
        /// Who may make an account: `open`, `invited`, or domains between commas (`example.org,*.example.net`).
        sign_up: SignUp = "SIGN_UP", "open", SignUp::parse;

        /// After a reset by mail of an account that has passkeys: how long another address, other passkeys and the end of
        /// the account wait for a passkey; at most `30d`, or `off`. See docs/security.md.
        reset_hold: Option<Duration> = "RESET_HOLD", "3d", month_or_off;
    }

    /// Proxies
    proxies: Proxies {
        /// Networks between commas (`10.0.0.0/8,2001:db8::/32`) whose `X-Forwarded-For` is believed, with or without ports.
        trusted: Vec<IpNet> = "TRUSTED_PROXIES", "", network::networks;
    }

    /// The API
    api: Api {
        /// Origins between commas (`https://app.example.org`) whose pages may call the API; unset, none but our own.
        origins: Vec<String> = "API_ORIGINS", "", list_of(network::origin);

        /// Further services, between commas, that access tokens may be asked for: the `aud` that each of them expects.
        audiences: Vec<String> = "API_AUDIENCES", "", list_of(network::audience);
    }

    /// Sessions
    sessions: Sessions {
        /// How long a password entry counts for what is sensitive; use does not stretch it.
        reauthentication_window: Duration = "REAUTHENTICATION_WINDOW", "10m", duration;

        /// How long a session lives unused; at most `SESSION_LIFETIME`.
        idle: Duration = "SESSION_IDLE", "7d", duration;

        /// How long a session lives at all.
        lifetime: Duration = "SESSION_LIFETIME", "30d", duration;
        check rules::unused_ends_before_used(idle, lifetime);

        /// How long a session that is bound to its device goes without a new proof that it is still there: at least `4m`,
        /// or `off`, and no session is bound.
        proof: Option<Duration> = "SESSION_PROOF", "10m", amounts::proof;
    }

    /// How long links can be used
    links: Links {
        /// How long a sign-in link and its code can be used.
        sign_in: Duration = "LINK_LIFETIME_SIGN_IN", "10m", duration;

        /// How long a link that confirms a new address can be used.
        confirm_email: Duration = "LINK_LIFETIME_CONFIRM_EMAIL", "24h", duration;

        /// How long a link that sets a password can be used.
        reset_password: Duration = "LINK_LIFETIME_RESET_PASSWORD", "30m", duration;

        /// How long a link that changes an account's address can be used.
        change_email: Duration = "LINK_LIFETIME_CHANGE_EMAIL", "1h", duration;

        /// How long the old mailbox can take such a change back.
        undo_change_email: Duration = "LINK_LIFETIME_UNDO_CHANGE_EMAIL", "7d", duration;

        /// How long a link in ordinary mail (a notice, an announcement) knows its reader.
        notification: Duration = "LINK_LIFETIME_NOTIFICATION", "14d", duration;
    }

    /// How often things may be tried
    limits: Limits {
        /// Mails to one address in short order; asking again sooner is no error, and sends nothing unless the last one was used.
        mail_gap: Option<Rate> = "LIMIT_MAIL_GAP", "1/60s", rate;

        /// Mails to one address; beyond it the page says when to ask again. Addresses that share a mailbox (by `+tag`
        /// or dots) have three times as many together.
        mail_per_address: Option<Rate> = "LIMIT_MAIL_PER_ADDRESS", "5/15m", rate;

        /// Mails to one address in the long run; to one mailbox three times as many.
        mail_per_address_daily: Option<Rate> = "LIMIT_MAIL_PER_ADDRESS_DAILY", "10/1d", rate;

        /// Mails asked for from one network (an IPv4 address or an IPv6 /64; a /48 has 16 times as many).
        mail_per_network: Option<Rate> = "LIMIT_MAIL_PER_NETWORK", "20/1m", rate;

        /// Wrong passwords for one account; its owner always gets in by email link.
        password_per_account: Option<Rate> = "LIMIT_PASSWORD_PER_ACCOUNT", "5/15m", rate;

        /// Passwords tried from one network.
        password_per_network: Option<Rate> = "LIMIT_PASSWORD_PER_NETWORK", "20/1m", rate;

        /// Wrong links, addresses and codes from one network.
        token_per_network: Option<Rate> = "LIMIT_TOKEN_PER_NETWORK", "30/1m", rate;
    }

    /// How passwords are hashed
    passwords: Passwords {
        /// The memory of one password hash, in KiB.
        memory_kib: u32 = "ARGON2_MEMORY_KIB", "19456", argon2::memory_kib;

        /// How often a password hash goes over its memory.
        passes: u32 = "ARGON2_PASSES", "2", argon2::passes;
        check rules::a_public_site_hashes_slowly(&server, memory_kib, passes);

        /// How many password hashes run at once; unset, as many as there are cores.
        parallel: Option<usize> = "ARGON2_PARALLEL", "", optional(argon2::parallel);
    }

    /// Waiting mail
    outbox: Outbox {
        /// With so many letters waiting to be sent, announcements aside, asking for another answers 503 to everybody.
        queue_max: u64 = "MAIL_QUEUE_MAX", "100000", count;
    }

    /// What browsers are told
    hsts: Hsts {
        /// Whether browsers shall insist on https for every host below that of `PUBLIC_URL`, too: `true` or `false`.
        include_subdomains: bool = "HSTS_INCLUDE_SUBDOMAINS", "false", yes_or_no;
    }

    /// Whom to tell of a security hole
    security: Security {
        /// `mailto:`, `https:` or `tel:` URIs between commas: what `/.well-known/security.txt` says; unset, there is none.
        contact: Vec<String> = "SECURITY_CONTACT", "", list_of(security::contact);

        /// The last day (`2027-06-30`, at most a year from now) on which that is right: what it says, too.
        expires: Option<Timestamp> = "SECURITY_CONTACT_EXPIRES", "", optional(security::last_day);
        check rules::a_contact_says_until_when(&contact, expires);
    }

    /// In front of other apps
    gateway: Gateway {
        /// Hosts between commas (`wiki.example.org,*.apps.example.org`, with a port if it is not 443) of apps that this site
        /// is a sign-in for, to which visitors may be sent back; unset, none. See docs/gateway.md.
        return_hosts: ReturnHosts = "RETURN_HOSTS", "", ReturnHosts::parse;

        /// The domain that the site and these apps have in common (`example.org`): all hosts below it get a cookie by which a
        /// proxy in front of them may ask who their visitors are, and which is good for nothing else; unset, none does.
        cookie_domain: Option<DomainName> = "COOKIE_DOMAIN", "", optional(network::cookie_domain);
        check rules::a_shared_cookie_reaches_the_site(&server, &cookie_domain);

        /// A file of rules (TOML) that say who may pass to which app, and with what; unset, whoever is signed in. It is read
        /// again at SIGHUP. See docs/gateway.md.
        gate: Option<GateFile> = "GATE_FILE", "", optional(GateFile::parse);
    }

    /// Metrics
    metrics: Metrics {
        /// Where Prometheus finds `/metrics`, and nothing else: an address that visitors do not reach; unset, nowhere.
        address: Option<SocketAddr> = "METRICS_ADDRESS", "", optional(network::socket_address);
        check rules::metrics_have_an_address_of_their_own(&server, address);
    }

    /// The log
    log: Log {
        /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, also by module (`warn,doorpost=debug`).
        levels: Targets = "RUST_LOG", "info", log::levels;

        /// `text` or `json`
        format: LogFormat = "LOG_FORMAT", "text", LogFormat::parse;
    }
}

/// The settings of the folder in which it is started.
const DOT_ENV: &str = ".env";

impl Config {
    /// Reads the environment of the process, and `./.env` for what is not set there.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the environment"
    )]
    pub fn load() -> Result<Self, Refusal> {
        let dot_env = dot_env::read(Path::new(DOT_ENV))?;
        Self::from_environment(std::env::vars_os().chain(dot_env))
    }

    /// The file that [`load`](Self::load) reads, and whether it is there: one that stands in another folder counts for
    /// nothing.
    pub fn file() -> (PathBuf, bool) {
        let file = dot_env::in_full(Path::new(DOT_ENV));
        let is_there = file.exists();
        (file, is_there)
    }

    /// Whoever started this process and wants to hear from it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the environment"
    )]
    pub fn service_manager() -> Option<ServiceManager> {
        ServiceManager::among(std::env::vars_os())
    }

    /// Reads these variables and no others; of one that comes twice, the first counts.
    pub fn from_environment<N: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, Refusal> {
        let variables = variables.into_iter();
        Self::read(&mut Reader::new(
            variables.map(|(name, value)| (name.into(), value.into())),
        ))
    }

    /// Where the key is kept that is made when none is set.
    pub fn secret_key_file(&self) -> &'static Path {
        Path::new("data/secret_key")
    }

    /// Whether mail is shown in the browser instead of being sent: on loopback, with no server to send it.
    pub fn has_dev_inbox(&self) -> bool {
        self.server.public_url.is_loopback() && self.mail.smtp.is_none()
    }
}
