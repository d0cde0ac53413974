//! The pages about passkeys: the list, a name, an end; the first one, by the link that would set a password or right
//! after the address was confirmed; and to whom one is offered. The ceremonies are tried in tests/passkeys.rs.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    Authenticator, Browser, Database, House, Mail, PASSWORD, Page, Scripts, Signed, Visitor,
    at_once, eventually,
};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const LIST: &str = "/account/passkeys";
const ADD: &str = "/account/passkeys/add";
const BY_LINK: &str = "/reset-password/passkey";

/// What a script is answered.
async fn asks(visitor: &Visitor, path: &str, body: Value) -> Page {
    visitor.script(path, &body).await
}

/// The options of a ceremony for this body.
async fn options(visitor: &Visitor, ceremony: &str, body: Value) -> Value {
    let asked = asks(visitor, &format!("{ceremony}/options"), body).await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
    asked.json()
}

async fn add(owner: &Visitor, house: &House) -> Authenticator {
    let mut authenticator = Authenticator::at(house);
    let added = authenticator.make_at(owner, ADD).await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.body);
    authenticator
}

/// Makes the first passkey by this link; what the second step is answered.
async fn make_by_link(visitor: &Visitor, house: &House, link: Value) -> (Page, Authenticator) {
    let mut authenticator = Authenticator::at(house);
    let made = authenticator.make(&options(visitor, BY_LINK, link.clone()).await);
    let mut body = link;
    body["credential"] = made;
    (asks(visitor, BY_LINK, body).await, authenticator)
}

async fn sign_in(visitor: &Visitor, authenticator: &mut Authenticator) -> Page {
    authenticator.sign_at(visitor, "/passkeys/sign-in").await
}

fn problem(page: &Page) -> String {
    let kind = page.json()["type"].as_str().unwrap().to_owned();
    let name = kind.strip_prefix("urn:doorpost:problem:");
    name.unwrap().to_owned()
}

/// The ids of the passkeys on the list, in its order.
async fn listed(owner: &Visitor) -> Vec<String> {
    let list = owner.get(LIST).await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.body);
    let ids = list.body.split("href=\"/account/passkeys/").skip(1);
    let ids = ids.filter_map(|rest| rest.split_once("/rename\"").map(|(id, _)| id));
    ids.filter(|id| id.len() < 40).map(str::to_owned).collect()
}

async fn passkeys(house: &House) -> i64 {
    house.count("SELECT count(*) AS n FROM passkeys").await
}

async fn subjects(house: &House, address: &str) -> Vec<String> {
    let news = house.news_to(address).await.into_iter();
    news.map(|mail| mail.subject).collect()
}

/// Comes in by a link to this address in this browser.
async fn by_link(visitor: &Visitor, house: &House, fields: &[(&str, &str)]) -> Page {
    let before = house.all_mail_to(ADA).await.len();
    visitor.post("/sign-in", fields).await.sees_inbox_page();
    let mail = house.mails_to(ADA, before + 1).await.remove(0);
    visitor.click(&mail.link).await.goes_on_to("/account");
    visitor.get("/account").await
}

fn is_offered(page: &Page) -> bool {
    page.body.contains("data-offer-passkey")
}

