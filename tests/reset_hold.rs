//! After a reset by mail: what the passkeys of an account guard waits, for whoever uses none of them.

use std::process::ExitCode;
use std::time::Duration;

use diesel::prelude::*;
use doorpost::accounts::users::{self, Named, Operator};
use doorpost::actions::make_sign_in_link::{self, Outcome};
use doorpost::operator::out::Out;
use doorpost::operator::users::{self as users_command, Command, Who};
use doorpost::schema;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    Authenticator, Database, House, Mail, PASSWORD, Page, Visitor, eventually, postgres,
    waiting_for_locks,
};

const ADA: &str = "ada@example.org";
const NEXT: &str = "countess@example.net";
/// What the reset sets.
const NEW: &str = "quite another horse altogether";

const SECOND: Duration = Duration::from_secs(1);
const GAP: Duration = Duration::from_secs(61);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOLD: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Where whoever has to wait is sent.
const PAGE: &str = "/account/reset-hold";

/// Somebody who reads her mailbox, and has nothing else of hers: they have a password set, and sign in with it.
async fn resets(house: &House) -> Visitor {
    sets_password(house, ADA).await;
    let thief = house.visitor();
    thief.enter(ADA, NEW).await.goes_on_to("/account");
    thief
}

async fn sets_password(house: &House, address: &str) {
    house.advance(GAP);
    let (asker, mail) = house.asked("/forgot-password", address).await;
    assert_eq!(mail.route(), "/reset-password");
    chooses(&asker, &mail, address)
        .await
        .goes_on_to("/sign-in/password");
}

async fn chooses(visitor: &Visitor, mail: &Mail, address: &str) -> Page {
    let fields = [
        ("token", mail.token()),
        ("email", address),
        ("password", NEW),
    ];
    visitor.post("/reset-password", &fields).await
}

/// A passkey has to be used for this form, which is found again after that.
#[track_caller]
fn waits(page: &Page, form: &str) {
    let form: String = url::form_urlencoded::byte_serialize(form.as_bytes()).collect();
    page.goes_on_to(&format!("{PAGE}?next={form}"));
}

async fn asks_for_address(visitor: &Visitor) -> Page {
    visitor.post("/account/email", &[("email", NEXT)]).await
}

async fn deletes(visitor: &Visitor) -> Page {
    visitor.post("/account/delete", &[("email", ADA)]).await
}

/// The page on which the one passkey of the account is removed.
async fn page_to_remove(house: &House) -> String {
    let id = house.app.read(|tx| {
        let ids = schema::passkeys::table.select(schema::passkeys::id);
        Ok(ids.first::<String>(tx.conn)?)
    });
    let id = id.await.unwrap();
    format!("/account/passkeys/{id}/remove")
}

async fn removes_passkey(visitor: &Visitor, page: &str) -> Page {
    visitor.post(page, &[("sure", "yes")]).await
}

async fn passkeys(house: &House) -> i64 {
    house.count("SELECT count(*) AS n FROM passkeys").await
}

async fn accounts_with(house: &House, address: &str) -> i64 {
    let counted = format!("SELECT count(*) AS n FROM users WHERE email = '{address}'");
    house.count(counted).await
}

async fn noted(house: &House, event: &str) -> i64 {
    let counted = format!(
        "SELECT CAST(coalesce(sum(count), 0) AS BIGINT) AS n FROM events WHERE name = '{event}'"
    );
    house.count(counted).await
}

/// Everything that is held waits in this session, and nothing of it is done.
async fn all_waits(house: &House, visitor: &Visitor) {
    waits(&asks_for_address(visitor).await, "/account/email");
    waits(&deletes(visitor).await, "/account/delete");
    let remove = page_to_remove(house).await;
    waits(&removes_passkey(visitor, &remove).await, &remove);
    let added = visitor
        .script("/account/passkeys/add/options", &json!({}))
        .await;
    assert_eq!(added.status, StatusCode::CONFLICT, "{}", added.body);
    let problem: Value = serde_json::from_str(&added.body).unwrap();
    assert_eq!(problem["type"], "urn:doorpost:problem:held");
    assert_eq!(problem["page"], PAGE);
    assert_eq!(passkeys(house).await, 1);
    assert_eq!(accounts_with(house, ADA).await, 1);
    let pending =
        "SELECT count(*) AS n FROM links WHERE purpose = 'change_email' AND used_at IS NULL";
    assert_eq!(house.count(pending).await, 0);
}

