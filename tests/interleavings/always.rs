//! What holds after whatever has happened, and needs no model: the database is asked for what must not be in it.

use crate::support::House;

/// What must not be, and how much of it is counted.
const NEVER: [(&str, &str); 2] = [
    (
        "two notices of a kind within an hour",
        "SELECT count(*) AS n FROM outbox AS one
            JOIN outbox AS other ON one.email = other.email AND one.letter = other.letter AND one.id <> other.id
            WHERE one.letter IN ('password_set', 'password_changed', 'password_guessed', 'password_paused',
                'new_browser', 'passkey_copied', 'email_change_asked', 'email_changed', 'email_taken')
            AND other.queued_at >= one.queued_at AND other.queued_at < one.queued_at + 3600000",
    ),
    (
        "two lines in a trail for the same from the same place within an hour",
        "SELECT count(*) AS n FROM events AS one
            JOIN events AS other ON one.user_id = other.user_id AND one.name = other.name
                AND coalesce(one.detail, '') = coalesce(other.detail, '')
                AND one.ip = other.ip AND one.browser = other.browser AND one.id < other.id
            WHERE one.at / 3600000 = other.at / 3600000",
    ),
];

/// What is there all the same.
pub async fn broken(house: &House) -> Vec<String> {
    let mut broken = Vec::new();
    for (what, counted) in NEVER {
        let found = house.count(counted).await;
        if found > 0 {
            broken.push(format!("{what}: {found} times"));
        }
    }
    broken
}
