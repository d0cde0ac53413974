//! What systemd hears of the program: that it serves, that it ends, that it works; and nothing while it does not.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::program::{ANY_PORT, Doorpost};
use crate::support::{Database, House, hold_the_write_lock};

/// What is not heard within this long is not said.
const PATIENCE: Duration = Duration::from_secs(20);

const PING: &str = "WATCHDOG=1";

/// The end of the socket where systemd listens.
struct Systemd {
    socket: UnixDatagram,
    named: String,
}

impl Systemd {
    /// As in a container, or on a system with another name for it.
    fn at_path(folder: &Path) -> Self {
        let path = folder.join("notify");
        Self::on(
            UnixDatagram::bind(&path).unwrap(),
            path.to_str().unwrap().to_owned(),
        )
    }

    /// A name without a file.
    fn abstract_one(name: &str) -> Self {
        let name = format!("doorpost-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self::on(
            UnixDatagram::bind_addr(&address).unwrap(),
            format!("@{name}"),
        )
    }

    fn on(socket: UnixDatagram, named: String) -> Self {
        Self { socket, named }
    }

    /// What it hears next, within this time.
    fn hears_within(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut heard = [0; 4096];
        match self.socket.recv(&mut heard) {
            Ok(length) => Some(String::from_utf8(heard[..length].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn hears(&self) -> String {
        self.hears_within(PATIENCE).expect("something is said")
    }

    /// What was said up to now is nothing that is said from now on.
    fn forgets(&self) {
        while self.hears_within(Duration::from_millis(1)).is_some() {}
    }
}

#[tokio::test]
async fn it_is_ready_once_it_serves_and_says_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    for systemd in [
        Systemd::at_path(folder.path()),
        Systemd::abstract_one("ready"),
    ] {
        let variables = [ANY_PORT, ("NOTIFY_SOCKET", systemd.named.as_str())];
        let doorpost = Doorpost::start(folder.path(), &variables);
        assert_eq!(systemd.hears(), "READY=1");
        let mut doorpost = doorpost.when_up();
        assert_eq!(
            doorpost.visitor().get("/readyz").await.status,
            StatusCode::OK
        );
        doorpost.signal("TERM");
        assert_eq!(systemd.hears(), "STOPPING=1");
        assert_eq!(doorpost.ends(), Some(0));
        assert_eq!(
            systemd.hears_within(Duration::from_millis(50)),
            None,
            "nobody asked for pings"
        );
    }
}

#[test]
fn a_start_that_fails_is_never_ready_and_neither_is_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let systemd = Systemd::abstract_one("never");
    let away = [
        ANY_PORT,
        ("NOTIFY_SOCKET", systemd.named.as_str()),
        ("DATABASE_URL", "postgres://doorpost@127.0.0.1:1/doorpost"),
        ("DATABASE_WAIT", "1s"),
    ];
    assert_eq!(Doorpost::start(folder.path(), &away).ends(), Some(1));
    crate::program::run(folder.path(), &["check"], &away[..2]);
    assert_eq!(systemd.hears_within(Duration::from_millis(50)), None);
}

#[test]
fn a_service_manager_that_is_gone_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    for gone in ["/no/such/socket", "@doorpost-nobody", "vsock-stream:2:1"] {
        let variables = [ANY_PORT, ("NOTIFY_SOCKET", gone)];
        let doorpost = Doorpost::serving(folder.path(), &variables);
        doorpost.says("the service manager cannot be told");
    }
}

#[test]
fn a_held_lock_that_outlasts_the_patience_of_the_watchdog_ends_the_pings_until_it_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let systemd = Systemd::abstract_one("impatient");
    let variables = [
        ANY_PORT,
        ("NOTIFY_SOCKET", systemd.named.as_str()),
        ("WATCHDOG_USEC", "2000000"),
    ];
    let doorpost = Doorpost::serving(folder.path(), &variables);
    assert_eq!(systemd.hears(), "READY=1");
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(systemd.hears(), PING);
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "at half the time: {:?}",
        began.elapsed()
    );

    let holder = hold_the_write_lock(&folder.path().join("data/doorpost.db"));
    systemd.forgets();
    // The one that was under way may still arrive.
    systemd.hears_within(Duration::from_secs(1));
    assert_eq!(systemd.hears_within(Duration::from_secs(2)), None);
    doorpost.says("the service manager is not told that all works");
    drop(holder);
    assert_eq!(systemd.hears(), PING);
}

/// A restart would not make another process let go.
#[test]
fn a_held_lock_is_no_reason_to_be_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let systemd = Systemd::abstract_one("patient");
    let patience = Duration::from_secs(18);
    let micros = patience.as_micros().to_string();
    let variables = [
        ANY_PORT,
        ("NOTIFY_SOCKET", systemd.named.as_str()),
        ("WATCHDOG_USEC", micros.as_str()),
    ];
    let _doorpost = Doorpost::serving(folder.path(), &variables);
    assert_eq!([systemd.hears(), systemd.hears()], ["READY=1", PING]);
    let _holder = hold_the_write_lock(&folder.path().join("data/doorpost.db"));
    let ping = systemd.hears_within(patience);
    assert_eq!(ping.as_deref(), Some(PING), "in time, and without the lock");
}

/// A restart would not bring the server back, and would cost all who are under way.
#[tokio::test]
async fn a_postgresql_that_is_away_is_no_reason_to_be_restarted() {
    let house = House::new(Database::Postgres).await;
    let folder = tempfile::tempdir().unwrap();
    let systemd = Systemd::abstract_one("away");
    let variables = [
        ANY_PORT,
        ("NOTIFY_SOCKET", systemd.named.as_str()),
        ("WATCHDOG_USEC", "1000000"),
        ("DATABASE_URL", house.database_url()),
        ("SECRET_KEY", house.secret_key()),
    ];
    let doorpost = Doorpost::serving(folder.path(), &variables);
    assert_eq!(systemd.hears(), "READY=1");
    house.set_database_away(true).await;
    assert_eq!(
        doorpost.visitor().get("/readyz").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    systemd.forgets();
    for _ in 0..4 {
        let ping = systemd.hears_within(Duration::from_secs(1));
        assert_eq!(ping.as_deref(), Some(PING));
    }
    house.set_database_away(false).await;
}

/// Its main process may fork a child that inherits what was said to it alone.
#[test]
fn a_watchdog_of_somebody_else_is_not_fed() {
    let folder = tempfile::tempdir().unwrap();
    let systemd = Systemd::abstract_one("other");
    let variables = [
        ANY_PORT,
        ("NOTIFY_SOCKET", systemd.named.as_str()),
        ("WATCHDOG_USEC", "200000"),
        ("WATCHDOG_PID", "1"),
    ];
    let _doorpost = Doorpost::serving(folder.path(), &variables);
    assert_eq!(systemd.hears(), "READY=1");
    assert_eq!(systemd.hears_within(Duration::from_secs(1)), None);
}
