//! An account that is locked against guessing looks like any other: whoever has its password, and whoever has
//! none, is told the same. That it is locked is told to its owner, by mail.

use crate::support::{Database, House, PASSWORD, Page};

const ADA: &str = "ada@example.org";
const NOBODY: &str = "eva@example.org";
const WRONG: &str = "a horse that eats grass alone";

async fn entered(house: &House, number: usize, address: &str, password: &str) -> Page {
    let from = house
        .visitor()
        .calling_from(&format!("198.51.100.{number}"));
    from.enter(address, password).await
}

/// The answers to these, without what was typed.
async fn answers(house: &House, tries: &[(&str, &str)]) -> Vec<String> {
    let mut looks = Vec::new();
    for (number, (address, password)) in tries.iter().enumerate() {
        let page = entered(house, 200 + number, address, password).await;
        looks.push(page.looks().replace(address, "ADDRESS"));
    }
    looks
}

const TRIES: &[(&str, &str)] = &[(ADA, PASSWORD), (ADA, WRONG), (NOBODY, PASSWORD)];

on_both! {
    /// ENU-08: within the window that a few wrong ones close.
    async fn for_a_while_the_right_password_is_refused_like_a_wrong_one(db: Database) {
        let house = House::new(db).await;
        house.member_with_password(ADA).await;
        for number in 0..5 {
            for address in [ADA, NOBODY] {
                entered(&house, number, address, WRONG).await;
            }
        }
        let mut looks = answers(&house, TRIES).await;
        assert!(looks[0].starts_with("429"), "{}", looks[0]);
        looks.dedup();
        assert_eq!(looks.len(), 1, "{looks:#?}");
        let told = house.news_to(ADA).await;
        assert_eq!(told.len(), 1, "once, by mail");
        assert!(told[0].subject.starts_with("Wrong passwords"));
        assert!(house.news_to(NOBODY).await.is_empty());
    }

    /// ENU-08: for longer, after a hundred in a row, on which nobody is as locked as somebody.
    async fn after_a_hundred_the_right_password_looks_like_a_wrong_one(db: Database) {
        let house = House::with(db, &[
            ("LIMIT_PASSWORD_PER_NETWORK", "off"), ("LIMIT_PASSWORD_PER_ACCOUNT", "off"),
        ]).await;
        house.member_with_password(ADA).await;
        for number in 0..100 {
            for address in [ADA, NOBODY] {
                entered(&house, number, address, WRONG).await;
            }
        }
        let mut looks = answers(&house, TRIES).await;
        assert!(!looks[0].starts_with("303"), "{}", looks[0]);
        looks.dedup();
        assert_eq!(looks.len(), 1, "{looks:#?}");
    }
}
