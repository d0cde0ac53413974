//! The only reader of the environment: parse, explain, refuse.
//!
//! Every variable is read once, at start, and is a value of its own type from then on. A configuration
//! that is unsafe or does not parse never starts: the first variable that is wrong, in the order of
//! [`Config`], is named in one line with what to write instead. No value is ever printed.
//! `.env.example` explains each variable; a test keeps it in step with this file.

mod amounts;
mod argon2;
mod database_url;
mod public_url;
mod reader;
mod secret_key;
mod sign_up;
mod smtp_url;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use lettre::message::Mailbox;
use tracing_subscriber::EnvFilter;

pub use amounts::Rate;
pub use database_url::DatabaseUrl;
pub use public_url::PublicUrl;
pub use reader::{Mistake, Refusal};
pub use secret_key::SecretKey;
pub use sign_up::{DomainPattern, SignUp};
pub use smtp_url::{SmtpSecurity, SmtpUrl};

use amounts::{duration, rate, whole_number};
use public_url::is_this_machine;
use reader::{Parsed, Reader, bytes_in, comma_list};

/// Everything that an operator may choose. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// `BIND_ADDRESS`: where to listen.
    pub bind_address: SocketAddr,
    /// `PUBLIC_URL`: the origin that visitors see.
    pub public_url: PublicUrl,
    /// `DATABASE_URL`
    pub database_url: DatabaseUrl,
    /// `SECRET_KEY`; `None` is a key made once and kept in a file, on loopback only.
    pub secret_key: Option<SecretKey>,
    /// `SECRET_KEYS_OLD`: still open and verify, never seal or sign.
    pub secret_keys_old: Vec<SecretKey>,
    /// `SMTP_URL`; `None` keeps mail for the development inbox, on loopback only.
    pub smtp: Option<SmtpUrl>,
    /// `SMTP_CA_FILE`: certificates (PEM) to trust besides the system's, when talking to the mail server.
    pub smtp_ca_file: Option<PathBuf>,
    /// `MAIL_FROM`: the sender of every letter.
    pub mail_from: Mailbox,
    /// `SIGN_UP`: who may make an account.
    pub sign_up: SignUp,
    /// `TRUSTED_PROXIES`: who is believed about where a visitor comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// `REAUTHENTICATION_WINDOW`: how long a password entry counts for what is sensitive.
    pub reauthentication_window: Duration,
    /// `API_ORIGINS`: other sites whose pages may call the API.
    pub api_origins: Vec<String>,
    /// `SESSION_IDLE`: how long a session lives unused; at most `session_lifetime`.
    pub session_idle: Duration,
    /// `SESSION_LIFETIME`: how long it lives at all.
    pub session_lifetime: Duration,
    /// `LINK_LIFETIME_SIGN_IN`
    pub link_lifetime_sign_in: Duration,
    /// `LINK_LIFETIME_CONFIRM_EMAIL`
    pub link_lifetime_confirm_email: Duration,
    /// `LINK_LIFETIME_RESET_PASSWORD`
    pub link_lifetime_reset_password: Duration,
    /// `LINK_LIFETIME_CHANGE_EMAIL`
    pub link_lifetime_change_email: Duration,
    /// `LINK_LIFETIME_UNDO_CHANGE_EMAIL`
    pub link_lifetime_undo_change_email: Duration,
    /// `LINK_LIFETIME_NOTIFICATION`: how long a link in ordinary mail knows its reader.
    pub link_lifetime_notification: Duration,
    /// `LIMIT_MAIL_GAP`: asking again sooner is no error and sends nothing. `None` is no limit, here and below.
    pub limit_mail_gap: Option<Rate>,
    /// `LIMIT_MAIL_PER_ADDRESS`
    pub limit_mail_per_address: Option<Rate>,
    /// `LIMIT_MAIL_PER_ADDRESS_DAILY`
    pub limit_mail_per_address_daily: Option<Rate>,
    /// `LIMIT_MAIL_PER_NETWORK`
    pub limit_mail_per_network: Option<Rate>,
    /// `LIMIT_PASSWORD_PER_ACCOUNT`: wrong ones, whoever tries them.
    pub limit_password_per_account: Option<Rate>,
    /// `LIMIT_PASSWORD_PER_NETWORK`: tries, whatever the account.
    pub limit_password_per_network: Option<Rate>,
    /// `LIMIT_TOKEN_PER_NETWORK`: wrong tokens, addresses and codes.
    pub limit_token_per_network: Option<Rate>,
    /// `ARGON2_MEMORY_KIB`: the memory of one hash.
    pub argon2_memory_kib: u32,
    /// `ARGON2_PASSES`: how often a hash goes over it.
    pub argon2_passes: u32,
    /// `ARGON2_PARALLEL`: how many hashes run at once; `None` is as many as there are cores.
    pub argon2_parallel: Option<usize>,
    /// `MAIL_QUEUE_MAX`: with so many letters waiting, announcements aside, nobody may ask for another.
    pub mail_queue_max: u64,
    /// `HSTS_INCLUDE_SUBDOMAINS`: whether browsers shall insist on TLS for all hosts below ours, too.
    pub hsts_include_subdomains: bool,
    /// `RUST_LOG`: directives that [`EnvFilter`] takes.
    pub rust_log: String,
    /// `LOG_FORMAT`
    pub log_format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl Config {
    /// Reads the environment of the process, and `./.env` for what is not set there.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the environment"
    )]
    pub fn load() -> Result<Self, Refusal> {
        let dot_env = dot_env(Path::new(".env"))?;
        Self::from_environment(std::env::vars_os().chain(dot_env))
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
        self.public_url.is_loopback() && self.smtp.is_none()
    }

    /// One line a variable, in the order in which they are refused. A rule between two stands where the
    /// first of them can be judged.
    fn read(env: &mut Reader) -> Result<Self, Refusal> {
        let bind_address = env.value("BIND_ADDRESS", "127.0.0.1:8080", socket_address)?;
        let public_url = env.value("PUBLIC_URL", "http://localhost:8080", PublicUrl::parse)?;
        let public = !public_url.is_loopback();
        refuse_if(
            !public && !bind_address.ip().to_canonical().is_loopback(),
            "BIND_ADDRESS",
            "can be reached from other machines, and PUBLIC_URL cannot",
            "127.0.0.1 and a port, or set PUBLIC_URL to the https address of the site",
        )?;
        let database_url = env.value(
            "DATABASE_URL",
            "sqlite:data/doorpost.db",
            DatabaseUrl::parse,
        )?;
        let secret_key = env.optional("SECRET_KEY", secret_key::chosen)?;
        refuse_if(
            public && secret_key.is_none(),
            "SECRET_KEY",
            "is not set, and PUBLIC_URL is not loopback",
            secret_key::HOW_TO_MAKE_ONE,
        )?;
        let secret_keys_old = env.value("SECRET_KEYS_OLD", "", |list| {
            comma_list(list, secret_key::chosen)
        })?;
        let smtp = env.optional("SMTP_URL", SmtpUrl::parse)?;
        refuse_if(
            public && smtp.is_none(),
            "SMTP_URL",
            "is not set, and PUBLIC_URL is not loopback",
            smtp_url::FORMS,
        )?;
        let smtp_ca_file = env.optional("SMTP_CA_FILE", certificates)?;
        let mail_from = env.value("MAIL_FROM", "Doorpost <doorpost@localhost>", mailbox)?;
        refuse_if(
            public && is_this_machine(&mail_from.email.domain().to_ascii_lowercase()),
            "MAIL_FROM",
            "is not set to an address that others can see, and PUBLIC_URL is not loopback",
            "the sender of your mail, such as Doorpost <doorpost@example.org>",
        )?;
        let sign_up = env.value("SIGN_UP", "open", SignUp::parse)?;
        let trusted_proxies = env.value("TRUSTED_PROXIES", "", networks)?;
        let reauthentication_window = env.value("REAUTHENTICATION_WINDOW", "10m", duration)?;
        let api_origins = env.value("API_ORIGINS", "", |list| comma_list(list, api_origin))?;
        let session_idle = env.value("SESSION_IDLE", "7d", duration)?;
        let session_lifetime = env.value("SESSION_LIFETIME", "30d", duration)?;
        refuse_if(
            session_idle > session_lifetime,
            "SESSION_IDLE",
            "is longer than SESSION_LIFETIME",
            "a shorter duration, or set a longer SESSION_LIFETIME",
        )?;
        let link_lifetime_sign_in = env.value("LINK_LIFETIME_SIGN_IN", "10m", duration)?;
        let link_lifetime_confirm_email =
            env.value("LINK_LIFETIME_CONFIRM_EMAIL", "24h", duration)?;
        let link_lifetime_reset_password =
            env.value("LINK_LIFETIME_RESET_PASSWORD", "30m", duration)?;
        let link_lifetime_change_email = env.value("LINK_LIFETIME_CHANGE_EMAIL", "1h", duration)?;
        let link_lifetime_undo_change_email =
            env.value("LINK_LIFETIME_UNDO_CHANGE_EMAIL", "7d", duration)?;
        let link_lifetime_notification =
            env.value("LINK_LIFETIME_NOTIFICATION", "14d", duration)?;
        let limit_mail_gap = env.value("LIMIT_MAIL_GAP", "1/60s", rate)?;
        let limit_mail_per_address = env.value("LIMIT_MAIL_PER_ADDRESS", "5/15m", rate)?;
        let limit_mail_per_address_daily =
            env.value("LIMIT_MAIL_PER_ADDRESS_DAILY", "10/1d", rate)?;
        let limit_mail_per_network = env.value("LIMIT_MAIL_PER_NETWORK", "20/1m", rate)?;
        let limit_password_per_account = env.value("LIMIT_PASSWORD_PER_ACCOUNT", "5/15m", rate)?;
        let limit_password_per_network = env.value("LIMIT_PASSWORD_PER_NETWORK", "20/1m", rate)?;
        let limit_token_per_network = env.value("LIMIT_TOKEN_PER_NETWORK", "30/1m", rate)?;
        let argon2_memory_kib = env.value("ARGON2_MEMORY_KIB", "19456", argon2::memory_kib)?;
        let argon2_passes = env.value("ARGON2_PASSES", "2", argon2::passes)?;
        refuse_if(
            public && argon2::is_weak(argon2_memory_kib, argon2_passes),
            "ARGON2_MEMORY_KIB",
            "is, with ARGON2_PASSES, too little for passwords, and PUBLIC_URL is not loopback",
            "19456 with ARGON2_PASSES=2, or more",
        )?;
        let argon2_parallel = env.optional("ARGON2_PARALLEL", argon2::parallel)?;
        let mail_queue_max = env.value("MAIL_QUEUE_MAX", "100000", count)?;
        let hsts_include_subdomains = env.value("HSTS_INCLUDE_SUBDOMAINS", "false", yes_or_no)?;
        let rust_log = env.value("RUST_LOG", "info", log_directives)?;
        let log_format = env.value("LOG_FORMAT", "text", log_format)?;
        env.refuse_strangers()?;
        Ok(Self {
            bind_address,
            public_url,
            database_url,
            secret_key,
            secret_keys_old,
            smtp,
            smtp_ca_file,
            mail_from,
            sign_up,
            trusted_proxies,
            reauthentication_window,
            api_origins,
            session_idle,
            session_lifetime,
            link_lifetime_sign_in,
            link_lifetime_confirm_email,
            link_lifetime_reset_password,
            link_lifetime_change_email,
            link_lifetime_undo_change_email,
            link_lifetime_notification,
            limit_mail_gap,
            limit_mail_per_address,
            limit_mail_per_address_daily,
            limit_mail_per_network,
            limit_password_per_account,
            limit_password_per_network,
            limit_token_per_network,
            argon2_memory_kib,
            argon2_passes,
            argon2_parallel,
            mail_queue_max,
            hsts_include_subdomains,
            rust_log,
            log_format,
        })
    }
}

