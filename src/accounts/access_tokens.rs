//! Access tokens: JWTs (RFC 9068) that say for a quarter of an hour who calls, and what for.
//!
//! They are signed with a key whose public half anybody may have, so that other services check them on their
//! own. Read strictly: one algorithm, one type, our own issuer and audience, an end that is a number, a key that
//! we made. A token that says `alg: none`, or that is "signed" with our public key as if it were a password, is
//! no token (the confusion that JWT libraries were fooled by from 2015 on).
//!
//! A token alone opens nothing here: whoever reads one looks up its session, which may have ended since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::accounts::es256;
use crate::accounts::sessions::{AuthMethod, Session};
use crate::accounts::signing_keys::{Ring, SIGNATURE_LIFETIME};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::random;

/// How long one is good.
pub const LIFETIME: Duration = SIGNATURE_LIFETIME;

/// To see the account and its sessions, and to end these.
pub const READ: &str = "account:read";

/// Besides, to do what is sensitive, once the password was entered lately.
pub const WRITE: &str = "account:write";

/// The client of every token: the API's own, which is public (RFC 6749, 2.1).
pub const CLIENT: &str = "doorpost";

const TYPE: &str = "at+jwt";

/// What one says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    /// The account.
    pub sub: String,
    /// Whom it was handed to: programs are not registered here, so that there is one for all of them (RFC 9068, 2.2).
    /// Earlier releases signed tokens without one.
    #[serde(default)]
    pub client_id: String,
    pub iat: i64,
    pub exp: i64,
    pub jti: String,
    /// When somebody last proved who they are.
    pub auth_time: i64,
    /// How (RFC 8176): `pwd`, `otp` for a code that was mailed, `swk` and `user` for a passkey.
    pub amr: Vec<String>,
    pub scope: String,
    /// The session, by its public id.
    pub sid: String,
    /// The session's, when this was signed: a change of rights raises it. Earlier releases signed tokens without one.
    #[serde(default)]
    pub epoch: i32,
}

impl Claims {
    /// Whether it may do this.
    pub fn allows(&self, scope: &str) -> bool {
        self.scope.split(' ').any(|held| held == scope)
    }

    /// Whether it was made for this session, with the rights that it has now.
    pub fn are_of(&self, session: &Session) -> bool {
        self.sid == session.id && self.sub == session.user_id && self.epoch == session.token_epoch
    }
}

/// What a session may do: one that came from a mail never more than look.
fn scope_of(session: &Session) -> String {
    match session.auth_method == AuthMethod::Password.name() {
        true => format!("{READ} {WRITE}"),
        false => READ.to_owned(),
    }
}

/// Signs access tokens, with a key that is at hand.
pub struct Signer {
    ring: Arc<Ring>,
    issuer: String,
    /// Another service that the token is for, instead of our own API.
    audience: Option<String>,
}

/// A token that was signed.
pub struct Signed {
    pub token: String,
    /// What it is good for.
    pub scope: String,
}

impl Signer {
    /// For our own API or, where one is named, for another service. A service that is shown
    /// a token could present it elsewhere: so ours does not accept one for another service, and such a token never
    /// permits changing an account.
    pub fn new(ring: Arc<Ring>, issuer: &str, audience: Option<String>) -> Self {
        Self {
            ring,
            issuer: issuer.to_owned(),
            audience,
        }
    }

    /// Signs what a token for this session says from now on.
    pub fn sign(&self, session: &Session, now: Timestamp) -> Result<Signed> {
        let claims = self.claims(session, now);
        Ok(Signed {
            token: signed(&self.ring, TYPE, &claims)?,
            scope: claims.scope,
        })
    }

