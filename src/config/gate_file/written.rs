//! From the text of a gate file to its rules, or to the first mistake in it, with its line.
//!
//! The text is taken apart table by table. What a table has and nobody asks for is a misspelt rule, which would not hold.

use std::collections::HashMap;

use lettre::Address;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::paths::PathPattern;
use super::{Allowed, Demand, HostRules, Strength};
use crate::config::amounts::duration;
use crate::config::host_pattern::HostPattern;
use crate::config::mistake::{Mistake, Parsed};
use crate::config::sign_up::DomainPattern;
use crate::domain_name::DomainName;

/// Something that a table may have, and how it is written.
struct Key {
    name: &'static str,
    form: &'static str,
}

const HOST: Key = Key {
    name: "host",
    form: "[[host]] on a line of its own, and name = \"wiki.example.org\" on the next",
};
const NAME: Key = Key {
    name: "name",
    form: "a host between quotes, such as name = \"wiki.example.org\"",
};
const ALLOW: Key = Key {
    name: "allow",
    form: "addresses and domains, such as allow = [\"ada@example.org\", \"example.com\", \"*.example.net\"]",
};
const STRENGTH: Key = Key {
    name: "strength",
    form: "\"link\", \"password\" or \"passkey\"",
};
const REAUTHENTICATED: Key = Key {
    name: "reauthenticated",
    form: "a duration between quotes, such as reauthenticated = \"10m\"",
};
const OPEN: Key = Key {
    name: "open",
    form: "paths, such as open = [\"/health\", \"/assets/*\"]",
};
const JWT: Key = Key {
    name: "jwt",
    form: "true or false",
};
const PATH: Key = Key {
    name: "path",
    form: "[[host.path]] on a line of its own, and at = \"/admin/*\" on the next",
};
const AT: Key = Key {
    name: "at",
    form: "a path between quotes, such as at = \"/admin/*\"",
};

/// The hosts of a gate file, in its order.
pub(super) fn hosts(text: &str) -> Parsed<Vec<HostRules>> {
    read(text).map_err(|misplaced| misplaced.mistake_in(text))
}

fn read(text: &str) -> Read<Vec<HostRules>> {
    let mut file = Table::parse(text)?;
    let tables = file.tables(&HOST)?;
    file.has_no_more()?;
    let mut hosts = Vec::new();
    let mut named = HashMap::new();
    for mut table in tables {
        let host = host(&mut table)?;
        if let Some(first) = named.insert(host.name.to_string(), table.at) {
            let wrong = format!("names the host of line {} once more", line_of(text, first));
            return Err(misplaced(
                table.at,
                wrong,
                "all rules of a host below one [[host]]",
            ));
        }
        hosts.push(host);
    }
    Ok(hosts)
}

fn host(table: &mut Table) -> Read<HostRules> {
    let name = parsed("a name", &table.needed(&NAME)?, HostPattern::parse)?;
    let demand = demand(table)?;
    let paths = paths(table.tables(&PATH)?, &demand)?;
    let open = table.texts(&OPEN)?.map(Spanned::into_inner);
    let open = open.unwrap_or_default();
    let open = open.iter().map(|text| open_path(text, &paths));
    let open = open.collect::<Read<_>>()?;
    let jwt = table.flag(&JWT)?;
    table.has_no_more()?;
    Ok(HostRules {
        name,
        jwt,
        demand,
        open,
        paths,
    })
}

fn paths(tables: Vec<Table>, host: &Demand) -> Read<Vec<(PathPattern, Demand)>> {
    let mut paths: Vec<(PathPattern, Demand)> = Vec::new();
    for mut table in tables {
        let path = path(&mut table, host)?;
        if paths.iter().any(|(at, _)| at.is_the_same_as(&path.0)) {
            let wrong = "names a path of its host once more";
            let instead = "all that is asked of it below one [[host.path]]";
            return Err(misplaced(table.at, wrong, instead));
        }
        paths.push(path);
    }
    Ok(paths)
}

/// A path of a host, and what is asked of it besides.
fn path(table: &mut Table, host: &Demand) -> Read<(PathPattern, Demand)> {
    let at = parsed("a path", &table.needed(&AT)?, PathPattern::parse)?;
    let demand = demand(table)?;
    table.has_no_more()?;
    if demand.is_no_more_than(host) {
        let wrong = "begins a path of which no more is asked than of all its host";
        let instead = "what else is asked: allow, strength or reauthenticated";
        return Err(misplaced(table.at, wrong, instead));
    }
    Ok((at, demand))
}

