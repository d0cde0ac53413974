//! The one secret from which all keys are derived, as the operator writes it.

use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::mistake::{Mistake, Parsed};

/// How one is made.
pub(super) const HOW_TO_MAKE_ONE: &str = "the output of `head -c 64 /dev/urandom | base64 -w 0`";

/// Even 64 random hexadecimal digits hold 16 different ones; less than this is a word over and over.
const FEWEST_VALUES: usize = 12;

/// 64 random bytes, wiped from memory when dropped; `Debug` does not show them.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 64]>);

impl SecretKey {
    /// Takes 64 bytes in base64 (RFC 4648, section 4), or `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
        let bytes = <[u8; 64]>::try_from(bytes.as_slice()).ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// What other keys are derived from.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

/// A key that the operator has set, if it looks random.
pub(super) fn chosen(text: &str) -> Parsed<SecretKey> {
    let wrong = |wrong| Mistake::new(wrong, HOW_TO_MAKE_ONE);
    let key = SecretKey::parse(text).ok_or_else(|| wrong("is not 64 bytes in base64"))?;
    if is_a_pattern(key.as_bytes()) {
        return Err(wrong("is not random"));
    }
    Ok(key)
}

/// Whether the bytes are few different ones over and over, or go up in even steps.
fn is_a_pattern(bytes: &[u8]) -> bool {
    let values: HashSet<u8> = bytes.iter().copied().collect();
    let steps: HashSet<u8> = bytes
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect();
    values.len() < FEWEST_VALUES || steps.len() < FEWEST_VALUES
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes without a pattern, the same at every run.
    fn bytes() -> [u8; 64] {
        std::array::from_fn(|i| ((i * i * 37 + i * 101) % 251) as u8)
    }

    #[test]
    fn sixty_four_random_bytes_are_a_key() {
        let key = chosen(&BASE64.encode(bytes())).expect("a key");
        assert_eq!(key.as_bytes(), &bytes());
        assert_eq!(format!("{key:?}"), "SecretKey(…)");
    }

    #[test]
    fn random_digits_are_a_key_too() {
        let digits: String = bytes()[..32]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(chosen(&BASE64.encode(digits)).is_ok());
    }

    #[test]
    fn short_long_and_patterned_keys_are_refused() {
        let repeated: Vec<u8> = b"0123456789".repeat(7)[..64].to_vec();
        let counted: Vec<u8> = (0..64).collect();
        let typed = b"changemechangemechangemechangemechangemechangemechangemechangeme";
        for weak in [
            &[][..],
            &bytes()[..32],
            &bytes()[..63],
            &bytes().repeat(2)[..65],
            &[0; 64],
            &repeated,
            &counted,
            typed,
        ] {
            assert!(chosen(&BASE64.encode(weak)).is_err(), "{weak:?}");
        }
        for text in ["changeme", "not base64!", "…"] {
            assert!(chosen(text).is_err(), "{text}");
        }
    }
}
