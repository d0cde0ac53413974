//! An email address, in its one canonical form.
//!
//! Two spellings that reach one mailbox by the letter of the standards (`Ann@EXAMPLE.org`,
//! `ann@example.org`) are one address; two that only some provider treats alike (`a.nn@`, `ann+x@`) are
//! two. The form is fixed before anything else looks at the address, so that the limits, the account, the
//! link and the envelope cannot mean different mailboxes. Mail goes to this form and no other.
//!
//! Accepted is less than RFC 5321 allows: no quoted local part, no IP literal, no comment, no name in
//! front, no `!` or `%` (old mailers read them as routes to a third host), no letter outside ASCII before
//! the `@` (many servers could not take it), no domain of one label, no dot at the end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain_name::{self, DomainName};
use crate::invisible;

/// RFC 5321, 4.5.3.1.1.
const LONGEST_LOCAL_PART: usize = 64;
/// RFC 5321, 4.5.3.1.3: a path has 256 octets, two of them its angle brackets.
const LONGEST_ADDRESS: usize = 254;
/// Characters that an address can never hold and that a list, a name or a route does.
const MORE_THAN_AN_ADDRESS: [char; 8] = [',', ';', ':', '<', '>', '(', ')', ' '];

/// An address that mail can be sent to, canonical and without anything that could end a line, a header or
/// an SMTP command. `Debug` shows it masked, so that it may stand in a log by accident.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// Why something typed is not taken as an address; `Display` is for the person who typed it, and never
/// repeats what was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnAddress {
    /// Nothing like `name@domain`.
    Malformed,
    /// A list, or an address with a name or a comment.
    MoreThanOne,
    /// Something in it that nobody sees, where it matters.
    Invisible(char),
    /// Something before the `@` that is outside ASCII.
    ForeignLocalPart,
    /// Something after the `@` that is no full host name.
    Domain,
    /// Longer than SMTP carries.
    TooLong,
}

impl EmailAddress {
    /// Brings what was typed into the canonical form: what nobody sees around it is dropped, the local part
    /// lower-cased, the domain turned into lower-case A-labels.
    pub fn parse(typed: &str) -> Result<Self, NotAnAddress> {
        let typed = invisible::trimmed(typed);
        // Whoever typed it sees no other mistake: "without a dot at its end" would send them looking for one.
        let seen = |why| match typed.chars().find(|sign| invisible::is_invisible(*sign)) {
            Some(sign) if why != NotAnAddress::MoreThanOne => NotAnAddress::Invisible(sign),
            _ => why,
        };
        Self::canonical(typed).map_err(seen)
    }

    fn canonical(typed: &str) -> Result<Self, NotAnAddress> {
        let (local_part, domain) = typed.split_once('@').ok_or(NotAnAddress::Malformed)?;
        if typed.contains(MORE_THAN_AN_ADDRESS) || domain.contains('@') {
            return Err(NotAnAddress::MoreThanOne);
        }
        let local_part = canonical_local_part(local_part)?;
        let domain = canonical_domain(domain)?;
        let address = format!("{local_part}@{domain}");
        if address.len() > LONGEST_ADDRESS {
            return Err(NotAnAddress::TooLong);
        }
        Ok(Self(address))
    }

    /// The canonical spelling: what is stored, compared and mailed to.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        self.parts().0
    }

    /// What stands after the `@`: lower-case A-labels.
    pub fn domain(&self) -> &str {
        self.parts().1
    }

    /// The mailbox that it leads to with most providers, whatever they are asked: without what follows a `+`, and
    /// without dots. It is counted against and nothing else: two such addresses are two accounts.
    pub fn mailbox(&self) -> String {
        let (local_part, domain) = self.parts();
        let name = match local_part.split_once('+') {
            Some((name, _)) if !name.is_empty() => name,
            _ => local_part,
        };
        format!("{}@{domain}", name.replace('.', ""))
    }

    /// A hint for logs and pages, as `a…@e…`: enough to recognise one's own address, never its length.
    pub fn masked(&self) -> String {
        let (local_part, domain) = self.parts();
        format!("{:.1}…@{:.1}…", local_part, domain)
    }

    /// As people write it: with the domain in its own letters, where they cannot be taken for others.
    pub fn shown(&self) -> String {
        shown(&self.0)
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('@').unwrap_or((&self.0, ""))
    }
}