/// Nothing waits in this session: another passkey is offered, this one goes, an address is asked for, and then all of it is gone.
async fn nothing_waits(house: &House, visitor: &Visitor) {
    let offered = visitor
        .script("/account/passkeys/add/options", &json!({}))
        .await;
    assert_eq!(offered.status, StatusCode::OK, "{}", offered.body);
    let remove = page_to_remove(house).await;
    let removed = removes_passkey(visitor, &remove).await;
    removed.goes_on_to("/account/passkeys");
    assert_eq!(passkeys(house).await, 0);
    asks_for_address(visitor).await.goes_on_to("/account/email");
    deletes(visitor).await.goes_on_to("/");
    assert_eq!(accounts_with(house, ADA).await, 0);
}

async fn says(visitor: &Visitor, answer: &str) -> Page {
    visitor.post(PAGE, &[("answer", answer)]).await
}

on_both! {
    async fn what_the_passkeys_guard_waits_after_a_reset_by_mail(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        Authenticator::of(&house, ADA).await;
        let thief = resets(&house).await;
        all_waits(&house, &thief).await;
        // The password is theirs all the same: they may do what shuts nobody out.
        assert_eq!(thief.post("/account/export", &[]).await.status, StatusCode::OK);

        // It is told, on each page of the account and by mail, with the moment at which it ends.
        let until = "25 November 2026, 00:02 UTC";
        for path in ["/account", "/account/email", "/account/sessions", "/account/passkeys", PAGE] {
            let page = thief.get(path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            assert!(page.body.contains(until), "{path}: {}", page.body);
        }
        let told = house.news_to(ADA).await;
        let letter = told.iter().find(|news| news.subject.ends_with("was set by mail")).unwrap();
        for part in [&letter.text, &letter.html] {
            assert!(part.contains(until) && part.contains("passkey"), "{part}");
        }
        assert!(!told.iter().any(|news| news.subject.ends_with("was set")), "one letter, not two");
        assert_eq!(noted(&house, "reset_hold_begun").await, 1);
        let activity = thief.get("/account/activity").await;
        assert!(activity.body.contains("What the passkeys guard had to wait"));

        // It ends by itself, and not a second before.
        house.advance(HOLD - SECOND);
        thief.reauthenticate_with(NEW).await;
        all_waits(&house, &thief).await;
        house.advance(SECOND);
        assert!(!thief.get("/account").await.body.contains(PAGE));
        thief.get(PAGE).await.goes_on_to("/account");
        nothing_waits(&house, &thief).await;
    }

    async fn a_passkey_frees_the_session_in_which_it_is_used_and_no_other(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let mut passkey = Authenticator::of(&house, ADA).await;
        let (thief, ada) = (resets(&house).await, house.visitor());
        ada.enter(ADA, NEW).await.goes_on_to("/account");
        waits(&asks_for_address(&ada).await, "/account/email");
        let page = ada.follow(asks_for_address(&ada).await).await;
        assert!(page.body.contains("data-at=\"/reauthenticate/passkey\""), "{}", page.body);
        assert_eq!(page.hidden("next").as_deref(), Some("/account/email"));
        assert!(!page.body.contains("It was me"), "who used no passkey is not asked");
        passkey.opens_gate(&ada).await;
        let form = ada.get("/account/email").await;
        assert!(form.body.contains(NEXT), "what was typed is there: {}", form.body);
        assert!(form.body.contains("Was it you?"), "{}", form.body);
        asks_for_address(&ada).await.goes_on_to("/account/email");

        // Her change counts, wherever its link is opened; the thief waits as ever.
        waits(&asks_for_address(&thief).await, "/account/email");
        let link = house.mail_to(NEXT).await;
        let phone = house.visitor();
        phone.use_link(&link, NEXT).await.goes_on_to("/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(NEXT));
        assert_eq!(thief.signed_in_as().await, None, "a changed address ends other sessions");
    }

    async fn an_owner_who_says_it_was_they_waits_nowhere(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let mut passkey = Authenticator::of(&house, ADA).await;
        let (other, ada) = (resets(&house).await, house.visitor());
        ada.enter(ADA, NEW).await.goes_on_to("/account");
        for answer in ["mine", "not-mine"] {
            waits(&says(&other, answer).await, PAGE);
        }
        assert!(other.signed_in_as().await.is_some(), "without a passkey it is no answer");

        passkey.opens_gate(&ada).await;
        let asked = ada.get(&format!("{PAGE}?next=/account/delete")).await;
        assert!(asked.body.contains("It was me") && asked.body.contains("It was not me"), "{}", asked.body);
        assert_eq!(asked.hidden("next").as_deref(), Some("/account/delete"));
        says(&ada, "perhaps").await.says_mistake("It was me");
        let fields = [("answer", "mine"), ("next", "/account/delete")];
        ada.post(PAGE, &fields).await.goes_on_to("/account/delete");
        assert_eq!(noted(&house, "reset_hold_lifted").await, 1);
        for visitor in [&ada, &other] {
            assert!(!visitor.get("/account").await.body.contains(PAGE));
        }
        says(&ada, "not-mine").await.goes_on_to("/account");
        assert!(other.signed_in_as().await.is_some(), "the second answer is too late");
        nothing_waits(&house, &other).await;
    }

    async fn an_owner_who_says_it_was_not_they_is_rid_of_it(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let mut passkey = Authenticator::of(&house, ADA).await;
        let (thief, ada) = (resets(&house).await, house.visitor());
        house.advance(GAP);
        let (asker, link) = house.asked("/forgot-password", ADA).await;
        let next = passkey.signs_in(&ada).await;
        assert_eq!(next, "/account/reset-hold?next=%2Faccount", "she is asked first of all");
        assert!(ada.get(&next).await.body.contains("It was not me"));
        waits(&asks_for_address(&thief).await, "/account/email");
        let before = ada.with_copied_jar();
        let gone = says(&ada, "not-mine").await;
        gone.goes_on_to("/account");
        assert!(ada.follow(gone).await.body.contains("Change the password of your mailbox now."));
        assert!(ada.signed_in_as().await.is_some());
        for visitor in [&thief, &before] {
            assert_eq!(visitor.signed_in_as().await, None);
        }
        asker.use_link(&link, ADA).await.says_the_link_is_gone();
        let refused = house.visitor().enter(ADA, NEW).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "the password is gone");
        assert_eq!(noted(&house, "reset_disowned").await, 1);
        let told = house.news_to(ADA).await;
        assert!(told.iter().any(|news| news.subject.ends_with("was taken away")), "{told:?}");

        // The mailbox is still the thief's: they begin anew, and so does the hold.
        let thief = resets(&house).await;
        all_waits(&house, &thief).await;
    }

    async fn what_counts_is_each_password_that_a_mailed_link_sets(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        Authenticator::of(&house, ADA).await;
        assert!(!ada.get("/account").await.body.contains(PAGE));
        let thief = resets(&house).await;
        all_waits(&house, &thief).await; // the first password as well
        house.advance(HOLD - SECOND);
        let thief = resets(&house).await;
        house.advance(GAP);
        all_waits(&house, &thief).await; // and a later one begins it anew
        house.advance(HOLD - GAP);
        thief.reauthenticate_with(NEW).await;
        nothing_waits(&house, &thief).await;
    }

    async fn without_passkeys_or_where_it_is_off_nothing_waits(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let ada = resets(&house).await;
        Authenticator::of(&house, ADA).await; // one that came later guards nothing of before
        let told = house.news_to(ADA).await;
        assert!(told.iter().any(|news| news.subject.ends_with("was set")), "{told:?}");
        nothing_waits(&house, &ada).await;

        let house = House::with(db, &[("RESET_HOLD", "off")]).await;
        house.member_with_password(ADA).await;
        Authenticator::of(&house, ADA).await;
        let ada = resets(&house).await;
        assert!(!ada.get("/account").await.body.contains(PAGE));
        nothing_waits(&house, &ada).await;
        assert_eq!(noted(&house, "reset_hold_begun").await, 0);
    }

    async fn a_shorter_setting_counts_at_once(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        Authenticator::of(&house, ADA).await;
        let thief = resets(&house).await;
        house.advance(DAY);
        let house = house.restart(&[("RESET_HOLD", "25h")]).await;
        let thief = thief.at(&house);
        thief.reauthenticate_with(NEW).await;
        all_waits(&house, &thief).await;
        let house = house.restart(&[("RESET_HOLD", "1d")]).await;
        nothing_waits(&house, &thief.at(&house)).await;
    }

    /// No link of before survives a reset; were there one, the hold would stop it.
    async fn a_change_that_was_asked_for_before_does_not_happen(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        Authenticator::of(&house, ADA).await;
        for (mails, is_ended_by_reset) in [(1, true), (2, false)] {
            house.advance(GAP);
            ada.reauthenticate().await;
            asks_for_address(&ada).await.goes_on_to("/account/email");
            let link = house.mails_to(NEXT, mails).await.remove(0);
            house.advance(SECOND);
            match is_ended_by_reset {
                false => {
                    let since = format!("UPDATE users SET reset_hold_since = {}", house.clock.now());
                    house.execute(since).await;
                }
                true => sets_password(&house, ADA).await,
            }
            house.visitor().use_link(&link, NEXT).await.says_the_link_is_gone();
            assert_eq!(accounts_with(&house, ADA).await, 1);
            if is_ended_by_reset {
                house.execute("UPDATE users SET reset_hold_since = NULL").await;
                ada.enter(ADA, NEW).await.goes_on_to("/account");
                let changed = ada.post("/account/password", &[("password", PASSWORD)]).await;
                changed.goes_on_to("/account");
            }
        }
    }

    /// Somebody had her session for a moment, and added one: a reset by mail does not hold its end.
    async fn a_passkey_that_a_thief_has_just_added_goes_at_once(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let mut hers = Authenticator::of(&house, ADA).await;
        house.advance(HOLD + DAY);
        let mut thiefs = Authenticator::of(&house, ADA).await;
        let ada = resets(&house).await;
        waits(&asks_for_address(&ada).await, "/account/email");
        let thief = house.visitor();
        thiefs.signs_in(&thief).await;
        let asked = ada.get(PAGE).await;
        assert!(asked.body.contains("Did somebody else add a passkey?"), "{}", asked.body);
        says(&ada, "young-not-mine").await.goes_on_to("/account");
        assert_eq!(thief.signed_in_as().await, None, "who came in by it is out");
        let refused = thiefs.sign_at(&thief, "/passkeys/sign-in").await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "who said it goes on");
        let told = house.news_to(ADA).await;
        assert!(told.iter().any(|news| news.subject.ends_with("was removed")), "{told:?}");

        // What was there before is nobody's to remove so, and holds as ever.
        assert!(!ada.get(PAGE).await.body.contains("Did somebody else add a passkey?"));
        says(&ada, "young-not-mine").await.goes_on_to("/account");
        all_waits(&house, &ada).await;
        hers.signs_in(&house.visitor()).await;
    }

    /// An undo gives the old address back, and leaves a thief nothing to come in by.
    async fn an_undo_takes_away_what_a_thief_has_added(db: Database) {
        let house = House::new(db).await;
        let thief = house.owner(ADA).await;
        let mut thiefs = Authenticator::of(&house, ADA).await;
        asks_for_address(&thief).await.goes_on_to("/account/email");
        let link = house.mail_to(NEXT).await;
        thief.use_link(&link, NEXT).await.goes_on_to("/account");
        let mails = house.mails_to(ADA, 2).await;
        let undo = mails.into_iter().find(|mail| mail.route() == "/account/email/undo").unwrap();
        house.advance(DAY);
        let later = house.visitor();
        thiefs.signs_in(&later).await;
        house.visitor().use_link(&undo, ADA).await.goes_on_to("/sign-in/sent");
        assert_eq!(later.signed_in_as().await, None);
        let refused = thiefs.sign_at(&later, "/passkeys/sign-in").await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
        assert_eq!(noted(&house, "passkey_removed").await, 1);
    }

    /// The thief has the new mailbox, and resets there: the old one takes the address back all the same.
    async fn an_undo_is_not_held(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        Authenticator::of(&house, ADA).await;
        house.advance(HOLD + DAY);
        ada.reauthenticate().await;
        asks_for_address(&ada).await.goes_on_to("/account/email");
        let link = house.mail_to(NEXT).await;
        ada.use_link(&link, NEXT).await.goes_on_to("/account");
        let mails = house.mails_to(ADA, 2).await;
        let undo = mails.into_iter().find(|mail| mail.route() == "/account/email/undo").unwrap();
        sets_password(&house, NEXT).await;
        let thief = house.visitor();
        thief.enter(NEXT, NEW).await.goes_on_to("/account");
        let wanted = thief.post("/account/email", &[("email", "third@example.net")]).await;
        waits(&wanted, "/account/email");

        let owner = house.visitor();
        owner.use_link(&undo, ADA).await.goes_on_to("/sign-in/sent");
        assert_eq!(accounts_with(&house, ADA).await, 1);
        assert_eq!(thief.signed_in_as().await, None);
        // The password that its mail sets is set by mail.
        let mail = house.mails_to(ADA, 3).await.remove(0);
        assert_eq!(mail.route(), "/reset-password");
        chooses(&owner, &mail, ADA).await.goes_on_to("/sign-in/password");
        owner.enter(ADA, NEW).await.goes_on_to("/account");
        all_waits(&house, &owner).await;
    }

    async fn a_program_is_told_until_when_it_waits(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        Authenticator::of(&house, ADA).await;
        sets_password(&house, ADA).await;
        let tried = async |method: Method, path: &str, body: Value| {
            let program = house.visitor().refusing_cookies();
            let granted = program.send(asked_by(&program, Method::POST, "/api/v1/tokens", None, &json!({
                "grant_type": "password", "email": ADA, "password": NEW,
            }))).await;
            let tokens: Value = serde_json::from_str(&granted.body).unwrap();
            let access = tokens["access_token"].as_str().unwrap();
            program.send(asked_by(&program, method, path, Some(access), &body)).await
        };
        let another = json!({"email": NEXT});
        for (method, path, body) in [
            (Method::POST, "/api/v1/me/email", another.clone()), (Method::DELETE, "/api/v1/me", json!({})),
        ] {
            let page = tried(method, path, body).await;
            assert_eq!(page.status, StatusCode::CONFLICT, "{}", page.body);
            assert_eq!(page.header("retry-after"), Some("259200"), "{path}");
            let problem: Value = serde_json::from_str(&page.body).unwrap();
            assert_eq!(problem["type"], "urn:doorpost:problem:held");
            assert_eq!(problem["held_until"], "2026-11-25T00:02:02Z");
        }
        assert_eq!(accounts_with(&house, ADA).await, 1);
        house.advance(HOLD);
        let page = tried(Method::POST, "/api/v1/me/email", another).await;
        assert_eq!(page.status, StatusCode::ACCEPTED, "{}", page.body);
        let page = tried(Method::DELETE, "/api/v1/me", json!({})).await;
        assert_eq!(page.status, StatusCode::NO_CONTENT, "{}", page.body);
    }

    async fn the_operator_sees_it_and_ends_it(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        Authenticator::of(&house, ADA).await;
        let ada = resets(&house).await;
        for dry_run in [true, false] {
            all_waits(&house, &ada).await;
            let who = Who { who: Named::parse(ADA).unwrap() };
            let command = Command::EndHold { who, dry_run };
            let ended = users_command::run(command, house.app.clone(), &Out::default()).await;
            assert_eq!(ended.unwrap(), ExitCode::SUCCESS);
        }
        let activity = ada.get("/account/activity").await;
        assert!(activity.body.contains("Nothing had to wait any more"), "{}", activity.body);
        nothing_waits(&house, &ada).await;
    }

    /// The table of docs/security.md, cell by cell.
    async fn what_a_session_may_do_depends_on_how_it_came_in(db: Database) {
        let mut seen = Vec::new();
        for way in WAYS {
            let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
            house.member_with_password(ADA).await;
            let mut passkey = Authenticator::of(&house, ADA).await;
            sets_password(&house, ADA).await;
            house.advance(GAP);
            let may = come_in(&house, &mut passkey, way).await.may().await;
            let [look, sensitive, held] = may.map(|may| if may { "yes" } else { "no" });
            seen.push(format!("| {way} | {look} | {sensitive} | {held} |"));
        }
        let page = include_str!("../docs/security.md");
        let (_, table) = page.split_once("| came in by | look | sensitive | held |\n|---|---|---|---|\n").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        assert_eq!(seen, table.lines().collect::<Vec<_>>());
    }
}

