//! The app, as requests have it at hand.

use actix_web::HttpRequest;
use actix_web::web::Data;

use crate::app::App;
use crate::db::Tx;
use crate::error::Error;
use crate::web::rejection::Rejection;

/// What a request may need.
pub fn app_of(req: &HttpRequest) -> Result<Data<App>, Rejection> {
    req.app_data::<Data<App>>()
        .cloned()
        .ok_or_else(|| Rejection::Trouble(Error::internal("no app is configured")))
}

/// Does something in one transaction. What the work needs of the app it is handed.
pub async fn act<T: Send + 'static>(
    app: &Data<App>,
    work: impl FnOnce(&mut Tx, &App) -> Result<T, Error> + Send + 'static,
) -> Result<T, Rejection> {
    let at_hand = app.clone();
    Ok(app.transaction(move |tx| work(tx, &at_hand)).await?)
}
