//! The nouns: who has an account, which links are live, who is signed in, what counts against a limit.
//!
//! Plain Rust over the tables, synchronous, in the transaction they are handed. Nothing here knows of
//! HTTP, HTML or SMTP. In reading order:
//!
//! * [`client`]: who calls, from where.
//! * [`email_address`]: one canonical form, fixed where an address is parsed.
//! * [`users`]: a row exists only once a link has proven its address. [`users::Held`] is an account whose row
//!   is locked, [`users::Owner`] the proof that what is sensitive asks for.
//! * [`admission`]: who may have which address.
//! * [`passwords`]: which are taken, and how they are kept and compared.
//! * [`authenticators`]: what keeps a passkey is called.
//! * [`links`]: mailed tokens and codes; [`links::Found::consume`] uses one up, exactly once.
//! * [`signed_links`]: links in ordinary mail, which know their reader; nothing is stored.
//! * [`sessions`]: who is signed in, and how that came about.
//! * [`notes_under_way`]: that a session is in use is written down once at a time.
//! * [`device_keys`]: the key on its device that a session is bound to.
//! * [`passkeys`]: what authenticators sign with, and which challenges were answered.
//! * [`refresh_tokens`]: what keeps a program's session alive, each good for one use.
//! * [`access_tokens`], [`signing_keys`], [`es256`]: what a program shows, and what it is signed with.
//! * [`app_tokens`]: what an app behind a proxy is told by.
//! * [`limits`]: how often something may happen.
//! * [`events`]: what happened to an account.
//! * [`announced`]: who was sent which announcement; nobody is sent one twice.
//! * [`mail_bounces`]: whose mail came back.
//! * [`key_probe`]: whether the secret key is the one of this database.
//! * [`purge`]: deletes what has expired.

pub mod access_tokens;
pub mod admission;
pub mod announced;
pub mod app_tokens;
pub mod authenticators;
mod batch;
pub mod client;
pub mod device_keys;
pub mod email_address;
pub mod es256;
pub mod events;
pub mod key_probe;
pub mod limits;
pub mod links;
pub mod mail_bounces;
pub mod notes_under_way;
pub mod passkeys;
pub mod passwords;
pub mod purge;
pub mod refresh_tokens;
pub mod sessions;
pub mod signed_links;
pub mod signing_keys;
pub mod users;
