//! What Doorpost is made of and what it becomes: where each crate comes from and under which licence, what no
//! line of ours may say, and what the built program needs of the machine it is put on.
//!
//! `.deny.toml` is the rule; `cargo deny check` reads it with an advisory database at hand. Here the same file
//! is held against `Cargo.lock` and the crates themselves, with nothing but cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::program::{ANY_PORT, Doorpost, everything_in};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// SUP-01: the lock file is whole, and nothing in it comes from anywhere but crates.io.
#[test]
fn every_crate_is_locked_to_a_checksum_of_crates_io() {
    let lock = read("Cargo.lock");
    let packages: Vec<BTreeMap<&str, &str>> = lock
        .split("[[package]]")
        .skip(1)
        .map(|package| {
            let lines = package.lines().filter_map(|line| line.split_once(" = "));
            lines
                .map(|(key, value)| (key, value.trim_matches('"')))
                .collect()
        })
        .collect();
    assert!(packages.len() > 200, "the lock file was not understood");
    let mut ours = Vec::new();
    for package in &packages {
        match (package.get("source"), package.get("checksum")) {
            (None, None) => ours.push(package["name"]),
            (Some(&CRATES_IO), Some(sum)) => assert_eq!(sum.len(), 64, "{package:?}"),
            _ => panic!("it does not come from crates.io: {package:?}"),
        }
    }
    assert_eq!(ours, ["doorpost", "doorpost-manual", "own_app"]);
}

/// SUP-01: what `cargo deny check licenses` says of the crates that are built here. An exception is for the tests
/// alone: nothing of it is in the program.
#[test]
fn every_crate_has_a_licence_that_asks_no_more_than_to_be_named() {
    let deny = read(".deny.toml");
    let allowed = quoted_in(&deny, "allow = [");
    assert!(allowed.contains(&"MIT"), "{allowed:?}");
    let known = known_to_cargo();
    let shipped = shipped(&known);
    for package in known["packages"].as_array().unwrap() {
        let [id, name, licence] =
            ["id", "name", "license"].map(|key| package[key].as_str().unwrap_or_default());
        let excepted = format!("{{ crate = \"{name}\", allow = [\"{licence}\"] }}");
        let is_excepted = deny.contains(&excepted) && !shipped.contains(id);
        assert!(
            is_excepted || is_allowed(licence, &allowed),
            "{name} is under {licence:?}, which .deny.toml does not allow"
        );
    }
}

/// SUP-01, SUP-03
#[test]
fn no_crate_that_was_ruled_out_is_in_the_lock_file() {
    let (deny, lock) = (read(".deny.toml"), read("Cargo.lock"));
    let (_, bans) = deny.split_once("\ndeny = [").unwrap();
    let ruled_out: Vec<&str> = bans
        .split("{ crate = \"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"').map(|(name, _)| name))
        .collect();
    assert!(ruled_out.len() > 5, "{ruled_out:?}");
    for name in ruled_out {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name}");
    }
}

/// Every crate that is built on this kind of machine, tests included, and which needs which.
fn known_to_cargo() -> Value {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let asked = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(["--filter-platform", &platform])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.success(), "the lock file is stale: {told}");
    let known: Value = serde_json::from_slice(&asked.stdout).unwrap();
    let packages = known["packages"].as_array().unwrap();
    assert!(packages.len() > 200, "cargo knows of too few crates");
    known
}

/// The ids of what the program is built of and with: Doorpost, and whatever is needed for more than tests.
fn shipped(known: &Value) -> BTreeSet<&str> {
    let nodes = known["resolve"]["nodes"].as_array().unwrap();
    let needs: BTreeMap<&str, &Vec<Value>> = nodes
        .iter()
        .map(|node| {
            (
                node["id"].as_str().unwrap(),
                node["deps"].as_array().unwrap(),
            )
        })
        .collect();
    let root = known["resolve"]["root"].as_str().unwrap();
    let (mut found, mut next) = (BTreeSet::new(), vec![root]);
    while let Some(id) = next.pop() {
        if !found.insert(id) {
            continue;
        }
        for needed in needs[id] {
            let mut kinds = needed["dep_kinds"].as_array().unwrap().iter();
            if kinds.any(|kind| kind["kind"] != "dev") {
                next.push(needed["pkg"].as_str().unwrap());
            }
        }
    }
    assert!(found.len() > 100, "the program needs too few crates");
    found
}

