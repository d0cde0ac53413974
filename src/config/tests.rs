//! What is accepted, what is refused, and in which words.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::sync::LazyLock;

use tracing::Level;

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
    assert_eq!(config.server.bind_address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.public_url.as_str(), "http://localhost:8080");
    assert_eq!(
        config.database.url,
        DatabaseUrl::Sqlite("data/doorpost.db".into())
    );
    assert!(config.keys.secret_key.is_none() && config.keys.secret_keys_old.is_empty());
    assert!(config.mail.smtp.is_none() && config.mail.smtp_ca_file.is_none());
    assert!(config.has_dev_inbox());
    assert_eq!(
        config.mail.from.to_string(),
        "Doorpost <doorpost@localhost>"
    );
    assert_eq!(config.accounts.sign_up, SignUp::Open);
    assert!(config.proxies.trusted.is_empty());
    assert_eq!(config.sessions.idle, Duration::from_secs(7 * 86_400));
    assert_eq!(config.links.sign_in, Duration::from_secs(600));
    let gap = Rate {
        count: 1,
        per: Duration::from_secs(60),
    };
    assert_eq!(config.limits.mail_gap, Some(gap));
    assert_eq!(config.outbox.queue_max, 100_000);
    assert!(!config.hsts.include_subdomains);
    assert_eq!(
        (config.log.levels.to_string().as_str(), config.log.format),
        ("info", LogFormat::Text)
    );
}

#[test]
fn env_example_lists_every_variable_in_order_with_its_default() {
    let mut reader = Reader::new([]);
    Config::read(&mut reader).expect("the defaults");
    let example: Vec<(String, String)> =
        dotenvy::from_read_iter(include_str!("../../.env.example").as_bytes())
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
    let fields: Vec<&str> = config
        .lines()
        .filter_map(|line| line.strip_prefix("        ")?.split_once(':'))
        .filter(|(field, _)| !field.starts_with(' '))
        .map(|(field, _)| field)
        .collect();
    assert_eq!(fields.len(), reader.known.len());
    for (field, (variable, _)) in fields.iter().zip(&reader.known) {
        let is_named_after_it = variable.contains(&field.to_uppercase());
        assert!(
            is_named_after_it || (*field, *variable) == ("levels", "RUST_LOG"),
            "{field} holds {variable}"
        );
    }
}

#[test]
fn a_public_site_needs_tls_a_key_a_mail_server_and_a_sender() {
    let config = accepted(&public(&[("BIND_ADDRESS", "0.0.0.0:8080")]));
    assert!(config.keys.secret_key.is_some() && config.mail.smtp.is_some());
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
        ("SESSION_PROOF", "239s"),
        ("SESSION_PROOF", "none"),
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
        ("SECURITY_CONTACT", "security@example.org"),
        ("SECURITY_CONTACT", "mailto:security@example.org"),
        ("SECURITY_CONTACT_EXPIRES", "next year"),
        ("SECURITY_CONTACT_EXPIRES", "2027-06-30"),
        ("GATE_FILE", "/no/such/file"),
        ("GATE_FILE", "/dev/null"),
        ("GATE_FILE", "/dev/zero"),
        ("GATE_FILE", "Cargo.toml"),
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
        .proxies
        .trusted
        .iter()
        .map(IpNet::to_string)
        .collect();
    assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
}

