//! A day, as the operator reads it in the log: everything that happened to an account is there once, with when,
//! to whom, from where and in which request; so is what was refused, and what became of the mail. And nobody's
//! address is in it, however talkative the log is made. So it is with what the operator's commands change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use doorpost::clock::Clock;
use doorpost::humanize;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::house_rules;
use crate::program::{ANY_PORT, Doorpost, empty_folder, everything_in, run};
use crate::support::{
    Answer, Authenticator, Database, House, Mail, PASSWORD, Page, ScriptedServer, Store, Visitor,
    eventually, secret_key,
};
use crate::upkeep_command::commands;

const ADA: &str = "ada.lovelace@example.org";
const NEW: &str = "countess.lovelace@example.net";
const BOB: &str = "bob.refused@example.org";
const CAROL: &str = "carol.later@example.org";
const SITE: &str = "http://localhost:8080";
const WRONG: &str = "a horse that eats grass alone";
const CHANGED: &str = "quite another horse altogether";

/// Where Ada is, and where somebody is who guesses.
const HERS: &str = "192.0.2.7";
const STRANGERS: &str = "203.0.113.9";

/// An event of an account and what goes with it, as the log has them, and the request that it was.
type Happened = (&'static str, &'static str, &'static str);

/// The program in the middle of its day.
struct Day {
    doorpost: Doorpost,
    server: ScriptedServer,
    happened: Vec<Happened>,
}

impl Day {
    fn begin(store: &Store, folder: &Path) -> Self {
        let server = ScriptedServer::start();
        let mut put_off = false;
        server.follow(move |step| match (step.verb, step.to) {
            ("RCPT", BOB) => Answer::Say("550 5.1.1 <bob.refused@example.org>: no such user"),
            ("RCPT", CAROL) if !std::mem::replace(&mut put_off, true) => {
                Answer::Say("450 4.2.1 <carol.later@example.org>: come again")
            }
            _ => Answer::Agree,
        });
        let smtp = server.url();
        let variables = [
            ANY_PORT,
            ("DATABASE_URL", store.url.as_str()),
            ("SECRET_KEY", store.secret_key.as_str()),
            ("SMTP_URL", smtp.as_str()),
            ("TRUSTED_PROXIES", "127.0.0.1/32"),
            ("LOG_FORMAT", "json"),
            ("RUST_LOG", "trace"),
            ("ARGON2_MEMORY_KIB", "64"),
            ("ARGON2_PASSES", "1"),
            ("LIMIT_MAIL_GAP", "off"),
            ("LIMIT_MAIL_PER_ADDRESS", "off"),
            ("LIMIT_MAIL_PER_ADDRESS_DAILY", "off"),
            ("LIMIT_TOKEN_PER_NETWORK", "4/1h"),
        ];
        Self {
            doorpost: Doorpost::serving(folder, &variables),
            server,
            happened: Vec::new(),
        }
    }

    fn visitor(&self) -> Visitor {
        self.doorpost.visitor().calling_from(HERS)
    }

    /// Notes what has to be in the log of this.
    fn then(&mut self, happened: &[Happened]) {
        self.happened.extend(happened);
    }

    /// Asks for mail with a browser of its own; and the mail.
    async fn asked(&self, route: &str, address: &str, leads_to: &str) -> (Visitor, Mail) {
        let before = self.links(address, leads_to).len();
        let visitor = self.visitor();
        visitor.ask(route, address).await.sees_inbox_page();
        (visitor, self.link(address, leads_to, before).await)
    }

    /// The first link of this kind that comes after so many.
    async fn link(&self, address: &str, leads_to: &str, after: usize) -> Mail {
        let came = async || self.links(address, leads_to).len() > after;
        eventually(&format!("{leads_to} for {address}"), came).await;
        self.links(address, leads_to).remove(after)
    }

    fn links(&self, address: &str, leads_to: &str) -> Vec<Mail> {
        let taken = self.server.taken_for(address);
        let mails = taken.iter().map(|letter| letter.mail());
        mails
            .filter(|mail| !mail.is_news() && mail.route() == leads_to)
            .collect()
    }

    /// Every line of the log.
    fn lines(&self) -> Vec<Value> {
        let read = |line: &str| serde_json::from_str(line).unwrap();
        self.doorpost.log().lines().map(read).collect()
    }
}

/// She registers, goes, comes back by her password, and by a link that somebody else tried.
async fn she_comes_and_goes(day: &mut Day) -> Visitor {
    let (ada, mail) = day.asked("/register", ADA, "/confirm-email").await;
    let fields = [("token", mail.token()), ("password", PASSWORD)];
    ada.post("/confirm-email", &fields)
        .await
        .goes_on_to("/account");
    ada.post("/sign-out", &[]).await.goes_on_to("/");
    day.then(&[
        ("registered", "", "POST /confirm-email"),
        ("signed_in", "email_link", "POST /confirm-email"),
        ("password_set", "", "POST /confirm-email"),
        ("signed_out", "", "POST /sign-out"),
    ]);

    let stranger = day.visitor().calling_from(STRANGERS);
    stranger
        .enter(ADA, WRONG)
        .await
        .says_mistake("The address or the password is not right.");
    ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
    day.then(&[
        ("password_refused", "", "POST /sign-in/password"),
        ("signed_in", "password", "POST /sign-in/password"),
    ]);

    let (ada, mail) = day.asked("/sign-in", ADA, "/sign-in/link").await;
    let elsewhere = day.visitor();
    elsewhere
        .use_link(&mail, BOB)
        .await
        .says_mistake("was not sent to this address");
    ada.click(mail.path()).await.goes_on_to("/account");
    day.then(&[
        ("link_requested", "sign_in", "POST /sign-in"),
        ("link_refused", "sign_in", "POST /sign-in/link"),
        ("signed_in", "email_link", "GET /sign-in/link"),
    ]);
    ada
}

/// What is sensitive, behind the password.
async fn she_changes_what_is_sensitive(day: &mut Day, ada: &Visitor) {
    ada.get("/account/password")
        .await
        .is_sent_to_the_gate("/account/password");
    let wrong = [("password", WRONG)];
    ada.post("/reauthenticate", &wrong).await.says_mistake("");
    ada.reauthenticate().await;
    ada.post("/account/password", &[("password", CHANGED)])
        .await
        .goes_on_to("/account");
    ada.reauthenticate_with(CHANGED).await;
    let file = ada.post("/account/export", &[]).await;
    assert_eq!(file.status, StatusCode::OK);
    day.then(&[
        ("reauthentication_required", "", "GET /account/password"),
        ("reauthentication_refused", "", "POST /reauthenticate"),
        ("reauthenticated", "", "POST /reauthenticate"),
        ("password_changed", "", "POST /account/password"),
        ("reauthenticated", "", "POST /reauthenticate"),
        ("exported", "", "POST /account/export"),
    ]);
}

/// Another address, called off once, confirmed, and taken back; the link that comes then sets a password, or makes a passkey.
async fn she_changes_her_address(day: &mut Day, ada: &Visitor) -> Mail {
    let mut mails = Vec::new();
    for number in 0..2 {
        ada.post("/account/email", &[("email", NEW)])
            .await
            .goes_on_to("/account/email");
        mails.push(day.link(NEW, "/account/email/confirm", number).await);
        if number == 0 {
            ada.post("/account/email/cancel", &[])
                .await
                .goes_on_to("/account");
        }
    }
    ada.use_link(&mails[1], NEW).await.goes_on_to("/account");
    let undo = day.link(ADA, "/account/email/undo", 0).await;
    let undone = day.visitor().use_link(&undo, ADA).await;
    assert_eq!(undone.status, StatusCode::SEE_OTHER, "{}", undone.body);
    let link = day.link(ADA, "/reset-password", 0).await; // without having been asked for
    day.then(&[
        ("email_change_requested", "", "POST /account/email"),
        ("email_change_cancelled", "", "POST /account/email/cancel"),
        ("email_change_requested", "", "POST /account/email"),
        ("email_changed", "", "POST /account/email/confirm"),
        ("email_change_undone", "", "POST /account/email/undo"),
    ]);
    link
}

/// A passkey in the place of the password that she has no more; and somebody has a copy of it.
async fn she_makes_a_passkey(day: &mut Day, link: &Mail) -> (Visitor, Authenticator) {
    let (ada, mut passkey) = (day.visitor(), Authenticator::on(SITE));
    let mut body = json!({ "token": link.token(), "email": ADA });
    let options = asked_by_script(&ada, "/reset-password/passkey/options", &body).await;
    body["credential"] = passkey.make(&options);
    asked_by_script(&ada, "/reset-password/passkey", &body).await;
    let copy = passkey.clone();
    passkey.counter += 1;
    for (key, expected) in [(&mut passkey, 200), (&mut copy.clone(), 422)] {
        let options = asked_by_script(&ada, "/passkeys/sign-in/options", &json!({})).await;
        let body = json!({ "credential": key.sign(&options) });
        let came = ada.script("/passkeys/sign-in", &body).await;
        assert_eq!(came.status, expected, "{}", came.body);
    }
    day.then(&[
        ("passkey_set", "", "POST /reset-password/passkey"),
        ("signed_in", "passkey", "POST /passkeys/sign-in"),
        ("passkey_copied", "", "POST /passkeys/sign-in"),
    ]);
    (ada, passkey)
}

async fn asked_by_script(visitor: &Visitor, path: &str, body: &Value) -> Value {
    let answer = visitor.script(path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    answer.json()
}

/// The passkey has another name, and a second one beside it, which goes again.
async fn she_names_it(day: &mut Day, ada: &Visitor) {
    let options = asked_by_script(ada, "/account/passkeys/add/options", &json!({})).await;
    let made = Authenticator::on(SITE).make(&options);
    let body = json!({ "credential": made });
    asked_by_script(ada, "/account/passkeys/add", &body).await;
    let list = ada.get("/account/passkeys").await;
    let id = list
        .between("href=\"/account/passkeys/", "/rename\"")
        .unwrap();
    let named = [("name", "the key on my key ring")];
    ada.post(&format!("/account/passkeys/{id}/rename"), &named)
        .await
        .goes_on_to("/account/passkeys");
    removes_passkey(ada, 1).await;
    day.then(&[
        ("passkey_added", "", "POST /account/passkeys/add"),
        ("passkey_renamed", "", "POST /account/passkeys/{id}/rename"),
        ("passkey_removed", "", "POST /account/passkeys/{id}/remove"),
    ]);
}

/// A password by mail, and what waits then: once it was not she, and once it was. Then the passkey goes, too.
async fn her_password_is_reset(day: &mut Day, passkey: &mut Authenticator) {
    for (answer, lifted) in [
        ("not-mine", "reset_disowned"),
        ("mine", "reset_hold_lifted"),
    ] {
        let (ada, mail) = day.asked("/forgot-password", ADA, "/reset-password").await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        ada.post("/reset-password", &fields)
            .await
            .goes_on_to("/sign-in/password");
        ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
        let options = asked_by_script(&ada, "/reauthenticate/passkey/options", &json!({})).await;
        let body = json!({ "credential": passkey.sign(&options) });
        asked_by_script(&ada, "/reauthenticate/passkey", &body).await;
        let said = ada.post("/account/reset-hold", &[("answer", answer)]).await;
        said.goes_on_to("/account");
        if answer == "mine" {
            removes_passkey(&ada, 0).await;
        }
        day.then(&[
            ("link_requested", "reset_password", "POST /forgot-password"),
            ("password_set", "", "POST /reset-password"),
            ("reset_hold_begun", "", "POST /reset-password"),
            ("signed_in", "password", "POST /sign-in/password"),
            ("reauthenticated", "", "POST /reauthenticate/passkey"),
            (lifted, "", "POST /account/reset-hold"),
        ]);
    }
    day.then(&[("passkey_removed", "", "POST /account/passkeys/{id}/remove")]);
}

/// The one that stands there in the list.
async fn removes_passkey(visitor: &Visitor, which: usize) {
    let list = visitor.get("/account/passkeys").await.body;
    let ids = list.split("href=\"/account/passkeys/").skip(1);
    let mut ids = ids.filter_map(|rest| Some(rest.split_once("/remove\"")?.0));
    let id = ids.nth(which).unwrap();
    visitor
        .post(&format!("/account/passkeys/{id}/remove"), &[])
        .await
        .goes_on_to("/account/passkeys");
}

/// Somebody has a copy of a session that is bound to her device, in another browser.
async fn her_session_is_copied(day: &mut Day, store: &Store) {
    let ada = day.visitor();
    ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
    let newest = "(SELECT max(created_at) FROM sessions)";
    let bind = format!("UPDATE sessions SET bound_at = 1 WHERE created_at = {newest}");
    House::on(store.clone(), &[]).execute(bind).await;
    let copied = ada.calling_itself("curl/8.0").get_plainly("/account").await;
    copied.goes_on_to("/sign-in?next=%2Faccount");
    day.then(&[
        ("signed_in", "password", "POST /sign-in/password"),
        ("device_not_proven", "", "GET /account"),
    ]);
}

/// Another password, by mail; and three browsers that know it.
async fn she_forgets_her_password(day: &mut Day) -> [Visitor; 3] {
    let (forgetful, mail) = day.asked("/forgot-password", ADA, "/reset-password").await;
    let fields = [("token", mail.token()), ("password", PASSWORD)];
    forgetful
        .post("/reset-password", &fields)
        .await
        .goes_on_to("/sign-in/password");
    let browsers = [(); 3].map(|()| day.visitor());
    for browser in &browsers {
        browser.enter(ADA, PASSWORD).await.goes_on_to("/account");
    }
    day.then(&[
        ("link_requested", "reset_password", "POST /forgot-password"),
        ("password_set", "", "POST /reset-password"),
        ("signed_in", "password", "POST /sign-in/password"),
        ("signed_in", "password", "POST /sign-in/password"),
        ("signed_in", "password", "POST /sign-in/password"),
    ]);
    browsers
}

/// All that the account's pages can end or switch.
async fn she_tidies_up(day: &mut Day, [ada, _third, other]: [Visitor; 3]) -> Visitor {
    let sessions = other.get("/account/sessions").await.body;
    let ids = sessions.split("action=\"/account/sessions/").skip(1);
    let mut ids = ids.filter_map(|rest| Some(rest.split_once("/end\"")?.0));
    let own = ids.next().unwrap(); // the newest
    for (path, then) in [
        (&*format!("/account/sessions/{own}/end"), "/"),
        ("/account/sessions/end-others", "/account/sessions"),
        ("/account/links/end", "/account"),
        ("/account/notification-links", "/account"),
        ("/account/announcements", "/account"),
    ] {
        let browser = if then == "/" { &other } else { &ada };
        browser.post(path, &[]).await.goes_on_to(then);
    }
    day.then(&[
        ("session_ended", "", "POST /account/sessions/{id}/end"),
        (
            "other_sessions_ended",
            "",
            "POST /account/sessions/end-others",
        ),
        ("links_ended", "", "POST /account/links/end"),
        (
            "notification_links_switched",
            "",
            "POST /account/notification-links",
        ),
        ("announcements_switched", "", "POST /account/announcements"),
    ]);
    ada
}

/// Her program, which is robbed; and the end of it all.
async fn she_leaves(day: &mut Day, ada: &Visitor) {
    let program = day.visitor().refusing_cookies();
    let grant = json!({"grant_type": "password", "email": ADA, "password": PASSWORD});
    let tokens: Value = serde_json::from_str(&granted(&program, &grant).await.body).unwrap();
    let refresh = |tokens: &Value| json!({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]});
    let refreshed = granted(&program, &refresh(&tokens)).await;
    let newer: Value = serde_json::from_str(&refreshed.body).unwrap();
    for (brought, expected) in [(&newer, StatusCode::OK), (&tokens, StatusCode::BAD_REQUEST)] {
        assert_eq!(granted(&program, &refresh(brought)).await.status, expected);
    }
    ada.reauthenticate().await;
    ada.post("/account/delete", &[("email", ADA)])
        .await
        .goes_on_to("/");
    day.then(&[
        ("signed_in", "password", "POST /api/v1/tokens"),
        ("refresh_token_reused", "", "POST /api/v1/tokens"),
        ("reauthenticated", "", "POST /reauthenticate"),
        ("deleted", "", "POST /account/delete"),
    ]);
}

async fn granted(program: &Visitor, grant: &Value) -> Page {
    let request = program
        .request(reqwest::Method::POST, "/api/v1/tokens")
        .header("content-type", "application/json")
        .body(grant.to_string());
    program.send(request).await
}

/// Others are turned away: who guesses tokens, and who comes from another site.
async fn others_are_turned_away(day: &Day) {
    let guessing = day.visitor().calling_from(STRANGERS);
    for expected in [410, 410, 410, 410, 429] {
        let guessed = guessing.get("/sign-in/link?token=junk").await;
        assert_eq!(guessed.status, expected);
    }
    let forged = guessing
        .request(reqwest::Method::POST, "/sign-in")
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("email=ada.lovelace%40example.org");
    assert_eq!(guessing.send(forged).await.status, StatusCode::FORBIDDEN);
}

on_both! {
    /// LOG-03, LOG-04
    async fn all_of_a_day_is_in_the_log_once_and_nobodys_address_is(db: Database) {
        let (store, folder) = (Store::make(db).await, tempfile::tempdir().unwrap());
        let mut day = Day::begin(&store, folder.path());
        let began = Clock::System.now();
        let ada = she_comes_and_goes(&mut day).await;
        she_changes_what_is_sensitive(&mut day, &ada).await;
        let link = she_changes_her_address(&mut day, &ada).await;
        let (ada, mut passkey) = she_makes_a_passkey(&mut day, &link).await;
        she_names_it(&mut day, &ada).await;
        her_password_is_reset(&mut day, &mut passkey).await;
        her_session_is_copied(&mut day, &store).await;
        let browsers = she_forgets_her_password(&mut day).await;
        let ada = she_tidies_up(&mut day, browsers).await;
        she_leaves(&mut day, &ada).await;
        others_are_turned_away(&day).await;
        for address in [BOB, CAROL] {
            day.visitor().ask("/register", address).await.sees_inbox_page();
        }
        day.doorpost.says("mail refused");
        day.doorpost.says("mail put off");
        day.link(CAROL, "/confirm-email", 0).await;
        let last = day.visitor().get("/").await;
        day.doorpost.says(last.header("x-request-id").unwrap());
        day.doorpost.signal("TERM");
        assert_eq!(day.doorpost.ends(), Some(0));

        let lines = day.lines();
        every_line_has_its_moment(&lines, began);
        what_happened_is_there_once(&lines, &day.happened);
        who_was_turned_away_is_there(&lines);
        what_became_of_the_mail_is_there(&lines, &day.server);
        nobodys_address_is_there(&day.doorpost.log());
    }
}

/// In UTC, as RFC 3339 has it, and none before it began.
fn every_line_has_its_moment(lines: &[Value], began: i64) {
    let began = humanize::rfc3339(began);
    for line in lines {
        let at = line["timestamp"].as_str().unwrap();
        assert!(at.ends_with('Z') && at.as_bytes()[10] == b'T', "{line}");
        // As text they stand in the order of time.
        assert_eq!(at.len(), 27, "{line}");
        let is_of_the_day = line["message"] != "event" || at[..19] >= began[..19];
        assert!(is_of_the_day, "{line}");
    }
}

fn what_happened_is_there_once(lines: &[Value], happened: &[Happened]) {
    let requests: BTreeMap<&str, String> = lines
        .iter()
        .filter(|fields| fields["event"] == "request")
        .map(|fields| {
            let [id, method, route] = ["request_id", "method", "route"]
                .map(|name| fields[name].as_str().unwrap_or_else(|| panic!("{fields}")));
            (id, format!("{method} {route}"))
        })
        .collect();
    let mut users = BTreeSet::new();
    let mut told = Vec::new();
    for event in lines.iter().filter(|line| line["message"] == "event") {
        let name = event["event"].as_str().unwrap();
        let ip = event["ip"].as_str().unwrap();
        let expected = if name == "password_refused" {
            STRANGERS
        } else {
            HERS
        };
        assert_eq!(ip, expected, "{event}");
        users.insert(event["user"].as_str().unwrap());
        let request = &requests[event["request_id"].as_str().unwrap()];
        told.push((
            name,
            event["detail"].as_str().unwrap_or_default(),
            &**request,
        ));
    }
    assert_eq!(told, happened, "what the log tells, and what happened");
    assert_eq!(users.len(), 1, "all of it to one account");
    let known: BTreeSet<&str> = happened.iter().map(|(name, ..)| *name).collect();
    for name in names_of_events() {
        let is_known = known.contains(&*name) || OPERATORS.contains(&&*name);
        assert!(is_known, "nothing in this day is {name}");
    }
}

/// What only an operator does, who did nothing on this day; tests/users_command.rs and tests/bounces.rs have theirs.
const OPERATORS: [&str; 5] = [
    "sessions_ended",
    "sign_in_link_made",
    "locked",
    "unlocked",
    "mail_bounced",
];

/// Every name that an event can have.
fn names_of_events() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/accounts/events.rs");
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("pub fn name(self)").unwrap();
    let (names, _) = rest.split_once("\n    }\n").unwrap();
    let names: Vec<String> = names
        .split("=> \"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect();
    assert!(
        names.len() > 20,
        "the events were not understood: {names:?}"
    );
    names
}

fn who_was_turned_away_is_there(lines: &[Value]) {
    for (status, method, route) in [(429, "GET", "/sign-in/link"), (403, "POST", "/sign-in")] {
        let lines: Vec<&Value> = lines.iter().filter(|it| it["status"] == status).collect();
        assert_eq!(lines.len(), 1, "{status}: {lines:?}");
        assert_eq!(lines[0]["ip"], STRANGERS);
        assert_eq!(lines[0]["method"], method);
        // What is refused before its route is found has none.
        assert!(
            [route, "none", ""].contains(&lines[0]["route"].as_str().unwrap()),
            "{lines:?}"
        );
    }
    for (event, status) in [("csrf_refused", 403), ("limited", 429)] {
        let why: Vec<&Value> = of_event(lines, event).collect();
        let request = lines.iter().find(|it| it["status"] == status).unwrap();
        assert_eq!(why.len(), 1, "{event}");
        assert_eq!(why[0]["request_id"], request["request_id"]);
    }
    let limited = of_event(lines, "limited").next().unwrap();
    assert_eq!(limited["limit"], "token_per_network");
    assert_eq!(limited["ip"], STRANGERS);
    let dead: Vec<&Value> = of_event(lines, "link_dead").collect();
    assert_eq!(dead.len(), 5, "the last of them was one too many: {dead:?}");
    assert!(
        dead.iter()
            .all(|it| it["detail"] == "sign_in" && it["ip"] == STRANGERS)
    );
    let used = of_event(lines, "link_used").map(|it| it["detail"].as_str().unwrap());
    assert_eq!(
        used.collect::<Vec<_>>(),
        [
            "confirm_email",
            "sign_in",
            "change_email",
            "undo_change_email",
            "reset_password",
            "reset_password",
            "reset_password",
            "reset_password",
        ]
    );
}

fn what_became_of_the_mail_is_there(lines: &[Value], server: &ScriptedServer) {
    let count = |event: &str| {
        let mut mails = BTreeSet::new();
        for line in of_event(lines, event) {
            assert!(line["letter"].is_string(), "{line}");
            let mail = line["mail"].as_str().unwrap();
            assert!(mails.insert(mail), "{event} is there twice: {line}");
        }
        mails.len()
    };
    assert_eq!(count("mail_sent"), server.count_taken());
    assert_eq!(count("mail_refused"), 1);
    assert_eq!(count("mail_deferred"), 1);
}

fn of_event<'a>(lines: &'a [Value], event: &str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["event"] == event)
}

