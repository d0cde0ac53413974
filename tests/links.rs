//! What holds for every mailed link, whatever it is for: it works once, for its own purpose, for a short
//! time, and only a person uses it up.

use std::collections::BTreeSet;
use std::time::Duration;

use actix_web::cookie::{Cookie, CookieJar};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorpost::accounts::client::Client;
use doorpost::accounts::links::{self, OwnPurpose, Purpose, Wanted};
use doorpost::accounts::sessions::AuthMethod;
use doorpost::accounts::users;
use doorpost::actions::sign_in::{self, Device};
use doorpost::random::Token;
use reqwest::{Method, StatusCode};

use crate::purge::purge_all;
use crate::support::{Database, House, Mail, Page, Visitor, at_once};

/// A purpose, seen from outside.
struct Kind {
    name: &'static str,
    /// The page that the link opens.
    route: &'static str,
    /// The form that mails one.
    ask: &'static str,
    for_members: bool,
    lifetime: Duration,
    lifetime_in_words: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "sign_in",
        route: "/sign-in/link",
        ask: "/sign-in",
        for_members: true,
        lifetime: Duration::from_secs(10 * 60),
        lifetime_in_words: "within 10 minutes",
    },
    Kind {
        name: "confirm_email",
        route: "/confirm-email",
        ask: "/register",
        for_members: false,
        lifetime: Duration::from_secs(24 * 60 * 60),
        lifetime_in_words: "within 24 hours",
    },
];

impl Kind {
    fn address(&self) -> String {
        format!("{}@example.org", self.name)
    }

    /// An address that is mailed a link of this kind when somebody asks.
    async fn prepare(&self, house: &House, address: &str) {
        if self.for_members {
            house.member(address).await;
        }
    }

    /// Somebody asks for such a link in a new browser; and the mail.
    async fn asked(&self, house: &House, address: &str) -> (Visitor, Mail) {
        self.prepare(house, address).await;
        house.asked(self.ask, address).await
    }

    /// A link of this kind that is not one.
    fn unknown(&self) -> String {
        self.with(&"A".repeat(43))
    }

    fn with(&self, token: &str) -> String {
        format!("{}?token={token}", self.route)
    }
}

const USED: &str = "SELECT count(*) AS n FROM links WHERE used_at IS NOT NULL";
const LINKS: &str = "SELECT count(*) AS n FROM links";
const SESSIONS: &str = "SELECT count(*) AS n FROM sessions";
const USERS: &str = "SELECT count(*) AS n FROM users";

const MINUTE: Duration = Duration::from_secs(60);
/// Until the same address is mailed again.
const GAP: Duration = Duration::from_secs(61);
const INSTANT: Duration = Duration::from_millis(1);

