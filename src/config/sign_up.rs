//! Who may make an account without being invited.

use super::mistake::{Mistake, Parsed};
use super::reader::comma_list;
use crate::domain_name::DomainName;

const CHOICES: &str = "open, invited, or domains between commas, such as example.org,*.example.net";

/// Which addresses sign-up is open to. An invitation opens it to one more; that is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// To every address.
    Open,
    /// To none.
    Invited,
    /// To those of some domains.
    Domains(Vec<DomainPattern>),
}

/// Domains that sign-up is open to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainPattern {
    /// `example.org`: this domain and none below it.
    Exactly(DomainName),
    /// `*.example.org`: every domain below this one, not itself.
    Below(DomainName),
}

impl SignUp {
    /// Takes `open`, `invited` or a list of domains.
    pub fn parse(text: &str) -> Parsed<Self> {
        match text {
            "open" => Ok(Self::Open),
            "invited" => Ok(Self::Invited),
            list => comma_list(list, DomainPattern::parse).map(Self::Domains),
        }
    }

    /// Whether an address with this domain, in canonical form, may sign up uninvited.
    pub fn admits(&self, domain: &str) -> bool {
        match self {
            Self::Open => true,
            Self::Invited => false,
            Self::Domains(patterns) => patterns.iter().any(|pattern| pattern.matches(domain)),
        }
    }
}

impl DomainPattern {
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        let pattern = match text.strip_prefix("*.") {
            Some(parent) => DomainName::parse(parent).map(Self::Below),
            // A single word is no domain of an address, but `closed`, or `invited` misspelt.
            None => DomainName::parse(text)
                .filter(DomainName::is_full)
                .map(Self::Exactly),
        };
        pattern.ok_or_else(|| Mistake::new("is neither a choice nor a list of domains", CHOICES))
    }

    /// Whether a domain in canonical form is one of these.
    pub fn matches(&self, domain: &str) -> bool {
        match self {
            Self::Exactly(name) => domain == name.as_str(),
            // With the dot: `notexample.org` is not below `example.org`.
            Self::Below(parent) => domain
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_admit_what_they_say_and_no_more() {
        let some = SignUp::parse("Example.org, *.example.net,*.BÜCHER.example").expect("patterns");
        for domain in [
            "example.org",
            "a.example.net",
            "a.b.example.net",
            "x.xn--bcher-kva.example",
        ] {
            assert!(some.admits(domain), "{domain}");
        }
        for domain in [
            "",
            "a.example.org",
            "example.net",
            ".example.net",
            "notexample.net",
            "notexample.org",
            "example.org.evil.test",
            "example.net.evil.test",
            "xn--bcher-kva.example",
            "org",
        ] {
            assert!(!some.admits(domain), "{domain}");
        }
        assert!(SignUp::parse("open").is_ok_and(|all| all.admits("example.org")));
        assert!(SignUp::parse("invited").is_ok_and(|none| !none.admits("example.org")));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "Open",
            "closed",
            "open,example.org",
            "example.org,",
            ",example.org",
            "example.org;example.net",
            "example.org example.net",
            "@example.org",
            "a@example.org",
            "*",
            "*.",
            "*example.org",
            "a.*.org",
            "*.*.org",
            ".example.org",
            "example.org.",
            "127.0.0.1",
            "https://example.org",
        ] {
            assert!(SignUp::parse(text).is_err(), "{text:?}");
        }
    }
}
