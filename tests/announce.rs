//! Announcements: what their readers get and the operator is told, how one ends them, and that nobody gets one twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, ExitCode, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use diesel::prelude::*;
use doorpost::config::{DatabaseUrl, PublicUrl};
use doorpost::mail::announcement::Announcement;
use doorpost::random;
use doorpost::schema::{announced as sent, outbox, users};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::program::{command, empty_folder, everything_in, run};
use crate::purge::purge_all;
use crate::support::{Database, House, Page, ScriptedServer, Visitor, announced, eventually};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";

const NEWS: &str = "# News\n\nSee [your sessions](/account/sessions), or [elsewhere](https://elsewhere.example/).\n";

/// What waits or left of announcements.
const LETTERS: &str = "SELECT count(*) AS n FROM outbox WHERE letter = 'announcement'";

/// Accounts that want announcements.
const WANT: &str = "SELECT count(*) AS n FROM users WHERE announcements";

// --- the letter ---

on_both! {
    async fn only_links_to_our_own_pages_know_their_reader(db: Database) {
        let server = ScriptedServer::start();
        let house = House::public(db, &server, &[]).await;
        accounts(&house, 1).await;
        announced(&house, "\
            # News\n\n\
            [a](/account) [b](https://sign.example.test/members?x=1#y) <https://sign.example.test/> \
            [c](https://elsewhere.example/account) [d](http://sign.example.test/account) \
            [e](https://sign.example.test.evil.test/) [f](https://sign.example.test@evil.test/) \
            [g](mailto:ann@example.org) [h](/static/icon.svg) [i](/account?login_token=theirs)\n\
        ", "all").await;
        let mail = server.letter_for("reader0@example.org").await.mail();
        let links = links_in(&mail.html);
        let signed = |link: &str| link.contains("login_token=");
        let ours = |path: &str| format!("https://sign.example.test/{path}");
        for (link, begins) in links.iter().zip([
            ours("account?login_token="), ours("members?x=1&login_token="), ours("?login_token="),
        ]) {
            assert!(link.starts_with(&begins), "{link}");
        }
        assert!(links[1].ends_with("#y"), "{}", links[1]);
        assert_eq!(links[3..9], [
            "https://elsewhere.example/account", "http://sign.example.test/account",
            "https://sign.example.test.evil.test/", "https://sign.example.test@evil.test/",
            "mailto:ann@example.org", "https://sign.example.test/static/icon.svg",
        ]);
        assert!(signed(&links[9]) && !links[9].contains("theirs"), "{}", links[9]);
        assert!(links[10].starts_with(&ours("unsubscribe?token=")), "{}", links[10]);
        assert_eq!(links.len(), 11);
        // The text has the same ones.
        for link in &links {
            assert!(mail.text.contains(link.trim_start_matches("mailto:")), "{link}: {}", mail.text);
        }
        assert_eq!(mail.text.matches("login_token=").count(), 4, "{}", mail.text);
    }

    async fn a_mail_program_is_told_how_to_end_them(db: Database) {
        let server = ScriptedServer::start();
        let house = House::public(db, &server, &[]).await;
        accounts(&house, 1).await;
        announced(&house, NEWS, "all").await;
        let handed = server.letter_for("reader0@example.org").await;
        let url = format!("<{}>", unsubscribe_link(&handed.mail().text));
        assert_eq!(handed.header("List-Unsubscribe"), url);
        assert!(handed.raw.contains(&format!("List-Unsubscribe: {url}\r\n")), "on one line: {}", handed.raw);
        assert_eq!(handed.header("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
        assert_eq!(handed.header("List-Id"), "<announcements.sign.example.test>");
        assert_eq!(handed.header("Precedence"), "bulk");
        assert_eq!(handed.header("Auto-Submitted"), "auto-generated");

        house.visitor().ask("/sign-in", "reader0@example.org").await.sees_inbox_page();
        let other = server.letters_for("reader0@example.org", 2).await.remove(1);
        let names = other.header_names();
        assert!(!names.iter().any(|name| name.starts_with("list-") || name == "precedence"), "{names:?}");
    }
}

#[test]
fn what_is_written_is_escaped_in_the_html_and_plain_in_the_text() {
    let text = specimen(
        "# A & B\n\nif a < b, **\"say\"** _so_; `x > y`\\\nand on\n\n2. one\n   - deep\n3. two\n\n> told\n> again\n",
    );
    let expected = "A & B\n\nif a < b, *\"say\"* _so_; x > y\nand on\n\n2. one\n   - deep\n3. two\n\n> told again\n";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn what_is_no_announcement_is_refused_with_its_line() {
    let long = format!("# {}\n\nA", "a".repeat(151));
    for (text, line, words) in [
        ("", 1, "begins with its subject"),
        ("News\n\nA", 1, "begins with its subject"),
        ("## News\n\nA", 1, "begins with its subject"),
        ("#\n\nA", 1, "subject is empty"),
        ("# [News](/)\n\nA", 1, "plain words"),
        ("# News\n\n", 1, "nothing to say"),
        (&long, 1, "151 characters"),
        ("# News&#7;\n\nA", 1, "U+0007"),
        ("# News\n\nA\n\nB\u{1b}[2J", 5, "U+001B"),
        ("# News\n\nA\n\n# More", 5, "one subject"),
        ("# News\n\n#### A", 3, "no deeper"),
        (
            "# News\n\nA\n![](https://elsewhere.example/x.png)",
            4,
            "no images",
        ),
        ("# News\n\n<div>\nA\n</div>", 3, "no HTML"),
        ("# News\n\nA\nand <img src=x> B", 4, "no HTML"),
        ("# News\n\n<!-- later -->", 3, "no HTML"),
        (
            "# News\n\n[A](javascript:alert\\(1\\))",
            3,
            "leads where no letter should",
        ),
        (
            "# News\n\n[A](data:text/html,x)",
            3,
            "leads where no letter should",
        ),
        ("# News\n\n[A](//evil.test/)", 3, "is no link"),
        (
            "# News\n\n[A](/\\evil.test/)",
            3,
            "leads where no letter should",
        ),
        ("# News\n\n[A](www.example.org)", 3, "is no link"),
        ("# News\n\n[A](<https://example.org/a b>)", 3, "has a space"),
        ("# News\n\n[](/members)", 3, "no words to press"),
        ("# News\n\n> > > > > > > > > A", 3, "too deeply"),
    ] {
        let refused = read(text.as_bytes())
            .err()
            .unwrap_or_else(|| panic!("{text:?} was taken"));
        assert!(
            refused.why.contains(words) && refused.line == line,
            "{text:?}: {refused}"
        );
    }
    let refused = read(b"# News\n\nA\n\xff").err().unwrap();
    assert_eq!(refused.to_string(), "line 4: this is not UTF-8");
    assert!(
        read("\u{feff}# News\r\n\r\nA\r\n".as_bytes()).is_ok(),
        "as some editors write it"
    );
}

fn read(text: &[u8]) -> Result<Announcement, doorpost::mail::announcement::Refused> {
    Announcement::parse(text, &PublicUrl::parse("https://door.example.org").unwrap())
}

/// The text part of a letter.
fn specimen(text: &str) -> String {
    let folder = empty_folder();
    let path = format!("sqlite:{}/doorpost.db", folder.path().display());
    let key = crate::support::secret_key();
    let settings = [("DATABASE_URL", path.as_str()), ("SECRET_KEY", &key)];
    let config = doorpost::config::Config::from_environment(settings).unwrap();
    let app = doorpost::app::App::new(config, doorpost::clock::Clock::System).unwrap();
    let announcement = read(text.as_bytes()).unwrap();
    announcement
        .specimen(&app.config, &app.signed_links, ADA)
        .unwrap()
}

// --- to whom ---

on_both! {
    async fn whoever_wants_announcements_gets_one_and_nobody_else(db: Database) {
        let mut house = House::new(db).await;
        house.stop_worker();
        accounts(&house, 4).await;
        calls_off(&house, "reader3@example.org").await;
        let operator = Operator::of(&house);

        // An address; a file of addresses; all.
        let said = operator.told(NEWS, &["--to", "\u{a0}Reader0@Example.org\u{200b}"]);
        assert_eq!(said, "1 letter waits to be sent.\n");
        let list = "\u{feff}# The early ones\n\u{a0}\nreader0@example.org\u{200b}\r\nREADER1@example.org\nreader1@example.org\n\
                    reader3@example.org\nnobody@example.org\n";
        std::fs::write(operator.path("list"), list).unwrap();
        let said = operator.told(NEWS, &["--to", "list"]);
        assert_eq!(
            said,
            "1 letter waits to be sent; 1 reader had it already, 1 wants no announcements, 1 address has no account.\n"
        );
        let dry = operator.told(NEWS, &["--to", "all", "--dry-run", "--json"]);
        let said = operator.told(NEWS, &["--to", "all", "--json"]);
        assert_eq!(said, dry, "which foretold it");
        let figures: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(figures.to_string(), r#"{"had_it":2,"not_reached":0,"told":1,"want_none":1,"without_account":0}"#);
        assert_eq!(recipients(&house).await, ["reader0@example.org", "reader1@example.org", "reader2@example.org"]);

        // Another text is another announcement.
        let said = operator.told("# More\n\nNews.", &["--to", "all"]);
        assert_eq!(said, "3 letters wait to be sent; 1 wants no announcements.\n");
    }

    async fn a_mistake_is_said_with_its_line_and_nothing_is_sent(db: Database) {
        let mut house = House::new(db).await;
        house.stop_worker();
        accounts(&house, 2).await;
        let operator = Operator::of(&house);
        std::fs::write(operator.path("list"), "reader0@example.org\n\nreader1.example.org\n").unwrap();
        std::fs::write(operator.path("text"), NEWS).unwrap();
        for (text, to, words) in [
            ("# News\n\n<b>A</b>", "all", "news.md: line 3: no HTML"),
            (NEWS, "list", "list: line 3: "),
            (NEWS, "nobody", "nobody: "),
            (NEWS, "a@b@example.org", "a@b@example.org: "),
        ] {
            let ended = operator.announce(text, &["--to", to]);
            assert_eq!(ended.status.code(), Some(1), "{to}");
            let said = String::from_utf8(ended.stderr).unwrap();
            assert!(said.starts_with(words) && said.lines().count() == 1, "{to}: {said}");
            assert!(ended.stdout.is_empty(), "{to}");
        }
        assert_eq!(house.count(LETTERS).await, 0);
    }

    async fn a_dry_run_shows_the_text_and_writes_nothing(db: Database) {
        let mut house = House::new(db).await;
        house.stop_worker();
        accounts(&house, 3).await;
        let operator = Operator::of(&house);
        let said = operator.told(NEWS, &["--to", "all", "--dry-run"]);
        assert!(said.starts_with("Subject: News\n\nNews\n\nSee your sessions (http://localhost"), "{said}");
        assert!(said.contains("/account/sessions?login_token=TOKEN), or elsewhere (https://elsewhere.example/)."), "{said}");
        assert!(said.contains("/unsubscribe?token=TOKEN\n"), "{said}");
        assert!(said.ends_with("3 letters would wait to be sent.\n"), "{said}");
        for table in ["outbox", "announced"] {
            let rows = house.count(format!("SELECT count(*) AS n FROM {table}")).await;
            assert_eq!(rows, 0, "{table}");
        }
    }
}

#[test]
fn where_doorpost_never_ran_nothing_is_made() {
    let folder = empty_folder();
    std::fs::write(folder.path().join("news.md"), NEWS).unwrap();
    for arguments in [
        &["announce", "news.md", "--to", "all"][..],
        &["announce", "news.md", "--to", "all", "--dry-run"],
    ] {
        let ended = run(folder.path(), arguments, &[]);
        assert_eq!(ended.status.code(), Some(1));
        assert_eq!(everything_in(folder.path()).len(), 1, "only the text");
    }
}

// --- nobody gets two ---

on_both! {
    /// Promised: however a run ends, it can be begun again.
    async fn a_run_that_was_killed_is_begun_again_and_nobody_gets_two(db: Database) {
        let mut house = House::new(db).await;
        house.stop_worker();
        accounts(&house, 400).await;
        let operator = Operator::of(&house);
        let go_on = gets_stuck_after_250(&house, db).await;
        let mut killed = operator.start(NEWS, &["--to", "all"]);
        eventually("two batches", async || house.count(LETTERS).await == 200).await;
        signal(&killed, "KILL");
        killed.wait().unwrap();
        go_on.await;

        let figures: Value = serde_json::from_str(&operator.told(NEWS, &["--to", "all", "--json"])).unwrap();
        assert_eq!((figures["told"].as_i64(), figures["had_it"].as_i64()), (Some(200), Some(200)), "{figures}");
        everybody_has_exactly_one(&house, 400).await;
        let said = operator.told(NEWS, &["--to", "all"]);
        assert_eq!(said, "0 letters wait to be sent; 400 readers had it already.\n");
    }

    async fn of_two_runs_at_once_one_sends_each_letter(db: Database) {
        const READERS: i64 = 1_000;
        let mut house = House::new(db).await;
        house.stop_worker();
        accounts(&house, READERS).await;
        let operator = Operator::of(&house);
        let runs = [(); 2].map(|()| operator.start(NEWS, &["--to", "all", "--json"]));
        let told = runs.map(|run| {
            let figures: Value = serde_json::from_str(&told(&run.wait_with_output().unwrap())).unwrap();
            figures["told"].as_i64().unwrap()
        });
        assert_eq!(told.iter().sum::<i64>(), READERS);
        everybody_has_exactly_one(&house, READERS).await;
    }

    /// Editors end files and lines in their own ways: what is said is the same.
    async fn another_spelling_of_the_same_words_is_the_same_announcement(db: Database) {
        let mut house = House::new(db).await;
        house.stop_worker();
        accounts(&house, 2).await;
        let operator = Operator::of(&house);
        assert_eq!(operator.told("# News\n\nA *b*\nc.\n", &["--to", "all"]), "2 letters wait to be sent.\n");
        for spelling in [
            "# News\n\nA *b*\nc.",
            "# News\n\nA *b*\nc.\n\n\n",
            "# News\r\n\r\nA *b*\r\nc.\r\n",
            "\u{feff}#  News  \n\n\nA _b_\nc.\n",
        ] {
            let said = operator.told(spelling, &["--to", "all"]);
            assert_eq!(said, "0 letters wait to be sent; 2 readers had it already.\n", "{spelling:?}");
        }
    }

    /// A mended text is another text, and to its readers the same letter.
    async fn a_second_text_under_a_subject_goes_out_when_the_operator_says_so(db: Database) {
        let mut house = House::new(db).await;
        house.stop_worker();
        accounts(&house, 3).await;
        let operator = Operator::of(&house);
        operator.told("# News\n\nTeh door opens.", &["--to", "reader0@example.org"]);
        operator.told("# News\n\nTeh door opens.", &["--to", "reader1@example.org"]);
        let mended = "# News\n\nThe door opens.";
        let asked = operator.announce(mended, &["--to", "all"]);
        assert_eq!(asked.status.code(), Some(1));
        let question = String::from_utf8(asked.stderr).unwrap();
        assert!(question.starts_with("2 readers had another text under this subject in the last 6 days."), "{question}");
        assert!(question.contains("say --again") && asked.stdout.is_empty(), "{question}");
        assert_eq!(house.count(LETTERS).await, 2);

        let dry = operator.announce(mended, &["--to", "all", "--dry-run"]);
        assert_eq!(dry.status.code(), Some(0));
        assert_eq!(String::from_utf8(dry.stderr).unwrap(), question);
        assert_eq!(operator.told(mended, &["--to", "reader2@example.org"]), "1 letter waits to be sent.\n");
        let said = operator.told(mended, &["--to", "all", "--again"]);
        assert_eq!(said, "2 letters wait to be sent; 1 reader had it already.\n");
        let said = operator.told(mended, &["--to", "all"]);
        assert_eq!(said, "0 letters wait to be sent; 3 readers had it already.\n", "a run that is begun again asks nothing");

        // A weekly letter is called the same each week.
        let a_week_ago = "UPDATE announced SET posted_at = posted_at - 7 * 24 * 60 * 60 * 1000";
        assert_eq!(house.execute(a_week_ago).await, 5);
        assert_eq!(operator.told("# News\n\nIt shuts.", &["--to", "all"]), "3 letters wait to be sent.\n");
    }

    /// What the release before this one had sent, it knew by its file.
    async fn a_run_of_the_release_before_is_gone_on_with(db: Database) {
        let mut house = House::new(db).await;
        house.stop_worker();
        accounts(&house, 2).await;
        let operator = Operator::of(&house);
        operator.told(NEWS, &["--to", "reader0@example.org"]);
        let file = read(NEWS.as_bytes()).unwrap().digests.file.to_vec();
        let as_before = house.app.transaction(move |tx| {
            let none: Option<Vec<u8>> = None;
            let row = (sent::announcement.eq(file), sent::subject.eq(none));
            Ok(diesel::update(sent::table).set(row).execute(tx.conn)?)
        });
        assert_eq!(as_before.await.unwrap(), 1);
        let said = operator.told(NEWS, &["--to", "all"]);
        assert_eq!(said, "1 letter waits to be sent; 1 reader had it already.\n");
    }

    async fn what_was_sent_is_forgotten_after_a_season(db: Database) {
        let mut house = House::new(db).await;
        house.stop_worker();
        accounts(&house, 3).await;
        announced(&house, NEWS, "all").await;
        let rows = async || house.count("SELECT count(*) AS n FROM announced").await;
        house.advance(Duration::from_secs(89 * 24 * 60 * 60));
        announced(&house, "# More\n\nNews.", "all").await;
        purge_all(&house).await;
        assert_eq!(rows().await, 6);
        house.advance(Duration::from_secs(24 * 60 * 60));
        purge_all(&house).await;
        assert_eq!(rows().await, 3, "the older one");
    }
}

/// A run cannot finish its third batch, until what is given back is awaited.
async fn gets_stuck_after_250(
    house: &House,
    db: Database,
) -> Pin<Box<dyn Future<Output = ()> + '_>> {
    if db == Database::Sqlite {
        // It counts and never comes to an end.
        house
            .execute(
                "CREATE TRIGGER stuck BEFORE INSERT ON announced WHEN (SELECT count(*) FROM announced) = 250 BEGIN \
                 SELECT (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n); END",
            )
            .await;
        return Box::pin(async {
            house.execute("DROP TRIGGER stuck").await;
        });
    }
    // Somebody else has that reader's account just now.
    let (held, is_held) = mpsc::channel();
    let (let_go, may_go) = mpsc::channel::<()>();
    let app = house.app.clone();
    let holding = tokio::spawn(async move {
        let held = app.transaction(move |tx| {
            let ids = BTreeSet::from_iter(doorpost::accounts::users::ids(tx, "", 1_000)?);
            doorpost::accounts::users::hold(tx, ids.iter().nth(250).unwrap())?;
            held.send(()).unwrap();
            may_go.recv().unwrap();
            Ok(())
        });
        // Perhaps it was told meanwhile that it takes too long; the account is held all the same.
        let _ = held.await;
    });
    spawn_blocking(move || is_held.recv().unwrap())
        .await
        .unwrap();
    Box::pin(async move {
        let_go.send(()).unwrap();
        holding.await.unwrap();
    })
}

async fn everybody_has_exactly_one(house: &House, readers: i64) {
    let distinct = "SELECT count(DISTINCT email) AS n FROM outbox WHERE letter = 'announcement'";
    assert_eq!(house.count(LETTERS).await, readers);
    assert_eq!(house.count(distinct).await, readers);
    assert_eq!(
        house.count("SELECT count(*) AS n FROM announced").await,
        readers
    );
}

// --- nobody waits for it ---

on_both! {
    async fn an_announcement_shuts_nobody_out_however_many_get_it(db: Database) {
        let settings = [("SMTP_URL", "smtp://127.0.0.1:1"), ("MAIL_QUEUE_MAX", "3")];
        let house = House::with(db, &settings).await;
        accounts(&house, 20).await;
        announced(&house, NEWS, "all").await;
        assert_eq!(house.count(LETTERS).await, 20);
        let outbox = house.app.outbox.clone();
        house.app.read(move |tx| outbox.count(tx)).await.unwrap();
        // Nor one that is posted where the count is kept.
        let app = house.app.clone();
        let posted = house.app.transaction(move |tx| {
            let reader = doorpost::accounts::users::of_address(tx, "reader0@example.org")?.unwrap();
            let text = Announcement::parse(NEWS.as_bytes(), &app.config.server.public_url).unwrap();
            let letter = text.letter(tx, &app.config, &app.signed_links, &reader)?;
            (0..3).try_for_each(|_| app.outbox.post(tx, &letter))
        });
        posted.await.unwrap();
        for n in 0..3 {
            let address = format!("reader{n}@example.org");
            house.visitor().ask("/sign-in", &address).await.sees_inbox_page();
        }
        let full = house.visitor().ask("/sign-in", "reader3@example.org").await;
        assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE, "what somebody asked for does count");
    }
}

// --- the end of them ---

on_both! {
    /// RFC 8058: by the provider's server, as either kind of form, from nobody's browser.
    async fn one_click_in_a_mail_program_ends_them(db: Database) {
        let house = House::new(db).await;
        for (reader, kind, body) in [
            ("reader0@example.org", "application/x-www-form-urlencoded", "List-Unsubscribe=One-Click"),
            (
                "reader1@example.org",
                "multipart/form-data; boundary=\"next part\"",
                "--next part\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--next part--\r\n",
            ),
        ] {
            let link = sent_to(&house, reader).await;
            for _ in 0..2 {
                let page = provider(&house, &link, kind, body).await;
                says_it_is_done(&page);
                assert!(page.set_cookies().is_empty(), "{reader}");
            }
            assert!(!wants(&house, reader).await, "{reader}");
        }
        assert_eq!(house.count(WANT).await, 0);
        let events = "SELECT count(*) AS n FROM events WHERE name = 'announcements_switched'";
        assert_eq!(house.count(events).await, 2, "once each");
        let again = announced(&house, NEWS, "all").await;
        assert_eq!((again, house.count(LETTERS).await), (ExitCode::SUCCESS, 2), "no more for them");
    }

    async fn our_page_has_a_button_that_ends_them_and_to_look_changes_nothing(db: Database) {
        let house = House::new(db).await;
        let link = sent_to(&house, "reader0@example.org").await;
        let visitor = house.visitor();
        for _ in 0..2 {
            let page = visitor.click(&link).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.body);
            assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
            assert_eq!(page.header("x-robots-tag"), Some("noindex"));
            assert!(page.body.contains("Get no more announcements?"), "{}", page.body);
            assert!(!page.body.contains("reader0"), "a stranger learns no address from it");
        }
        let head = visitor.send(visitor.request(Method::HEAD, &link)).await;
        assert_eq!(head.status, StatusCode::OK);
        assert!(wants(&house, "reader0@example.org").await, "nobody pressed it");

        let page = visitor.click(&link).await;
        let action = page.between("<form method=\"post\" action=\"", "\"").unwrap();
        let field = page.hidden("List-Unsubscribe").unwrap();
        let done = visitor.post(&action, &[("List-Unsubscribe", &field)]).await;
        says_it_is_done(&done);
        assert!(!wants(&house, "reader0@example.org").await);
        says_it_is_done(&visitor.click(&link).await);
    }

    /// Whoever else is signed in there: it is the reader's announcements that end.
    async fn the_token_alone_says_whose_announcements_end(db: Database) {
        let house = House::new(db).await;
        let bob = house.member(BOB).await;
        let link = sent_to(&house, "reader0@example.org").await;
        says_it_is_done(&bob.post(&link, &[("List-Unsubscribe", "One-Click")]).await);
        assert!(wants(&house, BOB).await && !wants(&house, "reader0@example.org").await);
        assert_eq!(bob.signed_in_as().await.as_deref(), Some(BOB));
    }

    /// CSR-01
    async fn no_other_site_sends_a_browser_to_end_them(db: Database) {
        let house = House::new(db).await;
        let link = sent_to(&house, "reader0@example.org").await;
        let visitor = house.visitor();
        let form = || {
            visitor
                .request(Method::POST, &link)
                .header("content-type", "application/x-www-form-urlencoded")
                .body("List-Unsubscribe=One-Click")
        };
        for request in [
            form().header("sec-fetch-site", "cross-site").header("origin", "https://evil.test"),
            form().header("sec-fetch-site", "cross-site"),
            form().header("sec-fetch-site", "none"),
            form().header("sec-fetch-site", ""),
            form().header("origin", "https://evil.test"),
            form().header("origin", "null"),
            form().header("origin", ""),
        ] {
            assert_eq!(visitor.send(request).await.status, StatusCode::FORBIDDEN);
        }
        // Nor is another route let through that way.
        for path in ["/sign-in", "/sign-out", "/unsubscribe/", "//unsubscribe", "/Unsubscribe"] {
            let page = provider(&house, path, "application/x-www-form-urlencoded", "List-Unsubscribe=One-Click").await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
        }
        assert!(wants(&house, "reader0@example.org").await);
        says_it_is_done(&visitor.send(form()).await);
    }

    async fn a_token_that_was_not_made_for_this_ends_nothing(db: Database) {
        let house = House::new(db).await;
        let link = sent_to(&house, "reader0@example.org").await;
        let mail = house.everything_to("reader0@example.org").await.remove(0);
        let (_, token) = link.split_once("token=").unwrap();
        let sessions = links_in(&mail.html).into_iter().find(|link| link.contains("login_token=")).unwrap();
        let (_, login_token) = sessions.split_once("login_token=").unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let another = random::id();
        let moment: i64 = parts[1].parse().unwrap();
        let (earlier, cut) = (moment - 1, &parts[2][1..]);
        for dead in [
            "".to_owned(),
            "x".to_owned(),
            login_token.to_owned(),
            format!("{}.{}.{}", another, parts[1], parts[2]),
            format!("{}.{earlier}.{}", parts[0], parts[2]),
            format!("{}.{}.{cut}", parts[0], parts[1]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{token}.x"),
        ] {
            for page in [
                house.visitor().get(&format!("/unsubscribe?token={dead}")).await,
                provider(&house, &format!("/unsubscribe?token={dead}"), "application/x-www-form-urlencoded", "List-Unsubscribe=One-Click").await,
            ] {
                assert_eq!(page.status, StatusCode::GONE, "{dead}: {}", page.body);
                assert!(page.body.contains("This link does not work"), "{dead}: {}", page.body);
            }
        }
        assert!(wants(&house, "reader0@example.org").await);

        // Nor does this one open anything else.
        let as_login = format!("/account/sessions?login_token={token}");
        assert_ne!(house.visitor().open(&as_login).await.status, StatusCode::SEE_OTHER);
        assert_eq!(house.count("SELECT count(*) AS n FROM sessions").await, 0);

        // The account has another address by now: the link went to somebody else's mailbox.
        house.execute("UPDATE users SET email = 'other@example.org'").await;
        assert_eq!(house.visitor().get(&link).await.status, StatusCode::GONE);
    }

    async fn an_old_link_still_ends_them(db: Database) {
        let house = House::new(db).await;
        let link = sent_to(&house, "reader0@example.org").await;
        house.advance(Duration::from_secs(2 * 365 * 24 * 60 * 60));
        let page = provider(&house, &link, "application/x-www-form-urlencoded", "List-Unsubscribe=One-Click").await;
        says_it_is_done(&page);
    }

    async fn only_the_one_field_is_taken(db: Database) {
        let house = House::new(db).await;
        let link = sent_to(&house, "reader0@example.org").await;
        let form = "application/x-www-form-urlencoded";
        let huge = format!("List-Unsubscribe=One-Click&more={}", "a".repeat(2_048));
        for (kind, body, status) in [
            (form, "", StatusCode::BAD_REQUEST),
            (form, "List-Unsubscribe=Two-Clicks", StatusCode::BAD_REQUEST),
            (form, "list-unsubscribe=One-Click", StatusCode::BAD_REQUEST),
            (form, "List-Unsubscribe=One-Click&List-Unsubscribe=One-Click", StatusCode::BAD_REQUEST),
            (form, "List-Unsubscribe=One-Click&x=%ff", StatusCode::BAD_REQUEST),
            ("multipart/form-data; boundary=x", "List-Unsubscribe=One-Click", StatusCode::BAD_REQUEST),
            ("multipart/form-data", "--x--", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ("text/plain", "List-Unsubscribe=One-Click", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ("application/json", "{\"List-Unsubscribe\":\"One-Click\"}", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (form, &huge, StatusCode::PAYLOAD_TOO_LARGE),
        ] {
            let page = provider(&house, &link, kind, body).await;
            assert_eq!(page.status, status, "{kind}: {body}");
        }
        let twice = format!("{link}&token=x");
        let page = provider(&house, &twice, form, "List-Unsubscribe=One-Click").await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "which of the two?");
        assert!(wants(&house, "reader0@example.org").await);
    }
}

#[track_caller]
fn says_it_is_done(page: &Page) {
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let says = |words: &str| page.body.contains(words);
    assert!(
        says("<h1>You get no more announcements</h1>") && says("href=\"/account\""),
        "{}",
        page.body
    );
}

/// What a mail provider's server sends: no cookie, and nothing of where it comes from.
async fn provider(house: &House, link: &str, kind: &str, body: &str) -> Page {
    let server: Visitor = house.visitor();
    let request = server
        .request(Method::POST, link)
        .header("content-type", kind);
    server.send(request.body(body.to_owned())).await
}

/// Announces something to this reader, who has no account before; the link that ends it.
async fn sent_to(house: &House, reader: &'static str) -> String {
    account(house, reader).await;
    announced(house, NEWS, reader).await;
    eventually(reader, async || {
        !house.everything_to(reader).await.is_empty()
    })
    .await;
    unsubscribe_link(&house.everything_to(reader).await.remove(0).text)
}

// --- what the tests use ---

/// The operator: a folder, and the settings of this house.
struct Operator {
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Operator {
    fn of(house: &House) -> Self {
        let database = match &house.app.config.database.url {
            DatabaseUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
            DatabaseUrl::Postgres(url) => url.clone(),
        };
        Self {
            folder: empty_folder(),
            settings: vec![
                ("DATABASE_URL", database),
                ("SECRET_KEY", house.secret_key().to_owned()),
                ("PUBLIC_URL", house.url.clone()),
            ],
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The real program, with this text.
    fn start(&self, text: &str, arguments: &[&str]) -> Child {
        std::fs::write(self.path("news.md"), text).unwrap();
        let settings: Vec<_> = self
            .settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        command(Path::new(self.folder.path()), &settings)
            .args(["announce", "news.md"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn announce(&self, text: &str, arguments: &[&str]) -> Output {
        self.start(text, arguments).wait_with_output().unwrap()
    }

    #[track_caller]
    fn told(&self, text: &str, arguments: &[&str]) -> String {
        told(&self.announce(text, arguments))
    }
}

#[track_caller]
fn told(ended: &Output) -> String {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    String::from_utf8(ended.stdout.clone()).unwrap()
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-s", name, &pid])
        .status();
    assert!(sent.unwrap().success(), "kill -s {name} {pid}");
}

/// So many accounts: `reader0@example.org` and so on.
async fn accounts(house: &House, how_many: i64) {
    let addresses = (0..how_many).map(|n| format!("reader{n}@example.org"));
    make_accounts(house, addresses.collect()).await;
}

async fn account(house: &House, address: &str) {
    make_accounts(house, vec![address.to_owned()]).await;
}

async fn make_accounts(house: &House, addresses: Vec<String>) {
    let made = house.app.transaction(move |tx| {
        for address in addresses {
            let row = (
                users::id.eq(random::id()),
                users::email.eq(address),
                users::created_at.eq(tx.now),
                users::known_since.eq(tx.now),
            );
            diesel::insert_into(users::table)
                .values(row)
                .execute(tx.conn)?;
        }
        Ok(())
    });
    made.await.unwrap();
}

async fn calls_off(house: &House, address: &'static str) {
    let done = house.app.transaction(move |tx| {
        let account = users::table.filter(users::email.eq(address));
        diesel::update(account)
            .set(users::announcements.eq(false))
            .execute(tx.conn)?;
        Ok(())
    });
    done.await.unwrap();
}

async fn wants(house: &House, address: &'static str) -> bool {
    let wants = house.app.read(move |tx| {
        let account = users::table.filter(users::email.eq(address));
        Ok(account.select(users::announcements).first(tx.conn)?)
    });
    wants.await.unwrap()
}

/// To whom announcements wait.
async fn recipients(house: &House) -> Vec<String> {
    let recipients = house.app.read(|tx| {
        let letters = outbox::table.filter(outbox::letter.eq("announcement"));
        Ok(letters.select(outbox::email).load::<String>(tx.conn)?)
    });
    BTreeSet::from_iter(recipients.await.unwrap())
        .into_iter()
        .collect()
}

/// Where the links of an HTML part lead, in order.
fn links_in(html: &str) -> Vec<String> {
    let links = html.split("href=\"").skip(1);
    links
        .map(|rest| rest.split_once('"').unwrap().0.replace("&#38;", "&"))
        .collect()
}

/// The link that ends announcements stands alone in its line.
#[track_caller]
fn unsubscribe_link(text: &str) -> String {
    let mut lines = text
        .lines()
        .filter(|line| line.contains("/unsubscribe?token="));
    lines.next().expect("a way to end them").to_owned()
}
