//! Times and durations as people read them.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::clock::Timestamp;

/// A moment, in UTC: `22 November 2026, 00:15 UTC`.
pub fn moment(at: Timestamp) -> String {
    let format =
        format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
    OffsetDateTime::from_unix_timestamp(at / 1000)
        .ok()
        .and_then(|moment| moment.format(format).ok())
        .unwrap_or_default()
}

/// A moment as programs read it (RFC 3339, UTC): `2026-11-22T00:15:00Z`.
pub fn rfc3339(at: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp(at / 1000)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// How somebody came in, by the name the tables have for it.
pub fn way_in(method: &str) -> &'static str {
    match method {
        "email_link" => "With the link from a message",
        "passkey" => "With a passkey",
        "email_code" => "With the code from a message",
        "password" => "With the password",
        "notification_link" => "With a link in a notice or an announcement",
        _ => "In another way",
    }
}

/// Why a letter came back, by its status code (RFC 3463). In words of ours: a stranger may have chosen those of the
/// report.
pub fn why_mail_came_back(status: &str) -> &'static str {
    match status {
        "5.1.1" | "5.1.3" | "5.1.6" | "5.1.10" | "5.2.1" => "there is no such mailbox",
        "4.2.2" | "5.2.2" => "the mailbox is full",
        _ => "its mail server did not take it",
    }
}

/// How long something lasts, in the largest unit that says it exactly: `10 minutes`, `24 hours`.
pub fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs().max(1);
    let (count, unit) = [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .into_iter()
        .find(|(size, _)| seconds.is_multiple_of(*size) && seconds > *size)
        .map_or((seconds, "second"), |(size, unit)| (seconds / size, unit));
    counted(count, unit)
}

/// How long to wait, rounded up so that waiting this long is long enough: `50 seconds`, `15 minutes`.
pub fn waiting(duration: Duration) -> String {
    let seconds = duration.as_millis().div_ceil(1000).max(1);
    match u64::try_from(seconds).unwrap_or(u64::MAX) {
        seconds @ ..=90 => counted(seconds, "second"),
        seconds @ ..=5_400 => counted(seconds.div_ceil(60), "minute"),
        seconds => counted(seconds.div_ceil(3_600), "hour"),
    }
}

/// How long to wait until a moment, likewise.
pub fn until(at: Timestamp, now: Timestamp) -> String {
    waiting(Duration::from_millis(u64::try_from(at - now).unwrap_or(0)))
}

/// How long ago something was, as one says it: `just now`, `3 minutes ago`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let minutes = u64::try_from((now - at) / 60_000).unwrap_or(0);
    match minutes {
        0 => "just now".to_owned(),
        1..=59 => counted(minutes, "minute") + " ago",
        60..=1_439 => counted(minutes / 60, "hour") + " ago",
        _ => counted(minutes / 1_440, "day") + " ago",
    }
}

/// How often something happened: `once`, `3 times`.
pub fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        _ => counted(count, "time"),
    }
}

/// So many of something that is counted in words that take an `s`: `1 link`, `3 links`.
pub fn counted(count: u64, unit: &str) -> String {
    match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_words() {
        assert_eq!(moment(1_795_306_500_000), "22 November 2026, 00:15 UTC");
        assert_eq!(rfc3339(1_795_306_500_999), "2026-11-22T00:15:00Z");
        let lasts = |seconds| lasting(Duration::from_secs(seconds));
        assert_eq!(lasts(600), "10 minutes");
        assert_eq!(lasts(86_400), "24 hours");
        assert_eq!(lasts(7 * 86_400), "7 days");
        assert_eq!(lasts(3), "3 seconds");
        let waits = |seconds| waiting(Duration::from_secs(seconds));
        assert_eq!(waits(1), "1 second");
        assert_eq!(waits(60), "60 seconds");
        assert_eq!(waits(899), "15 minutes");
        assert_eq!(waits(86_000), "24 hours");
        let said = |seconds: i64| ago(1_795_306_500_000, 1_795_306_500_000 + seconds * 1_000);
        assert_eq!(said(-5), "just now", "clocks of two nodes may differ");
        assert_eq!(said(59), "just now");
        assert_eq!(said(60), "1 minute ago");
        assert_eq!(said(3_599), "59 minutes ago");
        assert_eq!(said(7_200), "2 hours ago");
        assert_eq!(said(86_399), "23 hours ago");
        assert_eq!(said(2 * 86_400), "2 days ago");
    }
}
