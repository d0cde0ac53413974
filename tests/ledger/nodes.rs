//! The program, as one process or two: killed and started again, or told to stop.

use std::thread;
use std::time::Instant;

use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::Kill;
use crate::program::Doorpost;
use crate::support::{Database, ScriptedServer, Store};

/// All nodes on one database.
pub struct Nodes {
    pub list: Vec<Node>,
}

/// One process after the other, always at the same place.
pub struct Node {
    /// Bound, so that nobody else gets the port while the program is down.
    place: TcpSocket,
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
    running: Option<Doorpost>,
}

impl Nodes {
    /// Two on PostgreSQL; SQLite serves one.
    pub fn start(db: Database, store: &Store, server: &ScriptedServer) -> Self {
        let count = match db {
            Database::Sqlite => 1,
            Database::Postgres => 2,
        };
        let list = (0..count).map(|_| Node::start(store, server)).collect();
        Self { list }
    }

    /// SIGKILL, and at once the next process.
    pub fn killed_and_started_again(mut self, kills: &[Kill]) -> Self {
        let began = Instant::now();
        for kill in kills {
            thread::sleep(kill.at.saturating_sub(began.elapsed()));
            let node = &mut self.list[kill.node];
            node.running.take().unwrap().killed();
            node.go_on();
        }
        self
    }

    /// Told to stop, all at once: each ends well, and in time.
    pub fn stopped(mut self) -> Self {
        let running = self.list.iter_mut().map(|node| node.running.take());
        let mut ending: Vec<Doorpost> = running.flatten().collect();
        for node in &ending {
            node.signal("TERM");
        }
        for node in &mut ending {
            assert_eq!(node.ends(), Some(0), "{}", node.log());
        }
        self
    }

    pub fn started(mut self) -> Self {
        self.list.iter_mut().for_each(Node::go_on);
        self
    }
}

impl Node {
    /// With everything as it is by default, but that somebody whose answer was cut off asks again at once.
    fn start(store: &Store, server: &ScriptedServer) -> Self {
        let place = TcpSocket::new_v4().unwrap();
        place.set_reuseaddr(true).unwrap();
        place.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let mut node = Self {
            variables: vec![
                ("BIND_ADDRESS", place.local_addr().unwrap().to_string()),
                ("DATABASE_URL", store.url.clone()),
                ("SECRET_KEY", store.secret_key.clone()),
                ("SMTP_URL", server.url()),
                ("TRUSTED_PROXIES", "127.0.0.1/32".to_owned()),
                ("LIMIT_MAIL_GAP", "off".to_owned()),
            ],
            folder: tempfile::tempdir().unwrap(),
            place,
            running: None,
        };
        node.go_on();
        node
    }

    fn go_on(&mut self) {
        let variables = self.variables.iter();
        let variables: Vec<_> = variables
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.running = Some(Doorpost::serving(self.folder.path(), &variables));
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.place.local_addr().unwrap())
    }
}