/// An address in the canonical spelling, as a table or a cookie holds it, as people write it; for pages alone. Mail
/// goes to the canonical one.
pub fn shown(address: &str) -> String {
    match address.split_once('@') {
        Some((local_part, domain)) => format!("{local_part}@{}", domain_name::shown(domain)),
        None => address.to_owned(),
    }
}

/// RFC 5321's dot-string without `!` and `%`, in lower case.
fn canonical_local_part(typed: &str) -> Result<String, NotAnAddress> {
    if !typed.is_ascii() {
        return Err(NotAnAddress::ForeignLocalPart);
    }
    if typed.len() > LONGEST_LOCAL_PART {
        return Err(NotAnAddress::TooLong);
    }
    let is_dot_string = typed
        .split('.')
        .all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_text));
    if !is_dot_string {
        return Err(NotAnAddress::Malformed);
    }
    Ok(typed.to_ascii_lowercase())
}

fn is_atom_text(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"#$&'*+-/=?^_`{|}~".contains(&byte)
}

/// A name with a dot: `a@localhost` would let a stranger mail the server's own users.
fn canonical_domain(typed: &str) -> Result<DomainName, NotAnAddress> {
    DomainName::parse(typed)
        .filter(DomainName::is_full)
        .ok_or(NotAnAddress::Domain)
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmailAddress({})", self.masked())
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = NotAnAddress;

    fn try_from(typed: String) -> Result<Self, NotAnAddress> {
        Self::parse(&typed)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "Enter an email address like name@example.org.",
            Self::MoreThanOne => {
                "Enter one email address and nothing else, like name@example.org."
            }
            Self::Invisible(sign) => {
                let sign = invisible::name_of(sign);
                return write!(f, "There is {sign} in this address. Delete it, or type the address anew.");
            }
            Self::ForeignLocalPart => {
                "Before the @ only the letters a to z, digits and signs can be used here, like name@example.org."
            }
            Self::Domain => {
                "After the @ enter a full domain name, like name@example.org, without a dot at its end."
            }
            Self::TooLong => "This email address is too long to receive mail.",
        })
    }
}

impl std::error::Error for NotAnAddress {}

#[cfg(test)]
mod tests {
    use super::NotAnAddress::*;
    use super::*;
    use crate::config::GateRules;
    use proptest::prelude::*;

    fn parsed(typed: &str) -> Result<String, NotAnAddress> {
        EmailAddress::parse(typed).map(String::from)
    }