on_both! {
    /// An app may show a link to whoever it likes, and says by itself where it was sent: such a link is no mailbox's word.
    async fn a_link_of_an_apps_own_signs_nobody_in(db: Database) {
        const OWN: Purpose =
            Purpose::Own(&OwnPurpose::new("own_purpose", "/own", Duration::from_secs(60)));
        let house = House::new(db).await;
        house.member("ada@example.org").await;
        let app = house.app.clone();
        let begun = house.app.transaction(move |tx| {
            let user = users::hold_by_email(tx, "ada@example.org")?.unwrap();
            let wanted = Wanted {
                purpose: OWN,
                email: &user.email,
                user: Some(&user),
                link_request_id: None,
                session_id: None,
            };
            let issued = links::issue(tx, &app.config, &app.keys, &wanted)?;
            let proof = links::find(tx, &issued.token, OWN)?.unwrap().consume(tx)?.unwrap();
            let device = Device::program(Client::mail_server());
            sign_in::by_proof(tx, &app, proof, AuthMethod::EmailLink, &device)
        });
        assert!(begun.await.unwrap().is_none());
    }

    /// TOK-01
    async fn a_link_works_once(db: Database) {
        let mut house = House::new(db).await;
        for kind in &KINDS {
            let address = kind.address();
            let (ada, mail) = kind.asked(&house, &address).await;
            ada.use_link(&mail, &address).await.goes_on_to("/account");
            assert_eq!(ada.signed_in_as().await.as_deref(), Some(address.as_str()));
            let sessions = house.count(SESSIONS).await;

            let signed_out = ada.with_copied_jar();
            signed_out.forget_cookie("doorpost");
            let mut seen = BTreeSet::new();
            for moment in ["at once", "after 5 s", "after a restart"] {
                for (jar, visitor) in [("the same", &signed_out), ("a new", &house.visitor())] {
                    if moment == "after a restart" && jar == "the same" {
                        continue; // its server is gone
                    }
                    let again = visitor.use_link(&mail, &address).await;
                    again.says_the_link_is_gone();
                    assert!(again.body.contains("Send me a new link"), "{jar} jar {moment}");
                    let look = visitor.get(&kind.with(mail.token())).await;
                    look.says_the_link_is_gone();
                    assert_eq!(look.looks(), again.looks(), "{jar} jar {moment}");
                    if jar == "a new" {
                        seen.insert(again.looks());
                    }
                }
                match moment {
                    "at once" => house.advance(Duration::from_secs(5)),
                    "after 5 s" => house = house.restart(&[]).await,
                    _ => {}
                }
            }
            assert_eq!(seen.len(), 1, "the page is the same every time");
            assert_eq!(house.count(SESSIONS).await, sessions);
        }
    }

    /// TOK-02, TOK-05
    async fn of_fifty_at_once_one_uses_a_link(db: Database) {
        let house = House::new(db).await;
        let second = (db == Database::Postgres).then(|| house.second_node(&[]));
        let nodes = [&house, second.as_ref().unwrap_or(&house)];
        for kind in &KINDS {
            for round in 0..2 {
                let address = format!("{}-{round}@example.org", kind.name);
                let (_, mail) = kind.asked(&house, &address).await;
                let sessions = house.count(SESSIONS).await;
                let crowd: Vec<Visitor> = (0..50)
                    .map(|n| nodes[n % 2].visitor().calling_from(&format!("192.0.2.{n}")))
                    .collect();
                let looks = crowd.iter().cloned().map(|visitor| {
                    let link = kind.with(mail.token());
                    async move { visitor.open(&link).await.status }
                });
                assert_eq!(at_once(looks).await, [StatusCode::OK; 50]);

                let uses = crowd.iter().cloned().map(|visitor| {
                    let (mail, address) = (mail.clone(), address.clone());
                    async move { visitor.use_link(&mail, &address).await }
                });
                let (won, lost): (Vec<Page>, Vec<Page>) = at_once(uses)
                    .await
                    .into_iter()
                    .partition(|page| page.status == StatusCode::SEE_OTHER);
                assert_eq!(won.len(), 1, "one of fifty wins");
                for page in &lost {
                    page.says_the_link_is_gone();
                    assert_eq!(page.looks(), lost[0].looks());
                }
                let mut inside = 0;
                for visitor in &crowd {
                    inside += usize::from(visitor.signed_in_as().await == Some(address.clone()));
                }
                assert_eq!(inside, 1, "one jar is signed in");
                assert_eq!(house.count(SESSIONS).await, sessions + 1);
                let mails = if kind.for_members { 2 } else { 1 };
                assert_eq!(house.all_mail_to(&address).await.len(), mails, "and nobody is mailed");
            }
        }
        assert_eq!(house.count(USERS).await, 4, "an account for each address");
    }

    /// TOK-06
    async fn a_link_ends_when_its_lifetime_is_over(db: Database) {
        let short = [
            ("LINK_LIFETIME_SIGN_IN", "3s"),
            ("LINK_LIFETIME_CONFIRM_EMAIL", "3s"),
        ];
        for variables in [&[][..], &short] {
            let house = House::with(db, variables).await;
            for kind in &KINDS {
                let (lifetime, words) = match variables {
                    [] => (kind.lifetime, kind.lifetime_in_words),
                    _ => (Duration::from_secs(3), "within 3 seconds"),
                };
                let (early, late) = (&format!("early-{}", kind.address()), &format!("late-{}", kind.address()));
                kind.prepare(&house, early).await;
                kind.prepare(&house, late).await;
                let (_, in_time) = house.asked(kind.ask, early).await;
                let (asker, too_late) = house.asked(kind.ask, late).await;
                assert!(in_time.text.contains(words), "{words}: {}", in_time.text);
                assert!(in_time.html.contains(words), "{words}: {}", in_time.html);

                house.advance(lifetime - INSTANT);
                house.visitor().use_link(&in_time, early).await.goes_on_to("/account");
                house.advance(INSTANT);
                house.visitor().use_link(&too_late, late).await.says_the_link_is_gone();
                asker.click(&too_late.link).await.says_the_link_is_gone();
            }
        }
    }

    /// TOK-07
    async fn an_expired_link_is_refused_before_it_is_forgotten(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let (_, mail) = kind.asked(&house, &kind.address()).await;
            let links = house.count(LINKS).await;
            house.advance(kind.lifetime);
            house.visitor().use_link(&mail, &kind.address()).await.says_the_link_is_gone();
            assert_eq!(house.count(LINKS).await, links, "nobody has cleaned up");
        }
        house.advance(Duration::from_secs(2 * 24 * 60 * 60));
        purge_all(&house).await;
        assert_eq!(house.count(LINKS).await, 0);
    }

    /// TOK-08
    async fn a_link_works_for_its_purpose_alone(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        for kind in &KINDS {
            let address = kind.address();
            let (ada, mail) = kind.asked(&house, &address).await;
            let token = mail.token();
            let sessions = house.count(SESSIONS).await;
            for other in KINDS.iter().filter(|other| other.route != kind.route) {
                let somebody = house.visitor();
                let junk = somebody.get(&other.unknown()).await;
                junk.says_the_link_is_gone();
                let fields = [("token", token), ("email", address.as_str())];
                for wrong in [
                    somebody.get(&other.with(token)).await,
                    somebody.post(other.route, &fields).await,
                ] {
                    assert_eq!(wrong.looks(), junk.looks(), "{} at {}", kind.name, other.route);
                }
                for path in [format!("{}/{token}", other.route), format!("{}/{token}", kind.route)] {
                    assert_eq!(somebody.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
                }
                ada.click(&other.with(token)).await.says_the_link_is_gone();
            }
            let in_query = ada.post(&kind.with(token), &[("email", &address)]).await;
            assert_eq!(in_query.status, StatusCode::BAD_REQUEST, "a token in the query of a POST");
            let twice = [("token", token), ("token", token), ("email", &address)];
            assert_eq!(ada.post(kind.route, &twice).await.status, StatusCode::BAD_REQUEST);

            assert_eq!(house.count(SESSIONS).await, sessions);
            house.visitor().use_link(&mail, &address).await.goes_on_to("/account");
        }
    }

    /// TOK-10
    async fn a_token_has_one_spelling(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        for kind in &KINDS {
            let address = kind.address();
            let (_, mail) = kind.asked(&house, &address).await;
            let (_, other) = kind.asked(&house, &format!("other-{address}")).await;
            let somebody = house.visitor();
            let unknown = somebody.get(&kind.unknown()).await.looks();
            for (what, tampered) in tampered(mail.token(), other.token()) {
                assert_ne!(tampered, mail.token(), "{what} changes it");
                let encoded: String =
                    url::form_urlencoded::byte_serialize(tampered.as_bytes()).collect();
                let look = somebody.get(&kind.with(&encoded)).await;
                assert_eq!(look.looks(), unknown, "GET, {what}: {tampered:?}");
                let fields = [("token", tampered.as_str()), ("email", &address)];
                let used = somebody.post(kind.route, &fields).await;
                assert_eq!(used.looks(), unknown, "POST, {what}: {tampered:?}");
            }
            somebody.use_link(&mail, &address).await.goes_on_to("/account");
        }
    }

    /// TOK-12, TOK-24
    async fn a_newer_link_ends_the_older_ones_and_an_unsent_one_ends_none(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let address = kind.address();
            let (first_browser, first) = kind.asked(&house, &address).await;
            house.advance(GAP);
            let (_, second) = house.asked(kind.ask, &address).await;
            house.advance(GAP);
            let (last_browser, third) = house.asked(kind.ask, &address).await;

            for _ in 0..2 {
                // Within the gap: the same page, and no mail.
                house.visitor().ask(kind.ask, &address).await.sees_inbox_page();
            }
            house.advance(GAP);
            let spent = if kind.for_members { 1 } else { 2 }; // of five in a quarter of an hour
            for _ in 0..spent {
                house.advance(GAP);
                house.asked(kind.ask, &address).await;
            }
            let newest = house.all_mail_to(&address).await.remove(0);
            house.advance(GAP);
            let refused = house.visitor().ask(kind.ask, &address).await;
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.body);

            for older in [&first, &second, &third] {
                house.visitor().use_link(older, &address).await.says_the_link_is_gone();
            }
            first_browser.click(&first.link).await.says_the_link_is_gone();
            last_browser.click(&third.link).await.says_the_link_is_gone();
            house.visitor().use_link(&newest, &address).await.goes_on_to("/account");
        }
    }

    /// TOK-24: clear page, one click to a fresh link, no dead end.
    async fn old_and_new_mail_in_two_tabs(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let address = kind.address();
            kind.prepare(&house, &address).await;
            let ada = house.visitor();
            let fields = [("email", address.as_str()), ("next", "/members?a=1"), ("shared", "yes")];
            ada.post(kind.ask, &fields).await.sees_inbox_page();
            let old = house.all_mail_to(&address).await.remove(0);
            house.advance(GAP);
            ada.post(kind.ask, &fields).await.sees_inbox_page();
            let new = house.all_mail_to(&address).await.remove(0);
            assert_ne!(old.link, new.link);

            let gone = ada.click(&old.link).await;
            gone.says_the_link_is_gone();
            assert!(gone.body.contains("A newer message was sent"), "{}", gone.body);
            let again_at = gone.between("<form method=\"post\" action=\"", "\"").unwrap();
            let again_to = gone.between("name=\"email\" type=\"email\" value=\"", "\"").unwrap();
            assert_eq!(again_to, address, "filled in, in the browser that asked");

            // One click: the form as it stands. It leads to the same place on the same terms.
            house.advance(GAP);
            let (next, shared) = (gone.hidden("next").unwrap(), gone.hidden("shared").unwrap());
            let form = [("email", again_to.as_str()), ("next", &next), ("shared", &shared)];
            ada.post(&again_at, &form).await.sees_inbox_page();
            let fresh = house.all_mail_to(&address).await.remove(0);
            assert_ne!(fresh.link, new.link);
            let done = use_here(&ada, &fresh).await;
            done.goes_on_to("/members?a=1");
            assert!(!session_cookie_of(&done).contains("Max-Age"), "still a shared computer");

            let elsewhere = house.visitor().click(&old.link).await;
            elsewhere.says_the_link_is_gone();
            assert!(!elsewhere.body.contains(&address), "a stranger is told no address");
            assert!(!elsewhere.body.contains("newer message"), "nor that there is newer mail");
        }
    }

    /// TOK-15
    async fn a_link_of_a_deleted_account_leads_nowhere(db: Database) {
        let house = House::new(db).await;
        let address = "ada@example.org";
        house.member(address).await;
        let (browser, mail) = house.asked("/sign-in", address).await;
        assert_eq!(house.execute("DELETE FROM users").await, 1);
        assert_eq!(house.count(SESSIONS).await, 0);

        house.advance(GAP);
        let (_, confirm) = house.asked("/register", address).await;
        assert_eq!(confirm.route(), "/confirm-email", "the address is a stranger's again");
        house.visitor().use_link(&confirm, address).await.goes_on_to("/account");
        browser.click(&mail.link).await.says_the_link_is_gone();
        house.visitor().use_link(&mail, address).await.says_the_link_is_gone();
        browser.type_code(mail.code()).await.says_mistake("No code is taken here any more");
        assert_eq!(house.count(SESSIONS).await, 1);

        house.advance(GAP);
        let (browser, mail) = house.asked("/sign-in", address).await;
        house.execute("DELETE FROM users").await;
        let refused = browser.click(&mail.link).await;
        refused.says_the_link_is_gone();
        house.visitor().use_link(&mail, address).await.says_the_link_is_gone();
        assert_eq!(house.count(USERS).await, 0, "it does not bring the account back");
    }

    /// TOK-16
    async fn tokens_in_mail_are_random_and_say_nothing(db: Database) {
        let house = House::with(db, &[("LIMIT_MAIL_PER_NETWORK", "off")]).await;
        let asks = (0..40).map(|n| {
            let visitor = house.visitor();
            async move { visitor.ask("/register", &format!("user{n}@example.org")).await.status }
        });
        at_once(asks).await;
        let mut tokens = Vec::new();
        for n in 0..40 {
            let mail = house.mail_to(&format!("user{n}@example.org")).await;
            let bytes = URL_SAFE_NO_PAD.decode(mail.token()).unwrap();
            assert_eq!(bytes.len(), 32);
            let of_address = bytes.windows(8).any(|part| b"@example.org".windows(8).any(|of| of == part));
            assert!(!of_address, "no address");
            tokens.push(bytes);
        }
        no_two_share_a_prefix(tokens);
    }

    /// TOK-17
    async fn no_secret_is_at_rest(db: Database) {
        let mut house = House::new(db).await;
        let mut secrets = Vec::new();
        let mut keep = |secret: &str| secrets.push(secret.to_owned());
        for kind in &KINDS {
            let (ada, mail) = kind.asked(&house, &kind.address()).await;
            keep(mail.token());
            keep(mail.code());
            keep(&mail.code().replace('-', ""));
            ada.open(&mail.link).await; // signs in, in one of them
            let (_, live) = kind.asked(&house, &format!("live-{}", kind.address())).await;
            keep(live.token());
            keep(live.code());
            if let Some(cookie) = ada.cookie("doorpost") {
                keep(&session_token(&house, &cookie));
            }
        }
        house.hold_mail();
        house.visitor().ask("/register", "waiting@example.org").await.sees_inbox_page();
        assert_eq!(secrets.len(), 11, "a session token, and all that was mailed");
        secrets.push("token=".to_owned()); // of the mail that waits

        let dump = house.dump().await;
        assert!(contains(&dump, b"live-sign_in@example.org"), "this is the database");
        for secret in &secrets {
            for (form, needle) in forms_of(secret) {
                assert!(!contains(&dump, &needle), "{secret} is at rest as {form}");
            }
        }
    }

    /// TOK-17: what is stored opens nothing.
    async fn what_the_tables_hold_is_no_token(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        for kind in &KINDS {
            let (_, mail) = kind.asked(&house, &kind.address()).await;
            let hash = Token::parse(mail.token()).unwrap().hash();
            let stored = hash.as_bytes();
            assert!(
                contains(&house.dump().await, stored)
                    || contains(&house.dump().await, hex(stored).as_bytes()),
                "this is what the table holds"
            );
            for presented in [URL_SAFE_NO_PAD.encode(stored), STANDARD.encode(stored), hex(stored)] {
                let fields = [("token", presented.as_str()), ("email", &kind.address())];
                house.visitor().post(kind.route, &fields).await.says_the_link_is_gone();
                let thief = house.visitor();
                thief.set_cookie("doorpost", &presented);
                assert_eq!(thief.signed_in_as().await, None);
            }
        }
    }

    /// TOK-18
    async fn guessing_is_slowed_down_and_tells_nothing(db: Database) {
        let house = House::new(db).await;
        let mut classes = Vec::new();
        for kind in &KINDS {
            let address = kind.address();
            let (_, used) = kind.asked(&house, &address).await;
            house.visitor().calling_from("198.51.100.1").use_link(&used, &address).await.goes_on_to("/account");
            let other = format!("other-{address}");
            let (_, expired) = kind.asked(&house, &other).await;
            house.advance(kind.lifetime);
            classes.push((kind, used, expired));
        }
        let (_, live) = house.asked("/register", "real@example.org").await;

        for (kind, used, expired) in &classes {
            let guesser = house.visitor().calling_from("203.0.113.7");
            let wrong_purpose = if kind.for_members { live.token() } else { "A" };
            let (mut statuses, mut looks) = (Vec::new(), BTreeSet::new());
            let tokens = [&"B".repeat(43), used.token(), expired.token(), "x", "", wrong_purpose];
            for n in 0..31 {
                let token = tokens[n % tokens.len()];
                let page = if n % 2 == 0 {
                    guesser.get(&kind.with(token)).await
                } else {
                    guesser.post(kind.route, &[("token", token), ("email", "real@example.org")]).await
                };
                statuses.push(page.status);
                if n < 30 {
                    looks.insert(page.looks());
                } else {
                    assert_eq!(page.header("retry-after"), Some("60"));
                    assert!(page.body.contains("Try again in 60 seconds"), "{}", page.body);
                }
            }
            assert_eq!(statuses[..30], [StatusCode::GONE; 30], "30 a minute");
            assert_eq!(statuses[30], StatusCode::TOO_MANY_REQUESTS, "and no more");
            assert_eq!(looks.len(), 1, "the same page for all of them");
            for other in &KINDS {
                let page = guesser.get(&other.unknown()).await;
                assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "whatever the route");
            }
            let neighbour = house.visitor().calling_from("203.0.113.8");
            neighbour.get(&kind.unknown()).await.says_the_link_is_gone();
            // What the network's other people hold is no guess, and a forged hop is not believed.
            assert_eq!(guesser.open(&live.link).await.status, StatusCode::OK);
            let forged = guesser.calling_from("10.0.0.1, 203.0.113.7");
            assert_eq!(forged.get(&kind.unknown()).await.status, StatusCode::TOO_MANY_REQUESTS);
            house.advance(MINUTE);
            guesser.get(&kind.unknown()).await.says_the_link_is_gone();
            house.advance(MINUTE);
        }
        house.visitor().calling_from("203.0.113.7").use_link(&live, "real@example.org").await.goes_on_to("/account");
    }

    /// TOK-19
    async fn only_a_person_uses_a_link_up(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        for kind in &KINDS {
            let address = kind.address();
            let (ada, mail) = kind.asked(&house, &address).await;
            let before = (house.count(USED).await, house.count(SESSIONS).await, house.count(USERS).await);
            let scanner = house.visitor();
            let path = kind.with(mail.token());
            for (method, headers, is_click) in SCANS {
                let mut who = vec![scanner.clone(), house.visitor()];
                if !is_click {
                    who.push(ada.clone()); // her own browser looks ahead
                }
                for visitor in who {
                    let mut request = visitor.request(Method::from_bytes(method.as_bytes()).unwrap(), &path);
                    for (name, value) in *headers {
                        request = request.header(*name, *value);
                    }
                    let page = visitor.send(request).await;
                    assert!(page.status.as_u16() < 500, "{method} {headers:?}: {}", page.status);
                    assert_eq!(visitor.signed_in_as().await, None, "{method} {headers:?}");
                }
            }
            for rewritten in [
                format!("/{path}"),
                format!("{path}&utm_source=mail"),
                format!("{}/?token={}", kind.route, mail.token()),
                format!("{}?TOKEN={}", kind.route, mail.token()),
                format!("{path}%20"),
                format!("{path}#top"),
            ] {
                let page = scanner.get(&rewritten).await;
                assert!(page.status.as_u16() < 500, "{rewritten}: {}", page.status);
            }
            let many = (0..20).map(|_| {
                let (visitor, path) = (house.visitor(), path.clone());
                async move { visitor.open(&path).await.status }
            });
            assert_eq!(at_once(many).await, [StatusCode::OK; 20]);

            // One that runs scripts and presses the button it finds, twice.
            let page = scanner.open(&path).await;
            let token = page.hidden("token").unwrap();
            for email in ["", "somebody@example.org"] {
                let pressed = scanner.post(kind.route, &[("token", &token), ("email", email)]).await;
                assert_eq!(pressed.status, StatusCode::UNPROCESSABLE_ENTITY);
            }
            assert!(!page.body.contains("submit()"), "no page submits itself");

            let after = (house.count(USED).await, house.count(SESSIONS).await, house.count(USERS).await);
            assert_eq!(after, before, "nothing has changed");
            use_here(&ada, &mail).await.goes_on_to("/account");
            assert_eq!(ada.signed_in_as().await, Some(address));
        }
    }

    /// TOK-21
    async fn a_link_leaves_the_address_bar_and_leaks_nowhere(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let (_, mail) = kind.asked(&house, &kind.address()).await;
            let somebody = house.visitor();
            let first = somebody.click(&mail.link).await;
            first.goes_on_to(kind.route);
            let page = somebody.follow(somebody.click(&mail.link).await).await;
            assert_eq!(page.status, StatusCode::OK);
            let gone = somebody.click(&kind.unknown()).await;
            for answer in [&first, &page, &gone] {
                assert_eq!(answer.header("cache-control"), Some("no-store, no-cache"));
                assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
                assert_eq!(answer.header("x-robots-tag"), Some("noindex"));
            }
            assert!(!first.raw().contains(mail.token()), "not in the redirect, nor in a cookie");
            for cookie in first.set_cookies() {
                assert!(cookie.contains("HttpOnly"), "{cookie}");
            }
            let hidden = format!("<input type=\"hidden\" name=\"token\" value=\"{}\">", mail.token());
            assert!(page.body.contains(&hidden), "{}", page.body);
            assert!(!page.raw().replace(&hidden, "").contains(mail.token()), "and nowhere else");
            for attribute in ["src=\"", "href=\"", "action=\""] {
                for target in page.body.split(attribute).skip(1) {
                    assert!(
                        target.starts_with(['/', '#']) && !target.starts_with("//"),
                        "{attribute}{target}"
                    );
                }
            }
            assert!(page.body.contains("<meta name=\"robots\" content=\"noindex\">"));
        }
    }

    /// TOK-22
    async fn in_another_browser_a_link_wants_to_know_where_it_was_sent(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let address = kind.address();
            let (_, mail) = kind.asked(&house, &address).await;
            let bob = house.visitor();
            let page = bob.open(&mail.link).await;
            assert_eq!(page.status, StatusCode::OK);
            assert_eq!(bob.signed_in_as().await, None, "a look signs nobody in");
            assert!(!page.raw().contains(&address), "the address is not given away");
            assert_eq!(page.between("type=\"email\" value=\"", "\"").as_deref(), Some(""));
            assert!(page.body.contains("type the code from the message there"), "{}", page.body);

            for (typed, mistake) in [
                ("", "Type the whole address"),
                ("nonsense", "Type the whole address"),
                ("bob@example.org", "The link was not sent to this address"),
                ("eve@example.org", "The link was not sent to this address"),
            ] {
                let wrong = bob.use_link(&mail, typed).await;
                wrong.says_mistake(mistake);
                assert_eq!(wrong.between("type=\"email\" value=\"", "\"").as_deref(), Some(typed));
                assert_eq!(wrong.hidden("token").as_deref(), Some(mail.token()));
                assert!(!wrong.raw().contains(&address), "{typed}: nor now");
            }
            let typed = format!("  {} ", address.to_uppercase());
            bob.use_link(&mail, &typed).await.goes_on_to("/account");
            assert_eq!(bob.signed_in_as().await, Some(address));
        }
    }

    /// TOK-22
    async fn the_third_wrong_address_ends_a_link(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let address = kind.address();
            let (ada, mail) = kind.asked(&house, &address).await;
            for n in 0..2 {
                let wrong = house.visitor().use_link(&mail, &format!("{n}@example.org")).await;
                wrong.says_mistake("the third wrong one ends it");
            }
            house.visitor().use_link(&mail, "2@example.org").await.says_the_link_is_gone();
            house.visitor().use_link(&mail, &address).await.says_the_link_is_gone();
            ada.click(&mail.link).await.says_the_link_is_gone();

            house.advance(GAP);
            let (ada, mail) = house.asked(kind.ask, &address).await;
            let crowd = (0..50).map(|n| {
                let visitor = house.visitor().calling_from(&format!("192.0.2.{n}"));
                let mail = mail.clone();
                async move { visitor.use_link(&mail, &format!("{n}@example.org")).await.status }
            });
            let statuses = at_once(crowd).await;
            let gone = statuses.iter().filter(|status| **status == StatusCode::GONE).count();
            assert_eq!(gone, 48, "two of fifty wrong ones may try again: {statuses:?}");
            let counted = house.count("SELECT CAST(max(wrong_addresses) AS BIGINT) AS n FROM links").await;
            assert_eq!(counted, 3, "and three were counted");
            ada.click(&mail.link).await.says_the_link_is_gone();
        }
    }

    /// TOK-25
    async fn only_the_mailbox_sees_the_token(db: Database) {
        let house = House::new(db).await;
        house.member("member@example.org").await;
        for address in ["member@example.org", "stranger@example.org"] {
            for route in ["/register", "/sign-in", "/confirm-email/send"] {
                let ada = house.visitor();
                let before = house.all_mail_to(address).await.len();
                let mut answers = vec![ada.ask(route, address).await.raw()];
                for path in [
                    "/sign-in/sent", "/", "/sign-in", "/register", "/account", "/members", "/healthz",
                    "/readyz", "/metrics", "/sign-in/link", "/confirm-email",
                ] {
                    answers.push(ada.get(path).await.raw());
                }
                answers.push(ada.ask(route, address).await.raw());
                answers.push(ada.type_code("BBBB-BBBB").await.raw());
                let mail = house.mails_to(address, before + 1).await.remove(0);
                for part in mail.token().as_bytes().windows(12).chain([mail.code().as_bytes()]) {
                    let part = std::str::from_utf8(part).unwrap();
                    let leaks = answers.iter().filter(|answer| answer.contains(part)).count();
                    assert_eq!(leaks, 0, "{route} gives {part} away");
                }
                house.advance(4 * MINUTE);
            }
        }
    }

    async fn a_post_with_token_and_address_suffices_in_any_browser(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let (_, mail) = kind.asked(&house, &kind.address()).await;
            let bob = house.visitor();
            assert_eq!(bob.cookie("doorpost_link"), None);
            bob.use_link(&mail, &kind.address()).await.goes_on_to("/account");
            assert_eq!(bob.signed_in_as().await, Some(kind.address()));
        }
    }

    /// A double click, a reload, Back.
    async fn a_used_link_goes_on_for_whoever_used_it(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let address = kind.address();
            kind.prepare(&house, &address).await;
            let ada = house.visitor();
            let fields = [("email", address.as_str()), ("next", "/members")];
            ada.post(kind.ask, &fields).await.sees_inbox_page();
            let mail = house.all_mail_to(&address).await.remove(0);
            use_here(&ada, &mail).await.goes_on_to("/members");
            let sessions = house.count(SESSIONS).await;

            for again in [
                ada.click(&mail.link).await,
                ada.click(&mail.link).await,
                ada.use_link(&mail, "").await,
                ada.use_link(&mail, &address).await,
            ] {
                again.goes_on_to("/members");
                assert_eq!(again.set_cookies(), [""; 0], "with the session it has");
            }
            assert_eq!(house.count(SESSIONS).await, sessions);
            let elsewhere = house.visitor();
            elsewhere.click(&mail.link).await.says_the_link_is_gone();

            let eve = house.member(&format!("eve-{address}")).await;
            eve.click(&mail.link).await.says_the_link_is_gone();
            eve.use_link(&mail, &address).await.says_the_link_is_gone();
        }
    }

    /// REG-08: nothing of the one mixes with, or leaks to, the other.
    async fn somebody_else_who_is_signed_in_is_asked_first(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let address = kind.address();
            for asked_here in [true, false] {
                let address = format!("{asked_here}-{address}");
                let host = format!("host-of-{address}");
                let browser = house.member(&host).await;
                kind.prepare(&house, &address).await;
                if asked_here {
                    browser.ask(kind.ask, &address).await.sees_inbox_page();
                } else {
                    house.visitor().ask(kind.ask, &address).await.sees_inbox_page();
                }
                let mail = house.all_mail_to(&address).await.remove(0);
                let used = house.count(USED).await;
                let hosts_cookie = browser.cookie("doorpost").unwrap();

                let page = browser.open(&mail.link).await;
                assert_eq!(page.status, StatusCode::OK, "no silent switch");
                assert!(page.body.contains(&format!("<strong>{host}</strong> is signed in")));
                assert!(!page.body.replace(&host, "").contains(&address), "nothing of the other");
                for switch in ["", "no", "YES"] {
                    let fields = [("token", mail.token()), ("email", &address), ("switch", switch)];
                    let again = browser.post(kind.route, &fields).await;
                    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "{switch:?}");
                    assert!(again.body.contains("value=\"yes\""), "the choice is there");
                }
                assert_eq!(browser.signed_in_as().await, Some(host.clone()));
                assert_eq!(browser.cookie("doorpost").as_ref(), Some(&hosts_cookie));
                assert_eq!(house.count(USED).await, used, "nothing has happened");

                let chosen = [("token", mail.token()), ("email", &address), ("switch", "yes")];
                browser.post(kind.route, &chosen).await.goes_on_to("/account");
                assert_eq!(browser.signed_in_as().await, Some(address.clone()));
                let thief = house.visitor();
                thief.set_cookie("doorpost", &hosts_cookie);
                assert_eq!(thief.signed_in_as().await, None, "the session before it has ended");
            }
        }
    }

    async fn two_tabs_with_two_links_do_not_mix(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let (one, two) = (&format!("one-{}", kind.address()), &format!("two-{}", kind.address()));
            kind.prepare(&house, one).await;
            kind.prepare(&house, two).await;
            let (_, first) = house.asked(kind.ask, one).await;
            let (_, second) = house.asked(kind.ask, two).await;
            let bob = house.visitor();
            let first_tab = bob.open(&first.link).await;
            let second_tab = bob.open(&second.link).await;
            assert_eq!(first_tab.hidden("token").as_deref(), Some(first.token()));
            assert_eq!(second_tab.hidden("token").as_deref(), Some(second.token()));

            bob.use_link(&first, one).await.goes_on_to("/account");
            assert_eq!(bob.signed_in_as().await.as_ref(), Some(one));
            let fields = [("token", second.token()), ("email", two)];
            let asks = bob.post(kind.route, &fields).await;
            assert_eq!(asks.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(asks.body.contains(&format!("<strong>{one}</strong> is signed in")));
            assert_eq!(bob.signed_in_as().await.as_ref(), Some(one));
        }
    }

    /// Both redirects come before either page, as when a mail reader opens several links at once.
    async fn two_tabs_with_links_of_different_kinds_do_not_mix_even_when_opened_at_once(db: Database) {
        let house = House::new(db).await;
        let bob = house.visitor();
        let mut opened = Vec::new();
        for kind in &KINDS {
            kind.prepare(&house, &kind.address()).await;
            let (_, mail) = house.asked(kind.ask, &kind.address()).await;
            opened.push((bob.click(&mail.link).await, mail));
        }
        for (redirect, mail) in opened {
            let page = bob.follow(redirect).await;
            assert_eq!(page.hidden("token").as_deref(), Some(mail.token()));
        }
    }

    async fn a_browser_that_refuses_cookies_is_told_so(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            let address = kind.address();
            kind.prepare(&house, &address).await;
            let ada = house.visitor().refusing_cookies();
            ada.ask(kind.ask, &address).await.sees_inbox_page();
            let sent = ada.get("/sign-in/sent").await;
            assert_eq!(sent.status, StatusCode::OK);
            assert!(sent.body.contains("this browser refuses cookies"), "{}", sent.body);
            assert!(!sent.body.contains(&address));

            let mail = house.all_mail_to(&address).await.remove(0);
            let page = ada.open(&mail.link).await;
            assert_eq!(page.status, StatusCode::GONE);
            assert!(page.body.contains("this browser refuses cookies"), "{}", page.body);
            // The link is not lost by that.
            house.visitor().use_link(&mail, &address).await.goes_on_to("/account");
        }
    }

    async fn next_stays_in_the_browser_and_out_of_the_mail(db: Database) {
        let house = House::new(db).await;
        for kind in &KINDS {
            for here in [true, false] {
                let address = format!("{here}-{}", kind.address());
                kind.prepare(&house, &address).await;
                let ada = house.visitor();
                let fields = [("email", address.as_str()), ("next", "/members?from=attacker")];
                ada.post(kind.ask, &fields).await.sees_inbox_page();
                let mail = house.all_mail_to(&address).await.remove(0);
                for part in [&mail.subject, &mail.text, &mail.html] {
                    assert!(!part.contains("members") && !part.contains("attacker"), "{part}");
                }
                if here {
                    use_here(&ada, &mail).await.goes_on_to("/members?from=attacker");
                } else {
                    let elsewhere = house.visitor().use_link(&mail, &address).await;
                    elsewhere.goes_on_to("/account");
                }
            }
        }
    }

    async fn the_page_of_a_dead_link_depends_on_route_and_browser_alone(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        for kind in &KINDS {
            let address = kind.address();
            let (ada, used) = kind.asked(&house, &address).await;
            use_here(&ada, &used).await.goes_on_to("/account");
            let eve = house.member(&format!("eve-{address}")).await;
            let signed_out = ada.with_copied_jar();
            signed_out.forget_cookie("doorpost");
            let browsers = [
                (house.visitor(), "", false),
                (signed_out, address.as_str(), false),
                (eve, &format!("eve-{address}"), true),
            ];
            for (browser, filled_in, may_be_signed_in) in browsers {
                let mut looks = BTreeSet::new();
                for token in ["", "x", &"A".repeat(43), used.token()] {
                    let look = browser.get(&kind.with(token)).await;
                    look.says_the_link_is_gone();
                    let value = look.between("type=\"email\" value=\"", "\"");
                    assert_eq!(value.as_deref(), Some(filled_in));
                    let may_be = look.body.contains("You may be signed in already");
                    assert_eq!(may_be, may_be_signed_in);
                    looks.insert(look.looks());
                    let fields = [("token", token), ("email", "")];
                    looks.insert(browser.post(kind.route, &fields).await.looks());
                }
                looks.insert(browser.post(kind.route, &[("email", "a@example.org")]).await.looks());
                assert_eq!(looks.len(), 1, "{filled_in:?}: {looks:#?}");
            }
        }
    }

    async fn a_lifetime_begins_when_the_mail_is_handed_over(db: Database) {
        let mut house = House::new(db).await;
        for kind in &KINDS {
            let addresses = ["early", "late"].map(|name| format!("{name}-{}", kind.address()));
            for address in &addresses {
                kind.prepare(&house, address).await;
            }
            house.hold_mail();
            for address in &addresses {
                house.visitor().ask(kind.ask, address).await.sees_inbox_page();
            }
            house.advance(kind.lifetime - INSTANT);
            house.release_mail();
            let mut mails = Vec::new();
            for address in &addresses {
                mails.push(house.all_mail_to(address).await.remove(0));
                assert_eq!(mails[mails.len() - 1].route(), kind.route, "the held one came");
            }
            // A lifetime from the hand-over, which is not quite two from the asking.
            house.advance(kind.lifetime - INSTANT);
            house.visitor().use_link(&mails[0], &addresses[0]).await.goes_on_to("/account");
            house.advance(INSTANT);
            house.visitor().use_link(&mails[1], &addresses[1]).await.says_the_link_is_gone();
        }
    }

    /// A mail server may take a mail and the note of it get lost: nobody knows, and the link still ends.
    async fn a_link_lives_at_most_two_lifetimes_and_late_mail_is_not_sent(db: Database) {
        let mut house = House::new(db).await;
        for kind in &KINDS {
            let address = kind.address();
            kind.prepare(&house, &address).await;
            let before = house.all_mail_to(&address).await.len();
            house.hold_mail();
            house.visitor().ask(kind.ask, &address).await.sees_inbox_page();
            let two_lifetimes = match kind.name {
                "sign_in" => house.count(
                    "SELECT count(*) AS n FROM links WHERE purpose = 'sign_in' AND used_at IS NULL \
                     AND expires_at = asked_at + 1200000",
                ),
                _ => house.count(
                    "SELECT count(*) AS n FROM links WHERE purpose = 'confirm_email' AND used_at IS NULL \
                     AND expires_at = asked_at + 172800000",
                ),
            };
            assert_eq!(two_lifetimes.await, 1, "while it waits it may live so long");
            house.advance(kind.lifetime);
            house.release_mail();
            let mails = house.all_mail_to(&address).await;
            assert_eq!(mails.len(), before, "it would arrive too late to be of use");
        }
    }
}

