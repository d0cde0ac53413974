//! A letter as it is handed over: one MIME message (RFC 5322), 7 bit, the same each time it is made.
//!
//! All that could differ between two copies comes from the row: so a copy that a crash may cause is the
//! same mail, by its Message-ID, its date and every byte.

use std::time::{Duration, UNIX_EPOCH};

use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::mail::letters::Content;
use crate::mail::outbox::Mail;

/// Writes the message of a mail.
///
/// # Errors
/// An address that is none, or a subject that does not go into a header.
pub fn compose(config: &Config, mail: &Mail, content: &Content) -> Result<String> {
    let to = mail.email.parse().map_err(Error::internal)?;
    let queued = UNIX_EPOCH + Duration::from_millis(mail.queued_at.unsigned_abs());
    let alternatives = MultiPart::alternative()
        .boundary(&mail.id)
        .singlepart(part(ContentType::TEXT_PLAIN, &content.text))
        .singlepart(part(ContentType::TEXT_HTML, &content.html));
    let mut message = Message::builder()
        .from(config.mail.from.clone())
        .to(Mailbox::new(None, to))
        .subject(&content.subject)
        .message_id(Some(message_id(config, mail)))
        .date(queued)
        .raw_header(unencoded("Auto-Submitted", "auto-generated"))
        .raw_header(unencoded("X-Auto-Response-Suppress", "All"));
    if let Some(url) = &content.unsubscribe {
        for header in of_bulk(config, url) {
            message = message.raw_header(header);
        }
    }
    let message = message.multipart(alternatives).map_err(Error::internal)?;
    String::from_utf8(message.formatted()).map_err(Error::internal)
}

/// What an announcement says besides: how a mail program ends them at its reader's click (RFC 8058), and by what
/// it is sorted (RFC 2919). The URL is one line, for some programs read no further: it is ours, ASCII, and far
/// from the 998 octets that a line may have.
fn of_bulk(config: &Config, unsubscribe: &str) -> [HeaderValue; 4] {
    let list = format!("<announcements.{}>", config.server.public_url.host());
    [
        unencoded("List-Unsubscribe", &format!("<{unsubscribe}>")),
        unencoded("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        unencoded("List-Id", &list),
        unencoded("Precedence", "bulk"),
    ]
}

/// What names a mail for all the world, each of its copies alike.
pub fn message_id(config: &Config, mail: &Mail) -> String {
    format!("<{}@{}>", mail.id, config.server.public_url.host())
}

/// Quoted-printable whatever is in it: lettre 0.11.23 writes other bodies as they are, line ends and all.
fn part(content_type: ContentType, body: &str) -> SinglePart {
    SinglePart::builder()
        .header(content_type)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(body.to_owned())
}

fn unencoded(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}