    #[test]
    fn these_are_addresses_and_this_is_their_canonical_form() {
        for (typed, canonical) in [
            ("a@example.org", "a@example.org"),
            ("  a@example.org  ", "a@example.org"),
            // what nobody sees around it
            ("\u{a0}a@example.org", "a@example.org"),
            ("a@example.org\u{a0}", "a@example.org"),
            ("\u{feff}a@example.org", "a@example.org"),
            ("a@example.org\u{200b}", "a@example.org"),
            ("\u{200e} a@example.org \u{200f}", "a@example.org"),
            ("\u{202a}a@example.org\u{202c}", "a@example.org"),
            ("\u{2068}a@example.org\u{2069}", "a@example.org"),
            ("\u{202f}\u{2009}a@example.org\u{3000}", "a@example.org"),
            ("a@example.org\u{ad}\u{2060}\u{fe0f}", "a@example.org"),
            ("Ann.Lee@Example.ORG", "ann.lee@example.org"),
            ("ANN@EXAMPLE.ORG", "ann@example.org"),
            ("a.n.n@gmail.com", "a.n.n@gmail.com"),
            ("ann+tag@example.org", "ann+tag@example.org"),
            ("+tag@example.org", "+tag@example.org"),
            ("ann-lee@example.org", "ann-lee@example.org"),
            ("-ann@example.org", "-ann@example.org"),
            ("_@example.org", "_@example.org"),
            ("1@example.org", "1@example.org"),
            ("o'hara@example.org", "o'hara@example.org"),
            ("a`b@example.org", "a`b@example.org"),
            ("a/b@example.org", "a/b@example.org"),
            ("{a}@example.org", "{a}@example.org"),
            ("a|b@example.org", "a|b@example.org"),
            ("a=b@example.org", "a=b@example.org"),
            (
                "#$&'*+-/=?^_`{|}~@example.org",
                "#$&'*+-/=?^_`{|}~@example.org",
            ),
            ("a@b.c.d.e.example", "a@b.c.d.e.example"),
            ("a@1and1.com", "a@1and1.com"),
            ("a@3com.com", "a@3com.com"),
            ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
            ("a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"),
            ("a@bücher.example", "a@xn--bcher-kva.example"),
            ("a@BÜCHER.EXAMPLE", "a@xn--bcher-kva.example"),
            ("a@bu\u{308}cher.example", "a@xn--bcher-kva.example"),
            ("a@straße.example", "a@xn--strae-oqa.example"),
            ("a@例え.テスト", "a@xn--r8jz45g.xn--zckzah"),
            ("a@example\u{3002}org", "a@example.org"),
            ("a@\u{ff45}xample.org", "a@example.org"),
            ("a@exam\u{ad}ple.org", "a@example.org"),
            ("a@ab--cd.org", "a@ab--cd.org"),
        ] {
            assert_eq!(parsed(typed).as_deref(), Ok(canonical), "{typed:?}");
        }
    }

