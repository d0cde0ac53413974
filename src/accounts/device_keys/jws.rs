//! What a browser signs (JWS compact serialization, RFC 7515), read strictly: one type, two algorithms, and the key that
//! was bound, whatever the text says of itself.
//!
//! Not by `jsonwebtoken`, which reads tokens of ours and takes ES256 alone (see [`es256`](crate::accounts::es256)): a
//! device whose security chip makes no elliptic keys signs by RSA. Only public keys are handled here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// With an RSA key of 4096 bits, and what else may be said, it takes half of this.
const LONGEST: usize = 4 * 1024;

/// The one type (`typ`).
const TYPE: &str = "dbsc+jwt";

/// The public half of a key pair (RFC 7517), with nothing in it but what makes the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum Jwk {
    #[serde(rename = "EC")]
    P256 { crv: Curve, x: String, y: String },
    #[serde(rename = "RSA")]
    Rsa { e: String, n: String },
}

/// The one curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    #[serde(rename = "P-256")]
    P256,
}

/// How it was signed. Only these are read: "none" is no algorithm, and one that signs with a shared secret is none for
/// a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Algorithm {
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "RS256")]
    Rs256,
}

/// A challenge that somebody signed; by whom has still to be seen.
pub struct SignedChallenge<'a> {
    header: Header,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

/// Whoever signs something that we do not know marks it as critical, and is not taken at their word.
#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    typ: String,
    jwk: Option<Jwk>,
    crit: Option<IgnoredAny>,
}

/// Others (`aud`, `authorization`) say nothing that the challenge does not.
#[derive(Deserialize)]
struct Claims {
    jti: String,
}

impl<'a> SignedChallenge<'a> {
    /// Reads one. Whatever is not written just so is `None`.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.').filter(|_| text.len() <= LONGEST)?;
        let (header, claims) = signed.split_once('.')?;
        let read = Self {
            header: part(header)?,
            claims: part(claims)?,
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        };
        let is_meant = read.header.typ == TYPE && read.header.crit.is_none();
        is_meant.then_some(read)
    }

    /// What was signed, as we gave it.
    pub fn challenge(&self) -> &str {
        &self.claims.jti
    }

    /// The key that it names itself; only one that is to be bound does.
    pub fn key(&self) -> Option<&Jwk> {
        self.header.jwk.as_ref()
    }

    /// Whether this key has signed it, by the one algorithm that goes with it.
    pub fn is_signed_by(&self, key: &Jwk) -> bool {
        let message = self.signed.as_bytes();
        let verified = match (self.header.alg, key) {
            (Algorithm::Es256, Jwk::P256 { x, y, .. }) => point(x, y).map(|point| {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, &self.signature)
            }),
            (Algorithm::Rs256, Jwk::Rsa { e, n }) => numbers(e, n).map(|numbers| {
                numbers.verify(&RSA_PKCS1_2048_8192_SHA256, message, &self.signature)
            }),
            _ => None,
        };
        matches!(verified, Some(Ok(())))
    }
}

impl Jwk {
    /// As the table holds it.
    pub(super) fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }

    /// What the table held.
    pub(super) fn stored(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// An uncompressed point, as ring reads it.
fn point(x: &str, y: &str) -> Option<Vec<u8>> {
    let coordinate = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let (x, y) = (coordinate(x)?, coordinate(y)?);
    (x.len() == 32 && y.len() == 32).then(|| [&[4], &x[..], &y[..]].concat())
}

fn numbers(e: &str, n: &str) -> Option<RsaPublicKeyComponents<Vec<u8>>> {
    let number = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let (e, n) = (number(e)?, number(n)?);
    (e.len() <= 4 && n.len() <= 512).then_some(RsaPublicKeyComponents { n, e })
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    let plain = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&plain).ok()
}
