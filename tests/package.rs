//! The Debian package, installed, upgraded, removed and purged on a machine of its own, on which systemd runs its service:
//! what it brings, what it keeps, and what `docs/deploy.md` says to type.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::machine::Machine;

/// Who may read what: the settings and the key, Doorpost; the data, nobody else.
const INSTALLED: &str = "\
drwxr-x--- root:doorpost /etc/doorpost
lrwxrwxrwx root:root /etc/doorpost/.env
-rw-r----- root:doorpost /etc/doorpost/doorpost.env
-rw-r----- root:doorpost /etc/doorpost/secret_key
drwx------ doorpost:doorpost /var/lib/doorpost";

/// How anything is run by hand.
const BY_HAND: &str = "cd /etc/doorpost && runuser -u doorpost -- doorpost";

const SERVES: &str = "curl --silent --show-error --fail http://127.0.0.1:8080/readyz";

#[test]
fn it_is_installed_and_serves_as_systemd_runs_it() {
    let mut machine = a_machine();
    machine.run("dpkg --install doorpost_*.deb");
    assert_eq!(machine.list("/etc/doorpost /var/lib/doorpost"), INSTALLED);
    let user = machine.run("getent passwd doorpost");
    assert!(
        user.ends_with(":/var/lib/doorpost:/usr/sbin/nologin"),
        "{user}"
    );
    assert_eq!(
        machine.run("base64 --decode /etc/doorpost/secret_key | wc --bytes"),
        "64"
    );
    for page in [
        "man/man1/doorpost.1.gz",
        "man/man1/doorpost-users-list.1.gz",
        "bash-completion/completions/doorpost",
    ] {
        machine.run(&format!(
            "dpkg-query --listfiles doorpost | grep --quiet /usr/share/{page}$"
        ));
    }
    // Nobody has said yet which site it is: it neither runs now nor after a restart of the machine.
    assert_eq!(
        machine.attempt("systemctl is-enabled doorpost").said,
        "disabled"
    );
    assert_eq!(
        machine.attempt("systemctl is-active doorpost").said,
        "inactive"
    );

    // As it comes, it says what is missing, and is not tried again and again.
    let refused = machine.attempt(&format!("{BY_HAND} check"));
    assert_eq!(refused.code, 2, "{}", refused.said);
    assert!(
        refused.said.starts_with("doorpost: SMTP_URL: "),
        "{}",
        refused.said
    );
    assert_ne!(machine.attempt("systemctl start doorpost").code, 0);
    assert_eq!(
        machine.attempt("systemctl is-failed doorpost").said,
        "failed"
    );

    settle(&mut machine);
    let checked = machine.run(&format!("{BY_HAND} check"));
    assert_eq!(checked.matches(" ok ").count(), 6, "{checked}");
    machine.run("systemctl enable --now doorpost");
    machine.run(SERVES);
    assert_eq!(machine.run("systemctl is-active doorpost"), "active");
    assert!(
        machine
            .list("/var/lib/doorpost")
            .contains("-rw------- doorpost:doorpost /var/lib/doorpost/doorpost.db")
    );
    let journal = machine.run("journalctl --unit doorpost --output cat --no-pager");
    assert!(
        journal.contains("database       ok ")
            && journal.contains("Doorpost is at https://login.example.org"),
        "{journal}"
    );
    // The settings of the service and of what is run by hand are one: this sees what that wrote.
    assert!(
        machine
            .run(&format!("{BY_HAND} check"))
            .contains("a Doorpost listens at 127.0.0.1:8080")
    );

    // In its sandbox it can do all that it has to: its letters leave, and a key is drawn.
    machine.run("curl --silent --fail --header 'Sec-Fetch-Site: same-origin' --data email=ada@example.org http://127.0.0.1:8080/register");
    machine.wait_for("grep --quiet 'To: ada@example.org' /tmp/letters");
    machine.run("curl --silent --fail http://127.0.0.1:8080/.well-known/jwks.json");

    // Told to reload, it reads again who may pass to which app, and goes on.
    machine.run(
        "cd /etc/doorpost && echo GATE_FILE=gate.toml >> doorpost.env && \
         printf '[[host]]\\nname = \"wiki.example.org\"\\n' > gate.toml && systemctl restart doorpost",
    );
    machine.run("systemctl reload doorpost");
    machine.wait_for("journalctl --unit doorpost --output cat --no-pager | grep --quiet 'rules of GATE_FILE were read again'");
    machine.run(SERVES);

    // Killed, it comes again.
    machine.run("kill -KILL $(systemctl show --property MainPID --value doorpost)");
    machine.wait_for(&format!("sleep 1; {SERVES}"));
    machine.run("systemctl stop doorpost");
    assert_eq!(
        machine.run("systemctl show --property Result doorpost"),
        "Result=success"
    );
}

