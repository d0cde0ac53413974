//! Paths of an app, as a rule names them and as a request spells them.
//!
//! Which page a path leads to is decided by the app, and what is asked of it, before the app sees it, here. So whoever
//! finds a spelling that is one page to us and another to the app gets in by it: `/x/..%2fadmin`, `//admin`,
//! `/assets;/../admin`. We do not guess which app reads what how. A path that may be read in two ways is never open, and
//! everything is asked of it that is asked of any path of its host. One that can be read in one way alone is compared as
//! the most lenient app would compare it where more is asked of it, and letter by letter where it is open.

use std::borrow::Cow;
use std::iter;

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use percent_encoding::percent_decode_str;

use crate::config::mistake::{Mistake, Parsed};
use crate::invisible;

const FORM: &str = "a path such as /health, or a folder with all that is in it, such as /assets/*";

/// What an app may take for the end of a path, or of a part of it, and what it may decode once more.
const WITH_A_MEANING: &[char] = &['\\', ';', '?', '#', '%'];

/// One path, or a folder and all that is below it (`/admin/*`, which is `/admin` as well). A program that answers below its
/// own name, too (`/admin.php/users`), is a folder.
#[derive(Clone, PartialEq, Eq)]
pub struct PathPattern {
    /// As it was written, without the `/*`.
    path: String,
    folded: String,
    is_folder: bool,
}

/// The path of a request, which every app reads in the same way but for what [`folded`] makes equal, and for the names of
/// programs in it.
pub(super) struct PlainPath<'r> {
    raw: &'r str,
    folded: String,
}

/// How programs are called that answer below their own name, too, in upper case: `/index.php/admin` is `/admin` to many a
/// front controller (RFC 3875, 4.1.5, `PATH_INFO`).
const PROGRAMS: &[&str] = &[
    ".ASP", ".ASPX", ".CFM", ".CGI", ".DLL", ".EXE", ".FCGI", ".JSP", ".PHP", ".PHTML", ".PL",
    ".PY", ".RB", ".WSGI",
];

impl PathPattern {
    /// Takes a path as people read it: without `%` and without any trick.
    pub fn parse(text: &str) -> Parsed<Self> {
        let (path, is_folder) = match text.strip_suffix("/*") {
            Some(folder) => (folder, true),
            None => (text, false),
        };
        let wrong = |wrong: &str| Mistake::new(wrong, FORM);
        if !text.starts_with('/') {
            return Err(wrong("does not begin with /"));
        }
        if path.contains('*') {
            return Err(wrong("has a * that is not its last part"));
        }
        if path.contains(WITH_A_MEANING) {
            return Err(wrong("has one of the signs \\ ; ? # %"));
        }
        let folded = match path {
            "" => Some(String::new()),
            path if is_folder && path.ends_with('/') => None,
            path => folded_parts(path),
        };
        let folded = folded
            .ok_or_else(|| wrong("has an empty part, one of dots, or a control character"))?;
        Ok(Self {
            path: path.to_owned(),
            folded,
            is_folder,
        })
    }

    /// As [`parse`](Self::parse), of signs alone that stand in a URL as they are: what is open is compared letter by
    /// letter.
    pub(super) fn parse_open(text: &str) -> Parsed<Self> {
        let stands_as_it_is = |byte: u8| byte.is_ascii_graphic() && !b"\"<>^`{|}".contains(&byte);
        match text.bytes().all(stands_as_it_is) {
            true => Self::parse(text),
            false => Err(Mistake::new(
                "has a sign that URLs have in another spelling",
                "the folder above it, such as /assets/*",
            )),
        }
    }

    /// Whether some app may take what was asked for, a path with its query or without, for one of these.
    pub fn may_be(&self, uri: &str) -> bool {
        self.may_cover(PlainPath::of(uri).as_ref())
    }

