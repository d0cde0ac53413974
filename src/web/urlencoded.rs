//! What stands in a query, and in the body of a form: names and values, read strictly.
//!
//! Every byte is valid UTF-8, and no name comes twice: two readers might take different values.

use std::collections::BTreeMap;

use percent_encoding::percent_decode;

/// It cannot be read, or not in one way alone.
#[derive(Debug)]
pub struct Malformed;

/// The fields of an urlencoded text, each at most once.
pub fn pairs(encoded: &[u8]) -> Result<BTreeMap<String, String>, Malformed> {
    let mut fields = BTreeMap::new();
    for pair in encoded.split(|byte| *byte == b'&') {
        if pair.is_empty() {
            continue;
        }
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        if fields.insert(decode(name)?, decode(value)?).is_some() {
            return Err(Malformed);
        }
    }
    Ok(fields)
}

fn decode(encoded: &[u8]) -> Result<String, Malformed> {
    let spaced: Vec<u8> = encoded
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let bytes: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8(bytes).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_once_and_as_they_are() {
        let read = pairs(b"a=1&b=x+y%26&&c").unwrap();
        assert_eq!(read["a"], "1");
        assert_eq!(read["b"], "x y&");
        assert_eq!(read["c"], "");
        for bad in [&b"a=1&a=2"[..], b"a=%ff", b"%c3=1", b"a=\xff"] {
            assert!(pairs(bad).is_err());
        }
    }
}
