//! All that can be done from outside: every route by whoever passes by, accounts that begin, are used in every way, and
//! end; programs, letters that leave and letters that do not; whoever watches.

use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::interleavings::program::Program;
use crate::program::{Doorpost, run};
use crate::routes;
use crate::support::{Answer, Authenticator, Mail, PASSWORD, ScriptedServer, Visitor, eventually};

/// Those who are there already, with a password.
const ADA: &str = "reader1@example.org";
const BEN: &str = "reader2@example.org";
const CYD: &str = "reader11@example.org";
const DAN: &str = "reader12@example.org";

/// Who comes.
const GUEST: &str = "guest@example.org";
const NEXT_OF_ADA: &str = "countess@example.net";

/// Whose mail the server does not take now, or never.
const LATER: &str = "later@example.org";
const NEVER: &str = "never@example.org";

const SITE: &str = "http://localhost:8080";

const ANOTHER_PASSWORD: &str = "quite another horse altogether";

struct Visits<'a> {
    doorpost: &'a Doorpost,
    server: &'a ScriptedServer,
}

/// Does all of it.
pub async fn everything_is_done(
    doorpost: &Doorpost,
    server: &ScriptedServer,
    folder: &Path,
    variables: &[(&str, &str)],
) {
    server.follow(|step| match (step.verb, step.to) {
        ("RCPT", LATER) => Answer::Say("450 4.2.0 not now"),
        ("RCPT", NEVER) => Answer::Say("550 5.1.1 no such user"),
        _ => Answer::Agree,
    });
    let visits = Visits { doorpost, server };
    every_route(&doorpost.visitor()).await;
    visits.somebody_begins().await;
    visits.ada_comes_in_by_mail().await;
    visits.ada_changes_her_address().await;
    visits.ben_comes_by_password_and_resets_it().await;
    visits.cyd_has_programs().await;
    visits.dan_reads_news_and_leaves(folder, variables).await;
    visits.mail_that_does_not_leave().await;
    visits.whoever_watches().await;
}

/// With nothing filled in.
async fn every_route(who: &Visitor) {
    for (path, methods) in routes::paths("nobodys") {
        if path == "/sign-out" {
            continue; // last, by whoever is signed in
        }
        for method in methods {
            let who = who.with_copied_jar();
            let page = match method {
                Method::POST => who.post(&path, &[]).await,
                other => who.send(who.request(other, &path)).await,
            };
            assert!(page.status.as_u16() < 500, "{path}: {}", page.body);
        }
    }
}

async fn uses_passkey(visitor: &Visitor, ceremony: &str, passkey: &mut Authenticator) {
    let asked = visitor
        .script(&format!("{ceremony}/options"), &json!({}))
        .await;
    let signed = json!({ "credential": passkey.sign(&asked.json()) });
    let used = visitor.script(ceremony, &signed).await;
    assert_eq!(used.status.as_u16(), 200, "{}", used.body);
}

