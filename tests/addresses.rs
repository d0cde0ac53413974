//! One canonical form per address: what is refused leaves no trace, what is taken gets exactly one mail, at
//! the stored form.

use reqwest::StatusCode;

use crate::support::{Database, Handed, House, ScriptedServer};

/// The routes that take an address to mail to.
const ROUTES: [&str; 3] = ["/register", "/sign-in", "/confirm-email/send"];

/// What is no address, or more than one. ADR-01, ADR-02, ADR-08.
fn refused() -> Vec<String> {
    let mut refused: Vec<String> = [
        // control characters, with what an attacker would like to follow
        "eve@example.org\r\nBcc: all@example.org",
        "eve@example.org\rBcc: all@example.org",
        "eve@example.org\nBcc: all@example.org",
        "eve@example.org\r\nRCPT TO:<all@example.org>",
        "eve@example.org>\r\nRCPT TO:<all@example.org",
        "eve@example.org\r\n.\r\nMAIL FROM:<a@example.org>",
        "\r\neve@example.org",
        "eve@example.org\r\n",
        "eve@example.org\n",
        "\teve@example.org",
        "eve\t@example.org",
        "eve@example.org\t",
        "eve\0@example.org",
        "eve@example.org\0",
        "eve@exam\0ple.org",
        "eve\u{2028}@example.org",
        "eve@example.org\u{2028}",
        "eve@exam\u{2029}ple.org",
        "eve\u{85}@example.org",
        "eve@example.org\u{85}",
        "eve\u{7f}@example.org",
        "eve\u{1b}[31m@example.org",
        // what nobody sees, inside
        "ev\u{a0}e@example.org",
        "ev\u{feff}e@example.org",
        "eve@exam\u{200e}ple.org",
        "eve@example.org\u{202e}x",
        "eve@exam\u{3000}ple.org",
        "eve%0d%0aBcc:all@example.org",
        "eve@example.org%0d%0aBcc:all",
        "eve@example.org%00",
        // nothing like an address
        "",
        " ",
        "eve",
        "@",
        "@example.org",
        "eve@",
        "eve@@example.org",
        "eve@example@org",
        "example.org",
        "mailto:eve@example.org",
        // more than one, or more than an address
        "eve@example.org,all@example.org",
        "eve@example.org, all@example.org",
        "eve@example.org;all@example.org",
        "eve@example.org all@example.org",
        "Eve <eve@example.org>",
        "<eve@example.org>",
        "eve@example.org>,<all@example.org",
        "eve@example.org> SIZE=1",
        "eve@example.org (Eve)",
        "(c)eve@example.org",
        "eve(c)@example.org",
        "group:eve@example.org;",
        "eve @example.org",
        "eve@ example.org",
        "e ve@example.org",
        // quoted, escaped, routed
        "\"e ve\"@example.org",
        "\"eve\"@example.org",
        "\"e@ve\"@example.org",
        "\"e\\\"ve\"@example.org",
        "\"\"@example.org",
        "e\\ve@example.org",
        "eve%all@example.org",
        "all!eve@example.org",
        "@relay.example:eve@example.org",
        // dots
        ".eve@example.org",
        "eve.@example.org",
        "e..ve@example.org",
        "eve@example.org.",
        "eve@.example.org",
        "eve@example..org",
        // no host of others
        "eve@localhost",
        "eve@example",
        "eve@[127.0.0.1]",
        "eve@127.0.0.1",
        "eve@127.1",
        "eve@0x7f.1",
        "eve@2130706433",
        "eve@[IPv6:::1]",
        "eve@::1",
        "eve@exam_ple.org",
        "eve@-example.org",
        "eve@example-.org",
        "eve@exam/ple.org",
        "eve@example.org:25",
        "eve@example.org?a",
        "eve@example.org#a",
        "eve@xn--a.example",
        "eve@xn--.example",
        "eve@exam\u{200b}ple\u{2024}org@",
        // outside ASCII before the @
        "évé@example.org",
        "\u{435}ve@example.org",
        "eve\u{200d}@example.org",
        "ｅve@example.org",
        "e\u{301}ve@example.org",
        "✉@example.org",
    ]
    .map(str::to_owned)
    .into();
    let label = "d".repeat(63);
    refused.extend([
        format!("{}@example.org", "l".repeat(65)),
        format!("eve@{label}d.org"),
        format!("{}@{label}.{label}.{}.org", "l".repeat(64), "d".repeat(58)), // 255
        format!("eve@{}org", "a.".repeat(160)),
        format!("{}@example.org", "l".repeat(10_000)),
        format!("eve@{}.org", "d.".repeat(5_000)),
    ]);
    refused
}

