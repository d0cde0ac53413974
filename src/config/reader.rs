//! One variable at a time: where its value comes from, and how it is refused.
//!
//! Every variable has a twin with `_FILE` at its end, for secrets that are mounted as files. One that is set in neither
//! way is taken from the credential of its name, if systemd brought one (`LoadCredential=`); one that is set in two ways
//! is refused, for whoever changes one of them believes to have changed it. An empty variable counts as not set. Whatever is left when all have been read, and is named like ours, is a
//! spelling mistake that would leave a limit at its default, and stops the start. No message ever repeats
//! a value, whether it is a secret or not: a mixed-up line may put any secret under any name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::credentials::Credentials;
use super::mistake::{Mistake, Parsed, Refusal};

/// An unknown variable that begins like this was meant for us.
pub(super) const OUR_PREFIXES: [&str; 5] =
    ["LIMIT_", "LINK_LIFETIME_", "SMTP_", "SESSION_", "ARGON2_"];

/// More than any value or bundle of certificates needs: a path that leads to a device must not be read for ever.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The environment while it is being read.
pub(super) struct Reader {
    /// What is set and has not been read yet.
    unread: BTreeMap<String, OsString>,
    credentials: Credentials,
    /// What has been asked for, with its default: the list of all variables, in order.
    pub(super) known: Vec<(&'static str, &'static str)>,
}

/// A value under the name it was set by.
struct Given {
    variable: String,
    text: String,
}

impl Reader {
    /// Of a variable that comes twice, the first counts.
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut unread = BTreeMap::new();
        for (name, value) in variables {
            unread
                .entry(name.to_string_lossy().into_owned())
                .or_insert(value);
        }
        unread.retain(|_, value| !value.is_empty());
        Self {
            credentials: Credentials::of(unread.remove(Credentials::DIRECTORY)),
            unread,
            known: Vec::new(),
        }
    }

    /// The value of `name`, or `default` where it is not set.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> Result<T, Refusal> {
        let given = self.take(name, default)?.unwrap_or_else(|| Given {
            variable: name.to_owned(),
            text: default.to_owned(),
        });
        given.parse(parse)
    }

    /// To be called once all are read.
    pub(super) fn refuse_strangers(&self) -> Result<(), Refusal> {
        let named_like_ours =
            |name: &&String| OUR_PREFIXES.iter().any(|ours| name.starts_with(ours));
        match self.unread.keys().find(named_like_ours) {
            None => Ok(()),
            Some(stranger) => {
                let wrong = "is no variable of Doorpost, but is named like one";
                Err(Mistake::new(wrong, self.advice_on(stranger)).in_variable(stranger))
            }
        }
    }

    fn take(
        &mut self,
        name: &'static str,
        default: &'static str,
    ) -> Result<Option<Given>, Refusal> {
        self.known.push((name, default));
        let twin = format!("{name}_FILE");
        let credential = self.credentials.take(name);
        let file = self.unread.remove(&twin);
        let file = file.map(|file| self.credentials.or_here(file));
        let only_one = |wrong: String, variable: &str| {
            Err(Mistake::new(wrong, "only one of them").in_variable(variable))
        };
        let (variable, text) = match (self.unread.remove(name), file, credential) {
            (None, None, None) => return Ok(None),
            (Some(_), Some(_), _) => return only_one(format!("is set, and {twin} is too"), name),
            (Some(_), _, Some(_)) => {
                return only_one(
                    "is set, and there is a credential of that name".into(),
                    name,
                );
            }
            (_, Some(Ok(file)), Some(credential)) if file != credential => {
                let wrong = format!("names a file, and there is a credential {name}");
                return only_one(wrong, &twin);
            }
            (Some(value), None, None) => (name.to_owned(), text_of(value)),
            (None, Some(file), _) => (twin, file.and_then(|file| text_in(&file))),
            (None, None, Some(credential)) => (format!("credential {name}"), text_in(&credential)),
        };
        match text {
            Ok(text) => Ok(Some(Given { variable, text })),
            Err(mistake) => Err(mistake.in_variable(&variable)),
        }
    }

    fn advice_on(&self, stranger: &str) -> String {
        let stranger = stranger.escape_debug();
        let elsewhere =
            format!("`env -u {stranger}` before the command if another program needs it");
        match most_like(
            self.known.iter().map(|(known, _)| *known),
            &stranger.to_string(),
        ) {
            Some(known) => format!("{known} if that is meant, or {elsewhere}"),
            None => format!("nothing by that name, or {elsewhere}"),
        }
    }
}

