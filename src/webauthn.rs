//! What authenticators sign, read and verified: WebAuthn Level 3 (W3C), as far as passkeys need it.
//!
//! A passkey is a key pair that an authenticator keeps for one site and one account. At registration it hands over the
//! public half; to sign in it signs a challenge of ours. The browser writes down beside it on which site that was, and
//! the authenticator signs that too: what another site asks for is no good here, however much it looks like this one.
//!
//! The algorithms of section 7 are followed in their order. Left out is what would prove which make an authenticator
//! is of: an attestation is asked of nobody, and not read when it comes. So there are no certificates to be verified, and
//! what remains is a little JSON, fixed bytes, a key in CBOR and a signature, which ring verifies as it does for TLS. The
//! libraries that do more bring a second stack of cryptography along: an RSA that is shut out here (RUSTSEC-2023-0071)
//! among it, or eighty crates.
//!
//! Whether a challenge is ours, for what it was made, and whether it was used before, is not decided here: see
//! [`accounts::passkeys`](crate::accounts::passkeys).

mod authenticator_data;
mod client_data;
mod public_key;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, de};
use sha2::{Digest, Sha256};

use authenticator_data::AuthenticatorData;
use client_data::{Ceremony, ClientData};
pub use public_key::ALGORITHMS;
use public_key::PublicKey;

use crate::config::PublicUrl;

/// The site as authenticators know it.
#[derive(Clone, Debug)]
pub struct RelyingParty {
    /// The host: what a passkey belongs to.
    id: String,
    /// Where a page has to come from to use one.
    origin: String,
}

impl RelyingParty {
    /// `None` where the host is an IP address: no browser knows passkeys there.
    pub fn of(public_url: &PublicUrl) -> Option<Self> {
        public_url.has_a_name().then(|| Self {
            id: public_url.host().to_owned(),
            origin: public_url.as_str().to_owned(),
        })
    }

    /// Its RP ID.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Why something that an authenticator made is not taken. The visitor hears none of it; the log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read.
    Malformed,
    /// Nobody has such a passkey here.
    UnknownCredential,
    /// It was made to register, and is to sign in; or the other way round.
    WrongCeremony,
    /// It answers another challenge.
    WrongChallenge,
    /// It was made on a page of another origin, or in a frame on one.
    WrongOrigin,
    /// It was made for another site.
    WrongRelyingParty,
    /// Nobody touched the authenticator.
    NotPresent,
    /// The authenticator did not make sure who touched it.
    NotVerified,
    /// It is said to be backed up, and to be one that never is; or to be another kind than when it was added.
    WrongBackupFlags,
    /// The key is of a kind that was not asked for.
    UnknownAlgorithm,
    /// The account that it names is another one.
    WrongAccount,
    /// The key has not signed it.
    WrongSignature,
}

impl Refusal {
    /// As the log has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownCredential => "unknown_credential",
            Self::WrongCeremony => "wrong_ceremony",
            Self::WrongChallenge => "wrong_challenge",
            Self::WrongOrigin => "wrong_origin",
            Self::WrongRelyingParty => "wrong_relying_party",
            Self::NotPresent => "not_present",
            Self::NotVerified => "not_verified",
            Self::WrongBackupFlags => "wrong_backup_flags",
            Self::UnknownAlgorithm => "unknown_algorithm",
            Self::WrongAccount => "wrong_account",
            Self::WrongSignature => "wrong_signature",
        }
    }
}

/// How a passkey comes to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mediation {
    /// Somebody is asked for it, and the authenticator makes sure who that is.
    Asking,
    /// The browser makes it by itself and asks nobody ("conditional", 5.1.3). Who uses it is made sure of as ever.
    Conditional,
}

/// The longest id of a credential (7.1).
const LONGEST_ID: usize = 1023;

/// What a browser hands over for a new passkey: `RegistrationResponseJSON` (5.1.8). What else is in it is not read:
/// all that counts is in the two parts that the authenticator saw.
#[derive(Deserialize)]
pub struct RegistrationResponse {
    response: AttestationResponse,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttestationResponse {
    #[serde(rename = "clientDataJSON")]
    client_data: Bytes,
    attestation_object: Bytes,
    /// How the browser may reach the authenticator another time; nobody vouches for it.
    #[serde(default)]
    transports: Vec<String>,
}

/// A passkey that was just made, verified. Only [`RegistrationResponse::verify`] makes one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewCredential {
    pub id: Vec<u8>,
    /// As a COSE_Key (RFC 9052).
    pub public_key: Vec<u8>,
    pub sign_count: u32,
    /// Whether it may be copied to other devices of its owner.
    pub backup_eligible: bool,
    /// Whether it was.
    pub backed_up: bool,
    /// The kind of authenticator, as it says itself.
    pub aaguid: [u8; 16],
    /// How the browser may reach it.
    pub transports: Vec<String>,
}

