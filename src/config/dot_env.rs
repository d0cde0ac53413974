//! `./.env`, entry by entry, with the line of each.
//!
//! dotenvy reads an entry; what it would pass over in silence is refused here, by its line: a name that stands there
//! twice (the first would count), one that is nearly a name of ours (it would be ignored), and a `$` outside single
//! quotes in a value of ours (dotenvy puts a variable's value there, mostly none: half a password).

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::NAMES;
use super::mistake::{Mistake, Refusal};
use super::reader::most_like;

/// What stands in the file at `path`; nothing, if there is none. The file is named, never searched for: a
/// `.env` in a parent folder belongs to somebody else.
pub(super) fn read(path: &Path) -> Result<Vec<(OsString, OsString)>, Refusal> {
    let refused = |mistake: Mistake| mistake.in_variable(".env");
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let place = in_full(path);
            return Err(refused(Mistake::new(
                format!("cannot be read ({}: {})", place.display(), error.kind()),
                "it in UTF-8, as in .env.example, into a file that this user may read",
            )));
        }
    };
    let entries = entries(&text).map_err(refused)?;
    for (index, entry) in entries.iter().enumerate() {
        entry.judge(&entries[..index]).map_err(refused)?;
    }
    let variables = entries.into_iter();
    Ok(variables
        .map(|entry| (entry.name.into(), entry.value.into()))
        .collect())
}

/// Where that is, from the root on.
pub(super) fn in_full(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A variable, and where it stands.
struct Entry {
    line: usize,
    /// As it was written, from the `=` on.
    written: String,
    name: String,
    value: String,
}

/// An entry ends with its line, but for a quote that is open: so lines are added until dotenvy understands them. What it
/// does not understand at all is still the first one's fault at the end of the file.
fn entries(text: &str) -> Result<Vec<Entry>, Mistake> {
    let mut entries = Vec::new();
    let (mut begun, mut text_so_far) = (0, String::new());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if text_so_far.is_empty() {
            begun = number;
        }
        text_so_far.push_str(line);
        // Its message is not passed on: it would repeat the line, which may hold a secret.
        match dotenvy::from_read_iter(text_so_far.as_bytes()).next() {
            Some(Err(_)) => continue,
            None => {}
            Some(Ok((name, value))) => entries.push(Entry {
                line: begun,
                written: text_so_far.split_once('=').unwrap_or_default().1.to_owned(),
                name,
                value,
            }),
        }
        text_so_far.clear();
    }
    match text_so_far.is_empty() {
        true => Ok(entries),
        false => Err(Mistake::new(
            format!("line {begun} cannot be read"),
            "NAME=value, and a value with spaces, quotes or a $ between 'single quotes'",
        )),
    }
}

impl Entry {
    fn judge(&self, before: &[Self]) -> Result<(), Mistake> {
        let Self { line, name, .. } = self;
        if let Some(first) = before.iter().find(|entry| entry.name == *name) {
            let wrong = format!(
                "line {line} sets {name} once more, after line {}",
                first.line
            );
            return Err(Mistake::new(wrong, "it once"));
        }
        if is_ours(name) {
            return match is_expanded(&self.written) {
                true => Err(Mistake::new(
                    format!("line {line}, {name}, has a $ that would be replaced"),
                    "the value between 'single quotes'",
                )),
                false => Ok(()),
            };
        }
        match most_like(NAMES.iter().copied(), name) {
            Some(meant) => Err(Mistake::new(
                format!("line {line} sets {name}, which is no variable of Doorpost"),
                format!("{meant} if that is meant, or leave the line out"),
            )),
            None => Ok(()),
        }
    }
}

fn is_ours(name: &str) -> bool {
    NAMES.contains(&name.strip_suffix("_FILE").unwrap_or(name)) || NAMES.contains(&name)
}