/// What is one, and the form in which it is kept. ADR-02, ADR-05, ADR-08.
fn taken() -> Vec<(String, String)> {
    let mut taken: Vec<(String, String)> = [
        ("ada@example.org", "ada@example.org"),
        ("  bea@example.org ", "bea@example.org"),
        // what nobody sees around it
        ("\u{a0}nbsp@example.org\u{a0}", "nbsp@example.org"),
        ("\u{feff}bom@example.org", "bom@example.org"),
        ("zwsp@example.org\u{200b}", "zwsp@example.org"),
        ("\u{202e}rlo@example.org\u{202c}", "rlo@example.org"),
        (
            "\u{2009}\u{3000} wide@example.org\u{200e}\u{fe0f} ",
            "wide@example.org",
        ),
        ("Cyd.Lee@EXAMPLE.org", "cyd.lee@example.org"),
        ("DAN@example.ORG", "dan@example.org"),
        // no folding of dots or plus signs, whoever the provider is
        ("e.v.e@gmail.com", "e.v.e@gmail.com"),
        ("eve@gmail.com", "eve@gmail.com"),
        ("eve+tag@gmail.com", "eve+tag@gmail.com"),
        ("eve@googlemail.com", "eve@googlemail.com"),
        ("+tag@example.org", "+tag@example.org"),
        ("o'hara@example.org", "o'hara@example.org"),
        ("a`b@example.org", "a`b@example.org"),
        ("a/b@example.org", "a/b@example.org"),
        ("{a}@example.org", "{a}@example.org"),
        ("a|b~c@example.org", "a|b~c@example.org"),
        ("a=3D@example.org", "a=3d@example.org"),
        ("=?utf-8?q?a?=@example.org", "=?utf-8?q?a?=@example.org"),
        (
            "#$&'*+-/=?^_`{|}~@example.org",
            "#$&'*+-/=?^_`{|}~@example.org",
        ),
        ("-ann@example.org", "-ann@example.org"),
        ("1@example.org", "1@example.org"),
        ("a@b.c.d.e.example", "a@b.c.d.e.example"),
        ("a@3com.com", "a@3com.com"),
        // international domains, as A-labels
        ("idn@bücher.example", "idn@xn--bcher-kva.example"),
        ("idn2@BÜCHER.EXAMPLE", "idn2@xn--bcher-kva.example"),
        ("idn3@bu\u{308}cher.example", "idn3@xn--bcher-kva.example"),
        ("idn4@XN--BCHER-KVA.example", "idn4@xn--bcher-kva.example"),
        ("idn5@straße.example", "idn5@xn--strae-oqa.example"),
        ("idn6@例え.テスト", "idn6@xn--r8jz45g.xn--zckzah"),
        ("idn7@example\u{3002}org", "idn7@example.org"),
        ("idn8@ｅxample.org", "idn8@example.org"),
    ]
    .map(|(typed, stored)| (typed.to_owned(), stored.to_owned()))
    .into();
    let label = "d".repeat(63);
    for longest in [
        format!("{}@example.org", "l".repeat(64)),
        format!("longest@{label}.org"),
        format!("{}@{label}.{label}.{}.org", "l".repeat(64), "d".repeat(57)), // 254
    ] {
        taken.push((longest.clone(), longest));
    }
    taken
}

