//! An id in the path of a request, checked for its shape before anybody looks for it.
//!
//! Anything else names nothing and is answered 404. A database may refuse what no id can hold (PostgreSQL takes no NUL
//! in a text), and that would be answered as an error of ours.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::random;
use crate::web::rejection::Rejection;

/// The id that the route's `{id}` stands for.
pub struct PathId(pub String);

impl FromRequest for PathId {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Its route was found, so it has one, in percent-encoding at most.
        let id = req.match_info().get("id").filter(|id| random::is_id(id));
        ready(match id {
            Some(id) => Ok(Self(id.to_owned())),
            None => Err(Rejection::NotFound),
        })
    }
}