/// Whether dotenvy would put something in place of a `$` in this value.
fn is_expanded(written: &str) -> bool {
    let (mut is_strong, mut is_weak, mut is_escaped, mut last) = (false, false, false, ' ');
    for sign in written.chars() {
        match sign {
            _ if is_escaped => is_escaped = false,
            '\'' if !is_weak => is_strong = !is_strong,
            '"' if !is_strong => is_weak = !is_weak,
            '\\' if !is_strong => is_escaped = true,
            '$' if !is_strong => return true,
            '#' if !is_strong && !is_weak && last.is_whitespace() => return false,
            _ => {}
        }
        last = sign;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(String, String)>, String> {
        let path = std::env::temp_dir().join(format!("doorpost-{}.env", crate::random::id()));
        fs::write(&path, text).unwrap();
        let read = read(&path);
        fs::remove_file(path).unwrap();
        let text = |os: OsString| os.into_string().unwrap();
        match read {
            Ok(variables) => Ok(variables
                .into_iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect()),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    #[test]
    fn what_is_written_well_is_taken_as_it_is_written() {
        let text = "\u{feff}# ours\r\n\r\nLOG_FORMAT=json\r\nexport SIGN_UP = invited # not $open\n\
            MAIL_FROM='A $B <a@b.example>'\nSMTP_URL=\"smtp://a:\\$b@localhost\"\n\
            THEIRS=${HOME}x\nTHEIR_LINES='one\ntwo'\nPATH=/bin\n";
        let variables = read_text(text).unwrap();
        let value = |name: &str| {
            variables
                .iter()
                .find(|(is, _)| is == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(value("LOG_FORMAT"), Some("json"));
        assert_eq!(value("SIGN_UP"), Some("invited"));
        assert_eq!(value("MAIL_FROM"), Some("A $B <a@b.example>"));
        assert_eq!(value("SMTP_URL"), Some("smtp://a:$b@localhost"));
        assert_eq!(value("THEIR_LINES"), Some("one\ntwo"));
        assert_eq!(variables.len(), 7);
    }

    #[test]
    fn what_would_be_passed_over_is_refused_by_its_line() {
        for (text, line, words) in [
            (
                "\n# a\nSIGN_UP=open\n\nSIGN_UP=invited\n",
                "line 5",
                "after line 3; write it once",
            ),
            ("THEIRS=1\nTHEIRS=hunter2\n", "line 2", "after line 1"),
            ("SIGNUP=invited\n", "line 1", "write SIGN_UP if"),
            ("A=1\nSign_Up=invited\n", "line 2", "write SIGN_UP if"),
            ("sign_up=invited\n", "line 1", "write SIGN_UP if"),
            ("MAIL_FORM=x\n", "line 1", "write MAIL_FROM if"),
            ("DATABASEURL=x\n", "line 1", "write DATABASE_URL if"),
            ("SECRETKEY_FILE=x\n", "line 1", "write SECRET_KEY if"),
            (
                "SMTP_URL=smtp://a:hun$ter2@localhost\n",
                "line 1",
                "SMTP_URL, has a $",
            ),
            (
                "A=1\nSMTP_URL=\"smtp://a:hun${T}er2@localhost\"\n",
                "line 2",
                "'single quotes'",
            ),
            ("DATABASE_URL_FILE=$HOME/url\n", "line 1", "has a $"),
            (
                "LOG_FORMAT=json\nMAIL_FROM=Doorpost <hunter2@example.org>\n",
                "line 2",
                "between 'single quotes'",
            ),
            (
                "LOG_FORMAT=json\n\nSECRET_KEY='hunter2\nA=1\n",
                "line 3",
                "cannot be read",
            ),
            ("LOG_FORMAT: json\n", "line 1", "cannot be read"),
        ] {
            let refused = read_text(text).expect_err(text);
            assert!(refused.starts_with("doorpost: .env: line "), "{refused}");
            assert!(
                refused.contains(&format!("{line} ")) || refused.contains(&format!("{line},")),
                "{refused}"
            );
            assert!(
                refused.contains(words) && !refused.contains("hun"),
                "{text:?}: {refused}"
            );
        }
    }
}
