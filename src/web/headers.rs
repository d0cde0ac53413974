//! The headers on every answer: what a browser must never do with our pages. And how those of a request are read.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};

use crate::config::Config;

/// Nothing but our own stylesheet, script and images; forms go to ourselves; nobody frames us.
const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                   connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const PERMISSIONS: &str =
    "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()";

/// Checked once, by the compiler.
static ALWAYS: [(HeaderName, HeaderValue); 7] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(PERMISSIONS),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    // Lynx and ELinks know only the second, and showed an account after its sign-out.
    (
        CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-cache"),
    ),
];

/// Puts the set on an answer. What the answer brings itself stays: a page with a token sends no
/// `Referer` anywhere, and a fingerprinted file may be kept. What is below the host of an app where an answer is shown, is
/// not ours to be had at `https` alone.
pub fn complete(headers: &mut HeaderMap, config: &Config, is_shown_elsewhere: bool) {
    for (name, value) in &ALWAYS {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    if config.server.public_url.is_https() {
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static(hsts(config.hsts.include_subdomains && !is_shown_elsewhere)),
        );
    }
}

/// What every answer to an address with a token in it says: neither indexed, nor told to anybody.
pub fn tell_nobody(headers: &mut HeaderMap) {
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        HeaderName::from_static("x-robots-tag"),
        HeaderValue::from_static("noindex"),
    );
}

/// Two years, as preload lists ask for.
fn hsts(include_subdomains: bool) -> &'static str {
    if include_subdomains {
        "max-age=63072000; includeSubDomains"
    } else {
        "max-age=63072000"
    }
}

/// The text of a header that a request brings exactly once.
pub fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    only_value(headers, name)?.to_str().ok()
}

/// The value of a header that a request brings exactly once: of two, somebody else may read the other.
pub fn only_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}
