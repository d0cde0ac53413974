//! What the pages say of messages: that one is on its way where one is, where its code belongs, and which link is the
//! one to open. The same for known and unknown addresses.

use std::time::Duration;

use doorpost::accounts::email_address::EmailAddress;
use doorpost::actions::invite::{self, Invited, Told};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Database, House, Mail, PASSWORD, Page, Visitor};

const ADA: &str = "ada@example.org";
const NEW: &str = "countess@example.net";

const GAP: Duration = Duration::from_secs(61);
const MOMENT: Duration = Duration::from_secs(5);

const ON_ITS_WAY: &str = "a message is on its way";
const ELSEWHERE: &str = "A message went out a moment ago";
const NEWER: &str = "A newer message was sent";
const NO_CODE: &str = "No code is taken here any more";

on_both! {
    async fn a_dead_link_speaks_of_a_newer_message_only_if_there_is_one(db: Database) {
        let house = House::with(db, &[("LIMIT_MAIL_PER_ADDRESS", "off")]).await;
        house.member_with_password(ADA).await;
        for route in ["/sign-in", "/forgot-password"] {
            let browser = house.visitor();
            let first = asks_again(&house, &browser, route, ADA).await;
            let second = asks_again(&house, &browser, route, ADA).await;
            uses(&browser, &second).await;
            for _ in 0..2 {
                says_newer(&browser, &second, false).await;
                says_newer(&browser, &first, true).await;
                // Mail of another kind, and for somebody else, is no newer message.
                asks_again(&house, &browser, "/register", "bob@example.org").await;
            }
            let other = if route == "/sign-in" { "/forgot-password" } else { "/sign-in" };
            asks_again(&house, &browser, other, ADA).await;
            says_newer(&browser, &second, false).await;
            // One that this browser cannot know of.
            let third = asks_again(&house, &browser, route, ADA).await;
            asks_again(&house, &house.visitor(), route, ADA).await;
            says_newer(&browser, &third, false).await;
            // Asked again too soon: nothing newer went out.
            house.advance(GAP);
            let fourth = asks_again(&house, &browser, route, ADA).await;
            browser.ask(route, ADA).await.sees_inbox_page();
            uses(&browser, &fourth).await;
            says_newer(&browser, &fourth, false).await;
            says_newer(&house.visitor(), &first, false).await;
        }
    }

    async fn a_dead_link_offers_the_address_that_it_was_asked_for(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        let browser = house.visitor();
        let fields = [("email", ADA), ("next", "/members")];
        browser.post("/sign-in", &fields).await.sees_inbox_page();
        let mail = house.mails_to(ADA, 2).await.remove(0);
        asks_again(&house, &browser, "/register", "bob@example.org").await;
        house.visitor().use_link(&mail, ADA).await.goes_on_to("/account");
        let gone = browser.click(&mail.link).await;
        gone.says_the_link_is_gone();
        assert_eq!(gone.between("name=\"email\" type=\"email\" value=\"", "\"").as_deref(), Some(ADA));
        assert_eq!(gone.hidden("next").as_deref(), Some("/members"));
    }

    /// Whatever made the message before useless: there is nothing to wait for.
    async fn once_the_message_was_used_another_one_goes_out_at_once(db: Database) {
        let house = House::with(db, &[("LIMIT_MAIL_PER_ADDRESS", "off"), ("LIMIT_MAIL_PER_ADDRESS_DAILY", "off")]).await;
        house.member_with_password(ADA).await;
        for shared in ["", "yes"] {
            for way in ["by link", "by code", "on the phone", "by password", "twice"] {
                house.advance(GAP);
                let browser = house.visitor();
                let fields = [("email", ADA), ("shared", shared)];
                browser.post("/sign-in", &fields).await.sees_inbox_page();
                let mut mail = newest(&house, ADA).await;
                for _ in 0..(if way == "twice" { 2 } else { 1 }) {
                    house.advance(MOMENT);
                    match way {
                        "by link" => browser.click(&mail.link).await.goes_on_to("/account"),
                        "on the phone" => house.visitor().use_link(&mail, ADA).await.goes_on_to("/account"),
                        "by password" => {
                            let fields = [("email", ADA), ("password", PASSWORD), ("shared", shared)];
                            browser.post("/sign-in/password", &fields).await.goes_on_to("/account");
                        }
                        _ => browser.type_code(mail.code()).await.goes_on_to("/account"),
                    }
                    browser.post("/sign-out", &[]).await;
                    house.advance(MOMENT);
                    let before = mail;
                    browser.post("/sign-in", &fields).await.sees_inbox_page();
                    mail = newest(&house, ADA).await;
                    assert_ne!(mail.link, before.link, "{way} {shared}: another one");
                }
                let waits = browser.get("/sign-in/sent").await;
                assert!(waits.body.contains(ON_ITS_WAY) && takes_code(&waits), "{way} {shared}: {}", waits.body);
                browser.type_code(mail.code()).await.goes_on_to("/account");
                assert_eq!(browser.signed_in_as().await.as_deref(), Some(ADA));
            }
        }
    }

    async fn an_account_that_begins_or_ends_within_the_gap_is_mailed_as_well(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", ADA).await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        ada.post("/confirm-email", &fields).await.goes_on_to("/account");
        ada.post("/sign-out", &[]).await;
        let sign_in = asks_again_at_once(&house, &ada, "/sign-in").await;
        assert_eq!(sign_in.route(), "/sign-in/link");
        ada.click(&sign_in.link).await.goes_on_to("/account");
        ada.reauthenticate().await;
        ada.post("/account/delete", &[("email", ADA)]).await.goes_on_to("/");
        let confirm = asks_again_at_once(&house, &ada, "/register").await;
        assert_eq!(confirm.route(), "/confirm-email");
        ada.type_code(confirm.code()).await.goes_on_to("/account");
    }

    async fn a_password_that_was_just_set_can_be_set_again_at_once(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let (browser, mail) = house.asked("/forgot-password", ADA).await;
        uses(&browser, &mail).await;
        let again = asks_again_at_once(&house, &browser, "/forgot-password").await;
        uses(&browser, &again).await;
    }

    /// Wrong codes end no link, so that one who types them is sent no more mail than anybody.
    async fn a_code_that_was_tried_too_often_brings_no_second_message(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", ADA).await;
        for _ in 0..5 {
            ada.type_code("BBBB-BBBB").await;
        }
        let page = ada.get("/sign-in/sent").await;
        assert!(page.body.contains(NO_CODE) && !takes_code(&page), "it stays so: {}", page.body);
        ada.ask("/register", ADA).await.sees_inbox_page();
        assert_eq!(house.all_mail_to(ADA).await.len(), 1);
        let page = ada.get("/sign-in/sent").await;
        assert!(page.body.contains(NO_CODE) && !takes_code(&page), "{}", page.body);
        ada.type_code(mail.code()).await.says_mistake(NO_CODE);
        house.advance(GAP);
        let again = asks_again(&house, &ada, "/register", ADA).await;
        ada.type_code(again.code()).await.goes_on_to("/account");
    }

    async fn a_second_browser_is_told_where_the_code_belongs(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        for (route, has_code) in [("/sign-in", true), ("/forgot-password", false)] {
            let (first, mail) = house.asked(route, ADA).await;
            house.advance(Duration::from_secs(15));
            let second = house.visitor();
            for _ in 0..4 {
                second.ask(route, ADA).await.sees_inbox_page();
            }
            let page = second.get("/sign-in/sent").await;
            assert!(page.body.contains(ELSEWHERE) && !page.body.contains(ON_ITS_WAY), "{}", page.body);
            assert_eq!(page.body.contains("type it there"), has_code, "{}", page.body);
            assert!(page.body.contains("another one in 45 seconds"), "{}", page.body);
            assert!(!takes_code(&page), "{}", page.body);
            if has_code {
                second.type_code(mail.code()).await.says_mistake(NO_CODE);
                assert_eq!(second.signed_in_as().await, None);
            }
            let opened = second.open(&mail.link).await;
            assert!(opened.body.contains("type=\"email\""), "as the page says: {}", opened.body);

            // Where somebody asked, nothing has changed by it; and in the other browser one can ask a little later.
            first.ask(route, ADA).await.sees_inbox_page();
            let page = first.get("/sign-in/sent").await;
            assert!(page.body.contains(ON_ITS_WAY), "{}", page.body);
            assert_eq!(takes_code(&page), has_code);
            house.advance(Duration::from_secs(46));
            let own = asks_again(&house, &second, route, ADA).await;
            uses(&second, &own).await;
            house.advance(GAP);
        }
    }

    /// One that was asked for longer ago is not the one that went out a moment ago.
    async fn a_browser_whose_message_was_overtaken_is_told_so(db: Database) {
        let house = House::new(db).await;
        let (first, overtaken) = house.asked("/register", ADA).await;
        house.advance(GAP);
        let (second, mail) = house.asked("/register", ADA).await;
        first.ask("/register", ADA).await.sees_inbox_page();
        let page = first.get("/sign-in/sent").await;
        assert!(page.body.contains(ELSEWHERE) && !takes_code(&page), "{}", page.body);
        says_newer(&first, &overtaken, true).await;
        second.type_code(mail.code()).await.goes_on_to("/account");
    }

    /// An ask that no message answers takes no other's place.
    async fn asking_in_vain_pushes_out_nothing_that_was_asked_for(db: Database) {
        let house = House::new(db).await;
        house.member("bob@example.org").await;
        house.asked("/register", ADA).await;
        let (browser, mail) = house.asked("/sign-in", "bob@example.org").await;
        for _ in 0..4 {
            browser.ask("/register", ADA).await.sees_inbox_page();
        }
        browser.click(&mail.link).await.goes_on_to("/account");
    }

    /// To a browser that the account knows: its own message, when a stranger's has ended it, goes out again.
    async fn a_stranger_who_asks_takes_no_code_from_a_known_browser(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        ada.post("/sign-out", &[]).await;
        let first = asks_again_at_once(&house, &ada, "/sign-in").await;
        let _strangers = house.asked("/sign-in", ADA).await;
        ada.type_code(first.code()).await.says_mistake(NO_CODE);
        let again = asks_again_at_once(&house, &ada, "/sign-in").await;
        assert!(takes_code(&ada.get("/sign-in/sent").await));
        ada.type_code(again.code()).await.goes_on_to("/account");
    }

    /// A stranger who asks for an address, twice and in two browsers, is answered alike whether somebody has an account
    /// there, and whatever they do meanwhile.
    async fn a_stranger_learns_nothing_of_what_the_owner_does_in_the_gap(db: Database) {
        for sign_up in ["open", "invited"] {
            let house = House::with(db, &[("SIGN_UP", sign_up)]).await;
            invited(&house, ADA).await;
            house.member_with_password(ADA).await;
            house.advance(Duration::from_secs(24 * 60 * 60));
            for route in ["/sign-in", "/forgot-password"] {
                for deed in ["nothing", "signs in", "signs in and asks", "deletes the account"] {
                    let known = strangers_answers(&house, route, ADA, deed).await;
                    let unknown = strangers_answers(&house, route, "nob@example.org", "").await;
                    for ((what, known), (_, unknown)) in known.iter().zip(&unknown) {
                        assert_eq!(known, unknown, "{sign_up}, {route}, the owner does {deed}: {what}");
                    }
                    assert_eq!(known.len(), unknown.len());
                    house.advance(Duration::from_secs(24 * 60 * 60));
                }
                // The account begins anew.
                invited(&house, ADA).await;
                let (ada, mail) = house.asked("/register", ADA).await;
                let fields = [("token", mail.token()), ("password", PASSWORD)];
                ada.post("/confirm-email", &fields).await.goes_on_to("/account");
                house.advance(Duration::from_secs(24 * 60 * 60));
            }
        }
    }

    /// The owner can be made to be mailed no more than twice for each use.
    async fn mail_within_the_gap_has_a_budget_of_its_own(db: Database) {
        let house = House::with(db, &[("LIMIT_MAIL_PER_ADDRESS", "3/15m")]).await;
        house.member(ADA).await;
        let mut mails = house.all_mail_to(ADA).await.len();
        let browser = house.visitor();
        for round in 0..5 {
            house.advance(MOMENT);
            browser.post("/sign-in", &[("email", ADA), ("shared", "yes")]).await.sees_inbox_page();
            let sent = house.all_mail_to(ADA).await;
            assert_eq!(sent.len() - mails, usize::from(round < 4), "one as usual, and three after a use: {round}");
            mails = sent.len();
            if round < 4 {
                browser.type_code(sent[0].code()).await.goes_on_to("/account");
                browser.post("/sign-out", &[]).await;
            }
        }
    }

    async fn a_program_is_told_whose_code_is_on_its_way(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        let program = house.visitor();
        let first = asks_for_code(&program, ADA).await;
        assert_eq!(first["sent_before"], false);
        let mail = newest(&house, ADA).await;
        house.advance(Duration::from_secs(15));
        let second = asks_for_code(&program, ADA).await;
        assert_eq!((&second["sent_before"], &second["again_in"]), (&json!(true), &json!(45)));
        assert_ne!(first["sign_in_id"], second["sign_in_id"]);
        assert_eq!(house.all_mail_to(ADA).await[0].link, mail.link, "no other one went out");
        assert_eq!(enters_code(&program, &second, &mail).await, StatusCode::BAD_REQUEST);
        assert_eq!(enters_code(&program, &first, &mail).await, StatusCode::OK, "it belongs to the first");

        house.advance(MOMENT);
        // Now it is used, and another one goes out, for the id that is answered now.
        let third = asks_for_code(&program, ADA).await;
        let again = newest(&house, ADA).await;
        assert_ne!(again.link, mail.link);
        assert_eq!(enters_code(&program, &third, &again).await, StatusCode::OK);
    }

    async fn the_pending_change_says_when_its_message_went_out(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let bob = house.owner("bob@example.org").await;
        for owner in [&ada, &bob] {
            owner.reauthenticate().await;
        }
        asks_for_address(&ada).await.goes_on_to("/account/email");
        house.advance(Duration::from_secs(15));
        asks_for_address(&ada).await.goes_on_to("/account/email");
        assert_eq!(house.all_mail_to(NEW).await.len(), 1);
        for page in ["/account", "/account/email"] {
            let page = ada.get(page).await;
            assert!(page.body.contains("a message went to it when you asked"), "{}", page.body);
            assert!(page.body.contains("another message in 45 seconds"), "{}", page.body);
        }
        asks_for_address(&bob).await.says_mistake("Ask again in 45 seconds");

        // Called off, it is said when one may ask again. Used, and wanted again after another change, it is mailed at once.
        let first = newest(&house, NEW).await;
        ada.use_link(&first, NEW).await.goes_on_to("/account");
        ada.post("/account/email", &[("email", "third@example.net")]).await.goes_on_to("/account/email");
        let third = newest(&house, "third@example.net").await;
        ada.use_link(&third, "third@example.net").await.goes_on_to("/account");
        house.advance(MOMENT);
        asks_for_address(&ada).await.goes_on_to("/account/email");
        let second = newest(&house, NEW).await;
        assert_ne!(second.link, first.link);
        ada.use_link(&second, NEW).await.goes_on_to("/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(NEW));
        house.advance(GAP);
        ada.reauthenticate().await;
        assert!(!ada.get("/account/email").await.body.contains("another message in"));
    }

    /// Back and Enter, or a second press while the first is on its way.
    async fn a_right_code_that_is_sent_twice_goes_on(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        for address in [ADA, "new@example.org"] {
            let browser = house.visitor();
            let fields = [("email", address), ("next", "/members")];
            browser.post("/sign-in", &fields).await.sees_inbox_page();
            let mail = newest(&house, address).await;
            for _ in 0..8 {
                browser.type_code(mail.code()).await.goes_on_to("/members");
            }
            assert_eq!(browser.signed_in_as().await.as_deref(), Some(address));
            assert_eq!(house.count("SELECT count(*) AS n FROM sessions WHERE auth_method = 'email_code'").await, 1);
            // Where nobody is signed in it is as used as anywhere.
            let second = browser.with_copied_jar();
            second.forget_cookie("doorpost");
            let refused = second.type_code(mail.code()).await;
            refused.says_mistake(NO_CODE);
            refused.says_mistake("This one was used already");
            assert_eq!(second.signed_in_as().await, None);
            // And where somebody else has signed in since, a code still signs in.
            house.execute("DELETE FROM sessions").await;
            house.advance(GAP);
        }
        let browser = house.visitor();
        browser.ask("/sign-in", ADA).await.sees_inbox_page();
        let mail = newest(&house, ADA).await;
        let bob = house.member("bob@example.org").await;
        browser.set_cookie("doorpost", &bob.cookie("doorpost").unwrap());
        browser.type_code(mail.code()).await.goes_on_to("/account");
        assert_eq!(browser.signed_in_as().await.as_deref(), Some(ADA));
    }

    async fn an_invited_person_reads_words_of_their_own(db: Database) {
        let house = House::with(db, &[("SIGN_UP", "invited")]).await;
        for told in [Told::ByMail, Told::ByOperator] {
            let address = format!("{told:?}@example.org").to_lowercase();
            let link = match invited_by(&house, &address, told).await {
                Invited::Link(path) => path,
                _ => house.mail_to(&address).await.path().to_owned(),
            };
            let guest = house.visitor();
            let page = guest.open(&link).await;
            assert!(page.body.contains("You can have an account here"), "{}", page.body);
            for others in ["did not ask", "another browser", "the code", "You did not"] {
                assert!(!page.body.contains(others), "{others}: {}", page.body);
            }
            let token = page.hidden("token").unwrap();
            let wrong = guest.post("/confirm-email", &[("token", &token), ("email", "x@example.org")]).await;
            assert!(wrong.body.contains("You can have an account here"), "{}", wrong.body);
            let fields = [("token", token.as_str()), ("email", &address)];
            guest.post("/confirm-email", &fields).await.goes_on_to("/account");
        }
        // Who asked elsewhere reads what is meant for them.
        house.advance(GAP);
        let (_, mail) = house.asked("/sign-in", "bymail@example.org").await;
        let elsewhere = house.visitor().open(&mail.link).await;
        assert!(elsewhere.body.contains("This browser did not ask for the link"), "{}", elsewhere.body);
        assert!(elsewhere.body.contains("type the code from the message there"), "{}", elsewhere.body);
    }
}

/// Asks past the gap; and the mail.
async fn asks_again(house: &House, browser: &Visitor, route: &str, address: &str) -> Mail {
    house.advance(MOMENT);
    let before = house.all_mail_to(address).await.len();
    if browser.ask(route, address).await.status == StatusCode::SEE_OTHER
        && house.all_mail_to(address).await.len() > before
    {
        return newest(house, address).await;
    }
    house.advance(GAP);
    browser.ask(route, address).await.sees_inbox_page();
    house.mails_to(address, before + 1).await.remove(0)
}

/// Asks for mail to [`ADA`] within the gap; and the mail that comes all the same.
async fn asks_again_at_once(house: &House, browser: &Visitor, route: &str) -> Mail {
    house.advance(MOMENT);
    let before = house.all_mail_to(ADA).await.len();
    browser.ask(route, ADA).await.sees_inbox_page();
    house.mails_to(ADA, before + 1).await.remove(0)
}

async fn newest(house: &House, address: &str) -> Mail {
    house.all_mail_to(address).await.remove(0)
}

/// Uses a link in the browser that asked for it, and leaves.
async fn uses(browser: &Visitor, mail: &Mail) {
    if mail.route() == "/reset-password" {
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        let set = browser.post("/reset-password", &fields).await;
        set.goes_on_to("/sign-in/password");
        return;
    }
    browser.click(&mail.link).await.goes_on_to("/account");
    browser.post("/sign-out", &[]).await.goes_on_to("/");
}

#[track_caller]
fn takes_code(page: &Page) -> bool {
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    page.body.contains("name=\"code\"")
}

async fn says_newer(browser: &Visitor, dead: &Mail, newer: bool) {
    let fields = [("token", dead.token())];
    for page in [
        browser.click(&dead.link).await,
        browser.post(dead.route(), &fields).await,
    ] {
        page.says_the_link_is_gone();
        assert_eq!(page.body.contains(NEWER), newer, "{}", page.body);
    }
}

async fn asks_for_address(owner: &Visitor) -> Page {
    owner.post("/account/email", &[("email", NEW)]).await
}

async fn asks_for_code(program: &Visitor, address: &str) -> Value {
    let body = json!({ "email": address }).to_string();
    let request = program.request(reqwest::Method::POST, "/api/v1/sign-in-codes");
    let request = request.header("content-type", "application/json");
    let page = program.send(request.body(body)).await;
    assert_eq!(page.status, StatusCode::ACCEPTED, "{}", page.body);
    serde_json::from_str(&page.body).unwrap()
}

async fn enters_code(program: &Visitor, asked: &Value, mail: &Mail) -> StatusCode {
    let id = &asked["sign_in_id"];
    let body = json!({"grant_type": "email_code", "sign_in_id": id, "code": mail.code()});
    let request = program.request(reqwest::Method::POST, "/api/v1/tokens");
    let request = request.header("content-type", "application/json");
    program.send(request.body(body.to_string())).await.status
}

async fn invited(house: &House, address: &str) {
    let told = invited_by(house, address, Told::ByOperator).await;
    assert!(matches!(told, Invited::Link(_) | Invited::HasAccount));
}

async fn invited_by(house: &House, address: &str, told: Told) -> Invited {
    let (app, email) = (house.app.clone(), EmailAddress::parse(address).unwrap());
    let invited = house
        .app
        .transaction(move |tx| invite::invite(tx, &app, &email, told));
    invited.await.unwrap()
}

/// What a stranger is answered who asks for this address twice within the gap, in two browsers, while its owner does
/// something.
async fn strangers_answers(
    house: &House,
    route: &str,
    address: &str,
    deed: &str,
) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut note = |what, page: Page| {
        let sizes: Vec<usize> = page.set_cookies().iter().map(|line| line.len()).collect();
        let looks = page.looks().replace(address, "ADDRESS");
        all.push((what, format!("{sizes:?}\n{looks}")));
    };
    let (one, two) = (house.visitor(), house.visitor());
    note("asked", one.ask(route, address).await);
    let mails = house.all_mail_to(address).await;
    house.advance(MOMENT);
    if let (Some(mail), true) = (mails.first(), !deed.is_empty() && deed != "nothing") {
        owner_does(house, mail, address, deed).await;
    }
    house.advance(MOMENT);
    for (browser, where_) in [(&one, "where asked"), (&two, "elsewhere")] {
        note(where_, browser.ask(route, address).await);
        note("the page that waits", browser.get("/sign-in/sent").await);
        note("a code", browser.type_code("BBBB-BBBB").await);
        house.advance(MOMENT);
        note("once more", browser.ask(route, address).await);
        note("the page then", browser.get("/sign-in/sent").await);
    }
    for _ in 0..5 {
        note("codes", one.type_code("BBBB-BBBB").await);
    }
    house.all_mail_to(address).await;
    house.advance(GAP);
    for _ in 0..6 {
        note("later", two.ask(route, address).await);
        note("the page later", two.get("/sign-in/sent").await);
        note("a code later", two.type_code("BBBB-BBBB").await);
        house.all_mail_to(address).await;
        house.advance(GAP);
    }
    all
}

async fn owner_does(house: &House, mail: &Mail, address: &str, deed: &str) {
    let owner = house.visitor();
    if mail.route() == "/reset-password" {
        let fields = [
            ("token", mail.token()),
            ("email", address),
            ("password", PASSWORD),
        ];
        let set = owner.post("/reset-password", &fields).await;
        set.goes_on_to("/sign-in/password");
        owner.enter(address, PASSWORD).await.goes_on_to("/account");
    } else {
        owner.use_link(mail, address).await.goes_on_to("/account");
    }
    match deed {
        "signs in and asks" => {
            owner.post("/sign-out", &[]).await;
            owner.ask("/sign-in", address).await.sees_inbox_page();
            house.all_mail_to(address).await;
        }
        "deletes the account" => {
            owner.reauthenticate().await;
            owner
                .post("/account/delete", &[("email", address)])
                .await
                .goes_on_to("/");
        }
        _ => {}
    }
}