/// What a table asks for; nothing but to be signed in, where it says nothing.
fn demand(table: &mut Table) -> Read<Demand> {
    let allow = table.texts(&ALLOW)?;
    let allow = allow.map(|list| whom(&list)).transpose()?;
    let strength = table.text(&STRENGTH)?;
    let strength = strength.map(|text| parsed("a strength", &text, strength_named));
    let reauthenticated = table.text(&REAUTHENTICATED)?;
    let reauthenticated = reauthenticated.map(|text| parsed("a duration", &text, duration));
    Ok(Demand {
        allow,
        strength: strength.transpose()?.unwrap_or(Strength::Link),
        reauthenticated: reauthenticated.transpose()?,
    })
}

impl Demand {
    /// Whether whoever passes that one passes this one as well: a path asks for more than its host, and never for less.
    fn is_no_more_than(&self, host: &Self) -> bool {
        let is_later = match (self.reauthenticated, host.reauthenticated) {
            (None, _) => true,
            (Some(own), Some(host)) => own >= host,
            (Some(_), None) => false,
        };
        self.allow.is_none() && self.strength <= host.strength && is_later
    }
}

/// A path that is open, and of which nothing is asked elsewhere. One of which something is asked may well be in a folder
/// that is open.
fn open_path(text: &Spanned<String>, paths: &[(PathPattern, Demand)]) -> Read<PathPattern> {
    let open = parsed("a path", text, PathPattern::parse_open)?;
    if paths.iter().any(|(at, _)| at.covers_all_of(&open)) {
        let wrong = "opens a path of which a [[host.path]] asks something";
        return Err(misplaced(
            text.span().start,
            wrong,
            "it in one of the two places",
        ));
    }
    Ok(open)
}

fn whom(list: &Spanned<Vec<Spanned<String>>>) -> Read<Vec<Allowed>> {
    if list.get_ref().is_empty() {
        let instead = "whom to let pass, or leave allow out for whoever is signed in";
        return Err(misplaced(list.span().start, "lets nobody pass", instead));
    }
    let each = list.get_ref().iter();
    each.map(|text| parsed("an entry", text, allowed)).collect()
}

/// An address in the form that accounts have, or a domain.
fn allowed(text: &str) -> Parsed<Allowed> {
    let allowed = match text.rsplit_once('@') {
        None => DomainPattern::parse(text).ok().map(Allowed::Domain),
        Some((local_part, domain)) => address(local_part, domain).map(Allowed::Address),
    };
    allowed.ok_or_else(|| Mistake::new("is no address and no domain", ALLOW.form))
}

/// What an account is, is not known here. Its own form of an address (`accounts::email_address`) is tested to be this one.
fn address(local_part: &str, domain: &str) -> Option<String> {
    let domain = DomainName::parse(domain).filter(DomainName::is_full)?;
    let is_plain = local_part.is_ascii() && !local_part.contains(['"', '!', '%']);
    let address = Address::new(local_part.to_ascii_lowercase(), domain.as_str()).ok();
    address
        .filter(|_| is_plain)
        .map(|address| address.to_string())
}

fn strength_named(text: &str) -> Parsed<Strength> {
    match text {
        "link" => Ok(Strength::Link),
        "password" => Ok(Strength::Password),
        "passkey" => Ok(Strength::Passkey),
        _ => Err(Mistake::new("is none of the three", STRENGTH.form)),
    }
}

/// What a text of the file says.
fn parsed<T>(what: &str, text: &Spanned<String>, parse: impl FnOnce(&str) -> Parsed<T>) -> Read<T> {
    parse(text.get_ref()).map_err(|Mistake { wrong, instead }| {
        misplaced(
            text.span().start,
            format!("has {what} that {wrong}"),
            &instead,
        )
    })
}

