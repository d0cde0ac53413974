//! The rules of the architecture that no compiler checks: which module may use which, what only one module may do,
//! what a file opens with. Read from the text of `src/`, `templates/`, `migrations/` and the app in
//! `tests/own_app/`; what a call can break is looked after by `.clippy.toml` as well.
//!
//! A rule is a table. To change a rule, change its row and say why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, the lowest first. A module uses those in its own layer and below it.
const LAYERS: &[&[&str]] = &[
    &[
        "clock",
        "config",
        "db",
        "domain_name",
        "error",
        "humanize",
        "invisible",
        "keys",
        "metrics",
        "random",
        "schema",
        "webauthn",
        "writable",
    ],
    &["accounts"],
    &["app", "mail"],
    &["actions"],
    &["web"],
    &["api", "exporter", "flows", "gateway", "health", "pages"],
    &["service_manager"],
    &["server"],
    &["operator"],
    &["main"],
];

#[test]
fn a_module_uses_what_is_below_it_and_nothing_above() {
    for source in program() {
        let layer = layer_of(&source.module);
        for (line, path) in source.paths() {
            let Some(named) = path.first().filter(|named| is_a_module(named)) else {
                continue;
            };
            assert!(
                layer_of(named) <= layer,
                "{}: {} names {named}, which stands above it: {line}",
                source.name,
                source.module,
            );
        }
    }
}

/// Of the modules of one module none uses another that comes to use it in turn: whoever reads one need not have read all.
/// (A module and those inside it are one story; those of the crate have their [`LAYERS`].)
#[test]
fn modules_beside_each_other_do_not_go_in_circles() {
    let mut seen = 0;
    for (parent, mut uses) in uses_of_siblings() {
        seen += uses.values().map(BTreeSet::len).sum::<usize>();
        // Whoever uses none of those that are left goes in no circle.
        loop {
            let left: BTreeSet<String> = uses.keys().cloned().collect();
            uses.retain(|_, used| !used.is_disjoint(&left));
            if uses.len() == left.len() {
                break;
            }
        }
        assert!(
            uses.is_empty(),
            "in {parent} go in circles, or use those that do: {uses:#?}"
        );
    }
    assert!(seen > 150, "only {seen} uses were found");
}

/// For each module, which of those directly inside it use which others there.
fn uses_of_siblings() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let modules: BTreeSet<Vec<String>> = program().map(|source| source.path()).collect();
    let mut found = BTreeMap::<String, BTreeMap<String, BTreeSet<String>>>::new();
    for source in program() {
        let own = source.path();
        for (_, named) in source.paths() {
            let common = own.iter().zip(&named).take_while(|(a, b)| a == b).count();
            let (Some(one), Some(other)) = (own.get(common), named.get(common)) else {
                continue;
            };
            if common > 0 && modules.contains(&named[..=common]) {
                let uses = found.entry(own[..common].join("::")).or_default();
                uses.entry(one.clone()).or_default().insert(other.clone());
            }
        }
    }
    found
}

#[test]
fn lib_rs_names_the_modules_and_no_others() {
    let map = program().find(|source| source.name == "lib.rs").unwrap();
    let declared: BTreeSet<&str> = map
        .code
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let known: BTreeSet<&str> = LAYERS
        .iter()
        .flat_map(|modules| modules.iter().copied())
        .filter(|module| *module != "main")
        .collect();
    assert_eq!(
        declared, known,
        "a module has no layer, or a layer no module"
    );
}

#[test]
fn no_flow_names_another_flow() {
    let flows = ["api", "exporter", "flows", "gateway", "health", "pages"];
    for source in program().filter(|source| flows.contains(&source.module.as_str())) {
        let own = source.name.trim_end_matches(".rs").replace('/', "::");
        for (line, path) in source.paths() {
            let [module, rest @ ..] = path.as_slice() else {
                continue;
            };
            let is_a_flow = flows.contains(&module.as_str())
                // The parts of the API may name each other, and those of the gateway.
                && !(source.module == "api" && module == "api")
                && !(source.module == "gateway" && module == "gateway")
                // What handlers give is said once, at the head of all flows.
                && rest.first().is_none_or(|thing| thing != "Answer");
            let named = path.join("::");
            assert!(
                !is_a_flow || source.name == "flows.rs" || named.starts_with(&own),
                "{} names another flow: {line}",
                source.name,
            );
        }
        assert!(
            source.name == "flows.rs" || !source.code.contains("super::super"),
            "{}: name a module by crate::, so that this test sees it",
            source.name,
        );
    }
}

