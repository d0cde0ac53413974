//! What its owner calls a passkey.

use crate::invisible;

/// A name that its owner gave a passkey, to tell it from others: one short line that can be seen. It is shown to the
/// owner alone, as somebody's words, and stands in no letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAName {
    Empty,
    TooLong,
    /// Something in it is not seen: it breaks the line, or turns the direction of what follows.
    Invisible(char),
}

impl Name {
    /// The most characters it may have.
    pub const MOST: usize = 64;

    /// Takes a line of visible text, without what nobody sees around it.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let text = invisible::visible_line(text).map_err(NotAName::Invisible)?;
        match text.chars().count() {
            0 => Err(NotAName::Empty),
            1..=Self::MOST => Ok(Self(text.to_owned())),
            _ => Err(NotAName::TooLong),
        }
    }

    /// To be stored, or shown as what somebody wrote.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_short_line_that_can_be_seen() {
        let name = |text: &str| Name::parse(text).map(|name| name.0);
        assert_eq!(name("  My phone\u{a0}").as_deref(), Ok("My phone"));
        assert_eq!(name("Ключ 🔑").as_deref(), Ok("Ключ 🔑"));
        assert_eq!(name(&"ä".repeat(64)).unwrap().chars().count(), 64);
        assert_eq!(name(&"ä".repeat(65)), Err(NotAName::TooLong));
        for nothing in ["", "  ", "\u{200b}\u{2003}"] {
            assert_eq!(name(nothing), Err(NotAName::Empty), "{nothing:?}");
        }
        for sign in ['\n', '\0', '\u{202e}', '\u{2066}', '\u{ad}', '\u{2028}'] {
            let text = format!("My{sign}phone");
            assert_eq!(name(&text), Err(NotAName::Invisible(sign)), "{sign:?}");
        }
    }
}