    #[test]
    fn these_are_not_addresses() {
        for (typed, why) in [
            ("", Malformed),
            (" ", Malformed),
            ("a", Malformed),
            ("example.org", Malformed),
            ("@", Malformed),
            ("@example.org", Malformed),
            ("a@", Domain),
            // more than one, or more than an address
            ("a@example.org,b@example.org", MoreThanOne),
            ("a@example.org;b@example.org", MoreThanOne),
            ("a@example.org b@example.org", MoreThanOne),
            ("a@example.org@example.net", MoreThanOne),
            ("a@@example.org", MoreThanOne),
            ("Ann <a@example.org>", MoreThanOne),
            ("<a@example.org>", MoreThanOne),
            ("a@example.org>,<c@example.net", MoreThanOne),
            ("a@example.org>", MoreThanOne),
            ("mailto:a@example.org", MoreThanOne),
            ("@relay.example:a@example.org", MoreThanOne),
            ("@one.example,@two.example:a@example.org", MoreThanOne),
            ("group: a@example.org;", MoreThanOne),
            ("(c)a@example.org", MoreThanOne),
            ("a(c)@example.org", MoreThanOne),
            ("a@(c)example.org", MoreThanOne),
            ("a@example.org (Ann)", MoreThanOne),
            ("a b@example.org", MoreThanOne),
            ("a @example.org", MoreThanOne),
            ("a@ example.org", MoreThanOne),
            ("\"a b\"@example.org", MoreThanOne),
            ("\"a@b\"@example.org", MoreThanOne),
            // quoted, escaped, routed
            ("\"a\"@example.org", Malformed),
            ("\"a\\\"b\"@example.org", Malformed),
            ("\"\"@example.org", Malformed),
            ("a\\b@example.org", Malformed),
            ("a[b]@example.org", Malformed),
            ("a%b@example.org", Malformed),
            ("a!b@example.org", Malformed),
            ("relay.example!a@example.org", Malformed),
            ("a%0d%0aBcc%3ab@example.org", Malformed),
            ("a%00@example.org", Malformed),
            // dots
            (".a@example.org", Malformed),
            ("a.@example.org", Malformed),
            ("a..b@example.org", Malformed),
            (".@example.org", Malformed),
            // control characters, in every part
            ("a\r@example.org", Invisible('\r')),
            ("a\n@example.org", Invisible('\n')),
            ("a\t@example.org", Invisible('\t')),
            ("a\0@example.org", Invisible('\0')),
            ("a\u{7f}@example.org", Invisible('\u{7f}')),
            ("\ta@example.org", Invisible('\t')),
            ("\na@example.org", Invisible('\n')),
            ("a@example.org\n", Invisible('\n')),
            ("a@example.org\r\n", Invisible('\r')),
            ("a@example.org\t", Invisible('\t')),
            ("a@example.org\0", Invisible('\0')),
            ("a@exam\0ple.org", Invisible('\0')),
            ("a@example.org\r\nBcc:b@example.org", MoreThanOne),
            ("a@example.org\r\nRCPT TO:<b@example.org>", MoreThanOne),
            ("a@example.org%0d%0aBcc", Domain),
            ("a@example.org\u{85}", Invisible('\u{85}')),
            ("a@example.org\u{2028}", Invisible('\u{2028}')),
            ("a\u{2028}@example.org", Invisible('\u{2028}')),
            ("a\u{85}@example.org", Invisible('\u{85}')),
            // letters outside ASCII
            ("ä@example.org", ForeignLocalPart),
            ("用户@example.org", ForeignLocalPart),
            ("\u{430}nn@example.org", ForeignLocalPart),
            ("a\u{200b}@example.org", Invisible('\u{200b}')),
            ("a\u{a0}b@example.org", Invisible('\u{a0}')),
            ("a@exam\u{a0}ple.org", Invisible('\u{a0}')),
            ("a@exam\u{200e}ple.org", Invisible('\u{200e}')),
            ("a@example\u{2060}.\u{202e}gro", Invisible('\u{2060}')),
            ("\u{212a}@example.org", ForeignLocalPart),
            ("a\u{ff20}example.org", Malformed),
            ("a@b\u{ff20}example.org", Domain),
            // domains
            ("a@localhost", Domain),
            ("a@example", Domain),
            ("a@example.org.", Domain),
            ("a@example.org\u{3002}", Domain),
            ("a@.example.org", Domain),
            ("a@example..org", Domain),
            ("a@-example.org", Domain),
            ("a@example-.org", Domain),
            ("a@exam_ple.org", Domain),
            ("a@exam%ple.org", Domain),
            ("a@exam/ple.org", Domain),
            ("a@example\u{ff0f}.org", Domain),
            ("a@*.example.org", Domain),
            ("a@xn--a.org", Domain),
            ("a@xn--.org", Domain),
            ("a@127.0.0.1", Domain),
            ("a@127.1", Domain),
            ("a@2130706433", Domain),
            ("a@0x7f.0x1", Domain),
            ("a@\u{ff11}27.0.0.1", Domain),
            ("a@[127.0.0.1]", Domain),
            ("a@[IPv6]", Domain),
            ("a@[IPv6:::1]", MoreThanOne),
            ("a@::1", MoreThanOne),
        ] {
            assert_eq!(parsed(typed), Err(why), "{typed:?}");
        }
    }

    #[test]
    fn lengths_are_those_of_smtp() {
        let local = |length| format!("{}@example.org", "a".repeat(length));
        assert!(parsed(&local(64)).is_ok());
        assert_eq!(parsed(&local(65)), Err(TooLong));
        assert_eq!(parsed(&local(320)), Err(TooLong));

        let label = |length| format!("a@{}.org", "b".repeat(length));
        assert!(parsed(&label(63)).is_ok());
        assert_eq!(parsed(&label(64)), Err(Domain));

        let total = |length: usize| {
            let domain = format!("{0}.{0}.{0}.org", "b".repeat(61));
            format!("{}@{domain}", "a".repeat(length - domain.len() - 1))
        };
        assert_eq!(parsed(&total(254)).map(|address| address.len()), Ok(254));
        assert_eq!(parsed(&total(255)), Err(TooLong));

        assert_eq!(
            parsed(&format!("a@{}.org", "b".repeat(100_000))),
            Err(Domain)
        );
        assert_eq!(parsed(&"\u{ad}".repeat(100_000)), Err(Malformed));
    }