/// The ways in, as the table of docs/security.md calls them.
const WAYS: [&str; 10] = [
    "a sign-in link",
    "a code",
    "a link in ordinary mail",
    "a link that the operator printed",
    "the password",
    "a link, then the password at the gate",
    "a passkey",
    "a link, then a passkey at the gate",
    "a program, by a code",
    "a program, by the password",
];

/// Somebody who came in.
enum CameIn {
    Browser(Visitor),
    Program { http: Visitor, access: String },
}

async fn come_in(house: &House, passkey: &mut Authenticator, way: &str) -> CameIn {
    let by_link = async || {
        let (visitor, mail) = house.asked("/sign-in", ADA).await;
        visitor.click(&mail.link).await.goes_on_to("/account");
        visitor
    };
    let grant = async |body: Value| {
        let http = house.visitor().refusing_cookies();
        let request = asked_by(&http, Method::POST, "/api/v1/tokens", None, &body);
        let granted = http.send(request).await;
        let tokens: Value = serde_json::from_str(&granted.body).unwrap();
        let access = tokens["access_token"].as_str().unwrap().to_owned();
        CameIn::Program { http, access }
    };
    CameIn::Browser(match way {
        "a sign-in link" => by_link().await,
        "a code" => {
            let (visitor, mail) = house.asked("/sign-in", ADA).await;
            visitor.type_code(mail.code()).await.goes_on_to("/account");
            visitor
        }
        "a link in ordinary mail" => {
            let visitor = by_link().await;
            visitor.post("/sign-out", &[]).await.goes_on_to("/");
            let links = house.app.signed_links.clone();
            let link = house.app.read(move |tx| {
                let ada = users::of_address(tx, ADA)?.unwrap();
                Ok(links.to_page(tx, &ada, "/account"))
            });
            let link = link.await.unwrap();
            visitor.click(&link).await.goes_on_to("/account");
            visitor
        }
        "a link that the operator printed" => {
            let app = house.app.clone();
            let made = house.app.transaction(move |tx| {
                let (operator, who) = (Operator::at_the_command_line(), Named::parse(ADA).unwrap());
                make_sign_in_link::make(tx, &app, operator, &who)
            });
            let Outcome::Made(made) = made.await.unwrap() else {
                panic!("no link was made");
            };
            let (_, token) = made.path.split_once("token=").unwrap();
            let visitor = house.visitor();
            let fields = [("token", token), ("email", ADA)];
            visitor
                .post("/sign-in/link", &fields)
                .await
                .goes_on_to("/account");
            visitor
        }
        "the password" => {
            let visitor = house.visitor();
            visitor.enter(ADA, NEW).await.goes_on_to("/account");
            visitor
        }
        "a link, then the password at the gate" => {
            let visitor = by_link().await;
            visitor.reauthenticate_with(NEW).await;
            visitor
        }
        "a passkey" => {
            let visitor = house.visitor();
            passkey.signs_in(&visitor).await;
            visitor
        }
        "a link, then a passkey at the gate" => {
            let visitor = by_link().await;
            passkey.opens_gate(&visitor).await;
            visitor
        }
        "a program, by a code" => {
            let http = house.visitor().refusing_cookies();
            let asked = json!({"email": ADA});
            let request = asked_by(&http, Method::POST, "/api/v1/sign-in-codes", None, &asked);
            let answer: Value = serde_json::from_str(&http.send(request).await.body).unwrap();
            let mails = house.all_mail_to(ADA).await;
            return grant(json!({
                "grant_type": "email_code", "sign_in_id": answer["sign_in_id"], "code": mails[0].code(),
            }))
            .await;
        }
        "a program, by the password" => {
            return grant(json!({"grant_type": "password", "email": ADA, "password": NEW})).await;
        }
        unknown => panic!("no way in is called {unknown:?}"),
    })
}

