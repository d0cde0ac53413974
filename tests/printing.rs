//! Commands whose words nobody hears: a reader who has gone (`| head -0`), a disk that is full. None panics, each does
//! what it was told to, and its code says what became of it.

use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{ANY_PORT, Doorpost, command, empty_folder, run};
use crate::support::ScriptedServer;

type Variables<'a> = &'a [(&'a str, &'a str)];

/// Runs it where what it says is taken by this.
fn said_to(
    folder: &Path,
    arguments: &[&str],
    variables: Variables<'_>,
    out: Stdio,
    err: Stdio,
) -> Output {
    let mut command = command(folder, variables);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err);
    command.spawn().unwrap().wait_with_output().unwrap()
}

/// A pipe at whose other end nobody is any more.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

#[tokio::test]
async fn every_command_ends_well_where_nobody_reads_and_says_so_where_nothing_can_be_kept() {
    let (folder, server) = (empty_folder(), ScriptedServer::start());
    let smtp = server.url();
    let limits = ("LIMIT_MAIL_GAP", "off");
    let variables = [ANY_PORT, ("SMTP_URL", &*smtp), limits];
    let doorpost = Doorpost::serving(folder.path(), &variables);
    doorpost
        .visitor()
        .ask("/register", "ada@example.org")
        .await
        .sees_inbox_page();
    server.letter_for("ada@example.org").await;
    drop(doorpost);
    fs::write(
        folder.path().join("news.md"),
        "# News\n\nThe door is open.\n",
    )
    .unwrap();
    let list = run(folder.path(), &["mail", "list", "--json"], &variables);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    let id = list[0]["id"].as_str().unwrap();
    let announce = ["announce", "news.md", "--to", "all"];
    let commands: &[&[&str]] = &[
        &["--help"],
        &["--version"],
        &["mail", "--help"],
        &announce,
        &[&announce[..], &["--dry-run"]].concat(),
        &[&announce[..], &["--json"]].concat(),
        &["check"],
        &["check", "--json"],
        &["keys", "generate"],
        &["keys", "adopt"],
        &["keys", "rotate"],
        &["keys", "rotate", "--now"],
        &["keys", "rotate", "--now", "--dry-run"],
        &["mail", "list"],
        &["mail", "list", "--json"],
        &["mail", "retry", id, "unheardof"],
        &["mail", "show", id],
        &["mail", "show", id, "--json"],
        &["mail", "test", "ann@example.org"],
        &["migrate"],
        &["migrate", "--dry-run", "--json"],
        &["purge"],
        &["purge", "--dry-run"],
        &["purge", "--json"],
        &["users", "invite", "bob@example.org", "--print"],
        &["users", "invite", "carol@example.org", "--withdraw"],
        &["users", "list"],
        &["users", "list", "--json"],
    ];
    for arguments in commands {
        let told = run(folder.path(), arguments, &variables);
        assert!(!told.stdout.is_empty(), "{told:?}");
        let unheard = said_to(
            folder.path(),
            arguments,
            &variables,
            closed_pipe(),
            Stdio::piped(),
        );
        let complaints = String::from_utf8(unheard.stderr).unwrap();
        assert_eq!(
            unheard.status.code(),
            told.status.code(),
            "{arguments:?}: {complaints}"
        );
        assert!(
            !complaints.contains("panicked") && !complaints.contains("Broken pipe"),
            "{arguments:?}: {complaints}"
        );

        let lost = said_to(
            folder.path(),
            arguments,
            &variables,
            full_disk(),
            Stdio::piped(),
        );
        let complaints = String::from_utf8(lost.stderr).unwrap();
        assert_eq!(lost.status.code(), Some(1), "{arguments:?}: {complaints}");
        assert!(
            !complaints.contains("panicked"),
            "{arguments:?}: {complaints}"
        );
        assert!(
            complaints.contains("standard output: No space left on device"),
            "{arguments:?}: {complaints}"
        );
    }
}

#[test]
fn a_command_that_cannot_say_what_it_did_has_done_it() {
    let folder = empty_folder();
    let invite = |address: &str, out| {
        let arguments = ["users", "invite", address];
        said_to(folder.path(), &arguments, &[], out, Stdio::piped())
    };
    assert_eq!(
        invite("ann@example.org", closed_pipe()).status.code(),
        Some(0)
    );
    assert_eq!(
        invite("bob@example.org", full_disk()).status.code(),
        Some(1)
    );
    let list = run(folder.path(), &["mail", "list"], &[]);
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(
        list.contains("ann@example.org") && list.contains("bob@example.org"),
        "{list}"
    );
}

#[test]
fn what_cannot_be_complained_of_still_has_its_code() {
    let folder = empty_folder();
    drop(Doorpost::serving(folder.path(), &[ANY_PORT]));
    for (arguments, variables, code) in [
        (&["mail", "show", "unheardof"][..], &[][..], 1),
        (&["mail", "test", "ann@example.org"], &[], 1),
        (&["announce", "no-such-file", "--to", "all"], &[], 1),
        (&["users", "invite", "nobody"], &[], 2),
        (&["--port", "80"], &[], 2),
        (&["check"], &[("LOG_FORMAT", "xml")], 2),
        (&[], &[("LOG_FORMAT", "xml")], 2),
    ] {
        for [out, err] in [[closed_pipe(), closed_pipe()], [full_disk(), full_disk()]] {
            let ended = said_to(folder.path(), arguments, variables, out, err);
            assert_eq!(
                ended.status.code(),
                Some(code),
                "{arguments:?} {variables:?}"
            );
        }
    }
}

/// A log that is lost is no reason to turn visitors away.
#[test]
fn a_server_whose_log_cannot_be_kept_goes_on_serving() {
    for sink in [full_disk, closed_pipe] {
        let folder = empty_folder();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let bind = address.to_string();
        let mut command = command(folder.path(), &[("BIND_ADDRESS", &*bind)]);
        command.stdin(Stdio::null()).stdout(sink()).stderr(sink());
        let mut server = command.spawn().unwrap();
        let began = Instant::now();
        let mut answers = 0;
        while answers < 3 {
            assert!(server.try_wait().unwrap().is_none(), "it has ended");
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "it does not serve"
            );
            match get(&bind) {
                Some(answer) => {
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                    answers += 1;
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

fn get(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    std::io::read_to_string(stream).ok()
}
