//! Walkthrough 3: a link that shows one note to whoever has it, for a while, so many times, and nothing else.

use reqwest::StatusCode;

use crate::support::{ADA, BEN, Browser, Page, Program};

on_both!(
    a_link_shows_one_note_and_nothing_else,
    a_link_ends_in_whatever_way_links_end,
    a_link_is_its_members_affair_alone,
    of_two_who_open_the_last_time_at_once_one_does,
    whoever_brings_many_made_up_links_waits,
);

async fn a_link_shows_one_note_and_nothing_else(program: Program) {
    let mut ada = Browser::new(&program);
    ada.registers(ADA).await;
    let note = ada.keeps("Feed the cat").await;
    ada.keeps("Hide the piano").await;
    let share = format!("{note}/share");
    ada.get(&note).await.says(&format!("href=\"{share}\""));
    ada.get(&share).await.is_a_page("Share this note");
    for mistyped in [
        "times=2",
        "times=0&days=7",
        "times=2&days=31",
        "times=x&days=7",
    ] {
        let again = ada.post(&share, mistyped).await;
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
        again.says("There is a problem");
    }
    let link = ada.shares(&note, 2).await;
    let token = token_of(&link);

    // Whoever only loads it, be it a preview or a person, sees nothing yet, and counts for nothing.
    let mut stranger = Browser::new(&program);
    for _ in 0..3 {
        let page = stranger.click(&link).await;
        page.is_a_page("A note for you");
        page.says("can still be opened 2 times.");
        page.does_not_say("Feed the cat");
        page.is_confidential();
    }
    ada.get("/share-links").await.says("Opened 0 of 2 times.");

    let seen = stranger.opens(token).await;
    seen.is_a_page("A note for you");
    seen.says("<p>Feed the cat</p>");
    seen.does_not_say("Hide the piano");
    seen.does_not_say(ADA);
    seen.is_confidential();

    // Nobody is signed in by it.
    seen.says("<a href=\"/sign-in\">Sign in</a>");
    for (page, first) in [
        ("/notes", "/sign-in?next=%2Fnotes"),
        ("/account", "/sign-in?next=%2Faccount"),
    ] {
        stranger.get(page).await.goes_on_to(first);
    }
    program.has("SELECT count(*) FROM sessions", 1).await;
    ada.get("/share-links").await.says("Opened 1 of 2 times.");

    // The second time is the last. Nobody is told why a link does not work.
    stranger.opens(token).await.says("Feed the cat");
    let used_up = stranger.opens(token).await;
    used_up.is_gone();
    stranger.click(&link).await.is_gone();
    let made_up = stranger.opens(&"A".repeat(43)).await;
    made_up.is_gone();
    assert_eq!(used_up.body, made_up.body);
    stranger.opens("half-a-token").await.is_gone();
    ada.get("/share-links")
        .await
        .says("Opened 2 of 2 times. It is used up.");

    // The token is nowhere but in the link.
    ada.get(&share).await.does_not_say(token);
    ada.get("/share-links").await.does_not_say(token);
    ada.enters_password("/account").await;
    let file = ada.post("/account/export", "").await;
    file.says("\"opened\": 2");
    file.does_not_say(token);
    assert!(!program.log().contains(token), "{}", program.log());
}

async fn a_link_ends_in_whatever_way_links_end(program: Program) {
    let mut ada = Browser::new(&program);
    ada.registers(ADA).await;
    let note = ada.keeps("Feed the cat").await;

    // One does not end another: only the newest, which stands first in the list, is ended by its button.
    let by_time = ada.shares(&note, 10).await;
    let by_its_button = ada.shares(&note, 10).await;
    let list = ada.get("/share-links").await;
    let end = list.between("action=\"/share-links/", "\"");
    ada.post(&format!("/share-links/{end}"), "")
        .await
        .goes_on_to("/share-links");
    program.is_dead(&by_its_button).await;
    Browser::new(&program)
        .click(&by_time)
        .await
        .is_a_page("A note for you");

    program
        .stirs("UPDATE links SET expires_at = 1 WHERE purpose = 'share_note'")
        .await;
    program.is_dead(&by_time).await;
    ada.get("/share-links").await.says("None of them works");

    let with_all_links = ada.shares(&note, 10).await;
    ada.post("/account/links/end", "")
        .await
        .goes_on_to("/account");
    program.is_dead(&with_all_links).await;

    let by_a_lock = ada.shares(&note, 10).await;
    program.told(&["users", "lock", ADA]);
    program.is_dead(&by_a_lock).await;
    program.told(&["users", "unlock", ADA]);
    program.is_dead(&by_a_lock).await;

    let mut ben = Browser::new(&program);
    ben.registers(BEN).await;
    let note = ben.keeps("Water the roses").await;
    let with_the_note = ben.shares(&note, 10).await;
    ben.enters_password("/erase-notes").await;
    ben.post("/erase-notes", "").await.goes_on_to("/notes");
    program.is_dead(&with_the_note).await;

    let note = ben.keeps("Water the roses").await;
    let with_the_account = ben.shares(&note, 10).await;
    program.told(&["users", "delete", BEN, "--yes"]);
    program.is_dead(&with_the_account).await;
}

