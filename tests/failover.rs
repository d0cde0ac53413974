//! PostgreSQL fails over: the server that takes writes dies amid its work, and one that followed it takes its place.
//!
//! Promised: what was answered as done is there, if commits wait for a standby; nobody is answered anything else than
//! that it is done, or is not and may be tried again (503 with `Retry-After`); who tries again comes to an end; and a node
//! whose URL names all servers serves again within seconds of the promotion, without anybody's doing.

mod people;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::block_in_place;
use url::Url;

use crate::program::{ANY_PORT, Doorpost, empty_folder};
use crate::support::cluster::Cluster;
use crate::support::{Database, House, PASSWORD, ScriptedServer, Store, Visitor, secret_key};
use people::Crowd;

const ADA: &str = "ada@example.org";

/// So soon after a promotion every node serves.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// How long people come and go between two events.
const A_WHILE: Duration = Duration::from_millis(1500);

/// How long the server lives yet when its standby hears nothing of it any more, and less than that tries anew. Whoever
/// waits for the standby is told nothing, and whoever does not is told what will be lost.
const BEHIND: Duration = Duration::from_millis(500);

/// How long there is no server that takes writes.
const NOBODY_WRITES: Duration = Duration::from_millis(700);

/// A commit is done once the standby of this name has it.
const WAIT_FOR_STANDBY: [&str; 1] = ["synchronous_standby_names=second"];

/// Two failovers in one story, for servers and nodes take their time to come up: the second server follows the first so
/// that commits wait for it, the third follows the second so that they do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_when_the_standby_takes_over() {
    let mail = ScriptedServer::start();
    let mut first = Cluster::start(&WAIT_FOR_STANDBY);
    let mut second = first.standby("second", &[]);
    let third = second.standby("third", &[]);
    let nodes = Nodes::start(&[&first, &second, &third], &mail);
    let crowd = Crowd::gather(&nodes.urls(), &mail);

    let coming = crowd.come_and_go();
    tokio::time::sleep(A_WHILE).await;
    first.is_followed_no_more().await;
    tokio::time::sleep(BEHIND).await;
    block_in_place(|| first.is_killed());
    tokio::time::sleep(NOBODY_WRITES).await;
    let promoted = Instant::now();
    block_in_place(|| second.is_promoted());
    crowd.is_served_again(promoted, BACK_WITHIN).await;
    tokio::time::sleep(A_WHILE).await;
    crowd.goes_home(coming).await;
    let kept = crowd.record();
    let mut wrong = kept.wrong.clone();
    wrong.extend(kept.is_there(&second).await);

    let crowd = Crowd::gather(&nodes.urls(), &mail);
    let coming = crowd.come_and_go();
    tokio::time::sleep(A_WHILE).await;
    second.is_followed_no_more().await;
    tokio::time::sleep(BEHIND).await;
    block_in_place(|| second.is_stopped_at_once());
    tokio::time::sleep(NOBODY_WRITES).await;
    let promoted = Instant::now();
    block_in_place(|| third.is_promoted());
    crowd.is_served_again(promoted, BACK_WITHIN).await;
    crowd.goes_home(coming).await;
    let may_be_lost = crowd.record();
    wrong.extend(may_be_lost.wrong.clone());
    let lost = may_be_lost.is_there(&third).await;

    tell(&format!(
        "failover: commits that waited for the standby: {kept}; commits that did not: {may_be_lost}, of which {} lost",
        lost.len()
    ));
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), nodes.logs());
    assert!(!lost.is_empty(), "then nothing was at stake before");
}

/// Two programs whose URL names all servers.
struct Nodes {
    list: Vec<Doorpost>,
    _folders: [TempDir; 2],
}

impl Nodes {
    fn start(servers: &[&Cluster], mail: &ScriptedServer) -> Self {
        let places: Vec<String> = servers.iter().map(|server| server.place()).collect();
        let url = format!("postgres://postgres@{}/postgres", places.join(","));
        let (key, smtp) = (secret_key(), mail.url());
        let variables = [
            ANY_PORT,
            ("DATABASE_URL", url.as_str()),
            ("SECRET_KEY", key.as_str()),
            ("SMTP_URL", smtp.as_str()),
            ("TRUSTED_PROXIES", "127.0.0.1/32"),
            ("LIMIT_MAIL_GAP", "off"),
        ];
        let folders = [empty_folder(), empty_folder()];
        let started = folders
            .each_ref()
            .map(|folder| Doorpost::start(folder.path(), &variables));
        Self {
            list: started.map(Doorpost::when_up).into(),
            _folders: folders,
        }
    }

    fn urls(&self) -> Vec<String> {
        self.list.iter().map(|node| node.url.clone()).collect()
    }

    fn logs(&self) -> String {
        let logs: Vec<String> = self.list.iter().map(Doorpost::log).collect();
        logs.join("\n--- the other node\n")
    }
}

