//! Sessions: what a cookie is worth, for how long, and what one never is.

use std::collections::BTreeSet;
use std::time::Duration;

use actix_web::cookie::{Cookie, CookieJar};
use doorpost::accounts::client::{Client, Label};
use doorpost::accounts::email_address::EmailAddress;
use doorpost::accounts::limits::Network;
use doorpost::accounts::sessions::{self, AuthMethod, Holder};
use doorpost::accounts::users;
use doorpost::random::{self, Token};
use reqwest::header::{COOKIE, HeaderValue};
use reqwest::{Method, StatusCode};

use crate::support::{
    Database, House, Mail, Page, Visitor, eventually, postgres, secret_key, waiting_for_locks,
};

const ADA: &str = "ada@example.org";
const EVE: &str = "eve@example.org";

/// The session cookie over plain http, and those beside it.
const SESSION: &str = "doorpost";
const ASKED: &str = "doorpost_asked";
const KNOWN: &str = "doorpost_known";

/// For tests in which one person signs in again and again.
const OFTEN: &[(&str, &str)] = &[
    ("LIMIT_MAIL_PER_ADDRESS", "off"),
    ("LIMIT_MAIL_PER_ADDRESS_DAILY", "off"),
];

/// A mail server that is away: what is posted waits.
const NO_MAIL_SERVER: (&str, &str) = ("SMTP_URL", "smtp://127.0.0.1:1");

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

