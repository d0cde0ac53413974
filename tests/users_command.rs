//! `doorpost users`: what an operator sees of accounts, and can do to one; beside a running server, and as those who
//! are signed in, who ask for mail or hold a link notice it.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use doorpost::accounts::users::{Named, Operator};
use doorpost::actions::lock_account::{self, Outcome as LockOutcome};
use doorpost::actions::make_sign_in_link::{self, Outcome as LinkOutcome};
use doorpost::random;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{ANY_PORT, Doorpost, command, dressed, empty_folder, everything_in, run};
use crate::support::{
    Authenticator, Database, House, Mail, PASSWORD, Page, ScriptedServer, Store, Visitor,
    eventually, secret_key,
};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";
const NEW: &str = "countess@example.net";

/// A site with two nodes where the database allows them, whose operator has a command line.
struct Site {
    store: Store,
    server: ScriptedServer,
    folders: Vec<TempDir>,
    nodes: Vec<Doorpost>,
}

impl Site {
    async fn open(db: Database) -> Self {
        let nodes = match db {
            Database::Sqlite => 1,
            Database::Postgres => 2,
        };
        let mut site = Self {
            store: Store::make(db).await,
            server: ScriptedServer::start(),
            folders: Vec::new(),
            nodes: Vec::new(),
        };
        for _ in 0..nodes {
            let folder = empty_folder();
            let node = site.with_variables(|variables| Doorpost::serving(folder.path(), variables));
            site.folders.push(folder);
            site.nodes.push(node);
        }
        site
    }

    fn with_variables<T>(&self, run: impl FnOnce(&[(&str, &str)]) -> T) -> T {
        let smtp = self.server.url();
        run(&[
            ANY_PORT,
            ("DATABASE_URL", &self.store.url),
            ("SECRET_KEY", &self.store.secret_key),
            ("SMTP_URL", &smtp),
            ("ARGON2_MEMORY_KIB", "64"),
            ("ARGON2_PASSES", "1"),
            ("LIMIT_MAIL_GAP", "off"),
            ("LIMIT_MAIL_PER_ADDRESS", "off"),
            ("LIMIT_MAIL_PER_ADDRESS_DAILY", "off"),
        ])
    }

    /// Runs `doorpost users …`.
    fn users(&self, arguments: &[&str]) -> Output {
        let arguments = [&["users"], arguments].concat();
        let folder = self.folders[0].path();
        self.with_variables(|variables| run(folder, &arguments, variables))
    }

    fn visitor(&self) -> Visitor {
        self.nodes[0].visitor()
    }

    /// The same browser at the last node.
    fn elsewhere(&self, visitor: &Visitor) -> Visitor {
        visitor.moved_to(&self.nodes.last().unwrap().url)
    }

    /// Somebody with an account and [`PASSWORD`], signed in.
    async fn member(&self, address: &str) -> Visitor {
        let member = self.visitor();
        member.ask("/register", address).await.sees_inbox_page();
        let mail = self.mail(address, "/confirm-email", 0).await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        let begun = member.post("/confirm-email", &fields).await;
        begun.goes_on_to("/account");
        member
    }

    /// Somebody asks there for a link to this address; and the link.
    async fn asked(&self, route: &str, address: &str, leads_to: &str) -> (Visitor, Mail) {
        let before = self.links(address, leads_to).len();
        let visitor = self.visitor();
        visitor.ask(route, address).await.sees_inbox_page();
        (visitor, self.mail(address, leads_to, before).await)
    }

    /// The first link of this kind that comes after so many.
    async fn mail(&self, address: &str, leads_to: &str, after: usize) -> Mail {
        let came = async || self.links(address, leads_to).len() > after;
        eventually(&format!("{leads_to} for {address}"), came).await;
        self.links(address, leads_to).remove(after)
    }

    fn links(&self, address: &str, leads_to: &str) -> Vec<Mail> {
        let mails = self.all_mail(address).into_iter();
        mails
            .filter(|mail| !mail.is_news() && mail.route() == leads_to)
            .collect()
    }

