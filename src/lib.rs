//! Doorpost: sign in by email link.
//!
//! The map, in reading order. A module uses those below it and none above it.
//!
//! ```text
//!        main · operator · server                     the program
//!                   │
//!  flows · api · gateway · pages · health · exporter  interfaces: who may call, what is shown; never each other
//!                   │
//!                  web                                HTTP
//!                   │
//!                actions                              verbs: what happens, in one transaction
//!                   │
//!            mail · app                               mail; what a request may need
//!                   │
//!               accounts                              nouns: who, which links, which sessions
//!                   │
//!  db  schema  clock  random  keys  config  metrics … tools; know nothing of accounts
//! ```
//!
//! 1. [`flows`]: what a visitor sees, one flow a file. Start with [`flows::reset_password`].
//!    [`api`]: the same for programs. [`gateway`]: for proxies in front of other apps.
//! 2. [`actions`]: what happens, whoever asks. Go on with [`actions::reset_password`].
//! 3. [`accounts`]: who, which links, which sessions. Begin with [`accounts::links::Found::consume`],
//!    which uses a link up exactly once, and [`accounts::users::Held`], an account whose row is locked.
//! 4. [`mail`]: what we say, what waits, how it leaves.
//! 5. [`web`]: what is the same for every request.
//! 6. [`pages`]: the home page, and the place where yours starts.
//! 7. [`app`], [`server`]: what a request may need, and how it is served. An app of one's own is built on
//!    [`server::Server`]. [`exporter`], [`service_manager`]: who watches it.
//! 8. [`operator`]: the command line.
//! 9. The tools: [`db`], [`config`], [`keys`], [`random`], [`clock`], [`metrics`], [`domain_name`],
//!    [`humanize`], [`invisible`], [`webauthn`], [`writable`].
//!
//! A signature says who may call; an action says what happens; a handler only says what is shown.

pub mod accounts;
pub mod actions;
pub mod api;
pub mod app;
pub mod clock;
pub mod config;
pub mod db;
pub mod domain_name;
pub mod error;
pub mod exporter;
pub mod flows;
pub mod gateway;
pub mod health;
pub mod humanize;
pub mod invisible;
pub mod keys;
pub mod mail;
pub mod metrics;
pub mod operator;
pub mod pages;
pub mod random;
pub mod schema;
pub mod server;
pub mod service_manager;
pub mod web;
pub mod webauthn;
pub mod writable;
