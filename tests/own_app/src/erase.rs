//! All notes are erased: what happens, and the page that asks before.

use std::collections::BTreeMap;

use actix_web::web::{self, ServiceConfig};
use askama::Template;
use diesel::prelude::*;
use doorpost::accounts::users::Owner;
use doorpost::app::App;
use doorpost::db::Tx;
use doorpost::error::Result;
use doorpost::flows::Answer;
use doorpost::mail::own_letter::OwnLetter;
use doorpost::web::page::page;
use doorpost::web::step_up::{BehindGate, Reauthenticated, Sensitive};
use serde::Deserialize;

use crate::notes::notes;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/erase-notes").get(ask).post(erase));
}

async fn ask(gate: Reauthenticated) -> Answer {
    let frame = gate.visitor.frame();
    Ok(page(&frame.around("Erase your notes", ErasePage {}))?)
}

async fn erase(Sensitive { gate, .. }: Sensitive<EraseForm>) -> Answer {
    gate.act(erase_all).await?;
    gate.visitor.done("Your notes are erased.", "/notes")
}

/// Erases all of the owner's notes and tells them so: both, or neither. Without the proof that it is the owner who asks,
/// this does not compile.
fn erase_all(tx: &mut Tx, app: &App, owner: &Owner) -> Result<()> {
    let reader = owner.user();
    diesel::delete(notes::table.filter(notes::user_id.eq(&reader.id))).execute(tx.conn)?;
    let letter = OwnLetter {
        name: "notes_erased",
        subject: "Your notes are erased",
        paragraphs: &[
            "All of your notes were erased just now, by somebody who knew your password.",
        ],
        link: Some((
            "Open your notes",
            &app.signed_links.to_page(tx, reader, "/notes"),
        )),
    };
    app.outbox.post(tx, &letter.to(&app.config, reader)?)
}

#[derive(Deserialize)]
struct EraseForm {}

impl BehindGate for EraseForm {
    const PAGE: &'static str = "/erase-notes";

    fn typed(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

#[derive(Template)]
#[template(path = "erase.html")]
struct ErasePage {}
