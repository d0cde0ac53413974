//! What an app behind a proxy may be told instead of a plain name: a token that says who its visitor is, and that we say so.
//!
//! An app that goes by a header has to trust its network: whoever reaches it past the proxy is whom they claim to be. One that
//! verifies this token trusts nobody but the site, whose public keys are at `/.well-known/jwks.json`.
//!
//! It is for one host, its audience, and good for two minutes: the proxy gets a new one for each request. It is no access token
//! (RFC 9068): its type is another, so that an app which is shown one cannot call our API with it (RFC 8725, 3.11).

use std::time::Duration;

use serde::Serialize;

use crate::accounts::access_tokens;
use crate::accounts::sessions::{AuthMethod, Session};
use crate::accounts::signing_keys::Ring;
use crate::clock::Timestamp;
use crate::error::Result;

/// How long one is good: as long as the slowest clock may be behind, and a request under way.
pub const LIFETIME: Duration = Duration::from_secs(2 * 60);

const TYPE: &str = "JWT";

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// The app, by its origin.
    aud: &'a str,
    /// The account, and its address.
    sub: &'a str,
    email: &'a str,
    iat: i64,
    exp: i64,
    /// When somebody last proved who they are, and how the session began (RFC 8176).
    auth_time: i64,
    amr: &'static [&'static str],
    /// The session, by its public id.
    sid: &'a str,
}

/// Signs what one says for this app, of the session of its visitor.
pub fn sign(
    ring: &Ring,
    issuer: &str,
    audience: &str,
    session: &Session,
    now: Timestamp,
) -> Result<String> {
    let iat = now / 1000;
    let method = session.method().unwrap_or(AuthMethod::EmailCode);
    let claims = Claims {
        iss: issuer,
        aud: audience,
        sub: &session.user_id,
        email: &session.email,
        iat,
        exp: iat + LIFETIME.as_secs().cast_signed(),
        auth_time: session.auth_time() / 1000,
        amr: method.amr(),
        sid: &session.id,
    };
    access_tokens::signed(ring, TYPE, &claims)
}
