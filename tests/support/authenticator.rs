//! An authenticator, with the browser around it: what it makes is written here byte by byte, so that it shares no line
//! with what reads it. A test can bend whatever it says before it is signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::prelude::*;
use doorpost::accounts::passkeys::user_handle;
use doorpost::accounts::users;
use doorpost::random;
use doorpost::schema::passkeys;
use reqwest::StatusCode;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{House, Page, Visitor};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const HAS_CREDENTIAL: u8 = 0x40;

/// One passkey, and who holds it.
#[derive(Clone)]
pub struct Authenticator {
    /// The page that the browser shows.
    pub origin: String,
    pub credential_id: Vec<u8>,
    pub user_handle: Vec<u8>,
    /// What it has counted to. One that does not count stays at zero.
    pub counter: u32,
    pub counts: bool,
    /// What kind it says that it is.
    pub aaguid: [u8; 16],
    pkcs8: Vec<u8>,
}

/// What is signed, before it is: to be bent.
pub struct Signed {
    pub kind: &'static str,
    pub challenge: String,
    pub origin: String,
    pub rp_id: String,
    pub flags: u8,
    pub counter: u32,
    pub user_handle: Option<Vec<u8>>,
    /// More of what the browser writes down.
    pub more: Value,
}

impl Signed {
    pub const USER_PRESENT: u8 = USER_PRESENT;
    pub const USER_VERIFIED: u8 = USER_VERIFIED;
    pub const BACKUP_ELIGIBLE: u8 = 0x08;
    pub const BACKED_UP: u8 = 0x10;

    fn client_data(&self) -> Vec<u8> {
        let mut said = json!({
            "type": self.kind,
            "challenge": self.challenge,
            "origin": self.origin,
            "crossOrigin": false,
        });
        for (name, value) in self.more.as_object().into_iter().flatten() {
            said[name] = value.clone();
        }
        said.to_string().into_bytes()
    }

    fn authenticator_data(&self) -> Vec<u8> {
        let mut data = Sha256::digest(&self.rp_id).to_vec();
        data.push(self.flags);
        data.extend(self.counter.to_be_bytes());
        data
    }
}

impl Authenticator {
    /// A new one at a page of this house.
    pub fn at(house: &House) -> Self {
        Self::on(house.app.config.server.public_url.as_str())
    }

