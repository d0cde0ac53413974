//! A password that somebody typed, in a form or in a program's request: counted, compared, concluded.
//!
//! What is counted and what comes of it is the action's; the comparison, which is slow, stands between its two
//! transactions, and needs a permit of the hasher's.

use actix_web::web::Data;

use crate::accounts::passwords::{Priority, Typed, Verified};
use crate::actions::Counted;
use crate::actions::password_try::PasswordTry;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::web::app_data::act;
use crate::web::rejection::Rejection;

/// Compares what was typed with what the try is about, and concludes; `None` where there is nothing to compare.
pub async fn enter<A: Send + Sync + 'static, T: Send + 'static>(
    app: &Data<App>,
    priority: Priority<'_>,
    attempt: A,
    typed: &str,
    count: impl FnOnce(&mut Tx, &App, &A) -> Result<Counted<Option<PasswordTry>>> + Send + 'static,
    conclude: impl FnOnce(&mut Tx, &App, &A, &PasswordTry, Verified) -> Result<T> + Send + 'static,
) -> Result<Option<T>, Rejection> {
    let permit = app.passwords.acquire(priority).await;
    let permit = permit.ok_or(Rejection::Busy)?;
    let counted = act(app, move |tx, app| {
        let counted = count(tx, app, &attempt)?;
        Ok(counted.map(|tried| tried.map(|tried| (attempt, tried))))
    });
    let Some((attempt, tried)) = counted.await?? else {
        return Ok(None);
    };
    let verified = match Typed::new(typed) {
        Some(typed) => permit.verify(tried.stored.clone(), typed).await?,
        None => Verified::Wrong,
    };
    let concluded = act(app, move |tx, app| {
        conclude(tx, app, &attempt, &tried, verified)
    });
    concluded.await.map(Some)
}
