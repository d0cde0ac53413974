//! Which letters of a name are what they seem.
//!
//! `аррlе.example` in Cyrillic and Latin letters looks like a name that everybody knows. So a label is shown in its
//! own letters only if all of them are of one script, or of those that are written together in Chinese, Japanese or
//! Korean (UTS 39, 5.2); and not if it is written in another script with nothing but letters that look Latin.

use icu_properties::CodePointMapData;
use icu_properties::props::Script;

/// Scripts that are written together.
const TOGETHER: [&[Script]; 3] = [
    &[Script::Han, Script::Hiragana, Script::Katakana],
    &[Script::Han, Script::Bopomofo],
    &[Script::Han, Script::Hangul],
];

/// Letters, by their script, that look like Latin ones.
const LOOK_LATIN: [(Script, &str); 3] = [
    (Script::Cyrillic, "асԁеһіјӏорԛѕԝхуъьҽпгѵѡ"),
    (Script::Greek, "αικνρυωηοτχγϲϳ"),
    (Script::Armenian, "հոսւօց"),
];

/// Whether this label of a name under this top-level label is taken for no other by its letters.
pub(super) fn are_what_they_seem(label: &[char], top_level: &[char]) -> bool {
    let mut scripts: Vec<Script> = label.iter().map(|letter| script_of(*letter)).collect();
    scripts.retain(|script| ![Script::Common, Script::Inherited].contains(script));
    scripts.sort_unstable();
    scripts.dedup();
    match scripts[..] {
        [] => false,
        [Script::Latin] => label.iter().all(|letter| is_everyday_latin(*letter)),
        [script] => !top_level.iter().all(char::is_ascii) || !looks_latin(script, label),
        _ => TOGETHER
            .iter()
            .any(|together| scripts.iter().all(|script| together.contains(script))),
    }
}

fn script_of(letter: char) -> Script {
    CodePointMapData::<Script>::new().get(letter)
}

/// Not the letters of phonetic notation, some of which nobody can tell from others.
fn is_everyday_latin(letter: char) -> bool {
    matches!(letter, '\0'..='\u{24f}' | '\u{300}'..='\u{36f}' | '\u{1e00}'..='\u{1eff}')
        || script_of(letter) != Script::Latin
}

fn looks_latin(script: Script, label: &[char]) -> bool {
    let looks = LOOK_LATIN
        .iter()
        .find(|(of, _)| *of == script)
        .map_or("", |(_, letters)| letters);
    label
        .iter()
        .all(|letter| looks.contains(*letter) || script_of(*letter) != script)
}

#[cfg(test)]
mod tests {
    use crate::domain_name::{DomainName, shown};

    #[test]
    fn a_name_is_shown_in_its_letters_where_they_deceive_nobody() {
        for name in [
            "example.org",
            "bücher.example",
            "straße.example",
            "łódź.example",
            "việtnam.example",
            "mañana.example",
            "παράδειγμα.example",
            "пример.example",
            "москва.example",
            "почта.рф",
            "сор.рф",
            "例え.テスト",
            "カフェ2.example",
            "中文.example",
            "한국어.example",
            "مثال.example",
            "דוגמה.example",
            "उदाहरण.example",
            "ตัวอย่าง.example",
        ] {
            let ascii = DomainName::parse(name).expect("a name");
            assert_eq!(shown(ascii.as_str()), name);
        }
    }

    #[test]
    fn a_name_that_looks_like_another_is_shown_as_it_is_kept() {
        for name in [
            "аррle.example", // Cyrillic, then Latin
            "аррӏе.example", // nothing but Cyrillic, and looks Latin
            "раураӏ.example",
            "οκ.example",       // Greek
            "gοοgle.example",   // Latin and Greek
            "ɡoogle.example",   // a letter of phonetic notation
            "paypal漢.example", // Latin and Han
            "мicrosoft.example",
        ] {
            let ascii = DomainName::parse(name).expect("a name");
            let kept = ascii.as_str();
            assert!(kept.contains("xn--"), "{name}");
            assert_eq!(shown(kept), kept, "{name}");
        }
        // One label does not answer for another.
        let ascii = DomainName::parse("bücher.аррle.example").expect("a name");
        let (first, rest) = ascii.as_str().split_once('.').expect("labels");
        assert!(first.starts_with("xn--"));
        assert_eq!(shown(ascii.as_str()), format!("bücher.{rest}"));
        assert_eq!(shown("xn--a.example"), "xn--a.example");
    }
}
