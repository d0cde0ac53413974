//! The gate: what is sensitive wants the password, entered in this very session and lately.

use std::time::Duration;

use reqwest::StatusCode;

use crate::support::{Database, House, PASSWORD, Page, Visitor, at_once};

const WINDOW: Duration = Duration::from_secs(10 * 60);
const SECOND: Duration = Duration::from_secs(1);
const GAP: Duration = Duration::from_secs(61);

const WRONG: &str = "This is not the password of this account.";

type Fields = &'static [(&'static str, &'static str)];

/// Every page and form behind the gate, with what a form sends; and where its visitor comes back to.
const SENSITIVE: &[(&str, &str, Fields, &str)] = &[
    ("GET", "/account/email", &[], "/account/email"),
    (
        "POST",
        "/account/email",
        &[("email", "new@example.org")],
        "/account/email",
    ),
    ("GET", "/account/password", &[], "/account/password"),
    (
        "POST",
        "/account/password",
        &[("password", "another horse that eats staples")],
        "/account/password",
    ),
    ("POST", "/account/export", &[], "/account"),
    (
        "POST",
        "/account/reset-hold",
        &[("answer", "mine")],
        "/account/reset-hold",
    ),
    ("GET", "/account/delete", &[], "/account/delete"),
    (
        "POST",
        "/account/delete",
        &[("email", "ada@example.org")],
        "/account/delete",
    ),
];

/// Asks for everything sensitive; the answers.
async fn try_everything(visitor: &Visitor) -> Vec<Page> {
    let mut pages = Vec::new();
    for (method, path, fields, _) in SENSITIVE {
        pages.push(match *method {
            "GET" => visitor.get(path).await,
            _ => visitor.post(path, fields).await,
        });
    }
    pages
}

#[track_caller]
fn all_are_sent_to_the_gate(pages: &[Page]) {
    for (page, (.., back)) in pages.iter().zip(SENSITIVE) {
        page.is_sent_to_the_gate(back);
    }
}

async fn enter(visitor: &Visitor, password: &str) -> Page {
    visitor
        .post("/reauthenticate", &[("password", password)])
        .await
}

/// Whether the gate is open to this session.
async fn may_act(visitor: &Visitor) -> bool {
    visitor.get("/account/password").await.status == StatusCode::OK
}

/// Everything that an account is, and all mail: what must not change.
async fn state(house: &House) -> Vec<String> {
    let dump = "SELECT count(*) AS n FROM";
    let mut state = Vec::new();
    for rows in [
        "users WHERE email = 'ada@example.org'",
        "users WHERE password_hash IS NOT NULL",
        "sessions",
        "links",
        "outbox",
    ] {
        state.push(format!(
            "{rows}: {}",
            house.count(format!("{dump} {rows}")).await
        ));
    }
    state
}

