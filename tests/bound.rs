//! Sessions that are bound to their device, as a browser with a key of its own speaks to us: who is invited to bind,
//! what is taken for a proof and what never is, and what the cookie is worth without one.
//!
//! No browser is needed for that, only a key. What a real one makes of it is in `bound_browser.rs`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::SqliteConnection;
use doorpost::random;
use reqwest::{Method, StatusCode};
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

use crate::support::{
    Database, House, Mail, PASSWORD, Page, ScriptedServer, Visitor, at_once, eventually,
    hold_the_write_lock, postgres, secret_key,
};

const ADA: &str = "ada@example.org";
const EVE: &str = "eve@example.org";

/// The cookies behind TLS.
const SESSION: &str = "__Host-doorpost";
const BOUND: &str = "__Host-doorpost_bound";

const REGISTRATION: &str = "secure-session-registration";
const CHALLENGE: &str = "secure-session-challenge";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What was under way when a session was bound has arrived.
const SETTLED: Duration = Duration::from_secs(11);

const AWAY: Duration = Duration::from_secs(11 * 60);

const NO_LIMITS: &[(&str, &str)] = &[
    ("LIMIT_MAIL_GAP", "off"),
    ("LIMIT_MAIL_PER_ADDRESS", "off"),
    ("LIMIT_MAIL_PER_ADDRESS_DAILY", "off"),
];

/// A site behind TLS, and its mail.
struct Site {
    house: House,
    sink: ScriptedServer,
}

impl Site {
    async fn open(db: Database) -> Self {
        Self::open_with(db, &[]).await
    }

    async fn open_with(db: Database, variables: &[(&str, &str)]) -> Self {
        let sink = ScriptedServer::start();
        let variables = [NO_LIMITS, variables].concat();
        Self {
            house: House::public(db, &sink, &variables).await,
            sink,
        }
    }

    /// Asks for mail, and has it. (News come in between, when they like.)
    async fn ask(&self, visitor: &Visitor, route: &str, address: &str) -> Mail {
        let asked_for = || {
            let letters = self.sink.taken_for(address);
            let mails = letters.iter().map(|letter| letter.mail());
            mails.filter(|mail| !mail.is_news()).collect::<Vec<Mail>>()
        };
        let before = asked_for().len();
        visitor.ask(route, address).await.sees_inbox_page();
        eventually("the mail", async || asked_for().len() > before).await;
        asked_for().pop().unwrap()
    }

    /// The answer that makes an account with [`PASSWORD`] and signs in to it.
    async fn register(&self, visitor: &Visitor, address: &str) -> Page {
        let mail = self.ask(visitor, "/register", address).await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        let done = visitor.post("/confirm-email", &fields).await;
        done.goes_on_to("/account");
        done
    }

    /// Somebody whose session is bound to a device, some seconds ago.
    async fn bound(&self, address: &str) -> (Visitor, Device) {
        let visitor = self.house.visitor();
        let invited = self.register(&visitor, address).await;
        let device = Device::make();
        device.binds(&visitor, &invited).await;
        self.house.advance(SETTLED);
        (visitor, device)
    }

    /// The same, with the password entered just now.
    async fn bound_owner(&self) -> (Visitor, Device) {
        let (ada, device) = self.bound(ADA).await;
        ada.reauthenticate().await;
        (ada, device)
    }
}

/// What the answer asks to be signed, to bind the session.
#[track_caller]
fn invitation(page: &Page) -> String {
    invitation_of("a sign-in", page)
}