    /// The same for a path that was read; one with tricks in it may be anything.
    pub(super) fn may_cover(&self, path: Option<&PlainPath>) -> bool {
        path.is_none_or(|path| self.covers(path))
    }

    /// Whether the most lenient reader would take the path for one of these.
    fn covers(&self, path: &PlainPath) -> bool {
        let mut readings = path.readings();
        readings.any(|reading| self.reaches(&self.folded, &reading))
    }

    /// Whether every reader takes the path for one of these.
    pub(super) fn opens(&self, path: &PlainPath) -> bool {
        path.readings().count() == 1 && self.reaches(&self.path, path.raw)
    }

    /// Whether it covers all that the other one opens.
    pub(super) fn covers_all_of(&self, other: &Self) -> bool {
        (self.is_folder || !other.is_folder) && self.reaches(&self.folded, &other.folded)
    }

    /// Whether both cover the same.
    pub(super) fn is_the_same_as(&self, other: &Self) -> bool {
        self.is_folder == other.is_folder && self.folded == other.folded
    }

    fn reaches(&self, own: &str, path: &str) -> bool {
        match path.strip_prefix(own) {
            Some("") => true,
            Some(rest) => self.is_folder && rest.starts_with('/'),
            None => false,
        }
    }
}

impl<'r> PlainPath<'r> {
    /// The path of a request with its query, or nothing where it has tricks in it.
    pub(super) fn of(uri: &'r str) -> Option<Self> {
        Self::parse(uri.split('?').next().unwrap_or(uri))
    }

    /// The path of a request as it was sent, or nothing where it has tricks in it.
    pub(super) fn parse(raw: &'r str) -> Option<Self> {
        let hides_a_part = |escape: &str| raw.to_ascii_lowercase().contains(escape);
        if hides_a_part("%2f") || hides_a_part("%2e") || !escapes_are_whole(raw) {
            return None;
        }
        let decoded = percent_decode_str(raw).decode_utf8().ok()?;
        if decoded.contains(WITH_A_MEANING) {
            return None;
        }
        let folded = folded_parts(&decoded)?;
        Some(Self { raw, folded })
    }

    /// What it may be: itself, and what stands behind the name of a program, in the folder of that or by itself.
    fn readings(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let slashes = self.folded.match_indices('/');
        let halves = slashes.map(|(at, _)| self.folded.split_at(at));
        let behind_programs = halves.filter(|(before, _)| is_program(before));
        let without_them = behind_programs.flat_map(|(before, behind)| {
            let (folder, _) = before.rsplit_once('/').unwrap_or_default();
            [
                Cow::Owned(format!("{folder}{behind}")),
                Cow::Borrowed(behind),
            ]
        });
        iter::once(Cow::Borrowed(&*self.folded)).chain(without_them)
    }
}

fn is_program(path: &str) -> bool {
    PROGRAMS.iter().any(|ending| path.ends_with(ending))
}

/// A `%` that begins no escape is left by one reader, dropped by another, and refused by a third.
fn escapes_are_whole(raw: &str) -> bool {
    raw.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes();
        (0..2).all(|_| digits.next().is_some_and(|byte| byte.is_ascii_hexdigit()))
    })
}

/// The path without a `/` at its end, its parts [`folded`]; nothing where one of them is empty, or would be one to whoever
/// resolves `.` and `..`, or something in it controls a device.
fn folded_parts(path: &str) -> Option<String> {
    let parts = path.strip_prefix('/')?;
    if parts.is_empty() {
        return Some(String::new());
    }
    let mut all = String::with_capacity(path.len());
    for part in parts.strip_suffix('/').unwrap_or(parts).split('/') {
        let part = folded(part);
        let is_more = part.contains(char::is_control) || part.contains(WITH_A_MEANING);
        if part.is_empty() || is_more || part.contains('/') {
            return None;
        }
        all.push('/');
        all.push_str(&part);
    }
    Some(all)
}

