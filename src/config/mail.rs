//! Who sends our mail, and whose certificates are trusted on its way.

use std::path::PathBuf;

use lettre::Address;
use lettre::message::Mailbox;

use super::mistake::{Mistake, Parsed};
use super::reader::bytes_in;

const SENDER: &str = "a name and an address: Doorpost <doorpost@example.org>";

/// What means something in a header, and in a name only between quotes (RFC 5322, 3.2.3).
const SPECIALS: &[char] = &['(', ')', '[', ']', ':', ';', '@', '\\', ',', '.', '"'];

/// ASCII only in the address: otherwise every letter would need a mail server with SMTPUTF8.
pub(super) fn mailbox(text: &str) -> Parsed<Mailbox> {
    let (name, address) = text.rsplit_once('<').unwrap_or(("", text));
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    if !domain.is_ascii() {
        return Err(Mistake::new(
            "has a domain that is not written in ASCII",
            "the domain as mail servers have it, beginning with xn--",
        ));
    }
    if !local.is_ascii() {
        return Err(Mistake::new(
            "has letters before its @ that are not ASCII",
            SENDER,
        ));
    }
    text.parse()
        .map_err(|_| match name.trim().contains(SPECIALS) {
            true => Mistake::new(
                "has a sign in its name that means something in a header",
                "the name between quotes: \"Example, Inc.\" <doorpost@example.org>",
            ),
            false => Mistake::new("is not a sender", SENDER),
        })
}

/// One that a letter's number can be added to: before the `@` there is room for 64 octets (RFC 5321, 4.5.3.1.1), and 50
/// go for that.
pub(super) fn bounce_address(text: &str) -> Parsed<Address> {
    const INSTEAD: &str = "an address such as bounce@example.org";
    let address: Address = text
        .parse()
        .ok()
        .filter(|_| text.is_ascii())
        .ok_or_else(|| Mistake::new("is not an address", INSTEAD))?;
    if address.user().len() > 14 {
        let wrong = "has more than 14 letters before its @";
        return Err(Mistake::new(wrong, INSTEAD));
    }
    if address
        .user()
        .contains(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c))
    {
        let wrong = "has a sign before its @ that is none of a-z, 0-9, -, _ and .";
        return Err(Mistake::new(wrong, INSTEAD));
    }
    Ok(address)
}

/// A file that exists and has a certificate in it.
pub(super) fn certificates(text: &str) -> Parsed<PathBuf> {
    let marker = b"-----BEGIN CERTIFICATE-----";
    if !bytes_in(text.as_ref())?
        .windows(marker.len())
        .any(|bytes| bytes == marker)
    {
        return Err(Mistake::new(
            "names a file without a certificate",
            "the path of a file with certificates in PEM form",
        ));
    }
    Ok(PathBuf::from(text))
}
