//! HTTP: everything about requests and answers that is the same for every flow.
//!
//! * [`middleware`]: around every request: its id, the security headers, error pages, the log line.
//! * [`unread_body`]: a body that nobody reads ends its connection.
//! * [`same_origin`], [`form_token`]: a POST is ours or it is refused.
//! * [`cookie_header`], [`session_cookie`], [`sealed_cookies`], [`set_cookie`]: what a browser carries.
//! * [`bound_session`]: what a request shows of the device that its session is bound to.
//! * [`gate_cookie`]: what the hosts of other apps get of it.
//! * [`forwarded_for`], [`client`]: where it comes from.
//! * [`app_data`], [`marks`]: what it has at hand, and what is noted of it on its way.
//! * [`visitor`]: who makes the request, and the guards that handlers ask for.
//! * [`step_up`]: the password, before what is sensitive.
//! * [`new_password`], [`password_entry`]: a password that somebody chose, and one that somebody typed.
//! * [`script`], [`passkey_options`]: what a script of ours is answered, and asks authenticators for.
//! * [`passkey_offer`]: whether a passkey is offered.
//! * [`form`], [`urlencoded`], [`one_click`], [`json`], [`next`], [`return_url`], [`path_id`], [`pasted_link`]: what
//!   visitors send, parsed once.
//! * [`page`], [`field_error`], [`rejection`], [`headers`], [`assets`]: what they get.
//! * [`link_request_form`], [`link_page`]: asking for a link and following it, whatever flow it belongs to.

pub mod app_data;
pub mod assets;
pub mod bound_session;
pub mod client;
pub mod cookie_header;
pub mod field_error;
pub mod form;
pub mod form_token;
pub mod forwarded_for;
pub mod gate_cookie;
pub mod headers;
pub mod json;
pub mod link_page;
pub mod link_request_form;
pub mod marks;
pub mod middleware;
pub mod new_password;
pub mod next;
pub mod one_click;
pub mod page;
pub mod passkey_offer;
pub mod passkey_options;
pub mod password_entry;
pub mod pasted_link;
pub mod path_id;
pub mod pending_change;
pub mod rejection;
pub mod return_url;
pub mod same_origin;
pub mod script;
pub mod sealed_cookies;
pub mod session_cookie;
pub mod set_cookie;
pub mod step_up;
pub mod unread_body;
pub mod urlencoded;
pub mod visitor;
