//! Walkthrough 2: what only somebody may do who has just entered the password, and the letter that tells of it.

use crate::support::{ADA, Browser, Program};

on_both!(the_owner_erases_all_notes_and_is_told);

async fn the_owner_erases_all_notes_and_is_told(program: Program) {
    let mut ada = Browser::new(&program);
    ada.registers(ADA).await;
    ada.keeps("Feed the cat").await;
    ada.get("/notes").await.says("href=\"/erase-notes\"");

    // A session that came from a link may look, and no more.
    let first = "/reauthenticate?next=%2Ferase-notes";
    ada.get("/erase-notes").await.goes_on_to(first);
    ada.post("/erase-notes", "").await.goes_on_to(first);
    ada.get("/notes").await.says("Feed the cat");

    ada.enters_password("/erase-notes").await;
    ada.get("/erase-notes").await.is_a_page("Erase your notes");
    ada.post("/erase-notes", "").await.goes_on_to("/notes");
    ada.get("/notes").await.does_not_say("Feed the cat");

    // A letter, whose link knows its reader where the account knows the browser.
    let link = ada.newest_link("Your notes are erased", ADA).await;
    assert!(link.contains("/notes?login_token="), "{link}");
    ada.post("/sign-out", "").await.goes_on_to("/");
    ada.get("/notes").await.goes_on_to("/sign-in?next=%2Fnotes");
    ada.click(&link).await.goes_on_to("/notes");
    ada.get("/notes").await.is_a_page("Your notes");
    let mut other = Browser::new(&program);
    other.click(&link).await.goes_on_to("/notes");
    other
        .get("/notes")
        .await
        .goes_on_to("/sign-in?next=%2Fnotes");
}