    fn all_mail(&self, address: &str) -> Vec<Mail> {
        let taken = self.server.taken_for(address);
        taken.iter().map(|letter| letter.mail()).collect()
    }

    /// The letter that has this subject, once it is there; and that there is no other.
    async fn told(&self, address: &str, subject: &str) -> Mail {
        let with_subject = || {
            let mut mails = self.all_mail(address);
            mails.retain(|mail| mail.subject == subject);
            mails
        };
        eventually(subject, async || !with_subject().is_empty()).await;
        let mut mails = with_subject();
        assert_eq!(mails.len(), 1, "{subject} came more than once");
        mails.remove(0)
    }

    /// Waits until nothing is in the outbox any more.
    async fn all_has_left(&self) {
        let folder = self.folders[0].path();
        let list = ["mail", "list", "--state", "queued", "--json"];
        eventually("all mail to leave", async || {
            let waits = self.with_variables(|variables| run(folder, &list, variables));
            json(&waits) == json!([])
        })
        .await;
    }
}

/// A program of somebody who has a password, and the answer that it was given.
async fn program_of(visitor: &Visitor, address: &str) -> (Visitor, Page) {
    let program = visitor.refusing_cookies();
    let grant = json!({"grant_type": "password", "email": address, "password": PASSWORD});
    let answer = sends(&program, "/api/v1/tokens", &grant).await;
    (program, answer)
}

async fn sends(program: &Visitor, path: &str, body: &Value) -> Page {
    let request = program
        .request(Method::POST, path)
        .header("content-type", "application/json")
        .body(body.to_string());
    program.send(request).await
}

async fn refreshed(program: &Visitor, granted: &Page) -> Page {
    let granted: Value = serde_json::from_str(&granted.body).unwrap();
    let token = &granted["refresh_token"];
    let refresh = json!({"grant_type": "refresh_token", "refresh_token": token});
    sends(program, "/api/v1/tokens", &refresh).await
}

async fn asks_who_it_is(program: &Visitor, granted: &Page) -> StatusCode {
    let granted: Value = serde_json::from_str(&granted.body).unwrap();
    let bearer = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    let request = program
        .request(Method::GET, "/api/v1/me")
        .header("authorization", bearer);
    program.send(request).await.status
}

#[track_caller]
fn told(ended: &Output) -> String {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    String::from_utf8(ended.stdout.clone()).unwrap()
}

fn json(ended: &Output) -> Value {
    serde_json::from_str(&told(ended)).unwrap()
}

/// What the command complained of, without its log.
fn complaint(ended: &Output) -> String {
    let said = String::from_utf8(ended.stderr.clone()).unwrap();
    let lines = said.lines().filter(|line| !line.contains(" INFO "));
    lines.collect::<Vec<_>>().join("\n")
}

/// What stands in an account's activity of what the operator did, newest first.
async fn done_by_operator(visitor: &Visitor) -> Vec<String> {
    let page = visitor.get("/account/activity").await;
    let entries = page.body.split("<li>").skip(1);
    let by_operator = entries.filter(|entry| entry.contains("the operator</span>"));
    by_operator
        .map(|entry| {
            let (_, rest) = entry.split_once("<strong>").unwrap();
            rest.split_once("</strong>").unwrap().0.to_owned()
        })
        .collect()
}

