//! What the tests use: a running Doorpost (called a house, for visitors come to it), visitors, and their mail.

pub mod app;
pub mod audit;
mod authenticator;
mod browser;
pub mod cluster;
mod every_letter;
mod house;
mod letter;
pub mod machine;
mod mailboxes;
pub mod maildir;
pub mod markup;
pub mod proxy;
mod race;
mod scripted;
mod text_browser;
mod visitor;
pub mod wire;

pub use authenticator::{Authenticator, Signed};
pub use browser::{Browser, Focus, OtherSite, Scripts};
pub use every_letter::{announced, every_letter_is_sent, name_of_letter};
pub use house::{
    Database, House, Mail, PASSWORD, Store, cluster, postgres, secret_key, waiting_for_locks,
};
pub use mailboxes::Mailboxes;
pub use race::{at_once, hold_the_write_lock};
pub use scripted::{Answer, Handed, ScriptedServer, Step, eventually};
pub use text_browser::{Terminal, TextBrowser};
pub use visitor::{Page, Visitor, encode};

/// Runs each test on both databases. A test is a function of the database to run on.
macro_rules! on_both {
    ($($(#[doc = $doc:literal])* async fn $name:ident($db:ident: Database $(,)?) $body:block)+) => {$(
        $(#[doc = $doc])*
        mod $name {
            use super::*;
            async fn test($db: Database) $body

            #[tokio::test]
            async fn sqlite() {
                test(Database::Sqlite).await;
            }

            #[tokio::test]
            async fn postgres() {
                test(Database::Postgres).await;
            }
        }
    )+};
}