impl Visits<'_> {
    fn visitor(&self) -> Visitor {
        self.doorpost.visitor()
    }

    /// The newest mail that leads there.
    async fn mail(&self, address: &str, route: &str) -> Mail {
        let found = || {
            let letters = self.server.taken_for(address);
            let mut mails = letters.iter().map(|letter| letter.mail());
            mails.rfind(|mail| !mail.is_news() && mail.route() == route)
        };
        let what = format!("{route} for {address}");
        eventually(&what, async || found().is_some()).await;
        found().unwrap()
    }

    async fn somebody_begins(&self) {
        let guest = self.visitor();
        guest.ask("/register", GUEST).await.sees_inbox_page();
        let mail = self.mail(GUEST, "/confirm-email").await;
        guest
            .ask("/confirm-email/send", GUEST)
            .await
            .sees_inbox_page(); // within the gap
        guest.get("/sign-in/sent").await;
        guest.type_code("BBBB-BBBB").await.says_mistake("");
        guest.click(mail.path()).await;
        let elsewhere = self.visitor();
        elsewhere.get(mail.path()).await;
        elsewhere
            .use_link(&mail, "nobody@example.org")
            .await
            .says_mistake("");
        let fields = [
            ("token", mail.token()),
            ("email", GUEST),
            ("password", PASSWORD),
        ];
        let begun = guest.post("/confirm-email", &fields).await;
        begun.goes_on_to("/account");
        guest.use_link(&mail, GUEST).await; // once more
        guest.get("/sign-in/sent").await;
    }

    async fn ada_comes_in_by_mail(&self) {
        let ada = self.visitor();
        ada.ask("/sign-in", ADA).await.sees_inbox_page();
        let mail = self.mail(ADA, "/sign-in/link").await;
        ada.click(mail.path()).await.goes_on_to("/account");
        ada.ask("/sign-in", ADA).await; // who is in already
        ada.post("/sign-out", &[]).await.goes_on_to("/");
        // She is known here by now, and has used the mail before.
        ada.ask("/sign-in", ADA).await.sees_inbox_page();
        eventually("a second letter", async || {
            let codes = self.server.taken_for(ADA);
            codes
                .iter()
                .filter(|letter| letter.mail().code.is_some())
                .count()
                == 2
        })
        .await;
        let mail = self.mail(ADA, "/sign-in/link").await;
        ada.type_code("BBBB-BBBB").await.says_mistake("");
        ada.type_code(mail.code()).await.goes_on_to("/account");
        // News of the first sign-in: a link for a browser that is known.
        let news = self.news_of_new_browser(ADA).await;
        ada.post("/sign-out", &[]).await.goes_on_to("/");
        ada.click(news.path()).await;
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        self.visitor().click(news.path()).await;
        let usual = [("enabled", "yes"), ("usual_networks_only", "yes")];
        ada.post("/account/notification-links", &usual)
            .await
            .goes_on_to("/account");
        ada.post("/sign-out", &[]).await.goes_on_to("/");
        ada.click(news.path()).await;
        ada.post("/account/notification-links", &[])
            .await
            .goes_on_to("/account");
        ada.post("/account/announcements", &[])
            .await
            .goes_on_to("/account");
        ada.post("/account/links/end", &[])
            .await
            .goes_on_to("/account");
        every_route(&ada).await;
    }

    async fn news_of_new_browser(&self, address: &str) -> Mail {
        let found = || {
            let letters = self.server.taken_for(address);
            let mut mails = letters.iter().map(|letter| letter.mail());
            mails.find(|mail| mail.link.contains("/account/sessions"))
        };
        eventually("news of a new browser", async || found().is_some()).await;
        found().unwrap()
    }

    async fn ada_changes_her_address(&self) {
        let ada = self.visitor();
        ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
        for wanted in [BEN, NEXT_OF_ADA] {
            let asked = ada.post("/account/email", &[("email", wanted)]).await;
            asked.goes_on_to("/account/email");
        }
        ada.get("/account/email").await;
        let mail = self.mail(NEXT_OF_ADA, "/account/email/confirm").await;
        ada.click(mail.path()).await;
        ada.use_link(&mail, NEXT_OF_ADA)
            .await
            .goes_on_to("/account");
        let undo = self.mail(ADA, "/account/email/undo").await;
        ada.ask("/register", ADA).await.sees_inbox_page(); // it is kept for her
        let elsewhere = self.visitor();
        elsewhere.click(undo.path()).await;
        elsewhere.use_link(&undo, ADA).await;
        let reset = self.mail(ADA, "/reset-password").await;
        let fields = [
            ("token", reset.token()),
            ("email", ADA),
            ("password", PASSWORD),
        ];
        let set = elsewhere.post("/reset-password", &fields).await;
        set.goes_on_to("/sign-in/password");
        ada.enter(ADA, PASSWORD).await.goes_on_to("/account");
        // She has a passkey, and does not use it.
        let asked = ada.post("/account/email", &[("email", NEXT_OF_ADA)]).await;
        asked.goes_on_to("/account/reset-hold?next=%2Faccount%2Femail");
        ada.get("/account/reset-hold").await;
        ada.post("/account/reset-hold", &[("answer", "young-not-mine")])
            .await;
    }

    async fn ben_comes_by_password_and_resets_it(&self) {
        let ben = self.visitor();
        for password in ["a horse that eats grass", "a horse that eats hay"] {
            ben.enter(BEN, password).await.says_mistake("");
        }
        ben.enter("nobody@example.org", PASSWORD)
            .await
            .says_mistake("");
        ben.enter(BEN, PASSWORD).await.goes_on_to("/account");
        every_route(&ben).await;
        let wrong = [
            ("password", "a horse that eats grass"),
            ("next", "/account"),
        ];
        ben.post("/reauthenticate", &wrong).await.says_mistake("");
        ben.reauthenticate().await;
        let mut passkey = self.has_passkey(&ben).await;
        let changed = ben
            .post("/account/password", &[("password", ANOTHER_PASSWORD)])
            .await;
        changed.goes_on_to("/account");
        ben.ask("/forgot-password", BEN).await.sees_inbox_page();
        ben.ask("/forgot-password", "nobody@example.org")
            .await
            .sees_inbox_page();
        let mail = self.mail(BEN, "/reset-password").await;
        ben.click(mail.path()).await;
        let fields = [
            ("token", mail.token()),
            ("email", BEN),
            ("password", PASSWORD),
        ];
        let set = ben.post("/reset-password", &fields).await;
        set.goes_on_to("/sign-in/password");
        let [here, there] = [(); 2].map(|()| self.visitor());
        for browser in [&ben, &here, &there] {
            browser.enter(BEN, PASSWORD).await.goes_on_to("/account");
        }
        let shown = ben.get("/account/sessions").await.body;
        let ids = shown.split("/account/sessions/").skip(1);
        let mut ids = ids.filter_map(|rest| Some(rest.split_once("/end\"")?.0));
        let end = format!("/account/sessions/{}/end", ids.next().unwrap());
        ben.post(&end, &[]).await;
        ben.enter(BEN, PASSWORD).await.goes_on_to("/account");
        uses_passkey(&ben, "/reauthenticate/passkey", &mut passkey).await;
        ben.post("/account/reset-hold", &[("answer", "not-mine")])
            .await
            .goes_on_to("/account");
        ben.post("/account/sessions/end-others", &[]).await;
        let trail = ben.get("/account/activity").await;
        if let Some(older) = trail.between("href=\"/account/activity?", "\"") {
            ben.get(&format!("/account/activity?{older}")).await;
        }
    }

    /// One is added, has another name, and lets its owner in elsewhere; a second one goes again.
    async fn has_passkey(&self, owner: &Visitor) -> Authenticator {
        let [mut kept, mut gone] = [(); 2].map(|()| Authenticator::on(SITE));
        for passkey in [&mut kept, &mut gone] {
            let asked = owner
                .script("/account/passkeys/add/options", &json!({}))
                .await;
            let made = json!({ "credential": passkey.make(&asked.json()) });
            let added = owner.script("/account/passkeys/add", &made).await;
            assert_eq!(added.status.as_u16(), 200, "{}", added.body);
        }
        let list = owner.get("/account/passkeys").await;
        let id = list
            .between("href=\"/account/passkeys/", "/rename\"")
            .unwrap();
        let named = [("name", "the key on my key ring")];
        owner
            .post(&format!("/account/passkeys/{id}/rename"), &named)
            .await
            .goes_on_to("/account/passkeys");
        uses_passkey(&self.visitor(), "/passkeys/sign-in", &mut kept).await;
        let (_, last) = list.body.rsplit_once("href=\"/account/passkeys/").unwrap();
        let (id, _) = last.split_once("/remove\"").unwrap();
        owner.get(&format!("/account/passkeys/{id}/remove")).await;
        owner
            .post(&format!("/account/passkeys/{id}/remove"), &[])
            .await
            .goes_on_to("/account/passkeys");
        kept
    }

    async fn cyd_has_programs(&self) {
        let program = Program::new(&self.visitor());
        let asked = program.ask_for_code(CYD).await;
        let asked: Value = serde_json::from_str(&asked.body).unwrap();
        let sign_in_id = asked["sign_in_id"].as_str().unwrap().to_owned();
        let found = || {
            let letters = self.server.taken_for(CYD);
            letters.iter().find_map(|letter| letter.mail().code)
        };
        eventually("a code", async || found().is_some()).await;
        program.type_code(&sign_in_id, "BBBB-BBBB").await;
        let by_code = program.type_code(&sign_in_id, &found().unwrap()).await;
        let by_code = program.clone().with(&by_code);
        assert_eq!(by_code.signed_in_as().await.as_deref(), Some(CYD));
        by_code.revoke().await;
        program.sign_in(CYD, "a horse that eats grass").await;
        let mut programs = Vec::new();
        for _ in 0..3 {
            let signed_in = program.sign_in(CYD, PASSWORD).await;
            programs.push(program.clone().with(&signed_in));
        }
        let [one, other, third] = programs.try_into().ok().unwrap();
        let next = one.clone().with(&one.refresh().await);
        one.refresh().await; // the answer was lost
        let after = next.clone().with(&next.refresh().await);
        assert_eq!(after.signed_in_as().await.as_deref(), Some(CYD));
        one.refresh().await; // somebody else has it
        assert_eq!(after.signed_in_as().await, None);
        let sessions = other.get("/api/v1/me/sessions").await;
        let sessions: Value = serde_json::from_str(&sessions.body).unwrap();
        let sessions = sessions["sessions"].as_array().unwrap();
        let id = sessions
            .iter()
            .find(|session| session["current"] == false)
            .unwrap();
        let end = format!("/api/v1/me/sessions/{}", id["id"].as_str().unwrap());
        assert_eq!(other.delete(&end).await.status.as_u16(), 204);
        let address = json!({"email": "cyd@example.net"});
        other.post("/api/v1/me/email", &address).await;
        let changed = other
            .post(
                "/api/v1/me/password",
                &json!({"password": ANOTHER_PASSWORD}),
            )
            .await;
        assert!(changed.status.is_success(), "{}", changed.body);
        let again = program.sign_in(CYD, ANOTHER_PASSWORD).await;
        let again = program.clone().with(&again);
        assert_eq!(again.delete("/api/v1/me").await.status.as_u16(), 204);
        drop(third);
    }

    async fn dan_reads_news_and_leaves(&self, folder: &Path, variables: &[(&str, &str)]) {
        fs::write(
            folder.join("news.md"),
            "# News\n\nThere is [news](/members).\n",
        )
        .unwrap();
        let announced = run(folder, &["announce", "news.md", "--to", DAN], variables);
        assert!(announced.status.success(), "{announced:?}");
        let letter = self.server.letter_for(DAN).await;
        let unsubscribe = letter.header("List-Unsubscribe");
        let path = unsubscribe.find("/unsubscribe").unwrap();
        let path = unsubscribe[path..].trim_end_matches('>');
        let dan = self.visitor();
        dan.get(path).await;
        dan.post(path, &[("List-Unsubscribe", "One-Click")]).await;
        dan.enter(DAN, PASSWORD).await.goes_on_to("/account");
        let file = dan.post("/account/export", &[]).await;
        assert_eq!(file.status.as_u16(), 200);
        let gone = dan.post("/account/delete", &[("email", DAN)]).await;
        gone.goes_on_to("/");
    }

    /// A sent letter of somebody who is gone is forgotten, one that the server refuses is set aside.
    async fn mail_that_does_not_leave(&self) {
        for address in [LATER, NEVER] {
            self.visitor()
                .ask("/register", address)
                .await
                .sees_inbox_page();
            eventually("both were tried", async || {
                self.server.times_named(address) > 0
            })
            .await;
        }
        self.doorpost.says("\"event\":\"mail_refused\"");
        self.doorpost.says("\"event\":\"mail_deferred\"");
    }

    async fn whoever_watches(&self) {
        self.visitor().get("/readyz").await;
        let log = self.doorpost.log();
        let (_, address) = log.split_once("metrics are at http://").unwrap();
        let (address, _) = address.split_once("/metrics").unwrap();
        let metrics = Visitor::new(&format!("http://{address}"))
            .get("/metrics")
            .await;
        assert!(
            metrics.body.contains("doorpost_database_up 1"),
            "{}",
            metrics.body
        );
    }
}
