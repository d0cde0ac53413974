//! Passkeys: to come in, to open the gate, to have one more; and every way in which what an authenticator brings may be
//! wrong.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    Authenticator, Database, House, PASSWORD, Page, Signed, Visitor, at_once, eventually,
    secret_key,
};

const ADA: &str = "ada@example.org";
const EVE: &str = "eve@example.org";
const MINUTE: Duration = Duration::from_secs(60);

/// So long a challenge may be answered.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The three ceremonies, each with its options at `…/options`.
const SIGN_IN: &str = "/passkeys/sign-in";
const GATE: &str = "/reauthenticate/passkey";
const ADD: &str = "/account/passkeys/add";

async fn options(visitor: &Visitor, ceremony: &str) -> Value {
    let asked = visitor
        .script(&format!("{ceremony}/options"), &json!({}))
        .await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
    asked.json()
}

async fn bring(visitor: &Visitor, ceremony: &str, credential: &Value) -> Page {
    visitor
        .script(ceremony, &json!({ "credential": credential }))
        .await
}

/// Somebody whose session may do what is sensitive adds a passkey.
async fn add(owner: &Visitor, house: &House) -> Authenticator {
    let mut authenticator = Authenticator::at(house);
    let added = authenticator.make_at(owner, ADD).await;
    added.is_taken("/account/passkeys");
    authenticator
}

/// An owner with a passkey.
async fn with_passkey(house: &House, address: &str) -> (Visitor, Authenticator) {
    let owner = house.owner(address).await;
    let authenticator = add(&owner, house).await;
    (owner, authenticator)
}

async fn sign_in(visitor: &Visitor, authenticator: &mut Authenticator) -> Page {
    authenticator.sign_at(visitor, SIGN_IN).await
}

async fn open_gate(visitor: &Visitor, authenticator: &mut Authenticator) -> Page {
    authenticator.sign_at(visitor, GATE).await
}

/// Whether the gate is open to this session.
async fn may_act(visitor: &Visitor) -> bool {
    visitor.get("/account/password").await.status == StatusCode::OK
}

async fn passkeys(house: &House) -> i64 {
    house.count("SELECT count(*) AS n FROM passkeys").await
}

impl Page {
    /// The script is to go on to this page.
    #[track_caller]
    fn is_taken(&self, next: &str) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.json(), json!({ "next": next }));
    }

    /// In the same words, whatever was wrong; and nothing is handed out.
    #[track_caller]
    fn is_refused(&self, what: &str) {
        assert_eq!(
            self.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{what}: {}",
            self.body
        );
        assert_eq!(self.problem(), "passkey_refused", "{what}");
        assert_eq!(self.set_cookies(), [""; 0], "{what}");
    }

    /// Nobody has it here: in the same words, and what keeps it may forget it.
    #[track_caller]
    fn is_unknown(&self, what: &str) {
        assert_eq!(self.problem(), "unknown_passkey", "{what}");
        assert_eq!(self.set_cookies(), [""; 0], "{what}");
    }

    /// What kind of problem it is.
    #[track_caller]
    fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.body
        );
        let kind = self.json()["type"].as_str().unwrap().to_owned();
        kind.strip_prefix("urn:doorpost:problem:")
            .unwrap()
            .to_owned()
    }
}

type Bend = fn(&mut Signed);

/// What an authenticator, or the browser around it, must not say.
const WRONG: &[(&str, Bend)] = &[
    ("another origin", |it| {
        it.origin = "https://evil.test".to_owned();
    }),
    ("another port", |it| {
        it.origin = "http://localhost:1".to_owned();
    }),
    ("an origin with a slash", |it| it.origin.push('/')),
    ("the same host by https", |it| {
        it.origin = it.origin.replace("http:", "https:");
    }),
    ("an origin in capitals", |it| {
        it.origin = it.origin.to_uppercase();
    }),
    ("no origin", |it| it.origin = String::new()),
    ("a frame on another site", |it| {
        it.more = json!({ "crossOrigin": true });
    }),
    ("a page around it", |it| {
        it.more = json!({ "topOrigin": "https://evil.test" });
    }),
    ("another site", |it| it.rp_id = "evil.test".to_owned()),
    ("a host above", |it| it.rp_id = "example.org".to_owned()),
    ("nobody there", |it| it.flags &= !Signed::USER_PRESENT),
    ("nobody verified", |it| it.flags &= !Signed::USER_VERIFIED),
    ("backed up, and never to be", |it| {
        it.flags |= Signed::BACKED_UP;
    }),
    ("extensions that are not there", |it| it.flags |= 0x80),
    ("a challenge of its own", |it| {
        it.challenge = "AAAAAAAAAAAAAAAAAAAAAA".to_owned();
    }),
    ("a challenge that is bent", |it| {
        it.challenge.replace_range(
            30..31,
            if it.challenge[30..31] == *"A" {
                "B"
            } else {
                "A"
            },
        );
    }),
    ("a challenge cut short", |it| it.challenge.truncate(60)),
    ("no challenge", |it| it.challenge = String::new()),
    ("a challenge with padding", |it| it.challenge.push('=')),
    ("another ceremony", |it| {
        it.kind = if it.kind == "webauthn.get" {
            "webauthn.create"
        } else {
            "webauthn.get"
        };
    }),
    ("a payment", |it| it.kind = "payment.get"),
];