/// What only some modules may do: words that stand for it, and the files they may stand in. A folder stands for
/// all that is in it.
const RESERVED: &[(&str, &[&str], &[&str])] = &[
    (
        "asking for the time",
        &[
            "SystemTime",
            "now_utc",
            "now_local",
            "Utc::now",
            "Local::now",
        ],
        &["clock.rs"],
    ),
    (
        "reading the environment",
        &["std::env", "env::var", "dotenvy"],
        &["config.rs", "config/dot_env.rs"],
    ),
    ("counting", &["prometheus_client"], &["metrics.rs"]),
    (
        "drawing randomness",
        &[
            "rand::",
            "SysRng",
            "OsRng",
            "ThreadRng",
            "getrandom",
            "fastrand",
            "SystemRandom",
        ],
        &["random.rs"],
    ),
    (
        "using SECRET_KEY",
        &[
            "SECRET_KEY",
            "hkdf",
            "Hkdf",
            "aes_gcm",
            "Aes256Gcm",
            "hmac::",
            "Hmac<",
        ],
        &["keys.rs", "config.rs", "config/"],
    ),
    (
        "holding SECRET_KEY",
        &["secret_key"],
        &["config.rs", "config/", "app.rs"],
    ),
    (
        "opening a database",
        &[
            "establish",
            "SqliteConnection",
            "PgConnection",
            "AsyncPgConnection",
            "tokio_postgres",
            "diesel_async",
            "libsqlite3_sys",
            "r2d2",
        ],
        // The URL's parser asks tokio-postgres whether it would understand it, and what it says.
        &["db/", "config/database_url.rs", "config/summary.rs"],
    ),
    (
        "querying a database",
        &["diesel"],
        &[
            "db.rs",
            "db/",
            "schema.rs",
            "error.rs",
            "accounts/",
            "mail/outbox.rs",
            "mail/outbox/",
        ],
    ),
    (
        "speaking SMTP",
        &[
            "lettre::transport",
            "SmtpTransport",
            "SmtpConnection",
            "tokio_rustls",
        ],
        &["mail/smtp.rs", "mail/smtp/"],
    ),
    ("giving up", &["process::exit", "process::abort"], &[]),
    (
        "standard output and standard error",
        &["io::stdout", "io::stderr", "stdout()", "stderr()"],
        &["operator/log.rs", "operator/out.rs"],
    ),
    // Nothing in accounts/ knows how it is called, shown or sent.
    (
        "the web server",
        &["actix"],
        &[
            "api.rs",
            "api/",
            "exporter.rs",
            "flows.rs",
            "flows/",
            "gateway.rs",
            "gateway/",
            "health.rs",
            "keys.rs",
            "operator.rs",
            "operator/log.rs",
            "pages.rs",
            "server.rs",
            "web/",
        ],
    ),
    (
        "templates",
        &["askama"],
        &[
            "api/openapi.rs",
            "flows/",
            "gateway/",
            "mail/announcement.rs",
            "mail/announcement/html.rs",
            "mail/letters.rs",
            "mail/notices.rs",
            "mail/own_letter.rs",
            "pages.rs",
            "web/",
        ],
    ),
    // One place tells a template that something is HTML by itself, and of nothing but another template.
    ("what is not escaped", &["HtmlSafe"], &["web/page.rs"]),
    // One place finishes the lines; whoever has a cookie hands it to the answer.
    (
        "writing Set-Cookie",
        &["SET_COOKIE", "\"set-cookie\""],
        &["web/set_cookie.rs"],
    ),
    (
        "signing tokens",
        &["jsonwebtoken"],
        &["accounts/access_tokens.rs", "accounts/es256.rs"],
    ),
    (
        "keys that sign and verify",
        &["ring::signature"],
        &[
            "accounts/device_keys/jws.rs",
            "accounts/es256.rs",
            "webauthn/public_key.rs",
        ],
    ),
    // Whatever an authenticator made is read in one place.
    ("CBOR", &["minicbor"], &["webauthn/"]),
    // A page, a program's route and a command ask for what happens; only an action makes it happen.
    (
        "deciding what happens",
        &[
            "limits::count(",
            "limits::count_all(",
            "limits::forget(",
            "limits::give_back(",
            "limits::begin_gap(",
            "limits::give_gap_back(",
            "limits::decoy(",
            "events::note",
            "links::issue",
            "links::decoy",
            "links::end",
            "sessions::start",
            "sessions::end",
            "refresh_tokens::issue(",
            "outbox.post",
            "outbox.tell",
        ],
        &["actions/"],
    ),
    // Whoever did something reads that it was done: `Visitor::done` goes on with a sentence. Without a word go those who
    // changed nothing: the page that waits moves on, a link loses its token, the password opens the gate, a well-known
    // address leads to the page.
    (
        "going on without a sentence",
        &["see_other("],
        &[
            "web/",
            "flows/notification_links.rs",
            "flows/reauthenticate.rs",
            "flows/reset_hold.rs",
            "flows/sign_in.rs",
            "flows/sign_out.rs",
            "flows/well_known.rs",
            "gateway/return_page.rs",
        ],
    ),
    (
        "mail messages",
        &["lettre"],
        &["config.rs", "config/", "mail/"],
    ),
    ("the command line", &["clap"], &["operator.rs", "operator/"]),
    // Whoever is the operator may do to an account what its owner may, and no visitor is.
    (
        "acting as the operator",
        &["at_the_command_line"],
        &["accounts/users/operator.rs", "operator/users.rs"],
    ),
];