on_both! {
    async fn the_list_says_what_there_is(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        assert!(ada.get("/account").await.body.contains("<dt>Passkeys</dt><dd>None</dd>"));
        assert!(ada.get(LIST).await.body.contains("You have none yet."));
        let mut phone = add(&ada, &house).await;
        house.advance(MINUTE);
        sign_in(&house.visitor(), &mut phone).await;
        let list = ada.get(LIST).await;
        for words in [
            "<bdi>an unknown browser</bdi>",
            "<dt>Added</dt><dd>22 November 2026, 00:01 UTC</dd>",
            "<dt>Last used</dt><dd>22 November 2026, 00:02 UTC</dd>",
            "<dt>Where it is</dt><dd>On one device only</dd>",
        ] {
            assert!(list.body.contains(words), "{words}: {}", list.body);
        }
        assert!(ada.get("/account").await.body.contains("<dt>Passkeys</dt><dd>1 passkey</dd>"));
        // What the browser may tell whatever keeps them.
        let accepted = list.between("data-accepted-passkeys=\"", "\"").unwrap();
        let accepted: Value = serde_json::from_str(&crate::forms::unescape(&accepted)).unwrap();
        assert_eq!(accepted["rpId"], "localhost");
        assert_eq!(accepted["name"], ADA);
        assert_eq!(accepted["allAcceptedCredentialIds"].as_array().unwrap().len(), 1);
    }

    async fn a_new_one_is_called_by_what_keeps_it_or_where_it_was_made(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        for (aaguid, agent, name) in [
            ("ea9b8d664d011d213ce4b6b48cb575d4", firefox, "Google Password Manager"),
            ("00000000000000000000000000000000", firefox, "Firefox on Linux"),
        ] {
            let browser = ada.calling_itself(agent);
            let mut authenticator = Authenticator::at(&house);
            authenticator.aaguid = u128::from_str_radix(aaguid, 16).unwrap().to_be_bytes();
            let asked = options(&browser, ADD, json!({})).await;
            let made = authenticator.make_bent(&asked, |it| it.flags |= Signed::BACKUP_ELIGIBLE);
            let added = asks(&browser, ADD, json!({ "credential": made })).await;
            assert_eq!(added.status, StatusCode::OK, "{}", added.body);
            let list = ada.get(LIST).await.body;
            assert!(list.contains(&format!("<bdi>{name}</bdi>")), "{name}: {list}");
            assert!(list.contains("On one device, and may be synced to others"), "{list}");
        }
    }

    async fn one_is_renamed(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        add(&ada, &house).await;
        let id = listed(&ada).await.remove(0);
        let page = format!("{LIST}/{id}/rename");
        let form = ada.get(&page).await;
        assert!(form.body.contains("name=\"name\" type=\"text\" value=\"an unknown browser\""));
        for (name, mistake) in [
            ("", "Type a name by which you will know it."),
            (" \u{200b} ", "Type a name by which you will know it."),
            ("My\u{202e}phone", "There is an invisible mark of the writing direction (U+202E) in this name."),
            ("My\nphone", "There is a line break (U+000A) in this name."),
            ("My\0phone", "There is a control character (U+0000) in this name."),
        ] {
            ada.post(&page, &[("name", name)]).await.says_mistake(mistake);
        }
        let long = "ä".repeat(65);
        let again = ada.post(&page, &[("name", &long)]).await;
        again.says_mistake("This is too long. Type at most 64 characters.");
        assert!(again.body.contains(&long), "what was typed is there still");
        let name = "<b>My</b> \"phone\" 📱";
        ada.post(&page, &[("name", name)]).await.goes_on_to(LIST);
        let list = ada.get(LIST).await;
        assert!(list.body.contains("The passkey has another name."));
        assert!(list.body.contains("<bdi>&#60;b&#62;My&#60;/b&#62; &#34;phone&#34; 📱</bdi>"), "{}", list.body);
        assert!(ada.get("/account/activity").await.body.contains("A passkey was given another name"));
        assert!(!subjects(&house, ADA).await.iter().any(|it| it.contains("renamed")), "is no news");
    }

    /// As with another password: whoever may have its device is out as well.
    async fn one_is_removed_with_every_other_session_and_link(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let mut lost = add(&ada, &house).await;
        house.advance(MINUTE);
        add(&ada, &house).await;
        let finder = house.visitor();
        sign_in(&finder, &mut lost).await;
        assert!(finder.signed_in_as().await.is_some());
        let (_, link) = house.asked("/sign-in", ADA).await;
        let [first, second] = listed(&ada).await.try_into().unwrap();
        let page = format!("{LIST}/{first}/remove");
        assert!(!ada.get(&page).await.body.contains("your last one"));
        let before = ada.cookie("doorpost");

        ada.post(&page, &[("sure", "yes")]).await.goes_on_to(LIST);
        assert_ne!(ada.cookie("doorpost"), before, "under a new token");
        let list = ada.get(LIST).await.body;
        assert!(list.contains("The passkey is removed. All other sessions are ended, and so are all links."));
        assert_eq!(listed(&ada).await, [second.as_str()]);
        assert_eq!(finder.signed_in_as().await, None);
        house.visitor().use_link(&link, ADA).await.says_the_link_is_gone();
        let refused = sign_in(&house.visitor(), &mut lost).await;
        assert_eq!(problem(&refused), "unknown_passkey");
        assert!(ada.get("/account/activity").await.body.contains("A passkey was removed"));
        let told = subjects(&house, ADA).await;
        assert!(told.contains(&"A passkey for localhost was removed".to_owned()), "{told:?}");

        let page = format!("{LIST}/{second}/remove");
        assert!(ada.get(&page).await.body.contains("your last one"));
        ada.post(&page, &[("sure", "yes")]).await.goes_on_to(LIST);
        ada.post(&page, &[("sure", "yes")]).await;
        assert_eq!(passkeys(&house).await, 0);
        assert!(ada.get(LIST).await.body.contains("You have none yet."));
    }

    /// AZ-01: whatever is not one's own is not there.
    async fn nobody_names_anybody_elses(db: Database) {
        let house = House::new(db).await;
        let (ada, bob) = (house.owner(ADA).await, house.owner(BOB).await);
        add(&ada, &house).await;
        let id = listed(&ada).await.remove(0);
        for id in [id.as_str(), "nobodys", "%00", "ZZZZZZZZZZZZZZZZZZZZZg"] {
            for (verb, fields) in [("rename", [("name", "Not yours")]), ("remove", [("sure", "yes")])] {
                let path = format!("{LIST}/{id}/{verb}");
                assert_eq!(bob.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
                let posted = bob.post(&path, &fields).await;
                assert_eq!(posted.status, StatusCode::NOT_FOUND, "{path}");
            }
        }
        assert_eq!(listed(&ada).await, [id.as_str()]);
        assert!(!ada.get(LIST).await.body.contains("Not yours"));
    }

    /// Promise 7
    async fn a_session_from_a_link_neither_sees_nor_changes_them(db: Database) {
        let house = House::new(db).await;
        let owner = house.owner(ADA).await;
        add(&owner, &house).await;
        let id = listed(&owner).await.remove(0);
        let ada = house.visitor();
        by_link(&ada, &house, &[("email", ADA)]).await;
        let (rename, remove) = (format!("{LIST}/{id}/rename"), format!("{LIST}/{id}/remove"));
        for path in [LIST, &rename, &remove] {
            ada.get(path).await.is_sent_to_the_gate(path);
        }
        ada.post(&remove, &[("sure", "yes")]).await.is_sent_to_the_gate(&remove);
        for step in [ADD, "/account/passkeys/add/options"] {
            let refused = asks(&ada, step, json!({ "credential": {} })).await;
            assert!([400, 401].contains(&refused.status.as_u16()), "{step}: {}", refused.body);
        }
        // What was typed is there again.
        ada.post(&rename, &[("name", "My telephone")]).await.is_sent_to_the_gate(&rename);
        ada.reauthenticate().await;
        assert!(ada.get(&rename).await.body.contains("value=\"My telephone\""));
        assert_eq!(passkeys(&house).await, 1);
    }
}

/// What the form of a link's page sends.
fn form_of(mail: &Mail, address: Option<&str>) -> Value {
    json!({ "token": mail.token(), "email": address.unwrap_or_default() })
}

on_both! {
    /// It stands for the password that was never set: nothing of before survives, and nobody is signed in.
    async fn the_link_that_sets_a_password_makes_the_first_passkey_instead(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        house.advance(10 * MINUTE);
        let (_, sign_in_link) = house.asked("/sign-in", ADA).await;
        house.advance(2 * MINUTE);
        let (asker, mail) = house.asked("/forgot-password", ADA).await;
        let page = asker.open(&mail.link).await;
        assert!(page.body.contains("data-at=\"/reset-password/passkey\""), "{}", page.body);
        for _ in 0..3 {
            options(&asker, BY_LINK, form_of(&mail, None)).await;
        }
        assert_eq!(asker.get("/reset-password").await.status, StatusCode::OK, "to ask uses nothing up");

        let (made, mut passkey) = make_by_link(&asker, &house, form_of(&mail, None)).await;
        assert_eq!(made.json(), json!({ "next": "/sign-in" }));
        assert!(asker.get("/sign-in").await.body.contains("Your passkey is made. Sign in with it."));
        for visitor in [&ada, &asker] {
            assert_eq!(visitor.signed_in_as().await, None);
        }
        house.visitor().use_link(&sign_in_link, ADA).await.says_the_link_is_gone();
        let (fields, again) = ([("token", mail.token()), ("email", ADA), ("password", PASSWORD)], house.visitor());
        again.post("/reset-password", &fields).await.says_the_link_is_gone();

        let here = house.visitor();
        sign_in(&here, &mut passkey).await;
        let activity = here.get("/account/activity").await.body;
        assert!(activity.contains("The first passkey was made with a link from a message"), "{activity}");
        let told = subjects(&house, ADA).await;
        assert!(told.contains(&"Your first passkey for localhost was made".to_owned()), "{told:?}");
    }

    /// TOK-22
    async fn elsewhere_the_link_wants_its_address_for_a_passkey_too(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        let (_, mail) = house.asked("/forgot-password", ADA).await;
        let elsewhere = house.visitor();
        let page = elsewhere.open(&mail.link).await;
        assert!(page.body.contains("data-at=\"/reset-password/passkey\""), "it tells nothing of the account");
        let path = format!("{BY_LINK}/options");
        for (address, detail) in [
            ("", "Type the whole address the link was sent to"),
            ("eve@example.org", "The link was not sent to this address."),
            ("eve@example.org", "The link was not sent to this address."),
        ] {
            let refused = asks(&elsewhere, &path, form_of(&mail, Some(address))).await;
            assert_eq!(problem(&refused), "mistake", "{}", refused.body);
            assert!(refused.body.contains(detail) && !refused.body.contains(ADA), "{}", refused.body);
        }
        options(&elsewhere, BY_LINK, form_of(&mail, Some(ADA))).await;
        let ended = asks(&elsewhere, &path, form_of(&mail, Some("eve@example.org"))).await;
        assert_eq!(problem(&ended), "link_gone", "the third one ends it");
        let gone = asks(&elsewhere, &path, form_of(&mail, Some(ADA))).await;
        assert_eq!(problem(&gone), "link_gone");
        assert_eq!(passkeys(&house).await, 0);
    }

    /// A thief of the mailbox must not add one that outlives the reset.
    async fn an_account_that_has_something_to_enter_gets_no_passkey_by_a_link(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let bob = house.owner(BOB).await;
        add(&bob, &house).await;
        house.execute("UPDATE users SET password_hash = NULL WHERE email = 'bob@example.org'").await;
        for address in [ADA, BOB] {
            let (asker, mail) = house.asked("/forgot-password", address).await;
            assert!(!asker.open(&mail.link).await.body.contains("data-passkey"), "{address}");
            let refused = asks(&asker, &format!("{BY_LINK}/options"), form_of(&mail, None)).await;
            assert_eq!(problem(&refused), "not_the_first", "{}", refused.body);
            // With a challenge of before.
            let (fresh, first) = house.asked("/register", "new@example.org").await;
            fresh.confirm(&first.link).await;
            let asked = options(&fresh, ADD, json!({})).await;
            let mut body = form_of(&mail, None);
            body["credential"] = Authenticator::at(&house).make(&asked);
            assert_eq!(problem(&asks(&asker, BY_LINK, body).await), "passkey_refused");
            let fields = [("token", mail.token()), ("password", PASSWORD)];
            asker.post("/reset-password", &fields).await.goes_on_to("/sign-in/password");
            house.execute("DELETE FROM users WHERE email = 'new@example.org'").await;
            house.advance(2 * MINUTE);
        }
    }

    /// TOK-02: one link, one passkey.
    async fn of_many_at_once_one_makes_the_first(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        house.member(ADA).await;
        let (asker, mail) = house.asked("/forgot-password", ADA).await;
        let asked = options(&asker, BY_LINK, form_of(&mail, None)).await;
        let tries = (0..12).map(|_| {
            let (asker, mut body) = (asker.with_copied_jar(), form_of(&mail, None));
            body["credential"] = Authenticator::at(&house).make(&asked);
            async move { asks(&asker, BY_LINK, body).await }
        });
        let answers = at_once(tries).await;
        let taken = answers.iter().filter(|page| page.status == StatusCode::OK);
        assert_eq!((taken.count(), passkeys(&house).await), (1, 1));
    }

    async fn right_after_the_address_was_confirmed_the_first_one_needs_no_gate(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", ADA).await;
        ada.confirm(&mail.link).await;
        house.advance(9 * MINUTE);
        assert_eq!(ada.get(LIST).await.status, StatusCode::OK);
        ada.get("/account/password").await.is_sent_to_the_gate("/account/password");
        add(&ada, &house).await;
        // A second one is the owner's business.
        ada.get(LIST).await.is_sent_to_the_gate(LIST);
        let refused = asks(&ada, "/account/passkeys/add/options", json!({})).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.body);
        assert_eq!(passkeys(&house).await, 1);
    }

    /// Every other session asks at the gate, and so does this one later.
    async fn nobody_else_adds_the_first_without_the_gate(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", ADA).await;
        ada.confirm(&mail.link).await;
        let asked = options(&ada, ADD, json!({})).await;
        house.advance(2 * MINUTE);
        let thief = house.visitor();
        by_link(&thief, &house, &[("email", ADA)]).await;
        thief.get(LIST).await.is_sent_to_the_gate(LIST);
        house.advance(8 * MINUTE);
        ada.get(LIST).await.is_sent_to_the_gate(LIST);
        let made = Authenticator::at(&house).make(&asked);
        let late = asks(&ada, ADD, json!({ "credential": made })).await;
        assert_eq!(late.status, StatusCode::UNAUTHORIZED, "{}", late.body);
        // Who chose a password enters it.
        let bob = house.member_with_password(BOB).await;
        bob.get(LIST).await.is_sent_to_the_gate(LIST);
        assert_eq!(passkeys(&house).await, 0);
    }
}

