//! Somebody else's ids, sealed things and names, in every place where one's own belong: they are ignored, or not
//! found, and nothing of the other account moves.

use reqwest::{Method, StatusCode};

use crate::support::{Database, House, PASSWORD, Visitor};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";
const NEW: &str = "quite another horse altogether";

/// Bob, and Ada, whose every page is written down: when somebody was last seen is, beside the answer.
async fn bob_and_ada(house: &House) -> (Visitor, Visitor) {
    let bob = house.owner(BOB).await;
    let ada = house.owner(ADA).await;
    let seen = "SELECT count(*) AS n FROM sessions JOIN users ON users.id = sessions.user_id \
                WHERE email = 'ada@example.org' AND last_seen_at > sessions.created_at";
    house.seen(seen).await;
    (bob, ada)
}

/// All that is kept of Ada, as she sees it: her account, who is signed in, what happened.
async fn all_of(ada: &Visitor) -> Vec<String> {
    let mut seen = Vec::new();
    for path in ["/account", "/account/sessions", "/account/activity"] {
        let page = ada.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        seen.push(page.body);
    }
    seen
}

/// The ids that stand in the pages of an account.
async fn ids_of(member: &Visitor, house: &House, address: &str) -> Vec<String> {
    let page = member.get("/account/sessions").await.body;
    let session = page.split("action=\"/account/sessions/").skip(1);
    let mut ids: Vec<String> = session
        .filter_map(|rest| Some(rest.split_once("/end\"")?.0.to_owned()))
        .collect();
    assert!(!ids.is_empty(), "{page}");
    let address = address.to_owned();
    let read = house.app.read(move |tx| {
        use diesel::prelude::*;
        use doorpost::schema::{events, users};
        let user: String = users::table
            .filter(users::email.eq(address))
            .select(users::id)
            .first(tx.conn)?;
        let mut ids: Vec<String> = events::table
            .filter(events::user_id.eq(&user))
            .select(events::id)
            .load(tx.conn)?;
        ids.push(user);
        Ok(ids)
    });
    ids.extend(read.await.unwrap());
    ids
}

/// What an account's forms do, with fields that are right but for whose they are.
const FORMS: &[(&str, &[(&str, &str)])] = &[
    ("/account/notification-links", &[]),
    ("/account/announcements", &[]),
    ("/account/links/end", &[]),
    ("/account/sessions/end-others", &[]),
    ("/account/email", &[("email", "elsewhere@example.org")]),
    ("/account/email/cancel", &[]),
    ("/reauthenticate", &[("password", PASSWORD)]),
    ("/account/password", &[("password", NEW)]),
];

/// What somebody might call the account that they mean.
const NAMES: &[&str] = &[
    "user_id",
    "user",
    "id",
    "account",
    "session",
    "session_id",
    "sub",
];

on_both! {
    /// AZ-03
    async fn an_id_of_another_account_moves_nothing_of_it(db: Database) {
        let house = House::new(db).await;
        let (bob, ada) = bob_and_ada(&house).await;
        let hers = ids_of(&ada, &house, ADA).await;
        let before = all_of(&ada).await;

        // As a field that no form has, and in the query of the form.
        let id = hers.last().unwrap();
        for (route, fields) in FORMS {
            let more = NAMES.iter().map(|name| (*name, id.as_str()));
            let fields: Vec<_> = fields.iter().copied().chain(more).collect();
            let route = format!("{route}?user_id={id}&id={id}&email={ADA}");
            let done = bob.post(&route, &fields).await;
            assert_eq!(done.status, StatusCode::SEE_OTHER, "{route}: {}", done.body);
        }
        // As a part of the path, and where a page asks for one.
        for id in &hers {
            let ended = bob.post(&format!("/account/sessions/{id}/end"), &[]).await;
            assert_eq!(ended.status, StatusCode::NOT_FOUND, "{id}");
            let page = bob.get(&format!("/account/activity?before={id}")).await;
            assert!(!page.body.contains(id), "{id}");
            for path in ["/account", "/account/export", "/account/delete"] {
                let page = bob.get(&format!("{path}/{id}")).await;
                assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}/{id}");
            }
        }
        assert_eq!(all_of(&ada).await, before, "nothing of hers has moved");
        house.visitor().enter(ADA, PASSWORD).await.goes_on_to("/account");
        house.visitor().enter(BOB, NEW).await.goes_on_to("/account");
    }

    /// AZ-03
    async fn an_id_of_another_account_is_not_found_by_a_program(db: Database) {
        let house = House::new(db).await;
        let (_, ada) = bob_and_ada(&house).await;
        let hers = ids_of(&ada, &house, ADA).await;
        let before = all_of(&ada).await;
        let program = house.visitor().refusing_cookies();
        let grant = serde_json::json!({"grant_type": "password", "email": BOB, "password": PASSWORD});
        let request = program.request(Method::POST, "/api/v1/tokens")
            .header("content-type", "application/json").body(grant.to_string());
        let token = program.send(request).await.between("\"access_token\":\"", "\"").unwrap();
        for id in &hers {
            for (method, path, status) in [
                (Method::DELETE, format!("/api/v1/me/sessions/{id}"), StatusCode::NOT_FOUND),
                (Method::GET, format!("/api/v1/users/{id}"), StatusCode::NOT_FOUND),
                (Method::GET, format!("/api/v1/me?user_id={id}"), StatusCode::OK),
            ] {
                let request = program.request(method, &path)
                    .header("authorization", format!("Bearer {token}")).header("x-user-id", id);
                let answer = program.send(request).await;
                assert_eq!(answer.status, status, "{path}");
                assert!(!answer.body.contains(ADA), "{path}");
            }
        }
        assert_eq!(all_of(&ada).await, before);
    }

    /// AZ-03
    async fn a_sealed_thing_in_another_place_is_nothing(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(ADA).await;
        ada.ask("/sign-in", ADA).await.sees_inbox_page();
        let link = house.mails_to(ADA, 2).await.remove(0);
        ada.get(link.path()).await;
        let names = ["doorpost", "doorpost_known", "doorpost_asked", "doorpost_link"];
        let hers: Vec<String> = names.iter().filter_map(|name| ada.cookie(name)).collect();
        assert!(hers.len() >= 3, "{hers:?}");
        for name in names {
            for value in hers.iter().filter(|value| ada.cookie(name).as_ref() != Some(value)) {
                let thief = house.visitor();
                thief.set_cookie(name, value);
                assert_eq!(thief.signed_in_as().await, None, "{name}");
                assert!(!thief.get("/sign-in/sent").await.body.contains(ADA), "{name}");
                let page = thief.get("/sign-in/link").await;
                assert_eq!(page.status, StatusCode::GONE, "{name}: {}", page.body);
            }
        }
        // Beside a session of one's own, hers say nothing of who one is.
        let bob = house.member(BOB).await;
        for name in &names[1..] {
            if let Some(value) = ada.cookie(name) {
                bob.set_cookie(name, &value);
            }
        }
        assert_eq!(bob.signed_in_as().await.as_deref(), Some(BOB));
        bob.post("/account/announcements", &[]).await.goes_on_to("/account");
        assert_eq!(house.count("SELECT count(*) AS n FROM users WHERE announcements").await, 1);
    }
}
