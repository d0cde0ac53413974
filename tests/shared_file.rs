//! Two servers on one SQLite file: not how one grows, but what happens when the next release is started before the last
//! is stopped, or a service by hand beside the one that runs. They do as one: whatever counts is in the file.

use std::collections::BTreeMap;

use reqwest::StatusCode;

use crate::program::{ANY_PORT, Doorpost, empty_folder};
use crate::support::{Database, ScriptedServer, Store, Visitor, at_once};

const ADA: &str = "ada@example.org";
const PASSWORD: &str = "a horse that eats staples";

/// How many come at once.
const MANY: usize = 40;

/// Each of them a process.
struct Servers {
    both: [Doorpost; 2],
    mail: ScriptedServer,
    _store: Store,
    _folder: tempfile::TempDir,
}

impl Servers {
    async fn start() -> Self {
        let (store, mail) = (Store::make(Database::Sqlite).await, ScriptedServer::start());
        let (folder, smtp) = (empty_folder(), mail.url());
        let variables = [
            ANY_PORT,
            ("DATABASE_URL", store.url.as_str()),
            ("SECRET_KEY", store.secret_key.as_str()),
            ("SMTP_URL", smtp.as_str()),
            ("TRUSTED_PROXIES", "127.0.0.1/32"),
            ("LIMIT_MAIL_GAP", "off"),
        ];
        let both = [(); 2].map(|()| Doorpost::start(folder.path(), &variables));
        Self {
            both: both.map(Doorpost::when_up),
            mail,
            _store: store,
            _folder: folder,
        }
    }

    /// Somebody with a network of their own, at the one and at the other.
    fn visitor(&self, number: usize) -> [Visitor; 2] {
        let browser = self.both[0].visitor();
        let browser = browser.calling_from(&format!("10.0.{}.{}", number / 256, number % 256));
        let there = browser.moved_to(&self.both[1].url);
        [browser, there]
    }
}

#[tokio::test]
async fn what_begins_at_one_server_ends_at_the_other() {
    let servers = Servers::start().await;
    let [here, there] = servers.visitor(0);
    here.ask("/register", ADA).await.sees_inbox_page();
    let mail = servers.mail.letter_for(ADA).await.mail();
    let fields = [
        ("token", mail.token()),
        ("email", ADA),
        ("password", PASSWORD),
    ];
    let confirmed = there.post(mail.route(), &fields).await;
    confirmed.goes_on_to("/account");
    assert_eq!(here.signed_in_as().await.as_deref(), Some(ADA));

    // A session that is ended there is dead here at once.
    let thief = here.with_copied_jar();
    there.post("/sign-out", &[]).await.goes_on_to("/");
    assert_eq!(thief.signed_in_as().await, None);

    // Wrong passwords count wherever they are typed, and five shut the door of a stranger's network at both.
    for number in 0..6 {
        let [here, there] = servers.visitor(1);
        let at = if number % 2 == 0 { here } else { there };
        at.enter(ADA, "a horse that eats grass alone").await;
    }
    for at in servers.visitor(2) {
        let refused = at.enter(ADA, PASSWORD).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    }
}

#[tokio::test]
async fn of_many_presses_at_two_servers_one_uses_the_link() {
    let servers = Servers::start().await;
    let [asker, _] = servers.visitor(0);
    asker.ask("/register", ADA).await.sees_inbox_page();
    let mail = servers.mail.letter_for(ADA).await.mail();
    let presses = (0..MANY).map(|number| {
        let presser = servers.visitor(number).into_iter().nth(number % 2).unwrap();
        let mail = mail.clone();
        async move { presser.use_link(&mail, ADA).await }
    });
    let pages = at_once(presses).await;
    let (won, lost): (Vec<_>, Vec<_>) = pages
        .iter()
        .partition(|page| page.status == StatusCode::SEE_OTHER);
    assert_eq!(won.len(), 1);
    lost.iter().for_each(|page| page.says_the_link_is_gone());
}

#[tokio::test]
async fn each_letter_leaves_once_whichever_server_sends_it() {
    let servers = Servers::start().await;
    // It waits, so that both servers look for what waits as soon as there is a way.
    servers.mail.go_away();
    let asks = (0..MANY).map(|number| {
        let asker = servers.visitor(number).into_iter().nth(number % 2).unwrap();
        async move { asker.ask("/register", &address(number)).await }
    });
    for page in at_once(asks).await {
        page.sees_inbox_page();
    }
    servers.mail.come_back();
    servers.mail.takes(MANY).await;
    // And nothing after that: what one has sent, the other finds sent.
    for number in 0..MANY {
        let [here, _] = servers.visitor(number);
        here.ask("/sign-in", &format!("late-{number}@example.org"))
            .await
            .sees_inbox_page();
    }
    servers.mail.takes(2 * MANY).await;
    let mut letters = BTreeMap::<String, usize>::new();
    for letter in servers.mail.taken() {
        *letters.entry(letter.to[0].clone()).or_default() += 1;
    }
    assert_eq!(letters.len(), 2 * MANY);
    assert!(letters.values().all(|count| *count == 1), "{letters:?}");
}

fn address(number: usize) -> String {
    format!("visitor-{number}@example.org")
}