/// TOK-16. Over 10,000 tokens drawn by eight threads at once, each byte takes each value equally often:
/// 256 values, so chi-square has 255 degrees of freedom, and exceeds 415 by chance once in 10⁹ times.
#[test]
fn ten_thousand_tokens_are_random() {
    let tokens: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let drawing: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..1250).map(|_| drawn()).collect::<Vec<_>>()))
            .collect();
        drawing
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    for position in 0..32 {
        let mut counts = [0_u32; 256];
        for token in &tokens {
            counts[usize::from(token[position])] += 1;
        }
        let expected = tokens.len() as f64 / 256.0;
        let chi_square: f64 = counts
            .iter()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum();
        assert!(chi_square < 415.0, "byte {position}: {chi_square}");
    }
    no_two_share_a_prefix(tokens);
}

fn drawn() -> Vec<u8> {
    let bytes = URL_SAFE_NO_PAD.decode(Token::draw().reveal()).unwrap();
    assert_eq!(bytes.len(), 32);
    bytes
}

/// Not those drawn one after another, nor any others: 64 bits do not repeat.
#[track_caller]
fn no_two_share_a_prefix(tokens: Vec<Vec<u8>>) {
    let all = tokens.len();
    let prefixes: BTreeSet<&[u8]> = tokens.iter().map(|token| &token[..8]).collect();
    assert_eq!(prefixes.len(), all);
    let suffixes: BTreeSet<&[u8]> = tokens.iter().map(|token| &token[24..]).collect();
    assert_eq!(suffixes.len(), all);
}

