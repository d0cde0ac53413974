//! The server that takes our mail, and how we talk to it.
//!
//! Links and passwords never cross a network in plain text: TLS is either there from the first byte or
//! demanded by STARTTLS before anything is said. "TLS if the server offers it" does not exist here, for
//! whoever sits in between can take the offer away.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::mistake::{Mistake, Parsed};
use super::public_url::is_this_machine;
use crate::domain_name::DomainName;

pub(super) const FORMS: &str = "smtps://USER:PASSWORD@HOST:465, \
    smtp://USER:PASSWORD@HOST:587?tls=required, or smtp://127.0.0.1:2525 for a server on this machine \
    (signs in the password as %XX)";

/// A mail server. `Debug` shows no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl {
    /// A canonical name or an IP address, without brackets: what the certificate has to be for.
    pub host: String,
    /// The port, by default 465, 587 or 25, after [`SmtpSecurity`].
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// User name and password, percent-decoded.
    pub credentials: Option<(String, String)>,
}

/// How a connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the first byte (RFC 8314, 3.3).
    ImplicitTls,
    /// TLS after STARTTLS, without which nothing is sent.
    StartTls,
    /// None; only ever to this machine.
    Plaintext,
}

impl SmtpUrl {
    /// Takes lettre's form of URL, as far as it is safe.
    pub fn parse(text: &str) -> Parsed<Self> {
        let url = Url::parse(text).map_err(|_| Mistake::new("is not a URL", FORMS))?;
        let host = host(&url)?;
        let security = security(&url, &host)?;
        // `/`, `?` and `#` in a password that was not percent-encoded end up here.
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(Mistake::new("has a path or a fragment", FORMS));
        }
        Ok(Self {
            port: url.port().unwrap_or(security.default_port()),
            credentials: credentials(&url)?,
            host,
            security,
        })
    }
}

impl SmtpSecurity {
    fn default_port(self) -> u16 {
        match self {
            Self::ImplicitTls => 465,
            Self::StartTls => 587,
            Self::Plaintext => 25,
        }
    }
}

fn host(url: &Url) -> Parsed<String> {
    let host = url.host_str().unwrap_or_default();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    percent_decode_str(host)
        .decode_utf8()
        .ok()
        .and_then(|name| DomainName::parse(&name))
        .map(|name| name.to_string())
        .ok_or_else(|| Mistake::new("names no mail server", FORMS))
}

fn security(url: &Url, host: &str) -> Parsed<SmtpSecurity> {
    match (url.scheme(), url.query()) {
        ("smtps", None) => Ok(SmtpSecurity::ImplicitTls),
        ("smtp", Some("tls=required")) => Ok(SmtpSecurity::StartTls),
        ("smtp", None) if is_this_machine(host) => Ok(SmtpSecurity::Plaintext),
        ("smtp", None) => Err(Mistake::new(
            "would send mail across the network in plain text",
            FORMS,
        )),
        ("smtp" | "smtps", Some(_)) => {
            Err(Mistake::new("has an option other than tls=required", FORMS))
        }
        _ => Err(Mistake::new(
            "begins with neither smtps:// nor smtp://",
            FORMS,
        )),
    }
}

fn credentials(url: &Url) -> Parsed<Option<(String, String)>> {
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) | (_, None | Some("")) => Err(Mistake::new(
            "has only one of user name and password",
            FORMS,
        )),
        (user, Some(password)) => Ok(Some((decoded(user)?, decoded(password)?))),
    }
}

/// A line end here would be a command of its own, a NUL would split what AUTH PLAIN sends.
fn decoded(part: &str) -> Parsed<String> {
    percent_decode_str(part)
        .decode_utf8()
        .ok()
        .filter(|decoded| !decoded.chars().any(char::is_control))
        .map(|decoded| decoded.into_owned())
        .ok_or_else(|| Mistake::new("has a user name or password that is not text", FORMS))
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpUrl")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_safe_form_is_taken() {
        use SmtpSecurity::*;
        let login = Some(("user".to_owned(), "p@ss/wörd#%".to_owned()));
        for (text, host, port, security, credentials) in [
            (
                "smtps://mail.example.org",
                "mail.example.org",
                465,
                ImplicitTls,
                None,
            ),
            (
                "smtps://Mail.Example.org:1465",
                "mail.example.org",
                1465,
                ImplicitTls,
                None,
            ),
            (
                "smtps://user:p%40ss%2Fw%C3%B6rd%23%25@mail.example.org",
                "mail.example.org",
                465,
                ImplicitTls,
                login.clone(),
            ),
            (
                "smtp://user:p%40ss%2fwörd%23%25@relay:587?tls=required",
                "relay",
                587,
                StartTls,
                login.clone(),
            ),
            (
                "smtp://192.0.2.1?tls=required",
                "192.0.2.1",
                587,
                StartTls,
                None,
            ),
            (
                "smtp://[2001:db8::1]:25?tls=required",
                "2001:db8::1",
                25,
                StartTls,
                None,
            ),
            (
                "smtps://bücher.example/",
                "xn--bcher-kva.example",
                465,
                ImplicitTls,
                None,
            ),
            ("smtp://127.0.0.1:2525", "127.0.0.1", 2525, Plaintext, None),
            ("smtp://localhost", "localhost", 25, Plaintext, None),
            ("smtp://[::1]:1025", "::1", 1025, Plaintext, None),
            (
                "smtp://user:p%40ss%2fw%C3%B6rd%23%25@LOCALHOST:2525",
                "localhost",
                2525,
                Plaintext,
                login,
            ),
        ] {
            let host = host.to_owned();
            let expected = SmtpUrl {
                host,
                port,
                security,
                credentials,
            };
            assert!(SmtpUrl::parse(text) == Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_other_is_refused() {
        for text in [
            "",
            "mail.example.org",
            "smtp:mail.example.org",
            "smtps://",
            "smtps:///mail",
            "http://mail.example.org",
            "smtp://mail.example.org",
            "smtp://mail.example.org:587",
            "smtp://user:secret@mail.example.org:587",
            "smtp://127.0.0.1.example.org",
            "smtp://mail.example.org?tls=opportunistic",
            "smtp://mail.example.org?tls=none",
            "smtp://mail.example.org?tls=required&tls=opportunistic",
            "smtp://127.0.0.1?tls=opportunistic",
            "smtps://mail.example.org?tls=required",
            "smtps://mail.example.org/ehlo-name",
            "smtps://mail.example.org#x",
            "smtps://user@mail.example.org",
            "smtps://user:@mail.example.org",
            "smtps://:secret@mail.example.org",
            "smtps://user:se%0d%0acret@mail.example.org",
            "smtps://user:se%00cret@mail.example.org",
            "smtps://user:%ff@mail.example.org",
            "smtps://user:se/cret@mail.example.org",
            "smtps://user:se?cret@mail.example.org",
            "smtps://user:se#cret@mail.example.org",
            "smtps://mail.example.org.",
            "smtps://mail example.org",
            "smtps://mail.example.org:99999",
        ] {
            let refused = SmtpUrl::parse(text).expect_err(text);
            assert!(!refused.to_string().contains("cret"), "{refused}");
        }
    }

    #[test]
    fn debug_shows_no_credentials() {
        let url = SmtpUrl::parse("smtps://user:hunter2@mail.example.org").expect("a URL");
        let shown = format!("{url:?}");
        assert!(shown.contains("mail.example.org"));
        assert!(!shown.contains("user") && !shown.contains("hunter2"));
    }
}