    /// A new one at a page of this site.
    pub fn on(origin: &str) -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let credential_id = Sha256::digest(pkcs8.as_ref().unwrap()).to_vec();
        Self {
            origin: origin.to_owned(),
            credential_id,
            user_handle: Vec::new(),
            counter: 0,
            counts: true,
            aaguid: [0xaa; 16],
            pkcs8: pkcs8.unwrap().as_ref().to_vec(),
        }
    }

    /// The same, with a passkey of this account, whatever it takes there to add one.
    pub async fn of(house: &House, address: &str) -> Self {
        let mut it = Self::at(house);
        let (credential_id, public_key) = (it.credential_id.clone(), it.cose_key());
        let address = address.to_owned();
        let added = house.app.transaction(move |tx| {
            let owner = users::of_address(tx, &address)?.unwrap();
            let row = (
                passkeys::id.eq(random::id()),
                passkeys::user_id.eq(&owner.id),
                passkeys::credential_id.eq(credential_id),
                passkeys::public_key.eq(public_key),
                passkeys::sign_count.eq(0),
                passkeys::backup_eligible.eq(false),
                passkeys::backed_up.eq(false),
                passkeys::aaguid.eq(vec![0; 16]),
                passkeys::transports.eq("internal"),
                passkeys::name.eq(""),
                passkeys::created_at.eq(tx.now),
            );
            let insert = diesel::insert_into(passkeys::table).values(row);
            insert.execute(tx.conn)?;
            Ok(user_handle(&owner.id))
        });
        it.user_handle = added.await.unwrap().to_vec();
        it
    }

    /// Signs in with its passkey; the page that it leads to.
    pub async fn signs_in(&mut self, visitor: &Visitor) -> String {
        let page = self.sign_at(visitor, "/passkeys/sign-in").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        page.json()["next"].as_str().unwrap().to_owned()
    }

    /// Opens the gate with it.
    pub async fn opens_gate(&mut self, visitor: &Visitor) {
        let page = self.sign_at(visitor, "/reauthenticate/passkey").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    }

    /// Signs what this ceremony asks for; what is answered, or why nothing is asked for.
    pub async fn sign_at(&mut self, visitor: &Visitor, ceremony: &str) -> Page {
        ceremony_at(visitor, ceremony, |options| self.sign(options)).await
    }

    /// Makes the passkey that this ceremony asks for, likewise.
    pub async fn make_at(&mut self, visitor: &Visitor, ceremony: &str) -> Page {
        ceremony_at(visitor, ceremony, |options| self.make(options)).await
    }

    /// Makes the passkey that these options ask for: what a script sends then.
    pub fn make(&mut self, options: &Value) -> Value {
        self.make_bent(options, |_| ())
    }

    /// The same, bent.
    pub fn make_bent(&mut self, options: &Value, bend: impl FnOnce(&mut Signed)) -> Value {
        self.user_handle = decoded(&options["user"]["id"]);
        let mut signed = self.about_to_sign("webauthn.create", options, &options["rp"]["id"]);
        signed.flags |= HAS_CREDENTIAL;
        bend(&mut signed);
        let mut data = signed.authenticator_data();
        data.extend(self.aaguid);
        data.extend(
            u16::try_from(self.credential_id.len())
                .unwrap()
                .to_be_bytes(),
        );
        data.extend(&self.credential_id);
        data.extend(self.cose_key());
        // {"fmt": "none", "attStmt": {}, "authData": …}
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        object.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        object.extend(data);
        json!({
            "id": encoded(&self.credential_id),
            "rawId": encoded(&self.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encoded(&signed.client_data()),
                "attestationObject": encoded(&object),
                "transports": ["internal", "hybrid", "hybrid", "a word of nobody's"],
            },
        })
    }

    /// Signs the challenge in these options.
    pub fn sign(&mut self, options: &Value) -> Value {
        self.sign_bent(options, |_| ())
    }

    /// The same, bent.
    pub fn sign_bent(&mut self, options: &Value, bend: impl FnOnce(&mut Signed)) -> Value {
        let mut signed = self.about_to_sign("webauthn.get", options, &options["rpId"]);
        bend(&mut signed);
        let (client_data, data) = (signed.client_data(), signed.authenticator_data());
        let message = [data.as_slice(), &Sha256::digest(&client_data)].concat();
        let signature = self.pair().sign(&SystemRandom::new(), &message).unwrap();
        json!({
            "id": encoded(&self.credential_id),
            "rawId": encoded(&self.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encoded(&client_data),
                "authenticatorData": encoded(&data),
                "signature": encoded(signature.as_ref()),
                "userHandle": signed.user_handle.map(|handle| encoded(&handle)),
            },
        })
    }

    fn about_to_sign(&mut self, kind: &'static str, options: &Value, rp_id: &Value) -> Signed {
        self.counter += u32::from(self.counts);
        Signed {
            kind,
            challenge: options["challenge"].as_str().unwrap().to_owned(),
            origin: self.origin.clone(),
            rp_id: rp_id.as_str().unwrap().to_owned(),
            flags: USER_PRESENT | USER_VERIFIED,
            counter: self.counter,
            user_handle: Some(self.user_handle.clone()),
            more: json!({}),
        }
    }

    /// {1: 2, 3: -7, -1: 1, -2: x, -3: y}
    fn cose_key(&self) -> Vec<u8> {
        let pair = self.pair();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        [
            b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20",
            x,
            b"\x22\x58\x20",
            y,
        ]
        .concat()
    }

    fn pair(&self) -> EcdsaKeyPair {
        let random = SystemRandom::new();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.pkcs8, &random).unwrap()
    }
}

async fn ceremony_at(
    visitor: &Visitor,
    ceremony: &str,
    answer: impl FnOnce(&Value) -> Value,
) -> Page {
    let asked = visitor
        .script(&format!("{ceremony}/options"), &json!({}))
        .await;
    match asked.status {
        StatusCode::OK => {
            let body = json!({ "credential": answer(&asked.json()) });
            visitor.script(ceremony, &body).await
        }
        _ => asked,
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decoded(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}
