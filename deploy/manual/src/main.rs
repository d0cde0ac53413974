//! Writes the man pages and the completions of bash, zsh and fish into a folder, for whoever makes a package:
//! `cargo run -p doorpost-manual -- FOLDER`. Both are made of the program's own command line, and so say what it takes.
//!
//! ```text
//! FOLDER/man/doorpost.1, doorpost-users.1, doorpost-users-list.1 …   a page a command
//! FOLDER/completions/doorpost.bash, _doorpost, doorpost.fish         named as each shell looks for it
//! ```

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap_complete::Shell;
use doorpost::operator;

/// What the program is called.
const NAME: &str = "doorpost";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [folder] = arguments.as_slice() else {
        eprintln!("Usage: doorpost-manual FOLDER");
        return ExitCode::from(2);
    };
    match write_all(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("doorpost-manual: {}: {why}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Makes the folder, if it is not there.
fn write_all(folder: &OsStr) -> io::Result<()> {
    write_man_pages(&made(folder, "man")?)?;
    write_completions(&made(folder, "completions")?)
}

fn made(folder: &OsStr, name: &str) -> io::Result<PathBuf> {
    let folder = Path::new(folder).join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn write_man_pages(folder: &Path) -> io::Result<()> {
    clap_mangen::generate_to(operator::command_line(), folder)
}

fn write_completions(folder: &Path) -> io::Result<()> {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut operator::command_line(), NAME, folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Every command, as one types it: `users list`.
    fn commands() -> Vec<String> {
        let mut found = Vec::new();
        for group in operator::command_line().get_subcommands() {
            found.push(group.get_name().to_owned());
            for command in group.get_subcommands() {
                found.push(format!("{} {}", group.get_name(), command.get_name()));
            }
        }
        assert!(found.len() > 10, "only {found:?} were found");
        found
    }

    fn written() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path().as_os_str()).unwrap();
        folder
    }

    fn read(folder: &Path, name: &str) -> String {
        let file = folder.join(name);
        fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
    }

    #[test]
    fn every_command_has_a_man_page_that_says_with_what_code_it_ends() {
        let folder = written();
        for command in commands() {
            let page = format!("man/doorpost-{}.1", command.replace(' ', "-"));
            let text = read(folder.path(), &page);
            assert!(text.contains(".SH NAME"), "{page}: {text}");
            assert!(text.contains("Exit codes"), "{page}: {text}");
        }
        let first = read(folder.path(), "man/doorpost.1");
        for group in operator::command_line().get_subcommands() {
            let named = format!("doorpost\\-{}(1)", group.get_name());
            assert!(first.contains(&named), "{named} is not in {first}");
        }
    }

    /// As somebody has it who presses Tab: bash itself is asked.
    #[test]
    fn bash_completes_every_command() {
        let folder = written();
        for command in commands() {
            let words = format!("doorpost {command}");
            let (before, last) = words.rsplit_once(' ').unwrap();
            let offered = completed_by_bash(folder.path(), before);
            assert!(
                offered.lines().any(|word| word == last),
                "after {before:?} bash offers no {last}: {offered}"
            );
        }
    }

    fn completed_by_bash(folder: &Path, before: &str) -> String {
        let count = before.split(' ').count();
        let script = format!(
            "source completions/doorpost.bash; COMP_WORDS=({before} ''); COMP_CWORD={count}; \
             _doorpost doorpost '' \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let asked = Command::new("bash")
            .args(["--norc", "-c", &script])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(asked.status.success(), "{asked:?}");
        String::from_utf8(asked.stdout).unwrap()
    }

    #[test]
    fn zsh_and_fish_know_every_command() {
        let folder = written();
        for file in ["completions/_doorpost", "completions/doorpost.fish"] {
            let text = read(folder.path(), file);
            for command in commands() {
                let last = command.rsplit(' ').next().unwrap();
                let is_named = [format!("'{last}:"), format!("-a \"{last}\"")]
                    .iter()
                    .any(|named| text.contains(named));
                assert!(is_named, "{file} does not know {command}");
            }
        }
    }
}