/// What programs go by: each line of ours has a name, the operator finds it in the docs, and nothing else is there.
#[test]
fn every_line_of_the_log_has_an_event_and_the_docs_know_it() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operate.md");
    let docs = fs::read_to_string(docs).unwrap();
    let logged = house_rules::logged();
    assert!(logged.len() > 40, "only {} lines were found", logged.len());
    let mut events: BTreeSet<String> = names_of_events().into_iter().collect();
    for (file, line) in logged {
        match line.split_once("event = \"") {
            Some((_, rest)) => {
                events.insert(rest.split_once('"').unwrap().0.to_owned());
            }
            // Handed on by whoever knows which.
            None => assert!(
                line.contains("event = event.name()") || line.contains("event, detail"),
                "{file}: no event: {line}"
            ),
        }
    }
    events.extend(["link_used", "link_dead"].map(str::to_owned));
    let (_, table) = docs.split_once("## Logs").unwrap();
    let table = table.split_once("\n## ").map_or(table, |(table, _)| table);
    let told: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter(|row| row.contains(" | "))
        .flat_map(|row| {
            let (names, _) = row.split_once(" | ").unwrap();
            names
                .split(['`', ',', ' '])
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(
        events, told,
        "what is logged, and what docs/operate.md says"
    );
}

/// An operator's command, and what has to be in its log: nothing, where it only looks. They are called one after the other.
const COMMANDS: &[(&str, &[&str])] = &[
    ("check", &[]),
    ("health", &[]),
    ("keys generate", &[]),
    ("keys adopt", &["key_adopted"]),
    ("keys rotate", &["signing_key_made"]),
    ("keys rotate --now", &["signing_keys_replaced"]),
    ("users invite bob@example.org", &["invited"]),
    (
        "users invite bob@example.org --withdraw",
        &["invitation_withdrawn"],
    ),
    ("users list", &[]),
    ("users show ada@example.org", &[]),
    ("users sign-in-link ada@example.org", &["sign_in_link_made"]),
    ("users end-sessions ada@example.org", &["sessions_ended"]),
    ("users end-hold ada@example.org", &["reset_hold_lifted"]),
    ("users lock ada@example.org", &["locked"]),
    ("users unlock ada@example.org", &["unlocked"]),
    ("mail list", &[]),
    ("mail show waits", &[]),
    ("mail retry waits", &["mail_retried"]),
    ("mail test bob@example.org", &[]),
    ("mail bounce --maildir late", &["mail_late"]),
    ("announce news.md --to all", &["announced"]),
    (
        "mail bounce --maildir returned",
        &["mail_bounced", "mail_returned"],
    ),
    ("purge", &["purged"]),
    ("backup copy", &["backed_up"]),
    (
        "users set-email ada@example.org carol@example.org --yes",
        &["email_changed"],
    ),
    ("users delete carol@example.org --yes", &["deleted"]),
    ("restore copy", &["restored"]),
    ("restore --loaded", &["restored"]),
];

/// LOG-03, LOG-04: a command that changes something says so in its log, and no address. One that is new is missed here.
#[tokio::test]
async fn whatever_an_operators_command_changes_is_in_its_log() {
    let desk = Desk::set_up();
    desk.logs("migrate", &["migration_applied"]);
    desk.fill();
    for (command, events) in COMMANDS {
        desk.logs(command, events);
    }
    let tried: Vec<&str> = COMMANDS.iter().map(|(command, _)| *command).collect();
    for name in commands().into_keys().filter(|name| name != "migrate") {
        let is_tried = tried.iter().any(|command| command.starts_with(&name));
        assert!(is_tried, "nobody calls {name} here");
    }
}

/// Where the operator sits: a folder with settings, a database, a mail server, and mail that has come back.
struct Desk {
    folder: TempDir,
    server: ScriptedServer,
    secret_key: String,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

impl Desk {
    fn set_up() -> Self {
        Self {
            folder: empty_folder(),
            server: ScriptedServer::start(),
            secret_key: secret_key(),
        }
    }

    /// An account that has something to be ended, mail to be tried, and something that is over.
    fn fill(&self) {
        let (now, never) = (Clock::System.now(), i64::MAX);
        self.database()
            .batch_execute(&format!(
                "INSERT INTO users (id, email, created_at, known_since, reset_hold_since)
                    VALUES ('u', 'ada@example.org', 0, 0, {now});
                 INSERT INTO outbox (id, letter, email, state, queued_at, useful_until, due_at, tries)
                    VALUES ('waits', 'sign_in', 'ada@example.org', 'queued', {now}, {never}, {never}, 1),
                           ('AUHOL6PUNrsCSdTWnNX-6g', 'sign_in', 'ada@example.org', 'sent', {now}, {never}, NULL, 1);
                 INSERT INTO limits (name, subject, count, ends_at) VALUES ('token_per_network', '', 1, 0)"
            ))
            .unwrap();
        let at = |name: &str| self.folder.path().join(name);
        fs::write(at("news.md"), "# News\n\nThere are some.\n").unwrap();
        for (maildir, report) in [
            ("late", "opensmtpd-delayed.eml"),
            ("returned", "postfix-no-such-user.eml"),
        ] {
            for part in ["new", "cur"] {
                fs::create_dir_all(at(maildir).join(part)).unwrap();
            }
            let report_file = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/bounces")
                .join(report);
            fs::copy(report_file, at(maildir).join("new").join(report)).unwrap();
        }
    }

    /// Calls a command, which logs these events, and changes something if there are any.
    #[track_caller]
    fn logs(&self, command: &str, events: &[&str]) {
        let before = self.everything();
        let smtp = self.server.url();
        let variables = [
            ANY_PORT,
            ("SECRET_KEY", self.secret_key.as_str()),
            ("SMTP_URL", smtp.as_str()),
            ("LOG_FORMAT", "json"),
        ];
        let arguments: Vec<&str> = command.split(' ').collect();
        let ended = run(self.folder.path(), &arguments, &variables);
        let said = String::from_utf8(ended.stderr).unwrap();
        let lines = said.lines().filter(|line| line.starts_with('{'));
        let log: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let told: BTreeSet<&str> = log
            .iter()
            .map(|line| line["event"].as_str().unwrap())
            .collect();
        let expected: BTreeSet<&str> = events.iter().copied().collect();
        assert_eq!(told, expected, "{command}: {said}");
        let has_changed = self.everything() != before;
        assert_eq!(has_changed, !events.is_empty(), "{command}: {said}");
        for address in ["ada@", "bob@", "carol@"] {
            let mut lines = log.iter().map(Value::to_string);
            assert!(
                lines.all(|line| !line.contains(address)),
                "{command}: {said}"
            );
        }
    }

    /// All rows of all tables, and the names of all other files.
    fn everything(&self) -> BTreeSet<String> {
        let files = everything_in(self.folder.path()).into_iter();
        let mut all: BTreeSet<String> = files
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with("data"))
            .collect();
        if !self.folder.path().join("data").exists() {
            return all;
        }
        let mut database = self.database();
        let mut asked = |query: &str| -> Vec<String> {
            let lines = diesel::sql_query(query)
                .load::<Line>(&mut database)
                .unwrap();
            lines.into_iter().map(|line| line.text).collect()
        };
        for table in asked("SELECT name AS text FROM sqlite_master WHERE type = 'table'") {
            let columns = "group_concat('quote(' || name || ')', '||'', ''||')";
            let columns = asked(&format!(
                "SELECT {columns} AS text FROM pragma_table_info('{table}')"
            ));
            all.extend(asked(&format!(
                "SELECT '{table}: ' || {} AS text FROM {table}",
                columns[0]
            )));
        }
        all
    }

    #[expect(clippy::disallowed_methods, reason = "a test looks into the file")]
    fn database(&self) -> SqliteConnection {
        let path = self.folder.path().join("data/doorpost.db");
        SqliteConnection::establish(path.to_str().unwrap()).unwrap()
    }
}

/// Neither whole nor in part, as it is or as a URL has it.
fn nobodys_address_is_there(log: &str) {
    for address in [ADA, NEW, BOB, CAROL] {
        let (local, _) = address.split_once('@').unwrap();
        for written in [local.to_owned(), address.replace('@', "%40")] {
            let line = log.lines().find(|line| line.contains(&written));
            assert_eq!(line, None, "{written}");
        }
    }
    // What a mail server said of somebody keeps the domain, by which the operator finds what is wrong.
    assert!(log.contains("*@example.org"), "{log}");
}