impl CameIn {
    /// Whether they may look, do what is sensitive, and do what is held.
    async fn may(&self) -> [bool; 3] {
        match self {
            Self::Browser(visitor) => {
                let looks = visitor.get("/account").await;
                let sensitive = visitor.get("/account/password").await;
                let held = asks_for_address(visitor).await;
                match held.location() {
                    "/account/email" => assert!(sensitive.status == StatusCode::OK),
                    location if sensitive.status == StatusCode::OK => {
                        assert!(location.starts_with(PAGE), "{location}");
                    }
                    _ => held.is_sent_to_the_gate("/account/email"),
                }
                [
                    looks.status == StatusCode::OK,
                    sensitive.status == StatusCode::OK,
                    held.location() == "/account/email",
                ]
            }
            Self::Program { http, access } => {
                let ask = async |method, path, body: Value| {
                    http.send(asked_by(http, method, path, Some(access), &body))
                        .await
                        .status
                };
                // Who may not set a password is not told that this is none.
                let bad = json!({"password": "short"});
                let another = json!({"email": NEXT});
                [
                    ask(Method::GET, "/api/v1/me", json!({})).await == StatusCode::OK,
                    ask(Method::POST, "/api/v1/me/password", bad).await
                        == StatusCode::UNPROCESSABLE_ENTITY,
                    ask(Method::POST, "/api/v1/me/email", another).await == StatusCode::ACCEPTED,
                ]
            }
        }
    }
}

