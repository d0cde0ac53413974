//! A passkey in software: an authenticator that keeps a key for one account, and signs whatever its owner is asked for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::prelude::*;
use doorpost::accounts::passkeys::user_handle;
use doorpost::accounts::users;
use doorpost::random;
use doorpost::schema::passkeys;
use reqwest::{Method, StatusCode};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{House, Page, Visitor};

/// An authenticator with one passkey.
pub struct Passkey {
    key: Ed25519KeyPair,
    credential_id: [u8; 32],
    user_handle: [u8; 32],
    /// Of the site that it is for.
    origin: String,
}

/// Somebody touched it, and was made sure of; it may be copied, and was.
const FLAGS: u8 = 0x1d;

/// The account of this address gets a passkey.
pub async fn gets_passkey(house: &House, address: &'static str) -> Passkey {
    let key = Ed25519KeyPair::from_seed_unchecked(&random::bytes::<32>()).unwrap();
    // {1: 1 (OKP), 3: -8 (EdDSA), -1: 6 (Ed25519), -2: the point}
    let cose = b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20";
    let public_key = [&cose[..], key.public_key().as_ref()].concat();
    let credential_id = random::bytes::<32>();
    let made = house.app.transaction(move |tx| {
        let owner = users::of_address(tx, address)?.unwrap();
        let row = (
            passkeys::id.eq(random::id()),
            passkeys::user_id.eq(&owner.id),
            passkeys::credential_id.eq(credential_id.to_vec()),
            passkeys::public_key.eq(public_key),
            passkeys::sign_count.eq(0),
            passkeys::backup_eligible.eq(true),
            passkeys::backed_up.eq(true),
            passkeys::aaguid.eq(vec![0; 16]),
            passkeys::transports.eq("internal"),
            passkeys::name.eq(""),
            passkeys::created_at.eq(tx.now),
        );
        diesel::insert_into(passkeys::table)
            .values(row)
            .execute(tx.conn)?;
        Ok(user_handle(&owner.id))
    });
    Passkey {
        key,
        credential_id,
        user_handle: made.await.unwrap(),
        origin: house.app.config.server.public_url.as_str().to_owned(),
    }
}

impl Passkey {
    /// Signs in with it; the page that it leads to.
    pub async fn signs_in(&self, visitor: &Visitor) -> String {
        self.is_used(visitor, "/passkeys/sign-in").await
    }

    /// Opens the gate with it.
    pub async fn opens_gate(&self, visitor: &Visitor) {
        self.is_used(visitor, "/reauthenticate/passkey").await;
    }

    async fn is_used(&self, visitor: &Visitor, route: &str) -> String {
        let options = by_script(visitor, &format!("{route}/options"), &json!({})).await;
        let credential = self.answer(&options);
        let used = by_script(visitor, route, &json!({ "credential": credential })).await;
        used["next"].as_str().unwrap().to_owned()
    }

    /// What a browser hands over for these options.
    fn answer(&self, options: &Value) -> Value {
        let client_data = json!({
            "type": "webauthn.get",
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": false,
        })
        .to_string();
        let site = Sha256::digest(options["rpId"].as_str().unwrap());
        let data = [&site[..], &[FLAGS], &[0; 4]].concat();
        let signed = [&data[..], &Sha256::digest(&client_data)].concat();
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let id = encoded(&self.credential_id);
        json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encoded(client_data.as_bytes()),
                "authenticatorData": encoded(&data),
                "signature": encoded(self.key.sign(&signed).as_ref()),
                "userHandle": encoded(&self.user_handle),
            },
        })
    }
}

/// What a script of our own pages is answered.
async fn by_script(visitor: &Visitor, path: &str, body: &Value) -> Value {
    let page = asked_by_script(visitor, path, body).await;
    assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.body);
    serde_json::from_str(&page.body).unwrap()
}

/// The same, whatever the answer is.
pub async fn asked_by_script(visitor: &Visitor, path: &str, body: &Value) -> Page {
    let request = visitor
        .request(Method::POST, path)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json")
        .body(body.to_string());
    visitor.send(request).await
}
