//! Where a letter comes back to.
//!
//! Mail servers report to the sender in the envelope. By default that is the address of `MAIL_FROM`, and a report is
//! about the letter whose `Message-ID` it returns. That is drawn at random, and yet whoever was sent the letter knows
//! it, and everybody to whom they pass it on: any of them could report that it came back, and so keep news from its
//! reader for a while.
//!
//! With `MAIL_BOUNCE_ADDRESS` each letter has an address of its own to come back to (VERP),
//! `bounce+NUMBER.TAG@example.org`, which only mail servers see. The tag is an HMAC of the number: nobody makes up one.
//! Then nothing else is believed. Number and tag are written in hexadecimal digits, for some mail servers change the
//! letters of an address to small ones.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lettre::Address;

use crate::config::Config;
use crate::keys::{KeyPurpose, Keys, SHORT_TAG};
use crate::mail::bounce_report::Report;

/// Bytes of a letter's number.
const NUMBER: usize = 16;

/// The sender in the envelope of the letter with this id.
pub fn sender(config: &Config, keys: &Keys, id: &str) -> String {
    match (&config.mail.bounce_address, number_of(id)) {
        (Some(bounce), Some(number)) => {
            let tag = keys.authenticate_in_short(KeyPurpose::BounceAddress, &[&number]);
            with(bounce, number, tag)
        }
        _ => config.mail.from.email.to_string(),
    }
}

/// One that asks whether we may send at all: of the same form, and of no letter.
pub fn probing_sender(config: &Config) -> String {
    match &config.mail.bounce_address {
        Some(bounce) => with(bounce, [0; NUMBER], [0; SHORT_TAG]),
        None => config.mail.from.email.to_string(),
    }
}

/// The id of the letter that this report is about, as far as it can be believed. `sent_to` is where it was sent, if
/// whoever handed it in says so.
pub fn letter_of(
    config: &Config,
    keys: &Keys,
    report: &Report,
    sent_to: Option<&str>,
) -> Option<String> {
    let Some(bounce) = &config.mail.bounce_address else {
        return report.letter.clone();
    };
    let heads = report.sent_to.iter().map(String::as_str);
    sent_to
        .into_iter()
        .chain(heads)
        .find_map(|text| read(bounce, keys, text))
}

fn with(bounce: &Address, number: [u8; NUMBER], tag: [u8; SHORT_TAG]) -> String {
    let (user, domain) = (bounce.user(), bounce.domain());
    format!("{user}+{}.{}@{domain}", hex(&number), hex(&tag))
}

/// The letter whose own address stands in this text.
fn read(bounce: &Address, keys: &Keys, text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let user = format!("{}+", bounce.user()).to_ascii_lowercase();
    let domain = format!("@{}", bounce.domain()).to_ascii_lowercase();
    text.match_indices(&user).find_map(|(at, _)| {
        let (own, _) = text[at + user.len()..].split_once(&domain)?;
        let (number, tag) = own.split_once('.')?;
        let number = from_hex::<NUMBER>(number)?;
        let tag = from_hex::<SHORT_TAG>(tag)?;
        keys.verify_in_short(KeyPurpose::BounceAddress, &[&number], &tag)
            .then(|| URL_SAFE_NO_PAD.encode(number))
    })
}

/// The bytes that an id is the base64 of.
fn number_of(id: &str) -> Option<[u8; NUMBER]> {
    URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    if text.len() != 2 * LENGTH || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}