on_both! {
    async fn one_is_offered_on_the_page_after_a_link_and_nowhere_else(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let ada = house.visitor();
        let page = by_link(&ada, &house, &[("email", ADA)]).await;
        assert!(is_offered(&page), "{}", page.body);
        let shown = page.body.contains("data-offer-passkey>");
        assert!(shown, "without a script nothing is shown: {}", page.body);
        assert!(!is_offered(&ada.get("/account/sessions").await));
        house.advance(MINUTE);
        assert!(!is_offered(&ada.get("/account").await), "once is enough");

        let shared = house.visitor();
        let page = by_link(&shared, &house, &[("email", ADA), ("shared", "yes")]).await;
        assert!(!is_offered(&page), "never on a shared computer");
        let other = house.visitor();
        other.enter(ADA, PASSWORD).await.goes_on_to("/account");
        assert!(!is_offered(&other.get("/account").await), "not after a password");
    }

    async fn not_now_is_for_a_month_in_this_browser_and_of_this_account(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        let ada = house.visitor();
        by_link(&ada, &house, &[("email", ADA)]).await;
        let said = ada.post("/account/passkeys/not-now", &[("sure", "yes")]).await;
        said.goes_on_to("/account");
        let cookies = said.set_cookies();
        let cookie = cookies.iter().find(|it| it.starts_with("doorpost_not_now=")).unwrap();
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
            assert!(cookie.split("; ").any(|it| it == attribute), "{attribute}: {cookie}");
        }
        let page = ada.get("/account").await;
        assert!(page.body.contains("You are not asked about a passkey in this browser for a month."));
        assert!(!is_offered(&page));
        for (later, is_asked) in [(29 * DAY, false), (2 * DAY, true)] {
            house.advance(later);
            let page = by_link(&ada, &house, &[("email", ADA)]).await;
            assert_eq!(is_offered(&page), is_asked, "{later:?}");
        }
        house.advance(2 * MINUTE);
        ada.post("/account/passkeys/not-now", &[("sure", "yes")]).await.goes_on_to("/account");
        assert!(is_offered(&by_link(&house.visitor(), &house, &[("email", ADA)]).await), "elsewhere");
    }

    async fn who_has_one_that_may_work_here_is_offered_none(db: Database) {
        let house = House::new(db).await;
        let owner = house.owner(ADA).await;
        add(&owner, &house).await;
        for (transports, eligible, is_asked) in [
            ("internal", "FALSE", true),
            ("internal hybrid", "FALSE", false),
            ("usb nfc", "FALSE", false),
            ("internal", "TRUE", false),
        ] {
            let set = format!("UPDATE passkeys SET transports = '{transports}', backup_eligible = {eligible}");
            house.execute(set).await;
            house.advance(2 * MINUTE);
            let page = by_link(&house.visitor(), &house, &[("email", ADA)]).await;
            assert_eq!(is_offered(&page), is_asked, "{transports} {eligible}");
        }
    }

    /// "Conditional creation": the browser vouches for nobody, and what it made is used as any other.
    async fn after_a_password_a_browser_may_make_one_by_itself(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let ada = house.visitor();
        ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
        assert!(ada.get("/account").await.body.contains("data-passkey-by-itself"));
        let nobody = |it: &mut Signed| it.flags &= !(Signed::USER_PRESENT | Signed::USER_VERIFIED);
        let mut passkey = Authenticator::at(&house);

        // Only for a challenge that asks for it.
        let asked = options(&ada, ADD, json!({})).await;
        assert_eq!(asked["authenticatorSelection"]["userVerification"], "required");
        let made = passkey.make_bent(&asked, nobody);
        for by_itself in [false, true] {
            let body = json!({ "credential": made, "by_itself": by_itself });
            assert_eq!(problem(&asks(&ada, ADD, body).await), "passkey_refused", "{by_itself}");
        }
        let asked = options(&ada, ADD, json!({ "by_itself": true })).await;
        assert_eq!(asked["authenticatorSelection"]["userVerification"], "preferred");
        let body = json!({ "credential": passkey.make_bent(&asked, nobody), "by_itself": true });
        let added = asks(&ada, ADD, body).await;
        assert_eq!(added.status, StatusCode::OK, "{}", added.body);
        assert_eq!(added.set_cookies(), [""; 0], "without a word");
        let told = subjects(&house, ADA).await;
        assert!(told.contains(&"A passkey for localhost was added".to_owned()), "{told:?}");
        assert!(!ada.get("/account").await.body.contains("data-passkey-by-itself"), "there is one");

        // To sign in its owner is made sure of.
        let here = house.visitor();
        let asked = options(&here, "/passkeys/sign-in", json!({})).await;
        let unsure = passkey.sign_bent(&asked, nobody);
        let refused = asks(&here, "/passkeys/sign-in", json!({ "credential": unsure })).await;
        assert_eq!(problem(&refused), "passkey_refused");
        sign_in(&here, &mut passkey).await;
        assert_eq!(here.signed_in_as().await.as_deref(), Some(ADA));
    }

    /// What keeps a passkey may forget one that is not there: and of no other is that said.
    async fn a_passkey_that_nobody_has_is_said_to_be_unknown(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let mut known = add(&ada, &house).await;
        let mut unknown = Authenticator::at(&house);
        unknown.user_handle = known.user_handle.clone();
        let refused = sign_in(&house.visitor(), &mut unknown).await;
        assert_eq!(problem(&refused), "unknown_passkey", "{}", refused.body);
        let detail = refused.json()["detail"].clone();
        known.user_handle = vec![1; 32];
        let refused = sign_in(&house.visitor(), &mut known).await;
        assert_eq!(problem(&refused), "passkey_refused", "{}", refused.body);
        assert_eq!(refused.json()["detail"], detail, "a visitor is told the same");
    }

    async fn they_are_in_the_download_and_go_with_the_account(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        add(&ada, &house).await;
        let file = ada.post("/account/export", &[("sure", "yes")]).await.json();
        let kept = &file["passkeys"][0];
        assert_eq!(kept["name"], "an unknown browser", "{file}");
        assert_eq!(kept["created_at"], "2026-11-22T00:01:01Z");
        assert_eq!((&kept["last_used_at"], &kept["backed_up"]), (&Value::Null, &json!(false)));
        assert_eq!(kept["transports"], json!(["hybrid", "internal"]));

        ada.post("/account/delete", &[("email", ADA)]).await.goes_on_to("/");
        assert_eq!(passkeys(&house).await, 0);
    }
}

