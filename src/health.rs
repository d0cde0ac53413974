//! For whoever watches the process: does it live, can it serve?

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use serde_json::json;

use crate::app::App;

/// `/healthz` and `/readyz`, in JSON, outside everything that knows of visitors.
pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/healthz").get(lives))
        .service(web::resource("/readyz").get(ready));
}

async fn lives() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// The database answers, migrations are in, the mail worker runs. Trouble with the mail server, and a key that waiting
/// mail was sealed by and that this node does not have, stand in the body and change no status: taking the node out
/// would not mend it.
async fn ready(app: Data<App>) -> HttpResponse {
    let database = app.db.ready().await;
    let worker = app.mail_health.is_running();
    let smtp = app.mail_health.trouble();
    let mut body = json!({
        "database": database.as_ref().map_or("away", |()| "ok"),
        "mail_worker": if worker { "ok" } else { "not running" },
        "smtp": smtp.as_deref().unwrap_or("ok"),
    });
    if let Some(missing_key) = app.mail_health.missing_key() {
        body["outbox"] = missing_key.into();
    }
    if database.is_ok() && worker {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}