#[test]
fn what_belongs_in_one_module_stands_in_no_other() {
    for (what, words, modules) in RESERVED {
        for source in program() {
            let may = modules.iter().any(|module| {
                source.name == *module || (module.ends_with('/') && source.name.starts_with(module))
            });
            for (number, line) in source.lines() {
                let found = words.iter().find(|word| has_word(line, word));
                assert!(
                    may || found.is_none(),
                    "src/{}:{number}: {what} belongs in {modules:?}: {line}",
                    source.name,
                );
            }
        }
    }
}

#[test]
fn every_reserved_place_is_used() {
    for (what, words, modules) in RESERVED.iter().filter(|(.., modules)| !modules.is_empty()) {
        for module in *modules {
            let used = program()
                .filter(|source| source.name == *module || source.name.starts_with(module))
                .any(|source| words.iter().any(|word| has_word(&source.code, word)));
            assert!(
                used,
                "nothing in {module} is about {what} any more: take it out of the table"
            );
        }
    }
}

/// A form is read by [`doorpost::web::form::Form`] (behind the gate, by `Sensitive` around it; the one field that a
/// mail provider sends, by `OneClick`; what browsers say by themselves, by `SecureSession`), a program's body by [`doorpost::web::json::Json`] (in `Open` and
/// `Sensitive`), and neither by anything else: frameworks fold bytes that are not UTF-8, and take a field that
/// comes twice (HTTP-19).
#[test]
fn every_handler_of_a_post_reads_its_form_strictly() {
    let mut handlers = 0;
    for source in program() {
        for name in post_handlers(&source.code) {
            handlers += 1;
            let signature = signature_of(&source.code, &name)
                .unwrap_or_else(|| panic!("{}: no handler {name} in the same file", source.name));
            let is_strict = [
                "Form<",
                "Sensitive<",
                "OneClick",
                "SecureSession",
                "Open<",
                "OAuthRequest<",
                "Sent<",
            ]
            .iter()
            .any(|reader| has_word(&signature, reader));
            assert!(
                is_strict && !signature.contains("web::Form"),
                "{}: {name} takes a POST and no Form<…>: {signature}",
                source.name,
            );
        }
        for (number, line) in source.lines() {
            for lax in [
                "web::Form",
                "web::Json",
                "web::Query",
                "web::post()",
                "web::to(",
                "Method::PUT",
            ] {
                assert!(
                    !line.contains(lax),
                    "src/{}:{number}: {lax} reads laxly or hides a route: {line}",
                    source.name
                );
            }
        }
    }
    assert!(
        handlers >= 6,
        "only {handlers} handlers of a POST were found; does this test still see them?"
    );
}