/// Somebody signs up here and chooses a password, or none.
async fn register(browser: &Browser, house: &House, password: Option<&str>) {
    browser.goto(&format!("{}/register", house.url)).await;
    browser.fill("Email address", ADA).await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
    browser.goto(&house.mail_to(ADA).await.link).await;
    if let Some(password) = password {
        browser
            .fill("Password (you may choose one)", password)
            .await;
    }
    browser.click("Confirm my email address and sign in").await;
    browser.comes_to("/account").await;
    house.advance(2 * MINUTE);
}

/// Signs in by a link that was asked for in this browser.
async fn sign_in_by_link(browser: &Browser, house: &House) {
    let before = house.all_mail_to(ADA).await.len();
    browser.goto(&format!("{}/sign-in", house.url)).await;
    browser.fill("Email address", ADA).await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
    let link = house.mails_to(ADA, before + 1).await.remove(0).link;
    browser.goto(&link).await;
    browser.comes_to("/account").await;
}

#[tokio::test]
async fn an_owner_adds_renames_and_removes_one_in_a_browser() {
    let house = House::new(Database::Sqlite).await;
    let browser = Browser::open(Scripts::On).await;
    browser.plug_authenticator_in().await;
    register(&browser, &house, Some(PASSWORD)).await;
    browser.click("Passkeys").await;
    browser
        .comes_to("/reauthenticate?next=%2Faccount%2Fpasskeys")
        .await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Continue").await;
    browser.comes_to(LIST).await;
    browser.sees("You have none yet.").await;
    browser.photograph("passkeys-none").await;
    browser.click("Add a passkey").await;
    browser
        .sees("The passkey is added. It signs you in from now on.")
        .await;
    browser.comes_to(LIST).await;
    browser.photograph("passkeys-added").await;

    // The same authenticator makes no second one.
    browser.press("Add a passkey").await;
    browser
        .sees("There is a passkey for this account on that device already.")
        .await;

    browser.click("Rename Chrome on Linux").await;
    browser.fill("Name", "").await;
    browser.click("Rename it").await;
    browser.sees("Type a name by which you will know it.").await;
    browser.photograph("passkey-rename-empty").await;
    browser.fill("Name", "The laptop on my desk").await;
    browser.click("Rename it").await;
    browser.comes_to(LIST).await;
    browser.sees("The passkey has another name.").await;
    browser.sees("The laptop on my desk").await;
    browser.photograph("passkeys").await;

    browser.goto(&format!("{}/account", house.url)).await;
    browser.photograph("account-with-passkey").await;
    browser.click("Sign out").await;
    browser.comes_to("/").await;
    browser.goto(&format!("{}/sign-in", house.url)).await;
    browser.comes_to("/account").await;
    browser.sees("With a passkey").await;

    browser.goto(&format!("{}{LIST}", house.url)).await;
    browser.click("Remove The laptop on my desk").await;
    browser.sees("It is your last one.").await;
    browser.photograph("passkey-remove").await;
    browser.click("Remove this passkey").await;
    browser.comes_to(LIST).await;
    browser.sees("The passkey is removed.").await;
    browser.sees("You have none yet.").await;
    assert_eq!(passkeys(&house).await, 0);
    // What kept it was told, and offers it no more.
    browser.click("Sign out").await;
    browser.comes_to("/").await;
    browser.goto(&format!("{}/sign-in", house.url)).await;
    browser.press("Sign in with a passkey").await;
    browser.sees("No passkey was used").await;
    browser.is_content().await;
}