/// Wrong only for a passkey that is known already.
const WRONG_TO_SIGN: &[(&str, Bend)] = &[
    ("a passkey that may be copied now", |it| {
        it.flags |= Signed::BACKUP_ELIGIBLE;
    }),
    ("another account", |it| it.user_handle = Some(vec![1; 32])),
    ("an empty account", |it| it.user_handle = Some(Vec::new())),
    ("a credential where none belongs", |it| it.flags |= 0x40),
];

on_both! {
    /// The heart of it: a passkey is all that it takes, and what is sensitive is open for the window.
    async fn a_passkey_signs_in_and_counts_as_the_password(db: Database) {
        let house = House::new(db).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        let here = house.visitor();
        let signed = passkey.sign(&options(&here, SIGN_IN).await);
        let body = json!({ "credential": signed, "next": "/account/sessions" });
        here.script(SIGN_IN, &body).await.is_taken("/account/sessions");
        assert_eq!(here.signed_in_as().await.as_deref(), Some(ADA));
        assert!(here.get("/account/sessions").await.body.contains("With a passkey"));
        assert!(here.get("/account/activity").await.body.contains("Signed in with a passkey"));
        assert!(may_act(&here).await);
        house.advance(Duration::from_secs(10 * 60));
        here.get("/account/password").await.is_sent_to_the_gate("/account/password");
        let news = house.news_to(ADA).await;
        assert!(news.iter().any(|mail| mail.subject.starts_with("New sign-in")), "told of a new browser");
    }

    /// As every way in: it ends the links that are out, and gives nothing away of the session before.
    async fn a_passkey_begins_a_session_like_any_other_way_in(db: Database) {
        let house = House::new(db).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        let (asking, mail) = house.asked("/sign-in", ADA).await;
        let eve = house.member(EVE).await;
        let before = eve.with_copied_jar();
        sign_in(&eve, &mut passkey).await.is_taken("/account");
        assert_eq!(eve.signed_in_as().await.as_deref(), Some(ADA));
        assert_eq!(before.signed_in_as().await, None, "the session before is over");
        asking.open(&mail.link).await.says_the_link_is_gone();

        // The browser is known from here on.
        house.news_to(ADA).await;
        let told = house.news_to(ADA).await.len();
        house.advance(Duration::from_secs(2 * 60 * 60));
        sign_in(&eve, &mut passkey).await.is_taken("/account");
        assert_eq!(house.news_to(ADA).await.len(), told);
    }

    async fn on_a_shared_computer_nothing_stays(db: Database) {
        let house = House::new(db).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        let here = house.visitor();
        let signed = passkey.sign(&options(&here, SIGN_IN).await);
        let in_here = here.script(SIGN_IN, &json!({ "credential": signed, "shared": true })).await;
        in_here.is_taken("/account");
        let cookies = in_here.set_cookies();
        assert!(cookies.iter().all(|cookie| !cookie.contains("Max-Age")), "{cookies:?}");
        assert_eq!(here.cookie("doorpost_known"), None);
    }

    async fn a_next_of_another_site_is_nowhere(db: Database) {
        let house = House::new(db).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        for next in ["https://evil.test/", "//evil.test", "/\\evil.test", ""] {
            let here = house.visitor();
            let signed = passkey.sign(&options(&here, SIGN_IN).await);
            let body = json!({ "credential": signed, "next": next });
            here.script(SIGN_IN, &body).await.is_taken("/account");
        }
    }

    /// Promise 9: who has a passkey is nobody's business.
    async fn what_is_asked_of_a_stranger_is_the_same_for_everybody(db: Database) {
        let house = House::new(db).await;
        let looks = async |visitor: &Visitor| {
            let page = visitor.script(&format!("{SIGN_IN}/options"), &json!({})).await;
            let challenge = page.json()["challenge"].as_str().unwrap().to_owned();
            (page.looks().replace(&challenge, "CHALLENGE"), challenge.len())
        };
        let stranger = looks(&house.visitor()).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        assert_eq!(looks(&house.visitor()).await, stranger);
        assert_eq!(looks(&owner).await, stranger);
        let known = house.visitor();
        sign_in(&known, &mut passkey).await.is_taken("/account");
        assert_eq!(looks(&known).await, stranger);
        let asked = options(&known, SIGN_IN).await;
        assert_eq!(asked["allowCredentials"], json!([]));
        assert_eq!(asked["userVerification"], "required");
        assert_eq!(asked["rpId"], "localhost");
        // And so are the pages.
        let page = async |visitor: &Visitor| visitor.get("/sign-in").await.looks();
        let fresh = page(&house.visitor()).await;
        known.post("/sign-out", &[("sure", "yes")]).await;
        known.get("/").await;
        assert_eq!(page(&known).await, fresh);
    }

    /// Promise 6
    async fn asking_leaves_nothing_behind(db: Database) {
        let house = House::new(db).await;
        let rows = async || {
            let mut rows = Vec::new();
            for table in ["answered_challenges", "limits", "sessions", "events", "users", "links"] {
                rows.push(house.count(format!("SELECT count(*) AS n FROM {table}")).await);
            }
            rows
        };
        let before = rows().await;
        let visitor = house.visitor();
        for _ in 0..50 {
            assert_eq!(visitor.script("/passkeys/sign-in/options", &json!({})).await.set_cookies(), [""; 0]);
        }
        assert_eq!(rows().await, before);
    }

    /// What authenticators are asked for, so that what comes of it is a passkey.
    async fn a_passkey_is_asked_for_as_it_should_be(db: Database) {
        let house = House::new(db).await;
        let (owner, passkey) = with_passkey(&house, ADA).await;
        let asked = options(&owner, ADD).await;
        assert_eq!(asked["rp"], json!({ "id": "localhost", "name": "Doorpost" }));
        assert_eq!(asked["user"]["name"], ADA);
        let selection = json!({ "residentKey": "required", "requireResidentKey": true, "userVerification": "required" });
        assert_eq!(asked["authenticatorSelection"], selection);
        assert_eq!(asked["attestation"], "none");
        let algorithms: Vec<i64> = asked["pubKeyCredParams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["alg"].as_i64().unwrap())
            .collect();
        assert!(algorithms.contains(&-7) && algorithms.contains(&-257), "{algorithms:?}");
        let excluded = &asked["excludeCredentials"];
        assert_eq!(excluded.as_array().unwrap().len(), 1);
        assert_eq!(excluded[0]["transports"], json!(["hybrid", "internal"]), "no words but the standard's");
        // What an authenticator calls the account is nobody else's name for it.
        assert_eq!(passkey.user_handle.len(), 32);
        let id = "SELECT count(*) AS n FROM users WHERE id = '";
        let handle = asked["user"]["id"].as_str().unwrap();
        assert_eq!(house.count(format!("{id}{handle}'")).await, 0);
    }

    async fn whatever_is_wrong_is_refused_in_the_same_words(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        let here = house.visitor();
        for (what, bend) in WRONG.iter().chain(WRONG_TO_SIGN) {
            let signed = passkey.sign_bent(&options(&here, SIGN_IN).await, bend);
            bring(&here, SIGN_IN, &signed).await.is_refused(what);
            let signed = passkey.sign_bent(&options(&owner, GATE).await, bend);
            bring(&owner, GATE, &signed).await.is_refused(what);
        }
        for (what, bend) in WRONG {
            let made = Authenticator::at(&house).make_bent(&options(&owner, ADD).await, bend);
            bring(&owner, ADD, &made).await.is_refused(what);
        }
        assert_eq!(passkeys(&house).await, 1);
        assert_eq!(house.count("SELECT count(*) AS n FROM sessions").await, 1);
        // And the passkey is as good as before.
        sign_in(&here, &mut passkey).await.is_taken("/account");
    }

    /// Whoever is yet to be known has to be named by the authenticator; at the gate it is known who they are.
    async fn an_answer_without_a_name_does_at_the_gate_alone(db: Database) {
        let house = House::new(db).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        let nameless: Bend = |it| it.user_handle = None;
        let here = house.visitor();
        let signed = passkey.sign_bent(&options(&here, SIGN_IN).await, nameless);
        bring(&here, SIGN_IN, &signed).await.is_refused("nobody named");
        let signed = passkey.sign_bent(&options(&owner, GATE).await, nameless);
        bring(&owner, GATE, &signed).await.is_taken("/account");
    }

    async fn a_signature_with_any_bit_of_it_bent_is_none(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        let (here, mut other) = (house.visitor(), Authenticator::at(&house));
        for part in ["signature", "authenticatorData", "clientDataJSON"] {
            let mut signed = passkey.sign(&options(&here, SIGN_IN).await);
            let whole = signed["response"][part].as_str().unwrap().to_owned();
            for at in (0..whole.len()).step_by(7) {
                let letter = if whole.as_bytes()[at] == b'A' { "B" } else { "A" };
                let mut bent = whole.clone();
                bent.replace_range(at..=at, letter);
                signed["response"][part] = json!(bent);
                let answer = bring(&here, SIGN_IN, &signed).await;
                assert!(
                    answer.status.is_client_error() && answer.set_cookies().is_empty(),
                    "{part} bent at {at}: {}",
                    answer.body
                );
            }
        }
        // Signed by another key, in the name of this one.
        other.credential_id.clone_from(&passkey.credential_id);
        other.user_handle.clone_from(&passkey.user_handle);
        other.counter = 100;
        sign_in(&here, &mut other).await.is_refused("another's key");
        sign_in(&here, &mut Authenticator::at(&house)).await.is_unknown("a passkey that nobody has");
        sign_in(&here, &mut passkey).await.is_taken("/account");
    }

    /// Promise 1
    async fn an_answer_counts_once(db: Database) {
        let house = House::new(db).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        passkey.counts = false;
        passkey.counter = 0;
        house.execute("UPDATE passkeys SET sign_count = 0").await;
        let here = house.visitor();
        let signed = passkey.sign(&options(&here, SIGN_IN).await);
        bring(&here, SIGN_IN, &signed).await.is_taken("/account");
        bring(&here, SIGN_IN, &signed).await.is_refused("in the same browser");
        bring(&house.visitor(), SIGN_IN, &signed).await.is_refused("in another");
        let second_node = house.second_node(&[("PUBLIC_URL", &house.url)]);
        bring(&second_node.visitor(), SIGN_IN, &signed).await.is_refused("on another node");
        // Another signature over the same challenge is no better.
        let used = json!({ "challenge": challenge_of(&signed), "rpId": "localhost" });
        bring(&house.visitor(), SIGN_IN, &passkey.sign(&used)).await.is_refused("signed anew");

        let signed = passkey.sign(&options(&owner, GATE).await);
        bring(&owner, GATE, &signed).await.is_taken("/account");
        bring(&owner, GATE, &signed).await.is_refused("at the gate");

        let asked = options(&owner, ADD).await;
        let made = Authenticator::at(&house).make(&asked);
        bring(&owner, ADD, &made).await.is_taken("/account/passkeys");
        let made = Authenticator::at(&house).make(&asked);
        bring(&owner, ADD, &made).await.is_refused("another passkey for the same challenge");
        assert_eq!(passkeys(&house).await, 2);
    }

    /// Promise 1, with everybody at once, on two nodes.
    async fn an_answer_that_comes_ten_times_at_once_counts_once(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        let second_node = house.second_node(&[("PUBLIC_URL", &house.url), ("LIMIT_TOKEN_PER_NETWORK", "off")]);
        let before = house.count("SELECT count(*) AS n FROM sessions").await;
        let signed = passkey.sign(&options(&house.visitor(), SIGN_IN).await);
        let tries = (0..10).map(|at| {
            let visitor = if at % 2 == 0 { house.visitor() } else { second_node.visitor() };
            let signed = signed.clone();
            async move { bring(&visitor, SIGN_IN, &signed).await }
        });
        let answers = at_once(tries).await;
        let (taken, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|page| page.status == StatusCode::OK);
        assert_eq!(taken.len(), 1);
        for page in refused {
            page.is_refused("the others");
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM sessions").await, before + 1);
    }

    /// Promise 2: a challenge is good for what it was made for, and for whom.
    async fn a_challenge_is_good_for_one_purpose_and_one_session(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (ada, mut passkey) = with_passkey(&house, ADA).await;
        let (eve, mut of_eve) = with_passkey(&house, EVE).await;
        let here = house.visitor();
        let ada_elsewhere = house.visitor();
        sign_in(&ada_elsewhere, &mut passkey).await.is_taken("/account");
        let asked = [
            ("signing in", options(&here, SIGN_IN).await),
            ("Ada's gate", options(&ada, GATE).await),
            ("adding for Ada", with_rp_id(options(&ada, ADD).await)),
            ("the gate of Ada's other session", options(&ada_elsewhere, GATE).await),
            ("Eve's gate", options(&eve, GATE).await),
            ("adding for Eve", with_rp_id(options(&eve, ADD).await)),
        ];
        for (what, asked) in &asked[1..] {
            bring(&here, SIGN_IN, &passkey.sign(asked)).await.is_refused(what);
        }
        for (what, asked) in asked.iter().filter(|(what, _)| *what != "Ada's gate") {
            bring(&ada, GATE, &passkey.sign(asked)).await.is_refused(what);
        }
        for (what, asked) in asked.iter().filter(|(what, _)| *what != "adding for Ada") {
            let asked = json!({ "challenge": asked["challenge"], "rp": { "id": "localhost" }, "user": { "id": "AA" } });
            let made = Authenticator::at(&house).make(&asked);
            bring(&ada, ADD, &made).await.is_refused(what);
        }
        // A cookie of ours is no challenge, either.
        let sealed = json!({ "challenge": ada.cookie("doorpost_known"), "rpId": "localhost" });
        bring(&here, SIGN_IN, &passkey.sign(&sealed)).await.is_refused("a cookie");

        // Somebody else's passkey opens nobody's gate, whatever it has signed.
        bring(&ada, GATE, &of_eve.sign(&options(&ada, GATE).await)).await.is_refused("Eve's passkey");
        // And each is still good where it belongs.
        bring(&ada, GATE, &passkey.sign(&asked[1].1)).await.is_taken("/account");
        bring(&here, SIGN_IN, &of_eve.sign(&asked[0].1)).await.is_taken("/account");
        assert_eq!(here.signed_in_as().await.as_deref(), Some(EVE));
    }

    async fn a_challenge_is_over_after_ten_minutes(db: Database) {
        let house = House::new(db).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        let here = house.visitor();
        let asked = [options(&here, SIGN_IN).await, options(&here, SIGN_IN).await];
        house.advance(LIFETIME - Duration::from_millis(1));
        bring(&here, SIGN_IN, &passkey.sign(&asked[0])).await.is_taken("/account");
        house.advance(Duration::from_millis(1));
        bring(&here, SIGN_IN, &passkey.sign(&asked[1])).await.is_refused("too late");
    }

    /// Promise 29
    async fn a_challenge_and_a_passkey_outlive_the_key_of_the_site(db: Database) {
        let house = House::new(db).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        let asked = options(&house.visitor(), SIGN_IN).await;
        let (old, new, url) = (house.secret_key().to_owned(), secret_key(), house.url.clone());
        let changed = [("PUBLIC_URL", &*url), ("SECRET_KEY", &*new), ("SECRET_KEYS_OLD", &*old)];
        let house = house.restart(&changed).await;
        bring(&house.visitor(), SIGN_IN, &passkey.sign(&asked)).await.is_taken("/account");
        let asked = options(&house.visitor(), SIGN_IN).await;
        let house = house.restart(&[("PUBLIC_URL", &url), ("SECRET_KEY", &new)]).await;
        bring(&house.visitor(), SIGN_IN, &passkey.sign(&asked)).await.is_taken("/account");
        let house = house.restart(&[("PUBLIC_URL", &url), ("SECRET_KEY", &secret_key())]).await;
        bring(&house.visitor(), SIGN_IN, &passkey.sign(&asked)).await.is_refused("a key that is gone");
        sign_in(&house.visitor(), &mut passkey).await.is_taken("/account");
    }

    async fn a_copied_passkey_betrays_itself(db: Database) {
        let house = House::new(db).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        let mut copy = passkey.clone();
        for _ in 0..2 {
            sign_in(&house.visitor(), &mut passkey).await.is_taken("/account");
        }
        sign_in(&house.visitor(), &mut copy).await.is_refused("what counted less");
        sign_in(&house.visitor(), &mut copy).await.is_refused("what counted as much");
        copy.counter -= 1;
        open_gate(&owner, &mut copy).await.is_refused("at the gate");
        let news = house.news_to(ADA).await;
        let of_it = news.iter().filter(|mail| mail.subject == "A copied passkey at localhost");
        assert_eq!(of_it.count(), 1, "once within the hour: {news:?}");
        assert!(owner.get("/account/activity").await.body.contains("there is a copy of it"));
        sign_in(&house.visitor(), &mut passkey).await.is_taken("/account");
        // Nor does one stop to count that has begun.
        copy.counter = 0;
        copy.counts = false;
        sign_in(&house.visitor(), &mut copy).await.is_refused("counts no more");
    }

    async fn a_passkey_that_does_not_count_is_taken_again_and_again(db: Database) {
        let house = House::new(db).await;
        let owner = house.owner(ADA).await;
        let mut passkey = Authenticator::at(&house);
        passkey.counts = false;
        let synced: Bend = |it| it.flags |= Signed::BACKUP_ELIGIBLE;
        let made = passkey.make_bent(&options(&owner, ADD).await, synced);
        bring(&owner, ADD, &made).await.is_taken("/account/passkeys");
        for _ in 0..3 {
            let here = house.visitor();
            let synced: Bend = |it| it.flags |= Signed::BACKUP_ELIGIBLE | Signed::BACKED_UP;
            let signed = passkey.sign_bent(&options(&here, SIGN_IN).await, synced);
            bring(&here, SIGN_IN, &signed).await.is_taken("/account");
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM passkeys WHERE backed_up AND sign_count = 0").await, 1);
        // It is one that may be copied: another that may not is not it.
        sign_in(&house.visitor(), &mut passkey).await.is_refused("no more to be copied");
    }

    /// SUD-01
    async fn a_passkey_opens_the_gate_of_this_session_alone(db: Database) {
        let house = House::new(db).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        let other = house.visitor();
        house.advance(MINUTE);
        let (asking, mail) = house.asked("/sign-in", ADA).await;
        asking.open(&mail.link).await;
        sign_in(&other, &mut passkey).await.is_taken("/account");
        house.advance(Duration::from_secs(11 * 60));
        let thief = owner.with_copied_jar();
        assert!(!may_act(&owner).await);
        let signed = passkey.sign(&options(&owner, GATE).await);
        let body = json!({ "credential": signed, "next": "/account/password" });
        owner.script(GATE, &body).await.is_taken("/account/password");
        assert!(may_act(&owner).await);
        for visitor in [&asking, &other] {
            assert!(visitor.signed_in_as().await.is_some() && !may_act(visitor).await);
        }
        assert_eq!(thief.signed_in_as().await, None, "the token of before is dead");
        assert!(owner.get("/account/activity").await.body.contains("or a passkey used"));
    }

    /// An account that never had a password does what is sensitive by its passkey, and is offered it.
    async fn an_account_without_a_password_passes_the_gate_by_its_passkey(db: Database) {
        let house = House::new(db).await;
        let ada = house.member(ADA).await;
        let gate = ada.get("/reauthenticate").await.body;
        assert!(gate.contains("Set a password first") && !gate.contains("data-passkey"));
        let nothing = ada.script("/reauthenticate/passkey/options", &json!({})).await;
        assert_eq!(nothing.status, StatusCode::NOT_FOUND, "{}", nothing.body);
        // As if it had added one before it gave its password up.
        house.execute("UPDATE sessions SET password_entered_at = 1795305661000").await;
        let mut passkey = add(&ada, &house).await;
        house.advance(Duration::from_secs(11 * 60));
        let gate = ada.get("/reauthenticate?next=/account/email").await.body;
        assert!(gate.contains("Use your passkey") && gate.contains("data-at=\"/reauthenticate/passkey\""), "{gate}");
        open_gate(&ada, &mut passkey).await.is_taken("/account");
        assert_eq!(ada.get("/account/email").await.status, StatusCode::OK);
    }

    async fn what_is_sensitive_is_no_scripts_business_before_the_gate(db: Database) {
        let house = House::new(db).await;
        let (owner, passkey) = with_passkey(&house, ADA).await;
        let asked = options(&owner, ADD).await;
        house.advance(Duration::from_secs(11 * 60));
        for path in [ADD, "/account/passkeys/add/options"] {
            let made = Authenticator::at(&house).make(&asked);
            let body = json!({ "credential": made });
            let refused = owner.script(path, &body).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.body);
            assert_eq!(refused.problem(), "reauthenticate_first");
            assert_eq!(refused.json()["page"], "/reauthenticate");
        }
        for path in [ADD, "/account/passkeys/add/options", GATE, "/reauthenticate/passkey/options"] {
            let refused = house.visitor().script(path, &json!({})).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}: {}", refused.body);
            assert_eq!(refused.problem(), "sign_in_first", "{path}");
            assert_eq!(refused.json()["page"], "/sign-in");
        }
        assert_eq!(passkeys(&house).await, 1);
        drop(passkey);
    }

    async fn an_account_has_twenty_passkeys_and_each_of_them_once(db: Database) {
        let house = House::new(db).await;
        let (ada, passkey) = with_passkey(&house, ADA).await;
        let eve = house.owner(EVE).await;
        for (owner, whose) in [(&ada, "its own"), (&eve, "another's")] {
            let made = passkey.clone().make(&options(owner, ADD).await);
            bring(owner, ADD, &made).await.is_refused(whose);
        }
        let for_one_more = options(&ada, ADD).await;
        for _ in 1..20 {
            add(&ada, &house).await;
        }
        for page in [
            ada.script("/account/passkeys/add/options", &json!({})).await,
            bring(&ada, ADD, &Authenticator::at(&house).make(&for_one_more)).await,
        ] {
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(page.problem(), "too_many_passkeys");
        }
        assert_eq!(passkeys(&house).await, 20);
    }

    /// Twenty is twenty, also for those who come at once.
    async fn twenty_at_once_are_no_more(db: Database) {
        let house = House::new(db).await;
        let owner = house.owner(ADA).await;
        let mut asked = Vec::new();
        for _ in 0..30 {
            asked.push(options(&owner, ADD).await);
        }
        let made = asked.iter().map(|asked| {
            let (owner, made) = (owner.clone(), Authenticator::at(&house).make(asked));
            async move { bring(&owner, ADD, &made).await.status }
        });
        let taken = at_once(made).await.iter().filter(|status| **status == StatusCode::OK).count();
        assert_eq!((taken, passkeys(&house).await), (20, 20));
    }

    async fn a_locked_account_looks_like_a_wrong_passkey(db: Database) {
        let house = House::new(db).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        let mut other = Authenticator::at(&house);
        other.credential_id.clone_from(&passkey.credential_id);
        other.user_handle.clone_from(&passkey.user_handle);
        let wrong = sign_in(&house.visitor(), &mut other).await;
        let locked = house.execute("UPDATE users SET locked_at = 1").await;
        assert_eq!(locked, 1);
        let refused = sign_in(&house.visitor(), &mut passkey).await;
        refused.is_refused("locked");
        assert_eq!(refused.looks(), wrong.looks());
        house.execute("UPDATE users SET locked_at = NULL").await;
        sign_in(&house.visitor(), &mut passkey).await.is_taken("/account");
    }

    /// Promise 25
    async fn a_passkey_goes_with_its_account_and_when_it_is_removed(db: Database) {
        let house = House::new(db).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        let mut removed = add(&owner, &house).await;
        sign_in(&house.visitor(), &mut removed).await.is_taken("/account");
        house.execute("DELETE FROM passkeys WHERE sign_count = 2").await;
        sign_in(&house.visitor(), &mut removed).await.is_unknown("removed");
        open_gate(&owner, &mut removed).await.is_refused("removed");
        let signed = passkey.sign(&options(&house.visitor(), SIGN_IN).await);
        let gone = owner.post("/account/delete", &[("email", ADA)]).await;
        assert_eq!(gone.status, StatusCode::SEE_OTHER, "{}", gone.body);
        assert_eq!(passkeys(&house).await, 0);
        bring(&house.visitor(), SIGN_IN, &signed).await.is_unknown("deleted");
        // The same person, come back, is somebody else.
        let again = house.owner(ADA).await;
        let handle = options(&again, ADD).await["user"]["id"].clone();
        assert_ne!(handle, json!(encoded(&passkey.user_handle)));
        sign_in(&house.visitor(), &mut passkey).await.is_unknown("of an account that is gone");
    }

    /// LIM-01: what is wrong counts against the network, as a link that is not live does; what is right is free.
    async fn wrong_passkeys_count_against_the_network(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "3/1h")]).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        let guesser = house.visitor().calling_from("192.0.2.7");
        for _ in 0..3 {
            sign_in(&guesser, &mut Authenticator::at(&house)).await.is_unknown("nobody's");
        }
        let limited = sign_in(&guesser, &mut Authenticator::at(&house)).await;
        assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS, "{}", limited.body);
        assert_eq!(limited.problem(), "too_many_requests");
        assert!(limited.header("retry-after").is_some());
        sign_in(&guesser, &mut passkey).await.is_taken("/account");
        sign_in(&house.visitor(), &mut passkey).await.is_taken("/account");
    }

    /// Promise 24: so does an account that is used over and over, and its gate.
    async fn an_account_has_a_budget_of_its_own(db: Database) {
        let house = House::new(db).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        for (verb, path) in [("sign_in_with_passkey", SIGN_IN), ("reauthenticate", GATE), ("add_passkey", ADD)] {
            house.execute(format!("UPDATE limits SET count = 10000 WHERE name = '{verb}'")).await;
            house
                .execute(format!(
                    "INSERT INTO limits (name, subject, count, ends_at) SELECT '{verb}', id, 10000, 9999999999999 FROM users \
                     WHERE NOT EXISTS (SELECT 1 FROM limits WHERE name = '{verb}')"
                ))
                .await;
            let asked = options(&owner, path).await;
            let brought = match path {
                ADD => Authenticator::at(&house).make(&asked),
                _ => passkey.sign(&asked),
            };
            let limited = bring(&owner, path, &brought).await;
            assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS, "{verb}: {}", limited.body);
        }
    }

    async fn junk_is_told_so_and_does_no_harm(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        let here = house.visitor();
        let signed = passkey.sign(&options(&here, SIGN_IN).await);
        let large = json!({ "credential": signed, "next": "x".repeat(20_000) }).to_string();
        let with = |part: &str, value: Value| {
            let mut signed = signed.clone();
            signed["response"][part] = value;
            json!({ "credential": signed }).to_string()
        };
        for (what, body, status) in [
            ("nothing", String::new(), 400),
            ("no object", "[]".to_owned(), 400),
            ("null", "null".to_owned(), 400),
            ("no credential", "{}".to_owned(), 400),
            ("half of one", json!({ "credential": { "rawId": "AA" } }).to_string(), 400),
            ("a credential of another kind", json!({ "credential": "AA" }).to_string(), 400),
            ("no base64url", with("signature", json!("+/+/")), 400),
            ("padded", with("signature", json!("AA==")), 400),
            ("a number", with("authenticatorData", json!(1)), 400),
            ("empty", with("authenticatorData", json!("")), 422),
            ("too short", with("authenticatorData", json!("AAAA")), 422),
            ("no JSON in it", with("clientDataJSON", json!("AAAA")), 422),
            ("not UTF-8 in it", with("clientDataJSON", json!("_-8")), 422),
            ("too large", large, 413),
        ] {
            for (visitor, path) in [(&here, SIGN_IN), (&owner, GATE)] {
                let answer = visitor.send(visitor.scripted(path, body.clone())).await;
                assert_eq!(answer.status.as_u16(), status, "{what} at {path}: {}", answer.body);
                answer.problem();
            }
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin1"] {
            let body = json!({ "credential": signed }).to_string();
            let request = here
                .request(reqwest::Method::POST, SIGN_IN)
                .header("sec-fetch-site", "same-origin")
                .header("content-type", kind)
                .body(body);
            let answer = here.send(request).await;
            assert!(matches!(answer.status.as_u16(), 400 | 415), "{kind}: {}", answer.status);
        }
        bring(&here, SIGN_IN, &signed).await.is_taken("/account");
    }

    async fn junk_in_place_of_a_new_passkey_is_told_so(db: Database) {
        let house = House::new(db).await;
        let owner = house.owner(ADA).await;
        let asked = options(&owner, ADD).await;
        let whole = Authenticator::at(&house).make(&asked);
        let object = base64_of(&whole["response"]["attestationObject"]);
        let at = object.windows(8).position(|bytes| bytes == b"authData").unwrap();
        let mut twice = [&object[..], &object[at - 1..]].concat();
        twice[0] = 0xa4; // a map of four
        for (what, bent) in [
            ("nothing", Vec::new()),
            ("no map", vec![0x80]),
            ("an empty map", vec![0xa0]),
            ("a map without an end", vec![0xbf]),
            ("a map that is said to be huge", vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ("half", object[..object.len() / 2].to_vec()),
            ("a byte more", [&object[..], &[0]].concat()),
            ("arrays in arrays", vec![0x81; 8_000]),
            ("a name twice", twice),
        ] {
            let mut made = whole.clone();
            made["response"]["attestationObject"] = json!(encoded(&bent));
            bring(&owner, ADD, &made).await.is_refused(what);
        }
        bring(&owner, ADD, &whole).await.is_taken("/account/passkeys");
    }

    /// CSR-01, promise 10
    async fn no_other_site_has_a_say(db: Database) {
        let house = House::new(db).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        let mut plain = Vec::new();
        for path in [SIGN_IN, GATE, ADD] {
            let asked = options(&owner, path).await;
            let credential = match path {
                ADD => Authenticator::at(&house).make(&asked),
                _ => passkey.sign(&asked),
            };
            plain.push((path, json!({ "credential": credential }).to_string()));
        }
        plain.push(("/account/passkeys/add/options", "{}".to_owned()));
        for (path, body) in plain {
            for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.test"), ("x-nothing", "x")] {
                let request = owner
                    .request(reqwest::Method::POST, path)
                    .header("content-type", "application/json")
                    .header(name, value)
                    .body(body.clone());
                let answer = owner.send(request).await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} with {name}: {}", answer.body);
                assert_eq!(answer.set_cookies(), [""; 0]);
            }
        }
        assert_eq!(passkeys(&house).await, 1);
    }

    /// Where the host is an IP address no browser knows passkeys, and no page speaks of them.
    async fn without_a_name_there_are_no_passkeys(db: Database) {
        let house = House::with(db, &[("PUBLIC_URL", "http://127.0.0.1:8080")]).await;
        let owner = house.owner(ADA).await;
        for path in ["/sign-in", "/sign-in/password", "/reauthenticate"] {
            assert!(!owner.get(path).await.body.contains("data-passkey"), "{path}");
        }
        for path in [SIGN_IN, GATE, ADD] {
            let answer = owner.script(&format!("{path}/options"), &json!({})).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.body);
        }
    }

    /// Promise 25: what is ended while a passkey is being taken stays ended. Whoever holds the account comes first.
    async fn a_passkey_waits_for_whoever_holds_the_account(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (_, mut passkey) = with_passkey(&house, ADA).await;
        let before = house.count("SELECT count(*) AS n FROM sessions").await;
        let signed = passkey.sign(&options(&house.visitor(), SIGN_IN).await);
        if db == Database::Sqlite {
            // There is one writer, and nothing to wait for: it was locked a moment ago.
            house.execute("UPDATE users SET locked_at = 1").await;
            bring(&house.visitor(), SIGN_IN, &signed).await.is_refused("locked");
            return;
        }
        let holder = crate::support::postgres(house.database_url()).await;
        holder.batch_execute("BEGIN; SELECT id FROM users FOR UPDATE; DELETE FROM passkeys").await.unwrap();
        let visitor = house.visitor();
        let trying = tokio::spawn(async move { bring(&visitor, SIGN_IN, &signed).await });
        eventually("it to wait", async || {
            let waiting = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                           AND datname = current_database()";
            house.count(waiting).await > 0
        })
        .await;
        holder.batch_execute("COMMIT").await.unwrap();
        trying.await.unwrap().is_refused("removed meanwhile");
        assert_eq!(house.count("SELECT count(*) AS n FROM sessions").await, before);
    }

    /// Two with one counter: the second waits for the first, and has fallen behind.
    async fn of_two_copies_at_once_one_is_refused(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (_, passkey) = with_passkey(&house, ADA).await;
        let mut tries = Vec::new();
        for _ in 0..8 {
            let (visitor, mut copy) = (house.visitor(), passkey.clone());
            let signed = copy.sign(&options(&visitor, SIGN_IN).await);
            tries.push(async move { bring(&visitor, SIGN_IN, &signed).await.status });
        }
        let statuses = at_once(tries).await;
        let taken = statuses.iter().filter(|status| **status == StatusCode::OK).count();
        assert_eq!(taken, 1, "{statuses:?}");
    }

    async fn signing_in_does_not_need_the_password_to_stay_as_it_is(db: Database) {
        let house = House::new(db).await;
        let (owner, mut passkey) = with_passkey(&house, ADA).await;
        let other = "quite another horse altogether";
        owner.post("/account/password", &[("password", other)]).await;
        sign_in(&house.visitor(), &mut passkey).await.is_taken("/account");
        house.visitor().enter(ADA, PASSWORD).await.says_mistake("");
    }
}

fn challenge_of(signed: &Value) -> Value {
    let client_data = base64_of(&signed["response"]["clientDataJSON"]);
    serde_json::from_slice::<Value>(&client_data).unwrap()["challenge"].clone()
}

/// Options to make a passkey, as if they were to sign with one.
fn with_rp_id(mut options: Value) -> Value {
    options["rpId"] = options["rp"]["id"].clone();
    options
}

fn base64_of(text: &Value) -> Vec<u8> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text.as_str().unwrap());
    bytes.unwrap()
}

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