/// A table of the file, while it is being read.
struct Table<'t> {
    /// Where it begins in the text.
    at: usize,
    unread: DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Table<'t> {
    /// All of the file.
    fn parse(text: &'t str) -> Read<Self> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self::new(0, table.into_inner())),
            // Its words are about TOML, and repeat nothing of the text.
            Err(error) => {
                let at = error.span().map_or(text.len(), |span| span.start);
                let wrong = format!("cannot be read as TOML ({})", error.message());
                Err(misplaced(at, wrong, "it as docs/gateway.md shows"))
            }
        }
    }

    fn new(at: usize, unread: DeTable<'t>) -> Self {
        Self {
            at,
            unread,
            known: Vec::new(),
        }
    }

    /// The text that it must have.
    fn needed(&mut self, key: &Key) -> Read<Spanned<String>> {
        let wrong = || format!("begins a table without {}", key.name);
        self.text(key)?
            .ok_or_else(|| misplaced(self.at, wrong(), key.form))
    }

    fn text(&mut self, key: &Key) -> Read<Option<Spanned<String>>> {
        self.take(key, text_of)
    }

    fn texts(&mut self, key: &Key) -> Read<Option<Spanned<Vec<Spanned<String>>>>> {
        self.take(key, |value| list_of(value, text_of))
    }

    fn flag(&mut self, key: &Key) -> Read<bool> {
        let flag = self.take(key, |value| value.as_bool())?;
        Ok(flag.is_some_and(Spanned::into_inner))
    }

    fn tables(&mut self, key: &Key) -> Read<Vec<Self>> {
        let tables = self.take(key, |value| list_of(value, table_of))?;
        let tables = tables.map(Spanned::into_inner).unwrap_or_default();
        let new = |table: Spanned<DeTable<'t>>| Self::new(table.span().start, table.into_inner());
        Ok(tables.into_iter().map(new).collect())
    }

    /// What stands under this key, which is known from now on.
    fn take<T>(
        &mut self,
        key: &Key,
        read: impl FnOnce(DeValue<'t>) -> Option<T>,
    ) -> Read<Option<Spanned<T>>> {
        self.known.push(key.name);
        let Some(value) = self.unread.remove(key.name) else {
            return Ok(None);
        };
        let at = value.span().start;
        let wrong = || format!("sets {} to what cannot stand there", key.name);
        match spanned(value, read) {
            Some(found) => Ok(Some(found)),
            None => Err(misplaced(at, wrong(), key.form)),
        }
    }

    /// To be called once all is taken.
    fn has_no_more(&self) -> Read<()> {
        let Some(stranger) = self.unread.keys().min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let instead = format!("nothing there but {}", self.known.join(", "));
        Err(misplaced(
            stranger.span().start,
            "sets what is no rule",
            &instead,
        ))
    }
}

fn text_of(value: DeValue) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.into_owned()),
        _ => None,
    }
}