#[tokio::test]
async fn one_is_offered_after_a_link_where_the_browser_can() {
    let house = House::new(Database::Sqlite).await;
    house.member_with_password(ADA).await;
    let without = Browser::open(Scripts::On).await;
    sign_in_by_link(&without, &house).await;
    assert!(
        !without.text().await.contains("passkey on this device"),
        "there is nothing to keep it"
    );

    house.advance(2 * MINUTE);
    let browser = Browser::open(Scripts::On).await;
    browser.plug_authenticator_in().await;
    sign_in_by_link(&browser, &house).await;
    browser
        .sees("Next time a passkey on this device can sign you in, without a message.")
        .await;
    let looks = "[...document.querySelectorAll('.note .button')].map(it => it.className)";
    let looks = browser.value(looks).await;
    assert_eq!(looks[0], looks[1], "two equal buttons");
    browser.photograph("account-passkey-offered").await;
    browser.click("Not now").await;
    browser.comes_to("/account").await;
    browser
        .sees("You are not asked about a passkey in this browser for a month.")
        .await;
    assert!(!browser.text().await.contains("passkey on this device"));
    browser.is_content().await;
}

/// From the link in the letter to the account, without a password.
#[tokio::test]
async fn somebody_who_never_had_a_password_makes_a_passkey_by_the_link_that_would_set_one() {
    let house = House::new(Database::Postgres).await;
    house.member(ADA).await;
    house.advance(10 * MINUTE);
    let browser = Browser::open(Scripts::On).await;
    browser.plug_authenticator_in().await;
    sign_in_by_link(&browser, &house).await;
    browser.sees("Make a passkey").await;
    browser.click("Make a passkey").await;
    browser
        .comes_to("/reauthenticate?next=%2Faccount%2Fpasskeys")
        .await;
    browser.sees("or makes a passkey").await;
    house.advance(MINUTE);
    browser.click("Send me a link to set a password").await;
    browser.comes_to("/sign-in/sent").await;
    let before = house.all_mail_to(ADA).await;
    browser.goto(&before[0].link).await;
    browser.comes_to("/reset-password").await;
    browser.sees("Or a passkey").await;
    browser.photograph("reset-password-or-passkey").await;
    browser.click("Make a passkey instead").await;
    // Where the page offers it, the browser signs in with it by itself, as somebody would who presses.
    browser.comes_to(LIST).await;
    browser.sees("Chrome on Linux").await;
    browser.is_content().await;
}