/// Whether a licence expression (SPDX, and the `/` of old) holds with these licences alone.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    any_of(&mut words, allowed) && words.is_empty()
}

/// `a OR b`, of words that are taken from the end.
fn any_of(words: &mut Vec<&str>, allowed: &[&str]) -> bool {
    let mut holds = all_of(words, allowed);
    while words.pop_if(|word| *word == "OR").is_some() {
        holds |= all_of(words, allowed);
    }
    holds
}

/// `a AND b`, which binds more closely.
fn all_of(words: &mut Vec<&str>, allowed: &[&str]) -> bool {
    let mut holds = one(words, allowed);
    while words.pop_if(|word| *word == "AND").is_some() {
        holds &= one(words, allowed);
    }
    holds
}

/// A licence, with its exception if it has one, or an expression in parentheses.
fn one(words: &mut Vec<&str>, allowed: &[&str]) -> bool {
    if words.pop_if(|word| *word == "(").is_some() {
        let holds = any_of(words, allowed);
        return words.pop() == Some(")") && holds;
    }
    let Some(name) = words.pop() else {
        return false;
    };
    match words.pop_if(|word| *word == "WITH") {
        // An exception only permits more.
        Some(_) => words.pop().is_some() && allowed.contains(&name),
        None => allowed.contains(&name),
    }
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allowed = ["MIT", "ISC"];
    for (expression, is) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("MIT OR GPL-3.0 AND ISC", true),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("(MIT OR ISC) AND GPL-3.0", false),
        ("GPL-3.0 WITH Classpath-exception-2.0", false),
        ("MIT GPL-3.0", false),
        ("(MIT", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), is, "{expression}");
    }
}

/// The quoted words between this and the next `]`.
fn quoted_in<'a>(text: &'a str, opening: &str) -> Vec<&'a str> {
    let (_, rest) = text.split_once(opening).unwrap();
    let (list, _) = rest.split_once(']').unwrap();
    list.split('"').skip(1).step_by(2).collect()
}

/// SUP-03: what the compiler and clippy must refuse is refused, in every crate of ours. What stands in one room
/// alone, and that nothing gives up, tests/house_rules.rs looks after.
#[test]
fn no_crate_of_ours_turns_off_what_forbids() {
    let workspace = read("Cargo.toml");
    for rule in [
        "unsafe_code = \"forbid\"",
        "unwrap_used = \"warn\"",
        "panic = \"warn\"",
        "allow_attributes_without_reason = \"warn\"",
    ] {
        assert!(workspace.contains(&format!("\n{rule}\n")), "{rule}");
    }
    for member in ["Cargo.toml", "tests/own_app/Cargo.toml"] {
        let inherits = read(member).contains("[lints]\nworkspace = true");
        assert!(inherits, "{member} has lints of its own");
    }
    let clippy = read(".clippy.toml");
    for call in [
        "std::time::SystemTime::now",
        "rand::rng",
        "lettre::Address::new_dangerous",
        "dangerous_accept_invalid_certs",
        "dangerous_accept_invalid_hostnames",
    ] {
        assert!(clippy.contains(&format!("{call}\"")), "{call}");
    }
}

/// SUP-03: broken hashes, unchecked certificates and unchecked addresses, by whatever name.
#[test]
fn no_line_of_ours_names_what_is_broken() {
    let banned = [
        "md5",
        "sha1",
        "rc4",
        "dangerous",
        "ServerCertVerifier",
        "from_utf8_unchecked",
        "process::Command",
    ];
    for (name, text) in sources(&root().join("src")) {
        let code = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("//"));
        for line in code {
            let said = banned.iter().find(|word| {
                let word = word.to_lowercase();
                line.to_lowercase().contains(&word)
            });
            assert_eq!(said, None, "{name}: {line}");
        }
    }
}

fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|is| is == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.display().to_string(), text));
        }
    }
    found
}

