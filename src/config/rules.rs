//! What is unsafe only together with something else.
//!
//! Most rules are for a site that others can see: what is convenient on one's own machine (a key made in
//! passing, mail shown in the browser, cheap hashes) is refused once `PUBLIC_URL` is not loopback.

use std::net::SocketAddr;
use std::time::Duration;

use lettre::message::Mailbox;

use super::mistake::{Mistake, Refusal};
use super::public_url::is_this_machine;
use super::{PublicUrl, SecretKey, Server, SmtpUrl, argon2, secret_key, smtp_url};
use crate::clock::Timestamp;
use crate::domain_name::DomainName;

type Judged = Result<(), Refusal>;

pub(super) fn seen_as_far_as_it_listens(address: SocketAddr, url: &PublicUrl) -> Judged {
    refuse_if(
        url.is_loopback() && !address.ip().to_canonical().is_loopback(),
        "BIND_ADDRESS",
        "can be reached from other machines, and PUBLIC_URL cannot",
        "127.0.0.1 and a port, or set PUBLIC_URL to the https address of the site",
    )
}

pub(super) fn a_public_site_has_a_key(server: &Server, key: &Option<SecretKey>) -> Judged {
    refuse_if(
        is_public(server) && key.is_none(),
        "SECRET_KEY",
        "is not set, and PUBLIC_URL is not loopback",
        secret_key::HOW_TO_MAKE_ONE,
    )
}

pub(super) fn a_public_site_sends_mail(server: &Server, smtp: &Option<SmtpUrl>) -> Judged {
    refuse_if(
        is_public(server) && smtp.is_none(),
        "SMTP_URL",
        "is not set, and PUBLIC_URL is not loopback",
        smtp_url::FORMS,
    )
}

pub(super) fn a_public_site_has_a_sender(server: &Server, from: &Mailbox) -> Judged {
    refuse_if(
        is_public(server) && is_this_machine(&from.email.domain().to_ascii_lowercase()),
        "MAIL_FROM",
        "is not set to an address that others can see, and PUBLIC_URL is not loopback",
        "the sender of your mail, such as Doorpost <doorpost@example.org>",
    )
}

pub(super) fn metrics_have_an_address_of_their_own(
    server: &Server,
    address: Option<SocketAddr>,
) -> Judged {
    // Port 0 is any that is free.
    refuse_if(
        address.is_some_and(|address| address.port() != 0 && address == server.bind_address),
        "METRICS_ADDRESS",
        "is that of BIND_ADDRESS, where visitors are",
        "another port, such as 127.0.0.1:9464",
    )
}

pub(super) fn a_shared_cookie_reaches_the_site(
    server: &Server,
    domain: &Option<DomainName>,
) -> Judged {
    let Some(domain) = domain else {
        return Ok(());
    };
    refuse_if(
        !server.public_url.is_https(),
        "COOKIE_DOMAIN",
        "is set, and PUBLIC_URL is http",
        "nothing, or set PUBLIC_URL to the https address of the site",
    )?;
    let host = server.public_url.host();
    let above = host.strip_suffix(domain.as_str());
    refuse_if(
        !above.is_some_and(|above| above.is_empty() || above.ends_with('.')),
        "COOKIE_DOMAIN",
        "is not the domain of PUBLIC_URL, nor one above it",
        "the domain that the site and the apps have in common, such as example.org",
    )
}

pub(super) fn unused_ends_before_used(idle: Duration, lifetime: Duration) -> Judged {
    refuse_if(
        idle > lifetime,
        "SESSION_IDLE",
        "is longer than SESSION_LIFETIME",
        "a shorter duration, or set a longer SESSION_LIFETIME",
    )
}

pub(super) fn a_public_site_hashes_slowly(server: &Server, memory_kib: u32, passes: u32) -> Judged {
    refuse_if(
        is_public(server) && argon2::is_weak(memory_kib, passes),
        "ARGON2_MEMORY_KIB",
        "is, with ARGON2_PASSES, too little for passwords, and PUBLIC_URL is not loopback",
        "19456 with ARGON2_PASSES=2, or more",
    )
}

pub(super) fn a_contact_says_until_when(contact: &[String], expires: Option<Timestamp>) -> Judged {
    refuse_if(
        !contact.is_empty() && expires.is_none(),
        "SECURITY_CONTACT",
        "is set, and SECURITY_CONTACT_EXPIRES is not",
        "it together with SECURITY_CONTACT_EXPIRES, the last day on which it is right",
    )?;
    refuse_if(
        contact.is_empty() && expires.is_some(),
        "SECURITY_CONTACT_EXPIRES",
        "is set, and SECURITY_CONTACT is not",
        "it together with SECURITY_CONTACT, whom to tell of a security hole",
    )
}

fn is_public(server: &Server) -> bool {
    !server.public_url.is_loopback()
}

fn refuse_if(is_unsafe: bool, variable: &str, wrong: &str, instead: &str) -> Judged {
    if is_unsafe {
        return Err(Mistake::new(wrong, instead).in_variable(variable));
    }
    Ok(())
}
