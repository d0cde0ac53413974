//! What visitors see. One flow, one file: what it promises, its URLs, its handlers in the order a visitor meets
//! them, its forms and its pages. A flow uses everything below it and no other flow. What happens is in
//! [`actions`](crate::actions).

use actix_web::HttpResponse;
use actix_web::web::ServiceConfig;

use crate::web::rejection::Rejection;

pub mod account;
pub mod activity;
pub mod bind_session;
pub mod change_email;
pub mod change_password;
pub mod confirm_email;
pub mod delete_account;
pub mod dev_inbox;
pub mod export;
pub mod first_passkey;
pub mod manage_passkeys;
pub mod notification_links;
pub mod passkeys;
pub mod password_sign_in;
pub mod reauthenticate;
pub mod register;
pub mod reset_hold;
pub mod reset_password;
pub mod sessions;
pub mod sign_in;
pub mod sign_out;
pub mod unsubscribe;
pub mod well_known;

/// What a handler gives: an answer, or why there is none.
pub type Answer = Result<HttpResponse, Rejection>;

/// The URLs of what browsers do by themselves: without a session's cookie, and from wherever they come.
pub fn configure_for_browsers(cfg: &mut ServiceConfig) {
    bind_session::configure(cfg);
}

/// Every other flow's URLs.
pub fn configure(cfg: &mut ServiceConfig) {
    register::configure(cfg);
    sign_in::configure(cfg);
    confirm_email::configure(cfg);
    sign_out::configure(cfg);
    password_sign_in::configure(cfg);
    passkeys::configure(cfg);
    reset_password::configure(cfg);
    reauthenticate::configure(cfg);
    account::configure(cfg);
    notification_links::configure(cfg);
    change_email::configure(cfg);
    change_password::configure(cfg);
    first_passkey::configure(cfg);
    manage_passkeys::configure(cfg);
    sessions::configure(cfg);
    activity::configure(cfg);
    export::configure(cfg);
    delete_account::configure(cfg);
    reset_hold::configure(cfg);
    unsubscribe::configure(cfg);
    well_known::configure(cfg);
    dev_inbox::configure(cfg);
}
