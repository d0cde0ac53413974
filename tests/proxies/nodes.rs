//! nginx before three nodes on one PostgreSQL, as `docs/deploy.md` says to write it: nobody stays with a node, and one that
//! dies is nobody's trouble but of those whom it was just answering.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::block_in_place;

use super::{FROM_OUR_PAGE, is_away};
use crate::program::{Doorpost, empty_folder};
use crate::support::proxy::{Answer, Proxy, free_port};
use crate::support::{
    Database, PASSWORD, ScriptedServer, Store, Visitor, encode, postgres, secret_key,
};

/// How many people come by at once.
const CROWD: usize = 6;

/// FLT-06
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_stays_with_a_node_and_one_that_dies_is_replaced_by_the_others() {
    let mut site = Site::open().await;
    let mut people = Vec::new();
    for number in 0..CROWD {
        let address = format!("{number}@example.org");
        let home = Browser::default();
        let asked = home.presses(&site.proxy, "/register", &[("email", &address)]);
        assert_eq!(asked.status, 303, "{asked:?}");
        let mail = site.relay.letter_for(&address).await.mail();
        people.push((address, home, mail));
    }

    // Each does a dozen things one after another, and nobody knows where, while one node dies and is started again.
    let (proxy, away) = (&site.proxy, AtomicUsize::new(0));
    let node = &mut site.nodes[1];
    let phones: Vec<Browser> = block_in_place(|| {
        thread::scope(|scope| {
            let visits: Vec<_> = people
                .iter()
                .map(|(address, home, mail)| {
                    let away = &away;
                    scope.spawn(move || visit(proxy, address, home, mail.token(), away))
                })
                .collect();
            thread::sleep(Duration::from_millis(250));
            node.dies();
            thread::sleep(Duration::from_millis(500));
            node.begins();
            visits
                .into_iter()
                .map(|visit| visit.join().unwrap())
                .collect()
        })
    });

    // What was ended at one node is ended at each.
    for ((address, home, _), phone) in people.iter().zip(&phones) {
        for node in &site.nodes {
            assert_eq!(home.at(node).signed_in_as().await.as_ref(), Some(address));
            assert_eq!(phone.at(node).signed_in_as().await, None, "{address}");
        }
    }
    let away = away.into_inner();
    assert!(
        away <= 2 * CROWD,
        "{away} times somebody was told that the site is away"
    );
}

/// FLT-06, promise 22: what was sent may have been done, and is not sent to another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_whose_node_dies_over_it_is_sent_to_no_other() {
    let mut site = Site::open().await;
    site.nodes[0].dies();
    let heard = hears_and_hangs_up(site.nodes[0].port);
    site.proxy.restart(); // which forgets that the first node was away for a moment
    let tables = postgres(&site.store.url).await;
    let mut away = 0;
    for number in 0..6 {
        let address = format!("{number}@example.org");
        let asked = Browser::default().presses(&site.proxy, "/register", &[("email", &address)]);
        let links = "SELECT count(*) FROM links WHERE email = $1";
        let links: i64 = tables.query_one(links, &[&address]).await.unwrap().get(0);
        match asked.status {
            303 => assert_eq!(links, 1, "{address}"),
            _ => {
                is_away(&asked);
                assert_eq!(links, 0, "another node has done it: {address}");
                away += 1;
            }
        }
    }
    assert_eq!(heard.load(Ordering::Relaxed), away);
    assert!(away > 0, "it was asked of nobody who hangs up");

    // A page is.
    site.proxy.restart();
    for _ in 0..6 {
        assert_eq!(site.proxy.curl("/sign-in", &[]).status, 200);
    }
    assert!(heard.load(Ordering::Relaxed) > away);
}

/// In at home with the link, through the gate, in on the phone with the password, to and fro; at last the session of the
/// phone, which is given back, is ended from home.
fn visit(proxy: &Proxy, address: &str, home: &Browser, token: &str, away: &AtomicUsize) -> Browser {
    let phone = Browser::default();
    let insist = |browser: &Browser, path: &str, fields: &[(&str, &str)]| {
        loop {
            let answer = match fields {
                [] => browser.looks(proxy, path),
                _ => browser.presses(proxy, path, fields),
            };
            if answer.status != 503 {
                return answer;
            }
            is_away(&answer);
            away.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(100));
        }
    };
    let goes_on = |answer: Answer, to: &str| {
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some(to)),
            "{answer:?}"
        );
    };
    let confirmed = [("token", token), ("email", address), ("password", PASSWORD)];
    goes_on(insist(home, "/confirm-email", &confirmed), "/account");
    let gate = [("password", PASSWORD), ("next", "/account")];
    goes_on(insist(home, "/reauthenticate", &gate), "/account");
    let entered = [("email", address), ("password", PASSWORD)];
    goes_on(insist(&phone, "/sign-in/password", &entered), "/account");
    for _ in 0..4 {
        for browser in [home, &phone] {
            let page = insist(browser, "/account", &[]);
            assert!(page.body.contains(address), "{page:?}");
        }
    }
    let ended = insist(home, "/account/sessions/end-others", &[("all", "1")]);
    goes_on(ended, "/account/sessions");
    phone
}

