//! A new password, as somebody chose it: checked against the rules, then hashed, before any transaction.

use crate::accounts::passwords::{About, Password, PasswordHash, Priority, Refused};
use crate::app::App;
use crate::web::rejection::Rejection;

/// Hashes the password that was chosen for the account of this address, or says why it is not taken.
///
/// Only for those who hold a live link or a session: they have hashing slots that no stranger can fill.
pub async fn hash(
    app: &App,
    chosen: &str,
    email: &str,
) -> Result<Result<PasswordHash, Refused>, Rejection> {
    let about = About {
        email,
        host: app.config.server.public_url.host(),
    };
    let password = match Password::parse(chosen, &about) {
        Ok(password) => password,
        Err(refused) => return Ok(Err(refused)),
    };
    let permit = app
        .passwords
        .acquire(Priority::Trusted)
        .ok_or(Rejection::Busy)?;
    Ok(Ok(permit.hash(password).await?))
}

/// The same where choosing none is as good.
pub async fn hash_optional(
    app: &App,
    chosen: &str,
    email: &str,
) -> Result<Result<Option<PasswordHash>, Refused>, Rejection> {
    if chosen.is_empty() {
        return Ok(Ok(None));
    }
    Ok(hash(app, chosen, email).await?.map(Some))
}