async fn a_link_is_its_members_affair_alone(program: Program) {
    let (mut ada, mut ben) = (Browser::new(&program), Browser::new(&program));
    ada.registers(ADA).await;
    ben.registers(BEN).await;
    let note = ada.keeps("Feed the cat").await;
    let link = ada.shares(&note, 10).await;
    let list = ada.get("/share-links").await;
    let end = format!(
        "/share-links/{}",
        list.between("action=\"/share-links/", "\"")
    );

    ben.get("/share-links").await.does_not_say("Feed the cat");
    for (path, fields) in [(end, ""), (format!("{note}/share"), "times=1&days=1")] {
        let refused = ben.post(&path, fields).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
    }
    Browser::new(&program)
        .opens(token_of(&link))
        .await
        .says("Feed the cat");
}

/// Both have to wait where the opening is counted, and come to it at the same moment.
async fn of_two_who_open_the_last_time_at_once_one_does(program: Program) {
    let mut ada = Browser::new(&program);
    ada.registers(ADA).await;
    let note = ada.keeps("Feed the cat").await;
    let link = ada.shares(&note, 1).await;
    let token = token_of(&link);

    let held = program.holds_accounts().await;
    let (mut one, mut other) = (Browser::new(&program), Browser::new(&program));
    let released = async {
        held.has_both_waiting().await;
        held.lets_go().await;
    };
    let (one, other, ()) = tokio::join!(one.opens(token), other.opens(token), released);

    let (seen, refused): (Vec<Page>, Vec<Page>) = [one, other]
        .into_iter()
        .partition(|page| page.status == StatusCode::OK);
    assert_eq!((seen.len(), refused.len()), (1, 1));
    seen[0].says("Feed the cat");
    refused[0].is_gone();
    ada.get("/share-links").await.says("Opened 1 of 1 times.");
}

async fn whoever_brings_many_made_up_links_waits(program: Program) {
    let mut stranger = Browser::new(&program);
    for _ in 0..30 {
        stranger.opens(&"A".repeat(43)).await.is_gone();
    }
    let refused = stranger.opens(&"A".repeat(43)).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
}

fn token_of(link: &str) -> &str {
    let (_, token) = link.split_once("/shared?token=").unwrap();
    token
}

impl Browser {
    /// Makes a link to a note, which can be opened so many times.
    async fn shares(&mut self, note: &str, times: u32) -> String {
        let terms = format!("times={times}&days=7");
        let made = self.post(&format!("{note}/share"), &terms).await;
        made.is_a_page("Your link");
        made.is_confidential();
        made.between(
            "<code class=\"code\" data-copy=\"Copy the link\">",
            "</code>",
        )
        .to_owned()
    }

    /// Presses the button on the page that the link opens.
    async fn opens(&mut self, token: &str) -> Page {
        self.post("/shared", &format!("token={token}")).await
    }
}

impl Page {
    #[track_caller]
    fn is_gone(&self) {
        assert_eq!(self.status, StatusCode::GONE, "{}", self.body);
        self.is_in_the_frame("This link does not work");
        self.is_confidential();
    }

    /// Kept by nobody on its way, in no index, and told to no other site.
    #[track_caller]
    fn is_confidential(&self) {
        for (name, value) in [
            ("cache-control", "no-store, no-cache"),
            ("referrer-policy", "no-referrer"),
            ("x-robots-tag", "noindex"),
        ] {
            assert_eq!(self.headers[name], value, "{name}");
        }
    }
}

impl Program {
    /// Neither the page nor its button shows anything.
    async fn is_dead(&self, link: &str) {
        let mut stranger = Browser::new(self);
        stranger.click(link).await.is_gone();
        stranger.opens(token_of(link)).await.is_gone();
    }
}