impl RegistrationResponse {
    /// The challenge that it says it answers.
    pub fn challenge(&self) -> Option<Vec<u8>> {
        ClientData::parse(&self.response.client_data.0)?.challenge()
    }

    /// "Registering a new credential" (7.1), for this challenge.
    pub fn verify(
        self,
        site: &RelyingParty,
        challenge: &[u8],
        mediation: Mediation,
    ) -> Result<NewCredential, Refusal> {
        let client_data = ClientData::parse(&self.response.client_data.0);
        client_data
            .ok_or(Refusal::Malformed)?
            .check(Ceremony::Create, challenge, &site.origin)?;
        let data = authenticator_data::of_attestation(&self.response.attestation_object.0);
        let data = AuthenticatorData::parse(data.ok_or(Refusal::Malformed)?)?;
        data.check_site(site)?;
        if mediation == Mediation::Asking {
            data.check_person()?;
        }
        let credential = data.credential.ok_or(Refusal::Malformed)?;
        PublicKey::parse(credential.public_key)?;
        // No extension was asked for, and no attestation. That nobody has the passkey yet, is up to the table.
        if credential.id.is_empty() || credential.id.len() > LONGEST_ID {
            return Err(Refusal::Malformed);
        }
        Ok(NewCredential {
            id: credential.id.to_vec(),
            public_key: credential.public_key.to_vec(),
            sign_count: data.sign_count,
            backup_eligible: data.backup_eligible,
            backed_up: data.backed_up,
            aaguid: credential.aaguid,
            transports: known_transports(&self.response.transports),
        })
    }
}

/// Those that the standard names (5.8.4), each once: what else a page says does not come into the table.
fn known_transports(said: &[String]) -> Vec<String> {
    let known = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"];
    let known = known
        .into_iter()
        .filter(|known| said.iter().any(|said| said == known));
    known.map(str::to_owned).collect()
}

/// What a browser hands over when a passkey was used: `AuthenticationResponseJSON` (5.1.8).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationResponse {
    raw_id: Bytes,
    response: AssertionResponse,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssertionResponse {
    #[serde(rename = "clientDataJSON")]
    client_data: Bytes,
    authenticator_data: Bytes,
    signature: Bytes,
    #[serde(default)]
    user_handle: Option<Bytes>,
}

/// What is known of a passkey that somebody uses.
pub struct KnownCredential<'a> {
    pub public_key: &'a [u8],
    pub backup_eligible: bool,
    /// What its authenticator calls the account.
    pub user_handle: &'a [u8],
}

/// A passkey was used, by somebody whom its authenticator made sure of. Only [`AuthenticationResponse::verify`] makes
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Used {
    pub sign_count: u32,
    pub backed_up: bool,
}

impl AuthenticationResponse {
    /// The challenge that it says it answers.
    pub fn challenge(&self) -> Option<Vec<u8>> {
        ClientData::parse(&self.response.client_data.0)?.challenge()
    }

    /// The passkey that it says was used.
    pub fn credential_id(&self) -> &[u8] {
        &self.raw_id.0
    }

    /// Whether it names the account, as one does that the browser found by itself.
    pub fn names_account(&self) -> bool {
        self.response.user_handle.is_some()
    }

    /// "Verifying an authentication assertion" (7.2), for this challenge and this passkey. The last steps are those of
    /// the table: whether the counter went on, and what is kept of it.
    pub fn verify(
        &self,
        site: &RelyingParty,
        challenge: &[u8],
        known: &KnownCredential<'_>,
    ) -> Result<Used, Refusal> {
        let AssertionResponse {
            client_data,
            authenticator_data,
            signature,
            user_handle,
        } = &self.response;
        if user_handle
            .as_ref()
            .is_some_and(|named| named.0 != known.user_handle)
        {
            return Err(Refusal::WrongAccount);
        }
        ClientData::parse(&client_data.0)
            .ok_or(Refusal::Malformed)?
            .check(Ceremony::Get, challenge, &site.origin)?;
        let data = AuthenticatorData::parse(&authenticator_data.0)?;
        data.check_site(site)?;
        data.check_person()?;
        // What may be copied stays so, and what may not, too.
        if data.backup_eligible != known.backup_eligible {
            return Err(Refusal::WrongBackupFlags);
        }
        let signed = [
            authenticator_data.0.as_slice(),
            &Sha256::digest(&client_data.0),
        ]
        .concat();
        PublicKey::parse(known.public_key)?.verify(&signed, &signature.0)?;
        Ok(Used {
            sign_count: data.sign_count,
            backed_up: data.backed_up,
        })
    }
}

/// Bytes as base64url, without padding.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text);
        bytes.map(Self).map_err(de::Error::custom)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
