//! The table in words for people: `.env.example`, and `docs/configuration.md`.
//!
//! Both are in the repository, for most who read them have no compiler. The test here writes them anew
//! where they differ from the table, and fails, so that nobody forgets to look at them and commit them.

use std::fs;
use std::path::Path;

use super::SECTIONS;
use super::reader::OUR_PREFIXES;

/// Variables that belong together.
pub(super) struct Section {
    pub(super) about: &'static str,
    pub(super) variables: &'static [Variable],
}

/// One row of the table.
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    /// Line by line.
    pub(super) sentence: &'static [&'static str],
}

impl Variable {
    fn sentence(&self) -> String {
        let lines: Vec<&str> = self.sentence.iter().map(|line| line.trim()).collect();
        lines.join(" ")
    }
}

#[test]
fn what_explains_the_variables_is_what_the_table_says() {
    let stale: Vec<&str> = [
        (".env.example", env_example()),
        ("docs/configuration.md", page()),
    ]
    .into_iter()
    .filter(|(name, text)| is_stale(name, text))
    .map(|(name, _)| name)
    .collect();
    assert!(
        stale.is_empty(),
        "{stale:?} differed from the table in src/config.rs and was written anew: look at it and commit it"
    );
}

fn is_stale(name: &str, text: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let is_stale = fs::read_to_string(&path).ok().as_deref() != Some(text);
    if is_stale {
        fs::write(&path, text).expect("a file to write");
    }
    is_stale
}

const EXAMPLE_BEGINS: &str = "\
# Doorpost reads these variables once, at start: from its environment, and from ./.env for what is not set there.
# The values here are the defaults; an empty one is not set. Each has a twin with _FILE at its end that names a
# file to read the value from; what is not set is taken from the systemd credential of its name. In .env, put a
# value with spaces or with a $ between 'single quotes'.
# Durations are 90s, 10m, 1h or 7d. Rates are 5/15m (five in fifteen minutes), or off.
";

fn env_example() -> String {
    let variables = SECTIONS.iter().flat_map(|section| section.variables);
    let entries = variables.map(|variable| {
        let sentence = variable.sentence().replace('`', "");
        let Variable { name, default, .. } = variable;
        match default.contains(' ') {
            true => format!("\n# {sentence}\n{name}='{default}'\n"),
            false => format!("\n# {sentence}\n{name}={default}\n"),
        }
    });
    EXAMPLE_BEGINS.to_owned() + &entries.collect::<String>()
}

const PAGE_BEGINS: &str = "\
# Every variable

Doorpost reads its settings once, at start: from its environment, and from `./.env` for what is not set there.
An empty value is not set. Each variable has a twin with `_FILE` at its end that names a file to read the value
from, for secrets that are mounted as files. Durations are `90s`, `10m`, `1h` or `7d`; rates are `5/15m` (five in
fifteen minutes), or `off`. [.env.example](../.env.example) has the same as a file to fill in, and
[deploy.md](deploy.md) says what a site needs.

A variable that is set in neither way is taken from the credential of its name, if systemd brings one
(`LoadCredential=SECRET_KEY:/etc/doorpost/secret_key`); a twin may name one, too: a file name without a `/` is looked
for among the credentials first. One that has two sources is refused, whatever they say: whoever changes one of them
believes to have changed it.

A setting that is unsafe or cannot be read stops the start, with exit status 2. One line names the first of them, in
the order of this page, and what to write instead; no value is ever printed. A `PUBLIC_URL` beyond this machine
has to be `https`, and then `SECRET_KEY`, `SMTP_URL` and `MAIL_FROM` have to be set.
";

fn page() -> String {
    let sections = SECTIONS.iter().map(|section| {
        let rows: String = section.variables.iter().map(row).collect();
        let about = section.about.trim();
        format!("\n## {about}\n\n| variable | default | meaning |\n|---|---|---|\n{rows}")
    });
    PAGE_BEGINS.to_owned() + &strangers() + &sections.collect::<String>()
}

fn strangers() -> String {
    let [others @ .., last] = OUR_PREFIXES.map(|prefix| format!("`{prefix}`"));
    let others = others.join(", ");
    format!(
        "\nAn unknown variable that begins with {others} or {last} stops the start, too:\n\
        it is one of these misspelt, and would leave a limit at its default. In `.env`, so do a name that stands there\n\
        twice, one that is nearly a name of these, and a `$` in a value that is not between 'single quotes': each is named\n\
        with its line.\n"
    )
}

fn row(variable: &Variable) -> String {
    // Even between backticks, a bar would end the cell.
    let sentence = variable.sentence().replace('|', "\\|");
    let Variable { name, default, .. } = variable;
    match *default {
        "" => format!("| `{name}` | | {sentence} |\n"),
        default => format!("| `{name}` | `{default}` | {sentence} |\n"),
    }
}
