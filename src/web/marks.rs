//! What is noted of one request on its way, for whoever comes after: between the middleware around it and the handler in
//! the middle, neither of which needs to know the other.

use actix_web::HttpMessage;

/// Marks a HEAD request, which handlers otherwise see as the GET it stands for (RFC 9110 §9.3.2).
pub struct AskedByHead;

/// Marks a request whose answer says what was done before.
pub struct DoneIsShown;

/// What the log calls this request.
pub struct RequestId(pub String);

/// What the log calls this request, once the middleware has named it.
pub fn request_id(req: &impl HttpMessage) -> Option<String> {
    let marks = req.extensions();
    marks.get::<RequestId>().map(|RequestId(id)| id.clone())
}