#[test]
fn an_upgrade_and_a_removal_keep_what_is_ours_and_a_purge_takes_it() {
    let mut machine = a_machine();
    machine.run("dpkg --install doorpost_*.deb");
    settle(&mut machine);
    machine.run(&format!("{BY_HAND} users invite ada@example.org; cd /tmp"));
    machine.run("systemctl enable --now doorpost");
    // What the operator has changed about it is theirs.
    machine.run("chmod 600 /etc/doorpost/secret_key && chown doorpost: /etc/doorpost/secret_key");
    let ours = "cat /etc/doorpost/doorpost.env /etc/doorpost/secret_key";
    let kept = |machine: &mut Machine| {
        let files = machine.list("/etc/doorpost /var/lib/doorpost/doorpost.db");
        (machine.run(ours), files)
    };
    let before = kept(&mut machine);
    let process = machine.run("systemctl show --property MainPID doorpost");

    // A newer one, whose settings have other defaults.
    machine.run(
        "dpkg-deb --raw-extract doorpost_*.deb newer && \
         sed -i 's/^Version: .*/Version: 99.0-1/' newer/DEBIAN/control && \
         echo '# a default that changed' >> newer/etc/doorpost/doorpost.env && \
         dpkg-deb -Znone --build newer newer.deb",
    );
    machine.run(
        "dpkg --install --force-confold newer.deb && rm -f /etc/doorpost/doorpost.env.dpkg-dist",
    );
    assert!(machine.run("dpkg-query --show doorpost").contains("99.0-1"));
    assert_eq!(kept(&mut machine), before);
    assert_eq!(machine.run("systemctl is-enabled doorpost"), "enabled");
    machine.wait_for(SERVES);
    assert_ne!(
        machine.run("systemctl show --property MainPID doorpost"),
        process,
        "the newer one serves"
    );

    machine.run("dpkg --remove doorpost");
    assert_eq!(machine.attempt("command -v doorpost").code, 1);
    assert_ne!(machine.attempt(SERVES).code, 0);
    assert_eq!(kept(&mut machine), before);

    // Installed once more, it goes on.
    machine.run("dpkg --install newer.deb");
    assert_eq!(kept(&mut machine), before);
    let withdrawn = machine.run(&format!(
        "{BY_HAND} users invite ada@example.org --withdraw; cd /tmp"
    ));
    assert!(
        withdrawn.ends_with("ada@example.org is not invited any more."),
        "{withdrawn}"
    );

    machine.run("dpkg --purge doorpost");
    let left = machine
        .attempt("find /etc /usr /var -name '*doorpost*' -newer newer.deb -not -name '*.md'")
        .said;
    assert_eq!(left, "", "a purge leaves something behind");
    assert!(
        machine.run("getent passwd doorpost").contains("nologin"),
        "its number is nobody else's"
    );
}

#[test]
fn its_unit_lets_it_do_little_and_says_nothing_that_systemd_does_not_know() {
    let unit = in_repository("deploy/doorpost.service");
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=15"])
        .arg(&unit)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(
        judged.status.success(),
        "it is exposed more than 1.5: {said}"
    );
    let mut machine = a_machine();
    machine.run("dpkg --install doorpost_*.deb");
    let verified = machine.run("systemd-analyze verify --man=no doorpost.service");
    assert!(!verified.contains("doorpost.service"), "{verified}");
}

#[test]
fn lintian_finds_no_error() {
    let judged = Command::new("lintian")
        .args(["--fail-on=error", "--allow-root"])
        .arg(package())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(
        judged.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&judged.stderr)
    );
}

/// A package of another version than the program would be taken for it.
#[test]
fn its_changelog_begins_with_the_version_of_the_program() {
    let changelog = fs::read_to_string(in_repository("deploy/debian/changelog")).unwrap();
    let version = concat!("doorpost (", env!("CARGO_PKG_VERSION"), "-1) ");
    assert!(changelog.starts_with(version), "{changelog}");
}

