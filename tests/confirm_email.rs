//! Confirming an address: from here on the account exists.

use reqwest::StatusCode;

use crate::support::{Database, House};

on_both! {
    async fn an_account_exists_once_its_address_is_confirmed(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        ada.ask("/register", "ada@example.org").await.sees_inbox_page();
        let mail = house.mail_to("ada@example.org").await;
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 0);

        let page = ada.click(&mail.link).await;
        assert_eq!(page.location(), "/confirm-email");
        let page = ada.follow(page).await;
        assert_eq!(house.count("SELECT count(*) AS n FROM users").await, 0, "looking confirms nothing");

        let token = page.hidden("token").unwrap();
        let done = ada.post("/confirm-email", &[("token", &token)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER);
        assert_eq!(done.location(), "/account");
        assert_eq!(ada.signed_in_as().await.as_deref(), Some("ada@example.org"));
    }
}
