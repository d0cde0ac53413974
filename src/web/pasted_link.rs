//! A link that was pasted where the code beside it was wanted: it leads where a click on it would have led.

use url::{Position, Url};

use crate::config::PublicUrl;
use crate::invisible;
use crate::web::next::Next;

/// What a sentence, a quotation or a mail program puts behind a link. No link of ours ends so.
const BEHIND: [char; 14] = [
    '.', ',', ';', ':', '!', ')', ']', '>', '"', '\'', '\u{bb}', '\u{2019}', '\u{201c}', '\u{201d}',
];

/// The page of this site that a link in this text leads to, if there is one. It is followed by GET, like any other.
pub fn page_of(typed: &str, site: &PublicUrl) -> Option<Next> {
    // It may have been broken into lines on its way.
    let text: String = typed
        .chars()
        .filter(|sign| !invisible::is_invisible(*sign))
        .collect();
    let link = &text[text.to_ascii_lowercase().find("http")?..];
    let link = Url::parse(link.trim_end_matches(BEHIND)).ok()?;
    let site = Url::parse(site.as_str()).ok()?;
    let is_ours = link.origin() == site.origin();
    is_ours
        .then(|| Next::here(&link[Position::BeforePath..]))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_ours_is_followed_whatever_stands_around_it_and_no_other() {
        let site = PublicUrl::parse("https://sign.example.org").unwrap();
        let way = "/sign-in/link?token=abc-DEF_1";
        for typed in [
            "https://sign.example.org/sign-in/link?token=abc-DEF_1",
            "HTTPS://SIGN.example.org/sign-in/link?token=abc-DEF_1",
            "  https://Sign.Example.org:443/sign-in/link?token=abc-DEF_1 \r\n",
            "<https://sign.example.org/sign-in/link?token=abc-DEF_1>",
            "(see \u{201e}https://sign.example.org/sign-in/link?token=abc-DEF_1\u{201c}).",
            "https://sign.example.org/sign-in/\r\n link?token=abc\u{200b}-DEF_1",
        ] {
            let page = page_of(typed, &site);
            assert_eq!(page.as_ref().map(Next::as_str), Some(way), "{typed:?}");
        }
        for typed in [
            "",
            "BCDF-GHJK",
            "sign.example.org",
            "https://e.test/sign-in/link?token=abc",
            "http://sign.example.org/sign-in/link?token=abc",
            "https://sign.example.org:8443/sign-in/link?token=abc",
            "https://sign.example.org@e.test/",
            "https://sign.example.org.e.test/",
            "https://e.test\\@sign.example.org/",
            "https://e.test/https://sign.example.org/",
            "https://sign.example.org//e.test",
            "javascript:alert(1)//https://e.test",
        ] {
            assert_eq!(page_of(typed, &site), None, "{typed:?}");
        }
    }
}