/// What stands in the file at `path`; nothing, if there is none. The file is named, never searched for: a
/// `.env` in a parent folder belongs to somebody else.
fn dot_env(path: &Path) -> Result<Vec<(OsString, OsString)>, Refusal> {
    let wrong = |wrong: &str| {
        Mistake::new(
            wrong,
            "NAME=value lines, as in .env.example, into a file that this user may read",
        )
        .in_variable(".env")
    };
    let entries = match dotenvy::from_path_iter(path) {
        Ok(entries) => entries,
        Err(error) if error.not_found() => return Ok(Vec::new()),
        Err(_) => return Err(wrong("cannot be read")),
    };
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    for entry in entries {
        // dotenvy's own message would repeat the line, which may hold a secret.
        let (name, value) = entry.map_err(|_| match variables.last() {
            None => wrong("has a mistake in its first entry"),
            Some((last, _)) => wrong(&format!("has a mistake after {}", last.display())),
        })?;
        variables.push((name.into(), value.into()));
    }
    Ok(variables)
}

fn refuse_if(is_unsafe: bool, variable: &str, wrong: &str, instead: &str) -> Result<(), Refusal> {
    if is_unsafe {
        return Err(Mistake::new(wrong, instead).in_variable(variable));
    }
    Ok(())
}