/// What looks at a link before its reader does: method, headers, and whether it would be a click in the
/// browser that asked.
type Scan = (&'static str, &'static [(&'static str, &'static str)], bool);

const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
const DOCUMENT: (&str, &str) = ("sec-fetch-dest", "document");

const SCANS: &[Scan] = &[
    ("HEAD", &[], false),
    ("HEAD", &[NAVIGATE, DOCUMENT], false),
    ("OPTIONS", &[], false),
    ("GET", &[], true),
    (
        "GET",
        &[("user-agent", "Mozilla/5.0 (Windows NT 10.0; MSOffice 16)")],
        true,
    ),
    ("GET", &[("user-agent", "BarracudaCentral/1.0")], true),
    ("GET", &[("user-agent", "Mimecast-URL-Protect/1.0")], true),
    ("GET", &[("x-native-host", "OneOutlook")], true),
    ("GET", &[NAVIGATE, DOCUMENT], true),
    ("GET", &[("purpose", "prefetch")], false),
    (
        "GET",
        &[("x-purpose", "preview"), ("sec-purpose", "prefetch")],
        false,
    ),
    (
        "GET",
        &[("sec-purpose", "prefetch;prerender"), NAVIGATE, DOCUMENT],
        false,
    ),
    ("GET", &[NAVIGATE, ("sec-fetch-dest", "iframe")], false),
    ("GET", &[NAVIGATE, ("sec-fetch-dest", "embed")], false),
    ("GET", &[NAVIGATE], false),
    ("GET", &[DOCUMENT], false),
    (
        "GET",
        &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
        false,
    ),
    (
        "GET",
        &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
        false,
    ),
];

