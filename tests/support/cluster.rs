//! A PostgreSQL of a test's own, to do to it what must not happen to the one that all tests share: it is killed, followed
//! by a standby that takes its place, forbidden to write, filled up.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::Client;

use super::eventually;
use super::machine::as_root;

/// PostgreSQL refuses to run as root. Whoever is root is this user there, who is nobody.
const NOBODY: u32 = 65534;

/// It takes a second on a machine that is idle.
const PATIENCE: Duration = Duration::from_secs(30);

/// What lies on it need not survive a power cut.
const QUICK: [&str; 4] = [
    "fsync=off",
    "shared_buffers=16MB",
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
];

/// One server and its data.
pub struct Cluster {
    home: Home,
    port: u16,
    settings: Vec<String>,
    running: Option<Child>,
}

impl Cluster {
    /// A fresh one, with these settings.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_in(Home::on_this_disk(), settings)
    }

    /// On a disk of its own, of so many MiB.
    pub fn start_on_a_disk_of(mebibytes: u32, settings: &[&str]) -> Self {
        Self::start_in(Home::on_a_disk_of(mebibytes), settings)
    }

    fn start_in(home: Home, settings: &[&str]) -> Self {
        home.run(
            "initdb",
            &[
                "--pgdata=data",
                "--no-sync",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--wal-segsize=1",
                &format!("--waldir={}", home.path().join("wal").display()),
            ],
        );
        Self::made(home, settings)
    }

    /// One that follows this one, by this name, with these settings.
    pub fn standby(&self, name: &str, settings: &[&str]) -> Self {
        let home = Home::on_this_disk();
        home.run(
            "pg_basebackup",
            &[
                "--pgdata=data",
                "--checkpoint=fast",
                "--no-sync",
                "--write-recovery-conf",
                &format!("--dbname=host=127.0.0.1 port={} user=postgres", self.port),
            ],
        );
        let name = format!("cluster_name={name}");
        Self::made(home, &[&[name.as_str()], settings].concat())
    }

    fn made(home: Home, settings: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut made = Self {
            home,
            port,
            settings: settings.iter().map(|&one| one.to_owned()).collect(),
            running: None,
        };
        made.go_on();
        made
    }

    /// Starts it, where it is stopped.
    pub fn go_on(&mut self) {
        let mut server = self.home.program("postgres");
        let port = format!("port={}", self.port);
        let own = self.settings.iter().map(String::as_str);
        for setting in QUICK.into_iter().chain([port.as_str()]).chain(own) {
            server.args(["-c", setting]);
        }
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(self.home.log())
            .unwrap();
        server.args(["-D", "data"]).stderr(log);
        self.running = Some(server.spawn().unwrap());
        self.home.waits_until_it_serves(self.port);
    }

    /// As when its machine loses its power: nobody hears a word of it.
    pub fn is_killed(&mut self) {
        let mut server = self.running.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
        self.home.forget_shared_memory();
    }

    /// Everybody is hung up on, with a word.
    pub fn is_stopped_at_once(&mut self) {
        self.home
            .run("pg_ctl", &["stop", "--pgdata=data", "--mode=immediate"]);
        self.running.take().unwrap().wait().unwrap();
    }

    /// All its processes hold still, with every connection open, or go on: a disk that does not answer, a machine that
    /// was put to sleep.
    pub fn holds_still(&self, still: bool) {
        let server = self.running.as_ref().unwrap().id().to_string();
        let serving = Command::new("pgrep").args(["--parent", &server]).output();
        let serving = String::from_utf8(serving.unwrap().stdout).unwrap();
        let signal = if still { "STOP" } else { "CONT" };
        // Some of them may have ended meanwhile.
        let _ = Command::new("kill")
            .args(["-s", signal, &server])
            .args(serving.lines())
            .stderr(Stdio::null())
            .status();
    }

    /// Its standbys are hung up on. They try anew at once, and the next time after five seconds.
    pub async fn is_followed_no_more(&self) {
        let root = self.root().await;
        for _ in 0..2 {
            let followers = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication";
            eventually("it is followed", async || {
                !root.query(followers, &[]).await.unwrap().is_empty()
            })
            .await;
        }
    }

    /// The standby takes writes from now on.
    pub fn is_promoted(&self) {
        self.home.run("pg_ctl", &["promote", "--pgdata=data"]);
    }

    /// A user of it who may do everything.
    pub async fn root(&self) -> Client {
        super::postgres(&self.url("postgres")).await
    }

    /// Changes settings while it runs.
    pub async fn set(&self, setting: &str, value: &str) {
        let root = self.root().await;
        let change = format!("ALTER SYSTEM SET {setting} = {value}");
        root.batch_execute(&change).await.unwrap();
        root.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.place())
    }

    /// As it stands in a URL.
    pub fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The disk that it is on.
    pub fn disk(&self) -> PathBuf {
        self.home.data()
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.log()).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.holds_still(false);
        }
        if let Some(mut server) = self.running.take() {
            let _ = server.kill();
            let _ = server.wait();
            self.home.forget_shared_memory();
        }
    }
}

