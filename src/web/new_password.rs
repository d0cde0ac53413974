//! A new password, as somebody chose it: checked against the rules, then hashed, before any transaction.

use crate::accounts::passwords::{About, Password, PasswordHash, Priority, Refused};
use crate::app::App;
use crate::web::rejection::Rejection;

/// The password that was chosen for the account of this address, or why it is not taken.
pub fn parse(app: &App, chosen: &str, email: &str) -> Result<Password, Refused> {
    let about = About {
        email,
        host: app.config.server.public_url.host(),
    };
    Password::parse(chosen, &about)
}

/// Hashes it.
///
/// Only for those who hold a live link or a session: they have hashing slots that no stranger can fill, and of one
/// account one at a time.
pub async fn hash(app: &App, password: Password, email: &str) -> Result<PasswordHash, Rejection> {
    let permit = app.passwords.acquire(Priority::Trusted(email)).await;
    Ok(permit.ok_or(Rejection::Busy)?.hash(password).await?)
}

/// Both, for whoever holds a live link.
pub async fn parse_and_hash(
    app: &App,
    chosen: &str,
    email: &str,
) -> Result<Result<PasswordHash, Refused>, Rejection> {
    match parse(app, chosen, email) {
        Ok(password) => Ok(Ok(hash(app, password, email).await?)),
        Err(refused) => Ok(Err(refused)),
    }
}

/// The same where choosing none is as good.
pub async fn parse_and_hash_optional(
    app: &App,
    chosen: &str,
    email: &str,
) -> Result<Result<Option<PasswordHash>, Refused>, Rejection> {
    if chosen.is_empty() {
        return Ok(Ok(None));
    }
    Ok(parse_and_hash(app, chosen, email).await?.map(Some))
}