/// What a command says goes through `operator/out.rs`: `println!` panics on a closed pipe and a full disk.
#[test]
fn nothing_gives_up_or_prints() {
    let nowhere = [
        ".unwrap()",
        "todo!",
        "dbg!",
        "unimplemented!",
        "panic!",
        "unreachable!",
        "println!",
        "print!",
        "eprintln!",
        "eprint!",
    ];
    for source in program() {
        for (number, line) in source.lines() {
            let found = nowhere.iter().find(|word| has_word(line, word));
            assert_eq!(found, None, "src/{}:{number}: {line}", source.name);
        }
    }
}

/// Both may hold a token: the log shows the route's pattern.
#[test]
fn no_path_or_query_of_a_request_is_logged() {
    for source in program() {
        for (at, _) in source.code.match_indices("tracing::") {
            let call = statement(&source.code[at..]);
            for secret in [
                ".path()",
                ".uri()",
                "query_string",
                "headers()",
                ".reveal()",
                "token",
            ] {
                assert!(
                    !call.contains(secret),
                    "{}: the log would show {secret}: {call}",
                    source.name
                );
            }
        }
        assert!(
            !has_word(&source.code, "Logger"),
            "{}: the log line is the middleware's",
            source.name
        );
    }
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let tests = files("tests", "rs").map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    let sources = files("src", "rs").map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    for (path, text) in sources.chain(tests) {
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//! ") && first.len() > 12,
            "{} opens with {first:?}, not with what it is for",
            path.display(),
        );
    }
}

/// Doorpost's migrations, and those of the app that shows how one's own are made.
const MIGRATIONS: [&str; 2] = ["migrations", "tests/own_app/migrations"];

#[test]
fn both_databases_have_the_same_migrations() {
    for migrations in MIGRATIONS {
        let named = |database: &str| -> BTreeSet<String> {
            fs::read_dir(root().join(migrations).join(database))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        };
        let sqlite = named("sqlite");
        assert!(!sqlite.is_empty(), "no migration was found");
        assert_eq!(sqlite, named("postgres"));
        // What stands before the first _ is the version, which is all that the database keeps.
        let versions: BTreeSet<_> = sqlite.iter().map(|name| name.split('_').next()).collect();
        assert_eq!(
            versions.len(),
            sqlite.len(),
            "two have one version: {sqlite:?}"
        );
        for (database, migration) in sqlite
            .iter()
            .flat_map(|name| [("sqlite", name), ("postgres", name)])
        {
            let folder = root().join(migrations).join(database).join(migration);
            assert!(
                folder.join("up.sql").is_file(),
                "{} lacks up.sql",
                folder.display()
            );
        }
    }
}

#[test]
fn both_databases_have_the_same_tables_and_columns() {
    for (migrations, at_least) in MIGRATIONS.into_iter().zip([20, 4]) {
        let sqlite = tables_and_columns(&format!("{migrations}/sqlite"));
        assert!(
            sqlite.len() > at_least,
            "the migrations were not understood: {sqlite:?}"
        );
        let postgres = tables_and_columns(&format!("{migrations}/postgres"));
        assert_eq!(sqlite, postgres);
    }
}

fn tables_and_columns(migrations: &str) -> Vec<String> {
    let mut words = Vec::new();
    for path in files(migrations, "sql").filter(|path| path.ends_with("up.sql")) {
        let text = fs::read_to_string(path).unwrap();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("--"))
        {
            let mut parts = line.split_whitespace();
            match (parts.next(), parts.next(), parts.next()) {
                (Some("CREATE"), Some("TABLE"), Some(name)) => {
                    words.push(format!("table {name}"));
                }
                (Some(column), Some(_), _)
                    if column.chars().all(|c| c.is_ascii_lowercase() || c == '_') =>
                {
                    words.push(column.to_owned());
                }
                _ => {}
            }
        }
    }
    words
}