on_both! {
    /// SES-01
    async fn every_way_in_brings_a_new_cookie_and_the_old_one_is_dead(db: Database) {
        let house = House::with(db, OFTEN).await;
        let ada = house.member(ADA).await;
        for way in ["a link asked for here", "a link asked for elsewhere", "a code"] {
            let before = ada.with_copied_jar();
            let done = match way {
                "a code" => {
                    let mail = ask(&house, &ada, ADA).await;
                    ada.post("/sign-in/code", &[("code", &mail.code.unwrap())]).await
                }
                "a link asked for here" => {
                    let mail = ask(&house, &ada, ADA).await;
                    ada.click(&mail.link).await
                }
                _ => {
                    let mail = ask(&house, &house.visitor(), ADA).await;
                    ada.post("/sign-in/link", &[("token", mail.token()), ("email", ADA)]).await
                }
            };
            assert_eq!(done.location(), "/account", "{way}");
            assert_ne!(ada.cookie(SESSION), before.cookie(SESSION), "{way} changes the cookie");
            assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "{way}");
            assert_eq!(before.signed_in_as().await, None, "{way}: the old cookie opens nothing");
            assert_eq!(sessions_in(&house).await, 1, "{way} replaces the session");
            house.advance(MINUTE);
            assert_eq!(before.signed_in_as().await, None, "{way}: nor later");
        }
    }

    /// SES-01
    async fn a_session_that_was_planted_is_not_taken_over(db: Database) {
        let house = House::new(db).await;
        let eve = house.member(EVE).await;
        let ada = house.visitor();
        let planted = eve.cookie(SESSION).unwrap();
        ada.set_cookie(SESSION, &planted);

        ada.ask("/register", ADA).await.sees_inbox_page();
        let code = house.mail_to(ADA).await.code.unwrap();
        let done = ada.post("/sign-in/code", &[("code", &code)]).await;
        assert_eq!(done.location(), "/account");
        assert_ne!(ada.cookie(SESSION).as_deref(), Some(planted.as_str()));
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        assert_eq!(eve.signed_in_as().await, None, "whoever planted it holds nothing");
    }

    /// SES-02
    async fn a_forged_cookie_opens_nothing_and_is_never_taken_on(db: Database) {
        let house = House::with(db, OFTEN).await;
        let ada = house.member(ADA).await;
        let elsewhere = House::new(db).await.member(ADA).await;
        let sealed = ada.cookie(SESSION).unwrap();
        let token = token_in(&house, &sealed);

        let mut forged: Vec<(String, Vec<u8>)> = vec![
            ("nothing".into(), b"".to_vec()),
            ("a random one, well formed".into(), random_like(&sealed)),
            ("another deployment's".into(), elsewhere.cookie(SESSION).unwrap().into()),
            ("the bare token".into(), token.reveal().into()),
            ("a token drawn by the visitor".into(), Token::draw().reveal().into()),
            ("what the table holds".into(), hex(token.hash().as_bytes()).into()),
            ("the cookie of an ask".into(), ada.cookie(ASKED).unwrap().into()),
            ("the cookie of a known browser".into(), ada.cookie(KNOWN).unwrap().into()),
            ("the session's state, not sealed".into(), br#"{"token":"x"}"#.to_vec()),
            ("4 kB".into(), vec![b'A'; 4096]),
            ("a NUL".into(), b"%00".to_vec()),
            ("what is not UTF-8".into(), b"\xff\xfe".to_vec()),
            ("not ASCII".into(), "dörpöst".into()),
            ("a line end".into(), b"%0d%0aset-cookie:x=y".to_vec()),
        ];
        for at in [0, 1, 16, sealed.len() / 2, sealed.len() - 1] {
            forged.push((format!("one with character {at} changed"), flipped(&sealed, at)));
        }
        for cut in [1, 4, sealed.len() / 2] {
            let rest = sealed[..sealed.len() - cut].into();
            forged.push((format!("one without its last {cut} characters"), rest));
        }
        for (what, value) in &forged {
            let header = [b"doorpost=", value.as_slice()].concat();
            let page = with_cookies(&house, &[&header]).await;
            is_a_stranger(&page, what);
        }
        let fifty: Vec<u8> = forged.iter().cycle().take(50).fold(Vec::new(), |all, (_, value)| {
            [&all, b"doorpost=".as_slice(), value, b"; "].concat()
        });
        is_a_stranger(&with_cookies(&house, &[&fifty]).await, "fifty of them");

        // And whoever brings one gets a fresh one at sign-in.
        // (Larger ones than a server of ours would ever set are no concern of its budget for cookies.)
        let is_a_cookie = |value: &[u8]| value.is_ascii() && value.len() < 2048;
        for (what, value) in forged.iter().filter(|(_, value)| is_a_cookie(value)) {
            let value = str::from_utf8(value).unwrap();
            let bob = house.visitor();
            bob.set_cookie(SESSION, value);
            sign_in(&house, &bob, ADA).await;
            assert_ne!(bob.cookie(SESSION).as_deref(), Some(value), "{what} was adopted");
            assert_eq!(bob.signed_in_as().await.as_deref(), Some(ADA), "{what}");
        }
    }

    /// SES-02: what no HTTP client sends.
    async fn a_control_character_among_the_cookies_is_refused(db: Database) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let house = House::new(db).await;
        for bad in [b"\0", b"\x01", b"\x7f"] {
            let mut stream = tokio::net::TcpStream::connect(house.url.strip_prefix("http://").unwrap())
                .await
                .unwrap();
            let head = [b"GET /account HTTP/1.1\r\nhost: x\r\ncookie: doorpost=", bad.as_slice(), b"\r\n\r\n"];
            stream.write_all(&head.concat()).await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            let answer = str::from_utf8(&answer).unwrap();
            assert!(["HTTP/1.1 400", "HTTP/1.1 303"].contains(&answer), "{bad:?}: {answer}");
        }
    }

    /// SES-04
    async fn signing_out_ends_the_session_on_every_node_at_once(db: Database) {
        let house = House::new(db).await;
        let other_node = house.second_node(&[]);
        let ada = house.member(ADA).await;
        let thief = ada.with_copied_jar();
        assert_eq!(thief.at(&other_node).signed_in_as().await.as_deref(), Some(ADA));

        let looked = ada.get("/sign-out").await;
        assert_eq!(looked.status, StatusCode::OK);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "a GET signs nobody out");
        let cross = ada.request(Method::POST, "/sign-out")
            .header("sec-fetch-site", "cross-site")
            .header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(ada.send(cross).await.status, StatusCode::FORBIDDEN);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "nor does another site");

        let done = ada.post("/sign-out", &[]).await;
        assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/"));
        assert_eq!(ada.cookie(SESSION), None, "the browser is told to forget it");
        for node in [&house, &other_node] {
            assert_eq!(thief.at(node).signed_in_as().await, None, "the old cookie is worth nothing");
        }
        assert_eq!(sessions_in(&house).await, 0);
    }

    /// SES-15
    async fn what_a_member_sees_is_not_kept_and_signing_out_clears_what_was(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        for path in PAGES {
            let page = ada.get(path).await;
            assert_eq!(page.header("cache-control"), Some("no-store, no-cache"), "{path}");
        }
        let done = ada.post("/sign-out", &[]).await;
        // Never "cookies": that would take the known browser's too, and those of sibling hosts.
        assert_eq!(done.header("clear-site-data"), Some(r#""cache", "storage""#));
        assert_eq!(done.header("cache-control"), Some("no-store, no-cache"));
        let [said, cleared] = done.set_cookies()[..] else {
            panic!("signing out sets {:?}", done.set_cookies());
        };
        assert!(said.starts_with("doorpost_done="), "the next page says so: {said}");
        for part in ["doorpost=;", "Max-Age=0", "HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cleared.contains(part), "{part} is missing: {cleared}");
        }
        assert!(ada.cookie(KNOWN).is_some(), "the account still knows this browser");
    }

    /// SES-07
    async fn a_session_ends_when_it_was_idle_for_too_long(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        assert!(ada.signed_in_as().await.is_some());
        seen_now(&house).await;
        house.advance(7 * DAY - SECOND);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "a second before");
        seen_now(&house).await;
        house.advance(7 * DAY);
        assert_eq!(ada.signed_in_as().await, None, "at the end");
        assert_eq!(ada.signed_in_as().await, None, "looking does not revive it");
    }

    /// SES-07
    async fn a_session_ends_when_it_is_too_old_whatever_it_did(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        let began = house.count("SELECT max(created_at) AS n FROM sessions").await;
        let ends = began + 30 * 24 * 60 * 60 * 1000;
        while house.clock.now() + 84 * 60 * 60 * 1000 < ends {
            house.advance(84 * HOUR);
            assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "in use");
            seen_now(&house).await;
        }
        let left = u64::try_from(ends - house.clock.now()).unwrap();
        house.advance(Duration::from_millis(left - 1));
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "just before");
        house.advance(Duration::from_millis(1));
        assert_eq!(ada.signed_in_as().await, None, "just after");
    }

    /// SES-07
    async fn a_shorter_setting_takes_effect_at_once(db: Database) {
        for (shorter, in_use, then) in [
            (("SESSION_IDLE", "1h"), &[DAY][..], HOUR),
            (("SESSION_LIFETIME", "7d"), &[4 * DAY, 3 * DAY], Duration::ZERO),
        ] {
            let house = House::new(db).await;
            let ada = house.member(ADA).await;
            for pause in in_use {
                house.advance(*pause);
                assert!(ada.signed_in_as().await.is_some(), "alive under the old setting");
                seen_now(&house).await;
            }
            let house = house.restart(&[shorter]).await;
            house.advance(then);
            assert_eq!(ada.at(&house).signed_in_as().await, None, "{shorter:?}");
        }
    }

    async fn a_session_on_a_shared_computer_ends_soon_and_leaves_nothing_known(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        ada.post("/register", &[("email", ADA), ("shared", "yes")]).await.sees_inbox_page();
        let code = house.mail_to(ADA).await.code.unwrap();
        let done = ada.post("/sign-in/code", &[("code", &code)]).await;
        let [cookie] = done.set_cookies()[..] else {
            panic!("signing in on a shared computer sets {:?}", done.set_cookies());
        };
        assert!(cookie.starts_with("doorpost="), "{cookie}");
        for age in ["Max-Age", "Expires"] {
            assert!(!cookie.contains(age), "it ends with the browser: {cookie}");
        }
        for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(part), "{part} is missing: {cookie}");
        }
        house.advance(HOUR - SECOND);
        assert!(ada.signed_in_as().await.is_some(), "a second before the hour");
        seen_now(&house).await;
        house.advance(HOUR);
        assert_eq!(ada.signed_in_as().await, None, "after an hour idle");
    }

    /// SES-10
    async fn the_cookie_holds_a_token_whose_hash_is_in_the_table(db: Database) {
        let house = House::with(db, OFTEN).await;
        let ada = house.member(ADA).await;
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let token = token_in(&house, &ada.cookie(SESSION).unwrap());
            assert_eq!(token.reveal().len(), 43, "32 bytes in base64url");
            assert!(seen.insert(token.reveal().to_owned()), "a token came twice");
            let (config, hash) = (house.app.config.clone(), token.hash());
            let found = house.app.read(move |tx| sessions::find(tx, &config, &hash)).await.unwrap();
            assert_eq!(found.unwrap().email, ADA);
            sign_in(&house, &ada, ADA).await;
        }
    }

    /// SES-11
    async fn of_two_session_cookies_neither_counts(db: Database) {
        let house = House::new(db).await;
        let (ada, eve) = (house.member(ADA).await, house.member(EVE).await);
        let hers = format!("doorpost={}", ada.cookie(SESSION).unwrap());
        let planted = format!("doorpost={}", eve.cookie(SESSION).unwrap());
        let junk = "doorpost=junk".to_owned();
        for (one, other) in [(&hers, &planted), (&planted, &hers), (&hers, &junk), (&junk, &hers)] {
            let in_one = format!("{one}; {other}");
            is_a_stranger(&with_cookies(&house, &[in_one.as_bytes()]).await, &in_one);
            let in_two = with_cookies(&house, &[one.as_bytes(), other.as_bytes()]).await;
            is_a_stranger(&in_two, &format!("{one} and {other} in a header each"));
        }
        let twice = with_cookies(&house, &[format!("{hers}; {hers}").as_bytes()]).await;
        assert_eq!(twice.status, StatusCode::OK, "the same one twice is one");
    }

    /// SES-11
    async fn cookies_of_other_names_change_nothing(db: Database) {
        let house = House::new(db).await;
        let (ada, eve) = (house.member(ADA).await, house.member(EVE).await);
        let hers = format!("doorpost={}", ada.cookie(SESSION).unwrap());
        let planted = eve.cookie(SESSION).unwrap();
        for name in ["id", "Doorpost", "DOORPOST", "__Host-doorpost", "__Secure-doorpost", "doorpost_", "doorpost%20", ""] {
            for header in [format!("{name}={planted}; {hers}"), format!("{hers}; {name}={planted}")] {
                let page = with_cookies(&house, &[header.as_bytes()]).await;
                assert!(page.body.contains(ADA) && !page.body.contains(EVE), "{name}: {}", page.status);
            }
            let alone = with_cookies(&house, &[format!("{name}={planted}").as_bytes()]).await;
            is_a_stranger(&alone, name);
        }
        for junk in ["junk", "=", ";;;", "a=b=c", "a=\"", "%zz=%zz"] {
            let page = with_cookies(&house, &[format!("{junk}; {hers}").as_bytes()]).await;
            assert_eq!(page.status, StatusCode::OK, "{junk} beside it signs nobody out");
        }
        for bytes in [&b"a=\xff"[..], b"\xc3\x28=1", "ä=ö".as_bytes()] {
            let header = [bytes, b"; ", hers.as_bytes()].concat();
            let page = with_cookies(&house, &[&header]).await;
            assert_eq!(page.status, StatusCode::OK, "{bytes:?} beside it signs nobody out");
        }
    }

    /// SES-11: with https the name cannot be planted, and the one without `__Host-` is not ours.
    async fn over_https_only_the_host_cookie_counts(db: Database) {
        let house = House::with(db, &[
            ("PUBLIC_URL", "https://doorpost.test"),
            ("MAIL_FROM", "doorpost@doorpost.test"),
            NO_MAIL_SERVER,
        ])
        .await;
        let token = session_of(&house, ADA).await;
        for (name, sealed_as, opens) in [
            ("__Host-doorpost", "__Host-doorpost", true),
            ("doorpost", "doorpost", false),
            ("doorpost", "__Host-doorpost", false),
            ("__Host-doorpost", "doorpost", false),
            ("__Secure-doorpost", "__Secure-doorpost", false),
            // What browsers let a sibling host set, for they do not read it as we might.
            ("__Host%2Ddoorpost", "__Host-doorpost", false),
            ("__Host-door%70ost", "__Host-doorpost", false),
            ("\u{a0}__Host-doorpost", "__Host-doorpost", false),
            ("\u{2000}__Host-doorpost", "__Host-doorpost", false),
            ("\u{85}__Host-doorpost", "__Host-doorpost", false),
        ] {
            let cookie = format!("{name}={}", sealed(&house, sealed_as, &token));
            let page = with_cookies(&house, &[cookie.as_bytes()]).await;
            assert_eq!(page.status == StatusCode::OK, opens, "{sealed_as} as {name}: {}", page.status);
        }
    }

    /// SES-13
    async fn the_hundred_and_first_session_ends_the_oldest(db: Database) {
        let house = House::new(db).await;
        let oldest = house.member(ADA).await;
        let second = token_after(&house, SECOND).await;
        for _ in 0..98 {
            token_after(&house, SECOND).await;
        }
        assert_eq!(sessions_in(&house).await, 100);
        assert_eq!(oldest.signed_in_as().await.as_deref(), Some(ADA), "a hundred may be");

        house.advance(MINUTE);
        let newest = house.visitor();
        sign_in(&house, &newest, ADA).await;
        assert_eq!(sessions_in(&house).await, 100, "never more");
        assert_eq!(oldest.signed_in_as().await, None, "the oldest made room");
        assert_eq!(newest.signed_in_as().await.as_deref(), Some(ADA));
        let still = house.visitor();
        still.set_cookie(SESSION, &sealed(&house, SESSION, &second));
        assert_eq!(still.signed_in_as().await.as_deref(), Some(ADA), "and only the oldest");
    }

    /// SES-14
    async fn a_restart_keeps_what_lives_and_revives_nothing(db: Database) {
        let house = House::with(db, OFTEN).await;
        let ada = house.member(ADA).await;
        let by_code = house.visitor();
        let code = ask(&house, &by_code, ADA).await.code.unwrap();
        let signed_out = house.visitor();
        house.advance(MINUTE);
        let used = ask(&house, &signed_out, ADA).await;
        signed_out.click(&used.link).await;
        let dead = signed_out.with_copied_jar();
        signed_out.post("/sign-out", &[]).await;
        house.advance(MINUTE);
        let halfway = house.visitor();
        let link = ask(&house, &halfway, ADA).await;

        let house = house.restart(OFTEN).await;
        assert_eq!(ada.at(&house).signed_in_as().await.as_deref(), Some(ADA), "a session lives on");
        assert_eq!(dead.at(&house).signed_in_as().await, None, "one that was ended does not");
        let again = signed_out.at(&house).post("/sign-in/link", &[("token", used.token()), ("email", ADA)]).await;
        assert_eq!(again.status, StatusCode::GONE, "a used link stays used");
        let older = by_code.at(&house).post("/sign-in/code", &[("code", &code)]).await;
        assert_eq!(older.status, StatusCode::UNPROCESSABLE_ENTITY, "a replaced one stays replaced");
        let halfway = halfway.at(&house);
        assert_eq!(halfway.click(link.path()).await.location(), "/account", "half-way in, and on");
        assert_eq!(halfway.signed_in_as().await.as_deref(), Some(ADA));
    }

    async fn a_dead_cookie_is_ignored_and_never_cleared(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        let second_tab = ada.with_copied_jar();
        ada.post("/sign-out", &[]).await;
        let junk = house.visitor();
        junk.set_cookie(SESSION, "junk");
        for path in PAGES {
            for stale in [&second_tab, &junk] {
                let page = stale.get(path).await;
                assert_eq!(page.set_cookies(), [""; 0], "{path} must not wipe what another tab just got");
            }
        }
        let posted = second_tab.post("/sign-out", &[]).await;
        assert_eq!(posted.location(), "/sign-in?next=%2Faccount");
        assert_eq!(posted.set_cookies(), [""; 0], "nor does signing out a second time");
        // And it is in nobody's way.
        sign_in(&house, &second_tab, ADA).await;
        assert_eq!(second_tab.signed_in_as().await.as_deref(), Some(ADA));
    }

    async fn the_session_cookie_is_set_only_when_its_token_changes(db: Database) {
        let house = House::with(db, OFTEN).await;
        let ada = house.member(ADA).await;
        for _ in 0..3 {
            for path in PAGES {
                let page = ada.get(path).await;
                assert_eq!(page.set_cookies(), [""; 0], "{path}");
            }
            house.advance(2 * MINUTE); // it is seen, and that is written down
        }
        let asked = ada.ask("/sign-in", ADA).await;
        assert_eq!(names_set(&asked), [ASKED], "asking is no change of rights");
        let mail = house.mails_to(ADA, 2).await.remove(0);
        let wrong = ada.post("/sign-in/code", &[("code", "BBBB-BBBB")]).await;
        assert_eq!(names_set(&wrong), [""; 0], "nor is a wrong code");
        assert_eq!(names_set(&ada.click(&mail.link).await), [SESSION, KNOWN], "signing in is");
        let out = ada.post("/sign-out", &[]).await;
        assert_eq!(names_set(&out), [SESSION, "doorpost_done"], "and so is signing out, of which the next page speaks");
    }

    /// Promise 6: anonymous traffic makes no durable state.
    async fn a_visitor_who_is_not_signed_in_has_no_row_anywhere(db: Database) {
        let house = House::new(db).await;
        let stranger = house.visitor();
        stranger.set_cookie(SESSION, "junk");
        let mut loads = 0;
        while loads < 200 {
            for path in PAGES.iter().chain(["/healthz", "/readyz", "/nowhere", "/dev/inbox", "/dev/inbox/x"].iter()) {
                let page = stranger.get(path).await;
                assert!(page.status.as_u16() < 500, "{path}: {}", page.status);
                assert_eq!(page.set_cookies(), [""; 0], "{path} gives a stranger a cookie");
                loads += 1;
            }
        }
        assert_eq!(rows(&house).await, 0);
    }

    async fn last_seen_is_written_seldom(db: Database) {
        for (idle, pause) in [("7d", MINUTE), ("100s", 10 * SECOND), ("10m", MINUTE)] {
            let house = House::with(db, &[("SESSION_IDLE", idle)]).await;
            let ada = house.visitor();
            ada.ask("/register", ADA).await.sees_inbox_page();
            ada.confirm(&house.mail_to(ADA).await.link).await;
            let signed_in = house.clock.now();
            for _ in 0..2 {
                let before = seen(&house).await;
                house.advance(pause - Duration::from_millis(1));
                for path in ["/", "/account", "/members"] {
                    ada.get(path).await;
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
                assert_eq!(seen(&house).await, before, "{idle}: written before {pause:?} were over");
                house.advance(Duration::from_millis(1));
                ada.get("/account").await;
                seen_now(&house).await;
            }
            assert!(seen(&house).await > signed_in);
        }
    }

    /// Of two nodes that found it unused, too.
    async fn of_two_who_found_a_session_unused_one_writes_down_that_it_is_not(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        let (config, token) = (house.app.config.clone(), token_in(&house, &ada.cookie(SESSION).unwrap()));
        let found = house.app.read(move |tx| sessions::find(tx, &config, &token.hash())).await.unwrap().unwrap();
        for written in [true, false] {
            house.advance(SECOND);
            let (found, before) = (found.clone(), seen(&house).await);
            let client = Client::mail_server();
            house.app.transaction(move |tx| sessions::touch(tx, &found, &client)).await.unwrap();
            assert_eq!(seen(&house).await > before, written);
        }
    }

    /// Whoever swaps, bends or invents one has none.
    async fn the_cookies_beside_the_session_are_sealed_and_bound_to_their_names(db: Database) {
        let house = House::with(db, OFTEN).await;
        let ada = house.member(ADA).await;
        let mail = ask(&house, &ada, ADA).await;
        let code = mail.code.as_deref().unwrap();
        let cookie = |name: &str| ada.cookie(name).unwrap();
        let (asked, known, session) = (cookie(ASKED), cookie(KNOWN), cookie(SESSION));

        let bent = |value: &str, at: usize| String::from_utf8(flipped(value, at)).unwrap();
        for (what, value) in [
            ("the known browser's", known.clone()),
            ("the session's", session.clone()),
            ("one that was bent at its head", bent(&asked, 2)),
            ("one that was bent in the middle", bent(&asked, asked.len() / 2)),
            ("one in clear", format!(r#"[{{"id":"x","email":"{ADA}"}}]"#)),
            ("junk", "junk".into()),
        ] {
            let bob = house.visitor();
            bob.set_cookie(ASKED, &value);
            let waiting = bob.get("/sign-in/sent").await;
            assert!(waiting.body.contains("Nothing asked for in this browser"), "{what}");
            assert!(!waiting.body.contains(ADA), "{what} tells an address");
            let typed = bob.post("/sign-in/code", &[("code", code)]).await;
            assert_eq!(typed.status, StatusCode::UNPROCESSABLE_ENTITY, "{what} takes a code");
            let clicked = bob.click(&mail.link).await;
            assert_eq!(clicked.location(), "/sign-in/link", "{what} passes for an ask");
        }

        // The budget of a browser that the account knows is what the other cookie is good for.
        for (what, value) in [
            ("the ask's", asked.clone()),
            ("the session's", session),
            ("one that was bent at its head", bent(&known, 2)),
            ("one that was bent at its end", bent(&known, known.len() - 1)),
            ("junk", "junk".into()),
        ] {
            let bob = house.visitor();
            bob.set_cookie(KNOWN, &value);
            let asks = house.visitor();
            asks.ask("/sign-in", ADA).await.sees_inbox_page(); // in the gap, if there is one
            let before = house.all_mail_to(ADA).await.len();
            bob.ask("/sign-in", ADA).await.sees_inbox_page();
            assert_eq!(house.all_mail_to(ADA).await.len(), before, "{what} passes for a known browser");
        }
        let real = house.visitor();
        real.set_cookie(KNOWN, &known);
        house.advance(MINUTE); // past the gap of the known browser's own ask above
        house.visitor().ask("/sign-in", ADA).await.sees_inbox_page();
        let before = house.all_mail_to(ADA).await.len();
        real.ask("/sign-in", ADA).await.sees_inbox_page();
        assert_eq!(house.all_mail_to(ADA).await.len(), before + 1, "the real one does");
    }

    /// FLT-09
    async fn everything_outlives_a_change_of_the_secret_key(db: Database) {
        let away = [OFTEN, &[NO_MAIL_SERVER]].concat();
        let house = House::with(db, OFTEN).await;
        let old_key = house.secret_key().to_owned();
        let ada = house.member(ADA).await;
        let (by_link, by_code) = (house.visitor(), house.visitor());
        let link = ask(&house, &by_link, ADA).await;
        let eve = house.visitor();
        eve.ask("/register", EVE).await.sees_inbox_page();
        let code = house.mail_to(EVE).await.code.unwrap();
        let house = house.restart(&away).await;
        by_code.at(&house).ask("/register", "waits@example.org").await.sees_inbox_page();
        assert_eq!(waiting(&house).await, 1, "one mail waits, sealed under the old key");

        let new_key = secret_key();
        let rotated = [("SECRET_KEY", new_key.as_str()), ("SECRET_KEYS_OLD", &old_key)];
        let house = house.restart(&[OFTEN, &rotated].concat()).await;
        let ada = ada.at(&house);
        let cookie = ada.cookie(SESSION);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "the session");
        assert_eq!(ada.cookie(SESSION), cookie, "its token did not change, so neither did the cookie");
        assert_eq!(by_link.at(&house).click(link.path()).await.location(), "/account", "the ask and its link");
        assert_eq!(eve.at(&house).post("/sign-in/code", &[("code", &code)]).await.location(), "/account", "the code");
        let waited = house.mail_to("waits@example.org").await;
        let by_code = by_code.at(&house);
        let done = by_code.post("/sign-in/code", &[("code", &waited.code.unwrap())]).await;
        assert_eq!(done.location(), "/account", "the mail that waited");
        let out = ada.post("/sign-out", &[]).await;
        assert_eq!(out.location(), "/", "and one can sign out");
        assert_eq!(ada.signed_in_as().await, None);

        // What was sealed since is sealed under the new key alone.
        let house = house.restart(&[OFTEN, &rotated[..1]].concat()).await;
        assert!(by_code.at(&house).signed_in_as().await.is_some());
        assert!(eve.at(&house).signed_in_as().await.is_some());
    }

    /// FLT-09
    async fn dropping_the_old_key_ends_cleanly_what_hung_on_it(db: Database) {
        let away = [OFTEN, &[NO_MAIL_SERVER]].concat();
        let house = House::with(db, OFTEN).await;
        let ada = house.member(ADA).await;
        let halfway = house.visitor();
        let mail = ask(&house, &halfway, ADA).await;
        let house = house.restart(&away).await;
        house.visitor().ask("/register", "waits@example.org").await.sees_inbox_page();

        let new_key = secret_key();
        let house = house.restart(&[OFTEN, &[("SECRET_KEY", new_key.as_str())]].concat()).await;
        let (ada, halfway) = (ada.at(&house), halfway.at(&house));
        for path in PAGES {
            for left_over in [&ada, &halfway] {
                let page = left_over.get(path).await;
                let page = left_over.follow(page).await; // which panics where it goes in circles
                assert!(!page.status.is_server_error(), "{path}: {}", page.status);
            }
        }
        assert_eq!(ada.signed_in_as().await, None, "the session is over");
        let typed = halfway.post("/sign-in/code", &[("code", mail.code.as_deref().unwrap())]).await;
        assert_eq!(typed.status, StatusCode::UNPROCESSABLE_ENTITY, "the code is over");
        let page = halfway.click(mail.path()).await;
        let page = halfway.follow(page).await;
        assert!(page.body.contains("did not ask for the link"), "the link wants its address now");
        house.seen("SELECT count(*) AS n FROM outbox WHERE state = 'queued' AND reason LIKE 'sealed by key %'").await;
        assert!(house.everything_to("waits@example.org").await.is_empty(), "the mail that waited waits for its key");

        // And everybody can begin anew.
        house.advance(24 * 60 * MINUTE);
        house.seen("SELECT count(*) AS n FROM outbox WHERE state = 'dropped'").await;
        sign_in(&house, &ada, ADA).await;
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
    }
}

/// SES-10
#[test]
fn five_thousand_tokens_have_nothing_in_common() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    const DRAWN: usize = 5_000;
    let tokens: BTreeSet<String> = (0..DRAWN)
        .map(|_| Token::draw().reveal().to_owned())
        .collect();
    assert_eq!(tokens.len(), DRAWN, "two are the same");
    let bytes: Vec<Vec<u8>> = tokens
        .iter()
        .map(|token| URL_SAFE_NO_PAD.decode(token).unwrap())
        .collect();
    for position in 0..32 {
        let mut counts = [0_f64; 256];
        for token in &bytes {
            counts[usize::from(token[position])] += 1.0;
        }
        let expected = DRAWN as f64 / 256.0;
        let chi_square: f64 = counts
            .iter()
            .map(|count| (count - expected).powi(2) / expected)
            .sum();
        // 255 degrees of freedom: beyond 355 with a chance of 3e-5, which is 0.001 over 32 positions.
        assert!(
            chi_square < 355.0,
            "byte {position} is not drawn evenly: {chi_square}"
        );
    }
}

