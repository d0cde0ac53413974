//! The three walkthroughs of docs/extend.md: typed as they stand, and what comes of them as its visitors meet it, on both
//! databases.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends there"
)]

#[macro_use]
mod support;

mod link_purpose;
mod page;
mod sensitive_action;
mod typed;
