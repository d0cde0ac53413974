//! Who sends our mail, and whose certificates are trusted on its way.

use std::path::PathBuf;

use lettre::message::Mailbox;

use super::reader::{Mistake, Parsed, bytes_in};

/// ASCII only in the address: otherwise every letter would need a mail server with SMTPUTF8.
pub(super) fn mailbox(text: &str) -> Parsed<Mailbox> {
    text.parse()
        .ok()
        .filter(|mailbox: &Mailbox| mailbox.email.to_string().is_ascii())
        .ok_or_else(|| {
            Mistake::new(
                "is not a sender",
                "a name and an address: Doorpost <doorpost@example.org>",
            )
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
