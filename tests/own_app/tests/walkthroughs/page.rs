//! Walkthrough 1: pages behind the sign-in, a form, a table.

use reqwest::StatusCode;

use crate::support::{ADA, BEN, Browser, Program};

on_both!(members_keep_notes, members_read_their_own_notes_alone);

async fn members_keep_notes(program: Program) {
    program.has_applied("2026-11-22-000001_notes");

    // Pages of one's own, in the site's frame.
    let mut ada = Browser::new(&program);
    let home = ada.get("/").await;
    home.is_a_page("Notes");
    home.says("href=\"/register\"");
    ada.get("/notes").await.goes_on_to("/sign-in?next=%2Fnotes");

    ada.registers(ADA).await;
    let notes = ada.get("/notes").await;
    notes.is_a_page("Your notes");
    notes.says(&format!("<a href=\"/account\">{ADA}</a>"));
    notes.says("There is none yet.");
    ada.get("/elsewhere")
        .await
        .is_in_the_frame("There is no such page");

    // A table and a form of one's own.
    ada.post("/notes", "text=Feed+the+%3Cb%3Ecat")
        .await
        .goes_on_to("/notes");
    ada.get("/notes")
        .await
        .says("Feed the &#60;b&#62;cat</a></li>");
    let nothing = ada.post("/notes", "text=+").await;
    assert_eq!(nothing.status, StatusCode::UNPROCESSABLE_ENTITY);
    let elsewhere = ada
        .form("/notes", "text=spam")
        .header("sec-fetch-site", "cross-site");
    let forged = ada.send(elsewhere).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);

    // The command line.
    let checked = program.told(&["check"]);
    assert!(checked.contains("has every migration"), "{checked}");
}

async fn members_read_their_own_notes_alone(program: Program) {
    let (mut ada, mut ben) = (Browser::new(&program), Browser::new(&program));
    ada.registers(ADA).await;
    ben.registers(BEN).await;
    let note = ada.keeps("Feed the cat").await;

    let page = ada.get(&note).await;
    page.is_a_page("A note");
    page.says("<p>Feed the cat</p>");
    for stranger in [&mut ben, &mut Browser::new(&program)] {
        let page = stranger.get(&note).await;
        page.does_not_say("Feed the cat");
        assert_ne!(page.status, StatusCode::OK);
    }
    assert_eq!(ben.get(&note).await.status, StatusCode::NOT_FOUND);
    let no_id = ada.get("/notes/%00").await;
    assert_eq!(no_id.status, StatusCode::NOT_FOUND);

    // Everything is in the file that is everybody's right, and nothing of anybody else.
    ben.keeps("Water the roses").await;
    ada.enters_password("/account").await;
    let file = ada.post("/account/export", "").await;
    assert_eq!(file.status, StatusCode::OK, "{}", file.body);
    file.says("Feed the cat");
    file.does_not_say("Water the roses");
}
