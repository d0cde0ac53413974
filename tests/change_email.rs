//! Another address: behind the gate, confirmed by the new mailbox, undone by the old one.

use std::time::Duration;

use doorpost::accounts::email_address::EmailAddress;
use doorpost::actions::invite::{self, Invited, Told};
use reqwest::StatusCode;

use crate::support::{Database, House, Mail, PASSWORD, Page, Visitor, at_once};

const OLD: &str = "ada@example.org";
const NEW: &str = "countess@example.net";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const GAP: Duration = Duration::from_secs(61);

async fn ask(owner: &Visitor, address: &str) -> Page {
    owner.post("/account/email", &[("email", address)]).await
}

async fn use_link(visitor: &Visitor, mail: &Mail, address: &str) -> Page {
    visitor.use_link(mail, address).await
}

/// An owner whose address was changed from OLD to NEW; and the undo letter that went to OLD.
async fn changed(house: &House) -> (Visitor, Mail) {
    let ada = house.owner(OLD).await;
    ask(&ada, NEW).await.goes_on_to("/account/email");
    let link = house.mail_to(NEW).await;
    use_link(&ada, &link, NEW).await.goes_on_to("/account");
    let undo = house.mails_to(OLD, 2).await;
    let undo = undo
        .into_iter()
        .find(|mail| mail.route() == "/account/email/undo")
        .unwrap();
    (ada, undo)
}

async fn user_with(house: &House, address: &str) -> i64 {
    house
        .count(format!(
            "SELECT count(*) AS n FROM users WHERE email = '{address}'"
        ))
        .await
}

