//! The code beside a link: for the browser that asked, and for nobody else.

use std::time::Duration;

use doorpost::accounts::admission;
use doorpost::accounts::email_address::EmailAddress;
use reqwest::StatusCode;

use crate::support::{Database, House, Page, at_once};

const GAP: Duration = Duration::from_secs(61);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const SESSIONS: &str = "SELECT count(*) AS n FROM sessions";

const WRONG: &str = "This code is not right";
const NO_CODE: &str = "A code is 8 letters and nothing else";
const NO_ASK: &str = "Nothing asked for in this browser";
const ENDED: &str = "No code is taken here any more";

on_both! {
    async fn a_code_is_taken_as_people_type_it(db: Database) {
        let house = House::new(db).await;
        let spellings: [fn(&str) -> String; 14] = [
            |shown| shown.to_owned(),
            |shown| shown.replace('-', ""),
            |shown| shown.to_lowercase(),
            |shown| shown.to_lowercase().replace('-', ""),
            |shown| format!("  {shown} "),
            |shown| shown.replace('-', " "),
            // and as pasting leaves it
            |shown| shown.replace('-', "\u{2011}"),
            |shown| shown.replace('-', " \u{2013} "),
            |shown| shown.replace('-', "\u{a0}\u{200b}"),
            |shown| format!("\u{feff}{shown}\u{200d}\t\r\n"),
            |shown| format!("\u{201e}{shown}\u{201c}."),
            |shown| format!("\u{2022} *{shown}*,"),
            |shown| shown.chars().map(full_width).collect(),
            |shown| shown.to_lowercase().replace('-', "\u{2212}").chars().map(full_width).collect(),
        ];
        for (n, spelling) in spellings.iter().enumerate() {
            let address = format!("ada{n}@example.org");
            let (ada, mail) = house.asked("/register", &address).await;
            let shown = mail.code();
            assert!(
                shown.len() == 9 && shown.as_bytes()[4] == b'-'
                    && shown.replace('-', "").bytes().all(|c| b"BCDFGHJKLMNPQRSTVWXZ".contains(&c)),
                "shown as XXXX-XXXX: {shown}"
            );
            ada.type_code(&spelling(shown)).await.goes_on_to("/account");
            assert_eq!(ada.signed_in_as().await, Some(address));
        }
    }

    /// However often it is typed, and by whom: the tries are for what may be a code.
    async fn what_cannot_be_a_code_costs_no_try(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "5/1m")]).await;
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        for typed in [
            "B", "BCDF-GHJ", "BCDF-GHJK-L", "not a code", "AEIO-UYAE", "\u{412}CDF-GHJK", "1234-5678",
            "Code: BCDF-GHJK", "https://e.test/sign-in/link?token=x",
        ] {
            ada.type_code(typed).await.says_mistake(NO_CODE);
        }
        for typed in ["", " ", "\u{200b}\u{a0}"] {
            ada.type_code(typed).await.says_mistake("Type the code from the message");
        }
        assert_eq!(house.count("SELECT CAST(max(code_tries) AS BIGINT) AS n FROM links").await, 0);
        assert_eq!(house.count("SELECT count(*) AS n FROM limits WHERE name LIKE 'token%'").await, 0);
        ada.type_code(mail.code()).await.goes_on_to("/account");
    }

    /// In the browser that asked as a click does; elsewhere to the page that asks for the address.
    async fn a_link_in_the_place_of_the_code_leads_where_it_leads(db: Database) {
        let house = House::new(db).await;
        house.member("ada@example.org").await;
        let fields = [("email", "ada@example.org"), ("next", "/members")];
        let (ada, elsewhere) = (house.visitor(), house.visitor());
        ada.post("/sign-in", &fields).await.sees_inbox_page();
        let mail = house.mails_to("ada@example.org", 2).await.remove(0);
        let pasted = format!("\u{feff}<{}>.\r\n", mail.link);
        let led = elsewhere.type_code(&pasted).await;
        led.goes_on_to(mail.path());
        assert_eq!(led.header("referrer-policy"), Some("no-referrer"));
        let page = elsewhere.follow(led).await;
        assert!(page.body.contains("name=\"email\""), "{}", page.body);
        assert_eq!(elsewhere.signed_in_as().await, None);
        let led = ada.type_code(&pasted).await;
        led.goes_on_to(mail.path());
        ada.get(led.location()).await.goes_on_to("/members");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
        // Another site's is none, whatever it looks like.
        let (bob, mail) = house.asked("/register", "bob@example.org").await;
        let theirs = mail.link.replacen("localhost", "localhost@e.test", 1);
        bob.type_code(&theirs).await.says_mistake(NO_CODE);
    }

    async fn a_code_signs_a_member_in_and_confirms_a_stranger(db: Database) {
        let house = House::new(db).await;
        house.member("ada@example.org").await;
        for address in ["ada@example.org", "bob@example.org"] {
            let browser = house.visitor();
            let fields = [("email", address), ("next", "/members")];
            browser.post("/sign-in", &fields).await.sees_inbox_page();
            let mail = house.all_mail_to(address).await.remove(0);
            browser.type_code(mail.code()).await.goes_on_to("/members");
            let account = browser.get("/account").await;
            assert!(account.body.contains(address));
            assert!(account.body.contains("With the code from a message"), "{}", account.body);
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 2);
        let by_code = "SELECT count(*) AS n FROM sessions WHERE auth_method = 'email_code'";
        assert_eq!(house.count(by_code).await, 2);
    }

    async fn a_code_is_good_only_in_the_browser_that_asked(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        let stranger = house.visitor();
        stranger.type_code(mail.code()).await.says_mistake(NO_ASK);
        let (eve, _) = house.asked("/register", "eve@example.org").await;
        eve.type_code(mail.code()).await.says_mistake(WRONG);
        // One who asks for the same address gets no second mail, and no part in the first.
        let mallory = house.visitor();
        mallory.ask("/register", "ada@example.org").await.sees_inbox_page();
        mallory.type_code(mail.code()).await.says_mistake(ENDED);
        for browser in [&stranger, &eve, &mallory] {
            assert_eq!(browser.signed_in_as().await, None);
        }
        ada.type_code(mail.code()).await.goes_on_to("/account");
    }

    /// The cookie that says what a browser asked for cannot be made, nor brought from another house.
    async fn a_code_is_not_taken_with_a_forged_cookie(db: Database) {
        let (house, other) = (House::new(db).await, House::new(db).await);
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        let (elsewhere, _) = other.asked("/register", "ada@example.org").await;
        let genuine = ada.cookie("doorpost_asked").unwrap();
        let forgeries = [
            elsewhere.cookie("doorpost_asked").unwrap(),
            genuine[..genuine.len() - 1].to_owned(),
            format!("{genuine}A"),
            genuine.to_lowercase(),
            "x".repeat(4000),
            String::new(),
        ];
        for forged in forgeries {
            let eve = house.visitor();
            eve.set_cookie("doorpost_asked", &forged);
            eve.type_code(mail.code()).await.says_mistake(NO_ASK);
        }
        ada.type_code(mail.code()).await.goes_on_to("/account");
    }

    /// With what was typed, so that a letter can be mended; and as text, whatever it was.
    async fn a_wrong_code_comes_back_with_its_mistake(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        for (typed, shown, mistake) in [
            ("bcdf-ghjk", "bcdf-ghjk", WRONG),
            ("bcdf-ghj", "bcdf-ghj", NO_CODE),
            ("\"><b>", "&#34;&#62;&#60;b&#62;", NO_CODE),
        ] {
            let again = ada.type_code(typed).await;
            again.says_mistake(mistake);
            assert_eq!(again.between("name=\"code\" type=\"text\" value=\"", "\"").as_deref(), Some(shown));
        }
        ada.type_code(mail.code()).await.goes_on_to("/account");
    }

    async fn only_the_newest_code_is_taken(db: Database) {
        let house = House::new(db).await;
        let (ada, first) = house.asked("/register", "ada@example.org").await;
        house.advance(GAP);
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        let second = house.all_mail_to("ada@example.org").await.remove(0);
        ada.type_code(first.code()).await.says_mistake(WRONG);

        // What the browser asked for last counts, whoever it was for.
        ada.ask("/register", "bob@example.org").await.sees_inbox_page();
        let third = house.mail_to("bob@example.org").await;
        ada.type_code(second.code()).await.says_mistake(WRONG);
        ada.type_code(third.code()).await.goes_on_to("/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("bob@example.org"));
    }

    async fn asking_again_too_soon_keeps_the_code(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        assert_eq!(house.all_mail_to("ada@example.org").await.len(), 1);
        ada.type_code(mail.code()).await.goes_on_to("/account");
    }

    async fn a_code_may_be_tried_five_times_and_the_link_lives_on(db: Database) {
        let house = House::new(db).await;
        let (bob, mail) = house.asked("/register", "bob@example.org").await;
        for _ in 0..4 {
            bob.type_code("BBBB-BBBB").await.says_mistake(WRONG);
        }
        bob.type_code(mail.code()).await.goes_on_to("/account");

        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        for typed in ["BBBB-BBBB", "bbbbbbbb", "CCCC-CCCC", "DDDD-DDDD", "BBBB-BBBB"] {
            ada.type_code("").await.says_mistake("Type the code from the message");
            let wrong = ada.type_code(typed).await;
            assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{typed}");
        }
        let ended = ada.type_code(mail.code()).await;
        ended.says_mistake(ENDED);
        ended.says_mistake("Ask for a new message");
        assert!(!ended.body.contains("name=\"code\""), "there is nothing more to type");
        assert_eq!(ada.signed_in_as().await, None);

        ada.confirm(&mail.link).await;
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
    }

    /// Counted before they are compared: fifty at once are no more than five.
    async fn of_fifty_codes_at_once_five_are_tried(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let second = (db == Database::Postgres).then(|| house.second_node(&[]));
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        let crowd: Vec<_> = (0..50)
            .map(|n| {
                let node = if n % 2 == 0 { &house } else { second.as_ref().unwrap_or(&house) };
                let browser = node.visitor();
                browser.set_cookie("doorpost_asked", &ada.cookie("doorpost_asked").unwrap());
                browser
            })
            .collect();
        at_once(crowd.iter().cloned().map(|one| async move { one.get("/").await.status })).await;
        let tries = crowd.iter().cloned().map(|one| async move { one.type_code("BBBB-BBBB").await });
        let answers: Vec<Page> = at_once(tries).await;
        let of = |words: &str| answers.iter().filter(|page| page.body.contains(words)).count();
        assert_eq!((of(WRONG), of(ENDED)), (4, 46), "the fifth try is the last");
        assert_eq!(house.count("SELECT CAST(max(code_tries) AS BIGINT) AS n FROM links").await, 5);
        ada.type_code(mail.code()).await.says_mistake(ENDED);
        assert_eq!(house.count(SESSIONS).await, 0);
    }

    async fn of_fifty_right_codes_at_once_one_signs_in(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        let crowd: Vec<_> = (0..50)
            .map(|_| {
                let browser = house.visitor();
                browser.set_cookie("doorpost_asked", &ada.cookie("doorpost_asked").unwrap());
                browser
            })
            .collect();
        at_once(crowd.iter().cloned().map(|one| async move { one.get("/").await.status })).await;
        // Half with the code, half with the link beside it: one row, one use.
        let uses = crowd.iter().cloned().enumerate().map(|(n, one)| {
            let mail = mail.clone();
            async move {
                if n % 2 == 0 {
                    one.type_code(mail.code()).await
                } else {
                    one.post("/confirm-email", &[("token", mail.token())]).await
                }
            }
        });
        let answers = at_once(uses).await;
        let won = answers.iter().filter(|page| page.status == StatusCode::SEE_OTHER).count();
        assert_eq!(won, 1);
        assert!(answers.iter().all(|page| page.status.as_u16() < 500));
        assert_eq!(house.count(SESSIONS).await, 1);
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 1);
    }

    /// TOK-12
    async fn a_code_uses_its_link_up_and_a_link_its_code(db: Database) {
        let house = House::new(db).await;
        house.member("ada@example.org").await;
        for (route, address) in [("/sign-in", "ada@example.org"), ("/register", "bob@example.org")] {
            let (browser, mail) = house.asked(route, address).await;
            browser.type_code(mail.code()).await.goes_on_to("/account");
            house.visitor().use_link(&mail, address).await.says_the_link_is_gone();
            let again = house.visitor();
            again.set_cookie("doorpost_asked", &browser.cookie("doorpost_asked").unwrap());
            again.type_code(mail.code()).await.says_mistake(ENDED);

            house.advance(GAP);
            let (browser, mail) = house.asked(route, address).await;
            house.visitor().use_link(&mail, address).await.goes_on_to("/account");
            browser.type_code(mail.code()).await.says_mistake(ENDED);
            assert_eq!(browser.signed_in_as().await, None);
        }
    }

    /// TOK-06
    async fn a_code_ends_with_its_link(db: Database) {
        let house = House::new(db).await;
        house.member("ada@example.org").await;
        house.member("bob@example.org").await;
        let (ada, in_time) = house.asked("/sign-in", "ada@example.org").await;
        let (bob, too_late) = house.asked("/sign-in", "bob@example.org").await;
        house.advance(10 * MINUTE - Duration::from_millis(1));
        ada.type_code(in_time.code()).await.goes_on_to("/account");
        house.advance(Duration::from_millis(1));
        bob.type_code(too_late.code()).await.says_mistake(ENDED);
        assert_eq!(bob.signed_in_as().await, None);
    }

    /// TOK-18
    async fn wrong_codes_count_against_the_network(db: Database) {
        let house = House::new(db).await;
        let mut statuses = Vec::new();
        for n in 0..7 {
            let (browser, _) = house.asked("/register", &format!("ada{n}@example.org")).await;
            let browser = browser.calling_from("203.0.113.7");
            for _ in 0..5 {
                statuses.push(browser.type_code("BBBB-BBBB").await.status);
            }
        }
        assert_eq!(statuses[..30], [StatusCode::UNPROCESSABLE_ENTITY; 30]);
        assert_eq!(statuses[30..], [StatusCode::TOO_MANY_REQUESTS; 5]);
        let (neighbour, mail) = house.asked("/register", "eve@example.org").await;
        let neighbour = neighbour.calling_from("203.0.113.8");
        neighbour.type_code("BBBB-BBBB").await.says_mistake(WRONG);
        // The right code is no guess, wherever it comes from.
        neighbour.calling_from("203.0.113.7").type_code(mail.code()).await.goes_on_to("/account");
    }

    /// ENU-01, ENU-04: whoever asks for an address, and asks again, and tries codes, early or late, is not
    /// told whether somebody signs in with it. Not by what its owner does in the meantime, either.
    async fn in_a_closed_house_a_strangers_ask_answers_like_a_members(db: Database) {
        for sign_up in ["invited", "example.net"] {
            let settings = [("SIGN_UP", sign_up), ("LIMIT_TOKEN_PER_NETWORK", "off")];
            let house = House::with(db, &settings).await;
            invite(&house, "member@example.org").await;
            house.member("member@example.org").await;
            house.advance(DAY);
            let member = answers(&house, "member@example.org").await;
            house.advance(DAY);
            let stranger = answers(&house, "nobody@example.org").await;
            assert_eq!(member.len(), stranger.len());
            for ((what, member), (_, stranger)) in member.iter().zip(&stranger) {
                assert_eq!(member, stranger, "SIGN_UP={sign_up}: {what}");
            }
            assert_eq!(house.all_mail_to("nobody@example.org").await.len(), 0);
            assert!(house.all_mail_to("member@example.org").await.len() > 4);
        }
    }

    async fn an_invited_address_counts_as_open(db: Database) {
        for sign_up in ["invited", "example.net"] {
            let house = House::with(db, &[("SIGN_UP", sign_up)]).await;
            invite(&house, "ada@example.org").await;
            let (ada, mail) = house.asked("/sign-in", "ada@example.org").await;
            assert_eq!(mail.route(), "/confirm-email");
            ada.type_code(mail.code()).await.goes_on_to("/account");
        }
        let house = House::with(db, &[("SIGN_UP", "example.net")]).await;
        let (bob, mail) = house.asked("/register", "bob@example.net").await;
        bob.type_code(mail.code()).await.goes_on_to("/account");
    }
}

