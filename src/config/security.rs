//! Whom to tell of a security hole, and until when that is right.

use time::{Date, Month};
use url::Url;

use super::mistake::{Mistake, Parsed};
use crate::clock::Timestamp;

/// A URI that somebody can write to, call or open (RFC 9116, 2.5.3).
pub(super) fn contact(text: &str) -> Parsed<String> {
    let forms = "mailto:security@example.org, https://example.org/security or tel:+49-30-1234567";
    let fits = Url::parse(text).is_ok_and(|url| match url.scheme() {
        "https" => url.has_host(),
        "mailto" => url.path().contains('@'),
        "tel" => !url.path().is_empty(),
        _ => false,
    });
    match fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(Mistake::new("is not a list of contacts", forms)),
    }
}

/// The end of a day, in UTC.
pub(super) fn last_day(text: &str) -> Parsed<Timestamp> {
    day(text)
        .map(|day| (day.midnight().assume_utc().unix_timestamp() + DAY - 1) * 1000)
        .ok_or_else(|| Mistake::new("is not a day", "one within a year from now: 2027-06-30"))
}

/// In seconds.
const DAY: i64 = 24 * 60 * 60;

fn day(text: &str) -> Option<Date> {
    let is_one_form = text.len() == 10
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
    let mut parts = text.split('-').map(str::parse::<u16>);
    let (year, month, day) = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let day = Date::from_calendar_date(year.into(), month, u8::try_from(day).ok()?).ok()?;
    (is_one_form && parts.next().is_none()).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_a_uri_that_reaches_somebody() {
        for good in [
            "mailto:security@example.org",
            "https://example.org/security",
            "tel:+49-30-1234567",
        ] {
            assert_eq!(contact(good).as_deref(), Ok(good));
        }
        for bad in [
            "security@example.org",
            "http://example.org/security",
            "mailto:",
            "mailto:nobody",
            "tel:",
            "javascript:alert(1)",
            "mailto:a@example.org?subject=\u{e4}",
            "https://",
        ] {
            assert!(contact(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_lasts_until_its_end() {
        assert_eq!(last_day("2026-11-22"), Ok(1_795_391_999_000));
        for bad in [
            "2026-02-30",
            "2026-13-01",
            "26-11-22",
            "2026-11-22T00:00:00Z",
            "2026-1-1",
            "22.11.2026",
            "tomorrow",
            "2026-11--2",
        ] {
            assert!(last_day(bad).is_err(), "{bad}");
        }
    }
}