on_both! {
    /// SUD-01
    async fn a_session_from_a_link_does_nothing_sensitive(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password("ada@example.org").await;
        house.all_mail_to("ada@example.org").await;
        let before = state(&house).await;
        all_are_sent_to_the_gate(&try_everything(&ada).await);
        assert_eq!(state(&house).await, before);
        let noted = "SELECT CAST(sum(count) AS BIGINT) AS n FROM events WHERE name = 'reauthentication_required'";
        assert_eq!(house.count(noted).await, 1, "once a minute is enough");
        house.advance(GAP);
        ada.get("/account/delete").await;
        assert_eq!(house.count(noted).await, 2);
        assert!(ada.signed_in_as().await.is_some(), "and goes on to look");
    }

    async fn the_password_opens_the_gate_and_leads_back(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password("ada@example.org").await;
        let page = ada.get("/account/password").await;
        let page = ada.follow(page).await;
        assert_eq!(page.hidden("next").as_deref(), Some("/account/password"));
        let fields = [("password", PASSWORD), ("next", "/account/password")];
        ada.post("/reauthenticate", &fields).await.goes_on_to("/account/password");
        assert!(may_act(&ada).await);
    }

    /// SUD-02
    async fn the_window_ends_whatever_is_done_in_it(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner("ada@example.org").await;
        for _ in 0..9 {
            house.advance(Duration::from_secs(60));
            assert!(may_act(&ada).await);
            ada.get("/account").await;
        }
        house.advance(Duration::from_secs(59));
        assert!(may_act(&ada).await);
        house.advance(SECOND);
        all_are_sent_to_the_gate(&try_everything(&ada).await);
        ada.reauthenticate().await;
        assert!(may_act(&ada).await);
    }

    async fn the_window_is_as_long_as_is_set(db: Database) {
        let house = House::with(db, &[("REAUTHENTICATION_WINDOW", "3s")]).await;
        let ada = house.owner("ada@example.org").await;
        assert!(ada.get("/reauthenticate").await.body.contains("for 3 seconds in this browser"));
        house.advance(2 * SECOND);
        assert!(may_act(&ada).await);
        house.advance(SECOND);
        assert!(!may_act(&ada).await);
    }

    /// SUD-03
    async fn the_session_goes_on_under_a_new_token_and_the_old_one_is_dead(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password("ada@example.org").await;
        let thief = ada.with_copied_jar();
        assert!(thief.signed_in_as().await.is_some());
        ada.reauthenticate().await;
        assert_ne!(ada.cookie("doorpost"), thief.cookie("doorpost"));
        assert_eq!(thief.signed_in_as().await, None);
        assert!(!may_act(&thief).await);
        assert!(may_act(&ada).await);
        assert_eq!(house.count("SELECT count(*) AS n FROM sessions").await, 1, "the same session");
    }

    /// SUD-09
    async fn the_gate_opens_for_one_session_alone(db: Database) {
        let house = House::new(db).await;
        let here = house.member_with_password("ada@example.org").await;
        let (there, mail) = house.asked("/sign-in", "ada@example.org").await;
        there.click(&mail.link).await.goes_on_to("/account");
        here.reauthenticate().await;
        assert!(may_act(&here).await);
        assert!(!may_act(&there).await);
    }

    /// Promise 7: no other event counts.
    async fn nothing_but_the_password_in_this_session_opens_it(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner("ada@example.org").await;
        // A fresh link in the same browser: no password entry carries over.
        house.advance(GAP);
        ada.ask("/sign-in", "ada@example.org").await.sees_inbox_page();
        let mail = house.mails_to("ada@example.org", 2).await.remove(0);
        ada.click(&mail.link).await.goes_on_to("/account");
        assert!(!may_act(&ada).await);
        // Another account's password.
        let other = house.visitor();
        other.ask("/register", "bob@example.org").await.sees_inbox_page();
        let mail = house.mail_to("bob@example.org").await;
        let fields = [("token", mail.token()), ("password", "bobs horse eats no staples")];
        other.post("/confirm-email", &fields).await.goes_on_to("/account");
        enter(&ada, "bobs horse eats no staples").await.says_mistake(WRONG);
        // Choosing the password when confirming is no entry of it.
        assert!(!may_act(&other).await);
        assert!(!may_act(&ada).await);
    }

    /// Another session signs in with the password, and a reset happens elsewhere: neither helps this one.
    async fn a_reset_elsewhere_does_not_open_it(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password("ada@example.org").await;
        let (elsewhere, mail) = house.asked("/forgot-password", "ada@example.org").await;
        let chosen = [("token", mail.token()), ("password", "quite another horse altogether")];
        elsewhere.post("/reset-password", &chosen).await.goes_on_to("/sign-in/password");
        assert_eq!(ada.signed_in_as().await, None, "it ended this session");
        let fields = [("email", "ada@example.org"), ("password", "quite another horse altogether")];
        elsewhere.post("/sign-in/password", &fields).await.goes_on_to("/account");
        assert!(may_act(&elsewhere).await, "who signs in with the password has entered it");
        assert!(!may_act(&ada).await);
    }

    /// SUD-06
    async fn without_a_password_there_is_the_mail_that_sets_one_and_nothing_else(db: Database) {
        let house = House::new(db).await;
        let ada = house.member("ada@example.org").await;
        let (other_session, mail) = house.asked("/sign-in", "ada@example.org").await;
        other_session.click(&mail.link).await.goes_on_to("/account");

        let typed = [("email", "new@example.org")];
        let page = ada.post("/account/email", &typed).await;
        page.is_sent_to_the_gate("/account/email");
        let gate = ada.follow(page).await;
        assert!(!gate.body.contains("type=\"password\""), "{}", gate.body);
        for guess in ["", " ", PASSWORD, "a"] {
            let refused = enter(&ada, guess).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(!may_act(&ada).await);
        }

        house.advance(GAP);
        let ask = [
            ("email", gate.hidden("email").unwrap()),
            ("next", gate.hidden("next").unwrap()),
        ];
        let ask = ask.each_ref().map(|(name, value)| (*name, value.as_str()));
        ada.post("/forgot-password", &ask).await.sees_inbox_page();
        let mail = house.mails_to("ada@example.org", 3).await.remove(0);
        assert_eq!(mail.route(), "/reset-password");
        let page = ada.open(&mail.link).await;
        let token = page.hidden("token").unwrap();
        let set = ada.post("/reset-password", &[("token", &token), ("password", PASSWORD)]).await;
        set.goes_on_to("/sign-in/password");
        assert_eq!(ada.signed_in_as().await, None, "setting it signs nobody in");
        assert_eq!(other_session.signed_in_as().await, None, "and ends every session");

        let page = ada.follow(set).await;
        assert_eq!(page.hidden("next").as_deref(), Some("/account/email"));
        let fields = [("email", "ada@example.org"), ("password", PASSWORD), ("next", "/account/email")];
        let back = ada.post("/sign-in/password", &fields).await;
        back.goes_on_to("/account/email");
        let form = ada.follow(back).await;
        assert!(form.body.contains("value=\"new@example.org\""), "{}", form.body);
    }

    /// SUD-07
    async fn guessing_at_the_gate_has_a_budget_that_all_sessions_share(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password("ada@example.org").await;
        let (there, mail) = house.asked("/sign-in", "ada@example.org").await;
        there.click(&mail.link).await.goes_on_to("/account");
        for n in 0..20 {
            let from = if n % 2 == 0 { &ada } else { &there };
            let page = enter(from, "a horse that eats nothing").await;
            if n < 5 {
                page.says_mistake(WRONG);
            } else {
                assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
                let wait: u64 = page.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=900).contains(&wait), "{wait}");
            }
        }
        for session in [&ada, &there] {
            assert_eq!(enter(session, PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
            assert!(!may_act(session).await);
        }
        let subjects: Vec<String> = house.news_to("ada@example.org").await.into_iter()
            .map(|news| news.subject).collect();
        let told = subjects.iter().filter(|subject| subject.starts_with("Wrong passwords")).count();
        assert_eq!(told, 1, "{subjects:?}");
        house.advance(Duration::from_secs(15 * 60));
        ada.reauthenticate().await;
        assert!(may_act(&ada).await);
    }

    /// SUD-07: what strangers try is theirs; success gives the account's tries back.
    async fn strangers_do_not_shut_it_and_the_right_one_empties_the_budget(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password("ada@example.org").await;
        for n in 0..6 {
            let stranger = house.visitor().calling_from(&format!("192.0.2.{n}"));
            let fields = [("email", "ada@example.org"), ("password", "a horse that eats nothing")];
            stranger.post("/sign-in/password", &fields).await;
        }
        for _ in 0..3 {
            for _ in 0..4 {
                enter(&ada, "a horse that eats nothing").await.says_mistake(WRONG);
            }
            ada.reauthenticate().await;
        }
    }

    /// NIST SP 800-63B: whoever holds a session has no more than a hundred guesses in a row.
    async fn a_hundred_wrong_ones_in_a_row_close_the_gate_for_a_day_or_until_a_reset(db: Database) {
        let house = House::with(db, &[("LIMIT_PASSWORD_PER_ACCOUNT", "off")]).await;
        let ada = house.member_with_password("ada@example.org").await;
        let guess_a_hundred_times = async |ada: &Visitor| {
            for _ in 0..100 {
                enter(ada, "a horse that eats nothing").await.says_mistake(WRONG);
            }
            let refused = enter(ada, PASSWORD).await;
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(refused.header("retry-after"), Some("86400"));
            assert!(!may_act(ada).await);
        };
        guess_a_hundred_times(&ada).await;
        // A mailed link is no password: the thief of a session may wait for one.
        let (by_link, mail) = house.asked("/sign-in", "ada@example.org").await;
        by_link.click(&mail.link).await.goes_on_to("/account");
        assert_eq!(enter(&by_link, PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
        house.advance(Duration::from_secs(24 * 60 * 60));
        ada.reauthenticate().await;
        guess_a_hundred_times(&house.member_with_password("bob@example.org").await).await;
        let (bob, mail) = house.asked("/forgot-password", "bob@example.org").await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        bob.post("/reset-password", &fields).await.goes_on_to("/sign-in/password");
        bob.enter("bob@example.org", PASSWORD).await.goes_on_to("/account");
        bob.reauthenticate().await;
    }

    /// Promise 16: fifty at once are five.
    async fn tries_are_counted_before_they_are_compared(db: Database) {
        let house = House::with(db, &[("ARGON2_PARALLEL", "64")]).await;
        let ada = house.member_with_password("ada@example.org").await;
        let tries = (0..50).map(|_| {
            let ada = ada.clone();
            async move { enter(&ada, "a horse that eats nothing").await }
        });
        let pages = at_once(tries).await;
        let compared = pages.iter().filter(|page| page.status == StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(compared.count(), 5);
        let refused = pages.iter().filter(|page| page.status == StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.count(), 45);
        assert_eq!(house.count(
            "SELECT CAST(sum(count) AS BIGINT) AS n FROM events WHERE name = 'reauthentication_refused'").await, 5);
    }

    /// One token comes of it, whichever request is last: never two that live.
    async fn of_many_right_ones_at_once_one_token_lives(db: Database) {
        let house = House::with(db, &[("ARGON2_PARALLEL", "64")]).await;
        let ada = house.member_with_password("ada@example.org").await;
        let tabs: Vec<Visitor> = (0..5).map(|_| ada.with_copied_jar()).collect();
        let tries = tabs.clone().into_iter().map(|tab| async move { enter(&tab, PASSWORD).await });
        at_once(tries).await;
        let mut alive = 0;
        for tab in &tabs {
            alive += i32::from(tab.signed_in_as().await.is_some());
        }
        assert_eq!(alive, 1);
        assert_eq!(house.count("SELECT count(*) AS n FROM sessions").await, 1);
    }

    /// What was typed is there afterwards, and nothing was done meanwhile (SUD-08).
    async fn an_interrupted_form_waits_filled_in_and_is_not_sent_by_itself(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password("ada@example.org").await;
        let typed = [("email", "\"><b>new@example.org")];
        ada.post("/account/email", &typed).await.is_sent_to_the_gate("/account/email");
        let fields = [("password", PASSWORD), ("next", "/account/email")];
        let back = ada.post("/reauthenticate", &fields).await;
        let form = ada.follow(back).await;
        assert!(form.body.contains("new@example.org"), "{}", form.body);
        assert!(!form.body.contains("<b>"));
        assert!(house.all_mail_to("new@example.org").await.is_empty(), "nothing was sent by itself");
        let sent = [("email", "new@example.org")];
        ada.post("/account/email", &sent).await.goes_on_to("/account/email");
        house.mail_to("new@example.org").await;
        assert!(ada.cookie("doorpost_form").is_none(), "it has arrived, and is forgotten");
    }

    async fn what_was_typed_belongs_to_its_account_and_lasts_an_hour(db: Database) {
        let house = House::new(db).await;
        let typed = [("email", "secret@example.org")];
        let ada = house.member_with_password("ada@example.org").await;
        ada.post("/account/email", &typed).await.is_sent_to_the_gate("/account/email");
        let cookie = ada.cookie("doorpost_form").unwrap();
        let bob = house.owner("bob@example.org").await;
        bob.set_cookie("doorpost_form", &cookie);
        assert!(!bob.get("/account/email").await.body.contains("secret@"));

        house.advance(Duration::from_secs(50 * 60));
        ada.reauthenticate().await;
        assert!(ada.get("/account/email").await.body.contains("secret@"), "it is hers");
        assert!(!ada.get("/account/delete").await.body.contains("secret@"), "on its own page");
        house.advance(WINDOW);
        ada.reauthenticate().await;
        assert!(!ada.get("/account/email").await.body.contains("secret@"), "for an hour");
    }

    async fn no_password_is_ever_kept_in_it_and_nothing_huge(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password("ada@example.org").await;
        let page = ada.post("/account/password", &[("password", "another horse to be")]).await;
        page.is_sent_to_the_gate("/account/password");
        assert!(ada.cookie("doorpost_form").is_none());
        let huge = format!("{}@example.org", "a".repeat(4_000));
        ada.post("/account/email", &[("email", &huge)]).await.is_sent_to_the_gate("/account/email");
        assert!(ada.cookie("doorpost_form").is_none());
    }

    async fn an_empty_password_is_a_mistake_that_costs_no_try(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password("ada@example.org").await;
        for _ in 0..7 {
            enter(&ada, "").await.says_mistake("Type your password.");
        }
        ada.reauthenticate().await;
    }

    async fn strangers_have_no_gate(db: Database) {
        let house = House::new(db).await;
        house.member_with_password("ada@example.org").await;
        let stranger = house.visitor();
        stranger.get("/reauthenticate?next=/account/email").await
            .goes_on_to("/sign-in?next=%2Freauthenticate%3Fnext%3D%2Faccount%2Femail");
        enter(&stranger, PASSWORD).await.goes_on_to("/sign-in?next=%2Faccount");
        for page in try_everything(&stranger).await {
            assert!(page.location().starts_with("/sign-in?next="), "{}", page.location());
        }
    }

    /// The proof is looked up where it is used: a form that is sent as its session ends does nothing.
    async fn a_session_that_ended_permits_nothing(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner("ada@example.org").await;
        let thief = ada.with_copied_jar();
        let fields = [("password", "another horse that eats staples")];
        let racers = [("/sign-out", &[][..]), ("/account/password", &fields[..])];
        let racers = racers.map(|(path, fields)| {
            let racer = thief.with_copied_jar();
            let fields: Vec<_> = fields.to_vec();
            async move { racer.post(path, &fields).await }
        });
        at_once(racers).await;
        let after = thief.post("/account/password", &fields).await;
        assert_eq!(after.status, StatusCode::SEE_OTHER);
        assert!(after.location().starts_with("/sign-in"), "{}", after.location());
    }
}