    #[test]
    fn its_parts_are_at_hand_and_its_mask_tells_little() {
        let address = EmailAddress::parse("Ann.Lee@Example.org").expect("an address");
        assert_eq!(address.local_part(), "ann.lee");
        assert_eq!(address.domain(), "example.org");
        assert_eq!(address.masked(), "a…@e…");
        assert_eq!(format!("{address:?}"), "EmailAddress(a…@e…)");
        assert_eq!(address.to_string(), "ann.lee@example.org");
        let address = EmailAddress::parse("ann@bücher.example").expect("an address");
        assert_eq!(address.to_string(), "ann@xn--bcher-kva.example");
        assert_eq!(address.shown(), "ann@bücher.example");
    }

    #[test]
    fn addresses_that_share_a_mailbox_are_counted_as_one() {
        let mailbox = |typed: &str| EmailAddress::parse(typed).expect("an address").mailbox();
        for typed in [
            "Ann.Lee@example.org",
            "annlee+a@example.org",
            "a.nnlee+b+c@Example.org",
            "annlee@example.org",
        ] {
            assert_eq!(mailbox(typed), "annlee@example.org", "{typed}");
        }
        assert_eq!(mailbox("+tag@example.org"), "+tag@example.org");
        assert_ne!(mailbox("annlee@example.net"), mailbox("annlee@example.org"));
    }

    #[test]
    fn json_carries_it_as_text_and_parses_it_again() {
        let address: EmailAddress =
            serde_json::from_str(r#"" A@Example.org""#).expect("an address");
        assert_eq!(
            serde_json::to_string(&address).expect("text"),
            r#""a@example.org""#
        );
        assert!(serde_json::from_str::<EmailAddress>(r#""a@localhost""#).is_err());
    }

    /// What is accepted is what the mailer sends to, letter for letter.
    fn holds_what_it_promises(typed: &str) -> Result<(), TestCaseError> {
        let Ok(address) = EmailAddress::parse(typed) else {
            return Ok(());
        };
        let text = address.as_str();
        prop_assert_eq!(EmailAddress::parse(text), Ok(address.clone()));
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert!(!text.bytes().any(|byte| byte.is_ascii_uppercase()));
        let mailed = lettre::Address::new(address.local_part(), address.domain());
        prop_assert_eq!(mailed.map(|mailed| mailed.to_string()), Ok(text.to_owned()));
        Ok(())
    }

    /// Whether a gate file that allows this and nothing else, and knows nothing of accounts, lets an address pass; none where
    /// it is no gate file.
    fn passes(allowed: &str, address: &str) -> Option<bool> {
        let allowed = allowed.replace('\\', "\\\\").replace('"', "\\\"");
        let rules = format!("[[host]]\nname = 'a.example'\nallow = [\"{allowed}\"]");
        let rules = GateRules::parse(&rules).ok()?;
        let asked = rules.of("a.example")?.asks("/");
        Some(asked.demands.admit(address))
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_harm(typed in any::<String>()) {
            holds_what_it_promises(&typed)?;
        }

        #[test]
        fn what_looks_like_an_address_is_too(typed in " ?[!-~]{1,20}@[!-~]{1,20}\\.[A-Za-z0-9]{1,6}") {
            holds_what_it_promises(&typed)?;
        }

        #[test]
        fn names_in_all_scripts_are_too(typed in "[a-zA-Z0-9.+'_-]{1,20}@[a-z\\PC]{1,12}[.\u{3002}][\\p{L}a-z0-9-]{1,8}") {
            holds_what_it_promises(&typed)?;
        }

        #[test]
        fn a_gate_file_takes_the_same_for_an_address(typed in "[!-~]{1,12}@[a-zA-Z0-9\\p{L}.-]{1,20}\\.[A-Za-z0-9]{1,6}") {
            match EmailAddress::parse(&typed) {
                Ok(address) => prop_assert_eq!(passes(&typed, address.as_str()), Some(true)),
                Err(_) => prop_assert_eq!(passes(&typed, &typed), None),
            }
        }
    }
}