/// Who opens the letter on another device types the address first, for a passkey as for a password.
#[tokio::test]
async fn elsewhere_a_passkey_by_the_link_wants_the_address_first() {
    let house = House::new(Database::Sqlite).await;
    house.member(ADA).await;
    let (_, mail) = house.asked("/forgot-password", ADA).await;
    let browser = Browser::open(Scripts::On).await;
    browser.plug_authenticator_in().await;
    browser.goto(&mail.link).await;
    browser.comes_to("/reset-password").await;
    browser.press("Make a passkey instead").await;
    browser
        .sees("Type the whole address the link was sent to")
        .await;
    browser.photograph("reset-password-passkey-mistake").await;
    browser.fill("Email address", "eve@example.org").await;
    browser.press("Make a passkey instead").await;
    browser.sees("The link was not sent to this address.").await;
    browser.fill("Email address", ADA).await;
    browser.click("Make a passkey instead").await;
    browser.comes_to("/account").await;
    browser.sees("With a passkey").await;
    assert_eq!(passkeys(&house).await, 1);
    browser.is_content().await;
}

#[tokio::test]
async fn right_after_confirming_the_offer_leads_to_a_passkey_without_the_gate() {
    let house = House::new(Database::Sqlite).await;
    let browser = Browser::open(Scripts::On).await;
    browser.plug_authenticator_in().await;
    browser.goto(&format!("{}/register", house.url)).await;
    browser.fill("Email address", ADA).await;
    browser.click("Send me a link").await;
    browser.comes_to("/sign-in/sent").await;
    browser.goto(&house.mail_to(ADA).await.link).await;
    browser.click("Confirm my email address and sign in").await;
    browser.comes_to("/account").await;
    browser
        .sees("Next time a passkey on this device can sign you in")
        .await;
    browser.click("Make a passkey").await;
    browser.comes_to(LIST).await;
    browser.click("Add a passkey").await;
    browser.comes_to("/account").await;
    browser.sees("The passkey is added.").await;
    assert_eq!(passkeys(&house).await, 1);
    // The list is behind the gate from here on, and the passkey opens it.
    browser.click("Passkeys").await;
    browser
        .comes_to("/reauthenticate?next=%2Faccount%2Fpasskeys")
        .await;
    browser.click("Use a passkey").await;
    browser.comes_to(LIST).await;
    browser.is_content().await;
}