/// The same of an answer to this.
#[track_caller]
fn invitation_of(what: &str, page: &Page) -> String {
    let words = page.header(REGISTRATION);
    let words =
        words.unwrap_or_else(|| panic!("{what} invites nobody: {} {}", page.status, page.body));
    let challenge = words.strip_prefix(r#"(ES256 RS256);path="/session/bind";challenge=""#);
    challenge.unwrap().strip_suffix('"').unwrap().to_owned()
}

/// What the answer asks to be signed, to prove the device; and of which session.
#[track_caller]
fn challenge(page: &Page) -> (String, String) {
    let words = page.header(CHALLENGE).expect("a challenge");
    let (challenge, id) = words.split_once("\";id=\"").unwrap();
    let challenge = challenge.strip_prefix('"').unwrap();
    (
        challenge.to_owned(),
        id.strip_suffix('"').unwrap().to_owned(),
    )
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

enum Pair {
    P256(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

/// A key that does not leave its device.
struct Device(Pair);

impl Device {
    fn make() -> Self {
        let random = random::for_signatures();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(Pair::P256(
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
                .unwrap()
                .into(),
        ))
    }

    /// One whose security chip makes RSA keys alone.
    fn make_rsa(bits: u32) -> Self {
        let made = std::process::Command::new("openssl")
            .args([
                "genpkey",
                "-algorithm",
                "RSA",
                "-outform",
                "DER",
                "-pkeyopt",
            ])
            .arg(format!("rsa_keygen_bits:{bits}"))
            .output()
            .unwrap();
        Self(Pair::Rsa(
            RsaKeyPair::from_der(&made.stdout).unwrap().into(),
        ))
    }

    fn algorithm(&self) -> &'static str {
        match self.0 {
            Pair::P256(_) => "ES256",
            Pair::Rsa(_) => "RS256",
        }
    }

    fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.0 {
            Pair::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Pair::Rsa(pair) => {
                let public: PublicKeyComponents<Vec<u8>> = pair.public().into();
                let (n, e) = (&public.n, &public.e);
                json!({ "kty": "RSA", "n": text(n), "e": text(e) })
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        let random = random::for_signatures();
        let signature = match &self.0 {
            Pair::P256(pair) => {
                let signature = pair.sign(&random, signed.as_bytes()).unwrap();
                signature.as_ref().to_vec()
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let message = signed.as_bytes();
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// What a browser sends to bind a session.
    fn registration(&self, challenge: &str) -> String {
        let header = json!({ "alg": self.algorithm(), "typ": "dbsc+jwt", "jwk": self.jwk() });
        self.sign(&header, &json!({ "jti": challenge, "authorization": "" }))
    }

    /// What it sends to prove its device.
    fn proof(&self, challenge: &str) -> String {
        let header = json!({ "alg": self.algorithm(), "typ": "dbsc+jwt" });
        self.sign(&header, &json!({ "jti": challenge }))
    }

    /// Does what the answer invites to.
    async fn binds(&self, visitor: &Visitor, invited: &Page) -> Page {
        let proof = self.registration(&invitation(invited));
        let bound = bind(visitor, &proof).await;
        assert_eq!(bound.status, StatusCode::OK, "{}", bound.body);
        bound
    }

    /// What the browser does when its cookie is over: asks what to sign, and signs it.
    async fn proves(&self, visitor: &Visitor) -> Page {
        let id = session_id(visitor).await;
        let (challenged, _) = challenge(&prove(visitor, &id, None).await);
        let proven = prove(visitor, &id, Some(&self.proof(&challenged))).await;
        assert_eq!(proven.status, StatusCode::OK, "{}", proven.body);
        proven
    }
}

/// The id that the browser keeps of the session that it has bound: here the one that was bound last in this jar.
async fn session_id(visitor: &Visitor) -> String {
    visitor
        .cookie("session-id")
        .expect("a session that is bound")
}

/// Sends what a browser sends by itself, beside the page: with the jar, and no form.
async fn beside(visitor: &Visitor, path: &str, headers: &[(&str, &str)]) -> Page {
    let request = visitor
        .request(Method::POST, path)
        .header("origin", House::PUBLIC)
        .header("sec-fetch-site", "same-origin")
        .header("sec-fetch-mode", "no-cors")
        .header("sec-fetch-dest", "empty");
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    visitor.send(request).await
}

async fn bind(visitor: &Visitor, proof: &str) -> Page {
    let answer = beside(
        visitor,
        "/session/bind",
        &[("secure-session-response", proof)],
    )
    .await;
    if let (StatusCode::OK, Ok(said)) = (answer.status, serde_json::from_str::<Value>(&answer.body))
    {
        visitor.set_cookie("session-id", said["session_identifier"].as_str().unwrap());
    }
    answer
}

async fn prove(visitor: &Visitor, id: &str, proof: Option<&str>) -> Page {
    let mut headers = vec![("sec-secure-session-id", id)];
    headers.extend(proof.map(|proof| ("secure-session-response", proof)));
    beside(visitor, "/session/prove", &headers).await
}

/// The session is over, as far as this browser goes; and nothing is set.
#[track_caller]
fn is_over(page: &Page, id: &str) {
    let said: Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(said, json!({ "session_identifier": id, "continue": false }));
    assert_eq!(page.set_cookies(), [""; 0]);
    assert_eq!(page.header(CHALLENGE), None);
}

/// Nothing was proven: there is a challenge, and no cookie.
#[track_caller]
fn is_challenged(page: &Page, what: &str) {
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{what}: {}", page.body);
    challenge(page);
    assert_eq!(page.set_cookies(), [""; 0], "{what}");
}

/// A request of our own page, as a browser makes it.
fn own(visitor: &Visitor, path: &str) -> reqwest::RequestBuilder {
    visitor
        .request(Method::GET, path)
        .header("sec-fetch-site", "same-origin")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document")
}

async fn count(site: &Site, what: &str) -> i64 {
    site.house
        .count(format!("SELECT count(*) AS n FROM {what}"))
        .await
}

on_both! {
    /// DBSC, row 1: each way in, and each change of rights, of a session that is not bound.
    async fn each_answer_that_hands_over_a_token_invites_and_no_other(db: Database) {
        let site = Site::open(db).await;
        let ada = site.house.visitor();
        let mut not_invited = vec![
            ada.get("/").await,
            ada.get("/sign-in").await,
            ada.ask("/sign-in", "nobody at all").await,
        ];
        invitation_of("registering", &site.register(&ada, ADA).await);

        let mail = site.ask(&ada, "/sign-in", ADA).await;
        invitation_of("a click", &ada.click(mail.path()).await);
        site.house.advance(SECOND); // whoever signed in since asking needs no code
        let mail = site.ask(&ada, "/sign-in", ADA).await;
        not_invited.push(ada.type_code("BBBB-BBBB").await);
        invitation_of("a code", &ada.type_code(mail.code()).await);
        let elsewhere = site.house.visitor();
        let mail = site.ask(&ada, "/sign-in", ADA).await;
        not_invited.push(elsewhere.use_link(&mail, EVE).await);
        invitation_of("a link elsewhere", &elsewhere.use_link(&mail, ADA).await);
        not_invited.push(elsewhere.enter(ADA, "a horse that eats nothing").await);
        invitation_of("a password", &elsewhere.enter(ADA, PASSWORD).await);

        let right = [("password", PASSWORD)];
        not_invited.push(ada.post("/reauthenticate", &[("password", "wrong")]).await);
        invitation_of("the gate", &ada.post("/reauthenticate", &right).await);
        let changed = [("password", "another horse that eats staples")];
        invitation_of("a new password", &ada.post("/account/password", &changed).await);

        // Its rights are changed from elsewhere: the next answer has another token, and may be a thief's.
        let asked = ada.post("/account/email", &[("email", EVE)]).await;
        not_invited.push(asked);
        let mail = site.sink.letter_for(EVE).await.mail();
        not_invited.push(elsewhere.use_link(&mail, EVE).await);
        let before = ada.cookie(SESSION);
        not_invited.push(ada.get("/account").await);
        assert_ne!(ada.cookie(SESSION), before, "another token");

        let notice = site.sink.taken_for(ADA).into_iter().rev().map(|letter| letter.mail())
            .find(|mail| mail.link.contains("login_token"));
        assert!(notice.is_some(), "there is one to be followed");
        for path in ["/account", "/account/sessions", "/sign-in", "/nothing", "/healthz"] {
            not_invited.push(ada.get(path).await);
        }
        not_invited.push(ada.post("/sign-out", &[]).await);
        for page in not_invited {
            assert_eq!(page.header(REGISTRATION), None, "{} {}", page.status, page.body);
        }
    }

    async fn a_link_in_a_notice_invites_too(db: Database) {
        let site = Site::open(db).await;
        let ada = site.house.visitor();
        site.register(&ada, ADA).await;
        let links = site.house.app.signed_links.clone();
        let made = site.house.app.read(move |tx| {
            let reader = doorpost::accounts::users::of_address(tx, ADA)?.unwrap();
            Ok(links.to_page(tx, &reader, "/account"))
        });
        let made = made.await.unwrap();
        let path = made.strip_prefix(House::PUBLIC).unwrap();
        ada.forget_cookie(SESSION);
        invitation(&ada.click(path).await);
    }

    async fn nobody_is_invited_without_tls_or_where_it_is_off(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        ada.ask("/register", ADA).await.sees_inbox_page();
        let mail = house.mail_to(ADA).await;
        let done = ada.post("/confirm-email", &[("token", mail.token())]).await;
        assert_eq!((done.status, done.header(REGISTRATION)), (StatusCode::SEE_OTHER, None));

        let site = Site::open_with(db, &[("SESSION_PROOF", "off")]).await;
        let done = site.register(&site.house.visitor(), ADA).await;
        assert_eq!(done.header(REGISTRATION), None);
    }

    /// DBSC, rows 2 and 3.
    async fn a_session_is_bound_to_the_key_that_signs(db: Database) {
        let site = Site::open(db).await;
        for device in [Device::make(), Device::make_rsa(2048)] {
            let ada = site.house.visitor();
            let invited = match count(&site, "users").await {
                0 => site.register(&ada, ADA).await,
                _ => ada.enter(ADA, PASSWORD).await,
            };
            // From another site's page it brings no cookie, and says so.
            let proof = device.registration(&invitation(&invited));
            let request = site.house.visitor().request(Method::POST, "/session/bind")
                .header("origin", House::PUBLIC)
                .header("sec-fetch-site", "cross-site")
                .header("secure-session-response", proof);
            let bound = ada.send(request).await;
            assert_eq!(bound.status, StatusCode::OK, "{}", bound.body);
            let [line] = bound.set_cookies()[..] else { panic!("{:?}", bound.set_cookies()) };
            let (pair, attributes) = line.split_once("; ").unwrap();
            assert!(pair.starts_with("__Host-doorpost_bound="), "{line}");
            let mut attributes: Vec<&str> = attributes.split("; ").collect();
            attributes.sort_unstable();
            assert_eq!(attributes, ["HttpOnly", "Max-Age=600", "Path=/", "SameSite=Lax", "Secure"]);
            let (_, id) = challenge(&bound);
            assert_eq!(serde_json::from_str::<Value>(&bound.body).unwrap(), json!({
                "session_identifier": id,
                "refresh_url": "/session/prove",
                "scope": { "include_site": false },
                "credentials": [{
                    "type": "cookie",
                    "name": "__Host-doorpost_bound",
                    "attributes": "Path=/; Secure; HttpOnly; SameSite=Lax",
                }],
            }));
            assert_eq!(bound.header("content-type"), Some("application/json"));
            assert!(bound.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
            site.house.advance(SETTLED);
            assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
            let page = ada.get("/account/sessions").await;
            assert!(page.body.contains("it has been bound to this device since"), "{}", page.body);
        }
        assert_eq!(count(&site, "device_keys").await, 2);
    }

    /// DBSC, row 2: whatever is not just so.
    async fn nothing_else_binds(db: Database) {
        let site = Site::open(db).await;
        let ada = site.house.visitor();
        let asked = invitation(&site.register(&ada, ADA).await);
        let (device, thiefs) = (Device::make(), Device::make());
        let right = json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": device.jwk() });
        let claims = json!({ "jti": asked });
        let with = |name: &str, value: Value| {
            let mut header = right.clone();
            header[name] = value;
            device.sign(&header, &claims)
        };
        let good = device.registration(&asked);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
        flipped[40] ^= 1;
        let flipped = format!("{message}.{}", URL_SAFE_NO_PAD.encode(flipped));
        let without = |name: &str| {
            let mut header = right.clone();
            header.as_object_mut().unwrap().remove(name);
            device.sign(&header, &claims)
        };
        let shared_secret = json!({ "kty": "oct", "k": "AAAA" });
        let doubled = right.to_string().replacen('{', r#"{"alg":"none","#, 1);
        let weak = Device::make_rsa(2048);
        let short = |jwk: &mut Value| jwk["n"] = json!(jwk["n"].as_str().unwrap()[..170]);
        let mut short_rsa = weak.jwk();
        short(&mut short_rsa);
        for (what, proof) in [
            ("nothing", String::new()),
            ("no token", "x".to_owned()),
            ("two parts", message.to_owned()),
            ("four parts", format!("{good}.x")),
            ("no signature", format!("{message}.")),
            ("another signature", flipped),
            ("a padded one", format!("{good}=")),
            ("no algorithm", with("alg", json!("none"))),
            ("a shared secret's", with("alg", json!("HS256"))),
            ("another curve's", with("alg", json!("ES384"))),
            ("the other kind's", with("alg", json!("RS256"))),
            ("no alg", without("alg")),
            ("another type", with("typ", json!("JWT"))),
            ("no type", without("typ")),
            ("no key", without("jwk")),
            ("another's key", with("jwk", thiefs.jwk())),
            ("a secret for a key", with("jwk", shared_secret)),
            ("a short key", weak.sign(&json!({ "alg": "RS256", "typ": "dbsc+jwt", "jwk": short_rsa }), &claims)),
            ("something critical", with("crit", json!(["b64"]))),
            ("a name twice", format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(doubled), part(&claims))),
            ("no challenge", device.sign(&right, &json!({}))),
            ("a challenge of its own", device.registration(&URL_SAFE_NO_PAD.encode([7; 90]))),
            ("our challenge in another spelling", device.registration(&format!("{asked}="))),
            ("an endless one", device.sign(&right, &json!({ "jti": asked, "x": "x".repeat(4096) }))),
        ] {
            let refused = bind(&ada, &proof).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{what}: {}", refused.body);
            assert_eq!((refused.set_cookies().len(), refused.header(CHALLENGE)), (0, None), "{what}");
        }
        let twice = [("secure-session-response", &*good), ("secure-session-response", &*good)];
        assert_eq!(beside(&ada, "/session/bind", &twice).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(beside(&ada, "/session/bind", &[]).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(count(&site, "sessions WHERE bound_at IS NOT NULL").await, 0);

        site.house.advance(AWAY);
        assert_eq!(bind(&ada, &good).await.status, StatusCode::BAD_REQUEST, "asked long ago");
        // What it was asked again, and with claims that nobody needs to know.
        let asked = invitation(&ada.post("/reauthenticate", &[("password", PASSWORD)]).await);
        let more = json!({ "jti": asked, "aud": "https://sign.example.test", "iat": 1, "sub": "x" });
        assert_eq!(bind(&ada, &device.sign(&right, &more)).await.status, StatusCode::OK);
        assert_eq!(count(&site, "sessions WHERE bound_at IS NOT NULL").await, 1);
    }

    async fn a_session_is_bound_once(db: Database) {
        let site = Site::open(db).await;
        let ada = site.house.visitor();
        let asked = invitation(&site.register(&ada, ADA).await);
        let (hers, thiefs) = (Device::make(), Device::make());
        let bound = bind(&ada, &hers.registration(&asked)).await;
        let (next, id) = challenge(&bound);
        for device in [&thiefs, &hers] {
            let again = bind(&ada, &device.registration(&asked)).await;
            assert_eq!(again.status, StatusCode::BAD_REQUEST, "{}", again.body);
        }
        is_challenged(&prove(&ada, &id, Some(&thiefs.proof(&next))).await, "it is not the thief's");
        assert_eq!(prove(&ada, &id, Some(&hers.proof(&next))).await.status, StatusCode::OK);

        // Her rights change, and nobody is invited to bind it anew: it stays hers.
        let renewed = ada.post("/reauthenticate", &[("password", PASSWORD)]).await;
        renewed.goes_on_to("/account");
        assert_eq!(renewed.header(REGISTRATION), None);
        assert_eq!(hers.proves(&ada).await.status, StatusCode::OK);
    }

    async fn of_two_that_bind_at_once_one_does(db: Database) {
        let site = Site::open(db).await;
        let ada = site.house.visitor();
        let asked = invitation(&site.register(&ada, ADA).await);
        let devices = [Device::make(), Device::make()];
        let both = devices.iter().map(|device| {
            let (ada, proof) = (ada.clone(), device.registration(&asked));
            async move { bind(&ada, &proof).await.status }
        });
        let mut answers = while_locked(&site, "sessions", at_once(both.collect::<Vec<_>>())).await;
        answers.sort();
        assert_eq!(answers, [StatusCode::OK, StatusCode::BAD_REQUEST]);
        assert_eq!(count(&site, "device_keys").await, 1);
    }

    /// DBSC, rows 5 to 8.
    async fn a_device_proves_itself_by_signing_what_it_is_asked(db: Database) {
        let site = Site::open(db).await;
        for device in [Device::make(), Device::make_rsa(3072)] {
            let ada = site.house.visitor();
            let invited = match count(&site, "users").await {
                0 => site.register(&ada, ADA).await,
                _ => ada.enter(ADA, PASSWORD).await,
            };
            let bound = device.binds(&ada, &invited).await;
            let (next, id) = challenge(&bound);
            let first = ada.cookie(BOUND);
            site.house.advance(10 * MINUTE);
            let proven = prove(&ada, &id, Some(&device.proof(&next))).await;
            assert_eq!((proven.status, &proven.body), (StatusCode::OK, &bound.body));
            assert_eq!(proven.set_cookies().len(), 1);
            assert_ne!(ada.cookie(BOUND), first);

            // Back after an hour: what it was asked then is too old, and it is asked again.
            let (old, _) = challenge(&proven);
            site.house.advance(60 * MINUTE);
            let asked = prove(&ada, &id, Some(&device.proof(&old))).await;
            is_challenged(&asked, "long ago");
            let (now, named) = challenge(&asked);
            assert_eq!(named, id);
            assert_eq!(prove(&ada, &id, Some(&device.proof(&now))).await.status, StatusCode::OK);
            assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        }
    }

    /// DBSC, rows 5 to 8: whatever is not just so is answered by a challenge.
    async fn nothing_else_proves_anything(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        let (eve, eves) = site.bound(EVE).await;
        let (id, eves_id) = (session_id(&ada).await, session_id(&eve).await);
        let (asked, _) = challenge(&prove(&ada, &id, None).await);
        let (asked_of_eve, _) = challenge(&prove(&eve, &eves_id, None).await);
        let bob = site.house.visitor();
        let to_bind = invitation(&bob.enter(ADA, PASSWORD).await);
        let header = json!({ "alg": "ES256", "typ": "dbsc+jwt" });
        let claims = json!({ "jti": asked });
        for (what, proof) in [
            ("none", None),
            ("junk", Some("x".to_owned())),
            ("another key's", Some(Device::make().proof(&asked))),
            ("Eve's key", Some(eves.proof(&asked))),
            ("Eve's proof", Some(eves.proof(&asked_of_eve))),
            ("asked of Eve", Some(device.proof(&asked_of_eve))),
            ("asked to bind", Some(device.proof(&to_bind))),
            ("with a key", Some(device.registration(&asked))),
            ("of no algorithm", Some(device.sign(&json!({ "alg": "none", "typ": "dbsc+jwt" }), &claims))),
            ("of another", Some(device.sign(&json!({ "alg": "RS256", "typ": "dbsc+jwt" }), &claims))),
            ("of another type", Some(device.sign(&json!({ "alg": "ES256", "typ": "at+jwt" }), &claims))),
            ("never asked", Some(device.sign(&header, &json!({ "jti": "AAAA" })))),
        ] {
            let cookie = ada.cookie(BOUND);
            is_challenged(&prove(&ada, &id, proof.as_deref()).await, what);
            assert_eq!(ada.cookie(BOUND), cookie, "{what}");
        }
        is_challenged(&prove(&eve, &eves_id, Some(&device.proof(&asked))).await, "in another session");

        let right = device.proof(&asked);
        assert_eq!(prove(&ada, &id, Some(&right)).await.status, StatusCode::OK);
        is_challenged(&prove(&ada, &id, Some(&right)).await, "the very same again");
        let (older, _) = challenge(&prove(&ada, &id, None).await);
        site.house.advance(SECOND);
        device.proves(&ada).await;
        is_challenged(&prove(&ada, &id, Some(&device.proof(&older))).await, "older than what counted last");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "none of which ends anything");
        assert_eq!(eve.signed_in_as().await.as_deref(), Some(EVE));
    }

    async fn of_two_proofs_at_once_one_counts(db: Database) {
        let site = Site::open(db).await;
        let other = site.house.second_node(&public(&site));
        let (ada, device) = site.bound(ADA).await;
        let id = session_id(&ada).await;
        let (asked, _) = challenge(&prove(&ada, &id, None).await);
        let proof = device.proof(&asked);
        let both = [ada.clone(), ada.at(&other)].map(|ada| {
            let (id, proof) = (id.clone(), proof.clone());
            async move { prove(&ada, &id, Some(&proof)).await.status }
        });
        let mut answers = while_locked(&site, "device_keys", at_once(both)).await;
        answers.sort();
        assert_eq!(answers, [StatusCode::OK, StatusCode::FORBIDDEN]);
    }

    /// DBSC: what a browser need not ask any more.
    async fn what_has_ended_or_never_was_is_over(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        let id = session_id(&ada).await;
        let (asked, _) = challenge(&prove(&ada, &id, None).await);
        let bob = site.house.visitor();
        let to_bind = invitation(&bob.enter(ADA, PASSWORD).await);
        let bobs_id = bob.get("/account/sessions").await;
        let left = ada.post("/sign-out", &[]).await;
        assert_eq!(left.header("clear-site-data"), Some(r#""cache", "storage""#));
        assert_eq!(ada.cookie(BOUND), None, "the cookie goes with it");
        is_over(&prove(&ada, &id, None).await, &id);
        is_over(&prove(&ada, &id, Some(&device.proof(&asked))).await, &id);
        assert!(bobs_id.body.contains("bound to its device since"), "{}", bobs_id.body);

        bob.post("/sign-out", &[]).await;
        let gone = bind(&bob, &Device::make().registration(&to_bind)).await;
        let said: Value = serde_json::from_str(&gone.body).unwrap();
        is_over(&gone, said["session_identifier"].as_str().unwrap());
        for id in ["nobodys", "AAAAAAAAAAAAAAAAAAAAAA", "\"", "a b"] {
            is_over(&prove(&ada, id, None).await, id);
        }
        assert_eq!(beside(&ada, "/session/prove", &[]).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(count(&site, "device_keys").await, 0, "the keys go with their sessions");

        // Of a session that nobody has bound, there is nothing to prove.
        let eve = site.house.visitor();
        site.register(&eve, EVE).await;
        let page = eve.get("/account/sessions").await;
        let unbound = page.between("/account/sessions/", "/end").unwrap();
        is_over(&prove(&eve, &unbound, None).await, &unbound);
    }
}

/// A page that loads itself again, and nothing else.
#[track_caller]
fn loads_itself_again(page: &Page) {
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("refresh"), Some("0"), "{}", page.body);
    assert_eq!(page.set_cookies(), [""; 0]);
    assert!(!page.body.contains(ADA), "{}", page.body);
    crate::headers::are_complete(page, "a page that loads itself again");
}

/// To where it went, with all that it brought but the one cookie.
#[track_caller]
fn is_sent_to_prove(page: &Page, path: &str) {
    assert_eq!(page.status, StatusCode::TEMPORARY_REDIRECT, "{}", page.body);
    assert_eq!(page.location(), path);
    let [line] = page.set_cookies()[..] else {
        panic!("{:?}", page.set_cookies())
    };
    assert!(
        line.starts_with("__Host-doorpost_bound=;") && line.contains("Max-Age=0"),
        "{line}"
    );
}

on_both! {
    /// Promise 30
    async fn the_cookie_alone_does_nothing_and_ends_nothing(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound_owner().await;
        let thief = ada.with_copied_jar().calling_from("198.51.100.7");
        assert_eq!(thief.signed_in_as().await.as_deref(), Some(ADA), "until the copy is over");
        site.house.advance(AWAY);
        device.proves(&ada).await;
        thief.post("/reauthenticate", &[("password", PASSWORD)]).await;
        thief.forget_cookie(BOUND);
        let cookie = thief.cookie(SESSION);
        for path in ["/account", "/account/sessions", "/account/activity", "/account/email", "/members"] {
            let page = thief.send(own(&thief, path)).await;
            assert_eq!(page.status, StatusCode::SEE_OTHER, "{path}: {}", page.body);
            assert!(page.location().starts_with("/sign-in?next="), "{path}");
            assert_eq!(page.set_cookies(), [""; 0], "{path}");
        }
        for (path, field) in [
            ("/sign-out", ("sure", "yes")),
            ("/reauthenticate", ("password", PASSWORD)),
            ("/account/sessions/end-others", ("sure", "yes")),
            ("/account/email", ("email", EVE)),
            ("/account/password", ("password", "a horse that eats nothing")),
            ("/account/delete", ("email", ADA)),
        ] {
            let page = thief.post(path, &[field]).await;
            assert_eq!(page.status, StatusCode::SEE_OTHER, "{path}: {}", page.body);
            assert!(page.location().starts_with("/sign-in?next="), "{path}");
        }
        assert_eq!(thief.cookie(SESSION), cookie);
        let page = thief.send(own(&thief, "/sign-in?next=/account")).await;
        assert!(page.body.contains("This browser could not be recognised"), "{}", page.body);
        assert!(page.body.contains(r#"name="next" value="/account""#));
        let page = thief.send(own(&thief, "/")).await;
        assert!(!page.body.contains(ADA), "home does not know who that is: {}", page.body);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "whose session goes on");

        // Nor does whoever signs in with the copy end it: for another account, or for hers.
        site.register(&thief, EVE).await;
        assert_eq!(thief.signed_in_as().await.as_deref(), Some(EVE));
        let copy = ada.with_copied_jar();
        copy.forget_cookie(BOUND);
        copy.enter(ADA, PASSWORD).await.goes_on_to("/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        assert_eq!(count(&site, "sessions").await, 3);
    }

    async fn a_copied_jar_is_dead_after_eleven_minutes_and_the_owner_goes_on(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        let thief = ada.with_copied_jar();
        let id = session_id(&ada).await;
        site.house.advance(AWAY - SETTLED - SECOND);
        assert_eq!(thief.signed_in_as().await.as_deref(), Some(ADA), "a second before");
        device.proves(&ada).await;
        site.house.advance(SECOND);
        is_sent_to_prove(&thief.send(own(&thief, "/account?a=b")).await, "/account?a=b");
        assert_eq!(thief.cookie(BOUND), None);
        assert_eq!(thief.signed_in_as().await, None, "and nobody is sent in circles");
        let (asked, _) = challenge(&prove(&thief, &id, None).await);
        let guessed = prove(&thief, &id, Some(&Device::make().proof(&asked))).await;
        is_challenged(&guessed, "that is all a thief gets");
        for _ in 0..5 {
            site.house.advance(10 * MINUTE);
            device.proves(&ada).await;
            assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
            assert_eq!(thief.signed_in_as().await, None);
        }
    }

    async fn what_was_under_way_when_it_was_bound_arrives(db: Database) {
        let site = Site::open(db).await;
        let ada = site.house.visitor();
        let invited = site.register(&ada, ADA).await;
        let on_its_way = ada.with_copied_jar();
        Device::make().binds(&ada, &invited).await;
        site.house.advance(9 * SECOND);
        assert_eq!(on_its_way.signed_in_as().await.as_deref(), Some(ADA));
        site.house.advance(SECOND);
        assert_eq!(on_its_way.signed_in_as().await, None);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
    }

    /// Webmail is another site, and there browsers prove nothing.
    async fn a_click_from_another_site_comes_again_from_ours(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        ada.forget_cookie(BOUND);
        for path in ["/account", "/", "/account/sessions?from=news", "/sign-in"] {
            loads_itself_again(&ada.click(path).await);
        }
        let mail = site.ask(&site.house.visitor(), "/sign-in", ADA).await;
        let page = ada.click(mail.path()).await;
        loads_itself_again(&page);
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("x-robots-tag"), Some("noindex"));
        // Neither a frame, nor a script, nor what is loaded ahead; nor whoever was here before.
        for (mode, dest) in [("navigate", "iframe"), ("cors", "empty"), ("no-cors", "image")] {
            let request = ada.request(Method::GET, "/account").header("sec-fetch-site", "cross-site")
                .header("sec-fetch-mode", mode).header("sec-fetch-dest", dest);
            ada.send(request).await.goes_on_to("/sign-in?next=%2Faccount");
        }
        let ahead = ada.clicking("/account").header("sec-purpose", "prefetch");
        ada.send(ahead).await.goes_on_to("/sign-in?next=%2Faccount");
        ada.send(own(&ada, "/account")).await.goes_on_to("/sign-in?next=%2Faccount");
        device.proves(&ada).await;
        assert_eq!(ada.click("/account").await.header("refresh"), None);
        let activity = ada.get("/account/activity").await.body;
        assert!(!activity.contains("A copy of a session"), "it was her own browser: {activity}");
    }

    async fn a_form_that_comes_too_late_is_sent_once_more_by_its_browser(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        site.house.advance(AWAY);
        let form = [("enabled", "yes")];
        is_sent_to_prove(&ada.post("/account/announcements", &form).await, "/account/announcements");
        device.proves(&ada).await;
        ada.post("/account/announcements", &form).await.goes_on_to("/account");

        // What was never ours, or is another session's, is as good as old.
        let (eve, _) = site.bound(EVE).await;
        for value in ["x", "", &eve.cookie(BOUND).unwrap(), &ada.cookie(SESSION).unwrap()] {
            ada.set_cookie(BOUND, value);
            is_sent_to_prove(&ada.send(own(&ada, "/account")).await, "/account");
        }
        assert_eq!(ada.signed_in_as().await, None, "and once only");
    }

    async fn a_browser_that_cannot_prove_itself_just_now_is_asked_to_come_again(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        ada.forget_cookie(BOUND);
        for why in ["unreachable", "server_error", "quota_exceeded"] {
            let why = format!("{why};session_identifier=\"x\"");
            for name in ["secure-session-skipped", "sec-secure-session-skipped"] {
                let page = ada.send(own(&ada, "/account").header(name, &why)).await;
                assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{}", page.body);
                assert_eq!(page.header("retry-after"), Some("30"));
                let page = ada.send(own(&ada, "/sign-in").header(name, &why)).await;
                assert_eq!(page.status, StatusCode::OK, "whoever wants to sign in can: {}", page.body);
            }
        }
        device.proves(&ada).await;
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
    }

    async fn a_copy_from_elsewhere_is_told_of_once_a_day(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        let thief = ada.with_copied_jar().calling_from("198.51.100.7");
        site.house.advance(AWAY);
        device.proves(&ada).await;
        let told = async || {
            let waiting = "SELECT count(*) AS n FROM outbox WHERE state = 'queued'";
            eventually("nothing waits", async || site.house.count(waiting).await == 0).await;
            let letters = site.sink.taken_for(ADA);
            letters.iter().filter(|letter| letter.mail().subject.starts_with("A copy of your session")).count()
        };
        assert_eq!(told().await, 0);
        for _ in 0..3 {
            thief.send(own(&thief, "/account")).await;
            site.house.advance(2 * MINUTE);
        }
        assert_eq!(told().await, 1);
        site.house.advance(7 * MINUTE);
        device.proves(&ada).await;
        let activity = ada.get("/account/activity").await.body;
        assert!(activity.contains("A copy of a session was refused"), "{activity}");
        assert!(activity.contains("198.51.100.7"), "{activity}");
        site.house.advance(Duration::from_secs(24 * 60 * 60));
        thief.send(own(&thief, "/account")).await;
        assert_eq!(told().await, 2);
    }

    /// Where it was used while it lived the session was seen last, which is not where its device is.
    async fn a_copy_that_was_used_while_it_lived_is_told_of_too(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        let thief = ada.with_copied_jar().calling_from("198.51.100.7");
        site.house.advance(MINUTE);
        assert_eq!(thief.signed_in_as().await.as_deref(), Some(ADA));
        eventually("it was seen there", async || count(&site, "sessions WHERE ip = '198.51.100.7'").await == 1).await;
        site.house.advance(AWAY);
        is_sent_to_prove(&thief.send(own(&thief, "/account")).await, "/account");
        device.proves(&ada).await;
        let activity = ada.get("/account/activity").await.body;
        assert!(activity.contains("A copy of a session was refused"), "{activity}");
    }

    /// The account's row is what its owner waits for.
    async fn whoever_sends_a_copy_over_and_over_holds_nothing(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        let thief = ada.with_copied_jar().calling_from("198.51.100.7");
        thief.forget_cookie(BOUND);
        thief.send(own(&thief, "/account")).await.goes_on_to("/sign-in?next=%2Faccount");
        let holder = Holder::of(&site, "users").await;
        for host in 0..20 {
            let thief = thief.calling_from(&format!("2001:db8:0:{host}::1"));
            let refused = thief.send(own(&thief, "/account"));
            let refused = tokio::time::timeout(SECOND, refused).await.expect("it waits for nobody");
            refused.goes_on_to("/sign-in?next=%2Faccount");
        }
        holder.lets_go().await;
        assert_eq!(count(&site, "events WHERE name = 'device_not_proven'").await, 1);
        device.proves(&ada).await;
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
    }

    async fn for_what_is_sensitive_the_device_is_to_be_there_now(db: Database) {
        let site = Site::open_with(db, &[("REAUTHENTICATION_WINDOW", "1h")]).await;
        let (ada, device) = site.bound_owner().await;
        let thief = ada.with_copied_jar();
        let page = ada.get("/account/password").await;
        assert_eq!(page.status, StatusCode::OK, "it was bound seconds ago");
        site.house.advance(MINUTE);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "for looking that is enough");
        let too_long = format!("/account/password?x={}", "a".repeat(600));
        for spelled in [&*too_long, "/account/password?x=%00"] {
            let copy = ada.with_copied_jar();
            is_sent_to_prove(&copy.get(spelled).await, "/account/password");
            let (copy, form) = (ada.with_copied_jar(), [("password", "a horse of somebody else's")]);
            is_sent_to_prove(&copy.post(spelled, &form).await, "/account/password");
        }
        is_sent_to_prove(&ada.get("/account/password").await, "/account/password");
        device.proves(&ada).await;
        assert_eq!(ada.get("/account/password").await.status, StatusCode::OK);
        is_sent_to_prove(&thief.get("/account/password").await, "/account/password");
        let form = [("email", EVE)];
        assert!(thief.post("/account/email", &form).await.location().starts_with("/sign-in?next="));
        site.house.advance(MINUTE);
        is_sent_to_prove(&ada.post("/account/email", &form).await, "/account/email");
        device.proves(&ada).await;
        ada.post("/account/email", &form).await.goes_on_to("/account/email");

        // A browser gives so many proofs and no more: then one that still counts has to do.
        site.house.advance(MINUTE);
        assert_eq!(ada.get("/account/password").await.status, StatusCode::OK);
        site.house.advance(9 * MINUTE);
        device.proves(&ada).await;
        assert_eq!(ada.get("/account/password").await.status, StatusCode::OK);
        site.house.advance(MINUTE);
        is_sent_to_prove(&ada.get("/account/password").await, "/account/password");
    }

    /// Promises 23 and 29
    async fn a_new_key_of_ours_and_a_restart_and_another_node_change_nothing(db: Database) {
        let mut site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        let id = session_id(&ada).await;
        let (asked, _) = challenge(&prove(&ada, &id, None).await);
        let old = site.house.secret_key().to_owned();
        let new = secret_key();
        let settings = [public(&site), vec![("SECRET_KEY", &*new), ("SECRET_KEYS_OLD", &*old)]].concat();
        site.house = site.house.restart(&settings).await;
        let ada = ada.at(&site.house);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        let proven = prove(&ada, &id, Some(&device.proof(&asked))).await;
        assert_eq!(proven.status, StatusCode::OK, "{}", proven.body);
        let other = site.house.second_node(&settings);
        let (asked, _) = challenge(&proven);
        site.house.advance(10 * MINUTE);
        let there = ada.at(&other);
        assert_eq!(prove(&there, &id, Some(&device.proof(&asked))).await.status, StatusCode::OK);
        assert_eq!(there.signed_in_as().await.as_deref(), Some(ADA));
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA), "here, too");
        is_challenged(&prove(&ada, &id, Some(&device.proof(&asked))).await, "once on both together");
    }

    async fn a_clock_that_is_set_back_keeps_nobody_out(db: Database) {
        let site = Site::open(db).await;
        let (ada, device) = site.bound(ADA).await;
        site.house.execute("UPDATE device_keys SET proven_at = proven_at + 3600000").await;
        for _ in 0..2 {
            device.proves(&ada).await;
            assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        }
    }

    /// An app at our own host is asked about as our pages are. The cookie that siblings get is bound to nothing: with it
    /// one passes to apps, and does nothing here.
    async fn a_proxy_is_told_of_a_bound_session_where_its_device_shows_itself(db: Database) {
        let site = Site::open_with(db, &[("COOKIE_DOMAIN", "example.test")]).await;
        let (ada, device) = site.bound(ADA).await;
        let gate = "__Secure-doorpost";
        let without_gate_cookie = |visitor: &Visitor| {
            let visitor = visitor.with_copied_jar();
            visitor.forget_cookie(gate);
            visitor
        };
        let verify = async |visitor: &Visitor| visitor.get("/auth/verify").await.status;
        assert_eq!(verify(&without_gate_cookie(&ada)).await, StatusCode::NO_CONTENT);

        site.house.advance(AWAY);
        let thief = without_gate_cookie(&ada);
        assert_eq!(verify(&thief).await, StatusCode::UNAUTHORIZED);
        device.proves(&ada).await;
        assert_eq!(verify(&without_gate_cookie(&ada)).await, StatusCode::NO_CONTENT);
        assert_eq!(verify(&thief).await, StatusCode::UNAUTHORIZED);

        thief.forget_cookie(SESSION);
        thief.set_cookie(gate, &ada.cookie(gate).unwrap());
        assert_eq!(verify(&thief).await, StatusCode::NO_CONTENT);
        assert_eq!(thief.signed_in_as().await, None);
    }

    async fn where_it_is_turned_off_no_session_is_bound_any_more(db: Database) {
        let mut site = Site::open(db).await;
        let (ada, _) = site.bound(ADA).await;
        let id = session_id(&ada).await;
        let settings = [public(&site), vec![("SESSION_PROOF", "off")]].concat();
        site.house = site.house.restart(&settings).await;
        let ada = ada.at(&site.house);
        ada.forget_cookie(BOUND);
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(ADA));
        is_over(&prove(&ada, &id, None).await, &id);
    }

    async fn its_owner_finds_it_in_the_file_of_everything(db: Database) {
        let site = Site::open(db).await;
        let (ada, _) = site.bound_owner().await;
        let file: Value = serde_json::from_str(&ada.post("/account/export", &[]).await.body).unwrap();
        assert!(file["sessions"][0]["bound_to_device_at"].is_string(), "{file}");
        assert!(!file.to_string().contains("\"crv\""), "{file}");
    }
}

/// Its account is deleted, locked or reset just then, by somebody who has not finished yet.
#[tokio::test]
async fn a_session_that_ends_while_its_browser_binds_or_proves_is_over() {
    let site = Site::open(Database::Postgres).await;
    let (ada, device) = site.bound(ADA).await;
    let id = session_id(&ada).await;
    let (asked, _) = challenge(&prove(&ada, &id, None).await);
    let bob = site.house.visitor();
    let to_bind = invitation(&bob.enter(ADA, PASSWORD).await);
    let binding = Device::make().registration(&to_bind);
    let proof = device.proof(&asked);
    let ending = postgres(site.house.database_url()).await;
    let end = "BEGIN; DELETE FROM sessions";
    ending.batch_execute(end).await.unwrap();
    let both = async { tokio::join!(bind(&bob, &binding), prove(&ada, &id, Some(&proof))) };
    let ((bound, proven), ()) = tokio::join!(both, async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        ending.batch_execute("COMMIT").await.unwrap();
    });
    let said: Value = serde_json::from_str(&bound.body).unwrap();
    is_over(&bound, said["session_identifier"].as_str().unwrap());
    is_over(&proven, &id);
    assert_eq!(count(&site, "device_keys").await, 0);
}

#[tokio::test]
async fn while_the_database_is_away_a_browser_is_told_to_come_again() {
    let site = Site::open(Database::Postgres).await;
    let (ada, device) = site.bound(ADA).await;
    let id = session_id(&ada).await;
    let (asked, _) = challenge(&prove(&ada, &id, None).await);
    site.house.set_database_away(true).await;
    let away = prove(&ada, &id, Some(&device.proof(&asked))).await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(away.header("retry-after").is_some() && away.set_cookies().is_empty());
    site.house.set_database_away(false).await;
    let back = prove(&ada, &id, Some(&device.proof(&asked))).await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.body);
}

/// The settings of a second node.
fn public(site: &Site) -> Vec<(&'static str, &'static str)> {
    let smtp: &'static str = site.sink.url().leak();
    vec![
        ("PUBLIC_URL", House::PUBLIC),
        ("SMTP_URL", smtp),
        ("MAIL_FROM", "Doorpost <doorpost@example.test>"),
    ]
}

/// What comes of it, when all have to wait for a moment before they write.
async fn while_locked<T>(site: &Site, table: &str, doing: impl Future<Output = T>) -> T {
    let holder = Holder::of(site, table).await;
    let (done, ()) = tokio::join!(doing, async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        holder.lets_go().await;
    });
    done
}

/// Somebody who holds what others want to write.
enum Holder {
    File(Box<SqliteConnection>),
    Rows(tokio_postgres::Client),
}

impl Holder {
    /// Of all rows of this table; on SQLite there is one lock for all tables.
    async fn of(site: &Site, table: &str) -> Self {
        let url = site.house.database_url();
        if url.starts_with("sqlite:") {
            return Self::File(hold_the_write_lock(site.house.database_file()).into());
        }
        let holder = postgres(url).await;
        let lock = format!("BEGIN; SELECT 1 FROM {table} FOR UPDATE");
        holder.batch_execute(&lock).await.unwrap();
        Self::Rows(holder)
    }

    async fn lets_go(self) {
        match self {
            Self::File(holder) => drop(holder),
            Self::Rows(holder) => holder.batch_execute("COMMIT").await.unwrap(),
        }
    }
}