/// A mail server may deliver it as it is.
#[track_caller]
fn is_proper(letter: &Handed, house_says: &str) {
    let mail = letter.mail(); // strictly read
    for name in [
        "subject",
        "to",
        "from",
        "date",
        "message-id",
        "mime-version",
        "content-type",
    ] {
        letter.header(name);
    }
    for (name, value) in [
        ("auto-submitted", "auto-generated"),
        ("x-auto-response-suppress", "All"),
    ] {
        assert_eq!(letter.header(name), value, "{house_says}");
    }
    let names = letter.header_names();
    for name in ["bcc", "cc", "reply-to", "sender", "return-path"] {
        assert!(
            !names.iter().any(|found| found == name),
            "{house_says}: {name}"
        );
    }
    assert_eq!(
        mail.text.matches("://").count(),
        1,
        "one URL in the text:\n{}",
        mail.text
    );
    assert!(
        mail.link.starts_with("https://sign.example.test/"),
        "{}",
        mail.link
    );
    assert!(
        mail.text.lines().any(|line| line == mail.link),
        "visible, on a line of its own"
    );
    for load in [
        "<img", "src=", "url(", "<link", "<script", "<form", "@import",
    ] {
        assert!(!mail.html.contains(load), "{load} in the HTML part");
    }
    for address in mail.html.split("href=\"").skip(1) {
        assert_eq!(
            address.split('"').next(),
            Some(&*mail.link),
            "another link in the HTML part"
        );
    }
    for part in [&mail.text, &mail.html] {
        assert!(part.contains("work once, within "), "says how long: {part}");
        assert!(
            part.contains("Ignore this message"),
            "says what to do if it was not you"
        );
        assert!(part.contains("Never tell the code to anyone"));
        assert!(!part.chars().any(|sign| sign.is_control() && sign != '\n'));
    }
}

