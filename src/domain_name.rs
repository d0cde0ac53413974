//! The name of a host, in the one form in which two spellings of it are equal.
//!
//! Addresses, sign-up rules and mail servers all name hosts. They are compared as text, so there must be
//! one text for each: `BÜCHER.example`, `bücher。example` and `xn--bcher-kva.example` are one name. An IP
//! address is never a name.

mod letters;

use std::fmt;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// More than any name needs before it is mapped: keeps long nonsense from costing work.
const LONGEST_INPUT: usize = 1024;

/// A host name as lower-case A-labels (RFC 5890): letters, digits, inner hyphens and dots, labels of at
/// most 63 characters, at most 253 together, no dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

impl DomainName {
    /// Maps `name` as browsers do (UTS 46), or `None` where the result would be no host name.
    pub fn parse(name: &str) -> Option<Self> {
        if name.len() > LONGEST_INPUT {
            return None;
        }
        let ascii = Uts46::new()
            .to_ascii(
                name.as_bytes(),
                AsciiDenyList::STD3,
                Hyphens::CheckFirstLast,
                DnsLength::Verify,
            )
            .ok()?;
        (!ends_in_a_number(&ascii)).then(|| Self(ascii.into_owned()))
    }

    /// The canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has more than one label, as every name on the public Internet does.
    pub fn is_full(&self) -> bool {
        self.0.contains('.')
    }
}

/// A name in that form as people write it: `bücher.example`. A label whose letters could be taken for those of
/// another name stays as it is (`xn--…`).
pub fn shown(name: &str) -> String {
    let (shown, read) = Uts46::new().to_user_interface(
        name.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
        |label, top_level, _| letters::are_what_they_seem(label, top_level),
    );
    match read {
        Ok(()) => shown.into_owned(),
        Err(_) => name.to_owned(),
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What some programs read as an IPv4 address (`127.1`, `0x7f.1`), the URL standard's "ends in a number":
/// no top-level domain looks like that, and a mailer that resolves it talks to a machine of its own network.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(name: &str) -> Option<String> {
        DomainName::parse(name).map(|name| name.to_string())
    }

    #[test]
    fn spellings_of_one_name_are_equal() {
        for spelling in [
            "xn--bcher-kva.example",
            "bücher.example",
            "BÜCHER.Example",
            "bu\u{308}cher.example",
            "bücher\u{3002}example",
            "ｂücher.example",
        ] {
            assert_eq!(
                canonical(spelling).as_deref(),
                Some("xn--bcher-kva.example"),
                "{spelling}"
            );
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        let label = "a".repeat(64);
        for name in [
            "",
            ".",
            "example.org.",
            ".example.org",
            "a..b",
            "-a.org",
            "a-.org",
            "a_b.org",
            "a b.org",
            "a/b.org",
            "a%2eb.org",
            "a\u{ff0f}b.org",
            "a\nb.org",
            "127.0.0.1",
            "127.1",
            "1",
            "x.0x7f",
            "[::1]",
            "xn--a.org",
            "xn--.org",
            &label,
        ] {
            assert_eq!(canonical(name), None, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_a_fixed_point(name in "\\PC{0,30}(\\.\\PC{1,8})?") {
            if let Some(once) = DomainName::parse(&name) {
                prop_assert_eq!(DomainName::parse(once.as_str()), Some(once));
            }
        }

        /// However it is shown, it is that name and no other.
        #[test]
        fn what_is_shown_leads_to_the_same_name(name in "[a-z\\p{L}\\p{M}\\p{N}-]{1,12}\\.[a-z\\p{L}]{1,6}") {
            if let Some(name) = DomainName::parse(&name) {
                prop_assert_eq!(DomainName::parse(&shown(name.as_str())), Some(name));
            }
        }
    }
}
