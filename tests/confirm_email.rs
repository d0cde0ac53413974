//! Confirming an address: from here on the account exists.

use std::time::Duration;

use reqwest::StatusCode;

use crate::support::{Database, House};

const GAP: Duration = Duration::from_secs(61);

const USERS: &str = "SELECT count(*) AS n FROM users";

on_both! {
    async fn an_account_exists_once_its_address_is_confirmed(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        let mail = house.mail_to("ada@example.org").await;
        assert_eq!(house.count(USERS).await, 0);

        let page = ada.click(&mail.link).await;
        page.goes_on_to("/confirm-email");
        let page = ada.follow(page).await;
        assert_eq!(house.count(USERS).await, 0, "looking confirms nothing");
        assert!(!page.body.contains("type=\"email\""), "one press and no address, here");

        let token = page.hidden("token").unwrap();
        ada.post("/confirm-email", &[("token", &token)]).await.goes_on_to("/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
        assert_eq!(house.count(USERS).await, 1);
    }

    /// What was admitted when it was asked for may not be any more when the link is used.
    async fn sign_up_decides_again_when_the_link_is_used(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        let closed = house.second_node(&[("SIGN_UP", "invited")]);
        let there = ada.at(&closed);
        there.use_link(&mail, "ada@example.org").await.says_the_link_is_gone();
        there.type_code(mail.code()).await;
        assert_eq!(house.count(USERS).await, 0);
        ada.use_link(&mail, "ada@example.org").await.goes_on_to("/account");
        assert_eq!(house.count(USERS).await, 1, "and what is refused is not spent");
    }

    /// Who asked first has no part in it: nothing that was prepared on an address survives its proof.
    async fn whoever_reads_the_mailbox_gets_the_account(db: Database) {
        let house = House::new(db).await;
        let (eve, mail) = house.asked("/register", "ada@example.org").await;
        let ada = house.visitor();
        ada.use_link(&mail, "ada@example.org").await.goes_on_to("/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
        for path in ["/account", "/sign-in/sent"] {
            eve.get(path).await;
        }
        eve.click(&mail.link).await.says_the_link_is_gone();
        assert_eq!(eve.signed_in_as().await, None);
        assert_eq!(house.count("SELECT count(*) AS n FROM sessions").await, 1);
    }

    /// A password may be chosen here one day; none that is sent now gets onto the account.
    async fn an_empty_password_means_none(db: Database) {
        let house = House::new(db).await;
        let (ada, mail) = house.asked("/register", "ada@example.org").await;
        let fields = [("token", mail.token()), ("password", "")];
        ada.post("/confirm-email", &fields).await.goes_on_to("/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
    }

    async fn a_confirmed_address_is_confirmed_once(db: Database) {
        let house = House::new(db).await;
        house.member("ada@example.org").await;
        for route in ["/register", "/sign-in", "/confirm-email/send"] {
            let (_, mail) = house.asked(route, "ada@example.org").await;
            assert_eq!(mail.route(), "/sign-in/link", "{route}: a member signs in");
            house.advance(GAP);
        }
        assert_eq!(house.count(USERS).await, 1);
    }

    async fn the_link_needs_no_ask_in_any_browser(db: Database) {
        use doorpost::accounts::email_address::EmailAddress;
        use doorpost::actions::invite::{self, Invited, Told};

        let house = House::with(db, &[("SIGN_UP", "invited")]).await;
        let app = house.app.clone();
        let invited = house.app.transaction(move |tx| {
            let email = EmailAddress::parse("ada@example.org").unwrap();
            invite::invite(tx, &app, &email, Told::ByOperator)
        });
        let Invited::Link(link) = invited.await.unwrap() else {
            panic!("she is not invited");
        };
        let with_code = "SELECT count(*) AS n FROM links WHERE code_mac IS NOT NULL";
        assert_eq!(house.count(with_code).await, 0, "no browser could type it");
        let ada = house.visitor();
        let page = ada.open(&link).await;
        assert_eq!(page.status, StatusCode::OK);
        let (_, token) = link.split_once("?token=").unwrap();
        let fields = [("token", token), ("email", "ada@example.org")];
        ada.post("/confirm-email", &fields).await.goes_on_to("/account");
        assert_eq!(house.count(USERS).await, 1);
    }
}