/// Everything that the page says to type, in its order; then somebody calls.
#[test]
fn what_deploy_md_says_to_type_makes_a_site() {
    let mut machine = a_machine();
    machine.run("echo 127.0.0.1 login.example.org >> /etc/hosts");
    type_what_it_says(&mut machine, "docs/deploy.md", "## A server from nothing");
    let site = "curl --silent --show-error --fail --cacert /etc/letsencrypt/live/login.example.org/fullchain.pem \
                --header 'Sec-Fetch-Site: same-origin' https://login.example.org";
    assert!(machine.run(&format!("{site}/")).contains("Register"));
    machine.run(&format!("{site}/register --data email=ada@example.org"));
    machine.wait_for("grep --quiet 'To: ada@example.org' /tmp/letters");

    // The same with Caddy, under the same certificate, for there is nobody here who would give it another one.
    machine.run("systemctl stop nginx");
    type_what_it_says(&mut machine, "docs/deploy.md", "### Caddy");
    assert!(machine.run(&format!("{site}/")).contains("Register"));
}

/// On that site, and then a stranger calls.
#[test]
fn what_gateway_md_says_to_type_puts_doorpost_in_front_of_an_app() {
    let mut machine = a_machine();
    machine.run("echo 127.0.0.1 login.example.org app.example.org >> /etc/hosts");
    type_what_it_says(&mut machine, "docs/deploy.md", "## A server from nothing");
    let settings = fenced("docs/gateway.md", "## In five minutes");
    machine.run(&format!(
        "cat >> /etc/doorpost/doorpost.env <<'END'\n{settings}\nEND"
    ));
    type_what_it_says(&mut machine, "docs/gateway.md", "## In five minutes");
    machine.wait_for(
        "curl --silent --show-error --head --cacert /etc/letsencrypt/live/app.example.org/fullchain.pem https://app.example.org/ | \
         grep --quiet 'location: https://login.example.org/sign-in?next=https%3A%2F%2Fapp.example.org%2F'",
    );
    let app = machine.run("curl --silent --show-error --fail http://127.0.0.1:9000/");
    assert!(app.contains("Hello, somebody"), "{app}");
}

/// The lines that the page has for Postfix: a letter to nobody comes back and is told, and whoever writes to that address from
/// outside gets no answer.
#[test]
fn postfix_hands_in_what_comes_back_as_operate_md_has_it() {
    let mut machine = Machine::with(&[&package()]);
    machine.run("dpkg --install --no-triggers doorpost_*.deb");
    settle(&mut machine);
    let blocks = indented("docs/operate.md", "### From a mail server that pipes");
    let takes_mail = "compatibility_level = 3.6\nmyhostname = mail.example.org\nmydestination = example.org\n\
                      mynetworks = 127.0.0.0/8\nmaillog_file = /var/log/mail.log\nalias_maps =\n";
    // Whoever is at elsewhere.example would have an account of this machine: it takes the letter, and finds nobody.
    let to_nobody = "inline:{ { elsewhere.example = local: } }";
    for (file, lines) in [
        (
            "/etc/doorpost/doorpost.env",
            "MAIL_BOUNCE_ADDRESS=bounce@example.org",
        ),
        ("/etc/postfix/master.cf", &*blocks[0]),
        ("/etc/postfix/main.cf", takes_mail),
        ("/etc/postfix/main.cf", &*blocks[1]),
    ] {
        machine.run(&format!("cat >> {file} <<'END'\n{lines}\nEND"));
    }
    machine.run(&format!(
        "sed -i 's/^transport_maps = .*/& {to_nobody}/' /etc/postfix/main.cf"
    ));
    machine.run("postfix start && systemctl start doorpost");

    machine.run("curl --silent --fail --header 'Sec-Fetch-Site: same-origin' --data email=ada@elsewhere.example http://127.0.0.1:8080/register");
    let bounced = machine.wait_for(&format!("{BY_HAND} mail list --state bounced | grep ada@"));
    assert!(bounced.contains("  5.1.1 unknown user"), "{bounced}");

    machine.run(
        "cd /tmp && echo Hello > hello && curl --silent --show-error --mail-from eve@elsewhere.example \
         --mail-rcpt bounce@example.org --mail-rcpt bounce+1.2@example.org --upload-file hello smtp://127.0.0.1",
    );
    machine.wait_for("[ $(grep --count 'passed over' /var/log/mail.log) = 2 ]");
    let answered = machine
        .attempt("grep eve@ /var/log/mail.log | grep ' to='")
        .said;
    assert_eq!(answered, "");
}

