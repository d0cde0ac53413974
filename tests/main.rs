//! Doorpost, driven from outside as a visitor drives it: over HTTP, with a cookie jar and a mailbox.
//!
//! Every test runs on SQLite and on PostgreSQL (`on_both!`). What it needs, `tests/run` provides: a
//! PostgreSQL cluster, a mail server, a browser. A part that is missing fails; nothing is skipped.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends there"
)]

#[macro_use]
mod support;

mod account;
mod addresses;
mod announce;
mod api;
mod api_clients;
mod audit_trail;
mod backup;
mod bounces;
mod bound;
mod bound_browser;
mod browser;
mod change_email;
mod codes;
mod confirm_email;
mod delivery;
mod documentation;
mod done;
mod failover;
mod faults;
mod firefox;
mod foreign_ids;
mod forms;
mod gate_file;
mod gateway;
mod gateway_proxies;
mod headers;
mod hosts;
mod house_rules;
mod inbox;
mod interleavings;
mod key_rotation;
mod keyboard;
mod leases;
mod ledger;
mod letters;
mod lighthouse;
mod limits;
mod links;
mod locked;
mod mail_command;
mod methods;
mod metrics;
mod notification_links;
mod oauth;
mod package;
mod pages;
mod passkey_pages;
mod passkeys;
mod passkeys_in_browsers;
mod password_sign_in;
mod pictures;
mod plain_browsers;
mod plans;
mod postgresql;
mod printing;
mod program;
mod proxies;
mod purge;
mod reauthenticate;
mod redirects;
mod register;
mod relay;
mod reset_hold;
mod reset_password;
mod routes;
mod same_origin;
mod service_manager;
mod sessions;
mod shared_file;
mod shown;
mod sign_in;
mod soak;
mod start;
mod supply;
mod text_browsers;
mod unwritable;
mod upgrade;
mod upkeep_command;
mod users_command;
mod well_known;
mod wire;