/// The CSP allows neither, and a page must not need them (HDR-02). A letter has no stylesheet to link to.
#[test]
fn no_page_has_a_script_or_style_of_its_own() {
    let pages = templates().filter(|(name, _)| !name.starts_with("mail/"));
    for (name, text) in pages.chain(templates_in("tests/own_app/templates")) {
        let lower = text.to_ascii_lowercase();
        for inline in ["<style", " style=", "javascript:", "<base", " srcdoc="] {
            assert!(!lower.contains(inline), "{name} has {inline}");
        }
        for script in lower.split("<script").skip(1) {
            let (attributes, rest) = script.split_once('>').unwrap_or_default();
            // This is none: nobody runs it, and the CSP has no say.
            let is_page = attributes.starts_with(" type=\"text/html\"");
            assert!(
                is_page || attributes.contains(" src=") && rest.starts_with("</script>"),
                "{name} has an inline script",
            );
        }
        for attribute in lower
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
        {
            assert!(
                !is_event(attribute.0),
                "{name} has an inline handler: {}",
                attribute.0
            );
        }
        assert!(!lower.contains("|safe"), "{name} shows something unescaped");
    }
}

/// What `web/form_token.rs` writes its field into, it finds by these words. And lynx sends a form without any named
/// field as a GET: each has one, whatever its branches leave out.
#[test]
fn every_form_is_written_as_its_protection_finds_it_and_has_a_named_field() {
    let mut forms = 0;
    for (name, text) in templates().chain(templates_in("tests/own_app/templates")) {
        assert!(
            !text
                .to_ascii_lowercase()
                .replace("<form ", "")
                .contains("<form"),
            "{name}"
        );
        for form in text.split("<form ").skip(1) {
            forms += 1;
            let (tag, rest) = form.split_once('>').unwrap();
            let tag = format!(" {tag}");
            let is_found = [" method=\"post\" action=\"/", " method=\"post\" action=\"{"]
                .iter()
                .any(|written| tag.contains(written));
            assert!(is_found, "{name}: a form is written otherwise: {tag}");
            let (inside, _) = rest.split_once("</form>").unwrap();
            let always = outside_of_branches(inside);
            let has_field = [" name=\"", "call fields::"]
                .iter()
                .any(|field| always.contains(field));
            assert!(has_field, "{name}: {tag} may have no named field:{inside}");
        }
    }
    assert!(forms > 15, "only {forms} forms were found");
}

/// What a template shows whatever its conditions are.
fn outside_of_branches(text: &str) -> String {
    let (first, _) = text.split_once("{%").unwrap_or((text, ""));
    let (mut shown, mut depth) = (first.to_owned(), 0);
    for rest in text.split("{%").skip(1) {
        let (statement, after) = rest.split_once("%}").unwrap();
        let statement = statement.trim_start_matches(['-', ' ']);
        let word = statement.split_whitespace().next().unwrap_or_default();
        match word {
            "if" | "for" | "match" => depth += 1,
            "endif" | "endfor" | "endmatch" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            shown += statement;
            shown += after;
        }
    }
    shown
}

#[test]
fn every_template_is_used() {
    let extended: BTreeSet<String> = templates()
        .flat_map(|(_, text)| {
            ["extends ", "include ", "import "]
                .iter()
                .flat_map(|how| quoted_after(&text, how))
                .collect::<Vec<_>>()
        })
        .collect();
    let code: String = program().map(|source| source.code).collect();
    for (name, _) in templates() {
        let is_named = code.contains(&format!("\"{name}\"")) || extended.contains(&name);
        assert!(is_named, "templates/{name} is used by nothing");
    }
}

#[test]
fn every_letter_has_a_text_and_an_html_part() {
    let letters: BTreeSet<String> = templates()
        .filter_map(|(name, _)| name.strip_prefix("mail/").map(str::to_owned))
        .filter(|name| name != "paper.html") // what all HTML parts are written on
        .filter(|name| !name.starts_with("notices/")) // what mail/notice.txt and .html say of each
        .collect();
    assert!(!letters.is_empty());
    for letter in &letters {
        let twin = match letter.strip_suffix(".txt") {
            Some(stem) => format!("{stem}.html"),
            None => letter.replace(".html", ".txt"),
        };
        assert!(letters.contains(&twin), "mail/{letter} has no {twin}");
    }
}