struct Site {
    nodes: Vec<Node>,
    proxy: Proxy,
    relay: ScriptedServer,
    store: Store,
}

impl Site {
    async fn open() -> Self {
        let ports = [free_port(), free_port(), free_port()];
        let (store, relay) = (
            Store::make(Database::Postgres).await,
            ScriptedServer::start(),
        );
        let proxy = Proxy::start_before_nodes(&ports);
        let key = secret_key();
        let node = |port| {
            Node::begun(
                port,
                &[
                    ("BIND_ADDRESS", format!("127.0.0.1:{port}")),
                    ("PUBLIC_URL", proxy.url()),
                    ("DATABASE_URL", store.url.clone()),
                    ("SECRET_KEY", key.clone()),
                    ("SMTP_URL", relay.url()),
                    ("MAIL_FROM", "login@example.org".to_owned()),
                    ("TRUSTED_PROXIES", "127.0.0.1/32".to_owned()),
                ],
            )
        };
        let nodes = ports.map(node).into();
        Self {
            nodes,
            proxy,
            relay,
            store,
        }
    }
}

struct Node {
    port: u16,
    variables: Vec<(&'static str, String)>,
    folder: TempDir,
    running: Option<Doorpost>,
}

impl Node {
    fn begun(port: u16, variables: &[(&'static str, String)]) -> Self {
        let mut node = Self {
            port,
            variables: variables.to_vec(),
            folder: empty_folder(),
            running: None,
        };
        node.begins();
        node
    }

    fn begins(&mut self) {
        let variables = self.variables.iter();
        let variables: Vec<_> = variables
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.running = Some(Doorpost::serving(self.folder.path(), &variables));
    }

    /// As when its power fails.
    fn dies(&mut self) {
        self.running.take().unwrap().killed();
    }
}

/// Cookies, and what they are sent with.
#[derive(Default)]
struct Browser {
    cookies: std::sync::Mutex<BTreeMap<String, String>>,
}

impl Browser {
    fn looks(&self, proxy: &Proxy, path: &str) -> Answer {
        self.sends(proxy, path, &[])
    }

    fn presses(&self, proxy: &Proxy, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.sends(
            proxy,
            path,
            &["--header", FROM_OUR_PAGE, "--data", &encode(fields)],
        )
    }

    fn sends(&self, proxy: &Proxy, path: &str, arguments: &[&str]) -> Answer {
        let cookies = self.cookies.lock().unwrap().clone();
        let cookies: Vec<String> = cookies
            .iter()
            .map(|(name, is)| format!("{name}={is}"))
            .collect();
        let cookies = format!("Cookie: {}", cookies.join("; "));
        let answer = proxy.curl(path, &[&["--header", &cookies], arguments].concat());
        for set in answer
            .head
            .lines()
            .filter_map(|line| line.strip_prefix("set-cookie: "))
        {
            let (cookie, _) = set.split_once(';').unwrap();
            let (name, value) = cookie.split_once('=').unwrap();
            self.cookies
                .lock()
                .unwrap()
                .insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// The same browser, past the proxy.
    fn at(&self, node: &Node) -> Visitor {
        let visitor = node.running.as_ref().unwrap().visitor();
        for (name, value) in &*self.cookies.lock().unwrap() {
            visitor.set_cookie(name, value);
        }
        visitor
    }
}

/// Somebody in the place of a node who dies over each request; how many that were.
fn hears_and_hangs_up(port: u16) -> Arc<AtomicUsize> {
    let heard = Arc::<AtomicUsize>::default();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let counted = heard.clone();
    thread::spawn(move || {
        for mut caller in listener.incoming().flatten() {
            let mut request = [0; 4096];
            if caller.read(&mut request).is_ok_and(|read| read > 0) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    heard
}
