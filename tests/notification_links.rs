//! Links in ordinary mail: in a browser that the account knows they sign in, to look; anywhere else they give
//! nothing away.

use std::sync::mpsc;
use std::time::Duration;

use doorpost::accounts::{links, users};
use doorpost::random;
use reqwest::{Method, StatusCode};

use crate::support::wire;
use crate::support::{Database, House, Mail, PASSWORD, Visitor, secret_key};

const ADA: &str = "ada@example.org";
const BEN: &str = "ben@example.org";
const GAP: Duration = Duration::from_secs(61);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The link to a page in a letter to whoever has this address.
async fn link_for(house: &House, address: &'static str, page: &'static str) -> String {
    let links = house.app.signed_links.clone();
    let made = house.app.read(move |tx| {
        let reader = users::of_address(tx, address)?.unwrap();
        Ok(links.to_page(tx, &reader, page))
    });
    made.await.unwrap()
}

/// Somebody who signed in here before, and out again.
async fn away(member: Visitor) -> Visitor {
    member.post("/sign-out", &[]).await.goes_on_to("/");
    assert_eq!(member.signed_in_as().await, None);
    member
}

/// What is left of the address when the token is gone.
fn without_token(link: &str) -> &str {
    let from = link.match_indices('/').nth(2).unwrap().0;
    link[from..].split(['?', '&']).next().unwrap()
}

async fn sessions(house: &House) -> i64 {
    house.count("SELECT count(*) AS n FROM sessions").await
}

/// The link does as if it had no token.
async fn is_dead(visitor: &Visitor, link: &str, why: &str) {
    let page = visitor.click(link).await;
    page.goes_on_to(without_token(link));
    assert!(
        page.set_cookies().is_empty(),
        "{why}: {:?}",
        page.set_cookies()
    );
    assert_eq!(visitor.signed_in_as().await, None, "{why}");
}

/// It signs in, and out again.
async fn lives(visitor: &Visitor, link: &str, why: &str) {
    visitor.click(link).await.goes_on_to(without_token(link));
    assert!(visitor.signed_in_as().await.is_some(), "{why}");
    visitor.post("/sign-out", &[]).await.goes_on_to("/");
}

/// Two members, each known in a browser of their own and signed in nowhere.
async fn two_away(house: &House) -> (Visitor, Visitor) {
    let ada = away(house.member_with_password(ADA).await).await;
    let ben = away(house.member_with_password(BEN).await).await;
    (ada, ben)
}

