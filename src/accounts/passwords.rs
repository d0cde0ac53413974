//! Passwords: which are taken, and how they are kept and compared.
//!
//! Fifteen characters at least and any at all, for length is what counts (NIST SP 800-63B-4 §3.1.1.2); those
//! that everybody tries first are refused, with the reason. The same characters may come in several
//! spellings of Unicode, so that all are brought to one (NFC) before they are counted, hashed or compared.
//! What is kept is an Argon2id hash and nothing else.
//!
//! `common.txt` holds the common ones, one a line, in lower case, sorted: those of that length in the lists
//! that ship with Django (`common-passwords.txt`, BSD) and zxcvbn (MIT), the first few thousand of both repeated
//! until they are long enough, and walks over the keyboard and the digits.

mod hasher;
mod stored;

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use zeroize::Zeroizing;

pub use hasher::{Hasher, Permit, Priority, Verified};

/// The fewest characters (code points, after NFC) of a password.
pub const FEWEST: usize = 15;
/// The most.
pub const MOST: usize = 256;

/// So many have to remain when what everybody knows of the account is taken out.
pub const FEWEST_OF_ITS_OWN: usize = 8;

/// What one hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
}

/// A password that may be set.
pub struct Password(Zeroizing<String>);

/// Whose password it is to be, and where: what somebody who guesses tries first.
pub struct About<'a> {
    pub email: &'a str,
    pub host: &'a str,
}

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    TooShort,
    TooLong,
    Common,
    AboutYou,
}

impl Password {
    /// Takes a new password as it was typed, or says why not. Nothing is trimmed or cut.
    pub fn parse(typed: &str, about: &About<'_>) -> Result<Self, Refused> {
        let text = Zeroizing::new(normalized(typed));
        match text.chars().count() {
            ..FEWEST => return Err(Refused::TooShort),
            FEWEST..=MOST => {}
            _ => return Err(Refused::TooLong),
        }
        let lower = Zeroizing::new(text.to_lowercase());
        if is_common(&lower) {
            return Err(Refused::Common);
        }
        if about.leaves_of(&lower) < FEWEST_OF_ITS_OWN {
            return Err(Refused::AboutYou);
        }
        Ok(Self(text))
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

fn normalized(typed: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc()
        .normalize(typed)
        .into_owned()
}

fn is_common(lower: &str) -> bool {
    include_str!("passwords/common.txt")
        .lines()
        .any(|common| common == lower)
}

impl About<'_> {
    /// The characters that remain without the address, its parts, the host and the site's name.
    fn leaves_of(&self, lower: &str) -> usize {
        let local_part = self.email.split('@').next().unwrap_or_default();
        let labels = self.host.split('.').filter(|label| label.len() > 3);
        let mut known: Vec<String> = [self.email, local_part, self.host, "doorpost"]
            .into_iter()
            .chain(labels)
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        known.sort_by_key(|word| std::cmp::Reverse(word.len()));
        let mut rest = Zeroizing::new(lower.to_owned());
        for word in &known {
            rest = Zeroizing::new(rest.replace(word, ""));
        }
        rest.chars().count()
    }
}

/// A password that was typed to be compared.
pub struct Typed(Zeroizing<String>);

impl Typed {
    /// `None` for what no password is: nothing at all, or more than any may have. It is never hashed.
    pub fn new(typed: &str) -> Option<Self> {
        let text = Zeroizing::new(normalized(typed));
        (1..=MOST)
            .contains(&text.chars().count())
            .then_some(Self(text))
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed(…)")
    }
}

/// What is kept of a password: a PHC string, sound or not.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// One that a table held.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// As the table holds it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Result<(), Refused> {
        let about = About {
            email: "ada.lovelace@example.org",
            host: "sign.analytical.example",
        };
        Password::parse(text, &about).map(drop)
    }

    #[test]
    fn length_is_counted_in_characters_after_nfc() {
        for text in ["é", "e\u{301}", "😀", " ", "\0", "~"] {
            assert_eq!(taken(&text.repeat(14)), Err(Refused::TooShort), "{text:?}");
            for count in [15, 64, 256] {
                assert_eq!(taken(&text.repeat(count)), Ok(()), "{text:?} {count}");
            }
            assert_eq!(taken(&text.repeat(257)), Err(Refused::TooLong), "{text:?}");
        }
    }

    #[test]
    fn one_spelling_of_the_same_characters_and_no_folding() {
        let same = |a: &str, b: &str| {
            let (a, b) = (Typed::new(a).unwrap(), Typed::new(b).unwrap());
            a.as_bytes() == b.as_bytes()
        };
        assert!(same("cafe\u{301}", "café"));
        assert!(!same("ﬁ", "fi"), "NFC, not NFKC");
        assert!(!same("A", "a") && !same(" a", "a") && !same("a\0b", "a"));
        assert!(Typed::new("").is_none() && Typed::new(&"a".repeat(257)).is_none());
    }

    #[test]
    fn what_everybody_tries_is_refused_and_what_holds_it_is_not() {
        for text in [
            "passwordpassword",
            "PasswordPassword",
            "123456789012345",
            "1q2w3e4r5t6y7u8i9o0p",
        ] {
            assert_eq!(taken(text), Err(Refused::Common), "{text}");
        }
        assert_eq!(taken("my passwordpassword is long"), Ok(()));
    }

    #[test]
    fn what_is_known_of_the_account_counts_for_nothing() {
        for text in [
            "ada.lovelace@example.org",
            "Ada.Lovelace1234567",
            "doorpostdoorpostdoorpost",
            "sign.analytical.example!",
            "doorpostada.lovelace42",
            "analytical-analytical",
        ] {
            assert_eq!(taken(text), Err(Refused::AboutYou), "{text}");
        }
        assert_eq!(taken("doorpost opens with staples"), Ok(()));
    }

    #[test]
    fn the_list_is_lower_case_long_enough_sorted_and_without_doubles() {
        let list: Vec<&str> = include_str!("passwords/common.txt").lines().collect();
        assert!(list.len() > 100, "{}", list.len());
        assert!(list.is_sorted_by(|a, b| a < b));
        for entry in list {
            assert!(
                entry.chars().count() >= FEWEST && entry.to_lowercase() == entry,
                "{entry}"
            );
        }
    }

    #[test]
    fn nothing_shows_itself() {
        let about = About {
            email: "a@b.example",
            host: "b.example",
        };
        let password = Password::parse("a horse that eats staples", &about).unwrap();
        let typed = Typed::new("a horse that eats staples").unwrap();
        let hash = PasswordHash::stored("$argon2id$".into());
        let shown = format!("{password:?} {typed:?} {hash:?}");
        assert_eq!(shown, "Password(…) Typed(…) PasswordHash(…)");
    }
}
