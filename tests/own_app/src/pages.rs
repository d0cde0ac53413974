//! The pages: one for everybody, and two for members.

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use doorpost::error::Result;
use doorpost::flows::Answer;
use doorpost::web::form::Form;
use doorpost::web::page::{page, page_with};
use doorpost::web::path_id::PathId;
use doorpost::web::rejection::Rejection;
use doorpost::web::visitor::{SignedIn, Visitor};
use serde::Deserialize;

use crate::notes::{self, Note};

/// The most letters a note may have.
const MOST: usize = 500;

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/").get(home))
        .service(web::resource("/notes").get(list).post(keep))
        .service(web::resource("/notes/{id}").get(show));
}

async fn home(visitor: Visitor) -> Answer {
    Ok(page(&visitor.frame().around("Notes", HomePage {}))?)
}

async fn list(signed_in: SignedIn) -> Answer {
    let content = ListPage::of(&signed_in, None).await?;
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
        let content = ListPage::of(&signed_in, Some(form.text)).await?;
        let frame = signed_in.visitor.frame();
        let again = frame.around("Error: Your notes", content);
        return Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &again)?);
    }
    signed_in
        .act(move |tx, _, by| notes::keep(tx, &by.session.user_id, &text))
        .await?;
    signed_in.visitor.done("Your note is kept.", "/notes")
}

async fn show(SignedIn { visitor, session }: SignedIn, PathId(id): PathId) -> Answer {
    let found = visitor
        .app
        .read(move |tx| notes::find(tx, &session.user_id, &id));
    let note = found.await?.ok_or(Rejection::NotFound)?;
    Ok(page(&visitor.frame().around("A note", NotePage { note }))?)
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {}

#[derive(Template)]
#[template(path = "notes.html")]
struct ListPage {
    notes: Vec<Note>,
    /// What was typed and is no note.
    mistyped: Option<String>,
}

impl ListPage {
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
#[template(path = "note.html")]
struct NotePage {
    note: Note,
}
