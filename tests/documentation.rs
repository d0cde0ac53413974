//! What the pages of the documentation say of each other, of their pictures and of the tests is so: no link leads
//! nowhere, no picture is without words, and no promise rests on a test that is not there any more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// Within the repository: what is elsewhere, nobody here can promise.
#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for page in pages() {
        for link in page.links().filter(|link| !link.contains(':')) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.path.clone(),
                _ => page.path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", page.path.display());
            let is_there = anchor.is_empty() || Page::read(target).anchors().contains(anchor);
            assert!(is_there, "{}: no heading for {link}", page.path.display());
            followed += 1;
        }
    }
    assert!(followed > 60, "only {followed} links were found");
}

/// Else a picture of yesterday's page stays in the repository, or one is nothing to whoever does not see it.
#[test]
fn every_picture_is_shown_and_has_words() {
    const ENOUGH: usize = 20;
    let mut shown = BTreeSet::new();
    for page in pages() {
        for (picture, words) in page.pictures() {
            assert!(
                words.len() >= ENOUGH,
                "{}: {picture} has no words but {words:?}",
                page.path.display()
            );
            shown.insert(page.path.parent().unwrap().join(picture));
        }
    }
    let kept: BTreeSet<PathBuf> = files("docs/pictures").collect();
    assert!(!kept.is_empty(), "there is no picture");
    assert_eq!(shown, kept, "what is shown, and what there is");
}

/// The tests of `tests/` by the name that `tests/run` takes; those beside the program's code (`…::tests::…`) by theirs.
#[test]
fn every_test_that_a_promise_names_is_there() {
    let told = Command::new(std::env::current_exe().unwrap())
        .arg("--list")
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let tests: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect();
    let promises = ["docs/security.md", "docs/interleavings.md"];
    let promises = promises.map(|page| Page::read(root().join(page)));
    let named: BTreeSet<String> = promises
        .iter()
        .flat_map(Page::code)
        .filter(|code| is_the_name_of_a_test(code))
        .collect();
    assert!(named.len() > 100, "only {} tests are named", named.len());
    for name in &named {
        let is_there = match name.split_once("::tests::") {
            Some((module, test)) => is_beside_the_code(module, test),
            // A test that runs on both databases is a module of two.
            None => tests
                .iter()
                .filter_map(|test| test.strip_prefix(name.as_str()))
                .any(|rest| rest.is_empty() || rest.starts_with("::")),
        };
        assert!(is_there, "{name} is named, and no test");
    }
}

fn is_the_name_of_a_test(code: &str) -> bool {
    code.contains("::")
        && code
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c))
}

fn is_beside_the_code(module: &str, test: &str) -> bool {
    let module = root().join("src").join(module.replace("::", "/"));
    [module.with_extension("rs"), module.join("tests.rs")]
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .any(|text| {
            let (before, _) = text.split_once(&format!("fn {test}(")).unwrap_or_default();
            let attributes = before.rsplit_once('}').map_or(before, |(_, own)| own);
            attributes.contains("test]") || attributes.contains("test(")
        })
}

/// And which proxies there are files for, the page says of each.
#[test]
fn every_file_for_a_proxy_is_told_of_on_its_page() {
    const INSTALLED: &str = "/usr/share/doorpost/gateway/";
    let page = root().join("docs/gateway.md");
    let page = fs::read_to_string(page).unwrap();
    for file in files("deploy/gateway") {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(page.contains(name), "nothing is said of {name}");
    }
    let named = page.split(INSTALLED).skip(1);
    let named: Vec<&str> = named
        .filter_map(|rest| rest.split([' ', '`', ')', '\n']).next())
        .filter(|name| !name.is_empty())
        .collect();
    assert!(named.len() > 5, "only {named:?}");
    for name in named {
        let is_there = root().join("deploy/gateway").join(name).is_file();
        assert!(is_there, "{INSTALLED}{name}");
    }
}

/// Whoever upgrades looks there first.
#[test]
fn the_changelog_begins_with_the_version_of_the_program() {
    let changelog = fs::read_to_string(root().join("docs/CHANGELOG.md")).unwrap();
    let (_, newest) = changelog.split_once("\n## ").unwrap();
    let version = concat!("[", env!("CARGO_PKG_VERSION"), "] ");
    assert!(newest.starts_with(version), "{newest:.20}");
}

// --- the pages ---

struct Page {
    path: PathBuf,
    text: String,
}

/// What a visitor of the repository reads.
fn pages() -> impl Iterator<Item = Page> {
    ["", "docs", ".github"]
        .into_iter()
        .flat_map(files)
        .filter(|path| path.extension().is_some_and(|is| is == "md"))
        .map(Page::read)
}

impl Page {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        Self { path, text }
    }

    fn links(&self) -> impl Iterator<Item = String> {
        Parser::new(&self.text).filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.into_string()),
            _ => None,
        })
    }

    /// Each with what is said instead of it.
    fn pictures(&self) -> Vec<(String, String)> {
        let (mut pictures, mut words) = (Vec::new(), String::new());
        let mut file = None;
        for event in Parser::new(&self.text) {
            match event {
                Event::Start(Tag::Image { dest_url, .. }) => {
                    file = Some(dest_url.into_string());
                    words.clear();
                }
                Event::Text(text) => words += &text,
                Event::SoftBreak => words.push(' '),
                Event::End(TagEnd::Image) => {
                    pictures.extend(file.take().map(|file| (file, words.clone())));
                }
                _ => {}
            }
        }
        pictures
    }

    fn code(&self) -> impl Iterator<Item = String> {
        Parser::new(&self.text).filter_map(|event| match event {
            Event::Code(code) => Some(code.into_string()),
            _ => None,
        })
    }

    /// What its headings are called in an address, as GitHub and others have it.
    fn anchors(&self) -> BTreeSet<String> {
        let (mut anchors, mut heading) = (BTreeSet::new(), None);
        for event in Parser::new(&self.text) {
            match (event, &mut heading) {
                (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
                (Event::Text(text) | Event::Code(text), Some(heading)) => *heading += &text,
                (Event::End(TagEnd::Heading(_)), _) => {
                    anchors.extend(heading.take().map(|heading| anchor_of(&heading)));
                }
                _ => {}
            }
        }
        anchors
    }
}

fn anchor_of(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let heading: String = heading.to_lowercase().chars().filter(kept).collect();
    heading.replace(' ', "-")
}

fn files(folder: &str) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