fn socket_address(text: &str) -> Parsed<SocketAddr> {
    let form = "an IP address and a port: 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080";
    text.parse()
        .map_err(|_| Mistake::new("is not an IP address with a port", form))
}

fn certificates(text: &str) -> Parsed<PathBuf> {
    let marker = b"-----BEGIN CERTIFICATE-----";
    if !bytes_in(text.as_ref())?
        .windows(marker.len())
        .any(|bytes| bytes == marker)
    {
        return Err(Mistake::new(
            "names a file without a certificate",
            "the path of a file with certificates in PEM form",
        ));
    }
    Ok(PathBuf::from(text))
}

/// ASCII only in the address: otherwise every letter would need a mail server with SMTPUTF8.
fn mailbox(text: &str) -> Parsed<Mailbox> {
    text.parse()
        .ok()
        .filter(|mailbox: &Mailbox| mailbox.email.to_string().is_ascii())
        .ok_or_else(|| {
            Mistake::new(
                "is not a sender",
                "a name and an address: Doorpost <doorpost@example.org>",
            )
        })
}

fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    let networks = comma_list(text, network)?;
    // Whoever may be anybody may claim to come from anywhere, and no limit per network would hold.
    if IpNet::aggregate(&networks)
        .iter()
        .any(|network| network.prefix_len() == 0)
    {
        return Err(Mistake::new(
            "trusts the whole Internet",
            "the networks of your proxies alone",
        ));
    }
    Ok(networks)
}