/// Every page that a visitor can load without a token.
const PAGES: &[&str] = &[
    "/",
    "/register",
    "/sign-in",
    "/sign-in?next=%2Fmembers",
    "/sign-in/sent",
    "/sign-in/sent?still=yes",
    "/sign-in/link",
    "/confirm-email",
    "/account",
    "/members",
];

/// Asks for a mail in this browser and reads it.
async fn ask(house: &House, visitor: &Visitor, address: &str) -> Mail {
    let before = house.all_mail_to(address).await.len();
    visitor.ask("/sign-in", address).await.sees_inbox_page();
    house.mails_to(address, before + 1).await.remove(0)
}

/// Signs in by a link that this browser asks for.
async fn sign_in(house: &House, visitor: &Visitor, address: &str) {
    let mail = ask(house, visitor, address).await;
    assert_eq!(visitor.click(mail.path()).await.location(), "/account");
    house.advance(MINUTE + SECOND); // past the gap
}

/// `/account`, asked for with these Cookie headers and no others.
async fn with_cookies(house: &House, headers: &[&[u8]]) -> Page {
    let nobody = house.visitor();
    let request = headers.iter().fold(
        nobody
            .request(Method::GET, "/account")
            .header("sec-fetch-site", "none"),
        |request, header| request.header(COOKIE, HeaderValue::from_bytes(header).unwrap()),
    );
    nobody.send(request).await
}

