//! Download everything that is kept on the account, as one JSON file.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_DISPOSITION, ContentType};
use actix_web::web::{self, ServiceConfig};
use serde::Deserialize;

use crate::actions::export;
use crate::error::Error;
use crate::flows::Answer;
use crate::web::step_up::{BehindGate, Sensitive};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/export").post(download));
}

#[derive(Default, Deserialize)]
struct ExportForm {}

impl BehindGate for ExportForm {
    const PAGE: &'static str = "/account";

    fn typed(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

async fn download(Sensitive { gate, .. }: Sensitive<ExportForm>) -> Answer {
    let client = gate.visitor.client();
    let permitted = gate.act(export::permit).await??;
    let app = gate.visitor.app.clone();
    let everything = gate
        .visitor
        .app
        .read(move |tx| export::read(tx, &app, &permitted));
    let file = serde_json::to_vec_pretty(&everything.await?).map_err(Error::internal)?;
    gate.act(move |tx, _, owner| export::note(tx, owner, &client))
        .await?;
    Ok(HttpResponse::Ok()
        .insert_header(ContentType::json())
        .insert_header((
            CONTENT_DISPOSITION,
            r#"attachment; filename="doorpost-account.json""#,
        ))
        .body(file))
}
