//! Doorpost: sign in by email link.
//!
//! The map, in reading order. A room uses those below it and none above it.
//!
//! ```text
//!    main · operator · server                                      the program
//!                                     │
//!                           flows · api · pages · health           stories; never each other
//!                                     │
//!                              web       mail                      HTTP · mail     
//!                                     │
//!                                 accounts                         nouns
//!                                     │
//!      db  schema  clock  random  keys  config  humanize  error    tools; know nothing of accounts
//! ```
//!
//! 1. [`flows`]: what a visitor does, one story a file. Start with [`flows::sign_in`].
//!    [`api`]: the same for programs.
//! 2. [`accounts`]: who, which links, which sessions. The heart is [`accounts::links::consume`].
//! 3. [`mail`]: what we say, what waits, how it leaves.
//! 4. [`web`]: what is the same for every request.
//! 5. [`pages`]: the home page, and the place where yours starts.
//! 6. [`app`], [`server`]: what a request may need, and how it is served. An app of one's own is built on
//!    [`server::Server`].
//! 7. [`operator`]: the command line.
//! 8. The tools: [`db`], [`config`], [`keys`], [`random`], [`clock`], [`domain_name`], [`humanize`].
//!
//! A signature says who may call; a transaction function says what happens; a handler only says what is
//! shown.

pub mod accounts;
pub mod actions;
pub mod api;
pub mod app;
pub mod clock;
pub mod config;
pub mod db;
pub mod domain_name;
pub mod error;
pub mod flows;
pub mod health;
pub mod humanize;
pub mod keys;
pub mod mail;
pub mod operator;
pub mod pages;
pub mod random;
pub mod schema;
pub mod server;
pub mod web;
