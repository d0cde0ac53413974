//! docs/extend.md, typed as it stands into an empty folder, gives the app that is built and driven here.
//!
//! In the page's walkthroughs a block of commands is run. Any other block is the file that the last link before it
//! names, or, as a diff, what changes in that file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

#[test]
fn what_the_page_has_one_type_is_this_app() {
    let desk = Desk::empty();
    let page = fs::read_to_string(clone().join("docs/extend.md")).unwrap();
    let mut walkthroughs = 0;
    for section in page.split("\n## ").skip(1) {
        let is_walkthrough = section.starts_with(|c: char| c.is_ascii_digit());
        if section.starts_with("An empty folder") {
            desk.runs(&commands_of(section), desk.0.path());
        } else if is_walkthrough {
            desk.types(section);
            desk.needs_nothing_that_comes_later();
            walkthroughs += 1;
        }
    }
    assert_eq!(walkthroughs, 3);

    let (typed, ours) = (desk.files(), files_of_this_app());
    let names: BTreeSet<&String> = typed.keys().chain(ours.keys()).collect();
    for name in names {
        assert_eq!(typed.get(name), ours.get(name), "{name}");
    }
    desk.has_our_dependencies();
}

/// Where it is typed: an empty folder beside a clone.
struct Desk(TempDir);

impl Desk {
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(clone(), folder.path().join("doorpost")).unwrap();
        Self(folder)
    }

    fn notebook(&self) -> PathBuf {
        self.0.path().join("notebook")
    }

    fn runs(&self, commands: &str, at: &Path) {
        let ended = Command::new("sh")
            .args(["-eu", "-c", commands])
            .current_dir(at)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{commands}\n{ended:?}");
    }

    fn types(&self, section: &str) {
        for block in blocks_of(section) {
            match block.language {
                "sh" => self.runs(&format!("{}\n", block.text), &self.notebook()),
                "console" => {}
                "diff" => self.changes(block.file, block.text),
                _ => self.writes(block.file, block.text),
            }
        }
    }

    fn writes(&self, file: &str, text: &str) {
        let path = self.notebook().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    /// Puts what is marked with + beside what is not, at the one place in the file that reads so.
    fn changes(&self, file: &str, diff: &str) {
        let path = self.notebook().join(file);
        let mut text = fs::read_to_string(&path).unwrap();
        for hunk in diff.split("\n@@\n") {
            let side = |left_out: char| -> String {
                let lines = hunk.lines().filter(|line| !line.starts_with(left_out));
                lines.flat_map(|line| [&line[1..], "\n"]).collect()
            };
            let (before, after) = (side('+'), side('-'));
            assert_eq!(
                text.matches(&before).count(),
                1,
                "{file} has no one place:\n{before}"
            );
            text = text.replace(&before, &after);
        }
        fs::write(path, text).unwrap();
    }

    /// It would compile as it is: no module and no template is named before it was typed. (What else there is, the
    /// compiler sees, which builds all of it.)
    fn needs_nothing_that_comes_later(&self) {
        let files = self.files();
        let sources = files.iter().filter(|(name, _)| name.ends_with(".rs"));
        for (name, source) in sources {
            let modules = words_after(source, "\nmod ").chain(words_after(source, "crate::"));
            let templates = source.split("#[template(path = \"").skip(1);
            let needed: Vec<String> = modules
                .map(|module| format!("src/{module}.rs"))
                .chain(
                    templates.map(|rest| format!("templates/{}", rest.split('"').next().unwrap())),
                )
                .collect();
            for file in needed {
                assert!(
                    files.contains_key(&file),
                    "{name} needs {file}, which is not typed yet"
                );
            }
        }
    }

    /// What was typed, and nothing that cargo keeps.
    fn files(&self) -> BTreeMap<String, String> {
        files_below(&self.notebook(), &["src", "templates", "migrations"])
    }

    /// With the versions that Doorpost has, as its lock names them.
    fn has_our_dependencies(&self) {
        let typed = fs::read_to_string(self.notebook().join("Cargo.toml")).unwrap();
        let ours = fs::read_to_string(this_app().join("Cargo.toml")).unwrap();
        for copied in ["Cargo.lock", ".cargo/config.toml"] {
            let read = |folder: PathBuf| fs::read_to_string(folder.join(copied)).unwrap();
            assert_eq!(read(self.notebook()), read(clone()), "{copied}");
        }
        let typed = typed.replace("\"../doorpost\"", "\"../..\"");
        assert_eq!(dependencies(&typed), dependencies(&ours));
        assert!(typed.contains("\n[profile.dev"), "{typed}");
        self.runs(
            "cargo tree --offline --quiet >tree && grep -q ' argon2 ' tree",
            &self.notebook(),
        );
    }
}

struct Block<'a> {
    /// The last one that was linked to before it.
    file: &'a str,
    language: &'a str,
    text: &'a str,
}

fn blocks_of(section: &str) -> Vec<Block<'_>> {
    let mut parts = section.split("\n```");
    let (mut words, mut file, mut blocks) = (parts.next().unwrap(), "", Vec::new());
    while let (Some(block), Some(after)) = (parts.next(), parts.next()) {
        if let Some((_, linked)) = words.rsplit_once("](../tests/own_app/") {
            file = linked.split(')').next().unwrap();
        }
        let (language, text) = block.split_once('\n').unwrap();
        blocks.push(Block {
            file,
            language,
            text,
        });
        words = after;
    }
    blocks
}

fn commands_of(section: &str) -> String {
    let commands = blocks_of(section)
        .into_iter()
        .filter(|block| block.language == "sh");
    commands.map(|block| format!("{}\n", block.text)).collect()
}

fn words_after<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(mark).skip(1).map(|rest| {
        let is_of_it = |c: char| c.is_ascii_alphanumeric() || c == '_';
        rest.split(|c| !is_of_it(c)).next().unwrap()
    })
}

fn dependencies(manifest: &str) -> BTreeSet<&str> {
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
    let table = rest.split("\n[").next().unwrap();
    table.lines().filter(|line| line.contains('=')).collect()
}

fn files_of_this_app() -> BTreeMap<String, String> {
    files_below(this_app(), &["src", "templates", "migrations"])
}

fn files_below(root: &Path, folders: &[&str]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.exists() {
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            files.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    files
}

fn this_app() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn clone() -> PathBuf {
    this_app().join("../..").canonicalize().unwrap()
}