/// What a program asks for, with its token if it has one.
fn asked_by(
    program: &Visitor,
    method: Method,
    path: &str,
    access: Option<&str>,
    body: &Value,
) -> reqwest::RequestBuilder {
    let mut request = program.request(method.clone(), path);
    if let Some(access) = access {
        request = request.header("authorization", format!("Bearer {access}"));
    }
    match method {
        Method::POST => request
            .header("content-type", "application/json")
            .body(body.to_string()),
        _ => request,
    }
}

/// Both wait for the account: a removal ends the link of the reset, and a reset the session of the removal.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_removal_and_a_reset_at_once_one_is_done() {
    for removal_first in [true, false] {
        let house = House::new(Database::Postgres).await;
        let ada = house.owner(ADA).await;
        Authenticator::of(&house, ADA).await;
        let remove = page_to_remove(&house).await;
        let (asker, mail) = house.asked("/forgot-password", ADA).await;
        let mut holder = postgres(house.database_url()).await;
        let watcher = postgres(house.database_url()).await;
        let lock = holder.transaction().await.unwrap();
        lock.execute("SELECT 1 FROM users FOR UPDATE", &[])
            .await
            .unwrap();
        let waiting = async |expected: i64| {
            eventually("they wait for the account", async || {
                waiting_for_locks(&watcher).await == expected
            })
            .await;
        };
        let removal = async move { removes_passkey(&ada, &remove).await };
        let reset = async move { chooses(&asker, &mail, ADA).await };
        let (removal, reset) = match removal_first {
            true => {
                let removal = tokio::spawn(removal);
                waiting(1).await;
                (removal, tokio::spawn(reset))
            }
            false => {
                let reset = tokio::spawn(reset);
                waiting(1).await;
                (tokio::spawn(removal), reset)
            }
        };
        waiting(2).await;
        lock.rollback().await.unwrap();
        let (removal, reset) = (removal.await.unwrap(), reset.await.unwrap());
        let held = "SELECT count(*) AS n FROM users WHERE reset_hold_since IS NOT NULL";
        let removed = removal_first;
        match removed {
            // It ends every link, the one of the reset as well.
            true => {
                removal.goes_on_to("/account/passkeys");
                reset.says_the_link_is_gone();
            }
            // It ends every session.
            false => {
                reset.goes_on_to("/sign-in/password");
                assert!(
                    removal.location().starts_with("/reauthenticate"),
                    "{}",
                    removal.location()
                );
            }
        }
        assert_eq!(house.count(held).await, i64::from(!removed));
        assert_eq!(passkeys(&house).await, i64::from(!removed));
    }
}
