//! A body that nobody reads to its end ends its connection.
//!
//! actix-http closes it by itself where a length was declared. The rest of a chunked body it reads and throws
//! away for as long as somebody sends: a form that was refused as too large would be taken in all the same,
//! and one that stops in the middle of a chunk would hold its connection for good (slowloris). It does that
//! only once the body was dropped; so the body is held until the answer is on its way.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;
use futures_util::Stream;

/// A chunked body, for handlers to read and for us to hold.
#[derive(Clone)]
pub struct Held(Rc<RefCell<Payload>>);

/// Takes hold of a request's body, if it is of the kind that needs it.
pub fn hold(req: &mut ServiceRequest) -> Option<Held> {
    if !req.headers().contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let held = Held(Rc::new(RefCell::new(req.take_payload())));
    let payload = Box::pin(held.clone());
    req.set_payload(Payload::Stream { payload });
    Some(held)
}

/// Lets go of it when the answer was sent.
pub fn until_answered(
    res: ServiceResponse<BoxBody>,
    held: Option<Held>,
) -> ServiceResponse<BoxBody> {
    match held {
        Some(held) => res.map_body(|_, body| BoxBody::new(Answer { body, _held: held })),
        None => res,
    }
}

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

struct Answer {
    body: BoxBody,
    _held: Held,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
