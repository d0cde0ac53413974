//! `GATE_FILE`, which says who may pass to which app: a mistake in it stops the start, `doorpost check` looks at it, and
//! SIGHUP has it read again while Doorpost serves.

use std::fs;
use std::path::Path;
use std::process::Command;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::program::{ANY_PORT, DOORPOST, Doorpost, dressed, empty_folder, everything_in, run};
use crate::support::secret_key;

const FILE: (&str, &str) = ("GATE_FILE", "gate.toml");

const TWO_HOSTS: &str = "\
[[host]]
name = \"wiki.example.org\"

[[host]]
name = \"*.apps.example.org\"
";

/// A slip of the pen on its third line, beside what nobody shall read in a log.
const WITH_A_MISTAKE: &str = "\
[[host]]
name = \"wiki.example.org\"
alow = [\"ada@hunter2.example\"]
";

const THE_MISTAKE: &str = "names a file whose line 3 sets what is no rule; write nothing there but name, allow, strength, \
    reauthenticated, path, open, jwt";

fn write(folder: &Path, rules: &str) {
    fs::write(folder.join(FILE.1), rules).unwrap();
}

#[test]
fn a_mistake_in_the_file_stops_the_start_and_the_check_with_its_line() {
    let folder = empty_folder();
    write(folder.path(), WITH_A_MISTAKE);
    for arguments in [&[][..], &["check"]] {
        let ended = run(folder.path(), arguments, &[ANY_PORT, FILE]);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {told}");
        assert_eq!(told, format!("doorpost: GATE_FILE: {THE_MISTAKE}\n"));
    }
    let left = everything_in(folder.path());
    assert_eq!(left.len(), 1, "nothing but the file: {left:?}");
}

#[test]
fn a_file_that_cannot_be_rules_stops_the_start() {
    let folder = empty_folder();
    fs::create_dir(folder.path().join("folder")).unwrap();
    // To read it would never end.
    make_pipe(&folder.path().join("pipe"));
    fs::write(folder.path().join("empty"), "").unwrap();
    fs::write(folder.path().join("bytes"), b"[[host]]\nname = \"\xff\"\n").unwrap();
    let large = TWO_HOSTS.to_owned() + &"#".repeat(1024 * 1024);
    fs::write(folder.path().join("large"), large).unwrap();
    for (path, words) in [
        ("nothing", "cannot be read"),
        ("folder", "is a folder, a pipe or a device"),
        ("pipe", "is a folder, a pipe or a device"),
        ("empty", "without a host"),
        ("bytes", "is not UTF-8"),
        ("large", "more than 1 MiB"),
    ] {
        let ended = run(folder.path(), &[], &[ANY_PORT, ("GATE_FILE", path)]);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{path}: {told}");
        assert!(
            told.starts_with("doorpost: GATE_FILE: names a file ") && told.contains(words),
            "{told}"
        );
    }
}

#[tokio::test]
async fn it_is_read_again_at_a_hangup_and_a_mistake_keeps_the_rules_of_before() {
    let folder = empty_folder();
    write(folder.path(), TWO_HOSTS);
    let mut doorpost = Doorpost::serving(folder.path(), &[ANY_PORT, FILE]);

    write(folder.path(), &TWO_HOSTS.replace("wiki", "blog"));
    doorpost.signal("HUP");
    doorpost.says("the rules of GATE_FILE were read again, and hold from now on hosts=2");

    write(folder.path(), WITH_A_MISTAKE);
    doorpost.signal("HUP");
    doorpost.says(&format!(
        "the rules of before stay: GATE_FILE {THE_MISTAKE}"
    ));
    fs::remove_file(folder.path().join(FILE.1)).unwrap();
    doorpost.signal("HUP");
    doorpost.says("the rules of before stay: GATE_FILE names a file that cannot be read");

    make_pipe(&folder.path().join(FILE.1));
    doorpost.signal("HUP");
    doorpost.says(
        "the rules of before stay: GATE_FILE names a file that is a folder, a pipe or a device",
    );
    fs::remove_file(folder.path().join(FILE.1)).unwrap();

    // Mended, it is read as if nothing had been.
    write(folder.path(), "[[host]]\nname = \"wiki.example.org\"\n");
    doorpost.signal("HUP");
    doorpost.says("and hold from now on hosts=1");
    let log = doorpost.log();
    assert!(log.contains(r#"event="gate_not_read""#), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    let ready = doorpost.visitor().get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    doorpost.signal("TERM");
    assert_eq!(doorpost.ends(), Some(0));
}

/// It sends a hangup, and nobody could end the program by Ctrl-C any more.
#[test]
fn a_terminal_that_closes_ends_a_program_that_has_nothing_to_read_again() {
    let folder = empty_folder();
    // Whatever runs the tests may not mind hangups, and what it starts would not either.
    let mut as_in_a_terminal = dressed(Command::new("/usr/bin/env"), folder.path(), &[ANY_PORT]);
    as_in_a_terminal.args(["--default-signal=HUP", DOORPOST]);
    let mut doorpost = Doorpost::spawned(as_in_a_terminal).when_up();
    doorpost.signal("HUP");
    assert_eq!(doorpost.ends(), None, "no code, but a signal");
}

/// Whoever types `systemctl reload` does not mean to end it.
#[test]
fn a_service_manager_may_reload_what_has_nothing_to_read_again() {
    let folder = empty_folder();
    let nobody_listens = ("NOTIFY_SOCKET", "@doorpost-nobody-listens");
    let mut doorpost = Doorpost::serving(folder.path(), &[ANY_PORT, nobody_listens]);
    doorpost.signal("HUP");
    doorpost.says("nothing was read again");
    doorpost.signal("TERM");
    assert_eq!(doorpost.ends(), Some(0));
}

#[test]
fn a_check_says_what_the_file_names_and_the_settings_forget() {
    let folder = empty_folder();
    write(folder.path(), TWO_HOSTS);
    let key = secret_key();
    let site = [
        ANY_PORT,
        ("PUBLIC_URL", "https://login.example.org"),
        ("SECRET_KEY", &key),
        ("SMTP_URL", "smtp://127.0.0.1:1"),
        ("MAIL_FROM", "login@example.org"),
    ];
    let proxy = [("TRUSTED_PROXIES", "127.0.0.1")];
    let gate = |how: &[&str], more: &[(&str, &str)]| {
        let arguments = [&["check"], how].concat();
        let checked = run(
            folder.path(),
            &arguments,
            &[&site, &proxy[..], more].concat(),
        );
        String::from_utf8(checked.stdout).unwrap()
    };
    let lines = |more: &[(&str, &str)]| {
        let said = gate(&[], more);
        let lines = said.lines().filter(|line| line.starts_with("gate"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };

    assert!(lines(&[]).is_empty(), "it is a sign-in for itself");
    let hosts = ("RETURN_HOSTS", "wiki.example.org,*.example.org");
    let domain = ("COOKIE_DOMAIN", "example.org");
    assert_eq!(
        lines(&[hosts, domain]),
        [
            "gate           ok      no GATE_FILE: whoever is signed in may pass, and anybody may sign up"
        ]
    );
    assert_eq!(
        lines(&[domain, ("SIGN_UP", "invited")]),
        [
            "gate           ok      no GATE_FILE: whoever is signed in may pass",
            "gate           but     RETURN_HOSTS leads nobody back to any app",
        ]
    );
    assert_eq!(
        lines(&[hosts, ("TRUSTED_PROXIES", "")])[1..],
        [
            "gate           but     COOKIE_DOMAIN does not reach wiki.example.org, *.example.org, where nobody is known",
            "gate           but     TRUSTED_PROXIES names no proxy, and what one asks is not believed",
        ]
    );
    assert_eq!(
        lines(&[hosts, domain, FILE]),
        ["gate           ok      GATE_FILE has rules for 2 hosts"]
    );
    assert_eq!(
        lines(&[("RETURN_HOSTS", "wiki.example.org"), domain, FILE]),
        [
            "gate           ok      GATE_FILE has rules for 2 hosts",
            "gate           but     RETURN_HOSTS leads nobody back to *.apps.example.org",
        ]
    );
    assert_eq!(
        lines(&[hosts, FILE])[1..],
        [
            "gate           but     COOKIE_DOMAIN does not reach wiki.example.org, *.apps.example.org, *.example.org, where nobody is known"
        ]
    );
    // That of the site itself is good for its own host.
    write(
        folder.path(),
        "[[host]]\nname = \"login.example.org:8443\"\n",
    );
    assert_eq!(
        lines(&[("RETURN_HOSTS", "login.example.org:8443"), FILE]),
        ["gate           ok      GATE_FILE has rules for 1 host"]
    );

    let all: Value = serde_json::from_str(&gate(&["--json"], &[FILE])).unwrap();
    let last_two = &all.as_array().unwrap()[6..];
    assert_eq!(
        last_two,
        [
            json!({"part": "gate", "ok": true, "words": "GATE_FILE has rules for 1 host"}),
            json!({"part": "gate", "ok": true, "warning": true,
                "words": "RETURN_HOSTS leads nobody back to login.example.org:8443"}),
        ]
    );
}

/// Whoever copies it has rules that hold, and nothing forgotten beside them.
#[test]
fn the_file_that_gateway_md_shows_is_one() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gateway.md");
    let page = fs::read_to_string(page).unwrap();
    let shown = page.split("```toml\n").nth(1).unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let folder = empty_folder();
    write(folder.path(), shown);
    let settings = [
        ANY_PORT,
        FILE,
        ("PUBLIC_URL", "https://login.example.org"),
        ("SECRET_KEY", &secret_key()),
        ("SMTP_URL", "smtp://127.0.0.1:1"),
        ("MAIL_FROM", "login@example.org"),
        ("RETURN_HOSTS", "wiki.example.org,*.apps.example.org"),
        ("COOKIE_DOMAIN", "example.org"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let checked = run(folder.path(), &["check"], &settings);
    let said = String::from_utf8(checked.stdout).unwrap();
    let gate: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("gate"))
        .collect();
    assert_eq!(
        gate,
        ["gate           ok      GATE_FILE has rules for 3 hosts"],
        "{said}"
    );
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}