on_both! {
    async fn accounts_are_listed_and_shown_without_secrets(db: Database) {
        let site = Site::open(db).await;
        assert_eq!(told(&site.users(&["list"])), "There is no such account.\n");
        assert_eq!(json(&site.users(&["list", "--json"])), json!([]));
        for address in [BOB, ADA, NEW] {
            site.member(address).await;
        }
        let emails = |arguments: &[&str]| -> Vec<String> {
            let list = json(&site.users(&[&["list", "--json"], arguments].concat()));
            let list = list.as_array().unwrap().iter();
            list.map(|account| account["email"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(emails(&[]), [ADA, BOB, NEW], "by their addresses");
        assert_eq!(emails(&["--limit", "2"]), [ADA, BOB]);
        assert_eq!(emails(&["--address", "*@EXAMPLE.org"]), [ADA, BOB]);
        assert_eq!(emails(&["--address", "*a*@*"]), [ADA]);
        assert_eq!(emails(&["--address", "ada@example.or"]), [""; 0], "the whole address");
        assert_eq!(emails(&["--address", "ad_@example%"]), [""; 0], "only * stands for anything");
        told(&site.users(&["lock", BOB]));
        assert_eq!(emails(&["--state", "locked"]), [BOB]);
        assert_eq!(emails(&["--state", "active"]), [ADA, NEW]);
        let lines = told(&site.users(&["list"]));
        assert!(lines.contains("  active  ada@") && lines.contains("  locked  bob@"), "{lines}");

        let (_, granted) = program_of(&site.visitor(), ADA).await;
        assert_eq!(granted.status, StatusCode::OK, "{}", granted.body);
        let (_, mail) = site.asked("/sign-in", ADA, "/sign-in/link").await;
        let shown = json(&site.users(&["show", ADA, "--json"]));
        for (name, value) in [
            ("email", json!(ADA)), ("state", json!("active")), ("locked_at", Value::Null),
            ("has_password", json!(true)), ("passkeys", json!(0)), ("sessions", json!(1)), ("bound_sessions", json!(0)), ("program_sessions", json!(1)),
            ("pending_email", Value::Null), ("notification_links", json!(true)),
        ] {
            assert_eq!(shown[name], value, "{name}: {shown}");
        }
        assert_eq!(shown["links"][0]["purpose"], "sign_in", "{shown}");
        let id = shown["id"].as_str().unwrap();
        assert_eq!(json(&site.users(&["show", id, "--json"])), shown, "by its id as well");
        let words = told(&site.users(&["show", ADA]));
        assert!(words.contains("state                active\n"), "{words}");
        let all = words + &shown.to_string() + &lines;
        for secret in [mail.token(), mail.code(), "$argon2id$"] {
            assert!(!all.contains(secret), "{all}");
        }
    }

    /// TOK-15, ENU-08
    async fn a_lock_ends_everything_at_once_on_all_nodes_and_lets_nobody_in(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let known = site.visitor();
        known.enter(ADA, PASSWORD).await.goes_on_to("/account");
        let (program, granted) = program_of(&site.visitor(), ADA).await;
        let (asker, mail) = site.asked("/sign-in", ADA, "/sign-in/link").await;
        let (_, reset) = site.asked("/forgot-password", ADA, "/reset-password").await;
        let would = told(&site.users(&["lock", ADA, "--dry-run"]));
        assert!(would.starts_with("Would lock ada@example.org: 2 browser sessions, 1 program session, "), "{would}");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "nothing was done");

        let locked = site.users(&["lock", ADA]);
        assert_eq!(told(&locked), "ada@example.org is locked; every session and every link of it has ended.\n");
        for browser in [&ada, &known] {
            assert_eq!(site.elsewhere(browser).signed_in_as().await, None);
        }
        let program = site.elsewhere(&program);
        assert_eq!(asks_who_it_is(&program, &granted).await, StatusCode::UNAUTHORIZED);
        assert_eq!(refreshed(&program, &granted).await.status, StatusCode::BAD_REQUEST);
        asker.click(mail.path()).await.says_the_link_is_gone();
        site.visitor().use_link(&mail, ADA).await.says_the_link_is_gone();
        assert_eq!(asker.type_code(mail.code()).await.status, StatusCode::UNPROCESSABLE_ENTITY);
        let fields = [("token", reset.token()), ("email", ADA), ("password", PASSWORD)];
        assert_eq!(site.visitor().post("/reset-password", &fields).await.status, StatusCode::GONE);

        // Whoever tries sees what they would see of an address that nobody has.
        let answers = async |address: &str| {
            let stranger = site.visitor();
            let mut seen = vec![stranger.enter(address, PASSWORD).await];
            seen.push(program_of(&stranger, address).await.1);
            for route in ["/sign-in", "/register", "/forgot-password"] {
                seen.push(stranger.ask(route, address).await);
                seen.push(stranger.get("/sign-in/sent").await);
                seen.push(stranger.type_code("BBBB-BBBB").await);
            }
            seen.iter().map(|page| page.looks().replace(address, "ADDRESS")).collect::<Vec<_>>()
        };
        assert_eq!(answers(ADA).await, answers("eva@example.org").await);

        // Only the mailbox is told, without a link, once a day.
        let letter = site.told(ADA, "Your account at localhost is locked").await;
        assert_eq!(letter.link, "", "{}", letter.text);
        site.all_has_left().await;
        site.told(ADA, "Your account at localhost is locked").await;
        assert_eq!(site.links(ADA, "/sign-in/link").len(), 1, "the one of before");
        assert_eq!(site.links(ADA, "/reset-password").len(), 1);

        assert_eq!(told(&site.users(&["lock", ADA])), "ada@example.org was locked already.\n");
        let link = site.users(&["sign-in-link", ADA]);
        assert_eq!((link.status.code(), link.stdout.len()), (Some(1), 0));
        assert_eq!(complaint(&link), "ada@example.org is locked; no link was made.");
        let shown = json(&site.users(&["show", ADA, "--json"]));
        assert_eq!((&shown["state"], &shown["sessions"]), (&json!("locked"), &json!(0)), "{shown}");

        assert_eq!(told(&site.users(&["unlock", ADA])), "ada@example.org is not locked any more.\n");
        assert_eq!(told(&site.users(&["unlock", ADA])), "ada@example.org was not locked.\n");
        for browser in [&ada, &known] {
            assert_eq!(browser.signed_in_as().await, None, "what the lock ended stays ended");
        }
        asker.click(mail.path()).await.says_the_link_is_gone();
        let back = site.visitor();
        back.enter(ADA, PASSWORD).await.goes_on_to("/account");
        assert_eq!(done_by_operator(&back).await, ["The account was unlocked", "The account was locked"]);
        let activity = back.get("/account/activity").await.body;
        assert!(!activity.contains("the operator, "), "nothing of the operator's machine: {activity}");
        let log = String::from_utf8(locked.stderr).unwrap();
        assert!(log.contains("event=\"locked\"") && log.contains("by=\"operator\""), "{log}");
        assert!(!log.contains(ADA), "{log}");
    }

    /// The way back that an owner has after a theft is shut by a lock, and is there again after it.
    async fn a_locked_account_takes_no_undo_and_an_unlocked_one_does(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        ada.reauthenticate().await;
        ada.post("/account/email", &[("email", NEW)]).await.goes_on_to("/account/email");
        let change = site.mail(NEW, "/account/email/confirm", 0).await;
        ada.use_link(&change, NEW).await.goes_on_to("/account");
        let undo = site.mail(ADA, "/account/email/undo", 0).await;
        told(&site.users(&["lock", NEW]));
        let thief = site.visitor();
        assert_eq!(thief.use_link(&undo, ADA).await.status, StatusCode::GONE);
        // Nor is it mailed once more to whoever asks with the former address.
        thief.ask("/sign-in", ADA).await.sees_inbox_page();
        site.all_has_left().await;
        assert_eq!(site.links(ADA, "/account/email/undo").len(), 1);
        told(&site.users(&["unlock", NEW]));
        assert_eq!(thief.use_link(&undo, ADA).await.status, StatusCode::SEE_OTHER);
        assert_eq!(json(&site.users(&["show", ADA, "--json"]))["email"], ADA);
    }

    async fn all_sessions_end_at_once_and_links_live_on(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let bob = site.member(BOB).await;
        let (program, granted) = program_of(&site.visitor(), ADA).await;
        let (asker, mail) = site.asked("/sign-in", ADA, "/sign-in/link").await;
        let would = told(&site.users(&["end-sessions", ADA, "--dry-run"]));
        assert!(would.starts_with("Would sign out ada@example.org: 1 browser session, 1 program session, "), "{would}");
        assert_eq!(told(&site.users(&["end-sessions", ADA])), "ada@example.org is signed out everywhere.\n");
        assert_eq!(site.elsewhere(&ada).signed_in_as().await, None);
        assert_eq!(asks_who_it_is(&program, &granted).await, StatusCode::UNAUTHORIZED);
        assert_eq!(refreshed(&program, &granted).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(bob.signed_in_as().await.as_deref(), Some(BOB), "nobody else's");
        asker.click(mail.path()).await.goes_on_to("/account");
        assert_eq!(done_by_operator(&asker).await, ["All sessions were ended"]);
    }

    async fn a_printed_link_signs_in_once_and_is_nowhere_else(db: Database) {
        let site = Site::open(db).await;
        site.member(ADA).await;
        let (asker, older) = site.asked("/sign-in", ADA, "/sign-in/link").await;
        site.all_has_left().await;
        let letters = site.all_mail(ADA).len();
        let made = site.users(&["sign-in-link", ADA]);
        let link = told(&made);
        let link = link.strip_suffix('\n').unwrap();
        assert!(link.starts_with("http://localhost:8080/sign-in/link?token="), "{link}");
        let said = complaint(&made);
        assert!(said.contains("once, for 10 minutes from now on") && said.contains(ADA), "{said}");
        let (_, token) = link.split_once('=').unwrap();
        let log = String::from_utf8(made.stderr).unwrap();
        assert!(!log.contains(token), "{log}");
        site.all_has_left().await;
        assert_eq!(site.all_mail(ADA).len(), letters, "nobody is mailed");
        asker.click(older.path()).await.says_the_link_is_gone();

        // A click elsewhere opens nothing: it asks for the address first, and counts wrong ones.
        let friend = site.visitor();
        let page = friend.open(&link["http://localhost:8080".len()..]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert_eq!(friend.signed_in_as().await, None);
        let named = |address: &'static str| [("token", token), ("email", address)];
        friend.post("/sign-in/link", &named(BOB)).await.says_mistake("was not sent to this address");
        friend.post("/sign-in/link", &named(ADA)).await.goes_on_to("/account");
        assert_eq!(friend.signed_in_as().await.as_deref(), Some(ADA));
        let again = site.visitor().post("/sign-in/link", &named(ADA)).await;
        again.says_the_link_is_gone();
        assert_eq!(done_by_operator(&friend).await, ["A link to sign in was made, to be handed on without mail"]);
        friend.get("/account/password").await.is_sent_to_the_gate("/account/password");
    }

    /// EML-06
    async fn another_address_counts_at_once_and_nothing_of_before_opens_anything(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        site.member(BOB).await;
        // A thief who reads the old mailbox took the address away before: the way back leads to that mailbox.
        let thief = ada;
        thief.reauthenticate().await;
        let mut passkey = Authenticator::on("http://localhost:8080");
        assert_eq!(passkey.make_at(&thief, "/account/passkeys/add").await.status, StatusCode::OK);
        thief.post("/account/email", &[("email", "thief@example.org")]).await.goes_on_to("/account/email");
        let change = site.mail("thief@example.org", "/account/email/confirm", 0).await;
        thief.use_link(&change, "thief@example.org").await.goes_on_to("/account");
        let undo = site.mail(ADA, "/account/email/undo", 0).await;
        let (asker, mail) = site.asked("/sign-in", "thief@example.org", "/sign-in/link").await;
        let (program, granted) = program_of(&site.visitor(), "thief@example.org").await;
        let set = |more: &[&str]| site.users(&[&["set-email", "thief@example.org"], more].concat());

        let would = told(&set(&[NEW, "--dry-run"]));
        assert!(would.starts_with("Would give thief@example.org the address countess@example.net, "), "{would}");
        let would_not = set(&[BOB, "--dry-run"]);
        assert_eq!((would_not.status.code(), would_not.stdout.len()), (Some(1), 0));
        assert_eq!(complaint(&would_not), "Another account has the address bob@example.org; nothing was done.");
        let unasked = set(&[NEW]);
        assert_eq!((unasked.status.code(), unasked.stdout.len()), (Some(2), 0));
        assert!(complaint(&unasked).starts_with("Nothing was done: "), "{unasked:?}");
        let taken = set(&[BOB, "--yes"]);
        assert_eq!(taken.status.code(), Some(1));
        assert_eq!(complaint(&taken), "Another account has the address bob@example.org; nothing was done.");
        let same = told(&set(&["thief@example.org", "--yes"]));
        assert_eq!(same, "The account has the address thief@example.org already; nothing was done.\n");
        assert_eq!(thief.signed_in_as().await.as_deref(), Some("thief@example.org"), "nothing was done");

        let done = told(&set(&[" Countess@Example.NET", "--yes"]));
        assert!(done.starts_with("thief@example.org is countess@example.net now; "), "{done}");
        assert_eq!(site.elsewhere(&thief).signed_in_as().await, None);
        assert_eq!(asks_who_it_is(&program, &granted).await, StatusCode::UNAUTHORIZED);
        asker.click(mail.path()).await.says_the_link_is_gone();
        assert_eq!(site.visitor().use_link(&undo, ADA).await.status, StatusCode::GONE, "nor the way back");
        for address in [NEW, "thief@example.org", ADA] {
            let entered = site.visitor().enter(address, PASSWORD).await;
            assert_eq!(entered.status, StatusCode::UNPROCESSABLE_ENTITY, "the password is gone");
        }
        let shown = json(&site.users(&["show", NEW, "--json"]));
        assert_eq!((&shown["has_password"], &shown["sessions"]), (&json!(false), &json!(0)), "{shown}");
        let refused = passkey.sign_at(&site.visitor(), "/passkeys/sign-in").await;
        assert_eq!((refused.status, &shown["passkeys"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(0)));
        let old = site.told("thief@example.org", "Your account at localhost has another address").await;
        assert_eq!(old.link, "", "no way back for whoever reads it");
        assert!(!old.text.contains(NEW) && old.text.contains("By: the people who run localhost\n"), "{}", old.text);
        let new = site.told(NEW, "Your account at localhost has this address").await;
        assert!(!new.text.contains("thief@"), "{}", new.text);

        let (owner, mail) = site.asked("/sign-in", NEW, "/sign-in/link").await;
        owner.click(mail.path()).await.goes_on_to("/account");
        assert_eq!(owner.signed_in_as().await.as_deref(), Some(NEW));
        assert_eq!(done_by_operator(&owner).await, ["The address was changed"]);
        // Whoever has the old address now is a stranger.
        let (_, mail) = site.asked("/sign-in", "thief@example.org", "/confirm-email").await;
        assert!(!mail.text.contains(NEW));
    }

    async fn an_address_that_is_kept_for_its_owner_is_given_to_nobody(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        site.member(BOB).await;
        ada.reauthenticate().await;
        ada.post("/account/email", &[("email", NEW)]).await.goes_on_to("/account/email");
        let change = site.mail(NEW, "/account/email/confirm", 0).await;
        ada.use_link(&change, NEW).await.goes_on_to("/account");
        let kept = site.users(&["set-email", BOB, ADA, "--yes"]);
        assert_eq!(kept.status.code(), Some(1));
        assert!(complaint(&kept).contains("is kept while its owner may take that back; nothing was done."), "{kept:?}");
        // It is its owner's all the same.
        told(&site.users(&["set-email", NEW, ADA, "--yes"]));
        assert_eq!(json(&site.users(&["show", ADA, "--json"]))["state"], "active");
    }

    async fn an_account_is_deleted_as_its_owner_could_and_the_mailbox_is_told(db: Database) {
        let site = Site::open(db).await;
        let ada = site.member(ADA).await;
        let (asker, mail) = site.asked("/sign-in", ADA, "/sign-in/link").await;
        let would = told(&site.users(&["delete", ADA, "--dry-run"]));
        assert!(would.starts_with("Would delete ada@example.org with everything that is kept of it: 1 browser session, "), "{would}");
        let unasked = site.users(&["delete", ADA]);
        assert_eq!((unasked.status.code(), unasked.stdout.len()), (Some(2), 0));
        assert!(complaint(&unasked).ends_with("Say --yes beforehand."), "{unasked:?}");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "nothing was done");

        let deleted = site.users(&["delete", ADA, "--yes"]);
        assert_eq!(told(&deleted), "ada@example.org is deleted, and the mailbox will be told.\n");
        let log = String::from_utf8(deleted.stderr).unwrap();
        assert!(log.contains("event=\"deleted\"") && log.contains("by=\"operator\""), "{log}");
        assert_eq!(site.elsewhere(&ada).signed_in_as().await, None);
        asker.click(mail.path()).await.says_the_link_is_gone();
        let letter = site.told(ADA, "Your account at localhost was deleted").await;
        assert_eq!(letter.link, "");
        assert!(letter.text.contains("By: the people who run localhost\n"), "{}", letter.text);
        assert_eq!(json(&site.users(&["list", "--json"])), json!([]));
        // One there one day begins anew.
        let before = site.links(ADA, "/confirm-email").len();
        site.visitor().ask("/register", ADA).await.sees_inbox_page();
        site.mail(ADA, "/confirm-email", before).await;
    }

    async fn a_printed_link_lives_as_long_as_it_says(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        for (waits, status) in [(599, StatusCode::SEE_OTHER), (600, StatusCode::GONE)] {
            let app = house.app.clone();
            let made = house.app.transaction(move |tx| make_sign_in_link::make(tx, &app, operator(), &named(ADA)));
            let LinkOutcome::Made(made) = made.await.unwrap() else { panic!("none was made") };
            assert_eq!(made.lifetime, Duration::from_secs(600));
            house.advance(Duration::from_secs(waits));
            let (_, token) = made.path.split_once('=').unwrap();
            let used = house.visitor().post("/sign-in/link", &[("token", token), ("email", ADA)]).await;
            assert_eq!(used.status, status, "after {waits} s");
        }
    }

    async fn the_mailbox_of_a_locked_account_is_told_once_a_day(db: Database) {
        let house = House::with(db, &[("LIMIT_MAIL_PER_ADDRESS_DAILY", "off")]).await;
        house.member(ADA).await;
        let locked = house.app.transaction(move |tx| lock_account::lock(tx, operator(), &named(ADA)));
        assert!(matches!(locked.await.unwrap(), LockOutcome::Done(_)));
        for (hours_later, told) in [(0, 1), (2, 1), (21, 1), (1, 2)] {
            house.advance(Duration::from_secs(hours_later * 60 * 60));
            house.visitor().ask("/sign-in", ADA).await.sees_inbox_page();
            assert_eq!(house.news_to(ADA).await.len(), told, "{hours_later} h later");
        }
    }
}

fn operator() -> Operator {
    Operator::at_the_command_line()
}

fn named(address: &str) -> Named {
    Named::parse(address).unwrap()
}

#[tokio::test]
async fn whoever_has_no_account_is_said_to_have_none() {
    let site = Site::open(Database::Sqlite).await;
    let unknown = random::id();
    for (who, said) in [
        (ADA, "There is no account ada@example.org.".to_owned()),
        (
            &*unknown,
            format!("There is no account with the id {unknown}."),
        ),
    ] {
        for arguments in [
            &["show", who][..],
            &["show", who, "--json"],
            &["lock", who],
            &["lock", who, "--dry-run"],
            &["unlock", who],
            &["end-hold", who],
            &["end-hold", who, "--dry-run"],
            &["end-sessions", who],
            &["end-sessions", who, "--dry-run"],
            &["sign-in-link", who],
            &["set-email", who, NEW, "--yes"],
            &["set-email", who, NEW, "--dry-run"],
            &["delete", who, "--yes"],
            &["delete", who, "--dry-run"],
        ] {
            let ended = site.users(arguments);
            assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
            assert!(ended.stdout.is_empty(), "{arguments:?}");
            assert_eq!(complaint(&ended), said, "{arguments:?}");
        }
    }
    let neither = site.users(&["show", "ada"]);
    assert_eq!(neither.status.code(), Some(2));
    let said = complaint(&neither);
    assert!(
        said.contains("neither the id of an account nor an address"),
        "{said}"
    );
}

/// What it seals, no server could open.
#[tokio::test]
async fn a_key_that_is_not_the_databases_is_said() {
    let site = Site::open(Database::Sqlite).await;
    let (folder, other) = (empty_folder(), secret_key());
    fs::write(folder.path().join("news.md"), "# News\n\nThere are some.\n").unwrap();
    let variables = [
        ANY_PORT,
        ("DATABASE_URL", &*site.store.url),
        ("SECRET_KEY", &*other),
    ];
    let says = |arguments: &[&str], code: i32| {
        let ended = run(folder.path(), arguments, &variables);
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        let said = complaint(&ended);
        assert!(
            said.contains("does not open what is in this database"),
            "{said}"
        );
    };
    says(&["users", "invite", ADA], 0);
    says(&["announce", "news.md", "--to", "all"], 1);
}

/// None of them makes a database to find nobody in.
#[test]
fn where_doorpost_has_never_run_nobody_is_looked_for() {
    let folder = empty_folder();
    for arguments in [
        &["users", "list"][..],
        &["users", "show", ADA],
        &["users", "lock", ADA],
        &["users", "delete", ADA, "--yes"],
        &["purge"],
    ] {
        let ended = run(folder.path(), arguments, &[]);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains("there is no database"), "{said}");
    }
    assert!(everything_in(folder.path()).is_empty());
}

/// Whoever sits before a terminal (that of util-linux's `script`) is asked, and only a yes is one.
#[tokio::test]
async fn at_a_terminal_the_operator_is_asked_first() {
    let site = Site::open(Database::Sqlite).await;
    let ada = site.member(ADA).await;
    let said = answered(&site, "no\n", 1);
    assert!(
        said.contains("ada@example.org is deleted for good, with everything that is kept of it: 1 browser session"),
        "{said}"
    );
    assert!(said.contains("Nothing was done."), "{said}");
    answered(&site, "\n", 1);
    assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
    let said = answered(&site, "yes\n", 0);
    assert!(said.contains("ada@example.org is deleted"), "{said}");
    assert_eq!(ada.signed_in_as().await, None);
}

/// What is on the screen of somebody who wants to delete Ada's account and answers this.
fn answered(site: &Site, answer: &str, code: i32) -> String {
    let folder = site.folders[0].path();
    let doorpost = env!("CARGO_BIN_EXE_doorpost");
    let asked = site.with_variables(|variables| {
        let script = Command::new("script");
        let mut script = dressed(script, folder, variables);
        script.args(["--quiet", "--return", "--command"]);
        script.args([&format!("{doorpost} users delete {ADA}"), "/dev/null"]);
        let mut child = script
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(answer.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let said = String::from_utf8_lossy(&asked.stdout).replace("\r\n", "\n");
    assert_eq!(asked.status.code(), Some(code), "{said}");
    said
}

/// There may be more of them than fit into memory.
#[tokio::test]
async fn a_long_list_is_read_page_by_page() {
    let site = Site::open(Database::Sqlite).await;
    let path = site.store.url.strip_prefix("sqlite:").unwrap();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1201)
        INSERT INTO users (id, email, created_at, known_since)
        SELECT printf('%022d', i), printf('m%05d@example.org', i), 0, 0 FROM n";
    insert(path, many);
    // More is said than fits into a pipe.
    let list = |more: &[&str]| {
        let folder = site.folders[0].path();
        let arguments = [&["users", "list"], more].concat();
        site.with_variables(|variables| command(folder, variables).args(arguments).output())
            .unwrap()
    };
    let whole = json(&list(&["--json"]));
    let whole = whole.as_array().unwrap();
    assert_eq!(whole.len(), 1201);
    for (number, account) in whole.iter().enumerate() {
        assert_eq!(account["email"], format!("m{:05}@example.org", number + 1));
    }
    assert_eq!(told(&list(&[])).lines().count(), 1201);
    assert_eq!(told(&list(&["--limit", "501"])).lines().count(), 501);
}

#[expect(clippy::disallowed_methods, reason = "it plays another program")]
fn insert(path: &str, statement: &str) {
    use diesel::connection::SimpleConnection;
    use diesel::prelude::*;
    let mut conn = SqliteConnection::establish(path).unwrap();
    conn.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
    conn.batch_execute(statement).unwrap();
}