on_both! {
    /// ADR-01, ADR-02, ADR-08
    async fn what_is_refused_leaves_no_trace(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(db, &sink, &[]).await;
        let refused = refused();
        assert!(refused.len() >= 80);
        for typed in &refused {
            for route in ROUTES {
                let page = house.visitor().ask(route, typed).await;
                assert_eq!(
                    page.status,
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "{route} with {typed:?}"
                );
                assert!(page.set_cookies().is_empty(), "{route} with {typed:?}");
            }
        }
        for table in [
            "SELECT count(*) AS n FROM outbox",
            "SELECT count(*) AS n FROM links",
            "SELECT count(*) AS n FROM limits",
            "SELECT count(*) AS n FROM users",
        ] {
            assert_eq!(house.count(table).await, 0, "{table}");
        }
        // One that is taken, as a mark: whatever was to come before it has come.
        house
            .visitor()
            .ask("/register", "last@example.org")
            .await
            .sees_inbox_page();
        sink.letter_for("last@example.org").await;
        assert_eq!(sink.taken().len(), 1);
        for command in sink.commands() {
            assert!(
                !command.contains("eve@") && !command.contains("all@"),
                "{command:?}"
            );
        }
    }

    /// Whoever typed it sees no mistake in it, so they are told what it is; wherever an address is typed.
    async fn what_nobody_sees_in_an_address_is_named(db: Database) {
        let house = House::new(db).await;
        let owner = house.owner("ada@example.org").await;
        let (asked, mail) = house.asked("/sign-in", "ada@example.org").await;
        drop(asked);
        let link = [("token", mail.token())];
        for (typed, name) in [
            ("ev\u{a0}e@example.org", "There is a no-break space (U+00A0) in this address."),
            ("eve@exam\u{200e}ple.org", "There is an invisible mark of the writing direction (U+200E)"),
            ("eve@example.org\t", "There is a tab (U+0009)"),
            ("e\u{200b}ve@example.org", "There is a zero-width space (U+200B)"),
        ] {
            for (route, visitor, beside) in [
                ("/register", house.visitor(), &[][..]),
                ("/sign-in", house.visitor(), &[]),
                ("/forgot-password", house.visitor(), &[]),
                ("/sign-in/password", house.visitor(), &[("password", "x")]),
                ("/sign-in/link", house.visitor(), &link),
                ("/account/email", owner.clone(), &[]),
                ("/account/delete", owner.clone(), &[]),
            ] {
                let fields = [&[("email", typed)], beside].concat();
                visitor.post(route, &fields).await.says_mistake(name);
            }
            let body = serde_json::json!({"email": typed}).to_string();
            let program = house.visitor();
            let request = program.request(reqwest::Method::POST, "/api/v1/sign-in-codes");
            let page = program.send(request.header("content-type", "application/json").body(body)).await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(page.body.contains(name), "{}", page.body);
        }
    }

    /// ADR-02, ADR-05, ADR-07, ADR-08
    async fn what_is_taken_gets_one_mail_at_the_stored_form(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(
            db,
            &sink,
            &[(
                "MAIL_FROM",
                "\"Türsteher, <the> first\" <doorpost@example.test>",
            )],
        )
        .await;
        let taken = taken();
        for (number, (typed, _)) in taken.iter().enumerate() {
            let route = ROUTES[number % 3];
            let page = house.visitor().ask(route, typed).await;
            assert_eq!(page.status, StatusCode::SEE_OTHER, "{route} with {typed:?}");
        }
        for (typed, stored) in &taken {
            let letter = sink.letter_for(stored).await;
            assert_eq!(&letter.to, &[stored.as_str()], "{typed:?}");
            assert_eq!(letter.from, "doorpost@example.test");
            assert_eq!(&letter.header("to"), stored, "{typed:?}");
            is_proper(&letter, typed);
        }
        assert_eq!(sink.taken().len(), taken.len());
        let recipients = sink
            .commands()
            .iter()
            .filter(|line| line.starts_with("RCPT TO:<"))
            .count();
        assert_eq!(recipients, taken.len());
    }

    /// ADR-05
    async fn however_it_is_spelt_the_same_mailbox_is_mailed_and_limited(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(db, &sink, &[]).await;
        for (number, typed) in [
            "ANN@bücher.example",
            "ann@BÜCHER.Example",
            " ann@xn--bcher-kva.example",
            "Ann@XN--BCHER-KVA.EXAMPLE",
        ]
        .into_iter()
        .enumerate()
        {
            house
                .visitor()
                .ask(ROUTES[number % 3], typed)
                .await
                .sees_inbox_page();
        }
        sink.letter_for("ann@xn--bcher-kva.example").await;
        assert_eq!(
            house.count("SELECT count(*) AS n FROM outbox").await,
            1,
            "one mail within the gap"
        );
        // Any of them passes for the address that the link was sent to.
        let token = sink
            .letter_for("ann@xn--bcher-kva.example")
            .await
            .mail()
            .token()
            .to_owned();
        let ann = house.visitor();
        let done = ann
            .post(
                "/confirm-email",
                &[("token", &token), ("email", "aNN@Bücher.EXAMPLE")],
            )
            .await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
        assert_eq!(
            ann.signed_in_as().await.as_deref(),
            Some("ann@bücher.example")
        );
        // And a dot or a plus sign makes another mailbox.
        for other in ["a.nn@xn--bcher-kva.example", "ann+1@xn--bcher-kva.example"] {
            house
                .visitor()
                .ask("/sign-in", other)
                .await
                .sees_inbox_page();
            let subject = sink.letter_for(other).await.mail().subject;
            assert!(
                subject.starts_with("Confirm your email address"),
                "{other}: {subject}"
            );
        }
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 1);
    }

    /// Wherever a page shows it; it is kept and mailed as mail servers know it. One that looks like another is shown as
    /// it is kept.
    async fn an_address_is_shown_as_people_write_it_where_that_deceives_nobody(db: Database) {
        let house = House::new(db).await;
        for (typed, kept, shown) in [
            ("ada@Bücher.example", "ada@xn--bcher-kva.example", "ada@bücher.example"),
            ("ada@почта.рф", "ada@xn--80a1acny.xn--p1ai", "ada@почта.рф"),
            ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah", "ada@例え.テスト"),
            ("ada@аррӏе.example", "ada@xn--80ak6aa92e.example", "ada@xn--80ak6aa92e.example"),
            ("ada@exаmple.org", "ada@xn--exmple-4nf.org", "ada@xn--exmple-4nf.org"),
        ] {
            let ada = house.visitor();
            ada.ask("/register", typed).await.sees_inbox_page();
            let sent = ada.get("/sign-in/sent").await;
            assert!(sent.body.contains(&format!("<strong>{shown}</strong>")), "{shown}: {}", sent.body);
            let mail = house.mail_to(kept).await;
            ada.confirm(&mail.link).await;
            for path in ["/", "/members", "/account", "/account/sessions"] {
                let page = ada.get(path).await;
                assert!(page.body.contains(shown), "{path}: {shown}: {}", page.body);
                assert!(kept == shown || !page.body.contains(kept), "{path}: {}", page.body);
            }
            let named = format!("SELECT count(*) AS n FROM users WHERE email = '{kept}'");
            assert_eq!(house.count(named).await, 1);
            // What is shown in a field may be sent back as it stands.
            house.advance(std::time::Duration::from_secs(61));
            let again = house.visitor();
            again.ask("/sign-in", shown).await.sees_inbox_page();
            assert_eq!(house.all_mail_to(kept).await.len(), 2);
        }
    }

    /// ADR-06, ADR-07
    async fn nothing_else_a_visitor_sends_gets_into_a_letter(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(db, &sink, &[]).await;
        let long = "evil. ".repeat(500);
        let values = [
            "evil.",
            "<a href=//evil.test>evil.</a>",
            "https://evil.test/",
            "[evil.](https://evil.test)",
            "=?utf-8?q?evil.=0d=0aBcc:_all=40example.org?=",
            "evil.%0d%0aBcc: all@example.org",
            "{{ evil. }} {% evil. %} ${evil.}",
            "evil.\t\tevil.",
            &long,
        ];
        for (number, value) in values.into_iter().enumerate() {
            let email = format!("ada{number}@example.org");
            let ada = house.visitor();
            let fields = [
                ("email", email.as_str()),
                ("next", value),
                ("name", value),
                ("subject", value),
                ("shared", value),
            ];
            let mut request = ada.form("/register", &fields);
            for name in [
                "user-agent",
                "x-forwarded-for",
                "referer",
                "accept-language",
                "x-forwarded-user",
                "cookie",
            ] {
                request = request.header(name, value);
            }
            if !value.contains(['<', '{', '[', '%', '\t', ' ', '=']) {
                request = request.header("host", value.trim_start_matches("https://"));
            }
            ada.send(request).await.sees_inbox_page();
            let letter = sink.letter_for(&email).await;
            is_proper(&letter, value);
            let mail = letter.mail();
            for part in [&letter.raw, &mail.subject, &mail.text, &mail.html] {
                assert!(
                    !part.contains("evil.") && !part.contains("all@"),
                    "{value}: {part}"
                );
            }
        }
    }

    /// ADR-07
    async fn an_address_is_text_wherever_it_is_shown(db: Database) {
        let sink = ScriptedServer::start();
        let house = House::public(db, &sink, &[]).await;
        let email = "&'*{}`=?|~/@example.org";
        let ada = house.visitor();
        ada.ask("/register", email).await.sees_inbox_page();
        let letter = sink.letter_for(email).await;
        is_proper(&letter, email);
        let mail = letter.mail();
        let escaped = "&#38;&#39;*{}`=?|~/@example.org";
        assert!(mail.text.contains(email), "{}", mail.text);
        assert!(
            mail.html.contains(escaped) && !mail.html.contains("&'*"),
            "{}",
            mail.html
        );
        let sent = ada.get("/sign-in/sent").await;
        assert!(
            sent.body.contains(escaped) && !sent.body.contains("&'*"),
            "{}",
            sent.body
        );
        ada.confirm(mail.path()).await;
        for path in ["/", "/account", "/members"] {
            let page = ada.get(path).await;
            assert!(
                page.body.contains(escaped) && !page.body.contains("&'*"),
                "{path}: {}",
                page.body
            );
        }
    }
}