    fn claims(&self, session: &Session, now: Timestamp) -> Claims {
        let method = session.method().unwrap_or(AuthMethod::EmailCode);
        let iat = now / 1000;
        let (aud, scope) = match &self.audience {
            Some(other) => (other.clone(), READ.to_owned()),
            None => (self.issuer.clone(), scope_of(session)),
        };
        Claims {
            iss: self.issuer.clone(),
            aud,
            sub: session.user_id.clone(),
            client_id: CLIENT.to_owned(),
            iat,
            exp: iat + LIFETIME.as_secs().cast_signed(),
            jti: random::id(),
            auth_time: session.auth_time() / 1000,
            amr: method.amr().iter().map(|word| (*word).to_owned()).collect(),
            scope,
            sid: session.id.clone(),
            epoch: session.token_epoch,
        }
    }
}

/// A token of this type that says this, signed with the key that signs (RFC 7515).
pub(super) fn signed(ring: &Ring, typ: &str, claims: &impl Serialize) -> Result<String> {
    let private = ring.signs.as_ref();
    let private = private.ok_or_else(|| Error::internal("there is no key to sign with"))?;
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some(typ.to_owned());
    header.kid = Some(private.id.clone());
    let message = format!("{}.{}", encoded(&header)?, encoded(claims)?);
    let signature = URL_SAFE_NO_PAD.encode(private.key.sign(message.as_bytes())?);
    Ok(format!("{message}.{signature}"))
}

/// A part of a token (RFC 7515, 3.1).
fn encoded(part: &impl Serialize) -> Result<String> {
    let json = serde_json::to_vec(part).map_err(Error::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It names a key that this node does not know: another may have made it.
    UnknownKey,
    /// It is not ours, was changed, or has expired.
    NotOurs,
}

/// What tokens that were read lately say, by the digest of their whole text. To verify a signature costs more than
/// all the rest of a request, and a program shows one token many times. Clones remember the same.
#[derive(Clone, Default)]
pub struct ReadLately(Arc<Mutex<HashMap<[u8; 32], Arc<Remembered>>>>);

struct Remembered {
    key_id: String,
    claims: Arc<Claims>,
}

/// So many are remembered at the most; one more empties the memory, and each is verified once more.
const MOST: usize = 10_000;

impl ReadLately {
    /// Reads a token of ours. What is remembered of one is that its signature is right: its key and its end are
    /// judged each time.
    pub fn read(
        &self,
        ring: &Ring,
        issuer: &str,
        now: Timestamp,
        token: &str,
    ) -> Result<Arc<Claims>, Refused> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let remembered = self.all().get(&digest).cloned();
        let read = match remembered {
            Some(known) => known,
            None => {
                let (key_id, claims) = verified(ring, issuer, now, token)?;
                let claims = Arc::new(claims);
                let read = Arc::new(Remembered { key_id, claims });
                let mut all = self.all();
                if all.len() >= MOST {
                    all.clear();
                }
                all.insert(digest, read.clone());
                read
            }
        };
        ring.find(&read.key_id, now).ok_or(Refused::UnknownKey)?;
        match now < read.claims.exp.saturating_mul(1000) {
            true => Ok(read.claims.clone()),
            false => Err(Refused::NotOurs),
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<Remembered>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a token of ours says, expired or not, and which key signed it.
fn verified(
    ring: &Ring,
    issuer: &str,
    now: Timestamp,
    token: &str,
) -> Result<(String, Claims), Refused> {
    es256::install();
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::NotOurs)?;
    let is_ours = header.alg == Algorithm::ES256
        && header.typ.as_deref() == Some(TYPE)
        && header.crit.is_none();
    let (true, Some(id)) = (is_ours, header.kid) else {
        return Err(Refused::NotOurs);
    };
    let key = ring.find(&id, now).ok_or(Refused::UnknownKey)?;
    let key = DecodingKey::from_ec_der(&key.point);
    let decoded = jsonwebtoken::decode::<Claims>(token, &key, &rules(issuer));
    let claims = decoded.map_err(|_| Refused::NotOurs)?.claims;
    Ok((id, claims))
}

/// Expiry is not left to the library, which would ask the system's clock: [`ReadLately::read`] judges it by ours.
fn rules(issuer: &str) -> Validation {
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[issuer]);
    rules.validate_exp = false;
    rules
}
