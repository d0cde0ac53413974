//! The pages: one for everybody, one for members, and one for whoever has just entered the password.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use doorpost::error::Result;
use doorpost::flows::Answer;
use doorpost::web::form::Form;
use doorpost::web::page::{page, page_with};
use doorpost::web::step_up::{BehindGate, Reauthenticated, Sensitive};
use doorpost::web::visitor::{SignedIn, Visitor};
use serde::Deserialize;

use crate::notes;

/// The most letters a note may have.
const MOST: usize = 500;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/").get(home))
        .service(web::resource("/notes").get(show).post(keep))
        .service(web::resource("/notes/erase").get(ask).post(erase));
}

async fn home(visitor: Visitor) -> Answer {
    Ok(page(&visitor.frame().around("Notes", HomePage {}))?)
}

async fn show(signed_in: SignedIn) -> Answer {
    let content = NotesPage::of(&signed_in, None).await?;
    let frame = signed_in.visitor.frame();
    Ok(page(&frame.around("Your notes", content))?)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NoteForm {
    text: String,
}

async fn keep(signed_in: SignedIn, Form(form): Form<NoteForm>) -> Answer {
    let text = form.text.trim().to_owned();
    if text.is_empty() || text.chars().count() > MOST {
        let content = NotesPage::of(&signed_in, Some(form.text)).await?;
        let frame = signed_in.visitor.frame();
        let again = frame.around("Error: Your notes", content);
        return Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &again)?);
    }
    signed_in
        .act(move |tx, _, by| notes::keep(tx, &by.session.user_id, &text))
        .await?;
    signed_in.visitor.done("Your note is kept.", "/notes")
}

async fn ask(gate: Reauthenticated) -> Answer {
    let frame = gate.visitor.frame();
    Ok(page(&frame.around("Erase your notes", ErasePage {}))?)
}

#[derive(Deserialize)]
struct EraseForm {}

impl BehindGate for EraseForm {
    const PAGE: &'static str = "/notes/erase";

    fn typed(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

async fn erase(Sensitive { gate, .. }: Sensitive<EraseForm>) -> Answer {
    gate.act(notes::erase).await?;
    gate.visitor.done("Your notes are erased.", "/notes")
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {}

#[derive(Template)]
#[template(path = "notes.html")]
struct NotesPage {
    notes: Vec<String>,
    /// What was typed and is no note.
    mistyped: Option<String>,
}

impl NotesPage {
    async fn of(signed_in: &SignedIn, mistyped: Option<String>) -> Result<Self> {
        let SignedIn { visitor, session } = signed_in;
        let user_id = session.user_id.clone();
        let notes = visitor.app.read(move |tx| notes::newest(tx, &user_id));
        Ok(Self {
            notes: notes.await?,
            mistyped,
        })
    }
}

#[derive(Template)]
#[template(path = "erase.html")]
struct ErasePage {}