/// As a keyboard for Chinese or Japanese writes it.
fn full_width(letter: char) -> char {
    match letter {
        '!'..='~' => char::from_u32(u32::from(letter) + 0xfee0).unwrap(),
        _ => letter,
    }
}

async fn invite(house: &House, address: &str) {
    let email = EmailAddress::parse(address).unwrap();
    let invited = house
        .app
        .transaction(move |tx| admission::invite(tx, &email));
    invited.await.unwrap();
}

/// What a stranger is answered who asks for this address in several ways; and what was done.
async fn answers(house: &House, address: &str) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut note = |what, page: Page| all.push((what, page.looks().replace(address, "ADDRESS")));

    let first = house.visitor();
    note("asked", first.ask("/sign-in", address).await);
    note("the page that waits", first.get("/sign-in/sent").await);
    note(
        "asked within the gap",
        first.ask("/register", address).await,
    );
    for _ in 0..7 {
        note("a wrong code", first.type_code("BBBB-BBBB").await);
    }
    let eager = house.visitor();
    note(
        "asked within the gap, elsewhere",
        eager.ask("/sign-in", address).await,
    );
    note("a code there", eager.type_code("BBBB-BBBB").await);

    house.all_mail_to(address).await;
    house.advance(GAP);
    let second = house.visitor();
    note(
        "asked later",
        second.ask("/confirm-email/send", address).await,
    );
    note("the page that waits", second.get("/sign-in/sent").await);
    house.all_mail_to(address).await;
    house.advance(GAP);
    note(
        "asked by others",
        house.visitor().ask("/sign-in", address).await,
    );
    note(
        "a code after a newer mail",
        second.type_code("BBBB-BBBB").await,
    );
    note(
        "the page that waits after a newer mail",
        second.get("/sign-in/sent").await,
    );

    house.all_mail_to(address).await;
    house.advance(GAP);
    let third = house.visitor();
    note("asked again", third.ask("/register", address).await);
    if let Some(mail) = house.all_mail_to(address).await.first() {
        house
            .visitor()
            .use_link(mail, address)
            .await
            .goes_on_to("/account");
    }
    for _ in 0..3 {
        note(
            "a code after its owner signed in",
            third.type_code("BBBB-BBBB").await,
        );
    }

    house.all_mail_to(address).await;
    house.advance(GAP);
    let last = house.visitor();
    note("asked once more", last.ask("/sign-in", address).await);
    note(
        "asked too often",
        house.visitor().ask("/sign-in", "other@example.org").await,
    );
    for (what, later) in [
        ("a code after eleven minutes", 11 * MINUTE),
        ("a code after a day", DAY),
        ("a code after two days", DAY),
        ("a code after three days", DAY),
    ] {
        house.advance(later);
        note(what, last.type_code("BBBB-BBBB").await);
    }
    all
}
