//! Who sends our mail, and whose certificates are trusted on its way.

use std::path::PathBuf;

use lettre::message::Mailbox;

use super::reader::{Mistake, Parsed, bytes_in};

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