fn table_of(value: DeValue) -> Option<DeTable> {
    match value {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn list_of<'t, T>(
    value: DeValue<'t>,
    item: impl Fn(DeValue<'t>) -> Option<T>,
) -> Option<Vec<Spanned<T>>> {
    match value {
        DeValue::Array(items) => items.into_iter().map(|it| spanned(it, &item)).collect(),
        _ => None,
    }
}

fn spanned<'t, T>(
    value: Spanned<DeValue<'t>>,
    read: impl FnOnce(DeValue<'t>) -> Option<T>,
) -> Option<Spanned<T>> {
    let span = value.span();
    read(value.into_inner()).map(|it| Spanned::new(span, it))
}

/// What is wrong, and where in the text.
struct Misplaced {
    at: usize,
    mistake: Mistake,
}

type Read<T> = Result<T, Misplaced>;

fn misplaced(at: usize, wrong: impl Into<String>, instead: &str) -> Misplaced {
    let mistake = Mistake::new(wrong, instead);
    Misplaced { at, mistake }
}

impl Misplaced {
    fn mistake_in(self, text: &str) -> Mistake {
        let (line, Mistake { wrong, instead }) = (line_of(text, self.at), self.mistake);
        Mistake::new(format!("names a file whose line {line} {wrong}"), instead)
    }
}

/// Counted from 1; what is missing at the end is missing in the last line.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.trim_end().bytes().take(at);
    before.filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named_with_its_line_and_nothing_of_the_file_is_repeated() {
        let host = "[[host]]\nname = \"hunter2.example.org\"\n";
        for (rules, line, words) in [
            ("hunter2", 1, "TOML"),
            ("[[host]]\nname = hunter2\n", 2, "TOML"),
            ("[[host]\n", 1, "TOML"),
            (
                "[[host]]\nname = \"a.example\"\nname = \"hunter2.example\"",
                3,
                "duplicate",
            ),
            ("hosts = 1\n", 1, "nothing there but host"),
            ("# a\nhunter2 = 1\n", 2, "nothing there but host"),
            ("[host]\nname = \"hunter2.example\"\n", 1, "write [[host]]"),
            ("host = \"hunter2\"\n", 1, "write [[host]]"),
            ("\n[[host]]\n", 2, "without name"),
            ("[[host]]\nname = 1\n", 2, "a host between quotes"),
            (
                "[[host]]\nname = \"https://hunter2/\"\n",
                2,
                "has a name that is not a host",
            ),
            (
                "[[host]]\nname = \"hunter2.example:443\"\n",
                2,
                "goes without saying",
            ),
            (
                "H[[host]]\nname = \"HUNTER2.example.org\"\n",
                3,
                "the host of line 1 once more",
            ),
            ("Hallow = []\n", 3, "lets nobody pass"),
            (
                "Hallow = \"hunter2@example.org\"\n",
                3,
                "addresses and domains",
            ),
            (
                "Hallow = [\n  \"example.org\",\n  \"hunter2\",\n]\n",
                5,
                "no address and no domain",
            ),
            (
                "Hallow = [\"example.org\", 2]\n",
                3,
                "addresses and domains",
            ),
            ("Hstrength = \"hunter2\"\n", 3, "\"passkey\""),
            ("Hstrength = 2\n", 3, "\"passkey\""),
            (
                "Hreauthenticated = \"10\"\n",
                3,
                "has a duration that has no unit",
            ),
            ("Hreauthenticated = 10\n", 3, "reauthenticated = \"10m\""),
            ("Hopen = [\"hunter2\"]\n", 3, "does not begin with /"),
            (
                "Hopen = [\"/hunter2/*/a\"]\n",
                3,
                "a * that is not its last part",
            ),
            (
                "Hopen = [\"/a\", \"/hunter2 a\"]\n",
                3,
                "in another spelling",
            ),
            ("Hopen = \"/hunter2\"\n", 3, "write paths"),
            ("Hjwt = \"hunter2\"\n", 3, "true or false"),
            (
                "Hopens = [\"/hunter2\"]\n",
                3,
                "nothing there but name, allow",
            ),
            (
                "Hhunter2 = 1\n",
                3,
                "nothing there but name, allow, strength",
            ),
            ("H[host.path]\nat = \"/a\"\n", 3, "write [[host.path]]"),
            ("H[[host.path]]\nstrength = \"passkey\"\n", 3, "without at"),
            (
                "H[[host.path]]\nat = \"hunter2\"\nallow = [\"a.b\"]\n",
                4,
                "does not begin with /",
            ),
            ("H[[host.path]]\nat = \"/hunter2\"\n", 3, "no more is asked"),
            (
                "H[[host.path]]\nat = \"/hunter2\"\njwt = true\n",
                5,
                "but at, allow, strength, reauth",
            ),
            (
                "H[[host.path]]\nat = \"/hunter2\"\nallow = []\n",
                5,
                "lets nobody pass",
            ),
            (
                "H[[host.path]]\nat = \"/b\"\nstrength = \"passkey\"\n[[host.path]]\nat = \"/B/\"\nallow = [\"a.b\"]\n",
                6,
                "a path of its host once more",
            ),
            (
                "Hopen = [\"/hunter2/a\"]\n[[host.path]]\nat = \"/Hunter2/*\"\nallow = [\"a.b\"]\n",
                3,
                "in one of the two places",
            ),
            (
                "Hstrength = \"passkey\"\nreauthenticated = \"5m\"\n[[host.path]]\nat = \"/hunter2\"\n\
                 strength = \"password\"\nreauthenticated = \"10m\"\n",
                5,
                "no more is asked",
            ),
        ] {
            let text = match rules.strip_prefix('H') {
                Some(rules) => format!("{host}{rules}"),
                None => rules.to_owned(),
            };
            let Err(mistake) = hosts(&text) else {
                panic!("{text}");
            };
            let said = mistake.to_string();
            let begins = format!("names a file whose line {line} ");
            assert!(said.starts_with(&begins), "{text}\n{said}");
            assert!(
                said.contains(words) && !said.contains('\n'),
                "{text}\n{said}"
            );
            assert!(!said.to_lowercase().contains("hunter2"), "{text}\n{said}");
        }
    }
}