/// What somebody might make of a token: the change in words, and its outcome.
fn tampered(token: &str, other: &str) -> Vec<(&'static str, String)> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = |letter: u8| {
        let at = LETTERS.iter().position(|other| *other == letter).unwrap();
        LETTERS[(at + 1) % LETTERS.len()]
    };
    let mut all = Vec::new();
    for at in 0..token.len() {
        let mut bytes = token.as_bytes().to_vec();
        bytes[at] = next(bytes[at]);
        all.push(("one letter changed", String::from_utf8(bytes).unwrap()));
        all.push(("cut short", token[..at].to_owned()));
    }
    let swapped: String = token
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();
    let padded_hex = hex(&URL_SAFE_NO_PAD.decode(token).unwrap());
    all.extend([
        ("case swapped", swapped),
        ("upper case", token.to_ascii_uppercase()),
        ("spliced", format!("{}{}", &token[..21], &other[21..])),
        ("spliced", format!("{}{}", &other[..21], &token[21..])),
        ("two in a row", format!("{token}{other}")),
        ("padded", format!("{token}=")),
        ("one letter more", format!("{token}A")),
        ("NUL behind", format!("{token}\0")),
        ("NUL before", format!("\0{token}")),
        ("a space behind", format!("{token} ")),
        ("a space before", format!(" {token}")),
        ("a line end", format!("{token}\r\n")),
        (
            "encoded twice",
            format!("%{:x}{}", token.as_bytes()[0], &token[1..]),
        ),
        ("hexadecimal", padded_hex),
        ("quoted", format!("\"{token}\"")),
    ]);
    all
}

