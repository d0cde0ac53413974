//! The only source of randomness: link and session tokens, codes, ids, and nonces for sealing.
//!
//! All of it comes from the operating system's generator. A token is never stored: what the tables
//! hold is its [`TokenHash`]. The two are two types, and neither shows itself in a log.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use icu_normalizer::ComposingNormalizerBorrowed;
use rand::Rng;
use rand::rand_core::UnwrapErr;
#[expect(clippy::disallowed_types, reason = "the one drawer of randomness")]
use rand::rngs::SysRng;
use rand::seq::IndexedRandom;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Fills an array from the operating system's generator.
///
/// Without randomness no token is secret. So a generator that fails is a panic, which ends the request, and
/// nothing weaker takes its place.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut drawn = [0; N];
    UnwrapErr(SysRng).fill_bytes(&mut drawn);
    drawn
}

/// A number that nobody has had before, but for one chance in a billion; one can still be counted up from it.
pub fn number() -> i32 {
    i32::from_be_bytes(bytes()) & (i32::MAX >> 1)
}

/// What ring draws from when it makes a key pair or a signature: the same generator.
pub fn for_signatures() -> ring::rand::SystemRandom {
    ring::rand::SystemRandom::new()
}

/// A fresh public id: 16 bytes, base64url, random but for the first bit. It names a row; whoever knows it
/// may do nothing with it.
///
/// That bit is zero so that no id begins with a hyphen: an operator types it as an argument, where
/// it would pass for an option.
pub fn id() -> String {
    let mut drawn = bytes::<16>();
    drawn[0] &= 0x7f;
    URL_SAFE_NO_PAD.encode(drawn)
}

/// Whether this may be such an id. Anything else names no row, and no database is asked about it: PostgreSQL, for
/// one, refuses a NUL in a text.
pub fn is_id(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|bytes| bytes.len() == 16)
}