/// The form in which two names are equal that may be one to an app, to its file system or to its database: in upper and
/// lower case, of letters of any width and style (NFKD), with accents, which MariaDB's collations pass over, with spaces, which
/// a `+` is to whoever decodes paths as forms are, with signs that nobody sees, with dots at the end.
fn folded(part: &str) -> String {
    const DECOMPOSED: DecomposingNormalizerBorrowed<'_> = DecomposingNormalizerBorrowed::new_nfkd();
    // Before the accents go: one below a Greek vowel is a letter of its own in capitals.
    let capitals = DECOMPOSED.normalize(part).to_lowercase().to_uppercase();
    let signs = DECOMPOSED.normalize_iter(capitals.chars());
    let bare: String = signs.filter(|sign| !counts_for_nothing(*sign)).collect();
    bare.trim_end_matches('.').to_owned()
}

fn counts_for_nothing(sign: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(sign);
    let is_accent = category == GeneralCategory::NonspacingMark;
    is_accent || sign == '+' || invisible::is_passed_over(sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).expect(text)
    }

    fn plain(raw: &str) -> PlainPath<'_> {
        PlainPath::parse(raw).expect(raw)
    }

    #[test]
    fn a_pattern_is_a_path_or_a_folder() {
        for text in [
            "/",
            "/*",
            "/admin",
            "/admin/",
            "/admin/*",
            "/a.b/.well-known/x",
            "/Überblick/*",
            "/my files",
        ] {
            pattern(text);
        }
        for text in [
            "",
            "*",
            "admin",
            "admin/*",
            "https://a/b",
            "/admin*",
            "/*/admin",
            "/a/**",
            "/a/*/*",
            "/a/*/",
            "//admin",
            "/a//b",
            "//",
            "/a//*",
            "/a/../b",
            "/./a",
            "/a/..",
            "/...",
            "/a b/ /c",
            "/a%2fb",
            "/a\\b",
            "/a;b",
            "/a?b",
            "/a#b",
            "/a\tb",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text:?}");
        }
        for text in ["/Überblick/*", "/my files", "/a|b", "/a\u{200b}"] {
            assert!(PathPattern::parse_open(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_path_with_tricks_in_it_is_not_plain() {
        for raw in [
            "",
            "admin",
            "*",
            "https://app.example.org/admin",
            "//",
            "//admin",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/a/.../b",
            "/a/ /b",
            "/a/%20/b",
            "/a/.%20/b",
            "/a%2fb",
            "/a%2Fb",
            "/%2e%2E/b",
            "/a%2ehtml",
            "/a\\b",
            "/a%5cb",
            "/a;b",
            "/a%3Bb",
            "/a%3fb",
            "/a#b",
            "/a%23b",
            "/a%2561",
            "/a%",
            "/a%6",
            "/a%zz",
            "/a%u0061",
            "/a%+6",
            "/a%00",
            "/a%0a",
            "/a\tb",
            "/a\u{85}b",
            "/a%c2%85b",
            "/a%ff",
            "/a%c0%af",
        ] {
            assert!(PlainPath::parse(raw).is_none(), "{raw:?}");
        }
    }

    #[test]
    fn a_demand_covers_what_may_be_the_same_page() {
        for (at, raw) in [
            ("/admin", "/admin"),
            ("/admin", "/ADMIN"),
            ("/admin", "/%61dm%49n/"),
            ("/admin", "/admin."),
            ("/admin", "/admin%20"),
            ("/admin/", "/admin"),
            ("/ADMIN/*", "/admin/users"),
            ("/admin/*", "/admin"),
            ("/admin/*", "/admin/"),
            ("/admin/*", "/admin./users"),
            ("/admin/a..b", "/admin/a..b"),
            ("/Straße", "/STRASSE"),
            ("/keys", "/\u{212a}ey\u{17f}"),
            ("/Cafe\u{301}/*", "/caf%C3%A9/x"),
            ("/caf\u{e9}/*", "/CAFE%CC%81/x"),
            ("/my files/*", "/my%20files/x"),
            ("/my files/*", "/my+files/x"),
            ("/admin", "/admin+"),
            ("/c++/*", "/c++/x"),
            ("/admin/*", "/%C3%A1dmin/x"),
            ("/admin/*", "/\u{101}dm\u{ef}\u{f1}"),
            ("/B\u{fc}cher", "/buCher"),
            ("/admin/*", "/index.php/admin"),
            ("/admin/*", "/index.php/%61dmin/x"),
            ("/admin/*", "/x/app.wsgi/admin"),
            ("/x/admin", "/x/Index.PHP/admin"),
            ("/admin/*", "/a.php/b.cgi/admin"),
            ("/admin.php/*", "/admin.php/users"),
            ("/*", "/"),
            ("/*", "/any"),
            ("/", "/"),
        ] {
            assert!(pattern(at).covers(&plain(raw)), "{at} {raw}");
        }
        for (at, raw) in [
            ("/admin", "/admin/users"),
            ("/admin", "/administrators"),
            ("/admin/*", "/administrators"),
            ("/admin/*", "/a"),
            ("/admin/*", "/x/admin/"),
            ("/admin/*", "/v1.2/admin"),
            ("/admin/*", "/index.php/x/admin"),
            ("/admin/*", "/admin.php"),
            ("/", "/admin"),
        ] {
            assert!(!pattern(at).covers(&plain(raw)), "{at} {raw}");
        }
    }

    #[test]
    fn what_is_open_is_open_letter_by_letter() {
        let assets = PathPattern::parse_open("/assets/*").expect("a pattern");
        for raw in [
            "/assets",
            "/assets/",
            "/assets/app.js",
            "/assets/caf%C3%A9.png",
            "/assets/a%20b",
        ] {
            assert!(assets.opens(&plain(raw)), "{raw}");
        }
        for raw in [
            "/Assets/app.js",
            "/%61ssets/app.js",
            "/assets.",
            "/assetsx",
            "/assets/x.php/admin",
        ] {
            assert!(!assets.opens(&plain(raw)), "{raw}");
        }
        let health = PathPattern::parse_open("/health").expect("a pattern");
        assert!(health.opens(&plain("/health")));
        for raw in ["/health/", "/health/x", "/HEALTH", "/"] {
            assert!(!health.opens(&plain(raw)), "{raw}");
        }
    }

    /// What an app may make of a path before it looks for the page: decoding it, once or twice, and then any of the rest.
    fn readings(raw: &str) -> Vec<String> {
        let mut all = Vec::new();
        for times in 0..3 {
            let mut decoded = raw.to_owned();
            for _ in 0..times {
                let bytes = percent_decode_str(&decoded).collect::<Vec<u8>>();
                decoded = String::from_utf8_lossy(&bytes).into_owned();
            }
            for steps in 0..32 {
                let does = |step: u8| steps & (1 << step) != 0;
                let mut path = decoded.clone();
                if does(0) {
                    path = path.replace('\\', "/");
                }
                if does(1) {
                    let without = |part: &str| part.split(';').next().unwrap().to_owned();
                    path = path.split('/').map(without).collect::<Vec<_>>().join("/");
                }
                if does(2) {
                    while path.contains("//") {
                        path = path.replace("//", "/");
                    }
                }
                if does(3) {
                    path = resolved(&path);
                }
                if does(4) {
                    path = path.to_lowercase();
                }
                all.push(path);
            }
        }
        all
    }

    fn resolved(path: &str) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/').skip(1) {
            match part {
                "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// A path to one of these pages as somebody would spell it who wants to be taken for a visitor of another.
    fn spelling() -> impl Strategy<Value = String> {
        let pages = [
            "admin",
            "admin/users",
            "assets",
            "assets/app.js",
            "assets/admin",
            "health",
            "x",
        ];
        let page = prop::sample::select(pages.to_vec());
        let slash = prop::sample::select(vec![
            "/",
            "/",
            "/",
            "//",
            "/./",
            "/../",
            "/x/../",
            "/..%2f",
            "/%2e%2e/",
            "/.%2E/",
            "%2f",
            "%252f",
            "/%252e%252e/",
            "\\",
            "%5c",
            "/..\\",
            "/;a=b/",
            ";a=b/",
            ";/",
            "/..;/",
            "/%3b/",
            "/ /",
            "/%20/",
            "/.../",
            "/%00/",
            "/\t/",
            "%",
            "/%u002e/",
            "?",
            "#",
            "%23/",
            "%3f/",
        ]);
        let letters = prop::collection::vec(0..8_u8, 16);
        let part = (slash, page, letters).prop_map(|(slash, page, how)| {
            let spelt = page
                .chars()
                .zip(how.into_iter().cycle())
                .map(|(letter, how)| match (letter, how) {
                    ('/', _) | (_, 0..5) => letter.to_string(),
                    (_, 5) => letter.to_uppercase().to_string(),
                    (_, 6) => format!("%{:02x}", u32::from(letter)),
                    (_, _) => format!("%25{:02X}", u32::from(letter)),
                });
            slash.to_owned() + &spelt.collect::<String>()
        });
        let end = prop::sample::select(vec![
            "", "", "/", "/.", "/..", ".", ";", "%20", "%2f", "//", "%",
        ]);
        (prop::collection::vec(part, 1..4), end).prop_map(|(parts, end)| parts.concat() + end)
    }

    /// What a strict app takes for one of these pages.
    fn is_strictly(pattern: &PathPattern, path: &str) -> bool {
        pattern.reaches(&pattern.path, path)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn no_spelling_gets_less_than_its_page_asks(raw in spelling()) {
            let (raw, _) = raw.split_once('?').unwrap_or((&raw, ""));
            for at in ["/admin", "/admin/*", "/assets/admin", "/health", "/x/*"].map(pattern) {
                let is_meant = readings(raw).iter().any(|path| is_strictly(&at, path));
                let is_covered = at.may_be(raw);
                prop_assert!(is_covered || !is_meant, "{raw:?} is {}", at.path);
            }
        }

        #[test]
        fn no_spelling_is_open_that_is_not_so_to_every_reader(raw in spelling()) {
            let (raw, _) = raw.split_once('?').unwrap_or((&raw, ""));
            for open in ["/assets/*", "/health", "/x", "/admin/users"].map(pattern) {
                let is_open = PlainPath::parse(raw).is_some_and(|path| open.opens(&path));
                let is_always = readings(raw).iter().all(|path| is_strictly(&open, path));
                prop_assert!(!is_open || is_always, "{raw:?} is not {}", open.path);
            }
        }

        #[test]
        fn no_text_gets_less_than_its_page_asks(raw in "/([aA/.;%2fe5c\\\\]|%[aA0-9]{2}|\\PC){0,12}") {
            for at in ["/a", "/a/*", "/aa/a", "/e/*"].map(pattern) {
                let is_meant = readings(&raw).iter().any(|path| is_strictly(&at, path));
                let is_covered = at.may_be(&raw);
                prop_assert!(is_covered || !is_meant, "{raw:?} is {}", at.path);
            }
        }

        #[test]
        fn a_path_as_people_read_it_is_covered_by_itself_as_browsers_write_it(parts in "(/[\\p{L}\\p{M}0-9_~-]{1,6}){1,3}") {
            // A part of nothing that is seen is none.
            let at = PathPattern::parse(&parts);
            prop_assume!(at.is_ok());
            let at = at.expect(&parts);
            let raw = percent_encoding::utf8_percent_encode(&parts, percent_encoding::CONTROLS).to_string();
            for raw in [&raw, &parts, &parts.to_lowercase(), &parts.to_uppercase()] {
                prop_assert!(at.covers(&plain(raw)), "{raw:?}");
            }
        }
    }
}
