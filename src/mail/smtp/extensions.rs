//! What the server can do besides what lettre knows to ask for.

use lettre::transport::smtp::response::Response;

/// As its answer to EHLO says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// It lets us say what a bounce is to bring back, and by what name (RFC 3461).
    pub(super) dsn: bool,
    /// It takes commands before it has answered those before them (RFC 2920).
    pub(super) pipelining: bool,
    /// How many letters it takes over one connection, if it says (RFC 9422).
    pub(super) letters: Option<u32>,
}

impl Extensions {
    /// The first line greets; each of the others is a keyword, in either case, and what belongs to it.
    pub(super) fn of(answer: &Response) -> Self {
        let mut extensions = Self::default();
        for line in answer.message().skip(1) {
            let mut words = line.split_whitespace().map(str::to_ascii_uppercase);
            match words.next().as_deref() {
                Some("DSN") => extensions.dsn = true,
                Some("PIPELINING") => extensions.pipelining = true,
                Some("LIMITS") => extensions.letters = words.find_map(|word| mail_max(&word)),
                _ => {}
            }
        }
        extensions
    }
}

fn mail_max(limit: &str) -> Option<u32> {
    limit.strip_prefix("MAILMAX=")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(answer: &str) -> Extensions {
        Extensions::of(&answer.parse().unwrap())
    }

    #[test]
    fn only_what_is_said_in_so_many_words_is_offered() {
        let none = Extensions::default();
        for answer in [
            "250 mail.example.org\r\n",
            "250 DSN\r\n",
            "250-mail\r\n250-   \r\n250 DSNX\r\n",
            "250-mail\r\n250 LIMITS RCPTMAX=1\r\n",
            "250-mail\r\n250 LIMITS MAILMAX=many\r\n",
        ] {
            assert_eq!(offered(answer), none, "{answer}");
        }
        let all = Extensions {
            dsn: true,
            pipelining: true,
            letters: Some(5),
        };
        for answer in [
            "250-mail\r\n250-PIPELINING\r\n250-DSN\r\n250 LIMITS RCPTMAX=1 MAILMAX=5\r\n",
            "250-mail\r\n250-SIZE 1000\r\n250-limits mailmax=5\r\n250-dsn\r\n250 pipelining\r\n",
        ] {
            assert_eq!(offered(answer), all, "{answer}");
        }
    }
}
