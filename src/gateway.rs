//! In front of other apps: one sign-in for everything behind a proxy.
//!
//! ```text
//!              ┌───────┐ 1 a request   ┌───────┐ 4 the request, and who it is from ┌─────┐
//!              │browser│──────────────▶│ proxy │──────────────────────────────────▶│ app │
//!              └───────┘               └───────┘                                   └─────┘
//!                  ▲                     │   ▲
//!                  │  3 first sign in,   │   │ 3 who it is
//!                  │    and then back    ▼ 2 │   may it pass?
//!                  └───────────────────┌──────────┐
//!                                      │ Doorpost │
//!                                      └──────────┘
//! ```
//!
//! A proxy asks for each request before it hands it on to an app that has no sign-in of its own, and is told who the visitor
//! is, or what to tell them. docs/gateway.md shows how proxies are told to.
//!
//! * [`verify`]: what a proxy is answered.
//! * [`question`], [`original_request`]: what it asks, and what was asked for by its word.
//! * [`return_page`]: the way back to the app.

use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};

use crate::app::App;
use crate::web::session_cookie;

pub mod original_request;
pub mod question;
pub mod return_page;
pub mod verify;

/// Every route. A proxy hands on requests of any method and from anywhere, so the same-origin guard stands before none of
/// them: what is asked here changes nothing.
pub fn configure(cfg: &mut ServiceConfig, app: &Data<App>) {
    cfg.service(
        web::scope("/auth")
            .wrap(session_cookie::middleware(app))
            .wrap(from_fn(session_cookie::mend))
            .wrap(from_fn(verify::set_app_cookies_aside))
            .configure(verify::configure)
            .configure(return_page::configure),
    );
}
