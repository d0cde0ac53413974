//! A link by mail sets the password: it ends everything, and signs nobody in.

use std::time::Duration;

use reqwest::StatusCode;

use crate::support::{Database, House, Mail, PASSWORD, Page, Visitor, at_once};

const ADA: &str = "ada@example.org";
const NEW: &str = "quite another horse altogether";
const GAP: Duration = Duration::from_secs(61);

async fn choose(visitor: &Visitor, mail: &Mail, password: &str) -> Page {
    let fields = [
        ("token", mail.token()),
        ("email", ADA),
        ("password", password),
    ];
    visitor.post("/reset-password", &fields).await
}

on_both! {
    /// SUD-12, SES-06, TOK-13
    async fn it_ends_every_session_and_link_signs_nobody_in_and_tells_the_mailbox(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password(ADA).await;
        let (_, sign_in_link) = house.asked("/sign-in", ADA).await;
        house.advance(GAP);
        let (asker, mail) = house.asked("/forgot-password", ADA).await;
        assert_eq!((mail.route(), &mail.code), ("/reset-password", &None));
        let waiting = asker.get("/sign-in/sent").await;
        assert!(!waiting.body.contains("name=\"code\""), "{}", waiting.body);

        let page = asker.open(&mail.link).await;
        assert!(page.body.contains("autocomplete=\"new-password\"") && !page.body.contains("maxlength"));
        assert!(ada.signed_in_as().await.is_some(), "looking changes nothing");
        let token = page.hidden("token").unwrap();
        let set = asker.post("/reset-password", &[("token", &token), ("password", NEW)]).await;
        set.goes_on_to("/sign-in/password");
        for visitor in [&ada, &asker] {
            assert_eq!(visitor.signed_in_as().await, None);
        }
        house.visitor().use_link(&sign_in_link, ADA).await.says_the_link_is_gone();
        let page = asker.follow(set).await;
        assert!(page.body.contains("Your password is set.") && page.body.contains(ADA));
        assert_eq!(house.visitor().enter(ADA, PASSWORD).await.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(house.visitor().enter(ADA, NEW).await.status, StatusCode::SEE_OTHER);
        let subjects: Vec<String> =
            house.news_to(ADA).await.into_iter().map(|news| news.subject).collect();
        assert!(subjects.iter().any(|subject| subject.ends_with("was set")), "{subjects:?}");
    }

    /// ENU-01: known, unknown, without a password.
    async fn asking_looks_the_same_for_every_address(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        house.member("lnk@example.org").await;
        let mut looks = Vec::new();
        for address in [ADA, "lnk@example.org", "non@example.org"] {
            let visitor = house.visitor();
            let asked = visitor.ask("/forgot-password", address).await;
            let waiting = visitor.get("/sign-in/sent").await;
            looks.push((asked.looks(), waiting.looks().replace(address, "ADDRESS")));
        }
        looks.dedup();
        assert_eq!(looks.len(), 1, "{looks:#?}");
        assert!(house.all_mail_to("non@example.org").await.is_empty());
        assert_eq!(house.all_mail_to("lnk@example.org").await[0].route(), "/reset-password");
    }

    /// TOK-01, TOK-02
    async fn a_link_sets_one_password_however_many_come_at_once(db: Database) {
        let house = House::with(db, &[
            ("ARGON2_PARALLEL", "64"), ("LIMIT_TOKEN_PER_NETWORK", "off"),
        ]).await;
        house.member_with_password(ADA).await;
        let (_, mail) = house.asked("/forgot-password", ADA).await;
        let tries = (0..50).map(|n| {
            let (visitor, mail) = (house.visitor(), mail.clone());
            async move { choose(&visitor, &mail, &format!("one of fifty horses: {n}")).await.status }
        });
        let answers = at_once(tries).await;
        assert_eq!(answers.iter().filter(|status| **status == StatusCode::SEE_OTHER).count(), 1);
        assert_eq!(answers.iter().filter(|status| **status == StatusCode::GONE).count(), 49);
        let winner = answers.iter().position(|status| *status == StatusCode::SEE_OTHER).unwrap();
        let winning = format!("one of fifty horses: {winner}");
        assert_eq!(house.visitor().enter(ADA, &winning).await.status, StatusCode::SEE_OTHER);
        choose(&house.visitor(), &mail, NEW).await.says_the_link_is_gone();
        let told = house.news_to(ADA).await;
        assert_eq!(told.iter().filter(|news| news.subject.ends_with("was set")).count(), 1);
    }

    /// TOK-06, TOK-07
    async fn it_lives_for_half_an_hour(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let (_, mail) = house.asked("/forgot-password", ADA).await;
        assert!(mail.text.contains("within 30 minutes"), "{}", mail.text);
        house.advance(Duration::from_secs(30 * 60 - 1));
        choose(&house.visitor(), &mail, "short").await.says_mistake("too short");
        house.advance(Duration::from_secs(1));
        choose(&house.visitor(), &mail, NEW).await.says_the_link_is_gone();
    }

    /// TOK-08: it is good for nothing else, and lives on.
    async fn it_opens_no_other_route(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let (_, mail) = house.asked("/forgot-password", ADA).await;
        let visitor = house.visitor();
        for route in ["/sign-in/link", "/confirm-email", "/account/email/confirm", "/account/email/undo"] {
            let fields = [("token", mail.token()), ("email", ADA), ("password", NEW)];
            visitor.post(route, &fields).await.says_the_link_is_gone();
            assert_eq!(visitor.signed_in_as().await, None);
        }
        choose(&visitor, &mail, NEW).await.goes_on_to("/sign-in/password");
    }

    /// TOK-22
    async fn elsewhere_it_wants_the_address_and_the_third_wrong_one_ends_it(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let (_, mail) = house.asked("/forgot-password", ADA).await;
        let elsewhere = house.visitor();
        let page = elsewhere.open(&mail.link).await;
        assert!(!page.body.contains(ADA), "no more than a hint");
        let guess = [("token", mail.token()), ("email", "eve@example.org"), ("password", NEW)];
        for _ in 0..2 {
            elsewhere.post("/reset-password", &guess).await.says_mistake("was not sent to this address");
        }
        elsewhere.post("/reset-password", &guess).await.says_the_link_is_gone();
        choose(&elsewhere, &mail, NEW).await.says_the_link_is_gone();
        assert_eq!(house.visitor().enter(ADA, PASSWORD).await.status, StatusCode::SEE_OTHER);
    }

    /// Section 7: a finished reset empties the account's budget of wrong passwords.
    async fn whoever_was_locked_out_by_others_gets_in_after_it(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        for _ in 0..5 {
            house.visitor().enter(ADA, "a horse that eats nothing").await;
        }
        assert_eq!(house.visitor().enter(ADA, PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
        let (asker, mail) = house.asked("/forgot-password", ADA).await;
        choose(&asker, &mail, NEW).await.goes_on_to("/sign-in/password");
        assert_eq!(house.visitor().enter(ADA, NEW).await.status, StatusCode::SEE_OTHER);
    }

    async fn browsers_the_account_knew_are_strangers_again(db: Database) {
        let house = House::new(db).await;
        let ada = house.member_with_password(ADA).await;
        let (asker, mail) = house.asked("/forgot-password", ADA).await;
        choose(&asker, &mail, NEW).await.goes_on_to("/sign-in/password");
        house.advance(GAP);
        let before = house.news_to(ADA).await.len();
        let fields = [("email", ADA), ("password", NEW)];
        ada.post("/sign-in/password", &fields).await.goes_on_to("/account");
        assert_eq!(house.news_to(ADA).await.len(), before + 1, "a new browser");
    }

    /// Somebody else signed in here keeps their session, and is asked first.
    async fn somebody_else_who_is_signed_in_stays_so(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        let bob = house.member("bob@example.org").await;
        let (_, mail) = house.asked("/forgot-password", ADA).await;
        let page = choose(&bob, &mail, NEW).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.body.contains("bob@example.org"));
        let fields = [("token", mail.token()), ("email", ADA), ("password", NEW), ("switch", "yes")];
        bob.post("/reset-password", &fields).await.goes_on_to("/sign-in/password");
        assert_eq!(bob.signed_in_as().await.as_deref(), Some("bob@example.org"));
    }
}
