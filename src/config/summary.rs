//! What a configuration makes of the house, for the first line of the log. No secret is in it.

use tokio_postgres::config::Host;

use super::{Config, DatabaseUrl, PostgresUrl, SignUp, SmtpSecurity};

/// A few words on each of what an operator mistakes most easily.
pub struct Summary {
    /// Who may make an account.
    pub sign_up: &'static str,
    /// Where the data is.
    pub database: String,
    /// Who takes the mail.
    pub relay: String,
    /// Whether all limits hold, and else which do not.
    pub limits: String,
}

impl Config {
    /// What this is, in short.
    pub fn summary(&self) -> Summary {
        Summary {
            sign_up: match self.accounts.sign_up {
                SignUp::Open => "open to everybody",
                SignUp::Invited => "by invitation",
                SignUp::Domains(_) => "for some domains, and by invitation",
            },
            database: self.database.url.place(),
            relay: self.relay(),
            limits: self.limits_in_words(),
        }
    }

    fn relay(&self) -> String {
        let Some(smtp) = &self.mail.smtp else {
            return "none: mail is shown at /dev/inbox".to_owned();
        };
        let how = match smtp.security {
            SmtpSecurity::ImplicitTls => "TLS",
            SmtpSecurity::StartTls => "STARTTLS",
            SmtpSecurity::Plaintext => "plain text, on this machine",
        };
        format!("{}:{} ({how})", smtp.host, smtp.port)
    }

    fn limits_in_words(&self) -> String {
        let limits = &self.limits;
        let off: Vec<&str> = [
            ("LIMIT_MAIL_GAP", limits.mail_gap),
            ("LIMIT_MAIL_PER_ADDRESS", limits.mail_per_address),
            (
                "LIMIT_MAIL_PER_ADDRESS_DAILY",
                limits.mail_per_address_daily,
            ),
            ("LIMIT_MAIL_PER_NETWORK", limits.mail_per_network),
            ("LIMIT_PASSWORD_PER_ACCOUNT", limits.password_per_account),
            ("LIMIT_PASSWORD_PER_NETWORK", limits.password_per_network),
            ("LIMIT_TOKEN_PER_NETWORK", limits.token_per_network),
        ]
        .into_iter()
        .filter(|(_, rate)| rate.is_none())
        .map(|(name, _)| name)
        .collect();
        match off.is_empty() {
            true => "on".to_owned(),
            false => format!("on but for {}", off.join(", ")),
        }
    }
}

impl DatabaseUrl {
    /// Where it is, without who logs in there.
    fn place(&self) -> String {
        let text = match self {
            Self::Sqlite(path) => return format!("SQLite in {}", path.display()),
            Self::Postgres(text) => text,
        };
        let Ok(PostgresUrl { servers, .. }) = PostgresUrl::parse(text) else {
            return "PostgreSQL".to_owned();
        };
        let hosts = servers.iter().flat_map(|server| server.get_hosts());
        let hosts = hosts.map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        });
        let hosts: Vec<String> = hosts.collect();
        let database = servers
            .first()
            .and_then(|server| server.get_dbname().or(server.get_user()))
            .unwrap_or_default();
        format!("PostgreSQL at {}, {database}", hosts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NAMES;

    #[test]
    fn a_house_is_told_in_a_few_words_without_a_secret() {
        let by_default = Config::from_environment::<&str, &str>([])
            .unwrap()
            .summary();
        assert_eq!(by_default.sign_up, "open to everybody");
        assert_eq!(by_default.database, "SQLite in data/doorpost.db");
        assert_eq!(by_default.relay, "none: mail is shown at /dev/inbox");
        assert_eq!(by_default.limits, "on");

        let config = Config::from_environment([
            (
                "DATABASE_URL",
                "postgres://user:hunter2@one:5433,two/houses?sslmode=require",
            ),
            ("SMTP_URL", "smtps://user:hunter2@mail.example.org"),
            ("SIGN_UP", "example.org"),
            ("LIMIT_MAIL_GAP", "off"),
        ]);
        let other = config.unwrap().summary();
        assert_eq!(other.sign_up, "for some domains, and by invitation");
        assert_eq!(other.database, "PostgreSQL at one, two, houses");
        assert_eq!(other.relay, "mail.example.org:465 (TLS)");
        assert_eq!(other.limits, "on but for LIMIT_MAIL_GAP");
    }

    #[test]
    fn every_limit_that_is_off_is_named() {
        let limits: Vec<&str> = NAMES
            .iter()
            .copied()
            .filter(|name| name.starts_with("LIMIT_"))
            .collect();
        let config = Config::from_environment(limits.iter().map(|name| (*name, "off")));
        assert_eq!(
            config.unwrap().summary().limits,
            format!("on but for {}", limits.join(", "))
        );
    }
}
