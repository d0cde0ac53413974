//! How long, how often, how many, and whether.

use std::time::Duration;

use super::mistake::{Mistake, Parsed};

const DURATION_FORM: &str = "a whole number and its unit: 90s, 10m, 1h or 7d";
const MONTH_FORM: &str = "a duration up to 30d, such as 3d, or off";
const RATE_FORM: &str = "how often and in what time, such as 5/15m, or off";

/// Ten years. Longer than anything here should live, and short enough to be added to any moment.
const LONGEST: Duration = Duration::from_secs(3650 * DAY);
const MONTH: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// At most `count` times in any `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How often; at least once.
    pub count: u32,
    /// In what time.
    pub per: Duration,
}

/// Takes `90s`, `10m`, `1h` or `7d`.
pub fn duration(text: &str) -> Parsed<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => DAY,
        "" if digits > 0 => return Err(Mistake::new("has no unit", DURATION_FORM)),
        _ => return Err(Mistake::new("is not a duration", DURATION_FORM)),
    };
    if digits == 0 {
        return Err(Mistake::new("is not a duration", DURATION_FORM));
    }
    let duration = number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(unit))
        .map(Duration::from_secs);
    match duration {
        Some(Duration::ZERO) => Err(Mistake::new("is no time at all", DURATION_FORM)),
        Some(duration) if duration <= LONGEST => Ok(duration),
        _ => Err(Mistake::new("is longer than ten years", DURATION_FORM)),
    }
}

/// Takes `10m`, or `off` for no proof at all. Within nine minutes a browser proves itself six times and no more, and in the
/// last two minutes before it has to, each page makes it do so: what is much shorter would use that up.
pub(super) fn proof(text: &str) -> Parsed<Option<Duration>> {
    const FORM: &str = "a duration of at least 4m, such as 10m, or off";
    if text == "off" {
        return Ok(None);
    }
    let wrong = |wrong: &str| Mistake::new(wrong, FORM);
    let proof = duration(text).map_err(|mistake| wrong(&mistake.wrong))?;
    match proof < Duration::from_secs(4 * 60) {
        true => Err(wrong("is shorter than browsers go along with")),
        false => Ok(Some(proof)),
    }
}

/// Takes a duration of thirty days at the most, or `off`.
pub(super) fn month_or_off(text: &str) -> Parsed<Option<Duration>> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = |wrong: &str| Mistake::new(wrong, MONTH_FORM);
    match duration(text).map_err(|mistake| wrong(&mistake.wrong))? {
        longer if longer > MONTH => Err(wrong("is longer than thirty days")),
        duration => Ok(Some(duration)),
    }
}

/// Takes `5/15m`, or `off` for no limit.
pub(super) fn rate(text: &str) -> Parsed<Option<Rate>> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = |wrong: &str| Mistake::new(wrong, RATE_FORM);
    let (count, per) = text.split_once('/').ok_or_else(|| wrong("is not a rate"))?;
    let count = whole_number(count).and_then(|count| u32::try_from(count).ok());
    match count {
        None => Err(wrong("does not begin with how often")),
        Some(0) => Err(wrong("would never let anybody through")),
        Some(count) => Ok(Some(Rate {
            count,
            per: duration(per).map_err(|mistake| wrong(&mistake.wrong))?,
        })),
    }
}

/// Takes a whole number, as long as it is no slip of the finger.
pub(super) fn count(text: &str) -> Parsed<u64> {
    whole_number(text)
        .filter(|count| *count <= 1_000_000_000)
        .ok_or_else(|| {
            Mistake::new(
                "is not a number up to 1000000000",
                "a whole number, such as 100000",
            )
        })
}

/// Takes `true` or `false`.
pub(super) fn yes_or_no(text: &str) -> Parsed<bool> {
    text.parse()
        .map_err(|_| Mistake::new("is neither of its two values", "true or false"))
}

/// Takes digits alone: no sign, no space, nothing that overflows.
pub(super) fn whole_number(text: &str) -> Option<u64> {
    let digits_alone = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits_alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, seconds) in [
            ("1s", 1),
            ("90s", 90),
            ("10m", 600),
            ("010m", 600),
            ("1h", 3600),
            ("24h", 86_400),
            ("7d", 604_800),
            ("3650d", 315_360_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0s",
            "0d",
            "00m",
            "10",
            "m",
            "10 m",
            " 10m",
            "10m ",
            "10M",
            "10min",
            "1h30m",
            "1.5h",
            "-1m",
            "+1m",
            "1w",
            "1y",
            "١m",
            "10µ",
            "3651d",
            "99999999999999999d",
            "18446744073709551615d",
            "18446744073709551616s",
        ] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_off_or_lasts_a_month_at_the_most() {
        assert_eq!(month_or_off("off"), Ok(None));
        for (text, seconds) in [("90s", 90), ("3d", 259_200), ("30d", 2_592_000)] {
            let lasts = Some(Duration::from_secs(seconds));
            assert_eq!(month_or_off(text), Ok(lasts), "{text}");
        }
        for text in ["", "Off", "0d", "3", "31d", "721h", "3650d", "3651d"] {
            assert!(month_or_off(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn rates_have_a_count_and_a_duration() {
        let per = Duration::from_secs(900);
        assert_eq!(rate("5/15m"), Ok(Some(Rate { count: 5, per })));
        assert_eq!(rate("off"), Ok(None));
        for text in [
            "",
            "Off",
            "none",
            "0",
            "5",
            "5/",
            "/15m",
            "0/15m",
            "5/0s",
            "5/15",
            "5 / 15m",
            "-5/15m",
            "+5/15m",
            "5/15m/1",
            "4294967296/1s",
        ] {
            assert!(rate(text).is_err(), "{text:?}");
        }
    }
}