/// The folder of a server: its `data`, its `wal`, its `log`.
struct Home {
    /// The data may be on a disk of their own. The log of what is written is not: a server that cannot write that ends.
    disk: Option<Disk>,
    folder: TempDir,
}

impl Home {
    fn on_this_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        belongs_to_its_server(folder.path());
        Self { disk: None, folder }
    }

    fn on_a_disk_of(mebibytes: u32) -> Self {
        let mut home = Self::on_this_disk();
        let disk = Disk::of(mebibytes);
        belongs_to_its_server(disk.path());
        symlink(disk.path(), home.data()).unwrap();
        home.disk = Some(disk);
        home
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    fn program(&self, name: &str) -> Command {
        let mut program = Command::new(programs().join(name));
        program
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if we_are_root() {
            program.uid(NOBODY).gid(NOBODY);
        }
        program
    }

    #[track_caller]
    fn run(&self, name: &str, arguments: &[&str]) {
        let mut program = self.program(name);
        let ended = program
            .args(arguments)
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        assert!(ended.status.success(), "{name} {arguments:?}: {ended:?}");
    }

    fn waits_until_it_serves(&self, port: u16) {
        let began = Instant::now();
        let port = format!("--port={port}");
        loop {
            let mut ask = self.program("pg_isready");
            let asked = ask.args(["--host=127.0.0.1", &port]).status();
            if asked.unwrap().success() {
                return;
            }
            let log = fs::read_to_string(self.log()).unwrap();
            assert!(began.elapsed() < PATIENCE, "it does not serve: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A server that was killed leaves a piece of it, which only its next start would find.
    fn forget_shared_memory(&self) {
        let noted = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let noted = noted.lines().nth(6).unwrap_or_default();
        if let Some(id) = noted.split_whitespace().nth(1) {
            let _ = Command::new("ipcrm").args(["--shmem-id", id]).status();
        }
    }
}

fn belongs_to_its_server(folder: &Path) {
    if we_are_root() {
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn we_are_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A small disk of its own, in memory.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// One of so many MiB.
    pub fn of(mebibytes: u32) -> Self {
        let disk = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let size = format!("size={mebibytes}m");
        let mounted = as_root(Path::new("mount"))
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(disk.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "mount: {mounted}");
        disk
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Somebody who is still about to end may have it open.
        let _ = as_root(Path::new("umount"))
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

/// Where Debian keeps them, off the PATH, in a folder for each version: the newest will do.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").unwrap();
    let newest = versions
        .map(|version| version.unwrap().path())
        .max_by_key(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.parse::<u32>().unwrap_or_default()
        });
    newest.expect("PostgreSQL is installed").join("bin")
}