/// The name that was meant by one that is nearly it: with two letters changed at the most, or other ones joined.
pub(super) fn most_like(
    known: impl Iterator<Item = &'static str>,
    stranger: &str,
) -> Option<&'static str> {
    let bare = |name: &str| name.replace('_', "").to_ascii_uppercase();
    let stem = bare(stranger.strip_suffix("_FILE").unwrap_or(stranger));
    known
        .map(|known| (edits_between(&bare(known), &stem), known))
        .min()
        .filter(|(edits, _)| *edits <= 2)
        .map(|(_, known)| known)
}

impl Given {
    fn parse<T>(self, parse: impl FnOnce(&str) -> Parsed<T>) -> Result<T, Refusal> {
        // As Docker's --env-file leaves them: no value of ours has them.
        let is_between = |quote| {
            self.text.len() > 1 && self.text.starts_with(quote) && self.text.ends_with(quote)
        };
        if is_between('\'') || is_between('"') {
            let mistake = Mistake::new(
                "has quotes around it that are part of it",
                "it without them",
            );
            return Err(mistake.in_variable(&self.variable));
        }
        // No value of ours has one, and in a header or a log line it would do harm.
        if self.text.chars().any(char::is_control) {
            let mistake = Mistake::new(
                "contains a control character",
                "it on one line, without tabs",
            );
            return Err(mistake.in_variable(&self.variable));
        }
        parse(&self.text).map_err(|mistake| mistake.in_variable(&self.variable))
    }
}

fn text_of(value: OsString) -> Parsed<String> {
    value
        .into_string()
        .map_err(|_| Mistake::new("is not UTF-8", "it in UTF-8"))
}

fn text_in(path: &Path) -> Parsed<String> {
    let text = String::from_utf8(bytes_in(path)?).map_err(|_| {
        Mistake::new(
            "names a file that is not UTF-8",
            "the value into that file as UTF-8",
        )
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    match line.strip_suffix('\r').unwrap_or(line) {
        "" => Err(Mistake::new(
            "names an empty file",
            "the value into that file, or unset the variable",
        )),
        value => Ok(value.to_owned()),
    }
}

/// The content of a file that a variable names.
pub(super) fn bytes_in(path: &Path) -> Parsed<Vec<u8>> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 <= LARGEST_FILE => Ok(bytes),
        Ok(_) => Err(Mistake::new(
            "names a file of more than 1 MiB",
            "the path of the right file",
        )),
        Err(error) => Err(Mistake::new(
            format!("names a file that cannot be read ({})", error.kind()),
            "the path of a file that this user may read",
        )),
    }
}

/// How many letters to change, add or leave out (Levenshtein).
fn edits_between(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.len()]
}

/// Nothing where nothing is set: an empty value counts as not set, so none reaches `parse`.
pub(super) fn optional<T>(parse: impl Fn(&str) -> Parsed<T>) -> impl Fn(&str) -> Parsed<Option<T>> {
    move |text| match text {
        "" => Ok(None),
        text => parse(text).map(Some),
    }
}

/// As [`comma_list`], for those who have the text later.
pub(super) fn list_of<T>(parse: impl Fn(&str) -> Parsed<T>) -> impl Fn(&str) -> Parsed<Vec<T>> {
    move |text| comma_list(text, &parse)
}

/// What a list between commas says, item by item; nothing is an empty list.
pub(super) fn comma_list<T>(text: &str, parse: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|item| parse(item.trim_matches(' ')))
        .collect()
}