/// A secret in every form in which it might be found.
fn forms_of(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![
        ("itself", secret.as_bytes().to_vec()),
        (
            "hexadecimal of its letters",
            hex(secret.as_bytes()).into_bytes(),
        ),
        (
            "base64 of its letters",
            STANDARD.encode(secret).into_bytes(),
        ),
    ];
    if let Ok(bytes) = URL_SAFE_NO_PAD.decode(secret)
        && bytes.len() == 32
    {
        forms.push(("hexadecimal", hex(&bytes).into_bytes()));
        forms.push(("base64", STANDARD.encode(&bytes).into_bytes()));
        forms.push(("bytes", bytes));
    }
    forms
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The token inside a session cookie, which the house alone can open.
fn session_token(house: &House, cookie: &str) -> String {
    let key = house.app.keys.cookie_key();
    let mut jar = CookieJar::new();
    jar.add_original(Cookie::parse_encoded(format!("doorpost={cookie}")).unwrap());
    let opened = jar.private(key).get("doorpost").unwrap();
    let letters = opened
        .value()
        .split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
    letters
        .filter(|part| part.len() == 43)
        .map(str::to_owned)
        .next()
        .unwrap()
}

/// Uses a link in the browser that asked, whatever kind it is: by the click, or by the button behind it.
async fn use_here(browser: &Visitor, mail: &Mail) -> Page {
    let clicked = browser.click(&mail.link).await;
    if clicked.status == StatusCode::SEE_OTHER && clicked.location() != mail.route() {
        return clicked;
    }
    let page = browser.follow(clicked).await;
    let token = page.hidden("token").expect("the page has the link's form");
    browser.post(mail.route(), &[("token", &token)]).await
}

/// What an answer sets as the session's cookie.
fn session_cookie_of(page: &Page) -> &str {
    let cookies = page.set_cookies();
    let session = cookies
        .into_iter()
        .find(|cookie| cookie.starts_with("doorpost="));
    session.expect("a session begins")
}