/// The machine of the first server was put to sleep: its connections stand, and nothing comes over them. Whoever waits
/// for it would not come to the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_holds_still_keeps_nobody_from_the_one_that_took_its_place() {
    let first = Cluster::start(&WAIT_FOR_STANDBY);
    let second = first.standby("second", &[]);
    let both = [&first, &second].map(|server| server.place()).join(",");
    let url = format!("postgres://postgres@{both}/postgres");
    let house = House::on(Store::at(&url), &[]);
    let ask = async |number: usize| {
        let address = format!("{number}@example.org");
        house.visitor().ask("/register", &address).await
    };
    ask(0).await.sees_inbox_page();
    first.holds_still(true);
    let asked = Instant::now();
    let refused = ask(1).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(asked.elapsed() < BACK_WITHIN, "{:?}", asked.elapsed());

    block_in_place(|| second.is_promoted());
    let promoted = Instant::now();
    let mut number = 2;
    while ask(number).await.status != StatusCode::SEE_OTHER {
        assert!(promoted.elapsed() < BACK_WITHIN, "{:?}", promoted.elapsed());
        number += 1;
    }
}

/// The server has done it, and its word of that is lost: nobody can tell this from a server that died before. So it is
/// answered as not done; and whoever tries again comes to where they wanted to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_can_be_tried_again() {
    let store = Store::make(Database::Postgres).await;
    let line = LossyLine::to(&store.url).await;
    let mut house = House::on(Store::at(&line.url), &[]);
    // Some things take two transactions: it is the last whose word is lost.
    let refused = async |before, visitor: &Visitor, route: &str, fields: &[(&str, &str)]| {
        line.loses_all_commits_after(before);
        let page = visitor.post(route, fields).await;
        line.loses_none();
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{route}");
        assert_eq!(page.set_cookies(), [""; 0], "{route}");
    };

    // A letter leaves once the lease of whoever posted it is over, and asking again makes no second one.
    let ada = house.visitor();
    refused(0, &ada, "/register", &[("email", ADA)]).await;
    ada.ask("/register", ADA).await.sees_inbox_page();
    house.advance(Duration::from_secs(61));
    let mail = house.mail_to(ADA).await;
    assert_eq!(house.all_mail_to(ADA).await.len(), 1);

    // A link is used up. The account is there, and another letter leads to it.
    let fields = [
        ("token", mail.token()),
        ("email", ADA),
        ("password", PASSWORD),
    ];
    refused(0, &ada, mail.route(), &fields).await;
    ada.post(mail.route(), &fields)
        .await
        .says_the_link_is_gone();
    house.advance(Duration::from_secs(61));
    let (ada, mail) = house.asked("/sign-in", ADA).await;
    let fields = [("token", mail.token()), ("email", ADA)];
    refused(0, &ada, mail.route(), &fields).await;
    assert_eq!(ada.signed_in_as().await, None);
    ada.post(mail.route(), &fields)
        .await
        .says_the_link_is_gone();
    house.advance(Duration::from_secs(61));
    let (ada, mail) = house.asked("/sign-in", ADA).await;
    ada.use_link(&mail, ADA).await.goes_on_to("/account");

    // With the password, the session gets a token that nobody is told.
    house.hold_mail(); // which has something to commit, too
    let fields = [("password", PASSWORD), ("next", "/account")];
    refused(1, &ada, "/reauthenticate", &fields).await;
    assert_eq!(ada.signed_in_as().await, None);
    ada.enter(ADA, PASSWORD).await.goes_on_to("/account");

    // What ends something has ended it, and once more does no harm.
    let ended = "/account/sessions/end-others";
    refused(0, &ada, ended, &[]).await;
    ada.post(ended, &[]).await.goes_on_to("/account/sessions");
    refused(0, &ada, "/account/delete", &[("email", ADA)]).await;
    assert_eq!(ada.signed_in_as().await, None, "it was done");
    assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 0);
}

/// What leads to a server and loses, if it is told to, the word that something was committed, and then everything.
struct LossyLine {
    url: String,
    /// How many commits come through yet.
    commits: Arc<AtomicUsize>,
}

impl LossyLine {
    async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = Url::parse(server).unwrap();
        let server = format!("127.0.0.1:{}", url.port().unwrap());
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        let commits = Arc::new(AtomicUsize::new(usize::MAX));
        let left = Arc::clone(&commits);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&left)));
            }
        });
        Self {
            url: url.into(),
            commits,
        }
    }

    fn loses_all_commits_after(&self, so_many: usize) {
        self.commits.store(so_many, Ordering::SeqCst);
    }

    fn loses_none(&self) {
        self.commits.store(usize::MAX, Ordering::SeqCst);
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, commits: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        let carried = tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(length @ 1..) => server.write_all(&asked[..length]).await,
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(length @ 1..) => {
                    let answer = &answered[..length];
                    let is_committed = answer.windows(7).any(|word| word == b"COMMIT\0");
                    let one_less = |left: usize| left.checked_sub(1);
                    if is_committed
                        && commits
                            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                            .is_err()
                    {
                        return;
                    }
                    client.write_all(answer).await
                }
                _ => return,
            },
        };
        if carried.is_err() {
            return;
        }
    }
}

/// Past what the test runner holds back: the figures of a run that went well are of interest, too.
fn tell(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}");
}