/// What stands between the first fences of a section: the settings.
fn fenced(page: &str, section: &str) -> String {
    let text = text_of(page, section);
    text.split("```\n").nth(1).unwrap().to_owned()
}

fn text_of(page: &str, section: &str) -> String {
    let page = fs::read_to_string(in_repository(page)).unwrap();
    let (_, text) = page.split_once(&format!("{section}\n")).unwrap();
    let (text, _) = text.split_once("\n#").unwrap();
    text.to_owned()
}

/// What is indented in a section, block by block.
fn indented(page: &str, section: &str) -> Vec<String> {
    let text = text_of(page, section);
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        match (line.strip_prefix("    "), blocks.last_mut()) {
            (Some(line), Some(block)) => *block += &format!("{line}\n"),
            (None, Some(block)) if !block.is_empty() => blocks.push(String::new()),
            _ => {}
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// Types the commands of a section: what is indented there. Settings and answers stand between fences.
fn type_what_it_says(machine: &mut Machine, page: &str, section: &str) {
    let blocks = indented(page, section);
    let commands: Vec<&str> = blocks.iter().flat_map(|block| block.lines()).collect();
    assert!(
        commands.len() >= 2,
        "the commands are not seen any more: {commands:?}"
    );
    for command in commands {
        let instead = INSTEAD
            .iter()
            .find(|(begins, _)| command.starts_with(begins));
        machine.run(instead.map_or(command, |(_, instead)| instead));
        match command.split_once(' ') {
            Some(("nano", _)) => settle(machine),
            Some(("certbot", _)) => make_certificates(machine),
            _ => {}
        }
    }
}

/// For both hosts: nobody here would vouch for them.
fn make_certificates(machine: &mut Machine) {
    for command in indented("docs/deploy.md", "## Without a public name") {
        machine.run(&command);
        machine.run(&command.replace("login.example.org", "app.example.org"));
    }
}

/// What stands in for a command that needs the world out there, or somebody at a keyboard.
const INSTEAD: &[(&str, &str)] = &[
    // What it would bring besides is on every machine of the tests.
    (
        "apt install ./doorpost",
        "dpkg --install doorpost_*.deb && systemctl start nginx",
    ),
    ("apt install python3", "true"),
    ("nano ", "true"),
    ("certbot certonly ", "true"),
    ("curl --head https://app", "true"),
    (
        "curl --head https://login",
        "curl --fail --head --cacert /etc/letsencrypt/live/login.example.org/fullchain.pem https://login.example.org/",
    ),
    (
        "cp /usr/share/doorpost/Caddyfile",
        "cp /etc/letsencrypt/live/login.example.org/fullchain.pem /etc/ssl/certs/login.example.org.pem && \
         install -m 644 /etc/letsencrypt/live/login.example.org/privkey.pem /etc/ssl/private/login.example.org.key && \
         chmod 711 /etc/ssl/private && systemctl start caddy && \
         sed 's/#tls/tls/' /usr/share/doorpost/Caddyfile > /etc/caddy/Caddyfile",
    ),
];

/// One on which nothing of ours is yet, and beside it a relay.
fn a_machine() -> Machine {
    let mut machine = Machine::with(&[&package(), &in_repository("tests/support/relay.py")]);
    machine.run("systemd-run --quiet python3 /tmp/relay.py /tmp/letters");
    machine
}

/// Fills in the settings as an operator does.
fn settle(machine: &mut Machine) {
    machine.run("sed -i 's#^SMTP_URL=$#SMTP_URL=smtp://127.0.0.1:25#' /etc/doorpost/doorpost.env");
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The package of the program of these tests, which `tests/run` made.
#[expect(clippy::disallowed_methods, reason = "what tests/run made")]
fn package() -> PathBuf {
    std::env::var("DOORPOST_TEST_DEB")
        .expect("DOORPOST_TEST_DEB is a Debian package; tests/run makes one")
        .into()
}
