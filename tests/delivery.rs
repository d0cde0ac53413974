//! How mail leaves: handed to a real Postfix, and to a server that misbehaves as the test says.
//!
//! Promised: what was asked for is handed over at least once while its link is of use; copies of one mail
//! are the same mail; a mail is refused, dropped or set aside by itself, and stops no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use doorpost::accounts::client::{Client, Label};
use doorpost::accounts::limits::Network;
use doorpost::error::Error;
use doorpost::mail::letters::{Content, Letter, Priority};
use doorpost::mail::notices::Notice;
use doorpost::mail::outbox;
use doorpost::schema;
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::maildir::{
    arrives_for, read_strictly, real_server, the_one_url, unused_address, unused_address_at,
};
use crate::support::{
    Answer, Database, Handed, House, Page, ScriptedServer, Step, Visitor, eventually,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// How long a sign-in link lives unless the operator says otherwise.
const LIFETIME: Duration = Duration::from_secs(600);

// --- a real mail server ---

on_both! {
    /// ADR-07, ADR-06, HOST-01, OBX-12
    async fn a_real_server_takes_our_mail_and_it_is_strict_mime_with_one_url(db: Database) {
        let house = House::with(db, &[
            ("SMTP_URL", &real_server()),
            ("PUBLIC_URL", "https://door.example.org"),
            ("MAIL_FROM", "The Door <post@door.example.org>"),
        ]).await;
        let address = unused_address();
        let ada = house.visitor();
        let hostile = ada
            .form("/register", &[("email", &address), ("origin", "https://evil.test")])
            .header("host", "evil.test")
            .header("x-forwarded-host", "evil.test")
            .header("forwarded", "host=evil.test")
            .header("referer", "https://evil.test/")
            .header("user-agent", "<a href=https://evil.test>Chrome/1 Windows</a>");
        ada.send(hostile).await.sees_inbox_page();

        let arrived = arrives_for(&address).await;
        let mail = read_strictly(&arrived);
        let link = the_one_url(&mail);
        assert!(link.starts_with("https://door.example.org/confirm-email?token="), "{link}");
        assert!(!mail.to_string().contains("evil."), "{mail}");
        assert!(!mail["html"].as_str().unwrap().contains("<img"), "no picture that tells it was read");
        assert_eq!(mail["types"], serde_json::json!([
            ["text/plain", "utf-8", "7bit"],
            ["text/html", "utf-8", "quoted-printable"],
        ]));
        // What is ours, beside what servers on the way add.
        assert_eq!(names_of_our_headers(&mail), [
            "Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject",
            "To", "X-Auto-Response-Suppress",
        ]);
        let headers = &mail["headers"];
        assert_eq!(headers["From"], "The Door <post@door.example.org>");
        assert_eq!(headers["Return-Path"], "<post@door.example.org>", "the envelope's sender");
        assert_eq!(headers["To"], *address);
        assert_eq!(headers["Delivered-To"], *address, "the envelope's recipient");
        assert_eq!(headers["Date"], "Sun, 22 Nov 2026 00:00:00 +0000");
        assert_eq!(headers["Subject"], "Confirm your email address for door.example.org");
        assert_eq!(headers["Auto-Submitted"], "auto-generated");
        assert_eq!(headers["X-Auto-Response-Suppress"], "All");
        let id = headers["Message-ID"].as_str().unwrap();
        assert!(id.starts_with('<') && id.ends_with("@door.example.org>"), "{id}");
        assert!(mail["longest_line"].as_u64().unwrap() <= 998, "{mail}");
        let on_a_line_of_its_own = format!("\n{link}\n");
        assert!(String::from_utf8_lossy(&arrived).contains(&on_a_line_of_its_own), "{mail}");

        ada.confirm(path_of(&link)).await;
        assert_eq!(ada.signed_in_as().await, Some(address));
    }

    /// TOK-17: what comes back lands in the mailbox of `MAIL_FROM`, and is read there.
    async fn a_bounce_of_a_real_server_brings_back_neither_link_nor_code(db: Database) {
        let sender = unused_address();
        let house = House::with(db, &[("SMTP_URL", &real_server()), ("MAIL_FROM", &sender)]).await;
        let nobody = unused_address_at("bounces.example");
        house.visitor().ask("/register", &nobody).await.sees_inbox_page();
        let bounce = String::from_utf8(arrives_for(&sender).await).unwrap();
        let id = rows(&house).await.remove(0).id;
        for told in [&nobody, &*format!("Original-Envelope-Id: {id}"), &format!("Message-ID: <{id}@localhost>")] {
            assert!(bounce.contains(told), "{told}: {bounce}");
        }
        for secret in ["token", "confirm-email?", "Never tell the code"] {
            assert!(!bounce.contains(secret), "{secret}: {bounce}");
        }
    }

    async fn a_link_that_came_through_a_real_server_signs_in(db: Database) {
        let house = House::with(db, &[("SMTP_URL", &real_server())]).await;
        let address = unused_address();
        let ada = house.visitor();
        ada.ask("/register", &address).await.sees_inbox_page();
        ada.confirm(&the_one_url(&read_strictly(&arrives_for(&address).await))).await;
        house.advance(MINUTE);

        let elsewhere = house.visitor();
        elsewhere.ask("/sign-in", &address).await.sees_inbox_page();
        let mail = read_strictly(&arrives_for(&address).await);
        assert_eq!(mail["headers"]["Message-ID"].as_str().unwrap().split('@').nth(1), Some("localhost>"));
        let page = elsewhere.click(&the_one_url(&mail)).await;
        assert_eq!(page.location(), "/account");
        assert_eq!(elsewhere.signed_in_as().await, Some(address));
    }
}

// --- a server that is away ---

on_both! {
    /// OBX-01
    async fn what_was_asked_while_the_server_was_away_arrives_when_it_is_back(db: Database) {
        const VISITORS: usize = 40;
        let (server, house) = house_with_scripted_server(db).await;
        server.go_away();
        ask_at_once(&house, VISITORS).await;
        eventually("the trouble to be told", async || ready(&house).await.contains("refused")).await;

        server.come_back();
        server.takes(VISITORS).await;
        eventually("nothing to wait", async || states(&house).await == ["sent"; VISITORS]).await;
        let arrived: Vec<String> = server.handed().into_iter().flat_map(|letter| letter.to).collect();
        let once: BTreeSet<String> = arrived.iter().cloned().collect();
        assert_eq!((arrived.len(), once.len()), (VISITORS, VISITORS), "each once, and no other: {arrived:?}");
        eventually("the trouble to be over", async || ready(&house).await.contains(r#""smtp":"ok""#)).await;
    }

    /// OBX-02, OBX-10
    async fn a_server_that_hangs_keeps_neither_a_visitor_nor_the_end_waiting(db: Database) {
        let (server, mut house) = house_with_scripted_server(db).await;
        server.follow(|step| match step.verb {
            "." => Answer::Stall,
            _ => Answer::Agree,
        });
        // The deadline for an answer to a letter is 30 s: nobody waits for it.
        let began = Instant::now();
        ask_at_once(&house, 20).await;
        eventually("a letter to be handed over", async || !server.handed().is_empty()).await;
        assert!(began.elapsed() < Duration::from_secs(15), "asking took {:?}", began.elapsed());

        let began = Instant::now();
        house.stop_worker();
        assert!(began.elapsed() < Duration::from_secs(15), "stopping took {:?}", began.elapsed());
    }

    /// OBX-02, OBX-10
    async fn nobody_waits_for_a_probe_at_the_end(db: Database) {
        let (server, mut house) = house_with_scripted_server(db).await;
        server.go_away();
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        eventually("the trouble to be told", async || ready(&house).await.contains("refused")).await;
        // A slot that had looked before the trouble was told would take up the letter, and may finish it.
        house.execute("DELETE FROM outbox").await;
        server.follow(|step| match step.verb {
            "CONNECT" => Answer::Stall,
            _ => Answer::Agree,
        });
        let heard = server.commands().len();
        server.come_back();
        eventually("a probe", async || server.commands().len() > heard).await;
        let began = Instant::now();
        house.stop_worker();
        assert!(began.elapsed() < 3 * SECOND, "{:?}", began.elapsed());
    }

    /// OBX-02, OBX-05
    async fn a_letter_that_the_server_chews_on_holds_up_no_other(db: Database) {
        let (server, mut house) = house_with_scripted_server(db).await;
        house.stop_worker();
        ask_at_once(&house, 10).await;
        server.follow(|step| match step {
            Step { verb: ".", to: "v0@example.org" } => Answer::Stall,
            _ => Answer::Agree,
        });
        let began = Instant::now();
        house.start_worker();
        server.takes(9).await;
        // The deadline for an answer to a letter is 30 s: the others did not wait for it.
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        assert!(server.taken_for("v0@example.org").is_empty());
        server.go_away(); // nor do we
    }
}

// --- mail that waited long ---

on_both! {
    /// TOK-06
    async fn the_life_of_a_link_begins_when_its_mail_is_handed_over(db: Database) {
        let (server, mut house) = house_with_scripted_server(db).await;
        let [ann, ben] = members(&server, &house, ["ann@example.org", "ben@example.org"]).await;
        house.stop_worker();
        ann.ask("/sign-in", "ann@example.org").await.sees_inbox_page();
        ben.ask("/sign-in", "ben@example.org").await.sees_inbox_page();
        house.advance(LIFETIME - SECOND);
        house.start_worker();
        let anns = server.letters_for("ann@example.org", 2).await.remove(1).mail();
        let bens = server.letters_for("ben@example.org", 2).await.remove(1).mail();
        everything_is_settled(&house).await;

        house.advance(LIFETIME - SECOND);
        assert_eq!(ann.click(&anns.link).await.location(), "/account", "alive to its last second");
        house.advance(SECOND);
        assert_eq!(ben.click(&bens.link).await.status, StatusCode::GONE, "and not beyond");
    }

    /// TOK-24
    async fn a_mail_whose_link_was_replaced_while_it_waited_is_dropped(db: Database) {
        let (server, mut house) = house_with_scripted_server(db).await;
        let [ann] = members(&server, &house, ["ann@example.org"]).await;
        house.stop_worker();
        ann.ask("/sign-in", "ann@example.org").await.sees_inbox_page();
        house.advance(MINUTE);
        ann.ask("/sign-in", "ann@example.org").await.sees_inbox_page();
        house.start_worker();

        everything_is_settled(&house).await;
        let letters = server.taken_for("ann@example.org");
        assert_eq!(letters.len(), 2, "the one that made the account, and the newest");
        assert_eq!(ann.click(&letters[1].mail().link).await.location(), "/account");
        let dropped: Vec<Row> = rows(&house).await.into_iter().filter(|row| row.state == "dropped").collect();
        let [dropped] = &dropped[..] else { panic!("{dropped:?}") };
        assert_eq!(dropped.reason.as_deref(), Some("its link is dead"));
        assert_eq!((&dropped.body, &dropped.link_hash), (&None, &None));
    }

    /// OBX-01, OBX-03
    async fn a_mail_that_would_come_too_late_is_dropped(db: Database) {
        let (server, mut house) = house_with_scripted_server(db).await;
        let [ann] = members(&server, &house, ["ann@example.org"]).await;
        house.stop_worker();
        ann.ask("/sign-in", "ann@example.org").await.sees_inbox_page();
        house.visitor().ask("/register", "new@example.org").await.sees_inbox_page();
        house.advance(LIFETIME);
        house.start_worker();

        let confirm = server.letter_for("new@example.org").await.mail();
        assert!(confirm.link.contains("/confirm-email"), "a day's life is not over");
        everything_is_settled(&house).await;
        assert_eq!(server.handed().len(), 2, "two to confirm, none to sign in");
        assert_eq!(states(&house).await, ["dropped", "sent", "sent"]);
        assert_eq!(row_for(&house, "ann@example.org", "dropped").await.body, None);

        // Nobody is shut out: the next one comes.
        ann.ask("/sign-in", "ann@example.org").await.sees_inbox_page();
        let link = server.letters_for("ann@example.org", 2).await.pop().unwrap().mail().link;
        assert_eq!(ann.click(&link).await.location(), "/account");
    }
}

// --- a server that refuses ---

on_both! {
    /// OBX-03
    async fn a_mail_refused_for_now_is_the_same_mail_when_it_is_taken(db: Database) {
        const REFUSALS: [(&str, &str, Answer); 8] = [
            ("a@example.org", "RCPT", Answer::Say("450 4.2.1 come back later")),
            ("g@example.org", "RCPT", Answer::Say("421 4.3.2 shutting down")),
            ("h@example.org", "RCPT", Answer::HangUp),
            ("b@example.org", "RCPT", Answer::Say("451 4.7.1 greylisted")),
            ("c@example.org", "DATA", Answer::Say("451 4.3.0 not now")),
            ("d@example.org", ".", Answer::Say("452 4.3.1 no room")),
            ("e@example.org", ".", Answer::Say("421 4.3.2 shutting down")),
            ("f@example.org", ".", Answer::HangUp),
        ];
        let (server, house) = house_with_scripted_server(db).await;
        // Each is refused twice, one way each.
        let mut left: Vec<_> = REFUSALS.into_iter().map(|refusal| (refusal, 2)).collect();
        server.follow(move |step| {
            let refusal = left.iter_mut().find(|((to, verb, _), _)| *to == step.to && *verb == step.verb);
            match refusal {
                Some(((_, _, answer), times)) if *times > 0 => {
                    *times -= 1;
                    again(answer)
                }
                _ => Answer::Agree,
            }
        });
        let visitors: Vec<_> = REFUSALS.iter().map(|(address, ..)| (house.visitor(), *address)).collect();
        for (visitor, address) in &visitors {
            visitor.ask("/register", address).await.sees_inbox_page();
        }
        for tries in 1..=2 {
            for (_, address) in &visitors {
                eventually("each try", async || row_for(&house, address, "queued").await.tries == tries).await;
            }
            // The worker goes round, and tries none of them again before its time.
            let other = format!("other{tries}@example.org");
            house.visitor().ask("/register", &other).await.sees_inbox_page();
            server.letter_for(&other).await;
            for (_, address) in &visitors {
                let row = row_for(&house, address, "queued").await;
                let wait = row.due_at.unwrap() - house.clock.now();
                assert!((1_000..=10_000).contains(&wait), "{address} waits {wait} ms after {tries} tries");
                assert_eq!((row.tries, server.times_named(address)), (tries, tries as usize), "{address}");
            }
            house.advance(Duration::from_secs(10));
        }
        for (visitor, address) in &visitors {
            let letter = server.letter_for(address).await;
            let copies: Vec<Handed> = server.handed().into_iter().filter(|copy| copy.to == [*address]).collect();
            assert!(copies.iter().all(|copy| copy.raw == letter.raw), "{address}: one mail, one Message-ID");
            assert_eq!(server.taken_for(address).len(), 1, "{address}");
            visitor.confirm(&letter.mail().link).await;
            assert_eq!(visitor.signed_in_as().await.as_deref(), Some(*address));
        }
        // Where the server hung up after the dot, it may have taken the letter: those are two copies.
        let copies = server.handed().into_iter().filter(|copy| copy.to == ["f@example.org"]);
        assert_eq!(copies.count(), 3);
    }

    /// OBX-04
    async fn a_mail_refused_for_good_is_kept_without_its_words_and_the_others_flow(db: Database) {
        const REFUSALS: [(&str, &str, &str); 3] = [
            ("nobody@example.org", "RCPT", "550 5.1.1 no such user nobody@example.org"),
            ("full@example.org", "DATA", "552 5.2.2 mailbox full"),
            ("spam@example.org", ".", "554 5.7.1 this looks like spam"),
        ];
        let (server, house) = house_with_scripted_server(db).await;
        server.follow(|step| {
            let refusal = REFUSALS.iter().find(|(to, verb, _)| *to == step.to && *verb == step.verb);
            refusal.map_or(Answer::Agree, |(_, _, words)| Answer::Say(words))
        });
        let visitors: Vec<_> = REFUSALS.iter().map(|(address, ..)| (house.visitor(), *address)).collect();
        for (visitor, address) in &visitors {
            visitor.ask("/register", address).await.sees_inbox_page();
        }
        house.visitor().ask("/register", "ann@example.org").await.sees_inbox_page();
        server.letter_for("ann@example.org").await;
        everything_is_settled(&house).await;
        for (address, _, words) in REFUSALS {
            let row = row_for(&house, address, "refused").await;
            let reason = row.reason.unwrap();
            assert!(reason.contains(&words[..3]), "{address}: {reason}");
            assert!(!reason.contains(address), "the reason keeps no whole address: {reason}");
            assert_eq!((row.body, row.link_hash), (None, None), "{address}");
        }

        house.advance(MINUTE * 60);
        server.agree();
        for (visitor, address) in &visitors {
            assert_eq!(server.times_named(address), 1, "{address} was not tried again");
            visitor.ask("/register", address).await.sees_inbox_page();
            visitor.confirm(&server.letter_for(address).await.mail().link).await;
        }
    }

    /// OBX-02
    async fn a_server_that_will_not_have_us_costs_no_mail_its_tries(db: Database) {
        for (verb, answer) in [
            ("CONNECT", Answer::Say("554 go away")),
            ("EHLO", Answer::HangUp),
            ("MAIL", Answer::Say("550 5.7.1 not from you")),
        ] {
            let (server, house) = house_with_scripted_server(db).await;
            let (tell, told) = std::sync::mpsc::channel();
            server.follow(move |step| {
                if step.verb != verb {
                    return Answer::Agree;
                }
                let _ = tell.send(());
                again(&answer)
            });
            house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
            eventually(verb, async || told.try_recv().is_ok()).await;
            server.agree();
            server.letter_for("ada@example.org").await;
            everything_is_settled(&house).await;
            assert_eq!(row_for(&house, "ada@example.org", "sent").await.tries, 0, "{verb}");
        }
    }

    /// OBX-02, OBX-03
    async fn while_no_mail_can_leave_one_slot_probes_and_the_operator_is_told(db: Database) {
        let (server, house) = house_with_scripted_server(db).await;
        server.follow(|step| match step.verb {
            "MAIL" => Answer::Say("550 5.7.1 this sender may not"),
            _ => Answer::Agree,
        });
        ask_at_once(&house, 30).await;
        eventually("the trouble to be told", async || {
            ready(&house).await.contains(r#""smtp":"sender: 550 5.7.1 this sender may not""#)
        })
        .await;
        let probes = || server.commands().iter().filter(|line| line.starts_with("MAIL")).count();
        eventually("a few probes", async || probes() >= 3).await;
        tokio::time::sleep(3 * SECOND).await;
        // At first each slot finds out by itself; then it is one for all, ever more seldom.
        assert!(probes() < 20, "{} tries in a few seconds", probes());
        let waiting = rows(&house).await;
        assert!(waiting.iter().all(|row| (row.state.as_str(), row.tries) == ("queued", 0)), "{waiting:?}");

        server.agree();
        server.takes(30).await;
        everything_is_settled(&house).await;
        assert_eq!(server.handed().len(), 30, "each once");
        eventually("the trouble to be over", async || ready(&house).await.contains(r#""smtp":"ok""#)).await;
    }

    /// OBX-03, OBX-04: any visitor can have us write to one whom the server dislikes.
    async fn one_recipient_whom_the_server_dislikes_is_kept_and_is_no_trouble(db: Database) {
        let (server, house) = house_with_scripted_server(db).await;
        server.follow(|step| match step {
            Step { verb: "RCPT", to: "ada@abroad.example" } => {
                Answer::Say("554 5.7.1 <ada@abroad.example>: Relay access denied")
            }
            _ => Answer::Agree,
        });
        let ada = house.visitor();
        ada.ask("/register", "ada@abroad.example").await.sees_inbox_page();
        for tries in 1..=4 {
            eventually("another try", async || row_for(&house, "ada@abroad.example", "queued").await.tries == tries).await;
            assert!(ready(&house).await.contains(r#""smtp":"ok""#), "it is no trouble of ours");
            house.advance(Duration::from_secs(30));
        }
        let kept = row_for(&house, "ada@abroad.example", "queued").await;
        assert_eq!(kept.reason.as_deref(), Some("recipient: 554 5.7.1 <*@abroad.example>: Relay access denied"));
        for n in 0..10 {
            let address = format!("v{n}@example.org");
            house.visitor().ask("/register", &address).await.sees_inbox_page();
            server.letter_for(&address).await;
        }

        server.agree();
        house.advance(MINUTE * 2);
        ada.confirm(&server.letter_for("ada@abroad.example").await.mail().link).await;
    }

    /// OBX-03, OBX-04
    async fn several_recipients_refused_in_a_row_are_told_to_anybody_without_their_names(db: Database) {
        for answer in [
            "554 5.7.1 <ada@abroad.example>: relaying to (abroad.example) denied",
            "451 4.3.0 <ada@abroad.example>: relaying to (abroad.example) denied",
        ] {
            let (server, house) = house_with_scripted_server(db).await;
            server.follow(move |step| match step.verb {
                "RCPT" => Answer::Say(answer),
                _ => Answer::Agree,
            });
            for name in ["ada", "ben", "eve"] {
                assert!(ready(&house).await.contains(r#""smtp":"ok""#));
                let address = format!("{name}@abroad.example");
                house.visitor().ask("/register", &address).await.sees_inbox_page();
                eventually("a try", async || row_for(&house, &address, "queued").await.tries == 1).await;
            }
            let told = format!(r#""smtp":"recipient: {} relaying to denied""#, &answer[..9]);
            eventually("the trouble to be told", async || ready(&house).await.contains(&told)).await;

            server.agree();
            house.visitor().ask("/register", "new@example.org").await.sees_inbox_page();
            eventually("the trouble to be over", async || ready(&house).await.contains(r#""smtp":"ok""#)).await;
            house.advance(Duration::from_secs(5));
            server.takes(4).await;
        }
    }

    async fn what_was_refused_is_trouble_no_longer_than_it_waits(db: Database) {
        let (server, house) = house_with_scripted_server(db).await;
        server.follow(|step| match step.verb {
            "RCPT" => Answer::Say("554 5.7.1 Sender address rejected: not owned by user"),
            _ => Answer::Agree,
        });
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        eventually("the trouble to be told", async || ready(&house).await.contains("Sender address rejected")).await;
        house.advance(MINUTE * 60 * 24 * 2);
        eventually("it to be over", async || ready(&house).await.contains(r#""smtp":"ok""#)).await;
        assert_eq!(row_for(&house, "ada@example.org", "dropped").await.body, None);
    }

    /// OBX-05: some servers take more with 250, and leave it lying for half an hour.
    async fn a_connection_carries_ten_letters_and_no_more(db: Database) {
        const LETTERS: usize = 90; // More than ten for each slot.
        let server = ScriptedServer::start();
        let mut house = House::with(db, &[("SMTP_URL", &server.url()), ("LIMIT_MAIL_PER_NETWORK", "off")]).await;
        house.stop_worker();
        ask_at_once(&house, LETTERS).await;
        house.start_worker();
        server.takes(LETTERS).await;
        let mut carried: BTreeMap<usize, usize> = BTreeMap::new();
        for letter in server.handed() {
            *carried.entry(letter.connection).or_default() += 1;
        }
        assert_eq!(carried.values().sum::<usize>(), LETTERS, "each once");
        assert!(carried.values().all(|letters| *letters <= 10), "{carried:?}");
    }

    /// Servers keep few connections, and hang up on those that rest.
    async fn a_connection_that_rests_for_half_a_minute_is_left(db: Database) {
        let (server, house) = house_with_scripted_server(db).await;
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        server.letter_for("ada@example.org").await;
        everything_is_settled(&house).await;
        let has_quit = || server.commands().contains(&"QUIT".to_owned());
        assert!(!has_quit());
        house.advance(Duration::from_secs(30));
        eventually("goodbye", async || has_quit()).await;
        house.visitor().ask("/register", "ben@example.org").await.sees_inbox_page();
        assert_ne!(server.letter_for("ben@example.org").await.connection, server.letter_for("ada@example.org").await.connection);
    }

    /// TOK-17: else its link and its code come back, and lie in the mailbox of `MAIL_FROM`.
    async fn a_server_that_can_is_asked_to_bounce_a_letter_without_its_body(db: Database) {
        let (server, house) = house_with_scripted_server(db).await;
        server.follow(|step| match step.verb {
            "EHLO" => Answer::Say("250-scripted\r\n250 DSN"),
            _ => Answer::Agree,
        });
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        let id = server.letter_for("ada@example.org").await.header("message-id");
        let (id, _) = id.trim_start_matches('<').split_once('@').unwrap();
        let named = format!("MAIL FROM:<doorpost@localhost> RET=HDRS ENVID={id}");
        assert!(server.commands().contains(&named), "{:?}", server.commands());
    }

    /// OBX-05
    async fn a_server_that_allows_few_connections_is_used_over_those(db: Database) {
        let (server, house) = house_with_scripted_server(db).await;
        server.follow(two_at_a_time());
        let began = Instant::now();
        ask_at_once(&house, 60).await;
        server.takes(60).await;
        assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
        everything_is_settled(&house).await;
        assert_eq!(server.handed().len(), 60, "each once");
        assert!(ready(&house).await.contains(r#""smtp":"ok""#), "mail leaves");
    }
}

on_both! {
    /// OBX-14, SUP-02
    async fn a_send_that_panics_is_a_failed_try_and_stops_no_other(db: Database) {
        let (server, house) = house_with_scripted_server(db).await;
        let mut greeted = 0;
        server.follow(move |step| {
            greeted += i32::from(step.verb == "EHLO");
            match step.verb {
                // lettre 0.11.23 panics at a line of nothing but blanks.
                "EHLO" if greeted <= 10 => Answer::Say("250-scripted\r\n250   "),
                _ => Answer::Agree,
            }
        });
        ask_at_once(&house, 20).await;
        house.seen("SELECT count(*) AS n FROM outbox WHERE reason LIKE '%panicked%' AND tries = 1").await;
        server.takes(10).await;
        house.advance(Duration::from_secs(5));
        server.takes(20).await;
        everything_is_settled(&house).await;
    }
}

// --- what goes first ---

on_both! {
    /// OBX-05
    async fn a_fresh_link_does_not_wait_behind_news_that_a_slow_server_chews_on(db: Database) {
        let (server, house) = house_with_scripted_server(db).await;
        server.follow(|step| match step {
            Step { verb: ".", to } if to.starts_with("reader") => Answer::Stall,
            _ => Answer::Agree,
        });
        post_news(&house, 40).await;
        eventually("the server to chew", async || server.handed().len() >= 6).await;
        tokio::time::sleep(3 * SECOND).await; // until every slot chews that may
        let began = Instant::now();
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        server.letter_for("ada@example.org").await;
        assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
        assert!(server.taken().len() == 1, "the news are still chewed on");
        server.go_away(); // nor do we wait for it
    }

    /// OBX-05: neither mail that somebody waits for nor news of an account waits behind an announcement.
    async fn nothing_waits_behind_an_announcement_that_a_slow_server_chews_on(db: Database) {
        let (server, house) = house_with_scripted_server(db).await;
        server.follow(|step| match step {
            Step { verb: ".", to } if to.starts_with("many") => Answer::Stall,
            _ => Answer::Agree,
        });
        post_bulk(&house, 60).await;
        eventually("the server to chew", async || server.handed().len() >= 5).await;
        tokio::time::sleep(3 * SECOND).await; // until every slot chews that may
        assert_eq!(server.handed().len(), 5, "the others are kept free");
        let began = Instant::now();
        post_news(&house, 1).await;
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        server.letter_for("ada@example.org").await;
        server.letter_for("reader0@example.org").await;
        assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
        assert!(server.taken().len() == 2, "the announcement is still chewed on");
        server.go_away();
    }

    /// OBX-05
    async fn what_somebody_waits_for_is_claimed_before_older_news(db: Database) {
        let (_server, mut house) = house_with_scripted_server(db).await;
        house.stop_worker();
        post_bulk(&house, 3).await;
        house.advance(SECOND);
        post_news(&house, 10).await;
        house.advance(SECOND);
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        let to = |claimed: Vec<outbox::Claimed>| -> Vec<String> {
            claimed.into_iter().map(|claimed| claimed.mail.email).collect()
        };
        assert_eq!(to(claim(&house).await), ["ada@example.org"]);
        assert_eq!(to(claim(&house).await).len(), 8, "then the news");
        assert_eq!(to(claim(&house).await), ["reader8@example.org", "reader9@example.org"]);
        assert!(claim(&house).await.is_empty(), "the announcement is not for such a slot");
        let slow = house.app.transaction(|tx| outbox::claim(tx, 8, Priority::Bulk));
        assert_eq!(to(slow.await.unwrap()), ["many0@example.org", "many1@example.org", "many2@example.org"]);
        post_news(&house, 1).await;
        let fast = house.app.transaction(|tx| outbox::claim(tx, 8, Priority::Awaited));
        assert!(fast.await.unwrap().is_empty(), "which are not for every slot");
    }
}

// --- handed over to the slots of its node, past the table ---

on_both! {
    async fn what_was_posted_and_undone_is_handed_to_nobody(db: Database) {
        let mut house = House::new(db).await;
        house.hold_mail();
        open_handover(&house);
        let outbox = house.app.outbox.clone();
        let undone: Result<(), Error> = house.app.transaction(move |tx| {
            outbox.tell(tx, "eve@example.org", Notice::NewBrowser, &somebody())?;
            Err(Error::internal("no"))
        }).await;
        assert!(undone.is_err());
        let outbox = house.app.outbox.clone();
        let kept = house.app.transaction(move |tx| {
            tx.if_it_can(|tx| {
                outbox.tell(tx, "mallory@example.org", Notice::NewBrowser, &somebody())?;
                Err(Error::internal("no"))
            })?;
            outbox.tell(tx, "ada@example.org", Notice::NewBrowser, &somebody())?;
            assert!(outbox.take(Priority::News).is_none(), "too early");
            Ok(())
        });
        kept.await.unwrap();
        let handed_over = house.app.outbox.take(Priority::News).unwrap();
        assert_eq!(handed_over.claimed.mail.email, "ada@example.org");
        assert!(house.app.outbox.take(Priority::News).is_none(), "and nothing else");
        assert!(!house.app.outbox.is_promised_mail(), "nor is its place kept");
        assert_eq!(states(&house).await, ["queued"]);
    }

    async fn what_is_posted_while_there_is_no_way_to_the_server_waits_in_the_table(db: Database) {
        const VISITORS: usize = 20;
        let (server, house) = house_with_scripted_server(db).await;
        server.go_away();
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        eventually("the trouble to be told", async || ready(&house).await.contains("refused")).await;
        ask_at_once(&house, VISITORS).await;
        eventually("it to be anybody's", async || claimed(&house).await == 0).await;
        assert_eq!(states(&house).await, ["queued"; VISITORS + 1]);

        server.come_back();
        server.takes(VISITORS + 1).await;
        everything_is_settled(&house).await;
        assert_eq!(server.handed().len(), VISITORS + 1, "each once");
    }

    async fn mail_that_lies_in_the_table_goes_before_what_is_posted_after_it(db: Database) {
        let mut house = House::new(db).await;
        house.hold_mail();
        ask_at_once(&house, 9).await;
        let outbox = &house.app.outbox;
        outbox.take_on();
        let mut held = 0;
        for (somebody, found) in [("ada@example.org", 8), ("ben@example.org", 3)] {
            house.visitor().ask("/register", somebody).await.sees_inbox_page();
            assert_eq!(claimed(&house).await, held, "{somebody}'s lies behind what is older");
            let older = claim(&house).await;
            outbox.looked(Priority::News, 8, &older);
            assert_eq!(older.len(), found);
            held = claimed(&house).await;
        }
        house.visitor().ask("/register", "cyd@example.org").await.sees_inbox_page();
        let handed_over = outbox.take(Priority::News).unwrap();
        assert_eq!(handed_over.claimed.mail.email, "cyd@example.org", "nothing is older");
        assert!(outbox.take(Priority::News).is_none());
    }

    async fn what_was_handed_over_to_a_node_that_died_leaves_from_another_as_the_same_letter(db: Database) {
        let server = ScriptedServer::start();
        let mut house = House::new(db).await;
        house.stop_worker(); // dead, from here on
        open_handover(&house);
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        let handed_over = house.app.outbox.take(Priority::Awaited).unwrap();

        let other = house.second_node(&[("SMTP_URL", &server.url())]);
        house.advance(Duration::from_secs(45));
        other.visitor().ask("/register", "ben@example.org").await.sees_inbox_page();
        server.letter_for("ben@example.org").await;
        assert!(server.taken_for("ada@example.org").is_empty(), "its node may only be slow");
        house.advance(Duration::from_secs(15));
        let letter = server.letter_for("ada@example.org").await;
        assert_eq!(letter.header("Message-ID"), format!("<{}@localhost>", handed_over.claimed.mail.id));
        let link = letter.mail().link;
        assert!(handed_over.content.unwrap().text.contains(&link), "{link}");
        ada.confirm(&link).await;
        assert_eq!(server.handed().len(), 2);
    }

    async fn a_node_that_stops_gives_back_what_was_handed_over_to_it(db: Database) {
        const MAILS: usize = 30;
        let (server, mut house) = house_with_scripted_server(db).await;
        house.stop_worker();
        open_handover(&house);
        ask_at_once(&house, MAILS).await;
        assert_eq!(claimed(&house).await, MAILS as i64);
        server.follow(|step| match step.verb {
            "." => Answer::After(Duration::from_millis(500)),
            _ => Answer::Agree,
        });
        house.start_worker();
        server.takes(1).await;
        house.stop_worker();
        let left = server.handed().len();
        assert!(left < MAILS, "stopped amid the work");
        assert_eq!(claimed(&house).await, 0, "another node need not wait for a lease to end");

        server.agree();
        let url = server.url();
        let house = house.restart(&[("SMTP_URL", &url)]).await;
        server.takes(MAILS).await;
        everything_is_settled(&house).await;
        assert_eq!(server.handed().len(), MAILS, "none lost and none twice");
    }

    async fn what_is_posted_while_its_node_stops_is_given_back_once_it_is_kept(db: Database) {
        let (_server, mut house) = house_with_scripted_server(db).await;
        open_handover(&house);
        let (go, news) = news_under_way(&house).await;
        assert!(house.app.outbox.is_promised_mail());
        let transaction = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            go.send(()).unwrap();
        });
        house.stop_worker();
        transaction.join().unwrap();
        news.await.unwrap().unwrap();
        assert_eq!(states(&house).await, ["queued"]);
        assert_eq!(claimed(&house).await, 0);
    }
}

// --- written down together ---

on_both! {
    /// OBX-14
    async fn a_mail_that_cannot_be_written_down_keeps_no_other_from_it(db: Database) {
        const MAILS: usize = 8;
        let (server, house) = house_with_scripted_server(db).await;
        // Of two of them the database takes one.
        house.execute("CREATE UNIQUE INDEX either ON outbox (state) \
            WHERE state = 'sent' AND email IN ('v3@example.org', 'v4@example.org')").await;
        server.follow(|step| match step.verb {
            "." => Answer::After(SECOND),
            _ => Answer::Agree,
        });
        ask_at_once(&house, MAILS).await;
        eventually("all to be under way", async || server.handed().len() == MAILS).await;
        // The first of them waits for its rows, and so the others come together.
        let (go, going) = std::sync::mpsc::channel::<()>();
        let (holds, held) = tokio::sync::oneshot::channel();
        let app = house.app.clone();
        let holder = tokio::spawn(async move {
            app.transaction(move |tx| {
                use schema::outbox::{table, tries};
                diesel::update(table).set(tries.eq(tries)).execute(tx.conn)?;
                holds.send(()).unwrap();
                going.recv().unwrap();
                Ok(())
            })
            .await
        });
        held.await.unwrap();
        server.takes(MAILS).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        go.send(()).unwrap();
        holder.await.unwrap().unwrap();
        eventually("all but one to be written down", async || {
            states(&house).await.iter().filter(|state| *state == "sent").count() == MAILS - 1
        }).await;
        assert_eq!(claimed(&house).await, 1, "the other is left until its lease ends");
        assert_eq!(server.handed().len(), MAILS, "none twice");
    }
}

// --- what is at rest ---

on_both! {
    /// TOK-17
    async fn words_are_sealed_while_they_wait_and_erased_once_sent(db: Database) {
        let (server, mut house) = house_with_scripted_server(db).await;
        house.stop_worker();
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        let waiting = row_for(&house, "ada@example.org", "queued").await.body.unwrap();
        let files_while_waiting = files(&house);
        house.start_worker();
        let mail = server.letter_for("ada@example.org").await.mail();
        everything_is_settled(&house).await;

        let token = URL_SAFE_NO_PAD.decode(mail.token()).unwrap();
        let code = mail.code.clone().unwrap();
        let secrets = [
            mail.token().as_bytes().to_vec(),
            hex(&token).into_bytes(),
            STANDARD.encode(&token).into_bytes(),
            token,
            code.as_bytes().to_vec(),
            code.replace('-', "").into_bytes(),
            mail.subject.as_bytes().to_vec(),
            b"Confirm my email address".to_vec(),
        ];
        let files_afterwards = files(&house);
        for secret in &secrets {
            let readable = String::from_utf8_lossy(secret);
            assert!(!contains(&waiting, secret), "{readable} waits in the open");
            for (path, bytes) in files_while_waiting.iter().chain(&files_afterwards) {
                assert!(!contains(bytes, secret), "{readable} is in {}", path.display());
            }
        }
        let sent = row_for(&house, "ada@example.org", "sent").await;
        assert_eq!((sent.body, sent.link_hash), (None, None), "erased");
    }

    /// OBX-14
    async fn a_damaged_mail_is_set_aside_and_the_others_flow(db: Database) {
        use schema::outbox::{body, email, letter, link_hash, tries};
        let (server, mut house) = house_with_scripted_server(db).await;
        house.stop_worker();
        ask_at_once(&house, 9).await;
        let damage = house.app.transaction(|tx| {
            let row = |n: u8| schema::outbox::table.filter(email.eq(format!("v{n}@example.org")));
            diesel::update(row(0)).set(body.eq(Some(vec![0_u8; 40]))).execute(tx.conn)?;
            diesel::update(row(1)).set(body.eq(None::<Vec<u8>>)).execute(tx.conn)?;
            diesel::update(row(2)).set(link_hash.eq(Some(vec![1_u8, 2, 3]))).execute(tx.conn)?;
            diesel::update(row(3)).set(tries.eq(i32::MAX)).execute(tx.conn)?;
            diesel::update(row(4)).set(letter.eq("unheard of")).execute(tx.conn)?;
            diesel::update(row(5)).set(email.eq("not an address")).execute(tx.conn)?;
            diesel::update(row(6)).set(email.eq("v6@example.org>\r\nRCPT TO:<evil@e.test")).execute(tx.conn)?;
            Ok(())
        });
        damage.await.unwrap();
        house.start_worker();

        for healthy in [3, 4, 7, 8] {
            server.letter_for(&format!("v{healthy}@example.org")).await;
        }
        everything_is_settled(&house).await;
        assert_eq!(server.handed().len(), 4, "and nothing else");
        assert_eq!(server.times_named("evil@e.test"), 0);
        let set_aside = rows(&house).await.into_iter().filter(|row| row.state != "sent");
        for row in set_aside {
            assert!(row.reason.is_some() && row.body.is_none(), "{row:?}");
        }
    }
}

/// OBX-14: columns of SQLite hold whatever was put into them.
#[tokio::test]
async fn a_row_that_cannot_be_read_is_set_aside_and_the_others_flow() {
    const DAMAGE: [&str; 4] = [
        "email = x'c3'",
        "letter = x'ff'",
        "body = x''",
        "body = 1.5",
    ];
    let (server, mut house) = house_with_scripted_server(Database::Sqlite).await;
    house.stop_worker();
    ask_at_once(&house, 6).await;
    for (n, damage) in DAMAGE.iter().enumerate() {
        let statement = format!("UPDATE outbox SET {damage} WHERE email = 'v{n}@example.org'");
        assert_eq!(house.execute(statement.leak()).await, 1);
    }
    house.start_worker();
    server.takes(2).await;
    house
        .seen("SELECT (count(*) = 4) AS n FROM outbox WHERE state = 'refused' AND body IS NULL")
        .await;
    assert_eq!(server.handed().len(), 2, "and nothing of the damaged ones");
}

// --- many nodes, and nodes that die ---

/// FLT-06
#[tokio::test]
async fn two_nodes_send_each_mail_once() {
    const MAILS: usize = 200;
    let server = ScriptedServer::start();
    let settings = [
        ("SMTP_URL", &*server.url()),
        ("LIMIT_MAIL_PER_NETWORK", "off"),
    ];
    let first = House::with(Database::Postgres, &settings).await;
    let second = first.second_node(&settings);
    server.go_away();
    let visitors: Vec<Visitor> = [&first, &second]
        .iter()
        .cycle()
        .take(MAILS)
        .map(|house| house.visitor())
        .collect();
    for (n, some) in visitors.chunks(40).enumerate() {
        let asked = some.iter().enumerate().map(async |(m, visitor)| {
            let address = format!("v{n}x{m}@example.org");
            visitor.ask("/register", &address).await.sees_inbox_page();
        });
        join_all(asked).await;
    }
    server.come_back();

    server.takes(MAILS).await;
    everything_is_settled(&first).await;
    let handed = server.handed();
    let ids: BTreeSet<String> = handed
        .iter()
        .map(|letter| letter.header("Message-ID"))
        .collect();
    assert_eq!((handed.len(), ids.len()), (MAILS, MAILS), "each once");
}

on_both! {
    /// OBX-07
    async fn mail_that_a_dead_node_held_is_taken_up_within_a_minute(db: Database) {
        let (server, mut house) = house_with_scripted_server(db).await;
        house.stop_worker();
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        // A node that claims what there is, and is never heard of again.
        let claimed = claim(&house).await;
        assert_eq!(claimed.len(), 1);
        house.start_worker();

        house.advance(Duration::from_secs(45));
        house.visitor().ask("/register", "ben@example.org").await.sees_inbox_page();
        server.letter_for("ben@example.org").await;
        assert!(server.taken_for("ada@example.org").is_empty(), "the dead may only be slow");
        house.advance(Duration::from_secs(15));
        let mail = server.letter_for("ada@example.org").await.mail();
        ada.confirm(&mail.link).await;
        assert_eq!(server.handed().len(), 2);
    }

    /// FLT-06
    async fn what_a_slow_node_says_of_a_mail_that_another_sent_changes_nothing(db: Database) {
        let (server, mut house) = house_with_scripted_server(db).await;
        house.stop_worker();
        house.visitor().ask("/register", "ada@example.org").await.sees_inbox_page();
        let mut claimed = claim(&house).await;
        house.advance(MINUTE);
        house.start_worker();
        server.letter_for("ada@example.org").await;
        everything_is_settled(&house).await;

        let mail = claimed.remove(0);
        let too_late = house.app.transaction(move |tx| {
            outbox::give_back(tx, &mail)?;
            outbox::later(tx, &mail, Duration::ZERO, "not now")?;
            outbox::refused(tx, &mail, "no such user")?;
            outbox::dropped(tx, &mail, "too late")
        });
        too_late.await.unwrap();
        let row = row_for(&house, "ada@example.org", "sent").await;
        assert_eq!((row.due_at, row.tries, row.reason), (None, 0, None));
    }

    /// FLT-01, FLT-02
    async fn a_mail_that_left_while_the_database_went_away_leaves_once(db: Database) {
        let (server, house) = house_with_scripted_server(db).await;
        server.follow(|step| match step.verb {
            "." => Answer::After(SECOND),
            _ => Answer::Agree,
        });
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        eventually("the letter to be under way", async || !server.handed().is_empty()).await;
        let away = take_database_away(&house).await;
        let mail = server.letter_for("ada@example.org").await.mail();
        tokio::time::sleep(6 * SECOND).await; // longer than a writer waits for its turn
        away.comes_back(&house).await;

        eventually("it to be written down", async || states(&house).await == ["sent"]).await;
        house.advance(MINUTE);
        house.visitor().ask("/register", "ben@example.org").await.sees_inbox_page();
        server.letter_for("ben@example.org").await;
        assert_eq!(server.taken_for("ada@example.org").len(), 1);
        ada.confirm(&mail.link).await;
    }

    /// OBX-10
    async fn a_worker_that_stops_finishes_a_letter_and_gives_back_the_rest(db: Database) {
        const MAILS: usize = 20;
        let (server, mut house) = house_with_scripted_server(db).await;
        house.stop_worker();
        ask_at_once(&house, MAILS).await;
        server.follow(|step| match step.verb {
            "." => Answer::After(Duration::from_millis(200)),
            _ => Answer::Agree,
        });
        house.start_worker();
        server.takes(1).await;
        let began = Instant::now();
        house.stop_worker();
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

        let taken = server.handed().len();
        assert!(taken < MAILS, "stopped amid the work");
        let states = states(&house).await;
        assert_eq!(states.iter().filter(|state| **state == "sent").count(), taken, "{states:?}");
        let now = house.clock.now();
        let held = rows(&house).await.into_iter().filter(|row| row.due_at > Some(now));
        assert_eq!(held.count(), 0, "another node need not wait for a lease to end");

        server.agree();
        let url = server.url();
        let house = house.restart(&[("SMTP_URL", &url)]).await;
        server.takes(MAILS).await;
        everything_is_settled(&house).await;
        assert_eq!(server.handed().len(), MAILS, "none lost and none twice");
    }
}

// --- who is mailed ---

on_both! {
    /// ENU-01, ENU-03
    async fn a_closed_house_mails_nothing_to_a_stranger(db: Database) {
        for sign_up in ["invited", "example.org"] {
            let server = ScriptedServer::start();
            let open = House::with(db, &[("SMTP_URL", &server.url())]).await;
            members(&server, &open, ["ann@elsewhere.test"]).await;
            let house = open.restart(&[("SMTP_URL", &server.url()), ("SIGN_UP", sign_up)]).await;

            for (asked_before, route) in ["/sign-in", "/register", "/confirm-email/send"].into_iter().enumerate() {
                house.advance(MINUTE);
                let member = house.visitor().ask(route, "ann@elsewhere.test").await;
                let stranger = house.visitor().ask(route, "eve@elsewhere.test").await;
                assert_eq!(masked(&member), masked(&stranger), "{route}");
                member.sees_inbox_page();
                stranger.sees_inbox_page();
                // Else the next ask would end this one's link before its letter has left.
                server.letters_for("ann@elsewhere.test", asked_before + 2).await;
            }
            everything_is_settled(&house).await;
            assert!(rows(&house).await.iter().all(|row| row.email == "ann@elsewhere.test"), "{sign_up}");
            assert_eq!(server.times_named("eve@elsewhere.test"), 0, "{sign_up}");
        }
    }

    /// Promise 25: news that another transaction posts while the account is deleted; the deletion cannot see it.
    async fn news_posted_beside_the_deletion_of_its_account_is_not_sent(db: Database) {
        let mut house = House::new(db).await;
        let ada = house.owner("ada@example.org").await;
        house.all_mail_to("ada@example.org").await; // until nothing waits
        house.hold_mail();
        let (go, news) = news_under_way(&house).await;
        let deletion = tokio::spawn(async move { ada.post("/account/delete", &[("email", "ada@example.org")]).await });
        if db == Database::Postgres {
            house.seen("SELECT 1 - count(*) AS n FROM users").await;
        } // On SQLite there is one writer: the deletion waits for its turn.
        go.send(()).unwrap();
        news.await.unwrap().unwrap();
        deletion.await.unwrap().goes_on_to("/");

        house.release_mail();
        house.all_mail_to("ada@example.org").await;
        let told: Vec<String> = house.everything_to("ada@example.org").await.into_iter().map(|mail| mail.subject).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("deleted"), "{told:?}");
        assert_eq!(house.count("SELECT count(*) AS n FROM outbox WHERE letter = 'new_browser'").await, 0, "nor kept");
    }
}

/// What a page's headers say, but for what no two pages share.
fn masked(page: &Page) -> Vec<(String, String)> {
    let mut masked: Vec<_> = page
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| {
            let value = value.to_str().unwrap();
            // A sealed cookie: its name, its length and its attributes.
            let value = match (name.as_str(), value.split_once('=')) {
                ("set-cookie", Some((cookie, rest))) => {
                    let (sealed, attributes) = rest.split_once(';').unwrap();
                    format!("{cookie}={};{attributes}", sealed.len())
                }
                _ => value.to_owned(),
            };
            (name.to_string(), value)
        })
        .collect();
    masked.sort();
    masked
}

// --- the house and its server ---

async fn house_with_scripted_server(db: Database) -> (ScriptedServer, House) {
    let server = ScriptedServer::start();
    let house = House::with(db, &[("SMTP_URL", &server.url())]).await;
    (server, house)
}

/// People with an account, who may ask for mail again.
async fn members<const N: usize>(
    server: &ScriptedServer,
    house: &House,
    addresses: [&str; N],
) -> [Visitor; N] {
    let members = addresses.map(|_| house.visitor());
    for (member, address) in members.iter().zip(addresses) {
        member.ask("/register", address).await.sees_inbox_page();
        let mail = server.letter_for(address).await.mail();
        member.confirm(&mail.link).await;
    }
    house.advance(MINUTE);
    members
}

/// So many strangers ask at the same time, over connections that are open already: `v0@example.org` and
/// so on.
async fn ask_at_once(house: &House, how_many: usize) {
    let visitors: Vec<(Visitor, String)> = (0..how_many)
        .map(|n| (house.visitor(), format!("v{n}@example.org")))
        .collect();
    join_all(visitors.iter().map(|(visitor, _)| visitor.get("/"))).await;
    let asks = visitors
        .iter()
        .map(|(visitor, address)| visitor.ask("/register", address));
    for page in join_all(asks).await {
        page.sees_inbox_page();
    }
}

/// Two connections, and others once one of them ends.
fn two_at_a_time() -> impl FnMut(&Step<'_>) -> Answer + Send + 'static {
    let mut connected = 0;
    move |step| {
        match step.verb {
            "CONNECT" if connected == 2 => {
                return Answer::Say("421 4.7.0 too many connections from you");
            }
            "CONNECT" => connected += 1,
            "QUIT" => connected -= 1,
            _ => {}
        }
        Answer::Agree
    }
}

/// A database that nobody can write to.
enum Away {
    /// Somebody else is writing, and does not come to an end.
    Locked(SqliteConnection),
    ShutDown,
}

#[expect(clippy::disallowed_methods, reason = "somebody else's connection")]
async fn take_database_away(house: &House) -> Away {
    let doorpost::config::DatabaseUrl::Sqlite(path) = &house.app.config.database.url else {
        house.set_database_away(true).await;
        return Away::ShutDown;
    };
    let mut somebody = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    somebody.batch_execute("BEGIN IMMEDIATE").unwrap();
    Away::Locked(somebody)
}

impl Away {
    async fn comes_back(self, house: &House) {
        match self {
            Self::Locked(mut somebody) => somebody.batch_execute("ROLLBACK").unwrap(),
            Self::ShutDown => house.set_database_away(false).await,
        }
    }
}

fn somebody() -> Client {
    Client {
        network: Network::of("192.0.2.1".parse().unwrap()),
        product: Some("Firefox on Linux".to_owned()),
        is_program: false,
        label: Label::default(),
        request_id: "none".into(),
    }
}

/// So much news to readers who wait for none.
async fn post_news(house: &House, how_many: usize) {
    let outbox = house.app.outbox.clone();
    let client = somebody();
    let posted = house.app.transaction(move |tx| {
        (0..how_many).try_for_each(|n| {
            let to = format!("reader{n}@example.org");
            outbox.tell(tx, &to, Notice::NewBrowser, &client)
        })
    });
    posted.await.unwrap();
}

/// So many copies of an announcement, to readers `many0@example.org` and so on.
async fn post_bulk(house: &House, how_many: usize) {
    let outbox = house.app.outbox.clone();
    let posted = house.app.transaction(move |tx| {
        (0..how_many).try_for_each(|n| {
            let letter = Letter {
                name: "announcement",
                to: format!("many{n}@example.org"),
                content: Content {
                    subject: "News".into(),
                    text: "News.".into(),
                    html: "<p>News.</p>".into(),
                    unsubscribe: Some("https://door.example.org/unsubscribe?token=x".into()),
                },
                account: None,
                link_hash: None,
                priority: Priority::Bulk,
                useful_for: MINUTE,
                leaves_no_trace: false,
            };
            outbox.post(tx, &letter)
        })
    });
    posted.await.unwrap();
}

/// The same answer once more.
fn again(answer: &Answer) -> Answer {
    match answer {
        Answer::Say(words) => Answer::Say(words),
        _ => Answer::HangUp,
    }
}

async fn ready(house: &House) -> String {
    let page = house.visitor().get("/readyz").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    page.body
}

// --- the outbox ---

#[derive(Debug, Queryable)]
struct Row {
    id: String,
    email: String,
    state: String,
    body: Option<Vec<u8>>,
    link_hash: Option<Vec<u8>>,
    due_at: Option<i64>,
    tries: i32,
    reason: Option<String>,
}

async fn rows(house: &House) -> Vec<Row> {
    use schema::outbox::{body, due_at, email, id, link_hash, reason, state, table, tries};
    let rows = house.app.read(|tx| {
        Ok(table
            .select((id, email, state, body, link_hash, due_at, tries, reason))
            .order((state, email))
            .load(tx.conn)?)
    });
    rows.await.unwrap()
}

async fn states(house: &House) -> Vec<String> {
    let rows = rows(house).await.into_iter();
    rows.map(|row| row.state).collect()
}

async fn row_for(house: &House, address: &str, state: &str) -> Row {
    let rows = rows(house).await;
    let known: Vec<_> = rows
        .iter()
        .map(|row| (row.email.clone(), row.state.clone(), row.reason.clone()))
        .collect();
    rows.into_iter()
        .find(|row| row.email == address && row.state == state)
        .unwrap_or_else(|| panic!("no {state} mail for {address}: {known:?}"))
}

/// What a node's worker takes at once.
async fn claim(house: &House) -> Vec<outbox::Claimed> {
    let claimed = house
        .app
        .transaction(|tx| outbox::claim(tx, 8, Priority::News));
    claimed.await.unwrap()
}

/// News to Ada whose transaction has posted them, and ends when it is told to go on.
async fn news_under_way(
    house: &House,
) -> (
    std::sync::mpsc::Sender<()>,
    tokio::task::JoinHandle<doorpost::error::Result<()>>,
) {
    let (go, going) = std::sync::mpsc::channel();
    let (posts, posted) = tokio::sync::oneshot::channel();
    let app = house.app.clone();
    let news = tokio::spawn(async move {
        let outbox = app.outbox.clone();
        app.transaction(move |tx| {
            outbox.tell(tx, "ada@example.org", Notice::NewBrowser, &somebody())?;
            posts.send(()).unwrap();
            going.recv().unwrap();
            Ok(())
        })
        .await
    });
    posted.await.unwrap();
    (go, news)
}

/// Has mail handed over as it is posted, as a slot does that found nothing in the table.
fn open_handover(house: &House) {
    house.app.outbox.take_on();
    house.app.outbox.looked(Priority::News, 8, &[]);
}

/// How much a node holds.
async fn claimed(house: &House) -> i64 {
    house
        .count("SELECT count(*) AS n FROM outbox WHERE claim IS NOT NULL")
        .await
}

async fn everything_is_settled(house: &House) {
    eventually("the outbox to be empty", async || {
        !states(house).await.contains(&"queued".to_owned())
    })
    .await;
}

/// The files of the database, as far as it has any that we can read.
fn files(house: &House) -> Vec<(PathBuf, Vec<u8>)> {
    let doorpost::config::DatabaseUrl::Sqlite(path) = &house.app.config.database.url else {
        return Vec::new();
    };
    let folder = Path::new(path).parent().unwrap();
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn names_of_our_headers(mail: &Value) -> Vec<&str> {
    const OF_SERVERS: [&str; 4] = ["Return-Path", "X-Original-To", "Delivered-To", "Received"];
    let names = mail["headers"].as_object().unwrap().keys();
    let mut ours: Vec<&str> = names
        .map(String::as_str)
        .filter(|name| !OF_SERVERS.contains(name))
        .collect();
    ours.sort_unstable();
    ours
}

/// A link without its origin: the test's house listens elsewhere than its PUBLIC_URL says.
fn path_of(link: &str) -> &str {
    link.strip_prefix("https://door.example.org").unwrap()
}