#[test]
fn log_levels_are_for_everything_or_for_a_module() {
    let levels = accepted(&[("RUST_LOG", "warn,doorpost=debug,doorpost::mail=off")])
        .log
        .levels;
    assert!(levels.would_enable("diesel", &Level::WARN));
    assert!(!levels.would_enable("diesel", &Level::INFO));
    assert!(levels.would_enable("doorpost::web", &Level::DEBUG));
    assert!(!levels.would_enable("doorpost::mail", &Level::ERROR));
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
        (config.log.format, config.accounts.sign_up),
        (LogFormat::Text, SignUp::Invited)
    );
    assert_eq!(
        accepted(&[("LOG_FORMAT", ""), ("LOG_FORMAT", "json")])
            .log
            .format,
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
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(
        config
            .keys
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

/// A folder as systemd makes it for the credentials of a service.
struct Credentials(PathBuf);

impl Credentials {
    fn holding(name: &str, credentials: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("doorpost-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("a folder");
        for (name, content) in credentials {
            fs::write(path.join(name), content).expect("a file");
        }
        Self(path)
    }

    /// With these set besides.
    fn and(&self, variables: &[(&str, &str)]) -> Result<Config, Refusal> {
        let folder = self.0.to_str().expect("a path in UTF-8");
        let all = [&[("CREDENTIALS_DIRECTORY", folder)], variables].concat();
        Config::from_environment(all)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_not_set_is_taken_from_the_credential_of_its_name() {
    let all = [
        ("SECRET_KEY", format!("{}\n", *KEY)),
        ("SMTP_URL", RELAY.to_owned()),
        (
            "DATABASE_URL",
            "postgres://user:hunter2@host/db\n".to_owned(),
        ),
        ("of-somebody-else", "hunter2".to_owned()),
    ];
    let all = all
        .each_ref()
        .map(|(name, content)| (*name, content.as_str()));
    let credentials = Credentials::holding("credentials", &all);
    let config = credentials.and(&[]).expect("a configuration");
    assert!(config.keys.secret_key.is_some() && config.mail.smtp.is_some());
    assert!(config.database.url.is_server());
    assert_eq!(config.log.format, LogFormat::Text, "the default");

    // The same credential, said twice, is one source: by its path (`%d` in a unit), or by its name.
    for named in [credentials.path("SECRET_KEY").as_str(), "SECRET_KEY"] {
        let config = credentials
            .and(&[("SECRET_KEY_FILE", named)])
            .expect("one source");
        assert!(config.keys.secret_key.is_some());
    }
}

#[test]
fn a_twin_may_name_a_credential() {
    let credentials = Credentials::holding("named", &[("key-of-the-site", KEY.as_str())]);
    let config = credentials.and(&[("SECRET_KEY_FILE", "key-of-the-site")]);
    assert!(config.expect("a key").keys.secret_key.is_some());
    // What it does not have is looked for in the working folder, as ever.
    let refusal = credentials.and(&[("SECRET_KEY_FILE", "key-of-nobody")]);
    assert!(
        refusal
            .expect_err("no file")
            .wrong
            .contains("cannot be read")
    );
    // One that is in both places is not guessed at. Tests run where Cargo.toml is.
    let both = Credentials::holding("both", &[("Cargo.toml", KEY.as_str())]);
    let refusal = both
        .and(&[("SECRET_KEY_FILE", "Cargo.toml")])
        .expect_err("both");
    assert!(
        refusal.wrong.contains("a credential and a file"),
        "{refusal}"
    );
    let here = both
        .and(&[("SECRET_KEY_FILE", "./Cargo.toml")])
        .expect_err("no key");
    assert!(!here.wrong.contains("credential"), "{here}");
}

#[test]
fn a_variable_has_one_source() {
    let credentials = Credentials::holding("sources", &[("SECRET_KEY", "hunter2")]);
    let key = Scratch::holding("one-of-two", KEY.as_bytes());
    for (variables, variable, words) in [
        (
            &[("SECRET_KEY", KEY.as_str())],
            "SECRET_KEY",
            "a credential of that name",
        ),
        (
            &[("SECRET_KEY_FILE", key.path())],
            "SECRET_KEY_FILE",
            "a credential SECRET_KEY",
        ),
        (&[("SECRET_KEY", "")], "credential SECRET_KEY", ""),
    ] {
        let refusal = credentials.and(variables).expect_err(words);
        assert_eq!(refusal.variable, variable);
        assert!(refusal.wrong.contains(words), "{refusal}");
        assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
    }
    let empty = Credentials::holding("empty-one", &[("SMTP_URL", "")]);
    assert_eq!(
        empty.and(&[]).expect_err("empty").variable,
        "credential SMTP_URL"
    );
}

#[test]
fn metrics_are_not_where_visitors_are() {
    let same = refused(&[("METRICS_ADDRESS", "127.0.0.1:8080")]);
    assert_eq!(same.variable, "METRICS_ADDRESS");
    let free = [
        ("METRICS_ADDRESS", "127.0.0.1:0"),
        ("BIND_ADDRESS", "127.0.0.1:0"),
    ];
    assert!(accepted(&free).metrics.address.is_some());
    assert!(accepted(&[]).metrics.address.is_none());
    assert_eq!(
        refused(&[("METRICS_ADDRESS", "9464")]).variable,
        "METRICS_ADDRESS"
    );
}

#[test]
fn a_certificate_file_is_looked_into() {
    let pem = Scratch::holding("pem", b"-----BEGIN CERTIFICATE-----\n");
    let config = accepted(&[("SMTP_CA_FILE", pem.path())]);
    assert_eq!(config.mail.smtp_ca_file.as_deref(), Some(pem.0.as_path()));

    let twin = Scratch::holding("pem-path", pem.path().as_bytes());
    let config = accepted(&[("SMTP_CA_FILE_FILE", twin.path())]);
    assert_eq!(config.mail.smtp_ca_file.as_deref(), Some(pem.0.as_path()));
}

#[test]
fn dot_env_may_be_missing_but_not_malformed() {
    assert_eq!(dot_env::read(Path::new("/no/such/.env")), Ok(Vec::new()));
    assert!(dot_env::read(Path::new("/")).is_err());

    let good = Scratch::holding(
        "good.env",
        b"# ours\nLOG_FORMAT=json\nMAIL_FROM=\"A <a@b.example>\"\n",
    );
    let variables = dot_env::read(&good.0).expect("variables");
    let from_process = [(OsString::from("LOG_FORMAT"), OsString::from("text"))];
    let config = Config::from_environment(from_process.into_iter().chain(variables)).expect("both");
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.mail.from.to_string(), "A <a@b.example>");

    let bad = Scratch::holding("bytes.env", b"LOG_FORMAT=\xff\n");
    assert!(dot_env::read(&bad.0).is_err());
}

#[test]
fn what_is_wrong_with_a_sender_is_said() {
    for (sender, words) in [
        (
            "Doorpost <doorpost@b\u{fc}cher.example>",
            "beginning with xn--",
        ),
        ("t\u{fc}r@example.org", "before its @"),
        (
            "Example, Inc. <doorpost@example.org>",
            "the name between quotes: \"Example, Inc.\" <",
        ),
        (
            "A.B. (us) <doorpost@example.org>",
            "the name between quotes",
        ),
        ("'Doorpost <doorpost@example.org>'", "it without them"),
        ("\"Doorpost <doorpost@example.org>\"", "it without them"),
        ("Doorpost", "a name and an address"),
        ("Doorpost doorpost@example.org", "a name and an address"),
    ] {
        let refusal = refused(&[("MAIL_FROM", sender)]);
        assert_eq!(refusal.variable, "MAIL_FROM");
        assert!(refusal.to_string().contains(words), "{sender}: {refusal}");
    }
    for sender in [
        "doorpost@example.org",
        "\"Example, Inc.\" <doorpost@example.org>",
        "B\u{fc}cher <doorpost@xn--bcher-kva.example>",
    ] {
        accepted(&[("MAIL_FROM", sender)]);
    }
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

#[test]
fn what_letters_come_back_to_leaves_room_for_their_number() {
    for address in ["bounce@example.org", "b-o_u.n1@xn--bcher-kva.example"] {
        let config = accepted(&[("MAIL_BOUNCE_ADDRESS", address)]);
        let read = config.mail.bounce_address.map(|it| it.to_string());
        assert_eq!(read.as_deref(), Some(address));
    }
    assert!(accepted(&[]).mail.bounce_address.is_none());
    for address in [
        "bounce",
        "Bounces <bounce@example.org>",
        "bounce+more@example.org",
        "b\u{fc}cher@example.org",
        "fifteen-letters@example.org",
    ] {
        let refusal = refused(&[("MAIL_BOUNCE_ADDRESS", address)]);
        assert_eq!(refusal.variable, "MAIL_BOUNCE_ADDRESS", "{address}");
    }
}