/// What opens something for whoever holds it: 32 random bytes, base64url without padding.
///
/// It exists in the letter or cookie that carries it, in the request that brings it back, and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new one that nobody has seen.
    pub fn draw() -> Self {
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes::<32>())))
    }

    /// A new one that begins as this one does: all of a family can be told by that, and none of them be guessed.
    pub fn draw_sibling(&self) -> Self {
        let mut sibling = Self::draw();
        sibling
            .0
            .replace_range(..Self::FAMILY, &self.0[..Self::FAMILY]);
        sibling
    }

    /// What it has in common with its siblings, hashed.
    pub fn family(&self) -> TokenHash {
        TokenHash(Sha256::digest(&self.0.as_bytes()[..Self::FAMILY]).into())
    }

    /// The characters that siblings have in common: 15 bytes, which leaves 17 to each alone.
    const FAMILY: usize = 20;

    /// Reads a token in its one spelling: 43 characters that decode to 32 bytes. Another spelling of
    /// the same bytes (padding, stray bits in the last character) is another string and no token.
    pub fn parse(text: &str) -> Option<Self> {
        let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
        (decoded.len() == 32).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The spelling for a letter or a cookie, and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the tables keep.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 of a token. With 256 random bits behind it there is nothing to guess, so it needs neither
/// salt nor stretching.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// As the tables hold it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// One that a table held.
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// Eight letters that a person carries from the mail to the browser that asked.
///
/// Consonants only: nothing to confuse with a digit, and no words appear. 20⁸ ≈ 2.6 · 10¹⁰
/// codes are enough, for each is good for five tries, in one browser.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<String>);

impl Code {
    const LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
    const LENGTH: usize = 8;

    /// A new one.
    pub fn draw() -> Self {
        let mut rng = UnwrapErr(SysRng);
        let letters = (0..Self::LENGTH)
            .filter_map(|_| Self::LETTERS.choose(&mut rng))
            .map(|letter| char::from(*letter))
            .collect();
        Self(Zeroizing::new(letters))
    }

    /// Reads what a person typed or pasted: in any case, in letters of any width and style (NFKC), with whatever a
    /// mail program, a phone or a document put around and between them: dashes, spaces that are to be seen and others,
    /// quotes, a full stop. None of that is a letter.
    pub fn parse(typed: &str) -> Option<Self> {
        let plain = ComposingNormalizerBorrowed::new_nfkc().normalize(typed);
        let mut letters = Zeroizing::new(String::with_capacity(Self::LENGTH));
        for letter in plain.chars().filter(|sign| sign.is_alphabetic()) {
            let letter = letter.to_ascii_uppercase();
            let fits = u8::try_from(letter).is_ok_and(|letter| Self::LETTERS.contains(&letter));
            if !fits || letters.len() == Self::LENGTH {
                return None;
            }
            letters.push(letter);
        }
        (letters.len() == Self::LENGTH).then_some(Self(letters))
    }

    /// As a letter shows it: `XXXX-XXXX`.
    pub fn shown(&self) -> String {
        let (left, right) = self.0.split_at(Self::LENGTH / 2);
        format!("{left}-{right}")
    }

    /// The bare letters, to be authenticated.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_passes_for_an_option() {
        for _ in 0..1_000 {
            let id = id();
            assert!(is_id(&id) && !id.starts_with('-'), "{id}");
        }
    }

    #[test]
    fn a_token_has_one_spelling() {
        let token = Token::draw();
        assert_eq!(Token::parse(token.reveal()), Some(token.clone()));
        assert_eq!(Token::parse(&format!("{}=", token.reveal())), None);
        assert_eq!(Token::parse(&token.reveal()[..42]), None);
        assert_eq!(Token::parse(""), None);
        // 43 characters carry 258 bits: the two that are left over must be zero.
        let strayed = format!("{}B", "A".repeat(42));
        assert_eq!(Token::parse(&strayed), None);
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = Code::draw();
        let shown = code.shown();
        assert_eq!(shown.len(), 9);
        for typed in [
            shown.clone(),
            shown.to_lowercase(),
            shown.replace('-', ""),
            format!(" {} ", shown.replace('-', " ")),
            // Dashes and spaces of every kind.
            shown.replace('-', "\u{2010}"),
            shown.replace('-', "\u{2011}"),
            shown.replace('-', "\u{2012}"),
            shown.replace('-', " \u{2013} "),
            shown.replace('-', "\u{2014}"),
            shown.replace('-', "\u{2212}"),
            shown.replace('-', "\u{ad}-\u{ff0d}_\u{b7}"),
            shown.replace('-', "\u{a0}\u{202f}\u{3000}"),
            shown.replace('-', "\t\r\n\u{85}\u{2028}"),
            format!(
                "\u{feff}\u{200b}{}\u{200d}\u{2060}\u{200e}",
                shown.replace('-', "\u{200b}-\u{200c}")
            ),
            // What stands around it in a sentence.
            format!("\u{201e}{shown}\u{201c}."),
            format!("\"{shown}\""),
            format!("'{shown}',"),
            format!("*{shown}*"),
            format!("<{shown}>"),
            format!("\u{2022} {shown}\u{2026}"),
            // Letters of another width or style.
            shown.chars().map(full_width).collect(),
            shown.to_lowercase().chars().map(full_width).collect(),
        ] {
            assert_eq!(Code::parse(&typed), Some(code.clone()), "{typed}");
        }
        for typed in [
            "",
            " ",
            "----",
            "BCDF",
            "AEIO-UAEI",
            "BCDF-GHJKL",
            "BCDF-GHJA",
            // A letter of another alphabet is none of ours, however much it looks like one.
            "BCDF-GH\u{458}K",
            "\u{392}CDF-GHJK",
            "\u{412}BCDF-GHJK",
            "Code: BCDF-GHJK",
        ] {
            assert_eq!(Code::parse(typed), None, "{typed}");
        }
        assert_eq!(Code::parse(&"B".repeat(100_000)), None);
    }

    /// As a keyboard for Chinese or Japanese writes it.
    fn full_width(letter: char) -> char {
        match u32::from(letter) {
            sign @ 0x21..=0x7e => char::from_u32(sign + 0xfee0).unwrap_or(letter),
            _ => letter,
        }
    }

    #[test]
    fn every_letter_of_a_code_occurs() {
        let seen: std::collections::BTreeSet<u8> = (0..500)
            .flat_map(|_| Code::draw().as_bytes().to_vec())
            .collect();
        assert_eq!(seen.len(), Code::LETTERS.len());
    }
}