/// A page with many pictures, after a pause, while somebody holds the row: every connection would wait for it.
#[tokio::test]
async fn a_session_whose_row_is_held_keeps_one_connection_waiting_and_no_more() {
    let house = House::new(Database::Postgres).await;
    let ada = house.member(ADA).await;
    house.advance(5 * MINUTE);
    let mut holder = postgres(house.database_url()).await;
    let watcher = postgres(house.database_url()).await;
    let lock = holder.transaction().await.unwrap();
    lock.execute("SELECT 1 FROM sessions FOR UPDATE", &[])
        .await
        .unwrap();
    for _ in 0..20 {
        assert_eq!(ada.get("/account").await.status, StatusCode::OK);
        assert!(waiting_for_locks(&watcher).await <= 1);
    }
    lock.rollback().await.unwrap();
    // The one that waited may have given up, and the next page writes it down.
    eventually("nobody waits", async || {
        waiting_for_locks(&watcher).await == 0
    })
    .await;
    ada.get("/account").await;
    seen_now(&house).await;
}

/// The account page sends them to sign in, and gives them no cookie.
#[track_caller]
fn is_a_stranger(page: &Page, what: &str) {
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{what}");
    assert_eq!(page.location(), "/sign-in?next=%2Faccount", "{what}");
    assert_eq!(page.set_cookies(), [""; 0], "{what}");
}