/// SUP-04: what would be in an image, were one built of this tree, holds nobody's key.
#[test]
fn no_file_that_is_kept_holds_a_secret() {
    let kept = run(Command::new("git").current_dir(root()).arg("ls-files"));
    let mut read = 0;
    for name in String::from_utf8(kept.stdout).unwrap().lines() {
        let Ok(text) = fs::read_to_string(root().join(name)) else {
            continue;
        };
        read += 1;
        let key = ["-----BEGIN ", "PRIVATE KEY-----"]
            .iter()
            .all(|part| text.contains(part));
        // This file says what is looked for.
        assert!(!key || name == "tests/supply.rs", "{name} holds a key");
        for mark in ["AKIA", "ghp_", "github_pat_", "xoxb-", "sk_live_"] {
            let long = |rest: &str| {
                let follows = rest.chars().take_while(char::is_ascii_alphanumeric);
                follows.count() >= 16
            };
            let found = text.split(mark).skip(1).any(long);
            assert!(!found, "{name} holds something like {mark}…");
        }
        // What the package begins with has a place for every secret, and none in it.
        let is_template = name == "deploy/debian/doorpost.env";
        let has_its_value = |line: &str| {
            let value = line
                .strip_prefix("SECRET_KEY=")
                .or(line.strip_prefix("SMTP_URL="));
            value.is_some_and(|value| !value.is_empty())
        };
        assert!(!is_template || !text.lines().any(has_its_value), "{name}");
        assert!(
            is_template || (!name.ends_with(".env") && !name.starts_with("data/")),
            "{name} is kept"
        );
    }
    assert!(read > 200, "git knows of {read} files");
}

/// SUP-04: no shell, no tool, and of libraries none but those of C and of the compiler.
#[test]
fn the_program_needs_the_c_library_and_nothing_else() {
    let linked = run(Command::new("ldd").arg(env!("CARGO_BIN_EXE_doorpost")));
    for line in String::from_utf8(linked.stdout).unwrap().lines() {
        let path = line.split_whitespace().next().unwrap();
        let name = path.rsplit('/').next().unwrap();
        let (stem, _) = name.split_once(".so").unwrap();
        let is_expected = [
            "libc",
            "libm",
            "libgcc_s",
            "linux-vdso",
            "libpthread",
            "libdl",
        ]
        .contains(&stem)
            || stem.starts_with("ld-linux");
        assert!(is_expected, "{line}");
    }
}

/// SUP-04: it runs as a user who owns nothing, in a folder where it may not write, finds no other program on its
/// path, and writes to its data alone.
#[tokio::test]
async fn the_program_writes_to_its_data_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let (program, data) = (folder.path().join("doorpost"), folder.path().join("data"));
    fs::copy(env!("CARGO_BIN_EXE_doorpost"), &program).unwrap();
    fs::create_dir(&data).unwrap();
    let mut command = Command::new(&program);
    command
        .current_dir(folder.path())
        .env_clear()
        .envs([ANY_PORT, ("PATH", "/nothing/here")]);
    // Who is not root is kept out by the folder's mode already.
    if run(Command::new("id").arg("-u")).stdout == b"0\n" {
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();

    let doorpost = Doorpost::spawned(command).when_up();
    let ada = doorpost.visitor();
    ada.ask("/register", "ada@example.org")
        .await
        .sees_inbox_page();
    ada.confirm(doorpost.mail_to("ada@example.org").await.path())
        .await;
    let files = doorpost.open_files();
    // What whoever runs the tests has open (a log, a pipe) was handed down to it.
    let handed_down = open_here();
    let elsewhere: Vec<&PathBuf> = files
        .iter()
        .filter(|path| path.starts_with("/") && !path.starts_with("/dev"))
        .filter(|path| !handed_down.contains(path))
        .filter(|path| !path.starts_with(&data))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert!(files.contains(&data.join("doorpost.db")), "{files:?}");
    drop(doorpost);
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    for (name, _) in everything_in(folder.path()) {
        let is_its_own = name == "data" || name.starts_with("data/") || name == "doorpost";
        assert!(is_its_own, "it made {name}");
    }
}

fn open_here() -> Vec<PathBuf> {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|file| fs::read_link(file.unwrap().path()).ok())
        .collect()
}

/// Who owns nothing.
const NOBODY: u32 = 65_534;

fn run(command: &mut Command) -> Output {
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{command:?}: {ended:?}");
    ended
}