/// ChromeDriver's browser makes none by itself: nothing is shown of that, and nothing breaks.
#[tokio::test]
async fn after_a_password_nothing_is_seen_of_a_passkey_that_was_not_made() {
    let house = House::new(Database::Sqlite).await;
    house.member_with_password(ADA).await;
    let browser = Browser::open(Scripts::On).await;
    browser.plug_authenticator_in().await;
    browser.enters(&house.url, ADA, PASSWORD).await;
    let asked =
        "performance.getEntriesByName(location.origin + '/account/passkeys/add/options').length";
    let there = async || browser.value(asked).await != 0;
    eventually("the browser was asked", there).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let text = browser.text().await;
    assert!(!text.contains("No passkey was used"), "{text}");
    assert_eq!(browser.path().await, "/account");
    assert_eq!(passkeys(&house).await, 0);
    browser.is_content().await;
}

/// Without a script the page says what is missing, and the other pages say nothing of passkeys.
#[tokio::test]
async fn without_scripts_the_list_says_that_they_are_needed() {
    let house = House::new(Database::Sqlite).await;
    house.member_with_password(ADA).await;
    let browser = Browser::open(Scripts::Off).await;
    sign_in_by_link(&browser, &house).await;
    assert!(!browser.text().await.contains("passkey on this device"));
    browser.click("Passkeys").await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Continue").await;
    browser.comes_to(LIST).await;
    browser
        .sees("This browser runs no scripts here, or knows no passkeys.")
        .await;
    browser.photograph("passkeys-without-scripts").await;
}

#[tokio::test]
async fn an_owner_adds_one_in_firefox() {
    let house = House::new(Database::Postgres).await;
    house.member_with_password(ADA).await;
    let browser = Browser::open_firefox(Scripts::On).await;
    browser.plug_authenticator_in().await;
    browser.enters(&house.url, ADA, PASSWORD).await;
    browser.click("Passkeys").await;
    browser.comes_to(LIST).await;
    browser.click("Add a passkey").await;
    browser.sees("The passkey is added.").await;
    browser.sees("Firefox on Linux").await;
    assert_eq!(passkeys(&house).await, 1);
}
