//! A letter as it is handed over: one MIME message (RFC 5322), 7 bit, the same each time it is made.
//!
//! All that could differ between two copies comes from the row: so a copy that a crash may cause is the
//! same mail, by its Message-ID, its date and every byte.
//!
//! The text stands as it is wherever it can, so that its link stands whole on one line. Quoted-printable would break
//! every link of ours, for its lines end after 76 columns, and some mail programs never put together what it broke.

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
    let alternatives = MultiPart::alternative().boundary(&mail.id).build();
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
    let head = message
        .multipart(alternatives.clone())
        .map_err(Error::internal)?;
    Ok(format!(
        "{}{}\r\n--{boundary}\r\n{}--{boundary}\r\n{}--{boundary}--\r\n",
        head.headers(),
        alternatives.headers(),
        text_part(&content.text)?,
        quoted(ContentType::TEXT_HTML, &content.html)?,
        boundary = mail.id,
    ))
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

/// As it is, if it can be. (Such a part is written here: lettre 0.11.23 takes only lines of less than 76 columns for
/// one, and writes line ends as it finds them.)
fn text_part(text: &str) -> Result<String> {
    if !text.split('\n').all(stands_as_it_is) {
        return quoted(ContentType::TEXT_PLAIN, text);
    }
    let lines = text.replace('\n', "\r\n");
    Ok(format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{lines}\r\n"
    ))
}

/// Nothing on the way changes such a line (RFC 5321, 4.5.3.1.6; RFC 2049, 3): not its bytes, beginning, end or length.
fn stands_as_it_is(line: &str) -> bool {
    let is_text = |byte: u8| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic();
    let ends_bare = !line.ends_with([' ', '\t']);
    line.len() <= 998 && line.bytes().all(is_text) && ends_bare && shielded(line).is_none()
}

/// Quoted-printable whatever is in it. That has no lone line ends, nor lines that are too long.
fn quoted(content_type: ContentType, body: &str) -> Result<String> {
    let part = SinglePart::builder()
        .header(content_type)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(body.to_owned());
    let part = String::from_utf8(part.formatted()).map_err(Error::internal)?;
    let lines = part.split("\r\n");
    let lines: Vec<_> = lines
        .map(|line| shielded(line).unwrap_or_else(|| line.to_owned()))
        .collect();
    Ok(lines.join("\r\n"))
}

/// A line that programs on the way are known to change, in a form that they leave alone (RFC 2049, 3): mailboxes of
/// the mbox kind write `>From ` for `From `, which no signature survives, and some programs end a letter at a lone dot.
fn shielded(line: &str) -> Option<String> {
    const LONGEST: usize = 76; // RFC 2045, 6.7
    match line.strip_prefix("From ") {
        Some(rest) if line.len() + "=46".len() - "F".len() <= LONGEST => {
            Some(format!("=46rom {rest}"))
        }
        Some(rest) => Some(format!("=46rom=\r\n {rest}")),
        None => (line == ".").then(|| "=2E".to_owned()),
    }
}

fn unencoded(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_as_it_is_unless_something_on_the_way_would_change_it() {
        let long = "x".repeat(998);
        for text in [
            "https://door.example.org/sign-in/link?token=x\n\nSigned,\n\tthe door\n",
            ">From here\nFrom: there\n..\n",
            &long,
            "",
        ] {
            let (head, body) = (text_part(text).unwrap(), text.replace('\n', "\r\n"));
            let end = format!("Content-Transfer-Encoding: 7bit\r\n\r\n{body}\r\n");
            assert!(head.ends_with(&end), "{head}");
        }
        for text in [
            &format!("{long}x"),
            "caf\u{e9}",
            "a\rb",
            "a\r\nb",
            "a\0b",
            "\x1b[31m",
            "all:\nFrom here\n",
            "the end\n.\n",
            "-- \nthe door",
        ] {
            let part = text_part(text).unwrap();
            assert!(part.contains("quoted-printable"), "{text:?}: {part}");
        }
    }

    #[test]
    fn no_quoted_line_begins_as_mailboxes_begin_a_letter() {
        for (text, expected) in [
            ("From here\nto there", "=46rom here\r\nto there"),
            ("a\nFrom here", "a\r\n=46rom here"),
            ("a\n.\n..\nb", "a\r\n=2E\r\n..\r\nb"),
            ("from From here", "from From here"),
            ("From", "From"),
        ] {
            let part = quoted(ContentType::TEXT_HTML, text).unwrap();
            assert!(part.ends_with(&format!("\r\n\r\n{expected}\r\n")), "{part}");
        }
        // Wherever a line is broken, and however long it is.
        for before in 0..160 {
            for after in [0, 60, 68, 69, 70, 71, 72, 200] {
                let text = format!("{}From {}", "x".repeat(before), "y".repeat(after));
                let part = quoted(ContentType::TEXT_PLAIN, &text).unwrap();
                let (_, body) = part.split_once("\r\n\r\n").unwrap();
                let fits = |line: &str| line.len() <= 76 && !line.starts_with("From ");
                assert!(body.split("\r\n").all(fits), "{body}");
                let read = body
                    .replace("=\r\n", "")
                    .replace("=46", "F")
                    .replace("=20", " ");
                assert_eq!(read.trim_end_matches("\r\n"), text);
            }
        }
    }
}