on_both! {
    async fn in_a_browser_the_account_knows_a_click_signs_in_to_look_and_no_more(db: Database) {
        let house = House::new(db).await;
        let ada = away(house.member_with_password(ADA).await).await;
        let link = link_for(&house, ADA, "/members?tab=2&q=a%20b#end").await;
        assert!(link.ends_with("#end"), "{link}");
        let page = ada.click(&link).await;
        page.goes_on_to("/members?tab=2&q=a%20b");
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        let cookies = page.set_cookies();
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        assert!(cookies[0].starts_with("doorpost="), "{cookies:?}");
        assert_eq!(ada.get("/members").await.status, StatusCode::OK);

        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        let way = "With a link in a notice or an announcement";
        for page in ["/account", "/account/sessions"] {
            let page = ada.get(page).await;
            assert!(page.body.contains(way), "{}", page.body);
        }
        let activity = ada.get("/account/activity").await;
        assert!(activity.body.contains("Signed in with a link in a notice or an announcement"));
        for sensitive in ["/account/email", "/account/password", "/account/delete"] {
            ada.get(sensitive).await.is_sent_to_the_gate(sensitive);
        }
        ada.post("/account/export", &[]).await.is_sent_to_the_gate("/account");
        let set = ada.post("/account/password", &[("password", "quite another horse")]).await;
        set.is_sent_to_the_gate("/account/password");
        ada.reauthenticate().await;
        assert_eq!(ada.get("/account/password").await.status, StatusCode::OK);
    }

    /// The password and nothing less, for an account that has none.
    async fn without_a_password_it_is_not_sensitive_either(db: Database) {
        let house = House::new(db).await;
        let ada = away(house.member(ADA).await).await;
        ada.click(&link_for(&house, ADA, "/account").await).await.goes_on_to("/account");
        ada.get("/account/email").await.is_sent_to_the_gate("/account/email");
        let gate = ada.get("/reauthenticate").await;
        assert!(!gate.body.contains("type=\"password\""), "{}", gate.body);
    }

    /// Promises 2, 3, 4
    async fn forwarded_mail_gives_its_other_reader_nothing(db: Database) {
        let house = House::new(db).await;
        let (_, ben) = two_away(&house).await;
        let link = link_for(&house, ADA, "/members").await;
        let (before, eve) = (sessions(&house).await, house.visitor());
        for other in [&eve, &ben] {
            other.click(&link).await.goes_on_to("/members");
            other.get("/members").await.goes_on_to("/sign-in?next=%2Fmembers");
            assert_eq!(other.signed_in_as().await, None);
            let home = other.get("/").await;
            assert!(!home.body.contains(ADA), "{}", home.body);
        }
        assert_eq!(sessions(&house).await, before);
        // For who needs an account there is the form, filled in: one click to a link in her own mailbox.
        let form = eve.get("/sign-in?next=%2Fmembers").await;
        assert!(form.body.contains(&format!("value=\"{ADA}\"")), "{}", form.body);
        assert_eq!(form.hidden("next").as_deref(), Some("/members"));
        let fields = [("email", ADA), ("next", "/members")];
        house.advance(GAP);
        eve.post("/sign-in", &fields).await.sees_inbox_page();
        let mail = newest_mail(&house, 2).await;
        eve.click(&mail.link).await.goes_on_to("/members");
        // Ten minutes later the form knows nobody any more; a link that was ended meanwhile fills in nothing.
        let eve = house.visitor();
        eve.click(&link_for(&house, BEN, "/members").await).await.goes_on_to("/members");
        let late = eve.with_copied_jar();
        assert!(eve.get("/sign-in").await.body.contains(BEN));
        ben.enter(BEN, PASSWORD).await.goes_on_to("/account");
        ben.post("/account/links/end", &[]).await.goes_on_to("/account");
        assert!(!eve.get("/sign-in").await.body.contains(BEN));
        let link = link_for(&house, BEN, "/members").await;
        late.click(&link).await.goes_on_to("/members");
        house.advance(Duration::from_secs(10 * 60));
        assert!(!late.get("/sign-in").await.body.contains(BEN));
    }

    /// Promise 4
    async fn where_somebody_is_signed_in_the_token_only_disappears(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        // One browser, known by both.
        let mail = ask_from(&house, &ada, BEN).await;
        ada.use_link(&mail, BEN).await;
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(BEN));
        let before = (ada.cookie("doorpost"), sessions(&house).await);
        for address in [ADA, BEN] {
            let page = ada.click(&link_for(&house, address, "/members").await).await;
            page.goes_on_to("/members");
            assert!(page.set_cookies().is_empty(), "{address}");
            assert_eq!(ada.signed_in_as().await.as_deref(), Some(BEN));
        }
        assert_eq!((ada.cookie("doorpost"), sessions(&house).await), before);
        let ada = away(ada).await;
        ada.click(&link_for(&house, ADA, "/members").await).await.goes_on_to("/members");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "each to their own");
    }

    /// TOK-19
    async fn only_a_person_who_clicks_is_signed_in(db: Database) {
        let house = House::new(db).await;
        let ada = away(house.member(ADA).await).await;
        let (link, before) = (link_for(&house, ADA, "/members").await, sessions(&house).await);
        let request = |headers: &[(&str, &str)]| {
            let request = ada.request(Method::GET, &link);
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
        };
        let navigate = ("sec-fetch-mode", "navigate");
        let document = ("sec-fetch-dest", "document");
        let requests = vec![
            ada.request(Method::HEAD, &link),
            ada.clicking(&link).header("sec-purpose", "prefetch"),
            ada.clicking(&link).header("sec-purpose", "prefetch;prerender"),
            ada.clicking(&link).header("purpose", "prefetch"),
            request(&[("x-moz", "prefetch")]),
            request(&[navigate, ("sec-fetch-dest", "iframe")]),
            request(&[navigate, ("sec-fetch-dest", "embed")]),
            request(&[navigate]),
            request(&[document]),
            request(&[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]),
            request(&[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")]),
        ];
        for request in requests {
            let what = format!("{request:?}");
            let page = ada.send(request).await;
            page.goes_on_to("/members");
            assert!(page.set_cookies().is_empty(), "{what}");
        }
        for other in [Method::OPTIONS, Method::PUT, Method::POST] {
            let page = ada.send(ada.request(other, &link)).await;
            assert!(!page.status.is_redirection() && page.set_cookies().is_empty());
        }
        assert_eq!((sessions(&house).await, ada.signed_in_as().await), (before, None));
        ada.get(&link).await.goes_on_to("/members"); // a browser too old to say what it does
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
    }

    /// TOK-08, TOK-10
    async fn what_is_no_token_of_ours_is_as_good_as_none(db: Database) {
        let house = House::new(db).await;
        let (ada, _) = two_away(&house).await;
        let good = link_for(&house, ADA, "/members").await;
        let token = token_of(&good).to_owned();
        let bens = link_for(&house, BEN, "/members").await;
        let (id, rest) = token.split_once('.').unwrap();
        let (at, tag) = rest.split_once('.').unwrap();
        let (bens_id, bens_rest) = token_of(&bens).split_once('.').unwrap();
        let unsubscribe = unsubscribe_link(&house, ADA).await;
        let stored = { house.advance(GAP); house.asked("/sign-in", ADA).await.1 };
        let mut bad = vec![
            String::new(),
            "x".to_owned(),
            format!("{token}="),
            format!("{token}A"),
            format!("{token}%00"),
            format!("%20{token}"),
            format!("{token}.x"),
            token.to_uppercase(),
            token.replace('.', "%2e"),
            format!("{bens_id}.{rest}"),
            format!("{id}.{bens_rest}"),
            format!("{id}.0{at}.{tag}"),
            format!("{id}.+{at}.{tag}"),
            format!("{id}.-{at}.{tag}"),
            format!("{id}.9223372036854775807.{tag}"),
            format!("{id}.{at}."),
            format!("{}.{at}.{tag}", random::id()),
            token_of(&unsubscribe).to_owned(),
            stored.token().to_owned(),
            format!("{token}&login_token={token}"),
            format!("&login_token={}", token_of(&bens)),
        ];
        bad.extend((0..token.len()).map(|at| {
            let flipped = if &token[at..=at] == "A" { "B" } else { "A" };
            format!("{}{flipped}{}", &token[..at], &token[at + 1..])
        }).filter(|flipped| *flipped != token));
        bad.extend((1..token.len()).step_by(7).map(|length| token[..length].to_owned()));
        let before = sessions(&house).await;
        for bad in &bad {
            let page = ada.click(&format!("/members?login_token={bad}")).await;
            page.goes_on_to("/members");
            assert!(page.set_cookies().is_empty(), "{bad}");
        }
        assert_eq!((sessions(&house).await, ada.signed_in_as().await), (before, None));
        // Nor is it a token anywhere else.
        for route in ["/sign-in/link", "/confirm-email", "/reset-password", "/account/email/undo"] {
            ada.get(&format!("{route}?token={token}")).await.says_the_link_is_gone();
            let fields = [("token", &*token), ("email", ADA)];
            ada.post(route, &fields).await.says_the_link_is_gone();
        }
        lives(&ada, &good, "after all that").await;
    }

    /// RED-01: promise 11
    async fn without_its_token_an_address_stays_on_this_site(db: Database) {
        let house = House::new(db).await;
        let ada = away(house.member(ADA).await).await;
        let token = token_of(&link_for(&house, ADA, "/").await).to_owned();
        for path in [
            "//evil.test/", "///evil.test", "/\\evil.test", "/%2fevil.test/", "/%5cevil.test", "/..//evil.test",
            "/x/..//evil.test", "/%09/evil.test", "/%0d%0aset-cookie:x=y", "http://evil.test/", "//evil.test",
        ] {
            let request = format!(
                "GET {path}?login_token={token} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                 cookie: doorpost_known={}\r\n\r\n",
                ada.cookie("doorpost_known").unwrap()
            );
            let heard = wire::say(&house.url, request).await;
            let text = heard.text.to_ascii_lowercase();
            let location = text.lines().find_map(|line| line.strip_prefix("location: "));
            let stays = |location: &str| location.starts_with('/') && !location.starts_with("//");
            assert!(location.is_none_or(stays), "{path}: {text}");
            assert!(!text.contains("set-cookie: x"), "{path}: {text}");
        }
        for (asked, clean) in [
            ("/nowhere?login_token=T", "/nowhere"),
            ("/members?a=1&login_token=T&b=2", "/members?a=1&b=2"),
            ("/members?login_token=T&a=%2F%2Fevil.test", "/members?a=%2F%2Fevil.test"),
            ("/sign-in/link?token=x&login_token=T", "/sign-in/link?token=x"),
        ] {
            let page = ada.get(&asked.replace('T', &token)).await;
            page.goes_on_to(clean);
        }
        assert_eq!(ada.get("/nowhere?login_tokens=x").await.status, StatusCode::NOT_FOUND);
    }

    /// No other site ever gets a token.
    async fn only_pages_of_ours_get_a_token(db: Database) {
        let house = House::new(db).await;
        house.member(ADA).await;
        for page in ["/", "/members", "/members?a=1", "members", "/members#end"] {
            let link = link_for(&house, ADA, page).await;
            assert!(link.starts_with(&format!("{}/", house.url)) && link.contains("login_token="), "{link}");
        }
        let pasted = link_for(&house, ADA, "/members?login_token=mine&a=1&login_token=mine").await;
        assert!(!pasted.contains("=mine") && pasted.contains("/members?a=1&login_token="), "{pasted}");
        for elsewhere in [
            "https://evil.test/", "//evil.test/members", "https://localhost/", "http://localhost:1/", "http:///",
            "/\\evil.test", "javascript:alert(1)", "mailto:ada@example.org", "/static/doorpost.css",
        ] {
            assert_eq!(link_for(&house, ADA, elsewhere).await, elsewhere);
        }
    }

    /// TOK-06, TOK-07
    async fn a_link_counts_for_a_fortnight_or_as_long_as_is_set(db: Database) {
        let house = House::new(db).await;
        let ada = away(house.member(ADA).await).await;
        let link = link_for(&house, ADA, "/members").await;
        house.advance(14 * DAY - Duration::from_secs(1));
        lives(&ada, &link, "a second before its end").await;
        house.advance(Duration::from_secs(1));
        is_dead(&ada, &link, "expired").await;
        let house = house.restart(&[("LINK_LIFETIME_NOTIFICATION", "15d")]).await;
        lives(&ada.at(&house), &house_link(&house, &link), "now it is set").await;
    }

    /// TOK-13, TOK-15
    async fn what_changes_the_account_ends_every_link_that_is_out(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let stranger = house.visitor();
        let fresh = async || link_for(&house, ADA, "/members").await;
        // Known from here on: as it was before each change, in a jar of its own.
        let elsewhere = house.visitor();
        elsewhere.enter(ADA, PASSWORD).await.goes_on_to("/account");
        let elsewhere = away(elsewhere).await;
        lives(&elsewhere, &fresh().await, "to begin with").await;

        let link = fresh().await;
        ada.post("/account/links/end", &[]).await.goes_on_to("/account");
        is_dead(&elsewhere, &link, "all links were ended").await;
        lives(&elsewhere, &fresh().await, "one made since").await;

        let link = fresh().await;
        ada.post("/account/notification-links", &[]).await.goes_on_to("/account");
        is_dead(&elsewhere, &link, "switched off").await;
        assert!(!fresh().await.contains("login_token"), "switched off, none are made");
        ada.post("/account/notification-links", &[("enabled", "yes")]).await.goes_on_to("/account");
        is_dead(&elsewhere, &link, "switched on again").await;
        lives(&elsewhere, &fresh().await, "made since it is on again").await;

        let link = fresh().await;
        house.execute("UPDATE users SET notification_links = FALSE").await;
        is_dead(&elsewhere, &link, "switched off by hand").await;
        house.execute("UPDATE users SET notification_links = TRUE").await;

        let link = fresh().await;
        ada.post("/account/password", &[("password", "quite another horse")]).await.goes_on_to("/account");
        is_dead(&elsewhere, &link, "the password was changed").await;
        let notice = house.news_to(ADA).await.into_iter().find(|news| news.subject.ends_with("was changed"));
        let notice = notice.unwrap().link;
        lives(&elsewhere, &notice, "the notice of it was made after it").await;

        // An address that comes back brings no link back.
        let link = fresh().await;
        ada.reauthenticate_with("quite another horse").await;
        house.advance(GAP);
        ada.post("/account/email", &[("email", "countess@example.org")]).await.goes_on_to("/account/email");
        let confirm = house.mail_to("countess@example.org").await;
        ada.use_link(&confirm, "countess@example.org").await.goes_on_to("/account");
        is_dead(&elsewhere, &link, "the address was changed").await;
        let undo = house.mail_to(ADA).await;
        stranger.use_link(&undo, ADA).await;
        is_dead(&elsewhere, &link, "the address is back").await;
    }

    /// Promise 8 of the known browser: it is forgotten with the sessions.
    async fn a_browser_that_was_forgotten_is_a_strangers(db: Database) {
        let house = House::new(db).await;
        let ada = away(house.member(ADA).await).await;
        house.advance(GAP);
        let (asking, reset) = house.asked("/forgot-password", ADA).await;
        house.advance(Duration::from_secs(1));
        let fields = [("token", reset.token()), ("password", PASSWORD)];
        asking.post("/reset-password", &fields).await.goes_on_to("/sign-in/password");
        let link = link_for(&house, ADA, "/members").await;
        ada.click(&link).await.goes_on_to("/members");
        assert_eq!(ada.signed_in_as().await, None);
        ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
        lives(&away(ada).await, &link, "once she signed in here again").await;
    }

    /// TOK-15
    async fn a_deleted_account_has_no_links(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        let (link, known) = (link_for(&house, ADA, "/members").await, ada.cookie("doorpost_known").unwrap());
        ada.post("/account/delete", &[("email", ADA)]).await.goes_on_to("/");
        is_dead(&ada, &link, "deleted").await;
        house.advance(GAP);
        let again = house.visitor();
        again.ask("/register", ADA).await.sees_inbox_page();
        again.confirm(&house.mail_to(ADA).await.link).await;
        ada.set_cookie("doorpost_known", &known);
        is_dead(&ada, &link, "another account has the address").await;
    }

    /// FLT-09
    async fn keys_rotate_and_a_dropped_key_ends_its_links(db: Database) {
        let house = House::new(db).await;
        let ada = away(house.member(ADA).await).await;
        let link = link_for(&house, ADA, "/members").await;
        let old = house.secret_key().to_owned();
        let new = secret_key();
        let house = house.restart(&[("SECRET_KEY", &new), ("SECRET_KEYS_OLD", &old)]).await;
        let ada = ada.at(&house);
        lives(&ada, &house_link(&house, &link), "its key is an old one").await;
        // Known under the new key, so that it is the link alone that dies.
        let fields = [("email", ADA)];
        house.advance(GAP);
        ada.post("/sign-in", &fields).await.sees_inbox_page();
        ada.click(&newest_mail(&house, 2).await.link).await.goes_on_to("/account");
        let ada = away(ada).await;
        let made_now = link_for(&house, ADA, "/members").await;
        let house = house.restart(&[("SECRET_KEY", &new)]).await;
        let ada = ada.at(&house);
        is_dead(&ada, &house_link(&house, &link), "its key is gone").await;
        lives(&ada, &house_link(&house, &made_now), "its key is the new one").await;
    }

    async fn from_elsewhere_than_usual_it_signs_in_only_if_the_owner_likes(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor().calling_from("2001:db8:1:2::7");
        ada.ask("/register", ADA).await.sees_inbox_page();
        ada.confirm(&house.mail_to(ADA).await.link).await;
        let abroad = ada.calling_from("198.51.100.9");
        let fields = [("enabled", "yes"), ("usual_networks_only", "yes")];
        let link = link_for(&house, ADA, "/members").await;
        let ada = away(ada).await;
        lives(&abroad, &link, "it is not asked for").await;

        abroad.click(&link).await;
        abroad.post("/account/notification-links", &fields).await.goes_on_to("/account");
        let page = abroad.get("/account").await;
        assert_eq!(page.body.matches(" checked").count(), 2, "{}", page.body);
        let abroad = away(abroad).await;
        abroad.click(&link).await.goes_on_to("/members");
        assert_eq!(abroad.signed_in_as().await, None, "a link from there vouches for none");
        let nearby = ada.calling_from("2001:db8:1:2:ffff::1");
        lives(&nearby, &link, "the same network").await;
        let far = ada.calling_from("2001:db8:1:3::7");
        far.click(&link).await.goes_on_to("/members");
        assert_eq!(far.signed_in_as().await, None);
        // Whoever signs in from there in another way comes from there from then on, for 90 days.
        house.advance(GAP);
        abroad.ask("/sign-in", ADA).await.sees_inbox_page();
        abroad.click(&newest_mail(&house, 2).await.link).await.goes_on_to("/account");
        let abroad = away(abroad).await;
        lives(&abroad, &link, "from there she signed in").await;
        house.advance(90 * DAY);
        let link = link_for(&house, ADA, "/members").await;
        abroad.click(&link).await.goes_on_to("/members");
        assert_eq!(abroad.signed_in_as().await, None, "not lately");
    }

    async fn a_notice_takes_its_reader_to_the_sessions(db: Database) {
        let house = House::new(db).await;
        let ada = away(house.member_with_password(ADA).await).await;
        let thief = house.visitor();
        thief.enter(ADA, PASSWORD).await.goes_on_to("/account");
        let news = house.news_to(ADA).await.remove(0);
        assert!(news.subject.starts_with("New sign-in"), "{}", news.subject);
        ada.click(&news.link).await.goes_on_to("/account/sessions");
        let sessions = ada.get("/account/sessions").await;
        assert_eq!(sessions.body.matches("/end\"").count(), 2, "{}", sessions.body);
        ada.post("/account/sessions/end-others", &[]).await.goes_on_to("/account/sessions");
        assert_eq!(thief.signed_in_as().await, None);
    }

    /// TOK-17: nothing is stored.
    async fn no_row_knows_of_a_link(db: Database) {
        let house = House::new(db).await;
        let ada = away(house.member(ADA).await).await;
        let link = link_for(&house, ADA, "/members").await;
        lives(&ada, &link, "it is a good one").await;
        let (_, tag) = token_of(&link).rsplit_once('.').unwrap();
        let dump = String::from_utf8_lossy(&house.dump().await).into_owned();
        assert!(!dump.contains(tag));
    }

    /// Whatever ends the links and is under way comes first.
    async fn a_click_waits_for_the_end_of_all_links_and_is_judged_by_it(db: Database) {
        let house = House::new(db).await;
        let ada = away(house.member(ADA).await).await;
        let link = link_for(&house, ADA, "/members").await;
        let (ended, is_ended) = mpsc::channel();
        let (let_go, may_go) = mpsc::channel::<()>();
        let app = house.app.clone();
        let ending = tokio::spawn(async move {
            let held = app.transaction(move |tx| {
                let reader = users::hold_by_email(tx, ADA)?.unwrap();
                links::end_all(tx, &reader)?;
                ended.send(()).unwrap();
                may_go.recv().unwrap();
                Ok(())
            });
            held.await.unwrap();
        });
        tokio::task::spawn_blocking(move || is_ended.recv().unwrap()).await.unwrap();
        let (clicker, followed) = (ada.clone(), link.clone());
        let mut click = tokio::spawn(async move { clicker.click(&followed).await });
        let waits = tokio::time::timeout(Duration::from_millis(300), &mut click).await;
        assert!(waits.is_err(), "it did not wait: {:?}", waits.unwrap().unwrap().set_cookies());
        let_go.send(()).unwrap();
        let page = click.await.unwrap();
        page.goes_on_to("/members");
        assert!(page.set_cookies().is_empty());
        ending.await.unwrap();
        is_dead(&ada, &link, "all links were ended").await;
    }

    async fn the_account_page_shows_and_changes_what_links_may_do(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        let boxes = async || ada.get("/account").await.body.matches(" checked").count();
        assert_eq!(boxes().await, 1, "links, from any network");
        ada.post("/account/notification-links", &[("usual_networks_only", "yes")]).await.goes_on_to("/account");
        assert!(!ada.get("/account").await.body.contains("id=\"enabled\" name=\"enabled\" type=\"checkbox\" value=\"yes\" aria-describedby=\"enabled-hint\" checked"));
        assert!(ada.get("/account").await.body.contains("Send me none"));
        ada.post("/account/announcements", &[]).await.goes_on_to("/account");
        assert!(ada.get("/account").await.body.contains("Send me announcements"));
        ada.post("/account/announcements", &[("enabled", "yes")]).await.goes_on_to("/account");
        assert!(ada.get("/account").await.body.contains("Send me none"));
        ada.post("/account/links/end", &[]).await.goes_on_to("/account");
        let activity = ada.get("/account/activity").await.body;
        for words in ["All links in messages were ended", "What links in notices", "Announcements were called off"] {
            assert!(activity.contains(words), "{activity}");
        }
    }
}

/// FLT-02
#[tokio::test]
async fn while_the_database_is_away_a_click_is_to_be_tried_again() {
    let house = House::new(Database::Postgres).await;
    let ada = away(house.member(ADA).await).await;
    let link = link_for(&house, ADA, "/members").await;
    house.set_database_away(true).await;
    let page = ada.click(&link).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.set_cookies().is_empty());
    house.set_database_away(false).await;
    lives(&ada, &link, "it is back").await;
}

/// The newest of so many mails to Ada.
async fn newest_mail(house: &House, of: usize) -> Mail {
    house.mails_to(ADA, of).await.remove(0)
}

fn token_of(link: &str) -> &str {
    link.split_once("token=").unwrap().1
}

/// The same link where the house is now.
fn house_link(house: &House, link: &str) -> String {
    let from = link.match_indices('/').nth(2).unwrap().0;
    format!("{}{}", house.url, &link[from..])
}

async fn unsubscribe_link(house: &House, address: &'static str) -> String {
    let links = house.app.signed_links.clone();
    let made = house.app.read(move |tx| {
        let reader = users::of_address(tx, address)?.unwrap();
        Ok(links.to_unsubscribe(tx, &reader))
    });
    made.await.unwrap()
}

/// The mail that registers another address from this browser.
async fn ask_from(house: &House, visitor: &Visitor, address: &str) -> Mail {
    visitor.post("/sign-out", &[]).await.goes_on_to("/");
    visitor.ask("/register", address).await.sees_inbox_page();
    house.mail_to(address).await
}