on_both! {
    /// EML-01
    async fn the_new_mailbox_confirms_and_the_old_one_hears_of_it(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(OLD).await;
        let (there, mail) = house.asked("/sign-in", OLD).await;
        there.click(&mail.link).await.goes_on_to("/account");
        ask(&ada, NEW).await.goes_on_to("/account/email");
        assert!(ada.get("/account/email").await.body.contains(NEW), "it is pending");
        assert!(ada.get("/account").await.body.contains(NEW));
        let link = house.mail_to(NEW).await;
        assert_eq!(link.route(), "/account/email/confirm");
        assert!(!link.text.contains(OLD), "nothing of the old address");
        let subjects: Vec<String> = house.news_to(OLD).await.into_iter().map(|news| news.subject).collect();
        assert!(subjects.iter().any(|subject| subject.contains("may change")), "{subjects:?}");
        assert_eq!(user_with(&house, OLD).await, 1, "the old one stays in force");

        let before = ada.with_copied_jar();
        let page = ada.open(&link.link).await;
        assert!(!page.body.contains("type=\"email\""), "this session asked");
        assert_eq!(user_with(&house, OLD).await, 1, "looking changes nothing");
        let token = page.hidden("token").unwrap();
        ada.post("/account/email/confirm", &[("token", &token)]).await.goes_on_to("/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(NEW));
        assert_eq!(before.signed_in_as().await, None, "under a new token");
        assert_eq!(there.signed_in_as().await, None, "other sessions end");
        assert_eq!(house.news_to(NEW).await.len(), 1);
        let undo = house.mails_to(OLD, 3).await;
        assert_eq!(undo.iter().filter(|mail| mail.route() == "/account/email/undo").count(), 1);
        assert!(undo.iter().all(|mail| !mail.text.contains(NEW)), "no text that a visitor wrote");
    }

    async fn opened_elsewhere_it_wants_the_address_and_the_asking_session_lives_on(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(OLD).await;
        ask(&ada, NEW).await.goes_on_to("/account/email");
        let link = house.mail_to(NEW).await;
        let phone = house.visitor();
        let page = phone.open(&link.link).await;
        assert!(page.body.contains("type=\"email\"") && !page.body.contains(NEW));
        use_link(&phone, &link, OLD).await.says_mistake("was not sent to this address");
        use_link(&phone, &link, NEW).await.goes_on_to("/account");
        assert_eq!(phone.signed_in_as().await, None, "it signs nobody in");
        let before = ada.cookie("doorpost");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(NEW));
        assert_ne!(ada.cookie("doorpost"), before, "under a new token, when it is next seen");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(NEW));
    }

    /// TOK-05
    async fn of_fifty_at_once_one_changes_it(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let ada = house.owner(OLD).await;
        ask(&ada, NEW).await.goes_on_to("/account/email");
        let link = house.mail_to(NEW).await;
        let uses = (0..50).map(|_| {
            let (visitor, link) = (house.visitor(), link.clone());
            async move { use_link(&visitor, &link, NEW).await.status }
        });
        let answers = at_once(uses).await;
        assert_eq!(answers.iter().filter(|status| **status == StatusCode::SEE_OTHER).count(), 1);
        assert_eq!(answers.iter().filter(|status| **status == StatusCode::GONE).count(), 49);
        assert_eq!(house.news_to(NEW).await.len(), 1, "one notice");
    }

    /// EML-02, EML-03
    async fn of_two_accounts_one_gets_the_address_and_the_other_keeps_its_own(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (ada, bob) = (house.owner(OLD).await, house.owner("bob@example.org").await);
        ada.reauthenticate().await;
        ask(&ada, NEW).await.goes_on_to("/account/email");
        let first = house.mail_to(NEW).await;
        house.advance(GAP);
        ask(&bob, NEW).await.goes_on_to("/account/email");
        assert!(ada.get("/account").await.body.contains(NEW), "nobody ends another's pending change");
        let mails = house.mails_to(NEW, 2).await;
        let second = mails.into_iter().find(|mail| mail.token() != first.token());
        let uses = [Some(first), second].into_iter().flatten().flat_map(|mail| {
            (0..25).map(move |_| mail.clone())
        });
        let uses = uses.map(|mail| {
            let visitor = house.visitor();
            async move { use_link(&visitor, &mail, NEW).await.status }
        });
        let answers = at_once(uses.collect::<Vec<_>>()).await;
        assert_eq!(answers.iter().filter(|status| **status == StatusCode::SEE_OTHER).count(), 1);
        assert!(answers.iter().all(|status| !status.is_server_error()), "{answers:?}");
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 2);
        assert_eq!(user_with(&house, NEW).await, 1);
    }

    /// EML-03
    async fn an_address_that_was_registered_meanwhile_is_not_taken_over(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(OLD).await;
        ask(&ada, NEW).await.goes_on_to("/account/email");
        let link = house.mail_to(NEW).await;
        let other = house.visitor();
        other.ask("/register", NEW).await.sees_inbox_page();
        let mails = house.mails_to(NEW, 2).await;
        let register = mails.into_iter().find(|mail| mail.route() == "/confirm-email").unwrap();
        other.confirm(&register.link).await;
        use_link(&ada, &link, NEW).await.says_the_link_is_gone();
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(OLD));
        assert_eq!(other.signed_in_as().await.as_deref(), Some(NEW));
    }

    /// Section 4: an address that is taken answers the same, and its owner is told without a link.
    async fn an_address_that_is_taken_looks_like_any_other(db: Database) {
        let house = House::new(db).await;
        house.member("taken@example.org").await;
        let mut looks = Vec::new();
        for (owner, address) in [(OLD, "taken@example.org"), ("bob@example.org", "frees@example.org")] {
            let owner = house.owner(owner).await;
            let asked = ask(&owner, address).await;
            let form = owner.get("/account/email").await;
            house.all_mail_to(address).await;
            let account = owner.get("/account/email").await;
            let masked = |page: Page| page.looks().replace(address, "ADDRESS")
                .replace(OLD, "OWN").replace("bob@example.org", "OWN");
            looks.push([masked(asked), masked(form), masked(account)]);
        }
        looks.dedup();
        assert_eq!(looks.len(), 1, "{looks:#?}");
        let told = house.news_to("taken@example.org").await;
        assert_eq!(told.len(), 1);
        assert!(told[0].link.is_empty() && !told[0].text.contains("http"), "{}", told[0].text);
    }

    /// EML-05
    async fn only_the_newest_change_is_pending(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(OLD).await;
        ask(&ada, "first@example.net").await.goes_on_to("/account/email");
        let first = house.mail_to("first@example.net").await;
        ask(&ada, NEW).await.goes_on_to("/account/email");
        assert!(!ada.get("/account").await.body.contains("first@example.net"));
        use_link(&ada, &first, "first@example.net").await.says_the_link_is_gone();
        let link = house.mail_to(NEW).await;
        use_link(&ada, &link, NEW).await.goes_on_to("/account");
    }

    async fn a_pending_change_can_be_called_off(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(OLD).await;
        ask(&ada, NEW).await.goes_on_to("/account/email");
        let link = house.mail_to(NEW).await;
        ada.post("/account/email/cancel", &[]).await.goes_on_to("/account");
        assert!(!ada.get("/account").await.body.contains(NEW));
        use_link(&ada, &link, NEW).await.says_the_link_is_gone();
        ask(&ada, NEW).await.says_mistake("Ask again in");
        house.advance(GAP);
        ask(&ada, NEW).await.goes_on_to("/account/email");
    }

    /// EML-07
    async fn its_own_address_in_any_spelling_is_no_change(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(OLD).await;
        let before = house.count("SELECT count(*) AS n FROM outbox").await;
        for own in [OLD, "ADA@EXAMPLE.ORG", "  Ada@example.org "] {
            ask(&ada, own).await.says_mistake("the address of your account already");
        }
        ask(&ada, "no address").await.says_mistake("value=\"no address\"");
        assert_eq!(house.count("SELECT count(*) AS n FROM outbox").await, before);
        assert_eq!(house.count("SELECT count(*) AS n FROM links WHERE purpose = 'change_email'").await, 0);
    }

    /// SIGN_UP counts for changed addresses, too.
    async fn an_address_that_sign_up_does_not_admit_is_mailed_nothing(db: Database) {
        let house = House::with(db, &[("SIGN_UP", "example.org")]).await;
        let ada = house.owner(OLD).await;
        ask(&ada, NEW).await.goes_on_to("/account/email");
        assert!(house.all_mail_to(NEW).await.is_empty());
        ask(&ada, "ada2@example.org").await.goes_on_to("/account/email");
        house.mail_to("ada2@example.org").await;
    }

    async fn asking_again_at_once_sends_nothing_and_five_are_enough(db: Database) {
        let house = House::with(db, &[("REAUTHENTICATION_WINDOW", "1d")]).await;
        let ada = house.owner(OLD).await;
        for _ in 0..3 {
            ask(&ada, NEW).await.goes_on_to("/account/email");
        }
        assert_eq!(house.all_mail_to(NEW).await.len(), 1);
        for n in 0..4 {
            ask(&ada, &format!("n{n}@example.net")).await.goes_on_to("/account/email");
        }
        assert_eq!(ask(&ada, "n5@example.net").await.status, StatusCode::TOO_MANY_REQUESTS);
    }

    /// EML-04
    async fn the_old_mailbox_takes_it_back_and_nothing_prepared_is_left(db: Database) {
        let house = House::new(db).await;
        let (ada, undo) = changed(&house).await;
        assert!(undo.text.contains("within 7 days"), "{}", undo.text);
        let owner = house.visitor();
        let page = owner.open(&undo.link).await;
        assert!(page.body.contains("type=\"email\""), "the address is asked for everywhere");
        assert_eq!(ada.open(&undo.link).await.hidden("token").as_deref(), Some(undo.token()));
        assert!(ada.get("/account/email/undo").await.body.contains("type=\"email\""));
        use_link(&owner, &undo, NEW).await.says_mistake("was not sent to this address");
        use_link(&owner, &undo, OLD).await.goes_on_to("/sign-in/sent");
        assert_eq!(ada.signed_in_as().await, None, "every session ended");
        assert_eq!((user_with(&house, OLD).await, user_with(&house, NEW).await), (1, 0));
        assert_eq!(house.visitor().enter(OLD, PASSWORD).await.status, StatusCode::UNPROCESSABLE_ENTITY, "no password is left");
        use_link(&owner, &undo, OLD).await.says_the_link_is_gone();

        let mails = house.mails_to(OLD, 3).await;
        let set = mails.into_iter().find(|mail| mail.route() == "/reset-password").unwrap();
        let page = owner.open(&set.link).await;
        assert!(!page.body.contains("type=\"email\""), "this browser asked for it");
        let token = page.hidden("token").unwrap();
        let fields = [("token", token.as_str()), ("password", PASSWORD)];
        owner.post("/reset-password", &fields).await.goes_on_to("/sign-in/password");
        assert_eq!(house.visitor().enter(OLD, PASSWORD).await.status, StatusCode::SEE_OTHER);
    }

    /// EML-04: of several the oldest wins, and against a second change.
    async fn the_oldest_undo_wins_over_every_later_change(db: Database) {
        let house = House::with(db, &[("REAUTHENTICATION_WINDOW", "1d")]).await;
        let (thief, undo) = changed(&house).await;
        house.advance(GAP);
        ask(&thief, "third@example.net").await.goes_on_to("/account/email");
        let link = house.mail_to("third@example.net").await;
        let (one, two) = (house.visitor(), house.visitor());
        let (taken_back, moved) = (undo.clone(), link.clone());
        let racers: Vec<std::pin::Pin<Box<dyn Future<Output = StatusCode> + Send>>> = vec![
            Box::pin(async move { use_link(&one, &taken_back, OLD).await.status }),
            Box::pin(async move { use_link(&two, &moved, "third@example.net").await.status }),
        ];
        let answers = at_once(racers).await;
        assert_eq!(answers[0], StatusCode::SEE_OTHER, "undo wins, first or last");
        assert!(!answers[1].is_server_error());
        assert_eq!(user_with(&house, OLD).await, 1);
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 1);
        assert_eq!(thief.signed_in_as().await, None);
        for mail in house.all_mail_to(NEW).await {
            if mail.route() == "/account/email/undo" {
                use_link(&house.visitor(), &mail, NEW).await.says_the_link_is_gone();
            }
        }
        assert_eq!(user_with(&house, OLD).await, 1, "a later undo is over");
    }

    /// Section 4: undo links survive a change of the password.
    async fn a_new_password_does_not_end_the_undo(db: Database) {
        let house = House::new(db).await;
        let (thief, undo) = changed(&house).await;
        let fields = [("password", "the thiefs own long password")];
        thief.post("/account/password", &fields).await.goes_on_to("/account");
        use_link(&house.visitor(), &undo, OLD).await.goes_on_to("/sign-in/sent");
        assert_eq!(user_with(&house, OLD).await, 1);
    }

    /// EML-06
    async fn the_old_address_is_kept_for_its_owner_until_the_undo_ends(db: Database) {
        let house = House::new(db).await;
        let (_, undo) = changed(&house).await;
        house.advance(GAP);
        let stranger = house.visitor();
        stranger.ask("/sign-in", "non@example.org").await.sees_inbox_page();
        let nobodys = stranger.get("/sign-in/sent").await.looks().replace("non@example.org", "ADDRESS");
        for route in ["/sign-in", "/register", "/forgot-password"] {
            let before = house.all_mail_to(OLD).await.len();
            let asker = house.visitor();
            asker.ask(route, OLD).await.sees_inbox_page();
            if route == "/sign-in" {
                let looks = asker.get("/sign-in/sent").await.looks().replace(OLD, "ADDRESS");
                assert_eq!(looks, nobodys);
            }
            let mails = house.mails_to(OLD, before + 1).await;
            let undos = mails.iter().filter(|mail| mail.route() == "/account/email/undo").count();
            assert!(undos >= 2, "{route}: the undo letter again");
            house.advance(GAP);
        }
        let bob = house.owner("bob@example.org").await;
        ask(&bob, OLD).await.goes_on_to("/account/email");
        assert!(house.all_mail_to(OLD).await.iter().all(|mail| mail.route() != "/account/email/confirm"));

        house.advance(7 * DAY);
        use_link(&house.visitor(), &undo, OLD).await.says_the_link_is_gone();
        let (again, mail) = house.asked("/register", OLD).await;
        let page = again.open(&mail.link).await;
        let token = page.hidden("token").unwrap();
        again.post("/confirm-email", &[("token", &token)]).await.goes_on_to("/account");
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 3, "a new account of its own");
    }

    /// What was admitted when it was asked for may not be any more when the link is used.
    async fn sign_up_decides_again_when_the_link_is_used(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(OLD).await;
        ask(&ada, NEW).await.goes_on_to("/account/email");
        let link = house.mail_to(NEW).await;
        let closed = house.second_node(&[("SIGN_UP", "example.org")]);
        use_link(&closed.visitor(), &link, NEW).await.says_the_link_is_gone();
        assert_eq!(user_with(&house, OLD).await, 1);
        use_link(&house.visitor(), &link, NEW).await.goes_on_to("/account");
        assert_eq!(user_with(&house, NEW).await, 1, "and what is refused is not spent");
    }

    /// The undo must not find its address gone: neither to an invited stranger, nor to another member.
    async fn an_address_that_an_undo_keeps_is_nobodys_to_take(db: Database) {
        let house = House::new(db).await;
        let bob = house.owner("bob@example.org").await;
        let (invited, mail) = house.asked("/register", OLD).await;
        house.advance(GAP);
        ask(&bob, OLD).await.goes_on_to("/account/email");
        let asked_before = house.mails_to(OLD, 2).await.remove(0);
        // The address becomes Ada's after both links were mailed, and is then kept for her.
        invited.click(&mail.link).await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        assert_eq!(invited.post("/confirm-email", &fields).await.status, StatusCode::SEE_OTHER);
        invited.reauthenticate().await;
        ask(&invited, NEW).await.goes_on_to("/account/email");
        let change = house.mail_to(NEW).await;
        use_link(&invited, &change, NEW).await.goes_on_to("/account");
        let mails = house.mails_to(OLD, 3).await;
        let undo = mails.iter().find(|mail| mail.route() == "/account/email/undo").unwrap();

        use_link(&bob, &asked_before, OLD).await.says_the_link_is_gone();
        let address = EmailAddress::parse(OLD).unwrap();
        let app = house.app.clone();
        let told = house.app.transaction(move |tx| invite::invite(tx, &app, &address, Told::ByOperator));
        assert!(matches!(told.await.unwrap(), Invited::Kept));
        assert_eq!(user_with(&house, OLD).await, 0);
        use_link(&house.visitor(), undo, OLD).await.goes_on_to("/sign-in/sent");
        assert_eq!(user_with(&house, OLD).await, 1);
    }

    /// TOK-08 for both links.
    async fn neither_link_is_good_for_anything_else(db: Database) {
        let house = House::with(db, &[("LIMIT_TOKEN_PER_NETWORK", "off")]).await;
        let (ada, undo) = changed(&house).await;
        house.advance(GAP);
        ada.reauthenticate().await;
        ask(&ada, "third@example.net").await.goes_on_to("/account/email");
        let change = house.mail_to("third@example.net").await;
        let routes = ["/sign-in/link", "/confirm-email", "/reset-password", "/account/email/confirm",
            "/account/email/undo"];
        for (mail, address) in [(&undo, OLD), (&change, "third@example.net")] {
            for route in routes.into_iter().filter(|route| *route != mail.route()) {
                let fields = [("token", mail.token()), ("email", address), ("password", PASSWORD)];
                house.visitor().post(route, &fields).await.says_the_link_is_gone();
            }
        }
        use_link(&ada, &change, "third@example.net").await.goes_on_to("/account");
        use_link(&house.visitor(), &undo, OLD).await.goes_on_to("/sign-in/sent");
    }

    /// Somebody else signed in where the link is opened: told, asked, and left alone.
    async fn somebody_else_who_is_signed_in_is_asked_and_stays(db: Database) {
        let house = House::new(db).await;
        let ada = house.owner(OLD).await;
        let bob = house.member("bob@example.org").await;
        ada.reauthenticate().await;
        ask(&ada, NEW).await.goes_on_to("/account/email");
        let link = house.mail_to(NEW).await;
        let page = use_link(&bob, &link, NEW).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        let fields = [("token", link.token()), ("email", NEW), ("switch", "yes")];
        bob.post("/account/email/confirm", &fields).await.goes_on_to("/account");
        assert_eq!(bob.signed_in_as().await.as_deref(), Some("bob@example.org"));
        assert_eq!(ada.signed_in_as().await.as_deref(), Some(NEW));
    }
}