/// A network, or a single address.
fn network(text: &str) -> Parsed<IpNet> {
    let form = "networks between commas, such as 10.0.0.0/8,192.0.2.7,2001:db8::/32";
    let network = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match network {
        Ok(IpNet::V6(network)) if network.addr().to_ipv4_mapped().is_some() => {
            Err(Mistake::new("has an IPv4 network in IPv6 form", form))
        }
        Ok(network) => Ok(network.trunc()),
        Err(_) => Err(Mistake::new("is not a list of networks", form)),
    }
}

/// An origin as browsers send it.
fn api_origin(text: &str) -> Parsed<String> {
    Ok(PublicUrl::parse(text)?.as_str().to_owned())
}

fn count(text: &str) -> Parsed<u64> {
    whole_number(text)
        .filter(|count| *count <= 1_000_000_000)
        .ok_or_else(|| {
            Mistake::new(
                "is not a number up to 1000000000",
                "a whole number, such as 100000",
            )
        })
}

fn yes_or_no(text: &str) -> Parsed<bool> {
    text.parse()
        .map_err(|_| Mistake::new("is neither of its two values", "true or false"))
}

fn log_directives(text: &str) -> Parsed<String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Mistake::new(
            "is not a list of log levels",
            "info, or such as warn,doorpost=debug",
        )),
    }
}

fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Mistake::new("is neither of its two values", "text or json")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use std::fs;
    use std::os::unix::ffi::OsStringExt;
    use std::sync::LazyLock;

    /// Bytes without a pattern, in base64.
    static KEY: LazyLock<String> = LazyLock::new(|| {
        let bytes = std::array::from_fn(|i| ((i * i * 37 + i * 101) % 251) as u8);
        BASE64.encode::<[u8; 64]>(bytes)
    });
    const RELAY: &str = "smtps://user:hunter2@mail.example.org";

    /// A site on the Internet, as small as it may be, and `more`.
    fn public<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut variables = more.to_vec();
        variables.extend([
            ("PUBLIC_URL", "https://example.org"),
            ("SECRET_KEY", &KEY),
            ("SMTP_URL", RELAY),
            ("MAIL_FROM", "Doorpost <doorpost@example.org>"),
        ]);
        variables
    }

    fn accepted(variables: &[(&str, &str)]) -> Config {
        Config::from_environment(variables.iter().copied()).expect("a configuration")
    }

    fn refused(variables: &[(&str, &str)]) -> Refusal {
        Config::from_environment(variables.iter().copied()).expect_err("a refusal")
    }

    #[test]
    fn nothing_set_is_a_site_on_this_machine() {
        let config = accepted(&[]);
        assert_eq!(config.bind_address.to_string(), "127.0.0.1:8080");
        assert_eq!(config.public_url.as_str(), "http://localhost:8080");
        assert_eq!(
            config.database_url,
            DatabaseUrl::Sqlite("data/doorpost.db".into())
        );
        assert!(config.secret_key.is_none() && config.secret_keys_old.is_empty());
        assert!(config.smtp.is_none() && config.smtp_ca_file.is_none());
        assert!(config.has_dev_inbox());
        assert_eq!(
            config.mail_from.to_string(),
            "Doorpost <doorpost@localhost>"
        );
        assert_eq!(config.sign_up, SignUp::Open);
        assert!(config.trusted_proxies.is_empty());
        assert_eq!(config.session_idle, Duration::from_secs(7 * 86_400));
        assert_eq!(config.link_lifetime_sign_in, Duration::from_secs(600));
        let gap = Rate {
            count: 1,
            per: Duration::from_secs(60),
        };
        assert_eq!(config.limit_mail_gap, Some(gap));
        assert_eq!(config.mail_queue_max, 100_000);
        assert!(!config.hsts_include_subdomains);
        assert_eq!(
            (config.rust_log.as_str(), config.log_format),
            ("info", LogFormat::Text)
        );
    }

    #[test]
    fn env_example_lists_every_variable_in_order_with_its_default() {
        let mut reader = Reader::new([]);
        Config::read(&mut reader).expect("the defaults");
        let example: Vec<(String, String)> =
            dotenvy::from_read_iter(include_str!("../.env.example").as_bytes())
                .collect::<Result<_, _>>()
                .expect("a well-formed file");
        let example: Vec<(&str, &str)> = example
            .iter()
            .map(|(name, default)| (&**name, &**default))
            .collect();
        assert_eq!(example, reader.known);

        let as_it_is = format!("{:?}", accepted(&[]));
        assert_eq!(format!("{:?}", accepted(&example)), as_it_is);
    }

    #[test]
    fn the_fields_of_config_are_the_variables_in_order() {
        let mut reader = Reader::new([]);
        let config = format!("{:#?}", Config::read(&mut reader).expect("the defaults"));
        let fields: Vec<String> = config
            .lines()
            .filter_map(|line| line.strip_prefix("    ")?.split_once(':'))
            .filter(|(field, _)| !field.starts_with(' '))
            .map(|(field, _)| match field {
                "smtp" => "SMTP_URL".to_owned(),
                field => field.to_uppercase(),
            })
            .collect();
        let known: Vec<&str> = reader.known.iter().map(|(name, _)| *name).collect();
        assert_eq!(fields, known);
    }

    #[test]
    fn a_public_site_needs_tls_a_key_a_mail_server_and_a_sender() {
        let config = accepted(&public(&[("BIND_ADDRESS", "0.0.0.0:8080")]));
        assert!(config.secret_key.is_some() && config.smtp.is_some());
        assert!(!config.has_dev_inbox());
        for (variable, unset) in [
            ("PUBLIC_URL", "http://example.org"),
            ("SECRET_KEY", ""),
            ("SMTP_URL", ""),
            ("MAIL_FROM", ""),
            ("MAIL_FROM", "Doorpost <doorpost@localhost>"),
        ] {
            let refusal = refused(&public(&[(variable, unset)]));
            assert_eq!(refusal.variable, variable, "{refusal}");
        }
    }

    #[test]
    fn a_public_site_hashes_passwords_as_owasp_says() {
        for (memory, passes) in [
            ("17000", "2"),
            ("19456", "1"),
            ("7167", "9"),
            ("1024", "99"),
        ] {
            let cost = [("ARGON2_MEMORY_KIB", memory), ("ARGON2_PASSES", passes)];
            assert_eq!(refused(&public(&cost)).variable, "ARGON2_MEMORY_KIB");
            accepted(&cost);
        }
        for (memory, passes) in [("19456", "2"), ("47104", "1"), ("7168", "5")] {
            accepted(&public(&[
                ("ARGON2_MEMORY_KIB", memory),
                ("ARGON2_PASSES", passes),
            ]));
        }
    }

    #[test]
    fn a_site_on_this_machine_listens_on_this_machine() {
        for open in [
            "0.0.0.0:8080",
            "192.0.2.1:80",
            "[::]:8080",
            "[::ffff:0.0.0.0]:80",
        ] {
            assert_eq!(refused(&[("BIND_ADDRESS", open)]).variable, "BIND_ADDRESS");
        }
        for closed in [
            "127.0.0.1:0",
            "127.8.8.8:80",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:80",
        ] {
            accepted(&[("BIND_ADDRESS", closed)]);
        }
    }

    #[test]
    fn every_value_that_does_not_parse_is_refused_by_name() {
        for (variable, wrong) in [
            ("BIND_ADDRESS", "localhost:8080"),
            ("BIND_ADDRESS", "127.0.0.1"),
            ("PUBLIC_URL", "https://example.org/app"),
            ("DATABASE_URL", "mysql://user:hunter2@host/db"),
            ("SECRET_KEY", "hunter2"),
            ("SECRET_KEYS_OLD", "hunter2,hunter2"),
            ("SMTP_URL", "smtp://user:hunter2@mail.example.org"),
            ("SMTP_CA_FILE", "/no/such/file"),
            ("SMTP_CA_FILE", "/dev/null"),
            ("SMTP_CA_FILE", "/dev/zero"),
            ("MAIL_FROM", "Doorpost"),
            ("MAIL_FROM", "Doorpost <doorpost@bücher.example>"),
            (
                "MAIL_FROM",
                "Doorpost\r\nBcc: x@example.org <doorpost@example.org>",
            ),
            ("SIGN_UP", "closed"),
            ("TRUSTED_PROXIES", "proxy.example.org"),
            ("TRUSTED_PROXIES", "*"),
            ("TRUSTED_PROXIES", "0.0.0.0/0"),
            ("TRUSTED_PROXIES", "10.0.0.0/8,::/0"),
            ("TRUSTED_PROXIES", "0.0.0.0/1, 128.0.0.0/1"),
            ("TRUSTED_PROXIES", "::ffff:0:0/96"),
            ("TRUSTED_PROXIES", "10.0.0.0/33"),
            ("TRUSTED_PROXIES", "10.0.0.0/8,"),
            ("REAUTHENTICATION_WINDOW", "ten minutes"),
            ("SESSION_IDLE", "31d"),
            ("SESSION_LIFETIME", "0s"),
            ("LINK_LIFETIME_SIGN_IN", "10"),
            ("LINK_LIFETIME_RESET_PASSWORD", "30"),
            ("LINK_LIFETIME_CHANGE_EMAIL", "1 h"),
            ("LINK_LIFETIME_UNDO_CHANGE_EMAIL", "0d"),
            ("LINK_LIFETIME_CONFIRM_EMAIL", "99999999999999999999d"),
            ("LIMIT_MAIL_GAP", "60s"),
            ("LIMIT_MAIL_PER_ADDRESS", "0/15m"),
            ("LIMIT_MAIL_PER_ADDRESS_DAILY", "ten/1d"),
            ("LIMIT_MAIL_PER_NETWORK", "20/m"),
            ("LIMIT_PASSWORD_PER_ACCOUNT", "5"),
            ("LIMIT_PASSWORD_PER_NETWORK", "/1m"),
            ("LIMIT_TOKEN_PER_NETWORK", "none"),
            ("ARGON2_MEMORY_KIB", "7"),
            ("ARGON2_MEMORY_KIB", "19MiB"),
            ("ARGON2_MEMORY_KIB", "4294967296"),
            ("ARGON2_PASSES", "0"),
            ("ARGON2_PARALLEL", "0"),
            ("ARGON2_PARALLEL", "all"),
            ("MAIL_QUEUE_MAX", "many"),
            ("MAIL_QUEUE_MAX", "-1"),
            ("MAIL_QUEUE_MAX", "18446744073709551616"),
            ("HSTS_INCLUDE_SUBDOMAINS", "1"),
            ("RUST_LOG", "doorpost=loud"),
            ("LOG_FORMAT", "xml"),
        ] {
            let refusal = refused(&[(variable, wrong)]);
            assert_eq!(refusal.variable, variable, "{wrong}");
            let line = refusal.to_string();
            assert!(
                line.starts_with(&format!("doorpost: {variable}: ")),
                "{line}"
            );
            assert!(line.contains("; write ") && !line.contains('\n'), "{line}");
            assert!(!line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn the_first_in_order_is_named() {
        let mut wrong: Vec<(&str, &str)> = vec![
            ("LIMIT_NOTHING", "1"),
            ("LOG_FORMAT", "xml"),
            ("SESSION_IDLE", "31d"),
            ("SMTP_URL", "x"),
            ("SECRET_KEY", "x"),
            ("DATABASE_URL", "x"),
            ("BIND_ADDRESS", "0.0.0.0:8080"),
        ];
        while let Some((last, _)) = wrong.last() {
            assert_eq!(refused(&wrong).variable, *last);
            wrong.pop();
        }
    }

    #[test]
    fn proxies_are_networks_or_addresses() {
        let config = accepted(&[("TRUSTED_PROXIES", "10.1.2.3/8, 192.0.2.7,2001:db8::/32")]);
        let shown: Vec<String> = config
            .trusted_proxies
            .iter()
            .map(IpNet::to_string)
            .collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
    }

    #[test]
    fn log_directives_are_those_of_the_filter() {
        for directives in [
            "info",
            "warn,doorpost=debug",
            "off",
            "doorpost::mail[send{to}]=trace",
        ] {
            assert_eq!(accepted(&[("RUST_LOG", directives)]).rust_log, directives);
        }
    }

    #[test]
    fn unknown_variables_that_look_like_ours_are_refused() {
        for (stranger, meant) in [
            ("LIMIT_MAIL_PER_ADRESS", Some("LIMIT_MAIL_PER_ADDRESS")),
            ("LINK_LIFETIME_SIGNIN", Some("LINK_LIFETIME_SIGN_IN")),
            ("SMTP_URI_FILE", Some("SMTP_URL")),
            ("SMTP_PASSWORD", None),
            ("SESSION_MANAGER", None),
            ("ARGON2_COST", None),
        ] {
            let refusal = refused(&[(stranger, "hunter2")]);
            assert_eq!(refusal.variable, stranger);
            assert!(
                refusal.instead.contains(&format!("`env -u {stranger}`")),
                "{refusal}"
            );
            assert_eq!(
                meant.is_some_and(|meant| refusal.instead.starts_with(meant)),
                meant.is_some()
            );
            assert!(!refusal.to_string().contains("hunter2"));
        }
        accepted(&[
            ("PATH", "/bin"),
            ("LIMITS", "1"),
            ("MAIL_FORM", "x"),
            ("SESSION_MANAGER", ""),
        ]);
    }

    #[test]
    fn an_empty_value_is_not_set_and_the_first_of_two_counts() {
        let config = accepted(&[
            ("LOG_FORMAT", ""),
            ("SIGN_UP", "invited"),
            ("SIGN_UP", "open"),
        ]);
        assert_eq!(
            (config.log_format, config.sign_up),
            (LogFormat::Text, SignUp::Invited)
        );
        assert_eq!(
            accepted(&[("LOG_FORMAT", ""), ("LOG_FORMAT", "json")]).log_format,
            LogFormat::Text
        );
    }

    #[test]
    fn a_value_that_is_not_utf8_is_refused_by_name() {
        let value = OsString::from_vec(vec![b'i', 0xff]);
        let refusal = Config::from_environment([("RUST_LOG", value)]).expect_err("a refusal");
        assert_eq!(
            (refusal.variable.as_str(), refusal.wrong.as_str()),
            ("RUST_LOG", "is not UTF-8")
        );
    }

    /// A file that is there as long as this value is.
    struct Scratch(PathBuf);

    impl Scratch {
        fn holding(name: &str, content: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("doorpost-{}-{name}", std::process::id()));
            fs::write(&path, content).expect("a file");
            Self(path)
        }

        fn path(&self) -> &str {
            self.0.to_str().expect("a path in UTF-8")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn every_variable_can_come_from_a_file() {
        let key = Scratch::holding("key", format!("{}\n", *KEY).as_bytes());
        let format = Scratch::holding("format", b"json\r\n");
        let config = accepted(&[
            ("SECRET_KEY_FILE", key.path()),
            ("LOG_FORMAT_FILE", format.path()),
        ]);
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(
            config
                .secret_key
                .map(|key| BASE64.encode(key.as_bytes()))
                .as_ref(),
            Some(&*KEY)
        );

        let mut reader = Reader::new([]);
        Config::read(&mut reader).expect("the defaults");
        for (name, _) in reader.known {
            let twin = format!("{name}_FILE");
            let refusal = refused(&[(&twin, "/no/such/file")]);
            assert_eq!(refusal.variable, twin);
        }
    }

    #[test]
    fn a_file_that_does_not_serve_is_refused() {
        for (name, content) in [
            ("empty", &b""[..]),
            ("blank", b"\n"),
            ("lines", b"text\njson\n"),
            ("more", b"text\n\n"),
            ("bytes", b"\xff"),
            ("large", &[b'x'; 1_048_577]),
        ] {
            let file = Scratch::holding(name, content);
            let refusal = refused(&[("LOG_FORMAT_FILE", file.path())]);
            assert_eq!(refusal.variable, "LOG_FORMAT_FILE", "{name}");
        }
        for (name, path) in [("LOG_FORMAT_FILE", "/"), ("LOG_FORMAT_FILE", "/dev/zero")] {
            assert_eq!(refused(&[(name, path)]).variable, name);
        }
        let both = [
            ("SECRET_KEY", KEY.as_str()),
            ("SECRET_KEY_FILE", "/no/such/file"),
        ];
        assert_eq!(refused(&both).variable, "SECRET_KEY");
    }

    #[test]
    fn a_certificate_file_is_looked_into() {
        let pem = Scratch::holding("pem", b"-----BEGIN CERTIFICATE-----\n");
        let config = accepted(&[("SMTP_CA_FILE", pem.path())]);
        assert_eq!(config.smtp_ca_file.as_deref(), Some(pem.0.as_path()));

        let twin = Scratch::holding("pem-path", pem.path().as_bytes());
        let config = accepted(&[("SMTP_CA_FILE_FILE", twin.path())]);
        assert_eq!(config.smtp_ca_file.as_deref(), Some(pem.0.as_path()));
    }

    #[test]
    fn dot_env_may_be_missing_but_not_malformed() {
        assert_eq!(dot_env(Path::new("/no/such/.env")), Ok(Vec::new()));
        assert!(dot_env(Path::new("/")).is_err());

        let good = Scratch::holding(
            "good.env",
            b"# ours\nLOG_FORMAT=json\nMAIL_FROM=\"A <a@b.example>\"\n",
        );
        let variables = dot_env(&good.0).expect("variables");
        let from_process = [(OsString::from("LOG_FORMAT"), OsString::from("text"))];
        let config =
            Config::from_environment(from_process.into_iter().chain(variables)).expect("both");
        assert_eq!(config.log_format, LogFormat::Text);
        assert_eq!(config.mail_from.to_string(), "A <a@b.example>");

        let bad = Scratch::holding("bad.env", b"LOG_FORMAT=json\nSECRET_KEY='hunter2\n");
        let refusal = dot_env(&bad.0).expect_err("a refusal");
        assert_eq!(
            (refusal.variable.as_str(), refusal.wrong.as_str()),
            (".env", "has a mistake after LOG_FORMAT")
        );
        let bad = Scratch::holding("bytes.env", b"LOG_FORMAT=\xff\n");
        assert!(dot_env(&bad.0).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!(
            "{:?}",
            accepted(&public(&[
                ("SECRET_KEYS_OLD", &KEY),
                ("DATABASE_URL", "postgres://user:hunter2@host/db"),
            ]))
        );
        assert!(!shown.contains("hunter2") && !shown.contains(&KEY[..12]));
    }
}