/// That something is *not* said is found out by words that no random text holds by chance: a token is made of
/// letters, digits, `-` and `_`, and now and then "evil" or "666" is among them.
#[test]
fn no_test_looks_in_vain_for_what_a_token_may_hold() {
    const LONG_ENOUGH: usize = 6;
    let is_of_tokens = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut looks = 0;
    for path in files("tests", "rs") {
        let text = fs::read_to_string(&path).unwrap();
        for part in text.lines().flat_map(|line| line.split("&&")) {
            for (before, word) in quoted_with_what_stands_before(part, ".contains(\"") {
                let is_negated = before.replace("assert!(", "").contains('!');
                looks += usize::from(is_negated);
                let may_be_there = word.len() < LONG_ENOUGH && word.chars().all(is_of_tokens);
                assert!(
                    !is_negated || may_be_there == IN_WORDS_ALONE.contains(&word),
                    "{}: a token may hold {word:?}: {part}",
                    path.display(),
                );
            }
        }
    }
    assert!(looks > 40, "only {looks} such looks were found");
}

/// What is looked for in a text without anything random in it.
const IN_WORDS_ALONE: [&str; 3] = ["Newer", "ada", "http"];

fn quoted_with_what_stands_before<'a>(
    text: &'a str,
    mark: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.match_indices(mark).filter_map(move |(at, _)| {
        let (word, _) = text[at + mark.len()..].split_once('"')?;
        Some((&text[..at], word))
    })
}

// --- the program, as text ---

/// Every line that the program may log, debugging aside, as its code on one line; and the file that it is in.
pub fn logged() -> Vec<(String, String)> {
    let mut logged = Vec::new();
    for source in program() {
        for level in ["info!", "warn!", "error!"] {
            for (at, _) in source.code.match_indices(&format!("tracing::{level}")) {
                let line = statement(&source.code[at..]).split_whitespace();
                logged.push((source.name.clone(), line.collect::<Vec<_>>().join(" ")));
            }
        }
    }
    logged
}

/// The names of all tables that the migrations make.
pub fn tables() -> Vec<String> {
    let made: Vec<String> = files("migrations/sqlite", "sql")
        .filter(|path| path.ends_with("up.sql"))
        .map(|path| fs::read_to_string(path).unwrap())
        .flat_map(|text| {
            let names = text.split("CREATE TABLE ").skip(1);
            let names = names.filter_map(|rest| rest.split_whitespace().next());
            names.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert!(
        made.len() >= 6,
        "the migrations were not understood: {made:?}"
    );
    made
}

/// A file of the program, without its tests and comments.
struct Source {
    /// Below `src/`.
    name: String,
    /// The first part of it.
    module: String,
    code: String,
}

fn program() -> impl Iterator<Item = Source> {
    let sources: Vec<Source> = files("src", "rs")
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| {
            let name = below("src", &path);
            let module = name.split(['/', '.']).next().unwrap().to_owned();
            let code = without_tests_and_comments(&fs::read_to_string(&path).unwrap());
            Source { name, module, code }
        })
        .collect();
    assert!(sources.len() > 40, "src/ was not found");
    sources.into_iter()
}

impl Source {
    /// The path of the module from the root of the crate.
    fn path(&self) -> Vec<String> {
        let path = self.name.trim_end_matches(".rs");
        path.split('/').map(str::to_owned).collect()
    }

    /// The lines that are neither empty nor a comment, by their number in this text.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty())
    }

    /// The paths from the root of the crate that this file names, each with its line: `crate::a::b` is
    /// `[a, b]`, and `use crate::{a, b::c}` is `[a]` and `[b, c]`. In the program's own crate the library is
    /// called `doorpost`.
    fn paths(&self) -> Vec<(String, Vec<String>)> {
        let folder = self
            .name
            .rsplit_once('/')
            .map(|(folder, _)| folder.replace('/', "::"));
        let mut found = Vec::new();
        for (root, inside) in [("crate::", None), ("doorpost::", None), ("super::", folder)] {
            for (at, _) in self.code.match_indices(root) {
                if is_inside_a_word(&self.code, at) || self.code[..at].ends_with("::") {
                    continue;
                }
                let line = self.code[at..]
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                for path in expand(&self.code[at + root.len()..]) {
                    let above = inside.iter().flat_map(|inside| inside.split("::"));
                    let whole = above.map(str::to_owned).chain(path).collect();
                    found.push((line.clone(), whole));
                }
            }
        }
        found
    }
}

