//! The verbs: what happens when somebody asks, signs in, changes, ends or deletes something.
//!
//! One action a file. An action is a function that takes the transaction first and does all of it there: it decides,
//! writes, notes the event and posts the letter, or does nothing. It knows neither HTTP nor HTML: pages
//! ([`flows`](crate::flows)), programs ([`api`](crate::api)) and the command line ([`operator`](crate::operator))
//! call the same ones, and only say how the answer looks. What an action hands back is all that its caller needs
//! for that: after the commit nothing is left to be read or written, and so nothing that could fail.
//!
//! In reading order:
//!
//! * [`request_link`]: somebody typed an address, and is to be mailed a link.
//! * [`follow_link`]: somebody came with a link from a letter.
//! * [`sign_in`]: by link, by code, by a link in ordinary mail; where every session begins.
//! * [`bind_session`]: to the device on which it began.
//! * [`password_try`], [`sign_in_with_password`], [`reauthenticate`]: a password that was typed, to come in or before
//!   what is sensitive.
//! * [`passkey_answer`], [`sign_in_with_passkey`], [`add_passkey`]: what a passkey has signed, to come in or before what is
//!   sensitive; and a new one.
//! * [`confirm_email`], [`reset_password`], [`set_first_passkey`]: what a used link does to an account.
//! * [`change_email`], [`change_password`], [`rename_passkey`], [`remove_passkey`], [`export`], [`delete_account`]: what
//!   only the owner may do.
//! * [`reset_hold`]: what waits after a reset by mail, and how the owner ends that.
//! * [`end_sessions`], [`end_links`], [`switch_mail`]: what anybody signed in may do.
//! * [`pass_gate`]: the visitor of another app may go on to it, or not.
//! * [`refresh`]: a program's session goes on.
//! * [`invite`], [`announce`], [`lock_account`], [`set_email`], [`make_sign_in_link`]: what the operator does.
//! * [`after_restore`]: the database is one of before.
//! * [`note_bounce`]: a mail server reports that a letter came back.

pub mod add_passkey;
pub mod after_restore;
pub mod announce;
pub mod bind_session;
pub mod change_email;
pub mod change_password;
pub mod confirm_email;
pub mod delete_account;
pub mod end_links;
pub mod end_sessions;
pub mod export;
pub mod follow_link;
pub mod invite;
pub mod lock_account;
pub mod make_sign_in_link;
pub mod note_bounce;
pub mod pass_gate;
pub mod passkey_answer;
pub mod password_try;
pub mod reauthenticate;
pub mod refresh;
pub mod remove_passkey;
pub mod rename_passkey;
pub mod request_link;
pub mod reset_hold;
pub mod reset_password;
pub mod set_email;
pub mod set_first_passkey;
pub mod sign_in;
pub mod sign_in_with_passkey;
pub mod sign_in_with_password;
pub mod switch_mail;

pub use crate::accounts::limits::TooMany;

/// What an action gives that is counted: its outcome or, beyond the limit, how long to wait.
pub type Counted<T> = Result<T, TooMany>;
