//! Signs that nobody sees: what copying, pasting and automatic spacing leave in a text.
//!
//! Whoever typed something cannot find them, so that at its ends they are passed over, and inside it they are
//! named as what they are. What ends a line or controls a device is never passed over: it is how somebody
//! else's lines get into a header or a log.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Whether nothing of it is to be seen: white space, format and control characters, and letters that leave a blank.
pub fn is_invisible(sign: char) -> bool {
    sign.is_whitespace() || sign.is_control() || is_format(sign) || leaves_a_blank(sign)
}

/// The text without the invisible signs at its ends.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(is_passed_over)
}

/// A line of visible text, without what nobody sees around it; or what is in it and may not be. Nothing may hide, break
/// the line or turn the direction of what follows; the signs that join letters are needed to write some languages, and
/// the one that makes a picture of a letter for pictures.
pub fn visible_line(text: &str) -> Result<&str, char> {
    let makes_a_picture = |sign: char| sign == '\u{fe0f}';
    let line = text
        .trim_matches(|sign| is_passed_over(sign) && !makes_a_picture(sign))
        .trim_start_matches(makes_a_picture);
    let joins = |sign: char| matches!(sign, ' ' | '\u{200c}' | '\u{200d}');
    let is_seen = |sign| joins(sign) || makes_a_picture(sign) || !is_invisible(sign);
    match line.chars().find(|sign| !is_seen(*sign)) {
        Some(hidden) => Err(hidden),
        None => Ok(line),
    }
}

/// Whether it is one of those that are passed over at the ends.
pub fn is_passed_over(sign: char) -> bool {
    is_invisible(sign) && !ends_a_line_or_controls(sign)
}

/// What it is called, after "There is": `a zero-width space (U+200B)`.
pub fn name_of(sign: &char) -> String {
    let name = match *sign {
        '\n' | '\r' | '\u{85}' => "a line break",
        '\t' => "a tab",
        ' ' => "a space",
        '\u{a0}' | '\u{202f}' => "a no-break space",
        '\u{ad}' => "a soft hyphen",
        '\u{200b}' => "a zero-width space",
        '\u{200c}' | '\u{200d}' => "a zero-width joiner",
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "an invisible mark of the writing direction"
        }
        '\u{2028}' | '\u{2029}' => "a line separator",
        '\u{2060}' => "a word joiner",
        '\u{feff}' => "a byte order mark",
        _ if sign.is_control() => "a control character",
        _ if sign.is_whitespace() => "a space of an unusual kind",
        _ => "an invisible character",
    };
    format!("{name} (U+{:04X})", u32::from(*sign))
}

/// Format characters, and what else programs are asked to ignore that cannot show it: variation selectors, fillers.
fn is_format(sign: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(sign);
    category == GeneralCategory::Format
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(sign)
}

/// The empty cell of Braille, and the place of a picture that did not come along.
fn leaves_a_blank(sign: char) -> bool {
    matches!(sign, '\u{2800}' | '\u{fffc}')
}

fn ends_a_line_or_controls(sign: char) -> bool {
    sign.is_control() || matches!(sign, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_passed_over_at_the_ends_and_nowhere_else() {
        for sign in [
            ' ',
            '\u{a0}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{1680}',
            '\u{180e}',
            '\u{2003}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202e}',
            '\u{202f}',
            '\u{2060}',
            '\u{2069}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fffc}',
            '\u{e0001}',
        ] {
            let text = format!("{sign}{sign}a{sign}b{sign}");
            assert_eq!(trimmed(&text), format!("a{sign}b"), "{sign:?}");
        }
        for text in [
            "a\n",
            "\ra",
            "\ta",
            "a\0",
            "a\u{85}",
            "\u{2028}a",
            "a\u{2029}",
            "\u{7f}a",
            "-a-",
            "ä",
        ] {
            assert_eq!(trimmed(text), text, "{text:?}");
        }
    }

    #[test]
    fn each_is_called_by_its_name() {
        for (sign, name) in [
            ('\u{a0}', "a no-break space (U+00A0)"),
            ('\u{200b}', "a zero-width space (U+200B)"),
            ('\u{feff}', "a byte order mark (U+FEFF)"),
            ('\t', "a tab (U+0009)"),
            ('\0', "a control character (U+0000)"),
            ('\u{2009}', "a space of an unusual kind (U+2009)"),
            ('\u{fe0f}', "an invisible character (U+FE0F)"),
        ] {
            assert!(is_invisible(sign));
            assert_eq!(name_of(&sign), name);
        }
    }
}