fn names_set(page: &Page) -> Vec<&str> {
    let mut names: Vec<&str> = page
        .set_cookies()
        .into_iter()
        .filter_map(|cookie| cookie.split_once('='))
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    names
}

async fn sessions_in(house: &House) -> i64 {
    house.count("SELECT count(*) AS n FROM sessions").await
}

async fn waiting(house: &House) -> i64 {
    house
        .count("SELECT count(*) AS n FROM outbox WHERE state = 'queued'")
        .await
}

/// When the last session was last seen, as the table says.
async fn seen(house: &House) -> i64 {
    house
        .count("SELECT max(last_seen_at) AS n FROM sessions")
        .await
}

/// Waits until it is written down that somebody was seen just now: that happens beside the answer.
async fn seen_now(house: &House) {
    for _ in 0..400 {
        if seen(house).await == house.clock.now() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("last seen was not written");
}

/// The rows of all tables together.
async fn rows(house: &House) -> i64 {
    let tables = crate::house_rules::tables();
    let counts: Vec<String> = tables
        .iter()
        .map(|table| format!("(SELECT count(*) FROM {table})"))
        .collect();
    house
        .count(format!("SELECT {} AS n", counts.join(" + ")))
        .await
}

/// A session that another device of Ada's began a while after the last one; its token.
async fn token_after(house: &House, pause: Duration) -> Token {
    house.advance(pause);
    session_of(house, ADA).await
}

/// A session that did not come by way of a mail; makes the account if there is none.
async fn session_of(house: &House, address: &str) -> Token {
    let email = EmailAddress::parse(address).unwrap();
    let (config, keys) = (house.app.config.clone(), house.app.keys.clone());
    let begin = house.app.transaction(move |tx| {
        let user = match users::hold_by_email(tx, email.as_str())? {
            Some(user) => user,
            None => {
                use doorpost::accounts::links::{self, Purpose, Wanted};
                let wanted = Wanted {
                    purpose: Purpose::ConfirmEmail,
                    email: email.as_str(),
                    user: None,
                    link_request_id: None,
                    session_id: None,
                };
                let issued = links::issue(tx, &config, &keys, &wanted)?;
                let found = links::find(tx, &issued.token, Purpose::ConfirmEmail)?.unwrap();
                let proof = found.consume(tx)?.unwrap();
                users::make(tx, proof.address().unwrap())?;
                users::hold_by_email(tx, email.as_str())?.unwrap()
            }
        };
        let client = Client {
            network: Network::of("192.0.2.1".parse().unwrap()),
            product: Some("a browser".to_owned()),
            is_program: false,
            label: Label::default(),
            request_id: "a request".into(),
        };
        sessions::start(
            tx,
            &user,
            AuthMethod::EmailLink,
            Holder::Browser,
            &client,
            None,
        )
    });
    begin.await.unwrap().token
}

/// The value of a cookie of this name that holds this token, as the house itself would seal it.
fn sealed(house: &House, name: &str, token: &Token) -> String {
    let key = house.app.keys.cookie_key();
    let token = serde_json::to_string(token.reveal()).unwrap();
    let state = serde_json::json!({ "token": token }).to_string();
    let mut jar = CookieJar::new();
    jar.private_mut(key)
        .add(Cookie::new(name.to_owned(), state));
    let cookie = jar.get(name).unwrap().encoded().to_string();
    cookie.split_once('=').unwrap().1.to_owned()
}

/// The token in a session cookie, which only the house can read.
fn token_in(house: &House, value: &str) -> Token {
    let key = house.app.keys.cookie_key();
    let mut jar = CookieJar::new();
    jar.add_original(Cookie::parse_encoded(format!("{SESSION}={value}")).unwrap());
    let state = jar
        .private(key)
        .get(SESSION)
        .expect("sealed under the current key");
    let state: serde_json::Value = serde_json::from_str(state.value()).unwrap();
    let token: String = serde_json::from_str(state["token"].as_str().unwrap()).unwrap();
    Token::parse(&token).expect("a token")
}

/// As long as this one and of the same alphabet.
fn random_like(value: &str) -> Vec<u8> {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    value
        .bytes()
        .map(|_| letters[usize::from(random::bytes::<1>()[0]) % letters.len()])
        .collect()
}

fn flipped(value: &str, at: usize) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
