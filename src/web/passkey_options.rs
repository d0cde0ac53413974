//! What a browser is to ask authenticators for, as it reads it (WebAuthn Level 3, 5.4 and 5.5).
//!
//! A passkey is discoverable, so that nobody has to say first who they are; whoever uses it is verified, so that it
//! counts as the password does; and no attestation is asked for, so that nobody's make of authenticator is a matter.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::accounts::email_address;
use crate::accounts::passkeys::Passkey;
use crate::actions::add_passkey::Offer;
use crate::web::rejection::Rejection;
use crate::webauthn::{ALGORITHMS, RelyingParty};

/// How long a browser waits for somebody to find the authenticator, in milliseconds. The challenge is good for longer.
const TIMEOUT: u32 = 5 * 60 * 1000;

/// The site, where it has passkeys. Elsewhere nothing is to be had.
pub fn site(known: &Option<RelyingParty>) -> Result<&RelyingParty, Rejection> {
    known.as_ref().ok_or(Rejection::NotFound)
}

/// To sign a challenge: with one of these passkeys, or with any of the site's.
pub fn to_sign(site: &RelyingParty, challenge: &[u8], with: &[Passkey]) -> Value {
    json!({
        "challenge": encoded(challenge),
        "rpId": site.id(),
        "timeout": TIMEOUT,
        "userVerification": "required",
        "allowCredentials": with.iter().map(descriptor).collect::<Vec<_>>(),
    })
}

/// To make a passkey for an account. Where the browser makes it by itself, there is nobody to be made sure of.
pub fn to_make(site: &RelyingParty, site_name: &str, offer: &Offer, by_itself: bool) -> Value {
    let email = email_address::shown(&offer.email);
    let algorithm = |number| json!({ "type": "public-key", "alg": number });
    json!({
        "rp": { "id": site.id(), "name": site_name },
        "user": { "id": encoded(&offer.user_handle), "name": email, "displayName": email },
        "challenge": encoded(&offer.challenge),
        "pubKeyCredParams": ALGORITHMS.map(algorithm),
        "timeout": TIMEOUT,
        "excludeCredentials": offer.has.iter().map(descriptor).collect::<Vec<_>>(),
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": true,
            "userVerification": if by_itself { "preferred" } else { "required" },
        },
        "attestation": "none",
    })
}

fn descriptor(passkey: &Passkey) -> Value {
    json!({
        "type": "public-key",
        "id": encoded(&passkey.credential_id),
        "transports": passkey.transports().collect::<Vec<_>>(),
    })
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