/// The paths at the beginning of a text: one, or those between braces.
fn expand(text: &str) -> Vec<Vec<String>> {
    if let Some(list) = text.strip_prefix('{') {
        let mut depth = 1;
        let end = list.find(|c| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            depth == 0
        });
        let list = &list[..end.unwrap_or(list.len())];
        return split_at_top(list)
            .into_iter()
            .flat_map(|item| expand(item.trim()))
            .collect();
    }
    let name: String = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    if name.is_empty() {
        return Vec::new();
    }
    let Some(rest) = text[name.len()..].strip_prefix("::") else {
        return vec![vec![name]];
    };
    let further = expand(rest);
    if further.is_empty() {
        return vec![vec![name]];
    }
    further
        .into_iter()
        .map(|path| std::iter::once(name.clone()).chain(path).collect())
        .collect()
}

fn split_at_top(list: &str) -> Vec<&str> {
    let mut depth = 0;
    list.split(|c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    })
    .collect()
}

fn without_tests_and_comments(text: &str) -> String {
    let (program, _) = text
        .split_once("#[cfg(test)]\nmod tests {")
        .unwrap_or((text, ""));
    program
        .replace("#[cfg(test)]\nmod tests;", "")
        .lines()
        .map(|line| match line.trim_start() {
            comment if comment.starts_with("//") => "",
            _ => line.split_once(" // ").map_or(line, |(code, _)| code),
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// The names in `.post(name)`.
fn post_handlers(code: &str) -> Vec<String> {
    code.split(".post(")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(name, _)| name.trim().to_owned())
        // A letter is posted, too: with more than a name.
        .filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        .collect()
}

fn signature_of(code: &str, handler: &str) -> Option<String> {
    let (_, rest) = code.split_once(&format!("fn {handler}("))?;
    let (signature, _) = rest.split_once("->")?;
    Some(signature.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Up to the `;` that ends it, or the `)` of a macro that is an expression's last.
fn statement(code: &str) -> &str {
    let mut depth = 0;
    let end = code.find(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        (c == ';' || c == ')') && depth == 0
    });
    &code[..end.unwrap_or(code.len())]
}

fn is_a_module(name: &str) -> bool {
    LAYERS.iter().any(|modules| modules.contains(&name))
}

fn layer_of(module: &str) -> usize {
    if module == "lib" {
        return LAYERS.len();
    }
    LAYERS
        .iter()
        .position(|modules| modules.contains(&module))
        .unwrap_or_else(|| panic!("{module} is in no layer: say in this test where it stands"))
}

/// Whether the word stands there for itself: `rand::` is not in `operand::`, nor `env::` in `my_env::`.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word)
        .any(|(at, _)| !is_inside_a_word(text, at))
}

fn is_inside_a_word(text: &str, at: usize) -> bool {
    let begins_as_a_word = text[at..].starts_with(|c: char| c.is_alphanumeric());
    begins_as_a_word && text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// `onclick` and its like.
fn is_event(attribute: &str) -> bool {
    attribute
        .strip_prefix("on")
        .is_some_and(|event| !event.is_empty() && event.chars().all(|c| c.is_ascii_lowercase()))
}

fn quoted_after(text: &str, mark: &str) -> Vec<String> {
    text.split(mark)
        .skip(1)
        .filter_map(|rest| rest.strip_prefix('"')?.split_once('"'))
        .map(|(quoted, _)| quoted.to_owned())
        .collect()
}

/// Every template, by its name below `templates/`.
fn templates() -> impl Iterator<Item = (String, String)> {
    let all: Vec<_> = templates_in("templates").collect();
    assert!(all.len() > 10, "templates/ was not found");
    all.into_iter()
}

fn templates_in(folder: &str) -> impl Iterator<Item = (String, String)> {
    files(folder, "html")
        .chain(files(folder, "txt"))
        .map(move |path| (below(folder, &path), fs::read_to_string(path).unwrap()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn below(folder: &str, path: &Path) -> String {
    let below = path.strip_prefix(root().join(folder)).unwrap();
    below.to_str().unwrap().to_owned()
}

/// All files in a folder and those below it whose names end like this, in order.
fn files(folder: &str, ending: &str) -> impl Iterator<Item = PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|is| is == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found.into_iter()
}
